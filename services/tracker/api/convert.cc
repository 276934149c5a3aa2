#include "services/tracker/api/convert.h"

#include <cstdint>
#include <utility>

#include "absl/time/time.h"
#include "lib/placement/from_proto.h"

namespace cairn {
namespace tracker {
namespace {

v1::NodeState StateToProto(NodeState state) {
  switch (state) {
    case NodeState::kActive:
      return v1::NODE_STATE_ACTIVE;
    case NodeState::kSuspect:
      return v1::NODE_STATE_SUSPECT;
    case NodeState::kOffline:
      return v1::NODE_STATE_OFFLINE;
  }
  return v1::NODE_STATE_OFFLINE;
}

v1::NodeRole RoleToProto(NodeRole role) {
  switch (role) {
    case NodeRole::kReadWrite:
      return v1::NODE_ROLE_READ_WRITE;
    case NodeRole::kReadOnly:
      return v1::NODE_ROLE_READ_ONLY;
    case NodeRole::kDraining:
      return v1::NODE_ROLE_DRAINING;
    case NodeRole::kStandby:
      return v1::NODE_ROLE_STANDBY;
  }
  return v1::NODE_ROLE_READ_ONLY;
}

v1::GroupPolicy GroupPolicyToProto(GroupPolicy policy) {
  switch (policy) {
    case GroupPolicy::kRoundRobin:
      return v1::GROUP_POLICY_ROUND_ROBIN;
    case GroupPolicy::kFixed:
      return v1::GROUP_POLICY_FIXED;
    case GroupPolicy::kMostFree:
      return v1::GROUP_POLICY_MOST_FREE;
    case GroupPolicy::kWeighted:
      return v1::GROUP_POLICY_WEIGHTED;
  }
  return v1::GROUP_POLICY_ROUND_ROBIN;
}

v1::NodePolicy NodePolicyToProto(NodePolicy policy) {
  switch (policy) {
    case NodePolicy::kRoundRobin:
      return v1::NODE_POLICY_ROUND_ROBIN;
    case NodePolicy::kWeighted:
      return v1::NODE_POLICY_WEIGHTED;
    case NodePolicy::kPriority:
      return v1::NODE_POLICY_PRIORITY;
    case NodePolicy::kSameZone:
      return v1::NODE_POLICY_SAME_ZONE;
  }
  return v1::NODE_POLICY_ROUND_ROBIN;
}

v1::ReadPolicy ReadPolicyToProto(ReadPolicy policy) {
  switch (policy) {
    case ReadPolicy::kSpread:
      return v1::READ_POLICY_SPREAD;
    case ReadPolicy::kOriginFirst:
      return v1::READ_POLICY_ORIGIN_FIRST;
    case ReadPolicy::kSameZone:
      return v1::READ_POLICY_SAME_ZONE;
  }
  return v1::READ_POLICY_SPREAD;
}

void SetDuration(absl::Duration from, google::protobuf::Duration* to) {
  const int64_t nanos = absl::ToInt64Nanoseconds(from);
  to->set_seconds(nanos / 1000000000);
  to->set_nanos(static_cast<int32_t>(nanos % 1000000000));
}

}  // namespace

NodeIdentity IdentityFromProto(const v1::NodeIdentity& identity) {
  NodeIdentity result;
  result.node_uuid = identity.node_uuid();
  result.node_number = identity.node_number();
  result.name = identity.name();
  result.group = identity.group();
  result.cluster_id = identity.cluster_id();
  result.address = identity.address();
  result.zone = identity.zone();
  result.version = identity.version();
  return result;
}

NodeStatus StatusFromProto(const v1::NodeReport& report) {
  // lib/placement knows what unset and unknown values mean.
  v1::Node node;
  *node.mutable_report() = report;
  NodeModel model = NodeFromProto(node);

  NodeStatus status;
  status.role = model.role;
  status.weight = model.weight;
  status.priority = model.priority;
  status.calls_in_progress = report.calls_in_progress();
  status.stopping = model.stopping;
  status.store_paths.reserve(model.store_paths.size());
  for (size_t i = 0; i < model.store_paths.size(); ++i) {
    StorePathStatus path;
    path.space = model.store_paths[i];
    path.incarnation = report.store_paths(static_cast<int>(i)).incarnation();
    status.store_paths.push_back(std::move(path));
  }
  return status;
}

v1::Node ToProto(const NodeRecord& node) {
  v1::Node result;
  v1::NodeIdentity* identity = result.mutable_identity();
  identity->set_node_uuid(node.identity.node_uuid);
  identity->set_node_number(node.identity.node_number);
  identity->set_name(node.identity.name);
  identity->set_group(node.identity.group);
  identity->set_cluster_id(node.identity.cluster_id);
  identity->set_address(node.identity.address);
  identity->set_zone(node.identity.zone);
  identity->set_version(node.identity.version);

  v1::NodeReport* report = result.mutable_report();
  for (const StorePathStatus& path : node.status.store_paths) {
    v1::StorePathReport* path_report = report->add_store_paths();
    path_report->set_index(path.space.index);
    path_report->set_writable(path.space.writable);
    path_report->set_readable(path.space.readable);
    path_report->set_total_bytes(path.space.total_bytes);
    path_report->set_free_bytes(path.space.free_bytes);
    path_report->set_reserve_bytes(path.space.reserve_bytes);
    path_report->set_files(path.space.files);
    path_report->set_incarnation(path.incarnation);
  }
  report->set_role(RoleToProto(node.status.role));
  report->set_weight(node.status.weight);
  report->set_priority(node.status.priority);
  report->set_calls_in_progress(node.status.calls_in_progress);
  report->set_stopping(node.status.stopping);

  result.set_state(StateToProto(node.state));
  if (node.last_heard != absl::InfinitePast()) {
    const int64_t nanos = absl::ToUnixNanos(node.last_heard);
    result.mutable_last_heard_time()->set_seconds(nanos / 1000000000);
    result.mutable_last_heard_time()->set_nanos(
        static_cast<int32_t>(nanos % 1000000000));
  }
  return result;
}

v1::PlacementPolicy ToProto(const PlacementPolicy& policy) {
  v1::PlacementPolicy result;
  result.set_group_policy(GroupPolicyToProto(policy.group_policy));
  result.set_fixed_group(policy.fixed_group);
  result.set_node_policy(NodePolicyToProto(policy.node_policy));
  result.set_path_policy(policy.path_policy == PathPolicy::kMostFree
                             ? v1::PATH_POLICY_MOST_FREE
                             : v1::PATH_POLICY_ROUND_ROBIN);
  result.set_read_policy(ReadPolicyToProto(policy.read_policy));
  for (const auto& [group, weight] : policy.group_weights) {
    (*result.mutable_group_weights())[group] = weight;
  }
  return result;
}

v1::ClusterView ToProto(const ClusterSnapshot& snapshot,
                        const PlacementPolicy& policy,
                        const MembershipOptions& options,
                        const TrackerIdentity& tracker) {
  v1::ClusterView view;
  view.set_cluster_id(options.cluster_id);
  view.set_revision(snapshot.revision);
  view.set_tracker_instance(tracker.instance);
  for (const NodeRecord& node : snapshot.nodes) {
    *view.add_nodes() = ToProto(node);
  }
  *view.mutable_policy() = ToProto(policy);
  for (const std::string& address : tracker.trackers) {
    view.add_trackers(address);
  }
  SetDuration(options.suspect_after, view.mutable_suspect_after());
  SetDuration(options.offline_after, view.mutable_offline_after());
  return view;
}

v1::ClusterChange ToProto(const ClusterChange& change) {
  v1::ClusterChange result;
  result.set_revision(change.revision);
  for (const NodeRecord& node : change.changed) {
    *result.add_changed_nodes() = ToProto(node);
  }
  return result;
}

}  // namespace tracker
}  // namespace cairn
