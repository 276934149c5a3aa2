// Who a node is: found on its store paths, or made when it starts for the first
// time.

#ifndef CAIRN_SERVICES_STORAGE_NODE_IDENTITY_H_
#define CAIRN_SERVICES_STORAGE_NODE_IDENTITY_H_

#include "absl/status/statusor.h"
#include "cairn/config/storage/v1/storage_config.pb.h"
#include "lib/io/file_system.h"
#include "services/storage/core/storage_node.h"
#include "services/storage/store/options.h"

namespace cairn {
namespace storage {

// Reads the IDENTITY of every store path. Paths without one are new; if all
// are, the node gets a new UUID and number, which opening the paths writes
// down.
//   FAILED_PRECONDITION  two paths, or a path and the configuration, belong to
//                        different nodes, groups or clusters; the message names
//                        both.
//   DATA_LOSS            no IDENTITY can be read, and one is damaged.
absl::StatusOr<NodeIdentity> FindOrMakeNodeIdentity(
    const config::storage::v1::StorageConfig& config, FileSystem* fs);

// How the path of that index is run. `config` is complete.
StorePathOptions OptionsOfPath(const config::storage::v1::StorageConfig& config,
                               const NodeIdentity& identity, int index);

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_NODE_IDENTITY_H_
