// The file system of the crash tests: it must be able to lose everything that
// a disk may lose, and nothing else.

#include "lib/testing/crashable_file_system.h"

#include <algorithm>
#include <cerrno>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/io/file_system.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;
using ::testing::UnorderedElementsAre;

constexpr int kSeeds = 300;

std::unique_ptr<File> OpenOrDie(FileSystem* fs, absl::string_view path,
                                OpenMode mode = OpenMode::kCreate) {
  auto file = fs->Open(path, mode);
  EXPECT_THAT(file, IsOk());
  return *std::move(file);
}

// The content, or "(gone)".
std::string ContentOf(FileSystem* fs, absl::string_view path) {
  const auto content = ReadWholeFile(fs, path, 1 << 24);
  return content.ok() ? *content : "(gone)";
}

// What the file may hold after the power is cut behind `work`.
std::set<std::string> Outcomes(
    const std::function<void(CrashableFileSystem*)>& work,
    absl::string_view path) {
  std::set<std::string> outcomes;
  for (int seed = 1; seed <= kSeeds; ++seed) {
    CrashableFileSystem fs(seed);
    work(&fs);
    fs.Crash();
    outcomes.insert(ContentOf(&fs, path));
  }
  return outcomes;
}

TEST(CrashableFileSystemTest, KeepsWhatWasSynced) {
  const auto outcomes = Outcomes(
      [](CrashableFileSystem* fs) {
        auto file = OpenOrDie(fs, "/a");
        ASSERT_THAT(file->WriteAt(0, {"synced ", "content"}), IsOk());
        ASSERT_THAT(file->Sync(), IsOk());
        ASSERT_THAT(fs->SyncDirectory("/"), IsOk());
      },
      "/a");
  EXPECT_THAT(outcomes, ElementsAre("synced content"));
}

TEST(CrashableFileSystemTest, MayLoseASyncedFileWhoseEntryWasNot) {
  const auto outcomes = Outcomes(
      [](CrashableFileSystem* fs) {
        auto file = OpenOrDie(fs, "/a");
        ASSERT_THAT(file->WriteAt(0, {"x"}), IsOk());
        ASSERT_THAT(file->Sync(), IsOk());
      },
      "/a");
  EXPECT_THAT(outcomes, UnorderedElementsAre("x", "(gone)"));
}

TEST(CrashableFileSystemTest, UnsyncedPagesSurviveInAnyCombination) {
  const std::string page(4096, 'x');
  const std::string zeros(4096, '\0');
  const auto outcomes = Outcomes(
      [&page](CrashableFileSystem* fs) {
        auto file = OpenOrDie(fs, "/a");
        ASSERT_THAT(fs->SyncDirectory("/"), IsOk());
        ASSERT_THAT(file->WriteAt(0, {page, page}), IsOk());
      },
      "/a");
  EXPECT_THAT(outcomes, IsSupersetOf({std::string(), page + page, zeros + page,
                                      page + zeros, zeros + zeros}));
}

TEST(CrashableFileSystemTest, APageMayBeTornOrHoldAnEarlierContent) {
  const std::string first(4096, '1');
  const std::string second(4096, '2');
  const std::string third(4096, '3');
  const auto outcomes = Outcomes(
      [&](CrashableFileSystem* fs) {
        auto file = OpenOrDie(fs, "/a");
        ASSERT_THAT(file->WriteAt(0, {first}), IsOk());
        ASSERT_THAT(file->Sync(), IsOk());
        ASSERT_THAT(fs->SyncDirectory("/"), IsOk());
        ASSERT_THAT(file->WriteAt(0, {second}), IsOk());
        ASSERT_THAT(file->WriteAt(0, {third}), IsOk());
      },
      "/a");
  EXPECT_THAT(outcomes, IsSupersetOf({first, second, third}));
  const bool torn = std::any_of(
      outcomes.begin(), outcomes.end(), [](const std::string& content) {
        return content.find('1') != std::string::npos &&
               content.find('3') != std::string::npos;
      });
  EXPECT_TRUE(torn);
  for (const std::string& content : outcomes) {
    ASSERT_EQ(content.size(), 4096u);
    // Sectors are whole.
    for (size_t i = 0; i < content.size(); ++i) {
      ASSERT_EQ(content[i], content[i / 512 * 512]);
    }
  }
}

TEST(CrashableFileSystemTest, AnUnsyncedTruncationMayComeUndone) {
  const auto outcomes = Outcomes(
      [](CrashableFileSystem* fs) {
        auto file = OpenOrDie(fs, "/a");
        ASSERT_THAT(file->WriteAt(0, {"abcdef"}), IsOk());
        ASSERT_THAT(file->Sync(), IsOk());
        ASSERT_THAT(fs->SyncDirectory("/"), IsOk());
        ASSERT_THAT(file->Truncate(2), IsOk());
      },
      "/a");
  EXPECT_THAT(outcomes, IsSupersetOf({"ab", "abcdef"}));
}

TEST(CrashableFileSystemTest, RenamesWithinAFolderAreWhole) {
  std::set<std::string> outcomes;
  for (int seed = 1; seed <= kSeeds; ++seed) {
    CrashableFileSystem fs(seed);
    ASSERT_THAT(ReplaceFile(&fs, "/a", "old"), IsOk());
    auto file = OpenOrDie(&fs, "/b");
    ASSERT_THAT(file->WriteAt(0, {"new"}), IsOk());
    ASSERT_THAT(file->Sync(), IsOk());
    ASSERT_THAT(fs.SyncDirectory("/"), IsOk());
    ASSERT_THAT(fs.Rename("/b", "/a"), IsOk());
    fs.Crash();
    outcomes.insert(ContentOf(&fs, "/a") + " " + ContentOf(&fs, "/b"));
  }
  EXPECT_THAT(outcomes, UnorderedElementsAre("old new", "new (gone)"));
}

TEST(CrashableFileSystemTest, RenamesBetweenFoldersNeedBothSynced) {
  std::set<std::string> outcomes;
  for (int seed = 1; seed <= kSeeds; ++seed) {
    CrashableFileSystem fs(seed);
    ASSERT_THAT(CreateDirectories(&fs, "/from"), IsOk());
    ASSERT_THAT(CreateDirectories(&fs, "/to"), IsOk());
    ASSERT_THAT(ReplaceFile(&fs, "/from/a", "x"), IsOk());
    ASSERT_THAT(fs.Rename("/from/a", "/to/a"), IsOk());
    ASSERT_THAT(fs.SyncDirectory(seed % 2 == 0 ? "/from" : "/to"), IsOk());
    fs.Crash();
    outcomes.insert(ContentOf(&fs, "/from/a") + " " + ContentOf(&fs, "/to/a"));
  }
  EXPECT_THAT(outcomes,
              UnorderedElementsAre("(gone) x", "x x", "(gone) (gone)"));
}

TEST(CrashableFileSystemTest, UnsyncedRemovalsMayComeUndone) {
  const auto outcomes = Outcomes(
      [](CrashableFileSystem* fs) {
        ASSERT_THAT(ReplaceFile(fs, "/a", "x"), IsOk());
        ASSERT_THAT(fs->Remove("/a"), IsOk());
      },
      "/a");
  EXPECT_THAT(outcomes, UnorderedElementsAre("x", "(gone)"));
}

TEST(CrashableFileSystemTest, AFailedSyncDropsThePagesAndTheNextProvesNothing) {
  int lost = 0;
  for (int seed = 1; seed <= kSeeds; ++seed) {
    CrashableFileSystem fs(seed);
    auto file = OpenOrDie(&fs, "/a");
    ASSERT_THAT(fs.SyncDirectory("/"), IsOk());
    ASSERT_THAT(file->WriteAt(0, {"x"}), IsOk());
    fs.FailNextSync(EIO);
    EXPECT_THAT(file->Sync(),
                StatusIs(absl::StatusCode::kUnavailable, HasSubstr("sync /a")));
    EXPECT_EQ(ContentOf(&fs, "/a"), "x");
    EXPECT_THAT(file->Sync(), IsOk());
    fs.Crash();
    if (ContentOf(&fs, "/a") != "x") ++lost;
  }
  EXPECT_GT(lost, 0);
}

TEST(CrashableFileSystemTest, AKilledProcessLosesNothingButItsHandles) {
  CrashableFileSystem fs(1);
  auto file = OpenOrDie(&fs, "/a");
  auto lock = fs.Lock("/LOCK");
  ASSERT_THAT(lock, IsOk());
  ASSERT_THAT(file->WriteAt(0, {"x"}), IsOk());
  EXPECT_THAT(fs.Lock("/LOCK"),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  fs.KillProcess();

  EXPECT_EQ(ContentOf(&fs, "/a"), "x");
  char buffer[1];
  EXPECT_FALSE(file->ReadAt(0, buffer, 1).ok());
  EXPECT_FALSE(file->WriteAt(0, {"y"}).ok());
  EXPECT_FALSE(file->Sync().ok());
  EXPECT_FALSE(file->Size().ok());
  auto next_lock = fs.Lock("/LOCK");
  EXPECT_THAT(next_lock, IsOk());
  lock->reset();  // The dead one does not release the new one's.
  EXPECT_FALSE(fs.Lock("/LOCK").ok());
  next_lock->reset();
  EXPECT_THAT(fs.Lock("/LOCK"), IsOk());
}

TEST(CrashableFileSystemTest, AfterTheStopNothingChanges) {
  CrashableFileSystem fs(1);
  auto file = OpenOrDie(&fs, "/a");
  fs.StopAfter(1);
  ASSERT_THAT(file->WriteAt(0, {"first"}), IsOk());
  EXPECT_FALSE(fs.stopped());
  EXPECT_FALSE(fs.Rename("/a", "/b").ok());
  EXPECT_TRUE(fs.stopped());
  EXPECT_FALSE(file->WriteAt(0, {"second"}).ok());
  EXPECT_FALSE(fs.Stat("/a").ok());
  EXPECT_FALSE(fs.List("/").ok());
  fs.KillProcess();
  EXPECT_EQ(ContentOf(&fs, "/a"), "first");
  EXPECT_THAT(fs.List("/"), IsOkAndHolds(ElementsAre("a")));
}

TEST(CrashableFileSystemTest, AWriteThatMeetsTheStopMayBeDoneInPart) {
  std::set<std::string> outcomes;
  for (int seed = 1; seed <= kSeeds; ++seed) {
    CrashableFileSystem fs(seed);
    auto file = OpenOrDie(&fs, "/a");
    fs.StopAfter(0);
    EXPECT_FALSE(file->WriteAt(0, {"a", "bc"}).ok());
    fs.KillProcess();
    outcomes.insert(ContentOf(&fs, "/a"));
  }
  EXPECT_THAT(outcomes, UnorderedElementsAre("", "a", "ab", "abc"));
}

TEST(CrashableFileSystemTest, FailsByRuleAndCounts) {
  CrashableFileSystem fs(1);
  auto file = OpenOrDie(&fs, "/a");
  fs.faults().Add(*ParseFaultRule("write:/a=ENOSPC@2"));
  EXPECT_THAT(file->WriteAt(0, {"x"}), IsOk());
  EXPECT_THAT(file->WriteAt(0, {"x"}),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(file->WriteAt(0, {"x"}), IsOk());
  EXPECT_EQ(fs.CountOf(static_cast<FileOperations>(FileOperation::kWrite)), 3u);
  EXPECT_EQ(fs.CountOf(FileOperation::kWrite | FileOperation::kCreate), 4u);
}

TEST(CrashableFileSystemTest, AFullDiskTakesAPartAndGivesRoomBack) {
  CrashableFileSystem fs(1);
  fs.SetCapacity(3 * 4096);
  auto file = OpenOrDie(&fs, "/a");
  ASSERT_THAT(file->WriteAt(0, {"x"}), IsOk());
  EXPECT_EQ(fs.Space("/")->total_bytes, 3 * 4096);
  EXPECT_EQ(fs.Space("/")->available_bytes, 2 * 4096);
  EXPECT_THAT(file->WriteAt(0, {std::string(20000, 'y')}),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(file->Size(), IsOkAndHolds(3 * 4096));
  EXPECT_THAT(file->WriteAt(0, {std::string(3 * 4096, 'z')}), IsOk());

  auto other = OpenOrDie(&fs, "/b");
  EXPECT_THAT(other->WriteAt(0, {"x"}),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(other->Allocate(0, 1),
              StatusIs(absl::StatusCode::kResourceExhausted));
  // A removed file keeps its room until nobody has it open.
  ASSERT_THAT(fs.Remove("/a"), IsOk());
  EXPECT_EQ(fs.Space("/")->available_bytes, 0);
  file.reset();
  EXPECT_EQ(fs.Space("/")->available_bytes, 3 * 4096);
  EXPECT_THAT(other->Allocate(0, 2 * 4096), IsOk());
  EXPECT_THAT(other->Size(), IsOkAndHolds(0));
  EXPECT_EQ(fs.Space("/")->available_bytes, 4096);
}

TEST(CrashableFileSystemTest, DamageSurvivesSyncAndCrash) {
  CrashableFileSystem fs(1);
  ASSERT_THAT(ReplaceFile(&fs, "/a", "aaaa"), IsOk());
  fs.FlipBit("/a", 2, 1);
  EXPECT_EQ(ContentOf(&fs, "/a"), "aaca");
  fs.TruncateOnDisk("/a", 3);
  fs.Crash();
  EXPECT_EQ(ContentOf(&fs, "/a"), "aac");
  EXPECT_THAT(fs.FilesUnder("/"), ElementsAre("/a"));
}

TEST(CrashableFileSystemTest, HelpersAreDurable) {
  for (int seed = 1; seed <= kSeeds; ++seed) {
    CrashableFileSystem fs(seed);
    ASSERT_THAT(CreateDirectories(&fs, "/x/y/z"), IsOk());
    ASSERT_THAT(ReplaceFile(&fs, "/x/y/z/a", "first"), IsOk());
    fs.Crash();
    ASSERT_EQ(ContentOf(&fs, "/x/y/z/a"), "first");
    // Whatever operation the crash meets, the old or the new is there.
    fs.StopAfter(seed % 8);
    const bool replaced = ReplaceFile(&fs, "/x/y/z/a", "second").ok();
    fs.Crash();
    const std::string content = ContentOf(&fs, "/x/y/z/a");
    if (replaced) {
      EXPECT_EQ(content, "second");
    }
    EXPECT_THAT(content, ::testing::AnyOf("first", "second"));
  }
}

TEST(CrashableFileSystemTest, CreateDirectoriesFinishesWhatAKilledOneBegan) {
  for (int seed = 1; seed <= kSeeds; ++seed) {
    CrashableFileSystem fs(seed);
    fs.StopAfter(seed % 5);
    CreateDirectories(&fs, "/x/y").IgnoreError();
    fs.KillProcess();
    ASSERT_THAT(CreateDirectories(&fs, "/x/y"), IsOk());
    fs.Crash();
    ASSERT_THAT(fs.Stat("/x/y"), IsOk());
  }
}

TEST(CrashableFileSystemTest, BehavesAsTheRealOneDoes) {
  CrashableFileSystem fs(1);
  ASSERT_THAT(fs.CreateDirectory("/d"), IsOk());
  OpenOrDie(&fs, "/d/b").reset();
  auto a = OpenOrDie(&fs, "/d/a");
  ASSERT_THAT(a->WriteAt(5, {"x"}), IsOk());
  EXPECT_EQ(ContentOf(&fs, "/d/a"), std::string("\0\0\0\0\0x", 6));
  EXPECT_THAT(fs.List("/d"), IsOkAndHolds(ElementsAre("a", "b")));
  EXPECT_TRUE(fs.Stat("/d")->is_directory);
  EXPECT_EQ(fs.Stat("/d/a")->size_bytes, 6);

  using absl::StatusCode;
  EXPECT_THAT(fs.CreateDirectory("/d"), StatusIs(StatusCode::kAlreadyExists));
  EXPECT_THAT(fs.CreateDirectory("/n/d"), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(fs.Open("/d/a", OpenMode::kCreateNew),
              StatusIs(StatusCode::kAlreadyExists));
  EXPECT_THAT(fs.Open("/n", OpenMode::kRead), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(fs.Open("/d/a/x", OpenMode::kCreate),
              StatusIs(StatusCode::kFailedPrecondition));
  EXPECT_THAT(fs.Open("/d", OpenMode::kRead),
              StatusIs(StatusCode::kFailedPrecondition));
  EXPECT_THAT(fs.RemoveDirectory("/d"),
              StatusIs(StatusCode::kFailedPrecondition));
  EXPECT_THAT(fs.Remove("/n"), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(fs.Remove("/d"), StatusIs(StatusCode::kFailedPrecondition));
  EXPECT_THAT(fs.Rename("/n", "/m"), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(fs.List("/n"), StatusIs(StatusCode::kNotFound));
  EXPECT_FALSE(OpenOrDie(&fs, "/d/a", OpenMode::kRead)->WriteAt(0, {"x"}).ok());
  ASSERT_THAT(fs.Rename("/d", "/e"), IsOk());
  EXPECT_EQ(fs.Stat("/e/a")->size_bytes, 6);
  ASSERT_THAT(fs.Remove("/e/a"), IsOk());
  char buffer[8];
  EXPECT_THAT(a->ReadAt(0, buffer, 8), IsOkAndHolds(6u));  // Still open.
  ASSERT_THAT(fs.Remove("/e/b"), IsOk());
  ASSERT_THAT(fs.RemoveDirectory("/e"), IsOk());
  EXPECT_THAT(fs.List("/"), IsOkAndHolds(IsEmpty()));
}

TEST(CrashableFileSystemTest, TryReadSometimesDeclines) {
  CrashableFileSystem fs(1);
  auto file = OpenOrDie(&fs, "/a");
  ASSERT_THAT(file->WriteAt(0, {"x"}), IsOk());
  int declined = 0;
  for (int i = 0; i < 10; ++i) {
    char c = 0;
    const auto read = file->TryReadAt(0, &c, 1);
    if (!read.has_value()) {
      ++declined;
    } else {
      EXPECT_THAT(*read, IsOkAndHolds(1u));
      EXPECT_EQ(c, 'x');
    }
  }
  EXPECT_GT(declined, 0);
  EXPECT_LT(declined, 10);
}

TEST(CrashableFileSystemTest, TheSameSeedGivesTheSame) {
  const auto run = [](uint64_t seed) {
    CrashableFileSystem fs(seed);
    auto file = OpenOrDie(&fs, "/a");
    for (int i = 0; i < 20; ++i) {
      const std::string data(1000, static_cast<char>('a' + i));
      EXPECT_THAT(file->WriteAt(i * 700, {data}), IsOk());
      if (i % 7 == 0) {
        EXPECT_THAT(file->Sync(), IsOk());
      }
    }
    fs.Crash();
    return ContentOf(&fs, "/a");
  };
  std::set<std::string> different;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    EXPECT_EQ(run(seed), run(seed));
    different.insert(run(seed));
  }
  EXPECT_GT(different.size(), 2u);
}

TEST(CrashableFileSystemTest, ManyThreadsMayUseIt) {
  CrashableFileSystem fs(1);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&fs, t] {
      for (int i = 0; i < 100; ++i) {
        const std::string path = absl::StrCat("/", t, "_", i);
        EXPECT_THAT(ReplaceFile(&fs, path, path), IsOk());
        EXPECT_EQ(ContentOf(&fs, path), path);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  fs.Crash();
  EXPECT_EQ(fs.FilesUnder("/").size(), 400u);
}

}  // namespace
}  // namespace cairn
