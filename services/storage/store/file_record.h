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
#include "absl/types/span.h"
#include "cairn/disk/v1/index.pb.h"
#include "cairn/disk/v1/segment.pb.h"
#include "services/storage/core/store_path.h"
#include "services/storage/store/extent.h"
#include "services/storage/store/segment_format.h"

namespace cairn {
namespace storage {

// A file, or the tombstone of one. The name is the key and not in here.
struct FileRecord {
  int64_t size_bytes = 0;
  uint32_t crc32c = 0;
  FileKind kind = FileKind::kNormal;
  int64_t create_unix_seconds = 0;
  Version version;
  uint32_t origin_node = 0;
  bool deleted = false;
  uint32_t life = 0;                // As FileInfo::life.
  int64_t expire_unix_seconds = 0;  // As in FileInfo.
  std::string attributes;           // As FileInfo::attributes.

  // As in FileInfo. A tombstone that has one keeps all that was known of the
  // file, its content among it, unless that is `content_missing`; any other has
  // neither extents, attributes nor an expiry.
  int64_t undelete_until_unix_seconds = 0;

  // As FileInfo::grown_since.
  Version grown_since;

  // As FileInfo::sealed_from and sealed_as. While a tombstone with `sealed_as`
  // is there, records of its name may hold pieces of that file.
  std::string sealed_from;
  std::string sealed_as;

  // As FileInfo::copied_from.
  std::string copied_from;

  // As FileInfo::owner. A tombstone has none unless it keeps the content.
  std::string owner;

  // As in FileInfo.
  std::string sha256;
  bool deduplicated = false;

  // The content is at other members: no extents.
  bool content_missing = false;

  // The change that made the record: short id of its log, and its number
  // there. 0 if that is not known.
  uint32_t log_origin = 0;
  uint64_t log_sequence = 0;

  // Segments besides that of `record` that may hold older records of the name.
  // Those that hold pieces of the content are among them.
  absl::InlinedVector<uint64_t, 1> shadowed_segments;

  // The newest record of the name in the journal. None, all 0, of the tombstone
  // of an appender that was sealed: it follows from every record of the file
  // with that `sealed_from`.
  JournalPosition record;
  int64_t record_prefix_bytes = 0;

  int64_t record_content_bytes = 0;

  // The content is all of that record's. Then `extents` has one extent (or
  // none, if the file is empty) that follows from it.
  bool content_inline = false;

  // The content, in order.
  absl::InlinedVector<Extent, 1> extents;

  // Bytes of the newest record, padding included.
  int64_t record_bytes() const {
    return has_record() ? RecordBytes(record_prefix_bytes, record_content_bytes)
                        : 0;
  }
  bool has_record() const { return record.segment != 0; }

  // A tombstone from which the file can be brought back.
  bool keeps_content() const {
    return deleted && undelete_until_unix_seconds != 0 && !content_missing;
  }

  // The file is there and its content is not: it is fetched. Nobody needs that
  // of a deleted one.
  bool needs_content() const { return content_missing && !deleted; }

  // The content can be read here, of a file that is deleted, too.
  bool has_content() const {
    return !content_missing && (!deleted || undelete_until_unix_seconds != 0);
  }

  // Makes a tombstone one that keeps nothing; until `undelete_until` others may
  // have the content.
  void GiveUpContent(int64_t undelete_until);

  // Whether the record at `at` is the newest of the name or holds a piece of
  // the content.
  bool NeedsRecord(const JournalPosition& at) const;

  // The dedicated segment that is all of the content; null if it is anything
  // else, or not here.
  const Extent* OwnSegment() const;

  // Of each record but the newest, and of each dedicated segment, that holds a
  // piece of the content, one extent.
  absl::InlinedVector<Extent, 1> Holders() const;

  FileInfo ToFileInfo(absl::string_view name) const;

  // Every field of `info`.
  void FillFileInfo(absl::string_view name, FileInfo* info) const;
};

// The record that `change` makes, found at `at` with this header. Whoever knows
// what `change.runs()` lists saves decoding it with `runs`; those of the record
// itself may be OwnExtent()s there.
//   DATA_LOSS  the change is none that this program writes.
absl::StatusOr<FileRecord> FileRecordFromChange(
    const disk::v1::FileChange& change, const RecordHeader& header,
    const JournalPosition& at, int64_t prefix_bytes,
    absl::Span<const Extent> runs = {});

// What a record of kPieces says of a file besides its name, `extents` among it:
// the version and its place in the log, too, so that a copy needs no more.
void FillPieces(const FileRecord& record, disk::v1::FileChange* change);

void EncodeState(const FileState& state, disk::v1::FileState* to);
FileState DecodeState(const disk::v1::FileState& state);

// The change is of a file whose content is not here (any more).
void SetContentMissing(disk::v1::FileChange* change);

// Overwrites `entry`.
void EncodeFileEntry(const FileRecord& record, disk::v1::FileEntry* entry);

//   DATA_LOSS  the entry is none that this program writes.
absl::StatusOr<FileRecord> DecodeFileEntry(const disk::v1::FileEntry& entry);

// The change of `name` that the entry is about; one of an earlier version says
// less of it.
disk::v1::FileChange DecodeSetAside(absl::string_view name,
                                    const disk::v1::SetAsideEntry& entry);

// Parses, then decodes.
absl::StatusOr<FileRecord> ParseFileEntry(absl::string_view value);

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_FILE_RECORD_H_
