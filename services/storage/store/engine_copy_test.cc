// Copies that share a dedicated segment: what they cost, that the bytes stay
// for as long as one name is left and no longer, whatever happens to the path,
// and what other members make of them.

#include <cstdint>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/attributes/attributes.h"
#include "lib/base/error_reason.h"
#include "lib/base/uuid.h"
#include "lib/testing/seed_run.h"
#include "lib/testing/status_matchers.h"
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

constexpr size_t kKiB = 1 << 10;
constexpr size_t kMiB = 1 << 20;

CopyRequest CopyOf(const FileInfo& from, const std::string& name) {
  CopyRequest copy;
  copy.from = from.name;
  copy.size_bytes = from.size_bytes;
  copy.crc32c = from.crc32c;
  copy.name = name;
  copy.create_unix_seconds = 1767225600;
  copy.origin_node = 7;
  return copy;
}

absl::StatusOr<Committed> CopyAndWait(Member* member, CopyRequest copy) {
  return AwaitCommitted([&](CommitDone done) {
    member->path()->Copy(std::move(copy), std::move(done));
  });
}

absl::StatusOr<Committed> CopyFile(Member* member, const std::string& from,
                                   const std::string& to) {
  const auto info = member->path()->Stat(from);
  if (!info.ok()) return info.status();
  return CopyAndWait(member, CopyOf(*info, to));
}

// Bytes of contents with a segment of their own, as the path counts them. They
// are whole MiB here, and all that is beside them is much less.
int64_t OwnBytes(Member* member) {
  const int64_t live = member->path()->Numbers().live_bytes;
  return live - live % static_cast<int64_t>(kMiB);
}

// Files of such contents on the disk.
int OwnFiles(Member* member) {
  const std::string folder =
      absl::StrCat(member->options()->directory, "/segments/00");
  const auto names = member->fs()->List(folder);
  EXPECT_THAT(names, IsOk());
  int files = 0;
  for (const std::string& name : *names) {
    const auto stat = member->fs()->Stat(absl::StrCat(folder, "/", name));
    EXPECT_THAT(stat, IsOk());
    if (stat->size_bytes >= static_cast<int64_t>(kMiB)) ++files;
  }
  return files;
}

TEST(EngineCopyTest, NoByteIsCopied) {
  Member member(7);
  const std::string content = TestContent(1, 3 * kMiB);
  ASSERT_THAT(PutFile(member.path(), "a", content), IsOk());
  const EngineNumbers before = member.path()->Numbers();
  const auto copied = CopyFile(&member, "a", "b");
  ASSERT_THAT(copied, IsOk());
  EXPECT_EQ(copied->file.name, "b");
  EXPECT_EQ(copied->file.copied_from, "a");
  EXPECT_TRUE(copied->file.kind == FileKind::kNormal);
  EXPECT_EQ(copied->reached, Durability::kSynced);
  const EngineNumbers after = member.path()->Numbers();
  EXPECT_LT(after.journal_bytes - before.journal_bytes, 4 * kKiB);
  EXPECT_EQ(after.dedicated_bytes, before.dedicated_bytes);
  EXPECT_EQ(after.segments, before.segments);
  EXPECT_EQ(OwnFiles(&member), 1);
  EXPECT_EQ(after.files, 2);
  EXPECT_EQ(OwnBytes(&member), static_cast<int64_t>(content.size()));
  ExpectFile(&member, "b", content);
}

TEST(EngineCopyTest, TheBytesStayForTheLastNameAndNoLonger) {
  const std::string content = TestContent(2, 2 * kMiB);
  const auto size = static_cast<int64_t>(content.size());
  for (const bool source_first : {true, false}) {
    for (const Between between : kAllBetween) {
      SCOPED_TRACE(absl::StrCat("source first: ", source_first,
                                ", between: ", static_cast<int>(between)));
      Member member(7);
      ASSERT_THAT(PutFile(member.path(), "a", content), IsOk());
      Happen(between, &member);
      ASSERT_THAT(CopyFile(&member, "a", "b"), IsOk());
      Happen(between, &member);
      ASSERT_THAT(CopyFile(&member, "b", "c"), IsOk());
      Happen(between, &member);
      const std::vector<std::string> order =
          source_first ? std::vector<std::string>{"a", "b", "c"}
                       : std::vector<std::string>{"c", "b", "a"};
      for (size_t i = 0; i < order.size(); ++i) {
        EXPECT_EQ(OwnBytes(&member), size);
        EXPECT_EQ(OwnFiles(&member), 1);
        for (size_t k = i; k < order.size(); ++k) {
          ExpectFile(&member, order[k], content);
        }
        ASSERT_THAT(DeleteFile(member.path(), order[i]), IsOk());
        Happen(between, &member);
        GiveBack(&member);
      }
      EXPECT_EQ(OwnBytes(&member), 0);
      EXPECT_EQ(OwnFiles(&member), 0);
    }
  }
}

TEST(EngineCopyTest, WhatIsSaidOfOneNameIsNotSaidOfTheOther) {
  Member member(7);
  const std::string content = TestContent(3, 2 * kMiB);
  ASSERT_THAT(PutFile(member.path(), "a", content), IsOk());
  const auto info = member.path()->Stat("a");
  ASSERT_THAT(info, IsOk());
  CopyRequest copy = CopyOf(*info, "b");
  copy.attributes = EncodeAttributes({{"k", "b"}});
  copy.expire_unix_seconds =
      absl::ToUnixSeconds(member.clock()->Now() + absl::Hours(1));
  ASSERT_THAT(CopyAndWait(&member, copy), IsOk());
  SetAttributesRequest set;
  set.name = "a";
  set.change.set["k"] = "a";
  ASSERT_THAT(SetAttributesAndWait(member.path(), std::move(set)), IsOk());
  EXPECT_EQ(member.path()->Stat("b")->attributes, copy.attributes);
  EXPECT_EQ(member.path()->Stat("a")->attributes,
            EncodeAttributes({{"k", "a"}}));
  set = SetAttributesRequest();
  set.name = "b";
  set.change.set["more"] = "b";
  ASSERT_THAT(SetAttributesAndWait(member.path(), std::move(set)), IsOk());
  // Compaction moves the records of both.
  ASSERT_THAT(member.path()->Compact(0, nullptr), IsOk());
  EXPECT_EQ(OwnBytes(&member), static_cast<int64_t>(content.size()));

  // The copy expires and is reclaimed; the other one lives on.
  member.clock()->Advance(absl::Hours(200));
  EXPECT_EQ(ReasonOf(member.path()->Stat("b").status()),
            ErrorReason::kFileExpired);
  GiveBack(&member);
  GiveBack(&member);
  EXPECT_EQ(member.path()->Status().files, 1);
  ExpectFile(&member, "a", content);
  member.KillAndOpen();
  ExpectFile(&member, "a", content);
  ASSERT_THAT(DeleteFile(member.path(), "a"), IsOk());
  GiveBack(&member);
  EXPECT_EQ(OwnBytes(&member), 0);
}

TEST(EngineCopyTest, WhatCannotBeSharedSaysSo) {
  Member member(7);
  const std::string content = TestContent(4, 2 * kMiB);
  ASSERT_THAT(PutFile(member.path(), "small", "small"), IsOk());
  ASSERT_THAT(PutFile(member.path(), "empty", ""), IsOk());
  ASSERT_THAT(PutFile(member.path(), "gone", content), IsOk());
  const auto gone = member.path()->Stat("gone");
  ASSERT_THAT(gone, IsOk());
  ASSERT_THAT(DeleteFile(member.path(), "gone"), IsOk());
  ASSERT_THAT(CreateAppender(member.path(), "appender", content), IsOk());

  EXPECT_EQ(ReasonOf(CopyFile(&member, "small", "x").status()),
            ErrorReason::kNotSupported);
  EXPECT_EQ(ReasonOf(CopyFile(&member, "empty", "x").status()),
            ErrorReason::kNotSupported);
  EXPECT_EQ(ReasonOf(CopyFile(&member, "appender", "x").status()),
            ErrorReason::kWrongKind);
  EXPECT_EQ(ReasonOf(CopyAndWait(&member, CopyOf(*gone, "x")).status()),
            ErrorReason::kFileDeleted);
  FileInfo nobody = *gone;
  nobody.name = "nobody";
  EXPECT_EQ(ReasonOf(CopyAndWait(&member, CopyOf(nobody, "x")).status()),
            ErrorReason::kFileNotFound);

  ASSERT_THAT(PutFile(member.path(), "a", content), IsOk());
  FileInfo other = *member.path()->Stat("a");
  other.crc32c += 1;
  EXPECT_EQ(ReasonOf(CopyAndWait(&member, CopyOf(other, "x")).status()),
            ErrorReason::kConditionFailed);
  EXPECT_EQ(ReasonOf(member.path()->Stat("x").status()),
            ErrorReason::kFileNotFound);
}

TEST(EngineCopyTest, ARepeatedCallMakesOneFile) {
  Member member(7);
  const std::string content = TestContent(5, 2 * kMiB);
  ASSERT_THAT(PutFile(member.path(), "a", content), IsOk());
  CopyRequest copy = CopyOf(*member.path()->Stat("a"), "b");
  copy.request_id = Uuid::Random();
  ASSERT_THAT(CopyAndWait(&member, copy), IsOk());
  copy.name = "c";
  for (int i = 0; i < 2; ++i) {
    const auto again = CopyAndWait(&member, copy);
    ASSERT_THAT(again, IsOk());
    EXPECT_TRUE(again->replayed);
    EXPECT_EQ(again->file.name, "b");
    EXPECT_EQ(again->file.copied_from, "a");
    member.KillAndOpen();
  }
  ASSERT_THAT(DeleteFile(member.path(), "a"), IsOk());
  // The file that was copied does not count any more.
  const auto found =
      member.path()->FindRequest(copy.request_id, Durability::kSynced);
  ASSERT_THAT(found, IsOk());
  ASSERT_TRUE(found->has_value());
  EXPECT_EQ((*found)->file.name, "b");
  EXPECT_EQ(member.path()->Status().files, 1);
  ASSERT_THAT(DeleteFile(member.path(), "b"), IsOk());
  GiveBack(&member);
  EXPECT_EQ(OwnBytes(&member), 0);
}

TEST(EngineCopyTest, ASyncedCopySyncsAContentThatIsNot) {
  const std::string content = TestContent(6, 2 * kMiB);
  Member member(7);
  ASSERT_THAT(UploadFile(member.path(), "a", content, Durability::kCached),
              IsOk());
  const auto copied = CopyFile(&member, "a", "b");
  ASSERT_THAT(copied, IsOk());
  EXPECT_EQ(copied->reached, Durability::kSynced);
  member.PowerCutAndOpen();
  ExpectFile(&member, "a", content);
  ExpectFile(&member, "b", content);
  ASSERT_THAT(DeleteFile(member.path(), "a"), IsOk());
  ASSERT_THAT(DeleteFile(member.path(), "b"), IsOk());
  GiveBack(&member);
  EXPECT_EQ(OwnBytes(&member), 0);
}

TEST(EngineCopyTest, AMemberSharesWhatItHas) {
  Member one(7);
  Member other(8);
  const std::string content = TestContent(7, 2 * kMiB);
  const auto size = static_cast<int64_t>(content.size());
  ASSERT_THAT(PutFile(one.path(), "a", content), IsOk());
  Copy(&one, &other);
  ASSERT_THAT(CopyFile(&one, "a", "b"), IsOk());

  const uint64_t written = other.path()->Numbers().dedicated_bytes;
  Copy(&one, &other);
  EXPECT_EQ(other.path()->Numbers().dedicated_bytes, written);
  EXPECT_EQ(OwnBytes(&other), size);
  ExpectFile(&other, "b", content);
  const auto at_one = one.path()->Stat("b");
  const auto at_other = other.path()->Stat("b");
  ASSERT_THAT(at_other, IsOk());
  EXPECT_TRUE(at_one->version == at_other->version);
  EXPECT_EQ(at_other->copied_from, "a");

  ASSERT_THAT(DeleteFile(one.path(), "a"), IsOk());
  Copy(&one, &other);
  GiveBack(&other);
  ExpectFile(&other, "b", content);
  other.PowerCutAndOpen();
  other.Rebuild();
  ExpectFile(&other, "b", content);
  ASSERT_THAT(DeleteFile(other.path(), "b"), IsOk());
  GiveBack(&other);
  EXPECT_EQ(OwnBytes(&other), 0);
}

TEST(EngineCopyTest, AMemberWithoutTheSourceFetchesTheContent) {
  Member one(7);
  Member other(8);
  const std::string content = TestContent(8, 2 * kMiB);
  ASSERT_THAT(PutFile(one.path(), "a", content), IsOk());
  ASSERT_THAT(CopyFile(&one, "a", "b"), IsOk());
  ASSERT_THAT(DeleteFile(one.path(), "a"), IsOk());
  // It hears of the file that was copied only that it is gone.
  Copy(&one, &other);
  ExpectFile(&other, "b", content);
  EXPECT_EQ(OwnBytes(&other), static_cast<int64_t>(content.size()));
  ASSERT_THAT(DeleteFile(other.path(), "b"), IsOk());
  GiveBack(&other);
  EXPECT_EQ(OwnBytes(&other), 0);
}

TEST(EngineCopyTest, ACrashAtAnyStepLeavesTheBytesToWhoIsThere) {
  const std::string content = TestContent(9, kMiB);
  SeedRun run(/*first_seed=*/1, /*rounds=*/60);
  while (run.Next()) {
    SCOPED_TRACE(run.Description());
    std::mt19937_64 random(run.seed());
    Member member(7, run.seed());
    ASSERT_THAT(PutFile(member.path(), "f0", content), IsOk());
    std::set<std::string> surely = {"f0"};  // There.
    std::set<std::string> perhaps;
    int next = 1;
    for (int life = 0; life < 4; ++life) {
      member.fs()->StopAfter(random() % 40);
      for (int step = 0; step < 12 && !member.fs()->stopped(); ++step) {
        if (surely.empty()) break;
        auto it = surely.begin();
        std::advance(it, random() % surely.size());
        const std::string name = *it;
        switch (random() % 4) {
          case 0:
            surely.erase(name);
            if (!DeleteFile(member.path(), name).ok()) perhaps.insert(name);
            break;
          case 1:
            member.path()->Compact(0.3, nullptr).IgnoreError();
            break;
          default: {
            const std::string copy = absl::StrCat("f", next++);
            (CopyFile(&member, name, copy).ok() ? surely : perhaps)
                .insert(copy);
          }
        }
      }
      if (random() % 2 == 0) {
        member.KillAndOpen();
      } else {
        member.PowerCutAndOpen();
      }
      if (random() % 4 == 0) member.Rebuild();
      for (const std::string& name : perhaps) {
        if (member.path()->Stat(name).ok()) surely.insert(name);
      }
      perhaps.clear();
      for (const std::string& name : surely) {
        ExpectFile(&member, name, content);
      }
      EXPECT_EQ(member.path()->Status().files,
                static_cast<int64_t>(surely.size()));
      EXPECT_EQ(OwnBytes(&member),
                surely.empty() ? 0 : static_cast<int64_t>(content.size()));
    }
    for (const std::string& name : surely) {
      ASSERT_THAT(DeleteFile(member.path(), name), IsOk());
    }
    GiveBack(&member);
    EXPECT_EQ(OwnBytes(&member), 0);
    EXPECT_EQ(OwnFiles(&member), 0);
    if (::testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace storage
}  // namespace cairn
