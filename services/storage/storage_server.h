// A whole storage node in this process: disks, services, links to trackers.
//
//   Start: config ─▶ who the node is ─▶ store paths ─▶ services ─▶ listening,
//          ready ─▶ attached to trackers
//   Stop:  not ready, trackers told ─▶ calls finish or are cut ─▶ store paths
//          closed

#ifndef CAIRN_SERVICES_STORAGE_STORAGE_SERVER_H_
#define CAIRN_SERVICES_STORAGE_STORAGE_SERVER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cairn/config/storage/v1/storage_config.pb.h"
#include "lib/base/clock.h"
#include "lib/io/file_system.h"
#include "lib/metrics/metrics.h"
#include "services/storage/core/storage_node.h"

namespace cairn {
namespace storage {

class StorageServer {
 public:
  // Serves when it returns. Defaults fill in what `config` leaves out. A store
  // path that cannot be opened stays offline if another one can be; a path that
  // belongs to another node, or is in use, refuses the start. `fs` and `clock`
  // are borrowed and must outlive the server.
  //
  //   INVALID_ARGUMENT     the configuration is wrong; the message names the
  //                        fields and the fixes.
  //   FAILED_PRECONDITION  an address is taken, or a store path is in use or
  //                        another node's.
  //   DATA_LOSS, UNAVAILABLE  no store path can be opened.
  static absl::StatusOr<std::unique_ptr<StorageServer>> Start(
      const config::storage::v1::StorageConfig& config,
      FileSystem* fs = FileSystem::Real(), Clock* clock = Clock::Real());

  // As Stop().
  virtual ~StorageServer() = default;

  // What is bound, with the real ports. Empty where none was configured.
  virtual const std::vector<std::string>& addresses() const = 0;
  virtual const std::string& admin_address() const = 0;
  virtual const std::string& metrics_address() const = 0;

  // Where others reach this node.
  virtual const std::string& advertised_address() const = 0;

  // How long calls may go on once Stop() is called.
  virtual absl::Duration stop_grace() const = 0;

  virtual const NodeIdentity& identity() const = 0;
  virtual const MetricsRegistry& metrics() const = 0;

  // Tells trackers, lets calls finish for `stop_grace`, syncs and closes. When
  // it returns nothing runs any more.
  virtual void Stop() = 0;
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORAGE_SERVER_H_
