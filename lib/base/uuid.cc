#include "lib/base/uuid.h"

#include <sys/random.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "lib/base/check.h"

namespace cairn {
namespace {

constexpr size_t kTextSize = 36;

bool IsDash(size_t i) { return i == 8 || i == 13 || i == 18 || i == 23; }

}  // namespace

void RandomBytes(void* data, size_t size) {
  auto* out = static_cast<char*>(data);
  while (size > 0) {
    const ssize_t got = getrandom(out, size, 0);
    if (got < 0 && errno == EINTR) continue;
    CAIRN_CHECK(got > 0);
    out += got;
    size -= static_cast<size_t>(got);
  }
}

uint32_t RandomUint32() {
  uint32_t value;
  RandomBytes(&value, sizeof(value));
  return value;
}

uint64_t RandomUint64() {
  uint64_t value;
  RandomBytes(&value, sizeof(value));
  return value;
}

Uuid Uuid::Random() {
  Uuid uuid;
  RandomBytes(uuid.bytes_.data(), uuid.bytes_.size());
  uuid.bytes_[6] = (uuid.bytes_[6] & 0x0f) | 0x40;  // Version 4.
  uuid.bytes_[8] = (uuid.bytes_[8] & 0x3f) | 0x80;  // Variant of RFC 4122.
  return uuid;
}

absl::StatusOr<Uuid> Uuid::Parse(absl::string_view text) {
  if (text.size() != kTextSize) {
    return absl::InvalidArgumentError(
        absl::StrCat("a UUID has 36 characters, not ", text.size()));
  }
  std::string hex;
  for (size_t i = 0; i < text.size(); ++i) {
    if (IsDash(i) ? text[i] != '-' : !absl::ascii_isxdigit(text[i])) {
      return absl::InvalidArgumentError(
          absl::StrCat("not a UUID: \"", absl::CHexEscape(text), "\""));
    }
    if (!IsDash(i)) hex.push_back(text[i]);
  }
  return FromBytes(absl::HexStringToBytes(hex));
}

absl::StatusOr<Uuid> Uuid::FromBytes(absl::string_view bytes) {
  Uuid uuid;
  if (bytes.size() != uuid.bytes_.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a UUID has 16 bytes, not ", bytes.size()));
  }
  std::memcpy(uuid.bytes_.data(), bytes.data(), bytes.size());
  return uuid;
}

std::string Uuid::ToString() const {
  const std::string hex = absl::BytesToHexString(bytes());
  return absl::StrCat(hex.substr(0, 8), "-", hex.substr(8, 4), "-",
                      hex.substr(12, 4), "-", hex.substr(16, 4), "-",
                      hex.substr(20));
}

}  // namespace cairn
