#include "lib/placement/from_proto.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"

namespace cairn {
namespace {

NodeState StateFromProto(tracker::v1::NodeState state) {
  switch (state) {
    case tracker::v1::NODE_STATE_ACTIVE:
      return NodeState::kActive;
    case tracker::v1::NODE_STATE_SUSPECT:
      return NodeState::kSuspect;
    default:
      return NodeState::kOffline;
  }
}

NodeRole RoleFromProto(tracker::v1::NodeRole role) {
  switch (role) {
    case tracker::v1::NODE_ROLE_UNSPECIFIED:
    case tracker::v1::NODE_ROLE_READ_WRITE:
      return NodeRole::kReadWrite;
    case tracker::v1::NODE_ROLE_DRAINING:
      return NodeRole::kDraining;
    case tracker::v1::NODE_ROLE_STANDBY:
      return NodeRole::kStandby;
    default:
      return NodeRole::kReadOnly;
  }
}

GroupPolicy GroupPolicyFromProto(tracker::v1::GroupPolicy policy) {
  switch (policy) {
    case tracker::v1::GROUP_POLICY_FIXED:
      return GroupPolicy::kFixed;
    case tracker::v1::GROUP_POLICY_MOST_FREE:
      return GroupPolicy::kMostFree;
    case tracker::v1::GROUP_POLICY_WEIGHTED:
      return GroupPolicy::kWeighted;
    default:
      return GroupPolicy::kRoundRobin;
  }
}

NodePolicy NodePolicyFromProto(tracker::v1::NodePolicy policy) {
  switch (policy) {
    case tracker::v1::NODE_POLICY_WEIGHTED:
      return NodePolicy::kWeighted;
    case tracker::v1::NODE_POLICY_PRIORITY:
      return NodePolicy::kPriority;
    case tracker::v1::NODE_POLICY_SAME_ZONE:
      return NodePolicy::kSameZone;
    default:
      return NodePolicy::kRoundRobin;
  }
}

ReadPolicy ReadPolicyFromProto(tracker::v1::ReadPolicy policy) {
  switch (policy) {
    case tracker::v1::READ_POLICY_ORIGIN_FIRST:
      return ReadPolicy::kOriginFirst;
    case tracker::v1::READ_POLICY_SAME_ZONE:
      return ReadPolicy::kSameZone;
    default:
      return ReadPolicy::kSpread;
  }
}

absl::Status OutOfOrder(absl::string_view what) {
  return absl::FailedPreconditionError(
      absl::StrCat("the cluster's view cannot be followed: ", what));
}

}  // namespace

NodeModel NodeFromProto(const tracker::v1::Node& node) {
  NodeModel model;
  model.uuid = node.identity().node_uuid();
  model.number = node.identity().node_number();
  model.name = node.identity().name();
  model.group = node.identity().group();
  model.zone = node.effective().zone().empty() ? node.identity().zone()
                                               : node.effective().zone();
  model.address = node.identity().address();
  model.state = StateFromProto(node.state());
  model.stopping = node.report().stopping();
  // What operators have decided counts, if the tracker knows of such things.
  const bool decided = node.has_effective();
  model.role =
      RoleFromProto(decided ? node.effective().role() : node.report().role());
  const uint32_t weight =
      decided ? node.effective().weight() : node.report().weight();
  model.weight = weight == 0 ? kDefaultWeight : std::min(weight, kWeightMax);
  model.priority =
      decided ? node.effective().priority() : node.report().priority();
  model.store_paths.reserve(node.report().store_paths_size());
  for (const tracker::v1::StorePathReport& report :
       node.report().store_paths()) {
    StorePathModel path;
    path.index = report.index();
    path.writable = report.writable();
    path.readable = report.readable();
    path.total_bytes = std::max<int64_t>(report.total_bytes(), 0);
    path.free_bytes = std::max<int64_t>(report.free_bytes(), 0);
    path.reserve_bytes = std::max<int64_t>(report.reserve_bytes(), 0);
    path.files = std::max<int64_t>(report.files(), 0);
    path.syncing = report.syncing();
    model.store_paths.push_back(path);
  }
  return model;
}

PlacementPolicy PolicyFromProto(const tracker::v1::PlacementPolicy& policy) {
  PlacementPolicy model;
  model.group_policy = GroupPolicyFromProto(policy.group_policy());
  model.fixed_group = policy.fixed_group();
  model.node_policy = NodePolicyFromProto(policy.node_policy());
  model.path_policy = policy.path_policy() == tracker::v1::PATH_POLICY_MOST_FREE
                          ? PathPolicy::kMostFree
                          : PathPolicy::kRoundRobin;
  model.read_policy = ReadPolicyFromProto(policy.read_policy());
  for (const auto& [group, weight] : policy.group_weights()) {
    model.group_weights[group] = std::min(weight, kWeightMax);
  }
  return model;
}

ClusterModel ModelFromProto(const tracker::v1::ClusterView& view) {
  std::vector<NodeModel> nodes;
  nodes.reserve(view.nodes_size());
  for (const tracker::v1::Node& node : view.nodes()) {
    nodes.push_back(NodeFromProto(node));
  }
  return ClusterModel(std::move(nodes), PolicyFromProto(view.policy()));
}

absl::Status ViewFollower::Apply(
    const tracker::v1::WatchClusterResponse& update) {
  if (update.has_snapshot()) {
    view_ = update.snapshot();
    following_ = true;
    model_ = std::make_shared<const ClusterModel>(ModelFromProto(view_));
    return absl::OkStatus();
  }
  if (!update.has_change()) return OutOfOrder("an empty message");
  if (!following_) return OutOfOrder("a change came before a snapshot");
  const tracker::v1::ClusterChange& change = update.change();
  if (change.revision() != view_.revision() + 1) {
    return OutOfOrder(absl::StrCat("revision ", change.revision(),
                                   " came after ", view_.revision()));
  }
  view_.set_revision(change.revision());

  const absl::flat_hash_set<std::string> removed(change.removed_nodes().begin(),
                                                 change.removed_nodes().end());
  if (!removed.empty()) {
    auto* nodes = view_.mutable_nodes();
    nodes->erase(
        std::remove_if(nodes->begin(), nodes->end(),
                       [&](const tracker::v1::Node& node) {
                         return removed.contains(node.identity().node_uuid());
                       }),
        nodes->end());
  }
  absl::flat_hash_map<std::string, int> places;
  for (int i = 0; i < view_.nodes_size(); ++i) {
    places.emplace(view_.nodes(i).identity().node_uuid(), i);
  }
  for (const tracker::v1::Node& node : change.changed_nodes()) {
    const auto [found, is_new] =
        places.emplace(node.identity().node_uuid(), view_.nodes_size());
    if (is_new) {
      *view_.add_nodes() = node;
    } else {
      *view_.mutable_nodes(found->second) = node;
    }
  }
  if (change.has_policy()) *view_.mutable_policy() = change.policy();
  if (change.trackers_size() > 0) {
    *view_.mutable_trackers() = change.trackers();
  }
  model_ = std::make_shared<const ClusterModel>(ModelFromProto(view_));
  return absl::OkStatus();
}

}  // namespace cairn
