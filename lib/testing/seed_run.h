// The rounds of a test that draws numbers: one seed after the other.
//
//   SeedRun run(/*first_seed=*/1, /*rounds=*/300);
//   while (run.Next()) {
//     SCOPED_TRACE(run.Description());
//     ... run.seed() ...
//   }
//
//   (no flag)              `rounds` seeds from `first_seed` on; a tenth of them
//                          under the thread sanitizer, at least one
//   --seed=N               seed N alone: a failure again
//   --rounds=R             R seeds; also CAIRN_CRASH_ROUNDS in the environment
//   --minutes=M            seeds until M minutes have passed: a long run
//   --trace                a test that can say what happens says it
//
// --seed goes with the others.

#ifndef CAIRN_LIB_TESTING_SEED_RUN_H_
#define CAIRN_LIB_TESTING_SEED_RUN_H_

#include <cstdint>
#include <string>

#include "absl/time/time.h"

namespace cairn {

// Takes --rounds=R, --minutes=M and --trace out of the arguments. For main().
void ParseSeedRunFlags(int* argc, char** argv);

// Whether --trace was given.
bool TraceWanted();

class SeedRun {
 public:
  SeedRun(uint64_t first_seed, int rounds);

  // Goes to the next seed; false when there is none. Stops after the first
  // round in which a test assertion failed, so that its seed is the last one
  // named.
  bool Next();

  uint64_t seed() const { return seed_; }

  // `rerun with --seed=N`.
  std::string Description() const;

 private:
  uint64_t seed_;
  int64_t left_;
  bool started_ = false;
  absl::Time deadline_ = absl::InfinitePast();
};

}  // namespace cairn

#endif  // CAIRN_LIB_TESTING_SEED_RUN_H_
