#include "services/storage/store/pieces.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>

#include "absl/container/inlined_vector.h"
#include "absl/types/optional.h"
#include "gtest/gtest.h"
#include "lib/testing/seed_run.h"
#include "services/storage/store/file_record.h"

namespace cairn {
namespace storage {
namespace {

// A file whose pieces are merged as soon as they can be.
class MergedFile {
 public:
  void Append(int64_t bytes) {
    extents_.push_back(NewPiece(bytes));
    size_ += bytes;
    Merge();
  }

  // Writes a piece anew in two parts: what a change in its middle does.
  void Split(size_t index) {
    const int64_t bytes = extents_[index].length;
    if (bytes < 2) return;
    extents_[index] = NewPiece(bytes / 2);
    extents_.insert(extents_.begin() + static_cast<std::ptrdiff_t>(index),
                    NewPiece(bytes - bytes / 2));
    Merge();
  }

  void ExpectWhole() const {
    int64_t sum = 0;
    for (const Extent& extent : extents_) sum += extent.length;
    EXPECT_EQ(sum, size_);
  }

  size_t pieces() const { return extents_.size(); }
  size_t most_pieces() const { return most_pieces_; }
  int64_t size_bytes() const { return size_; }
  int64_t copied_bytes() const { return copied_; }

 private:
  Extent NewPiece(int64_t bytes) {
    return DedicatedExtent(++segment_, bytes, /*crc32c=*/0);
  }

  void Merge() {
    most_pieces_ = std::max(most_pieces_, extents_.size());
    while (const absl::optional<PieceRange> range = PickMerge(extents_)) {
      ASSERT_LT(range->begin, range->end);
      ASSERT_LE(range->end, extents_.size());
      Splice splice;
      for (size_t i = 0; i < range->begin; ++i) {
        splice.position += extents_[i].length;
      }
      int64_t bytes = 0;
      for (size_t i = range->begin; i < range->end; ++i) {
        bytes += extents_[i].length;
        splice.from.push_back(extents_[i]);
      }
      splice.to.push_back(NewPiece(bytes));
      ASSERT_TRUE(ApplySplice(splice, &extents_));
      copied_ += bytes;
    }
  }

  absl::InlinedVector<Extent, 1> extents_;
  uint64_t segment_ = 0;
  int64_t size_ = 0;
  int64_t copied_ = 0;
  size_t most_pieces_ = 0;
};

TEST(PiecesTest, AFileThatOnlyGrowsIsCopiedOnceForEachStep) {
  MergedFile file;
  for (int i = 0; i < 100000; ++i) file.Append(1 << 10);
  file.ExpectWhole();
  // 1 KiB to 32 KiB, to 1 MiB, to 32 MiB.
  EXPECT_LE(file.copied_bytes(), 3 * file.size_bytes());
  EXPECT_GE(file.copied_bytes(), 2 * file.size_bytes());
  EXPECT_LT(file.most_pieces(), 100u);
}

TEST(PiecesTest, ATailOfSmallPiecesDoesNotDrawLargeOnesIn) {
  MergedFile file;
  for (int i = 0; i < 100; ++i) file.Append(4 << 10);
  const int64_t before = file.copied_bytes();
  EXPECT_EQ(before, 3 * 32 * (4 << 10));
  // Three of 128 KiB and four of 4 KiB; 27 more of them are no reason yet.
  for (int i = 0; i < 27; ++i) file.Append(4 << 10);
  EXPECT_EQ(file.copied_bytes(), before);
  EXPECT_EQ(file.pieces(), 3u + 31u);
  file.Append(4 << 10);
  EXPECT_EQ(file.copied_bytes(), before + 32 * (4 << 10));
  EXPECT_EQ(file.pieces(), 4u);
}

// Whatever the sizes and wherever it is changed, there are never many pieces,
// and a byte is not copied often.
TEST(PiecesTest, AnyFileHasFewPieces) {
  SeedRun run(/*first_seed=*/1, /*rounds=*/20);
  while (run.Next()) {
    SCOPED_TRACE(run.Description());
    std::mt19937_64 random(run.seed());
    MergedFile file;
    int64_t written = 0;
    for (int i = 0; i < 5000; ++i) {
      if (file.pieces() > 0 && random() % 3 == 0) {
        const size_t index = random() % file.pieces();
        file.Split(index);
        continue;
      }
      const auto bytes = static_cast<int64_t>(
          1 + (random() % (uint64_t{1} << (random() % 20))));
      file.Append(bytes);
      written += bytes;
    }
    file.ExpectWhole();
    EXPECT_EQ(file.size_bytes(), written);
    EXPECT_LT(file.most_pieces(), 400u);
    if (HasFailure()) return;
  }
}

TEST(PiecesTest, ZerosAreNotMerged) {
  absl::InlinedVector<Extent, 1> extents;
  for (uint64_t i = 1; i <= 31; ++i) {
    extents.push_back(DedicatedExtent(i, 1000, /*crc32c=*/0));
  }
  extents.push_back(ZeroExtent(1000));
  extents.push_back(DedicatedExtent(32, 1000, /*crc32c=*/0));
  EXPECT_FALSE(PickMerge(extents).has_value());
  extents.insert(extents.begin(), DedicatedExtent(33, 1000, /*crc32c=*/0));
  const absl::optional<PieceRange> range = PickMerge(extents);
  ASSERT_TRUE(range.has_value());
  EXPECT_EQ(range->begin, 0u);
  EXPECT_EQ(range->end, 32u);
}

}  // namespace
}  // namespace storage
}  // namespace cairn
