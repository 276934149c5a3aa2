#include "clients/cli/bench/size_distribution.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "clients/cli/format.h"
#include "lib/base/status_macros.h"

namespace cairn {
namespace cli {
namespace {

constexpr double kTwoPi = 6.283185307179586;
constexpr int64_t kLognormalMax = int64_t{1} << 30;

// 0 < result <= 1.
double ToUnit(uint64_t random) {
  return (static_cast<double>(random >> 11) + 1) * 0x1.0p-53;
}

}  // namespace

uint64_t Mix64(uint64_t value) {
  value += 0x9e3779b97f4a7c15;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

absl::StatusOr<SizeDistribution> SizeDistribution::Parse(
    absl::string_view text) {
  SizeDistribution sizes;
  absl::string_view rest = text;
  if (absl::ConsumePrefix(&rest, "uniform:")) {
    sizes.kind_ = Kind::kUniform;
    const std::vector<absl::string_view> ends = absl::StrSplit(rest, '-');
    if (ends.size() != 2) {
      return absl::InvalidArgumentError(
          absl::StrCat("--size ", text, ": write uniform:1KiB-64KiB"));
    }
    CAIRN_ASSIGN_OR_RETURN(sizes.min_bytes_, ParseBytes(ends[0]));
    CAIRN_ASSIGN_OR_RETURN(sizes.max_bytes_, ParseBytes(ends[1]));
    if (sizes.max_bytes_ < sizes.min_bytes_) {
      return absl::InvalidArgumentError(
          absl::StrCat("--size ", text, ": the smaller size comes first"));
    }
    return sizes;
  }
  if (absl::ConsumePrefix(&rest, "lognormal:")) {
    sizes.kind_ = Kind::kLognormal;
    const std::vector<absl::string_view> parts = absl::StrSplit(rest, ',');
    if (parts.size() < 2 || parts.size() > 3 ||
        !absl::SimpleAtod(parts[1], &sizes.sigma_) || sizes.sigma_ < 0 ||
        sizes.sigma_ > 10) {
      return absl::InvalidArgumentError(
          absl::StrCat("--size ", text,
                       ": write lognormal:16KiB,1.5 or with a maximum "
                       "lognormal:16KiB,1.5,64MiB"));
    }
    CAIRN_ASSIGN_OR_RETURN(const int64_t median, ParseBytes(parts[0]));
    sizes.median_ = static_cast<double>(median);
    sizes.max_bytes_ = kLognormalMax;
    if (parts.size() == 3) {
      CAIRN_ASSIGN_OR_RETURN(sizes.max_bytes_, ParseBytes(parts[2]));
    }
    return sizes;
  }
  CAIRN_ASSIGN_OR_RETURN(sizes.min_bytes_, ParseBytes(text));
  sizes.max_bytes_ = sizes.min_bytes_;
  return sizes;
}

int64_t SizeDistribution::SizeOf(uint64_t seed, uint64_t index) const {
  if (kind_ == Kind::kFixed) return min_bytes_;
  const uint64_t first = Mix64(Mix64(seed) ^ index);
  if (kind_ == Kind::kUniform) {
    const auto span = static_cast<uint64_t>(max_bytes_ - min_bytes_) + 1;
    return min_bytes_ + static_cast<int64_t>(first % span);
  }
  // Box-Muller: two uniform numbers make one normal.
  const double normal = std::sqrt(-2 * std::log(ToUnit(first))) *
                        std::cos(kTwoPi * ToUnit(Mix64(first)));
  const double size = median_ * std::exp(sigma_ * normal);
  return static_cast<int64_t>(std::min(size, static_cast<double>(max_bytes_)));
}

}  // namespace cli
}  // namespace cairn
