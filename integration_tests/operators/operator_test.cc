// What operators decide with the `cairn` command, at trackers that are killed,
// and what it does to storages and clients: all of them real processes, but for
// the client, which is the library that programs use.

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cairn/storage/v1/node_service.pb.h"
#include "cairn/tracker/v1/tracker_service.grpc.pb.h"
#include "clients/cpp/client.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "integration_tests/mini_cluster/cluster.h"
#include "integration_tests/mini_cluster/process.h"
#include "integration_tests/mini_cluster/storage_stub.h"
#include "lib/base/error_reason.h"
#include "lib/base/uuid.h"
#include "lib/placement/cluster_model.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/grpc_status.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace testing {
namespace {

using ::testing::HasSubstr;

using Nodes = std::vector<tracker::v1::Node>;

absl::StatusOr<Nodes> ListNodes(const std::string& tracker) {
  grpc::ClientContext context;
  rpc::SetTimeout(&context, kProcessDeadline);
  tracker::v1::ListNodesResponse response;
  const grpc::Status status =
      tracker::v1::TrackerService::NewStub(rpc::MakeChannel(tracker))
          ->ListNodes(&context, tracker::v1::ListNodesRequest(), &response);
  if (!status.ok()) return rpc::FromGrpcStatus(status);
  return Nodes(response.nodes().begin(), response.nodes().end());
}

// Asks until the tracker's nodes are as wanted.
bool AwaitNodes(const std::string& tracker,
                const std::function<bool(const Nodes&)>& wanted) {
  const absl::Time deadline = absl::Now() + kProcessDeadline;
  while (true) {
    const absl::StatusOr<Nodes> nodes = ListNodes(tracker);
    if (nodes.ok() && wanted(*nodes)) return true;
    if (absl::Now() > deadline) {
      ADD_FAILURE() << "tracker " << tracker << ": " << nodes.status();
      return false;
    }
    absl::SleepFor(absl::Milliseconds(20));
  }
}

const tracker::v1::Node* Find(const Nodes& nodes, const std::string& name) {
  for (const tracker::v1::Node& node : nodes) {
    if (node.identity().name() == name) return &node;
  }
  return nullptr;
}

bool AwaitRole(const std::string& tracker, const std::string& name,
               tracker::v1::NodeRole role) {
  return AwaitNodes(tracker, [&](const Nodes& nodes) {
    const tracker::v1::Node* const node = Find(nodes, name);
    return node != nullptr && node->effective().role() == role;
  });
}

bool AwaitActive(const std::string& tracker, const std::string& name) {
  return AwaitNodes(tracker, [&](const Nodes& nodes) {
    const tracker::v1::Node* const node = Find(nodes, name);
    return node != nullptr && node->state() == tracker::v1::NODE_STATE_ACTIVE;
  });
}

bool AwaitGone(const std::string& tracker, const std::string& name) {
  return AwaitNodes(tracker, [&](const Nodes& nodes) {
    return Find(nodes, name) == nullptr;
  });
}

struct CommandResult {
  int exit = -1;
  std::string text;  // Both outputs.
};

class OperatorTest : public ::testing::Test {
 protected:
  // Two trackers that know of each other, which they can only once they have
  // their ports.
  void Start(int storages, int members = 1) {
    auto cluster = MiniCluster::Start(
        {.trackers = 2, .storages = storages, .members = members});
    ASSERT_THAT(cluster, IsOk());
    cluster_ = *std::move(cluster);
    for (int i = 0; i < 2; ++i) ASSERT_THAT(RestartTracker(i), IsOk());
    for (int i = 0; i < 2; ++i) {
      for (int storage = 0; storage < storages; ++storage) {
        ASSERT_TRUE(AwaitActive(Tracker(i), absl::StrCat("storage", storage)));
      }
    }
  }

  // Kills it first.
  absl::Status RestartTracker(int i) {
    return cluster_->tracker(i)->KillAndRestart(
        {absl::StrCat("--set=trackers=", Tracker(1 - i))});
  }

  std::string Tracker(int i) { return cluster_->tracker(i)->address(); }

  // Runs `cairn` against one tracker, with nobody to ask.
  CommandResult Cairn(int tracker, std::vector<std::string> arguments) {
    arguments.insert(arguments.end(),
                     {"--tracker", Tracker(tracker), "--timeout", "60s"});
    if (arguments[1] != "list" && arguments[0] != "status") {
      arguments.insert(arguments.end(),
                       {"--secret-file", cluster_->secret_file()});
    }
    const std::string log =
        absl::StrCat(cluster_->folder(), "/cairn", ++commands_);
    auto process =
        Process::Start({Runfile("clients/cli/cairn"), arguments, log});
    EXPECT_THAT(process, IsOk());
    if (!process.ok()) return {};
    const auto status = (*process)->Wait();
    EXPECT_THAT(status, IsOk());
    return {status.ok() ? status->code.value_or(-1) : -1, (*process)->Log()};
  }

  std::unique_ptr<client::Client> Connect() {
    client::ClientOptions options;
    options.trackers = cluster_->tracker_addresses();
    options.connect_timeout = kProcessDeadline;
    options.timeout = kProcessDeadline;
    auto client = client::Client::Connect(options);
    EXPECT_THAT(client, IsOk());
    return client.ok() ? *std::move(client) : nullptr;
  }

  std::unique_ptr<MiniCluster> cluster_;
  int commands_ = 0;
};

// Puts files until `wanted` of the last `count` IDs holds.
bool AwaitPuts(client::Client* client, int count,
               const std::function<bool(const std::string&)>& wanted) {
  const absl::Time deadline = absl::Now() + kProcessDeadline;
  for (int in_a_row = 0; in_a_row < count;) {
    const auto put = client->Put("some content");
    EXPECT_THAT(put, IsOk());
    if (!put.ok() || absl::Now() > deadline) return false;
    in_a_row = wanted(put->info.file_id) ? in_a_row + 1 : 0;
  }
  return true;
}

bool InGroup1(const std::string& id) { return absl::StartsWith(id, "group1/"); }

TEST_F(OperatorTest, ADecisionHoldsAtAllTrackersThroughTheDeathOfEach) {
  Start(/*storages=*/1);
  const CommandResult set =
      Cairn(0, {"node", "set", "storage0", "--weight", "7", "--priority", "3",
                "--role", "draining", "--reason", "new disks", "--yes"});
  ASSERT_EQ(set.exit, 0) << set.text;
  EXPECT_THAT(set.text, HasSubstr("draining"));
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(
        AwaitRole(Tracker(i), "storage0", tracker::v1::NODE_ROLE_DRAINING));
  }
  // What was answered is on that tracker's disk, what was heard soon on the
  // other one's.
  for (int i = 0; i < 2; ++i) {
    SCOPED_TRACE(i);
    ASSERT_THAT(RestartTracker(i), IsOk());
    ASSERT_TRUE(
        AwaitRole(Tracker(i), "storage0", tracker::v1::NODE_ROLE_DRAINING));
  }
  // A tracker that has lost its disk learns it from the other one.
  cluster_->tracker(0)->Kill();
  ASSERT_GT(
      std::filesystem::remove_all(cluster_->tracker(0)->folder() + "/data"),
      0u);
  ASSERT_THAT(RestartTracker(0), IsOk());
  ASSERT_TRUE(
      AwaitRole(Tracker(0), "storage0", tracker::v1::NODE_ROLE_DRAINING));
  const CommandResult status = Cairn(0, {"status"});
  EXPECT_THAT(status.text, HasSubstr("new disks"));
  const auto nodes = ListNodes(Tracker(0));
  ASSERT_THAT(nodes, IsOk());
  EXPECT_EQ(Find(*nodes, "storage0")->effective().weight(), 7u);
  EXPECT_EQ(Find(*nodes, "storage0")->report().weight(), 100u);
  // The node itself knows.
  EXPECT_THAT(cluster_->storage()->process()->Log(),
              HasSubstr("NODE_ROLE_DRAINING"));
}

TEST_F(OperatorTest, ClientsStopUploadingToANodeThatDrains) {
  Start(/*storages=*/2);
  auto client = Connect();
  ASSERT_NE(client, nullptr);
  const auto in_group1 = client->Put("before", {.group = "group1"});
  ASSERT_THAT(in_group1, IsOk());

  const CommandResult drain =
      Cairn(0, {"node", "drain", "storage0", "--no-wait", "--yes"});
  ASSERT_EQ(drain.exit, 0) << drain.text;
  EXPECT_THAT(drain.text, HasSubstr("Group group1 takes no uploads any more"));
  const absl::Time begun = absl::Now();
  ASSERT_TRUE(AwaitPuts(client.get(), 50,
                        [](const std::string& id) { return !InGroup1(id); }));
  // The client watches a tracker; it needs no minute to know.
  EXPECT_LT(absl::Now() - begun, absl::Seconds(30));
  const auto read = client->Get(in_group1->info.file_id);
  ASSERT_THAT(read, IsOk());
  EXPECT_EQ(std::string(read->content), "before");

  // Taken back at the other tracker.
  const CommandResult back =
      Cairn(1, {"node", "set", "storage0", "--role", "own"});
  ASSERT_EQ(back.exit, 0) << back.text;
  EXPECT_TRUE(AwaitPuts(client.get(), 1, InGroup1));
}

TEST_F(OperatorTest, ADecidedReserveKeepsUploadsAwayUntilItIsTakenBack) {
  Start(/*storages=*/1);
  StorageStub stub(cluster_->storage()->address());
  const auto before = stub.Put(Uuid::Random(), "before");
  ASSERT_THAT(before, IsOk());
  // What the node itself says of its disk, once it is so.
  const auto await = [&stub](const auto& wanted) {
    const absl::Time deadline = absl::Now() + kProcessDeadline;
    while (absl::Now() < deadline) {
      const auto state = stub.State();
      EXPECT_THAT(state, IsOk());
      if (!state.ok()) break;
      const auto& path = state->store_paths(0);
      if (wanted(path)) return path;
      absl::SleepFor(absl::Milliseconds(20));
    }
    ADD_FAILURE() << "the reserve is not as decided";
    return storage::v1::StorePathStatus();
  };
  const auto own_path = await([](const auto& path) {
    return path.total_bytes() > 0 &&
           path.reserve_bytes() < path.total_bytes() / 2;
  });
  const CommandResult set =
      Cairn(0, {"node", "set", "storage0", "--reserve", "90", "--yes"});
  ASSERT_EQ(set.exit, 0) << set.text;
  const auto path = await([](const auto& path) {
    return path.reserve_bytes() >= path.total_bytes() / 10 * 8;
  });
  const CommandResult status = Cairn(0, {"status"});
  EXPECT_THAT(status.text, HasSubstr("keeps 90 % of each disk from uploads"));
  // The node refuses, whoever asks it, unless this machine's disk is empty.
  const auto put = stub.Put(Uuid::Random(), "after");
  if (path.free_bytes() < path.reserve_bytes()) {
    EXPECT_EQ(ReasonOf(put.status()), ErrorReason::kDiskFull) << put.status();
  } else {
    EXPECT_THAT(put, IsOk());
  }
  // Files are read and deleted as before.
  EXPECT_THAT(stub.Get(before->file_id), IsOkAndHolds("before"));
  EXPECT_THAT(stub.Delete(Uuid::Random(), before->file_id), IsOk());

  const CommandResult back =
      Cairn(1, {"node", "set", "storage0", "--reserve", "own", "--yes"});
  ASSERT_EQ(back.exit, 0) << back.text;
  await([&](const auto& now) {
    return now.reserve_bytes() == own_path.reserve_bytes();
  });
  EXPECT_THAT(stub.Put(Uuid::Random(), "after"), IsOk());
}

TEST_F(OperatorTest, TheAppendersOfADeadNodeAreTakenOverAndGivenBack) {
  constexpr int kMembers = 3;
  Start(/*storages=*/kMembers, /*members=*/kMembers);
  auto client = Connect();
  ASSERT_NE(client, nullptr);
  client::PutOptions all;
  all.durability.replicas = kMembers;
  const auto created = client->CreateAppender("begin", all);
  ASSERT_THAT(created, IsOk());
  const std::string id = created->info.file_id;
  std::string content = "begin";
  const auto append = [&](const std::string& more) {
    EXPECT_THAT(client->Append(id, more), IsOk());
    content += more;
  };
  const auto expect_at = [&](int member) {
    SCOPED_TRACE(absl::StrCat("member ", member));
    StorageStub stub(cluster_->storage(member)->address());
    const absl::Time deadline = absl::Now() + kProcessDeadline;
    absl::StatusOr<std::string> read = stub.Get(id);
    while ((!read.ok() || *read != content) && absl::Now() < deadline) {
      absl::SleepFor(absl::Milliseconds(20));
      read = stub.Get(id);
    }
    EXPECT_THAT(read, IsOkAndHolds(content));
  };
  for (int i = 0; i < 20; ++i) append(absl::StrCat(" ", i));

  int origin = 0;
  for (const NodeModel& node : client->cluster()->nodes()) {
    if (node.number != created->info.origin_node) continue;
    while (cluster_->storage(origin)->address() != node.address) ++origin;
  }
  const std::string name = absl::StrCat("storage", origin);
  cluster_->storage(origin)->Kill();
  const CommandResult removed =
      Cairn(0, {"node", "remove", name, "--force", "--yes"});
  ASSERT_EQ(removed.exit, 0) << removed.text;
  EXPECT_THAT(removed.text, HasSubstr("Appenders that it changes are changed"));
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(AwaitGone(Tracker(i), name));

  for (int i = 20; i < 40; ++i) append(absl::StrCat(" ", i));
  AttributeChange change;
  change.set = {{"k", "v"}};
  EXPECT_THAT(client->SetAttributes(id, change), IsOk());
  for (int member = 0; member < kMembers; ++member) {
    if (member != origin) expect_at(member);
  }
  EXPECT_THAT(Cairn(1, {"status"}).text,
              HasSubstr(absl::StrCat("appenders of node ", name)));

  // It comes back, and takes no change before it has heard of the others.
  ASSERT_THAT(cluster_->storage(origin)->Start(), IsOk());
  const CommandResult restored = Cairn(1, {"node", "restore", name});
  ASSERT_EQ(restored.exit, 0) << restored.text;
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(AwaitActive(Tracker(i), name));
  for (int i = 40; i < 60; ++i) append(absl::StrCat(" ", i));
  for (int member = 0; member < kMembers; ++member) expect_at(member);
}

TEST_F(OperatorTest, ANodeIsRemovedAndLetBack) {
  Start(/*storages=*/2);
  // Without a word from a person it is refused, and while it serves.
  CommandResult result = Cairn(0, {"node", "remove", "storage0", "--force"});
  EXPECT_EQ(result.exit, 2) << result.text;
  EXPECT_THAT(result.text, HasSubstr("--yes"));
  result = Cairn(0, {"node", "remove", "storage0", "--yes"});
  EXPECT_EQ(result.exit, 1) << result.text;
  EXPECT_THAT(result.text, HasSubstr("NODE_ACTIVE"));
  result = Cairn(0, {"node", "remove", "storage0", "--force", "--dry-run"});
  EXPECT_EQ(result.exit, 0) << result.text;
  EXPECT_THAT(result.text, HasSubstr("nothing is decided"));

  ASSERT_EQ(Cairn(0, {"node", "drain", "storage0", "--no-wait", "--yes"}).exit,
            0);
  // As soon as it has looked whether anything is there alone.
  ASSERT_TRUE(AwaitNodes(Tracker(0), [](const Nodes& nodes) {
    const tracker::v1::Node* const node = Find(nodes, "storage0");
    return node != nullptr && node->report().store_paths_size() > 0 &&
           node->report().store_paths(0).changes_only_here() == 0;
  }));
  result = Cairn(0, {"node", "remove", "storage0", "--yes"});
  ASSERT_EQ(result.exit, 0) << result.text;
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(AwaitGone(Tracker(i), "storage0"));
  result = Cairn(1, {"node", "list"});
  EXPECT_THAT(result.text, HasSubstr("removed"));
  // It knocks again and again, and is told why it may not in. A restart does
  // not help it.
  ASSERT_THAT(cluster_->storage(0)->KillAndRestart(), IsOk());
  const absl::Time deadline = absl::Now() + kProcessDeadline;
  while (!absl::StrContains(cluster_->storage(0)->process()->Log(),
                            "cairn node restore")) {
    ASSERT_LT(absl::Now(), deadline);
    absl::SleepFor(absl::Milliseconds(20));
  }
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(AwaitGone(Tracker(i), "storage0"));

  result = Cairn(1, {"node", "restore", "storage0"});
  ASSERT_EQ(result.exit, 0) << result.text;
  EXPECT_THAT(result.text, HasSubstr("It is draining then"));
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(AwaitActive(Tracker(i), "storage0"));
    ASSERT_TRUE(
        AwaitRole(Tracker(i), "storage0", tracker::v1::NODE_ROLE_DRAINING));
  }

  // With a file it is the last that holds it.
  ASSERT_EQ(Cairn(0, {"node", "set", "storage0", "--role", "own"}).exit, 0);
  auto client = Connect();
  ASSERT_NE(client, nullptr);
  ASSERT_THAT(client->Put("precious", {.group = "group1"}), IsOk());
  ASSERT_TRUE(AwaitNodes(Tracker(0), [](const Nodes& nodes) {
    const tracker::v1::Node* const node = Find(nodes, "storage0");
    return node != nullptr && node->report().store_paths(0).files() == 1;
  }));
  result = Cairn(0, {"node", "remove", "storage0", "--force", "--yes"});
  EXPECT_EQ(result.exit, 1) << result.text;
  EXPECT_THAT(result.text, HasSubstr("LAST_MEMBER"));
}

TEST_F(OperatorTest, AGroupThatIsAddedTakesUploadsWhileTheyRun) {
  Start(/*storages=*/1);
  auto client = Connect();
  ASSERT_NE(client, nullptr);
  std::atomic<bool> done{false};
  std::atomic<bool> second_group{false};
  std::thread uploads([&] {
    const absl::Time deadline = absl::Now() + kProcessDeadline;
    while (!done && !second_group && absl::Now() < deadline) {
      const auto put = client->Put("some content");
      EXPECT_THAT(put, IsOk());
      if (!put.ok()) return;
      if (!InGroup1(put->info.file_id)) second_group = true;
    }
  });
  const auto added = cluster_->AddStorage({cluster_->path_folder(1)});
  EXPECT_THAT(added, IsOk());
  if (!added.ok()) done = true;
  const absl::Time begun = absl::Now();
  uploads.join();
  EXPECT_TRUE(second_group);
  // The client watches a tracker; it needs no minute to know.
  EXPECT_LT(absl::Now() - begun, absl::Seconds(30));
}

TEST_F(OperatorTest, ADrainEndsWhenAllIsElsewhereAndARemovedNodeIsLeftOut) {
  Start(/*storages=*/2, /*members=*/2);
  auto client = Connect();
  ASSERT_NE(client, nullptr);
  // With the other one dead, what is put is here alone, and the node must stay.
  cluster_->storage(1)->Kill();
  std::vector<std::string> ids;
  for (int i = 0; i < 20; ++i) {
    const auto put = client->Put(absl::StrCat("content ", i));
    ASSERT_THAT(put, IsOk());
    ids.push_back(put->info.file_id);
  }
  ASSERT_TRUE(AwaitNodes(Tracker(0), [](const Nodes& nodes) {
    const tracker::v1::Node* const node = Find(nodes, "storage0");
    return node != nullptr &&
           node->report().store_paths(0).changes_only_here() == 20;
  }));
  CommandResult result = Cairn(0, {"status"});
  EXPECT_EQ(result.exit, 1) << result.text;
  EXPECT_THAT(result.text, HasSubstr("AT RISK"));
  result = Cairn(0, {"node", "drain", "storage0", "--no-wait", "--yes"});
  ASSERT_EQ(result.exit, 0) << result.text;
  result = Cairn(0, {"node", "remove", "storage0", "--yes"});
  EXPECT_EQ(result.exit, 1) << result.text;
  EXPECT_THAT(result.text, HasSubstr("NOT_REPLICATED"));

  // The wait is over when the other one is back and has everything.
  ASSERT_THAT(cluster_->storage(1)->Start(), IsOk());
  result = Cairn(1, {"node", "drain", "storage0", "--yes"});
  ASSERT_EQ(result.exit, 0) << result.text;
  EXPECT_THAT(result.text, HasSubstr("safe to remove"));
  result = Cairn(1, {"node", "remove", "storage0", "--yes"});
  ASSERT_EQ(result.exit, 0) << result.text;

  // It still runs, and nobody gives it anything any more.
  StorageStub removed(cluster_->storage(0)->address());
  const auto await_pull = [&](bool pulling, absl::string_view error) {
    const absl::Time deadline = absl::Now() + kProcessDeadline;
    std::string last;
    while (absl::Now() < deadline) {
      const auto state = removed.State();
      EXPECT_THAT(state, IsOk());
      if (state.ok() && state->store_paths(0).replication().peers_size() == 1) {
        const auto& peer = state->store_paths(0).replication().peers(0);
        last = peer.last_error();
        if (peer.pulling() == pulling &&
            absl::StrContains(peer.last_error(), error)) {
          return true;
        }
      }
      absl::SleepFor(absl::Milliseconds(20));
    }
    ADD_FAILURE() << last;
    return false;
  };
  EXPECT_TRUE(await_pull(false, "was removed from the cluster"));
  for (const std::string& id : ids) {
    EXPECT_THAT(client->Get(id), IsOk());
  }
  // Let back, it is given everything again.
  ASSERT_EQ(Cairn(0, {"node", "restore", "storage0"}).exit, 0);
  EXPECT_TRUE(await_pull(true, ""));
}

}  // namespace
}  // namespace testing
}  // namespace cairn
