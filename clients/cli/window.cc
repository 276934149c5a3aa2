#include "clients/cli/window.h"

#include <utility>

#include "absl/time/time.h"

namespace cairn {
namespace cli {

Window::Window(int places, const Interrupt* interrupt, Hooks hooks)
    : places_(places), interrupt_(interrupt), hooks_(std::move(hooks)) {}

bool Window::Enter() {
  if (!WaitUntilBelow(places_)) return false;
  MutexLock lock(&mu_);
  ++taken_;
  return true;
}

void Window::Leave(Report report) {
  MutexLock lock(&mu_);
  reports_.push_back(std::move(report));
  --taken_;
  // Under the lock: the window may be destroyed as soon as it is empty.
  left_.Signal();
}

bool Window::Drain() { return WaitUntilBelow(1); }

void Window::RunReports() {
  std::vector<Report> reports;
  {
    MutexLock lock(&mu_);
    reports.swap(reports_);
  }
  for (Report& report : reports) report();
  if (!reports.empty() && hooks_.after_reports) hooks_.after_reports();
}

bool Window::WaitUntilBelow(int limit) {
  for (;;) {
    RunReports();
    if (hooks_.tick) hooks_.tick();
    if (interrupt_->raised()) return false;
    MutexLock lock(&mu_);
    if (!reports_.empty()) continue;
    if (taken_ < limit) return true;
    left_.WaitWithTimeout(&mu_, absl::Milliseconds(kInterruptPollMillis));
  }
}

}  // namespace cli
}  // namespace cairn
