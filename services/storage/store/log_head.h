// How far a store path has a log, with the short id that stands for the log in
// records and keys of this path.

#ifndef CAIRN_SERVICES_STORAGE_STORE_LOG_HEAD_H_
#define CAIRN_SERVICES_STORAGE_STORE_LOG_HEAD_H_

#include <cstdint>

#include "services/storage/core/replica_log.h"

namespace cairn {
namespace storage {

// cut <= synced <= applied; unsure <= applied.
struct LogHead {
  uint32_t origin = 0;  // The short id.
  LogId id;
  uint64_t cut = 0;
  uint64_t applied = 0;
  uint64_t unsure = 0;  // As LogRange::unsure.
  uint64_t synced = 0;  // Not on disk: what is there when a path is opened is.
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_LOG_HEAD_H_
