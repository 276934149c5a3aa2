// The directory that cairn-standalone lives in:
//
//   LOCK           held by the process that runs on it
//   cluster_id     UUID of the cluster that this process is
//   secret         the cluster secret; readable by its owner alone
//   tracker.conf   made at the first start, a person's to change
//   storage.conf   the same
//   tracker/       what the tracker keeps
//   storage/       the store paths

#ifndef CAIRN_SERVICES_STANDALONE_DATA_DIRECTORY_H_
#define CAIRN_SERVICES_STANDALONE_DATA_DIRECTORY_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/base/uuid.h"
#include "lib/io/file_system.h"

namespace cairn {
namespace standalone {

// A file and what it holds at first.
using InitialFile = std::pair<std::string, std::string>;

// Held for as long as a process runs on the directory.
class DataDirectory {
 public:
  // Makes what is missing of `path`, which is absolute, and of `files` in it;
  // what is there stays as it is. A start that was cut off is continued by the
  // next one. `fs` is borrowed for the call.
  //   FAILED_PRECONDITION  another process runs on it, or it holds something
  //                        else. Nothing was changed.
  //   DATA_LOSS            `cluster_id` or `secret` is damaged.
  //   PERMISSION_DENIED, RESOURCE_EXHAUSTED, UNAVAILABLE  the disk refused.
  static absl::StatusOr<std::unique_ptr<DataDirectory>> Open(
      FileSystem* fs, absl::string_view path,
      const std::vector<InitialFile>& files);

  const std::string& path() const { return path_; }
  std::string file(absl::string_view name) const;
  std::string secret_file() const { return file("secret"); }
  const Uuid& cluster_id() const { return cluster_id_; }

  // Whether this start made the cluster.
  bool is_new() const { return is_new_; }

 private:
  DataDirectory() = default;

  std::string path_;
  Uuid cluster_id_;
  bool is_new_ = false;
  std::unique_ptr<FileLock> lock_;
};

}  // namespace standalone
}  // namespace cairn

#endif  // CAIRN_SERVICES_STANDALONE_DATA_DIRECTORY_H_
