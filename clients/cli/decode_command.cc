// cairn decode: what an ID says by itself, without any server.

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "clients/cli/commands.h"
#include "clients/cli/format.h"
#include "lib/file_id/file_id.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace cli {
namespace {

absl::Status DecodeOne(const std::string& id, Session* session) {
  const absl::StatusOr<FileIdParts> parts = ParseFileId(id);
  if (!parts.ok()) return parts.status();
  const absl::StatusOr<FileIdFields> fields = DecodeFileName(parts->name);
  if (!fields.ok()) return fields.status();
  const bool appender = (fields->flags & kFileIdAppender) != 0;
  const std::string prefix(DerivedPrefixOf(parts->name));
  // Size and checksum are in the ID unless they came after it was made: an
  // appender's change, and a derived file has its master's ID.
  const bool content_known = !appender && prefix.empty();
  const char* const kind =
      !prefix.empty() ? "derived" : (appender ? "appender" : "normal");
  const absl::Time created = absl::FromUnixSeconds(fields->create_unix_seconds);

  if (session->json()) {
    Json json;
    json["file_id"] = id;
    json["group"] = parts->group;
    json["store_path"] = parts->store_path;
    json["name"] = parts->name;
    json["node_number"] = fields->node_number;
    json["create_time"] = FormatUtc(created);
    json["kind"] = kind;
    if (!prefix.empty()) json["derived_prefix"] = prefix;
    if (content_known) {
      json["size_bytes"] = fields->size_bytes;
      json["crc32c"] = FormatCrc(fields->crc32c);
    }
    json["counter"] = fields->counter;
    json["format"] = fields->format;
    session->PrintJson(json);
    return absl::OkStatus();
  }
  Table table("ll");
  table.AddRow({"group", parts->group});
  table.AddRow({"store path", absl::StrFormat("M%02X (%d)", parts->store_path,
                                              parts->store_path)});
  table.AddRow({"name", parts->name});
  table.AddRow({"node", absl::StrCat(fields->node_number)});
  table.AddRow({"created", FormatUtc(created)});
  table.AddRow({"kind", kind});
  if (!prefix.empty()) table.AddRow({"prefix", prefix});
  if (content_known) {
    table.AddRow({"size", absl::StrCat(fields->size_bytes, " (",
                                       FormatBytes(fields->size_bytes), ")")});
    table.AddRow({"crc32c", FormatCrc(fields->crc32c)});
  }
  table.AddRow({"counter", absl::StrCat(fields->counter)});
  table.AddRow({"format", absl::StrCat(fields->format)});
  session->Write(table.ToString());
  return absl::OkStatus();
}

}  // namespace

ExitCode RunDecode(const DecodeFlags& flags, Session* session) {
  if (session->flags().print_grpcurl) {
    session->Print("# decode asks no server: all of it is in the ID");
    return kExitOk;
  }
  ExitCode exit = kExitOk;
  for (size_t i = 0; i < flags.file_ids.size(); ++i) {
    if (i > 0 && !session->json()) session->Print("");
    const absl::Status decoded = DecodeOne(flags.file_ids[i], session);
    if (decoded.ok()) continue;
    Json json;
    json["file_id"] = flags.file_ids[i];
    exit = Combine(exit, session->FailItem(decoded, flags.file_ids[i], json));
  }
  return exit;
}

}  // namespace cli
}  // namespace cairn
