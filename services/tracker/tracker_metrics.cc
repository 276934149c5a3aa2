#include "services/tracker/tracker_metrics.h"

#include <string>

#include "absl/strings/string_view.h"

namespace cairn {
namespace tracker {
namespace {

constexpr char kNodes[] = "cairn_tracker_nodes";
constexpr char kNodesHelp[] =
    "Nodes that this tracker knows, by state. SUSPECT or OFFLINE ones: look at "
    "`cairn nodes` for who it is.";

// In the order of TrackerMethod.
constexpr const char* kMethods[kTrackerMethods] = {
    "WatchCluster", "PlaceUpload", "Locate", "ListGroups", "ListNodes"};

Gauge* Nodes(MetricsRegistry* registry, absl::string_view state) {
  return registry->AddGauge(kNodes, kNodesHelp,
                            {{"state", std::string(state)}});
}

}  // namespace

TrackerMetrics::TrackerMetrics(MetricsRegistry* registry)
    : save_failures(registry->AddCounter(
          "cairn_tracker_state_save_failures_total",
          "Times that known nodes could not be saved. Look at the disk of "
          "data_dir; the tracker goes on without.")),
      active_(Nodes(registry, "active")),
      suspect_(Nodes(registry, "suspect")),
      offline_(Nodes(registry, "offline")),
      attached_(registry->AddGauge("cairn_tracker_attached_nodes",
                                   "Storages that have a stream open here.")),
      watchers_(
          registry->AddGauge("cairn_tracker_watchers",
                             "Clients that follow the cluster's view here.")),
      revision_(registry->AddGauge(
          "cairn_tracker_revision",
          "Revision of the view since the start. A steep rise: nodes come and "
          "go.")),
      snapshots_(registry->AddGauge(
          "cairn_tracker_snapshots",
          "Whole views sent since the start. Rising faster than watchers come: "
          "they are too slow for the changes.")) {
  for (size_t code = 0; code < kCodes; ++code) {
    const std::string name =
        absl::StatusCodeToString(static_cast<absl::StatusCode>(code));
    for (size_t method = 0; method < kTrackerMethods; ++method) {
      calls_[method][code] = registry->AddCounter(
          "cairn_tracker_requests_total",
          "Calls answered, by method and code; a watch counts when it ends.",
          {{"method", kMethods[method]}, {"code", name}});
    }
    attach_refused_[code] = registry->AddCounter(
        "cairn_tracker_attach_refused_total",
        "Storages that were not let in, by code. UNAUTHENTICATED: a wrong "
        "cluster secret, or somebody tries.",
        {{"code", name}});
  }
}

void TrackerMetrics::OnCall(TrackerMethod method, absl::StatusCode code) {
  calls_[static_cast<size_t>(method)][static_cast<size_t>(code) % kCodes]
      ->Add();
}

void TrackerMetrics::OnAttachRefused(const absl::Status& status) {
  attach_refused_[static_cast<size_t>(status.code()) % kCodes]->Add();
}

void TrackerMetrics::Set(const MembershipCounts& counts, size_t watchers,
                         uint64_t revision, uint64_t snapshots) {
  active_->Set(static_cast<double>(counts.active));
  suspect_->Set(static_cast<double>(counts.suspect));
  offline_->Set(static_cast<double>(counts.offline));
  attached_->Set(static_cast<double>(counts.attached));
  watchers_->Set(static_cast<double>(watchers));
  revision_->Set(static_cast<double>(revision));
  snapshots_->Set(static_cast<double>(snapshots));
}

}  // namespace tracker
}  // namespace cairn
