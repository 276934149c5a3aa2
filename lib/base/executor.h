// Where work runs: a bounded pool of threads behind an interface.

#ifndef CAIRN_LIB_BASE_EXECUTOR_H_
#define CAIRN_LIB_BASE_EXECUTOR_H_

#include <cstddef>
#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/strings/string_view.h"
#include "lib/base/mutex.h"

namespace cairn {

// Thread-safe.
class Executor {
 public:
  using Task = absl::AnyInvocable<void()>;

  virtual ~Executor() = default;

  // Queues `task` and returns true, or returns false and drops it when the
  // queue is full or the executor is stopping; the caller then answers
  // RESOURCE_EXHAUSTED. A task may call TrySubmit().
  virtual bool TrySubmit(Task task) = 0;

  // Tasks that wait, now.
  virtual size_t queued() const = 0;
};

// `threads` threads named `name` take tasks in order. The destructor runs what
// is queued, then joins.
class ThreadPool : public Executor {
 public:
  // `threads` at least 1; `queue_max` at least 1.
  ThreadPool(absl::string_view name, int threads, size_t queue_max);
  ~ThreadPool() override;

  bool TrySubmit(Task task) override ABSL_LOCKS_EXCLUDED(mu_);
  size_t queued() const override ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Run(const std::string& name) ABSL_LOCKS_EXCLUDED(mu_);

  const size_t queue_max_;

  mutable Mutex mu_;
  CondVar work_;
  std::deque<Task> queue_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;

  std::vector<std::thread> threads_;
};

}  // namespace cairn

#endif  // CAIRN_LIB_BASE_EXECUTOR_H_
