// What is answered where work for a store path's executor was not taken.

#ifndef CAIRN_SERVICES_STORAGE_CORE_QUEUE_FULL_H_
#define CAIRN_SERVICES_STORAGE_CORE_QUEUE_FULL_H_

#include "absl/status/status.h"
#include "lib/base/error_reason.h"

namespace cairn {
namespace storage {

// RESOURCE_EXHAUSTED with OVERLOADED.
inline absl::Status QueueFull() {
  return ErrorWithReason(absl::StatusCode::kResourceExhausted,
                         ErrorReason::kOverloaded, "the disk's queue is full");
}

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_QUEUE_FULL_H_
