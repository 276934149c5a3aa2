#include "lib/testing/seed_run.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <limits>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "absl/types/optional.h"
#include "gtest/gtest.h"
#include "lib/base/check.h"
#include "lib/base/mutex.h"  // CAIRN_TSAN.
#include "lib/testing/seed.h"

namespace cairn {
namespace {

// The thread sanitizer makes a round take twenty times as long, and looks for
// races, of which one round shows as many as ten.
#ifdef CAIRN_TSAN
constexpr int kRoundsDivisor = 10;
#else
constexpr int kRoundsDivisor = 1;
#endif

struct Flags {
  absl::optional<int64_t> rounds;
  absl::optional<double> minutes;
  bool trace = false;
};

Flags& GetFlags() {
  static Flags flags;
  return flags;
}

}  // namespace

void ParseSeedRunFlags(int* argc, char** argv) {
  Flags& flags = GetFlags();
  if (const char* rounds = std::getenv("CAIRN_CRASH_ROUNDS")) {
    int64_t value = 0;
    CAIRN_CHECK_MSG(absl::SimpleAtoi(rounds, &value), rounds);
    flags.rounds = value;
  }
  int kept = 1;
  for (int i = 1; i < *argc; ++i) {
    absl::string_view argument = argv[i];
    if (absl::ConsumePrefix(&argument, "--rounds=")) {
      int64_t value = 0;
      CAIRN_CHECK_MSG(absl::SimpleAtoi(argument, &value), argument);
      flags.rounds = value;
    } else if (absl::ConsumePrefix(&argument, "--minutes=")) {
      double value = 0;
      CAIRN_CHECK_MSG(absl::SimpleAtod(argument, &value), argument);
      flags.minutes = value;
    } else if (argument == "--trace") {
      flags.trace = true;
    } else {
      argv[kept++] = argv[i];
    }
  }
  *argc = kept;
}

bool TraceWanted() { return GetFlags().trace; }

SeedRun::SeedRun(uint64_t first_seed, int rounds)
    : seed_(TestSeed(first_seed)), left_(std::max(1, rounds / kRoundsDivisor)) {
  const Flags& flags = GetFlags();
  if (HasSeedFlag()) left_ = 1;
  if (flags.rounds.has_value()) left_ = *flags.rounds;
  if (flags.minutes.has_value()) {
    deadline_ = absl::Now() + absl::Minutes(*flags.minutes);
    left_ = std::numeric_limits<int64_t>::max();
  }
}

bool SeedRun::Next() {
  if (started_ && ::testing::Test::HasFailure()) {
    std::printf("%s\n", Description().c_str());
    return false;
  }
  if (left_ == 0 ||
      (deadline_ != absl::InfinitePast() && absl::Now() >= deadline_)) {
    if (started_)
      std::printf("the last seed was %s\n", absl::StrCat(seed_).c_str());
    return false;
  }
  --left_;
  if (started_) ++seed_;
  started_ = true;
  return true;
}

std::string SeedRun::Description() const {
  return absl::StrCat("rerun with --seed=", seed_);
}

}  // namespace cairn
