#include "lib/placement/placer.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"

namespace cairn {
namespace {

// SplitMix64: small, fast, and the same everywhere, which the standard's
// distributions are not.
uint64_t Mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// Where `key` stands among those that were never chosen: another order for
// another seed, so that many short-lived clients do not all begin at one node.
uint64_t Rank(uint64_t seed, absl::string_view key) {
  uint64_t hash = Mix(seed);
  for (const char c : key) hash = Mix(hash ^ static_cast<uint8_t>(c));
  return hash;
}

// A file of unknown size needs at least a byte.
bool HasRoom(const StorePathModel& path, const UploadQuery& query) {
  return path.usable_bytes() >= query.size_bytes.value_or(1);
}

// `settled`: paths that are syncing do not count.
bool PathTakes(const StorePathModel& path, const UploadQuery& query,
               bool settled) {
  return path.writable && HasRoom(path, query) && !(settled && path.syncing);
}

bool AnyPathTakes(const NodeModel& node, const UploadQuery& query,
                  bool settled) {
  return std::any_of(node.store_paths.begin(), node.store_paths.end(),
                     [&](const StorePathModel& path) {
                       return PathTakes(path, query, settled);
                     });
}

enum class Verdict {
  kTakes,
  kFull,         // Would take it if there were room.
  kExcluded,     // By the caller.
  kOffline,      // Or stopping.
  kRole,         // Read-only, draining or standby.
  kNotWritable,  // No store path takes writes, though there may be room.
};
constexpr size_t kVerdicts = 6;

Verdict Judge(const NodeModel& node, const UploadQuery& query) {
  if (node.role != NodeRole::kReadWrite) return Verdict::kRole;
  if (node.state == NodeState::kOffline || node.stopping) {
    return Verdict::kOffline;
  }
  for (const std::string& excluded : query.excluded_nodes) {
    if (node.uuid == excluded) return Verdict::kExcluded;
  }
  if (AnyPathTakes(node, query, /*settled=*/false)) return Verdict::kTakes;
  // A path below its reserve reports that it is not writable. It is still
  // "full" and not "gone" for a caller who asks what to do.
  const bool full =
      std::any_of(node.store_paths.begin(), node.store_paths.end(),
                  [&](const StorePathModel& path) {
                    return path.readable && !HasRoom(path, query);
                  });
  return full ? Verdict::kFull : Verdict::kNotWritable;
}

absl::Status UnknownGroup(absl::string_view group, absl::string_view whose,
                          const ClusterModel& model) {
  std::vector<absl::string_view> names;
  for (const GroupModel& known : model.groups()) {
    if (names.size() == 10) break;
    names.push_back(known.name);
  }
  return ErrorWithReason(
      absl::StatusCode::kNotFound, ErrorReason::kUnknownGroup,
      absl::StrCat(
          whose, " `", group, "` is not known; ",
          names.empty()
              ? "no node has joined the cluster yet"
              : absl::StrCat(
                    "known groups: ", absl::StrJoin(names, ", "),
                    model.groups().size() > names.size() ? ", …" : "")));
}

// Why nothing takes the upload, from what was said of each node.
absl::Status NoWritableNode(absl::string_view where,
                            const size_t (&counts)[kVerdicts]) {
  const auto count = [&](Verdict verdict) {
    return counts[static_cast<size_t>(verdict)];
  };
  std::vector<std::string> parts;
  const auto add = [&](Verdict verdict, absl::string_view what) {
    if (count(verdict) > 0) {
      parts.push_back(absl::StrCat(count(verdict), " ", what));
    }
  };
  add(Verdict::kFull, "full");
  add(Verdict::kOffline, "offline or stopping");
  add(Verdict::kRole, "read-only, draining or standby");
  add(Verdict::kNotWritable, "without a writable store path");
  add(Verdict::kExcluded, "excluded by the caller");
  // An excluded node failed the caller a moment ago and may be back soon, so
  // that waiting makes sense although all the others are full.
  const bool full = count(Verdict::kFull) > 0 && count(Verdict::kExcluded) == 0;
  return ErrorWithReason(
      full ? absl::StatusCode::kResourceExhausted
           : absl::StatusCode::kUnavailable,
      ErrorReason::kNoWritableNode,
      absl::StrCat("no node of ", where, " takes uploads now: ",
                   parts.empty() ? "there is none" : absl::StrJoin(parts, ", "),
                   full ? "; free space or add a node" : ""));
}

// The one of `all` whose turn is the lowest; among those that never had one,
// the one of the lowest rank.
template <typename T, typename TurnOf, typename KeyOf>
const T* LongestAgo(const std::vector<const T*>& all, uint64_t seed,
                    const TurnOf& turn_of, const KeyOf& key_of) {
  const T* best = nullptr;
  uint64_t best_turn = 0;
  for (const T* one : all) {
    const uint64_t turn = turn_of(one);
    if (best == nullptr || turn < best_turn ||
        (turn == best_turn &&
         Rank(seed, key_of(one)) < Rank(seed, key_of(best)))) {
      best = one;
      best_turn = turn;
    }
  }
  return best;
}

uint32_t WeightOf(const PlacementPolicy& policy, const GroupModel& group) {
  const auto found = policy.group_weights.find(group.name);
  return found == policy.group_weights.end() ? kDefaultWeight : found->second;
}

}  // namespace

Placer::Placer(uint64_t seed) : seed_(seed), random_state_(Mix(seed)) {}

uint64_t Placer::Draw(uint64_t limit) {
  CAIRN_CHECK(limit >= 1);
  random_state_ += 0x9e3779b97f4a7c15;
  // The bias of the multiplication is below limit / 2^64.
  return static_cast<uint64_t>(
      (static_cast<unsigned __int128>(Mix(random_state_)) * limit) >> 64);
}

absl::StatusOr<UploadPlace> Placer::PlaceUpload(const ClusterModel& model,
                                                const UploadQuery& query) {
  const PlacementPolicy& policy = model.policy();

  // The groups that may be asked at all.
  std::vector<const GroupModel*> allowed;
  std::string where = "the cluster";
  const bool fixed = policy.group_policy == GroupPolicy::kFixed;
  if (!query.group.empty() || fixed) {
    const absl::string_view name = query.group.empty()
                                       ? absl::string_view(policy.fixed_group)
                                       : query.group;
    const GroupModel* group = model.FindGroup(name);
    if (group == nullptr) {
      return UnknownGroup(
          name, query.group.empty() ? "the policy's fixed_group" : "group",
          model);
    }
    allowed.push_back(group);
    where = absl::StrCat("group `", name, "`");
  } else {
    for (const GroupModel& group : model.groups()) {
      if (policy.group_policy == GroupPolicy::kWeighted &&
          WeightOf(policy, group) == 0) {
        continue;
      }
      allowed.push_back(&group);
    }
  }

  for (const NodeState state : {NodeState::kActive, NodeState::kSuspect}) {
    const auto takes = [&](size_t member) {
      const NodeModel& node = model.nodes()[member];
      return node.state == state && Judge(node, query) == Verdict::kTakes;
    };
    std::vector<const GroupModel*> groups;
    for (const GroupModel* group : allowed) {
      if (std::any_of(group->members.begin(), group->members.end(), takes)) {
        groups.push_back(group);
      }
    }
    if (groups.empty()) continue;

    MutexLock lock(&mu_);
    ++now_;
    const GroupModel* group = ChooseGroup(model, std::move(groups));
    std::vector<const NodeModel*> nodes;
    std::vector<const NodeModel*> settled_nodes;
    for (const size_t member : group->members) {
      if (!takes(member)) continue;
      const NodeModel* const node = &model.nodes()[member];
      nodes.push_back(node);
      if (AnyPathTakes(*node, query, /*settled=*/true)) {
        settled_nodes.push_back(node);
      }
    }
    const bool settled = !settled_nodes.empty();
    const NodeModel* node =
        ChooseNode(model, query, std::move(settled ? settled_nodes : nodes));
    UploadPlace place{node, ChoosePath(model, query, settled, *node)};
    group_turns_[group->name] = now_;
    NodeTurns& turns = node_turns_[node->uuid];
    turns.node = now_;
    turns.store_paths.resize(node->store_paths.size());
    for (size_t i = 0; i < node->store_paths.size(); ++i) {
      if (node->store_paths[i].index == place.store_path) {
        turns.store_paths[i] = now_;
      }
    }
    return place;
  }

  size_t counts[kVerdicts] = {};
  for (const GroupModel* group : allowed) {
    for (const size_t member : group->members) {
      ++counts[static_cast<size_t>(Judge(model.nodes()[member], query))];
    }
  }
  return NoWritableNode(where, counts);
}

const GroupModel* Placer::ChooseGroup(const ClusterModel& model,
                                      std::vector<const GroupModel*> groups) {
  if (groups.size() == 1) return groups.front();
  switch (model.policy().group_policy) {
    case GroupPolicy::kMostFree: {
      int64_t most = -1;
      for (const GroupModel* group : groups) {
        most = std::max(most, group->free_bytes);
      }
      groups.erase(std::remove_if(groups.begin(), groups.end(),
                                  [&](const GroupModel* group) {
                                    return group->free_bytes < most;
                                  }),
                   groups.end());
      break;  // In turn among equals.
    }
    case GroupPolicy::kWeighted: {
      uint64_t sum = 0;
      for (const GroupModel* group : groups) {
        sum += WeightOf(model.policy(), *group);
      }
      uint64_t lot = Draw(sum);
      for (const GroupModel* group : groups) {
        const uint64_t weight = WeightOf(model.policy(), *group);
        if (lot < weight) return group;
        lot -= weight;
      }
      break;
    }
    case GroupPolicy::kRoundRobin:
    case GroupPolicy::kFixed:
      break;
  }
  // The analysis does not see that a lambda runs under the lock.
  const Turns* const turns = &group_turns_;
  return LongestAgo(
      groups, seed_,
      [turns](const GroupModel* group) {
        const auto found = turns->find(group->name);
        return found == turns->end() ? 0 : found->second;
      },
      [](const GroupModel* group) { return absl::string_view(group->name); });
}

const NodeModel* Placer::NextNode(const std::vector<const NodeModel*>& nodes) {
  const auto* const turns = &node_turns_;
  return LongestAgo(
      nodes, seed_,
      [turns](const NodeModel* node) {
        const auto found = turns->find(node->uuid);
        return found == turns->end() ? 0 : found->second.node;
      },
      [](const NodeModel* node) { return absl::string_view(node->uuid); });
}

const NodeModel* Placer::ChooseNode(const ClusterModel& model,
                                    const UploadQuery& query,
                                    std::vector<const NodeModel*> nodes) {
  if (nodes.size() == 1) return nodes.front();
  switch (model.policy().node_policy) {
    case NodePolicy::kWeighted: {
      uint64_t sum = 0;
      for (const NodeModel* node : nodes) sum += node->weight;
      // A model may say 0 for all of them; then they are alike.
      if (sum == 0) break;
      uint64_t lot = Draw(sum);
      for (const NodeModel* node : nodes) {
        if (lot < node->weight) return node;
        lot -= node->weight;
      }
      break;
    }
    case NodePolicy::kPriority: {
      uint32_t lowest = nodes.front()->priority;
      for (const NodeModel* node : nodes) {
        lowest = std::min(lowest, node->priority);
      }
      nodes.erase(std::remove_if(nodes.begin(), nodes.end(),
                                 [&](const NodeModel* node) {
                                   return node->priority != lowest;
                                 }),
                  nodes.end());
      break;
    }
    case NodePolicy::kSameZone: {
      std::vector<const NodeModel*> near;
      for (const NodeModel* node : nodes) {
        if (!query.zone.empty() && node->zone == query.zone) {
          near.push_back(node);
        }
      }
      if (!near.empty()) return NextNode(near);
      break;
    }
    case NodePolicy::kRoundRobin:
      break;
  }
  return NextNode(nodes);
}

uint32_t Placer::ChoosePath(const ClusterModel& model, const UploadQuery& query,
                            bool settled, const NodeModel& node) {
  const auto found = node_turns_.find(node.uuid);
  const NodeTurns* turns =
      found == node_turns_.end() ? nullptr : &found->second;
  const auto turn = [turns](size_t i) {
    const bool known = turns != nullptr && i < turns->store_paths.size();
    return known ? turns->store_paths[i] : 0;
  };
  const auto rank = [this, &node](uint32_t index) {
    return Mix(Rank(seed_, node.uuid) ^ index);
  };
  const bool most_free = model.policy().path_policy == PathPolicy::kMostFree;
  absl::optional<size_t> best;
  for (size_t i = 0; i < node.store_paths.size(); ++i) {
    const StorePathModel& path = node.store_paths[i];
    if (!PathTakes(path, query, settled)) continue;
    if (!best.has_value()) {
      best = i;
      continue;
    }
    const StorePathModel& other = node.store_paths[*best];
    const int64_t more =
        most_free ? path.usable_bytes() - other.usable_bytes() : 0;
    if (more < 0) continue;
    const bool earlier =
        turn(i) < turn(*best) ||
        (turn(i) == turn(*best) && rank(path.index) < rank(other.index));
    if (more > 0 || earlier) best = i;
  }
  CAIRN_CHECK(best.has_value());  // AnyPathTakes() said that there is one.
  return node.store_paths[*best].index;
}

absl::StatusOr<std::vector<const NodeModel*>> Placer::ReadOrder(
    const ClusterModel& model, const ReadQuery& query) {
  const GroupModel* group = model.FindGroup(query.group);
  if (group == nullptr) return UnknownGroup(query.group, "group", model);

  const ReadPolicy policy = model.policy().read_policy;
  // Lower is better; the order among equals is drawn.
  const auto distance = [&](const NodeModel& node) {
    if (node.state != NodeState::kActive || node.stopping) return 4;
    bool syncing = false;
    for (const StorePathModel& path : node.store_paths) {
      if (!query.store_path.has_value()) {
        syncing |= path.syncing;
      } else if (path.index == *query.store_path) {
        if (!path.readable) return 3;
        syncing = path.syncing;
      }
    }
    if (syncing) return 2;
    switch (policy) {
      case ReadPolicy::kOriginFirst:
        return node.number == query.origin_node ? 0 : 1;
      case ReadPolicy::kSameZone:
        return !query.zone.empty() && node.zone == query.zone ? 0 : 1;
      case ReadPolicy::kSpread:
        break;
    }
    return 1;
  };

  std::vector<std::pair<int, const NodeModel*>> order;
  order.reserve(group->members.size());
  for (const size_t member : group->members) {
    const NodeModel& node = model.nodes()[member];
    if (node.state == NodeState::kOffline || node.role == NodeRole::kStandby) {
      continue;
    }
    order.emplace_back(distance(node), &node);
  }
  if (order.empty()) {
    return ErrorWithReason(
        absl::StatusCode::kUnavailable, ErrorReason::kNoReadableNode,
        absl::StrCat("none of the ", group->members.size(), " nodes of group `",
                     query.group, "` can be read now"));
  }
  if (order.size() > 1) {
    {
      MutexLock lock(&mu_);
      for (size_t i = order.size() - 1; i > 0; --i) {
        std::swap(order[i], order[Draw(i + 1)]);
      }
    }
    std::stable_sort(
        order.begin(), order.end(),
        [](const auto& a, const auto& b) { return a.first < b.first; });
  }
  std::vector<const NodeModel*> nodes;
  nodes.reserve(order.size());
  for (const auto& [unused, node] : order) nodes.push_back(node);
  return nodes;
}

bool NodeTakesUploads(const NodeModel& node) {
  return Judge(node, UploadQuery()) == Verdict::kTakes;
}

bool GroupTakesUploads(const ClusterModel& model, const GroupModel& group) {
  return std::any_of(
      group.members.begin(), group.members.end(),
      [&](size_t member) { return NodeTakesUploads(model.nodes()[member]); });
}

}  // namespace cairn
