// What a power cut, a killed process and a failing disk may and may not do to a
// store path. The oracle is in testing/expected_files.h, the disk in
// lib/testing/crashable_file_system.h.
//
// A long run: --minutes=N --seed=S --gtest_filter=*RandomLives*
// Every change of the script: --rounds=2000 --gtest_filter=*Change*

#include <cerrno>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/io/fault_rules.h"
#include "lib/testing/crashable_file_system.h"
#include "lib/testing/seed_run.h"
#include "lib/testing/status_matchers.h"
#include "services/storage/core/store_path.h"
#include "services/storage/store/testing/crash_driver.h"
#include "services/storage/store/testing/expected_files.h"

namespace cairn {
namespace storage {
namespace {

Ending DrawEnding(CrashDriver* driver) {
  switch (driver->Random(5)) {
    case 0:
      return Ending::kCleanStop;
    case 1:
    case 2:
      return Ending::kKilled;
    default:
      return Ending::kPowerCut;
  }
}

Ending DrawCrash(CrashDriver* driver) {
  return driver->Random(2) == 0 ? Ending::kKilled : Ending::kPowerCut;
}

// Opens the path, perhaps after attempts that a crash cuts short.
void OpenThroughCrashes(CrashDriver* driver) {
  for (int attempt = 0; attempt < 3 && driver->Random(3) == 0; ++attempt) {
    driver->fs().StopAfter(driver->Random(60));
    const absl::Status opened = driver->Open();
    if (opened.ok()) {
      driver->End(DrawCrash(driver));
      continue;
    }
    ASSERT_TRUE(driver->fs().stopped()) << opened;
    EXPECT_FALSE(absl::IsDataLoss(opened)) << opened;
    driver->EndWhileOpening(DrawCrash(driver));
  }
  const absl::Status opened = driver->Open();
  ASSERT_THAT(opened, IsOk());
}

void LiveRandomly(uint64_t seed) {
  CrashDriver driver(seed);
  const int lives = 2 + static_cast<int>(driver.Random(4));
  for (int life = 0; life < lives; ++life) {
    SCOPED_TRACE(absl::StrCat("life ", life));
    ASSERT_NO_FATAL_FAILURE(OpenThroughCrashes(&driver));
    ASSERT_NO_FATAL_FAILURE(driver.Verify());
    // The stop comes in the middle of something, or when all is quiet.
    if (driver.Random(3) != 0) driver.fs().StopAfter(driver.Random(300));
    driver.Work(5 + static_cast<int>(driver.Random(25)));
    driver.End(DrawEnding(&driver));
    if (::testing::Test::HasFailure()) return;
  }
  ASSERT_THAT(driver.Open(), IsOk());
  ASSERT_NO_FATAL_FAILURE(driver.Verify());
  // It works on, and the segments alone tell the same.
  driver.PutSmall(1000, Durability::kSynced);
  driver.PutLarge(300000, Durability::kSynced);
  driver.WaitForAnswers();
  ASSERT_NO_FATAL_FAILURE(driver.Verify());
  driver.End(Ending::kCleanStop);
  // Nothing is merged in a path that was just opened.
  ASSERT_THAT(driver.Open(), IsOk());
  const EngineNumbers before = driver.engine()->Numbers();
  driver.End(Ending::kCleanStop);
  ASSERT_THAT(driver.Rebuild(), IsOk());
  ASSERT_THAT(driver.Open(), IsOk());
  ASSERT_NO_FATAL_FAILURE(driver.Verify());
  // The rebuild has counted every record; the running count must agree.
  const EngineNumbers after = driver.engine()->Numbers();
  EXPECT_EQ(before.live_bytes, after.live_bytes);
  EXPECT_EQ(before.undelete_bytes, after.undelete_bytes);
  EXPECT_EQ(before.files, after.files);
  EXPECT_EQ(before.file_bytes, after.file_bytes);
  driver.End(Ending::kCleanStop);
}

TEST(EngineCrashTest, KeepsItsPromisesThroughRandomLives) {
  SeedRun run(/*first_seed=*/1, /*rounds=*/25);
  while (run.Next()) {
    SCOPED_TRACE(run.Description());
    LiveRandomly(run.seed());
  }
}

// The same few changes, a bit of everything, one at a time.
void RunScript(CrashDriver* driver) {
  driver->set_burst_max(1);
  if (!driver->Open().ok()) return;
  const auto step = [driver](auto&& work) {
    if (!driver->fs().stopped()) work();
    driver->WaitForAnswers();
  };
  for (int i = 0; i < 4; ++i) {
    const Durability durability =
        i % 2 == 0 ? Durability::kSynced : Durability::kCached;
    step([&] { driver->PutSmall(3000 * i, durability); });
    step([&] { driver->PutSmall(4 << 10, durability); });
    step([&] { driver->PutLarge(600000, durability); });
    step([&] { driver->CopyLarge(durability); });
    step([&] { driver->Delete(durability); });
    for (int k = 0; k < 12; ++k) {
      step([&] {
        driver->PutSmall(driver->options().small_file_bytes_max, durability);
      });
    }
    for (int k = 0; k < 9; ++k) step([&] { driver->Delete(durability); });
    for (int k = 0; k < 3; ++k) step([&] { driver->Undelete(durability); });
    step([&] { driver->PurgeDeleted(durability); });
    if (i == 3) step([&] { driver->DropDeleted(); });
    step([&] { driver->CreateAppender(i % 2 * 400000, durability); });
    for (int k = 0; k < 12; ++k) {
      step([&] { driver->UpdateAppender(durability); });
    }
    if (i == 2) step([&] { driver->DeleteAppender(durability); });
    step([&] { driver->Compact(0.1); });
  }
}

// Script options under which every kind of step happens within few operations.
void MakeSmall(CrashDriver* driver) {
  driver->options().small_file_bytes_max = 64 << 10;
  driver->options().checkpoint_journal_bytes = 256 << 10;
  driver->options().group_entries_max = 1024;
}

// Fills a segment with unsynced files and goes on in the next one.
void RunRoll(CrashDriver* driver) {
  driver->set_burst_max(1);
  if (!driver->Open().ok()) return;
  for (int i = 0; i < 18 && !driver->fs().stopped(); ++i) {
    driver->PutSmall(driver->options().small_file_bytes_max,
                     Durability::kCached);
    driver->WaitForAnswers();
  }
}

using Script = void (*)(CrashDriver*);

// How many changes of the disk the script makes when nothing goes wrong.
uint64_t CountScript() {
  CrashDriver driver(1);
  MakeSmall(&driver);
  RunScript(&driver);
  EXPECT_NE(driver.engine(), nullptr);
  EXPECT_EQ(driver.refused(), 0);
  EXPECT_GT(driver.engine()->Numbers().checkpoints, 0u);
  EXPECT_GT(driver.engine()->Numbers().compacted_segments, 0u);
  return driver.fs().CountOf(kChanges);
}

// Seeds visit the changes in an order that meets each of them once: as many
// rounds as there are changes are all of them.
uint64_t ChangeOf(uint64_t seed, uint64_t changes) {
  return seed * 7919 % (changes + 1);
}

void EndAtEveryChange(Ending ending, Script script, uint64_t changes,
                      int rounds) {
  SeedRun run(/*first_seed=*/1, rounds);
  while (run.Next()) {
    SCOPED_TRACE(run.Description());
    const uint64_t n = ChangeOf(run.seed(), changes);
    SCOPED_TRACE(absl::StrCat("after ", n, " of ", changes, " changes"));
    CrashDriver driver(run.seed());
    MakeSmall(&driver);
    driver.fs().StopAfter(n);
    script(&driver);
    if (driver.engine() != nullptr) {
      driver.End(ending);
    } else {
      driver.EndWhileOpening(ending);
    }
    ASSERT_THAT(driver.Open(), IsOk());
    ASSERT_NO_FATAL_FAILURE(driver.Verify());
    driver.PutSmall(1000, Durability::kSynced);
    driver.WaitForAnswers();
    driver.End(Ending::kPowerCut);
    ASSERT_THAT(driver.Rebuild(), IsOk());
    ASSERT_THAT(driver.Open(), IsOk());
    ASSERT_NO_FATAL_FAILURE(driver.Verify());
    if (::testing::Test::HasFailure()) return;
  }
}

TEST(EngineCrashTest, SurvivesAPowerCutAtEveryChangeOfTheDisk) {
  const uint64_t changes = CountScript();
  ASSERT_GT(changes, 100u);
  EndAtEveryChange(Ending::kPowerCut, RunScript, changes, /*rounds=*/30);
}

TEST(EngineCrashTest, SurvivesAKillAtEveryChangeOfTheDisk) {
  const uint64_t changes = CountScript();
  ASSERT_GT(changes, 100u);
  EndAtEveryChange(Ending::kKilled, RunScript, changes, /*rounds=*/15);
}

// The next process must make durable what this one left in a segment that it
// had sealed and not synced.
TEST(EngineCrashTest, SurvivesAKillAtEveryStepOfARoll) {
  CrashDriver driver(1);
  MakeSmall(&driver);
  RunRoll(&driver);
  ASSERT_NE(driver.engine(), nullptr);
  ASSERT_EQ(driver.refused(), 0);
  const uint64_t changes = driver.fs().CountOf(kChanges);
  ASSERT_GT(changes, 20u);
  EndAtEveryChange(Ending::kKilled, RunRoll, changes,
                   static_cast<int>(changes) + 1);
}

// Changes fail with `error`: one, or one and all that follow. The process lives
// on for a while, then the power is cut.
void FailAtEveryChange(int error, uint64_t times, int rounds) {
  const uint64_t changes = CountScript();
  SeedRun run(/*first_seed=*/1, rounds);
  while (run.Next()) {
    SCOPED_TRACE(run.Description());
    const uint64_t n = 1 + ChangeOf(run.seed(), changes);
    SCOPED_TRACE(absl::StrCat("change ", n, " of ", changes, " fails"));
    CrashDriver driver(run.seed());
    MakeSmall(&driver);
    FaultRule rule;
    rule.operations = kChanges;
    rule.nth = n;
    rule.times = times;
    rule.error = error;
    driver.fs().faults().Add(rule);
    RunScript(&driver);
    if (driver.engine() != nullptr) {
      driver.End(Ending::kPowerCut);
    } else {
      driver.EndWhileOpening(Ending::kPowerCut);
    }
    ASSERT_THAT(driver.Open(), IsOk());
    ASSERT_NO_FATAL_FAILURE(driver.Verify());
    driver.PutSmall(1000, Durability::kSynced);
    driver.WaitForAnswers();
    ASSERT_NO_FATAL_FAILURE(driver.Verify());
    if (::testing::Test::HasFailure()) return;
  }
}

TEST(EngineCrashTest, SurvivesAnyOneErrorOfTheDisk) {
  FailAtEveryChange(EIO, /*times=*/1, /*rounds=*/12);
}

// The kernel forgets what it could not write, though it still reads back. The
// process is started again on the same machine and goes on; then the power is
// cut.
TEST(EngineCrashTest, SurvivesAFailedSyncARestartAndAPowerCut) {
  uint64_t syncs = 0;
  {
    CrashDriver driver(1);
    MakeSmall(&driver);
    RunScript(&driver);
    syncs =
        driver.fs().CountOf(static_cast<FileOperations>(FileOperation::kSync));
  }
  ASSERT_GT(syncs, 20u);
  SeedRun run(/*first_seed=*/1, /*rounds=*/20);
  while (run.Next()) {
    SCOPED_TRACE(run.Description());
    const uint64_t n = 1 + ChangeOf(run.seed(), syncs);
    SCOPED_TRACE(absl::StrCat("sync ", n, " of ", syncs, " fails"));
    CrashDriver driver(run.seed());
    MakeSmall(&driver);
    FaultRule rule;
    rule.operations = static_cast<FileOperations>(FileOperation::kSync);
    rule.nth = n;
    rule.times = 1;
    rule.error = EIO;
    driver.fs().faults().Add(rule);
    RunScript(&driver);
    if (driver.engine() != nullptr) {
      driver.End(Ending::kKilled);
    } else {
      driver.EndWhileOpening(Ending::kKilled);
    }
    ASSERT_THAT(driver.Open(), IsOk());
    ASSERT_NO_FATAL_FAILURE(driver.Verify());
    for (int i = 0; i < 3; ++i) driver.Retry();
    driver.PutSmall(1000, Durability::kSynced);
    driver.PutSmall(1000, Durability::kCached);
    driver.WaitForAnswers();
    driver.End(Ending::kPowerCut);
    ASSERT_THAT(driver.Open(), IsOk());
    ASSERT_NO_FATAL_FAILURE(driver.Verify());
    EXPECT_EQ(driver.engine()->Status().damaged_records, 0);
    if (::testing::Test::HasFailure()) return;
  }
}

TEST(EngineCrashTest, SurvivesADiskThatFailsForGood) {
  FailAtEveryChange(EIO, FaultRule::kForever, /*rounds=*/6);
}

TEST(EngineCrashTest, SurvivesAnyOneRefusalForLackOfSpace) {
  FailAtEveryChange(ENOSPC, /*times=*/1, /*rounds=*/12);
}

TEST(EngineCrashTest, SurvivesADiskThatFillsUp) {
  FailAtEveryChange(ENOSPC, FaultRule::kForever, /*rounds=*/6);
}

}  // namespace
}  // namespace storage
}  // namespace cairn
