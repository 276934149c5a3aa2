#include "clients/cpp/copy_codec.h"

#include <cstdint>
#include <utility>

#include "clients/cpp/file_info_codec.h"
#include "clients/cpp/transfer_codec.h"
#include "clients/cpp/wire_format.h"
#include "lib/attributes/attributes.h"

namespace cairn {
namespace client {
namespace {

constexpr uint32_t kAttributesField = 30;  // Of CopyRequest.
constexpr uint32_t kLifetimeField = 40;    // Of CopyRequest.
constexpr uint32_t kSharedField = 4;       // Of CopyResponse.

}  // namespace

absl::Cord EncodeCopy(const std::string& request_id, absl::string_view file_id,
                      const CopyOptions& options) {
  std::string durability;
  AppendDurability(options.durability, &durability);
  std::string message;
  AppendBytesField(1, request_id, &message);
  AppendBytesField(2, file_id, &message);
  AppendBytesField(3, durability, &message);
  // Empty ones say something: there are to be none.
  if (options.extension) AppendBytesField(4, *options.extension, &message);
  if (options.attributes) {
    AppendBytesField(kAttributesField, EncodeAttributes(*options.attributes),
                     &message);
  }
  const std::string lifetime = EncodeLifetime(options.lifetime);
  if (!lifetime.empty()) AppendBytesField(kLifetimeField, lifetime, &message);
  return absl::Cord(std::move(message));
}

bool ParseCopyResponse(const absl::Cord& message, CopyResult* result) {
  // Laid out as an UploadResponse, and more.
  if (!ParseUploadResponse(message, result)) return false;
  const std::string bytes(message);
  WireReader reader(bytes);
  while (!reader.AtEnd()) {
    uint32_t tag;
    uint64_t value;
    if (!reader.ReadTag(&tag)) return false;
    if (tag == Tag(kSharedField, WireType::kVarint)) {
      if (!reader.ReadVarint(&value)) return false;
      result->shared = value != 0;
    } else if (!reader.Skip(tag)) {
      return false;
    }
  }
  return true;
}

}  // namespace client
}  // namespace cairn
