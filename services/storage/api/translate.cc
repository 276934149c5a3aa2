#include "services/storage/api/translate.h"

#include "lib/attributes/attributes.h"
#include "lib/base/status_macros.h"
#include "lib/rpc/batch_wire.h"
#include "services/storage/api/convert.h"
#include "services/storage/core/file_info.h"

namespace cairn {
namespace storage {

absl::StatusOr<Uuid> ParseRequestId(absl::string_view text, bool required) {
  if (text.empty()) {
    if (required) return InvalidField("request_id", "is missing");
    return Uuid();
  }
  const absl::StatusOr<Uuid> id = Uuid::Parse(text);
  if (!id.ok() || id->is_nil()) {
    return InvalidField("request_id",
                        "must be a UUID in canonical text form, not nil");
  }
  return *id;
}

absl::StatusOr<ReplicaWish> ParseDurability(
    const common::v1::Durability& durability) {
  return ParseDurability(rpc::BatchDurability{
      static_cast<uint32_t>(durability.level()), durability.replicas(),
      static_cast<uint32_t>(durability.policy())});
}

common::v1::DurabilityLevel ToProto(Durability durability) {
  return durability == Durability::kCached
             ? common::v1::DURABILITY_LEVEL_CACHED
             : common::v1::DURABILITY_LEVEL_SYNCED;
}

common::v1::FileKind ToProto(FileKind kind) {
  switch (kind) {
    case FileKind::kNormal:
      return common::v1::FILE_KIND_NORMAL;
    case FileKind::kAppender:
      return common::v1::FILE_KIND_APPENDER;
    case FileKind::kDerived:
      return common::v1::FILE_KIND_DERIVED;
  }
  return common::v1::FILE_KIND_UNSPECIFIED;
}

void ToProto(const StorageNode& node, uint8_t path_index, const FileInfo& info,
             common::v1::FileInfo* out) {
  out->set_file_id(node.FileId(path_index, info.name));
  out->set_size_bytes(info.size_bytes);
  out->set_crc32c(info.crc32c);
  out->set_kind(ToProto(info.kind));
  out->mutable_create_time()->set_seconds(info.create_unix_seconds);
  out->mutable_version()->set_clock(info.version.clock);
  out->mutable_version()->set_node(info.version.node);
  out->set_origin_node(info.origin_node);
  if (info.expire_unix_seconds != 0) {
    out->mutable_expire_time()->set_seconds(info.expire_unix_seconds);
  }
  out->set_sha256(info.sha256);
}

absl::StatusOr<std::string> ParseAttributes(
    const common::v1::Attributes& attributes) {
  return NormalizeAttributes(attributes.SerializeAsString());
}

absl::StatusOr<AttributeChange> ParseAttributeChange(
    common::v1::AttributesMode mode, const common::v1::Attributes& attributes,
    const google::protobuf::RepeatedPtrField<std::string>& remove) {
  AttributeChange change;
  switch (mode) {
    case common::v1::ATTRIBUTES_MODE_OVERWRITE:
      change.overwrite = true;
      break;
    case common::v1::ATTRIBUTES_MODE_MERGE:
      break;
    default:
      return InvalidField("mode", "must be OVERWRITE or MERGE");
  }
  CAIRN_ASSIGN_OR_RETURN(change.set,
                         DecodeAttributes(attributes.SerializeAsString()));
  change.remove.assign(remove.begin(), remove.end());
  CAIRN_RETURN_IF_ERROR(CheckAttributeChange(change));
  return change;
}

absl::StatusOr<int64_t> ParseLifetime(const common::v1::Lifetime& lifetime,
                                      absl::Time now) {
  constexpr int32_t kNanosPerSecond = 1000000000;
  // So that whole seconds can be added without a look at each sum.
  constexpr int64_t kSecondsMax = 2 * kExpireUnixSecondsMax;
  const int64_t now_seconds = absl::ToUnixSeconds(now);
  int64_t expire = 0;
  absl::string_view field;
  switch (lifetime.end_case()) {
    case common::v1::Lifetime::END_NOT_SET:
      return int64_t{0};
    case common::v1::Lifetime::kExpireTime: {
      field = "lifetime.expire_time";
      const auto& time = lifetime.expire_time();
      if (time.nanos() < 0 || time.nanos() >= kNanosPerSecond ||
          time.seconds() > kSecondsMax) {
        return InvalidField(field, "is no time");
      }
      expire = time.seconds() + (time.nanos() > 0 ? 1 : 0);
      if (expire <= now_seconds) return InvalidField(field, "has passed");
      break;
    }
    case common::v1::Lifetime::kTimeToLive: {
      field = "lifetime.time_to_live";
      const auto& duration = lifetime.time_to_live();
      if (duration.nanos() < 0 || duration.nanos() >= kNanosPerSecond ||
          duration.seconds() > kSecondsMax) {
        return InvalidField(field, "is no duration of a file's life");
      }
      if (duration.seconds() < 1) {
        return InvalidField(field, "must be at least a second");
      }
      const absl::Time end = now + absl::Seconds(duration.seconds()) +
                             absl::Nanoseconds(duration.nanos());
      // A file lives as long as it was said, if not longer.
      expire = absl::ToUnixSeconds(end);
      if (absl::FromUnixSeconds(expire) < end) ++expire;
      break;
    }
  }
  if (expire > kExpireUnixSecondsMax) {
    return InvalidField(field, "lies behind the year 9999");
  }
  return expire;
}

absl::StatusOr<std::string> ParseDerived(const StorageNode& node,
                                         const v1::DerivedName& derived,
                                         absl::string_view extension,
                                         absl::optional<uint32_t>* store_path) {
  CAIRN_ASSIGN_OR_RETURN(
      StorageNode::Derived named,
      node.NameDerived(derived.master_id(), derived.prefix(), extension));
  if (store_path->value_or(named.path_index) != named.path_index) {
    return InvalidField("store_path",
                        "a derived file lies where its master's "
                        "ID says");
  }
  *store_path = named.path_index;
  return std::move(named.name);
}

void AttributesToProto(const FileInfo& info, common::v1::FileInfo* out) {
  if (info.attributes.empty()) return;
  // What another member has let in, of a later version, may be none to this
  // one.
  if (!out->mutable_attributes()->ParseFromString(info.attributes)) {
    out->clear_attributes();
  }
}

}  // namespace storage
}  // namespace cairn
