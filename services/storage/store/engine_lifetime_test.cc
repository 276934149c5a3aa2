// How long files live, on paths in memory. Of two states of a file the one of
// the later life counts, whatever comes first and whatever happens to the path.
// A file that expires is not found from then on, and its space comes back.

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/error_reason.h"
#include "lib/base/uuid.h"
#include "lib/checksum/crc32c.h"
#include "lib/testing/fake_clock.h"
#include "lib/testing/status_matchers.h"
#include "services/storage/core/replica_source.h"
#include "services/storage/core/replica_store.h"
#include "services/storage/store/test_path.h"
#include "services/storage/store/testing/blocking_calls.h"
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
  EXPECT_THAT(SetAttributesAndWait(a.path(), std::move(set)), IsOk());
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

constexpr size_t kLargeBytes = 3 << 20;

int64_t InSeconds(Member* member, absl::Duration after) {
  return absl::ToUnixSeconds(member->clock()->Now() + after);
}

// Takes a file at `member` that expires after `after`.
absl::StatusOr<Committed> PutExpiring(Member* member, const std::string& name,
                                      const std::string& content,
                                      absl::Duration after,
                                      FileKind kind = FileKind::kNormal) {
  PutRequest put;
  put.name = name;
  put.kind = kind;
  put.origin_node = member->options()->node_number;
  put.expire_unix_seconds = InSeconds(member, after);
  return PutOfAnySize(member->path(), std::move(put), content);
}

absl::StatusOr<Committed> SetExpiry(Member* member, const std::string& name,
                                    int64_t expire_unix_seconds,
                                    const Uuid& request_id = Uuid()) {
  SetExpiryRequest set;
  set.name = name;
  set.expire_unix_seconds = expire_unix_seconds;
  set.request_id = request_id;
  return AwaitCommitted([&](CommitDone done) {
    member->path()->SetExpiry(std::move(set), std::move(done));
  });
}

ErrorReason StatReason(Member* member, const std::string& name) {
  return ReasonOf(member->path()->Stat(name).status());
}

// What is known of a name, whether it has expired or not; -1 if nothing is.
int64_t KnownExpiry(Member* member, const std::string& name) {
  const auto known = member->replica()->Find(name);
  if (!known.ok() || !known->has_value()) return -1;
  return (*known)->file.expire_unix_seconds;
}

bool IsDeleted(Member* member, const std::string& name) {
  const auto known = member->replica()->Find(name);
  return known.ok() && known->has_value() && (*known)->deleted;
}

// One round of the background, with all that happened before in the tables.
void RunBackground(Member* member) {
  ASSERT_THAT(member->replica()->BeginSnapshot(), IsOk());
  ASSERT_THAT(member->path()->Compact(0, nullptr), IsOk());
}

TEST(EngineExpiryTest, NothingThatHappensToAPathLosesWhenAFileExpires) {
  Member member(1);
  const std::vector<std::pair<std::string, size_t>> files = {
      {"empty", 0},
      {"small", 1000},
      {"blocks", 300000},
      {"large", kLargeBytes}};
  std::vector<int64_t> expiries;
  for (const auto& [name, size] : files) {
    const auto put =
        PutExpiring(&member, name, TestContent(size, size), absl::Hours(100));
    ASSERT_THAT(put, IsOk());
    expiries.push_back(InSeconds(&member, absl::Hours(100)));
    EXPECT_EQ(put->file.expire_unix_seconds, expiries.back());
  }
  const auto expect_all = [&](const char* when) {
    SCOPED_TRACE(when);
    for (size_t i = 0; i < files.size(); ++i) {
      const auto& [name, size] = files[i];
      const auto info = member.path()->Stat(name);
      ASSERT_THAT(info, IsOk()) << name;
      EXPECT_EQ(info->expire_unix_seconds, expiries[i]) << name;
      EXPECT_THAT(ReadFile(member.path(), name),
                  IsOkAndHolds(TestContent(size, size)));
    }
  };
  const auto go_through = [&] {
    expect_all("as it was said");
    member.KillAndOpen();
    expect_all("replayed from the journal");
    ASSERT_THAT(member.replica()->BeginSnapshot(), IsOk());
    member.KillAndOpen();
    expect_all("read from tables");
    member.PowerCutAndOpen();
    expect_all("after a power cut");
    const std::string dead = absl::StrCat("dead", expiries[0]);
    ASSERT_THAT(PutFile(member.path(), dead, TestContent(1, 5000)), IsOk());
    ASSERT_THAT(DeleteFile(member.path(), dead), IsOk());
    RunBackground(&member);
    expect_all("moved by compaction");
    member.KillAndOpen();
    member.Rebuild();
    expect_all("rebuilt from segments");
  };
  go_through();
  for (size_t i = 0; i < files.size(); ++i) {
    // Later, sooner, and never.
    expiries[i] = i == 3 ? 0 : InSeconds(&member, absl::Hours(50 + 90 * i));
    const auto version = member.path()->Stat(files[i].first)->version;
    const auto set = SetExpiry(&member, files[i].first, expiries[i]);
    ASSERT_THAT(set, IsOk());
    EXPECT_EQ(set->file.expire_unix_seconds, expiries[i]);
    EXPECT_TRUE(version < set->file.version);
  }
  go_through();
}

TEST(EngineExpiryTest, AFileThatHasExpiredIsNotFoundForAnything) {
  Member member(1);
  for (const char* name : {"f", "appender"}) {
    ASSERT_THAT(
        PutExpiring(&member, name, "content", absl::Seconds(10),
                    name[0] == 'a' ? FileKind::kAppender : FileKind::kNormal),
        IsOk());
  }
  ASSERT_THAT(UpdateFile(member.path(), Append("appender", " and more")),
              IsOk());
  EXPECT_NE(KnownExpiry(&member, "appender"), 0);
  const absl::Time end = absl::FromUnixSeconds(KnownExpiry(&member, "f"));
  member.clock()->JumpTo(end - absl::Milliseconds(1));
  auto reader = member.path()->Open("f");
  ASSERT_THAT(reader, IsOk());
  member.clock()->JumpTo(end);
  for (int opened = 0; opened < 3; ++opened) {
    for (const char* name : {"f", "appender"}) {
      SCOPED_TRACE(name);
      EXPECT_EQ(StatReason(&member, name), ErrorReason::kFileExpired);
      EXPECT_EQ(ReasonOf((*member.path()->TryStat(name)).status()),
                ErrorReason::kFileExpired);
      EXPECT_EQ(ReasonOf(member.path()->Open(name).status()),
                ErrorReason::kFileExpired);
      // It is not brought back.
      EXPECT_EQ(ReasonOf(SetExpiry(&member, name, 0).status()),
                ErrorReason::kFileExpired);
      EXPECT_EQ(ReasonOf(DeleteFile(member.path(), name).status()),
                ErrorReason::kFileExpired);
      EXPECT_EQ(ReasonOf(UpdateFile(member.path(), Append(name, "x")).status()),
                ErrorReason::kFileExpired);
    }
    // Whoever reads it goes on.
    if (opened == 0) {
      EXPECT_THAT((*reader)->Read(0, 7), IsOkAndHolds(absl::Cord("content")));
      *reader = nullptr;
    }
    // And another member gets it.
    const auto open = member.replica()->OpenForMember("f");
    ASSERT_THAT(open, IsOk());
    EXPECT_THAT((*open)->Read(0, 7), IsOkAndHolds(absl::Cord("content")));
    if (opened == 0) member.KillAndOpen();
    if (opened == 1) member.Rebuild();
  }
}

// The clock of A is a day ahead: to it the files have expired when it sends
// them.
TEST(EngineExpiryTest, AMemberGetsWhatHasExpiredByTheClockOfAnother) {
  Member a(1);
  Member b(2);
  ASSERT_THAT(PutExpiring(&a, "small", "content", absl::Hours(1)), IsOk());
  ASSERT_THAT(
      PutExpiring(&a, "large", TestContent(1, kLargeBytes), absl::Hours(1)),
      IsOk());
  ASSERT_THAT(
      PutExpiring(&a, "appender", "one", absl::Hours(1), FileKind::kAppender),
      IsOk());
  ASSERT_THAT(UpdateFile(a.path(), Append("appender", " two")), IsOk());
  a.clock()->Advance(absl::Hours(23));
  EXPECT_EQ(StatReason(&a, "small"), ErrorReason::kFileExpired);
  const LogId log = a.own_log().log;
  ASSERT_THAT(b.replica()->SetLogs({LogRange{log}}), IsOk());
  auto changes = ReadChanges(a.path(), log, 0, ChangeLimits{});
  ASSERT_THAT(changes, IsOk());
  for (ReplicatedChange& change : *changes) {
    ASSERT_THAT(ApplyAndWait(&b, std::move(change)), IsOk());
  }
  EXPECT_THAT(ReadFile(b.path(), "small"), IsOkAndHolds("content"));
  EXPECT_THAT(ReadFile(b.path(), "appender"), IsOkAndHolds("one two"));
  EXPECT_EQ(KnownExpiry(&b, "large"), KnownExpiry(&a, "large"));
  // A does not reclaim the space meanwhile.
  RunBackground(&a);
  EXPECT_FALSE(IsDeleted(&a, "small"));
  b.Rebuild();
  EXPECT_EQ(KnownExpiry(&b, "small"), KnownExpiry(&a, "small"));
}

TEST(EngineExpiryTest, TheNodeThatTookTheFileReclaimsItAndTellsTheOthers) {
  Member a(1);
  Member b(2);
  ASSERT_THAT(PutExpiring(&a, "f", TestContent(1, 100000), absl::Hours(1)),
              IsOk());
  ASSERT_THAT(
      PutExpiring(&a, "large", TestContent(1, kLargeBytes), absl::Hours(1)),
      IsOk());
  ASSERT_THAT(PutFile(a.path(), "stays", "x"), IsOk());
  for (const char* name : {"f", "large", "stays"}) {
    ReplicatedChange state;
    state.mode = Mode::kSnapshot;
    state.file = *a.path()->Stat(name);
    if (name[0] != 'l') state.content = absl::Cord(*ReadFile(a.path(), name));
    ASSERT_THAT(ApplyAndWait(&b, std::move(state)), IsOk());
  }
  const int64_t before = a.path()->Status().live_bytes;
  for (Member* member : {&a, &b}) {
    member->clock()->Advance(absl::Hours(1) + a.options()->expiry_grace -
                             absl::Seconds(2));
    RunBackground(member);
    EXPECT_FALSE(IsDeleted(member, "f"));
    member->clock()->Advance(absl::Seconds(3));
    RunBackground(member);
  }
  for (const char* name : {"f", "large"}) {
    EXPECT_TRUE(IsDeleted(&a, name));
    EXPECT_FALSE(IsDeleted(&b, name));
    EXPECT_EQ(StatReason(&b, name), ErrorReason::kFileExpired);
  }
  EXPECT_LT(a.path()->Status().live_bytes, before - 3000000);
  EXPECT_EQ(a.path()->Status().files, 1);
  EXPECT_THAT(ReadFile(a.path(), "stays"), IsOkAndHolds("x"));
  Copy(&a, &b);
  for (Member* member : {&a, &b}) {
    for (int opened = 0; opened < 3; ++opened) {
      for (const char* name : {"f", "large"}) {
        EXPECT_EQ(StatReason(member, name), ErrorReason::kFileDeleted);
      }
      if (opened == 0) member->KillAndOpen();
      if (opened == 1) member->Rebuild();
    }
  }
}

TEST(EngineExpiryTest, AnotherMemberReclaimsItIfThatNodeIsGone) {
  Member b(2);
  ReplicatedChange state;
  state.mode = Mode::kSnapshot;
  state.file.name = "f";
  state.file.size_bytes = 7;
  state.file.crc32c = Crc32c("content");
  state.file.version = Version{uint64_t{1} << 60, 1};
  state.file.origin_node = 1;
  state.file.expire_unix_seconds = InSeconds(&b, absl::Hours(1));
  state.content = absl::Cord("content");
  ASSERT_THAT(ApplyAndWait(&b, std::move(state)), IsOk());
  b.clock()->Advance(absl::Hours(1) + 2 * b.options()->expiry_grace -
                     absl::Seconds(2));
  RunBackground(&b);
  EXPECT_FALSE(IsDeleted(&b, "f"));
  b.clock()->Advance(absl::Seconds(3));
  RunBackground(&b);
  EXPECT_TRUE(IsDeleted(&b, "f"));
  // As a change of its own.
  EXPECT_EQ(b.own_log().applied, 1u);
}

TEST(EngineExpiryTest, WhatWasSaidLaterCounts) {
  Member member(1);
  const absl::Duration grace = member.options()->expiry_grace;
  for (const char* name : {"later", "never", "sooner"}) {
    ASSERT_THAT(PutExpiring(&member, name, "content", absl::Hours(10)), IsOk());
  }
  ASSERT_THAT(SetExpiry(&member, "later", InSeconds(&member, absl::Hours(100))),
              IsOk());
  ASSERT_THAT(SetExpiry(&member, "never", 0), IsOk());
  ASSERT_THAT(SetExpiry(&member, "sooner", InSeconds(&member, absl::Hours(1))),
              IsOk());
  member.clock()->Advance(grace + absl::Hours(2));
  RunBackground(&member);
  EXPECT_TRUE(IsDeleted(&member, "sooner"));
  member.clock()->Advance(absl::Hours(20));
  RunBackground(&member);
  member.KillAndOpen();
  RunBackground(&member);
  EXPECT_THAT(ReadFile(member.path(), "later"), IsOkAndHolds("content"));
  EXPECT_THAT(ReadFile(member.path(), "never"), IsOkAndHolds("content"));
  // A rebuild knows when to look, too.
  member.Rebuild();
  member.clock()->Advance(absl::Hours(100) + grace);
  RunBackground(&member);
  EXPECT_TRUE(IsDeleted(&member, "later"));
  EXPECT_THAT(ReadFile(member.path(), "never"), IsOkAndHolds("content"));
}

TEST(EngineExpiryTest, ARepeatedChangeHappensOnce) {
  Member a(1);
  Member b(2);
  ASSERT_THAT(PutExpiring(&a, "f", "content", absl::Hours(10)), IsOk());
  const Uuid request = Uuid::Random();
  const int64_t first = InSeconds(&a, absl::Hours(20));
  const auto set = SetExpiry(&a, "f", first, request);
  ASSERT_THAT(set, IsOk());
  ASSERT_THAT(SetExpiry(&a, "f", first + 1), IsOk());
  const auto again = SetExpiry(&a, "f", first, request);
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(again->replayed);
  EXPECT_TRUE(again->file.version == set->file.version);
  Copy(&a, &b);
  EXPECT_EQ(KnownExpiry(&b, "f"), first + 1);
  EXPECT_EQ(ReasonOf(SetExpiry(&a, "other", first, request).status()),
            ErrorReason::kRequestIdReused);
  EXPECT_EQ(ReasonOf(SetExpiry(&a, "none", first).status()),
            ErrorReason::kFileNotFound);
}

TEST(EngineExpiryTest, OfAnAppenderItStaysWithWhatIsChanged) {
  Member a(1);
  Member b(2);
  ASSERT_THAT(PutExpiring(&a, "f", "one", absl::Hours(10), FileKind::kAppender),
              IsOk());
  Copy(&a, &b);
  // What is appended keeps it, and who has the content keeps that.
  const int64_t end = InSeconds(&a, absl::Hours(30));
  ASSERT_THAT(SetExpiry(&a, "f", end), IsOk());
  ASSERT_THAT(UpdateFile(a.path(), Append("f", " two")), IsOk());
  ASSERT_THAT(UpdateFile(a.path(), Modify("f", 0, "ONE")), IsOk());
  Copy(&a, &b);
  for (Member* member : {&a, &b}) {
    EXPECT_EQ(KnownExpiry(member, "f"), end);
    EXPECT_THAT(ReadFile(member->path(), "f"), IsOkAndHolds("ONE two"));
    member->Rebuild();
    EXPECT_EQ(KnownExpiry(member, "f"), end);
  }
}

TEST(EngineExpiryTest, AChangeThatIsSetAsideKeepsIt) {
  Member a(1);
  Member b(2);
  ASSERT_THAT(PutExpiring(&a, "f", "content", absl::Hours(10)), IsOk());
  const LogId log = a.own_log().log;
  auto changes = ReadChanges(a.path(), log, 0, ChangeLimits{});
  ASSERT_THAT(changes, IsOk());
  ASSERT_THAT(b.replica()->SetLogs({LogRange{log}}), IsOk());
  changes->front().set_aside = true;
  ASSERT_THAT(ApplyAndWait(&b, changes->front()), IsOk());
  b.KillAndOpen();
  ASSERT_THAT(b.replica()->ListSetAside(), SizeIs(1));
  ASSERT_THAT(ApplyAndWait(&b, b.replica()->ListSetAside().front()), IsOk());
  EXPECT_EQ(KnownExpiry(&b, "f"), KnownExpiry(&a, "f"));
}

TEST(EngineExpiryTest, APowerCutAtAnyChangeOfTheDiskReclaimsAllOrNothing) {
  bool through = false;
  int stop = 1;
  for (; !through && stop < 500; ++stop) {
    SCOPED_TRACE(absl::StrCat("stops after ", stop));
    Member member(1, static_cast<uint64_t>(stop));
    for (int i = 0; i < 4; ++i) {
      ASSERT_THAT(PutExpiring(&member, absl::StrCat("small", i),
                              TestContent(1, 1000), absl::Hours(1)),
                  IsOk());
    }
    ASSERT_THAT(PutExpiring(&member, "large", TestContent(2, 600 << 10),
                            absl::Hours(1)),
                IsOk());
    ASSERT_THAT(PutFile(member.path(), "stays", "x"), IsOk());
    ASSERT_THAT(member.replica()->BeginSnapshot(), IsOk());
    member.clock()->Advance(absl::Hours(2) + member.options()->expiry_grace);
    member.fs()->StopAfter(stop);
    through =
        member.path()->Compact(0, nullptr).ok() && !member.fs()->stopped();
    if (stop % 2 == 0) {
      member.PowerCutAndOpen();
    } else {
      member.KillAndOpen();
    }
    for (const char* name : {"small0", "small1", "small2", "small3", "large"}) {
      // Never a file that is there without what it is made of.
      if (IsDeleted(&member, name)) continue;
      EXPECT_EQ(StatReason(&member, name), ErrorReason::kFileExpired);
      const auto open = member.replica()->OpenForMember(name);
      ASSERT_THAT(open, IsOk()) << name;
      EXPECT_THAT((*open)->Read(0, (*open)->info().size_bytes), IsOk());
    }
    RunBackground(&member);
    for (int opened = 0; opened < 2; ++opened) {
      for (const char* name :
           {"small0", "small1", "small2", "small3", "large"}) {
        EXPECT_TRUE(IsDeleted(&member, name)) << name;
      }
      EXPECT_THAT(ReadFile(member.path(), "stays"), IsOkAndHolds("x"));
      EXPECT_EQ(member.path()->Status().files, 1);
      if (opened == 0) member.Rebuild();
    }
    if (::testing::Test::HasFailure()) return;
  }
  EXPECT_TRUE(through);
  EXPECT_GT(stop, 5);
}

}  // namespace
}  // namespace storage
}  // namespace cairn
