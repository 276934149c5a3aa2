// First starts, later starts, starts that were cut off, and directories that
// are somebody else's. Real files.

#include "services/standalone/data_directory.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/io/file_system.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace standalone {
namespace {

using ::testing::HasSubstr;

std::string NewDirectory() {
  std::string path = absl::StrCat(::testing::TempDir(), "/data_XXXXXX");
  EXPECT_NE(mkdtemp(path.data()), nullptr);
  return path;
}

std::string Content(const std::string& path) {
  std::ifstream file(path);
  return std::string((std::istreambuf_iterator<char>(file)),
                     std::istreambuf_iterator<char>());
}

TEST(DataDirectoryTest, TheFirstStartMakesEverythingAndLaterOnesKeepIt) {
  const std::string path = absl::StrCat(NewDirectory(), "/new/data");
  Uuid cluster_id;
  std::string secret;
  {
    const auto directory = DataDirectory::Open(FileSystem::Real(), path,
                                               {{"tracker.conf", "first\n"}});
    ASSERT_THAT(directory, IsOk());
    EXPECT_TRUE((*directory)->is_new());
    cluster_id = (*directory)->cluster_id();
    EXPECT_FALSE(cluster_id.is_nil());
    secret = Content((*directory)->secret_file());
    EXPECT_EQ(secret.size(), 45u);  // 32 bytes in base64 and a line end.
    struct stat info;
    ASSERT_EQ(stat((*directory)->secret_file().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600u);
    EXPECT_EQ(Content((*directory)->file("tracker.conf")), "first\n");
  }
  std::ofstream(absl::StrCat(path, "/tracker.conf")) << "edited\n";
  const auto directory = DataDirectory::Open(FileSystem::Real(), path,
                                             {{"tracker.conf", "second\n"}});
  ASSERT_THAT(directory, IsOk());
  EXPECT_FALSE((*directory)->is_new());
  EXPECT_EQ((*directory)->cluster_id(), cluster_id);
  EXPECT_EQ(Content((*directory)->secret_file()), secret);
  EXPECT_EQ(Content((*directory)->file("tracker.conf")), "edited\n");
}

TEST(DataDirectoryTest, GoesOnAfterAStartThatWasCutOff) {
  const std::string path = NewDirectory();
  std::ofstream(absl::StrCat(path, "/cluster_id"))
      << "11111111-2222-4333-8444-555555555555\n";
  std::ofstream(absl::StrCat(path, "/secret.tmp")) << "ha";
  const auto directory =
      DataDirectory::Open(FileSystem::Real(), path, {{"a.conf", "a"}});
  ASSERT_THAT(directory, IsOk());
  EXPECT_EQ((*directory)->cluster_id().ToString(),
            "11111111-2222-4333-8444-555555555555");
  EXPECT_EQ(Content((*directory)->secret_file()).size(), 45u);
  EXPECT_EQ(Content((*directory)->file("a.conf")), "a");
}

TEST(DataDirectoryTest, RefusesADirectoryThatHoldsSomethingElse) {
  const std::string path = NewDirectory();
  std::ofstream(absl::StrCat(path, "/holiday.jpg")) << "x";
  EXPECT_THAT(DataDirectory::Open(FileSystem::Real(), path, {}),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("choose another directory")));
  EXPECT_NE(access(absl::StrCat(path, "/LOCK").c_str(), F_OK), 0);
}

TEST(DataDirectoryTest, RefusesASecondProcess) {
  const std::string path = NewDirectory();
  const auto first = DataDirectory::Open(FileSystem::Real(), path, {});
  ASSERT_THAT(first, IsOk());
  EXPECT_THAT(DataDirectory::Open(FileSystem::Real(), path, {}),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("another cairn-standalone runs on")));
}

TEST(DataDirectoryTest, NeverMakesANewSecretForFilesOfAnOldOne) {
  const std::string path = NewDirectory();
  ASSERT_THAT(DataDirectory::Open(FileSystem::Real(), path, {}), IsOk());
  ASSERT_EQ(mkdir(absl::StrCat(path, "/storage").c_str(), 0755), 0);
  ASSERT_EQ(unlink(absl::StrCat(path, "/secret").c_str()), 0);
  EXPECT_THAT(
      DataDirectory::Open(FileSystem::Real(), path, {}),
      StatusIs(absl::StatusCode::kDataLoss, HasSubstr("from a backup")));
}

TEST(DataDirectoryTest, SaysThatTheClusterIdIsDamaged) {
  const std::string path = NewDirectory();
  std::ofstream(absl::StrCat(path, "/cluster_id")) << "1111";
  EXPECT_THAT(DataDirectory::Open(FileSystem::Real(), path, {}),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("cluster_id")));
}

}  // namespace
}  // namespace standalone
}  // namespace cairn
