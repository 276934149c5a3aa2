// How long to wait before the next try, so that many nodes that lost a tracker
// together do not come back together.

#ifndef CAIRN_SERVICES_STORAGE_ATTACH_BACKOFF_H_
#define CAIRN_SERVICES_STORAGE_ATTACH_BACKOFF_H_

#include <algorithm>
#include <cstdint>

#include "absl/time/time.h"

namespace cairn {
namespace storage {

// Doubles from `shortest` to `longest`; each wait is drawn from the upper half
// of that. Not thread-safe.
class Backoff {
 public:
  Backoff(absl::Duration shortest, absl::Duration longest, uint64_t seed)
      : shortest_(shortest), longest_(longest), random_(seed) {}

  // After a failure that may pass.
  absl::Duration Next() {
    const absl::Duration full = next_;
    next_ = std::min(longest_, next_ * 2);
    return Jitter(full);
  }

  // After a failure that only a person can mend.
  absl::Duration Longest() {
    next_ = longest_;
    return Jitter(longest_);
  }

  // After a success.
  void Reset() { next_ = shortest_; }

 private:
  absl::Duration Jitter(absl::Duration full) {
    // Knuth's MMIX generator; its upper bits are good enough for this.
    random_ = random_ * 6364136223846793005u + 1442695040888963407u;
    const double share = static_cast<double>(random_ >> 33) / (1u << 31);
    return full * (0.5 + share / 2);
  }

  const absl::Duration shortest_;
  const absl::Duration longest_;
  uint64_t random_;
  absl::Duration next_ = shortest_;
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_ATTACH_BACKOFF_H_
