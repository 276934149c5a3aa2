// The machine's file system, in a real folder.

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <climits>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/io/errno_status.h"
#include "lib/io/file_system.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class PosixFileSystemTest : public ::testing::Test {
 protected:
  PosixFileSystemTest() {
    dir_ = ::testing::TempDir() + "/posix_fs_XXXXXX";
    EXPECT_NE(::mkdtemp(dir_.data()), nullptr);
  }
  ~PosixFileSystemTest() override { std::filesystem::remove_all(dir_); }

  std::string In(absl::string_view name) const {
    return absl::StrCat(dir_, "/", name);
  }
  std::unique_ptr<File> OpenOrDie(absl::string_view path, OpenMode mode) {
    auto file = fs_->Open(path, mode);
    EXPECT_THAT(file, IsOk());
    return *std::move(file);
  }
  void Write(absl::string_view path, absl::string_view content) {
    ASSERT_THAT(OpenOrDie(path, OpenMode::kCreate)->WriteAt(0, {content}),
                IsOk());
  }

  FileSystem* const fs_ = FileSystem::Real();
  std::string dir_;
};

TEST_F(PosixFileSystemTest, ReadsBackWhatWasWrittenInParts) {
  auto file = OpenOrDie(In("a"), OpenMode::kCreateNew);
  ASSERT_THAT(file->WriteAt(3, {"de", "", "fgh"}), IsOk());
  ASSERT_THAT(file->WriteAt(0, {"abc"}), IsOk());
  ASSERT_THAT(file->Sync(), IsOk());

  char buffer[16] = {};
  EXPECT_THAT(file->ReadAt(0, buffer, sizeof(buffer)), IsOkAndHolds(8u));
  EXPECT_EQ(absl::string_view(buffer, 8), "abcdefgh");
  EXPECT_THAT(file->ReadAt(6, buffer, 1), IsOkAndHolds(1u));
  EXPECT_EQ(buffer[0], 'g');
  EXPECT_THAT(file->ReadAt(8, buffer, 4), IsOkAndHolds(0u));
  EXPECT_THAT(file->ReadAt(800, buffer, 4), IsOkAndHolds(0u));
  EXPECT_THAT(file->Size(), IsOkAndHolds(8));
}

TEST_F(PosixFileSystemTest, WritesMorePartsThanOneSystemCallTakes) {
  auto file = OpenOrDie(In("a"), OpenMode::kCreate);
  std::vector<std::string> pieces;
  std::string expected;
  for (int i = 0; i < 3 * IOV_MAX + 5; ++i) {
    pieces.push_back(std::string(i % 7, static_cast<char>('a' + i % 26)));
    expected += pieces.back();
  }
  const std::vector<absl::string_view> parts(pieces.begin(), pieces.end());
  ASSERT_THAT(file->WriteAt(0, parts), IsOk());
  EXPECT_THAT(ReadWholeFile(fs_, In("a"), 1 << 20), IsOkAndHolds(expected));
  EXPECT_THAT(file->WriteAt(0, {}), IsOk());
}

TEST_F(PosixFileSystemTest, TryReadAtReadsTheCacheToTheEndOrDeclines) {
  auto file = OpenOrDie(In("a"), OpenMode::kCreate);
  ASSERT_THAT(file->WriteAt(0, {"abcdefgh"}), IsOk());
  char buffer[16];
  const auto read = file->TryReadAt(2, buffer, sizeof(buffer));
  // tmpfs declines on older kernels; what was just written is cached elsewhere.
  if (read.has_value()) {
    EXPECT_THAT(*read, IsOkAndHolds(6u));
    EXPECT_EQ(absl::string_view(buffer, 6), "cdefgh");
    EXPECT_THAT(*file->TryReadAt(8, buffer, 4), IsOkAndHolds(0u));
  }
}

TEST_F(PosixFileSystemTest, OpenModesKeepTheirPromises) {
  EXPECT_THAT(fs_->Open(In("a"), OpenMode::kRead),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr(In("a"))));
  EXPECT_THAT(fs_->Open(In("a"), OpenMode::kReadWrite),
              StatusIs(absl::StatusCode::kNotFound));
  Write(In("a"), "x");
  EXPECT_THAT(fs_->Open(In("a"), OpenMode::kCreateNew),
              StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(OpenOrDie(In("a"), OpenMode::kCreate)->Size(), IsOkAndHolds(1));
  EXPECT_THAT(OpenOrDie(In("a"), OpenMode::kReadWrite)->WriteAt(1, {"y"}),
              IsOk());
  EXPECT_FALSE(OpenOrDie(In("a"), OpenMode::kRead)->WriteAt(0, {"z"}).ok());
  EXPECT_THAT(ReadWholeFile(fs_, In("a"), 100), IsOkAndHolds("xy"));
}

TEST_F(PosixFileSystemTest, AllocationKeepsTheSizeAndTruncationSetsIt) {
  auto file = OpenOrDie(In("a"), OpenMode::kCreate);
  const absl::Status allocated = file->Allocate(0, 1 << 20);
  EXPECT_TRUE(allocated.ok() || absl::IsUnimplemented(allocated)) << allocated;
  EXPECT_THAT(file->Size(), IsOkAndHolds(0));
  ASSERT_THAT(file->WriteAt(0, {"abc"}), IsOk());
  ASSERT_THAT(file->Truncate(5), IsOk());
  EXPECT_THAT(ReadWholeFile(fs_, In("a"), 100),
              IsOkAndHolds(std::string("abc\0\0", 5)));
  ASSERT_THAT(file->Truncate(2), IsOk());
  file->StartWriteback(0, 2);
  file->DropCache(0, 2);
  EXPECT_THAT(ReadWholeFile(fs_, In("a"), 100), IsOkAndHolds("ab"));
}

TEST_F(PosixFileSystemTest, RenameReplacesAndListIsSorted) {
  Write(In("b"), "new");
  Write(In("a"), "old");
  ASSERT_THAT(fs_->CreateDirectory(In("c")), IsOk());
  EXPECT_THAT(fs_->List(dir_), IsOkAndHolds(ElementsAre("a", "b", "c")));
  ASSERT_THAT(fs_->Rename(In("b"), In("a")), IsOk());
  ASSERT_THAT(fs_->SyncDirectory(dir_), IsOk());
  EXPECT_THAT(ReadWholeFile(fs_, In("a"), 100), IsOkAndHolds("new"));
  EXPECT_THAT(fs_->List(dir_), IsOkAndHolds(ElementsAre("a", "c")));
  EXPECT_THAT(fs_->List(In("c")), IsOkAndHolds(IsEmpty()));
  EXPECT_TRUE(fs_->Stat(In("c"))->is_directory);
  EXPECT_FALSE(fs_->Stat(In("a"))->is_directory);
  EXPECT_EQ(fs_->Stat(In("a"))->size_bytes, 3);
}

TEST_F(PosixFileSystemTest, ErrorsNameTheOperationThePathAndTheReason) {
  Write(In("file"), "x");
  ASSERT_THAT(fs_->CreateDirectory(In("dir")), IsOk());
  Write(In("dir/inside"), "x");
  EXPECT_THAT(fs_->CreateDirectory(In("dir")),
              StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(fs_->RemoveDirectory(In("dir")),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("remove directory " + In("dir"))));
  EXPECT_THAT(fs_->List(In("file")),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(fs_->Open(In("dir"), OpenMode::kCreate),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(fs_->Remove(In("none")),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("ENOENT")));
  EXPECT_THAT(fs_->Rename(In("none"), In("a")),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr(" to ")));
  EXPECT_THAT(fs_->Stat(In("none")), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(fs_->Space(In("none")), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(fs_->List(In("none")), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(fs_->SyncDirectory(In("none")),
              StatusIs(absl::StatusCode::kNotFound));
  ASSERT_THAT(fs_->Remove(In("dir/inside")), IsOk());
  EXPECT_THAT(fs_->RemoveDirectory(In("dir")), IsOk());
}

TEST_F(PosixFileSystemTest, AFullDeviceIsResourceExhausted) {
  if (::access("/dev/full", W_OK) != 0) GTEST_SKIP() << "no /dev/full";
  auto file = OpenOrDie("/dev/full", OpenMode::kReadWrite);
  EXPECT_THAT(file->WriteAt(0, {"x"}),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       HasSubstr("write /dev/full")));
}

TEST_F(PosixFileSystemTest, SpaceIsPositiveAndAvailableIsWithinTotal) {
  const auto space = fs_->Space(dir_);
  ASSERT_THAT(space, IsOk());
  EXPECT_GT(space->total_bytes, 0);
  EXPECT_GE(space->available_bytes, 0);
  EXPECT_LE(space->available_bytes, space->total_bytes);
}

TEST_F(PosixFileSystemTest, ALockIsRefusedTwiceInOneProcess) {
  auto lock = fs_->Lock(In("LOCK"));
  ASSERT_THAT(lock, IsOk());
  EXPECT_THAT(fs_->Lock(In("LOCK")),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr(absl::StrCat("held by process ", getpid()))));
  // Closing another descriptor of the file must not release it, as it would
  // with the classic locks of POSIX.
  OpenOrDie(In("LOCK"), OpenMode::kRead).reset();
  EXPECT_FALSE(fs_->Lock(In("LOCK")).ok());
  lock->reset();
  EXPECT_THAT(fs_->Lock(In("LOCK")), IsOk());
}

TEST_F(PosixFileSystemTest, ALockIsRefusedToAnotherProcess) {
  // The child opens the file by itself, so it shares nothing with us. It holds
  // the lock until it is killed.
  int answers[2];
  ASSERT_EQ(::pipe(answers), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    auto lock = fs_->Lock(In("LOCK"));
    const char answer = lock.ok() ? 'y' : 'n';
    if (::write(answers[1], &answer, 1) != 1) ::_exit(1);
    while (true) ::pause();
  }
  char answer = 0;
  ASSERT_EQ(::read(answers[0], &answer, 1), 1);
  EXPECT_EQ(answer, 'y');
  EXPECT_THAT(fs_->Lock(In("LOCK")),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr(absl::StrCat("held by process ", child))));

  ASSERT_EQ(::kill(child, SIGKILL), 0);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_THAT(fs_->Lock(In("LOCK")), IsOk());
  ::close(answers[0]);
  ::close(answers[1]);
}

TEST_F(PosixFileSystemTest, ParallelWritesAndReadsDoNotDisturbEachOther) {
  auto file = OpenOrDie(In("a"), OpenMode::kCreate);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&file, t] {
      const std::string content(1000, static_cast<char>('a' + t));
      std::string back(content.size(), '\0');
      for (int i = 0; i < 50; ++i) {
        const int64_t offset = (i * 4 + t) * 1000;
        ASSERT_THAT(file->WriteAt(offset, {content}), IsOk());
        ASSERT_THAT(file->ReadAt(offset, back.data(), back.size()),
                    IsOkAndHolds(back.size()));
        ASSERT_EQ(back, content);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(file->Size(), IsOkAndHolds(200000));
}

TEST_F(PosixFileSystemTest, ReadWholeFileKeepsItsLimit) {
  Write(In("a"), "12345678");
  EXPECT_THAT(ReadWholeFile(fs_, In("a"), 8), IsOkAndHolds("12345678"));
  EXPECT_THAT(ReadWholeFile(fs_, In("a"), 7),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       HasSubstr("larger than 7 bytes")));
  Write(In("empty"), "");
  EXPECT_THAT(ReadWholeFile(fs_, In("empty"), 0), IsOkAndHolds(""));
  const std::string large(300000, 'x');
  Write(In("large"), large);
  EXPECT_THAT(ReadWholeFile(fs_, In("large"), 1 << 20), IsOkAndHolds(large));
  // Its size says 0.
  EXPECT_THAT(ReadWholeFile(fs_, "/proc/self/status", 1 << 20),
              IsOkAndHolds(HasSubstr("Name:")));
}

TEST_F(PosixFileSystemTest, ReplaceFileLeavesTheNewContentAndNothingElse) {
  ASSERT_THAT(ReplaceFile(fs_, In("a"), "a long first content"), IsOk());
  Write(In("a.tmp"), "left over from a crash, longer than what comes next");
  ASSERT_THAT(ReplaceFile(fs_, In("a"), "second"), IsOk());
  EXPECT_THAT(ReadWholeFile(fs_, In("a"), 100), IsOkAndHolds("second"));
  EXPECT_THAT(fs_->List(dir_), IsOkAndHolds(ElementsAre("a")));
  EXPECT_THAT(ReplaceFile(fs_, In("none/a"), "x"),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(PosixFileSystemTest, CreateDirectoriesMakesWhatIsMissing) {
  ASSERT_THAT(CreateDirectories(fs_, In("a/b/c/")), IsOk());
  EXPECT_TRUE(fs_->Stat(In("a/b/c"))->is_directory);
  EXPECT_THAT(CreateDirectories(fs_, In("a/b/c")), IsOk());
  Write(In("a/file"), "x");
  EXPECT_FALSE(CreateDirectories(fs_, In("a/file/d")).ok());
  EXPECT_THAT(CreateDirectories(fs_, In("a/file")),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("is not a directory")));
}

TEST_F(PosixFileSystemTest, NobodyElseMayReadTheFiles) {
  Write(In("a"), "x");
  struct stat stat;
  ASSERT_EQ(::stat(In("a").c_str(), &stat), 0);
  EXPECT_EQ(stat.st_mode & 0007, 0u);
}

TEST(ErrnoStatusTest, GivesTheCodesOfTheTable) {
  const struct {
    int error;
    absl::StatusCode code;
  } table[] = {{ENOENT, absl::StatusCode::kNotFound},
               {EEXIST, absl::StatusCode::kAlreadyExists},
               {ENOSPC, absl::StatusCode::kResourceExhausted},
               {EDQUOT, absl::StatusCode::kResourceExhausted},
               {EROFS, absl::StatusCode::kFailedPrecondition},
               {EBUSY, absl::StatusCode::kFailedPrecondition},
               {EACCES, absl::StatusCode::kPermissionDenied},
               {EIO, absl::StatusCode::kUnavailable},
               {EMFILE, absl::StatusCode::kUnavailable},
               {99999, absl::StatusCode::kUnavailable}};
  for (const auto& row : table) {
    EXPECT_EQ(StatusFromErrno(row.error, "open", "/a").code(), row.code)
        << row.error;
  }
  EXPECT_EQ(StatusFromErrno(EIO, "read", "/a").message(),
            "read /a: Input/output error (EIO)");
}

}  // namespace
}  // namespace cairn
