// What is where in a store path's directory, and how a new one is made.

#ifndef CAIRN_SERVICES_STORAGE_STORE_PATH_LAYOUT_H_
#define CAIRN_SERVICES_STORAGE_STORE_PATH_LAYOUT_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/base/clock.h"
#include "lib/io/file_system.h"
#include "services/storage/store/identity.h"
#include "services/storage/store/index.h"
#include "services/storage/store/options.h"

namespace cairn {
namespace storage {

std::string IndexDirectory(const StorePathOptions& options);
IndexOptions IndexOptionsOf(const StorePathOptions& options);

// The boot id of the options, or else the system's.
absl::StatusOr<std::string> BootId(const StorePathOptions& options,
                                   FileSystem* fs);

// Removes a folder and all in it. OK if it is not there.
absl::Status RemoveTree(FileSystem* fs, const std::string& directory);

struct ClaimedPath {
  std::unique_ptr<FileLock> lock;
  Identity identity;
};

// Checks that the directory is this node's, takes its LOCK, ends what a rebuild
// left half done, and makes a new path of a directory that is empty or missing.
//   FAILED_PRECONDITION, DATA_LOSS  as OpenStorePath(). Nothing was changed.
absl::StatusOr<ClaimedPath> ClaimPath(const StorePathOptions& options,
                                      FileSystem* fs, Clock* clock);

// Second half of a rebuild: puts index.new and IDENTITY.new in their places, if
// both are there and complete. May be repeated after a crash at any step.
absl::Status InstallRebuiltIndex(FileSystem* fs, const std::string& directory);

inline constexpr absl::string_view kNewIdentityFile = "IDENTITY.new";
inline constexpr absl::string_view kNewIndexFolder = "index.new";

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_PATH_LAYOUT_H_
