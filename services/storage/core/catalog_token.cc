#include "services/storage/core/catalog_token.h"

#include <cstddef>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/checksum/crc32c.h"

namespace cairn {
namespace storage {
namespace {

constexpr char kPageFormat = 1;
constexpr char kWatchFormat = 2;

// Longer than any that is made: a name has at most a few hundred bytes, and a
// path some hundred logs.
constexpr size_t kTextBytesMax = 1 << 20;

constexpr size_t kCrcBytes = 4;
constexpr size_t kUuidBytes = 16;
constexpr size_t kPositionBytes = 1 + kUuidBytes + 4 + 8;

void AppendBigEndian(uint64_t value, size_t bytes, std::string* out) {
  for (size_t i = bytes; i > 0; --i) {
    out->push_back(static_cast<char>(value >> (8 * (i - 1))));
  }
}

uint64_t ReadBigEndian(absl::string_view bytes) {
  uint64_t value = 0;
  for (const char byte : bytes) {
    value = value << 8 | static_cast<uint8_t>(byte);
  }
  return value;
}

absl::Status NoToken(absl::string_view field) {
  return ErrorWithReason(
      absl::StatusCode::kInvalidArgument, ErrorReason::kInvalidField,
      absl::StrCat(field, " is none that a member of this group gave"),
      {{"field", std::string(field)}});
}

std::string Seal(std::string bytes) {
  AppendBigEndian(Crc32c(bytes), kCrcBytes, &bytes);
  return absl::WebSafeBase64Escape(bytes);
}

// What is between the format and the CRC; false if it is not right.
bool Open(absl::string_view text, char format, std::string* bytes) {
  if (text.size() > kTextBytesMax ||
      !absl::WebSafeBase64Unescape(text, bytes) ||
      bytes->size() < 1 + kCrcBytes || (*bytes)[0] != format ||
      absl::WebSafeBase64Escape(*bytes) != text) {
    return false;
  }
  const size_t size = bytes->size() - kCrcBytes;
  const absl::string_view all = *bytes;
  if (ReadBigEndian(all.substr(size)) != Crc32c(all.substr(0, size))) {
    return false;
  }
  *bytes = bytes->substr(1, size - 1);
  return true;
}

}  // namespace

std::string PageToken::ToString() const {
  std::string bytes(1, kPageFormat);
  bytes.push_back(static_cast<char>(store_path));
  bytes += from;
  return Seal(std::move(bytes));
}

absl::StatusOr<PageToken> PageToken::Parse(absl::string_view text) {
  std::string bytes;
  if (!cairn::storage::Open(text, kPageFormat, &bytes) || bytes.empty()) {
    return NoToken("page_token");
  }
  PageToken token;
  token.store_path = static_cast<uint8_t>(bytes[0]);
  token.from = bytes.substr(1);
  return token;
}

std::string WatchToken::ToString() const {
  std::string bytes(1, kWatchFormat);
  for (const auto& [path, logs] : positions) {
    for (const auto& [log, sequence] : logs) {
      bytes.push_back(static_cast<char>(path));
      const absl::string_view incarnation = log.incarnation.bytes();
      bytes.append(incarnation.data(), incarnation.size());
      AppendBigEndian(log.epoch, 4, &bytes);
      AppendBigEndian(sequence, 8, &bytes);
    }
  }
  return Seal(std::move(bytes));
}

absl::StatusOr<WatchToken> WatchToken::Parse(absl::string_view text) {
  std::string bytes;
  if (!cairn::storage::Open(text, kWatchFormat, &bytes) ||
      bytes.size() % kPositionBytes != 0) {
    return NoToken("resume_token");
  }
  WatchToken token;
  for (absl::string_view rest = bytes; !rest.empty();
       rest.remove_prefix(kPositionBytes)) {
    LogId log;
    CAIRN_ASSIGN_OR_RETURN(log.incarnation,
                           Uuid::FromBytes(rest.substr(1, kUuidBytes)));
    log.epoch =
        static_cast<uint32_t>(ReadBigEndian(rest.substr(1 + kUuidBytes, 4)));
    const uint64_t sequence = ReadBigEndian(rest.substr(1 + kUuidBytes + 4, 8));
    if (!token.positions[static_cast<uint8_t>(rest[0])]
             .emplace(log, sequence)
             .second) {
      return NoToken("resume_token");
    }
  }
  return token;
}

}  // namespace storage
}  // namespace cairn
