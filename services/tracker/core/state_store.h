// What a tracker keeps over restarts. services/tracker/state implements it.

#ifndef CAIRN_SERVICES_TRACKER_CORE_STATE_STORE_H_
#define CAIRN_SERVICES_TRACKER_CORE_STATE_STORE_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "lib/placement/cluster_model.h"
#include "services/tracker/core/decisions.h"
#include "services/tracker/core/node_record.h"

namespace cairn {
namespace tracker {

// Not thread-safe; every call may block on the disk. Errors:
//   UNAVAILABLE         the disk refused.
//   RESOURCE_EXHAUSTED  the disk is full.
//   DATA_LOSS           what is there is damaged.
class StateStore {
 public:
  virtual ~StateStore() = default;

  // Every node that was saved, OFFLINE.
  virtual absl::StatusOr<std::vector<NodeRecord>> LoadNodes() = 0;

  // Adds or replaces, all or none. Survives a killed process; a power cut may
  // lose the newest, which the nodes bring back by attaching.
  virtual absl::Status SaveNodes(absl::Span<const NodeRecord> nodes) = 0;

  // Empty if none was saved.
  virtual absl::StatusOr<absl::optional<PlacementPolicy>> LoadPolicy() = 0;
  virtual absl::Status SavePolicy(const PlacementPolicy& policy) = 0;

  // Every decision that was saved. One that cannot be parsed is DATA_LOSS:
  // without it a node that was removed would be back.
  virtual absl::StatusOr<std::vector<Decision>> LoadDecisions() = 0;

  // Adds or replaces, all or none. With `synced` they survive a power cut, else
  // a killed process.
  virtual absl::Status SaveDecisions(absl::Span<const Decision> decisions,
                                     bool synced) = 0;
};

}  // namespace tracker
}  // namespace cairn

#endif  // CAIRN_SERVICES_TRACKER_CORE_STATE_STORE_H_
