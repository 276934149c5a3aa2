// Disks that are small, and files that rot.

#ifndef CAIRN_INTEGRATION_TESTS_MINI_CLUSTER_DISKS_H_
#define CAIRN_INTEGRATION_TESTS_MINI_CLUSTER_DISKS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cairn {
namespace testing {

// Mounts a real file system of `bytes` on the empty folder, seen by the calling
// thread and by processes that it starts from now on, and gone with them.
//   PERMISSION_DENIED  this user may not mount, nor make a namespace to do it.
absl::Status MountSmallDisk(const std::string& folder, int64_t bytes);

// Puts the file `source` in the place of the file `target`, as far as
// MountSmallDisk() reaches. What is written to `source` shows in `target`.
//   PERMISSION_DENIED  as there.
absl::Status MountFile(const std::string& source, const std::string& target);

// Files below `folder` whose path ends with `suffix`, sorted.
std::vector<std::string> FilesBelow(const std::string& folder,
                                    absl::string_view suffix);

// Positions at which `bytes` occur in the file.
std::vector<int64_t> FindInFile(const std::string& path,
                                absl::string_view bytes);

// Changes one bit of the byte at `offset`. False: there is no such file.
bool FlipBit(const std::string& path, int64_t offset, int bit);

// Replaces the whole file.
void OverwriteFile(const std::string& path, absl::string_view content);

std::string ReadFile(const std::string& path);

}  // namespace testing
}  // namespace cairn

#endif  // CAIRN_INTEGRATION_TESTS_MINI_CLUSTER_DISKS_H_
