#include "services/storage/store/rocksdb_status.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "lib/base/error_reason.h"

namespace cairn {
namespace storage {

absl::Status FromRocksDb(const rocksdb::Status& status,
                         absl::string_view operation) {
  if (status.ok()) return absl::OkStatus();
  const std::string message =
      absl::StrCat("index: ", operation, ": ", status.ToString());
  if (status.IsNotFound()) return absl::NotFoundError(message);
  if (status.IsNoSpace()) {
    return ErrorWithReason(absl::StatusCode::kResourceExhausted,
                           ErrorReason::kDiskFull, message);
  }
  // A file that the index names and that is missing is damage, too.
  if (status.IsCorruption() || status.IsPathNotFound()) {
    return ErrorWithReason(absl::StatusCode::kDataLoss,
                           ErrorReason::kContentDamaged, message);
  }
  if (status.IsBusy() || status.IsTryAgain()) {
    return absl::AbortedError(message);
  }
  if (status.IsIOError()) {
    return ErrorWithReason(absl::StatusCode::kUnavailable,
                           ErrorReason::kReadFailed, message);
  }
  return ErrorWithReason(absl::StatusCode::kInternal, ErrorReason::kInternal,
                         message);
}

rocksdb::IOStatus ToRocksDb(const absl::Status& status) {
  if (status.ok()) return rocksdb::IOStatus::OK();
  const std::string message(status.message());
  switch (status.code()) {
    case absl::StatusCode::kNotFound:
      return rocksdb::IOStatus::PathNotFound(message);
    case absl::StatusCode::kResourceExhausted:
      return rocksdb::IOStatus::NoSpace(message);
    case absl::StatusCode::kUnimplemented:
      return rocksdb::IOStatus::NotSupported(message);
    default:
      return rocksdb::IOStatus::IOError(message);
  }
}

}  // namespace storage
}  // namespace cairn
