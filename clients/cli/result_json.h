// What the client library returns, as the fields that docs/cli.md documents.

#ifndef CAIRN_CLIENTS_CLI_RESULT_JSON_H_
#define CAIRN_CLIENTS_CLI_RESULT_JSON_H_

#include <string>

#include "clients/cli/session.h"
#include "clients/cpp/types.h"

namespace cairn {
namespace cli {

// Adds file_id, size_bytes, crc32c, kind, create_time, version, origin_node.
void AddFileInfo(const client::FileInfo& info, Json* json);

// "normal", "appender", "derived".
// `clock.node`.
std::string VersionText(const client::FileInfo& info);

std::string KindName(client::FileKind kind);

// "cached", "synced".
std::string LevelName(client::DurabilityLevel level);

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_RESULT_JSON_H_
