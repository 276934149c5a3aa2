#include "clients/cpp/timer.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include "lib/base/clock.h"

namespace cairn {
namespace client {

absl::Duration MonotonicNow() { return Clock::Real()->Monotonic(); }

Timer::Timer() : thread_([this] { Run(); }) {}

Timer::~Timer() { Stop(); }

bool Timer::Later(const Entry& a, const Entry& b) {
  return a.when != b.when ? a.when > b.when : a.number > b.number;
}

void Timer::At(absl::Duration when, Task task) {
  bool first;
  {
    MutexLock lock(&mu_);
    if (!stopping_) {
      first = heap_.empty() || when < heap_.front().when;
      heap_.push_back({when, next_number_++, std::move(task)});
      std::push_heap(heap_.begin(), heap_.end(), Later);
    } else {
      first = false;
    }
  }
  if (first) changed_.Signal();
  if (task) task(/*stopped=*/true);
}

void Timer::Stop() {
  {
    MutexLock lock(&mu_);
    stopping_ = true;
  }
  changed_.Signal();
  if (thread_.joinable()) thread_.join();
  std::vector<Entry> left;
  {
    MutexLock lock(&mu_);
    left.swap(heap_);
  }
  for (Entry& entry : left) entry.task(/*stopped=*/true);
}

void Timer::Run() {
  pthread_setname_np(pthread_self(), "cairn-timer");
  for (;;) {
    Task task;
    {
      MutexLock lock(&mu_);
      for (;;) {
        if (stopping_) return;
        if (heap_.empty()) {
          changed_.Wait(&mu_);
          continue;
        }
        const absl::Duration left = heap_.front().when - MonotonicNow();
        if (left <= absl::ZeroDuration()) break;
        changed_.WaitWithTimeout(&mu_, left);
      }
      std::pop_heap(heap_.begin(), heap_.end(), Later);
      task = std::move(heap_.back().task);
      heap_.pop_back();
    }
    task(/*stopped=*/false);
  }
}

}  // namespace client
}  // namespace cairn
