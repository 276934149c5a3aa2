#include "clients/cli/bench/content.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/string_view.h"
#include "clients/cli/bench/size_distribution.h"
#include "lib/checksum/crc32c.h"

namespace cairn {
namespace cli {
namespace {

constexpr uint64_t kTextBytes = 8 << 20;

std::string MakeText() {
  std::string text(kTextBytes, '\0');
  for (uint64_t i = 0; i < kTextBytes; i += sizeof(uint64_t)) {
    const uint64_t word = Mix64(i);
    std::memcpy(&text[i], &word, sizeof(word));
  }
  return text;
}

}  // namespace

Content::Content() : text_(MakeText()), text_crc_(Crc32c(text_)) {}

uint64_t Content::OffsetOf(uint64_t seed, uint64_t index) {
  return Mix64(Mix64(seed + 1) ^ index) % kTextBytes;
}

absl::Cord Content::Make(uint64_t seed, uint64_t index, int64_t size) const {
  absl::Cord content;
  uint64_t offset = OffsetOf(seed, index);
  for (auto left = static_cast<uint64_t>(size); left > 0;) {
    const uint64_t piece = std::min(left, kTextBytes - offset);
    content.Append(absl::MakeCordFromExternal(
        absl::string_view(text_).substr(offset, piece),
        [](absl::string_view) {}));
    left -= piece;
    offset = 0;
  }
  return content;
}

uint32_t Content::Crc(uint64_t seed, uint64_t index, int64_t size) const {
  uint32_t crc = 0;
  uint64_t offset = OffsetOf(seed, index);
  for (auto left = static_cast<uint64_t>(size); left > 0;) {
    const uint64_t piece = std::min(left, kTextBytes - offset);
    if (piece == kTextBytes) {
      crc = CombineCrc32c(crc, text_crc_, piece);
    } else {
      crc = ExtendCrc32c(crc, absl::string_view(text_).substr(offset, piece));
    }
    left -= piece;
    offset = 0;
  }
  return crc;
}

}  // namespace cli
}  // namespace cairn
