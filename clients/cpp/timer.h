// Runs tasks at their time, on one thread.

#ifndef CAIRN_CLIENTS_CPP_TIMER_H_
#define CAIRN_CLIENTS_CPP_TIMER_H_

#include <cstdint>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "lib/base/mutex.h"

namespace cairn {
namespace client {

// Time since some fixed moment; what deadlines in the client are measured in.
absl::Duration MonotonicNow();

// Thread-safe.
class Timer {
 public:
  // Gets true if the timer stopped before the task's time had come. Must not
  // block.
  using Task = absl::AnyInvocable<void(bool stopped)>;

  Timer();

  // As Stop().
  ~Timer();

  // Runs `task` once, at `when` (as MonotonicNow()) or soon after; at once and
  // in here, with `stopped`, if Stop() was called.
  void At(absl::Duration when, Task task) ABSL_LOCKS_EXCLUDED(mu_);

  // Runs all tasks that are left with `stopped`; afterwards nothing runs. Not
  // from a task.
  void Stop() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Entry {
    absl::Duration when;
    uint64_t number;  // Tasks of one time run in the order of At().
    Task task;
  };
  static bool Later(const Entry& a, const Entry& b);

  void Run() ABSL_LOCKS_EXCLUDED(mu_);

  Mutex mu_;
  CondVar changed_;
  std::vector<Entry> heap_ ABSL_GUARDED_BY(mu_);
  uint64_t next_number_ ABSL_GUARDED_BY(mu_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace client
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CPP_TIMER_H_
