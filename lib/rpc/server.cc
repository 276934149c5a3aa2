#include "lib/rpc/server.h"

#include <grpcpp/ext/channelz_service_plugin.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/impl/server_builder_plugin.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "lib/base/error_reason.h"
#include "lib/base/host_port.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/rpc/grpc_log.h"
#include "lib/rpc/tls.h"

namespace cairn {
namespace rpc {
namespace {

// How often a server that stops looks whether it is idle, and how long the last
// answers may take to get out.
constexpr absl::Duration kIdlePoll = absl::Milliseconds(5);
constexpr absl::Duration kLastAnswers = absl::Milliseconds(250);

// Plugins are installed for every server that is built after the first call, so
// a server that is for users takes channelz out again.
class WithoutChannelz : public grpc::ServerBuilderOption {
 public:
  void UpdateArguments(grpc::ChannelArguments* args) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>*
                         plugins) override {
    plugins->erase(
        std::remove_if(
            plugins->begin(), plugins->end(),
            [](const std::unique_ptr<grpc::ServerBuilderPlugin>& plugin) {
              return plugin->name() == "channelz_service";
            }),
        plugins->end());
  }
};

void InitGrpcOnce() {
  static const bool done = [] {
    RouteGrpcLog();
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::channelz::experimental::InitChannelzService();
    return true;
  }();
  (void)done;
}

int Millis(absl::Duration duration) {
  return static_cast<int>(absl::ToInt64Milliseconds(duration));
}

// An address, and where gRPC stores the port that it bound; 0 if it could not.
struct Binding {
  HostPort address;
  int bound_port = 0;
};

std::unique_ptr<grpc::Server> Build(const RpcServerOptions& options,
                                    const std::vector<NamedService>& services,
                                    bool channelz,
                                    std::vector<Binding>* bindings) {
  grpc::ServerBuilder builder;
  for (Binding& binding : *bindings) {
    builder.AddListeningPort(
        JoinHostPort(binding.address.host, binding.address.port),
        options.tls == nullptr ? grpc::InsecureServerCredentials()
                               : options.tls->server_credentials(),
        &binding.bound_port);
  }
  for (const NamedService& service : services) {
    builder.RegisterService(service.service);
  }
  builder.SetMaxReceiveMessageSize(options.message_bytes_max);
  builder.SetMaxSendMessageSize(options.message_bytes_max);
  if (!channelz) builder.SetOption(std::make_unique<WithoutChannelz>());

  // Or a second process could take the same port and half of the calls.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS,
                             options.streams_per_connection_max);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS,
                             Millis(options.keepalive_interval));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
                             Millis(options.keepalive_timeout));
  // Clients of ours ask every 20 s, with or without a call.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(
      GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5000);

  if (options.memory_bytes_max > 0) {
    grpc::ResourceQuota quota("cairn_rpc_server");
    quota.Resize(static_cast<size_t>(options.memory_bytes_max));
    builder.SetResourceQuota(quota);
  }
  return builder.BuildAndStart();
}

absl::Status CannotBind(const std::vector<Binding>& bindings) {
  std::string names;
  for (const Binding& binding : bindings) {
    if (binding.bound_port > 0) continue;
    absl::StrAppend(&names, names.empty() ? "" : ", ",
                    JoinHostPort(binding.address.host, binding.address.port));
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "cannot listen on ", names.empty() ? "any address" : names,
      ": is the port taken by another process, and the address one of this "
      "machine?"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<RpcServer>> RpcServer::Start(
    const RpcServerOptions& options,
    const std::vector<NamedService>& services) {
  if (options.listen.empty()) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                           ErrorReason::kInvalidField,
                           "no address to listen on", {{"field", "listen"}});
  }
  std::vector<Binding> bindings;
  for (const std::string& address : options.listen) {
    Binding binding;
    CAIRN_ASSIGN_OR_RETURN(binding.address, ParseHostPort(address));
    bindings.push_back(std::move(binding));
  }
  std::vector<Binding> admin_bindings;
  if (!options.admin_listen.empty()) {
    Binding binding;
    CAIRN_ASSIGN_OR_RETURN(binding.address,
                           ParseHostPort(options.admin_listen));
    admin_bindings.push_back(std::move(binding));
  }

  InitGrpcOnce();
  std::unique_ptr<RpcServer> out(new RpcServer);
  for (const NamedService& service : services) {
    out->service_names_.push_back(service.name);
  }

  out->server_ = Build(options, services, /*channelz=*/false, &bindings);
  if (out->server_ == nullptr) return CannotBind(bindings);
  for (const Binding& binding : bindings) {
    // gRPC is content when one of several addresses could be bound.
    if (binding.bound_port <= 0) return CannotBind(bindings);
    out->addresses_.push_back(
        JoinHostPort(binding.address.host, binding.bound_port));
    if (options.tls == nullptr && !IsLoopback(binding.address.host)) {
      CAIRN_LOG(kWarning, "rpc",
                "NO TLS: whoever can reach this address can read and write, "
                "and can read what others send address={}",
                out->addresses_.back());
    }
  }
  if (!admin_bindings.empty()) {
    out->admin_server_ =
        Build(options, services, /*channelz=*/true, &admin_bindings);
    if (out->admin_server_ == nullptr) return CannotBind(admin_bindings);
    const Binding& binding = admin_bindings.front();
    out->admin_address_ =
        JoinHostPort(binding.address.host, binding.bound_port);
    if (options.tls == nullptr && !IsLoopback(binding.address.host)) {
      CAIRN_LOG(kWarning, "rpc",
                "NO TLS: the address for administrators is open to others "
                "address={}",
                out->admin_address_);
    }
  }
  out->SetReady(false);
  out->SetServing("liveness", true);
  return out;
}

RpcServer::RpcServer() = default;

RpcServer::~RpcServer() {
  if (server_ != nullptr) Stop(absl::ZeroDuration());
}

void RpcServer::SetReady(bool ready) {
  SetServing("", ready);
  SetServing("readiness", ready);
  for (const std::string& name : service_names_) SetServing(name, ready);
}

void RpcServer::SetServing(absl::string_view name, bool serving) {
  MutexLock lock(&mu_);
  // Once it stops nothing becomes ready any more.
  if (stopping_ && serving) return;
  for (grpc::Server* server : {server_.get(), admin_server_.get()}) {
    if (server == nullptr) continue;
    server->GetHealthCheckService()->SetServingStatus(std::string(name),
                                                      serving);
  }
}

void RpcServer::Stop(absl::Duration grace, std::function<bool()> idle) {
  {
    MutexLock lock(&mu_);
    if (stopping_) {
      while (!stopped_) stopped_changed_.Wait(&mu_);
      return;
    }
    stopping_ = true;
  }
  SetReady(false);
  absl::Time end = absl::Now() + grace;
  if (idle) {
    while (absl::Now() < end && !idle()) absl::SleepFor(kIdlePoll);
    end = std::min(end, absl::Now() + kLastAnswers);
  }
  const std::chrono::system_clock::time_point deadline =
      absl::ToChronoTime(end);
  server_->Shutdown(deadline);
  // Last, so that what is in progress can be looked at meanwhile.
  if (admin_server_ != nullptr) admin_server_->Shutdown(deadline);
  MutexLock lock(&mu_);
  stopped_ = true;
  stopped_changed_.SignalAll();
}

}  // namespace rpc
}  // namespace cairn
