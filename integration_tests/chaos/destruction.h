// What a nemesis has destroyed for good: what may be missing in the end, and
// what must have been mended.

#ifndef CAIRN_INTEGRATION_TESTS_CHAOS_DESTRUCTION_H_
#define CAIRN_INTEGRATION_TESTS_CHAOS_DESTRUCTION_H_

#include <cstdint>
#include <string>
#include <vector>

namespace cairn {
namespace testing {

// What was destroyed, between two lines of the oracle: everything that only
// this store path had is lost. The lines are those of the last time when all
// members had everything, and of when the path was there again.
struct WipedPath {
  int64_t from_line = 0;
  int64_t to_line = 0;
  uint32_t node_number = 0;
  uint32_t store_path = 0;
};

// A copy with a flipped bit.
struct DamagedCopy {
  std::string file_id;
  int member = 0;
  uint32_t store_path = 0;
};

struct Destruction {
  std::vector<WipedPath> wiped;
  std::vector<DamagedCopy> damaged;
};

}  // namespace testing
}  // namespace cairn

#endif  // CAIRN_INTEGRATION_TESTS_CHAOS_DESTRUCTION_H_
