// The tracker's configuration, completed and checked.

#ifndef CAIRN_SERVICES_TRACKER_CONFIG_TRACKER_CONFIG_H_
#define CAIRN_SERVICES_TRACKER_CONFIG_TRACKER_CONFIG_H_

#include "absl/status/status.h"
#include "cairn/config/tracker/v1/tracker_config.pb.h"

namespace cairn {
namespace tracker {

using TrackerConfig = config::tracker::v1::TrackerConfig;

// `config` with the defaults in the place of what is not set.
TrackerConfig WithDefaults(TrackerConfig config);

// Checks a completed configuration without touching disk or network.
//   INVALID_ARGUMENT  one line for each field that is wrong, with the fix.
absl::Status ValidateConfig(const TrackerConfig& config);

}  // namespace tracker
}  // namespace cairn

#endif  // CAIRN_SERVICES_TRACKER_CONFIG_TRACKER_CONFIG_H_
