#include "clients/cli/bench/histogram.h"

#include <algorithm>
#include <cmath>

#include "absl/numeric/bits.h"

namespace cairn {
namespace cli {

// A value v of b bits (b > 6) is in the row b - 6, at the 64th that its six
// bits below the highest one name. Row 0 are the values below 64 themselves.
size_t Histogram::BucketOf(int64_t nanos) {
  const auto value = static_cast<uint64_t>(
      std::clamp<int64_t>(nanos, 0, int64_t{1} << kMaxBits));
  const int bits = 64 - absl::countl_zero(value);
  if (bits <= kSubBits) return value;
  const int shift = bits - kSubBits - 1;
  const size_t row = static_cast<size_t>(shift) + 1;
  return (row << kSubBits) + ((value >> shift) & ((1 << kSubBits) - 1));
}

int64_t Histogram::UpperBound(size_t bucket) {
  const size_t row = bucket >> kSubBits;
  const auto sub = static_cast<int64_t>(bucket & ((1 << kSubBits) - 1));
  if (row == 0) return sub;
  const size_t shift = row - 1;
  return ((((int64_t{1} << kSubBits) + sub + 1) << shift)) - 1;
}

void Histogram::Record(int64_t nanos) {
  counts_[BucketOf(nanos)].fetch_add(1, std::memory_order_relaxed);
}

void Histogram::Add(const Histogram& other) {
  for (size_t i = 0; i < kBuckets; ++i) {
    counts_[i] += other.counts_[i].load(std::memory_order_relaxed);
  }
}

int64_t Histogram::count() const {
  uint64_t count = 0;
  for (const auto& bucket : counts_) count += bucket;
  return static_cast<int64_t>(count);
}

int64_t Histogram::Percentile(double percent) const {
  const int64_t all = count();
  if (all == 0) return 0;
  const auto rank = std::max<int64_t>(
      1, static_cast<int64_t>(
             std::ceil(percent / 100 * static_cast<double>(all))));
  int64_t seen = 0;
  for (size_t i = 0; i < kBuckets; ++i) {
    seen += static_cast<int64_t>(counts_[i].load());
    if (seen >= rank) return UpperBound(i);
  }
  return UpperBound(kBuckets - 1);
}

}  // namespace cli
}  // namespace cairn
