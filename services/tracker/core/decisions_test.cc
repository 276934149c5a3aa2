// What counts when operators decide at several trackers, and what is accepted
// at all. That merging converges is in decisions_property_test.cc.

#include "services/tracker/core/decisions.h"

#include <limits>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/error_reason.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace tracker {
namespace {

using ::testing::HasSubstr;

constexpr char kNode[] = "aaaaaaaa-0000-4000-8000-000000000001";
constexpr char kEast[] = "bbbbbbbb-0000-4000-8000-000000000001";
constexpr char kWest[] = "bbbbbbbb-0000-4000-8000-000000000002";
const absl::Time kNow = absl::FromUnixSeconds(1767225600);

Decision Role(absl::optional<NodeRole> role, DecisionTime time) {
  Decision decision;
  decision.key = {DecisionField::kNodeRole, kNode};
  if (role.has_value()) decision.value = RoleNumber(*role);
  decision.time = std::move(time);
  return decision;
}

TEST(DecisionsTest, TheLastDecisionCountsAndCanBeTakenBack) {
  Decisions decisions;
  EXPECT_EQ(decisions.Find(DecisionField::kNodeRole, kNode), nullptr);
  EXPECT_TRUE(decisions.Merge(
      Role(NodeRole::kDraining, decisions.NextTime(kNow, kEast))));
  EXPECT_EQ(decisions.Value(DecisionField::kNodeRole, kNode),
            RoleNumber(NodeRole::kDraining));
  EXPECT_EQ(decisions.Value(DecisionField::kNodeWeight, kNode), absl::nullopt);

  EXPECT_TRUE(
      decisions.Merge(Role(absl::nullopt, decisions.NextTime(kNow, kEast))));
  EXPECT_EQ(decisions.Value(DecisionField::kNodeRole, kNode), absl::nullopt);
  EXPECT_NE(decisions.Find(DecisionField::kNodeRole, kNode), nullptr);
}

TEST(DecisionsTest, AClockThatIsADayBehindOverrulesWhatItHasSeen) {
  Decisions east;
  const Decision drain =
      Role(NodeRole::kDraining, east.NextTime(kNow + absl::Hours(24), kEast));
  east.Merge(drain);
  Decisions west;
  west.Merge(drain);
  const Decision back = Role(absl::nullopt, west.NextTime(kNow, kWest));
  EXPECT_TRUE(west.Merge(back));
  EXPECT_TRUE(east.Merge(back));
  EXPECT_FALSE(west.Merge(drain));
  EXPECT_EQ(east.Value(DecisionField::kNodeRole, kNode), absl::nullopt);
  EXPECT_EQ(east.digest(), west.digest());
}

TEST(DecisionsTest, TimeGoesOnWhereTheCounterEnds) {
  Decisions decisions;
  Decision last = Role(NodeRole::kStandby, decisions.NextTime(kNow, kEast));
  last.time.logical = std::numeric_limits<uint32_t>::max();
  decisions.Merge(last);
  const DecisionTime next = decisions.NextTime(kNow, kEast);
  EXPECT_TRUE(last.time < next);
  EXPECT_EQ(next.unix_ms, last.time.unix_ms + 1);
}

TEST(DecisionsTest, TheDigestTellsApartWhatDiffersAndForgetsWhatIsOver) {
  Decisions one;
  Decisions two;
  EXPECT_EQ(one.digest(), two.digest());
  const Decision drain = Role(NodeRole::kDraining, one.NextTime(kNow, kEast));
  one.Merge(drain);
  EXPECT_NE(one.digest(), two.digest());
  Decision weight = drain;
  weight.key.field = DecisionField::kNodeWeight;
  two.Merge(weight);
  EXPECT_NE(one.digest(), two.digest());
  one.Merge(weight);
  two.Merge(drain);
  EXPECT_EQ(one.digest(), two.digest());

  // The way there leaves no trace.
  const Decision back = Role(absl::nullopt, two.NextTime(kNow, kEast));
  Decisions three;
  three.Merge(back);
  three.Merge(weight);
  two.Merge(back);
  EXPECT_EQ(two.digest(), three.digest());
}

TEST(DecisionsTest, RolesHaveNumbersAndUnknownOnesAreReadOnly) {
  for (const NodeRole role : {NodeRole::kReadWrite, NodeRole::kReadOnly,
                              NodeRole::kDraining, NodeRole::kStandby}) {
    EXPECT_EQ(RoleOfNumber(RoleNumber(role)), role);
  }
  EXPECT_EQ(RoleOfNumber(0), NodeRole::kReadOnly);
  EXPECT_EQ(RoleOfNumber(99), NodeRole::kReadOnly);
}

TEST(DecisionsTest, WhatMakesNoSenseIsRefused) {
  const Decision good =
      Role(NodeRole::kDraining, Decisions().NextTime(kNow, kEast));
  EXPECT_THAT(ValidateDecision(good), IsOk());

  const auto expect_refused = [](const Decision& decision,
                                 const std::string& field) {
    const absl::Status status = ValidateDecision(decision);
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument,
                                 HasSubstr(absl::StrCat(field, ":"))));
    EXPECT_EQ(ReasonOf(status), ErrorReason::kInvalidField);
  };
  Decision bad = good;
  bad.key.subject = "storage0";
  expect_refused(bad, "node_uuid");
  bad = good;
  bad.key.field = static_cast<DecisionField>(77);
  expect_refused(bad, "field");
  bad = good;
  bad.value = 0;
  expect_refused(bad, "role");
  bad = good;
  bad.key.field = DecisionField::kNodeWeight;
  bad.value = kWeightMax + 1;
  expect_refused(bad, "weight");
  bad = good;
  bad.key.field = DecisionField::kNodeRemoved;
  bad.value = 2;
  expect_refused(bad, "removed");
  bad = good;
  bad.reason = std::string(kDecisionReasonMax + 1, 'x');
  expect_refused(bad, "reason");
  bad.reason = "a\x1b[31m";
  expect_refused(bad, "reason");
  bad = good;
  bad.time.unix_ms = std::numeric_limits<int64_t>::max();
  expect_refused(bad, "time");
  bad = good;
  bad.time.tracker = "";
  expect_refused(bad, "time.tracker");

  Decision group = good;
  group.key = {DecisionField::kGroupWeight, "group1"};
  group.value = 0;
  EXPECT_THAT(ValidateDecision(group), IsOk());
  group.key.subject = "Group/1";
  EXPECT_THAT(ValidateDecision(group),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace tracker
}  // namespace cairn
