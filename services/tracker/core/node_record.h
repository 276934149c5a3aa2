// What a tracker knows of a node, free of wire and disk formats. The fields are
// those of proto/cairn/tracker/v1/cluster.proto, and are explained there.

#ifndef CAIRN_SERVICES_TRACKER_CORE_NODE_RECORD_H_
#define CAIRN_SERVICES_TRACKER_CORE_NODE_RECORD_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "lib/placement/cluster_model.h"
#include "services/tracker/core/decisions.h"

namespace cairn {
namespace tracker {

// What a node says it is.
struct NodeIdentity {
  std::string node_uuid;  // The only identity; canonical text form.
  uint32_t node_number = 0;
  std::string name;
  std::string group;
  std::string cluster_id;
  std::string address;
  std::string zone;
  std::string version;

  friend bool operator==(const NodeIdentity&, const NodeIdentity&) = default;
};

// One of its disks.
struct StorePathStatus {
  StorePathModel space;
  std::string incarnation;
  int64_t file_bytes = 0;
  uint64_t behind_changes = 0;
  uint64_t missing_contents = 0;
  uint64_t changes_only_here = 0;
  uint64_t under_replicated_changes = 0;
};

// How it says it is.
struct NodeStatus {
  std::vector<StorePathStatus> store_paths;
  NodeRole role = NodeRole::kReadWrite;
  uint32_t weight = kDefaultWeight;
  uint32_t priority = 0;
  uint32_t calls_in_progress = 0;
  bool stopping = false;
};

// What a node is used for, and how much.
struct NodeUse {
  NodeRole role = NodeRole::kReadWrite;
  uint32_t weight = kDefaultWeight;
  uint32_t priority = 0;
  std::string zone;
  absl::optional<uint32_t> reserve_percent;  // Unset: the node's own.

  friend bool operator==(const NodeUse&, const NodeUse&) = default;
};

// What the tracker makes of it.
struct NodeRecord {
  NodeIdentity identity;
  NodeStatus status;
  NodeState state = NodeState::kOffline;
  absl::Time last_heard = absl::InfinitePast();  // By the tracker's clock.

  // What is in force: operators' decisions, else what `status` says. Not saved
  // with the node.
  NodeUse effective;
  bool removed = false;

  // Address of the tracker that heard it last; empty if none has since this
  // one was started. Not saved.
  std::string heard_by;
};

// What another tracker says of a node; see NodeWord in
// proto/cairn/tracker/v1/membership_service.proto.
struct NodeWord {
  NodeIdentity identity;
  NodeStatus status;
  NodeState state = NodeState::kOffline;
  absl::Duration age = absl::InfiniteDuration();  // Infinite: never heard of.
  bool first_hand = false;
};

// What the node says, but for what was decided about it.
NodeUse EffectiveUse(const Decisions& decisions, const NodeIdentity& identity,
                     const NodeStatus& status);

// For placement, with the use that is in force.
NodeModel ToModel(const NodeRecord& node);

// Whether the two differ in nothing that would change a decision at once: free
// bytes, the number of files, calls and lag may differ; what can be used and
// for what, and whether there are files, may not.
bool DifferOnlyInSpace(const NodeStatus& a, const NodeStatus& b);

// Whether the two do not differ at all.
bool Same(const NodeStatus& a, const NodeStatus& b);

// What is accepted from a node that proved to be a member. Keeps what one node
// can make a tracker remember small.
//   INVALID_ARGUMENT  INVALID_FIELD; the message says what is allowed.
absl::Status ValidateIdentity(const NodeIdentity& identity);
absl::Status ValidateStatus(const NodeStatus& status);

}  // namespace tracker
}  // namespace cairn

#endif  // CAIRN_SERVICES_TRACKER_CORE_NODE_RECORD_H_
