// What a segment file is, also if its header block is damaged.

#ifndef CAIRN_SERVICES_STORAGE_STORE_SEGMENT_PROBE_H_
#define CAIRN_SERVICES_STORAGE_STORE_SEGMENT_PROBE_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "lib/io/file_system.h"
#include "services/storage/store/file_record.h"
#include "services/storage/store/segment_set.h"

namespace cairn {
namespace storage {

struct SegmentProbe {
  bool shared = false;          // Else dedicated, or nothing that is known.
  bool header_damaged = false;  // The kind was told by what is behind it.
  int64_t size_bytes = 0;
};

// Looks at the header block of segment `number` and, if that is damaged, at the
// record behind it.
//   FAILED_PRECONDITION  its format version is newer than this program.
//   UNAVAILABLE          the disk refused.
absl::StatusOr<SegmentProbe> ProbeSegment(File* file, uint64_t number);

enum class DedicatedCheck {
  kShape,    // Header, length and trailer.
  kContent,  // The same, and the CRC of all content.
};

// Whether the dedicated segment of `extent`, which may be of a part of it, is
// there and whole.
//   UNAVAILABLE  the disk refused.
absl::StatusOr<bool> DedicatedIsWhole(SegmentSet* segments,
                                      const Extent& extent,
                                      DedicatedCheck check);

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_SEGMENT_PROBE_H_
