// What is in a segment file, for people: `cairn-storage dump-segment FILE`.

#ifndef CAIRN_SERVICES_STORAGE_STORE_SEGMENT_DUMP_H_
#define CAIRN_SERVICES_STORAGE_STORE_SEGMENT_DUMP_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/io/file_system.h"

namespace cairn {
namespace storage {

struct SegmentDumpSummary {
  int64_t records = 0;
  int64_t damaged = 0;  // Places where no whole record was, or a bad trailer.
};

// Calls `line` for the header and for each record of the segment at `path`, in
// order, without line feeds. Changes nothing; the path may be open. All content
// is checked against its CRCs. Records know the number of their segment, so the
// file must have its name, or a whole header block.
//   INVALID_ARGUMENT  neither the name nor the header block tells the number.
//   others            as FileSystem.
absl::StatusOr<SegmentDumpSummary> DumpSegment(
    FileSystem* fs, absl::string_view path,
    const std::function<void(const std::string&)>& line);

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_SEGMENT_DUMP_H_
