// The tracker's configuration, completed and checked.

#ifndef CAIRN_SERVICES_TRACKER_CONFIG_TRACKER_CONFIG_H_
#define CAIRN_SERVICES_TRACKER_CONFIG_TRACKER_CONFIG_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cairn/config/tracker/v1/tracker_config.pb.h"
#include "lib/io/file_system.h"

namespace cairn {
namespace tracker {

using TrackerConfig = config::tracker::v1::TrackerConfig;

// `config` with the defaults in the place of what is not set.
TrackerConfig WithDefaults(TrackerConfig config);

// Checks a completed configuration without touching disk or network.
//   INVALID_ARGUMENT  one line for each field that is wrong, with the fix.
absl::Status ValidateConfig(const TrackerConfig& config);

// The cluster secret, from the file or the field.
//   INVALID_ARGUMENT     it is too short, or others can read the file.
//   NOT_FOUND and other errors of FileSystem, with the field's name.
absl::StatusOr<std::string> ReadClusterSecret(const TrackerConfig& config,
                                              FileSystem* fs);

}  // namespace tracker
}  // namespace cairn

#endif  // CAIRN_SERVICES_TRACKER_CONFIG_TRACKER_CONFIG_H_
