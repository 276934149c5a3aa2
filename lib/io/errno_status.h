// What the system's error numbers are as a Status; see file_system.h for the
// table.

#ifndef CAIRN_LIB_IO_ERRNO_STATUS_H_
#define CAIRN_LIB_IO_ERRNO_STATUS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace cairn {

// `operation path: Input/output error (EIO)`, with the code for `error`, which
// is not 0.
absl::Status StatusFromErrno(int error, absl::string_view operation,
                             absl::string_view path);

}  // namespace cairn

#endif  // CAIRN_LIB_IO_ERRNO_STATUS_H_
