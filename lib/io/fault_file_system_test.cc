// The wrapper that makes a real disk misbehave.

#include "lib/io/fault_file_system.h"

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/testing/crashable_file_system.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr absl::StatusCode kUnavailable = absl::StatusCode::kUnavailable;

std::unique_ptr<FileSystem> MakeOrDie(FileSystem* base,
                                      absl::string_view rules) {
  auto fs = MakeFaultFileSystem(base, rules);
  EXPECT_THAT(fs, IsOk());
  return *std::move(fs);
}

TEST(FaultFileSystemTest, WithoutRulesEverythingIsPassedOn) {
  CrashableFileSystem disk(1);
  const auto fs = MakeOrDie(&disk, "");
  ASSERT_THAT(CreateDirectories(fs.get(), "/d"), IsOk());
  ASSERT_THAT(ReplaceFile(fs.get(), "/d/a", "content"), IsOk());
  EXPECT_THAT(ReadWholeFile(&disk, "/d/a", 100), IsOkAndHolds("content"));
  EXPECT_THAT(fs->List("/d"), IsOkAndHolds(ElementsAre("a")));
  EXPECT_EQ(fs->Space("/")->total_bytes, disk.Space("/")->total_bytes);
  auto lock = fs->Lock("/LOCK");
  ASSERT_THAT(lock, IsOk());
  EXPECT_FALSE(disk.Lock("/LOCK").ok());
  auto file = fs->Open("/d/a", OpenMode::kReadWrite);
  ASSERT_THAT(file, IsOk());
  EXPECT_THAT((*file)->Allocate(0, 4096), IsOk());
  EXPECT_THAT((*file)->Truncate(3), IsOk());
  EXPECT_THAT((*file)->Size(), IsOkAndHolds(3));
  ASSERT_THAT(fs->Remove("/d/a"), IsOk());
  ASSERT_THAT(fs->RemoveDirectory("/d"), IsOk());
  EXPECT_THAT(disk.List("/"), IsOkAndHolds(ElementsAre("LOCK")));
}

TEST(FaultFileSystemTest, EveryOperationFailsByItsRuleAndChangesNothing) {
  CrashableFileSystem disk(1);
  ASSERT_THAT(disk.CreateDirectory("/d"), IsOk());
  ASSERT_THAT(ReplaceFile(&disk, "/a", "content"), IsOk());
  const auto fs = MakeOrDie(&disk, "*=EIO@1+");
  EXPECT_THAT(fs->Open("/a", OpenMode::kRead), StatusIs(kUnavailable));
  EXPECT_THAT(fs->Open("/b", OpenMode::kCreate), StatusIs(kUnavailable));
  EXPECT_THAT(fs->Rename("/a", "/b"), StatusIs(kUnavailable));
  EXPECT_THAT(fs->Remove("/a"), StatusIs(kUnavailable));
  EXPECT_THAT(fs->CreateDirectory("/e"), StatusIs(kUnavailable));
  EXPECT_THAT(fs->RemoveDirectory("/d"), StatusIs(kUnavailable));
  EXPECT_THAT(fs->SyncDirectory("/"), StatusIs(kUnavailable));
  EXPECT_THAT(fs->List("/"), StatusIs(kUnavailable));
  EXPECT_THAT(fs->Stat("/a"), StatusIs(kUnavailable));
  EXPECT_THAT(fs->Space("/"), StatusIs(kUnavailable));
  EXPECT_THAT(fs->Lock("/LOCK"), StatusIs(kUnavailable));
  EXPECT_THAT(disk.List("/"), IsOkAndHolds(ElementsAre("a", "d")));
}

TEST(FaultFileSystemTest, OpenFilesFailByRule) {
  CrashableFileSystem disk(1);
  const auto fs = MakeOrDie(
      &disk, "sync:/a=EIO@2;write:/a=ENOSPC@2;read:/a=EIO;truncate=EIO");
  auto file = fs->Open("/a", OpenMode::kCreate);
  ASSERT_THAT(file, IsOk());
  ASSERT_THAT((*file)->WriteAt(0, {"abcd"}), IsOk());
  EXPECT_THAT((*file)->WriteAt(4, {"ef", "gh"}),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(ReadWholeFile(&disk, "/a", 100), IsOkAndHolds("abcdef"));
  EXPECT_THAT((*file)->Sync(), IsOk());
  EXPECT_THAT((*file)->Sync(),
              StatusIs(kUnavailable, HasSubstr("sync /a: Input/output error")));
  EXPECT_THAT((*file)->Truncate(0), StatusIs(kUnavailable));

  char buffer[8];
  absl::optional<absl::StatusOr<size_t>> read;
  while (!read.has_value()) read = (*file)->TryReadAt(0, buffer, 8);
  EXPECT_THAT(*read, StatusIs(kUnavailable));
  EXPECT_THAT((*file)->ReadAt(0, buffer, 8), IsOkAndHolds(6u));
}

TEST(FaultFileSystemTest, RefusesABadRule) {
  EXPECT_THAT(
      MakeFaultFileSystem(FileSystem::Real(), "sync=EIO;nonsense"),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'nonsense'")));
}

}  // namespace
}  // namespace cairn
