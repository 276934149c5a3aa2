// The content of one file as a program sees it and as the disk has it: what a
// power cut leaves of writes that were not synced.

#ifndef CAIRN_LIB_TESTING_UNSYNCED_CONTENT_H_
#define CAIRN_LIB_TESTING_UNSYNCED_CONTENT_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace cairn {

// Not thread-safe. Pages are written back one by one, in any order and at any
// time, so that after a power cut each page holds what was synced, or what was
// last written, or anything it held in between, or a mixture by sectors. The
// size is written back by itself: pages below it that never were are zeros.
class UnsyncedContent {
 public:
  static constexpr int64_t kPageBytes = 4096;
  static constexpr int64_t kSectorBytes = 512;

  explicit UnsyncedContent(uint64_t seed) : rng_(seed) {}

  int64_t size() const { return static_cast<int64_t>(seen_.size()); }

  // Bytes read: fewer than `size` only at the end.
  size_t Read(int64_t offset, void* buffer, size_t size) const;

  void Write(int64_t offset, absl::string_view data);
  void Truncate(int64_t size);

  // fdatasync.
  void Sync();

  // An fdatasync that fails, as on Linux: any of the pages may have been
  // written, and all are clean now, so that they still read back and no later
  // sync writes them.
  void FailSync();

  // The power is cut; what is seen from now on is what was on the disk.
  void Crash();

  // Changes the disk itself, behind everybody's back.
  void FlipBit(int64_t offset, int bit);
  void TruncateOnDisk(int64_t size);

 private:
  enum class Fate { kLost, kKept, kRandom };

  // What a page holds in `bytes`, padded with zeros.
  static std::string PageOf(const std::string& bytes, int64_t page);
  static void SetPage(int64_t page, absl::string_view content,
                      std::string* bytes);

  // Pages that [offset, offset + size) touches are about to change.
  void MarkDirty(int64_t offset, int64_t size);
  std::string WrittenBack(int64_t page, const std::vector<std::string>& older,
                          Fate fate);
  uint64_t Pick(uint64_t n) { return rng_() % n; }

  std::mt19937_64 rng_;
  std::string seen_;
  std::string disk_;

  // Pages that differ from the disk, with some of what they held since the last
  // sync; and the sizes that the file had since then.
  std::map<int64_t, std::vector<std::string>> dirty_;
  std::vector<int64_t> unsynced_sizes_;
};

}  // namespace cairn

#endif  // CAIRN_LIB_TESTING_UNSYNCED_CONTENT_H_
