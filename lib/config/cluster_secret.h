// The cluster secret, as every daemon's configuration names it.

#ifndef CAIRN_LIB_CONFIG_CLUSTER_SECRET_H_
#define CAIRN_LIB_CONFIG_CLUSTER_SECRET_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/io/file_system.h"

namespace cairn {

// `value`, the field cluster_secret, or if that is empty the content of `path`,
// the field cluster_secret_file, without the space around it.
//   INVALID_ARGUMENT  it is too short, or others can read the file.
//   NOT_FOUND and other errors of FileSystem, with the field's name.
absl::StatusOr<std::string> ReadClusterSecret(absl::string_view value,
                                              absl::string_view path,
                                              FileSystem* fs);

// The same from the configuration of a daemon.
template <typename Config>
absl::StatusOr<std::string> ReadClusterSecret(const Config& config,
                                              FileSystem* fs) {
  return ReadClusterSecret(config.cluster_secret(),
                           config.cluster_secret_file(), fs);
}

}  // namespace cairn

#endif  // CAIRN_LIB_CONFIG_CLUSTER_SECRET_H_
