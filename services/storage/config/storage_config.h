// The storage's configuration, completed and checked.

#ifndef CAIRN_SERVICES_STORAGE_CONFIG_STORAGE_CONFIG_H_
#define CAIRN_SERVICES_STORAGE_CONFIG_STORAGE_CONFIG_H_

#include "absl/status/status.h"
#include "cairn/config/storage/v1/storage_config.pb.h"

namespace cairn {
namespace storage {

using StorageConfig = config::storage::v1::StorageConfig;

// `config` with the defaults in the place of what is not set.
StorageConfig WithDefaults(StorageConfig config);

// Checks a completed configuration without touching disk or network.
//   INVALID_ARGUMENT  one line for each field that is wrong, with the fix.
absl::Status ValidateConfig(const StorageConfig& config);

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CONFIG_STORAGE_CONFIG_H_
