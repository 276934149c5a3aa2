#include "clients/cli/file_list.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/file_id/file_id.h"
#include "lib/io/file_system.h"

namespace cairn {
namespace cli {

std::string ListedFile::Name() const {
  return entry.has_value() ? absl::StrCat(entry->path, " (", file_id, ")")
                           : file_id;
}

absl::StatusOr<std::vector<ListedFile>> ListFiles(
    const std::vector<std::string>& file_ids, const std::string& manifest) {
  if (file_ids.empty() == manifest.empty()) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                           ErrorReason::kInvalidField,
                           "name file IDs, or a list of them with --manifest");
  }
  std::vector<ListedFile> files;
  for (const std::string& id : file_ids) {
    CAIRN_RETURN_IF_ERROR(WithContext(ParseFileId(id).status(), id));
    files.push_back({id, absl::nullopt});
  }
  if (manifest.empty()) return files;
  CAIRN_ASSIGN_OR_RETURN(std::vector<ManifestEntry> entries,
                         ReadManifest(FileSystem::Real(), manifest));
  files.reserve(entries.size());
  for (ManifestEntry& entry : entries) {
    std::string id = entry.file_id;
    files.push_back({std::move(id), std::move(entry)});
  }
  return files;
}

}  // namespace cli
}  // namespace cairn
