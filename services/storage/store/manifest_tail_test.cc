// What a power cut may leave of the newest records of RocksDB's MANIFEST, and
// that RocksDB opens what is kept.

#include "services/storage/store/manifest_tail.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/io/file_system.h"
#include "lib/testing/status_matchers.h"
#include "rocksdb/db.h"

namespace cairn {
namespace storage {
namespace {

std::string Read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

void Write(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
}

class ManifestTailTest : public ::testing::Test {
 protected:
  ManifestTailTest()
      : directory_(absl::StrCat(
            ::testing::TempDir(), "/manifest_",
            ::testing::UnitTest::GetInstance()->current_test_info()->name())) {
    std::filesystem::remove_all(directory_);
  }

  std::unique_ptr<rocksdb::DB> Open() {
    rocksdb::Options options;
    options.create_if_missing = true;
    rocksdb::DB* db = nullptr;
    status_ = rocksdb::DB::Open(options, directory_, &db);
    return std::unique_ptr<rocksdb::DB>(db);
  }

  std::string Manifest() const {
    const std::string current = Read(directory_ + "/CURRENT");
    return absl::StrCat(directory_, "/", absl::StripSuffix(current, "\n"));
  }

  // A database whose newest flush is at the end of the MANIFEST. Its log is not
  // used, as in the index. Returns the MANIFEST's size before that flush.
  size_t MakeWithTwoFlushes() {
    const std::unique_ptr<rocksdb::DB> db = Open();
    EXPECT_NE(db, nullptr);
    rocksdb::WriteOptions options;
    options.disableWAL = true;
    EXPECT_TRUE(db->Put(options, "old", "value").ok());
    EXPECT_TRUE(db->Flush({}).ok());
    const size_t before = std::filesystem::file_size(Manifest());
    EXPECT_TRUE(db->Put(options, "new", "value").ok());
    EXPECT_TRUE(db->Flush({}).ok());
    EXPECT_GT(std::filesystem::file_size(Manifest()), before);
    return before;
  }

  const std::string directory_;
  rocksdb::Status status_;
};

TEST_F(ManifestTailTest, KeepsAllOfOneThatIsWhole) {
  MakeWithTwoFlushes();
  const std::string whole = Read(Manifest());
  EXPECT_EQ(ManifestBytesToKeep(whole), static_cast<int64_t>(whole.size()));
  ASSERT_THAT(CutTornManifest(FileSystem::Real(), directory_), IsOk());
  EXPECT_EQ(Read(Manifest()), whole);
  EXPECT_EQ(ManifestBytesToKeep(""), 0);
}

TEST_F(ManifestTailTest, CutsOffTheRecordsThatArrivedInPart) {
  const size_t before = MakeWithTwoFlushes();
  const std::string whole = Read(Manifest());
  for (size_t lost = before; lost < whole.size(); ++lost) {
    SCOPED_TRACE(lost);
    // The sectors behind `lost` were not written; the size was.
    std::string torn = whole.substr(0, lost);
    torn.resize(whole.size(), '\0');
    if (torn == whole) continue;
    const int64_t keep = ManifestBytesToKeep(torn);
    EXPECT_GE(keep, static_cast<int64_t>(before));
    EXPECT_LE(keep, static_cast<int64_t>(lost));
  }

  // RocksDB refuses one like that, and opens what is kept.
  std::string torn = whole;
  torn[before + 20] = static_cast<char>(~torn[before + 20]);
  Write(Manifest(), torn);
  EXPECT_EQ(Open(), nullptr);
  EXPECT_TRUE(status_.IsCorruption()) << status_.ToString();
  ASSERT_THAT(CutTornManifest(FileSystem::Real(), directory_), IsOk());
  const std::unique_ptr<rocksdb::DB> db = Open();
  ASSERT_NE(db, nullptr) << status_.ToString();
  std::string value;
  EXPECT_TRUE(db->Get({}, "old", &value).ok());
  EXPECT_TRUE(db->Get({}, "new", &value).IsNotFound());
}

TEST_F(ManifestTailTest, LeavesDamageFarFromTheEndToRocksDb) {
  MakeWithTwoFlushes();
  const std::string whole = Read(Manifest());
  std::string damaged = whole;
  damaged[20] = static_cast<char>(~damaged[20]);
  damaged.resize(kManifestTailBytesMax + 1, 'x');
  EXPECT_EQ(ManifestBytesToKeep(damaged), static_cast<int64_t>(damaged.size()));
  // And what ends too soon, which it passes over.
  const std::string cut = whole.substr(0, whole.size() - 3);
  EXPECT_EQ(ManifestBytesToKeep(cut), static_cast<int64_t>(cut.size()));
}

TEST_F(ManifestTailTest, DoesNothingWhereNoIndexIs) {
  EXPECT_THAT(CutTornManifest(FileSystem::Real(), directory_), IsOk());
}

}  // namespace
}  // namespace storage
}  // namespace cairn
