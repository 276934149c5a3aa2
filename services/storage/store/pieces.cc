#include "services/storage/store/pieces.h"

#include <algorithm>

namespace cairn {
namespace storage {
namespace {

constexpr size_t kMergeMin = 8;
constexpr int64_t kSmallestClassBytes = 4 << 10;
constexpr int64_t kClassFactor = 8;

}  // namespace

bool ApplySplice(const Splice& splice,
                 absl::InlinedVector<Extent, 1>* extents) {
  size_t first = 0;
  int64_t at = 0;
  while (first < extents->size() && at < splice.position) {
    at += (*extents)[first].length;
    ++first;
  }
  const size_t count = splice.from.size();
  if (at != splice.position || extents->size() - first < count ||
      !std::equal(splice.from.begin(), splice.from.end(),
                  extents->begin() + static_cast<std::ptrdiff_t>(first))) {
    return false;
  }
  if (splice.at_end && first + count != extents->size()) return false;
  absl::InlinedVector<Extent, 1> after(
      extents->begin(), extents->begin() + static_cast<std::ptrdiff_t>(first));
  after.insert(after.end(), splice.to.begin(), splice.to.end());
  if (!splice.drop_behind) {
    after.insert(after.end(),
                 extents->begin() + static_cast<std::ptrdiff_t>(first + count),
                 extents->end());
  }
  extents->swap(after);
  return true;
}

bool CutBetweenPieces(int64_t size_bytes,
                      absl::InlinedVector<Extent, 1>* extents) {
  int64_t at = 0;
  size_t kept = 0;
  while (kept < extents->size() && at < size_bytes) {
    at += (*extents)[kept].length;
    ++kept;
  }
  if (at != size_bytes) return false;
  extents->resize(kept);
  return true;
}

absl::optional<PieceRange> PickMerge(absl::Span<const Extent> extents) {
  if (extents.size() < kMergeMin) return absl::nullopt;
  // The smallest first: they are merged most cheaply.
  for (int64_t limit = kSmallestClassBytes;; limit *= kClassFactor) {
    bool larger = false;
    PieceRange range;
    int64_t sum = 0;
    int64_t largest = 0;
    for (size_t i = 0; i < extents.size(); ++i) {
      const Extent& extent = extents[i];
      const bool large = extent.length >= limit;
      larger = larger || (large && !extent.is_hole());
      if (large || extent.is_hole()) {
        range.begin = i + 1;
        sum = 0;
        largest = 0;
        continue;
      }
      range.end = i + 1;
      sum += extent.length;
      largest = std::max(largest, extent.length);
      const bool ends = range.end == extents.size() ||
                        extents[range.end].length >= limit ||
                        extents[range.end].is_hole();
      if (ends && range.end - range.begin >= kMergeMin && sum >= 2 * largest) {
        return range;
      }
    }
    if (!larger) return absl::nullopt;
  }
}

}  // namespace storage
}  // namespace cairn
