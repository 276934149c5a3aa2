// Whose word about a removal counts.

#include "services/storage/sync/removed_members.h"

#include <string>

#include "absl/status/status.h"
#include "cairn/tracker/v1/membership_service.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/error_reason.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace storage {
namespace {

using ::testing::HasSubstr;

constexpr char kNode[] = "aaaaaaaa-0000-4000-8000-000000000001";

tracker::v1::GroupPeers Said(int64_t unix_ms, bool removed,
                             const std::string& tracker = "t") {
  tracker::v1::GroupPeers peers;
  tracker::v1::Decision* const decision = peers.add_removals();
  decision->set_field(tracker::v1::DECISION_FIELD_NODE_REMOVED);
  decision->set_subject(kNode);
  if (removed) decision->set_value(1);
  decision->mutable_time()->set_unix_ms(unix_ms);
  decision->mutable_time()->set_tracker_instance(tracker);
  return peers;
}

TEST(RemovedMembersTest, WhoWasNeverRemovedIsAMember) {
  RemovedMembers removed;
  EXPECT_THAT(removed.Check(kNode), IsOk());
  removed.Merge(tracker::v1::GroupPeers());
  EXPECT_THAT(removed.Check(kNode), IsOk());
}

TEST(RemovedMembersTest, TheLatestWordCountsWhoeverSaysItLast) {
  RemovedMembers removed;
  removed.Merge(Said(10, /*removed=*/true));
  const absl::Status refused = removed.Check(kNode);
  EXPECT_EQ(refused.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(ReasonOf(refused), ErrorReason::kNodeRemoved);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("cairn node restore"));
  // A tracker that was away knows only what was before.
  removed.Merge(Said(9, /*removed=*/false, "u"));
  EXPECT_TRUE(removed.IsRemoved(kNode));
  // One that knows nothing takes nothing back.
  removed.Merge(tracker::v1::GroupPeers());
  EXPECT_TRUE(removed.IsRemoved(kNode));
  removed.Merge(Said(11, /*removed=*/false));
  EXPECT_FALSE(removed.IsRemoved(kNode));
  removed.Merge(Said(10, /*removed=*/true));
  EXPECT_FALSE(removed.IsRemoved(kNode));
}

tracker::v1::GroupPeers Heir(int64_t unix_ms, uint64_t number,
                             const std::string& of = "7") {
  tracker::v1::GroupPeers peers;
  tracker::v1::Decision* const decision = peers.add_removals();
  decision->set_field(tracker::v1::DECISION_FIELD_NODE_HEIR);
  decision->set_subject(of);
  if (number != 0) decision->set_value(number);
  decision->mutable_time()->set_unix_ms(unix_ms);
  decision->mutable_time()->set_tracker_instance("t");
  return peers;
}

TEST(RemovedMembersTest, AnotherNodeChangesTheAppendersOfARemovedOne) {
  RemovedMembers removed;
  EXPECT_EQ(removed.ChangerOf(7), 7u);
  removed.Merge(Heir(10, 8));
  EXPECT_EQ(removed.ChangerOf(7), 7u);  // Not before all else is done.
  removed.MergeHeirs(Heir(10, 8));
  removed.MergeHeirs(Said(11, /*removed=*/true));
  EXPECT_EQ(removed.ChangerOf(7), 8u);
  EXPECT_EQ(removed.ChangerOf(8), 8u);
  removed.MergeHeirs(Heir(9, 9));
  EXPECT_EQ(removed.ChangerOf(7), 8u);
  removed.MergeHeirs(Heir(11, 0));
  EXPECT_EQ(removed.ChangerOf(7), 7u);
}

// Two trackers that do not reach each other each removed one of the two.
TEST(RemovedMembersTest, TheHeirOfAHeirThatWasRemovedChangesThem) {
  RemovedMembers removed;
  removed.MergeHeirs(Heir(10, 8));
  removed.MergeHeirs(Heir(10, 9, "8"));
  EXPECT_EQ(removed.ChangerOf(7), 9u);
  EXPECT_EQ(removed.ChangerOf(8), 9u);
  removed.MergeHeirs(Heir(11, 0, "8"));
  EXPECT_EQ(removed.ChangerOf(7), 8u);
  // Until an operator lets one of them back.
  removed.MergeHeirs(Heir(12, 7, "8"));
  EXPECT_EQ(removed.ChangerOf(7), 7u);
  EXPECT_EQ(removed.ChangerOf(8), 8u);
  removed.MergeHeirs(Heir(13, 0, "8"));
  EXPECT_EQ(removed.ChangerOf(7), 8u);
}

}  // namespace
}  // namespace storage
}  // namespace cairn
