#include "clients/cli/durability.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "clients/cli/result_json.h"
#include "lib/base/error_reason.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace cli {

absl::StatusOr<client::Durability> ParseDurability(
    const DurabilityFlags& flags) {
  client::Durability durability;
  if (flags.level == "cached") {
    durability.level = client::DurabilityLevel::kCached;
  } else if (flags.level == "synced") {
    durability.level = client::DurabilityLevel::kSynced;
  } else {
    return ErrorWithReason(
        absl::StatusCode::kInvalidArgument, ErrorReason::kInvalidField,
        absl::StrCat("--level ", flags.level, ": write cached or synced"));
  }
  durability.replicas = static_cast<uint32_t>(flags.replicas);
  durability.policy = flags.required ? client::ReplicaPolicy::kRequired
                                     : client::ReplicaPolicy::kBestEffort;
  return durability;
}

Json DurabilityRequestJson(const client::Durability& durability) {
  Json json;
  json["level"] = absl::StrCat(
      "DURABILITY_LEVEL_", absl::AsciiStrToUpper(LevelName(durability.level)));
  if (durability.replicas > 0) json["replicas"] = durability.replicas;
  if (durability.policy == client::ReplicaPolicy::kRequired) {
    json["policy"] = "REPLICA_POLICY_REQUIRED";
  }
  return json;
}

}  // namespace cli
}  // namespace cairn
