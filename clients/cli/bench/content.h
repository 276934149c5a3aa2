// Content for files of any size that costs nothing to make and little to check:
// every file is a run of one endless pseudo-random text, from a place of its
// own on.

#ifndef CAIRN_CLIENTS_CLI_BENCH_CONTENT_H_
#define CAIRN_CLIENTS_CLI_BENCH_CONTENT_H_

#include <cstdint>
#include <string>

#include "absl/strings/cord.h"

namespace cairn {
namespace cli {

// The text is 8 MiB, repeated without end. Thread-safe once made.
class Content {
 public:
  Content();

  Content(const Content&) = delete;
  Content& operator=(const Content&) = delete;

  // The content of file `index` of `size` bytes. It refers to the text and is
  // valid as long as this object. `seed` makes other files of equal numbers.
  absl::Cord Make(uint64_t seed, uint64_t index, int64_t size) const;

  // Its CRC-32C, in time that hardly depends on `size`.
  uint32_t Crc(uint64_t seed, uint64_t index, int64_t size) const;

 private:
  static uint64_t OffsetOf(uint64_t seed, uint64_t index);

  const std::string text_;
  const uint32_t text_crc_;
};

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_BENCH_CONTENT_H_
