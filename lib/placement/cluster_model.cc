#include "lib/placement/cluster_model.h"

#include <algorithm>
#include <utility>

namespace cairn {
namespace {

// Later duplicates win: stable sort, then keep the last of each run.
std::vector<NodeModel> SortedByUuid(std::vector<NodeModel> nodes) {
  std::stable_sort(
      nodes.begin(), nodes.end(),
      [](const NodeModel& a, const NodeModel& b) { return a.uuid < b.uuid; });
  std::vector<NodeModel> unique;
  unique.reserve(nodes.size());
  for (NodeModel& node : nodes) {
    if (!unique.empty() && unique.back().uuid == node.uuid) {
      unique.back() = std::move(node);
    } else {
      unique.push_back(std::move(node));
    }
  }
  return unique;
}

// Sums of `group` over its members, or over those that are not OFFLINE.
void AddUp(const std::vector<NodeModel>& nodes, bool with_offline,
           GroupModel* group) {
  bool first = true;
  for (const size_t member : group->members) {
    const NodeModel& node = nodes[member];
    if (node.state == NodeState::kOffline && !with_offline) continue;
    int64_t total = 0;
    int64_t free = 0;
    int64_t files = 0;
    for (const StorePathModel& path : node.store_paths) {
      total += path.total_bytes;
      free += path.usable_bytes();
      files += path.files;
    }
    group->total_bytes = first ? total : std::min(group->total_bytes, total);
    group->free_bytes = first ? free : std::min(group->free_bytes, free);
    group->files = std::max(group->files, files);
    first = false;
  }
}

}  // namespace

ClusterModel::ClusterModel(std::vector<NodeModel> nodes, PlacementPolicy policy)
    : nodes_(SortedByUuid(std::move(nodes))), policy_(std::move(policy)) {
  std::map<std::string, GroupModel> by_name;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    GroupModel& group = by_name[nodes_[i].group];
    group.members.push_back(i);
    if (nodes_[i].state == NodeState::kActive) ++group.active_members;
  }
  groups_.reserve(by_name.size());
  for (auto& [name, group] : by_name) {
    group.name = name;
    const bool all_offline = std::all_of(
        group.members.begin(), group.members.end(),
        [&](size_t i) { return nodes_[i].state == NodeState::kOffline; });
    AddUp(nodes_, all_offline, &group);
    groups_.push_back(std::move(group));
  }
}

const GroupModel* ClusterModel::FindGroup(absl::string_view name) const {
  const auto found =
      std::lower_bound(groups_.begin(), groups_.end(), name,
                       [](const GroupModel& group, absl::string_view wanted) {
                         return absl::string_view(group.name) < wanted;
                       });
  if (found == groups_.end() || found->name != name) return nullptr;
  return &*found;
}

const NodeModel* ClusterModel::FindNode(absl::string_view uuid) const {
  const auto found =
      std::lower_bound(nodes_.begin(), nodes_.end(), uuid,
                       [](const NodeModel& node, absl::string_view wanted) {
                         return absl::string_view(node.uuid) < wanted;
                       });
  if (found == nodes_.end() || found->uuid != uuid) return nullptr;
  return &*found;
}

const NodeModel* ClusterModel::FindNodeByNumber(absl::string_view group,
                                                uint32_t number) const {
  const GroupModel* members = FindGroup(group);
  if (members == nullptr) return nullptr;
  for (const size_t member : members->members) {
    if (nodes_[member].number == number) return &nodes_[member];
  }
  return nullptr;
}

}  // namespace cairn
