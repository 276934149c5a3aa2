// Placement against a naive model: random clusters, random policies, random
// callers. The naive model lists every place that the rules of placer.h allow;
// the placer must choose one of these, or fail exactly when there is none.

#include <algorithm>
#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "gtest/gtest.h"
#include "lib/base/error_reason.h"
#include "lib/placement/cluster_model.h"
#include "lib/placement/placer.h"
#include "lib/testing/seed.h"
#include "rapidcheck/gtest.h"

namespace cairn {
namespace {

// RapidCheck reads its seed from here, once, before the first property.
const bool kSeeded = [] {
  setenv("RC_PARAMS", absl::StrCat("seed=", TestSeed(20261122)).c_str(),
         /*overwrite=*/0);
  return true;
}();

template <typename T>
T OneOf(std::initializer_list<T> values) {
  return *rc::gen::elementOf(std::vector<T>(values));
}

StorePathModel AnyPath(uint32_t index) {
  StorePathModel path;
  path.index = index;
  path.writable = *rc::gen::weightedElement<bool>({{4, true}, {1, false}});
  path.readable = *rc::gen::weightedElement<bool>({{4, true}, {1, false}});
  path.total_bytes = 1000;
  path.free_bytes = *rc::gen::inRange(0, 30);
  path.reserve_bytes = *rc::gen::inRange(0, 20);
  path.syncing = *rc::gen::weightedElement<bool>({{2, false}, {1, true}});
  return path;
}

NodeModel AnyNode(int number) {
  NodeModel node;
  node.uuid = absl::StrCat("node", number);
  node.number = number;
  node.group = OneOf<std::string>({"g1", "g2", "g3"});
  node.zone = OneOf<std::string>({"", "east", "west"});
  node.state = OneOf({NodeState::kActive, NodeState::kActive,
                      NodeState::kSuspect, NodeState::kOffline});
  node.role =
      OneOf({NodeRole::kReadWrite, NodeRole::kReadWrite, NodeRole::kReadWrite,
             NodeRole::kReadOnly, NodeRole::kDraining, NodeRole::kStandby});
  node.stopping = *rc::gen::weightedElement<bool>({{1, true}, {6, false}});
  node.weight = *rc::gen::inRange(1, 10);
  node.priority = *rc::gen::inRange(0, 3);
  const int paths = *rc::gen::inRange(0, 4);
  for (int i = 0; i < paths; ++i) node.store_paths.push_back(AnyPath(i * 3));
  return node;
}

PlacementPolicy AnyPolicy() {
  PlacementPolicy policy;
  policy.group_policy = OneOf({GroupPolicy::kRoundRobin, GroupPolicy::kFixed,
                               GroupPolicy::kMostFree, GroupPolicy::kWeighted});
  policy.fixed_group = OneOf<std::string>({"g1", "g2", "g4"});
  policy.node_policy = OneOf({NodePolicy::kRoundRobin, NodePolicy::kWeighted,
                              NodePolicy::kPriority, NodePolicy::kSameZone});
  policy.path_policy = OneOf({PathPolicy::kRoundRobin, PathPolicy::kMostFree});
  policy.read_policy = OneOf(
      {ReadPolicy::kSpread, ReadPolicy::kOriginFirst, ReadPolicy::kSameZone});
  for (const char* group : {"g1", "g2"}) {
    if (*rc::gen::arbitrary<bool>()) {
      policy.group_weights[group] = *rc::gen::inRange(0, 3);
    }
  }
  return policy;
}

struct World {
  std::vector<NodeModel> nodes;
  PlacementPolicy policy;
};

World AnyWorld() {
  World world;
  const int nodes = *rc::gen::inRange(0, 8);
  for (int i = 0; i < nodes; ++i) world.nodes.push_back(AnyNode(i));
  world.policy = AnyPolicy();
  return world;
}

// A query that owns what UploadQuery borrows.
struct Caller {
  std::string group;
  absl::optional<int64_t> size_bytes;
  std::string zone;
  std::vector<std::string> excluded;

  UploadQuery query() const {
    UploadQuery query;
    query.group = group;
    query.size_bytes = size_bytes;
    query.zone = zone;
    query.excluded_nodes = excluded;
    return query;
  }
};

Caller AnyCaller() {
  Caller caller;
  caller.group = OneOf<std::string>({"", "", "g1", "g2", "g3", "g4"});
  if (*rc::gen::arbitrary<bool>()) {
    caller.size_bytes = *rc::gen::inRange(0, 25);
  }
  caller.zone = OneOf<std::string>({"", "east", "west"});
  const int excluded = *rc::gen::inRange(0, 3);
  for (int i = 0; i < excluded; ++i) {
    caller.excluded.push_back(absl::StrCat("node", *rc::gen::inRange(0, 8)));
  }
  return caller;
}

bool Contains(const std::vector<std::string>& all, const std::string& one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

int64_t Usable(const StorePathModel& path) {
  return std::max<int64_t>(0, path.free_bytes - path.reserve_bytes);
}

// ---- The naive model.

bool PathAllowed(const StorePathModel& path, const Caller& caller) {
  return path.writable && Usable(path) >= caller.size_bytes.value_or(1);
}

bool NodeAllowed(const NodeModel& node, const Caller& caller) {
  if (node.state == NodeState::kOffline || node.stopping) return false;
  if (node.role != NodeRole::kReadWrite) return false;
  if (Contains(caller.excluded, node.uuid)) return false;
  for (const StorePathModel& path : node.store_paths) {
    if (PathAllowed(path, caller)) return true;
  }
  return false;
}

int64_t GroupFree(const World& world, const std::string& group) {
  int64_t least = -1;
  for (const NodeModel& node : world.nodes) {
    if (node.group != group || node.state == NodeState::kOffline) continue;
    int64_t free = 0;
    for (const StorePathModel& path : node.store_paths) free += Usable(path);
    if (least < 0 || free < least) least = free;
  }
  return least;
}

// Every (node, path) that the policy could choose.
std::set<std::pair<std::string, uint32_t>> AllowedPlaces(const World& world,
                                                         const Caller& caller) {
  std::vector<NodeModel> candidates;
  for (const NodeModel& node : world.nodes) {
    if (!NodeAllowed(node, caller)) continue;
    if (!caller.group.empty()) {
      if (node.group != caller.group) continue;
    } else if (world.policy.group_policy == GroupPolicy::kFixed) {
      if (node.group != world.policy.fixed_group) continue;
    } else if (world.policy.group_policy == GroupPolicy::kWeighted) {
      const auto weight = world.policy.group_weights.find(node.group);
      if (weight != world.policy.group_weights.end() && weight->second == 0) {
        continue;
      }
    }
    candidates.push_back(node);
  }
  const auto keep = [&](auto&& good) {
    candidates.erase(
        std::remove_if(candidates.begin(), candidates.end(),
                       [&](const NodeModel& node) { return !good(node); }),
        candidates.end());
  };
  const auto any = [&](auto&& good) {
    return std::any_of(candidates.begin(), candidates.end(), good);
  };

  const auto active = [](const NodeModel& node) {
    return node.state == NodeState::kActive;
  };
  if (any(active)) keep(active);

  if (caller.group.empty() &&
      world.policy.group_policy == GroupPolicy::kMostFree) {
    int64_t most = -1;
    for (const NodeModel& node : candidates) {
      most = std::max(most, GroupFree(world, node.group));
    }
    keep([&](const NodeModel& node) {
      return GroupFree(world, node.group) == most;
    });
  }

  // Within a group, what has caught up comes before what has not.
  const auto settled_path = [&](const StorePathModel& path) {
    return PathAllowed(path, caller) && !path.syncing;
  };
  const auto has_settled_path = [&](const NodeModel& node) {
    return std::any_of(node.store_paths.begin(), node.store_paths.end(),
                       settled_path);
  };
  std::set<std::string> settled_groups;
  for (const NodeModel& node : candidates) {
    if (has_settled_path(node)) settled_groups.insert(node.group);
  }
  keep([&](const NodeModel& node) {
    return settled_groups.count(node.group) == 0 || has_settled_path(node);
  });

  std::set<std::pair<std::string, uint32_t>> places;
  for (const NodeModel& node : candidates) {
    const auto path_allowed = [&](const StorePathModel& path) {
      return settled_groups.count(node.group) > 0 ? settled_path(path)
                                                  : PathAllowed(path, caller);
    };
    const auto same_group = [&](const NodeModel& other) {
      return other.group == node.group;
    };
    if (world.policy.node_policy == NodePolicy::kPriority &&
        any([&](const NodeModel& other) {
          return same_group(other) && other.priority < node.priority;
        })) {
      continue;
    }
    if (world.policy.node_policy == NodePolicy::kSameZone &&
        !caller.zone.empty() && node.zone != caller.zone &&
        any([&](const NodeModel& other) {
          return same_group(other) && other.zone == caller.zone;
        })) {
      continue;
    }
    int64_t most = -1;
    for (const StorePathModel& path : node.store_paths) {
      if (path_allowed(path)) most = std::max(most, Usable(path));
    }
    for (const StorePathModel& path : node.store_paths) {
      if (!path_allowed(path)) continue;
      if (world.policy.path_policy == PathPolicy::kMostFree &&
          Usable(path) < most) {
        continue;
      }
      places.emplace(node.uuid, path.index);
    }
  }
  return places;
}

RC_GTEST_PROP(PlacerProperty, ChoosesOnlyWhatTheRulesAllow, ()) {
  const World world = AnyWorld();
  const ClusterModel model(world.nodes, world.policy);
  Placer placer(*rc::gen::arbitrary<uint64_t>());
  for (int i = 0; i < 10; ++i) {
    const Caller caller = AnyCaller();
    const auto allowed = AllowedPlaces(world, caller);
    const auto place = placer.PlaceUpload(model, caller.query());
    RC_ASSERT(place.ok() == !allowed.empty());
    if (place.ok()) {
      RC_ASSERT(allowed.count({place->node->uuid, place->store_path}) == 1u);
      continue;
    }
    const std::string wanted =
        !caller.group.empty() ? caller.group
        : world.policy.group_policy == GroupPolicy::kFixed
            ? world.policy.fixed_group
            : "";
    if (!wanted.empty() && model.FindGroup(wanted) == nullptr) {
      RC_ASSERT(place.status().code() == absl::StatusCode::kNotFound);
      RC_ASSERT(ReasonOf(place.status()) == ErrorReason::kUnknownGroup);
    } else {
      RC_ASSERT(ReasonOf(place.status()) == ErrorReason::kNoWritableNode);
    }
  }
}

// All places are reached, so that none of them is wasted.
RC_GTEST_PROP(PlacerProperty, ReachesEverythingThatTheRulesAllow, ()) {
  const World world = AnyWorld();
  const Caller caller = AnyCaller();
  const ClusterModel model(world.nodes, world.policy);
  auto left = AllowedPlaces(world, caller);
  Placer placer(*rc::gen::arbitrary<uint64_t>());
  // Weights are 1..9 of at most 8 nodes, so the rarest place comes up once in
  // some hundred tries.
  for (int i = 0; i < 20000 && !left.empty(); ++i) {
    const auto place = placer.PlaceUpload(model, caller.query());
    RC_ASSERT(place.ok());
    left.erase({place->node->uuid, place->store_path});
  }
  RC_ASSERT(left.empty());
}

RC_GTEST_PROP(PlacerProperty, AnswersAlikeAfterTheSameSeed, ()) {
  const World world = AnyWorld();
  const ClusterModel model(world.nodes, world.policy);
  const uint64_t seed = *rc::gen::arbitrary<uint64_t>();
  Placer one(seed);
  Placer other(seed);
  for (int i = 0; i < 10; ++i) {
    const Caller caller = AnyCaller();
    const auto a = one.PlaceUpload(model, caller.query());
    const auto b = other.PlaceUpload(model, caller.query());
    RC_ASSERT(a.ok() == b.ok());
    if (a.ok()) {
      RC_ASSERT(a->node == b->node);
      RC_ASSERT(a->store_path == b->store_path);
    }
    ReadQuery read;
    read.group = "g1";
    const auto c = one.ReadOrder(model, read);
    const auto d = other.ReadOrder(model, read);
    RC_ASSERT(c.ok() == d.ok());
    if (c.ok()) RC_ASSERT(*c == *d);
  }
}

// While nodes come, go and fill up, any two that can both take uploads all the
// time get the same number of them, give or take one.
RC_GTEST_PROP(PlacerProperty, RoundRobinIsFairUnderChanges, ()) {
  std::vector<NodeModel> nodes;
  for (int i = 0; i < 6; ++i) {
    NodeModel node;
    node.uuid = absl::StrCat("node", i);
    node.group = i < 4 ? "g1" : "g2";
    node.store_paths.resize(1);
    node.store_paths[0].free_bytes = 100;
    nodes.push_back(node);
  }
  Placer placer(*rc::gen::arbitrary<uint64_t>());
  // Uploads that each of a pair got since both can take them.
  std::map<std::pair<std::string, std::string>, std::pair<int, int>> counts;
  Caller caller;
  caller.group = "g1";
  const auto takes = [&](const NodeModel& node) {
    return node.group == "g1" && NodeAllowed(node, caller);
  };
  const int steps = *rc::gen::inRange(1, 200);
  for (int step = 0; step < steps; ++step) {
    NodeModel& changed = nodes[*rc::gen::inRange(0, 6)];
    switch (*rc::gen::inRange(0, 8)) {
      case 0:
        changed.state = changed.state == NodeState::kActive
                            ? NodeState::kOffline
                            : NodeState::kActive;
        break;
      case 1:
        changed.store_paths[0].free_bytes ^= 100;
        break;
      case 2:
        changed.stopping = !changed.stopping;
        break;
      default:
        break;
    }
    for (const NodeModel& a : nodes) {
      for (const NodeModel& b : nodes) {
        if (!takes(a) || !takes(b)) counts[{a.uuid, b.uuid}] = {0, 0};
      }
    }
    const ClusterModel model(nodes, {});
    // Another group's uploads must not disturb the turns of this one.
    Caller other;
    other.group = "g2";
    (void)placer.PlaceUpload(model, other.query());
    const auto place = placer.PlaceUpload(model, caller.query());
    if (!place.ok()) continue;
    for (auto& [pair, count] : counts) {
      if (pair.first == place->node->uuid) ++count.first;
      if (pair.second == place->node->uuid) ++count.second;
      if (takes(*model.FindNode(pair.first)) &&
          takes(*model.FindNode(pair.second))) {
        RC_ASSERT(std::abs(count.first - count.second) <= 1);
      }
    }
  }
}

RC_GTEST_PROP(PlacerProperty, ReadOrderListsEveryMemberThatServesBestFirst,
              ()) {
  const World world = AnyWorld();
  const ClusterModel model(world.nodes, world.policy);
  Placer placer(*rc::gen::arbitrary<uint64_t>());
  ReadQuery query;
  query.group = "g1";
  query.origin_node = *rc::gen::inRange(0, 8);
  query.zone = "east";
  if (*rc::gen::arbitrary<bool>()) {
    query.store_path = 3 * *rc::gen::inRange(0, 4);
  }
  const auto order = placer.ReadOrder(model, query);

  std::set<std::string> expected;
  for (const NodeModel& node : world.nodes) {
    if (node.group == "g1" && node.state != NodeState::kOffline &&
        node.role != NodeRole::kStandby) {
      expected.insert(node.uuid);
    }
  }
  if (expected.empty()) {
    RC_ASSERT(!order.ok());
    return;
  }
  RC_ASSERT(order.ok());
  std::set<std::string> listed;
  for (const NodeModel* node : *order) listed.insert(node->uuid);
  RC_ASSERT(listed == expected);
  RC_ASSERT(listed.size() == order->size());

  const auto there = [](const NodeModel* node) {
    return node->state == NodeState::kActive && !node->stopping;
  };
  RC_ASSERT(std::is_partitioned(order->begin(), order->end(), there));
  const auto gone = std::partition_point(order->begin(), order->end(), there);
  // Of those, the ones whose path can be read, and of these the ones that have
  // caught up.
  const auto any_path = [&](const NodeModel* node, auto&& good) {
    return std::any_of(node->store_paths.begin(), node->store_paths.end(),
                       [&](const StorePathModel& path) {
                         return path.index ==
                                    query.store_path.value_or(path.index) &&
                                good(path);
                       });
  };
  const auto readable = [&](const NodeModel* node) {
    return !query.store_path.has_value() ||
           !any_path(node, [](const auto& path) { return !path.readable; });
  };
  RC_ASSERT(std::is_partitioned(order->begin(), gone, readable));
  const auto unreadable = std::partition_point(order->begin(), gone, readable);
  const auto settled = [&](const NodeModel* node) {
    return !any_path(node, [](const auto& path) { return path.syncing; });
  };
  RC_ASSERT(std::is_partitioned(order->begin(), unreadable, settled));
  const auto syncing =
      std::partition_point(order->begin(), unreadable, settled);
  const auto near = [&](const NodeModel* node) {
    return node->zone == query.zone;
  };
  if (world.policy.read_policy == ReadPolicy::kSameZone) {
    RC_ASSERT(std::is_partitioned(order->begin(), syncing, near));
  }
  if (world.policy.read_policy == ReadPolicy::kOriginFirst) {
    for (auto it = order->begin(); it != syncing; ++it) {
      if ((*it)->number == query.origin_node) RC_ASSERT(it == order->begin());
    }
  }
}

}  // namespace
}  // namespace cairn
