// A whole tracker on loopback, spoken to over the wire as storages and clients
// do. Its clock is the test's, so that silence takes no time; where the test
// waits, it waits for a message.

#include "services/tracker/tracker_server.h"

#include <grpcpp/client_context.h>
#include <sys/stat.h>

#include <cstdint>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cairn/config/tracker/v1/tracker_config.pb.h"
#include "cairn/tracker/v1/tracker_service.grpc.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/error_reason.h"
#include "lib/file_id/file_id.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/cluster_auth.h"
#include "lib/rpc/grpc_status.h"
#include "lib/testing/fake_clock.h"
#include "lib/testing/status_matchers.h"
#include "services/tracker/api/testing/tracker_harness.h"

namespace cairn {
namespace tracker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

class TrackerServerTest : public ::testing::Test {
 protected:
  TrackerServerTest() { StartTracker(); }

  void StartTracker() {
    auto config = Config(data_dir_);
    // No stop here takes as long: whoever is sent away goes at once.
    config.mutable_stop_grace()->set_seconds(3600);
    auto server = TrackerServer::Start(config, FileSystem::Real(), &clock_);
    ASSERT_THAT(server, IsOk());
    server_ = *std::move(server);
    address_ = server_->addresses().front();
    stub_ = v1::TrackerService::NewStub(rpc::MakeChannel(address_));
  }

  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(
      grpc::Status (v1::TrackerService::Stub::*method)(grpc::ClientContext*,
                                                       const Request&,
                                                       Response*),
      const Request& request) {
    grpc::ClientContext context;
    rpc::SetTimeout(&context, kNever);
    Response response;
    const grpc::Status status =
        (stub_.get()->*method)(&context, request, &response);
    if (!status.ok()) return rpc::FromGrpcStatus(status);
    return response;
  }

  absl::StatusOr<v1::PlaceUploadResponse> Place(
      const v1::PlaceUploadRequest& request = {}) {
    return Call(&v1::TrackerService::Stub::PlaceUpload, request);
  }

  FakeClock clock_;
  const std::string data_dir_ = NewDirectory();
  std::unique_ptr<TrackerServer> server_;
  std::string address_;
  std::unique_ptr<v1::TrackerService::Stub> stub_;
};

TEST_F(TrackerServerTest, ANodeThatAttachesIsSeenPlacedOnListedAndLocated) {
  Watcher watcher(address_);
  ASSERT_TRUE(watcher.Until([](const auto&) { return true; }));
  EXPECT_EQ(watcher.view().cluster_id(), kCluster);
  EXPECT_EQ(watcher.view().nodes_size(), 0);
  EXPECT_THAT(watcher.view().trackers(), ElementsAre(address_));
  EXPECT_EQ(watcher.view().suspect_after().seconds(), 3);
  EXPECT_THAT(Place(), StatusIs(absl::StatusCode::kUnavailable));

  FakeNode node(address_);
  EXPECT_EQ(node.Attach(1).nodes_size(), 0);
  ASSERT_TRUE(watcher.UntilState(1, v1::NODE_STATE_ACTIVE));

  v1::PlaceUploadRequest place;
  place.set_size_bytes(500);
  const auto placed = Place(place);
  ASSERT_THAT(placed, IsOk());
  EXPECT_EQ(placed->node().identity().node_uuid(), UuidOf(1));
  EXPECT_EQ(placed->node().identity().address(), "127.0.0.1:20001");
  EXPECT_EQ(placed->store_path(), 0u);
  place.set_size_bytes(501);
  const auto too_large = Place(place);
  EXPECT_THAT(too_large, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(ReasonOf(too_large.status()), ErrorReason::kNoWritableNode);
  place.set_size_bytes(-1);
  EXPECT_THAT(Place(place), StatusIs(absl::StatusCode::kInvalidArgument));
  place.clear_size_bytes();
  place.add_excluded_nodes(UuidOf(1));
  EXPECT_THAT(Place(place), StatusIs(absl::StatusCode::kUnavailable));
  place.set_group("nosuch");
  const auto unknown = Place(place);
  EXPECT_THAT(unknown, StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(ReasonOf(unknown.status()), ErrorReason::kUnknownGroup);

  const auto groups =
      Call(&v1::TrackerService::Stub::ListGroups, v1::ListGroupsRequest());
  ASSERT_THAT(groups, IsOk());
  ASSERT_EQ(groups->groups_size(), 1);
  EXPECT_EQ(groups->groups(0).name(), "group1");
  EXPECT_EQ(groups->groups(0).nodes(), 1u);
  EXPECT_EQ(groups->groups(0).active_nodes(), 1u);
  EXPECT_EQ(groups->groups(0).free_bytes(), 500);
  EXPECT_TRUE(groups->groups(0).writable());

  v1::ListNodesRequest list;
  auto nodes = Call(&v1::TrackerService::Stub::ListNodes, list);
  ASSERT_THAT(nodes, IsOk());
  ASSERT_EQ(nodes->nodes_size(), 1);
  EXPECT_EQ(nodes->nodes(0).report().store_paths(0).total_bytes(), 1000);
  list.set_group("group2");
  nodes = Call(&v1::TrackerService::Stub::ListNodes, list);
  ASSERT_THAT(nodes, IsOk());
  EXPECT_EQ(nodes->nodes_size(), 0);

  const FileIdCodec codec(kSecret);
  FileIdParts parts;
  parts.group = "group1";
  FileIdFields fields;
  fields.node_number = 101;
  parts.name = codec.MakeName("group1", 0, fields, "txt");
  v1::LocateRequest locate;
  locate.set_file_id(parts.ToString());
  const auto located = Call(&v1::TrackerService::Stub::Locate, locate);
  ASSERT_THAT(located, IsOk());
  ASSERT_EQ(located->nodes_size(), 1);
  EXPECT_EQ(located->nodes(0).identity().node_uuid(), UuidOf(1));
  locate.set_file_id("not an id");
  const auto malformed = Call(&v1::TrackerService::Stub::Locate, locate);
  EXPECT_THAT(malformed, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(ReasonOf(malformed.status()), ErrorReason::kInvalidFileId);
}

TEST_F(TrackerServerTest, CountsWhatItKnowsAndWhatItAnswers) {
  FakeNode node(address_);
  node.Attach(1);
  FakeNode refused(address_);
  refused.Write(refused.Hello(2, refused.Read().challenge().nonce(), "no"));
  EXPECT_THAT(refused.End(), StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_THAT(Place(), IsOk());
  v1::PlaceUploadRequest unknown;
  unknown.set_group("nosuch");
  EXPECT_THAT(Place(unknown), StatusIs(absl::StatusCode::kNotFound));
  Watcher watcher(address_);
  ASSERT_TRUE(watcher.UntilState(1, v1::NODE_STATE_ACTIVE));

  const std::string text = server_->metrics().Text();
  for (const char* line :
       {"cairn_tracker_nodes{state=\"active\"} 1\n",
        "cairn_tracker_nodes{state=\"offline\"} 0\n",
        "cairn_tracker_attached_nodes 1\n", "cairn_tracker_watchers 1\n",
        "cairn_tracker_attach_refused_total{code=\"UNAUTHENTICATED\"} 1\n",
        "cairn_tracker_requests_total{method=\"PlaceUpload\",code=\"OK\"} 1\n",
        "cairn_tracker_requests_total{method=\"PlaceUpload\","
        "code=\"NOT_FOUND\"} 1\n"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

TEST_F(TrackerServerTest, SilenceAndBrokenStreamsAreSeenByWatchers) {
  Watcher watcher(address_);
  FakeNode silent(address_);
  silent.Attach(1);
  FakeNode broken(address_);
  broken.Attach(2);
  ASSERT_TRUE(watcher.UntilState(2, v1::NODE_STATE_ACTIVE));

  broken.Break();
  ASSERT_TRUE(watcher.UntilState(2, v1::NODE_STATE_SUSPECT));
  clock_.Advance(absl::Seconds(3));
  ASSERT_TRUE(watcher.UntilState(1, v1::NODE_STATE_SUSPECT));
  silent.SendReport(Report());
  ASSERT_TRUE(watcher.UntilState(1, v1::NODE_STATE_ACTIVE));
  clock_.Advance(absl::Seconds(10));
  ASSERT_TRUE(watcher.UntilState(1, v1::NODE_STATE_OFFLINE));
  ASSERT_TRUE(watcher.UntilState(2, v1::NODE_STATE_OFFLINE));
  // Nothing comes from it any more, so its stream is not kept.
  EXPECT_THAT(silent.End(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("no report")));
}

TEST_F(TrackerServerTest, AReportReachesWatchersAndPlacement) {
  Watcher watcher(address_);
  FakeNode node(address_);
  node.Attach(1);
  v1::NodeReport draining = Report();
  draining.set_role(v1::NODE_ROLE_DRAINING);
  node.SendReport(draining);
  ASSERT_TRUE(watcher.Until([](const v1::ClusterView& view) {
    return view.nodes_size() == 1 &&
           view.nodes(0).report().role() == v1::NODE_ROLE_DRAINING;
  }));
  EXPECT_THAT(Place(), StatusIs(absl::StatusCode::kUnavailable));

  v1::NodeReport stopping = Report();
  stopping.set_stopping(true);
  node.SendReport(stopping);
  node.HangUp();
  EXPECT_THAT(node.End(), IsOk());
  EXPECT_TRUE(watcher.UntilState(1, v1::NODE_STATE_OFFLINE));
}

TEST_F(TrackerServerTest, MembersOfAGroupHearOfEachOther) {
  FakeNode one(address_);
  one.Attach(1);
  FakeNode two(address_);
  v1::GroupPeers peers = two.Attach(2);
  ASSERT_EQ(peers.nodes_size(), 1);
  EXPECT_EQ(peers.nodes(0).identity().node_uuid(), UuidOf(1));
  do {
    const v1::AttachResponse response = one.Read();
    ASSERT_TRUE(response.has_peers());
    peers = response.peers();
  } while (peers.nodes_size() == 0);
  EXPECT_EQ(peers.nodes(0).identity().node_uuid(), UuidOf(2));
  EXPECT_EQ(peers.nodes(0).state(), v1::NODE_STATE_ACTIVE);
  two.Break();
  do {
    const v1::AttachResponse response = one.Read();
    ASSERT_TRUE(response.has_peers());
    peers = response.peers();
  } while (peers.nodes(0).state() != v1::NODE_STATE_SUSPECT);
}

TEST_F(TrackerServerTest, TheNewerProcessOfANodeStays) {
  FakeNode older(address_);
  older.Attach(1);
  FakeNode newer(address_);
  newer.Attach(1);
  EXPECT_THAT(older.End(), StatusIs(absl::StatusCode::kAborted,
                                    HasSubstr("same node_uuid")));
  Watcher watcher(address_);
  EXPECT_TRUE(watcher.UntilState(1, v1::NODE_STATE_ACTIVE));
}

TEST_F(TrackerServerTest, RefusesAWrongSecret) {
  FakeNode node(address_);
  node.Write(node.Hello(1, node.Read().challenge().nonce(), "another secret"));
  const absl::Status status = node.End();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_EQ(ReasonOf(status), ErrorReason::kNotAMember);
}

TEST_F(TrackerServerTest, RefusesAProofThatWasOverheard) {
  FakeNode victim(address_);
  const v1::AttachRequest overheard =
      victim.Hello(1, victim.Read().challenge().nonce());
  victim.Write(overheard);
  ASSERT_TRUE(victim.Read().has_welcome());

  FakeNode thief(address_);
  ASSERT_TRUE(thief.Read().has_challenge());
  thief.Write(overheard);
  EXPECT_EQ(ReasonOf(thief.End()), ErrorReason::kNotAMember);
}

TEST_F(TrackerServerTest, RefusesAProofThatWasMadeForAnotherNode) {
  FakeNode node(address_);
  v1::AttachRequest hello = node.Hello(1, node.Read().challenge().nonce());
  hello.mutable_hello()->mutable_identity()->set_node_uuid(UuidOf(2));
  node.Write(hello);
  EXPECT_EQ(ReasonOf(node.End()), ErrorReason::kNotAMember);
}

TEST_F(TrackerServerTest, RefusesAnotherCluster) {
  constexpr char kOther[] = "99999999-2222-4333-8444-555555555555";
  FakeNode node(address_);
  const std::string challenge = node.Read().challenge().nonce();
  v1::AttachRequest hello = node.Hello(1, challenge);
  hello.mutable_hello()->mutable_identity()->set_cluster_id(kOther);
  hello.mutable_hello()->set_proof(
      rpc::NodeProof(kSecret, challenge, node.nonce_, UuidOf(1), kOther));
  node.Write(hello);
  const absl::Status status = node.End();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(ReasonOf(status), ErrorReason::kWrongCluster);
  EXPECT_EQ(MetadataOf(status)["cluster_id"], kCluster);
}

TEST_F(TrackerServerTest, RefusesWhatIsMalformed) {
  const auto refused =
      [&](const std::function<void(v1::AttachRequest*)>& spoil) {
        FakeNode node(address_);
        v1::AttachRequest hello =
            node.Hello(1, node.Read().challenge().nonce());
        spoil(&hello);
        node.Write(hello);
        return node.End();
      };
  EXPECT_THAT(refused([](auto* r) { r->mutable_report(); }),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(refused([](auto* r) { r->Clear(); }),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(refused([](auto* r) { r->mutable_hello()->set_nonce("short"); }),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(refused([](auto* r) { r->mutable_hello()->clear_proof(); }),
              StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_THAT(refused([](auto* r) {
                r->mutable_hello()->mutable_identity()->set_group("NO");
              }),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(refused([](auto* r) {
                r->mutable_hello()->mutable_identity()->clear_address();
              }),
              StatusIs(absl::StatusCode::kInvalidArgument));

  FakeNode twice(address_);
  twice.Attach(1);
  twice.Write(twice.Hello(1, "again"));
  EXPECT_THAT(twice.End(), StatusIs(absl::StatusCode::kInvalidArgument));
  Watcher watcher(address_);
  EXPECT_TRUE(watcher.UntilState(1, v1::NODE_STATE_SUSPECT));
}

TEST_F(TrackerServerTest, AHelloThatDoesNotComeEndsTheStream) {
  FakeNode node(address_);
  ASSERT_TRUE(node.Read().has_challenge());
  clock_.Advance(absl::Seconds(10));
  EXPECT_EQ(ReasonOf(node.End()), ErrorReason::kNotAMember);
}

TEST_F(TrackerServerTest, KnowsItsNodesAfterARestartAndTrustsThemOnceHeardOf) {
  {
    FakeNode node(address_);
    node.Attach(1);
    Watcher watcher(address_);
    ASSERT_TRUE(watcher.UntilState(1, v1::NODE_STATE_ACTIVE));
  }
  server_->Stop();
  server_.reset();
  StartTracker();

  Watcher watcher(address_);
  ASSERT_TRUE(watcher.UntilState(1, v1::NODE_STATE_OFFLINE));
  EXPECT_EQ(watcher.view().nodes(0).identity().name(), "n1");
  EXPECT_THAT(Place(), StatusIs(absl::StatusCode::kUnavailable));
  FakeNode node(address_);
  node.Attach(1);
  ASSERT_TRUE(watcher.UntilState(1, v1::NODE_STATE_ACTIVE));
  EXPECT_THAT(Place(), IsOk());
}

TEST_F(TrackerServerTest, StoppingSendsEverybodyElsewhereAtOnce) {
  FakeNode node(address_);
  node.Attach(1);
  Watcher watcher(address_);
  ASSERT_TRUE(watcher.UntilState(1, v1::NODE_STATE_ACTIVE));
  server_->Stop();
  EXPECT_THAT(node.End(), StatusIs(absl::StatusCode::kUnavailable));
  const absl::Status status = watcher.End();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(ReasonOf(status), ErrorReason::kShuttingDown);
  EXPECT_THAT(Place(), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(TrackerServerTest, AWatcherThatDoesNotReadGetsTheWholeTruthLater) {
  Watcher watcher(address_);
  ASSERT_TRUE(watcher.Until([](const auto&) { return true; }));
  FakeNode node(address_);
  node.Attach(1);
  // Far more changes than the tracker remembers and the connection buffers.
  v1::NodeReport report = Report();
  report.mutable_store_paths(0)->set_incarnation(std::string(64, 'x'));
  for (int i = 1; i < 250; ++i) {
    *report.add_store_paths() = report.store_paths(0);
    report.mutable_store_paths(i)->set_index(i);
  }
  constexpr uint32_t kReports = 600;
  for (uint32_t i = 1; i <= kReports; ++i) {
    report.set_priority(i);
    node.SendReport(report);
  }
  EXPECT_TRUE(watcher.Until([](const v1::ClusterView& view) {
    return view.nodes_size() == 1 &&
           view.nodes(0).report().priority() == kReports;
  }));
}

// ---- Operators.

TEST_F(TrackerServerTest, ADrainingNodeTakesNoUploadsAndKnowsIt) {
  FakeNode node(address_);
  node.Attach(1);
  Watcher watcher(address_);
  ASSERT_TRUE(watcher.UntilState(1, v1::NODE_STATE_ACTIVE));
  ASSERT_THAT(Place(), IsOk());
  Operator op(address_);
  const auto drained = op.SetRole(1, v1::NODE_ROLE_DRAINING);
  ASSERT_THAT(drained, IsOk());
  EXPECT_EQ(drained->account().decisions_size(), 1);
  EXPECT_EQ(drained->account().writable_members(), 0u);
  // It holds when the answer is there.
  EXPECT_THAT(Place(), StatusIs(absl::StatusCode::kUnavailable));
  ASSERT_TRUE(watcher.UntilRole(1, v1::NODE_ROLE_DRAINING));
  EXPECT_EQ(watcher.Find(1)->report().role(), v1::NODE_ROLE_READ_WRITE);
  v1::AttachResponse told;
  do {
    told = node.Read();
    ASSERT_TRUE(told.has_peers());
  } while (told.peers().effective().role() != v1::NODE_ROLE_DRAINING);

  v1::SetNodeRequest back;
  back.set_node_uuid(UuidOf(1));
  back.set_clear_role(true);
  ASSERT_THAT(op.SetNode(back), IsOk());
  EXPECT_THAT(Place(), IsOk());
  auto list = op.List();
  ASSERT_THAT(list, IsOk());
  EXPECT_EQ(list->decisions_size(), 0);
  list = op.List(/*with_taken_back=*/true);
  ASSERT_THAT(list, IsOk());
  EXPECT_EQ(list->decisions_size(), 1);
}

TEST_F(TrackerServerTest, ARemovedNodeIsSentAwayAndLetBack) {
  FakeNode node(address_);
  node.Attach(1);
  FakeNode other(address_);
  other.Attach(2);
  Watcher watcher(address_);
  ASSERT_TRUE(watcher.UntilState(2, v1::NODE_STATE_ACTIVE));
  Operator op(address_);
  EXPECT_EQ(ReasonOf(op.Remove(1).status()), ErrorReason::kNodeActive);
  const auto removed = op.Remove(1, /*force=*/true);
  ASSERT_THAT(removed, IsOk());
  EXPECT_EQ(removed->account().members(), 1u);
  EXPECT_EQ(ReasonOf(node.End()), ErrorReason::kNodeRemoved);
  ASSERT_TRUE(watcher.UntilGone(1));
  const auto list = op.List();
  ASSERT_THAT(list, IsOk());
  ASSERT_EQ(list->decisions_size(), 2);
  EXPECT_EQ(list->decisions(0).field(), v1::DECISION_FIELD_NODE_REMOVED);
  EXPECT_EQ(list->decisions(1).field(), v1::DECISION_FIELD_NODE_HEIR);
  EXPECT_EQ(list->decisions(0).reason(), "tested");
  ASSERT_EQ(list->removed_nodes_size(), 1);
  EXPECT_EQ(list->removed_nodes(0).identity().name(), "n1");

  // After a restart too.
  server_.reset();
  StartTracker();
  Operator again(address_);
  {
    FakeNode back(address_);
    back.Write(back.Hello(1, back.Read().challenge().nonce()));
    const absl::Status refused = back.End();
    EXPECT_THAT(refused, StatusIs(absl::StatusCode::kFailedPrecondition,
                                  HasSubstr("tested")));
    EXPECT_EQ(ReasonOf(refused), ErrorReason::kNodeRemoved);
  }
  ASSERT_THAT(again.Restore(1), IsOk());
  FakeNode back(address_);
  back.Attach(1);
  Watcher anew(address_);
  EXPECT_TRUE(anew.UntilState(1, v1::NODE_STATE_ACTIVE));
}

TEST_F(TrackerServerTest, TheLastMemberWithFilesStays) {
  FakeNode node(address_);
  node.Attach(1);
  v1::NodeReport report = Report();
  report.mutable_store_paths(0)->set_files(3);
  report.set_priority(1);
  node.SendReport(report);
  Watcher watcher(address_);
  ASSERT_TRUE(watcher.UntilNode(
      1, [](const v1::Node& seen) { return seen.report().priority() == 1; }));
  const auto refused = Operator(address_).Remove(1, /*force=*/true);
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(ReasonOf(refused.status()), ErrorReason::kLastMember);
  EXPECT_EQ(MetadataOf(refused.status())["files"], "3");
}

TEST_F(TrackerServerTest, ADryRunTellsAndDecidesNothing) {
  FakeNode node(address_);
  node.Attach(1);
  Operator op(address_);
  v1::SetNodeRequest request;
  request.set_node_uuid(UuidOf(1));
  request.set_role(v1::NODE_ROLE_STANDBY);
  request.set_dry_run(true);
  const auto told = op.SetNode(request);
  ASSERT_THAT(told, IsOk());
  EXPECT_EQ(told->account().readable_members(), 0u);
  EXPECT_GT(told->account().sentences_size(), 0);
  const auto list = op.List(/*with_taken_back=*/true);
  ASSERT_THAT(list, IsOk());
  EXPECT_EQ(list->decisions_size(), 0);
  EXPECT_THAT(Place(), IsOk());

  v1::SetGroupRequest group;
  group.set_group("group1");
  group.set_weight(3);
  ASSERT_THAT(op.SetGroup(group), IsOk());
  Watcher watcher(address_);
  EXPECT_TRUE(watcher.Until([](const v1::ClusterView& view) {
    return view.policy().group_weights().count("group1") > 0 &&
           view.policy().group_weights().at("group1") == 3;
  }));
}

TEST_F(TrackerServerTest, AGroupIsListedWithItsQuotaAndWhatItHolds) {
  FakeNode node(address_);
  node.Attach(1);
  v1::NodeReport report = Report();
  report.mutable_store_paths(0)->set_files(3);
  report.mutable_store_paths(0)->set_file_bytes(300);
  report.set_priority(1);
  node.SendReport(report);
  Watcher watcher(address_);
  ASSERT_TRUE(watcher.UntilNode(1, [](const v1::Node& seen) {
    return seen.report().priority() == 1 &&
           seen.report().store_paths(0).file_bytes() == 300;
  }));
  v1::SetGroupRequest request;
  request.set_group("group1");
  request.set_quota_files(3);
  request.set_quota_bytes(uint64_t{1} << 40);
  const auto told = Operator(address_).SetGroup(request);
  ASSERT_THAT(told, IsOk());
  EXPECT_THAT(told->account().ShortDebugString(),
              HasSubstr("It holds 3 files of 300 bytes now."));
  const auto groups =
      Call(&v1::TrackerService::Stub::ListGroups, v1::ListGroupsRequest());
  ASSERT_THAT(groups, IsOk());
  ASSERT_EQ(groups->groups_size(), 1);
  EXPECT_EQ(groups->groups(0).file_bytes(), 300);
  EXPECT_EQ(groups->groups(0).quota_files(), 3u);
  EXPECT_EQ(groups->groups(0).quota_bytes(), uint64_t{1} << 40);

  v1::SetClientRequest client;
  client.set_identity("alice");
  EXPECT_THAT(Operator(address_).SetClient(client),
              StatusIs(absl::StatusCode::kInvalidArgument));
  client.set_quota_files(1);
  ASSERT_THAT(Operator(address_).SetClient(client), IsOk());
  client.set_identity("");
  EXPECT_THAT(Operator(address_).SetClient(client),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(TrackerServerTest, WhoDoesNotKnowTheSecretDecidesNothing) {
  FakeNode node(address_);
  node.Attach(1);
  Operator stranger(address_, "not the secret at all");
  const auto refused = stranger.SetRole(1, v1::NODE_ROLE_STANDBY);
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_EQ(ReasonOf(refused.status()), ErrorReason::kNotAMember);

  grpc::ClientContext context;
  rpc::SetTimeout(&context, kNever);
  v1::SetNodeResponse response;
  EXPECT_THAT(
      rpc::FromGrpcStatus(
          v1::AdminService::NewStub(rpc::MakeChannel(address_))
              ->SetNode(&context, v1::SetNodeRequest(), &response)),
      StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("--secret-file")));
  EXPECT_THAT(Place(), IsOk());
}

TEST_F(TrackerServerTest, ACallThatWasRecordedIsOfNoUse) {
  FakeNode node(address_);
  node.Attach(1);
  Operator op(address_);
  v1::SetNodeRequest request;
  request.set_node_uuid(UuidOf(1));
  request.set_weight(7);
  const std::string challenge = op.GetChallenge();
  ASSERT_THAT(op.SetNode(request, challenge), IsOk());
  EXPECT_THAT(
      op.SetNode(request, challenge),
      StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("used before")));
  const std::string old = op.GetChallenge();
  clock_.Advance(absl::Seconds(31));
  EXPECT_THAT(op.SetNode(request, old),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("30 s")));
}

TEST(TrackerServerStartTest, SaysEverythingThatIsWrongWithTheConfiguration) {
  config::tracker::v1::TrackerConfig config;
  config.add_listen("nowhere");
  config.set_cluster_id("x");
  config.mutable_policy()->set_group_policy(v1::GROUP_POLICY_FIXED);
  config.mutable_suspect_after()->set_seconds(20);
  config.set_log_level("loud");
  const auto server = TrackerServer::Start(config);
  ASSERT_THAT(server, StatusIs(absl::StatusCode::kInvalidArgument));
  const std::string message(server.status().message());
  for (const char* field :
       {"listen:", "data_dir:", "cluster_id:", "cluster_secret_file:",
        "policy.fixed_group:", "offline_after:", "log_level:"}) {
    EXPECT_THAT(message, HasSubstr(field));
  }
}

TEST(TrackerServerStartTest, RefusesASecretThatIsWeakOrReadableByOthers) {
  const std::string directory = NewDirectory();
  auto config = Config(absl::StrCat(directory, "/data"));
  config.set_cluster_secret("short");
  EXPECT_THAT(TrackerServer::Start(config),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("cluster_secret: shorter")));

  const std::string file = absl::StrCat(directory, "/secret");
  config.clear_cluster_secret();
  config.set_cluster_secret_file(file);
  EXPECT_THAT(
      TrackerServer::Start(config),
      StatusIs(absl::StatusCode::kNotFound, HasSubstr("cluster_secret_file")));
  std::ofstream(file) << kSecret << "\n";
  ASSERT_EQ(chmod(file.c_str(), 0644), 0);
  EXPECT_THAT(
      TrackerServer::Start(config),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("chmod 600")));
  ASSERT_EQ(chmod(file.c_str(), 0600), 0);
  EXPECT_THAT(TrackerServer::Start(config), IsOk());
}

TEST(TrackerServerStartTest, RefusesAnAddressThatIsTakenAndADirectoryInUse) {
  const std::string directory = NewDirectory();
  const auto first = TrackerServer::Start(Config(directory));
  ASSERT_THAT(first, IsOk());
  EXPECT_THAT(
      TrackerServer::Start(Config(directory)),
      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("in use")));
  auto config = Config(NewDirectory());
  config.set_listen(0, (*first)->addresses()[0]);
  EXPECT_THAT(TrackerServer::Start(config),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr((*first)->addresses()[0])));
}

TEST(TrackerServerStartTest, NamesTheOtherTrackersAndKeepsThePolicy) {
  const std::string directory = NewDirectory();
  auto config = Config(directory);
  config.add_trackers("127.0.0.1:1");
  config.add_trackers("127.0.0.1:1");
  config.set_advertise("tracker1:7700");
  config.mutable_policy()->set_read_policy(v1::READ_POLICY_ORIGIN_FIRST);
  {
    const auto server = TrackerServer::Start(config);
    ASSERT_THAT(server, IsOk());
    EXPECT_EQ((*server)->advertised_address(), "tracker1:7700");
    Watcher watcher((*server)->addresses()[0]);
    ASSERT_TRUE(watcher.Until([](const auto&) { return true; }));
    EXPECT_THAT(watcher.view().trackers(),
                UnorderedElementsAre("tracker1:7700", "127.0.0.1:1"));
  }
  config.clear_policy();
  const auto server = TrackerServer::Start(config);
  ASSERT_THAT(server, IsOk());
  Watcher watcher((*server)->addresses()[0]);
  ASSERT_TRUE(watcher.Until([](const auto&) { return true; }));
  EXPECT_EQ(watcher.view().policy().read_policy(),
            v1::READ_POLICY_ORIGIN_FIRST);
}

}  // namespace
}  // namespace tracker
}  // namespace cairn
