// Storages' side of Attach (services/storage/attach) against real trackers, in
// one process on loopback: trackers that die, come back, lie or know another
// secret. Everything waits for conditions.

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cairn/config/tracker/v1/tracker_config.pb.h"
#include "cairn/tracker/v1/admin_service.grpc.pb.h"
#include "cairn/tracker/v1/membership_service.grpc.pb.h"
#include "cairn/tracker/v1/tracker_service.grpc.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/clock.h"
#include "lib/base/error_reason.h"
#include "lib/base/mutex.h"
#include "lib/placement/from_proto.h"
#include "lib/placement/placer.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/cluster_auth.h"
#include "lib/rpc/grpc_status.h"
#include "lib/testing/status_matchers.h"
#include "services/storage/attach/backoff.h"
#include "services/storage/attach/tracker_links.h"
#include "services/tracker/tracker_server.h"

namespace cairn {
namespace {

using ::testing::HasSubstr;

constexpr char kCluster[] = "11111111-2222-4333-8444-555555555555";
constexpr char kSecret[] = "a secret of twenty-odd characters";
constexpr absl::Duration kNever = absl::Minutes(5);

std::string UuidOf(int i) {
  return absl::StrCat("aaaaaaaa-0000-4000-8000-00000000000", i);
}

std::string NewDirectory() {
  std::string path = absl::StrCat(::testing::TempDir(), "/attach_XXXXXX");
  EXPECT_NE(mkdtemp(path.data()), nullptr);
  return path;
}

std::unique_ptr<tracker::TrackerServer> StartTracker(
    const std::string& data_dir, const std::string& listen = "127.0.0.1:0") {
  config::tracker::v1::TrackerConfig config;
  config.add_listen(listen);
  config.set_data_dir(data_dir);
  config.set_cluster_id(kCluster);
  config.set_cluster_secret(kSecret);
  auto server = tracker::TrackerServer::Start(config);
  EXPECT_THAT(server, IsOk());
  return server.ok() ? *std::move(server) : nullptr;
}

// A storage node that has nothing but its links.
class FakeStorage {
 public:
  FakeStorage(int i, std::vector<std::string> trackers,
              const std::string& secret = kSecret)
      : links_(
            Options(i, std::move(trackers), secret),
            [this] { return Report(); },
            [this](const std::string& tracker,
                   const tracker::v1::GroupPeers& peers) {
              MutexLock lock(&mu_);
              peers_[tracker] = peers;
              changed_.SignalAll();
            },
            Clock::Real(),
            [this](const std::string& tracker, tracker::v1::NodeRole role) {
              MutexLock lock(&mu_);
              roles_[tracker] = role;
              changed_.SignalAll();
            }) {
    links_.Start();
  }

  void SetFree(int64_t free_bytes) {
    {
      MutexLock lock(&mu_);
      free_bytes_ = free_bytes;
    }
    links_.ReportSoon();
  }

  // Waits until `tracker` has told of `count` other members.
  void WaitForPeers(const std::string& tracker, int count) {
    MutexLock lock(&mu_);
    while (peers_[tracker].nodes_size() != count) changed_.Wait(&mu_);
  }

  // Waits until `tracker` has said that the node is used for `role`.
  void WaitForRole(const std::string& tracker, tracker::v1::NodeRole role) {
    MutexLock lock(&mu_);
    while (roles_[tracker] != role) changed_.Wait(&mu_);
  }

  // Polls until link `i` is in the state, which no callback tells.
  void WaitForLink(
      size_t i,
      const std::function<bool(const storage::TrackerLinkState&)>& wanted) {
    Mutex mu;
    CondVar never;
    MutexLock lock(&mu);
    while (!wanted(links_.States()[i])) {
      never.WaitWithTimeout(&mu, absl::Milliseconds(5));
    }
  }

  storage::TrackerLinks& links() { return links_; }

 private:
  static storage::TrackerLinksOptions Options(int i,
                                              std::vector<std::string> trackers,
                                              const std::string& secret) {
    storage::TrackerLinksOptions options;
    options.trackers = std::move(trackers);
    options.identity.set_node_uuid(UuidOf(i));
    options.identity.set_node_number(i);
    options.identity.set_name(absl::StrCat("n", i));
    options.identity.set_group("group1");
    options.identity.set_cluster_id(kCluster);
    options.identity.set_address(absl::StrCat("127.0.0.1:", 20000 + i));
    options.cluster_secret = secret;
    options.report_interval = absl::Milliseconds(100);
    options.backoff_shortest = absl::Milliseconds(20);
    options.backoff_longest = absl::Milliseconds(100);
    return options;
  }

  tracker::v1::NodeReport Report() {
    MutexLock lock(&mu_);
    tracker::v1::NodeReport report;
    tracker::v1::StorePathReport* path = report.add_store_paths();
    path->set_writable(true);
    path->set_readable(true);
    path->set_total_bytes(1000);
    path->set_free_bytes(free_bytes_);
    return report;
  }

  Mutex mu_;
  CondVar changed_;
  int64_t free_bytes_ ABSL_GUARDED_BY(mu_) = 500;
  std::map<std::string, tracker::v1::GroupPeers> peers_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, tracker::v1::NodeRole> roles_ ABSL_GUARDED_BY(mu_);

  storage::TrackerLinks links_;  // Last: it calls what is above.
};

// Reads a tracker's view until it is as wanted.
class Watcher {
 public:
  explicit Watcher(const std::string& tracker)
      : stub_(tracker::v1::TrackerService::NewStub(rpc::MakeChannel(tracker))) {
    rpc::SetTimeout(&context_, kNever);
    reader_ =
        stub_->WatchCluster(&context_, tracker::v1::WatchClusterRequest());
  }
  ~Watcher() {
    context_.TryCancel();
    tracker::v1::WatchClusterResponse update;
    while (reader_->Read(&update)) {
    }
    (void)reader_->Finish();
  }

  bool Until(const std::function<bool(const ClusterModel&)>& wanted) {
    while (!started_ || !wanted(*follower_.model())) {
      tracker::v1::WatchClusterResponse update;
      if (!reader_->Read(&update)) return false;
      EXPECT_THAT(follower_.Apply(update), IsOk());
      started_ = true;
    }
    return true;
  }

  bool UntilState(int i, NodeState state) {
    return Until([&](const ClusterModel& model) {
      const NodeModel* node = model.FindNode(UuidOf(i));
      return node != nullptr && node->state == state;
    });
  }

  std::shared_ptr<const ClusterModel> model() const {
    return follower_.model();
  }

 private:
  std::unique_ptr<tracker::v1::TrackerService::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<tracker::v1::WatchClusterResponse>>
      reader_;
  ViewFollower follower_;
  bool started_ = false;
};

TEST(BackoffTest, DoublesWithJitterUpToTheLongestAndStartsAgain) {
  storage::Backoff backoff(absl::Milliseconds(100), absl::Seconds(1),
                           /*seed=*/7);
  for (const int full_ms : {100, 200, 400, 800, 1000, 1000}) {
    const absl::Duration wait = backoff.Next();
    EXPECT_GE(wait, absl::Milliseconds(full_ms) / 2);
    EXPECT_LE(wait, absl::Milliseconds(full_ms));
  }
  backoff.Reset();
  EXPECT_LE(backoff.Next(), absl::Milliseconds(100));
  EXPECT_GE(backoff.Longest(), absl::Milliseconds(500));
  EXPECT_GE(backoff.Next(), absl::Milliseconds(500));
}

TEST(AttachTest, StoragesAreSeenByAllTrackersAndOutliveEachOfThem) {
  const std::string one_dir = NewDirectory();
  auto one = StartTracker(one_dir);
  auto two = StartTracker(NewDirectory());
  const std::string one_address = one->addresses()[0];
  const std::string two_address = two->addresses()[0];
  FakeStorage first(1, {one_address, two_address});
  FakeStorage second(2, {one_address, two_address});
  Watcher one_watcher(one_address);
  Watcher two_watcher(two_address);
  for (Watcher* watcher : {&one_watcher, &two_watcher}) {
    ASSERT_TRUE(watcher->UntilState(1, NodeState::kActive));
    ASSERT_TRUE(watcher->UntilState(2, NodeState::kActive));
  }
  first.WaitForPeers(one_address, 1);
  first.WaitForPeers(two_address, 1);
  second.WaitForPeers(two_address, 1);

  // One tracker dies: the other one sees no difference.
  one.reset();
  first.WaitForLink(0, [](const auto& link) { return !link.attached; });
  first.SetFree(123);
  ASSERT_TRUE(two_watcher.Until([](const ClusterModel& model) {
    return model.FindNode(UuidOf(1))->store_paths[0].free_bytes == 123;
  }));
  ASSERT_TRUE(two_watcher.UntilState(2, NodeState::kActive));

  // Both are gone: who has a view goes on placing by it.
  two.reset();
  Placer placer(1);
  EXPECT_THAT(placer.PlaceUpload(*two_watcher.model(), {}), IsOk());

  // One comes back and is found without anybody's help.
  one = StartTracker(one_dir, one_address);
  ASSERT_NE(one, nullptr);
  Watcher again(one_address);
  ASSERT_TRUE(again.UntilState(1, NodeState::kActive));
  ASSERT_TRUE(again.UntilState(2, NodeState::kActive));
}

TEST(AttachTest, ANodeThatStopsSaysSoAndIsGoneAtOnce) {
  auto server = StartTracker(NewDirectory());
  Watcher watcher(server->addresses()[0]);
  FakeStorage storage(1, {server->addresses()[0]});
  ASSERT_TRUE(watcher.UntilState(1, NodeState::kActive));

  storage.links().AnnounceStopping();
  ASSERT_TRUE(watcher.Until([](const ClusterModel& model) {
    return model.FindNode(UuidOf(1))->stopping;
  }));
  EXPECT_NE(watcher.model()->FindNode(UuidOf(1))->state, NodeState::kOffline);
  storage.links().Stop();
  EXPECT_TRUE(watcher.UntilState(1, NodeState::kOffline));
}

TEST(AttachTest, TriesAgainWhenATrackerComesLater) {
  auto server = StartTracker(NewDirectory());
  const std::string address = server->addresses()[0];
  server.reset();
  FakeStorage storage(1, {address});
  storage.WaitForLink(0, [](const auto& link) {
    return link.last_error.code() == absl::StatusCode::kUnavailable;
  });
  server = StartTracker(NewDirectory(), address);
  ASSERT_NE(server, nullptr);
  storage.WaitForLink(0, [](const auto& link) {
    return link.attached && link.last_error.ok();
  });
}

TEST(AttachTest, AWrongSecretIsSaidInTheLinksState) {
  auto server = StartTracker(NewDirectory());
  FakeStorage storage(1, {server->addresses()[0]}, "some other secret");
  storage.WaitForLink(0, [](const auto& link) {
    return link.last_error.code() == absl::StatusCode::kUnauthenticated;
  });
  EXPECT_FALSE(storage.links().States()[0].attached);
  EXPECT_THAT(std::string(storage.links().States()[0].last_error.message()),
              HasSubstr("secret"));
}

TEST(AttachTest, TheOlderOfTwoProcessesOfANodeLearnsThatItIsDisplaced) {
  auto server = StartTracker(NewDirectory());
  FakeStorage older(1, {server->addresses()[0]});
  older.WaitForLink(0, [](const auto& link) { return link.attached; });
  FakeStorage newer(1, {server->addresses()[0]});
  older.WaitForLink(0, [](const auto& link) {
    return link.last_error.code() == absl::StatusCode::kAborted;
  });
}

// Has the tracker take one call of AdminService.
template <typename Request, typename Response>
absl::Status Administer(const std::string& tracker, absl::string_view name,
                        grpc::Status (tracker::v1::AdminService::Stub::*method)(
                            grpc::ClientContext*, const Request&, Response*),
                        const Request& request) {
  const auto stub =
      tracker::v1::AdminService::NewStub(rpc::MakeChannel(tracker));
  grpc::ClientContext asking;
  rpc::SetTimeout(&asking, kNever);
  tracker::v1::GetChallengeResponse challenge;
  const grpc::Status asked = stub->GetChallenge(&asking, {}, &challenge);
  if (!asked.ok()) return rpc::FromGrpcStatus(asked);
  grpc::ClientContext context;
  rpc::SetTimeout(&context, kNever);
  context.AddMetadata(rpc::kAdminChallengeKey, challenge.challenge());
  context.AddMetadata(
      rpc::kAdminProofKey,
      rpc::AdminProof(kSecret,
                      absl::StrCat("/cairn.tracker.v1.AdminService/", name),
                      challenge.challenge(), request.SerializeAsString()));
  Response response;
  return rpc::FromGrpcStatus(
      (stub.get()->*method)(&context, request, &response));
}

TEST(AttachTest, ANodeLearnsWhatItIsUsedForAndThatItWasRemoved) {
  auto server = StartTracker(NewDirectory());
  const std::string address = server->addresses()[0];
  FakeStorage storage(1, {address});
  storage.WaitForRole(address, tracker::v1::NODE_ROLE_READ_WRITE);

  tracker::v1::SetNodeRequest drain;
  drain.set_node_uuid(UuidOf(1));
  drain.set_role(tracker::v1::NODE_ROLE_DRAINING);
  ASSERT_THAT(Administer(address, "SetNode",
                         &tracker::v1::AdminService::Stub::SetNode, drain),
              IsOk());
  storage.WaitForRole(address, tracker::v1::NODE_ROLE_DRAINING);

  tracker::v1::RemoveNodeRequest remove;
  remove.set_node_uuid(UuidOf(1));
  ASSERT_THAT(Administer(address, "RemoveNode",
                         &tracker::v1::AdminService::Stub::RemoveNode, remove),
              IsOk());
  storage.WaitForLink(0, [](const auto& link) {
    return ReasonOf(link.last_error) == ErrorReason::kNodeRemoved;
  });

  tracker::v1::RestoreNodeRequest restore;
  restore.set_node_uuid(UuidOf(1));
  ASSERT_THAT(
      Administer(address, "RestoreNode",
                 &tracker::v1::AdminService::Stub::RestoreNode, restore),
      IsOk());
  storage.WaitForLink(0, [](const auto& link) { return link.attached; });
}

// Sends a challenge and then a welcome with a proof of its own making.
class Impostor : public tracker::v1::MembershipService::Service {
 public:
  grpc::Status Attach(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<tracker::v1::AttachResponse,
                               tracker::v1::AttachRequest>* stream) override {
    tracker::v1::AttachResponse response;
    response.mutable_challenge()->set_nonce(rpc::MakeNonce());
    stream->Write(response);
    tracker::v1::AttachRequest hello;
    if (!stream->Read(&hello)) return grpc::Status::OK;
    response.mutable_welcome()->set_proof(
        rpc::TrackerProof("not the secret", hello.hello().nonce()));
    response.mutable_welcome()->set_suspect_after_ms(3000);
    stream->Write(response);
    tracker::v1::AttachRequest report;
    while (stream->Read(&report)) {
    }
    return grpc::Status::OK;
  }
};

TEST(AttachTest, ATrackerThatDoesNotKnowTheSecretIsNotBelieved) {
  Impostor impostor;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterService(&impostor);
  const auto server = builder.BuildAndStart();
  {
    FakeStorage storage(1, {absl::StrCat("127.0.0.1:", port)});
    storage.WaitForLink(0, [](const auto& link) {
      return link.last_error.code() == absl::StatusCode::kUnauthenticated;
    });
    EXPECT_THAT(std::string(storage.links().States()[0].last_error.message()),
                HasSubstr("did not prove"));
  }
  server->Shutdown();
}

// Takes the stream and says nothing.
class Mute : public tracker::v1::MembershipService::Service {
 public:
  grpc::Status Attach(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<tracker::v1::AttachResponse,
                               tracker::v1::AttachRequest>* stream) override {
    tracker::v1::AttachRequest request;
    while (stream->Read(&request)) {
    }
    return grpc::Status::OK;
  }
};

TEST(AttachTest, StopsAtOnceAlthoughATrackerSaysNothing) {
  Mute mute;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterService(&mute);
  const auto server = builder.BuildAndStart();
  {
    FakeStorage storage(1, {absl::StrCat("127.0.0.1:", port)});
    storage.links().Stop();
    EXPECT_FALSE(storage.links().States()[0].attached);
  }
  server->Shutdown();
}

}  // namespace
}  // namespace cairn
