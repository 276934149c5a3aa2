// Logs whose files are read where they were written, and not looked up: that
// members are told the same as if each was.

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/check.h"
#include "lib/io/file_system.h"
#include "lib/testing/seed_run.h"
#include "lib/testing/status_matchers.h"
#include "services/storage/core/replica_log.h"
#include "services/storage/core/replica_source.h"
#include "services/storage/core/replica_store.h"
#include "services/storage/store/test_path.h"
#include "services/storage/store/testing/blocking_calls.h"
#include "services/storage/store/testing/replica_members.h"

namespace cairn {
namespace storage {
namespace {

constexpr size_t kBytes = 5000;
constexpr int64_t kMiB = 1 << 20;

std::string NameOf(int i) { return absl::StrCat("f", i); }

void PutFiles(Member* member, int begin, int end) {
  for (int i = begin; i < end; ++i) {
    ASSERT_THAT(PutFile(member->path(), NameOf(i), TestContent(i, kBytes),
                        Durability::kCached),
                IsOk());
  }
}

// All changes of a log, in pages as one sender reads them.
std::vector<ReplicatedChange> ReadAllOf(Member* member, const LogId& log) {
  std::vector<ReplicatedChange> all;
  const std::unique_ptr<LoggedFiles> files = member->replica()->FollowLog(log);
  while (true) {
    auto page = ReadChanges(member->path(), files.get(), log, all.size(),
                            ChangeLimits{});
    CAIRN_CHECK_OK(page.status());
    if (page->empty()) return all;
    for (ReplicatedChange& change : *page) all.push_back(std::move(change));
  }
}

void ExpectPutOf(const ReplicatedChange& change, int i) {
  SCOPED_TRACE(NameOf(i));
  EXPECT_EQ(change.file.name, NameOf(i));
  EXPECT_FALSE(change.passed);
  ASSERT_TRUE(change.content.has_value());
  EXPECT_TRUE(*change.content == TestContent(i, kBytes));
}

uint64_t Followed(Member* member) {
  return member->path()->Numbers().followed_files;
}

class EngineFollowTest : public ::testing::Test {
 protected:
  EngineFollowTest() {
    for (Member* member : {&a_, &b_}) {
      member->options()->segment_bytes = 4 * kMiB;
      member->Open();
    }
  }

  Member a_{1};
  Member b_{2};
};

TEST_F(EngineFollowTest, ReadsWhatWasWrittenInOrderWithoutLookingItUp) {
  constexpr int kFiles = 2500;  // Three segments.
  PutFiles(&a_, 0, kFiles);
  const auto changes = ReadAllOf(&a_, a_.own_log().log);
  ASSERT_EQ(changes.size(), size_t{kFiles});
  for (int i = 0; i < kFiles; ++i) ExpectPutOf(changes[i], i);
  // All but some at the beginning and the end of each segment.
  EXPECT_GT(Followed(&a_), kFiles * 2 / 3);
}

TEST_F(EngineFollowTest, PassesOverWhatOtherLogsBring) {
  constexpr int kFiles = 600;
  for (int i = 0; i < kFiles; ++i) {
    ASSERT_THAT(PutFile(b_.path(), absl::StrCat("other", i),
                        TestContent(9, 3000), Durability::kCached),
                IsOk());
  }
  const auto brought = ReadAllOf(&b_, b_.own_log().log);
  ASSERT_THAT(a_.replica()->SetLogs({LogRange{b_.own_log().log}}), IsOk());
  for (int i = 0; i < kFiles; ++i) {
    PutFiles(&a_, i, i + 1);
    ASSERT_THAT(ApplyAndWait(&a_, brought[i]), IsOk());
  }
  const auto changes = ReadAllOf(&a_, a_.own_log().log);
  ASSERT_EQ(changes.size(), size_t{kFiles});
  for (int i = 0; i < kFiles; ++i) ExpectPutOf(changes[i], i);
  EXPECT_GT(Followed(&a_), kFiles / 3);
  const uint64_t before = Followed(&a_);
  const auto others = ReadAllOf(&a_, b_.own_log().log);
  for (const ReplicatedChange& change : others) {
    ASSERT_TRUE(change.content.has_value());
    EXPECT_TRUE(*change.content == TestContent(9, 3000));
  }
  EXPECT_GT(Followed(&a_), before);
}

// The tombstone may have gone where the put comes late: no put is told of a
// file that was deleted.
TEST_F(EngineFollowTest, TellsNoPutOfAFileThatWasDeleted) {
  constexpr int kFiles = 700;
  PutFiles(&a_, 0, kFiles);
  const LogId log = a_.own_log().log;
  const std::unique_ptr<LoggedFiles> files = a_.replica()->FollowLog(log);
  ChangeLimits limits;
  limits.entries_max = 100;
  auto page = ReadChanges(a_.path(), files.get(), log, 0, limits);
  ASSERT_THAT(page, IsOk());
  ASSERT_GT(Followed(&a_), 0u);
  const int read = static_cast<int>(page->size());
  // While it is followed.
  ASSERT_THAT(DeleteFile(a_.path(), NameOf(read + 10)), IsOk());
  page = ReadChanges(a_.path(), files.get(), log, page->size(), limits);
  ASSERT_THAT(page, IsOk());
  for (int i = read; i < read + static_cast<int>(page->size()); ++i) {
    if (i != read + 10) {
      ExpectPutOf((*page)[i - read], i);
      continue;
    }
    EXPECT_TRUE((*page)[i - read].passed);
    EXPECT_FALSE((*page)[i - read].content.has_value());
  }
}

TEST_F(EngineFollowTest, WhatIsDamagedIsLookedUpAndTheRestGoesOn) {
  constexpr int kFiles = 700;
  PutFiles(&a_, 0, kFiles);
  const std::string path = a_.fs()->FilesUnder("/disk/path/segments").front();
  std::string bytes(4 * kMiB, '\0');
  const auto file = a_.fs()->Open(path, OpenMode::kRead);
  ASSERT_THAT(file, IsOk());
  const auto got = (*file)->ReadAt(0, bytes.data(), bytes.size());
  ASSERT_THAT(got, IsOk());
  const size_t at = bytes.find(TestContent(300, kBytes));
  ASSERT_NE(at, std::string::npos);
  a_.fs()->FlipBit(path, static_cast<int64_t>(at) + 100, 2);
  const auto changes = ReadAllOf(&a_, a_.own_log().log);
  ASSERT_EQ(changes.size(), size_t{kFiles});
  for (int i = 0; i < kFiles; ++i) {
    if (i != 300) {
      ExpectPutOf(changes[i], i);
      continue;
    }
    EXPECT_FALSE(changes[i].passed);
    EXPECT_FALSE(changes[i].content.has_value());
  }
  EXPECT_GT(a_.path()->Numbers().content_damaged, 0u);
  EXPECT_GT(Followed(&a_), 600u);
}

// Whatever happens between and meanwhile, a member that follows becomes equal.
TEST_F(EngineFollowTest, AMemberThatFollowsBecomesEqual) {
  uint64_t followed = 0;
  SeedRun run(/*first_seed=*/1, /*rounds=*/4);
  while (run.Next()) {
    SCOPED_TRACE(run.Description());
    std::mt19937_64 random(run.seed());
    const auto draw = [&random](uint64_t below) {
      return static_cast<int>(random() % below);
    };
    Member from(1, run.seed());
    Member to(2, run.seed());
    from.options()->segment_bytes = 4 * kMiB;
    from.Open();
    const LogId log = from.own_log().log;
    ASSERT_THAT(to.replica()->SetLogs({LogRange{log}}), IsOk());
    std::unique_ptr<LoggedFiles> files = from.replica()->FollowLog(log);
    const bool calm = draw(4) == 0;  // Nothing but puts.
    int names = 0;
    for (int step = 0; step < 30; ++step) {
      const int puts = draw(250);
      PutFiles(&from, names, names + puts);
      names += puts;
      if (!calm && names > 0) {
        const std::string name = NameOf(draw(names));
        switch (draw(6)) {
          case 0: {
            SetAttributesRequest set;
            set.name = name;
            set.change.set["k"] = absl::StrCat(step);
            SetAttributesAndWait(from.path(), std::move(set))
                .status()
                .IgnoreError();
            break;
          }
          case 1:
            DeleteFile(from.path(), name).status().IgnoreError();
            break;
          case 2:
            ASSERT_THAT(from.path()->Compact(0.001, nullptr), IsOk());
            break;
          default:
            break;
        }
      }
      if (draw(3) != 0) continue;
      const int pages = 1 + draw(3);
      for (int page = 0; page < pages; ++page) {
        auto changes = ReadChanges(from.path(), files.get(), log,
                                   to.RangeOf(log).applied, ChangeLimits{});
        ASSERT_THAT(changes, IsOk());
        for (ReplicatedChange& change : *changes) {
          ASSERT_THAT(ApplyAndWait(&to, std::move(change)), IsOk());
        }
      }
    }
    followed += Followed(&from);
    files.reset();
    Copy(&from, &to);
    for (int i = 0; i < names; ++i) {
      const auto there = from.replica()->Find(NameOf(i));
      const auto here = to.replica()->Find(NameOf(i));
      ASSERT_THAT(there, IsOk());
      ASSERT_THAT(here, IsOk());
      ASSERT_TRUE(there->has_value() && here->has_value()) << NameOf(i);
      EXPECT_EQ((*there)->deleted, (*here)->deleted) << NameOf(i);
      EXPECT_TRUE((*there)->file.version == (*here)->file.version) << NameOf(i);
      if (!(*there)->deleted)
        ExpectFile(&to, NameOf(i), TestContent(i, kBytes));
    }
  }
  EXPECT_GT(followed, 0u);
}

}  // namespace
}  // namespace storage
}  // namespace cairn
