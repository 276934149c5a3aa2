// The cluster as placement sees it: plain structs, no wire messages, no clock.
// from_proto.h makes one of what a tracker sends.

#ifndef CAIRN_LIB_PLACEMENT_CLUSTER_MODEL_H_
#define CAIRN_LIB_PLACEMENT_CLUSTER_MODEL_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace cairn {

// Whether a node is there. kSuspect: silent for a little, or its stream broke.
enum class NodeState { kActive, kSuspect, kOffline };

// What a node may be used for. kDraining: takes no uploads, serves reads.
// kStandby: receives what others take and serves nobody.
enum class NodeRole { kReadWrite, kReadOnly, kDraining, kStandby };

enum class GroupPolicy { kRoundRobin, kFixed, kMostFree, kWeighted };
enum class NodePolicy { kRoundRobin, kWeighted, kPriority, kSameZone };
enum class PathPolicy { kRoundRobin, kMostFree };
enum class ReadPolicy { kSpread, kOriginFirst, kSameZone };

inline constexpr uint32_t kDefaultWeight = 100;
inline constexpr uint32_t kWeightMax = 1000;

// How uploads and downloads are spread.
struct PlacementPolicy {
  GroupPolicy group_policy = GroupPolicy::kRoundRobin;
  std::string fixed_group;  // With GroupPolicy::kFixed.
  NodePolicy node_policy = NodePolicy::kRoundRobin;
  PathPolicy path_policy = PathPolicy::kRoundRobin;
  ReadPolicy read_policy = ReadPolicy::kSpread;

  // With GroupPolicy::kWeighted: 0..kWeightMax; 0 places nothing. Groups that
  // are not named have kDefaultWeight.
  std::map<std::string, uint32_t> group_weights;
};

// One disk of a node.
struct StorePathModel {
  uint32_t index = 0;
  bool writable = true;
  bool readable = true;
  int64_t total_bytes = 0;
  int64_t free_bytes = 0;
  int64_t reserve_bytes = 0;  // Free bytes that uploads must leave.
  int64_t files = 0;

  // New, rebuilt or back after long, and not caught up with the other members.
  bool syncing = false;

  // What uploads may still take; at least 0.
  int64_t usable_bytes() const {
    return free_bytes > reserve_bytes ? free_bytes - reserve_bytes : 0;
  }
};

struct NodeModel {
  std::string uuid;  // The identity.
  uint32_t number = 0;
  std::string name;
  std::string group;
  std::string zone;  // May be empty.
  std::string address;
  NodeState state = NodeState::kActive;
  NodeRole role = NodeRole::kReadWrite;
  bool stopping = false;
  uint32_t weight = kDefaultWeight;  // 1..kWeightMax
  uint32_t priority = 0;             // Lower is preferred.
  std::vector<StorePathModel> store_paths;
};

// A group and its sums. Members hold the same files, so the group is as large
// as its smallest member.
struct GroupModel {
  std::string name;
  std::vector<size_t> members;  // Indexes of ClusterModel::nodes(), by UUID.
  size_t active_members = 0;

  // Over the members that are not OFFLINE: size of the smallest, free bytes of
  // the fullest (reserves left out), files of the one that has most. While all
  // are OFFLINE: as they were last heard of.
  int64_t total_bytes = 0;
  int64_t free_bytes = 0;
  int64_t files = 0;
};

// Immutable, so any number of threads may share one.
class ClusterModel {
 public:
  ClusterModel() = default;

  // Of two nodes with one UUID the later one counts.
  ClusterModel(std::vector<NodeModel> nodes, PlacementPolicy policy);

  // By UUID.
  const std::vector<NodeModel>& nodes() const { return nodes_; }

  // By name.
  const std::vector<GroupModel>& groups() const { return groups_; }

  const PlacementPolicy& policy() const { return policy_; }

  // Null if it is not known. Valid as long as the model.
  const GroupModel* FindGroup(absl::string_view name) const;
  const NodeModel* FindNode(absl::string_view uuid) const;

  // The node whose file IDs carry `number`, in `group`.
  const NodeModel* FindNodeByNumber(absl::string_view group,
                                    uint32_t number) const;

 private:
  std::vector<NodeModel> nodes_;
  std::vector<GroupModel> groups_;
  PlacementPolicy policy_;
};

}  // namespace cairn

#endif  // CAIRN_LIB_PLACEMENT_CLUSTER_MODEL_H_
