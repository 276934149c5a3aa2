#include "clients/cpp/file_info_codec.h"

#include <utility>

#include "absl/status/statusor.h"
#include "clients/cpp/wire_format.h"
#include "lib/attributes/attributes.h"

namespace cairn {
namespace client {
namespace {

bool ParseTimestamp(absl::string_view bytes, absl::Time* time) {
  WireReader reader(bytes);
  uint64_t seconds = 0;
  while (!reader.AtEnd()) {
    uint32_t tag;
    if (!reader.ReadTag(&tag)) return false;
    // Nanoseconds are 0 here: times of files are whole seconds.
    if (tag == Tag(1, WireType::kVarint) ? !reader.ReadVarint(&seconds)
                                         : !reader.Skip(tag)) {
      return false;
    }
  }
  *time = absl::FromUnixSeconds(static_cast<int64_t>(seconds));
  return true;
}

bool ParseVersion(absl::string_view bytes, FileInfo* info) {
  WireReader reader(bytes);
  while (!reader.AtEnd()) {
    uint32_t tag;
    uint64_t value;
    if (!reader.ReadTag(&tag)) return false;
    if (tag == Tag(1, WireType::kVarint)) {
      if (!reader.ReadVarint(&info->version_clock)) return false;
    } else if (tag == Tag(2, WireType::kVarint)) {
      if (!reader.ReadVarint(&value)) return false;
      info->version_node = static_cast<uint32_t>(value);
    } else if (!reader.Skip(tag)) {
      return false;
    }
  }
  return true;
}

}  // namespace

void AppendDurability(const Durability& durability, std::string* out) {
  AppendVarintField(1, static_cast<uint64_t>(durability.level), out);
  if (durability.replicas != 0) {
    AppendVarintField(2, durability.replicas, out);
  }
  if (durability.policy != ReplicaPolicy::kBestEffort) {
    AppendVarintField(3, static_cast<uint64_t>(durability.policy), out);
  }
}

std::string EncodeLifetime(const Lifetime& lifetime) {
  absl::Duration value;
  uint32_t field = 0;
  if (lifetime.expire_time) {
    field = 1;
    value = *lifetime.expire_time - absl::UnixEpoch();
  } else if (lifetime.time_to_live) {
    field = 2;
    value = *lifetime.time_to_live;
  } else {
    return std::string();
  }
  // Timestamp and Duration are laid out alike.
  const absl::Duration whole = absl::Floor(value, absl::Seconds(1));
  std::string inner;
  AppendVarintField(1, static_cast<uint64_t>(absl::ToInt64Seconds(whole)),
                    &inner);
  const int64_t nanos = absl::ToInt64Nanoseconds(value - whole);
  if (nanos != 0) AppendVarintField(2, static_cast<uint64_t>(nanos), &inner);
  std::string message;
  AppendBytesField(field, inner, &message);
  return message;
}

bool ReadTime(WireReader* reader, absl::optional<absl::Time>* time) {
  absl::string_view field;
  return reader->ReadBytes(&field) && ParseTimestamp(field, &time->emplace());
}

bool ParseFileInfo(absl::string_view bytes, FileInfo* info) {
  WireReader reader(bytes);
  while (!reader.AtEnd()) {
    uint32_t tag;
    uint64_t value;
    absl::string_view text;
    if (!reader.ReadTag(&tag)) return false;
    switch (tag) {
      case Tag(1, WireType::kBytes):
        if (!reader.ReadBytes(&text)) return false;
        info->file_id.assign(text.data(), text.size());
        break;
      case Tag(2, WireType::kVarint):
        if (!reader.ReadVarint(&value)) return false;
        info->size_bytes = static_cast<int64_t>(value);
        break;
      case Tag(3, WireType::kFixed32):
        if (!reader.ReadFixed32(&info->crc32c)) return false;
        break;
      case Tag(4, WireType::kVarint):
        if (!reader.ReadVarint(&value)) return false;
        info->kind = static_cast<FileKind>(value);
        break;
      case Tag(5, WireType::kBytes):
        if (!reader.ReadBytes(&text) ||
            !ParseTimestamp(text, &info->create_time)) {
          return false;
        }
        break;
      case Tag(6, WireType::kBytes):
        if (!reader.ReadBytes(&text) || !ParseVersion(text, info)) return false;
        break;
      case Tag(7, WireType::kVarint):
        if (!reader.ReadVarint(&value)) return false;
        info->origin_node = static_cast<uint32_t>(value);
        break;
      case Tag(40, WireType::kBytes):
        if (!reader.ReadBytes(&text) ||
            !ParseTimestamp(text, &info->expire_time.emplace())) {
          return false;
        }
        break;
      case Tag(90, WireType::kBytes):
        if (!reader.ReadBytes(&text)) return false;
        info->sha256.assign(text.data(), text.size());
        break;
      case Tag(30, WireType::kBytes): {
        if (!reader.ReadBytes(&text)) return false;
        absl::StatusOr<Attributes> attributes = DecodeAttributes(text);
        if (!attributes.ok()) return false;
        info->attributes = *std::move(attributes);
        break;
      }
      default:
        if (!reader.Skip(tag)) return false;
    }
  }
  return true;
}

bool ParseReached(absl::string_view bytes, Reached* reached) {
  WireReader reader(bytes);
  while (!reader.AtEnd()) {
    uint32_t tag;
    uint64_t value;
    if (!reader.ReadTag(&tag)) return false;
    if (tag == Tag(1, WireType::kVarint)) {
      if (!reader.ReadVarint(&value)) return false;
      reached->level = static_cast<DurabilityLevel>(value);
    } else if (tag == Tag(2, WireType::kVarint)) {
      if (!reader.ReadVarint(&value)) return false;
      reached->replicas = static_cast<uint32_t>(value);
    } else if (!reader.Skip(tag)) {
      return false;
    }
  }
  return true;
}

}  // namespace client
}  // namespace cairn
