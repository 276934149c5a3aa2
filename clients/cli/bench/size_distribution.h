// How large the files of a benchmark are.

#ifndef CAIRN_CLIENTS_CLI_BENCH_SIZE_DISTRIBUTION_H_
#define CAIRN_CLIENTS_CLI_BENCH_SIZE_DISTRIBUTION_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cairn {
namespace cli {

// The finalizer of SplitMix64: `value` to one that looks random.
uint64_t Mix64(uint64_t value);

// Immutable.
class SizeDistribution {
 public:
  // `4KiB`: all alike. `uniform:1KiB-64KiB`: both inclusive.
  // `lognormal:MEDIAN,SIGMA[,MAX]`: sigma of the natural logarithm, 1 to 2 for
  // collections of real files; MAX is 1 GiB unless given.
  //   INVALID_ARGUMENT  anything else.
  static absl::StatusOr<SizeDistribution> Parse(absl::string_view text);

  // The size of file number `index`: the same for the same seed.
  int64_t SizeOf(uint64_t seed, uint64_t index) const;

  // No file is larger.
  int64_t max_bytes() const { return max_bytes_; }

 private:
  enum class Kind { kFixed, kUniform, kLognormal };

  Kind kind_ = Kind::kFixed;
  int64_t min_bytes_ = 0;
  int64_t max_bytes_ = 0;
  double median_ = 0;
  double sigma_ = 0;
};

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_BENCH_SIZE_DISTRIBUTION_H_
