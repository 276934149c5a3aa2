// Placement by example: two groups of a few nodes, each policy once, and what a
// caller is told when nothing fits. placer_property_test.cc has the rest.

#include "lib/placement/placer.h"

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/error_reason.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

constexpr int64_t kGiB = int64_t{1} << 30;

// A node with one path of 100 GiB, half of it free, 10 GiB in reserve.
NodeModel Node(const std::string& uuid, const std::string& group) {
  NodeModel node;
  node.uuid = uuid;
  node.number = static_cast<uint32_t>(std::hash<std::string>()(uuid));
  node.name = uuid;
  node.group = group;
  StorePathModel path;
  path.total_bytes = 100 * kGiB;
  path.free_bytes = 50 * kGiB;
  path.reserve_bytes = 10 * kGiB;
  node.store_paths.push_back(path);
  return node;
}

std::string Placed(Placer* placer, const ClusterModel& model,
                   const UploadQuery& query = {}) {
  const auto place = placer->PlaceUpload(model, query);
  if (!place.ok()) return std::string(place.status().message());
  return place->node->uuid;
}

std::map<std::string, int> PlacedOften(const ClusterModel& model, int times,
                                       const UploadQuery& query = {}) {
  Placer placer(7);
  std::map<std::string, int> counts;
  for (int i = 0; i < times; ++i) ++counts[Placed(&placer, model, query)];
  return counts;
}

std::vector<std::string> Order(Placer* placer, const ClusterModel& model,
                               const ReadQuery& query) {
  std::vector<std::string> uuids;
  const auto order = placer->ReadOrder(model, query);
  if (!order.ok()) return {std::string(order.status().message())};
  for (const NodeModel* node : *order) uuids.push_back(node->uuid);
  return uuids;
}

TEST(ClusterModelTest, FindsWhatIsThereAndNothingElse) {
  NodeModel twice = Node("b", "g1");
  twice.name = "newer";
  const ClusterModel model({Node("b", "g2"), Node("a", "g1"), twice}, {});
  ASSERT_EQ(model.nodes().size(), 2u);
  ASSERT_NE(model.FindNode("b"), nullptr);
  EXPECT_EQ(model.FindNode("b")->name, "newer");
  EXPECT_EQ(model.FindNode("c"), nullptr);
  ASSERT_NE(model.FindGroup("g1"), nullptr);
  EXPECT_EQ(model.FindGroup("g1")->members.size(), 2u);
  EXPECT_EQ(model.FindGroup("g2"), nullptr);
  EXPECT_EQ(model.FindNodeByNumber("g1", twice.number)->uuid, "b");
  EXPECT_EQ(model.FindNodeByNumber("g2", twice.number), nullptr);
}

TEST(ClusterModelTest, AGroupIsAsLargeAsItsSmallestMember) {
  NodeModel small = Node("b", "g1");
  small.store_paths[0].total_bytes = 60 * kGiB;
  small.store_paths[0].free_bytes = 15 * kGiB;
  small.store_paths[0].files = 3;
  NodeModel gone = Node("c", "g1");
  gone.state = NodeState::kOffline;
  gone.store_paths[0].total_bytes = 1;
  const ClusterModel model({Node("a", "g1"), small, gone}, {});
  const GroupModel* group = model.FindGroup("g1");
  EXPECT_EQ(group->total_bytes, 60 * kGiB);
  EXPECT_EQ(group->free_bytes, 5 * kGiB);
  EXPECT_EQ(group->files, 3);
  EXPECT_EQ(group->active_members, 2u);
}

TEST(PlacerTest, TakesGroupsNodesAndPathsInTurn) {
  NodeModel two_paths = Node("a", "g1");
  two_paths.store_paths.push_back(two_paths.store_paths[0]);
  two_paths.store_paths[1].index = 1;
  const ClusterModel model({two_paths, Node("b", "g1"), Node("c", "g2")}, {});
  Placer placer(1);
  std::map<std::string, int> counts;
  for (int i = 0; i < 80; ++i) {
    const auto place = placer.PlaceUpload(model, {});
    ASSERT_THAT(place, IsOk());
    ++counts[absl::StrCat(place->node->uuid, place->store_path)];
  }
  EXPECT_EQ(counts, (std::map<std::string, int>{
                        {"a0", 10}, {"a1", 10}, {"b0", 20}, {"c0", 40}}));
}

TEST(PlacerTest, AMemberThatIsBeingFilledIsTheLastChoice) {
  NodeModel filled = Node("a", "g1");
  filled.store_paths.push_back(filled.store_paths[0]);
  filled.store_paths[1].index = 1;
  NodeModel filling = filled;
  filling.uuid = "b";
  filling.store_paths[1].syncing = true;  // Its second disk was replaced.
  Placer placer(1);
  std::map<std::string, int> counts;
  const ClusterModel model({filled, filling}, {});
  for (int i = 0; i < 40; ++i) {
    const auto place = placer.PlaceUpload(model, {});
    ASSERT_THAT(place, IsOk());
    ++counts[absl::StrCat(place->node->uuid, place->store_path)];
  }
  EXPECT_EQ(counts,
            (std::map<std::string, int>{{"a0", 10}, {"a1", 10}, {"b0", 20}}));
  ReadQuery query;
  query.group = "g1";
  query.store_path = 1;
  for (int i = 0; i < 10; ++i) {
    EXPECT_THAT(Order(&placer, model, query), ElementsAre("a", "b"));
  }
  query.store_path.reset();
  EXPECT_THAT(Order(&placer, model, query), ElementsAre("a", "b"));

  // Better there than nowhere.
  filled.state = NodeState::kOffline;
  filling.store_paths[0].syncing = true;
  EXPECT_EQ(Placed(&placer, ClusterModel({filled, filling}, {})), "b");
  EXPECT_EQ(Placed(&placer, ClusterModel({filling}, {})), "b");
}

// Such as `cairn put` in a script: each process places one file.
TEST(PlacerTest, ShortLivedCallersDoNotAllBeginAtOnePlace) {
  NodeModel a = Node("a", "g1");
  a.store_paths.push_back(a.store_paths[0]);
  a.store_paths[1].index = 1;
  NodeModel b = a;
  b.uuid = "b";
  for (const PathPolicy policy :
       {PathPolicy::kRoundRobin, PathPolicy::kMostFree}) {
    PlacementPolicy placement;
    placement.path_policy = policy;
    const ClusterModel model({a, b}, placement);
    std::map<std::string, int> counts;
    for (uint64_t seed = 0; seed < 400; ++seed) {
      Placer placer(seed);
      const auto place = placer.PlaceUpload(model, {});
      ASSERT_THAT(place, IsOk());
      ++counts[absl::StrCat(place->node->uuid, place->store_path)];
    }
    for (const char* place : {"a0", "a1", "b0", "b1"}) {
      EXPECT_GT(counts[place], 50) << place;
    }
  }
}

TEST(PlacerTest, CallersOfTwoZonesDoNotDisturbEachOthersTurns) {
  std::vector<NodeModel> nodes;
  for (const char* uuid : {"a", "b", "c", "d"}) {
    nodes.push_back(Node(uuid, "g1"));
    nodes.back().zone = nodes.size() <= 2 ? "east" : "west";
  }
  PlacementPolicy policy;
  policy.node_policy = NodePolicy::kSameZone;
  const ClusterModel model(nodes, policy);
  Placer placer(1);
  std::map<std::string, int> counts;
  for (int i = 0; i < 20; ++i) {
    UploadQuery query;
    query.zone = i % 2 == 0 ? "east" : "west";
    ++counts[Placed(&placer, model, query)];
  }
  EXPECT_EQ(counts, (std::map<std::string, int>{
                        {"a", 5}, {"b", 5}, {"c", 5}, {"d", 5}}));
}

TEST(PlacerTest, AZoneWithoutAPlaceFallsBackToTheOthers) {
  NodeModel full = Node("a", "g1");
  full.zone = "east";
  full.store_paths[0].free_bytes = 0;
  NodeModel far = Node("b", "g1");
  far.zone = "west";
  PlacementPolicy policy;
  policy.node_policy = NodePolicy::kSameZone;
  Placer placer(1);
  UploadQuery query;
  query.zone = "east";
  EXPECT_EQ(Placed(&placer, ClusterModel({full, far}, policy), query), "b");
}

TEST(PlacerTest, TheLowestPriorityNumberIsPreferredWhileItHasRoom) {
  NodeModel first = Node("a", "g1");
  NodeModel second = Node("b", "g1");
  second.priority = 5;
  PlacementPolicy policy;
  policy.node_policy = NodePolicy::kPriority;
  EXPECT_EQ(PlacedOften(ClusterModel({first, second}, policy), 10),
            (std::map<std::string, int>{{"a", 10}}));
  first.store_paths[0].free_bytes = first.store_paths[0].reserve_bytes;
  EXPECT_EQ(PlacedOften(ClusterModel({first, second}, policy), 10),
            (std::map<std::string, int>{{"b", 10}}));
}

TEST(PlacerTest, WeightsDecideHowOften) {
  NodeModel light = Node("a", "g1");
  light.weight = 50;
  NodeModel heavy = Node("b", "g1");
  heavy.weight = 150;
  PlacementPolicy policy;
  policy.node_policy = NodePolicy::kWeighted;
  constexpr int kTimes = 40000;
  auto counts = PlacedOften(ClusterModel({light, heavy}, policy), kTimes);
  // Five standard deviations of the binomial distribution.
  EXPECT_NEAR(counts["a"], kTimes / 4, 5 * std::sqrt(kTimes * 0.25 * 0.75));

  policy = {};
  policy.group_policy = GroupPolicy::kWeighted;
  policy.group_weights = {{"g1", 300}, {"g3", 0}};
  counts = PlacedOften(
      ClusterModel({Node("a", "g1"), Node("b", "g2"), Node("c", "g3")}, policy),
      kTimes);
  EXPECT_NEAR(counts["b"], kTimes / 4, 5 * std::sqrt(kTimes * 0.25 * 0.75));
  EXPECT_EQ(counts["c"], 0);
}

TEST(PlacerTest, MostFreeLooksAtWhatIsAboveTheReserve) {
  NodeModel a = Node("a", "g1");
  NodeModel b = Node("b", "g2");
  b.store_paths[0].free_bytes += kGiB;
  b.store_paths[0].reserve_bytes += 2 * kGiB;
  PlacementPolicy policy;
  policy.group_policy = GroupPolicy::kMostFree;
  policy.path_policy = PathPolicy::kMostFree;
  EXPECT_EQ(PlacedOften(ClusterModel({a, b}, policy), 10),
            (std::map<std::string, int>{{"a", 10}}));

  a.store_paths.push_back(a.store_paths[0]);
  a.store_paths[1].index = 4;
  a.store_paths[1].free_bytes += 1;
  Placer placer(1);
  const ClusterModel model({a, b}, policy);
  const auto place = placer.PlaceUpload(model, {});
  ASSERT_THAT(place, IsOk());
  EXPECT_EQ(place->store_path, 4u);
}

TEST(PlacerTest, TheFixedGroupIsTheOnlyOneUnlessTheCallerNamesAnother) {
  PlacementPolicy policy;
  policy.group_policy = GroupPolicy::kFixed;
  policy.fixed_group = "g2";
  const ClusterModel model({Node("a", "g1"), Node("b", "g2")}, policy);
  EXPECT_EQ(PlacedOften(model, 10), (std::map<std::string, int>{{"b", 10}}));
  Placer placer(1);
  UploadQuery query;
  query.group = "g1";
  EXPECT_EQ(Placed(&placer, model, query), "a");
}

TEST(PlacerTest, SuspectNodesAreUsedOnlyWhenNoActiveOneTakesTheFile) {
  NodeModel suspect = Node("a", "g1");
  suspect.state = NodeState::kSuspect;
  NodeModel other = Node("b", "g2");
  EXPECT_EQ(PlacedOften(ClusterModel({suspect, other}, {}), 10),
            (std::map<std::string, int>{{"b", 10}}));
  other.role = NodeRole::kDraining;
  EXPECT_EQ(PlacedOften(ClusterModel({suspect, other}, {}), 10),
            (std::map<std::string, int>{{"a", 10}}));
}

TEST(PlacerTest, SaysUnknownGroupWithTheOnesThatAre) {
  Placer placer(1);
  const ClusterModel model({Node("a", "photos")}, {});
  UploadQuery query;
  query.group = "fotos";
  const auto place = placer.PlaceUpload(model, query);
  EXPECT_THAT(place,
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("photos")));
  EXPECT_EQ(ReasonOf(place.status()), ErrorReason::kUnknownGroup);
}

TEST(PlacerTest, TellsFullFromGone) {
  Placer placer(1);
  NodeModel node = Node("a", "g1");
  node.store_paths[0].free_bytes = node.store_paths[0].reserve_bytes;
  node.store_paths[0].writable = false;  // As a storage reports a full path.
  auto place = placer.PlaceUpload(ClusterModel({node}, {}), {});
  EXPECT_THAT(
      place, StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("full")));
  EXPECT_EQ(ReasonOf(place.status()), ErrorReason::kNoWritableNode);

  // Room, but read-only: waiting may help, deleting files does not.
  node.store_paths[0].free_bytes = 50 * kGiB;
  place = placer.PlaceUpload(ClusterModel({node}, {}), {});
  EXPECT_THAT(place, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(ReasonOf(place.status()), ErrorReason::kNoWritableNode);

  place = placer.PlaceUpload(ClusterModel(), {});
  EXPECT_THAT(place, StatusIs(absl::StatusCode::kUnavailable));

  // The excluded one may be back soon.
  NodeModel full = Node("b", "g1");
  full.store_paths[0].free_bytes = 0;
  UploadQuery query;
  const std::vector<std::string> excluded = {"c"};
  query.excluded_nodes = excluded;
  place = placer.PlaceUpload(ClusterModel({full, Node("c", "g1")}, {}), query);
  EXPECT_THAT(place, StatusIs(absl::StatusCode::kUnavailable,
                              HasSubstr("1 full, 1 excluded")));
}

TEST(PlacerTest, AFileThatFitsNowhereIsRefusedByItsSize) {
  Placer placer(1);
  const ClusterModel model({Node("a", "g1")}, {});
  UploadQuery query;
  query.size_bytes = 40 * kGiB;
  EXPECT_THAT(placer.PlaceUpload(model, query), IsOk());
  query.size_bytes = 40 * kGiB + 1;
  EXPECT_THAT(placer.PlaceUpload(model, query),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST(ReadOrderTest, SpreadsOverActiveMembersAndKeepsTheRestForLast) {
  std::vector<NodeModel> nodes;
  for (const char* uuid : {"a", "b", "c", "d", "e", "f"}) {
    nodes.push_back(Node(uuid, "g1"));
  }
  nodes[1].role = NodeRole::kDraining;  // Still serves reads.
  nodes[2].state = NodeState::kSuspect;
  nodes[3].state = NodeState::kOffline;
  nodes[4].role = NodeRole::kStandby;
  nodes[5].store_paths[0].readable = false;
  const ClusterModel model(nodes, {});
  Placer placer(3);
  ReadQuery query;
  query.group = "g1";
  query.store_path = 0;
  std::map<std::string, int> first;
  for (int i = 0; i < 1000; ++i) {
    const auto order = Order(&placer, model, query);
    ASSERT_EQ(order.size(), 4u);
    ++first[order[0]];
    EXPECT_EQ(order[2], "f");
    EXPECT_EQ(order[3], "c");
  }
  EXPECT_NEAR(first["a"], 500, 80);  // Five standard deviations.
  EXPECT_NEAR(first["b"], 500, 80);
}

TEST(ReadOrderTest, PutsTheOriginOrTheZoneFirst) {
  std::vector<NodeModel> nodes;
  for (const char* uuid : {"a", "b", "c"}) nodes.push_back(Node(uuid, "g1"));
  nodes[1].number = 42;
  nodes[2].zone = "east";
  PlacementPolicy policy;
  policy.read_policy = ReadPolicy::kOriginFirst;
  ReadQuery query;
  query.group = "g1";
  query.origin_node = 42;
  query.zone = "east";
  Placer placer(3);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(Order(&placer, ClusterModel(nodes, policy), query)[0], "b");
  }
  policy.read_policy = ReadPolicy::kSameZone;
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(Order(&placer, ClusterModel(nodes, policy), query)[0], "c");
  }
  // An origin that is not there does not come first.
  nodes[1].state = NodeState::kSuspect;
  policy.read_policy = ReadPolicy::kOriginFirst;
  const auto order = Order(&placer, ClusterModel(nodes, policy), query);
  EXPECT_THAT(order, UnorderedElementsAre("a", "b", "c"));
  EXPECT_EQ(order[2], "b");
}

TEST(ReadOrderTest, SaysWhenNobodyCanServe) {
  NodeModel node = Node("a", "g1");
  node.state = NodeState::kOffline;
  const ClusterModel model({node}, {});
  Placer placer(1);
  ReadQuery query;
  query.group = "g1";
  auto order = placer.ReadOrder(model, query);
  EXPECT_THAT(order, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(ReasonOf(order.status()), ErrorReason::kNoReadableNode);
  query.group = "g2";
  order = placer.ReadOrder(model, query);
  EXPECT_THAT(order, StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(ReasonOf(order.status()), ErrorReason::kUnknownGroup);
}

}  // namespace
}  // namespace cairn
