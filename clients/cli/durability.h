// What the flags --level, --replicas and --required ask of an answer.

#ifndef CAIRN_CLIENTS_CLI_DURABILITY_H_
#define CAIRN_CLIENTS_CLI_DURABILITY_H_

#include <string>

#include "absl/status/statusor.h"
#include "clients/cli/session.h"
#include "clients/cpp/types.h"

namespace cairn {
namespace cli {

struct DurabilityFlags {
  std::string level = "synced";  // cached, synced
  int replicas = 0;              // 0..32; 0: the group's default.
  bool required = false;         // Exactly so many, or an error.
};

// INVALID_ARGUMENT  `flags.level` is neither.
absl::StatusOr<client::Durability> ParseDurability(
    const DurabilityFlags& flags);

// The same as cairn.common.v1.Durability in JSON, for grpcurl.
Json DurabilityRequestJson(const client::Durability& durability);

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_DURABILITY_H_
