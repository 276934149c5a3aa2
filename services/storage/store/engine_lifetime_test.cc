// The lives of files on paths in memory: of two states of a file the one of the
// later life counts, whatever comes first and whatever happens to the path.

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/error_reason.h"
#include "lib/base/mutex.h"
#include "lib/checksum/crc32c.h"
#include "lib/testing/fake_clock.h"
#include "lib/testing/status_matchers.h"
#include "services/storage/core/replica_source.h"
#include "services/storage/core/replica_store.h"
#include "services/storage/store/test_path.h"
#include "services/storage/store/testing/replica_members.h"

namespace cairn {
namespace storage {
namespace {

using ::testing::SizeIs;

using Mode = ReplicatedChange::Mode;

// Of versions of these tests: the time of the fake clock, or the tombstones
// would be too old to be kept.
const uint64_t kFirstClock =
    static_cast<uint64_t>(absl::ToUnixMillis(FakeClock().Now())) << 16;

// A state of `f` that another member says: version `clock`, in `life`.
ReplicatedChange StateOf(uint32_t life, uint64_t clock, bool deleted) {
  ReplicatedChange change;
  change.mode = Mode::kSnapshot;
  change.kind = deleted ? ChangeKind::kDelete : ChangeKind::kPut;
  const std::string content = absl::StrCat("life ", life, " at ", clock);
  change.file.name = "f";
  change.file.size_bytes = static_cast<int64_t>(content.size());
  change.file.crc32c = Crc32c(content);
  change.file.version = Version{kFirstClock + clock, 9};
  change.file.life = life;
  change.file.origin_node = 9;
  if (!deleted) change.content = absl::Cord(content);
  return change;
}

void ExpectIs(Member* member, const ReplicatedChange& state) {
  const auto known = member->replica()->Find("f");
  ASSERT_THAT(known, IsOk());
  ASSERT_TRUE(known->has_value());
  EXPECT_EQ((*known)->file.life, state.file.life);
  EXPECT_TRUE((*known)->file.version == state.file.version);
  ASSERT_EQ((*known)->deleted, state.kind == ChangeKind::kDelete);
  if (state.kind == ChangeKind::kDelete) {
    EXPECT_EQ(ReasonOf(member->path()->Stat("f").status()),
              ErrorReason::kFileDeleted);
  } else {
    EXPECT_THAT(ReadFile(member->path(), "f"),
                IsOkAndHolds(std::string(*state.content)));
  }
}

TEST(EngineLifetimeTest, TheLaterLifeCountsInWhateverOrderTheyCome) {
  // Each replaces those before it: a later life needs no higher version, and a
  // deletion none within its life.
  const std::vector<ReplicatedChange> states = {
      StateOf(0, 100, false), StateOf(0, 900, false), StateOf(0, 500, true),
      StateOf(0, 501, true),  StateOf(1, 300, false), StateOf(1, 400, false),
      StateOf(1, 50, true),   StateOf(4, 10, false)};
  std::vector<size_t> order = {0, 1, 2};
  for (size_t base = 0; base + 3 <= states.size(); ++base) {
    std::sort(order.begin(), order.end());
    do {
      SCOPED_TRACE(absl::StrCat(base, ": ", order[0], order[1], order[2]));
      Member member(1);
      for (const size_t i : order) {
        ASSERT_THAT(ApplyAndWait(&member, states[base + i]), IsOk());
      }
      const ReplicatedChange& last = states[base + 2];
      ExpectIs(&member, last);
      member.KillAndOpen();
      ExpectIs(&member, last);
      ASSERT_THAT(PutFile(member.path(), "dead", TestContent(1, 5000)), IsOk());
      ASSERT_THAT(DeleteFile(member.path(), "dead"), IsOk());
      ASSERT_THAT(member.path()->Compact(0, nullptr), IsOk());
      ExpectIs(&member, last);
      member.Rebuild();
      ExpectIs(&member, last);
    } while (std::next_permutation(order.begin(), order.end()));
  }
}

TEST(EngineLifetimeTest, WhatIsDoneToAFileKeepsItsLife) {
  Member a(1);
  Member b(2);
  ASSERT_THAT(ApplyAndWait(&a, StateOf(3, 100, false)), IsOk());
  SetAttributesRequest set;
  set.name = "f";
  set.change.set["a"] = "1";
  Notification done;
  a.path()->SetAttributes(set, [&](const absl::StatusOr<Committed>& committed) {
    EXPECT_THAT(committed, IsOk());
    done.Notify();
  });
  done.WaitForNotification();
  EXPECT_EQ(a.path()->Stat("f")->life, 3u);
  Copy(&a, &b);
  EXPECT_EQ(b.path()->Stat("f")->life, 3u);
  ASSERT_THAT(DeleteFile(a.path(), "f"), IsOk());
  Copy(&a, &b);
  for (Member* member : {&a, &b}) {
    EXPECT_EQ((*member->replica()->Find("f"))->file.life, 3u);
    // Nothing of an earlier life comes between.
    ASSERT_THAT(ApplyAndWait(member, StateOf(2, uint64_t{1} << 40, false)),
                IsOk());
    EXPECT_EQ(ReasonOf(member->path()->Stat("f").status()),
              ErrorReason::kFileDeleted);
    member->KillAndOpen();
    EXPECT_EQ((*member->replica()->Find("f"))->file.life, 3u);
    member->Rebuild();
    EXPECT_EQ((*member->replica()->Find("f"))->file.life, 3u);
  }
}

// Whoever reads it may have the file in an earlier life.
TEST(EngineLifetimeTest, TheLogKnowsTheLifeWhenTheTombstoneIsGone) {
  Member a(1);
  Member b(2);
  a.options()->log_retention = absl::Hours(1000);
  a.options()->log_retention_longest = absl::Hours(1000);
  a.KillAndOpen();
  ASSERT_THAT(ApplyAndWait(&a, StateOf(2, 100, false)), IsOk());
  ASSERT_THAT(ApplyAndWait(&b, StateOf(2, 100, false)), IsOk());
  ASSERT_THAT(DeleteFile(a.path(), "f"), IsOk());
  a.clock()->Advance(a.options()->tombstone_retention + absl::Hours(1));
  // The record of the file goes with its segment first.
  ASSERT_THAT(a.path()->Compact(0, nullptr), IsOk());
  a.clock()->Advance(a.options()->tombstone_retention);
  ASSERT_THAT(PutFile(a.path(), "later", "x"), IsOk());
  ASSERT_THAT(a.path()->Compact(0, nullptr), IsOk());
  const auto known = a.replica()->Find("f");
  ASSERT_THAT(known, IsOk());
  ASSERT_FALSE(known->has_value());
  const auto changes =
      ReadChanges(a.path(), a.own_log().log, 0, ChangeLimits{});
  ASSERT_THAT(changes, IsOk());
  ASSERT_THAT(*changes, SizeIs(2));
  EXPECT_EQ(changes->front().file.life, 2u);
  Copy(&a, &b);
  EXPECT_EQ(ReasonOf(b.path()->Stat("f").status()), ErrorReason::kFileDeleted);
}

TEST(EngineLifetimeTest, AChangeThatIsSetAsideKeepsItsLife) {
  Member member(1);
  for (const ReplicatedChange& state :
       {StateOf(1, 100, true), StateOf(2, 50, false), StateOf(1, 900, false)}) {
    ReplicatedChange aside = state;
    aside.set_aside = true;
    ASSERT_THAT(ApplyAndWait(&member, std::move(aside)), IsOk());
  }
  for (int opened = 0; opened < 2; ++opened) {
    const auto aside = member.replica()->ListSetAside();
    ASSERT_THAT(aside, SizeIs(1));
    EXPECT_EQ(aside[0].file.life, 2u);
    EXPECT_TRUE(aside[0].kind == ChangeKind::kPut);
    member.KillAndOpen();
  }
}

}  // namespace
}  // namespace storage
}  // namespace cairn
