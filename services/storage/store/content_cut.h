// The part of a change of a file's content that has to read the file: where a
// change begins or ends inside a piece, the blocks that it cuts are written
// anew.
//
//   piece     | block | block | block |
//   modified          . xxxxxxxxx .
//   after     | block | new content   |      bytes that stay are copied
//                     ^ from the disk

#ifndef CAIRN_SERVICES_STORAGE_STORE_CONTENT_CUT_H_
#define CAIRN_SERVICES_STORAGE_STORE_CONTENT_CUT_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/cord.h"
#include "absl/types/optional.h"
#include "services/storage/store/open_file.h"
#include "services/storage/store/pieces.h"

namespace cairn {
namespace storage {

struct ContentCut {
  Splice splice;

  // What is written anew, an own extent of `splice.to`. May be empty.
  absl::Cord content;
  uint32_t crc32c = 0;
};

// How to put `data`, at least 1 byte, in place of what is at `offset`, past the
// end as well. nullopt if `offset` is not inside the file: nothing is cut.
// Blocks. Errors as of OpenFile::Read().
absl::StatusOr<absl::optional<ContentCut>> CutForModify(SegmentOpenFile* file,
                                                        int64_t offset,
                                                        const absl::Cord& data);

// How to cut the file off at `size_bytes`. nullopt if that is not inside a
// piece. Blocks. Errors as of OpenFile::Read().
absl::StatusOr<absl::optional<ContentCut>> CutForTruncate(SegmentOpenFile* file,
                                                          int64_t size_bytes);

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_CONTENT_CUT_H_
