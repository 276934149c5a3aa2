// Between the wire messages of cairn.tracker.v1 and what core/ works on. Pure.

#ifndef CAIRN_SERVICES_TRACKER_API_CONVERT_H_
#define CAIRN_SERVICES_TRACKER_API_CONVERT_H_

#include <string>
#include <vector>

#include "cairn/tracker/v1/cluster.pb.h"
#include "cairn/tracker/v1/decision.pb.h"
#include "cairn/tracker/v1/membership_service.pb.h"
#include "cairn/tracker/v1/tracker_service.pb.h"
#include "lib/placement/cluster_model.h"
#include "services/tracker/core/decisions.h"
#include "services/tracker/core/membership.h"
#include "services/tracker/core/node_record.h"

namespace cairn {
namespace tracker {

// What a tracker says about itself in every view.
struct TrackerIdentity {
  // New whenever the process starts.
  std::string instance;

  // Addresses of all trackers, this one included.
  std::vector<std::string> trackers;
};

NodeIdentity IdentityFromProto(const v1::NodeIdentity& identity);
NodeStatus StatusFromProto(const v1::NodeReport& report);

// To be validated by the caller.
NodeWord WordFromProto(const v1::NodeWord& word);
Decision DecisionFromProto(const v1::Decision& decision);

v1::NodeUse ToProto(const NodeUse& use);
v1::NodeWord ToProto(const NodeWord& word);
v1::Decision ToProto(const Decision& decision);
v1::Node ToProto(const NodeRecord& node);
v1::PlacementPolicy ToProto(const PlacementPolicy& policy);
v1::ClusterView ToProto(const ClusterSnapshot& snapshot,
                        const MembershipOptions& options,
                        const TrackerIdentity& tracker);
v1::ClusterChange ToProto(const ClusterChange& change);

}  // namespace tracker
}  // namespace cairn

#endif  // CAIRN_SERVICES_TRACKER_API_CONVERT_H_
