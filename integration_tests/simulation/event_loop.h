// Time and chance of a simulation: events happen one after the other, in the
// order of a simulated time, and everything that is drawn comes from one seed.
//
//   After(10 ms, f) ─┐
//   After(3 ms, g)  ─┴─▶ Step: g at 3 ms ─▶ Step: f at 10 ms ─▶ …
//
// The same seed gives the same events. That holds as long as nobody draws in an
// order that depends on addresses or on the machine's clock.

#ifndef CAIRN_INTEGRATION_TESTS_SIMULATION_EVENT_LOOP_H_
#define CAIRN_INTEGRATION_TESTS_SIMULATION_EVENT_LOOP_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "lib/base/uuid.h"

namespace cairn {
namespace simulation {

// For one thread.
class EventLoop {
 public:
  using Event = absl::AnyInvocable<void()>;

  // `print`: every Trace() goes to stdout.
  EventLoop(uint64_t seed, bool print);

  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Since the simulation began.
  absl::Duration now() const { return now_; }

  // Two events of one moment happen in the order in which they were added.
  void After(absl::Duration delay, Event event);

  // Runs the next event; false if there is none.
  bool Step();

  // Runs all events up to then, and goes on to that time.
  void RunFor(absl::Duration duration);

  // ---- Chance.
  uint64_t Draw(uint64_t limit);  // 0..limit-1; `limit` at least 1.
  bool Chance(double probability);
  absl::Duration Between(absl::Duration least, absl::Duration most);
  Uuid DrawUuid();
  std::string DrawBytes(size_t size);

  template <typename T>
  const T& Pick(const std::vector<T>& from) {
    return from[Draw(from.size())];
  }

  // ---- What happened, for people and for comparing two runs.
  template <typename... Args>
  void Trace(const Args&... args) {
    Note(absl::StrCat(args...));
  }
  uint64_t trace_hash() const { return hash_; }
  uint64_t events() const { return events_; }

 private:
  void Note(absl::string_view line);

  const bool print_;
  std::mt19937_64 random_;
  absl::Duration now_ = absl::ZeroDuration();
  uint64_t added_ = 0;
  uint64_t events_ = 0;
  uint64_t hash_ = 14695981039346656037u;  // FNV-1a.
  std::map<std::pair<absl::Duration, uint64_t>, Event> queue_;
};

}  // namespace simulation
}  // namespace cairn

#endif  // CAIRN_INTEGRATION_TESTS_SIMULATION_EVENT_LOOP_H_
