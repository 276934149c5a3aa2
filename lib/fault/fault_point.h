// Fault points: named places in the code where a test can make a running
// process fail, wait or die. They are in what ships, so that what is tested is
// what ships; a point that is not armed costs one relaxed load.
//
//   FaultPoint before_sync("committer.before_sync");    // at namespace scope
//   ...
//   CAIRN_RETURN_IF_ERROR(before_sync.Pass());
//
//   EnableFaultPoints("committer.before_sync=abort@17");  // from a flag
//
// Daemons take such a string with --enable_fault_points and never otherwise.

#ifndef CAIRN_LIB_FAULT_FAULT_POINT_H_
#define CAIRN_LIB_FAULT_FAULT_POINT_H_

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/base/optimization.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace cairn {

// Lives as long as the process: define it at namespace scope, once for a name.
// Thread-safe.
class FaultPoint {
 public:
  // `name` is a literal: `component.step`, lower case.
  explicit FaultPoint(const char* name);

  FaultPoint(const FaultPoint&) = delete;
  FaultPoint& operator=(const FaultPoint&) = delete;

  // OK unless it is armed with an error that is due. May wait; may not return.
  absl::Status Pass() {
    if (ABSL_PREDICT_TRUE(!armed_.load(std::memory_order_relaxed))) {
      return absl::OkStatus();
    }
    return PassArmed();
  }

  // For places that cannot fail: an error that is due is dropped.
  void PassOrDie() { Pass().IgnoreError(); }

 private:
  friend class FaultPointRegistry;

  enum class Action { kError, kDelay, kAbort };
  struct Arming {
    Action action = Action::kError;
    absl::StatusCode code = absl::StatusCode::kUnavailable;
    absl::Duration delay;
    uint64_t nth = 1;
    bool from_then_on = false;
    uint64_t passed = 0;
  };

  absl::Status PassArmed();

  const char* const name_;
  FaultPoint* const next_;
  std::atomic<bool> armed_{false};
  Arming arming_;  // Guarded by the registry's lock.
};

// Arms points by a list with `;` between its items. An item is
// `name=action[@n[+]]`: at the nth pass (1 if left out), or with `+` at every
// pass from the nth on, the action is done:
//
//   error          Pass() returns UNAVAILABLE; error:DATA_LOSS another code
//   delay:50ms     Pass() waits that long
//   abort          the process kills itself with SIGKILL
//
// Arms all or none; what was armed before stays armed. An empty list is OK.
//   INVALID_ARGUMENT  an item is malformed, or no point has that name; the
//                     message names those that there are.
absl::Status EnableFaultPoints(absl::string_view list);

// Disarms all.
void DisableFaultPoints();

// Of the points in this program, sorted.
std::vector<std::string> FaultPointNames();

}  // namespace cairn

#endif  // CAIRN_LIB_FAULT_FAULT_POINT_H_
