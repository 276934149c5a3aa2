// Trackers come and go; storages and clients go on. The client here is the one
// that programs use.

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cairn/tracker/v1/tracker_service.grpc.pb.h"
#include "clients/cpp/client.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "integration_tests/mini_cluster/cluster.h"
#include "integration_tests/mini_cluster/process.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/grpc_status.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace testing {
namespace {

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

// Asks until the tracker knows `count` nodes that are all in `state`, and
// returns them.
Nodes AwaitNodes(const std::string& tracker, size_t count,
                 tracker::v1::NodeState state) {
  const absl::Time deadline = absl::Now() + kProcessDeadline;
  while (true) {
    absl::StatusOr<Nodes> nodes = ListNodes(tracker);
    if (nodes.ok() && nodes->size() == count) {
      bool all = true;
      for (const auto& node : *nodes) all = all && node.state() == state;
      if (all) return *std::move(nodes);
    }
    if (absl::Now() > deadline) {
      ADD_FAILURE() << "tracker " << tracker << " never saw " << count
                    << " nodes in state " << tracker::v1::NodeState_Name(state)
                    << ": " << nodes.status();
      return {};
    }
    absl::SleepFor(absl::Milliseconds(20));
  }
}

void AwaitAllActive(MiniCluster* cluster, size_t storages) {
  for (const std::string& tracker : cluster->tracker_addresses()) {
    AwaitNodes(tracker, storages, tracker::v1::NODE_STATE_ACTIVE);
  }
}

std::unique_ptr<client::Client> Connect(
    const std::vector<std::string>& trackers) {
  client::ClientOptions options;
  options.trackers = trackers;
  options.connect_timeout = kProcessDeadline;
  options.timeout = kProcessDeadline;
  auto client = client::Client::Connect(options);
  EXPECT_THAT(client, IsOk());
  return client.ok() ? *std::move(client) : nullptr;
}

void ExpectContent(client::Client* client, const std::string& id,
                   const std::string& text) {
  auto get = client->Get(id);
  ASSERT_THAT(get, IsOk());
  EXPECT_EQ(std::string(get->content), text);
}

// Puts a file, reads it back, and returns its ID.
std::string ExpectPutAndGet(client::Client* client, const std::string& text) {
  auto put = client->Put(text);
  EXPECT_THAT(put, IsOk());
  if (!put.ok()) return "";
  ExpectContent(client, put->info.file_id, text);
  return put->info.file_id;
}

TEST(TrackerTest, AClientGoesOnWhenAllTrackersAreGone) {
  auto cluster = MiniCluster::Start({.trackers = 2, .storages = 2});
  ASSERT_THAT(cluster, IsOk());
  AwaitAllActive(cluster->get(), 2);
  auto client = Connect((*cluster)->tracker_addresses());
  ASSERT_NE(client, nullptr);
  const std::string id = ExpectPutAndGet(client.get(), "with trackers");
  (*cluster)->tracker(0)->Kill();
  (*cluster)->tracker(1)->Kill();
  for (int i = 0; i < 10; ++i) {
    ExpectPutAndGet(client.get(), absl::StrCat("without trackers ", i));
  }
  ExpectContent(client.get(), id, "with trackers");
  // Nodes come and go meanwhile; a place is enough to find one again.
  for (int i = 0; i < 2; ++i) {
    ASSERT_THAT((*cluster)->storage(i)->KillAndRestart(), IsOk());
  }
  ExpectContent(client.get(), id, "with trackers");
  const std::string late = ExpectPutAndGet(client.get(), "after restarts");

  // With one tracker back, whoever is new finds everything.
  ASSERT_THAT((*cluster)->tracker(1)->Start(), IsOk());
  AwaitNodes((*cluster)->tracker(1)->address(), 2,
             tracker::v1::NODE_STATE_ACTIVE);
  auto newcomer = Connect((*cluster)->tracker_addresses());
  ASSERT_NE(newcomer, nullptr);
  ExpectContent(newcomer.get(), late, "after restarts");
}

TEST(TrackerTest, AnyOneTrackerIsEnough) {
  auto cluster = MiniCluster::Start({.trackers = 3});
  ASSERT_THAT(cluster, IsOk());
  AwaitAllActive(cluster->get(), 1);
  const auto addresses = (*cluster)->tracker_addresses();
  auto old = Connect(addresses);
  ASSERT_NE(old, nullptr);
  for (int gone = 0; gone < 2; ++gone) {
    (*cluster)->tracker(gone)->Kill();
    // A client that has never been here before tries them in turn.
    auto client = Connect(addresses);
    ASSERT_NE(client, nullptr);
    ExpectPutAndGet(client.get(), absl::StrCat("gone: ", gone));
    ExpectPutAndGet(old.get(), absl::StrCat("gone, the old client: ", gone));
  }
}

// With every storage gone, a tracker that comes back has only what it wrote
// down: after a stop, and after a kill at any moment.
TEST(TrackerTest, ATrackerThatComesBackKeepsWhatItKnows) {
  auto cluster = MiniCluster::Start(
      {.trackers = 1,
       .storages = 2,
       .tracker_config = "suspect_after { nanos: 200000000 }\n"
                         "offline_after { nanos: 500000000 }\n"});
  ASSERT_THAT(cluster, IsOk());
  Daemon* const tracker = (*cluster)->tracker();
  const Nodes before =
      AwaitNodes(tracker->address(), 2, tracker::v1::NODE_STATE_ACTIVE);
  ASSERT_EQ(before.size(), 2u);
  (*cluster)->storage(0)->Kill();
  (*cluster)->storage(1)->Kill();
  // It is offline some rounds after it attached, and each round saves.
  AwaitNodes(tracker->address(), 2, tracker::v1::NODE_STATE_OFFLINE);

  for (const bool kill : {true, false}) {
    SCOPED_TRACE(kill ? "killed" : "stopped");
    if (kill) {
      ASSERT_THAT(tracker->KillAndRestart(), IsOk());
    } else {
      ASSERT_THAT(tracker->Terminate(), IsOk());
      ASSERT_THAT(tracker->Start(), IsOk());
    }
    const auto after = ListNodes(tracker->address());
    ASSERT_THAT(after, IsOk());
    ASSERT_EQ(after->size(), 2u);
    for (size_t i = 0; i < 2; ++i) {
      const tracker::v1::Node& known = after->at(i);
      EXPECT_EQ(known.identity().SerializeAsString(),
                before[i].identity().SerializeAsString());
      EXPECT_NE(known.state(), tracker::v1::NODE_STATE_ACTIVE);
      EXPECT_EQ(known.report().store_paths_size(), 1);
    }
  }

  // They come back as the same nodes.
  for (int i = 0; i < 2; ++i) {
    ASSERT_THAT((*cluster)->storage(i)->Start(), IsOk());
  }
  AwaitNodes(tracker->address(), 2, tracker::v1::NODE_STATE_ACTIVE);
}

TEST(TrackerTest, ATrackerWithAnEmptyDiskLearnsTheNodesAgain) {
  auto cluster = MiniCluster::Start({.trackers = 1, .storages = 2});
  ASSERT_THAT(cluster, IsOk());
  AwaitAllActive(cluster->get(), 2);
  Daemon* const tracker = (*cluster)->tracker();
  auto client = Connect({tracker->address()});
  ASSERT_NE(client, nullptr);
  const std::string id = ExpectPutAndGet(client.get(), "before");

  tracker->Kill();
  ASSERT_GT(std::filesystem::remove_all(tracker->folder() + "/data"), 0u);
  ASSERT_THAT(tracker->Start(), IsOk());
  AwaitAllActive(cluster->get(), 2);
  // A new client has only what this tracker knows.
  auto newcomer = Connect({tracker->address()});
  ASSERT_NE(newcomer, nullptr);
  ExpectContent(newcomer.get(), id, "before");
  ExpectPutAndGet(newcomer.get(), "after");
  ExpectPutAndGet(client.get(), "after, from the old client");
}

TEST(TrackerTest, AStorageThatComesBackIsFoundAgain) {
  auto cluster = MiniCluster::Start({.trackers = 2});
  ASSERT_THAT(cluster, IsOk());
  AwaitAllActive(cluster->get(), 1);
  auto client = Connect((*cluster)->tracker_addresses());
  ASSERT_NE(client, nullptr);
  const std::string id = ExpectPutAndGet(client.get(), "before");
  ASSERT_THAT((*cluster)->storage()->KillAndRestart(), IsOk());
  ExpectContent(client.get(), id, "before");
  ExpectPutAndGet(client.get(), "after");
}

}  // namespace
}  // namespace testing
}  // namespace cairn
