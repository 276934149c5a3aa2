#include "lib/attributes/utf8.h"

#include <cstdint>

namespace cairn {

size_t PrintableCharacterBytes(absl::string_view text) {
  const auto byte = [text](size_t i) { return static_cast<uint8_t>(text[i]); };
  const auto follows = [&](size_t i) {
    return i < text.size() && (byte(i) & 0xc0) == 0x80;
  };
  const uint8_t first = byte(0);
  if (first < 0x80) return first < 0x20 || first == 0x7f ? 0 : 1;
  if (first < 0xc2) return 0;
  if (first < 0xe0) {
    if (!follows(1)) return 0;
    return first == 0xc2 && byte(1) < 0xa0 ? 0 : 2;  // U+0080 to U+009F.
  }
  if (first < 0xf0) {
    if (!follows(1) || !follows(2)) return 0;
    if (first == 0xe0 && byte(1) < 0xa0) return 0;
    if (first == 0xed && byte(1) >= 0xa0) return 0;
    return 3;
  }
  if (first > 0xf4 || !follows(1) || !follows(2) || !follows(3)) return 0;
  if (first == 0xf0 && byte(1) < 0x90) return 0;
  if (first == 0xf4 && byte(1) >= 0x90) return 0;
  return 4;
}

}  // namespace cairn
