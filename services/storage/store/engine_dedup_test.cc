// Uploads that share a content which is there: what they cost, that the bytes
// stay for as long as one name is left and no longer, whatever happens to the
// path, what is never shared, and what other members make of them.

#include <cstdint>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/attributes/attributes.h"
#include "lib/base/error_reason.h"
#include "lib/base/mutex.h"
#include "lib/base/uuid.h"
#include "lib/checksum/sha256.h"
#include "lib/fault/fault_point.h"
#include "lib/testing/seed_run.h"
#include "lib/testing/status_matchers.h"
#include "services/storage/core/replica_source.h"
#include "services/storage/core/replica_store.h"
#include "services/storage/core/store_path.h"
#include "services/storage/core/upload_sessions.h"
#include "services/storage/store/engine.h"
#include "services/storage/store/test_path.h"
#include "services/storage/store/testing/blocking_calls.h"
#include "services/storage/store/testing/replica_members.h"

namespace cairn {
namespace storage {
namespace {

constexpr size_t kKiB = 1 << 10;
constexpr size_t kMiB = 1 << 20;

// What is put in one piece, and what is written to a segment as it comes.
constexpr size_t kSmall = 100 * kKiB;
constexpr size_t kLarge = 2 * kMiB;

struct FaultPointsOff {
  ~FaultPointsOff() { DisableFaultPoints(); }
};

PutRequest SharedPut(const std::string& name,
                     Durability durability = Durability::kSynced) {
  PutRequest put = MakePut(name, "", durability);
  put.create_unix_seconds = 1767225600;
  put.origin_node = 7;
  put.dedup = true;
  return put;
}

absl::StatusOr<Committed> Share(Member* member, const std::string& name,
                                const std::string& content,
                                Durability durability = Durability::kSynced) {
  return PutOfAnySize(member->path(), SharedPut(name, durability), content);
}

absl::StatusOr<Committed> FinishShared(Member* member, const Uuid& upload,
                                       const std::string& name,
                                       const Uuid& request_id) {
  auto complete = member->path()->uploads()->OpenFinish(upload, absl::nullopt);
  if (!complete.ok()) return complete.status();
  Upload::FinishRequest finish;
  finish.request_id = request_id;
  finish.name = name;
  finish.create_unix_seconds = 1767225600;
  finish.origin_node = 7;
  finish.dedup = true;
  return AwaitCommitted([&](CommitDone done) {
    (*complete)->Commit(std::move(finish), std::move(done));
  });
}

// The same as an upload in parts.
absl::StatusOr<Committed> ShareInParts(Member* member, const std::string& name,
                                       const std::string& content) {
  const Uuid id = Uuid::Random();
  UploadSessionSpec spec;
  spec.size_bytes = static_cast<int64_t>(content.size());
  absl::Status status = member->path()->uploads()->Create(id, spec);
  if (status.ok()) status = WriteUploadPart(member->path(), id, 0, content);
  if (!status.ok()) return status;
  return FinishShared(member, id, name, id);
}

// Waits for what was given up to be removed: by the one thread that io() has.
void AwaitIo(Member* member) {
  Notification ran;
  ASSERT_TRUE(member->path()->io()->TrySubmit([&ran] { ran.Notify(); }));
  ran.WaitForNotification();
}

// Files on the disk with a content of at least the size.
int FilesOf(Member* member, const std::string& folder, int64_t size_bytes) {
  const auto names = member->fs()->List(folder);
  EXPECT_THAT(names, IsOk());
  int files = 0;
  for (const std::string& name : *names) {
    const auto stat = member->fs()->Stat(absl::StrCat(folder, "/", name));
    EXPECT_THAT(stat, IsOk());
    if (stat->size_bytes >= size_bytes) ++files;
  }
  return files;
}

// Contents of the size with a segment of their own. The journal's segments are
// smaller, as long as nothing else is put.
int OwnFiles(Member* member, const std::string& content) {
  AwaitIo(member);
  const std::string directory = member->options()->directory;
  const auto size = static_cast<int64_t>(content.size());
  EXPECT_EQ(FilesOf(member, absl::StrCat(directory, "/uploads"), 0), 0);
  return FilesOf(member, absl::StrCat(directory, "/segments/00"), size);
}

TEST(EngineDedupTest, TheSecondOneTakesNoSpace) {
  for (const size_t size : {kSmall, kLarge}) {
    SCOPED_TRACE(absl::StrCat("size ", size));
    Member member(7);
    const std::string content = TestContent(1, size);
    const auto first = Share(&member, "a", content);
    ASSERT_THAT(first, IsOk());
    EXPECT_EQ(first->file.sha256, Sha256(content));
    EXPECT_FALSE(first->file.deduplicated);
    EXPECT_EQ(OwnFiles(&member, content), 1);

    const EngineNumbers before = member.path()->Numbers();
    const auto second = Share(&member, "b", content);
    ASSERT_THAT(second, IsOk());
    EXPECT_EQ(second->file.name, "b");
    EXPECT_EQ(second->file.sha256, Sha256(content));
    EXPECT_TRUE(second->file.deduplicated);
    EXPECT_EQ(second->reached, Durability::kSynced);
    EXPECT_EQ(second->file.size_bytes, static_cast<int64_t>(size));
    const EngineNumbers after = member.path()->Numbers();
    EXPECT_LT(after.journal_bytes - before.journal_bytes, 4 * kKiB);
    EXPECT_LT(after.live_bytes - before.live_bytes, 4 * kKiB);
    EXPECT_EQ(after.segments, before.segments);
    EXPECT_EQ(after.shared_bytes - before.shared_bytes, size);
    EXPECT_EQ(after.files, 2);
    EXPECT_EQ(OwnFiles(&member, content), 1);
    ExpectFile(&member, "a", content);
    ExpectFile(&member, "b", content);
    EXPECT_EQ(member.path()->Stat("b")->sha256, Sha256(content));
    EXPECT_TRUE(member.path()->Stat("b")->deduplicated);
  }
}

TEST(EngineDedupTest, AnUploadInPartsSharesAndIsShared) {
  for (const size_t size : {kSmall, kLarge}) {
    SCOPED_TRACE(absl::StrCat("size ", size));
    Member member(7);
    const std::string content = TestContent(2, size);
    auto made = ShareInParts(&member, "a", content);
    ASSERT_THAT(made, IsOk());
    EXPECT_FALSE(made->file.deduplicated);
    made = ShareInParts(&member, "b", content);
    ASSERT_THAT(made, IsOk());
    EXPECT_TRUE(made->file.deduplicated);
    EXPECT_EQ(made->file.sha256, Sha256(content));
    made = Share(&member, "c", content);
    ASSERT_THAT(made, IsOk());
    EXPECT_TRUE(made->file.deduplicated);
    EXPECT_EQ(OwnFiles(&member, content), 1);
    EXPECT_EQ(member.path()->Numbers().open_uploads, 0);
    member.KillAndOpen();
    for (const std::string name : {"a", "b", "c"}) {
      ExpectFile(&member, name, content);
    }
    EXPECT_EQ(member.path()->Numbers().open_uploads, 0);
  }
}

TEST(EngineDedupTest, TheBytesStayForTheLastNameAndNoLonger) {
  for (const size_t size : {kSmall, kLarge}) {
    const std::string content = TestContent(3, size);
    for (const bool first_goes_first : {true, false}) {
      for (const Between between : kAllBetween) {
        SCOPED_TRACE(absl::StrCat("size ", size,
                                  ", first goes first: ", first_goes_first,
                                  ", between: ", static_cast<int>(between)));
        Member member(7);
        for (const std::string name : {"a", "b", "c"}) {
          const auto made = Share(&member, name, content);
          ASSERT_THAT(made, IsOk());
          EXPECT_EQ(made->file.deduplicated, name != "a");
          Happen(between, &member);
        }
        const std::vector<std::string> order =
            first_goes_first ? std::vector<std::string>{"a", "b", "c"}
                             : std::vector<std::string>{"c", "b", "a"};
        for (size_t i = 0; i < order.size(); ++i) {
          EXPECT_EQ(OwnFiles(&member, content), 1);
          for (size_t k = i; k < order.size(); ++k) {
            ExpectFile(&member, order[k], content);
          }
          ASSERT_THAT(DeleteFile(member.path(), order[i]), IsOk());
          Happen(between, &member);
          GiveBack(&member);
        }
        EXPECT_EQ(OwnFiles(&member, content), 0);
        // Nothing is left that could be shared.
        const auto again = Share(&member, "again", content);
        ASSERT_THAT(again, IsOk());
        EXPECT_FALSE(again->file.deduplicated);
        Happen(between, &member);
        ExpectFile(&member, "again", content);
        EXPECT_TRUE(Share(&member, "more", content)->file.deduplicated);
      }
    }
  }
}

TEST(EngineDedupTest, WhatNeverAskedIsNotShared) {
  Member member(7);
  const std::string content = TestContent(4, kLarge);
  const auto plain = PutFile(member.path(), "plain", content);
  ASSERT_THAT(plain, IsOk());
  EXPECT_EQ(plain->file.sha256, "");
  EXPECT_FALSE(Share(&member, "a", content)->file.deduplicated);
  EXPECT_FALSE(PutFile(member.path(), "other", content)->file.deduplicated);
  EXPECT_EQ(OwnFiles(&member, content), 3);
  // Of the same size and, but for one byte, the same.
  std::string changed = content;
  changed[kMiB] = static_cast<char>(changed[kMiB] + 1);
  EXPECT_FALSE(Share(&member, "b", changed)->file.deduplicated);
  ExpectFile(&member, "b", changed);
  ExpectFile(&member, "a", content);
}

TEST(EngineDedupTest, WhatIsSmallIsStoredAsAlways) {
  Member member(7);
  const auto limit = static_cast<size_t>(member.options()->dedup_bytes_min);
  for (const size_t size : {size_t{0}, size_t{1}, limit - 1}) {
    SCOPED_TRACE(absl::StrCat("size ", size));
    const std::string content = TestContent(5, size);
    const int64_t segments = member.path()->Numbers().segments;
    for (const std::string name : {"a", "b"}) {
      const auto made = Share(&member, absl::StrCat(name, size), content);
      ASSERT_THAT(made, IsOk());
      EXPECT_FALSE(made->file.deduplicated);
      EXPECT_EQ(made->file.sha256, "");
      ExpectFile(&member, absl::StrCat(name, size), content);
    }
    EXPECT_EQ(member.path()->Numbers().segments, segments);
    EXPECT_FALSE(ShareInParts(&member, absl::StrCat("p", size), content)
                     ->file.deduplicated);
  }
  const std::string content = TestContent(5, limit);
  EXPECT_FALSE(Share(&member, "first", content)->file.deduplicated);
  EXPECT_TRUE(Share(&member, "second", content)->file.deduplicated);
}

TEST(EngineDedupTest, ACopyIsOneOfTheNames) {
  Member member(7);
  const std::string content = TestContent(6, kSmall);
  ASSERT_THAT(Share(&member, "a", content), IsOk());
  CopyRequest copy;
  copy.from = "a";
  copy.size_bytes = static_cast<int64_t>(content.size());
  copy.crc32c = member.path()->Stat("a")->crc32c;
  copy.name = "copy";
  copy.create_unix_seconds = 1767225600;
  copy.origin_node = 7;
  ASSERT_THAT(AwaitCommitted([&](CommitDone done) {
                member.path()->Copy(copy, std::move(done));
              }),
              IsOk());
  ASSERT_THAT(DeleteFile(member.path(), "a"), IsOk());
  member.KillAndOpen();
  GiveBack(&member);
  EXPECT_EQ(member.path()->Stat("copy")->sha256, Sha256(content));
  EXPECT_TRUE(Share(&member, "b", content)->file.deduplicated);
  ASSERT_THAT(DeleteFile(member.path(), "copy"), IsOk());
  GiveBack(&member);
  ExpectFile(&member, "b", content);
  ASSERT_THAT(DeleteFile(member.path(), "b"), IsOk());
  GiveBack(&member);
  EXPECT_EQ(OwnFiles(&member, content), 0);
}

TEST(EngineDedupTest, ExpiryAttributesAndUndeleteAreOfOneName) {
  Member member(7);
  member.options()->undelete_window = absl::Hours(24);
  member.KillAndOpen();
  const std::string content = TestContent(7, kSmall);
  PutRequest put = SharedPut("expires");
  put.expire_unix_seconds =
      absl::ToUnixSeconds(member.clock()->Now() + absl::Hours(1));
  put.attributes = EncodeAttributes({{"k", "v"}});
  ASSERT_THAT(PutOfAnySize(member.path(), put, content), IsOk());
  ASSERT_THAT(Share(&member, "kept", content), IsOk());
  ASSERT_THAT(Share(&member, "stays", content), IsOk());
  EXPECT_EQ(member.path()->Stat("expires")->attributes, put.attributes);
  EXPECT_EQ(member.path()->Stat("stays")->attributes, "");
  SetAttributesRequest set;
  set.name = "stays";
  set.change.set["k"] = "stays";
  ASSERT_THAT(SetAttributesAndWait(member.path(), std::move(set)), IsOk());
  EXPECT_EQ(member.path()->Stat("stays")->sha256, Sha256(content));

  // A deletion that can be taken back keeps what it shares.
  ASSERT_THAT(DeleteFile(member.path(), "stays"), IsOk());
  ASSERT_THAT(DeleteFile(member.path(), "kept"), IsOk());
  member.clock()->Advance(absl::Hours(2));
  EXPECT_EQ(ReasonOf(member.path()->Stat("expires").status()),
            ErrorReason::kFileExpired);
  member.KillAndOpen();
  GiveBack(&member);
  UndeleteRequest undelete;
  undelete.name = "stays";
  ASSERT_THAT(AwaitCommitted([&](CommitDone done) {
                member.path()->Undelete(undelete, std::move(done));
              }),
              IsOk());
  ExpectFile(&member, "stays", content);
  EXPECT_EQ(member.path()->Stat("stays")->sha256, Sha256(content));
  EXPECT_TRUE(Share(&member, "new", content)->file.deduplicated);

  // Then the space of what expired, and what was kept, is given up.
  member.clock()->Advance(absl::Hours(200));
  for (int i = 0; i < 3; ++i) GiveBack(&member);
  EXPECT_EQ(member.path()->Status().files, 2);
  ExpectFile(&member, "stays", content);
  ExpectFile(&member, "new", content);
  DeleteRequest purge;
  purge.purge = true;
  for (const std::string name : {"stays", "new"}) {
    EXPECT_EQ(OwnFiles(&member, content), 1);
    purge.name = name;
    ASSERT_THAT(AwaitCommitted([&](CommitDone done) {
                  member.path()->Delete(purge, std::move(done));
                }),
                IsOk());
    GiveBack(&member);
  }
  EXPECT_EQ(OwnFiles(&member, content), 0);
}

TEST(EngineDedupTest, ARepeatedCallAnswersAlike) {
  for (const size_t size : {kSmall, kLarge}) {
    SCOPED_TRACE(absl::StrCat("size ", size));
    Member member(7);
    const std::string content = TestContent(8, size);
    ASSERT_THAT(Share(&member, "a", content), IsOk());
    PutRequest put = SharedPut("b");
    put.request_id = Uuid::Random();
    ASSERT_THAT(PutOfAnySize(member.path(), put, content), IsOk());
    put.name = "c";
    for (int i = 0; i < 2; ++i) {
      const auto again = PutOfAnySize(member.path(), put, content);
      ASSERT_THAT(again, IsOk());
      EXPECT_TRUE(again->replayed);
      EXPECT_EQ(again->file.name, "b");
      EXPECT_TRUE(again->file.deduplicated);
      EXPECT_EQ(again->file.sha256, Sha256(content));
      member.KillAndOpen();
    }
    EXPECT_EQ(member.path()->Status().files, 2);
    EXPECT_EQ(OwnFiles(&member, content), 1);
    EXPECT_EQ(
        ReasonOf(
            PutOfAnySize(member.path(), put, TestContent(9, size)).status()),
        ErrorReason::kRequestIdReused);
    EXPECT_EQ(OwnFiles(&member, content), 1);
  }
}

TEST(EngineDedupTest, WhatIsGoneMeanwhileIsStoredAfterAll) {
  for (const size_t size : {kSmall, kLarge}) {
    SCOPED_TRACE(absl::StrCat("size ", size));
    const FaultPointsOff off;
    Member member(7);
    const std::string content = TestContent(10, size);
    ASSERT_THAT(Share(&member, "a", content), IsOk());
    ASSERT_THAT(EnableFaultPoints("committer.share=error"), IsOk());
    const auto one = Share(&member, "b", content);
    ASSERT_THAT(one, IsOk());
    EXPECT_FALSE(one->file.deduplicated);
    EXPECT_EQ(one->file.sha256, Sha256(content));
    EXPECT_EQ(OwnFiles(&member, content), 2);
    DisableFaultPoints();
    ASSERT_THAT(EnableFaultPoints("committer.share=error"), IsOk());
    const auto in_parts = ShareInParts(&member, "c", content);
    ASSERT_THAT(in_parts, IsOk());
    EXPECT_FALSE(in_parts->file.deduplicated);
    EXPECT_EQ(OwnFiles(&member, content), 3);
    DisableFaultPoints();

    // The last one is shared; the others are given up with their only names.
    EXPECT_TRUE(Share(&member, "d", content)->file.deduplicated);
    for (const std::string name : {"a", "b", "c"}) {
      ASSERT_THAT(DeleteFile(member.path(), name), IsOk());
    }
    member.KillAndOpen();
    GiveBack(&member);
    EXPECT_EQ(OwnFiles(&member, content), 1);
    ExpectFile(&member, "d", content);
    EXPECT_TRUE(Share(&member, "e", content)->file.deduplicated);
  }
}

TEST(EngineDedupTest, TwoAtOnceAreBothThere) {
  const std::string content = TestContent(11, kLarge);
  for (int round = 0; round < 20; ++round) {
    SCOPED_TRACE(absl::StrCat("round ", round));
    Member member(7);
    std::vector<std::unique_ptr<Upload>> uploads;
    for (int i = 0; i < 4; ++i) {
      auto upload = member.path()->StartUpload(absl::nullopt);
      ASSERT_THAT(upload, IsOk());
      (*upload)->Share();
      ASSERT_THAT((*upload)->Write(absl::Cord(content)), IsOk());
      uploads.push_back(*std::move(upload));
    }
    Notification all;
    Mutex mu;
    int left = 4;
    int shared = 0;
    for (int i = 0; i < 4; ++i) {
      Upload::FinishRequest finish;
      finish.name = absl::StrCat("f", i);
      uploads[static_cast<size_t>(i)]->Finish(
          std::move(finish), [&](absl::StatusOr<Committed> committed) {
            EXPECT_THAT(committed, IsOk());
            MutexLock lock(&mu);
            if (committed.ok() && committed->file.deduplicated) ++shared;
            if (--left == 0) all.Notify();
          });
    }
    all.WaitForNotification();
    uploads.clear();
    EXPECT_EQ(OwnFiles(&member, content), 4 - shared);
    for (int i = 0; i < 4; ++i) {
      ExpectFile(&member, absl::StrCat("f", i), content);
    }
    member.KillAndOpen();
    for (int i = 0; i < 4; ++i) {
      ExpectFile(&member, absl::StrCat("f", i), content);
      ASSERT_THAT(DeleteFile(member.path(), absl::StrCat("f", i)), IsOk());
    }
    GiveBack(&member);
    EXPECT_EQ(OwnFiles(&member, content), 0);
  }
}

TEST(EngineDedupTest, AnUploadBesideTheDeletionOfTheLastNameIsThere) {
  const std::string content = TestContent(12, kSmall);
  Member member(7);
  ASSERT_THAT(Share(&member, "f0", content), IsOk());
  for (int round = 1; round <= 200; ++round) {
    DeleteRequest del;
    del.name = absl::StrCat("f", round - 1);
    Notification deleted;
    member.path()->Delete(del, [&](absl::StatusOr<Committed> committed) {
      EXPECT_THAT(committed, IsOk());
      deleted.Notify();
    });
    const auto made = Share(&member, absl::StrCat("f", round), content);
    ASSERT_THAT(made, IsOk());
    deleted.WaitForNotification();
    if (round % 10 == 0) GiveBack(&member);
    if (round % 50 == 0) member.KillAndOpen();
    ExpectFile(&member, absl::StrCat("f", round), content);
  }
  GiveBack(&member);
  EXPECT_EQ(OwnFiles(&member, content), 1);
}

TEST(EngineDedupTest, ADamagedContentIsNotShared) {
  for (const size_t size : {kSmall, kLarge}) {
    SCOPED_TRACE(absl::StrCat("size ", size));
    Member member(7);
    const std::string content = TestContent(13, size);
    ASSERT_THAT(Share(&member, "a", content), IsOk());
    const std::string folder =
        absl::StrCat(member.options()->directory, "/segments/00");
    const auto names = member.fs()->List(folder);
    ASSERT_THAT(names, IsOk());
    for (const std::string& name : *names) {
      const std::string path = absl::StrCat(folder, "/", name);
      if (member.fs()->Stat(path)->size_bytes >= static_cast<int64_t>(size)) {
        member.fs()->FlipBit(path, static_cast<int64_t>(size / 2), 3);
      }
    }
    const auto made = Share(&member, "b", content);
    ASSERT_THAT(made, IsOk());
    EXPECT_FALSE(made->file.deduplicated);
    ExpectFile(&member, "b", content);
    EXPECT_EQ(ReasonOf(ReadFile(member.path(), "a").status()),
              ErrorReason::kContentDamaged);
    // From now on that one is shared.
    EXPECT_TRUE(Share(&member, "c", content)->file.deduplicated);
    ExpectFile(&member, "c", content);
    member.KillAndOpen();
    EXPECT_TRUE(Share(&member, "d", content)->file.deduplicated);
    ExpectFile(&member, "d", content);
  }
}

TEST(EngineDedupTest, ASyncedOneSyncsAContentThatIsNot) {
  for (const size_t size : {kSmall, kLarge}) {
    SCOPED_TRACE(absl::StrCat("size ", size));
    const std::string content = TestContent(14, size);
    Member member(7);
    const auto cached = Share(&member, "a", content, Durability::kCached);
    ASSERT_THAT(cached, IsOk());
    EXPECT_EQ(cached->reached, Durability::kCached);
    // Shares what is not certain, and promises nothing.
    const auto more = Share(&member, "b", content, Durability::kCached);
    ASSERT_THAT(more, IsOk());
    EXPECT_TRUE(more->file.deduplicated);
    EXPECT_EQ(more->reached, Durability::kCached);
    const auto synced = Share(&member, "c", content);
    ASSERT_THAT(synced, IsOk());
    EXPECT_TRUE(synced->file.deduplicated);
    EXPECT_EQ(synced->reached, Durability::kSynced);
    member.PowerCutAndOpen();
    for (const std::string name : {"a", "b", "c"}) {
      ExpectFile(&member, name, content);
      ASSERT_THAT(DeleteFile(member.path(), name), IsOk());
    }
    GiveBack(&member);
    EXPECT_EQ(OwnFiles(&member, content), 0);
  }
}

TEST(EngineDedupTest, AMemberSharesWhatItHas) {
  for (const size_t size : {kSmall, kLarge}) {
    SCOPED_TRACE(absl::StrCat("size ", size));
    Member one(7);
    Member other(8);
    const std::string content = TestContent(15, size);
    ASSERT_THAT(Share(&one, "a", content), IsOk());
    Copy(&one, &other);
    EXPECT_EQ(OwnFiles(&other, content), 1);
    ASSERT_THAT(Share(&one, "b", content), IsOk());
    const uint64_t written = other.path()->Numbers().dedicated_bytes;
    Copy(&one, &other);
    EXPECT_EQ(other.path()->Numbers().dedicated_bytes, written);
    EXPECT_EQ(OwnFiles(&other, content), 1);
    const auto at_one = one.path()->Stat("b");
    const auto at_other = other.path()->Stat("b");
    ASSERT_THAT(at_other, IsOk());
    EXPECT_TRUE(at_one->version == at_other->version);
    EXPECT_EQ(at_other->sha256, Sha256(content));
    EXPECT_TRUE(at_other->deduplicated);

    // What the other one takes itself shares it, too.
    const auto there = Share(&other, "c", content);
    ASSERT_THAT(there, IsOk());
    EXPECT_TRUE(there->file.deduplicated);
    Copy(&other, &one);
    EXPECT_EQ(OwnFiles(&one, content), 1);
    for (Member* member : {&one, &other}) {
      ASSERT_THAT(member->replica()->Sync(), IsOk());
      member->PowerCutAndOpen();
      member->Rebuild();
      for (const std::string name : {"a", "b", "c"}) {
        ExpectFile(member, name, content);
        EXPECT_EQ(OwnFiles(member, content), 1);
        ASSERT_THAT(DeleteFile(member->path(), name), IsOk());
        GiveBack(member);
      }
      EXPECT_EQ(OwnFiles(member, content), 0);
    }
  }
}

TEST(EngineDedupTest, AMemberThatLacksAllFetchesOnce) {
  Member one(7);
  Member other(8);
  const std::string content = TestContent(16, kSmall);
  for (const std::string name : {"a", "b", "c"}) {
    ASSERT_THAT(Share(&one, name, content), IsOk());
  }
  Copy(&one, &other);
  for (const std::string name : {"a", "b", "c"}) {
    ExpectFile(&other, name, content);
  }
  EXPECT_EQ(OwnFiles(&other, content), 1);
  EXPECT_EQ(other.replica()->ListMissing("", 10).size(), 0u);
  other.KillAndOpen();
  for (const std::string name : {"b", "a", "c"}) {
    ExpectFile(&other, name, content);
    ASSERT_THAT(DeleteFile(other.path(), name), IsOk());
    GiveBack(&other);
  }
  EXPECT_EQ(OwnFiles(&other, content), 0);
}

TEST(EngineDedupTest, AContentThatIsMendedIsNotTakenFromItself) {
  Member one(7);
  Member other(8);
  const std::string content = TestContent(17, kSmall);
  for (const std::string name : {"a", "b"}) {
    ASSERT_THAT(Share(&one, name, content), IsOk());
  }
  Copy(&one, &other);
  ASSERT_EQ(OwnFiles(&other, content), 1);
  // As after damage: the content comes anew, and gets another segment.
  ASSERT_THAT(FetchContent(&one, &other, "a"), IsOk());
  EXPECT_EQ(OwnFiles(&other, content), 2);
  // What is asked for without one changes nothing.
  const auto known = other.replica()->Find("a");
  ASSERT_THAT(known, IsOk());
  EXPECT_FALSE(other.replica()->ShareContent(**known));
  EXPECT_TRUE(Share(&other, "c", content)->file.deduplicated);
  ASSERT_THAT(DeleteFile(other.path(), "b"), IsOk());
  other.KillAndOpen();
  GiveBack(&other);
  EXPECT_EQ(OwnFiles(&other, content), 1);
  ExpectFile(&other, "a", content);
  ExpectFile(&other, "c", content);
}

TEST(EngineDedupTest, ACrashAtAnyStepLeavesTheBytesToWhoIsThere) {
  const std::string contents[] = {TestContent(18, kSmall),
                                  TestContent(19, kMiB)};
  SeedRun run(/*first_seed=*/1, /*rounds=*/40);
  while (run.Next()) {
    SCOPED_TRACE(run.Description());
    std::mt19937_64 random(run.seed());
    Member member(7, run.seed());
    std::set<std::string> surely;  // There; the last digit is the content.
    std::set<std::string> perhaps;
    int next = 1;
    for (int life = 0; life < 4; ++life) {
      member.fs()->StopAfter(random() % 60);
      for (int step = 0; step < 12 && !member.fs()->stopped(); ++step) {
        const uint64_t what = random() % 6;
        if (what == 0 && !surely.empty()) {
          auto it = surely.begin();
          std::advance(it, random() % surely.size());
          const std::string name = *it;
          surely.erase(it);
          if (!DeleteFile(member.path(), name).ok()) perhaps.insert(name);
        } else if (what == 1) {
          member.path()->Compact(0.3, nullptr).IgnoreError();
        } else {
          const size_t which = random() % 2;
          const std::string name = absl::StrCat("f", next++, "-", which);
          const absl::StatusOr<Committed> made =
              what == 2 ? ShareInParts(&member, name, contents[which])
                        : Share(&member, name, contents[which]);
          (made.ok() ? surely : perhaps).insert(name);
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
        ExpectFile(&member, name, contents[name.back() - '0']);
      }
      EXPECT_EQ(member.path()->Status().files,
                static_cast<int64_t>(surely.size()));
    }
    // Whatever is found by its content is there.
    for (const size_t which : {0, 1}) {
      const std::string name = absl::StrCat("last-", which);
      ASSERT_THAT(Share(&member, name, contents[which]), IsOk());
      ExpectFile(&member, name, contents[which]);
      surely.insert(name);
    }
    for (const std::string& name : surely) {
      ASSERT_THAT(DeleteFile(member.path(), name), IsOk());
    }
    GiveBack(&member);
    EXPECT_EQ(FilesOf(&member,
                      absl::StrCat(member.options()->directory, "/segments/00"),
                      static_cast<int64_t>(kSmall)),
              0);
    if (::testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace storage
}  // namespace cairn
