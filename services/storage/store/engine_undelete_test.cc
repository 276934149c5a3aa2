// Deletions that are taken back, on paths in memory: until when they can be,
// what happens to a path meanwhile, and what other members make of it.

#include <cstdint>
#include <functional>
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
#include "lib/attributes/attributes.h"
#include "lib/base/error_reason.h"
#include "lib/base/uuid.h"
#include "lib/checksum/crc32c.h"
#include "lib/io/file_system.h"
#include "lib/testing/crashable_file_system.h"
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

using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr absl::Duration kWindow = absl::Hours(48);
constexpr size_t kLargeBytes = 3 << 20;

// A member that keeps what is deleted.
class Keeper : public Member {
 public:
  explicit Keeper(uint32_t number, absl::Duration window = kWindow)
      : Member(number) {
    options()->undelete_window = window;
    KillAndOpen();
  }
};

absl::StatusOr<Committed> Undelete(Member* member, const std::string& name,
                                   const Uuid& request_id = Uuid()) {
  UndeleteRequest request;
  request.name = name;
  request.request_id = request_id;
  return AwaitCommitted([&](CommitDone done) {
    member->path()->Undelete(std::move(request), std::move(done));
  });
}

absl::StatusOr<Committed> Purge(Member* member, const std::string& name,
                                const Uuid& request_id = Uuid()) {
  DeleteRequest request;
  request.name = name;
  request.purge = true;
  request.request_id = request_id;
  return AwaitCommitted([&](CommitDone done) {
    member->path()->Delete(std::move(request), std::move(done));
  });
}

absl::StatusOr<Committed> Put(Member* member, const std::string& name,
                              const std::string& content,
                              FileKind kind = FileKind::kNormal,
                              int64_t expire_unix_seconds = 0) {
  PutRequest put;
  put.name = name;
  put.kind = kind;
  put.create_unix_seconds = 1767225600;
  put.origin_node = member->options()->node_number;
  put.attributes = EncodeAttributes({{"name", name}});
  put.expire_unix_seconds = expire_unix_seconds;
  return PutOfAnySize(member->path(), std::move(put), content);
}

int64_t UnixSeconds(Member* member) {
  return absl::ToUnixSeconds(member->clock()->Now());
}

ErrorReason StatReason(Member* member, const std::string& name) {
  return ReasonOf(member->path()->Stat(name).status());
}

ErrorReason UndeleteReason(Member* member, const std::string& name) {
  return ReasonOf(Undelete(member, name).status());
}

KnownFile Known(Member* member, const std::string& name) {
  const auto known = member->replica()->Find(name);
  EXPECT_THAT(known, IsOk());
  EXPECT_TRUE(known.ok() && known->has_value()) << name;
  return known.ok() && known->has_value() ? **known : KnownFile();
}

// One round of the background, with all that happened before in the tables.
void RunBackground(Member* member) {
  ASSERT_THAT(member->replica()->BeginSnapshot(), IsOk());
  ASSERT_THAT(member->path()->Compact(0, nullptr), IsOk());
}

// Something dead in the newest segment, so that compaction empties it.
void CompactAll(Member* member) {
  const std::string dead = absl::StrCat("dead ", Uuid::Random().ToString());
  ASSERT_THAT(PutFile(member->path(), dead, TestContent(1, 5000)), IsOk());
  ASSERT_THAT(Purge(member, dead), IsOk());
  RunBackground(member);
}

// What is counted follows from the records alone.
void ExpectCountsAreRight(Member* member) {
  const StorePathStatus before = member->path()->Status();
  member->Rebuild();
  const StorePathStatus after = member->path()->Status();
  EXPECT_EQ(after.files, before.files);
  EXPECT_EQ(after.file_bytes, before.file_bytes);
  EXPECT_EQ(after.live_bytes, before.live_bytes);
  EXPECT_EQ(after.undelete_bytes, before.undelete_bytes);
}

struct TestFile {
  std::string name;
  std::string content;
  int64_t expire_unix_seconds = 0;
};

std::vector<TestFile> PutAll(Member* member) {
  std::vector<TestFile> files = {{"empty", ""},
                                 {"small", TestContent(1, 1000)},
                                 {"blocks", TestContent(2, 300000)},
                                 {"large", TestContent(3, kLargeBytes)}};
  for (TestFile& file : files) {
    if (file.name != "small") {
      file.expire_unix_seconds = UnixSeconds(member) + 100 * 24 * 3600;
    }
    EXPECT_THAT(Put(member, file.name, file.content, FileKind::kNormal,
                    file.expire_unix_seconds),
                IsOk());
  }
  return files;
}

void ExpectThere(Member* member, const TestFile& file) {
  SCOPED_TRACE(file.name);
  const auto info = member->path()->Stat(file.name);
  ASSERT_THAT(info, IsOk());
  EXPECT_TRUE(info->kind == FileKind::kNormal);
  EXPECT_EQ(info->expire_unix_seconds, file.expire_unix_seconds);
  EXPECT_EQ(info->attributes, EncodeAttributes({{"name", file.name}}));
  EXPECT_EQ(info->create_unix_seconds, 1767225600);
  EXPECT_EQ(info->undelete_until_unix_seconds, 0);
  const auto content = ReadFile(member->path(), file.name);
  ASSERT_THAT(content, IsOk());
  EXPECT_TRUE(*content == file.content) << "other bytes";
}

TEST(EngineUndeleteTest, NothingThatHappensToAPathLosesWhatIsKept) {
  Keeper member(1);
  const std::vector<TestFile> files = PutAll(&member);
  int64_t bytes = 0;
  for (const TestFile& file : files) {
    bytes += static_cast<int64_t>(file.content.size());
  }
  const std::vector<std::pair<std::string, std::function<void()>>> events = {
      {"nothing", [] {}},
      {"killed", [&] { member.KillAndOpen(); }},
      {"killed after a flush",
       [&] {
         ASSERT_THAT(member.replica()->BeginSnapshot(), IsOk());
         member.KillAndOpen();
       }},
      {"power cut", [&] { member.PowerCutAndOpen(); }},
      {"compacted", [&] { CompactAll(&member); }},
      {"compacted and killed",
       [&] {
         CompactAll(&member);
         member.KillAndOpen();
       }},
      {"rebuilt", [&] { member.Rebuild(); }},
      {"compacted and rebuilt",
       [&] {
         CompactAll(&member);
         member.Rebuild();
       }},
      {"a day later",
       [&] {
         // Beyond the retention of tombstones, and within the window.
         member.clock()->Advance(absl::Hours(30));
         RunBackground(&member);
         RunBackground(&member);
       }},
  };
  uint32_t life = 0;
  for (const auto& [what, happen] : events) {
    SCOPED_TRACE(what);
    for (const TestFile& file : files) {
      const int64_t until =
          UnixSeconds(&member) + absl::ToInt64Seconds(kWindow);
      const Version before = member.path()->Stat(file.name)->version;
      const auto deleted = DeleteFile(member.path(), file.name);
      ASSERT_THAT(deleted, IsOk());
      EXPECT_EQ(deleted->file.undelete_until_unix_seconds, until);
      EXPECT_TRUE(before < deleted->file.version);
    }
    happen();
    EXPECT_EQ(member.path()->Status().files, 0);
    EXPECT_EQ(member.path()->Status().undelete_bytes, bytes);
    EXPECT_EQ(member.path()->Numbers().undelete_bytes, bytes);
    EXPECT_GE(member.path()->Status().live_bytes, bytes);
    ++life;
    for (const TestFile& file : files) {
      EXPECT_EQ(StatReason(&member, file.name), ErrorReason::kFileDeleted);
      EXPECT_EQ(ReasonOf(member.path()->Open(file.name).status()),
                ErrorReason::kFileDeleted);
      EXPECT_EQ(ReasonOf(DeleteFile(member.path(), file.name).status()),
                ErrorReason::kFileDeleted);
      const auto back = Undelete(&member, file.name);
      ASSERT_THAT(back, IsOk());
      EXPECT_EQ(back->file.name, file.name);
      EXPECT_EQ(back->file.life, life);
      EXPECT_TRUE(Known(&member, file.name).file.version == back->file.version);
      ExpectThere(&member, file);
    }
    EXPECT_EQ(member.path()->Status().undelete_bytes, 0);
    EXPECT_EQ(member.path()->Status().files,
              static_cast<int64_t>(files.size()));
    happen();
    for (const TestFile& file : files) ExpectThere(&member, file);
  }
  ExpectCountsAreRight(&member);
  for (const TestFile& file : files) ExpectThere(&member, file);
}

TEST(EngineUndeleteTest, AnAppenderComesBackWithAllItsPiecesAndGoesOn) {
  Keeper member(1);
  std::string content = TestContent(1, 400000);
  ASSERT_THAT(Put(&member, "a", content, FileKind::kAppender), IsOk());
  const auto append = [&](uint64_t seed, size_t size) {
    const std::string more = TestContent(seed, size);
    content += more;
    ASSERT_THAT(UpdateFile(member.path(), Append("a", more)), IsOk());
  };
  for (uint64_t seed = 2; seed < 20; ++seed) append(seed, 3000 * seed);
  const std::string middle = TestContent(99, 70000);
  content.replace(300000, middle.size(), middle);
  ASSERT_THAT(UpdateFile(member.path(), Modify("a", 300000, middle)), IsOk());
  const auto expect_content = [&] {
    const auto read = ReadFile(member.path(), "a");
    ASSERT_THAT(read, IsOk());
    EXPECT_TRUE(*read == content) << "other bytes";
    EXPECT_EQ(member.path()->Stat("a")->crc32c, Crc32c(content));
  };
  for (int round = 0; round < 4; ++round) {
    SCOPED_TRACE(round);
    ASSERT_THAT(DeleteFile(member.path(), "a"), IsOk());
    EXPECT_EQ(ReasonOf(UpdateFile(member.path(), Append("a", "x")).status()),
              ErrorReason::kFileDeleted);
    if (round == 1) CompactAll(&member);
    if (round == 2) ExpectCountsAreRight(&member);
    if (round == 3) member.PowerCutAndOpen();
    EXPECT_EQ(member.path()->Status().undelete_bytes,
              static_cast<int64_t>(content.size()));
    ASSERT_THAT(Undelete(&member, "a"), IsOk());
    expect_content();
    append(100 + static_cast<uint64_t>(round), 5000);
    expect_content();
  }
  CompactAll(&member);
  ExpectCountsAreRight(&member);
  expect_content();
}

TEST(EngineUndeleteTest, WhenTheWindowIsOverTheSpaceComesBack) {
  Keeper member(1);
  const std::vector<TestFile> files = PutAll(&member);
  for (const TestFile& file : files) {
    ASSERT_THAT(DeleteFile(member.path(), file.name), IsOk());
  }
  member.clock()->Advance(kWindow - absl::Seconds(1));
  RunBackground(&member);
  EXPECT_GT(member.path()->Status().undelete_bytes, 0);
  ASSERT_THAT(Undelete(&member, "small"), IsOk());
  ASSERT_THAT(DeleteFile(member.path(), "small"), IsOk());
  const Version deleted = Known(&member, "large").file.version;

  member.clock()->Advance(absl::Seconds(1));
  // By the clock, before anything has looked at it.
  EXPECT_EQ(UndeleteReason(&member, "large"), ErrorReason::kFileDeleted);
  RunBackground(&member);
  EXPECT_EQ(member.path()->Status().undelete_bytes,
            static_cast<int64_t>(files[1].content.size()));
  ASSERT_THAT(Undelete(&member, "small"), IsOk());
  ExpectThere(&member, files[1]);
  ASSERT_THAT(Purge(&member, "small"), IsOk());
  EXPECT_EQ(member.path()->Status().undelete_bytes, 0);
  // Nobody sees a difference but those who ask for the content.
  EXPECT_TRUE(Known(&member, "large").file.version == deleted);
  EXPECT_TRUE(Known(&member, "large").deleted);
  EXPECT_EQ(Known(&member, "large").file.attributes, "");

  CompactAll(&member);
  const StorePathStatus status = member.path()->Status();
  EXPECT_LT(status.live_bytes, 10000);
  size_t segment_bytes = 0;
  for (const std::string& path :
       member.fs()->FilesUnder("/disk/path/segments")) {
    const auto segment = ReadWholeFile(member.fs(), path, 1 << 30);
    ASSERT_THAT(segment, IsOk());
    segment_bytes += segment->size();
  }
  EXPECT_LT(segment_bytes, size_t{1} << 20);
  ExpectCountsAreRight(&member);
  for (const TestFile& file : files) {
    EXPECT_EQ(UndeleteReason(&member, file.name), ErrorReason::kFileDeleted);
  }
  // And the tombstones go when their time has come.
  member.clock()->Advance(absl::Hours(48));
  CompactAll(&member);
  member.clock()->Advance(absl::Hours(48));
  CompactAll(&member);
  EXPECT_EQ(StatReason(&member, "large"), ErrorReason::kFileNotFound);
  EXPECT_EQ(UndeleteReason(&member, "large"), ErrorReason::kFileNotFound);
}

TEST(EngineUndeleteTest, WithoutAWindowNothingIsKept) {
  Keeper member(1, absl::ZeroDuration());
  ASSERT_THAT(Put(&member, "f", TestContent(1, kLargeBytes)), IsOk());
  const auto deleted = DeleteFile(member.path(), "f");
  ASSERT_THAT(deleted, IsOk());
  EXPECT_EQ(deleted->file.undelete_until_unix_seconds, 0);
  EXPECT_EQ(member.path()->Status().undelete_bytes, 0);
  EXPECT_EQ(UndeleteReason(&member, "f"), ErrorReason::kFileDeleted);
  EXPECT_EQ(ReasonOf(Purge(&member, "f").status()), ErrorReason::kFileDeleted);
}

TEST(EngineUndeleteTest, WhatIsPurgedIsGone) {
  Keeper member(1);
  for (const char* name : {"now", "later"}) {
    ASSERT_THAT(Put(&member, name, TestContent(1, kLargeBytes)), IsOk());
  }
  const auto now = Purge(&member, "now");
  ASSERT_THAT(now, IsOk());
  EXPECT_EQ(now->file.undelete_until_unix_seconds, 0);
  ASSERT_THAT(DeleteFile(member.path(), "later"), IsOk());
  const Version deleted = Known(&member, "later").file.version;
  const Uuid id = Uuid::Random();
  const auto later = Purge(&member, "later", id);
  ASSERT_THAT(later, IsOk());
  EXPECT_TRUE(deleted < later->file.version);
  const auto again = Purge(&member, "later", id);
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(again->replayed);
  EXPECT_EQ(ReasonOf(Purge(&member, "never was").status()),
            ErrorReason::kFileNotFound);
  for (int opened = 0; opened < 3; ++opened) {
    for (const char* name : {"now", "later"}) {
      SCOPED_TRACE(absl::StrCat(name, " ", opened));
      EXPECT_EQ(UndeleteReason(&member, name), ErrorReason::kFileDeleted);
      EXPECT_EQ(ReasonOf(Purge(&member, name).status()),
                ErrorReason::kFileDeleted);
    }
    EXPECT_EQ(member.path()->Status().undelete_bytes, 0);
    EXPECT_LT(member.path()->Status().live_bytes, 10000);
    if (opened == 0) member.KillAndOpen();
    if (opened == 1) ExpectCountsAreRight(&member);
  }
}

TEST(EngineUndeleteTest, ARepeatedCallIsAnsweredAsTheFirst) {
  Keeper member(1);
  ASSERT_THAT(Put(&member, "f", "content"), IsOk());
  ASSERT_THAT(Put(&member, "other", "content"), IsOk());
  const Uuid remove = Uuid::Random();
  const Uuid bring = Uuid::Random();
  const auto deleted =
      DeleteFile(member.path(), "f", Durability::kSynced, remove);
  ASSERT_THAT(deleted, IsOk());
  const auto deleted_again =
      DeleteFile(member.path(), "f", Durability::kSynced, remove);
  ASSERT_THAT(deleted_again, IsOk());
  EXPECT_TRUE(deleted_again->replayed);
  EXPECT_EQ(deleted_again->file.undelete_until_unix_seconds,
            deleted->file.undelete_until_unix_seconds);
  const auto back = Undelete(&member, "f", bring);
  ASSERT_THAT(back, IsOk());
  for (int opened = 0; opened < 2; ++opened) {
    const auto again = Undelete(&member, "f", bring);
    ASSERT_THAT(again, IsOk());
    EXPECT_TRUE(again->replayed);
    EXPECT_EQ(again->replicas, 1u);
    EXPECT_TRUE(again->file.version == back->file.version);
    EXPECT_EQ(UndeleteReason(&member, "f"), ErrorReason::kFileExists);
    // It did something else.
    EXPECT_EQ(ReasonOf(Undelete(&member, "other", bring).status()),
              ErrorReason::kRequestIdReused);
    EXPECT_EQ(ReasonOf(Undelete(&member, "f", remove).status()),
              ErrorReason::kRequestIdReused);
    EXPECT_EQ(
        ReasonOf(DeleteFile(member.path(), "f", Durability::kSynced, bring)
                     .status()),
        ErrorReason::kRequestIdReused);
    member.KillAndOpen();
  }
}

TEST(EngineUndeleteTest, WhatCannotBeBroughtBackSaysWhy) {
  Keeper member(1);
  EXPECT_EQ(UndeleteReason(&member, "f"), ErrorReason::kFileNotFound);
  const int64_t end = UnixSeconds(&member) + 3600;
  ASSERT_THAT(Put(&member, "f", "content", FileKind::kNormal, end), IsOk());
  ASSERT_THAT(Put(&member, "there", "content", FileKind::kNormal, end), IsOk());
  EXPECT_EQ(UndeleteReason(&member, "f"), ErrorReason::kFileExists);
  ASSERT_THAT(DeleteFile(member.path(), "f"), IsOk());
  member.clock()->JumpTo(absl::FromUnixSeconds(end));
  EXPECT_EQ(UndeleteReason(&member, "f"), ErrorReason::kFileExpired);
  EXPECT_EQ(UndeleteReason(&member, "there"), ErrorReason::kFileExpired);

  ASSERT_THAT(Put(&member, "a", "content", FileKind::kAppender), IsOk());
  SealRequest seal;
  seal.name = "a";
  seal.make_name = [](int64_t, uint32_t) {
    return SealRequest::NewName{"sealed", 1767225600};
  };
  ASSERT_THAT(AwaitCommitted([&](CommitDone done) {
                member.path()->Seal(std::move(seal), std::move(done));
              }),
              IsOk());
  EXPECT_EQ(UndeleteReason(&member, "a"), ErrorReason::kFileSealed);
  ASSERT_THAT(DeleteFile(member.path(), "sealed"), IsOk());
  EXPECT_EQ(UndeleteReason(&member, "a"), ErrorReason::kFileSealed);
  ASSERT_THAT(Undelete(&member, "sealed"), IsOk());
  EXPECT_THAT(ReadFile(member.path(), "sealed"), IsOkAndHolds("content"));
  ExpectCountsAreRight(&member);
  EXPECT_THAT(ReadFile(member.path(), "sealed"), IsOkAndHolds("content"));
}

// A file that expires is reclaimed whether it was deleted meanwhile or not.
TEST(EngineUndeleteTest, WhatComesBackStillExpires) {
  Keeper member(1);
  const int64_t end = UnixSeconds(&member) + 24 * 3600;
  ASSERT_THAT(
      Put(&member, "f", TestContent(1, kLargeBytes), FileKind::kNormal, end),
      IsOk());
  ASSERT_THAT(DeleteFile(member.path(), "f"), IsOk());
  RunBackground(&member);
  ASSERT_THAT(Undelete(&member, "f"), IsOk());
  member.clock()->JumpTo(absl::FromUnixSeconds(end) +
                         member.options()->expiry_grace);
  RunBackground(&member);
  EXPECT_TRUE(Known(&member, "f").deleted);
  // Nobody deleted it: there is no way back.
  EXPECT_EQ(member.path()->Status().undelete_bytes, 0);
  EXPECT_EQ(UndeleteReason(&member, "f"), ErrorReason::kFileDeleted);
}

TEST(EngineUndeleteTest, ANameThatIsUsedAgainGivesUpWhatWasKept) {
  Keeper member(1);
  const std::string first = TestContent(1, kLargeBytes);
  ASSERT_THAT(Put(&member, "d", first, FileKind::kDerived), IsOk());
  ASSERT_THAT(DeleteFile(member.path(), "d"), IsOk());
  ASSERT_THAT(Put(&member, "d", "second", FileKind::kDerived), IsOk());
  EXPECT_EQ(member.path()->Status().undelete_bytes, 0);
  EXPECT_LT(member.path()->Status().live_bytes, 10000);
  ASSERT_THAT(DeleteFile(member.path(), "d"), IsOk());
  ASSERT_THAT(Undelete(&member, "d"), IsOk());
  EXPECT_THAT(ReadFile(member.path(), "d"), IsOkAndHolds("second"));
  ExpectCountsAreRight(&member);
  EXPECT_THAT(ReadFile(member.path(), "d"), IsOkAndHolds("second"));
}

TEST(EngineUndeleteTest, AFullDiskGivesUpWhatIsKept) {
  Keeper member(1);
  const std::vector<TestFile> files = PutAll(&member);
  for (const TestFile& file : files) {
    ASSERT_THAT(DeleteFile(member.path(), file.name), IsOk());
  }
  ASSERT_THAT(Put(&member, "stays", "content"), IsOk());
  ASSERT_THAT(member.path()->DropDeleted(), IsOk());
  EXPECT_EQ(member.path()->Status().undelete_bytes, 0);
  CompactAll(&member);
  EXPECT_LT(member.path()->Status().live_bytes, 10000);
  for (int opened = 0; opened < 3; ++opened) {
    for (const TestFile& file : files) {
      SCOPED_TRACE(absl::StrCat(file.name, " ", opened));
      // Other members may have it.
      EXPECT_EQ(UndeleteReason(&member, file.name),
                ErrorReason::kContentNotHere);
      EXPECT_EQ(Known(&member, file.name).file.undelete_until_unix_seconds,
                UnixSeconds(&member) + absl::ToInt64Seconds(kWindow));
    }
    if (opened == 0) member.KillAndOpen();
    if (opened == 1) ExpectCountsAreRight(&member);
  }
  EXPECT_THAT(member.replica()->ListMissing("", 10), IsEmpty());
  EXPECT_THAT(ReadFile(member.path(), "stays"), IsOkAndHolds("content"));
  // Purged, although nothing is kept here: others may.
  ASSERT_THAT(Purge(&member, "large"), IsOk());
  EXPECT_EQ(UndeleteReason(&member, "large"), ErrorReason::kFileDeleted);
  member.clock()->Advance(kWindow);
  EXPECT_EQ(UndeleteReason(&member, "small"), ErrorReason::kFileDeleted);
}

TEST(EngineUndeleteTest, OtherMembersKeepWhatTheyHave) {
  Keeper a(1);
  // Whether it keeps its own deletions does not count.
  Keeper b(2, absl::ZeroDuration());
  const std::vector<TestFile> files = PutAll(&a);
  Copy(&a, &b);
  for (const TestFile& file : files) {
    ASSERT_THAT(DeleteFile(a.path(), file.name), IsOk());
  }
  Copy(&a, &b);
  EXPECT_EQ(b.path()->Status().undelete_bytes,
            a.path()->Status().undelete_bytes);
  for (const TestFile& file : files) {
    EXPECT_EQ(StatReason(&b, file.name), ErrorReason::kFileDeleted);
    EXPECT_EQ(Known(&b, file.name).file.undelete_until_unix_seconds,
              Known(&a, file.name).file.undelete_until_unix_seconds);
    ASSERT_THAT(Undelete(&b, file.name), IsOk());
    ExpectThere(&b, file);
  }
  // Back at A without a byte of content on the way.
  const LogId log = b.own_log().log;
  ASSERT_THAT(a.replica()->SetLogs({LogRange{log}}), IsOk());
  auto changes = ReadChanges(b.path(), log, 0, ChangeLimits{});
  ASSERT_THAT(changes, IsOk());
  ASSERT_THAT(*changes, SizeIs(files.size()));
  for (ReplicatedChange& change : *changes) {
    change.content.reset();
    ASSERT_THAT(ApplyAndWait(&a, std::move(change)), IsOk());
  }
  EXPECT_THAT(a.replica()->ListMissing("", 10), IsEmpty());
  for (Member* member : {static_cast<Member*>(&a), static_cast<Member*>(&b)}) {
    for (const TestFile& file : files) ExpectThere(member, file);
    EXPECT_EQ(member->path()->Status().undelete_bytes, 0);
    EXPECT_EQ(member->path()->Status().files, 4);
    ExpectCountsAreRight(member);
    for (const TestFile& file : files) ExpectThere(member, file);
  }
}

TEST(EngineUndeleteTest, AMemberThatMissedItAllComesToTheSame) {
  Keeper a(1);
  Keeper b(2);
  const std::vector<TestFile> files = PutAll(&a);
  Copy(&a, &b);
  for (int round = 0; round < 3; ++round) {
    for (const TestFile& file : files) {
      ASSERT_THAT(DeleteFile(a.path(), file.name), IsOk());
      ASSERT_THAT(Undelete(&a, file.name), IsOk());
    }
  }
  ASSERT_THAT(DeleteFile(a.path(), "blocks"), IsOk());
  // It learns of it from a log that says of most changes only that they were.
  Copy(&a, &b);
  for (const TestFile& file : files) {
    if (file.name == "blocks") continue;
    ExpectThere(&b, file);
    EXPECT_TRUE(b.path()->Stat(file.name)->version ==
                a.path()->Stat(file.name)->version);
  }
  EXPECT_EQ(StatReason(&b, "blocks"), ErrorReason::kFileDeleted);
  ASSERT_THAT(Undelete(&b, "blocks"), IsOk());
  ExpectThere(&b, files[2]);
  ExpectCountsAreRight(&b);
}

TEST(EngineUndeleteTest, AMemberWithoutTheContentSaysSoAndFetchesIt) {
  Keeper a(1);
  Keeper b(2);
  const std::vector<TestFile> files = PutAll(&a);
  for (const TestFile& file : files) {
    ASSERT_THAT(DeleteFile(a.path(), file.name), IsOk());
  }
  // By a snapshot: it never had the files.
  const auto begun = a.replica()->BeginSnapshot();
  ASSERT_THAT(begun, IsOk());
  std::vector<LogRange> heard_of = *begun;
  for (LogRange& log : heard_of) log = LogRange{log.log};
  ASSERT_THAT(b.replica()->SetLogs(heard_of), IsOk());
  const auto page = ReadSnapshotChanges(a.path(), "", ChangeLimits{});
  ASSERT_THAT(page, IsOk());
  for (const ReplicatedChange& change : page->changes) {
    ASSERT_THAT(ApplyAndWait(&b, change), IsOk());
  }
  ASSERT_THAT(b.replica()->SetLogs(*begun), IsOk());
  for (int opened = 0; opened < 3; ++opened) {
    for (const TestFile& file : files) {
      EXPECT_EQ(UndeleteReason(&b, file.name), ErrorReason::kContentNotHere);
      EXPECT_FALSE(Known(&b, file.name).content_missing);
    }
    EXPECT_THAT(b.replica()->ListMissing("", 10), IsEmpty());
    if (opened == 0) b.KillAndOpen();
    if (opened == 1) ExpectCountsAreRight(&b);
  }
  for (const TestFile& file : files) {
    ASSERT_THAT(Undelete(&a, file.name), IsOk());
  }
  ASSERT_THAT(b.replica()->SetLogs(*begun), IsOk());
  Copy(&a, &b);
  for (const TestFile& file : files) ExpectThere(&b, file);
}

TEST(EngineUndeleteTest, APurgeReachesEveryMember) {
  Keeper a(1);
  Keeper b(2);
  Keeper c(3);
  ASSERT_THAT(Put(&a, "f", TestContent(1, kLargeBytes)), IsOk());
  Copy(&a, &b);
  Copy(&a, &c);
  ASSERT_THAT(DeleteFile(a.path(), "f"), IsOk());
  Copy(&a, &b);
  ASSERT_THAT(Purge(&b, "f"), IsOk());
  // C hears of the purge before it hears of the deletion.
  Copy(&b, &c);
  Copy(&a, &c);
  Copy(&b, &a);
  for (Member* member : {static_cast<Member*>(&a), static_cast<Member*>(&b),
                         static_cast<Member*>(&c)}) {
    EXPECT_EQ(UndeleteReason(member, "f"), ErrorReason::kFileDeleted);
    EXPECT_EQ(member->path()->Status().undelete_bytes, 0);
    EXPECT_LT(member->path()->Status().live_bytes, 10000);
    ExpectCountsAreRight(member);
    EXPECT_EQ(UndeleteReason(member, "f"), ErrorReason::kFileDeleted);
  }
}

TEST(EngineUndeleteTest, WhoBringsAFileBackWinsOverWhoPurgesIt) {
  Keeper a(1);
  Keeper b(2);
  const std::string content = TestContent(1, kLargeBytes);
  ASSERT_THAT(Put(&a, "f", content), IsOk());
  ASSERT_THAT(DeleteFile(a.path(), "f"), IsOk());
  Copy(&a, &b);
  // B has the tombstone alone. A brings the file back, B purges it.
  ASSERT_THAT(Undelete(&a, "f"), IsOk());
  b.clock()->Advance(absl::Hours(1));
  ASSERT_THAT(Purge(&b, "f"), IsOk());
  Copy(&b, &a);
  EXPECT_THAT(ReadFile(a.path(), "f"), IsOkAndHolds(content));
  Copy(&a, &b);
  EXPECT_THAT(ReadFile(b.path(), "f"), IsOkAndHolds(content));
}

TEST(EngineUndeleteTest, AnAppenderIsBroughtBackWhereItWasTaken) {
  Keeper a(1);
  Keeper b(2);
  std::string content = TestContent(1, 5000);
  ASSERT_THAT(Put(&a, "f", content, FileKind::kAppender), IsOk());
  Copy(&a, &b);
  // B deletes it, and has not heard of what A appends.
  ASSERT_THAT(UpdateFile(a.path(), Append("f", "and more")), IsOk());
  content += "and more";
  ASSERT_THAT(DeleteFile(b.path(), "f"), IsOk());
  Copy(&b, &a);
  Copy(&a, &b);
  EXPECT_EQ(a.path()->Status().undelete_bytes,
            static_cast<int64_t>(content.size()));
  EXPECT_EQ(b.path()->Status().undelete_bytes, 5000);
  ExpectCountsAreRight(&b);
  ASSERT_THAT(Undelete(&a, "f"), IsOk());
  EXPECT_THAT(ReadFile(a.path(), "f"), IsOkAndHolds(content));
  Copy(&a, &b);
  EXPECT_THAT(ReadFile(b.path(), "f"), IsOkAndHolds(content));
  ASSERT_THAT(UpdateFile(a.path(), Append("f", "!")), IsOk());
  content += "!";
  Copy(&a, &b);
  EXPECT_THAT(ReadFile(b.path(), "f"), IsOkAndHolds(content));
  for (Member* member : {static_cast<Member*>(&a), static_cast<Member*>(&b)}) {
    ExpectCountsAreRight(member);
    EXPECT_THAT(ReadFile(member->path(), "f"), IsOkAndHolds(content));
  }
}

// Sealed at one member, deleted at another that had not heard of it: what it
// became stays, and the appender is not to be brought back.
TEST(EngineUndeleteTest, WhatAnAppenderBecameTakesWhatWasKept) {
  for (const size_t size : {size_t{5000}, kLargeBytes}) {
    SCOPED_TRACE(size);
    Keeper a(1);
    Keeper b(2);
    std::string content = TestContent(1, size);
    ASSERT_THAT(Put(&a, "f", content, FileKind::kAppender), IsOk());
    ASSERT_THAT(UpdateFile(a.path(), Append("f", "end")), IsOk());
    content += "end";
    Copy(&a, &b);
    SealRequest seal;
    seal.name = "f";
    seal.make_name = [](int64_t, uint32_t) {
      return SealRequest::NewName{"sealed", 1767225600};
    };
    ASSERT_THAT(AwaitCommitted([&](CommitDone done) {
                  a.path()->Seal(std::move(seal), std::move(done));
                }),
                IsOk());
    ASSERT_THAT(DeleteFile(b.path(), "f"), IsOk());
    EXPECT_EQ(b.path()->Status().undelete_bytes,
              static_cast<int64_t>(content.size()));
    Copy(&b, &a);
    Copy(&a, &b);
    for (Member* member :
         {static_cast<Member*>(&a), static_cast<Member*>(&b)}) {
      for (int round = 0; round < 3; ++round) {
        SCOPED_TRACE(absl::StrCat(member->options()->node_number, " ", round));
        EXPECT_THAT(ReadFile(member->path(), "sealed"), IsOkAndHolds(content));
        EXPECT_EQ(StatReason(member, "f"), ErrorReason::kFileSealed);
        EXPECT_EQ(UndeleteReason(member, "f"), ErrorReason::kFileSealed);
        EXPECT_EQ(member->path()->Status().undelete_bytes, 0);
        if (round == 0) CompactAll(member);
        if (round == 1) ExpectCountsAreRight(member);
      }
      EXPECT_THAT(ReadFile(member->path(), "sealed"), IsOkAndHolds(content));
    }
  }
}

TEST(EngineUndeleteTest, ADeletionThatIsSetAsideKeepsItsWindow) {
  Keeper a(1);
  Keeper b(2);
  ASSERT_THAT(Put(&a, "f", "content"), IsOk());
  Copy(&a, &b);
  ASSERT_THAT(DeleteFile(a.path(), "f"), IsOk());
  const LogId log = a.own_log().log;
  auto changes = ReadChanges(a.path(), log, 1, ChangeLimits{});
  ASSERT_THAT(changes, IsOk());
  ASSERT_THAT(*changes, SizeIs(1));
  ReplicatedChange aside = (*changes)[0];
  aside.set_aside = true;
  ASSERT_THAT(ApplyAndWait(&b, std::move(aside)), IsOk());
  b.KillAndOpen();
  const auto listed = b.replica()->ListSetAside();
  ASSERT_THAT(listed, SizeIs(1));
  EXPECT_EQ(listed[0].file.undelete_until_unix_seconds,
            UnixSeconds(&a) + absl::ToInt64Seconds(kWindow));
  ASSERT_THAT(ApplyAndWait(&b, listed[0]), IsOk());
  EXPECT_EQ(StatReason(&b, "f"), ErrorReason::kFileDeleted);
  ASSERT_THAT(Undelete(&b, "f"), IsOk());
  EXPECT_THAT(ReadFile(b.path(), "f"), IsOkAndHolds("content"));
}

}  // namespace
}  // namespace storage
}  // namespace cairn
