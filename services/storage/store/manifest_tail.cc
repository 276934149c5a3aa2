#include "services/storage/store/manifest_tail.h"

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/checksum/crc32c.h"

namespace cairn {
namespace storage {
namespace {

constexpr int64_t kBlock = 32 << 10;
constexpr int64_t kHeader = 7;

// Types of records.
constexpr uint8_t kFull = 1;
constexpr uint8_t kFirst = 2;
constexpr uint8_t kLast = 4;

constexpr int64_t kCurrentBytesMax = 4096;
constexpr int64_t kManifestBytesMax = int64_t{1} << 31;

uint32_t Masked(uint32_t crc) {
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8U;
}

uint32_t Fixed32(absl::string_view bytes) {
  const auto at = [&](size_t i) {
    return static_cast<uint32_t>(static_cast<uint8_t>(bytes[i]));
  };
  return at(0) | at(1) << 8 | at(2) << 16 | at(3) << 24;
}

}  // namespace

int64_t ManifestBytesToKeep(absl::string_view manifest) {
  const auto size = static_cast<int64_t>(manifest.size());
  int64_t record = 0;  // Where the one begins that `at` is in.
  int64_t at = 0;
  while (size - at >= kHeader) {
    const int64_t block_end = (at / kBlock + 1) * kBlock;
    if (block_end - at < kHeader) {
      at = block_end;
      continue;
    }
    const absl::string_view bytes = manifest.substr(static_cast<size_t>(at));
    const auto type = static_cast<uint8_t>(bytes[6]);
    const int64_t length =
        static_cast<uint8_t>(bytes[4]) | static_cast<uint8_t>(bytes[5]) << 8;
    const int64_t end = at + kHeader + length;
    if (end > size && end <= block_end) return size;  // Ends too soon.
    if (type == kFull || type == kFirst) record = at;
    if (end > block_end || type < kFull || type > kLast ||
        Fixed32(bytes) !=
            Masked(Crc32c(bytes.substr(6, static_cast<size_t>(length) + 1)))) {
      return size - record > kManifestTailBytesMax ? size : record;
    }
    at = end;
    if (type == kFull || type == kLast) record = at;
  }
  return size;
}

absl::Status CutTornManifest(FileSystem* fs, const std::string& directory) {
  const absl::StatusOr<std::string> current =
      ReadWholeFile(fs, absl::StrCat(directory, "/CURRENT"), kCurrentBytesMax);
  if (absl::IsNotFound(current.status())) return absl::OkStatus();
  CAIRN_RETURN_IF_ERROR(current.status());
  const std::string path = absl::StrCat(
      directory, "/", absl::StripTrailingAsciiWhitespace(*current));
  const absl::StatusOr<std::string> manifest =
      ReadWholeFile(fs, path, kManifestBytesMax);
  // RocksDB says better what is wrong.
  if (!manifest.ok()) return absl::OkStatus();
  const int64_t keep = ManifestBytesToKeep(*manifest);
  if (keep == static_cast<int64_t>(manifest->size())) return absl::OkStatus();
  CAIRN_LOG(kWarning, "store",
            "the end of the index's manifest is torn and is cut off: a flush "
            "was under way when the power was cut path={} bytes={} kept={}",
            path, manifest->size(), keep);
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                         fs->Open(path, OpenMode::kReadWrite));
  CAIRN_RETURN_IF_ERROR(file->Truncate(keep));
  return file->Sync();
}

}  // namespace storage
}  // namespace cairn
