// What a client makes of a tracker's messages, also of those that a newer or
// broken tracker might send.

#include "lib/placement/from_proto.h"

#include <string>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/placement/cluster_model.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace {

using ::testing::ElementsAre;

tracker::v1::Node Node(const std::string& uuid) {
  tracker::v1::Node node;
  node.mutable_identity()->set_node_uuid(uuid);
  node.mutable_identity()->set_node_number(7);
  node.mutable_identity()->set_group("g1");
  node.set_state(tracker::v1::NODE_STATE_ACTIVE);
  return node;
}

std::string Uuids(const ClusterModel& model) {
  std::string uuids;
  for (const NodeModel& node : model.nodes()) uuids += node.uuid;
  return uuids;
}

TEST(FromProtoTest, TakesEveryFieldOver) {
  tracker::v1::Node node = Node("a");
  node.mutable_identity()->set_name("n1");
  node.mutable_identity()->set_zone("east");
  node.mutable_identity()->set_address("10.0.0.1:23000");
  node.mutable_report()->set_role(tracker::v1::NODE_ROLE_DRAINING);
  node.mutable_report()->set_weight(250);
  node.mutable_report()->set_priority(3);
  node.mutable_report()->set_stopping(true);
  auto* path = node.mutable_report()->add_store_paths();
  path->set_index(2);
  path->set_writable(true);
  path->set_total_bytes(100);
  path->set_free_bytes(50);
  path->set_reserve_bytes(20);
  path->set_files(9);
  const NodeModel model = NodeFromProto(node);
  EXPECT_EQ(model.uuid, "a");
  EXPECT_EQ(model.number, 7u);
  EXPECT_EQ(model.name, "n1");
  EXPECT_EQ(model.group, "g1");
  EXPECT_EQ(model.zone, "east");
  EXPECT_EQ(model.address, "10.0.0.1:23000");
  EXPECT_EQ(model.state, NodeState::kActive);
  EXPECT_EQ(model.role, NodeRole::kDraining);
  EXPECT_EQ(model.weight, 250u);
  EXPECT_EQ(model.priority, 3u);
  EXPECT_TRUE(model.stopping);
  ASSERT_EQ(model.store_paths.size(), 1u);
  EXPECT_EQ(model.store_paths[0].index, 2u);
  EXPECT_TRUE(model.store_paths[0].writable);
  EXPECT_FALSE(model.store_paths[0].readable);
  EXPECT_EQ(model.store_paths[0].total_bytes, 100);
  EXPECT_EQ(model.store_paths[0].usable_bytes(), 30);
  EXPECT_EQ(model.store_paths[0].files, 9);
}

TEST(FromProtoTest, DefaultsAndUnknownValuesAreTheCarefulChoice) {
  tracker::v1::Node node = Node("a");
  node.set_state(static_cast<tracker::v1::NodeState>(99));
  node.mutable_report()->set_role(static_cast<tracker::v1::NodeRole>(99));
  node.mutable_report()->add_store_paths()->set_free_bytes(-5);
  NodeModel model = NodeFromProto(node);
  EXPECT_EQ(model.state, NodeState::kOffline);
  EXPECT_EQ(model.role, NodeRole::kReadOnly);
  EXPECT_EQ(model.weight, kDefaultWeight);
  EXPECT_EQ(model.store_paths[0].free_bytes, 0);
  node.mutable_report()->clear_role();
  node.mutable_report()->set_weight(4000000000);
  model = NodeFromProto(node);
  EXPECT_EQ(model.role, NodeRole::kReadWrite);
  EXPECT_EQ(model.weight, kWeightMax);

  tracker::v1::PlacementPolicy policy;
  policy.set_group_policy(static_cast<tracker::v1::GroupPolicy>(99));
  EXPECT_EQ(PolicyFromProto(policy).group_policy, GroupPolicy::kRoundRobin);
  policy.set_group_policy(tracker::v1::GROUP_POLICY_WEIGHTED);
  (*policy.mutable_group_weights())["g1"] = 0;
  EXPECT_EQ(PolicyFromProto(policy).group_policy, GroupPolicy::kWeighted);
  EXPECT_EQ(PolicyFromProto(policy).group_weights.at("g1"), 0u);
}

TEST(ViewFollowerTest, FollowsASnapshotAndItsChanges) {
  ViewFollower follower;
  EXPECT_EQ(Uuids(*follower.model()), "");

  tracker::v1::WatchClusterResponse update;
  update.mutable_snapshot()->set_revision(10);
  update.mutable_snapshot()->add_trackers("t1:1");
  *update.mutable_snapshot()->add_nodes() = Node("a");
  *update.mutable_snapshot()->add_nodes() = Node("b");
  ASSERT_THAT(follower.Apply(update), IsOk());
  const auto before = follower.model();
  EXPECT_EQ(Uuids(*before), "ab");

  tracker::v1::Node suspect = Node("b");
  suspect.set_state(tracker::v1::NODE_STATE_SUSPECT);
  update.mutable_change()->set_revision(11);
  *update.mutable_change()->add_changed_nodes() = suspect;
  *update.mutable_change()->add_changed_nodes() = Node("c");
  update.mutable_change()->add_removed_nodes("a");
  update.mutable_change()->mutable_policy()->set_read_policy(
      tracker::v1::READ_POLICY_ORIGIN_FIRST);
  update.mutable_change()->add_trackers("t2:1");
  ASSERT_THAT(follower.Apply(update), IsOk());
  EXPECT_EQ(Uuids(*follower.model()), "bc");
  EXPECT_EQ(follower.model()->FindNode("b")->state, NodeState::kSuspect);
  EXPECT_EQ(follower.model()->policy().read_policy, ReadPolicy::kOriginFirst);
  EXPECT_THAT(follower.view().trackers(), ElementsAre("t2:1"));
  EXPECT_EQ(follower.view().revision(), 11u);
  // Whoever holds the older model goes on with it.
  EXPECT_EQ(Uuids(*before), "ab");
}

TEST(ViewFollowerTest, RefusesWhatDoesNotFollowAndKeepsTheView) {
  ViewFollower follower;
  tracker::v1::WatchClusterResponse change;
  change.mutable_change()->set_revision(1);
  EXPECT_THAT(follower.Apply(change),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(follower.Apply({}),
              StatusIs(absl::StatusCode::kFailedPrecondition));

  tracker::v1::WatchClusterResponse snapshot;
  snapshot.mutable_snapshot()->set_revision(10);
  *snapshot.mutable_snapshot()->add_nodes() = Node("a");
  ASSERT_THAT(follower.Apply(snapshot), IsOk());
  for (const uint64_t revision : {9, 10, 12}) {
    change.mutable_change()->set_revision(revision);
    change.mutable_change()->add_removed_nodes("a");
    EXPECT_THAT(follower.Apply(change),
                StatusIs(absl::StatusCode::kFailedPrecondition));
  }
  EXPECT_EQ(Uuids(*follower.model()), "a");

  // After a reconnect even the right number may be another tracker's.
  follower.ExpectSnapshot();
  change.mutable_change()->set_revision(11);
  EXPECT_THAT(follower.Apply(change),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(Uuids(*follower.model()), "a");
}

}  // namespace
}  // namespace cairn
