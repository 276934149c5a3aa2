// Keeps what others can provoke from filling the log: a line a second, which
// says how many were left out.
//
//   if (const absl::optional<uint64_t> unlogged =
//           limiter_.Admit(clock_->Monotonic())) {
//     CAIRN_LOG(kWarning, "x", "refused … others_since_last={}", *unlogged);
//   }

#ifndef CAIRN_LIB_BASE_LOG_LIMITER_H_
#define CAIRN_LIB_BASE_LOG_LIMITER_H_

#include <cstdint>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "lib/base/mutex.h"

namespace cairn {

// Thread-safe.
class LogLimiter {
 public:
  // Set if there is room for a line at `now` (Clock::Monotonic()): the lines
  // that there was none for since the last.
  absl::optional<uint64_t> Admit(absl::Duration now) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    if (now - logged_ < absl::Seconds(1)) {
      ++unlogged_;
      return absl::nullopt;
    }
    logged_ = now;
    return std::exchange(unlogged_, 0);
  }

 private:
  Mutex mu_;
  absl::Duration logged_ ABSL_GUARDED_BY(mu_) = -absl::InfiniteDuration();
  uint64_t unlogged_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace cairn

#endif  // CAIRN_LIB_BASE_LOG_LIMITER_H_
