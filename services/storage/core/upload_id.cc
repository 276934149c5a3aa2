#include "services/storage/core/upload_id.h"

#include "absl/strings/str_format.h"
#include "lib/base/error_reason.h"

namespace cairn {
namespace storage {
namespace {

constexpr size_t kNodeDigits = 8;
constexpr size_t kPathDigits = 2;
constexpr size_t kSecretAt = kNodeDigits + 1 + kPathDigits + 1;
constexpr size_t kSecretBytes = 36;

// Lower case only, so that an upload has one ID.
bool ParseHex(absl::string_view text, uint32_t* value) {
  *value = 0;
  for (const char c : text) {
    if (c >= '0' && c <= '9') {
      *value = *value * 16 + static_cast<uint32_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      *value = *value * 16 + static_cast<uint32_t>(c - 'a' + 10);
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace

std::string UploadId::ToString() const {
  return absl::StrFormat("%08x-%02x-%s", node_number, store_path,
                         secret.ToString());
}

absl::StatusOr<UploadId> UploadId::Parse(absl::string_view text) {
  UploadId id;
  uint32_t path = 0;
  if (text.size() == kSecretAt + kSecretBytes && text[kNodeDigits] == '-' &&
      text[kSecretAt - 1] == '-' &&
      ParseHex(text.substr(0, kNodeDigits), &id.node_number) &&
      ParseHex(text.substr(kNodeDigits + 1, kPathDigits), &path)) {
    id.store_path = static_cast<uint8_t>(path);
    const absl::StatusOr<Uuid> secret = Uuid::Parse(text.substr(kSecretAt));
    if (secret.ok() && secret->ToString() == text.substr(kSecretAt)) {
      id.secret = *secret;
      return id;
    }
  }
  return ErrorWithReason(
      absl::StatusCode::kInvalidArgument, ErrorReason::kInvalidField,
      "upload_id is not the ID of an upload", {{"field", "upload_id"}});
}

}  // namespace storage
}  // namespace cairn
