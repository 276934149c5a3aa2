#include "lib/base/executor.h"

#include <pthread.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/check.h"

namespace cairn {

ThreadPool::ThreadPool(absl::string_view name, int threads, size_t queue_max)
    : queue_max_(queue_max) {
  CAIRN_CHECK(threads > 0 && queue_max > 0);
  for (int i = 0; i < threads; ++i) {
    threads_.emplace_back(
        [this, thread_name = absl::StrCat(name, "-", i)] { Run(thread_name); });
  }
}

ThreadPool::~ThreadPool() {
  {
    MutexLock lock(&mu_);
    stopping_ = true;
  }
  work_.SignalAll();
  for (std::thread& thread : threads_) thread.join();
}

bool ThreadPool::TrySubmit(Task task) {
  {
    MutexLock lock(&mu_);
    if (stopping_ || queue_.size() >= queue_max_) return false;
    queue_.push_back(std::move(task));
  }
  work_.Signal();
  return true;
}

size_t ThreadPool::queued() const {
  MutexLock lock(&mu_);
  return queue_.size();
}

void ThreadPool::Run(const std::string& name) {
  // The kernel keeps 15 characters.
  pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
  for (;;) {
    Task task;
    {
      MutexLock lock(&mu_);
      while (queue_.empty() && !stopping_) work_.Wait(&mu_);
      if (queue_.empty()) return;
      task = std::move(queue_.front());
      queue_.pop_front();
    }
    std::move(task)();
  }
}

}  // namespace cairn
