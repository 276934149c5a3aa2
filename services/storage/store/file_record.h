// What the engine knows of one name, and its forms on disk: the meta of a
// journal record and the value in the index.

#ifndef CAIRN_SERVICES_STORAGE_STORE_FILE_RECORD_H_
#define CAIRN_SERVICES_STORAGE_STORE_FILE_RECORD_H_

#include <cstdint>
#include <string>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cairn/disk/v1/index.pb.h"
#include "cairn/disk/v1/segment.pb.h"
#include "services/storage/core/store_path.h"
#include "services/storage/store/segment_format.h"

namespace cairn {
namespace storage {

// No file is larger; the same limit as in file IDs.
inline constexpr int64_t kFileBytesMax = (int64_t{1} << 56) - 1;

// A run of content in a segment. Never empty.
struct Extent {
  uint64_t segment = 0;
  int64_t offset = 0;
  int64_t length = 0;
  uint32_t crc32c = 0;

  friend bool operator==(const Extent& a, const Extent& b) {
    return a.segment == b.segment && a.offset == b.offset &&
           a.length == b.length && a.crc32c == b.crc32c;
  }
};

// A file, or the tombstone of one. The name is the key and not in here.
struct FileRecord {
  int64_t size_bytes = 0;
  uint32_t crc32c = 0;
  FileKind kind = FileKind::kNormal;
  int64_t create_unix_seconds = 0;
  Version version;
  uint32_t origin_node = 0;
  bool deleted = false;
  std::string attributes;  // As FileInfo::attributes.

  // The content is at other members: no extents.
  bool content_missing = false;

  // The change that made the record: short id of its log, and its number
  // there. 0 if that is not known.
  uint32_t log_origin = 0;
  uint64_t log_sequence = 0;

  // Segments besides that of `record` that may hold older records of the name.
  absl::InlinedVector<uint64_t, 1> shadowed_segments;

  // The newest record of the name in the journal.
  JournalPosition record;
  int64_t record_prefix_bytes = 0;

  // The content is in that record. Then `extents` has one extent (or none, if
  // the file is empty) that follows from it.
  bool content_inline = false;

  absl::InlinedVector<Extent, 1> extents;

  // Bytes of the newest record, padding included.
  int64_t record_bytes() const {
    return RecordBytes(record_prefix_bytes, content_inline ? size_bytes : 0);
  }

  FileInfo ToFileInfo(absl::string_view name) const;
};

// The record that `change` makes, found at `at` with this header.
//   DATA_LOSS  the change is none that this program writes.
absl::StatusOr<FileRecord> FileRecordFromChange(
    const disk::v1::FileChange& change, const RecordHeader& header,
    const JournalPosition& at, int64_t prefix_bytes);

// Overwrites `entry`.
void EncodeFileEntry(const FileRecord& record, disk::v1::FileEntry* entry);

//   DATA_LOSS  the entry is none that this program writes.
absl::StatusOr<FileRecord> DecodeFileEntry(const disk::v1::FileEntry& entry);

// Parses, then decodes.
absl::StatusOr<FileRecord> ParseFileEntry(absl::string_view value);

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_FILE_RECORD_H_
