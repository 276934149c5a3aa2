// Between what the tracker works on and what it keeps on disk. Pure.

#ifndef CAIRN_SERVICES_TRACKER_STATE_SAVED_RECORDS_H_
#define CAIRN_SERVICES_TRACKER_STATE_SAVED_RECORDS_H_

#include "cairn/disk/tracker/v1/state.pb.h"
#include "lib/placement/cluster_model.h"
#include "services/tracker/core/decisions.h"
#include "services/tracker/core/node_record.h"

namespace cairn {
namespace tracker {

disk::tracker::v1::SavedNode ToSaved(const NodeRecord& node);

// The node is OFFLINE.
NodeRecord FromSaved(const disk::tracker::v1::SavedNode& saved);

disk::tracker::v1::SavedDecision ToSaved(const Decision& decision);

// To be validated by the caller.
Decision FromSaved(const disk::tracker::v1::SavedDecision& saved);

disk::tracker::v1::SavedPolicy ToSaved(const PlacementPolicy& policy);
PlacementPolicy FromSaved(const disk::tracker::v1::SavedPolicy& saved);

}  // namespace tracker
}  // namespace cairn

#endif  // CAIRN_SERVICES_TRACKER_STATE_SAVED_RECORDS_H_
