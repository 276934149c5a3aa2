// The replication of a group, simulated: core's real decisions over disks,
// clocks and a network that are made up. docs/reliability.md says what it
// covers, and what it has found.

#include "integration_tests/simulation/simulation.h"

#include <cstdio>
#include <string>

#include "gtest/gtest.h"
#include "lib/base/log.h"
#include "lib/testing/seed_run.h"

namespace cairn {
namespace simulation {
namespace {

TEST(SimulationTest, NothingPromisedIsLostAndAllMembersEndUpEqual) {
  SetLogLevel(TraceWanted() ? LogLevel::kInfo : LogLevel::kError);
  SeedRun run(/*first_seed=*/1, /*rounds=*/200);
  uint64_t promises = 0;
  uint64_t events = 0;
  while (run.Next()) {
    SimulationOptions options;
    options.seed = run.seed();
    options.print = TraceWanted();
    const SimulationResult result = RunSimulation(options);
    promises += result.promises;
    events += result.events;
    for (const std::string& failure : result.failures) {
      ADD_FAILURE() << run.Description() << ": " << failure;
    }
  }
  std::printf("%llu promises kept in %llu events\n",
              static_cast<unsigned long long>(promises),
              static_cast<unsigned long long>(events));
}

TEST(SimulationTest, TheSameSeedGivesTheSameEvents) {
  SetLogLevel(LogLevel::kError);
  for (const uint64_t seed : {3u, 5u, 8u}) {
    SimulationOptions options;
    options.seed = seed;
    const SimulationResult once = RunSimulation(options);
    const SimulationResult again = RunSimulation(options);
    EXPECT_EQ(once.trace_hash, again.trace_hash) << "seed " << seed;
    EXPECT_EQ(once.events, again.events) << "seed " << seed;
  }
}

// A simulation that finds nothing may be one that looks at nothing. The bugs
// are in the model, so that the product needs no hooks for them.
struct KnownBug {
  const char* name;
  Mutations mutations;
};

class SimulationFindsTest : public ::testing::TestWithParam<KnownBug> {};

TEST_P(SimulationFindsTest, ABugThatWasPutIn) {
  SetLogLevel(LogLevel::kError);
  constexpr uint64_t kSeedsMax = 150;
  for (uint64_t seed = 1; seed <= kSeedsMax; ++seed) {
    SimulationOptions options;
    options.seed = seed;
    options.mutations = GetParam().mutations;
    const SimulationResult result = RunSimulation(options);
    if (result.failures.empty()) continue;
    std::printf("found with seed %llu: %s\n",
                static_cast<unsigned long long>(seed),
                result.failures.front().c_str());
    return;
  }
  FAIL() << "not found with " << kSeedsMax << " seeds";
}

KnownBug SkipsAChange() {
  KnownBug bug{"SkipsAChange", {}};
  bug.mutations.skip_a_change = true;
  return bug;
}
KnownBug SyncsNothing() {
  KnownBug bug{"SyncsNothing", {}};
  bug.mutations.sync_nothing = true;
  return bug;
}
KnownBug ForgetsDeletions() {
  KnownBug bug{"ForgetsDeletions", {}};
  bug.mutations.forget_deletions = true;
  return bug;
}
KnownBug LeavesFilesOutOfSnapshots() {
  KnownBug bug{"LeavesFilesOutOfSnapshots", {}};
  bug.mutations.leave_out = true;
  return bug;
}

KnownBug MissesContentsOfDeletedFiles() {
  KnownBug bug{"MissesContentsOfDeletedFiles", {}};
  bug.mutations.miss_deleted = true;
  return bug;
}

KnownBug KeepsLogsOfOthersToItself() {
  KnownBug bug{"KeepsLogsOfOthersToItself", {}};
  bug.mutations.keep_to_itself = true;
  return bug;
}
KnownBug ChangesAnyAppender() {
  KnownBug bug{"ChangesAnyAppender", {}};
  bug.mutations.anybody_changes = true;
  return bug;
}
KnownBug TrackersKeepDecisionsToThemselves() {
  KnownBug bug{"TrackersKeepDecisionsToThemselves", {}};
  bug.mutations.keep_decisions = true;
  return bug;
}

KnownBug HidesDamage() {
  KnownBug bug{"HidesDamage", {}};
  bug.mutations.hide_damage = true;
  return bug;
}
KnownBug ComparesNothing() {
  KnownBug bug{"ComparesNothing", {}};
  bug.mutations.compare_nothing = true;
  return bug;
}
KnownBug MendsBadly() {
  KnownBug bug{"MendsBadly", {}};
  bug.mutations.mend_badly = true;
  return bug;
}
KnownBug ForgetsWhatWasSetAside() {
  KnownBug bug{"ForgetsWhatWasSetAside", {}};
  bug.mutations.forget_aside = true;
  return bug;
}

KnownBug SharesWrongContents() {
  KnownBug bug{"SharesWrongContents", {}};
  bug.mutations.share_wrongly = true;
  return bug;
}

INSTANTIATE_TEST_SUITE_P(
    All, SimulationFindsTest,
    ::testing::Values(SkipsAChange(), SyncsNothing(), ForgetsDeletions(),
                      LeavesFilesOutOfSnapshots(),
                      MissesContentsOfDeletedFiles(),
                      KeepsLogsOfOthersToItself(), ChangesAnyAppender(),
                      TrackersKeepDecisionsToThemselves(), HidesDamage(),
                      ComparesNothing(), MendsBadly(), ForgetsWhatWasSetAside(),
                      SharesWrongContents()),
    [](const ::testing::TestParamInfo<KnownBug>& info) {
      return std::string(info.param.name);
    });

}  // namespace
}  // namespace simulation
}  // namespace cairn
