// The bytes of a segment: header block, records, trailer. Pure: no I/O, no
// clock; the fuzzer reaches all of it. Layout: docs/formats/segment.md.
//
//   shared     | header block 4 KiB | record | record | …
//   record     | header 36 | meta | block CRCs | content | padding to 8 |
//   dedicated  | header block 4 KiB | content | block CRCs | footer 40 |

#ifndef CAIRN_SERVICES_STORAGE_STORE_SEGMENT_FORMAT_H_
#define CAIRN_SERVICES_STORAGE_STORE_SEGMENT_FORMAT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "lib/base/uuid.h"

namespace cairn {
namespace storage {

inline constexpr int64_t kSegmentHeaderBytes = 4096;
inline constexpr int64_t kRecordHeaderBytes = 36;
inline constexpr int64_t kTrailerFooterBytes = 40;

// Longer ones are damage.
inline constexpr int64_t kRecordMetaBytesMax = 1 << 20;
inline constexpr int64_t kRecordContentBytesMax = 16 << 20;

// A place in the journal, that is, in the shared segments in the order of their
// numbers. Every byte before it comes earlier.
struct JournalPosition {
  uint64_t segment = 0;
  int64_t offset = 0;

  friend bool operator==(const JournalPosition& a, const JournalPosition& b) {
    return a.segment == b.segment && a.offset == b.offset;
  }
  friend bool operator<(const JournalPosition& a, const JournalPosition& b) {
    return a.segment != b.segment ? a.segment < b.segment : a.offset < b.offset;
  }
  friend bool operator<=(const JournalPosition& a, const JournalPosition& b) {
    return !(b < a);
  }

  std::string ToString() const;  // `segment 18 offset 8192`
};

enum class SegmentKind : uint32_t { kShared = 1, kDedicated = 2 };

struct SegmentHeader {
  Uuid incarnation;  // Of the path when the segment was begun.
  uint64_t number = 0;
  SegmentKind kind = SegmentKind::kShared;
};

// kSegmentHeaderBytes bytes.
std::string EncodeSegmentHeader(const SegmentHeader& header);

//   DATA_LOSS            not a header block, or a damaged one.
//   FAILED_PRECONDITION  its format version is newer than this program.
absl::StatusOr<SegmentHeader> DecodeSegmentHeader(absl::string_view block);

enum class RecordType : uint8_t {
  kPut = 1,       // A file with its content; meta is FileChange.
  kFile = 2,      // A file with its content elsewhere; meta is FileChange.
  kDelete = 3,    // A tombstone; meta is FileChange.
  kOpened = 4,    // The path was opened; meta is Opened.
  kCleanEnd = 5,  // The path was closed with everything synced; no meta.
  kSealed = 6,    // The segment ends here and another one follows; no meta.
  kPassed = 7,    // A change of the log that left nothing; meta is FileChange.
  kLogs = 8,      // How far logs are applied; meta is LogPositions.
  kPieces = 9,    // A file whose content is in pieces, of which the record's
                  // own content may be one; meta is FileChange.
};

// Compaction copied the record; it changes nothing but where things are.
inline constexpr uint8_t kRecordMoved = 1;

// What a kFile or kPieces record names in dedicated segments was durable before
// it was written.
inline constexpr uint8_t kRecordContentSynced = 2;

struct RecordHeader {
  RecordType type = RecordType::kPut;
  uint8_t flags = 0;
  uint32_t meta_bytes = 0;
  uint32_t content_bytes = 0;
  uint32_t content_crc = 0;  // CRC-32C of the whole content.

  // Everything in the journal before this was durable when the record was
  // written. What is missing there is damage, not a torn tail.
  JournalPosition synced;
};

// Block CRCs that stand before (record) or behind (dedicated) a content of
// `bytes`: one per kBlockBytes, and none if there is only one block, whose CRC
// is the content's.
int64_t BlockCrcCount(int64_t bytes);

// Bytes of a whole record, padding included.
int64_t RecordBytes(int64_t prefix_bytes, int64_t content_bytes);

// Appends header, meta and block CRCs of the record at `at`; content and
// RecordPadding() zero bytes come next. `header.meta_bytes` must be the size of
// `meta` and `block_crcs` as many as BlockCrcCount() says. Returns the bytes
// appended.
int64_t AppendRecordPrefix(const JournalPosition& at,
                           const RecordHeader& header, absl::string_view meta,
                           absl::Span<const uint32_t> block_crcs,
                           std::string* out);

// Zero bytes behind a record.
absl::string_view RecordPadding(int64_t prefix_bytes, int64_t content_bytes);

// Header, meta and block CRCs together, from the first kRecordHeaderBytes
// bytes of a record, unverified but within the limits.
//   DATA_LOSS  these bytes begin no record.
absl::StatusOr<int64_t> RecordPrefixBytes(absl::string_view header);

struct RecordPrefix {
  RecordHeader header;
  absl::string_view meta;  // Into the bytes that were decoded.
  std::vector<uint32_t> block_crcs;
  int64_t prefix_bytes = 0;
  int64_t record_bytes = 0;  // Padding included.
};

// Decodes and verifies the prefix of the record that is said to be at `at`;
// `prefix` has exactly RecordPrefixBytes() bytes.
//   DATA_LOSS  damaged, or a record of another place.
absl::StatusOr<RecordPrefix> DecodeRecordPrefix(const JournalPosition& at,
                                                absl::string_view prefix);

// Whether `content` is what the CRCs of its record say: the block CRCs, or the
// only CRC if there is one block.
//   DATA_LOSS  names the first block that differs.
absl::Status CheckContent(const RecordPrefix& record,
                          absl::string_view content);

// What stands behind the content of a dedicated segment.
struct Trailer {
  uint64_t number = 0;  // Of the segment.
  int64_t content_bytes = 0;
  uint32_t content_crc = 0;
  std::vector<uint32_t> block_crcs;  // As many as BlockCrcCount().
};

// Bytes of the trailer of a content of `content_bytes`, and of the whole file.
int64_t TrailerBytes(int64_t content_bytes);
int64_t DedicatedFileBytes(int64_t content_bytes);

std::string EncodeTrailer(const Trailer& trailer);

// `bytes` has exactly TrailerBytes() bytes.
//   DATA_LOSS  damaged, or of another segment.
absl::StatusOr<Trailer> DecodeTrailer(uint64_t number, int64_t content_bytes,
                                      absl::string_view bytes);

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_SEGMENT_FORMAT_H_
