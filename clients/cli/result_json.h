// What the client library returns, as the fields that docs/cli.md documents.

#ifndef CAIRN_CLIENTS_CLI_RESULT_JSON_H_
#define CAIRN_CLIENTS_CLI_RESULT_JSON_H_

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "clients/cli/session.h"
#include "clients/cpp/types.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace cli {

// Adds file_id, size_bytes, crc32c, kind, create_time, version, origin_node.
void AddFileInfo(const client::FileInfo& info, Json* json);

// `clock.node`.
std::string VersionText(const client::FileInfo& info);

// The reverse, of what --if-version names.
//   INVALID_ARGUMENT  it is no such text.
absl::StatusOr<std::pair<uint64_t, uint32_t>> ParseVersion(
    const std::string& text);

// "normal", "appender", "derived".
std::string KindName(client::FileKind kind);

// "cached", "synced".
std::string LevelName(client::DurabilityLevel level);

// Adds what the acknowledgement of a change means: level, replicas, replayed.
template <typename Result>
void AddReached(const Result& result, Json* json) {
  (*json)["level"] = LevelName(result.level);
  (*json)["replicas"] = result.replicas;
  (*json)["replayed"] = result.replayed;
}

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_RESULT_JSON_H_
