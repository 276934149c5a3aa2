// A clock that moves only when the test says so.

#ifndef CAIRN_LIB_TESTING_FAKE_CLOCK_H_
#define CAIRN_LIB_TESTING_FAKE_CLOCK_H_

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"

namespace cairn {

// Thread-safe. Starts at 2026-01-01 UTC.
class FakeClock : public Clock {
 public:
  absl::Time Now() override {
    MutexLock lock(&mu_);
    return now_;
  }
  absl::Duration Monotonic() override {
    MutexLock lock(&mu_);
    return monotonic_;
  }

  // Both clocks go forward.
  void Advance(absl::Duration by) {
    MutexLock lock(&mu_);
    now_ += by;
    monotonic_ += by;
  }

  // Somebody set the wall clock; the monotonic one does not notice.
  void JumpTo(absl::Time now) {
    MutexLock lock(&mu_);
    now_ = now;
  }

 private:
  Mutex mu_;
  absl::Time now_ ABSL_GUARDED_BY(mu_) = absl::FromUnixSeconds(1767225600);
  absl::Duration monotonic_ ABSL_GUARDED_BY(mu_) = absl::Seconds(1);
};

}  // namespace cairn

#endif  // CAIRN_LIB_TESTING_FAKE_CLOCK_H_
