// The end of RocksDB's MANIFEST after a power cut.
//
// RocksDB writes what a flush did to its MANIFEST and syncs it before anything
// relies on it. A power cut in between may leave the sectors of that write in
// part, and RocksDB takes a record whose checksum does not match for damage and
// does not open. Nothing relies on what was not synced: it is cut off.

#ifndef CAIRN_SERVICES_STORAGE_STORE_MANIFEST_TAIL_H_
#define CAIRN_SERVICES_STORAGE_STORE_MANIFEST_TAIL_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "lib/io/file_system.h"

namespace cairn {
namespace storage {

// More than what a flush of all column families adds. What is wrong farther
// from the end is no torn write, and RocksDB says so.
inline constexpr int64_t kManifestTailBytesMax = 64 << 10;

// How many bytes of a MANIFEST to keep: all, or those before a record that is
// not what it says, if that is near the end. A record that merely ends too soon
// is left to RocksDB, which passes over it. Pure. The format is that of
// RocksDB's logs: blocks of 32 KiB of records, each with a masked CRC-32C (4
// bytes), a length (2) and a type (1).
int64_t ManifestBytesToKeep(absl::string_view manifest);

// Cuts the MANIFEST that `directory`/CURRENT names, durably. Nothing if there
// is none. To be called before RocksDB opens the directory.
absl::Status CutTornManifest(FileSystem* fs, const std::string& directory);

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_MANIFEST_TAIL_H_
