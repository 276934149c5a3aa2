// Whatever bytes a disk gives back as a list of runs: they are refused, or give
// runs that a reader can check and that come back from what is made of them.
//
// The first byte says how much content the record that lists them has.

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/container/inlined_vector.h"
#include "absl/strings/string_view.h"
#include "lib/base/check.h"
#include "services/storage/store/extent.h"

namespace cairn {
namespace storage {
namespace {

void FuzzRuns(absl::string_view bytes) {
  if (bytes.empty()) return;
  OwnContent own;
  own.record = JournalPosition{7, 8192};
  own.prefix_bytes = 100;
  own.content_bytes = static_cast<int64_t>(static_cast<uint8_t>(bytes[0]))
                      << 12;
  absl::InlinedVector<Extent, 1> runs;
  if (!DecodeRuns(bytes.substr(1), own, &runs).ok()) return;
  for (const Extent& run : runs) CAIRN_CHECK(IsSound(run));
  std::string again;
  EncodeRuns(runs, &again);
  absl::InlinedVector<Extent, 1> decoded;
  CAIRN_CHECK(DecodeRuns(again, OwnContent(), &decoded).ok());
  CAIRN_CHECK(runs == decoded);
}

}  // namespace
}  // namespace storage
}  // namespace cairn

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cairn::storage::FuzzRuns(
      absl::string_view(reinterpret_cast<const char*>(data), size));
  return 0;
}
