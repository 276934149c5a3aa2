// The few pieces of Protobuf's wire format that the hot messages need, written
// by hand because a message object would copy what passes through it.

#ifndef CAIRN_CLIENTS_CPP_WIRE_FORMAT_H_
#define CAIRN_CLIENTS_CPP_WIRE_FORMAT_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "absl/strings/string_view.h"
#include "lib/base/varint.h"

namespace cairn {
namespace client {

enum class WireType : uint32_t {
  kVarint = 0,
  kFixed64 = 1,
  kBytes = 2,
  kFixed32 = 5,
};

inline constexpr uint32_t Tag(uint32_t field, WireType type) {
  return field << 3 | static_cast<uint32_t>(type);
}

inline void AppendVarintField(uint32_t field, uint64_t value,
                              std::string* out) {
  AppendVarint(Tag(field, WireType::kVarint), out);
  AppendVarint(value, out);
}

inline void AppendFixed32Field(uint32_t field, uint32_t value,
                               std::string* out) {
  AppendVarint(Tag(field, WireType::kFixed32), out);
  const char bytes[4] = {
      static_cast<char>(value), static_cast<char>(value >> 8),
      static_cast<char>(value >> 16), static_cast<char>(value >> 24)};
  out->append(bytes, sizeof(bytes));
}

// The tag and length of a field whose `size` bytes the caller appends.
inline void AppendBytesHeader(uint32_t field, size_t size, std::string* out) {
  AppendVarint(Tag(field, WireType::kBytes), out);
  AppendVarint(size, out);
}

inline void AppendBytesField(uint32_t field, absl::string_view value,
                             std::string* out) {
  AppendBytesHeader(field, value.size(), out);
  out->append(value.data(), value.size());
}

inline constexpr size_t VarintFieldSize(uint32_t field, uint64_t value) {
  return VarintSize(Tag(field, WireType::kVarint)) + VarintSize(value);
}

inline constexpr size_t Fixed32FieldSize(uint32_t field) {
  return VarintSize(Tag(field, WireType::kFixed32)) + 4;
}

inline constexpr size_t BytesFieldSize(uint32_t field, size_t size) {
  return VarintSize(Tag(field, WireType::kBytes)) + VarintSize(size) + size;
}

// Reads the fields of one message, in order. Every Read...() returns false when
// the bytes end too early or are malformed; nothing is valid afterwards.
class WireReader {
 public:
  explicit WireReader(absl::string_view bytes)
      : begin_(bytes.data()),
        at_(bytes.data()),
        end_(bytes.data() + bytes.size()) {}

  bool AtEnd() const { return at_ == end_; }
  size_t position() const { return static_cast<size_t>(at_ - begin_); }

  bool ReadVarint(uint64_t* value) {
    uint64_t result = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at_ == end_) return false;
      const auto byte = static_cast<uint8_t>(*at_++);
      result |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) {
        *value = result;
        return true;
      }
    }
    return false;
  }

  // Takes fields of number 0 for what they are: malformed.
  bool ReadTag(uint32_t* tag) {
    uint64_t value;
    if (!ReadVarint(&value) || value > UINT32_MAX || value < 8) return false;
    *tag = static_cast<uint32_t>(value);
    return true;
  }

  bool ReadFixed32(uint32_t* value) {
    if (end_ - at_ < 4) return false;
    unsigned char bytes[4];
    std::memcpy(bytes, at_, sizeof(bytes));
    at_ += sizeof(bytes);
    *value = bytes[0] | static_cast<uint32_t>(bytes[1]) << 8 |
             static_cast<uint32_t>(bytes[2]) << 16 |
             static_cast<uint32_t>(bytes[3]) << 24;
    return true;
  }

  bool ReadLength(uint64_t* length) { return ReadVarint(length); }

  bool ReadBytes(absl::string_view* value) {
    uint64_t size;
    if (!ReadVarint(&size) || size > static_cast<uint64_t>(end_ - at_)) {
      return false;
    }
    *value = absl::string_view(at_, static_cast<size_t>(size));
    at_ += size;
    return true;
  }

  // Passes over the value of a field whose tag was read.
  bool Skip(uint32_t tag) {
    uint64_t varint;
    absl::string_view bytes;
    switch (static_cast<WireType>(tag & 7)) {
      case WireType::kVarint:
        return ReadVarint(&varint);
      case WireType::kFixed64:
        return Advance(8);
      case WireType::kBytes:
        return ReadBytes(&bytes);
      case WireType::kFixed32:
        return Advance(4);
    }
    return false;  // Groups: never made by proto3.
  }

 private:
  bool Advance(ptrdiff_t size) {
    if (end_ - at_ < size) return false;
    at_ += size;
    return true;
  }

  const char* const begin_;
  const char* at_;
  const char* const end_;
};

}  // namespace client
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CPP_WIRE_FORMAT_H_
