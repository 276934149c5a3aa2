// Draws what is done to a file next, as its state allows. Pure: everything
// follows from the numbers.

#ifndef CAIRN_INTEGRATION_TESTS_CHAOS_LIFE_DRAW_H_
#define CAIRN_INTEGRATION_TESTS_CHAOS_LIFE_DRAW_H_

#include <cstdint>
#include <random>

#include "absl/types/optional.h"
#include "integration_tests/chaos/file_life.h"
#include "integration_tests/chaos/life_calls.h"

namespace cairn {
namespace testing {

class LifeDraw {
 public:
  explicit LifeDraw(uint64_t seed) : seed_(seed), random_(seed) {}

  uint64_t Below(uint64_t limit) { return random_() % limit; }
  bool OneIn(uint64_t n) { return Below(n) == 0; }

  // What is made; not a copy.
  FileState Made(Making making);

  // One of a few contents that many files have, and the path where they all
  // lie.
  FileState Shared(uint64_t content_seed, uint32_t* store_path);

  // A copy of `source`, with its attributes or with others.
  FileState CopyOf(const FileState& source, bool keeps_attributes);

  // A change that the state allows; nullopt: there is none.
  absl::optional<FileChange> Change(const FileState& state);

  // One that it must refuse; nullopt: none that could be told from a change
  // that is allowed.
  absl::optional<FileChange> Refused(const FileState& state);

  FileChange Description();

  std::mt19937_64* random() { return &random_; }

 private:
  absl::Cord Content();
  Attributes SomeAttributes();
  void DrawExpiry(absl::optional<absl::Time>* expire_time, bool* expiring);

  const uint64_t seed_;
  std::mt19937_64 random_;
};

}  // namespace testing
}  // namespace cairn

#endif  // CAIRN_INTEGRATION_TESTS_CHAOS_LIFE_DRAW_H_
