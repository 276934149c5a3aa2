// The tracker's StateStore in a small RocksDB. Format:
// docs/formats/tracker_state.md.

#ifndef CAIRN_SERVICES_TRACKER_STATE_ROCKSDB_STATE_STORE_H_
#define CAIRN_SERVICES_TRACKER_STATE_ROCKSDB_STATE_STORE_H_

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/tracker/core/state_store.h"

namespace cairn {
namespace tracker {

// Opens the state in `directory`, or makes it there; the parent must exist.
//
//   FAILED_PRECONDITION  it belongs to another cluster, its format is newer, or
//                        another process has it open. Nothing was changed.
//   DATA_LOSS            it is damaged. Remove the directory: the nodes and the
//                        other trackers bring back what was in it.
//   UNAVAILABLE          the disk refused.
absl::StatusOr<std::unique_ptr<StateStore>> OpenRocksDbStateStore(
    absl::string_view directory, absl::string_view cluster_id);

}  // namespace tracker
}  // namespace cairn

#endif  // CAIRN_SERVICES_TRACKER_STATE_ROCKSDB_STATE_STORE_H_
