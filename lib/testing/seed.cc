#include "lib/testing/seed.h"

#include <cstdio>

#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/types/optional.h"
#include "lib/base/check.h"

namespace cairn {
namespace {

absl::optional<uint64_t>& SeedFlag() {
  static absl::optional<uint64_t> seed;
  return seed;
}

}  // namespace

void ParseSeedFlag(int* argc, char** argv) {
  int kept = 1;
  for (int i = 1; i < *argc; ++i) {
    absl::string_view argument = argv[i];
    if (absl::ConsumePrefix(&argument, "--seed=")) {
      uint64_t seed = 0;
      CAIRN_CHECK_MSG(absl::SimpleAtoi(argument, &seed), argument);
      SeedFlag() = seed;
    } else {
      argv[kept++] = argv[i];
    }
  }
  *argc = kept;
}

bool HasSeedFlag() { return SeedFlag().has_value(); }

uint64_t TestSeed(uint64_t fallback) {
  const uint64_t seed = SeedFlag().value_or(fallback);
  std::printf("rerun with --seed=%llu\n",
              static_cast<unsigned long long>(seed));
  return seed;
}

}  // namespace cairn
