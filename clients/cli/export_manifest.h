// What `cairn export` writes beside the files, and `cairn import` reads: lines
// of JSON. Format: docs/formats/export.md.

#ifndef CAIRN_CLIENTS_CLI_EXPORT_MANIFEST_H_
#define CAIRN_CLIENTS_CLI_EXPORT_MANIFEST_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "clients/cli/durable_lines.h"
#include "clients/cli/group_tokens.h"
#include "clients/cpp/types.h"
#include "lib/base/uuid.h"
#include "lib/io/file_system.h"

namespace cairn {
namespace cli {

// A file that was exported.
struct ExportedFile {
  client::FileInfo info;  // With its attributes.
  std::string path;       // Below the folder.
};

// What a manifest says, the later line of a file in place of the earlier.
struct Export {
  std::map<std::string, ExportedFile> files;  // By ID; without deleted ones.

  // Where what is not in the manifest begins. Empty: it is not complete.
  GroupTokens tokens;
};

// Pure.
//   INVALID_ARGUMENT  it is no manifest; the message names the line.
absl::StatusOr<Export> ParseExport(absl::string_view text);

// Lines, each with its line feed.
std::string ExportHeading();
std::string ExportLine(const ExportedFile& file);
std::string ExportDeletedLine(const std::string& file_id);
std::string ExportTokenLine(const GroupTokens& tokens);

// What became of imported files: old ID to new ID.
//
//   # cairn import 1 <UUID of the import>
//   group1/M00/… <TAB> group2/M01/…
struct ImportMap {
  Uuid import;
  std::map<std::string, std::string> new_ids;
};

// Pure. As ParseExport().
absl::StatusOr<ImportMap> ParseImportMap(absl::string_view text);
std::string ImportHeading(const Uuid& import);
std::string ImportLine(const std::string& old_id, const std::string& new_id);

// Opens the list at `path` (absolute), or makes it with `heading`. A last line
// that a crash cut off is removed. `text` gets what is there.
absl::StatusOr<std::unique_ptr<DurableLines>> OpenLines(
    FileSystem* fs, const std::string& path, absl::string_view heading,
    std::string* text);

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_EXPORT_MANIFEST_H_
