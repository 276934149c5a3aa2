// Time comes in through this interface, so that tests can decide it.

#ifndef CAIRN_LIB_BASE_CLOCK_H_
#define CAIRN_LIB_BASE_CLOCK_H_

#include "absl/time/time.h"

namespace cairn {

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;

  // Wall time. May jump either way.
  virtual absl::Time Now() = 0;

  // Time since some fixed moment. Never goes back; use it for durations.
  virtual absl::Duration Monotonic() = 0;

  // The machine's clock. Lives for ever.
  static Clock* Real();
};

}  // namespace cairn

#endif  // CAIRN_LIB_BASE_CLOCK_H_
