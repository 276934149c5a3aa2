// The seed of a random test: printed by every run, set with --seed=N.

#ifndef CAIRN_LIB_TESTING_SEED_H_
#define CAIRN_LIB_TESTING_SEED_H_

#include <cstdint>

namespace cairn {

// Takes --seed=N out of the arguments. For main().
void ParseSeedFlag(int* argc, char** argv);

// What --seed=N said, else `fallback`. Fixed fallbacks keep the default suite
// repeatable; long runs pass their own. Prints what it returns.
uint64_t TestSeed(uint64_t fallback);

// Whether --seed=N was given.
bool HasSeedFlag();

}  // namespace cairn

#endif  // CAIRN_LIB_TESTING_SEED_H_
