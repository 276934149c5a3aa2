#include "services/storage/store/scrub_position.h"

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "lib/checksum/crc32c.h"

namespace cairn {
namespace storage {
namespace {

constexpr int64_t kFileBytesMax = 64 << 10;
constexpr size_t kCrcBytes = 4;

std::string FilePath(const std::string& directory) {
  return absl::StrCat(directory, "/", kScrubFile);
}

std::string CrcOf(absl::string_view position) {
  const uint32_t crc = Crc32c(position);
  std::string bytes;
  for (int shift = 0; shift < 32; shift += 8) {
    bytes.push_back(static_cast<char>(crc >> shift));
  }
  return bytes;
}

}  // namespace

absl::Status WriteScrubPosition(FileSystem* fs, const std::string& directory,
                                absl::string_view position) {
  if (position.empty()) {
    const absl::Status removed = fs->Remove(FilePath(directory));
    return absl::IsNotFound(removed) ? absl::OkStatus() : removed;
  }
  return ReplaceFile(fs, FilePath(directory),
                     absl::StrCat(position, CrcOf(position)));
}

std::string ReadScrubPosition(FileSystem* fs, const std::string& directory) {
  const absl::StatusOr<std::string> bytes =
      ReadWholeFile(fs, FilePath(directory), kFileBytesMax);
  if (!bytes.ok() || bytes->size() <= kCrcBytes) return "";
  const size_t size = bytes->size() - kCrcBytes;
  std::string position = bytes->substr(0, size);
  return CrcOf(position) == bytes->substr(size) ? position : "";
}

}  // namespace storage
}  // namespace cairn
