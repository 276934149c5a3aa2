// Nodes that attach, report, fall silent and come back, under a clock that the
// test turns. No network: the streams are numbers here.

#include "services/tracker/core/membership.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/error_reason.h"
#include "lib/base/uuid.h"
#include "lib/placement/cluster_model.h"
#include "lib/testing/fake_clock.h"
#include "lib/testing/status_matchers.h"
#include "services/tracker/core/decisions.h"
#include "services/tracker/core/node_record.h"

namespace cairn {
namespace tracker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kCluster[] = "11111111-2222-4333-8444-555555555555";

std::string UuidOf(int i) {
  return absl::StrCat("aaaaaaaa-0000-4000-8000-00000000000", i);
}

NodeIdentity Identity(int i, const std::string& group = "g1") {
  NodeIdentity identity;
  identity.node_uuid = UuidOf(i);
  identity.node_number = 100 + i;
  identity.name = absl::StrCat("n", i);
  identity.group = group;
  identity.cluster_id = kCluster;
  identity.address = absl::StrCat("127.0.0.1:", 20000 + i);
  return identity;
}

NodeStatus Status(int64_t free_bytes = 500) {
  NodeStatus status;
  StorePathStatus path;
  path.space.total_bytes = 1000;
  path.space.free_bytes = free_bytes;
  status.store_paths.push_back(path);
  return status;
}

class CountingObserver : public MembershipObserver {
 public:
  void OnChange() override { ++changes; }
  int changes = 0;
};

class MembershipTest : public ::testing::Test {
 protected:
  static MembershipOptions Options() {
    MembershipOptions options;
    options.cluster_id = kCluster;
    options.change_log_max = 4;
    options.nodes_max = 5;
    return options;
  }

  MembershipTest() { membership_.SetObserver(&observer_); }

  uint64_t Attach(int i) {
    const auto attached = membership_.Attach(Identity(i), Status());
    EXPECT_THAT(attached, IsOk());
    return attached.ok() ? attached->attachment : 0;
  }

  NodeState StateOf(int i) {
    return membership_.Model()->FindNode(UuidOf(i))->state;
  }

  FakeClock clock_;
  CountingObserver observer_;
  Membership membership_{Options(), {}, {}, {}, &clock_};
};

TEST_F(MembershipTest, ANodeIsSuspectThenOfflineBySilenceAndActiveByAReport) {
  const uint64_t attachment = Attach(1);
  EXPECT_EQ(StateOf(1), NodeState::kActive);

  clock_.Advance(absl::Seconds(3) - absl::Milliseconds(1));
  EXPECT_THAT(membership_.Tick(), IsEmpty());
  EXPECT_EQ(StateOf(1), NodeState::kActive);
  clock_.Advance(absl::Milliseconds(1));
  EXPECT_THAT(membership_.Tick(), IsEmpty());
  EXPECT_EQ(StateOf(1), NodeState::kSuspect);

  ASSERT_THAT(membership_.Report(attachment, Status()), IsOk());
  EXPECT_EQ(StateOf(1), NodeState::kActive);

  clock_.Advance(absl::Seconds(10) - absl::Milliseconds(1));
  EXPECT_THAT(membership_.Tick(), IsEmpty());
  EXPECT_EQ(StateOf(1), NodeState::kSuspect);
  clock_.Advance(absl::Milliseconds(1));
  EXPECT_THAT(membership_.Tick(), ElementsAre(attachment));
  EXPECT_EQ(StateOf(1), NodeState::kOffline);
  // Said once; the stream's end is no news.
  EXPECT_THAT(membership_.Tick(), IsEmpty());
  const uint64_t revision = membership_.revision();
  membership_.Detach(attachment);
  EXPECT_EQ(membership_.revision(), revision);
}

TEST_F(MembershipTest, TheWallClockDecidesNothing) {
  Attach(1);
  clock_.JumpTo(absl::FromUnixSeconds(4000000000));
  membership_.Tick();
  EXPECT_EQ(StateOf(1), NodeState::kActive);
  clock_.JumpTo(absl::FromUnixSeconds(0));
  clock_.Advance(absl::Seconds(3));
  membership_.Tick();
  EXPECT_EQ(StateOf(1), NodeState::kSuspect);
}

TEST_F(MembershipTest, ABrokenStreamMakesSuspectAtOnceAndOfflineInTime) {
  membership_.Detach(Attach(1));
  EXPECT_EQ(StateOf(1), NodeState::kSuspect);
  clock_.Advance(absl::Seconds(4));
  membership_.Tick();
  EXPECT_EQ(StateOf(1), NodeState::kSuspect);
  clock_.Advance(absl::Seconds(6));
  membership_.Tick();
  EXPECT_EQ(StateOf(1), NodeState::kOffline);
  Attach(1);
  EXPECT_EQ(StateOf(1), NodeState::kActive);
}

TEST_F(MembershipTest, ANodeThatSaidItStopsIsOfflineWhenItsStreamEnds) {
  const uint64_t attachment = Attach(1);
  NodeStatus stopping = Status();
  stopping.stopping = true;
  ASSERT_THAT(membership_.Report(attachment, stopping), IsOk());
  EXPECT_TRUE(membership_.Model()->FindNode(UuidOf(1))->stopping);
  membership_.Detach(attachment);
  EXPECT_EQ(StateOf(1), NodeState::kOffline);
}

TEST_F(MembershipTest, TheNewerAttachmentOfANodeStays) {
  const uint64_t older = Attach(1);
  const auto newer = membership_.Attach(Identity(1), Status());
  ASSERT_THAT(newer, IsOk());
  EXPECT_EQ(newer->displaced, older);
  EXPECT_THAT(membership_.Report(older, Status()),
              StatusIs(absl::StatusCode::kAborted));
  membership_.Detach(older);
  EXPECT_EQ(StateOf(1), NodeState::kActive);
  EXPECT_THAT(membership_.Report(newer->attachment, Status()), IsOk());
  EXPECT_EQ(membership_.Counts().attached, 1u);
}

TEST_F(MembershipTest, RevisionsCountChangesAndTheObserverHearsOfEach) {
  const uint64_t start = membership_.revision();
  const uint64_t attachment = Attach(1);
  EXPECT_EQ(membership_.revision(), start + 1);
  ASSERT_THAT(membership_.Report(attachment, Status()), IsOk());
  membership_.Tick();
  EXPECT_EQ(membership_.revision(), start + 1) << "a report without news";
  NodeStatus read_only = Status();
  read_only.role = NodeRole::kReadOnly;
  ASSERT_THAT(membership_.Report(attachment, read_only), IsOk());
  EXPECT_EQ(membership_.revision(), start + 2);
  EXPECT_EQ(observer_.changes, 2);

  const auto changes = membership_.ChangesSince(start, 100);
  ASSERT_TRUE(changes.has_value());
  ASSERT_EQ(changes->size(), 2u);
  EXPECT_EQ((*changes)[0]->revision, start + 1);
  EXPECT_EQ((*changes)[1]->revision, start + 2);
  EXPECT_EQ((*changes)[1]->changed[0].status.role, NodeRole::kReadOnly);
  EXPECT_EQ(membership_.ChangesSince(start, 1)->size(), 1u);
  EXPECT_THAT(*membership_.ChangesSince(start + 2, 100), IsEmpty());
}

TEST_F(MembershipTest, AWatcherThatIsTooSlowMustTakeASnapshot) {
  const uint64_t start = membership_.revision();
  for (int i = 1; i <= 4; ++i) Attach(i);
  EXPECT_TRUE(membership_.ChangesSince(start, 100).has_value());
  Attach(5);
  EXPECT_FALSE(membership_.ChangesSince(start, 100).has_value());
  EXPECT_TRUE(membership_.ChangesSince(start + 1, 100).has_value());
  const ClusterSnapshot snapshot = membership_.Snapshot();
  EXPECT_EQ(snapshot.revision, membership_.revision());
  EXPECT_EQ(snapshot.nodes.size(), 5u);
  // A revision from another life of the tracker.
  EXPECT_FALSE(membership_.ChangesSince(start + 100, 100).has_value());
}

TEST_F(MembershipTest, FreeSpaceAloneIsPublishedAtMostOnceASecond) {
  const uint64_t one = Attach(1);
  const uint64_t two = Attach(2);
  membership_.Tick();
  const uint64_t start = membership_.revision();
  for (int i = 0; i < 5; ++i) {
    ASSERT_THAT(membership_.Report(one, Status(400 - i)), IsOk());
    ASSERT_THAT(membership_.Report(two, Status(300 - i)), IsOk());
    membership_.Tick();
    clock_.Advance(absl::Milliseconds(100));
  }
  // The first at once, the others wait.
  EXPECT_EQ(membership_.revision(), start + 1);
  clock_.Advance(absl::Milliseconds(500));
  membership_.Tick();
  ASSERT_EQ(membership_.revision(), start + 2);
  const auto changes = *membership_.ChangesSince(start + 1, 100);
  EXPECT_TRUE(changes[0]->space_only);
  ASSERT_EQ(changes[0]->changed.size(), 2u);
  EXPECT_EQ(changes[0]->changed[0].status.store_paths[0].space.free_bytes, 396);
  // Nothing new, nothing published.
  clock_.Advance(absl::Seconds(2));
  membership_.Tick();
  EXPECT_EQ(membership_.revision(), start + 2);
}

TEST_F(MembershipTest, AFullDiskIsNewsAtOnce) {
  const uint64_t attachment = Attach(1);
  const uint64_t start = membership_.revision();
  NodeStatus full = Status(0);
  full.store_paths[0].space.writable = false;
  ASSERT_THAT(membership_.Report(attachment, full), IsOk());
  EXPECT_EQ(membership_.revision(), start + 1);
}

TEST_F(MembershipTest, RefusesAnotherCluster) {
  NodeIdentity stranger = Identity(1);
  stranger.cluster_id = "99999999-2222-4333-8444-555555555555";
  const auto attached = membership_.Attach(stranger, Status());
  EXPECT_THAT(attached, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(ReasonOf(attached.status()), ErrorReason::kWrongCluster);
  EXPECT_THAT(membership_.Snapshot().nodes, IsEmpty());
}

TEST_F(MembershipTest, RefusesANodeNumberThatIsTakenInTheGroup) {
  Attach(1);
  NodeIdentity twin = Identity(2);
  twin.node_number = Identity(1).node_number;
  EXPECT_THAT(
      membership_.Attach(twin, Status()),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("belongs to")));
  twin.group = "g2";
  EXPECT_THAT(membership_.Attach(twin, Status()), IsOk());
}

TEST_F(MembershipTest, RefusesMalformedIdentitiesAndReports) {
  const auto refuses = [&](auto&& spoil, const char* field) {
    NodeIdentity identity = Identity(1);
    spoil(&identity);
    const auto attached = membership_.Attach(identity, Status());
    EXPECT_THAT(attached,
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(field)));
  };
  refuses([](NodeIdentity* i) { i->node_uuid = "x"; }, "node_uuid");
  refuses([](NodeIdentity* i) { i->node_uuid = Uuid().ToString(); },
          "node_uuid");
  refuses([](NodeIdentity* i) { i->group = "Group 1"; }, "group");
  refuses([](NodeIdentity* i) { i->name = std::string(65, 'x'); }, "name");
  refuses([](NodeIdentity* i) { i->zone = "a\nb"; }, "zone");
  refuses([](NodeIdentity* i) { i->address = "nowhere"; }, "address");
  refuses([](NodeIdentity* i) { i->address = "host:99999"; }, "address");

  NodeStatus twice = Status();
  twice.store_paths.push_back(twice.store_paths[0]);
  EXPECT_THAT(membership_.Attach(Identity(1), twice),
              StatusIs(absl::StatusCode::kInvalidArgument));
  const uint64_t attachment = Attach(1);
  NodeStatus many;
  many.store_paths.resize(257);
  EXPECT_THAT(membership_.Report(attachment, many),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(MembershipTest, RemembersABoundedNumberOfNodes) {
  for (int i = 1; i <= 5; ++i) Attach(i);
  EXPECT_THAT(membership_.Attach(Identity(6), Status()),
              StatusIs(absl::StatusCode::kResourceExhausted));
  Attach(3);  // A known one may come back.
}

TEST_F(MembershipTest, PeersAreTheOthersOfTheGroup) {
  Attach(1);
  Attach(2);
  ASSERT_THAT(membership_.Attach(Identity(3, "g2"), Status()), IsOk());
  const auto peers = membership_.PeersOf(Identity(1));
  ASSERT_EQ(peers.size(), 1u);
  EXPECT_EQ(peers[0].identity.name, "n2");
}

TEST_F(MembershipTest, NodesFromBeforeAreListedButOfflineUntilHeardOf) {
  NodeRecord record;
  record.identity = Identity(1);
  record.status = Status();
  record.status.stopping = true;
  record.state = NodeState::kActive;
  Membership membership(Options(), {}, {record}, {}, &clock_);
  EXPECT_EQ(membership.Model()->nodes()[0].state, NodeState::kOffline);
  membership.Tick();
  EXPECT_EQ(membership.Model()->nodes()[0].state, NodeState::kOffline);
  ASSERT_THAT(membership.Attach(Identity(1), Status()), IsOk());
  EXPECT_EQ(membership.Model()->nodes()[0].state, NodeState::kActive);
  EXPECT_FALSE(membership.Model()->nodes()[0].stopping);
}

TEST_F(MembershipTest, GivesOutWhatIsToBeSavedOnceAndTakesItBack) {
  const uint64_t attachment = Attach(1);
  auto unsaved = membership_.TakeUnsaved();
  ASSERT_EQ(unsaved.size(), 1u);
  EXPECT_THAT(membership_.TakeUnsaved(), IsEmpty());
  membership_.KeepUnsaved(unsaved);
  EXPECT_EQ(membership_.TakeUnsaved().size(), 1u);
  // Free space comes with the next report anyway.
  ASSERT_THAT(membership_.Report(attachment, Status(1)), IsOk());
  membership_.Tick();
  EXPECT_THAT(membership_.TakeUnsaved(), IsEmpty());
  membership_.Detach(attachment);
  EXPECT_EQ(membership_.TakeUnsaved().size(), 1u);
}

TEST_F(MembershipTest, CountsByState) {
  Attach(1);
  membership_.Detach(Attach(2));
  const MembershipCounts counts = membership_.Counts();
  EXPECT_EQ(counts.active, 1u);
  EXPECT_EQ(counts.suspect, 1u);
  EXPECT_EQ(counts.offline, 0u);
  EXPECT_EQ(counts.attached, 1u);
}

// ---- What operators decide.

constexpr char kTracker[] = "bbbbbbbb-0000-4000-8000-000000000001";
constexpr char kOther[] = "bbbbbbbb-0000-4000-8000-000000000002";

class DecidedTest : public MembershipTest {
 protected:
  // As an operator at this tracker, or, with a time, at another one.
  size_t Decide(DecisionField field, const std::string& subject,
                absl::optional<uint64_t> value,
                absl::optional<DecisionTime> time = {}) {
    Decision decision;
    decision.key = {field, subject};
    decision.value = value;
    decision.reason = "because";
    std::vector<Decision> decisions = {decision};
    if (time.has_value()) {
      decisions[0].time = *time;
    } else {
      decisions = membership_.Stamp(decisions);
      decisions[0].time.tracker = kTracker;
    }
    return membership_.MergeDecisions(decisions, /*saved=*/false);
  }

  NodeModel ModelOf(int i) { return *membership_.Model()->FindNode(UuidOf(i)); }
};

TEST_F(DecidedTest, WhatANodeIsUsedForFollowsTheDecisionThenTheNode) {
  const uint64_t attachment = Attach(1);
  const uint64_t before = membership_.revision();
  EXPECT_EQ(Decide(DecisionField::kNodeRole, UuidOf(1),
                   RoleNumber(NodeRole::kDraining)),
            0u);
  Decide(DecisionField::kNodeWeight, UuidOf(1), 7);
  Decide(DecisionField::kNodePriority, UuidOf(1), 3);
  EXPECT_EQ(ModelOf(1).role, NodeRole::kDraining);
  EXPECT_EQ(ModelOf(1).weight, 7u);
  EXPECT_EQ(ModelOf(1).priority, 3u);
  EXPECT_EQ(membership_.revision(), before + 3);
  // What it says itself is still told apart, and overrules nothing.
  NodeStatus status = Status();
  status.role = NodeRole::kStandby;
  ASSERT_THAT(membership_.Report(attachment, status), IsOk());
  EXPECT_EQ(ModelOf(1).role, NodeRole::kDraining);
  const auto node = membership_.FindNode(UuidOf(1));
  EXPECT_EQ(node->status.role, NodeRole::kStandby);
  EXPECT_EQ(node->effective.role, NodeRole::kDraining);
  Decide(DecisionField::kNodeRole, UuidOf(1), absl::nullopt);
  EXPECT_EQ(ModelOf(1).role, NodeRole::kStandby);
}

TEST_F(DecidedTest, ADecisionHoldsForANodeThatComesLater) {
  Decide(DecisionField::kNodeRole, UuidOf(1), RoleNumber(NodeRole::kReadOnly));
  Attach(1);
  EXPECT_EQ(ModelOf(1).role, NodeRole::kReadOnly);
}

TEST_F(DecidedTest, ARemovedNodeIsGoneAndRefusedUntilItIsLetBack) {
  const uint64_t attachment = Attach(1);
  Attach(2);
  const uint64_t before = membership_.revision();
  Decide(DecisionField::kNodeRemoved, UuidOf(1), 1);
  EXPECT_EQ(membership_.Model()->FindNode(UuidOf(1)), nullptr);
  EXPECT_EQ(membership_.Snapshot().nodes.size(), 1u);
  EXPECT_THAT(membership_.PeersOf(Identity(2)), IsEmpty());
  EXPECT_EQ(membership_.Counts().removed, 1u);
  const auto changes = membership_.ChangesSince(before, 10);
  ASSERT_TRUE(changes.has_value());
  ASSERT_EQ(changes->size(), 1u);
  EXPECT_THAT(changes->front()->changed, IsEmpty());
  ASSERT_EQ(changes->front()->removed.size(), 1u);

  const absl::Status report = membership_.Report(attachment, Status());
  EXPECT_THAT(report, StatusIs(absl::StatusCode::kFailedPrecondition));
  membership_.Detach(attachment);
  const auto again = membership_.Attach(Identity(1), Status());
  EXPECT_THAT(again, StatusIs(absl::StatusCode::kFailedPrecondition,
                              HasSubstr("cairn node restore")));
  EXPECT_THAT(again, StatusIs(absl::StatusCode::kFailedPrecondition,
                              HasSubstr("because")));
  EXPECT_EQ(ReasonOf(again.status()), ErrorReason::kNodeRemoved);
  EXPECT_EQ(ReasonOf(membership_.CheckMember(UuidOf(1))),
            ErrorReason::kNodeRemoved);
  EXPECT_THAT(membership_.CheckMember(UuidOf(2)), IsOk());

  Decide(DecisionField::kNodeRemoved, UuidOf(1), absl::nullopt);
  EXPECT_EQ(StateOf(1), NodeState::kOffline);
  Attach(1);
  EXPECT_EQ(StateOf(1), NodeState::kActive);
}

TEST_F(DecidedTest, AGroupsWeightIsPartOfThePolicy) {
  Attach(1);
  const uint64_t before = membership_.revision();
  Decide(DecisionField::kGroupWeight, "g1", 5);
  EXPECT_EQ(membership_.Model()->policy().group_weights.at("g1"), 5u);
  EXPECT_EQ(membership_.Snapshot().policy.group_weights.at("g1"), 5u);
  const auto changes = membership_.ChangesSince(before, 10);
  ASSERT_EQ(changes->size(), 1u);
  ASSERT_TRUE(changes->front()->policy.has_value());
  Decide(DecisionField::kGroupWeight, "g1", absl::nullopt);
  EXPECT_EQ(membership_.Model()->policy().group_weights.count("g1"), 0u);
}

TEST_F(DecidedTest, OldAndMalformedDecisionsChangeNothing) {
  Attach(1);
  Decide(DecisionField::kNodeRole, UuidOf(1), RoleNumber(NodeRole::kDraining));
  const uint64_t before = membership_.revision();
  EXPECT_EQ(Decide(DecisionField::kNodeRole, UuidOf(1),
                   RoleNumber(NodeRole::kStandby), DecisionTime{5, 0, kOther}),
            0u);
  EXPECT_EQ(
      Decide(DecisionField::kNodeRole, "x", 1, DecisionTime{5, 0, kOther}), 1u);
  EXPECT_EQ(ModelOf(1).role, NodeRole::kDraining);
  EXPECT_EQ(membership_.revision(), before);
}

TEST_F(DecidedTest, DecisionsOfOthersAreSavedAndBounded) {
  MembershipOptions options = Options();
  options.decisions_max = 1;
  Membership small(options, {}, {}, {}, &clock_);
  Decision first;
  first.key = {DecisionField::kGroupWeight, "g1"};
  first.value = 1;
  first.time = {5, 0, kOther};
  Decision second = first;
  second.key.subject = "g2";
  EXPECT_EQ(small.MergeDecisions({first, second}, /*saved=*/false), 1u);
  EXPECT_THAT(small.TakeUnsavedDecisions(), ElementsAre(first));
  EXPECT_THAT(small.TakeUnsavedDecisions(), IsEmpty());
  small.KeepUnsavedDecisions({first});
  EXPECT_THAT(small.TakeUnsavedDecisions(), ElementsAre(first));
  first.time.logical = 1;
  EXPECT_EQ(small.MergeDecisions({first}, /*saved=*/true), 0u);
  EXPECT_THAT(small.TakeUnsavedDecisions(), IsEmpty());
  EXPECT_THAT(small.AllDecisions(), ElementsAre(first));

  Membership restarted(Options(), {}, {}, {first}, &clock_);
  EXPECT_EQ(restarted.Model()->policy().group_weights.at("g1"), 1u);
  EXPECT_EQ(restarted.decisions_digest(), small.decisions_digest());
}

// ---- What other trackers say.

constexpr char kThere[] = "10.0.0.2:7700";

class WordsTest : public MembershipTest {
 protected:
  static NodeWord Word(int i, NodeState state, absl::Duration age) {
    NodeWord word;
    word.identity = Identity(i);
    word.status = Status();
    word.state = state;
    word.age = age;
    word.first_hand = true;
    return word;
  }

  size_t Hear(NodeWord word) {
    return membership_.MergeWords(kThere, {std::move(word)});
  }
};

TEST_F(WordsTest, ANodeThatOnlyAnotherTrackerHearsIsAsThatOneSays) {
  EXPECT_EQ(Hear(Word(1, NodeState::kActive, absl::Seconds(1))), 0u);
  EXPECT_EQ(StateOf(1), NodeState::kActive);
  const auto node = membership_.FindNode(UuidOf(1));
  EXPECT_EQ(node->heard_by, kThere);
  EXPECT_EQ(node->last_heard, clock_.Now() - absl::Seconds(1));
  EXPECT_THAT(membership_.HeardHere(), IsEmpty());
  // It grows old as if it had been heard here.
  clock_.Advance(absl::Seconds(2));
  membership_.Tick();
  EXPECT_EQ(StateOf(1), NodeState::kSuspect);
  Hear(Word(1, NodeState::kActive, absl::ZeroDuration()));
  EXPECT_EQ(StateOf(1), NodeState::kActive);
  clock_.Advance(absl::Seconds(1));
  Hear(Word(1, NodeState::kSuspect, absl::ZeroDuration()));
  EXPECT_EQ(StateOf(1), NodeState::kSuspect);
  clock_.Advance(absl::Seconds(11));
  membership_.Tick();
  EXPECT_EQ(StateOf(1), NodeState::kOffline);
}

TEST_F(WordsTest, OwnObservationComesFirst) {
  const uint64_t attachment = Attach(1);
  NodeWord word = Word(1, NodeState::kOffline, absl::ZeroDuration());
  word.identity.address = "10.0.0.9:1";
  Hear(word);
  EXPECT_EQ(StateOf(1), NodeState::kActive);
  EXPECT_EQ(membership_.FindNode(UuidOf(1))->identity, Identity(1));
  EXPECT_THAT(membership_.HeardHere(), ElementsAre(UuidOf(1)));

  // Its stream breaks here; another tracker heard it after that.
  clock_.Advance(absl::Seconds(1));
  membership_.Detach(attachment);
  EXPECT_EQ(StateOf(1), NodeState::kSuspect);
  Hear(Word(1, NodeState::kActive, absl::Seconds(2)));  // Before.
  EXPECT_EQ(StateOf(1), NodeState::kSuspect);
  Hear(Word(1, NodeState::kActive, absl::Milliseconds(500)));
  EXPECT_EQ(StateOf(1), NodeState::kActive);
}

TEST_F(WordsTest, TheTrackerThatHeardANodeLastMayTakeItsWordBack) {
  Hear(Word(1, NodeState::kActive, absl::Seconds(1)));
  // Another one knows nothing newer.
  membership_.MergeWords("10.0.0.3:7700",
                         {Word(1, NodeState::kSuspect, absl::Seconds(1))});
  EXPECT_EQ(StateOf(1), NodeState::kActive);
  // The stream broke there: it heard nothing more, and says so.
  Hear(Word(1, NodeState::kSuspect, absl::Seconds(1)));
  EXPECT_EQ(StateOf(1), NodeState::kSuspect);
}

TEST_F(WordsTest, HearsayKeepsNoNodeAlive) {
  Hear(Word(1, NodeState::kActive, absl::ZeroDuration()));
  // What is passed on is that it is known, not that it is there.
  const std::vector<NodeWord> words = membership_.WordsExcept({});
  ASSERT_EQ(words.size(), 1u);
  EXPECT_FALSE(words[0].first_hand);
  EXPECT_EQ(words[0].state, NodeState::kOffline);

  Membership third(Options(), {}, {}, {}, &clock_);
  EXPECT_EQ(third.MergeWords(kThere, words), 0u);
  EXPECT_EQ(third.Model()->FindNode(UuidOf(1))->state, NodeState::kOffline);
  EXPECT_EQ(third.FindNode(UuidOf(1))->last_heard, clock_.Now());
  // To who hears it, it is no news.
  Hear(words[0]);
  EXPECT_EQ(StateOf(1), NodeState::kActive);
}

TEST_F(WordsTest, ANodeIsNotToldToATrackerThatHearsIt) {
  Attach(1);
  Attach(2);
  const std::vector<NodeWord> words = membership_.WordsExcept({UuidOf(1)});
  ASSERT_EQ(words.size(), 1u);
  EXPECT_EQ(words[0].identity, Identity(2));
  EXPECT_TRUE(words[0].first_hand);
  EXPECT_EQ(words[0].state, NodeState::kActive);
  EXPECT_EQ(words[0].age, absl::ZeroDuration());
}

TEST_F(WordsTest, OwnObservationGrowsOldInWhatIsTold) {
  const uint64_t attachment = Attach(1);
  clock_.Advance(absl::Seconds(4));
  membership_.Tick();
  EXPECT_EQ(membership_.WordsExcept({})[0].state, NodeState::kSuspect);
  membership_.Detach(attachment);
  clock_.Advance(absl::Seconds(10));
  membership_.Tick();
  const NodeWord word = membership_.WordsExcept({})[0];
  EXPECT_EQ(word.state, NodeState::kOffline);
  EXPECT_EQ(word.age, absl::Seconds(14));
}

TEST_F(WordsTest, WhatIsMalformedOrOfAnotherClusterOrTooMuchIsPassedOver) {
  NodeWord word = Word(1, NodeState::kActive, absl::ZeroDuration());
  word.identity.group = "Not a group";
  EXPECT_EQ(Hear(word), 1u);
  word = Word(1, NodeState::kActive, absl::ZeroDuration());
  word.identity.cluster_id = "99999999-2222-4333-8444-555555555555";
  EXPECT_EQ(Hear(word), 1u);
  EXPECT_EQ(membership_.Snapshot().nodes.size(), 0u);
  for (int i = 1; i <= 6; ++i) {
    EXPECT_EQ(Hear(Word(i, NodeState::kActive, absl::ZeroDuration())),
              i <= 5 ? 0u : 1u);
  }
}

TEST_F(WordsTest, AWordDoesNotBringARemovedNodeBack) {
  Decision removed;
  removed.key = {DecisionField::kNodeRemoved, UuidOf(1)};
  removed.value = 1;
  removed.time = {5, 0, kOther};
  ASSERT_EQ(membership_.MergeDecisions({removed}, /*saved=*/true), 0u);
  Hear(Word(1, NodeState::kActive, absl::ZeroDuration()));
  EXPECT_EQ(membership_.Model()->FindNode(UuidOf(1)), nullptr);
  EXPECT_EQ(membership_.FindNode(UuidOf(1))->state, NodeState::kOffline);
}

TEST_F(MembershipTest, CatchingUpIsToldAtOnceAndLagNowAndThen) {
  const uint64_t attachment = Attach(1);
  const uint64_t before = membership_.revision();
  NodeStatus status = Status();
  status.store_paths[0].space.syncing = true;
  status.store_paths[0].behind_changes = 7;
  ASSERT_THAT(membership_.Report(attachment, status), IsOk());
  EXPECT_EQ(membership_.revision(), before + 1);
  EXPECT_TRUE(membership_.Model()->FindNode(UuidOf(1))->store_paths[0].syncing);
  status.store_paths[0].behind_changes = 3;
  ASSERT_THAT(membership_.Report(attachment, status), IsOk());
  EXPECT_EQ(membership_.revision(), before + 1);
  clock_.Advance(absl::Seconds(1));
  membership_.Tick();
  EXPECT_EQ(membership_.revision(), before + 2);
  EXPECT_EQ(
      membership_.FindNode(UuidOf(1))->status.store_paths[0].behind_changes,
      3u);
}

// Whether a group's last member may go depends on it, also after a restart of
// the tracker, with the node dead since.
TEST_F(MembershipTest, ThatANodeHoldsFilesIsSavedWithTheFirst) {
  const uint64_t attachment = Attach(1);
  membership_.TakeUnsaved();
  NodeStatus status = Status();
  status.store_paths[0].space.files = 1;
  ASSERT_THAT(membership_.Report(attachment, status), IsOk());
  const std::vector<NodeRecord> unsaved = membership_.TakeUnsaved();
  ASSERT_EQ(unsaved.size(), 1u);
  EXPECT_EQ(unsaved[0].status.store_paths[0].space.files, 1);
  status.store_paths[0].space.files = 2;
  ASSERT_THAT(membership_.Report(attachment, status), IsOk());
  EXPECT_THAT(membership_.TakeUnsaved(), IsEmpty());
}

TEST_F(DecidedTest, MembersAreToldWhoWasRemovedAndWhoWasLetBack) {
  Attach(1);
  ASSERT_THAT(membership_.Attach(Identity(2, "g2"), Status()), IsOk());
  const auto decide = [&](int i, absl::optional<uint32_t> value) {
    EXPECT_EQ(Decide(DecisionField::kNodeRemoved, UuidOf(i), value), 0u);
  };
  EXPECT_THAT(membership_.RemovalsIn("g1"), IsEmpty());
  decide(1, 1);
  decide(3, 1);  // Known to some other tracker, perhaps.
  const auto subjects = [&](absl::string_view group) {
    std::vector<std::string> uuids;
    for (const Decision& removal : membership_.RemovalsIn(group)) {
      uuids.push_back(removal.key.subject);
    }
    return uuids;
  };
  EXPECT_THAT(subjects("g1"), ElementsAre(UuidOf(1), UuidOf(3)));
  EXPECT_THAT(subjects("g2"), ElementsAre(UuidOf(3)));
  decide(1, absl::nullopt);
  ASSERT_THAT(subjects("g1"), ElementsAre(UuidOf(1), UuidOf(3)));
  EXPECT_EQ(membership_.RemovalsIn("g1")[0].value, absl::nullopt);
}

// Two trackers that did not reach each other removed the same node.
TEST_F(DecidedTest, AnotherHeirAloneIsToldToo) {
  Attach(1);
  Attach(2);
  Decide(DecisionField::kNodeRemoved, UuidOf(1), 1);
  const uint64_t revision = membership_.revision();
  EXPECT_EQ(Decide(DecisionField::kNodeHeir, SubjectOf(101), 102), 0u);
  const auto changes = membership_.ChangesSince(revision, 10);
  ASSERT_TRUE(changes.has_value());
  ASSERT_THAT(*changes, SizeIs(1));
  ASSERT_THAT((*changes)[0]->changed, SizeIs(1));
  EXPECT_EQ((*changes)[0]->changed[0].identity.node_uuid, UuidOf(2));
}

TEST_F(DecidedTest, MembersHearOfTheQuotasOfTheirGroupAndOfAllClients) {
  Attach(1);
  Attach(2);
  Decide(DecisionField::kNodeRemoved, UuidOf(2), 1);
  uint64_t before = membership_.revision();
  const auto told_since = [this](uint64_t revision) {
    std::vector<std::string> uuids;
    const auto changes = membership_.ChangesSince(revision, 10);
    EXPECT_TRUE(changes.has_value());
    for (const auto& change : *changes) {
      EXPECT_FALSE(change->space_only);
      EXPECT_THAT(change->removed, IsEmpty());
      for (const NodeRecord& node : change->changed) {
        uuids.push_back(node.identity.node_uuid);
      }
    }
    return uuids;
  };
  const std::string group = Identity(1).group;
  EXPECT_EQ(Decide(DecisionField::kGroupQuotaFiles, group, 100), 0u);
  EXPECT_THAT(told_since(before), ElementsAre(UuidOf(1)));
  before = membership_.revision();
  EXPECT_EQ(Decide(DecisionField::kGroupQuotaBytes, "elsewhere", 7), 0u);
  EXPECT_THAT(told_since(before), IsEmpty());
  EXPECT_EQ(
      Decide(DecisionField::kClientQuotaBytes, "alice", uint64_t{1} << 40), 0u);
  EXPECT_THAT(told_since(before), ElementsAre(UuidOf(1)));

  EXPECT_EQ(membership_.DecidedValue(DecisionField::kGroupQuotaFiles, group),
            uint64_t{100});
  std::vector<Decision> quotas = membership_.QuotasIn(group);
  ASSERT_THAT(quotas, SizeIs(2));
  EXPECT_EQ(quotas[0].key.subject, group);
  EXPECT_EQ(quotas[1].key.subject, "alice");
  EXPECT_EQ(quotas[1].value, uint64_t{1} << 40);
  // What is taken back is told, too: others may know of it.
  Decide(DecisionField::kGroupQuotaFiles, group, absl::nullopt);
  quotas = membership_.QuotasIn(group);
  ASSERT_THAT(quotas, SizeIs(2));
  EXPECT_EQ(quotas[0].value, absl::nullopt);
  // Not what no operator may decide.
  EXPECT_EQ(Decide(DecisionField::kGroupQuotaFiles, group, 0), 1u);
  EXPECT_EQ(Decide(DecisionField::kClientQuotaFiles, "", 1), 1u);
}

}  // namespace
}  // namespace tracker
}  // namespace cairn
