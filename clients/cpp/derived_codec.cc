#include "clients/cpp/derived_codec.h"

#include <cstdint>
#include <utility>

#include "clients/cpp/file_info_codec.h"
#include "clients/cpp/wire_format.h"

namespace cairn {
namespace client {
namespace {

constexpr uint32_t kWithDerivedField = 50;     // Of DeleteRequest.
constexpr uint32_t kPurgeField = 42;           // The same.
constexpr uint32_t kDerivedDeletedField = 50;  // Of DeleteResponse.
constexpr uint32_t kUndeleteUntilField = 42;   // The same.

}  // namespace

absl::Cord EncodeListDerived(absl::string_view file_id,
                             const ListDerivedOptions& options) {
  std::string message;
  AppendBytesField(1, file_id, &message);
  if (options.page_size != 0) {
    AppendVarintField(2, options.page_size, &message);
  }
  if (!options.page_token.empty()) {
    AppendBytesField(3, options.page_token, &message);
  }
  return absl::Cord(std::move(message));
}

absl::Cord EncodeDeleteWithDerived(absl::string_view file_id,
                                   const std::string& request_id,
                                   const DeleteOptions& options) {
  std::string durability;
  AppendDurability(options.durability, &durability);
  std::string message;
  AppendBytesField(1, request_id, &message);
  AppendBytesField(2, file_id, &message);
  AppendBytesField(3, durability, &message);
  AppendVarintField(kWithDerivedField, 1, &message);
  if (options.purge) AppendVarintField(kPurgeField, 1, &message);
  return absl::Cord(std::move(message));
}

bool ParseListDerivedResponse(const absl::Cord& message,
                              ListDerivedResult* result) {
  const std::string bytes(message);
  WireReader reader(bytes);
  while (!reader.AtEnd()) {
    uint32_t tag;
    absl::string_view field;
    if (!reader.ReadTag(&tag)) return false;
    if (tag == Tag(1, WireType::kBytes)) {
      if (!reader.ReadBytes(&field) ||
          !ParseFileInfo(field, &result->files.emplace_back())) {
        return false;
      }
    } else if (tag == Tag(2, WireType::kBytes)) {
      if (!reader.ReadBytes(&field)) return false;
      result->next_page_token = std::string(field);
    } else if (!reader.Skip(tag)) {
      return false;
    }
  }
  return true;
}

bool ParseDeleteResponse(const absl::Cord& message, DeleteResult* result) {
  const std::string bytes(message);
  WireReader reader(bytes);
  while (!reader.AtEnd()) {
    uint32_t tag;
    uint64_t value;
    if (!reader.ReadTag(&tag)) return false;
    if (tag == Tag(1, WireType::kBytes)) {
      if (!ReadReached(&reader, result)) return false;
    } else if (tag == Tag(2, WireType::kVarint)) {
      if (!reader.ReadVarint(&value)) return false;
      result->replayed = value != 0;
    } else if (tag == Tag(kDerivedDeletedField, WireType::kVarint)) {
      if (!reader.ReadVarint(&value)) return false;
      result->derived_deleted = static_cast<uint32_t>(value);
    } else if (tag == Tag(kUndeleteUntilField, WireType::kBytes)) {
      if (!ReadTime(&reader, &result->undelete_until)) return false;
    } else if (!reader.Skip(tag)) {
      return false;
    }
  }
  return true;
}

}  // namespace client
}  // namespace cairn
