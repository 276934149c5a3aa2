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
    "WatchCluster", "PlaceUpload",  "Locate",        "ListGroups",
    "ListNodes",    "GetChallenge", "ListDecisions", "SetNode",
    "RemoveNode",   "RestoreNode",  "SetGroup",      "SetClient"};

Gauge* Nodes(MetricsRegistry* registry, absl::string_view state) {
  return registry->AddGauge(kNodes, kNodesHelp,
                            {{"state", std::string(state)}});
}

}  // namespace

TrackerMetrics::TrackerMetrics(MetricsRegistry* registry)
    : save_failures(
          registry->AddCounter("cairn_tracker_state_save_failures_total",
                               "Times that known nodes, or decisions, could "
                               "not be saved. Look at the disk of "
                               "data_dir; the tracker goes on without.")),
      active_(Nodes(registry, "active")),
      suspect_(Nodes(registry, "suspect")),
      offline_(Nodes(registry, "offline")),
      removed_(Nodes(registry, "removed")),
      attached_(registry->AddGauge("cairn_tracker_attached_nodes",
                                   "Storages that have a stream open here.")),
      decisions_(registry->AddGauge(
          "cairn_tracker_decisions",
          "Decisions of operators in force; `cairn node list` shows them. "
          "Different from the other trackers' for long: they do not reach "
          "each other.")),
      peers_reached_(registry->AddGauge(
          "cairn_tracker_peers_reached",
          "Other trackers whose last exchange with this one went well. Below "
          "their number for long: see the log.")),
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
    exchanges_[code] = registry->AddCounter(
        "cairn_tracker_exchanges_total",
        "Exchanges that this tracker began with others, by code.",
        {{"code", name}});
    exchange_refused_[code] = registry->AddCounter(
        "cairn_tracker_exchange_refused_total",
        "Callers of Exchange that were sent away, by code. UNAUTHENTICATED: "
        "another tracker has a wrong cluster secret, or somebody tries.",
        {{"code", name}});
  }
}

void TrackerMetrics::OnExchange(absl::StatusCode code) {
  exchanges_[static_cast<size_t>(code) % kCodes]->Add();
}

void TrackerMetrics::OnExchangeRefused(const absl::Status& status) {
  exchange_refused_[static_cast<size_t>(status.code()) % kCodes]->Add();
}

void TrackerMetrics::OnCall(TrackerMethod method, absl::StatusCode code) {
  calls_[static_cast<size_t>(method)][static_cast<size_t>(code) % kCodes]
      ->Add();
}

void TrackerMetrics::OnAttachRefused(const absl::Status& status) {
  attach_refused_[static_cast<size_t>(status.code()) % kCodes]->Add();
}

void TrackerMetrics::Set(const MembershipCounts& counts, size_t watchers,
                         uint64_t revision, uint64_t snapshots,
                         size_t peers_reached) {
  active_->Set(static_cast<double>(counts.active));
  suspect_->Set(static_cast<double>(counts.suspect));
  offline_->Set(static_cast<double>(counts.offline));
  removed_->Set(static_cast<double>(counts.removed));
  attached_->Set(static_cast<double>(counts.attached));
  decisions_->Set(static_cast<double>(counts.decisions));
  peers_reached_->Set(static_cast<double>(peers_reached));
  watchers_->Set(static_cast<double>(watchers));
  revision_->Set(static_cast<double>(revision));
  snapshots_->Set(static_cast<double>(snapshots));
}

}  // namespace tracker
}  // namespace cairn
