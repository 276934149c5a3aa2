// How a script learns that a daemon serves, and where.

#ifndef CAIRN_LIB_PROCESS_READY_FILE_H_
#define CAIRN_LIB_PROCESS_READY_FILE_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace cairn {

// Writes one line of JSON, an object of texts in the order given, to `path`.
// Whoever sees the file sees all of it. The file says nothing once the process
// is gone: remove it before starting one.
//   UNAVAILABLE  it cannot be written; the message says why.
absl::Status WriteReadyFile(
    absl::string_view path,
    const std::vector<std::pair<std::string, std::string>>& fields);

}  // namespace cairn

#endif  // CAIRN_LIB_PROCESS_READY_FILE_H_
