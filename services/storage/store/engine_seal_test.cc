// Appenders that become normal files: what it costs, that both names change
// together whatever happens to the path, that nobody takes the shared bytes for
// dead, and what other members make of it.

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/error_reason.h"
#include "lib/base/mutex.h"
#include "lib/base/uuid.h"
#include "lib/checksum/crc32c.h"
#include "lib/testing/seed_run.h"
#include "lib/testing/status_matchers.h"
#include "services/storage/core/change_feed.h"
#include "services/storage/core/replica_source.h"
#include "services/storage/core/replica_store.h"
#include "services/storage/core/store_path.h"
#include "services/storage/store/engine.h"
#include "services/storage/store/test_path.h"
#include "services/storage/store/testing/blocking_calls.h"
#include "services/storage/store/testing/replica_members.h"

namespace cairn {
namespace storage {
namespace {

using ::testing::Contains;
using ::testing::IsEmpty;
using ::testing::Pair;

constexpr size_t kKiB = 1 << 10;
constexpr size_t kMiB = 1 << 20;
constexpr char kOld[] = "3F/A2/appender.log";
constexpr char kNew[] = "A2/3F/sealed.log";

SealRequest SealAs(const std::string& name, const std::string& new_name,
                   const Uuid& request_id = Uuid()) {
  SealRequest seal;
  seal.request_id = request_id;
  seal.name = name;
  seal.make_name = [new_name](int64_t, uint32_t) {
    return SealRequest::NewName{new_name, 1767225600};
  };
  return seal;
}

absl::StatusOr<Committed> Seal(Member* member, SealRequest seal) {
  return AwaitCommitted([&](CommitDone done) {
    member->path()->Seal(std::move(seal), std::move(done));
  });
}

// Any change of what is said of a file.
absl::StatusOr<Committed> SayMore(Member* member, const std::string& name) {
  SetAttributesRequest set;
  set.name = name;
  set.change.set["k"] = "v";
  return SetAttributesAndWait(member->path(), std::move(set));
}

// An appender of pieces in records, in segments of their own, and of zeros:
// seven, too few to be merged meanwhile. Returns its content.
std::string MakeAppender(Member* member, const std::string& name,
                         uint64_t seed = 1) {
  std::string content = TestContent(seed, 2 * kMiB);
  EXPECT_THAT(CreateAppender(member->path(), name, content), IsOk());
  for (uint64_t i = 0; i < 3; ++i) {
    const std::string more = TestContent(seed + i, 1000 + 140000 * i);
    EXPECT_THAT(UpdateFile(member->path(), Append(name, more)), IsOk());
    content += more;
  }
  content.resize(content.size() + 5000);
  EXPECT_THAT(UpdateFile(member->path(),
                         Truncate(name, static_cast<int64_t>(content.size()))),
              IsOk());
  const std::string middle = TestContent(seed + 9, 3000);
  content.replace(kMiB + 11, middle.size(), middle);
  EXPECT_THAT(UpdateFile(member->path(), Modify(name, kMiB + 11, middle)),
              IsOk());
  return content;
}

// That only the new name is there.
void ExpectSealed(Member* member, const std::string& content) {
  const absl::Status old = member->path()->Stat(kOld).status();
  EXPECT_EQ(old.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReasonOf(old), ErrorReason::kFileSealed);
  EXPECT_THAT(MetadataOf(old),
              Contains(Pair("file_id", absl::StrCat("group1/M00/", kNew))));
  EXPECT_EQ(ReasonOf(member->path()->Open(kOld).status()),
            ErrorReason::kFileSealed);
  const auto info = member->path()->Stat(kNew);
  ASSERT_THAT(info, IsOk());
  EXPECT_TRUE(info->kind == FileKind::kNormal);
  EXPECT_EQ(info->size_bytes, static_cast<int64_t>(content.size()));
  EXPECT_EQ(info->crc32c, Crc32c(content));
  const auto read = ReadFile(member->path(), kNew);
  ASSERT_THAT(read, IsOk());
  EXPECT_TRUE(*read == content);
}

TEST(EngineSealTest, NoByteIsCopiedAndNothingIsLostWhateverHappens) {
  Member member(7);  // The one that created it.
  const std::string content = MakeAppender(&member, kOld);
  EXPECT_THAT(SayMore(&member, kOld), IsOk());
  const auto before = member.path()->Stat(kOld);
  ASSERT_THAT(before, IsOk());
  const EngineNumbers numbers = member.path()->Numbers();

  const auto sealed = Seal(&member, SealAs(kOld, kNew));
  ASSERT_THAT(sealed, IsOk());
  EXPECT_EQ(sealed->file.name, kNew);
  EXPECT_EQ(sealed->file.attributes, before->attributes);
  EXPECT_LT(before->version, sealed->file.version);
  const EngineNumbers after = member.path()->Numbers();
  EXPECT_LT(after.journal_bytes - numbers.journal_bytes, 10 * kKiB);
  EXPECT_EQ(after.dedicated_bytes, numbers.dedicated_bytes);
  EXPECT_EQ(after.files, 1);
  EXPECT_EQ(after.tombstones, 1);

  ExpectSealed(&member, content);
  member.KillAndOpen();
  ExpectSealed(&member, content);
  ASSERT_THAT(member.replica()->BeginSnapshot(), IsOk());
  member.PowerCutAndOpen();
  ExpectSealed(&member, content);
  EXPECT_EQ(member.path()->Stat(kNew)->attributes, before->attributes);
  member.Rebuild();
  ExpectSealed(&member, content);
  EXPECT_EQ(member.path()->Stat(kNew)->attributes, before->attributes);
  EXPECT_EQ(member.path()->Status().files, 1);
  EXPECT_EQ(member.path()->Numbers().tombstones, 1);
  // What is counted as alive can be moved, and what is left is dead.
  ASSERT_THAT(member.path()->Compact(0, nullptr), IsOk());
  ExpectSealed(&member, content);
  member.Rebuild();
  ExpectSealed(&member, content);
}

TEST(EngineSealTest, WhatCannotBeSealedSaysSo) {
  Member member(1);
  ASSERT_THAT(PutFile(member.path(), "normal", "content"), IsOk());
  ASSERT_THAT(CreateAppender(member.path(), kOld, "content"), IsOk());
  ASSERT_THAT(CreateAppender(member.path(), "gone", "content"), IsOk());
  ASSERT_THAT(DeleteFile(member.path(), "gone"), IsOk());
  const auto refusal = [&](SealRequest seal) {
    return ReasonOf(Seal(&member, std::move(seal)).status());
  };
  EXPECT_EQ(refusal(SealAs("normal", "x")), ErrorReason::kNotAnAppender);
  EXPECT_EQ(refusal(SealAs("unknown", "x")), ErrorReason::kFileNotFound);
  EXPECT_EQ(refusal(SealAs("gone", "x")), ErrorReason::kFileDeleted);
  SealRequest size = SealAs(kOld, "x");
  size.if_size_bytes = 6;
  EXPECT_EQ(refusal(std::move(size)), ErrorReason::kConditionFailed);
  SealRequest version = SealAs(kOld, "x");
  version.if_version = Version{1, 1};
  EXPECT_EQ(refusal(std::move(version)), ErrorReason::kConditionFailed);
  EXPECT_EQ(ReasonOf(member.path()->Stat("x").status()),
            ErrorReason::kFileNotFound);

  SealRequest right = SealAs(kOld, kNew);
  right.if_size_bytes = 7;
  right.if_version = member.path()->Stat(kOld)->version;
  EXPECT_THAT(Seal(&member, std::move(right)), IsOk());
  ExpectSealed(&member, "content");
  EXPECT_EQ(refusal(SealAs(kOld, "x")), ErrorReason::kFileSealed);
  EXPECT_EQ(ReasonOf(UpdateFile(member.path(), Append(kOld, "x")).status()),
            ErrorReason::kFileSealed);
  EXPECT_EQ(ReasonOf(DeleteFile(member.path(), kOld).status()),
            ErrorReason::kFileSealed);
  EXPECT_EQ(ReasonOf(UpdateFile(member.path(), Append(kNew, "x")).status()),
            ErrorReason::kNotAnAppender);
}

TEST(EngineSealTest, ARepeatedCallIsToldTheNewName) {
  Member member(1);
  const Uuid id = Uuid::Random();
  ASSERT_THAT(CreateAppender(member.path(), kOld, "content"), IsOk());
  ASSERT_THAT(Seal(&member, SealAs(kOld, kNew, id)), IsOk());
  const auto expect_replay = [&](const char* when) {
    SCOPED_TRACE(when);
    const auto again = Seal(&member, SealAs(kOld, "another", id));
    ASSERT_THAT(again, IsOk());
    EXPECT_TRUE(again->replayed);
    EXPECT_EQ(again->file.name, kNew);
    EXPECT_EQ(again->file.size_bytes, 7);
    EXPECT_EQ(again->replicas, 1u);
    EXPECT_EQ(ReasonOf(Seal(&member, SealAs("other", "x", id)).status()),
              ErrorReason::kRequestIdReused);
    EXPECT_EQ(
        ReasonOf(
            DeleteFile(member.path(), kNew, Durability::kSynced, id).status()),
        ErrorReason::kRequestIdReused);
  };
  expect_replay("at once");
  member.KillAndOpen();
  expect_replay("replayed");
  ASSERT_THAT(member.replica()->BeginSnapshot(), IsOk());
  member.KillAndOpen();
  expect_replay("read from tables");
  ASSERT_THAT(DeleteFile(member.path(), kNew), IsOk());
  const auto again = Seal(&member, SealAs(kOld, "another", id));
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->file.name, kNew);
}

TEST(EngineSealTest, WhatComesTogetherIsDoneInTurn) {
  Member member(1);
  ASSERT_THAT(CreateAppender(member.path(), kOld, "0"), IsOk());
  Notification done[3];
  absl::StatusOr<Committed> answers[3];
  const auto take = [&](int i) {
    return [&, i](absl::StatusOr<Committed> committed) {
      answers[i] = std::move(committed);
      done[i].Notify();
    };
  };
  UpdateRequest before = Append(kOld, "1");
  before.crc32c = Crc32c("1");
  UpdateRequest behind = Append(kOld, "2");
  behind.crc32c = Crc32c("2");
  std::string named;
  SealRequest seal = SealAs(kOld, kNew);
  seal.make_name = [&named](int64_t size, uint32_t crc) {
    named = absl::StrCat(size, " ", crc);
    return SealRequest::NewName{kNew, 1767225600};
  };
  member.path()->Update(std::move(before), take(0));
  member.path()->Seal(std::move(seal), take(1));
  member.path()->Update(std::move(behind), take(2));
  for (Notification& one : done) one.WaitForNotification();
  EXPECT_THAT(answers[0], IsOk());
  EXPECT_THAT(answers[1], IsOk());
  EXPECT_EQ(ReasonOf(answers[2].status()), ErrorReason::kFileSealed);
  EXPECT_EQ(named, absl::StrCat(2, " ", Crc32c("01")));
  ExpectSealed(&member, "01");
}

TEST(EngineSealTest, ACrashAtAnyStepLeavesOneOfTheTwo) {
  SeedRun run(/*first_seed=*/1, /*rounds=*/6);
  while (run.Next()) {
    SCOPED_TRACE(run.Description());
    const bool power = run.seed() % 2 == 0;
    bool stopped = true;
    for (uint64_t step = 0; stopped; ++step) {
      SCOPED_TRACE(step);
      Member member(1, run.seed() * 1000 + step);
      const std::string content = MakeAppender(&member, kOld, run.seed());
      // Some of it is not durable yet.
      UpdateRequest last = Append(kOld, "and the end");
      last.durability =
          run.seed() % 3 == 0 ? Durability::kSynced : Durability::kCached;
      ASSERT_THAT(UpdateFile(member.path(), std::move(last)), IsOk());
      const std::string whole = content + "and the end";
      const uint64_t changes = member.fs()->CountOf(kChanges);
      member.fs()->StopAfter(step);
      const auto sealed = Seal(&member, SealAs(kOld, kNew));
      stopped = member.fs()->CountOf(kChanges) - changes > step;
      if (power) {
        member.PowerCutAndOpen();
      } else {
        member.KillAndOpen();
      }
      const auto old_content = ReadFile(member.path(), kOld);
      if (sealed.ok() || !old_content.ok()) {
        ExpectSealed(&member, whole);
      } else {
        EXPECT_EQ(ReasonOf(member.path()->Stat(kNew).status()),
                  ErrorReason::kFileNotFound);
        EXPECT_TRUE(*old_content == content || *old_content == whole);
      }
      EXPECT_EQ(member.path()->Status().files, 1);
      if (HasFailure()) return;
    }
  }
}

TEST(EngineSealTest, CompactionFindsTheBytesUnderTheOldName) {
  SeedRun run(/*first_seed=*/1, /*rounds=*/8);
  while (run.Next()) {
    SCOPED_TRACE(run.Description());
    std::mt19937_64 random(run.seed());
    Member member(1, run.seed());
    std::string content;
    ASSERT_THAT(CreateAppender(member.path(), kOld, ""), IsOk());
    // Between others, over several segments.
    for (uint64_t i = 0; i < 40; ++i) {
      const std::string more = TestContent(i, 1000 + random() % 100000);
      ASSERT_THAT(UpdateFile(member.path(), Append(kOld, more)), IsOk());
      content += more;
      ASSERT_THAT(PutFile(member.path(), absl::StrCat("f", i),
                          TestContent(i, random() % 100000)),
                  IsOk());
      if (random() % 10 == 0) {
        ASSERT_THAT(member.path()->Compact(0, nullptr), IsOk());
      }
    }
    ASSERT_THAT(Seal(&member, SealAs(kOld, kNew)), IsOk());
    for (int i = 0; i < 40; ++i) {
      if (random() % 3 == 0) continue;
      ASSERT_THAT(DeleteFile(member.path(), absl::StrCat("f", i)), IsOk());
    }
    for (int round = 0; round < 6; ++round) {
      switch (random() % 5) {
        case 0:
          member.KillAndOpen();
          break;
        case 1:
          member.PowerCutAndOpen();
          break;
        case 2:
          member.Rebuild();
          break;
        default:
          // Tombstones go as soon as they may.
          member.clock()->Advance(absl::Hours(30));
          ASSERT_THAT(member.path()->Compact(0, nullptr), IsOk());
      }
      const auto read = ReadFile(member.path(), kNew);
      ASSERT_THAT(read, IsOk());
      ASSERT_TRUE(*read == content);
      ASSERT_EQ(member.path()->Stat(kOld).status().code(),
                absl::StatusCode::kNotFound);
    }
    // In the end nothing is left of the appender, and nothing brings it back.
    for (int round = 0; round < 4; ++round) {
      member.clock()->Advance(absl::Hours(24 * 30));
      ASSERT_THAT(member.path()->Compact(0, nullptr), IsOk());
    }
    member.Rebuild();
    EXPECT_EQ(member.path()->Stat(kOld).status().code(),
              absl::StatusCode::kNotFound);
    const auto read = ReadFile(member.path(), kNew);
    ASSERT_THAT(read, IsOk());
    ASSERT_TRUE(*read == content);

    ASSERT_THAT(DeleteFile(member.path(), kNew), IsOk());
    for (int round = 0; round < 4; ++round) {
      if (round == 1) member.Rebuild();
      member.clock()->Advance(absl::Hours(24 * 30));
      ASSERT_THAT(member.path()->Compact(0, nullptr), IsOk());
      for (const char* name : {kOld, kNew}) {
        EXPECT_EQ(member.path()->Stat(name).status().code(),
                  absl::StatusCode::kNotFound);
      }
    }
    EXPECT_EQ(member.path()->Numbers().tombstones, 0);
    if (HasFailure()) return;
  }
}

TEST(EngineSealTest, WhatItBecameCanChangeAndBeDeleted) {
  Member member(1);
  const std::string content = MakeAppender(&member, kOld);
  ASSERT_THAT(Seal(&member, SealAs(kOld, kNew)), IsOk());
  EXPECT_THAT(SayMore(&member, kNew), IsOk());
  ExpectSealed(&member, content);
  member.Rebuild();
  ExpectSealed(&member, content);
  ASSERT_THAT(DeleteFile(member.path(), kNew), IsOk());
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(ReasonOf(member.path()->Stat(kOld).status()),
              ErrorReason::kFileSealed);
    EXPECT_EQ(ReasonOf(member.path()->Stat(kNew).status()),
              ErrorReason::kFileDeleted);
    EXPECT_EQ(member.path()->Status().files, 0);
    if (round == 0) member.KillAndOpen();
    if (round == 1) member.Rebuild();
  }
  // What only the two names held is free.
  ASSERT_THAT(member.path()->Compact(0, nullptr), IsOk());
  EXPECT_EQ(member.path()->Status().files, 0);
}

// ---- Several members.

uint64_t JournalBytes(Member* member) {
  return member->path()->Numbers().journal_bytes;
}

TEST(EngineSealTest, AMemberThatHasTheAppenderSharesItsBytes) {
  Member a(1);
  Member b(2);
  const std::string content = MakeAppender(&a, kOld);
  Copy(&a, &b);
  const auto sealed = Seal(&a, SealAs(kOld, kNew));
  ASSERT_THAT(sealed, IsOk());
  const uint64_t before = JournalBytes(&b);
  const uint64_t dedicated = b.path()->Numbers().dedicated_bytes;
  Copy(&a, &b);
  EXPECT_LT(JournalBytes(&b) - before, 10 * kKiB);
  EXPECT_EQ(b.path()->Numbers().dedicated_bytes, dedicated);
  ExpectSealed(&b, content);
  EXPECT_TRUE(b.path()->Stat(kNew)->version == sealed->file.version);
  b.KillAndOpen();
  ExpectSealed(&b, content);
  b.Rebuild();
  ExpectSealed(&b, content);
  ASSERT_THAT(b.path()->Compact(0, nullptr), IsOk());
  ExpectSealed(&b, content);
}

TEST(EngineSealTest, AMemberThatHasAnotherStateFetchesTheFile) {
  Member a(1);
  Member behind(2);
  Member none(3);
  ASSERT_THAT(CreateAppender(a.path(), kOld, TestContent(1, 2 * kMiB)), IsOk());
  Copy(&a, &behind);
  const std::string more = TestContent(2, 5000);
  ASSERT_THAT(UpdateFile(a.path(), Append(kOld, more)), IsOk());
  ASSERT_THAT(Seal(&a, SealAs(kOld, kNew)), IsOk());
  for (Member* member : {&behind, &none}) {
    Copy(&a, member);
    ExpectSealed(member, TestContent(1, 2 * kMiB) + more);
    EXPECT_EQ(member->path()->Status().files, 1);
    EXPECT_THAT(member->replica()->ListMissing("", 10), IsEmpty());
    member->Rebuild();
    ExpectSealed(member, TestContent(1, 2 * kMiB) + more);
  }
}

TEST(EngineSealTest, ASnapshotSaysBoth) {
  for (const bool has_appender : {false, true}) {
    SCOPED_TRACE(has_appender);
    Member a(1);
    Member b(2);
    const std::string content = MakeAppender(&a, kOld);
    if (has_appender) Copy(&a, &b);
    ASSERT_THAT(Seal(&a, SealAs(kOld, kNew)), IsOk());
    ASSERT_THAT(a.replica()->BeginSnapshot(), IsOk());
    std::string from;
    do {
      auto page = ReadSnapshotChanges(a.path(), from, ChangeLimits{});
      ASSERT_THAT(page, IsOk());
      for (ReplicatedChange& change : page->changes) {
        change.change = LogPosition();
        ASSERT_THAT(ApplyAndWait(&b, std::move(change)), IsOk());
      }
      from = page->next;
    } while (!from.empty());
    for (const std::string& name : b.replica()->ListMissing("", 10)) {
      ASSERT_THAT(FetchContent(&a, &b, name), IsOk());
    }
    ExpectSealed(&b, content);
    EXPECT_EQ(b.path()->Status().files, 1);
    b.Rebuild();
    ExpectSealed(&b, content);
  }
}

TEST(EngineSealTest, AMemberThatOnlyHeardOfTheNewFileStillEndsTheOldOne) {
  Member a(1);
  Member b(2);
  const std::string content = MakeAppender(&a, kOld);
  Copy(&a, &b);
  const auto sealed = Seal(&a, SealAs(kOld, kNew));
  ASSERT_THAT(sealed, IsOk());
  // As whoever asks another member for a file that is not known here.
  ReplicatedChange known;
  known.mode = ReplicatedChange::Mode::kSnapshot;
  known.file = sealed->file;
  known.file.sealed_from.clear();
  ASSERT_THAT(ApplyAndWait(&b, std::move(known)), IsOk());
  EXPECT_THAT(b.path()->Stat(kOld), IsOk());
  Copy(&a, &b);
  ExpectSealed(&b, content);
  b.Rebuild();
  ExpectSealed(&b, content);
}

TEST(EngineSealTest, OneThatWasSetAsideEndsTheAppenderInTheEnd) {
  Member a(1);
  Member b(2);
  const std::string content = MakeAppender(&a, kOld);
  Copy(&a, &b);
  const LogId log = a.own_log().log;
  ASSERT_THAT(Seal(&a, SealAs(kOld, kNew)), IsOk());
  auto changes =
      ReadChanges(a.path(), log, b.RangeOf(log).applied, ChangeLimits{});
  ASSERT_THAT(changes, IsOk());
  for (ReplicatedChange& change : *changes) {
    change.set_aside = true;
    change.base.reset();
    ASSERT_THAT(ApplyAndWait(&b, std::move(change)), IsOk());
  }
  EXPECT_THAT(b.path()->Stat(kOld), IsOk());
  b.KillAndOpen();  // From the journal.
  ASSERT_FALSE(b.replica()->ListSetAside().empty());
  ASSERT_THAT(b.replica()->BeginSnapshot(), IsOk());
  b.KillAndOpen();  // From the index.
  const std::vector<ReplicatedChange> aside = b.replica()->ListSetAside();
  ASSERT_FALSE(aside.empty());
  for (const ReplicatedChange& change : aside) {
    ASSERT_THAT(ApplyAndWait(&b, change), IsOk());
  }
  EXPECT_THAT(b.replica()->ListSetAside(), IsEmpty());
  // It finds the bytes with the appender.
  EXPECT_THAT(b.replica()->ListMissing("", 10), IsEmpty());
  ExpectSealed(&b, content);
  b.KillAndOpen();
  ExpectSealed(&b, content);
  b.Rebuild();
  ExpectSealed(&b, content);
}

TEST(EngineSealTest, ADeletionThatHadNotHeardOfItTakesNothingAway) {
  for (const bool later : {false, true}) {
    SCOPED_TRACE(later);
    Member a(1);
    Member b(2);
    const std::string content = MakeAppender(&a, kOld);
    Copy(&a, &b);
    a.clock()->Advance(absl::Seconds(later ? 1 : 100));
    b.clock()->Advance(absl::Seconds(later ? 100 : 1));
    ASSERT_THAT(Seal(&a, SealAs(kOld, kNew)), IsOk());
    ASSERT_THAT(DeleteFile(b.path(), kOld), IsOk());
    Copy(&b, &a);
    Copy(&a, &b);
    for (Member* member : {&a, &b}) {
      for (int round = 0; round < 4; ++round) {
        SCOPED_TRACE(round);
        EXPECT_EQ(member->path()->Stat(kOld).status().code(),
                  absl::StatusCode::kNotFound);
        const auto read = ReadFile(member->path(), kNew);
        ASSERT_THAT(read, IsOk());
        EXPECT_TRUE(*read == content);
        if (round == 0) {
          ASSERT_THAT(member->path()->Compact(0, nullptr), IsOk());
        }
        if (round == 1) member->KillAndOpen();
        if (round == 2) member->Rebuild();
      }
    }
  }
}

TEST(EngineSealTest, WhoWatchesIsToldOfBothAtEachMember) {
  Member a(1);
  Member b(2);
  MakeAppender(&a, kOld);
  Copy(&a, &b);
  const ChangeFeed::Positions before_a = ChangeFeed::End(a.path());
  const ChangeFeed::Positions before_b = ChangeFeed::End(b.path());
  ASSERT_THAT(Seal(&a, SealAs(kOld, kNew)), IsOk());
  Copy(&a, &b);
  for (Member* member : {&a, &b}) {
    ChangeFeed feed(member->shared_path(), member == &a ? before_a : before_b,
                    absl::nullopt);
    const auto events = feed.Next(10);
    ASSERT_THAT(events, IsOk());
    ASSERT_EQ(events->size(), 2u);
    EXPECT_EQ((*events)[0].file.name, kNew);
    EXPECT_TRUE((*events)[0].kind == FileEvent::Kind::kCreated);
    EXPECT_EQ((*events)[1].file.name, kOld);
    EXPECT_TRUE((*events)[1].kind == FileEvent::Kind::kDeleted);
  }
}

TEST(EngineSealTest, WhatBecameOfTheFileSinceEndsTheAppenderAsWell) {
  for (const bool deleted : {false, true}) {
    SCOPED_TRACE(deleted);
    Member a(1);
    Member b(2);
    const std::string content = MakeAppender(&a, kOld);
    Copy(&a, &b);
    ASSERT_THAT(Seal(&a, SealAs(kOld, kNew)), IsOk());
    if (deleted) {
      ASSERT_THAT(DeleteFile(a.path(), kNew), IsOk());
    } else {
      EXPECT_THAT(SayMore(&a, kNew), IsOk());
    }
    // The change that sealed it is passed; the later one says it again.
    Copy(&a, &b);
    EXPECT_EQ(ReasonOf(b.path()->Stat(kOld).status()),
              ErrorReason::kFileSealed);
    if (deleted) {
      EXPECT_EQ(ReasonOf(b.path()->Stat(kNew).status()),
                ErrorReason::kFileDeleted);
      EXPECT_EQ(b.path()->Status().files, 0);
    } else {
      ExpectSealed(&b, content);
    }
  }
}

}  // namespace
}  // namespace storage
}  // namespace cairn
