// A stop that takes too long ends the process.

#ifndef CAIRN_LIB_PROCESS_STOP_LIMIT_H_
#define CAIRN_LIB_PROCESS_STOP_LIMIT_H_

#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "lib/base/mutex.h"

namespace cairn {

// A disk that hangs keeps whoever waits for it, and must not keep a machine
// from shutting down. What was acknowledged is safe then, as after any kill.
class StopLimit {
 public:
  // Unless this is destroyed within `limit`, the process says so in its log, as
  // `component`, and ends with exit code 1 without waiting for anything.
  StopLimit(absl::string_view component, absl::Duration limit);
  ~StopLimit() ABSL_LOCKS_EXCLUDED(mu_);

  StopLimit(const StopLimit&) = delete;
  StopLimit& operator=(const StopLimit&) = delete;

 private:
  void Watch() ABSL_LOCKS_EXCLUDED(mu_);

  const std::string component_;
  const absl::Duration limit_;

  Mutex mu_;
  CondVar changed_;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;

  std::thread thread_;  // Runs Watch(). Joined by the destructor.
};

}  // namespace cairn

#endif  // CAIRN_LIB_PROCESS_STOP_LIMIT_H_
