#include "services/storage/api/convert.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "cairn/common/v1/file.pb.h"
#include "lib/base/error_reason.h"

namespace cairn {
namespace storage {
namespace {

namespace common = ::cairn::common::v1;

constexpr uint32_t kReplicasMax = 32;

}  // namespace

absl::Status InvalidField(absl::string_view field, absl::string_view message) {
  return ErrorWithReason(
      absl::StatusCode::kInvalidArgument, ErrorReason::kInvalidField,
      absl::StrCat(field, ": ", message), {{"field", std::string(field)}});
}

absl::StatusOr<ReplicaWish> ParseDurability(
    const rpc::BatchDurability& durability) {
  ReplicaWish wish;
  if (durability.replicas > kReplicasMax) {
    return InvalidField("durability.replicas",
                        absl::StrCat("at most ", kReplicasMax, " replicas"));
  }
  wish.replicas = durability.replicas;
  switch (durability.policy) {
    case common::REPLICA_POLICY_UNSPECIFIED:
    case common::REPLICA_POLICY_BEST_EFFORT:
      break;
    case common::REPLICA_POLICY_REQUIRED:
      wish.required = true;
      break;
    default:
      return InvalidField("durability.policy", "is no replica policy");
  }
  switch (durability.level) {
    case common::DURABILITY_LEVEL_UNSPECIFIED:
    case common::DURABILITY_LEVEL_SYNCED:
      wish.level = Durability::kSynced;
      return wish;
    case common::DURABILITY_LEVEL_CACHED:
      wish.level = Durability::kCached;
      return wish;
    default:
      return InvalidField("durability.level", "is no durability level");
  }
}

absl::Status CheckDerivedReplay(absl::string_view derived_name,
                                const Committed& earlier) {
  const bool same = derived_name.empty()
                        ? earlier.file.kind != FileKind::kDerived
                        : earlier.file.name == derived_name;
  if (same) return absl::OkStatus();
  return ErrorWithReason(
      absl::StatusCode::kAlreadyExists, ErrorReason::kRequestIdReused,
      "request_id was used before for another file; make a new one");
}

uint32_t DurabilityLevelOf(Durability reached) {
  return reached == Durability::kSynced ? common::DURABILITY_LEVEL_SYNCED
                                        : common::DURABILITY_LEVEL_CACHED;
}

rpc::BatchFileInfo InfoOf(absl::string_view id_prefix, const FileInfo& file) {
  rpc::BatchFileInfo info;
  info.id_prefix = id_prefix;
  info.id_rest = file.name;
  info.size_bytes = file.size_bytes;
  info.crc32c = file.crc32c;
  info.kind = static_cast<int>(file.kind);
  info.create_unix_seconds = file.create_unix_seconds;
  info.version_clock = file.version.clock;
  info.version_node = file.version.node;
  info.origin_node = file.origin_node;
  info.expire_unix_seconds = file.expire_unix_seconds;
  info.sha256 = file.sha256;
  return info;
}

absl::StatusOr<int64_t> BytesToSend(const FileInfo& file, int64_t offset,
                                    absl::optional<int64_t> length) {
  if (offset < 0) return InvalidField("offset", "must not be negative");
  if (length.has_value() && *length < 0) {
    return InvalidField("length", "must not be negative");
  }
  if (offset > file.size_bytes) {
    return ErrorWithReason(
        absl::StatusCode::kOutOfRange, ErrorReason::kRangePastEnd,
        absl::StrCat("offset ", offset, " lies past the end of a file of ",
                     file.size_bytes, " bytes"),
        {{"size_bytes", absl::StrCat(file.size_bytes)}});
  }
  const int64_t rest = file.size_bytes - offset;
  return length.has_value() ? std::min(*length, rest) : rest;
}

}  // namespace storage
}  // namespace cairn
