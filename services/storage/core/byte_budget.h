// How many bytes of bodies a process holds at once, and who waits for some.

#ifndef CAIRN_SERVICES_STORAGE_CORE_BYTE_BUDGET_H_
#define CAIRN_SERVICES_STORAGE_CORE_BYTE_BUDGET_H_

#include <cstdint>
#include <deque>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "lib/base/mutex.h"

namespace cairn {
namespace storage {

// Thread-safe. A body larger than the whole budget waits until nobody else
// holds any, rather than for ever.
class ByteBudget {
 public:
  using Ready = absl::AnyInvocable<void()>;

  // `max_bytes` at least 1.
  explicit ByteBudget(int64_t max_bytes);

  ByteBudget(const ByteBudget&) = delete;
  ByteBudget& operator=(const ByteBudget&) = delete;

  // Takes `bytes` and returns true if they are free and nobody waits.
  bool TryTake(int64_t bytes) ABSL_LOCKS_EXCLUDED(mu_);

  // Takes `bytes` and runs `ready`, at once or when others have returned
  // theirs, in the order of the calls. `ready` runs on this thread or on one
  // that calls Return(), with no lock held, and must not block.
  void Take(int64_t bytes, Ready ready) ABSL_LOCKS_EXCLUDED(mu_);

  // Gives back what was taken, in one or in several parts.
  void Return(int64_t bytes) ABSL_LOCKS_EXCLUDED(mu_);

  int64_t max_bytes() const { return max_bytes_; }
  int64_t taken_bytes() const ABSL_LOCKS_EXCLUDED(mu_);
  int64_t waiting() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  const int64_t max_bytes_;

  mutable Mutex mu_;
  int64_t taken_ ABSL_GUARDED_BY(mu_) = 0;
  std::deque<std::pair<int64_t, Ready>> waiters_ ABSL_GUARDED_BY(mu_);
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_BYTE_BUDGET_H_
