// Appenders in the paths of several members of one group: what one changes, the
// others take over, as far as can be as the few bytes that were added.

#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/error_reason.h"
#include "lib/testing/seed_run.h"
#include "lib/testing/status_matchers.h"
#include "services/storage/core/replica_source.h"
#include "services/storage/core/replica_store.h"
#include "services/storage/store/test_path.h"
#include "services/storage/store/testing/replica_members.h"

namespace cairn {
namespace storage {
namespace {

using ::testing::SizeIs;

constexpr int64_t kMiB = 1 << 20;

std::vector<ReplicatedChange> ChangesBehind(Member* member, uint64_t after) {
  const auto changes =
      ReadChanges(member->path(), member->own_log().log, after, ChangeLimits{});
  EXPECT_THAT(changes, IsOk());
  return changes.ok() ? *changes : std::vector<ReplicatedChange>();
}

void ExpectSame(Member* a, Member* b, const std::string& name) {
  SCOPED_TRACE(name);
  const auto there = a->path()->Stat(name);
  const auto here = b->path()->Stat(name);
  ASSERT_EQ(there.status().code(), here.status().code());
  if (!there.ok()) return;
  EXPECT_TRUE(here->version == there->version);
  EXPECT_EQ(here->size_bytes, there->size_bytes);
  EXPECT_EQ(here->crc32c, there->crc32c);
  EXPECT_TRUE(here->kind == there->kind);
  const auto content = ReadFile(a->path(), name);
  ASSERT_THAT(content, IsOk());
  EXPECT_THAT(ReadFile(b->path(), name), IsOkAndHolds(*content));
}

TEST(EngineAppenderReplicaTest, AppendsGoAsWhatTheyAdded) {
  Member a(1);
  Member b(2);
  ASSERT_THAT(CreateAppender(a.path(), "f", TestContent(1, 3 * kMiB)), IsOk());
  Copy(&a, &b);
  for (int i = 0; i < 5; ++i) {
    ASSERT_THAT(UpdateFile(a.path(), Append("f", TestContent(2, 1000 + i))),
                IsOk());
  }
  const std::vector<ReplicatedChange> changes = ChangesBehind(&a, 1);
  ASSERT_THAT(changes, SizeIs(5));
  int64_t size = 3 * kMiB;
  for (size_t i = 0; i < changes.size(); ++i) {
    SCOPED_TRACE(i);
    ASSERT_TRUE(changes[i].base.has_value());
    EXPECT_EQ(changes[i].base->size_bytes, size);
    ASSERT_TRUE(changes[i].content.has_value());
    EXPECT_EQ(changes[i].content->size(), 1000 + i);
    // Each as it was then, though it is more by now.
    size += 1000 + static_cast<int64_t>(i);
    EXPECT_EQ(changes[i].file.size_bytes, size);
  }
  const uint64_t before = b.path()->Numbers().journal_bytes;
  Copy(&a, &b);
  EXPECT_LT(b.path()->Numbers().journal_bytes - before, 10000u);
  ExpectSame(&a, &b, "f");
  b.PowerCutAndOpen();
  Copy(&a, &b);
  ExpectSame(&a, &b, "f");
}

// Whoever follows sees each state, not only the last one.
TEST(EngineAppenderReplicaTest, EachAppendMakesTheStateThatItMadeThere) {
  Member a(1);
  Member b(2);
  ASSERT_THAT(CreateAppender(a.path(), "f", "0"), IsOk());
  ASSERT_THAT(UpdateFile(a.path(), Append("f", "12")), IsOk());
  ASSERT_THAT(UpdateFile(a.path(), Truncate("f", 5)), IsOk());
  ASSERT_THAT(UpdateFile(a.path(), Append("f", "678")), IsOk());
  const LogId log = a.own_log().log;
  ASSERT_THAT(b.replica()->SetLogs({LogRange{log}}), IsOk());
  const std::string zeros(2, '\0');
  const std::string states[] = {"0", "012", "012" + zeros,
                                "012" + zeros + "678"};
  size_t i = 0;
  for (ReplicatedChange& change : ChangesBehind(&a, 0)) {
    ASSERT_THAT(ApplyAndWait(&b, std::move(change)), IsOk());
    EXPECT_THAT(ReadFile(b.path(), "f"), IsOkAndHolds(states[i]));
    ++i;
  }
  EXPECT_EQ(i, 4u);
  ExpectSame(&a, &b, "f");
}

TEST(EngineAppenderReplicaTest, WhatAnotherChangeHasReplacedSaysWhich) {
  Member a(1);
  Member b(2);
  ASSERT_THAT(CreateAppender(a.path(), "f", "0123"), IsOk());
  ASSERT_THAT(UpdateFile(a.path(), Append("f", "45")), IsOk());
  ASSERT_THAT(UpdateFile(a.path(), Modify("f", 1, "x")), IsOk());
  ASSERT_THAT(UpdateFile(a.path(), Append("f", "67")), IsOk());
  const std::vector<ReplicatedChange> changes = ChangesBehind(&a, 0);
  ASSERT_THAT(changes, SizeIs(4));
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(changes[i].passed);
    EXPECT_EQ(changes[i].superseded_by, 4u);
  }
  EXPECT_FALSE(changes[2].passed);
  EXPECT_FALSE(changes[2].base.has_value());
  EXPECT_TRUE(changes[3].base.has_value());
  Copy(&a, &b);
  EXPECT_THAT(ReadFile(b.path(), "f"), IsOkAndHolds("0x234567"));
  ExpectSame(&a, &b, "f");
}

TEST(EngineAppenderReplicaTest, TakesNothingThatGoesOnFromWhatIsNotHere) {
  Member a(1);
  Member b(2);
  ASSERT_THAT(CreateAppender(a.path(), "f", TestContent(1, 3 * kMiB)), IsOk());
  ASSERT_THAT(UpdateFile(a.path(), Append("f", "more")), IsOk());
  const LogId log = a.own_log().log;
  ASSERT_THAT(b.replica()->SetLogs({LogRange{log}}), IsOk());
  std::vector<ReplicatedChange> changes = ChangesBehind(&a, 0);
  ASSERT_THAT(changes, SizeIs(2));
  EXPECT_FALSE(changes[0].content.has_value());
  ASSERT_THAT(ApplyAndWait(&b, changes[0]), IsOk());
  const auto refused = ApplyAndWait(&b, changes[1]);
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(ReasonOf(refused.status()), ErrorReason::kVersionMismatch);
  EXPECT_EQ(b.RangeOf(log).applied, 1u);
  // Without, it is known from then on, and fetched as a whole.
  changes[1].base.reset();
  changes[1].content.reset();
  ASSERT_THAT(ApplyAndWait(&b, changes[1]), IsOk());
  EXPECT_EQ(ReasonOf(b.path()->Open("f").status()),
            ErrorReason::kContentNotHere);
  ASSERT_THAT(FetchContent(&a, &b, "f"), IsOk());
  ExpectSame(&a, &b, "f");
  // And goes on from there.
  ASSERT_THAT(UpdateFile(a.path(), Append("f", "and more")), IsOk());
  Copy(&a, &b);
  ExpectSame(&a, &b, "f");
}

// Any changes, copied now and then, from the origin and from each other, over
// restarts: all members end with the same.
TEST(EngineAppenderReplicaTest, MembersAgree) {
  SeedRun run(/*first_seed=*/1, /*rounds=*/4);
  while (run.Next()) {
    SCOPED_TRACE(run.Description());
    std::mt19937_64 random(run.seed());
    Member a(1, run.seed());
    Member b(2, run.seed() + 1000);
    Member c(3, run.seed() + 2000);
    std::map<std::string, std::string> files;
    for (int step = 0; step < 120; ++step) {
      const std::string name = absl::StrCat("f", random() % 3);
      const auto size = static_cast<int64_t>(files[name].size());
      switch (random() % 12) {
        case 0:
          if (a.path()->Stat(name).ok()) break;
          files[name] = TestContent(random(), random() % 2000000);
          ASSERT_THAT(CreateAppender(a.path(), name, files[name]), IsOk());
          break;
        case 1:
          Copy(&a, &b);
          break;
        case 2:
          Copy(&a, &c);
          break;
        case 3: {
          const LogId log = a.own_log().log;
          if (b.RangeOf(log).log == log) Copy(&b, &c, log);
          break;
        }
        case 4:
          (random() % 2 == 0 ? b : c).KillAndOpen();
          break;
        case 5:
          ASSERT_THAT(b.path()->Compact(0.1, nullptr), IsOk());
          break;
        default: {
          if (!a.path()->Stat(name).ok()) break;
          UpdateRequest request =
              Append(name, TestContent(random(), random() % 3000));
          const auto at = static_cast<int64_t>(
              random() % (static_cast<uint64_t>(size) + 1));
          if (random() % 5 == 0) request = Truncate(name, at);
          if (random() % 5 == 0) {
            request = Modify(name, at, TestContent(random(), random() % 3000));
          }
          ASSERT_THAT(UpdateFile(a.path(), std::move(request)), IsOk());
          files[name] = *ReadFile(a.path(), name);
          break;
        }
      }
      if (::testing::Test::HasFailure()) return;
    }
    Copy(&a, &b);
    Copy(&b, &c, a.own_log().log);
    for (const auto& [name, content] : files) {
      if (!a.path()->Stat(name).ok()) continue;
      ExpectSame(&a, &b, name);
      ExpectSame(&a, &c, name);
    }
    c.Rebuild();
    for (const auto& [name, content] : files) {
      if (a.path()->Stat(name).ok()) ExpectSame(&a, &c, name);
    }
    if (::testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace storage
}  // namespace cairn
