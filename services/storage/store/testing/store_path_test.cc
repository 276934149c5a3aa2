#include "services/storage/store/testing/store_path_test.h"

#include <cstdint>

#include "lib/base/check.h"
#include "lib/base/log.h"
#include "lib/base/uuid.h"
#include "lib/io/fault_rules.h"
#include "lib/io/file_system.h"

namespace cairn {
namespace storage {

DiskImage TakeImage(CrashableFileSystem* fs) {
  DiskImage image;
  for (const std::string& path : fs->FilesUnder("/")) {
    absl::StatusOr<std::string> content =
        ReadWholeFile(fs, path, int64_t{1} << 30);
    CAIRN_CHECK_OK(content.status());
    image[path] = *std::move(content);
  }
  return image;
}

std::unique_ptr<CrashableFileSystem> MakeDisk(const DiskImage& image) {
  auto fs = std::make_unique<CrashableFileSystem>(1);
  for (const auto& [path, content] : image) {
    CAIRN_CHECK_OK(
        CreateDirectories(fs.get(), path.substr(0, path.rfind('/'))));
    CAIRN_CHECK_OK(ReplaceFile(fs.get(), path, content));
  }
  return fs;
}

StorePathTest::StorePathTest() {
  // What goes wrong here is meant to.
  SetLogLevel(LogLevel::kError);
  options_.directory = "/disk";
  options_.cluster_id = Uuid::Random();
  options_.node_uuid = Uuid::Random();
  options_.group = "group1";
  options_.node_number = 3;
  options_.segment_bytes = int64_t{1} << 20;
  options_.checkpoint_journal_bytes = int64_t{1} << 20;
  options_.memtable_bytes = int64_t{1} << 20;
  options_.block_cache_bytes = int64_t{1} << 20;
  options_.ballast_bytes = 256 << 10;
  options_.compaction_dead_share = 2;
  options_.boot_id = "boot-1";
}

void StorePathTest::Open() {
  auto opened = OpenStorePath(options_, &fs_, &clock_);
  ASSERT_THAT(opened, IsOk());
  engine_ = *std::move(opened);
}

void StorePathTest::Reopen() {
  engine_.reset();
  Open();
}

void StorePathTest::Fail(absl::string_view rule) {
  const absl::StatusOr<FaultRule> parsed = ParseFaultRule(rule);
  CAIRN_CHECK_OK(parsed.status());
  fs_.faults().Add(*parsed);
}

}  // namespace storage
}  // namespace cairn
