// A group of real processes that is used while it is killed, stopped, cut off,
// wiped, filled up and changed, and must hold what it acknowledged in the end:
// at every member, byte for byte.
//
// What the load asked and was answered is in `oracle`, what was done to the
// cluster in `nemesis`; both are kept, with the daemons' logs, when it fails.

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "integration_tests/chaos/change_load.h"
#include "integration_tests/chaos/client_load.h"
#include "integration_tests/chaos/life_load.h"
#include "integration_tests/chaos/life_verifier.h"
#include "integration_tests/chaos/nemesis.h"
#include "integration_tests/chaos/verifier.h"
#include "integration_tests/mini_cluster/cluster.h"
#include "integration_tests/mini_cluster/disks.h"
#include "integration_tests/mini_cluster/oracle.h"
#include "integration_tests/mini_cluster/process.h"
#include "integration_tests/mini_cluster/storage_stub.h"
#include "lib/testing/seed_run.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace testing {
namespace {

constexpr int kMembers = 3;
constexpr int kPaths = 2;
constexpr int64_t kSmallDiskBytes = 384 << 20;

// Small, so that segments are closed, the index is written and old segments are
// compacted in a short run too.
constexpr char kEngineConfig[] =
    "segment_bytes: 8388608 memtable_bytes: 1048576 "
    "checkpoint_journal_bytes: 8388608 ";

// Of every other seed: what has expired is reclaimed while all of it goes on.
constexpr char kShortGrace[] = "expiry_grace { seconds: 4 } ";

// A member that is stopped is OFFLINE soon.
constexpr char kTrackerConfig[] =
    "suspect_after { seconds: 1 }\noffline_after { seconds: 2 }\n";

class ChaosTest : public ::testing::Test {
 protected:
  // Everything of one seed; false if something failed.
  void RunSeed(uint64_t seed);

  void StartCluster(uint64_t seed);
  absl::Status AddMember(const std::vector<std::string>& paths);
  absl::Status Introduce(int member);
  bool reclaims() const { return seed_ % 2 == 0; }
  void Verify(const Nemesis& nemesis, int64_t* everywhere_line);
  void KeepLogs(uint64_t seed) const;

  std::unique_ptr<MiniCluster> cluster_;
  std::unique_ptr<Oracle> oracle_;
  std::unique_ptr<ClientLoad> load_;
  std::unique_ptr<ChangeLoad> changes_;
  std::unique_ptr<LifeLoad> lives_;
  NemesisWorld world_;
  uint64_t seed_ = 0;
  ChaosVerified verified_;
  LivesVerified lives_verified_;
};

absl::Status ChaosTest::AddMember(const std::vector<std::string>& paths) {
  const auto added = cluster_->AddStorage(
      paths, absl::StrCat("engine { ", kEngineConfig,
                          reclaims() ? kShortGrace : "", "}\n"));
  if (!added.ok()) return added.status();
  world_.paths.push_back(paths);
  return load_ == nullptr ? absl::OkStatus()
                          : Introduce(cluster_->storages() - 1);
}

// Tells the loads of a member.
absl::Status ChaosTest::Introduce(int member) {
  const std::string& address = cluster_->storage(member)->address();
  load_->AddMember(address);
  const auto number = NodeNumberOf(address);
  if (!number.ok()) return number.status();
  return lives_->AddMember(cluster_->link(member)->address(), *number);
}

void ChaosTest::StartCluster(uint64_t seed) {
  seed_ = seed;
  // One more may join.
  auto cluster = MiniCluster::Start({.trackers = 2,
                                     .storages = 0,
                                     .members = kMembers + 1,
                                     .tracker_config = kTrackerConfig,
                                     .proxies = true});
  ASSERT_THAT(cluster, IsOk());
  cluster_ = *std::move(cluster);
  auto oracle = Oracle::Open(absl::StrCat(cluster_->folder(), "/oracle"));
  ASSERT_THAT(oracle, IsOk());
  oracle_ = *std::move(oracle);

  world_ = NemesisWorld();
  world_.cluster = cluster_.get();
  world_.oracle = oracle_.get();
  world_.log_file = absl::StrCat(cluster_->folder(), "/nemesis");
  const int small_disk_member = static_cast<int>(seed % kMembers);
  for (int member = 0; member < kMembers; ++member) {
    std::vector<std::string> paths;
    for (int path = 0; path < kPaths; ++path) {
      paths.push_back(cluster_->path_folder(member, path));
    }
    if (member == small_disk_member) {
      const std::string folder = MakeTempFolder("small_disk");
      const absl::Status mounted = MountSmallDisk(folder, kSmallDiskBytes);
      if (mounted.ok()) {
        paths.back() = folder;
        world_.small_disk = {member, folder};
      } else {
        std::cout << "no small disk: " << mounted << "\n";
      }
    }
    ASSERT_THAT(AddMember(paths), IsOk());
  }
  world_.add_member = [this] {
    std::vector<std::string> paths;
    for (int path = 0; path < kPaths; ++path) {
      paths.push_back(cluster_->path_folder(kMembers, path));
    }
    return AddMember(paths);
  };

  auto load = ClientLoad::Connect(
      {.trackers = cluster_->tracker_addresses(), .seed = seed}, oracle_.get());
  ASSERT_THAT(load, IsOk());
  load_ = *std::move(load);
  world_.load = load_.get();
  auto changes = ChangeLoad::Connect(
      {.trackers = cluster_->tracker_addresses(), .seed = seed}, oracle_.get());
  ASSERT_THAT(changes, IsOk());
  changes_ = *std::move(changes);
  auto lives = LifeLoad::Connect({.trackers = cluster_->tracker_addresses(),
                                  .folder = cluster_->folder(),
                                  .seed = seed},
                                 oracle_.get());
  ASSERT_THAT(lives, IsOk());
  lives_ = *std::move(lives);
  world_.lives = lives_.get();
  for (int member = 0; member < kMembers; ++member) {
    ASSERT_THAT(Introduce(member), IsOk());
  }
}

// Everything is everywhere, or this fails.
void ChaosTest::Verify(const Nemesis& nemesis, int64_t* everywhere_line) {
  const bool wiped = !nemesis.destruction().wiped.empty();
  ASSERT_THAT(AwaitQuiet(cluster_->storage_addresses(), wiped), IsOk());
  auto settled =
      SettleUnanswered(oracle_.get(), cluster_->storage_addresses(), wiped);
  ASSERT_THAT(settled, IsOk());
  ASSERT_THAT(changes_->Settle(), IsOk());
  LifeVerifier lives(lives_.get(), &nemesis.destruction());
  ASSERT_THAT(lives.Settle(), IsOk());
  if (reclaims()) {
    // What is to be reclaimed is looked for in the index, which has the newest
    // changes of a path minutes later; or when it is opened.
    for (int member = 0; member < cluster_->storages(); ++member) {
      ASSERT_THAT(cluster_->storage(member)->KillAndRestart(), IsOk());
    }
  }
  ASSERT_THAT(lives.AwaitExpired(cluster_->storage_addresses(), reclaims()),
              IsOk());
  ASSERT_THAT(AwaitQuiet(cluster_->storage_addresses(), wiped), IsOk());
  auto verified =
      VerifyEachMember(cluster_.get(), oracle_.get(), changes_.get(), &lives,
                       nemesis.destruction(), load_->suspicions());
  ASSERT_THAT(verified, IsOk());
  lives.Conclude();
  lives_verified_ = lives.verified();
  verified_ = *verified;
  verified_.settled = *settled;
  *everywhere_line = oracle_->lines();
}

void ChaosTest::RunSeed(uint64_t seed) {
  const absl::Time begun = absl::Now();
  std::mt19937_64 random(seed);
  StartCluster(seed);
  if (HasFatalFailure()) return;
  Nemesis nemesis(&world_, seed);
  nemesis.Say(absl::StrCat("seed ", seed));

  // Of both kinds of segments, for bits to flip in.
  for (uint64_t i = 0; i < 24; ++i) {
    ASSERT_THAT(
        load_->PutOne(i % 4 == 0 ? (1 << 20) + 100000 : 20000, seed * 1000 + i),
        IsOk());
  }
  ASSERT_THAT(AwaitQuiet(cluster_->storage_addresses()), IsOk());
  int64_t everywhere_line = oracle_->lines();

  const int deals = seed % 3 == 0 ? 2 : 1;
  for (int deal = 0; deal < deals; ++deal) {
    load_->Start();
    changes_->Start();
    lives_->Start();
    load_->AwaitAcknowledged(100, absl::Seconds(10));
    ASSERT_THAT(nemesis.Deal(100, everywhere_line), IsOk());
    ASSERT_THAT(load_->Stop(), IsOk());
    ASSERT_THAT(changes_->Stop(), IsOk());
    ASSERT_THAT(lives_->Stop(), IsOk());
    nemesis.Say("the load has ended");
    Verify(nemesis, &everywhere_line);
    if (HasFatalFailure()) return;
    nemesis.Say("verified");
  }

  const LoadCounts counts = load_->counts();
  const ChangeCounts changes = changes_->counts();
  const LifeCounts lives = lives_->counts();
  int faults = 0;
  for (const auto& [name, times] : nemesis.done()) faults += times;
  std::cout << "chaos: seed " << seed << ", "
            << absl::ToInt64Seconds(absl::Now() - begun) << " s, " << faults
            << " faults; " << counts.puts << " puts (" << counts.large_puts
            << " large), " << counts.deletes << " deletes, " << counts.reads
            << " reads, " << counts.member_reads << " at members, "
            << counts.failed << " without an answer; verified "
            << verified_.read_back << " copies and " << verified_.gone
            << " deletions at " << cluster_->storages() << " members, "
            << verified_.settled << " settled, " << verified_.unclaimed
            << " unclaimed, " << verified_.lost << " at a wiped path alone, "
            << verified_.undone << " deletes undone so, " << verified_.mended
            << " damaged copies mended at the end; " << changes.appends
            << " appends, " << changes.modifications << " modifications, "
            << changes.truncations << " truncations, " << changes.descriptions
            << " changes of attributes, " << changes.repeated
            << " asked for again, " << changes.checked << " copies right; "
            << lives.reads << " reads of lives, " << lives.moves << " moves, "
            << lives.refused << " refused, " << lives.repeated
            << " asked for again; " << lives_verified_.copies
            << " copies of them right, " << lives_verified_.gone << " gone, "
            << lives_verified_.settled << " settled, "
            << lives_verified_.brought << " brought back, "
            << lives_verified_.lost << " lost, " << lives_verified_.in_doubt
            << " in doubt";
  for (const auto& [name, times] : lives.done) {
    std::cout << ", " << name << " " << times;
  }
  std::cout << std::endl;
  // Else nothing was tried.
  EXPECT_GT(counts.puts, 100);
  EXPECT_GT(counts.large_puts, 0);
  EXPECT_GT(counts.deletes, 0);
  EXPECT_GT(verified_.read_back, 100);
  EXPECT_GT(changes.appends, 20);
  EXPECT_GT(changes.checked, 0);
  EXPECT_GT(lives_verified_.copies, 100);
  EXPECT_GT(lives_verified_.gone, 20);
  // A slow machine may not come to the rare ones.
  for (const char* name : {"put", "put in parts", "share", "derive", "copy",
                           "create", "describe", "delete", "undelete"}) {
    EXPECT_GT(lives.done.count(name), 0) << name;
  }
}

// Where `bazel test` keeps them.
void ChaosTest::KeepLogs(uint64_t seed) const {
  const char* const outputs = std::getenv("TEST_UNDECLARED_OUTPUTS_DIR");
  if (outputs == nullptr || cluster_ == nullptr) return;
  namespace fs = std::filesystem;
  const std::string kept = absl::StrCat(outputs, "/chaos-", seed);
  std::error_code ignored;
  fs::create_directories(kept, ignored);
  for (const auto& entry : fs::directory_iterator(cluster_->folder())) {
    if (entry.is_regular_file()) {
      fs::copy(entry.path(), kept, ignored);
      continue;
    }
    for (const char* file : {"log", "config"}) {
      fs::copy(
          entry.path() / file,
          absl::StrCat(kept, "/", entry.path().filename().string(), ".", file),
          ignored);
    }
  }
  std::cout << "logs, oracle and nemesis are in " << kept << std::endl;
}

TEST_F(ChaosTest, WhatWasAcknowledgedIsAtEveryMember) {
  SeedRun run(/*first_seed=*/1, /*rounds=*/1);
  while (run.Next()) {
    SCOPED_TRACE(run.Description());
    RunSeed(run.seed());
    if (HasFailure()) KeepLogs(run.seed());
    load_.reset();
    changes_.reset();
    lives_.reset();
    cluster_.reset();
    oracle_.reset();
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace testing
}  // namespace cairn
