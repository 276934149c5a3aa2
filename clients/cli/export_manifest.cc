#include "clients/cli/export_manifest.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "clients/cli/attribute_text.h"
#include "clients/cli/local_files.h"
#include "clients/cli/manifest.h"
#include "clients/cli/result_json.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace cli {
namespace {

constexpr char kFormatKey[] = "cairn_export";
constexpr int kFormat = 1;
constexpr absl::string_view kImportHeading = "# cairn import 1 ";

// 10,000,000 files with attributes; what is larger is no manifest.
constexpr int64_t kListBytesMax = int64_t{16} << 30;

// The last that a time on the wire can be.
constexpr int64_t kUnixSecondsMax = 253402300799;

absl::Status NoManifest(absl::string_view what, size_t line) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                         ErrorReason::kInvalidField,
                         absl::StrCat("line ", line, " is none of ", what));
}

// Calls `take` with each whole line and its number until one is refused.
template <typename Take>
bool ForEachLine(absl::string_view text, size_t* number, Take take) {
  *number = 0;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    if (end == absl::string_view::npos) return true;  // Cut off by a crash.
    ++*number;
    if (!take(text.substr(0, end))) return false;
    text.remove_prefix(end + 1);
  }
  return true;
}

bool TextOf(const Json& json, const char* key, std::string* out) {
  const auto it = json.find(key);
  if (it == json.end() || !it->is_string()) return false;
  *out = it->get<std::string>();
  return true;
}

bool ReadTime(const std::string& text, absl::Time* time) {
  std::string error;
  return absl::ParseTime(absl::RFC3339_full, text, time, &error) &&
         *time >= absl::UnixEpoch() &&
         *time <= absl::FromUnixSeconds(kUnixSecondsMax);
}

bool ReadAttributes(const Json& json, Attributes* attributes) {
  const auto texts = json.find("attributes");
  if (texts != json.end()) {
    if (!texts->is_object()) return false;
    for (const auto& [key, value] : texts->items()) {
      if (!value.is_string()) return false;
      (*attributes)[key] = value.get<std::string>();
    }
  }
  const auto bytes = json.find("attributes_base64");
  if (bytes != json.end()) {
    if (!bytes->is_object()) return false;
    for (const auto& [key, value] : bytes->items()) {
      if (!value.is_string() || !absl::Base64Unescape(value.get<std::string>(),
                                                      &(*attributes)[key])) {
        return false;
      }
    }
  }
  return CheckAttributes(*attributes).ok();
}

bool ReadFile(const Json& json, ExportedFile* file) {
  client::FileInfo& info = file->info;
  std::string crc;
  std::string kind;
  std::string time;
  std::string version;
  const auto size = json.find("size_bytes");
  if (size == json.end() || !size->is_number_integer() ||
      !TextOf(json, "crc32c", &crc) || !TextOf(json, "kind", &kind) ||
      !TextOf(json, "version", &version) ||
      !TextOf(json, "create_time", &time) ||
      !TextOf(json, "path", &file->path)) {
    return false;
  }
  info.size_bytes = size->get<int64_t>();
  info.kind = kind == "appender"  ? client::FileKind::kAppender
              : kind == "derived" ? client::FileKind::kDerived
                                  : client::FileKind::kNormal;
  const auto parsed = ParseVersion(version);
  if (info.size_bytes < 0 || kind != KindName(info.kind) || crc.size() != 8 ||
      !absl::SimpleHexAtoi(crc, &info.crc32c) || !parsed.ok() ||
      !ReadTime(time, &info.create_time)) {
    return false;
  }
  if (TextOf(json, "expire_time", &time) &&
      !ReadTime(time, &info.expire_time.emplace())) {
    return false;
  }
  info.version_clock = parsed->first;
  info.version_node = parsed->second;
  // It is read and written below the folder, whatever a list says.
  return SafePath(file->path) == file->path && !file->path.empty() &&
         ReadAttributes(json, &info.attributes);
}

bool TakeLine(absl::string_view line, bool first, Export* out) {
  const Json json = Json::parse(line.begin(), line.end(), nullptr,
                                /*allow_exceptions=*/false);
  if (!json.is_object()) return false;
  if (first) {
    const auto format = json.find(kFormatKey);
    return format != json.end() && *format == kFormat;
  }
  std::string text;
  if (TextOf(json, "watch_token", &text)) {
    absl::StatusOr<GroupTokens> tokens = ParseGroupTokens(text);
    if (!tokens.ok()) return false;
    out->tokens = *std::move(tokens);
    return true;
  }
  ExportedFile file;
  if (!TextOf(json, "file_id", &file.info.file_id) ||
      file.info.file_id.empty()) {
    return false;
  }
  const auto deleted = json.find("deleted");
  if (deleted != json.end()) {
    out->files.erase(file.info.file_id);
    return deleted->is_boolean() && deleted->get<bool>();
  }
  if (!ReadFile(json, &file)) return false;
  const std::string id = file.info.file_id;
  out->files[id] = std::move(file);
  return true;
}

std::string LineOf(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

absl::StatusOr<Export> ParseExport(absl::string_view text) {
  Export out;
  size_t number = 0;
  if (!ForEachLine(text, &number, [&](absl::string_view line) {
        return TakeLine(line, number == 1, &out);
      })) {
    return NoManifest("a manifest of `cairn export`", number);
  }
  return out;
}

std::string ExportHeading() {
  Json json;
  json[kFormatKey] = kFormat;
  return LineOf(json);
}

std::string ExportLine(const ExportedFile& file) {
  Json json;
  AddFileInfo(file.info, &json);
  AddAttributes(file.info.attributes, &json);
  json["path"] = file.path;
  return LineOf(json);
}

std::string ExportDeletedLine(const std::string& file_id) {
  Json json;
  json["file_id"] = file_id;
  json["deleted"] = true;
  return LineOf(json);
}

std::string ExportTokenLine(const GroupTokens& tokens) {
  Json json;
  json["watch_token"] = FormatGroupTokens(tokens);
  return LineOf(json);
}

absl::StatusOr<ImportMap> ParseImportMap(absl::string_view text) {
  ImportMap map;
  size_t number = 0;
  if (!ForEachLine(text, &number, [&](absl::string_view line) {
        if (number == 1) {
          if (!absl::ConsumePrefix(&line, kImportHeading)) return false;
          const absl::StatusOr<Uuid> import = Uuid::Parse(line);
          if (import.ok()) map.import = *import;
          return import.ok();
        }
        const std::vector<std::string> ids = absl::StrSplit(line, '\t');
        if (ids.size() != 2 || ids[0].empty() || ids[1].empty()) return false;
        map.new_ids[ids[0]] = ids[1];
        return true;
      })) {
    return NoManifest("a list of `cairn import`", number);
  }
  return map;
}

std::string ImportHeading(const Uuid& import) {
  return absl::StrCat(kImportHeading, import.ToString(), "\n");
}

std::string ImportLine(const std::string& old_id, const std::string& new_id) {
  return absl::StrCat(old_id, "\t", new_id, "\n");
}

absl::StatusOr<std::unique_ptr<DurableLines>> OpenLines(
    FileSystem* fs, const std::string& path, absl::string_view heading,
    std::string* text) {
  CAIRN_ASSIGN_OR_RETURN(auto file, fs->Open(path, OpenMode::kCreate));
  CAIRN_ASSIGN_OR_RETURN(*text, ReadWholeFile(fs, path, kListBytesMax));
  const size_t whole = text->rfind('\n') + 1;  // npos + 1 is 0.
  if (whole < text->size()) {
    // Without a line feed at all it may be somebody else's file.
    if (whole == 0 && !absl::StartsWith(heading, text->substr(0, 8)) &&
        text->size() > heading.size()) {
      return NoManifest("a list of this command", 1);
    }
    text->resize(whole);
    CAIRN_RETURN_IF_ERROR(file->Truncate(static_cast<int64_t>(whole)));
  }
  auto lines = std::make_unique<DurableLines>(std::move(file),
                                              static_cast<int64_t>(whole));
  if (whole == 0) {
    lines->Add(heading);
    *text = std::string(heading);
    CAIRN_RETURN_IF_ERROR(lines->Sync());
    CAIRN_RETURN_IF_ERROR(fs->SyncDirectory(ParentOf(path)));
  }
  return lines;
}

}  // namespace cli
}  // namespace cairn
