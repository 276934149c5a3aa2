// The nodes of the cluster as an operator sees them.

#ifndef CAIRN_CLIENTS_CLI_CLUSTER_NODES_H_
#define CAIRN_CLIENTS_CLI_CLUSTER_NODES_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cairn/tracker/v1/admin_service.pb.h"
#include "cairn/tracker/v1/cluster.pb.h"
#include "cairn/tracker/v1/tracker_service.pb.h"
#include "clients/cli/session.h"

namespace cairn {
namespace cli {

// How long one question may take, unless --timeout says otherwise.
inline constexpr absl::Duration kQueryTimeout = absl::Seconds(3);
absl::Duration QueryTimeout(const Session& session);

// Asks the session's trackers in turn until one answers; with --storage, asks
// that node about itself.
//   INVALID_ARGUMENT  no address was named.
//   UNAVAILABLE       nobody answers; the message names each.
absl::StatusOr<tracker::v1::ListNodesResponse> FindNodes(
    Session* session, const std::string& group);

// The same for what operators have decided. Empty with --storage, and where
// trackers know of no such thing.
absl::StatusOr<tracker::v1::ListDecisionsResponse> FindDecisions(
    Session* session);

// A node by its UUID, name or address; also one that was removed.
//   NOT_FOUND         UNKNOWN_NODE.
//   INVALID_ARGUMENT  several are meant; the message names them.
//   UNAVAILABLE       nobody answers.
absl::StatusOr<tracker::v1::Node> FindNode(const std::string& wanted,
                                           Session* session);

// "active", "suspect", "offline"; "read_write", "draining" …: an enum's name
// without its prefix, in lower case.
std::string StateName(tracker::v1::NodeState state);
std::string RoleName(tracker::v1::NodeRole role);

// What the node is used for: what operators have decided, else what it says
// itself.
tracker::v1::NodeUse UseOf(const tracker::v1::Node& node);

// "draining", and if the node itself says otherwise: "draining (own:
// read_write)".
std::string RoleText(const tracker::v1::Node& node);

// A decision of an operator: field, subject, value, reason, time.
Json DecisionJson(const tracker::v1::Decision& decision);

// Sums over a node's disks.
struct NodeSums {
  int64_t total_bytes = 0;
  int64_t free_bytes = 0;  // Above the reserves.
  int64_t files = 0;
  int64_t file_bytes = 0;
  int writable_paths = 0;
  int readable_paths = 0;
};
NodeSums SumsOf(const tracker::v1::Node& node);

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_CLUSTER_NODES_H_
