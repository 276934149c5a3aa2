// Bounds how many operations of a command are under way, and brings what they
// return back to the command's own thread.
//
//   for (file : files) {
//     if (!window.Enter()) break;                     // Interrupted.
//     client->StatAsync(id, {}, [&](auto info) {      // On any thread.
//       window.Leave([&, info] { Report(info); });    // On the main thread.
//     });
//   }
//   window.Drain();
//
// So commands print, count and write their manifest without locks, and a slow
// terminal never holds up a thread of the client.

#ifndef CAIRN_CLIENTS_CLI_WINDOW_H_
#define CAIRN_CLIENTS_CLI_WINDOW_H_

#include <functional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "clients/cli/interrupt.h"
#include "lib/base/mutex.h"

namespace cairn {
namespace cli {

// Enter() and Drain() belong to one thread, Leave() to all. Must outlive every
// operation that has entered and will leave.
class Window {
 public:
  using Report = absl::AnyInvocable<void()>;

  struct Hooks {
    std::function<void()> after_reports;  // After some reports have run.
    std::function<void()> tick;           // Every kInterruptPollMillis or so.
  };

  // `places` at least 1. `interrupt` is borrowed.
  Window(int places, const Interrupt* interrupt, Hooks hooks = {});

  Window(const Window&) = delete;
  Window& operator=(const Window&) = delete;

  // Waits for a place and takes it; runs reports meanwhile. False, and no place
  // is taken, if the command is interrupted.
  bool Enter() ABSL_LOCKS_EXCLUDED(mu_);

  // Gives a place back. `report` runs in Enter(), Drain() or RunReports().
  void Leave(Report report) ABSL_LOCKS_EXCLUDED(mu_);

  // Waits until all places are free and all reports have run. False if the
  // command was interrupted first; the caller then stops what is under way and
  // calls RunReports().
  bool Drain() ABSL_LOCKS_EXCLUDED(mu_);

  // Runs the reports that are there.
  void RunReports() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  // Waits until fewer than `limit` places are taken and no report waits.
  bool WaitUntilBelow(int limit) ABSL_LOCKS_EXCLUDED(mu_);

  const int places_;
  const Interrupt* const interrupt_;
  const Hooks hooks_;

  Mutex mu_;
  CondVar left_;
  int taken_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<Report> reports_ ABSL_GUARDED_BY(mu_);
};

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_WINDOW_H_
