// The list of what was stored: one line for each file.
//
//   # cairn manifest 1
//   group1/M00/3F/A2/...jpg <TAB> 81920 <TAB> 8af3c41b <TAB> photos/a.jpg
//
// ID, size in bytes, CRC-32C in hexadecimal, path. In the path, tab, line feed
// and backslash are written \t, \n and \\. A last line without its line feed
// was cut off by a crash and does not count. See docs/cli.md.

#ifndef CAIRN_CLIENTS_CLI_MANIFEST_H_
#define CAIRN_CLIENTS_CLI_MANIFEST_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "clients/cli/durable_lines.h"
#include "lib/io/file_system.h"

namespace cairn {
namespace cli {

struct ManifestEntry {
  std::string file_id;
  int64_t size_bytes = 0;
  uint32_t crc32c = 0;
  std::string path;  // As it was stored; not to be trusted, see SafePath().

  friend bool operator==(const ManifestEntry& a, const ManifestEntry& b) {
    return a.file_id == b.file_id && a.size_bytes == b.size_bytes &&
           a.crc32c == b.crc32c && a.path == b.path;
  }
};

// Not thread-safe.
class ManifestWriter {
 public:
  // Opens `path` for more entries, or creates it. A line that a crash cut off
  // is removed first.
  //   INVALID_ARGUMENT  the file is there and no manifest; it is not touched.
  static absl::StatusOr<std::unique_ptr<ManifestWriter>> Open(
      FileSystem* fs, absl::string_view path);

  // Adds an entry; Sync() writes it.
  void Add(const ManifestEntry& entry);

  // Returns when all that was added is on the disk.
  absl::Status Sync() { return lines_.Sync(); }

 private:
  ManifestWriter(std::unique_ptr<File> file, int64_t size)
      : lines_(std::move(file), size) {}

  DurableLines lines_;
};

// Reads a whole manifest.
//   NOT_FOUND         no such file.
//   INVALID_ARGUMENT  not a manifest; the message names the line.
absl::StatusOr<std::vector<ManifestEntry>> ReadManifest(FileSystem* fs,
                                                        absl::string_view path);

// `path` made safe to create below a folder: without leading slashes, `.`, and
// without anything up to its last `..`, as tar does it. Empty if nothing is
// left.
std::string SafePath(absl::string_view path);

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_MANIFEST_H_
