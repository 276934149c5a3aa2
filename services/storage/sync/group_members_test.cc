// Who the other members are, when trackers say different things.

#include "services/storage/sync/group_members.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "cairn/tracker/v1/membership_service.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/uuid.h"
#include "lib/file_id/file_id.h"
#include "services/storage/core/peer_transport.h"

namespace cairn {
namespace storage {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr char kB[] = "bbbbbbbb-0000-4000-8000-000000000001";
constexpr char kC[] = "cccccccc-0000-4000-8000-000000000001";

// A node of one store path.
void Add(const std::string& uuid, const std::string& address,
         tracker::v1::NodeState state, int64_t heard,
         tracker::v1::GroupPeers* peers) {
  tracker::v1::Node* const node = peers->add_nodes();
  node->mutable_identity()->set_node_uuid(uuid);
  node->mutable_identity()->set_address(address);
  node->mutable_report()->add_store_paths();
  node->set_state(state);
  node->mutable_last_heard_time()->set_seconds(heard);
}

void Decide(tracker::v1::DecisionField field, const std::string& subject,
            uint64_t value, int64_t unix_ms, tracker::v1::GroupPeers* peers) {
  tracker::v1::Decision* const decision = peers->add_removals();
  decision->set_field(field);
  decision->set_subject(subject);
  decision->set_value(value);
  decision->mutable_time()->set_unix_ms(unix_ms);
}

class GroupMembersTest : public ::testing::Test {
 protected:
  // Addresses of the members, path by path.
  std::vector<std::vector<std::string>> Merge(
      const std::string& tracker, const tracker::v1::GroupPeers& peers) {
    std::vector<std::vector<std::string>> paths(2);
    members_.Merge(
        tracker, peers, absl::ZeroDuration(), paths.size(),
        [&](size_t path, const std::vector<Peer>& wanted, bool all_known) {
          all_known_ = all_known;
          for (const Peer& peer : wanted) paths[path].push_back(peer.address);
        });
    return paths;
  }

  bool all_known_ = false;
  GroupMembers members_{/*node_number=*/1, /*trackers=*/2};
};

TEST_F(GroupMembersTest, WhatAnyTrackerSaysLastCounts) {
  tracker::v1::GroupPeers a;
  Add(kB, "b:1", tracker::v1::NODE_STATE_ACTIVE, 10, &a);
  // A path that the other node does not have has no peer there.
  EXPECT_THAT(Merge("a", a), ElementsAre(ElementsAre("b:1"), IsEmpty()));
  tracker::v1::GroupPeers b;
  Add(kB, "b:2", tracker::v1::NODE_STATE_OFFLINE, 20, &b);
  Add(kC, "c:1", tracker::v1::NODE_STATE_OFFLINE, 20, &b);
  EXPECT_THAT(Merge("b", b)[0], ElementsAre("b:1", "c:1"));
  EXPECT_THAT(Merge("a", tracker::v1::GroupPeers())[0],
              ElementsAre("b:2", "c:1"));
  EXPECT_THAT(Merge("b", tracker::v1::GroupPeers())[0], IsEmpty());
}

TEST_F(GroupMembersTest, WhoWasRemovedIsNoMemberWhoeverStillNamesIt) {
  tracker::v1::GroupPeers old;
  Add(kB, "b:1", tracker::v1::NODE_STATE_ACTIVE, 10, &old);
  Add(kC, "c:1", tracker::v1::NODE_STATE_ACTIVE, 10, &old);
  Merge("a", old);
  tracker::v1::GroupPeers removal;
  Add(kC, "c:1", tracker::v1::NODE_STATE_ACTIVE, 10, &removal);
  Decide(tracker::v1::DECISION_FIELD_NODE_REMOVED, kB, 1, 5, &removal);
  EXPECT_THAT(Merge("b", removal)[0], ElementsAre("c:1"));
  EXPECT_THAT(Merge("a", old)[0], ElementsAre("c:1"));
}

TEST_F(GroupMembersTest, AnHeirIsOneWhenThePeersAreSet) {
  tracker::v1::GroupPeers peers;
  Decide(tracker::v1::DECISION_FIELD_NODE_REMOVED, kB, 1, 5, &peers);
  Decide(tracker::v1::DECISION_FIELD_NODE_HEIR, "7", 8, 5, &peers);
  uint32_t before = 0;
  members_.Merge("a", peers, absl::ZeroDuration(), 1,
                 [&](size_t, const std::vector<Peer>&, bool) {
                   before = members_.removed().ChangerOf(7);
                 });
  EXPECT_EQ(before, 7u);
  EXPECT_EQ(members_.removed().ChangerOf(7), 8u);
}

// One that has just begun, with an empty disk, say, knows nobody.
TEST_F(GroupMembersTest, NotBeforeAllTrackersHaveSpokenAreAllKnown) {
  EXPECT_THAT(Merge("a", tracker::v1::GroupPeers())[0], IsEmpty());
  EXPECT_FALSE(all_known_);
  Merge("a", tracker::v1::GroupPeers());
  EXPECT_FALSE(all_known_);
  tracker::v1::GroupPeers b;
  Add(kB, "b:1", tracker::v1::NODE_STATE_ACTIVE, 10, &b);
  EXPECT_THAT(Merge("b", b)[0], ElementsAre("b:1"));
  EXPECT_TRUE(all_known_);
}

// What a node that nobody has named has made is only there.
TEST_F(GroupMembersTest, KnowsTheNamesOfWhoIsOrWasAMember) {
  const FileIdCodec codec("secret");
  const absl::Time now = absl::FromUnixSeconds(1800000000);
  const auto known = [&](uint32_t node_number,
                         absl::Duration age = absl::ZeroDuration()) {
    FileIdFields fields;
    fields.node_number = node_number;
    fields.create_unix_seconds =
        static_cast<uint32_t>(absl::ToUnixSeconds(now - age));
    return members_.KnowsMakerOf(codec.MakeName("g", 0, fields, ""), now);
  };
  EXPECT_TRUE(known(2));  // Whoever that is: nothing is known.
  tracker::v1::GroupPeers a;
  Add(kB, "b:1", tracker::v1::NODE_STATE_OFFLINE, 10, &a);
  a.mutable_nodes(0)->mutable_identity()->set_node_number(2);
  Decide(tracker::v1::DECISION_FIELD_NODE_HEIR, "7", 2, 5, &a);
  Merge("a", a);
  EXPECT_TRUE(known(1));  // Itself.
  EXPECT_TRUE(known(2));
  EXPECT_TRUE(known(7));
  EXPECT_FALSE(known(3));
  EXPECT_FALSE(known(3, -absl::Hours(24)));  // A clock ahead.
  // A node that was there once and is not remembered.
  EXPECT_TRUE(known(3, absl::Hours(2)));
  EXPECT_TRUE(members_.KnowsMakerOf("no name of ours", now));
  tracker::v1::GroupPeers b;
  Add(kC, "c:1", tracker::v1::NODE_STATE_ACTIVE, 10, &b);
  b.mutable_nodes(0)->mutable_identity()->set_node_number(3);
  Merge("b", b);
  EXPECT_TRUE(known(2));
  EXPECT_TRUE(known(3));
}

TEST_F(GroupMembersTest, ATrackerThatIsAwayIsNotWaitedForForEver) {
  tracker::v1::GroupPeers a;
  Add(kB, "b:1", tracker::v1::NODE_STATE_ACTIVE, 10, &a);
  Merge("a", a);
  EXPECT_FALSE(all_known_);
  std::vector<std::string> told;
  const auto take = [&](size_t, const std::vector<Peer>& wanted, bool all) {
    all_known_ = all;
    for (const Peer& peer : wanted) told.push_back(peer.address);
  };
  members_.Tick(GroupMembers::kPatience - absl::Seconds(1), 1, take);
  EXPECT_THAT(told, IsEmpty());
  members_.Tick(GroupMembers::kPatience, 1, take);
  EXPECT_THAT(told, ElementsAre("b:1"));
  EXPECT_TRUE(all_known_);
  members_.Tick(2 * GroupMembers::kPatience, 1, take);
  EXPECT_THAT(told, ElementsAre("b:1"));  // Once is enough.
}

}  // namespace
}  // namespace storage
}  // namespace cairn
