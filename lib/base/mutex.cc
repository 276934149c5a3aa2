#include "lib/base/mutex.h"

#include "absl/synchronization/mutex.h"

namespace cairn {
namespace {

// Before main(), so before any thread: gRPC's own locks are absl::Mutexes.
[[maybe_unused]] const bool deadlock_search_is_off = [] {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  return true;
}();

}  // namespace
}  // namespace cairn
