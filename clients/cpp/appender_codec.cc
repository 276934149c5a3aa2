#include "clients/cpp/appender_codec.h"

#include <utility>

#include "clients/cpp/file_info_codec.h"
#include "clients/cpp/transfer_codec.h"
#include "clients/cpp/wire_format.h"
#include "lib/attributes/attributes.h"

namespace cairn {
namespace client {
namespace {

// The content, behind what is in `head`, and its CRC.
absl::Cord WithContent(std::string head, const absl::Cord& content,
                       uint32_t crc32c) {
  AppendFixed32Field(7, crc32c, &head);
  if (content.empty()) return absl::Cord(std::move(head));
  AppendBytesHeader(6, content.size(), &head);
  absl::Cord message(std::move(head));
  message.Append(content);
  return message;
}

void AppendCondition(const UpdateOptions& options, std::string* out) {
  if (!options.if_size_bytes && !options.if_version_match) return;
  std::string condition;
  if (options.if_size_bytes) {
    AppendVarintField(1, static_cast<uint64_t>(*options.if_size_bytes),
                      &condition);
  }
  if (options.if_version_match) {
    std::string version;
    AppendVarintField(1, options.if_version_match->first, &version);
    AppendVarintField(2, options.if_version_match->second, &version);
    AppendBytesField(2, version, &condition);
  }
  AppendBytesField(3, condition, out);
}

// What changes that leave the content as it is begin with.
std::string ChangeHead(const std::string& request_id,
                       const std::string& file_id, const Durability& wanted) {
  std::string durability;
  AppendDurability(wanted, &durability);
  std::string message;
  AppendBytesField(1, request_id, &message);
  AppendBytesField(2, file_id, &message);
  AppendBytesField(3, durability, &message);
  return message;
}

}  // namespace

absl::Cord EncodeCreateAppender(const std::string& request_id,
                                const PutOptions& options,
                                absl::optional<uint32_t> store_path,
                                const absl::Cord& content, uint32_t crc32c) {
  std::string durability;
  AppendDurability(options.durability, &durability);
  std::string head;
  AppendBytesField(1, request_id, &head);
  if (!options.group.empty()) AppendBytesField(2, options.group, &head);
  if (store_path) AppendVarintField(3, *store_path, &head);
  if (!options.extension.empty()) AppendBytesField(4, options.extension, &head);
  AppendBytesField(5, durability, &head);
  if (!options.attributes.empty()) {
    AppendBytesField(30, EncodeAttributes(options.attributes), &head);
  }
  const std::string lifetime = EncodeLifetime(options.lifetime);
  if (!lifetime.empty()) AppendBytesField(40, lifetime, &head);
  return WithContent(std::move(head), content, crc32c);
}

absl::Cord EncodeUndelete(const std::string& request_id,
                          const std::string& file_id,
                          const UndeleteOptions& options) {
  return absl::Cord(ChangeHead(request_id, file_id, options.durability));
}

absl::Cord EncodeSetExpiry(const std::string& request_id,
                           const std::string& file_id, const Lifetime& lifetime,
                           const SetExpiryOptions& options) {
  std::string message = ChangeHead(request_id, file_id, options.durability);
  const std::string end = EncodeLifetime(lifetime);
  if (!end.empty()) AppendBytesField(4, end, &message);
  return absl::Cord(std::move(message));
}

absl::Cord EncodeUpdate(UpdateKind kind, const std::string& request_id,
                        const std::string& file_id,
                        const UpdateOptions& options, int64_t offset,
                        const absl::Cord& content, uint32_t crc32c) {
  std::string durability;
  AppendDurability(options.durability, &durability);
  std::string head;
  AppendBytesField(1, request_id, &head);
  AppendBytesField(2, file_id, &head);
  AppendCondition(options, &head);
  AppendBytesField(4, durability, &head);
  if (kind == UpdateKind::kSeal) return absl::Cord(std::move(head));
  AppendVarintField(5, static_cast<uint64_t>(offset), &head);
  if (kind == UpdateKind::kTruncate) return absl::Cord(std::move(head));
  return WithContent(std::move(head), content, crc32c);
}

bool ParseUpdateResponse(const absl::Cord& message, PutResult* result) {
  // Laid out as an UploadResponse.
  return ParseUploadResponse(message, result);
}

}  // namespace client
}  // namespace cairn
