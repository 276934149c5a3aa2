#include "services/tracker/api/convert.h"

#include <algorithm>
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

NodeState StateFromProto(v1::NodeState state) {
  switch (state) {
    case v1::NODE_STATE_ACTIVE:
      return NodeState::kActive;
    case v1::NODE_STATE_SUSPECT:
      return NodeState::kSuspect;
    default:
      return NodeState::kOffline;
  }
}

// At least 0.
absl::Duration AgeFromProto(const google::protobuf::Duration& age) {
  return std::max(absl::ZeroDuration(), absl::Seconds(age.seconds()) +
                                            absl::Nanoseconds(age.nanos()));
}

void SetIdentity(const NodeIdentity& from, v1::NodeIdentity* to) {
  to->set_node_uuid(from.node_uuid);
  to->set_node_number(from.node_number);
  to->set_name(from.name);
  to->set_group(from.group);
  to->set_cluster_id(from.cluster_id);
  to->set_address(from.address);
  to->set_zone(from.zone);
  to->set_version(from.version);
}

void SetReport(const NodeStatus& from, v1::NodeReport* to) {
  for (const StorePathStatus& path : from.store_paths) {
    v1::StorePathReport* path_report = to->add_store_paths();
    path_report->set_index(path.space.index);
    path_report->set_writable(path.space.writable);
    path_report->set_readable(path.space.readable);
    path_report->set_total_bytes(path.space.total_bytes);
    path_report->set_free_bytes(path.space.free_bytes);
    path_report->set_reserve_bytes(path.space.reserve_bytes);
    path_report->set_files(path.space.files);
    path_report->set_file_bytes(path.file_bytes);
    path_report->set_incarnation(path.incarnation);
    path_report->set_syncing(path.space.syncing);
    path_report->set_behind_changes(path.behind_changes);
    path_report->set_missing_contents(path.missing_contents);
    path_report->set_changes_only_here(path.changes_only_here);
    path_report->set_under_replicated_changes(path.under_replicated_changes);
  }
  to->set_role(RoleToProto(from.role));
  to->set_weight(from.weight);
  to->set_priority(from.priority);
  to->set_calls_in_progress(from.calls_in_progress);
  to->set_stopping(from.stopping);
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
    const v1::StorePathReport& said = report.store_paths(static_cast<int>(i));
    StorePathStatus path;
    path.space = model.store_paths[i];
    path.incarnation = said.incarnation();
    path.file_bytes = std::max<int64_t>(said.file_bytes(), 0);
    path.behind_changes = said.behind_changes();
    path.missing_contents = said.missing_contents();
    path.changes_only_here = said.changes_only_here();
    path.under_replicated_changes = said.under_replicated_changes();
    status.store_paths.push_back(std::move(path));
  }
  return status;
}

NodeWord WordFromProto(const v1::NodeWord& word) {
  NodeWord result;
  result.identity = IdentityFromProto(word.identity());
  result.status = StatusFromProto(word.report());
  result.state = StateFromProto(word.state());
  if (word.has_age()) result.age = AgeFromProto(word.age());
  result.first_hand = word.first_hand();
  return result;
}

Decision DecisionFromProto(const v1::Decision& decision) {
  Decision result;
  result.key = {static_cast<DecisionField>(decision.field()),
                decision.subject()};
  if (decision.has_value()) result.value = decision.value();
  result.text = decision.text();
  result.reason = decision.reason();
  result.time = {decision.time().unix_ms(), decision.time().logical(),
                 decision.time().tracker_instance()};
  return result;
}

v1::NodeUse ToProto(const NodeUse& use) {
  v1::NodeUse result;
  result.set_role(RoleToProto(use.role));
  result.set_weight(use.weight);
  result.set_priority(use.priority);
  result.set_zone(use.zone);
  if (use.reserve_percent.has_value()) {
    result.set_reserve_percent(*use.reserve_percent);
  }
  return result;
}

v1::NodeWord ToProto(const NodeWord& word) {
  v1::NodeWord result;
  SetIdentity(word.identity, result.mutable_identity());
  SetReport(word.status, result.mutable_report());
  result.set_state(StateToProto(word.state));
  if (word.age != absl::InfiniteDuration()) {
    SetDuration(word.age, result.mutable_age());
  }
  result.set_first_hand(word.first_hand);
  return result;
}

v1::Decision ToProto(const Decision& decision) {
  v1::Decision result;
  result.set_field(static_cast<v1::DecisionField>(decision.key.field));
  result.set_subject(decision.key.subject);
  if (decision.value.has_value()) result.set_value(*decision.value);
  result.set_text(decision.text);
  result.set_reason(decision.reason);
  result.mutable_time()->set_unix_ms(decision.time.unix_ms);
  result.mutable_time()->set_logical(decision.time.logical);
  result.mutable_time()->set_tracker_instance(decision.time.tracker);
  return result;
}

v1::Node ToProto(const NodeRecord& node) {
  v1::Node result;
  SetIdentity(node.identity, result.mutable_identity());
  SetReport(node.status, result.mutable_report());
  *result.mutable_effective() = ToProto(node.effective);
  result.set_heard_by(node.heard_by);
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
                        const MembershipOptions& options,
                        const TrackerIdentity& tracker) {
  v1::ClusterView view;
  view.set_cluster_id(options.cluster_id);
  view.set_revision(snapshot.revision);
  view.set_tracker_instance(tracker.instance);
  for (const NodeRecord& node : snapshot.nodes) {
    *view.add_nodes() = ToProto(node);
  }
  *view.mutable_policy() = ToProto(snapshot.policy);
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
  for (const NodeRecord& node : change.removed) {
    result.add_removed_nodes(node.identity.node_uuid);
  }
  if (change.policy.has_value()) {
    *result.mutable_policy() = ToProto(*change.policy);
  }
  return result;
}

}  // namespace tracker
}  // namespace cairn
