// The files that a command works on: IDs on the command line, or a manifest.

#ifndef CAIRN_CLIENTS_CLI_FILE_LIST_H_
#define CAIRN_CLIENTS_CLI_FILE_LIST_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "clients/cli/manifest.h"

namespace cairn {
namespace cli {

struct ListedFile {
  std::string file_id;
  absl::optional<ManifestEntry> entry;  // If a manifest named it.

  // How it is called in a message: `path (ID)` or the ID.
  std::string Name() const;
};

// Exactly one of the two is not empty. The form of IDs is checked.
//   INVALID_ARGUMENT  none or both, or an ID is malformed.
//   Otherwise as ReadManifest().
absl::StatusOr<std::vector<ListedFile>> ListFiles(
    const std::vector<std::string>& file_ids, const std::string& manifest);

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_FILE_LIST_H_
