// What a tracker finds again after it was closed, and directories that it must
// not touch. Real RocksDB in a temporary directory.

#include "services/tracker/state/rocksdb_state_store.h"

#include <rocksdb/db.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/testing/status_matchers.h"
#include "services/tracker/core/decisions.h"
#include "services/tracker/core/node_record.h"
#include "services/tracker/core/state_store.h"

namespace cairn {
namespace tracker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kCluster[] = "11111111-2222-4333-8444-555555555555";
constexpr char kNode[] = "aaaaaaaa-0000-4000-8000-000000000001";

std::string NewDirectory() {
  std::string path = absl::StrCat(::testing::TempDir(), "/state_XXXXXX");
  EXPECT_NE(mkdtemp(path.data()), nullptr);
  return absl::StrCat(path, "/state");
}

NodeRecord Node() {
  NodeRecord node;
  node.identity.node_uuid = kNode;
  node.identity.node_number = 4000000001;
  node.identity.name = "n1";
  node.identity.group = "g1";
  node.identity.cluster_id = kCluster;
  node.identity.address = "127.0.0.1:23000";
  node.identity.zone = "east";
  node.identity.version = "1";
  node.status.role = NodeRole::kDraining;
  node.status.weight = 7;
  node.status.priority = 8;
  StorePathStatus path;
  path.space.index = 3;
  path.space.writable = false;
  path.space.total_bytes = 100;
  path.space.free_bytes = 50;
  path.space.reserve_bytes = 10;
  path.space.files = 5;
  path.incarnation = "bbbbbbbb-0000-4000-8000-000000000001";
  node.status.store_paths.push_back(path);
  node.state = NodeState::kActive;
  node.last_heard = absl::FromUnixMillis(1767225600123);
  return node;
}

TEST(RocksDbStateStoreTest, FindsNodesAndPolicyAgain) {
  const std::string directory = NewDirectory();
  PlacementPolicy policy;
  policy.group_policy = GroupPolicy::kWeighted;
  policy.fixed_group = "g9";
  policy.node_policy = NodePolicy::kSameZone;
  policy.path_policy = PathPolicy::kMostFree;
  policy.read_policy = ReadPolicy::kOriginFirst;
  policy.group_weights = {{"g1", 0}, {"g2", 30}};
  {
    auto store = OpenRocksDbStateStore(directory, kCluster);
    ASSERT_THAT(store, IsOk());
    ASSERT_THAT((*store)->SaveNodes({Node()}), IsOk());
    ASSERT_THAT((*store)->SavePolicy(policy), IsOk());
  }
  auto store = OpenRocksDbStateStore(directory, kCluster);
  ASSERT_THAT(store, IsOk());
  const auto nodes = (*store)->LoadNodes();
  ASSERT_THAT(nodes, IsOk());
  ASSERT_EQ(nodes->size(), 1u);
  const NodeRecord& found = (*nodes)[0];
  EXPECT_EQ(found.identity, Node().identity);
  EXPECT_TRUE(Same(found.status, Node().status));
  EXPECT_EQ(found.state, NodeState::kOffline);
  EXPECT_EQ(found.last_heard, Node().last_heard);

  const auto loaded = (*store)->LoadPolicy();
  ASSERT_THAT(loaded, IsOk());
  ASSERT_TRUE(loaded->has_value());
  EXPECT_EQ((*loaded)->group_policy, policy.group_policy);
  EXPECT_EQ((*loaded)->fixed_group, policy.fixed_group);
  EXPECT_EQ((*loaded)->node_policy, policy.node_policy);
  EXPECT_EQ((*loaded)->path_policy, policy.path_policy);
  EXPECT_EQ((*loaded)->read_policy, policy.read_policy);
  EXPECT_EQ((*loaded)->group_weights, policy.group_weights);
}

TEST(RocksDbStateStoreTest, AnEmptyDirectoryKnowsNothing) {
  auto store = OpenRocksDbStateStore(NewDirectory(), kCluster);
  ASSERT_THAT(store, IsOk());
  EXPECT_THAT((*store)->LoadNodes(), IsOkAndHolds(IsEmpty()));
  const auto policy = (*store)->LoadPolicy();
  ASSERT_THAT(policy, IsOk());
  EXPECT_FALSE(policy->has_value());
}

TEST(RocksDbStateStoreTest, ReplacesANodeThatIsSavedAgain) {
  auto store = OpenRocksDbStateStore(NewDirectory(), kCluster);
  ASSERT_THAT(store, IsOk());
  NodeRecord node = Node();
  ASSERT_THAT((*store)->SaveNodes({node}), IsOk());
  node.identity.address = "10.0.0.9:1";
  ASSERT_THAT((*store)->SaveNodes({node}), IsOk());
  const auto nodes = (*store)->LoadNodes();
  ASSERT_THAT(nodes, IsOk());
  ASSERT_EQ(nodes->size(), 1u);
  EXPECT_EQ((*nodes)[0].identity.address, "10.0.0.9:1");
}

Decision Removed(bool removed) {
  Decision decision;
  decision.key = {DecisionField::kNodeRemoved, kNode};
  if (removed) decision.value = 1;
  decision.reason = "the rack burnt down";
  decision.time = {1767225600123, 7, "bbbbbbbb-0000-4000-8000-000000000001"};
  return decision;
}

TEST(RocksDbStateStoreTest, FindsDecisionsAgainAndThoseThatWereTakenBack) {
  const std::string directory = NewDirectory();
  Decision weight = Removed(true);
  weight.key = {DecisionField::kGroupWeight, "g1"};
  weight.value = 0;
  {
    auto store = OpenRocksDbStateStore(directory, kCluster);
    ASSERT_THAT(store, IsOk());
    EXPECT_THAT((*store)->LoadDecisions(), IsOkAndHolds(IsEmpty()));
    ASSERT_THAT((*store)->SaveDecisions({Removed(true), weight},
                                        /*synced=*/true),
                IsOk());
    ASSERT_THAT((*store)->SaveNodes({Node()}), IsOk());
  }
  {
    auto store = OpenRocksDbStateStore(directory, kCluster);
    ASSERT_THAT(store, IsOk());
    EXPECT_THAT((*store)->LoadDecisions(),
                IsOkAndHolds(ElementsAre(Removed(true), weight)));
    ASSERT_THAT((*store)->SaveDecisions({Removed(false)}, /*synced=*/false),
                IsOk());
  }
  auto store = OpenRocksDbStateStore(directory, kCluster);
  ASSERT_THAT(store, IsOk());
  EXPECT_THAT((*store)->LoadDecisions(),
              IsOkAndHolds(ElementsAre(Removed(false), weight)));
}

TEST(RocksDbStateStoreTest, ADamagedDecisionIsNotPassedOver) {
  const std::string directory = NewDirectory();
  {
    ASSERT_THAT(OpenRocksDbStateStore(directory, kCluster), IsOk());
    rocksdb::DB* db = nullptr;
    ASSERT_TRUE(rocksdb::DB::Open({}, directory, &db).ok());
    const std::unique_ptr<rocksdb::DB> owned(db);
    ASSERT_TRUE(db->Put({}, "decision/4/x", "\xff\xff\xff").ok());
  }
  auto store = OpenRocksDbStateStore(directory, kCluster);
  ASSERT_THAT(store, IsOk());
  EXPECT_THAT((*store)->LoadDecisions(),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("decision/4/x")));
}

TEST(RocksDbStateStoreTest, TakesADirectoryOfTheFirstFormatWithItsNodes) {
  const std::string directory = NewDirectory();
  {
    auto store = OpenRocksDbStateStore(directory, kCluster);
    ASSERT_THAT(store, IsOk());
    ASSERT_THAT((*store)->SaveNodes({Node()}), IsOk());
  }
  {
    rocksdb::DB* db = nullptr;
    ASSERT_TRUE(rocksdb::DB::Open({}, directory, &db).ok());
    const std::unique_ptr<rocksdb::DB> owned(db);
    std::string value;
    ASSERT_TRUE(db->Get({}, "tracker", &value).ok());
    ASSERT_EQ(value.substr(0, 2), std::string("\x08\x02"));
    value[1] = 1;
    ASSERT_TRUE(db->Put({}, "tracker", value).ok());
  }
  {
    auto store = OpenRocksDbStateStore(directory, kCluster);
    ASSERT_THAT(store, IsOk());
    const auto nodes = (*store)->LoadNodes();
    ASSERT_THAT(nodes, IsOk());
    EXPECT_EQ(nodes->size(), 1u);
  }
  rocksdb::DB* db = nullptr;
  ASSERT_TRUE(rocksdb::DB::Open({}, directory, &db).ok());
  const std::unique_ptr<rocksdb::DB> owned(db);
  std::string value;
  ASSERT_TRUE(db->Get({}, "tracker", &value).ok());
  EXPECT_EQ(value.substr(0, 2), std::string("\x08\x02"));
}

TEST(RocksDbStateStoreTest, RefusesTheDirectoryOfAnotherCluster) {
  const std::string directory = NewDirectory();
  ASSERT_THAT(OpenRocksDbStateStore(directory, kCluster), IsOk());
  EXPECT_THAT(
      OpenRocksDbStateStore(directory, "99999999-2222-4333-8444-555555555555"),
      StatusIs(absl::StatusCode::kFailedPrecondition,
               HasSubstr("correct cluster_id or data_dir")));
  EXPECT_THAT(OpenRocksDbStateStore(directory, kCluster), IsOk());
}

TEST(RocksDbStateStoreTest, RefusesADirectoryThatIsInUse) {
  const std::string directory = NewDirectory();
  const auto store = OpenRocksDbStateStore(directory, kCluster);
  ASSERT_THAT(store, IsOk());
  EXPECT_THAT(
      OpenRocksDbStateStore(directory, kCluster),
      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("in use")));
}

TEST(RocksDbStateStoreTest, SkipsANodeThatCannotBeParsed) {
  const std::string directory = NewDirectory();
  {
    auto store = OpenRocksDbStateStore(directory, kCluster);
    ASSERT_THAT(store, IsOk());
    ASSERT_THAT((*store)->SaveNodes({Node()}), IsOk());
  }
  {
    rocksdb::DB* db = nullptr;
    ASSERT_TRUE(rocksdb::DB::Open({}, directory, &db).ok());
    const std::unique_ptr<rocksdb::DB> owned(db);
    ASSERT_TRUE(db->Put({}, "node/x", "\xff\xff\xff").ok());
  }
  auto store = OpenRocksDbStateStore(directory, kCluster);
  ASSERT_THAT(store, IsOk());
  const auto nodes = (*store)->LoadNodes();
  ASSERT_THAT(nodes, IsOk());
  EXPECT_EQ(nodes->size(), 1u);
}

TEST(RocksDbStateStoreTest, SaysThatANewerFormatNeedsANewerProgram) {
  const std::string directory = NewDirectory();
  {
    ASSERT_THAT(OpenRocksDbStateStore(directory, kCluster), IsOk());
    rocksdb::DB* db = nullptr;
    ASSERT_TRUE(rocksdb::DB::Open({}, directory, &db).ok());
    const std::unique_ptr<rocksdb::DB> owned(db);
    ASSERT_TRUE(db->Put({}, "tracker", "\x08\x03").ok());
  }
  EXPECT_THAT(OpenRocksDbStateStore(directory, kCluster),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("newer program")));
}

}  // namespace
}  // namespace tracker
}  // namespace cairn
