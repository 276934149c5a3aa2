// Files whose names their callers choose: what a name that is taken answers,
// whatever happened to the path meanwhile, and what members make of a name that
// two of them took.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/error_reason.h"
#include "lib/base/mutex.h"
#include "lib/base/uuid.h"
#include "lib/checksum/crc32c.h"
#include "lib/testing/seed_run.h"
#include "lib/testing/status_matchers.h"
#include "services/storage/core/replica_store.h"
#include "services/storage/core/store_path.h"
#include "services/storage/store/engine.h"
#include "services/storage/store/test_path.h"
#include "services/storage/store/testing/replica_members.h"

namespace cairn {
namespace storage {
namespace {

using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

constexpr char kName[] = "3F/A2/master_small.jpg";
constexpr size_t kLargeBytes = 3 << 20;

// Whether the name is there with that content, as a derived file.
void ExpectThere(Member* member, const std::string& name,
                 const std::string& content) {
  SCOPED_TRACE(name);
  const auto info = member->path()->Stat(name);
  ASSERT_THAT(info, IsOk());
  EXPECT_TRUE(info->kind == FileKind::kDerived);
  EXPECT_EQ(info->size_bytes, static_cast<int64_t>(content.size()));
  EXPECT_EQ(info->crc32c, Crc32c(content));
  EXPECT_THAT(ReadFile(member->path(), name), IsOkAndHolds(content));
}

TEST(EngineDerivedTest, ANameThatIsTakenIsAnsweredByWhatIsThere) {
  for (const size_t size : {size_t{0}, size_t{1000}, kLargeBytes}) {
    SCOPED_TRACE(size);
    Member member(1);
    const std::string content = TestContent(1, size);
    const auto first = PutDerived(member.path(), kName, content);
    ASSERT_THAT(first, IsOk());
    EXPECT_FALSE(first->replayed);

    const auto expect_answers = [&](const char* when) {
      SCOPED_TRACE(when);
      const auto again = PutDerived(member.path(), kName, content,
                                    Durability::kSynced, Uuid::Random());
      ASSERT_THAT(again, IsOk());
      EXPECT_TRUE(again->replayed);
      EXPECT_TRUE(again->file.version == first->file.version);
      EXPECT_TRUE(again->reached == Durability::kSynced);

      for (const std::string& other :
           {TestContent(2, size + 1), TestContent(3, kLargeBytes)}) {
        const absl::Status refused =
            PutDerived(member.path(), kName, other).status();
        EXPECT_EQ(refused.code(), absl::StatusCode::kAlreadyExists);
        EXPECT_EQ(ReasonOf(refused), ErrorReason::kFileExists);
        EXPECT_THAT(
            MetadataOf(refused),
            UnorderedElementsAre(
                Pair("size_bytes", absl::StrCat(size)),
                Pair("crc32c", absl::StrFormat("%08x", Crc32c(content)))));
      }
      ExpectThere(&member, kName, content);
    };
    expect_answers("at once");
    member.KillAndOpen();
    expect_answers("replayed from the journal");
    ASSERT_THAT(member.replica()->BeginSnapshot(), IsOk());
    member.PowerCutAndOpen();
    expect_answers("read from tables");
    member.Rebuild();
    expect_answers("rebuilt");
    EXPECT_EQ(member.path()->Status().files, 1);
    // What was brought for nothing takes no room.
    EXPECT_EQ(member.path()->Numbers().uploads, 0);
  }
}

TEST(EngineDerivedTest, ThoseThatComeTogetherTakeTheNameInTurn) {
  Member member(1);
  constexpr int kPuts = 20;
  std::vector<std::string> contents;
  for (int i = 0; i < kPuts; ++i) {
    contents.push_back(TestContent(static_cast<uint64_t>(i % 4), 500));
  }
  std::vector<Notification> done(kPuts);
  std::vector<absl::StatusOr<Committed>> answers(kPuts);
  for (int i = 0; i < kPuts; ++i) {
    PutRequest put;
    put.request_id = Uuid::Random();
    put.name = kName;
    put.kind = FileKind::kDerived;
    put.content = absl::Cord(contents[static_cast<size_t>(i)]);
    put.crc32c = Crc32c(contents[static_cast<size_t>(i)]);
    put.origin_node = 1;
    const auto at = static_cast<size_t>(i);
    member.path()->Put(std::move(put),
                       [&, at](absl::StatusOr<Committed> committed) {
                         answers[at] = std::move(committed);
                         done[at].Notify();
                       });
  }
  int stored = 0;
  for (size_t i = 0; i < kPuts; ++i) {
    done[i].WaitForNotification();
    if (contents[i] != contents[0]) {
      EXPECT_EQ(ReasonOf(answers[i].status()), ErrorReason::kFileExists) << i;
      continue;
    }
    ASSERT_THAT(answers[i], IsOk());
    stored += answers[i]->replayed ? 0 : 1;
  }
  EXPECT_EQ(stored, 1);
  ExpectThere(&member, kName, contents[0]);
}

TEST(EngineDerivedTest, ARequestIdIsOfOneNameAlone) {
  Member member(1);
  const Uuid id = Uuid::Random();
  const std::string content = TestContent(1, 1000);
  ASSERT_THAT(
      PutDerived(member.path(), kName, content, Durability::kSynced, id),
      IsOk());
  EXPECT_EQ(ReasonOf(PutDerived(member.path(), "3F/A2/master_large.jpg",
                                content, Durability::kSynced, id)
                         .status()),
            ErrorReason::kRequestIdReused);
  EXPECT_EQ(ReasonOf(PutFile(member.path(), "3F/A2/other", content,
                             Durability::kSynced, id)
                         .status()),
            ErrorReason::kRequestIdReused);
  const auto again =
      PutDerived(member.path(), kName, content, Durability::kSynced, id);
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(again->replayed);
}

TEST(EngineDerivedTest, OtherNamesAreTakenOnceAsBefore) {
  Member member(1);
  ASSERT_THAT(PutFile(member.path(), "a", "content"), IsOk());
  EXPECT_EQ(PutFile(member.path(), "a", "content").status().code(),
            absl::StatusCode::kAlreadyExists);
}

TEST(EngineDerivedTest, WhatWasAnsweredIsThereAfterAPowerCut) {
  SeedRun run(/*first_seed=*/1, /*rounds=*/40);
  while (run.Next()) {
    SCOPED_TRACE(run.Description());
    const uint64_t seed = run.seed();
    Member member(1, seed);
    const std::string content =
        TestContent(seed, seed % 3 == 0 ? kLargeBytes : 1000);
    // The first call asked for little; who repeats it asks for more.
    ASSERT_THAT(PutDerived(member.path(), kName, content, Durability::kCached),
                IsOk());
    if (seed % 2 == 0) {
      const auto again = PutDerived(member.path(), kName, content);
      ASSERT_THAT(again, IsOk());
      ASSERT_TRUE(again->reached == Durability::kSynced);
    }
    ASSERT_THAT(PutDerived(member.path(), absl::StrCat(kName, "x"),
                           TestContent(seed, 2000), Durability::kCached),
                IsOk());
    member.PowerCutAndOpen();
    if (seed % 2 == 0) ExpectThere(&member, kName, content);
    // Whatever is left: the name is taken by this content, or is free.
    ASSERT_THAT(PutDerived(member.path(), kName, content), IsOk());
    ExpectThere(&member, kName, content);
  }
}

TEST(EngineDerivedTest, TwoMembersThatTookTheNameAgreeOnTheLaterOne) {
  for (const size_t size : {size_t{1000}, kLargeBytes}) {
    SCOPED_TRACE(size);
    Member a(1);
    Member b(2);
    Member c(3);
    const std::string first = TestContent(1, size);
    const std::string second = TestContent(2, size);
    ASSERT_THAT(PutDerived(a.path(), kName, first), IsOk());
    b.clock()->Advance(absl::Seconds(1));
    ASSERT_THAT(PutDerived(b.path(), kName, second), IsOk());
    Copy(&b, &a);
    Copy(&a, &b);
    Copy(&a, &c);
    Copy(&b, &c);
    for (Member* member : {&a, &b, &c}) {
      ExpectThere(member, kName, second);
      EXPECT_EQ(member->path()->Status().files, 1);
      // From then on it is taken everywhere.
      EXPECT_EQ(ReasonOf(PutDerived(member->path(), kName, first).status()),
                ErrorReason::kFileExists);
      member->Rebuild();
      ExpectThere(member, kName, second);
    }
  }
}

TEST(EngineDerivedTest, ANameThatWasDeletedIsTakenAnew) {
  Member a(1);
  Member b(2);
  const std::string first = TestContent(1, kLargeBytes);
  ASSERT_THAT(PutDerived(a.path(), kName, first), IsOk());
  Copy(&a, &b);
  for (uint64_t round = 0; round < 3; ++round) {
    SCOPED_TRACE(round);
    const std::string content = TestContent(round, 1000 + round);
    ASSERT_THAT(DeleteFile(a.path(), kName), IsOk());
    // In the same moment, too.
    if (round > 0) a.clock()->Advance(absl::Seconds(round));
    const auto put = PutDerived(a.path(), kName, content);
    ASSERT_THAT(put, IsOk());
    EXPECT_FALSE(put->replayed);
    ExpectThere(&a, kName, content);
    Copy(&a, &b);
    for (Member* member : {&a, &b}) {
      ExpectThere(member, kName, content);
      EXPECT_EQ(member->path()->Status().files, 1);
      member->KillAndOpen();
      ExpectThere(member, kName, content);
      ASSERT_THAT(member->path()->Compact(0, nullptr), IsOk());
      ExpectThere(member, kName, content);
    }
    Copy(&a, &b);
  }
  for (Member* member : {&a, &b}) {
    member->Rebuild();
    ExpectThere(member, kName, TestContent(2, 1002));
    EXPECT_EQ(member->path()->Status().files, 1);
  }
}

// Else the tombstone would take the new file away.
TEST(EngineDerivedTest, ATombstoneThatOnlyAnotherMemberKeepsDoesNotCount) {
  Member a(1);
  Member b(2);
  ASSERT_THAT(PutDerived(a.path(), kName, "first"), IsOk());
  ASSERT_THAT(DeleteFile(a.path(), kName), IsOk());
  Copy(&a, &b);
  for (int round = 0; round < 3; ++round) {
    a.clock()->Advance(absl::Hours(24 * 30));
    ASSERT_THAT(a.path()->Compact(0, nullptr), IsOk());
  }
  ASSERT_EQ(ReasonOf(a.path()->Stat(kName).status()),
            ErrorReason::kFileNotFound);
  ASSERT_EQ(ReasonOf(b.path()->Stat(kName).status()),
            ErrorReason::kFileDeleted);
  ASSERT_THAT(PutDerived(a.path(), kName, "second"), IsOk());
  Copy(&a, &b);
  Copy(&b, &a);
  ExpectThere(&a, kName, "second");
  ExpectThere(&b, kName, "second");
}

TEST(EngineDerivedTest, AContentThatIsElsewhereCountsAsTaken) {
  Member a(1);
  Member b(2);
  const std::string content = TestContent(1, kLargeBytes);
  const auto put = PutDerived(a.path(), kName, content);
  ASSERT_THAT(put, IsOk());
  ReplicatedChange known;
  known.mode = ReplicatedChange::Mode::kSnapshot;
  known.file = put->file;
  ASSERT_THAT(ApplyAndWait(&b, std::move(known)), IsOk());
  EXPECT_EQ(ReasonOf(PutDerived(b.path(), kName, "other").status()),
            ErrorReason::kFileExists);
  // Whoever brings the content is not sent away with it.
  const auto again = PutDerived(b.path(), kName, content);
  ASSERT_THAT(again, IsOk());
  EXPECT_FALSE(again->replayed);
  ExpectThere(&b, kName, content);
  EXPECT_THAT(b.replica()->ListMissing("", 10), IsEmpty());
  Copy(&b, &a);
  ExpectThere(&a, kName, content);
}

}  // namespace
}  // namespace storage
}  // namespace cairn
