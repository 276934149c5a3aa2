// What operators may decide, and what they are told about it.

#include "services/tracker/core/operator_plan.h"

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/error_reason.h"
#include "lib/placement/cluster_model.h"
#include "lib/testing/status_matchers.h"
#include "services/tracker/core/decisions.h"
#include "services/tracker/core/membership.h"
#include "services/tracker/core/node_record.h"

namespace cairn {
namespace tracker {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr char kTracker[] = "bbbbbbbb-0000-4000-8000-000000000001";

std::string UuidOf(int i) {
  return absl::StrCat("aaaaaaaa-0000-4000-8000-00000000000", i);
}

std::string TextOf(const OperatorPlan& plan) {
  return absl::StrJoin(plan.sentences, "\n");
}

class OperatorPlanTest : public ::testing::Test {
 protected:
  // An ACTIVE node with room.
  void AddNode(int i, const std::string& group, int64_t files) {
    NodeRecord node;
    node.identity.node_uuid = UuidOf(i);
    node.identity.name = absl::StrCat("n", i);
    node.identity.group = group;
    node.identity.address = absl::StrCat("127.0.0.1:", 20000 + i);
    StorePathStatus path;
    path.space.free_bytes = 1000;
    path.space.files = files;
    node.status.store_paths.push_back(path);
    node.state = NodeState::kActive;
    view_.nodes.push_back(node);
  }

  // Makes it hold, as a tracker would.
  void Apply(const OperatorPlan& plan) {
    for (Decision decision : plan.decisions) {
      decision.time = view_.decisions.NextTime(absl::UnixEpoch(), kTracker);
      EXPECT_THAT(ValidateDecision(decision), IsOk());
      view_.decisions.Merge(decision);
    }
    for (NodeRecord& node : view_.nodes) {
      const std::string& uuid = node.identity.node_uuid;
      node.effective =
          EffectiveUse(view_.decisions, node.identity, node.status);
      node.removed =
          view_.decisions.Value(DecisionField::kNodeRemoved, uuid).has_value();
      if (node.removed) node.state = NodeState::kOffline;
    }
  }

  absl::StatusOr<OperatorPlan> Drain(int i) {
    SetNodeWish wish;
    wish.node_uuid = UuidOf(i);
    wish.role = NodeRole::kDraining;
    return PlanSetNode(view_, wish);
  }

  OperatorView view_;
};

TEST_F(OperatorPlanTest, OneOfTheLastTwoIsNotRemovedWhileTrackersAreApart) {
  AddNode(1, "g1", 10);
  AddNode(2, "g1", 10);
  view_.nodes[0].effective.role = NodeRole::kDraining;
  view_.trackers_apart = {"tracker2:7700"};
  const auto refused = PlanRemoveNode(view_, UuidOf(1), /*force=*/false, "");
  EXPECT_EQ(ReasonOf(refused.status()), ErrorReason::kTrackersApart);
  EXPECT_THAT(std::string(refused.status().message()),
              HasSubstr("tracker2:7700"));
  // Who says that they mean it reads what that may do.
  const auto forced = PlanRemoveNode(view_, UuidOf(1), /*force=*/true, "");
  ASSERT_THAT(forced, IsOk());
  EXPECT_THAT(TextOf(*forced), HasSubstr("tracker2:7700"));
  // Of three, two stay, whatever is decided elsewhere.
  AddNode(3, "g1", 10);
  const auto removed = PlanRemoveNode(view_, UuidOf(1), /*force=*/false, "");
  ASSERT_THAT(removed, IsOk());
  EXPECT_THAT(TextOf(*removed), Not(HasSubstr("tracker2:7700")));
}

TEST_F(OperatorPlanTest, ZoneAndReserveAreDecidedAndTakenBack) {
  AddNode(1, "g1", 10);
  view_.nodes[0].identity.zone = "west";
  view_.nodes[0].status.store_paths[0].space.total_bytes = 10000;
  SetNodeWish wish;
  wish.node_uuid = UuidOf(1);
  wish.zone = "east";
  wish.reserve_percent = 9;
  auto plan = PlanSetNode(view_, wish);
  ASSERT_THAT(plan, IsOk());
  ASSERT_THAT(plan->decisions, SizeIs(2));
  EXPECT_EQ(plan->decisions[0].text, "east");
  EXPECT_THAT(TextOf(*plan), HasSubstr("is in zone east, by decision; its own "
                                       "configuration says west."));
  EXPECT_THAT(TextOf(*plan), HasSubstr("Uploads leave 9 % of each disk"));
  EXPECT_THAT(TextOf(*plan), Not(HasSubstr("takes no uploads")));
  Apply(*plan);
  EXPECT_EQ(view_.nodes[0].effective.zone, "east");
  EXPECT_EQ(view_.nodes[0].effective.reserve_percent, 9u);
  EXPECT_EQ(ToModel(view_.nodes[0]).zone, "east");
  plan = PlanSetNode(view_, wish);
  ASSERT_THAT(plan, IsOk());
  EXPECT_THAT(plan->decisions, IsEmpty());

  wish.reserve_percent = 10;  // All that is free.
  plan = PlanSetNode(view_, wish);
  ASSERT_THAT(plan, IsOk());
  EXPECT_THAT(plan->decisions, SizeIs(1));
  EXPECT_THAT(TextOf(*plan), HasSubstr("takes no uploads then"));
  wish.reserve_percent = 91;
  EXPECT_EQ(ReasonOf(PlanSetNode(view_, wish).status()),
            ErrorReason::kInvalidField);
  wish.reserve_percent.reset();
  wish.zone = "";
  EXPECT_EQ(ReasonOf(PlanSetNode(view_, wish).status()),
            ErrorReason::kInvalidField);
  wish.zone = "a\nb";
  EXPECT_EQ(ReasonOf(PlanSetNode(view_, wish).status()),
            ErrorReason::kInvalidField);

  SetNodeWish back;
  back.node_uuid = UuidOf(1);
  back.clear_zone = true;
  back.clear_reserve = true;
  plan = PlanSetNode(view_, back);
  ASSERT_THAT(plan, IsOk());
  Apply(*plan);
  EXPECT_EQ(view_.nodes[0].effective.zone, "west");
  EXPECT_EQ(view_.nodes[0].effective.reserve_percent, absl::nullopt);
}

TEST_F(OperatorPlanTest, WhatWouldBeLostWithANodeKeepsItIn) {
  AddNode(1, "g1", 10);
  AddNode(2, "g1", 10);
  view_.nodes[0].effective.role = NodeRole::kDraining;
  view_.nodes[0].status.store_paths[0].changes_only_here = 3;
  auto refused = PlanRemoveNode(view_, UuidOf(1), /*force=*/false, "");
  EXPECT_EQ(ReasonOf(refused.status()), ErrorReason::kNotReplicated);
  EXPECT_THAT(std::string(refused.status().message()),
              HasSubstr("3 changes that it has are on no other member"));
  // Also if it is not there to be asked.
  view_.nodes[0].state = NodeState::kOffline;
  refused = PlanRemoveNode(view_, UuidOf(1), /*force=*/false, "");
  EXPECT_EQ(ReasonOf(refused.status()), ErrorReason::kNotReplicated);
  auto forced = PlanRemoveNode(view_, UuidOf(1), /*force=*/true, "");
  ASSERT_THAT(forced, IsOk());
  EXPECT_THAT(TextOf(*forced), HasSubstr("may be lost"));

  // What it said before it went out of sight is not its last word.
  view_.nodes[0].status.store_paths[0].changes_only_here = 0;
  for (const NodeState state : {NodeState::kSuspect, NodeState::kOffline}) {
    view_.nodes[0].state = state;
    refused = PlanRemoveNode(view_, UuidOf(1), /*force=*/false, "");
    EXPECT_EQ(ReasonOf(refused.status()), ErrorReason::kNotReplicated);
    EXPECT_THAT(std::string(refused.status().message()),
                HasSubstr("It is not heard of now"));
  }
  view_.nodes[0].state = NodeState::kActive;
  EXPECT_THAT(PlanRemoveNode(view_, UuidOf(1), /*force=*/false, ""), IsOk());

  // Others that are being filled hold nothing for certain.
  view_.nodes[1].status.store_paths[0].space.syncing = true;
  refused = PlanRemoveNode(view_, UuidOf(1), /*force=*/false, "");
  EXPECT_EQ(ReasonOf(refused.status()), ErrorReason::kNotReplicated);
  AddNode(3, "g1", 10);
  EXPECT_THAT(PlanRemoveNode(view_, UuidOf(1), /*force=*/false, ""), IsOk());

  // Nor does one that is away: it may have lost what it had.
  view_.nodes[2].state = NodeState::kSuspect;
  refused = PlanRemoveNode(view_, UuidOf(1), /*force=*/false, "");
  EXPECT_EQ(ReasonOf(refused.status()), ErrorReason::kNotReplicated);
}

TEST_F(OperatorPlanTest, DrainingTellsWhatTheGroupIsLeftWith) {
  AddNode(1, "g1", 10);
  AddNode(2, "g1", 10);
  auto plan = Drain(1);
  ASSERT_THAT(plan, IsOk());
  ASSERT_THAT(plan->decisions, SizeIs(1));
  EXPECT_EQ(plan->decisions[0].value, RoleNumber(NodeRole::kDraining));
  EXPECT_EQ(plan->group, "g1");
  EXPECT_EQ(plan->members, 2u);
  EXPECT_EQ(plan->writable_members, 1u);
  EXPECT_EQ(plan->readable_members, 2u);
  EXPECT_EQ(plan->files_losing_redundancy, 0);
  EXPECT_THAT(TextOf(*plan),
              HasSubstr("its own configuration says read_write"));
  EXPECT_THAT(TextOf(*plan), HasSubstr("keeps 1 member that can take uploads"));
  Apply(*plan);

  plan = Drain(1);
  ASSERT_THAT(plan, IsOk());
  EXPECT_THAT(plan->decisions, IsEmpty());
  EXPECT_THAT(TextOf(*plan), HasSubstr("nothing changes"));

  plan = Drain(2);
  ASSERT_THAT(plan, IsOk());
  EXPECT_EQ(plan->writable_members, 0u);
  EXPECT_THAT(TextOf(*plan), HasSubstr("g1 takes no uploads any more"));
  EXPECT_THAT(TextOf(*plan),
              HasSubstr("No group of the cluster takes uploads any more"));

  SetNodeWish back;
  back.node_uuid = UuidOf(1);
  back.clear_role = true;
  plan = PlanSetNode(view_, back);
  ASSERT_THAT(plan, IsOk());
  ASSERT_THAT(plan->decisions, SizeIs(1));
  EXPECT_EQ(plan->decisions[0].value, absl::nullopt);
  EXPECT_EQ(plan->writable_members, 2u);
  EXPECT_THAT(TextOf(*plan), HasSubstr("as its own configuration says"));
}

TEST_F(OperatorPlanTest, AStandbyServesNoReads) {
  AddNode(1, "g1", 10);
  SetNodeWish wish;
  wish.node_uuid = UuidOf(1);
  wish.role = NodeRole::kStandby;
  wish.weight = 7;
  wish.priority = 3;
  const auto plan = PlanSetNode(view_, wish);
  ASSERT_THAT(plan, IsOk());
  EXPECT_THAT(plan->decisions, SizeIs(3));
  EXPECT_EQ(plan->readable_members, 0u);
  EXPECT_THAT(TextOf(*plan), HasSubstr("serves no reads any more"));
  EXPECT_THAT(TextOf(*plan), HasSubstr("weight 7"));
  EXPECT_THAT(TextOf(*plan), HasSubstr("priority 3"));
}

TEST_F(OperatorPlanTest, WishesThatMakeNoSenseAreRefused) {
  AddNode(1, "g1", 10);
  SetNodeWish wish;
  wish.node_uuid = UuidOf(1);
  EXPECT_THAT(PlanSetNode(view_, wish),
              StatusIs(absl::StatusCode::kInvalidArgument));
  wish.weight = 0;
  EXPECT_THAT(PlanSetNode(view_, wish),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("1000")));
  wish.weight = 5;
  wish.clear_weight = true;
  EXPECT_THAT(PlanSetNode(view_, wish),
              StatusIs(absl::StatusCode::kInvalidArgument));
  wish.clear_weight = false;
  wish.reason = std::string(1000, 'x');
  EXPECT_THAT(
      PlanSetNode(view_, wish),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("reason")));
  wish.reason.clear();
  wish.node_uuid = UuidOf(9);
  const auto unknown = PlanSetNode(view_, wish);
  EXPECT_THAT(unknown, StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(ReasonOf(unknown.status()), ErrorReason::kUnknownNode);
}

TEST_F(OperatorPlanTest, ANodeThatServesIsRemovedWhenItDrainsOrByForce) {
  AddNode(1, "g1", 10);
  AddNode(2, "g1", 8);
  auto plan = PlanRemoveNode(view_, UuidOf(1), /*force=*/false, "");
  EXPECT_THAT(plan, StatusIs(absl::StatusCode::kFailedPrecondition,
                             HasSubstr("cairn node drain n1")));
  EXPECT_EQ(ReasonOf(plan.status()), ErrorReason::kNodeActive);
  EXPECT_THAT(PlanRemoveNode(view_, UuidOf(1), /*force=*/true, ""), IsOk());

  Apply(*Drain(1));
  plan = PlanRemoveNode(view_, UuidOf(1), /*force=*/false, "old disks");
  ASSERT_THAT(plan, IsOk());
  ASSERT_THAT(plan->decisions, SizeIs(1));
  EXPECT_EQ(plan->decisions[0].key.field, DecisionField::kNodeRemoved);
  EXPECT_EQ(plan->decisions[0].reason, "old disks");
  EXPECT_EQ(plan->members, 1u);
  EXPECT_EQ(plan->files_losing_redundancy, 10);
  EXPECT_THAT(TextOf(*plan), HasSubstr("10 files, which have a member fewer"));
  // The other one holds only 8.
  EXPECT_THAT(TextOf(*plan), HasSubstr("at least 2 may be on this node alone"));
  Apply(*plan);

  // The last one now, whatever it is told.
  for (const bool force : {false, true}) {
    plan = PlanRemoveNode(view_, UuidOf(2), force, "");
    EXPECT_THAT(plan, StatusIs(absl::StatusCode::kFailedPrecondition));
    EXPECT_EQ(ReasonOf(plan.status()), ErrorReason::kLastMember);
  }
}

TEST_F(OperatorPlanTest, AnEmptyLastMemberAndAnOfflineOneCanGo) {
  AddNode(1, "g1", 0);
  EXPECT_THAT(PlanRemoveNode(view_, UuidOf(1), /*force=*/true, ""), IsOk());
  AddNode(2, "g2", 5);
  AddNode(3, "g2", 5);
  view_.nodes[1].state = NodeState::kOffline;
  EXPECT_EQ(ReasonOf(PlanRemoveNode(view_, UuidOf(2), false, "").status()),
            ErrorReason::kNotReplicated);
  EXPECT_THAT(PlanRemoveNode(view_, UuidOf(2), /*force=*/true, ""), IsOk());
  // Nobody can tell what the other one has.
  view_.nodes[2].state = NodeState::kOffline;
  EXPECT_EQ(ReasonOf(PlanRemoveNode(view_, UuidOf(2), false, "").status()),
            ErrorReason::kNotReplicated);
  const auto plan = PlanRemoveNode(view_, UuidOf(2), /*force=*/true, "");
  ASSERT_THAT(plan, IsOk());
  EXPECT_THAT(TextOf(*plan),
              HasSubstr("No other member of group g2 is active"));
}

TEST_F(OperatorPlanTest, ANodeIsLetBackWhateverIsKnownOfIt) {
  AddNode(1, "g1", 1);
  AddNode(2, "g1", 1);
  auto plan = PlanRestoreNode(view_, UuidOf(1), "");
  ASSERT_THAT(plan, IsOk());
  EXPECT_THAT(plan->decisions, IsEmpty());
  Apply(*Drain(1));
  Apply(*PlanRemoveNode(view_, UuidOf(1), false, ""));
  plan = PlanRestoreNode(view_, UuidOf(1), "");
  ASSERT_THAT(plan, IsOk());
  ASSERT_THAT(plan->decisions, SizeIs(1));
  EXPECT_THAT(TextOf(*plan), HasSubstr("It is draining then"));

  // A tracker may have heard of the removal alone.
  view_.nodes.erase(view_.nodes.begin());
  plan = PlanRestoreNode(view_, UuidOf(1), "");
  ASSERT_THAT(plan, IsOk());
  EXPECT_THAT(plan->decisions, SizeIs(1));
  EXPECT_THAT(PlanRestoreNode(view_, UuidOf(9), ""),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(OperatorPlanTest, TheAppendersOfARemovedNodeGoToAnotherMember) {
  for (int i = 1; i <= 4; ++i) {
    AddNode(i, i < 4 ? "g1" : "g2", 1);
    view_.nodes.back().identity.node_number = static_cast<uint32_t>(10 * i);
  }
  const auto heir_of = [this](uint32_t number) {
    return view_.decisions.Value(DecisionField::kNodeHeir, SubjectOf(number));
  };
  // Not to one that has not caught up, while there is another.
  view_.nodes[1].status.store_paths[0].space.syncing = true;
  auto plan = PlanRemoveNode(view_, UuidOf(1), /*force=*/true, "");
  ASSERT_THAT(plan, IsOk());
  EXPECT_THAT(TextOf(*plan), HasSubstr("are changed at Node n3"));
  Apply(*plan);
  EXPECT_EQ(heir_of(10), 30u);

  // What it took over goes on with its own.
  view_.nodes[1].status.store_paths[0].space.syncing = false;
  Apply(*PlanRemoveNode(view_, UuidOf(3), /*force=*/true, ""));
  EXPECT_EQ(heir_of(10), 20u);
  EXPECT_EQ(heir_of(30), 20u);

  // Whoever is back has its own again.
  plan = PlanRestoreNode(view_, UuidOf(1), "");
  ASSERT_THAT(plan, IsOk());
  EXPECT_THAT(TextOf(*plan), HasSubstr("are changed there again"));
  Apply(*plan);
  EXPECT_EQ(heir_of(10), absl::nullopt);
  EXPECT_EQ(heir_of(30), 20u);
  view_.nodes[0].state = NodeState::kActive;
  Apply(*PlanRemoveNode(view_, UuidOf(2), /*force=*/true, ""));
  EXPECT_EQ(heir_of(20), 10u);
  EXPECT_EQ(heir_of(30), 10u);
}

TEST_F(OperatorPlanTest, AnHeirThatWasRemovedOnceGetsItsOwnBack) {
  for (int i = 1; i <= 2; ++i) {
    AddNode(i, "g1", 1);
    view_.nodes.back().identity.node_number = static_cast<uint32_t>(10 * i);
  }
  Apply(*PlanRemoveNode(view_, UuidOf(1), /*force=*/true, ""));
  // Of an older tracker, which does not know of heirs.
  OperatorPlan back = *PlanRestoreNode(view_, UuidOf(1), "");
  back.decisions.resize(1);
  Apply(back);
  view_.nodes[0].state = NodeState::kActive;
  Apply(*PlanRemoveNode(view_, UuidOf(2), /*force=*/true, ""));
  EXPECT_EQ(view_.decisions.Value(DecisionField::kNodeHeir, SubjectOf(10)),
            absl::nullopt);
  EXPECT_EQ(view_.decisions.Value(DecisionField::kNodeHeir, SubjectOf(20)),
            10u);
}

TEST_F(OperatorPlanTest, AGroupsWeightIsDecidedAndTakenBack) {
  AddNode(1, "g1", 1);
  view_.configured_policy.group_weights["g1"] = 30;
  SetGroupWish wish;
  wish.group = "g1";
  wish.weight = 0;
  auto plan = PlanSetGroup(view_, wish);
  ASSERT_THAT(plan, IsOk());
  EXPECT_THAT(plan->decisions, SizeIs(1));
  EXPECT_THAT(TextOf(*plan), HasSubstr("the policy says 30"));
  EXPECT_THAT(TextOf(*plan), HasSubstr("weights have no effect now"));

  view_.policy.group_policy = GroupPolicy::kWeighted;
  plan = PlanSetGroup(view_, wish);
  ASSERT_THAT(plan, IsOk());
  EXPECT_THAT(TextOf(*plan), HasSubstr("name no group do not go there"));
  EXPECT_THAT(TextOf(*plan), Not(HasSubstr("no effect")));
  Apply(*plan);
  wish.weight.reset();
  wish.clear_weight = true;
  plan = PlanSetGroup(view_, wish);
  ASSERT_THAT(plan, IsOk());
  EXPECT_THAT(plan->decisions, SizeIs(1));
  EXPECT_THAT(TextOf(*plan), HasSubstr("weight 30, as the policy says"));

  wish.group = "g9";
  const auto unknown = PlanSetGroup(view_, wish);
  EXPECT_EQ(ReasonOf(unknown.status()), ErrorReason::kUnknownGroup);
  wish.clear_weight = false;
  wish.group = "g1";
  EXPECT_THAT(PlanSetGroup(view_, wish),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(OperatorPlanTest, AGroupsQuotaIsDecidedToldAndTakenBack) {
  AddNode(1, "g1", 10);
  AddNode(2, "g1", 12);
  AddNode(3, "g2", 90);
  view_.nodes[0].status.store_paths[0].file_bytes = 700;
  view_.nodes[1].status.store_paths[0].file_bytes = 500;
  SetGroupWish wish;
  wish.group = "g1";
  wish.quota_files = 100;
  wish.quota_bytes = uint64_t{5} << 40;  // More than 32 bits.
  auto plan = PlanSetGroup(view_, wish);
  ASSERT_THAT(plan, IsOk());
  ASSERT_THAT(plan->decisions, SizeIs(2));
  EXPECT_EQ(plan->decisions[0].key.field, DecisionField::kGroupQuotaFiles);
  EXPECT_EQ(plan->decisions[0].key.subject, "g1");
  EXPECT_EQ(plan->decisions[0].value, uint64_t{100});
  EXPECT_EQ(plan->decisions[1].value, uint64_t{5} << 40);
  EXPECT_EQ(plan->members, 2u);
  EXPECT_EQ(plan->writable_members, 2u);
  EXPECT_THAT(TextOf(*plan), HasSubstr("Group g1 may hold 100 files."));
  EXPECT_THAT(TextOf(*plan),
              HasSubstr("The files of group g1 may have 5497558138880 bytes."));
  // Of each, what the member says that has the most.
  EXPECT_THAT(TextOf(*plan), HasSubstr("It holds 12 files of 700 bytes now."));
  EXPECT_THAT(TextOf(*plan), Not(HasSubstr("are refused")));
  EXPECT_THAT(TextOf(*plan), Not(HasSubstr("not there")));
  Apply(*plan);
  plan = PlanSetGroup(view_, wish);
  ASSERT_THAT(plan, IsOk());
  EXPECT_THAT(plan->decisions, IsEmpty());
  EXPECT_THAT(TextOf(*plan), HasSubstr("in force already"));

  // Only what is named changes.
  wish.quota_bytes.reset();
  wish.quota_files = 12;
  view_.nodes[1].state = NodeState::kOffline;
  plan = PlanSetGroup(view_, wish);
  ASSERT_THAT(plan, IsOk());
  EXPECT_THAT(plan->decisions, SizeIs(1));
  EXPECT_THAT(TextOf(*plan), HasSubstr("uploads there are refused"));
  EXPECT_THAT(TextOf(*plan), HasSubstr("1 node is not there"));

  wish.quota_files = 0;
  plan = PlanSetGroup(view_, wish);
  ASSERT_THAT(plan, IsOk());
  ASSERT_THAT(plan->decisions, SizeIs(1));
  EXPECT_EQ(plan->decisions[0].value, absl::nullopt);
  EXPECT_THAT(TextOf(*plan),
              HasSubstr("Group g1 may hold as many files as fit."));

  wish.quota_files = kQuotaMax + 1;
  EXPECT_EQ(ReasonOf(PlanSetGroup(view_, wish).status()),
            ErrorReason::kInvalidField);
  wish.quota_files = 1;
  wish.group = "g9";
  EXPECT_EQ(ReasonOf(PlanSetGroup(view_, wish).status()),
            ErrorReason::kUnknownGroup);
}

TEST_F(OperatorPlanTest, AClientsQuotaIsDecidedBeforeItComes) {
  AddNode(1, "g1", 10);
  SetClientWish wish;
  wish.identity = "alice";
  wish.quota_files = 5;
  wish.quota_bytes = 1;
  auto plan = PlanSetClient(view_, wish);
  ASSERT_THAT(plan, IsOk());
  ASSERT_THAT(plan->decisions, SizeIs(2));
  EXPECT_EQ(plan->decisions[0].key.field, DecisionField::kClientQuotaFiles);
  EXPECT_EQ(plan->decisions[0].key.subject, "alice");
  EXPECT_THAT(TextOf(*plan),
              HasSubstr("Each group may hold, of client alice, 5 files."));
  EXPECT_THAT(TextOf(*plan), HasSubstr("in each group, 1 byte."));
  EXPECT_EQ(plan->group, "");
  Apply(*plan);
  wish.quota_files = 0;
  wish.quota_bytes.reset();
  plan = PlanSetClient(view_, wish);
  ASSERT_THAT(plan, IsOk());
  ASSERT_THAT(plan->decisions, SizeIs(1));
  EXPECT_EQ(plan->decisions[0].value, absl::nullopt);

  wish.quota_files.reset();
  EXPECT_EQ(ReasonOf(PlanSetClient(view_, wish).status()),
            ErrorReason::kInvalidField);
  wish.quota_files = 1;
  const std::string too_long(kClientIdentityMax + 1, 'a');
  for (const std::string& identity :
       {std::string(), std::string("a\nb"), too_long}) {
    wish.identity = identity;
    EXPECT_EQ(ReasonOf(PlanSetClient(view_, wish).status()),
              ErrorReason::kInvalidField);
  }
}

TEST_F(OperatorPlanTest, ThereAreOnlySoManyClientsWithAQuota) {
  SetClientWish wish;
  wish.quota_files = 5;
  for (size_t i = 0; i < kClientsMax; ++i) {
    Decision decision;
    decision.key = {DecisionField::kClientQuotaFiles, absl::StrCat("c", i)};
    decision.value = 5;
    decision.time = view_.decisions.NextTime(absl::UnixEpoch(), kTracker);
    view_.decisions.Merge(decision);
  }
  wish.identity = "one more";
  const auto refused = PlanSetClient(view_, wish);
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kResourceExhausted));
  wish.identity = "c7";
  wish.quota_files = 6;
  EXPECT_THAT(PlanSetClient(view_, wish), IsOk());
}

}  // namespace
}  // namespace tracker
}  // namespace cairn
