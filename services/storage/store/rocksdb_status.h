// The bridge to RocksDB's types: the only place that translates its status.

#ifndef CAIRN_SERVICES_STORAGE_STORE_ROCKSDB_STATUS_H_
#define CAIRN_SERVICES_STORAGE_STORE_ROCKSDB_STATUS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "rocksdb/io_status.h"
#include "rocksdb/slice.h"
#include "rocksdb/status.h"

namespace cairn {
namespace storage {

// Corruption becomes DATA_LOSS (CONTENT_DAMAGED), Busy and TryAgain ABORTED, no
// space RESOURCE_EXHAUSTED (DISK_FULL), other I/O errors UNAVAILABLE
// (READ_FAILED), NotFound NOT_FOUND, the rest INTERNAL.
absl::Status FromRocksDb(const rocksdb::Status& status,
                         absl::string_view operation);

// For the Env adaptor: what RocksDB makes of an error of cairn::FileSystem.
rocksdb::IOStatus ToRocksDb(const absl::Status& status);

inline rocksdb::Slice ToSlice(absl::string_view view) {
  return rocksdb::Slice(view.data(), view.size());
}
inline absl::string_view FromSlice(const rocksdb::Slice& slice) {
  return absl::string_view(slice.data(), slice.size());
}

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_ROCKSDB_STATUS_H_
