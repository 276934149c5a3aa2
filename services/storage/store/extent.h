// Runs of bytes in segments, of which contents consist, and the list of those
// of one content as bytes. Pure; the fuzzer reaches all of it.

#ifndef CAIRN_SERVICES_STORAGE_STORE_EXTENT_H_
#define CAIRN_SERVICES_STORAGE_STORE_EXTENT_H_

#include <cstdint>
#include <string>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "services/storage/store/segment_format.h"

namespace cairn {
namespace storage {

// No file is larger; the same limit as in file IDs.
inline constexpr int64_t kFileBytesMax = (int64_t{1} << 56) - 1;

// Extent::record_offset of a run that is from a record about to be written.
inline constexpr int64_t kOwnRecord = -1;

// A run of content. Never empty. It is from the content of a record or of a
// dedicated segment, and all of it or whole blocks of it:
//
//   | record prefix | block | block | block | bl |      one content
//   ^ record_offset ^ content_offset ^ offset    ^ offset + length
//
// or there is no segment, and it is of zero bytes.
struct Extent {
  uint64_t segment = 0;
  int64_t offset = 0;
  int64_t length = 0;
  uint32_t crc32c = 0;        // Of the run.
  int64_t record_offset = 0;  // 0: it is in a dedicated segment, or in none.
  int64_t content_offset = 0;
  int64_t content_bytes = 0;

  bool is_hole() const { return segment == 0 && record_offset == 0; }
  bool in_record() const { return record_offset != 0; }
  bool is_whole() const { return length == content_bytes; }

  // Bytes of the record that holds it, padding included.
  int64_t record_bytes() const {
    return RecordBytes(content_offset - record_offset, content_bytes);
  }

  friend bool operator==(const Extent& a, const Extent& b) {
    return a.segment == b.segment && a.offset == b.offset &&
           a.length == b.length && a.crc32c == b.crc32c;
  }
};

// All of the content of a dedicated segment.
Extent DedicatedExtent(uint64_t segment, int64_t bytes, uint32_t crc32c);

// All of the content of a record that is about to be written, or whole blocks
// of it from `offset` on.
Extent OwnExtent(int64_t offset, int64_t length, uint32_t crc32c,
                 int64_t content_bytes);

// `length` zero bytes.
Extent ZeroExtent(int64_t length);

// Of `extents`, in order; of all of them that is the CRC-32C of the file.
uint32_t CrcOf(absl::Span<const Extent> extents);

// Whether a run is one that a reader can check: all of a content, or whole
// blocks of it.
bool IsSound(const Extent& extent);

// What a list says of its own runs follows from the record that it is in.
struct OwnContent {
  JournalPosition record;
  int64_t prefix_bytes = 0;  // Of the record, before the content.
  int64_t content_bytes = 0;
};

// Bytes [offset, offset + length) of a record's own content.
Extent ExtentOf(const OwnContent& own, int64_t offset, int64_t length,
                uint32_t crc32c);

// The list as bytes, docs/formats/segment.md. Overwrites `bytes`.
void EncodeRuns(absl::Span<const Extent> extents, std::string* bytes);

// Overwrites `extents`. All that come back are sound.
//   DATA_LOSS  the bytes are none that EncodeRuns() made.
absl::Status DecodeRuns(absl::string_view bytes, const OwnContent& own,
                        absl::InlinedVector<Extent, 1>* extents);

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_EXTENT_H_
