// A whole tracker in this process: state on disk, services, clock work.
//
//   Start: config ─▶ RocksDB ─▶ membership ─▶ services ─▶ listening, ready
//   Stop:  not ready ─▶ streams ended ─▶ calls finish ─▶ state saved ─▶ closed

#ifndef CAIRN_SERVICES_TRACKER_TRACKER_SERVER_H_
#define CAIRN_SERVICES_TRACKER_TRACKER_SERVER_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cairn/config/tracker/v1/tracker_config.pb.h"
#include "lib/base/clock.h"
#include "lib/io/file_system.h"
#include "lib/metrics/metrics.h"

namespace cairn {
namespace tracker {

class TrackerServer {
 public:
  // Serves when it returns. Defaults fill in what `config` leaves out. `fs` and
  // `clock` are borrowed and must outlive the server.
  //
  //   INVALID_ARGUMENT     the configuration is wrong; the message names the
  //                        fields and the fixes.
  //   FAILED_PRECONDITION  an address is taken, or the data directory is in use
  //                        or another cluster's.
  //   DATA_LOSS            the saved state is damaged; see
  //                        docs/formats/tracker_state.md.
  //   PERMISSION_DENIED, UNAVAILABLE, RESOURCE_EXHAUSTED  the disk refused.
  static absl::StatusOr<std::unique_ptr<TrackerServer>> Start(
      const config::tracker::v1::TrackerConfig& config,
      FileSystem* fs = FileSystem::Real(), Clock* clock = Clock::Real());

  // As Stop().
  virtual ~TrackerServer() = default;

  // What is bound, with the real ports. Empty where none was configured.
  virtual const std::vector<std::string>& addresses() const = 0;
  virtual const std::string& admin_address() const = 0;
  virtual const std::string& metrics_address() const = 0;

  // Where others reach this tracker.
  virtual const std::string& advertised_address() const = 0;

  // How long calls may go on once Stop() is called.
  virtual absl::Duration stop_grace() const = 0;

  // Nodes that are ACTIVE now.
  virtual size_t active_nodes() const = 0;

  virtual const MetricsRegistry& metrics() const = 0;

  // Tells clients and storages to go elsewhere, lets calls finish for
  // `stop_grace`, saves and closes. When it returns nothing runs any more.
  virtual void Stop() = 0;
};

}  // namespace tracker
}  // namespace cairn

#endif  // CAIRN_SERVICES_TRACKER_TRACKER_SERVER_H_
