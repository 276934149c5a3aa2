#include "services/storage/core/byte_budget.h"

#include <algorithm>
#include <vector>

#include "lib/base/check.h"

namespace cairn {
namespace storage {

ByteBudget::ByteBudget(int64_t max_bytes) : max_bytes_(max_bytes) {
  CAIRN_CHECK(max_bytes > 0);
}

bool ByteBudget::TryTake(int64_t bytes) {
  MutexLock lock(&mu_);
  if (!waiters_.empty()) return false;
  // A body above the whole budget may have it when nobody else has any.
  if (taken_ > 0 && taken_ + bytes > max_bytes_) return false;
  taken_ += bytes;
  return true;
}

void ByteBudget::Take(int64_t bytes, Ready ready) {
  {
    MutexLock lock(&mu_);
    if (!waiters_.empty() || (taken_ > 0 && taken_ + bytes > max_bytes_)) {
      waiters_.emplace_back(bytes, std::move(ready));
      return;
    }
    taken_ += bytes;
  }
  ready();
}

void ByteBudget::Return(int64_t bytes) {
  std::vector<Ready> ready;
  {
    MutexLock lock(&mu_);
    taken_ -= bytes;
    CAIRN_CHECK(taken_ >= 0);
    while (!waiters_.empty() &&
           (taken_ == 0 || taken_ + waiters_.front().first <= max_bytes_)) {
      taken_ += waiters_.front().first;
      ready.push_back(std::move(waiters_.front().second));
      waiters_.pop_front();
    }
  }
  for (Ready& run : ready) run();
}

int64_t ByteBudget::taken_bytes() const {
  MutexLock lock(&mu_);
  return taken_;
}

int64_t ByteBudget::waiting() const {
  MutexLock lock(&mu_);
  return static_cast<int64_t>(waiters_.size());
}

}  // namespace storage
}  // namespace cairn
