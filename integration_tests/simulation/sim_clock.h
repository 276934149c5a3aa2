// The clock of one simulated machine: as wrong as a test wants it.

#ifndef CAIRN_INTEGRATION_TESTS_SIMULATION_SIM_CLOCK_H_
#define CAIRN_INTEGRATION_TESTS_SIMULATION_SIM_CLOCK_H_

#include "absl/time/time.h"
#include "integration_tests/simulation/event_loop.h"
#include "lib/base/clock.h"

namespace cairn {
namespace simulation {

// For one thread.
class SimClock : public Clock {
 public:
  // `rate`: seconds of this clock in a second of the simulation.
  SimClock(const EventLoop* loop, double rate, absl::Duration offset)
      : loop_(loop), rate_(rate), offset_(offset) {}

  absl::Time Now() override {
    return absl::FromUnixSeconds(1767225600) + loop_->now() * rate_ + offset_;
  }
  absl::Duration Monotonic() override {
    return absl::Seconds(1) + loop_->now() * rate_;
  }

  // Somebody set the wall clock.
  void JumpTo(absl::Duration offset) { offset_ = offset; }
  absl::Duration offset() const { return offset_; }

 private:
  const EventLoop* const loop_;
  const double rate_;
  absl::Duration offset_;
};

}  // namespace simulation
}  // namespace cairn

#endif  // CAIRN_INTEGRATION_TESTS_SIMULATION_SIM_CLOCK_H_
