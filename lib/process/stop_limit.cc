#include "lib/process/stop_limit.h"

#include <unistd.h>

#include "absl/time/clock.h"
#include "lib/base/log.h"

namespace cairn {

StopLimit::StopLimit(absl::string_view component, absl::Duration limit)
    : component_(component), limit_(limit), thread_([this] { Watch(); }) {}

StopLimit::~StopLimit() {
  {
    MutexLock lock(&mu_);
    stopped_ = true;
    changed_.Signal();
  }
  thread_.join();
}

void StopLimit::Watch() {
  const absl::Time end = absl::Now() + limit_;
  {
    MutexLock lock(&mu_);
    while (!stopped_) {
      const absl::Duration left = end - absl::Now();
      if (left <= absl::ZeroDuration()) break;
      changed_.WaitWithTimeout(&mu_, left);
    }
    if (stopped_) return;
  }
  LogLine(LogLevel::kError, component_.c_str(), __FILE__, __LINE__,
          fmt::format("cannot stop within {}, ending at once: does a disk "
                      "hang? What was acknowledged is safe, the next start "
                      "replays the rest",
                      absl::FormatDuration(limit_)));
  // Neither destructors nor exit handlers: they would wait, too.
  _exit(1);
}

}  // namespace cairn
