// Who waits for other members, and what they say: no network, no clock.

#include "services/storage/core/replica_waits.h"

#include <vector>

#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/uuid.h"

namespace cairn {
namespace storage {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

constexpr absl::Duration kLater = absl::Seconds(5);

class ReplicaWaitsTest : public ::testing::Test {
 protected:
  ReplicaWaitsTest() { waits_.SetMembers({a_, b_}); }

  void Await(uint64_t sequence, uint32_t replicas, bool required,
             Durability level = Durability::kCached) {
    waits_.Await({log_, sequence}, {replicas, required, level}, kLater,
                 [this](uint32_t reached, bool enough) {
                   answers_.emplace_back(reached, enough);
                 });
  }

  Acknowledgement Said(uint64_t applied, uint64_t synced,
                       std::vector<uint64_t> missing = {}) {
    Acknowledgement said;
    LogRange range;
    range.log = log_;
    range.applied = applied;
    range.synced = synced;
    said.logs.push_back(range);
    for (const uint64_t sequence : missing) {
      said.missing.push_back({log_, sequence});
    }
    return said;
  }

  const LogId log_{Uuid::Random(), 1};
  const Uuid a_ = Uuid::Random();
  const Uuid b_ = Uuid::Random();
  int stream_ = 0;
  int other_stream_ = 0;
  std::vector<std::pair<uint32_t, bool>> answers_;
  ReplicaWaits waits_;
};

TEST_F(ReplicaWaitsTest, WhoMayHaveLostAChangeDoesNotCount) {
  Acknowledgement said = Said(9, 9);
  said.logs.front().unsure = 5;
  waits_.OnAck(a_, said);
  EXPECT_EQ(waits_.Holders({log_, 5}, Durability::kCached), 1u);
  EXPECT_EQ(waits_.Holders({log_, 6}, Durability::kCached), 2u);
  // It has found what it was unsure of.
  waits_.OnAck(a_, Said(9, 9));
  EXPECT_EQ(waits_.Holders({log_, 5}, Durability::kSynced), 2u);
}

TEST_F(ReplicaWaitsTest, AMemberWithoutTheContentDoesNotCountItself) {
  const auto await = [this](uint32_t replicas, bool required) {
    waits_.Await(
        {log_, 1}, {replicas, required, Durability::kCached}, kLater,
        [this](uint32_t reached, bool enough) {
          answers_.emplace_back(reached, enough);
        },
        /*here=*/0);
  };
  // Nobody has it, so far as is known: no effort is good enough.
  await(1, /*required=*/false);
  EXPECT_THAT(answers_, IsEmpty());
  waits_.Expire(kLater);
  EXPECT_THAT(answers_, ElementsAre(Pair(0, false)));
  answers_.clear();

  await(2, /*required=*/true);
  waits_.OnAck(a_, Said(1, 1));
  EXPECT_THAT(answers_, IsEmpty());
  waits_.OnAck(b_, Said(1, 1));
  EXPECT_THAT(answers_, ElementsAre(Pair(2, true)));
}

TEST_F(ReplicaWaitsTest, AnOvertakenAcknowledgementBringsNoContent) {
  waits_.OnAck(a_, Said(7, 7, {7}));
  // Sent before that change was applied there: nothing was missing then.
  waits_.OnAck(a_, Said(6, 6));
  EXPECT_EQ(waits_.Holders({log_, 7}, Durability::kCached), 1u);
  waits_.OnAck(a_, Said(7, 7));
  EXPECT_EQ(waits_.Holders({log_, 7}, Durability::kCached), 2u);
}

TEST_F(ReplicaWaitsTest, WhatAPowerCutTookIsNotCounted) {
  const Uuid path = Uuid::Random();
  const auto said = [&](uint32_t epoch, uint64_t applied) {
    Acknowledgement ack = Said(applied, 0);
    LogRange own;
    own.log = LogId{path, epoch};
    own.own = true;
    ack.logs.insert(ack.logs.begin(), own);
    return ack;
  };
  waits_.OnAck(a_, said(1, 9));
  EXPECT_EQ(waits_.Holders({log_, 9}, Durability::kCached), 2u);
  waits_.OnAck(a_, said(2, 8));
  EXPECT_EQ(waits_.Holders({log_, 9}, Durability::kCached), 1u);
  // From before the power cut.
  waits_.OnAck(a_, said(1, 10));
  EXPECT_EQ(waits_.Holders({log_, 9}, Durability::kCached), 1u);
}

TEST_F(ReplicaWaitsTest, BestEffortAsksOnlyWhoFollows) {
  Await(1, 3, /*required=*/false);
  EXPECT_THAT(answers_, ElementsAre(Pair(1, true)));
  answers_.clear();
  waits_.SetFollowing(a_, &stream_, true);
  EXPECT_EQ(waits_.up(), 2u);
  Await(2, 3, /*required=*/false);
  EXPECT_THAT(answers_, IsEmpty());
  waits_.OnAck(a_, Said(1, 1));
  EXPECT_THAT(answers_, IsEmpty());
  waits_.OnAck(a_, Said(2, 0));
  EXPECT_THAT(answers_, ElementsAre(Pair(2, true)));
}

TEST_F(ReplicaWaitsTest, SyncedMeansSyncedThere) {
  waits_.SetFollowing(a_, &stream_, true);
  Await(5, 2, /*required=*/false, Durability::kSynced);
  waits_.OnAck(a_, Said(5, 4));
  EXPECT_THAT(answers_, IsEmpty());
  waits_.OnAck(a_, Said(5, 5));
  EXPECT_THAT(answers_, ElementsAre(Pair(2, true)));
}

TEST_F(ReplicaWaitsTest, AMemberWithoutTheContentDoesNotCount) {
  waits_.SetFollowing(a_, &stream_, true);
  Await(5, 2, /*required=*/true);
  waits_.OnAck(a_, Said(7, 7, {5}));
  EXPECT_THAT(answers_, IsEmpty());
  waits_.OnAck(a_, Said(7, 7));
  EXPECT_THAT(answers_, ElementsAre(Pair(2, true)));
}

TEST_F(ReplicaWaitsTest, WhatIsRequiredIsNotGivenUpForAMemberThatIsLost) {
  waits_.SetFollowing(a_, &stream_, true);
  Await(1, 2, /*required=*/true);
  Await(1, 2, /*required=*/false);
  waits_.SetFollowing(a_, &stream_, false);
  EXPECT_THAT(answers_, ElementsAre(Pair(1, true)));  // Best effort.
  waits_.Expire(kLater);
  EXPECT_THAT(answers_, ElementsAre(Pair(1, true), Pair(1, false)));
}

TEST_F(ReplicaWaitsTest, ABreakingStreamDoesNotEndTheOneThatReplacesIt) {
  waits_.SetFollowing(a_, &stream_, true);
  waits_.SetFollowing(a_, &other_stream_, true);
  waits_.SetFollowing(a_, &stream_, false);
  EXPECT_EQ(waits_.up(), 2u);
}

TEST_F(ReplicaWaitsTest, WhoKeptSomebodyWaitingIsNotAwaitedUntilItCatchesUp) {
  waits_.SetFollowing(a_, &stream_, true);
  Await(1, 2, /*required=*/false);
  waits_.Expire(kLater - absl::Milliseconds(1));
  EXPECT_THAT(answers_, IsEmpty());
  waits_.Expire(kLater);
  EXPECT_THAT(answers_, ElementsAre(Pair(1, true)));
  EXPECT_EQ(waits_.up(), 1u);
  Await(2, 2, /*required=*/false);
  EXPECT_EQ(answers_.size(), 2u);
  waits_.OnAck(a_, Said(2, 2));
  EXPECT_EQ(waits_.up(), 2u);
}

TEST_F(ReplicaWaitsTest, WhoIsAwayForLongIsNotAmongThePresent) {
  constexpr absl::Duration kAway = absl::Minutes(10);
  LogRange own;
  own.log = log_;
  own.applied = 9;
  own.synced = 8;
  const auto held = [&] { return waits_.HeldByPresent({own}, kAway); };
  // Before there is a time, and for a while, everybody is expected.
  EXPECT_THAT(held(), ElementsAre(LogPosition{log_, 0}));
  absl::Duration now = absl::Hours(1000);
  waits_.Expire(now);
  waits_.OnAck(a_, Said(9, 7));
  EXPECT_THAT(held(), ElementsAre(LogPosition{log_, 0}));
  now += kAway - absl::Seconds(1);
  waits_.Expire(now);
  waits_.Heard(a_);
  EXPECT_THAT(held(), ElementsAre(LogPosition{log_, 0}));
  now += absl::Seconds(1);
  waits_.Expire(now);
  EXPECT_THAT(held(), ElementsAre(LogPosition{log_, 7}));
  EXPECT_THAT(waits_.HeldByAll({own}), ElementsAre(LogPosition{log_, 0}));
  // One that asks, or follows, is there, however little it says.
  waits_.Heard(b_);
  EXPECT_THAT(held(), ElementsAre(LogPosition{log_, 0}));
  now += 2 * kAway;
  waits_.Expire(now);
  EXPECT_THAT(held(), ElementsAre(LogPosition{log_, 8}));  // Nobody is.
  waits_.SetFollowing(b_, &stream_, true);
  EXPECT_THAT(held(), ElementsAre(LogPosition{log_, 0}));
}

TEST_F(ReplicaWaitsTest, WhatIsHeldByAllIsWhatTheSlowestHasSynced) {
  LogRange own;
  own.log = log_;
  own.applied = 9;
  own.synced = 8;
  EXPECT_THAT(waits_.HeldByAll({own}), ElementsAre(LogPosition{log_, 0}));
  waits_.OnAck(a_, Said(9, 9));
  waits_.OnAck(b_, Said(9, 3));
  EXPECT_THAT(waits_.HeldByAll({own}), ElementsAre(LogPosition{log_, 3}));
  // A late message says less than is known.
  waits_.OnAck(b_, Said(2, 2));
  EXPECT_THAT(waits_.HeldByAll({own}), ElementsAre(LogPosition{log_, 3}));
  waits_.SetMembers({a_});
  EXPECT_THAT(waits_.HeldByAll({own}), ElementsAre(LogPosition{log_, 8}));
}

TEST_F(ReplicaWaitsTest, ANewPathHasNothingOfWhatTheOldOneHad) {
  const auto said_by = [this](const Uuid& incarnation, uint64_t applied) {
    Acknowledgement said = Said(applied, applied);
    LogRange own;
    own.log = LogId{incarnation, 1};
    own.own = true;
    said.logs.push_back(own);
    return said;
  };
  const Uuid first = Uuid::Random();
  waits_.OnAck(a_, said_by(first, 9));
  EXPECT_EQ(waits_.Holders({log_, 9}, Durability::kCached), 2u);
  waits_.OnAck(a_, said_by(first, 3));  // Late.
  EXPECT_EQ(waits_.Holders({log_, 9}, Durability::kCached), 2u);
  waits_.OnAck(a_, said_by(Uuid::Random(), 3));
  EXPECT_EQ(waits_.Holders({log_, 9}, Durability::kCached), 1u);
  EXPECT_EQ(waits_.Holders({log_, 3}, Durability::kCached), 2u);
}

TEST_F(ReplicaWaitsTest, StopAnswersEverybody) {
  waits_.SetFollowing(a_, &stream_, true);
  Await(1, 2, /*required=*/true);
  waits_.Stop();
  EXPECT_THAT(answers_, ElementsAre(Pair(1, false)));
  Await(1, 2, /*required=*/true);
  EXPECT_EQ(answers_.size(), 2u);
  EXPECT_EQ(waits_.waiting(), 0u);
}

}  // namespace
}  // namespace storage
}  // namespace cairn
