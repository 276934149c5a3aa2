#include "clients/cpp/replica_codec.h"

#include <cstdint>
#include <string>
#include <utility>

#include "clients/cpp/file_info_codec.h"
#include "clients/cpp/wire_format.h"

namespace cairn {
namespace client {
namespace {

constexpr uint32_t kAttributesField = 30;  // Of StatRequest.
constexpr uint32_t kReplicasField = 60;    // Of both.

bool ParseReplica(absl::string_view bytes, Replica* replica) {
  WireReader reader(bytes);
  while (!reader.AtEnd()) {
    uint32_t tag;
    uint64_t value;
    absl::string_view text;
    if (!reader.ReadTag(&tag)) return false;
    switch (tag) {
      case Tag(1, WireType::kBytes):
        if (!reader.ReadBytes(&text)) return false;
        replica->node_uuid = std::string(text);
        break;
      case Tag(2, WireType::kBytes):
        if (!reader.ReadBytes(&text)) return false;
        replica->node_name = std::string(text);
        break;
      case Tag(3, WireType::kVarint):
        if (!reader.ReadVarint(&value)) return false;
        replica->node_number = static_cast<uint32_t>(value);
        break;
      case Tag(4, WireType::kVarint):
        if (!reader.ReadVarint(&value) || value < 1 || value > 5) return false;
        replica->state = static_cast<ReplicaState>(value);
        break;
      default:
        if (!reader.Skip(tag)) return false;
    }
  }
  return true;
}

}  // namespace

absl::Cord EncodeStatReplicas(absl::string_view file_id,
                              const StatOptions& options) {
  std::string message;
  AppendBytesField(1, file_id, &message);
  if (options.include_attributes) {
    AppendVarintField(kAttributesField, 1, &message);
  }
  AppendVarintField(kReplicasField, 1, &message);
  return absl::Cord(std::move(message));
}

bool ParseStatResponse(const absl::Cord& message, FileInfo* info) {
  const std::string bytes(message);
  WireReader reader(bytes);
  while (!reader.AtEnd()) {
    uint32_t tag;
    absl::string_view field;
    if (!reader.ReadTag(&tag)) return false;
    if (tag == Tag(1, WireType::kBytes)) {
      if (!reader.ReadBytes(&field) || !ParseFileInfo(field, info)) {
        return false;
      }
    } else if (tag == Tag(kReplicasField, WireType::kBytes)) {
      if (!reader.ReadBytes(&field) ||
          !ParseReplica(field, &info->replicas.emplace_back())) {
        return false;
      }
    } else if (!reader.Skip(tag)) {
      return false;
    }
  }
  return true;
}

}  // namespace client
}  // namespace cairn
