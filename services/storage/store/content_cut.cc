#include "services/storage/store/content_cut.h"

#include <algorithm>
#include <utility>

#include "lib/base/status_macros.h"
#include "lib/checksum/crc32c.h"
#include "services/storage/core/store_path.h"

namespace cairn {
namespace storage {
namespace {

// The piece of the file that has the byte at `offset`, and where it begins.
size_t PieceAt(const SegmentOpenFile& file, int64_t offset, int64_t* begin) {
  size_t i = 0;
  *begin = 0;
  while (offset >= *begin + file.extent(i).length) {
    *begin += file.extent(i).length;
    ++i;
  }
  return i;
}

// Bytes of the piece up to `cut` that need not be written anew.
int64_t WholeBefore(const Extent& extent, int64_t cut) {
  if (extent.is_hole() || cut == extent.length) return cut;
  return cut / kBlockBytes * kBlockBytes;
}

// Where in the piece the first byte is, not before `cut`, from which on nothing
// need be written anew.
int64_t WholeFrom(const Extent& extent, int64_t cut) {
  if (extent.is_hole()) return cut;
  return std::min(extent.length,
                  (cut + kBlockBytes - 1) / kBlockBytes * kBlockBytes);
}

// Puts `cut->content` behind what is in `cut->splice.to`.
void AddOwn(ContentCut* cut) {
  if (cut->content.empty()) return;
  const auto bytes = static_cast<int64_t>(cut->content.size());
  cut->crc32c = Crc32c(cut->content);
  cut->splice.to.push_back(OwnExtent(0, bytes, cut->crc32c, bytes));
}

// Puts what stays before `cut_at`, in piece `i` that begins at `begin`, into
// the splice: as a part of the piece, and in the new content.
absl::Status KeepBefore(SegmentOpenFile* file, size_t i, int64_t begin,
                        int64_t cut_at, ContentCut* cut) {
  const int64_t kept = WholeBefore(file->extent(i), cut_at - begin);
  if (kept > 0) {
    CAIRN_ASSIGN_OR_RETURN(const Extent part, file->Part(i, 0, kept));
    cut->splice.to.push_back(part);
  }
  if (begin + kept == cut_at) return absl::OkStatus();
  CAIRN_ASSIGN_OR_RETURN(cut->content,
                         file->Read(begin + kept, cut_at - begin - kept));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<absl::optional<ContentCut>> CutForModify(
    SegmentOpenFile* file, int64_t offset, const absl::Cord& data) {
  const int64_t size = file->info().size_bytes;
  if (offset >= size || data.empty()) return absl::optional<ContentCut>();
  const int64_t end = offset + static_cast<int64_t>(data.size());
  ContentCut cut;
  int64_t first_begin = 0;
  const size_t first = PieceAt(*file, offset, &first_begin);
  int64_t last_begin = 0;
  const size_t last = PieceAt(*file, std::min(end, size) - 1, &last_begin);
  cut.splice.position = first_begin;
  for (size_t i = first; i <= last; ++i) {
    cut.splice.from.push_back(file->extent(i));
  }
  cut.splice.at_end = end > size;

  CAIRN_RETURN_IF_ERROR(KeepBefore(file, first, first_begin, offset, &cut));
  cut.content.Append(data);
  const Extent& last_extent = file->extent(last);
  int64_t kept_from = last_extent.length;
  if (end < last_begin + last_extent.length) {
    kept_from = WholeFrom(last_extent, end - last_begin);
    if (last_begin + kept_from > end) {
      CAIRN_ASSIGN_OR_RETURN(absl::Cord behind,
                             file->Read(end, last_begin + kept_from - end));
      cut.content.Append(std::move(behind));
    }
  }
  AddOwn(&cut);
  if (kept_from < last_extent.length) {
    CAIRN_ASSIGN_OR_RETURN(const Extent part,
                           file->Part(last, kept_from, last_extent.length));
    cut.splice.to.push_back(part);
  }
  return absl::optional<ContentCut>(std::move(cut));
}

absl::StatusOr<absl::optional<ContentCut>> CutForTruncate(SegmentOpenFile* file,
                                                          int64_t size_bytes) {
  if (size_bytes <= 0 || size_bytes >= file->info().size_bytes) {
    return absl::optional<ContentCut>();
  }
  ContentCut cut;
  const size_t i = PieceAt(*file, size_bytes, &cut.splice.position);
  if (cut.splice.position == size_bytes) return absl::optional<ContentCut>();
  cut.splice.from.push_back(file->extent(i));
  cut.splice.drop_behind = true;
  CAIRN_RETURN_IF_ERROR(
      KeepBefore(file, i, cut.splice.position, size_bytes, &cut));
  AddOwn(&cut);
  return absl::optional<ContentCut>(std::move(cut));
}

}  // namespace storage
}  // namespace cairn
