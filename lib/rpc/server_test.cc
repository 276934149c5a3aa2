// A server on loopback with one real service, looked at through the wire as a
// stranger would: health and reflection are called by their bytes.

#include "lib/rpc/server.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/impl/client_unary_call.h>
#include <grpcpp/impl/rpc_method.h>
#include <grpcpp/support/byte_buffer.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "cairn/storage/v1/node_service.grpc.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/mutex.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/grpc_status.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace rpc {
namespace {

using ::testing::HasSubstr;
using NodeService = storage::v1::NodeService;

// GetState answers at once; ListJobs when it is told to, or when the call is
// cancelled.
class FakeNodeService : public NodeService::CallbackService {
 public:
  grpc::ServerUnaryReactor* GetState(
      grpc::CallbackServerContext* context,
      const storage::v1::GetStateRequest* request,
      storage::v1::GetStateResponse* response) override {
    response->set_name("n1");
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  class Held : public grpc::ServerUnaryReactor {
   public:
    explicit Held(FakeNodeService* service) : service_(service) {}
    void OnCancel() override {
      Finish(grpc::Status(grpc::StatusCode::CANCELLED, "cut"));
    }
    void OnDone() override {
      service_->ended.Notify();
      delete this;
    }

   private:
    FakeNodeService* const service_;
  };

  grpc::ServerUnaryReactor* ListJobs(
      grpc::CallbackServerContext* context,
      const storage::v1::ListJobsRequest* request,
      storage::v1::ListJobsResponse* response) override {
    Held* const reactor = new Held(this);
    {
      MutexLock lock(&mu_);
      held_ = reactor;
    }
    entered.Notify();
    return reactor;
  }

  void Release() {
    MutexLock lock(&mu_);
    held_->Finish(grpc::Status::OK);
  }

  Notification entered;
  Notification ended;

 private:
  Mutex mu_;
  Held* held_ = nullptr;
};

// One unary call by its bytes.
absl::Status Call(grpc::Channel* channel, const std::string& method,
                  const std::string& request, std::string* response) {
  grpc::ClientContext context;
  SetTimeout(&context, absl::Seconds(60));
  const grpc::Slice slice(request);
  const grpc::ByteBuffer in(&slice, 1);
  grpc::ByteBuffer out;
  const grpc::internal::RpcMethod rpc(method.c_str(),
                                      grpc::internal::RpcMethod::NORMAL_RPC);
  const grpc::Status status =
      grpc::internal::BlockingUnaryCall<grpc::ByteBuffer, grpc::ByteBuffer>(
          channel, rpc, &context, in, &out);
  if (!status.ok()) return FromGrpcStatus(status);
  std::vector<grpc::Slice> slices;
  if (out.Valid() && !out.Dump(&slices).ok()) {
    return absl::InternalError("the response cannot be read");
  }
  response->clear();
  for (const grpc::Slice& s : slices) {
    response->append(reinterpret_cast<const char*>(s.begin()), s.size());
  }
  return absl::OkStatus();
}

// grpc.health.v1: 0 unknown, 1 serving, 2 not serving; -1 not found.
int Health(grpc::Channel* channel, const std::string& service) {
  std::string request;
  if (!service.empty()) {
    request =
        absl::StrCat("\x0a", std::string(1, char(service.size())), service);
  }
  std::string response;
  const absl::Status status =
      Call(channel, "/grpc.health.v1.Health/Check", request, &response);
  if (!status.ok()) return -1;
  return response.size() == 2 ? response[1] : 0;
}

std::string StateName(const std::shared_ptr<grpc::Channel>& channel) {
  grpc::ClientContext context;
  SetTimeout(&context, absl::Seconds(60));
  storage::v1::GetStateResponse response;
  const grpc::Status status = NodeService::NewStub(channel)->GetState(
      &context, storage::v1::GetStateRequest(), &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response.name();
}

RpcServerOptions Loopback() {
  RpcServerOptions options;
  options.listen = {"127.0.0.1:0"};
  return options;
}

TEST(RpcServerTest, ServesOnEveryAddressAndSaysWhichPorts) {
  FakeNodeService service;
  RpcServerOptions options = Loopback();
  options.listen.push_back("[::1]:0");
  options.listen.push_back("127.0.0.1:0");
  auto server =
      RpcServer::Start(options, {{NodeService::service_full_name(), &service}});
  if (!server.ok()) {
    // A machine without IPv6.
    options.listen.erase(options.listen.begin() + 1);
    server = RpcServer::Start(options,
                              {{NodeService::service_full_name(), &service}});
  }
  ASSERT_THAT(server, IsOk());
  ASSERT_EQ((*server)->addresses().size(), options.listen.size());
  for (const std::string& address : (*server)->addresses()) {
    EXPECT_THAT(address, ::testing::Not(::testing::EndsWith(":0")));
    EXPECT_EQ(StateName(MakeChannel(address)), "n1") << address;
  }
  EXPECT_EQ((*server)->admin_address(), "");
}

TEST(RpcServerTest, HealthFollowsReadinessAndEachServiceCanBeSet) {
  FakeNodeService service;
  auto server = RpcServer::Start(
      Loopback(), {{NodeService::service_full_name(), &service}});
  ASSERT_THAT(server, IsOk());
  const auto channel = MakeChannel((*server)->addresses()[0]);
  const std::string name = NodeService::service_full_name();
  EXPECT_EQ(Health(channel.get(), "liveness"), 1);
  EXPECT_EQ(Health(channel.get(), ""), 2);
  EXPECT_EQ(Health(channel.get(), "readiness"), 2);
  EXPECT_EQ(Health(channel.get(), name), 2);
  (*server)->SetReady(true);
  EXPECT_EQ(Health(channel.get(), ""), 1);
  EXPECT_EQ(Health(channel.get(), "readiness"), 1);
  EXPECT_EQ(Health(channel.get(), name), 1);
  (*server)->SetServing(name, false);
  EXPECT_EQ(Health(channel.get(), name), 2);
  EXPECT_EQ(Health(channel.get(), ""), 1);
  EXPECT_EQ(Health(channel.get(), "nobody"), -1);
}

TEST(RpcServerTest, ChannelzIsOnTheAdminAddressAlone) {
  FakeNodeService service;
  RpcServerOptions options = Loopback();
  options.admin_listen = "127.0.0.1:0";
  auto server =
      RpcServer::Start(options, {{NodeService::service_full_name(), &service}});
  ASSERT_THAT(server, IsOk());
  std::string response;
  const std::string method = "/grpc.channelz.v1.Channelz/GetServers";
  EXPECT_THAT(
      Call(MakeChannel((*server)->addresses()[0]).get(), method, "", &response),
      StatusIs(absl::StatusCode::kUnimplemented));
  EXPECT_THAT(Call(MakeChannel((*server)->admin_address()).get(), method, "",
                   &response),
              IsOk());
  EXPECT_FALSE(response.empty());
  EXPECT_EQ(StateName(MakeChannel((*server)->admin_address())), "n1");
}

TEST(RpcServerTest, NamesTheAddressThatItCannotUse) {
  FakeNodeService service;
  auto first = RpcServer::Start(Loopback(),
                                {{NodeService::service_full_name(), &service}});
  ASSERT_THAT(first, IsOk());
  RpcServerOptions options = Loopback();
  options.listen.push_back((*first)->addresses()[0]);
  FakeNodeService other;
  EXPECT_THAT(
      RpcServer::Start(options, {{NodeService::service_full_name(), &other}}),
      StatusIs(absl::StatusCode::kFailedPrecondition,
               HasSubstr((*first)->addresses()[0])));
  options.listen = {"localhost"};
  EXPECT_THAT(
      RpcServer::Start(options, {{NodeService::service_full_name(), &other}}),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'localhost'")));
  options.listen.clear();
  EXPECT_THAT(RpcServer::Start(options, {}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(RpcServerTest, StopLetsACallFinish) {
  FakeNodeService service;
  auto server = RpcServer::Start(
      Loopback(), {{NodeService::service_full_name(), &service}});
  ASSERT_THAT(server, IsOk());
  const auto channel = MakeChannel((*server)->addresses()[0]);
  grpc::Status outcome;
  std::thread caller([&] {
    grpc::ClientContext context;
    SetTimeout(&context, absl::Seconds(60));
    storage::v1::ListJobsResponse response;
    outcome = NodeService::NewStub(channel)->ListJobs(
        &context, storage::v1::ListJobsRequest(), &response);
  });
  service.entered.WaitForNotification();
  std::thread stopper([&] { (*server)->Stop(absl::Seconds(60)); });
  service.Release();
  caller.join();
  stopper.join();
  EXPECT_TRUE(outcome.ok()) << outcome.error_message();
  EXPECT_EQ(Health(channel.get(), "liveness"), -1);
}

TEST(RpcServerTest, StopCutsWhatDoesNotFinish) {
  FakeNodeService service;
  auto server = RpcServer::Start(
      Loopback(), {{NodeService::service_full_name(), &service}});
  ASSERT_THAT(server, IsOk());
  grpc::Status outcome;
  std::thread caller([&] {
    grpc::ClientContext context;
    SetTimeout(&context, absl::Seconds(60));
    storage::v1::ListJobsResponse response;
    outcome =
        NodeService::NewStub(MakeChannel((*server)->addresses()[0]))
            ->ListJobs(&context, storage::v1::ListJobsRequest(), &response);
  });
  service.entered.WaitForNotification();
  (*server)->Stop(absl::ZeroDuration());
  // Nothing runs after Stop().
  EXPECT_TRUE(service.ended.HasBeenNotified());
  caller.join();
  EXPECT_FALSE(outcome.ok());
  (*server)->Stop(absl::ZeroDuration());
}

TEST(RpcServerTest, RefusesAMessageThatIsTooLarge) {
  FakeNodeService service;
  auto server = RpcServer::Start(
      Loopback(), {{NodeService::service_full_name(), &service}});
  ASSERT_THAT(server, IsOk());
  ChannelOptions options;
  options.message_bytes_max = 64 << 20;
  std::string response;
  EXPECT_THAT(Call(MakeChannel((*server)->addresses()[0], options).get(),
                   "/cairn.storage.v1.NodeService/GetState",
                   std::string(5 << 20, 'x'), &response),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

}  // namespace
}  // namespace rpc
}  // namespace cairn
