// 128-bit identifiers: node, cluster and incarnation UUIDs, request ids.

#ifndef CAIRN_LIB_BASE_UUID_H_
#define CAIRN_LIB_BASE_UUID_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cairn {

// A value; all zero is "none".
class Uuid {
 public:
  Uuid() = default;

  // A random one (version 4), from the system's generator.
  static Uuid Random();

  // From `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`, either case, any version.
  //   INVALID_ARGUMENT  anything else.
  static absl::StatusOr<Uuid> Parse(absl::string_view text);

  // From exactly 16 bytes.
  //   INVALID_ARGUMENT  another length.
  static absl::StatusOr<Uuid> FromBytes(absl::string_view bytes);

  // Canonical text form, 36 characters, lower case.
  std::string ToString() const;

  // The 16 bytes; valid as long as this object.
  absl::string_view bytes() const {
    return absl::string_view(reinterpret_cast<const char*>(bytes_.data()),
                             bytes_.size());
  }

  bool is_nil() const { return *this == Uuid(); }

  friend bool operator==(const Uuid& a, const Uuid& b) {
    return a.bytes_ == b.bytes_;
  }
  friend bool operator!=(const Uuid& a, const Uuid& b) { return !(a == b); }
  friend bool operator<(const Uuid& a, const Uuid& b) {
    return a.bytes_ < b.bytes_;
  }
  template <typename H>
  friend H AbslHashValue(H h, const Uuid& uuid) {
    return H::combine(std::move(h), uuid.bytes_);
  }

 private:
  std::array<uint8_t, 16> bytes_{};
};

// Fills `size` bytes with random ones from the system's generator, fit for
// secrets and nonces. Aborts the process if the system has none.
void RandomBytes(void* data, size_t size);
uint32_t RandomUint32();
uint64_t RandomUint64();

}  // namespace cairn

#endif  // CAIRN_LIB_BASE_UUID_H_
