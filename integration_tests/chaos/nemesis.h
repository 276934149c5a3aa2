// Hurts a cluster of one group, as a seed says: a deck of faults is shuffled
// and dealt, each for a while, some of them over the next one.
//
// At most one store path is wiped, and bits are flipped only in files that all
// members had: what was acknowledged by two members is never lost.

#ifndef CAIRN_INTEGRATION_TESTS_CHAOS_NEMESIS_H_
#define CAIRN_INTEGRATION_TESTS_CHAOS_NEMESIS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "integration_tests/chaos/client_load.h"
#include "integration_tests/chaos/destruction.h"
#include "integration_tests/chaos/life_load.h"
#include "integration_tests/mini_cluster/cluster.h"
#include "integration_tests/mini_cluster/oracle.h"

namespace cairn {
namespace testing {

// A small disk that can be filled.
struct SmallDisk {
  int member = 0;
  std::string folder;  // Empty: there is none, since nothing can be mounted.
};

struct NemesisWorld {
  MiniCluster* cluster = nullptr;
  ClientLoad* load = nullptr;
  LifeLoad* lives = nullptr;
  Oracle* oracle = nullptr;
  SmallDisk small_disk;
  std::string log_file;  // What was done, with the time.

  // Directories of each member's store paths.
  std::vector<std::vector<std::string>> paths;

  // Adds a member; null: there shall be none.
  std::function<absl::Status()> add_member;
};

// For the test's main thread. All of the world is borrowed.
class Nemesis {
 public:
  Nemesis(NemesisWorld* world, uint64_t seed);

  // Deals `faults` faults, or the whole deck; all is healed when it returns.
  // `everywhere_line`: the oracle's line when all members had everything.
  // An error is of what must never fail: a daemon that does not start again.
  absl::Status Deal(int faults, int64_t everywhere_line);

  // So far.
  const Destruction& destruction() const { return destruction_; }
  const std::map<std::string, int>& done() const { return done_; }

  // Writes a line with the time to the log, and to the oracle.
  void Say(absl::string_view text);

 private:
  using Heal = std::function<absl::Status()>;
  struct Fault {
    std::string name;
    // Does it; the result undoes it. Null: nothing to undo.
    std::function<absl::StatusOr<Heal>()> strike;
  };

  std::vector<Fault> Deck();
  absl::Status HealAll();
  std::vector<Daemon*> Daemons();

  absl::StatusOr<Heal> KillOne();
  absl::StatusOr<Heal> KillSeveral();
  absl::StatusOr<Heal> KillTracker();
  absl::StatusOr<Heal> Stop();
  absl::StatusOr<Heal> HurtLink(absl::string_view kind);
  absl::StatusOr<Heal> Wipe();
  absl::StatusOr<Heal> FillDisk();
  absl::StatusOr<Heal> FlipABit();
  absl::StatusOr<Heal> AddMember();
  absl::StatusOr<Heal> Drain();
  absl::StatusOr<Heal> RestartEverything();

  absl::Status StartAgain(Daemon* daemon);
  absl::Status RestartReadOnly();
  uint64_t Draw(uint64_t below) { return random_() % below; }
  int DrawMember();
  std::string Name(int member);

  // While the fault lasts.
  void Wait();

  // Runs `cairn` with these words against a tracker.
  absl::Status Cairn(std::vector<std::string> arguments);

  NemesisWorld* const world_;
  std::mt19937_64 random_;
  const absl::Time begun_;
  int64_t everywhere_line_ = 0;
  int commands_ = 0;
  std::vector<Heal> open_;
  Destruction destruction_;
  std::map<std::string, int> done_;
};

}  // namespace testing
}  // namespace cairn

#endif  // CAIRN_INTEGRATION_TESTS_CHAOS_NEMESIS_H_
