#include "lib/io/errno_status.h"

#include <string.h>

#include <cerrno>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace cairn {
namespace {

absl::StatusCode CodeFromErrno(int error) {
  switch (error) {
    case ENOENT:
      return absl::StatusCode::kNotFound;
    case EEXIST:
      return absl::StatusCode::kAlreadyExists;
    case ENOSPC:
    case EDQUOT:
      return absl::StatusCode::kResourceExhausted;
    case EROFS:
    case EISDIR:
    case ENOTDIR:
    case ENOTEMPTY:
    case EBUSY:
      return absl::StatusCode::kFailedPrecondition;
    case EACCES:
    case EPERM:
      return absl::StatusCode::kPermissionDenied;
    default:
      // EMFILE and ENOMEM too: RESOURCE_EXHAUSTED means a full disk here.
      return absl::StatusCode::kUnavailable;
  }
}

}  // namespace

absl::Status StatusFromErrno(int error, absl::string_view operation,
                             absl::string_view path) {
  const char* name = strerrorname_np(error);
  return absl::Status(
      CodeFromErrno(error),
      absl::StrCat(operation, " ", path, ": ",
                   std::generic_category().message(error), " (",
                   name != nullptr ? name : absl::StrCat(error), ")"));
}

}  // namespace cairn
