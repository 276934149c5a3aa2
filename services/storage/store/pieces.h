// How the pieces of a content are exchanged for others: when a part of it is
// written anew, cut off, or when many small pieces become one. Pure.
//
//   before    | a | b | c | d | e |
//   splice        | b   c |               from
//                 | b'| new |             to
//   after     | a | b'| new | d | e |
//
// A splice is made of what a file looked like some time before. It fits as long
// as the pieces it takes out are where they were, whatever else has changed.

#ifndef CAIRN_SERVICES_STORAGE_STORE_PIECES_H_
#define CAIRN_SERVICES_STORAGE_STORE_PIECES_H_

#include <cstddef>
#include <cstdint>

#include "absl/container/inlined_vector.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "services/storage/store/file_record.h"

namespace cairn {
namespace storage {

// Pieces of one file at most; a file that has as many is not changed before
// some of them were merged.
inline constexpr size_t kPiecesMax = 2000;

struct Splice {
  int64_t position = 0;  // In the file, of the first piece of `from`.
  absl::InlinedVector<Extent, 2> from;
  absl::InlinedVector<Extent, 3> to;

  // `from` reaches the end of the file, and `to` goes past it.
  bool at_end = false;

  // What is behind `from` is dropped.
  bool drop_behind = false;
};

// Exchanges the pieces. Returns false, and changes nothing, if it does not fit.
bool ApplySplice(const Splice& splice, absl::InlinedVector<Extent, 1>* extents);

// Cuts the file off at `size_bytes`, if a piece ends there. Returns false, and
// changes nothing, if none does.
bool CutBetweenPieces(int64_t size_bytes,
                      absl::InlinedVector<Extent, 1>* extents);

// Pieces [begin, end) of a file.
struct PieceRange {
  size_t begin = 0;
  size_t end = 0;
};

// Neighbours that should become one piece, or nullopt: at least 32 of about one
// size, of which none is more than half of all. So a byte is copied about once
// for each 32-fold that the file grows, and what stays is fewer than 32 pieces
// for each such step. If changes in the middle left many pieces of many sizes,
// they are neighbours enough at 128.
absl::optional<PieceRange> PickMerge(absl::Span<const Extent> extents);

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_PIECES_H_
