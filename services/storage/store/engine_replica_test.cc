// Two store paths of one group, each in a file system in memory: one takes
// changes, the other takes them over. What members say to each other for that
// is in services/storage/sync.

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/base/mutex.h"
#include "lib/testing/status_matchers.h"
#include "services/storage/core/replica_source.h"
#include "services/storage/core/replica_store.h"
#include "services/storage/store/test_path.h"
#include "services/storage/store/testing/replica_members.h"

namespace cairn {
namespace storage {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using Mode = ReplicatedChange::Mode;

TEST(EngineReplicaTest, GivesBackWhatAnotherMemberTook) {
  Member a(1);
  Member b(2);
  const std::vector<size_t> sizes = {0, 1, 4096, 262145, 1 << 20, 3 << 20};
  for (const size_t size : sizes) {
    ASSERT_THAT(
        PutFile(a.path(), absl::StrCat("f", size), TestContent(size, size)),
        IsOk());
  }
  Copy(&a, &b);
  for (const size_t size : sizes) {
    const std::string name = absl::StrCat("f", size);
    EXPECT_THAT(ReadFile(b.path(), name),
                IsOkAndHolds(TestContent(size, size)));
    const auto there = a.path()->Stat(name);
    const auto here = b.path()->Stat(name);
    ASSERT_THAT(here, IsOk());
    EXPECT_TRUE(here->version == there->version);
    EXPECT_EQ(here->origin_node, there->origin_node);
    EXPECT_EQ(here->create_unix_seconds, there->create_unix_seconds);
  }
  EXPECT_EQ(b.RangeOf(a.own_log().log).applied, sizes.size());
  // What it took over is no change of its own.
  EXPECT_EQ(b.own_log().applied, 0u);
  EXPECT_EQ(b.path()->Status().files, static_cast<int64_t>(sizes.size()));
}

TEST(EngineReplicaTest, KeepsPositionAndFilesOverAKill) {
  Member a(1);
  Member b(2);
  for (int i = 0; i < 20; ++i) {
    ASSERT_THAT(PutFile(a.path(), absl::StrCat("f", i), TestContent(i, 1000)),
                IsOk());
  }
  ASSERT_THAT(DeleteFile(a.path(), "f3"), IsOk());
  Copy(&a, &b);
  b.KillAndOpen();
  EXPECT_EQ(b.RangeOf(a.own_log().log).applied, 21u);
  EXPECT_THAT(ReadFile(b.path(), "f7"), IsOkAndHolds(TestContent(7, 1000)));
  EXPECT_THAT(b.path()->Stat("f3"), StatusIs(absl::StatusCode::kNotFound));
  // From a checkpoint, too.
  ASSERT_THAT(b.replica()->BeginSnapshot(), IsOk());
  ASSERT_THAT(PutFile(a.path(), "later", "x"), IsOk());
  b.KillAndOpen();
  Copy(&a, &b);
  EXPECT_EQ(b.RangeOf(a.own_log().log).applied, 22u);
  EXPECT_THAT(ReadFile(b.path(), "later"), IsOkAndHolds("x"));
}

TEST(EngineReplicaTest, TakesChangesInTheirOrderOnly) {
  Member a(1);
  Member b(2);
  for (int i = 0; i < 3; ++i) {
    ASSERT_THAT(PutFile(a.path(), absl::StrCat("f", i), "x"), IsOk());
  }
  const LogId log = a.own_log().log;
  auto changes = ReadChanges(a.path(), log, 0, ChangeLimits{});
  ASSERT_THAT(changes, IsOk());
  ASSERT_THAT(*changes, SizeIs(3));
  // Before the log was heard of.
  EXPECT_EQ(ReasonOf(ApplyAndWait(&b, (*changes)[0]).status()),
            ErrorReason::kOutOfOrder);
  ASSERT_THAT(b.replica()->SetLogs({LogRange{log}}), IsOk());
  EXPECT_EQ(ReasonOf(ApplyAndWait(&b, (*changes)[1]).status()),
            ErrorReason::kOutOfOrder);
  EXPECT_THAT(b.path()->Stat("f1"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(ApplyAndWait(&b, (*changes)[0]), IsOk());
  EXPECT_THAT(ApplyAndWait(&b, (*changes)[1]), IsOk());
  // Again: nothing happens.
  EXPECT_THAT(ApplyAndWait(&b, (*changes)[0]), IsOk());
  EXPECT_EQ(b.RangeOf(log).applied, 2u);
  EXPECT_EQ(b.path()->Status().files, 2);
}

TEST(EngineReplicaTest, TheHigherVersionWinsWhateverComesFirst) {
  Member a(1);
  Member b(2);
  Member c(3);
  ASSERT_THAT(PutFile(a.path(), "f", "content"), IsOk());
  Copy(&a, &b);
  // Deleted at B, whose clock is a day behind.
  b.clock()->Advance(-absl::Hours(24));
  ASSERT_THAT(DeleteFile(b.path(), "f"), IsOk());
  // C hears of the deletion first.
  Copy(&b, &c);
  EXPECT_EQ(ReasonOf(c.path()->Stat("f").status()), ErrorReason::kFileDeleted);
  Copy(&a, &c);
  EXPECT_EQ(ReasonOf(c.path()->Stat("f").status()), ErrorReason::kFileDeleted);
  EXPECT_EQ(c.RangeOf(a.own_log().log).applied, 1u);
  Copy(&b, &a);
  EXPECT_EQ(ReasonOf(a.path()->Stat("f").status()), ErrorReason::kFileDeleted);
  for (Member* member : {&a, &b, &c}) {
    EXPECT_EQ(member->path()->Status().files, 0);
  }
}

TEST(EngineReplicaTest, AnyMemberServesALogAsFarAsItHasIt) {
  Member a(1);
  Member b(2);
  Member c(3);
  ASSERT_THAT(PutFile(a.path(), "f1", "one"), IsOk());
  ASSERT_THAT(PutFile(a.path(), "gone", "two"), IsOk());
  ASSERT_THAT(DeleteFile(a.path(), "gone"), IsOk());
  ASSERT_THAT(PutFile(a.path(), "large", TestContent(5, 3 << 20)), IsOk());
  const LogId log = a.own_log().log;
  Copy(&a, &b);
  b.KillAndOpen();
  Copy(&b, &c, log);
  EXPECT_EQ(c.RangeOf(log).applied, 4u);
  EXPECT_THAT(ReadFile(c.path(), "f1"), IsOkAndHolds("one"));
  EXPECT_THAT(ReadFile(c.path(), "large"),
              IsOkAndHolds(TestContent(5, 3 << 20)));
  EXPECT_EQ(ReasonOf(c.path()->Stat("gone").status()),
            ErrorReason::kFileDeleted);
}

TEST(EngineReplicaTest, KnowsAFileWhoseContentIsMissing) {
  Member a(1);
  Member b(2);
  const std::string content = TestContent(9, 3 << 20);
  ASSERT_THAT(PutFile(a.path(), "large", content), IsOk());
  const LogId log = a.own_log().log;
  ASSERT_THAT(b.replica()->SetLogs({LogRange{log}}), IsOk());
  auto changes = ReadChanges(a.path(), log, 0, ChangeLimits{});
  ASSERT_THAT(changes, IsOk());
  ASSERT_THAT(ApplyAndWait(&b, changes->front()), IsOk());

  EXPECT_THAT(b.path()->Stat("large"), IsOk());
  EXPECT_EQ(ReasonOf(b.path()->Open("large").status()),
            ErrorReason::kContentNotHere);
  EXPECT_THAT(b.replica()->ListMissing("", 10), ElementsAre("large"));
  b.KillAndOpen();
  EXPECT_THAT(b.replica()->ListMissing("", 10), ElementsAre("large"));
  EXPECT_THAT(b.replica()->ListMissing("large", 10), IsEmpty());
  ASSERT_THAT(b.replica()->BeginSnapshot(), IsOk());
  EXPECT_THAT(b.replica()->ListMissing("", 10), ElementsAre("large"));

  ASSERT_THAT(FetchContent(&a, &b, "large"), IsOk());
  EXPECT_THAT(ReadFile(b.path(), "large"), IsOkAndHolds(content));
  EXPECT_THAT(b.replica()->ListMissing("", 10), IsEmpty());
  EXPECT_EQ(b.path()->Status().files, 1);
  b.KillAndOpen();
  EXPECT_THAT(ReadFile(b.path(), "large"), IsOkAndHolds(content));
  EXPECT_THAT(b.replica()->ListMissing("", 10), IsEmpty());
  EXPECT_EQ(b.RangeOf(log).applied, 1u);
}

TEST(EngineReplicaTest, TakesAContentFromAChangeThatCountsForNothingAnyMore) {
  for (const size_t size : {size_t{0}, size_t{1000}, size_t{400000}}) {
    SCOPED_TRACE(size);
    Member a(1);
    Member b(2);
    const std::string content = TestContent(size, size);
    ASSERT_THAT(PutFile(a.path(), "f", content), IsOk());
    const LogId log = a.own_log().log;
    auto changes = ReadChanges(a.path(), log, 0, ChangeLimits{});
    ASSERT_THAT(changes, IsOk());
    ASSERT_TRUE(changes->front().content.has_value());
    // B is told of the file, and to change it, before it hears A's log.
    ReplicatedChange told;
    told.mode = Mode::kSnapshot;
    told.file = changes->front().file;
    ASSERT_THAT(ApplyAndWait(&b, std::move(told)), IsOk());
    SetExpiryRequest set;
    set.name = "f";
    set.expire_unix_seconds = kExpireUnixSecondsMax;
    Notification done;
    b.path()->SetExpiry(set, [&done](const absl::StatusOr<Committed>& answer) {
      EXPECT_THAT(answer, IsOk());
      done.Notify();
    });
    done.WaitForNotification();
    const auto changed = b.path()->Stat("f");
    ASSERT_THAT(changed, IsOk());
    EXPECT_EQ(ReasonOf(ReadFile(b.path(), "f").status()),
              ErrorReason::kContentNotHere);

    ASSERT_THAT(b.replica()->SetLogs({LogRange{log}}), IsOk());
    ASSERT_THAT(ApplyAndWait(&b, changes->front()), IsOk());
    for (int i = 0; i < 2; ++i) {
      EXPECT_THAT(ReadFile(b.path(), "f"), IsOkAndHolds(content));
      EXPECT_THAT(b.replica()->ListMissing("", 10), IsEmpty());
      EXPECT_TRUE(b.path()->Stat("f")->version == changed->version);
      EXPECT_EQ(b.path()->Stat("f")->expire_unix_seconds,
                kExpireUnixSecondsMax);
      EXPECT_EQ(b.RangeOf(log).applied, 1u);
      b.KillAndOpen();
    }
  }
}

TEST(EngineReplicaTest, RefusesAContentThatIsNotTheFiles) {
  Member a(1);
  Member b(2);
  ASSERT_THAT(PutFile(a.path(), "large", TestContent(9, 3 << 20)), IsOk());
  const LogId log = a.own_log().log;
  ASSERT_THAT(b.replica()->SetLogs({LogRange{log}}), IsOk());
  auto changes = ReadChanges(a.path(), log, 0, ChangeLimits{});
  ASSERT_THAT(changes, IsOk());
  ReplicatedChange change = changes->front();
  ASSERT_THAT(ApplyAndWait(&b, change), IsOk());
  auto upload = b.path()->StartUpload(absl::nullopt);
  ASSERT_THAT(upload, IsOk());
  ASSERT_THAT((*upload)->Write(absl::Cord(TestContent(8, 3 << 20))), IsOk());
  change.mode = Mode::kContent;
  absl::Status answer;
  (*upload)->FinishReplica(change, [&](absl::StatusOr<Committed> committed) {
    answer = committed.status();
  });
  EXPECT_EQ(ReasonOf(answer), ErrorReason::kChecksumMismatch);
  EXPECT_THAT(b.replica()->ListMissing("", 10), ElementsAre("large"));
}

TEST(EngineReplicaTest, ARequestIsAnsweredAlikeAtAnotherMember) {
  Member a(1);
  Member b(2);
  const Uuid request = Uuid::Random();
  const auto put =
      PutFile(a.path(), "f", "content", Durability::kSynced, request);
  ASSERT_THAT(put, IsOk());
  EXPECT_TRUE(put->change == (LogPosition{a.own_log().log, 1}));
  Copy(&a, &b);
  b.KillAndOpen();
  const auto again =
      PutFile(b.path(), "another", "content", Durability::kSynced, request);
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(again->replayed);
  EXPECT_EQ(again->file.name, "f");
  EXPECT_TRUE(again->change == put->change);
}

// The repeated call is not told that it is here before it is.
TEST(EngineReplicaTest, WhatIsSetAsideCountsForNothing) {
  Member a(1);
  Member b(2);
  const Uuid put = Uuid::Random();
  const Uuid deletion = Uuid::Random();
  ASSERT_THAT(PutFile(a.path(), "f", "content", Durability::kSynced, put),
              IsOk());
  ASSERT_THAT(DeleteFile(a.path(), "f", Durability::kSynced, deletion), IsOk());
  const LogId log = a.own_log().log;
  auto changes = ReadChanges(a.path(), log, 0, ChangeLimits{});
  ASSERT_THAT(changes, IsOkAndHolds(SizeIs(2)));
  ASSERT_THAT(b.replica()->SetLogs({LogRange{log}}), IsOk());
  ASSERT_THAT(ApplyAndWait(&b, changes->front()), IsOk());
  changes->back().set_aside = true;
  ASSERT_THAT(ApplyAndWait(&b, changes->back()), IsOk());
  for (const bool again : {false, true}) {
    SCOPED_TRACE(again);
    const uint32_t here = again ? 1 : 0;
    const auto found = b.path()->FindRequest(deletion, Durability::kSynced);
    ASSERT_THAT(found, IsOk());
    ASSERT_TRUE(found->has_value());
    EXPECT_EQ((*found)->replicas, here);
    const auto deleted =
        DeleteFile(b.path(), "f", Durability::kSynced, deletion);
    ASSERT_THAT(deleted, IsOk());
    EXPECT_TRUE(deleted->replayed);
    EXPECT_EQ(deleted->replicas, here);
    if (again) break;
    b.KillAndOpen();
    ASSERT_THAT(b.replica()->ListSetAside(), SizeIs(1));
    ASSERT_THAT(ApplyAndWait(&b, b.replica()->ListSetAside().front()), IsOk());
  }
}

TEST(EngineReplicaTest, ANewMemberTakesASnapshotAndThenTheLog) {
  Member a(1);
  Member b(2);
  for (int i = 0; i < 30; ++i) {
    ASSERT_THAT(PutFile(a.path(), absl::StrCat("f", i), TestContent(i, 500)),
                IsOk());
  }
  ASSERT_THAT(DeleteFile(a.path(), "f5"), IsOk());
  // A rebuilt path has files that its log does not tell of.
  a.Rebuild();
  const LogId log = a.own_log().log;
  EXPECT_EQ(ReasonOf(ReadChanges(a.path(), log, 0, ChangeLimits{}).status()),
            ErrorReason::kLogCut);

  const auto begun = a.replica()->BeginSnapshot();
  ASSERT_THAT(begun, IsOk());
  ASSERT_THAT(PutFile(a.path(), "meanwhile", "y"), IsOk());
  std::string from;
  int pages = 0;
  do {
    auto page = ReadSnapshotChanges(a.path(), from, ChangeLimits{7});
    ASSERT_THAT(page, IsOk());
    for (ReplicatedChange& change : page->changes) {
      ASSERT_THAT(ApplyAndWait(&b, std::move(change)), IsOk());
    }
    from = page->next;
    ++pages;
  } while (!from.empty());
  EXPECT_GT(pages, 4);
  ASSERT_THAT(b.replica()->SetLogs(*begun), IsOk());
  Copy(&a, &b);
  EXPECT_EQ(b.path()->Status().files, 30);
  EXPECT_THAT(ReadFile(b.path(), "f29"), IsOkAndHolds(TestContent(29, 500)));
  EXPECT_THAT(ReadFile(b.path(), "meanwhile"), IsOkAndHolds("y"));
  EXPECT_EQ(ReasonOf(b.path()->Stat("f5").status()), ErrorReason::kFileDeleted);
  EXPECT_EQ(b.RangeOf(log).applied, a.own_log().applied);
  b.KillAndOpen();
  EXPECT_EQ(b.RangeOf(log).applied, a.own_log().applied);
  EXPECT_EQ(b.RangeOf(log).cut, 1u);
}

TEST(EngineReplicaTest, APowerCutLosesNothingThatWasSaidToBeSynced) {
  Member a(1);
  Member b(2);
  for (int i = 0; i < 10; ++i) {
    ASSERT_THAT(PutFile(a.path(), absl::StrCat("f", i), TestContent(i, 500)),
                IsOk());
  }
  const LogId log = a.own_log().log;
  Copy(&a, &b);
  EXPECT_EQ(b.RangeOf(log).synced, 0u);
  ASSERT_THAT(b.replica()->Sync(), IsOk());
  EXPECT_EQ(b.RangeOf(log).synced, 10u);
  ASSERT_THAT(PutFile(a.path(), "unsynced", "x"), IsOk());
  Copy(&a, &b);
  const LogId own = b.own_log().log;
  b.PowerCutAndOpen();
  const LogRange range = b.RangeOf(log);
  EXPECT_GE(range.applied, 10u);
  EXPECT_EQ(range.synced, range.applied);
  for (int i = 0; i < 10; ++i) {
    EXPECT_THAT(ReadFile(b.path(), absl::StrCat("f", i)), IsOk());
  }
  // Its own log begins anew, under an id that no other log has.
  EXPECT_FALSE(b.own_log().log == own);
  ASSERT_THAT(PutFile(b.path(), "own", "x"), IsOk());
  Copy(&a, &b);
  Copy(&b, &a);
  EXPECT_THAT(ReadFile(b.path(), "unsynced"), IsOkAndHolds("x"));
  EXPECT_THAT(ReadFile(a.path(), "own"), IsOkAndHolds("x"));
}

TEST(EngineReplicaTest, AContentThatAPowerCutTookLeavesNoHoleInTheLog) {
  int lost = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    Member a(1, seed);
    Member b(2);
    ASSERT_THAT(PutFile(a.path(), "before", "x"), IsOk());
    // Its bytes lie beside the journal, and the sync of what follows leaves
    // them out.
    ASSERT_THAT(PutFile(a.path(), "large", TestContent(seed, 3 << 20),
                        Durability::kCached),
                IsOk());
    ASSERT_THAT(PutFile(a.path(), "after", "y"), IsOk());
    const LogId log = a.own_log().log;
    a.PowerCutAndOpen();
    const auto large = ReadFile(a.path(), "large");
    if (!large.ok()) {
      ++lost;
      EXPECT_EQ(ReasonOf(large.status()), ErrorReason::kContentNotHere);
      EXPECT_THAT(a.replica()->ListMissing("", 10), ElementsAre("large"));
    }
    EXPECT_EQ(a.RangeOf(log).applied, 3u);
    // Who has not got these changes yet gets all of them.
    ASSERT_THAT(b.replica()->SetLogs({LogRange{log}}), IsOk());
    auto changes = ReadChanges(a.path(), log, 0, ChangeLimits{});
    ASSERT_THAT(changes, IsOk());
    ASSERT_THAT(*changes, SizeIs(3));
    for (ReplicatedChange& change : *changes) {
      ASSERT_THAT(ApplyAndWait(&b, std::move(change)), IsOk());
    }
    EXPECT_THAT(ReadFile(b.path(), "after"), IsOkAndHolds("y"));
    if (large.ok()) continue;
    // It stays so, wherever the record is moved to.
    ASSERT_THAT(DeleteFile(a.path(), "before"), IsOk());
    ASSERT_THAT(a.path()->Compact(0, nullptr), IsOk());
    a.KillAndOpen();
    EXPECT_EQ(ReasonOf(ReadFile(a.path(), "large").status()),
              ErrorReason::kContentNotHere);
    EXPECT_THAT(DeleteFile(a.path(), "large"), IsOk());
  }
  EXPECT_GT(lost, 0);
}

// Pulls all that it can, until the disk stops. Returns whether it is through.
bool CopyUntilStopped(Member* from, Member* to, const LogId& log,
                      uint64_t* synced) {
  if (!to->replica()->SetLogs({LogRange{log}}).ok()) return false;
  while (true) {
    const uint64_t have = to->RangeOf(log).applied;
    auto changes = ReadChanges(from->path(), log, have, ChangeLimits{3});
    CAIRN_CHECK_OK(changes.status());
    if (changes->empty()) break;
    changes->back().synced = true;
    for (ReplicatedChange& change : *changes) {
      if (!ApplyAndWait(to, std::move(change)).ok()) return false;
      *synced = std::max(*synced, to->RangeOf(log).synced);
    }
    for (const std::string& name : to->replica()->ListMissing("", 100)) {
      const auto known = from->replica()->Find(name);
      CAIRN_CHECK_OK(known.status());
      if ((*known)->deleted) continue;
      auto upload = to->path()->StartUpload((*known)->file.size_bytes);
      if (!upload.ok()) return false;
      const auto content = ReadFile(from->path(), name);
      CAIRN_CHECK_OK(content.status());
      if (!(*upload)->Write(absl::Cord(*content)).ok()) return false;
      ReplicatedChange change;
      change.mode = Mode::kContent;
      change.change = (*known)->change;
      change.file = (*known)->file;
      change.synced = true;
      Notification done;
      bool ok = false;
      (*upload)->FinishReplica(std::move(change),
                               [&](const absl::StatusOr<Committed>& committed) {
                                 ok = committed.ok();
                                 done.Notify();
                               });
      done.WaitForNotification();
      if (!ok) return false;
    }
  }
  return true;
}

// What of the log is applied is there, byte for byte, and nothing else.
void ExpectPrefix(Member* from, Member* to, const LogId& log) {
  const uint64_t applied = to->RangeOf(log).applied;
  auto entries = from->replica()->ReadLog(log, 0, 1000);
  ASSERT_THAT(entries, IsOk());
  std::map<std::string, ChangeKind> expected;
  for (const LogEntry& entry : *entries) {
    if (entry.sequence <= applied) expected[entry.name] = entry.kind;
  }
  for (const LogEntry& entry : *entries) {
    SCOPED_TRACE(entry.name);
    const auto known = to->replica()->Find(entry.name);
    ASSERT_THAT(known, IsOk());
    const auto it = expected.find(entry.name);
    // One whose deletion was told is never sent with its content, so it may be
    // unknown before that.
    if (it == expected.end()) {
      EXPECT_FALSE(known->has_value());
    } else if (it->second == ChangeKind::kDelete) {
      EXPECT_EQ(ReasonOf(to->path()->Stat(entry.name).status()),
                ErrorReason::kFileDeleted);
    } else if (known->has_value() && !(*known)->content_missing) {
      const auto content = ReadFile(from->path(), entry.name);
      if (absl::IsNotFound(content.status())) continue;
      ASSERT_THAT(content, IsOk());
      EXPECT_THAT(ReadFile(to->path(), entry.name), IsOkAndHolds(*content));
    }
  }
}

// Who reads at the end of a log that grows finds nothing there or the next
// entry, and never a gap.
TEST(EngineReplicaTest, TheEndOfALogThatGrowsIsNotACut) {
  constexpr uint64_t kChanges = 3000;
  Member a(1);
  ASSERT_THAT(PutFile(a.path(), "first", "x"), IsOk());
  const LogId log = a.own_log().log;
  std::thread writer([&a] {
    for (uint64_t i = 1; i < kChanges; ++i) {
      CAIRN_CHECK_OK(PutFile(a.path(), absl::StrCat("f", i), "x").status());
    }
  });
  uint64_t read = 0;
  absl::Status failed;
  while (read < kChanges && failed.ok()) {
    const auto entries = a.replica()->ReadLog(log, read, 512);
    failed = entries.status();
    if (entries.ok()) read += entries->size();
  }
  writer.join();
  EXPECT_THAT(failed, IsOk());
}

TEST(EngineReplicaTest, APowerCutAtAnyChangeOfTheDiskLeavesAWholePrefix) {
  Member a(1);
  for (int i = 0; i < 8; ++i) {
    ASSERT_THAT(PutFile(a.path(), absl::StrCat("f", i), TestContent(i, 700)),
                IsOk());
  }
  ASSERT_THAT(PutFile(a.path(), "large", TestContent(77, 2 << 20)), IsOk());
  ASSERT_THAT(DeleteFile(a.path(), "f2"), IsOk());
  ASSERT_THAT(PutFile(a.path(), "last", "x"), IsOk());
  const LogId log = a.own_log().log;
  bool through = false;
  int stop = 1;
  for (; !through && stop < 500; ++stop) {
    SCOPED_TRACE(absl::StrCat("stops after ", stop));
    Member b(2, static_cast<uint64_t>(stop));
    b.fs()->StopAfter(stop);
    uint64_t synced = 0;
    through = CopyUntilStopped(&a, &b, log, &synced);
    if (stop % 2 == 0) {
      b.PowerCutAndOpen();
      EXPECT_GE(b.RangeOf(log).applied, synced);
    } else {
      b.KillAndOpen();
    }
    ASSERT_NO_FATAL_FAILURE(ExpectPrefix(&a, &b, log));
    // It goes on where it stood.
    Copy(&a, &b);
    EXPECT_EQ(b.RangeOf(log).applied, a.own_log().applied);
    ASSERT_NO_FATAL_FAILURE(ExpectPrefix(&a, &b, log));
    EXPECT_THAT(b.replica()->ListMissing("", 10), IsEmpty());
    EXPECT_EQ(b.path()->Status().files, a.path()->Status().files);
    if (::testing::Test::HasFailure()) return;
  }
  EXPECT_TRUE(through);
  EXPECT_GT(stop, 20);
}

TEST(EngineReplicaTest, ATombstoneWaitsUntilEveryMemberHasPassedIt) {
  Member a(1);
  Member b(2);
  ASSERT_THAT(PutFile(a.path(), "f", "x"), IsOk());
  a.replica()->SetPassed({});
  ASSERT_THAT(DeleteFile(a.path(), "f"), IsOk());
  const LogId log = a.own_log().log;
  ASSERT_THAT(a.path()->Compact(0, nullptr), IsOk());
  a.clock()->Advance(absl::Hours(24 * 30));
  ASSERT_THAT(a.path()->Compact(0, nullptr), IsOk());
  EXPECT_EQ(ReasonOf(a.path()->Stat("f").status()), ErrorReason::kFileDeleted);
  a.replica()->SetPassed({{log, 2}});
  ASSERT_THAT(PutFile(a.path(), "other", "x"), IsOk());
  a.clock()->Advance(absl::Hours(24 * 30));
  ASSERT_THAT(a.path()->Compact(0, nullptr), IsOk());
  EXPECT_EQ(ReasonOf(a.path()->Stat("f").status()), ErrorReason::kFileNotFound);
}

// It would take the place of what is read here.
TEST(EngineReplicaTest, ALargeContentThatIsFetchedStaysOutOfTheCache) {
  Member member(1);
  const std::string chunk(8 << 20, 'c');
  for (const bool bypass : {false, true}) {
    const auto upload = member.path()->StartUpload(absl::nullopt);
    ASSERT_THAT(upload, IsOk());
    if (bypass) (*upload)->BypassCache();
    for (int i = 0; i < 9; ++i) {
      EXPECT_EQ(member.fs()->dropped_end(), 0);
      ASSERT_THAT((*upload)->Write(absl::Cord(chunk)), IsOk());
    }
    // Behind the 64 MiB that the disk may still be busy with.
    EXPECT_EQ(member.fs()->dropped_end() > 0, bypass);
    EXPECT_LE(member.fs()->dropped_end(), (8 << 20) + 4096);
  }
}

}  // namespace
}  // namespace storage
}  // namespace cairn
