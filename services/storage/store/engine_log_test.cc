// What becomes of a path's logs: entries that nobody needs are dropped,
// whatever is killed meanwhile, and a change that cannot be applied does not
// stop them.

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/error_reason.h"
#include "lib/base/uuid.h"
#include "lib/fault/fault_point.h"
#include "lib/testing/status_matchers.h"
#include "services/storage/core/replica_source.h"
#include "services/storage/core/replica_store.h"
#include "services/storage/store/file_record.h"
#include "services/storage/store/test_path.h"
#include "services/storage/store/testing/replica_members.h"

namespace cairn {
namespace storage {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

using Mode = ReplicatedChange::Mode;

void PutSome(Member* member, int count, absl::string_view prefix = "f") {
  for (int i = 0; i < count; ++i) {
    ASSERT_THAT(PutFile(member->path(), absl::StrCat(prefix, i), "content"),
                IsOk());
  }
}

// A round of the background work, and a checkpoint that gives room back.
void Round(Member* member) {
  ASSERT_THAT(member->path()->Compact(0, nullptr), IsOk());
  ASSERT_THAT(member->replica()->BeginSnapshot(), IsOk());
}

// The log is there from behind its cut on, and not before.
void ExpectKept(Member* member, uint64_t cut, uint64_t end) {
  const LogId log = member->own_log().log;
  EXPECT_EQ(member->own_log().cut, cut);
  const auto kept = member->replica()->ReadLog(log, cut, 10000);
  ASSERT_THAT(kept, IsOk());
  ASSERT_THAT(*kept, SizeIs(end - cut));
  for (size_t i = 0; i < kept->size(); ++i) {
    EXPECT_EQ((*kept)[i].sequence, cut + 1 + i);
  }
  for (uint64_t after = 0; after < cut; ++after) {
    EXPECT_EQ(ReasonOf(member->replica()->ReadLog(log, after, 10).status()),
              ErrorReason::kLogCut)
        << after;
  }
}

TEST(EngineLogTest, DropsOldEntriesThatEveryMemberHas) {
  Member a(1);
  PutSome(&a, 20);
  a.replica()->SetPassed({{a.own_log().log, 15}});
  Round(&a);
  ExpectKept(&a, 0, 20);  // Nobody needs them, but they are young.
  a.clock()->Advance(absl::Hours(48));
  PutSome(&a, 3, "young");
  a.replica()->SetPassed({{a.own_log().log, 22}});
  Round(&a);
  ExpectKept(&a, 20, 23);  // The rest is young.
  a.KillAndOpen();
  ExpectKept(&a, 20, 23);
  a.PowerCutAndOpen();
  EXPECT_EQ(a.path()->Status().files, 23);
  for (int i = 0; i < 20; ++i) {
    EXPECT_THAT(ReadFile(a.path(), absl::StrCat("f", i)),
                IsOkAndHolds("content"));
  }
}

TEST(EngineLogTest, KeepsWhatAMemberNeedsWhateverTheClockSays) {
  Member a(1);
  PutSome(&a, 20);
  const LogId log = a.own_log().log;
  a.replica()->SetPassed({{log, 5}});
  a.replica()->SetHeldByPresent({{log, 5}});
  a.clock()->Advance(absl::Hours(24 * 365));
  Round(&a);
  ExpectKept(&a, 5, 20);
  // A clock that is behind only cuts later.
  a.clock()->Advance(-absl::Hours(2 * 24 * 365));
  a.replica()->SetPassed({{log, 20}});
  Round(&a);
  ExpectKept(&a, 5, 20);
}

TEST(EngineLogTest, DropsForAMemberThatIsAwayForLongAndKeepsTombstones) {
  Member a(1);
  PutSome(&a, 10);
  ASSERT_THAT(DeleteFile(a.path(), "f3"), IsOk());
  const LogId log = a.own_log().log;
  a.replica()->SetPassed({{log, 0}});
  a.replica()->SetHeldByPresent({{log, 11}});
  a.clock()->Advance(absl::Hours(6 * 24));
  Round(&a);
  ExpectKept(&a, 0, 11);
  a.clock()->Advance(absl::Hours(3 * 24));
  Round(&a);
  ExpectKept(&a, 11, 11);
  EXPECT_EQ(ReasonOf(a.path()->Stat("f3").status()), ErrorReason::kFileDeleted);
}

TEST(EngineLogTest, ARequestIsAnsweredAsLongAsItIsRemembered) {
  Member a(1);
  a.options()->log_retention = absl::Minutes(1);
  a.KillAndOpen();
  const Uuid request = Uuid::Random();
  ASSERT_THAT(PutFile(a.path(), "f", "x", Durability::kSynced, request),
              IsOk());
  PutSome(&a, 3, "other");
  a.replica()->SetPassed({{a.own_log().log, 4}});
  a.clock()->Advance(absl::Hours(23));
  Round(&a);
  a.KillAndOpen();
  const auto again = PutFile(a.path(), "g", "x", Durability::kSynced, request);
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(again->replayed);
  EXPECT_EQ(again->file.name, "f");
}

TEST(EngineLogTest, CutsCopiesOfOthersLogsToo) {
  Member a(1);
  Member b(2);
  PutSome(&a, 10);
  const LogId log = a.own_log().log;
  Copy(&a, &b);
  ASSERT_THAT(b.replica()->Sync(), IsOk());
  b.replica()->SetPassed({{log, 10}});
  b.clock()->Advance(absl::Hours(48));
  Round(&b);
  EXPECT_EQ(b.RangeOf(log).cut, 10u);
  b.KillAndOpen();
  EXPECT_EQ(b.RangeOf(log).cut, 10u);
  PutSome(&a, 3, "later");
  Copy(&a, &b);
  EXPECT_EQ(b.RangeOf(log).applied, 13u);
  EXPECT_THAT(b.replica()->ReadLog(log, 10, 100), IsOkAndHolds(SizeIs(3)));
}

TEST(EngineLogTest, ACutSurvivesAPowerCutAtAnyChangeOfTheDisk) {
  bool through = false;
  int stop = 1;
  for (; !through && stop < 500; ++stop) {
    SCOPED_TRACE(absl::StrCat("stops after ", stop));
    Member a(1, static_cast<uint64_t>(stop));
    PutSome(&a, 12);
    const LogId log = a.own_log().log;
    a.replica()->SetPassed({{log, 12}});
    a.clock()->Advance(absl::Hours(48));
    PutSome(&a, 3, "young");
    a.fs()->StopAfter(stop);
    through =
        a.path()->Compact(0, nullptr).ok() && a.replica()->BeginSnapshot().ok();
    if (stop % 2 == 0) {
      a.PowerCutAndOpen();
    } else {
      a.KillAndOpen();
    }
    // Cut or not cut, and nothing between.
    const LogRange range = a.RangeOf(log);
    EXPECT_EQ(range.applied, 15u);
    EXPECT_TRUE(range.cut == 0 || range.cut == 12) << range.cut;
    const auto kept = a.replica()->ReadLog(log, range.cut, 100);
    ASSERT_THAT(kept, IsOk());
    EXPECT_EQ(kept->size(), 15 - range.cut);
    EXPECT_EQ(a.path()->Status().files, 15);
    // It is made good by the next round.
    a.replica()->SetPassed({{log, 12}});
    Round(&a);
    EXPECT_EQ(a.RangeOf(log).cut, 12u);
    EXPECT_THAT(a.replica()->ReadLog(log, 12, 100), IsOkAndHolds(SizeIs(3)));
    if (::testing::Test::HasFailure()) return;
  }
  EXPECT_TRUE(through);
}

TEST(EngineLogTest, TellsADeletionWhoseTombstoneHasGone) {
  Member a(1);
  Member b(2);
  PutSome(&a, 3);
  const LogId log = a.own_log().log;
  Copy(&a, &b);
  a.replica()->SetPassed({{log, 4}});
  ASSERT_THAT(DeleteFile(a.path(), "f1"), IsOk());
  ASSERT_THAT(a.path()->Compact(0, nullptr), IsOk());
  a.options()->log_retention = absl::Hours(24 * 365);
  a.KillAndOpen();
  a.replica()->SetPassed({{log, 4}});
  a.clock()->Advance(absl::Hours(24 * 30));
  ASSERT_THAT(PutFile(a.path(), "other", "x"), IsOk());
  Round(&a);
  Round(&a);
  ASSERT_EQ(ReasonOf(a.path()->Stat("f1").status()),
            ErrorReason::kFileNotFound);
  ASSERT_EQ(a.own_log().cut, 0u);
  // One that was not told before learns of it from the log alone.
  Copy(&a, &b);
  EXPECT_EQ(ReasonOf(b.path()->Stat("f1").status()), ErrorReason::kFileDeleted);
  EXPECT_EQ(b.path()->Status().files, 3);
}

// ---- Changes that cannot be applied.

struct FaultPointsOff {
  ~FaultPointsOff() { DisableFaultPoints(); }
};

TEST(EngineLogTest, AChangeThatCannotBeAppliedIsSetAsideAndTriedAgain) {
  const FaultPointsOff off;
  Member a(1);
  Member b(2);
  PutSome(&a, 3);
  ASSERT_THAT(DeleteFile(a.path(), "f0"), IsOk());
  const LogId log = a.own_log().log;
  ASSERT_THAT(b.replica()->SetLogs({LogRange{log}}), IsOk());
  auto changes = ReadChanges(a.path(), log, 0, ChangeLimits{});
  ASSERT_THAT(changes, IsOk());
  ASSERT_THAT(*changes, SizeIs(4));
  ASSERT_THAT(ApplyAndWait(&b, (*changes)[0]), IsOk());
  ASSERT_THAT(EnableFaultPoints("committer.take_over=error:DATA_LOSS@1+"),
              IsOk());
  ASSERT_THAT(ApplyAndWait(&b, (*changes)[1]),
              StatusIs(absl::StatusCode::kDataLoss));
  ReplicatedChange aside = (*changes)[1];
  aside.set_aside = true;
  ASSERT_THAT(ApplyAndWait(&b, aside), IsOk());
  EXPECT_THAT(b.replica()->ListSetAside(), SizeIs(1));
  DisableFaultPoints();

  // The log goes on; what is behind is applied.
  ASSERT_THAT(ApplyAndWait(&b, (*changes)[2]), IsOk());
  EXPECT_EQ(b.RangeOf(log).applied, 3u);
  EXPECT_EQ(b.RangeOf(log).unsure, 2u);
  EXPECT_EQ(ReasonOf(b.path()->Stat("f1").status()),
            ErrorReason::kFileNotFound);
  EXPECT_THAT(ReadFile(b.path(), "f2"), IsOkAndHolds("content"));
  ASSERT_THAT(b.replica()->Sync(), IsOk());
  b.PowerCutAndOpen();
  EXPECT_EQ(b.RangeOf(log).applied, 3u);
  ASSERT_THAT(b.replica()->ListSetAside(), SizeIs(1));
  ASSERT_THAT(b.replica()->BeginSnapshot(), IsOk());
  b.KillAndOpen();  // From the index now.
  const std::vector<ReplicatedChange> listed = b.replica()->ListSetAside();
  ASSERT_THAT(listed, SizeIs(1));
  EXPECT_EQ(listed[0].file.name, "f1");
  EXPECT_TRUE(listed[0].change == (LogPosition{log, 2}));

  ASSERT_THAT(ApplyAndWait(&b, listed[0]), IsOk());
  EXPECT_THAT(b.replica()->ListSetAside(), IsEmpty());
  EXPECT_EQ(b.RangeOf(log).unsure, 0u);
  ASSERT_THAT(FetchContent(&a, &b, "f1"), IsOk());
  EXPECT_THAT(ReadFile(b.path(), "f1"), IsOkAndHolds("content"));
  Copy(&a, &b);
  b.KillAndOpen();
  EXPECT_THAT(b.replica()->ListSetAside(), IsEmpty());
  EXPECT_EQ(b.path()->Status().files, a.path()->Status().files);
}

TEST(EngineLogTest, WhatAnEarlierVersionSetAsideIsTriedAgainAsWell) {
  disk::v1::SetAsideEntry entry;
  entry.set_log_origin(3);
  entry.set_log_sequence(9);
  entry.set_operation(2);
  entry.set_version_clock(77);
  entry.set_version_node(5);
  entry.set_size_bytes(1000);
  entry.set_attributes("attributes");
  entry.set_owner("alice");
  const disk::v1::FileChange old = DecodeSetAside("f", entry);
  EXPECT_EQ(old.name(), "f");
  EXPECT_TRUE(old.set_aside());
  EXPECT_EQ(old.log_origin(), 3u);
  EXPECT_EQ(old.log_sequence(), 9u);
  EXPECT_EQ(old.operation(), 2u);
  EXPECT_EQ(old.version_clock(), 77u);
  EXPECT_EQ(old.version_node(), 5u);
  EXPECT_EQ(old.size_bytes(), 1000u);
  EXPECT_EQ(old.attributes(), "attributes");
  EXPECT_EQ(old.owner(), "alice");
  // What is written now has all of it in one.
  disk::v1::FileChange change = old;
  change.set_sealed_from("appender");
  *entry.mutable_change() = change;
  EXPECT_EQ(DecodeSetAside("f", entry).SerializeAsString(),
            change.SerializeAsString());
}

TEST(EngineLogTest, ADeletionThatWasSetAsideHolds) {
  Member a(1);
  Member b(2);
  PutSome(&a, 2);
  const LogId log = a.own_log().log;
  Copy(&a, &b);
  ASSERT_THAT(DeleteFile(a.path(), "f1"), IsOk());
  auto changes = ReadChanges(a.path(), log, 2, ChangeLimits{});
  ASSERT_THAT(changes, IsOk());
  ReplicatedChange aside = changes->front();
  aside.set_aside = true;
  ASSERT_THAT(ApplyAndWait(&b, aside), IsOk());
  EXPECT_THAT(ReadFile(b.path(), "f1"), IsOkAndHolds("content"));
  b.KillAndOpen();
  ASSERT_THAT(b.replica()->ListSetAside(), SizeIs(1));
  ASSERT_THAT(ApplyAndWait(&b, b.replica()->ListSetAside().front()), IsOk());
  EXPECT_EQ(ReasonOf(b.path()->Stat("f1").status()), ErrorReason::kFileDeleted);
  EXPECT_THAT(b.replica()->ListSetAside(), IsEmpty());
}

}  // namespace
}  // namespace storage
}  // namespace cairn
