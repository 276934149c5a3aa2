// The varints of Protobuf: seven bits in a byte, the lowest first, and the
// highest bit says that there is another byte.

#ifndef CAIRN_LIB_BASE_VARINT_H_
#define CAIRN_LIB_BASE_VARINT_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace cairn {

inline constexpr size_t kVarintBytesMax = 10;

// Bytes of `value`.
inline constexpr size_t VarintSize(uint64_t value) {
  return (static_cast<size_t>(63 - __builtin_clzll(value | 1)) * 9 + 73) / 64;
}

// Writes at most kVarintBytesMax bytes; returns where they end.
inline char* WriteVarint(uint64_t value, char* to) {
  for (; value >= 0x80; value >>= 7) {
    *to++ = static_cast<char>(value | 0x80);
  }
  *to++ = static_cast<char>(value);
  return to;
}

inline void AppendVarint(uint64_t value, std::string* out) {
  char bytes[kVarintBytesMax];
  const char* const end = WriteVarint(value, bytes);
  out->append(bytes, static_cast<size_t>(end - bytes));
}

// Takes one off the front of `bytes`. False if none begins there, or it does
// not end: then both say nothing.
inline bool TakeVarint(absl::string_view* bytes, uint64_t* value) {
  if (!bytes->empty() && static_cast<uint8_t>(bytes->front()) < 0x80) {
    *value = static_cast<uint8_t>(bytes->front());  // Most are so small.
    bytes->remove_prefix(1);
    return true;
  }
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
