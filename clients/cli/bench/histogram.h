// How long operations took: counts in buckets whose width grows with the value,
// so that any percentile is right to 1.6 percent from nanoseconds to hours, in
// 20 KiB.

#ifndef CAIRN_CLIENTS_CLI_BENCH_HISTOGRAM_H_
#define CAIRN_CLIENTS_CLI_BENCH_HISTOGRAM_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace cairn {
namespace cli {

// Record() may be called from several threads; it costs one uncontended atomic
// addition if they mostly use histograms of their own. The rest belongs to one
// thread, after the last Record().
class Histogram {
 public:
  Histogram() = default;
  Histogram(const Histogram&) = delete;
  Histogram& operator=(const Histogram&) = delete;

  // `nanos` below 0 counts as 0, above 2^43 (two hours) as 2^43.
  void Record(int64_t nanos);

  void Add(const Histogram& other);

  int64_t count() const;

  // The value that `percent` (0..100) of the records do not exceed; 0 without
  // records. At most 1.6 percent above the exact one.
  int64_t Percentile(double percent) const;

  int64_t Max() const { return Percentile(100); }

 private:
  // Values below 2^6 have a bucket each; above, every power of two has 64.
  static constexpr int kSubBits = 6;
  static constexpr int kMaxBits = 43;
  static constexpr size_t kBuckets = size_t{kMaxBits - kSubBits + 2}
                                     << kSubBits;

  static size_t BucketOf(int64_t nanos);
  static int64_t UpperBound(size_t bucket);

  std::array<std::atomic<uint64_t>, kBuckets> counts_{};
};

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_BENCH_HISTOGRAM_H_
