// What a storage that is killed with -9 may and may not lose: nothing that it
// acknowledged, at any level, and no file is ever there by half. A killed
// process keeps what the system took from it, so CACHED and SYNCED promise the
// same here; what a power cut does is driven by the engine's crash tests.

#include <signal.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "integration_tests/mini_cluster/cluster.h"
#include "integration_tests/mini_cluster/oracle.h"
#include "integration_tests/mini_cluster/storage_stub.h"
#include "integration_tests/mini_cluster/workload.h"
#include "lib/testing/seed_run.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace testing {
namespace {

using ::testing::HasSubstr;

std::unique_ptr<MiniCluster> StartCluster(const ClusterOptions& options) {
  auto cluster = MiniCluster::Start(options);
  EXPECT_THAT(cluster, IsOk());
  return cluster.ok() ? *std::move(cluster) : nullptr;
}

std::unique_ptr<Oracle> OpenOracle(const MiniCluster& cluster) {
  auto oracle = Oracle::Open(absl::StrCat(cluster.folder(), "/oracle"));
  EXPECT_THAT(oracle, IsOk());
  return *std::move(oracle);
}

// Loads the node until it has acknowledged `changes`, or dies of itself, and
// kills it in the middle of what it does.
void LoadAndKill(MiniCluster* cluster, Oracle* oracle, uint64_t seed,
                 int64_t changes) {
  Workload workload({.seed = seed}, cluster->storage()->address(), oracle);
  workload.Start();
  workload.AwaitAcknowledged(changes);
  cluster->storage()->Kill();
  EXPECT_THAT(workload.Stop(), IsOk());
  oracle->Remark("kill -9");
}

TEST(KillTest, KeepsWhatItAcknowledgedWhenItIsKilledUnderLoad) {
  SeedRun run(/*first_seed=*/1, /*rounds=*/3);
  while (run.Next()) {
    SCOPED_TRACE(run.Description());
    std::mt19937_64 random(run.seed());
    auto cluster = StartCluster({.paths = 1 + static_cast<int>(random() % 2)});
    ASSERT_NE(cluster, nullptr);
    auto oracle = OpenOracle(*cluster);
    int64_t unanswered = 0;
    for (int kill = 0; kill < 3; ++kill) {
      LoadAndKill(cluster.get(), oracle.get(), random(),
                  static_cast<int64_t>(1 + random() % 300));
      // Sometimes it is killed again while it opens.
      for (uint64_t again = random() % 3; again > 0; --again) {
        ASSERT_THAT(cluster->storage()->Launch(), IsOk());
        (void)cluster->storage()->process()->Wait(
            absl::Microseconds(random() % 60000));
        cluster->storage()->Kill();
      }
      ASSERT_THAT(cluster->storage()->Start(), IsOk());
      auto verified = Verify(oracle.get(), cluster->storage()->address());
      ASSERT_THAT(verified, IsOk());
      unanswered += verified->unanswered;
    }
    // Else it was not killed under load, and nothing was tried.
    EXPECT_GT(unanswered, 0);
  }
}

// Every place in the storage where a test may have the process die (lib/fault),
// as the storage itself lists them.
std::vector<std::string> FaultPointsOf(MiniCluster* cluster) {
  Daemon probe("services/storage/cairn-storage",
               absl::StrCat(cluster->folder(), "/fault_points"), "");
  EXPECT_THAT(probe.Launch({"--list_fault_points"}), IsOk());
  auto ended = probe.process()->Wait();
  EXPECT_THAT(ended, IsOk());
  EXPECT_EQ(ended->ToString(), "exit 0");
  return absl::StrSplit(probe.process()->Log(), '\n', absl::SkipEmpty());
}

TEST(KillTest, DiesAtEveryFaultPointWithoutLosingWhatItAcknowledged) {
  SeedRun run(/*first_seed=*/1, /*rounds=*/1);
  while (run.Next()) {
    SCOPED_TRACE(run.Description());
    std::mt19937_64 random(run.seed());
    auto cluster = StartCluster({});
    ASSERT_NE(cluster, nullptr);
    auto oracle = OpenOracle(*cluster);
    const std::vector<std::string> points = FaultPointsOf(cluster.get());
    ASSERT_FALSE(points.empty());
    for (const std::string& point : points) {
      SCOPED_TRACE(point);
      cluster->storage()->Kill();
      const std::string fault =
          absl::StrCat(point, "=abort@", 1 + random() % 20);
      oracle->Remark(fault);
      // A point on the way of opening ends it before it is ready.
      const absl::Status started = cluster->storage()->Start(
          {absl::StrCat("--enable_fault_points=", fault)});
      if (started.ok()) {
        LoadAndKill(cluster.get(), oracle.get(), random(), 150);
      } else {
        EXPECT_THAT(std::string(started.message()), HasSubstr("signal 9"));
      }
      ASSERT_THAT(cluster->storage()->Start(), IsOk());
      ASSERT_THAT(Verify(oracle.get(), cluster->storage()->address()), IsOk());
    }
  }
}

TEST(KillTest, SigtermAnswersWhatWasBegunAndEndsWell) {
  auto cluster = StartCluster({.paths = 2});
  ASSERT_NE(cluster, nullptr);
  auto oracle = OpenOracle(*cluster);
  Workload workload({.seed = 5}, cluster->storage()->address(), oracle.get());
  workload.Start();
  workload.AwaitAcknowledged(200);
  auto ended = cluster->storage()->Terminate();
  ASSERT_THAT(ended, IsOk());
  EXPECT_EQ(ended->ToString(), "exit 0");
  EXPECT_THAT(workload.Stop(), IsOk());

  ASSERT_THAT(cluster->storage()->Start(), IsOk());
  EXPECT_THAT(Verify(oracle.get(), cluster->storage()->address()), IsOk());
}

TEST(KillTest, ASecondProcessOnTheSameDataIsRefused) {
  auto cluster = StartCluster({});
  ASSERT_NE(cluster, nullptr);
  StorageStub stub(cluster->storage()->address());
  auto stored = stub.Put(Uuid::Random(), "first");
  ASSERT_THAT(stored, IsOk());

  auto second = Process::Start(
      {cluster->storage()->program(),
       {absl::StrCat("--config=", cluster->storage()->config_file()),
        absl::StrCat("--ready_file=", cluster->folder(), "/second_ready")},
       absl::StrCat(cluster->folder(), "/second_log")});
  ASSERT_THAT(second, IsOk());
  auto ended = (*second)->Wait();
  ASSERT_THAT(ended, IsOk());
  ASSERT_TRUE(ended->code.has_value());
  EXPECT_NE(*ended->code, 0);
  EXPECT_THAT((*second)->Log(), HasSubstr("in use by another process"));

  // The first one goes on as if nothing had been.
  auto content = stub.Get(stored->file_id);
  ASSERT_THAT(content, IsOk());
  EXPECT_EQ(*content, "first");
  EXPECT_THAT(stub.Put(Uuid::Random(), "second"), IsOk());
}

TEST(KillTest, ARequestRepeatedAfterAKillGivesTheSameFile) {
  auto cluster = StartCluster({.paths = 2});
  ASSERT_NE(cluster, nullptr);
  const std::vector<int64_t> sizes = {0, 100, 1 << 20, 3 << 20};
  struct Put {
    Uuid request;
    std::string content;
    std::string file_id;
  };
  std::vector<Put> puts;
  {
    StorageStub stub(cluster->storage()->address());
    for (const int64_t size : sizes) {
      Put put{Uuid::Random(), ContentOf(size, size), ""};
      auto stored = stub.Put(put.request, put.content, {.synced = false});
      ASSERT_THAT(stored, IsOk());
      put.file_id = stored->file_id;
      puts.push_back(std::move(put));
    }
  }
  cluster->storage()->Kill();
  ASSERT_THAT(cluster->storage()->Start(), IsOk());

  StorageStub stub(cluster->storage()->address());
  for (const Put& put : puts) {
    auto repeated = stub.Put(put.request, put.content);
    ASSERT_THAT(repeated, IsOk());
    EXPECT_EQ(repeated->file_id, put.file_id);
    EXPECT_TRUE(repeated->replayed);
    auto content = stub.Get(put.file_id);
    ASSERT_THAT(content, IsOk());
    EXPECT_EQ(*content, put.content);
  }
  auto files = stub.Files();
  ASSERT_THAT(files, IsOk());
  EXPECT_EQ(*files, static_cast<int64_t>(puts.size()));
}

}  // namespace
}  // namespace testing
}  // namespace cairn
