#include "services/storage/store/pieces.h"

#include <algorithm>

namespace cairn {
namespace storage {
namespace {

// Sizes are of one class up to here, and then of one for each `kClassFactor`.
constexpr int64_t kSmallestClassBytes = 4 << 10;
constexpr int64_t kClassFactor = 32;

// Of one class; and of any, which is more than a file that only grows has.
constexpr size_t kMergeMin = 32;
constexpr size_t kMergeAnyMin = 128;

// Neighbours that may become one piece of a class.
struct Run {
  size_t begin = 0;
  size_t of_class = 0;
  int64_t bytes = 0;
  int64_t largest = 0;

  // Up to the last piece of the class: smaller ones behind it go on to grow.
  size_t class_end = 0;
  int64_t class_bytes = 0;

  void Add(size_t index, int64_t length, bool is_of_class) {
    bytes += length;
    largest = std::max(largest, length);
    if (!is_of_class) return;
    ++of_class;
    class_end = index + 1;
    class_bytes = bytes;
  }

  absl::optional<PieceRange> Pick(size_t end) const {
    if (of_class >= kMergeMin && class_bytes >= 2 * largest) {
      return PieceRange{begin, class_end};
    }
    if (end - begin >= kMergeAnyMin && bytes >= 2 * largest) {
      return PieceRange{begin, end};
    }
    return absl::nullopt;
  }
};

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
  int64_t least = 0;
  for (int64_t limit = kSmallestClassBytes;; limit *= kClassFactor) {
    bool larger = false;
    Run run;
    for (size_t i = 0; i <= extents.size(); ++i) {
      const bool ends = i == extents.size() || extents[i].is_hole() ||
                        extents[i].length >= limit;
      if (!ends) {
        run.Add(i, extents[i].length, extents[i].length >= least);
        continue;
      }
      const absl::optional<PieceRange> range = run.Pick(i);
      if (range.has_value()) return range;
      larger = larger || (i < extents.size() && !extents[i].is_hole());
      run = Run();
      run.begin = i + 1;
    }
    if (!larger) return absl::nullopt;
    least = limit;
  }
}

}  // namespace storage
}  // namespace cairn
