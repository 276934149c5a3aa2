// The varints of Protobuf: seven bits in a byte, the lowest first, and the
// highest bit says that there is another byte.

#ifndef CAIRN_LIB_BASE_VARINT_H_
#define CAIRN_LIB_BASE_VARINT_H_

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace cairn {

inline constexpr size_t kVarintBytesMax = 10;

inline size_t VarintBytes(uint64_t value) {
  size_t bytes = 1;
  for (; value >= 0x80; value >>= 7) ++bytes;
  return bytes;
}

// Writes at most kVarintBytesMax bytes; returns where they end.
inline char* WriteVarint(uint64_t value, char* to) {
  for (; value >= 0x80; value >>= 7) {
    *to++ = static_cast<char>(value | 0x80);
  }
  *to++ = static_cast<char>(value);
  return to;
}

// Takes one off the front of `bytes`. False if none begins there, or it does
// not end: then both say nothing.
inline bool TakeVarint(absl::string_view* bytes, uint64_t* value) {
  uint64_t sum = 0;
  const size_t limit =
      bytes->size() < kVarintBytesMax ? bytes->size() : kVarintBytesMax;
  for (size_t i = 0; i < limit; ++i) {
    const auto byte = static_cast<uint8_t>((*bytes)[i]);
    sum |= static_cast<uint64_t>(byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      bytes->remove_prefix(i + 1);
      *value = sum;
      return true;
    }
  }
  return false;
}

}  // namespace cairn

#endif  // CAIRN_LIB_BASE_VARINT_H_
