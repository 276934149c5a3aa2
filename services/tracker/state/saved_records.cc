#include "services/tracker/state/saved_records.h"

#include <cstdint>
#include <utility>

namespace cairn {
namespace tracker {
namespace {

namespace disk = ::cairn::disk::tracker::v1;

// The enums of lib/placement begin at 0, the saved numbers at 1, in the same
// order; 0 on disk means that nothing was saved. These numbers are a format:
// the enums may only grow at their ends.
static_assert(static_cast<int>(NodeRole::kReadWrite) == 0);
static_assert(static_cast<int>(NodeRole::kStandby) == 3);
static_assert(static_cast<int>(GroupPolicy::kWeighted) == 3);
static_assert(static_cast<int>(NodePolicy::kSameZone) == 3);
static_assert(static_cast<int>(PathPolicy::kMostFree) == 1);
static_assert(static_cast<int>(ReadPolicy::kSameZone) == 2);

template <typename Enum>
uint32_t Number(Enum value) {
  return static_cast<uint32_t>(value) + 1;
}

// `otherwise` for a number that this version does not know.
template <typename Enum>
Enum Value(uint32_t number, Enum last, Enum otherwise) {
  if (number < 1 || number > Number(last)) return otherwise;
  return static_cast<Enum>(number - 1);
}

}  // namespace

disk::SavedNode ToSaved(const NodeRecord& node) {
  disk::SavedNode saved;
  saved.set_node_uuid(node.identity.node_uuid);
  saved.set_node_number(node.identity.node_number);
  saved.set_name(node.identity.name);
  saved.set_group(node.identity.group);
  saved.set_cluster_id(node.identity.cluster_id);
  saved.set_address(node.identity.address);
  saved.set_zone(node.identity.zone);
  saved.set_version(node.identity.version);
  saved.set_role(Number(node.status.role));
  saved.set_weight(node.status.weight);
  saved.set_priority(node.status.priority);
  for (const StorePathStatus& path : node.status.store_paths) {
    disk::SavedStorePath* saved_path = saved.add_store_paths();
    saved_path->set_index(path.space.index);
    saved_path->set_writable(path.space.writable);
    saved_path->set_readable(path.space.readable);
    saved_path->set_total_bytes(path.space.total_bytes);
    saved_path->set_free_bytes(path.space.free_bytes);
    saved_path->set_reserve_bytes(path.space.reserve_bytes);
    saved_path->set_files(path.space.files);
    saved_path->set_file_bytes(path.file_bytes);
    saved_path->set_incarnation(path.incarnation);
    saved_path->set_syncing(path.space.syncing);
    saved_path->set_changes_only_here(path.changes_only_here);
  }
  if (node.last_heard != absl::InfinitePast()) {
    saved.set_last_heard_unix_ms(absl::ToUnixMillis(node.last_heard));
  }
  return saved;
}

NodeRecord FromSaved(const disk::SavedNode& saved) {
  NodeRecord node;
  node.identity.node_uuid = saved.node_uuid();
  node.identity.node_number = saved.node_number();
  node.identity.name = saved.name();
  node.identity.group = saved.group();
  node.identity.cluster_id = saved.cluster_id();
  node.identity.address = saved.address();
  node.identity.zone = saved.zone();
  node.identity.version = saved.version();
  node.status.role =
      Value(saved.role(), NodeRole::kStandby, NodeRole::kReadOnly);
  node.status.weight = saved.weight();
  node.status.priority = saved.priority();
  for (const disk::SavedStorePath& saved_path : saved.store_paths()) {
    StorePathStatus path;
    path.space.index = saved_path.index();
    path.space.writable = saved_path.writable();
    path.space.readable = saved_path.readable();
    path.space.total_bytes = saved_path.total_bytes();
    path.space.free_bytes = saved_path.free_bytes();
    path.space.reserve_bytes = saved_path.reserve_bytes();
    path.space.files = saved_path.files();
    path.file_bytes = saved_path.file_bytes();
    path.incarnation = saved_path.incarnation();
    path.space.syncing = saved_path.syncing();
    path.changes_only_here = saved_path.changes_only_here();
    node.status.store_paths.push_back(std::move(path));
  }
  if (saved.last_heard_unix_ms() != 0) {
    node.last_heard = absl::FromUnixMillis(saved.last_heard_unix_ms());
  }
  node.state = NodeState::kOffline;
  return node;
}

disk::SavedDecision ToSaved(const Decision& decision) {
  disk::SavedDecision saved;
  saved.set_field(static_cast<uint32_t>(decision.key.field));
  saved.set_subject(decision.key.subject);
  if (decision.value.has_value()) saved.set_value(*decision.value);
  saved.set_text(decision.text);
  saved.set_reason(decision.reason);
  saved.set_unix_ms(decision.time.unix_ms);
  saved.set_logical(decision.time.logical);
  saved.set_tracker_instance(decision.time.tracker);
  return saved;
}

Decision FromSaved(const disk::SavedDecision& saved) {
  Decision decision;
  decision.key = {static_cast<DecisionField>(saved.field()), saved.subject()};
  if (saved.has_value()) decision.value = saved.value();
  decision.text = saved.text();
  decision.reason = saved.reason();
  decision.time = {saved.unix_ms(), saved.logical(), saved.tracker_instance()};
  return decision;
}

disk::SavedPolicy ToSaved(const PlacementPolicy& policy) {
  disk::SavedPolicy saved;
  saved.set_group_policy(Number(policy.group_policy));
  saved.set_fixed_group(policy.fixed_group);
  saved.set_node_policy(Number(policy.node_policy));
  saved.set_path_policy(Number(policy.path_policy));
  saved.set_read_policy(Number(policy.read_policy));
  for (const auto& [group, weight] : policy.group_weights) {
    (*saved.mutable_group_weights())[group] = weight;
  }
  return saved;
}

PlacementPolicy FromSaved(const disk::SavedPolicy& saved) {
  PlacementPolicy policy;
  policy.group_policy = Value(saved.group_policy(), GroupPolicy::kWeighted,
                              GroupPolicy::kRoundRobin);
  policy.fixed_group = saved.fixed_group();
  policy.node_policy = Value(saved.node_policy(), NodePolicy::kSameZone,
                             NodePolicy::kRoundRobin);
  policy.path_policy = Value(saved.path_policy(), PathPolicy::kMostFree,
                             PathPolicy::kRoundRobin);
  policy.read_policy =
      Value(saved.read_policy(), ReadPolicy::kSameZone, ReadPolicy::kSpread);
  for (const auto& [group, weight] : saved.group_weights()) {
    policy.group_weights[group] = weight;
  }
  return policy;
}

}  // namespace tracker
}  // namespace cairn
