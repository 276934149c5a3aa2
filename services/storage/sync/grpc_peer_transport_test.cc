// Streams to a member on loopback that ends each of them as soon as it begins.

#include "services/storage/sync/grpc_peer_transport.h"

#include <grpcpp/server_context.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cairn/storage/v1/sync_service.grpc.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/mutex.h"
#include "lib/rpc/member_auth.h"
#include "lib/rpc/server.h"
#include "lib/testing/fake_clock.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace storage {
namespace {

constexpr char kSecret[] = "a secret of the cluster";
constexpr char kCluster[] = "00112233-4455-6677-8899-aabbccddeeff";
constexpr char kServer[] = "11111111-2222-4333-8444-555555555555";

class EndsAtOnce : public v1::SyncService::CallbackService {
 public:
  grpc::ServerWriteReactor<v1::SyncResponse>* Sync(
      grpc::CallbackServerContext* /*context*/,
      const v1::SyncRequest* /*request*/) override {
    class Reactor : public grpc::ServerWriteReactor<v1::SyncResponse> {
     public:
      Reactor() { Finish(grpc::Status::OK); }
      void OnDone() override { delete this; }
    };
    return new Reactor;
  }
};

class CountsEnds : public SyncListener {
 public:
  void OnBatch(SyncBatch /*batch*/) override {}
  void OnEnd(const absl::Status& /*status*/) override {
    MutexLock lock(&mu_);
    ++ends_;
    changed_.SignalAll();
  }

  // False if they have not ended in far more time than that takes.
  bool AwaitEnds(int ends) {
    const absl::Time deadline = absl::Now() + absl::Minutes(2);
    MutexLock lock(&mu_);
    while (ends_ < ends && absl::Now() < deadline) {
      changed_.WaitWithTimeout(&mu_, deadline - absl::Now());
    }
    return ends_ == ends;
  }

 private:
  Mutex mu_;
  CondVar changed_;
  int ends_ ABSL_GUARDED_BY(mu_) = 0;
};

class GrpcPeerTransportTest : public ::testing::Test {
 protected:
  void SetUp() override {
    rpc::MemberSessionsOptions sessions;
    sessions.cluster_secret = kSecret;
    sessions.cluster_id = kCluster;
    sessions.node_uuid = kServer;
    auth_ = std::make_unique<rpc::MemberAuthServer>(sessions, &clock_, nullptr);
    rpc::RpcServerOptions options;
    options.listen = {"127.0.0.1:0"};
    auto server = rpc::RpcServer::Start(
        options,
        {{v1::SyncService::service_full_name(), &service_}, auth_->service()});
    ASSERT_THAT(server, IsOk());
    server_ = *std::move(server);
    peer_.node_uuid = *Uuid::Parse(kServer);
    peer_.address = server_->addresses()[0];
  }

  std::unique_ptr<GrpcPeerTransport> MakeTransport() {
    GrpcPeerTransportOptions options;
    options.node_uuid = Uuid::Random();
    options.group = "group1";
    options.cluster_id = kCluster;
    options.cluster_secret = kSecret;
    return std::make_unique<GrpcPeerTransport>(options, &clock_);
  }

  FakeClock clock_;
  std::unique_ptr<rpc::MemberAuthServer> auth_;
  EndsAtOnce service_;
  std::unique_ptr<rpc::RpcServer> server_;
  Peer peer_;
};

// The first streams of a session begin on gRPC's thread when the handshake is
// over, while whoever wants them asks for messages or gives them up.
TEST_F(GrpcPeerTransportTest, EveryStreamEndsHoweverItBegins) {
  constexpr int kRounds = 40;
  constexpr int kThreads = 4;
  constexpr int kStreamsEach = 25;
  for (int round = 0; round < kRounds; ++round) {
    CountsEnds listener;
    const std::unique_ptr<GrpcPeerTransport> transport = MakeTransport();
    std::vector<std::thread> threads;
    for (int thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&, thread] {
        for (int i = 0; i < kStreamsEach; ++i) {
          const std::shared_ptr<PeerStream> stream =
              transport->StartSync(peer_, 0, absl::nullopt, {}, &listener);
          if ((thread + i) % 3 != 0) stream->Next();
          if ((thread + i) % 3 != 1) stream->Cancel();
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    ASSERT_TRUE(listener.AwaitEnds(kThreads * kStreamsEach)) << round;
  }
}

}  // namespace
}  // namespace storage
}  // namespace cairn
