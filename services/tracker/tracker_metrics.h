// What a tracker counts. The help texts say what a rise means.

#ifndef CAIRN_SERVICES_TRACKER_TRACKER_METRICS_H_
#define CAIRN_SERVICES_TRACKER_TRACKER_METRICS_H_

#include <array>
#include <cstddef>
#include <map>

#include "absl/status/status.h"
#include "lib/metrics/metrics.h"
#include "services/tracker/api/call_observer.h"
#include "services/tracker/core/membership.h"

namespace cairn {
namespace tracker {

// Thread-safe. Built once for a tracker; the registry outlives it.
class TrackerMetrics : public CallObserver {
 public:
  explicit TrackerMetrics(MetricsRegistry* registry);

  void OnCall(TrackerMethod method, absl::StatusCode code) override;
  void OnAttachRefused(const absl::Status& status) override;
  void OnExchange(absl::StatusCode code) override;
  void OnExchangeRefused(const absl::Status& status) override;

  // How things stand now; called with every scrape.
  void Set(const MembershipCounts& counts, size_t watchers, uint64_t revision,
           uint64_t snapshots, size_t peers_reached);

  Counter* const save_failures;

 private:
  static constexpr size_t kCodes = 17;

  Gauge* const active_;
  Gauge* const suspect_;
  Gauge* const offline_;
  Gauge* const removed_;
  Gauge* const attached_;
  Gauge* const decisions_;
  Gauge* const peers_reached_;
  Gauge* const watchers_;
  Gauge* const revision_;
  Gauge* const snapshots_;
  std::array<std::array<Counter*, kCodes>, kTrackerMethods> calls_;
  std::array<Counter*, kCodes> attach_refused_;
  std::array<Counter*, kCodes> exchanges_;
  std::array<Counter*, kCodes> exchange_refused_;
};

}  // namespace tracker
}  // namespace cairn

#endif  // CAIRN_SERVICES_TRACKER_TRACKER_METRICS_H_
