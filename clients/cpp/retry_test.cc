// What is repeated where, and when an operation gives up.

#include "clients/cpp/retry.h"

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "lib/base/error_reason.h"

namespace cairn {
namespace client {
namespace {

absl::Status Error(absl::StatusCode code,
                   ErrorReason reason = ErrorReason::kUnspecified) {
  absl::Status status(code, "from the test");
  if (reason == ErrorReason::kUnspecified) return status;
  return ErrorWithReason(code, reason, "from the test");
}

using Code = absl::StatusCode;

TEST(AdviceTest, WhatTheCallerMustChangeIsFinal) {
  for (const Intent intent :
       {Intent::kCreate, Intent::kChange, Intent::kRead}) {
    for (const absl::Status& status :
         {Error(Code::kInvalidArgument, ErrorReason::kInvalidField),
          Error(Code::kInvalidArgument, ErrorReason::kForgedFileId),
          Error(Code::kNotFound, ErrorReason::kFileNotFound),
          Error(Code::kNotFound, ErrorReason::kFileDeleted),
          Error(Code::kOutOfRange, ErrorReason::kRangePastEnd),
          Error(Code::kDeadlineExceeded, ErrorReason::kDeadline),
          Error(Code::kAlreadyExists, ErrorReason::kRequestIdReused),
          Error(Code::kInternal, ErrorReason::kInternal),
          Error(Code::kUnimplemented), Error(Code::kPermissionDenied)}) {
      EXPECT_FALSE(AdviceFor(status, intent).repeat) << status;
    }
  }
}

TEST(AdviceTest, ABrokenConnectionIsRepeatedAndTheNodeAvoided) {
  for (const absl::Status& status :
       {Error(Code::kUnavailable), Error(Code::kInternal),
        Error(Code::kUnknown), Error(Code::kCancelled),
        Error(Code::kUnavailable, ErrorReason::kShuttingDown)}) {
    const RetryAdvice advice = AdviceFor(status, Intent::kChange);
    EXPECT_TRUE(advice.repeat && advice.elsewhere && advice.node_is_gone)
        << status;
    EXPECT_FALSE(advice.only_elsewhere) << status;
  }
}

TEST(AdviceTest, ANodeThatCatchesUpIsWaitedFor) {
  const RetryAdvice advice = AdviceFor(
      Error(Code::kUnavailable, ErrorReason::kOriginDown), Intent::kChange);
  EXPECT_TRUE(advice.repeat && advice.patient);
  EXPECT_FALSE(advice.node_is_gone);
}

TEST(AdviceTest, WhoDoesNotChangeTheFileIsNotAskedAgain) {
  const RetryAdvice advice =
      AdviceFor(Error(Code::kFailedPrecondition, ErrorReason::kNotOrigin),
                Intent::kChange);
  EXPECT_TRUE(advice.repeat && advice.only_elsewhere);
}

TEST(AdviceTest, WhoIsCatchingUpIsWaitedForIfNobodyElseTakesADerivedFile) {
  const absl::Status syncing =
      Error(Code::kUnavailable, ErrorReason::kContentNotHere);
  const RetryAdvice put = AdviceFor(syncing, Intent::kCreate);
  EXPECT_TRUE(put.repeat && put.elsewhere && put.patient);
  // What is missing for good is not read for as long as the caller allows.
  EXPECT_FALSE(AdviceFor(syncing, Intent::kRead).patient);
}

TEST(AdviceTest, AFullDiskSendsUploadsElsewhereAndStopsDeletions) {
  const absl::Status full =
      Error(Code::kResourceExhausted, ErrorReason::kDiskFull);
  EXPECT_TRUE(AdviceFor(full, Intent::kCreate).only_elsewhere);
  EXPECT_FALSE(AdviceFor(full, Intent::kChange).repeat);
}

TEST(AdviceTest, AFullQuotaSendsUploadsToOtherGroups) {
  const absl::Status full =
      Error(Code::kResourceExhausted, ErrorReason::kQuotaExceeded);
  EXPECT_TRUE(AdviceFor(full, Intent::kCreate).only_elsewhere);
  EXPECT_FALSE(AdviceFor(full, Intent::kChange).repeat);
}

TEST(AdviceTest, DamageOnTheWayIsTriedOnceMore) {
  const RetryAdvice sent =
      AdviceFor(Error(Code::kInvalidArgument, ErrorReason::kChecksumMismatch),
                Intent::kCreate);
  EXPECT_TRUE(sent.repeat && sent.once);
  const RetryAdvice received = AdviceFor(
      Error(Code::kDataLoss, ErrorReason::kChecksumMismatch), Intent::kRead);
  EXPECT_TRUE(received.repeat && received.once && received.elsewhere);
}

TEST(AdviceTest, DamageOnTheDiskIsReadElsewhereOnly) {
  EXPECT_TRUE(AdviceFor(Error(Code::kDataLoss, ErrorReason::kContentDamaged),
                        Intent::kRead)
                  .only_elsewhere);
}

TEST(BackoffTest, GrowsToItsMaximumAndStaysInTheUpperHalf) {
  Backoff backoff(absl::Milliseconds(100), absl::Milliseconds(400));
  absl::Duration full = absl::Milliseconds(100);
  for (int i = 0; i < 20; ++i) {
    const absl::Duration wait = backoff.Next();
    EXPECT_GE(wait, full * 0.5 - absl::Nanoseconds(1));
    EXPECT_LE(wait, full);
    full = std::min(full * 1.6, absl::Milliseconds(400));
  }
}

RetryAdvice Advice(const absl::Status& status) {
  return AdviceFor(status, Intent::kCreate);
}

TEST(RetryStateTest, TriesEveryNodeBeforeItWaits) {
  RetryState state({.attempts_max = 10});
  const absl::Status gone = Error(Code::kUnavailable);
  EXPECT_TRUE(state.AfterFailure(gone, Advice(gone), "a"));
  EXPECT_TRUE(state.AfterFailure(gone, Advice(gone), "b"));
  EXPECT_EQ(state.tried(), (Tried{"a", "b"}));
  EXPECT_TRUE(state.AfterNoRoute(Error(Code::kUnavailable)).has_value());
  EXPECT_TRUE(state.tried().empty());
}

TEST(RetryStateTest, NeverWaitsForNodesThatWillFailForSure) {
  RetryState state({.attempts_max = 10});
  const absl::Status full =
      Error(Code::kResourceExhausted, ErrorReason::kDiskFull);
  EXPECT_TRUE(state.AfterFailure(full, Advice(full), "a"));
  EXPECT_FALSE(state.AfterNoRoute(Error(Code::kUnavailable)).has_value());
  EXPECT_EQ(state.failure(), full);
}

TEST(RetryStateTest, AFullNodeStaysOutWhileAGoneOneIsWaitedFor) {
  RetryState state({.attempts_max = 10});
  const absl::Status full =
      Error(Code::kResourceExhausted, ErrorReason::kDiskFull);
  const absl::Status gone = Error(Code::kUnavailable);
  EXPECT_TRUE(state.AfterFailure(gone, Advice(gone), "a"));
  EXPECT_TRUE(state.AfterFailure(full, Advice(full), "b"));
  EXPECT_TRUE(state.AfterNoRoute(Error(Code::kUnavailable)).has_value());
  EXPECT_EQ(state.tried(), Tried{"b"});
}

TEST(RetryStateTest, GivesUpAfterSoManyAttempts) {
  RetryState state({.attempts_max = 3});
  const absl::Status gone = Error(Code::kUnavailable);
  EXPECT_TRUE(state.AfterFailure(gone, Advice(gone), "a"));
  EXPECT_TRUE(state.AfterFailure(gone, Advice(gone), "a"));
  EXPECT_FALSE(state.AfterFailure(gone, Advice(gone), "a"));
  RetryState nowhere({.attempts_max = 2});
  EXPECT_TRUE(nowhere.AfterNoRoute(gone).has_value());
  EXPECT_FALSE(nowhere.AfterNoRoute(gone).has_value());
}

TEST(RetryStateTest, WhoIsSentAwayByABusyNodeComesBackManyTimes) {
  RetryState state({.attempts_max = 3});
  const absl::Status busy =
      Error(Code::kResourceExhausted, ErrorReason::kOverloaded);
  const absl::Status gone = Error(Code::kUnavailable);
  for (int i = 0; i < 40; ++i) {
    EXPECT_TRUE(state.AfterFailure(busy, Advice(busy), "a"));
  }
  // Failures count as ever.
  EXPECT_TRUE(state.AfterFailure(gone, Advice(gone), "a"));
  EXPECT_TRUE(state.AfterFailure(gone, Advice(gone), "a"));
  EXPECT_FALSE(state.AfterFailure(gone, Advice(gone), "a"));
  // Not for ever, without a deadline either.
  RetryState endless({.attempts_max = 3});
  int times = 0;
  while (endless.AfterFailure(busy, Advice(busy), "a") && times < 1000) ++times;
  EXPECT_LT(times, 1000);
}

TEST(RetryStateTest, WhatMovesOnStartsCountingAgain) {
  RetryState state({.attempts_max = 2});
  const absl::Status gone = Error(Code::kUnavailable);
  for (int i = 0; i < 10; ++i) {
    state.MovedOn();
    EXPECT_TRUE(state.AfterFailure(gone, Advice(gone), "a"));
  }
}

TEST(RetryStateTest, AnUnknownGroupIsFinalAtOnce) {
  RetryState state({.attempts_max = 10});
  const absl::Status unknown =
      Error(Code::kNotFound, ErrorReason::kUnknownGroup);
  EXPECT_FALSE(state.AfterNoRoute(unknown).has_value());
  EXPECT_EQ(state.failure(), unknown);
}

}  // namespace
}  // namespace client
}  // namespace cairn
