// The files of this machine that a command is told to store.

#ifndef CAIRN_CLIENTS_CLI_LOCAL_FILES_H_
#define CAIRN_CLIENTS_CLI_LOCAL_FILES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/io/file_system.h"

namespace cairn {
namespace cli {

struct LocalFile {
  std::string path;  // As the user named it, or below a folder that he named.
  int64_t size_bytes = 0;
};

// What `path` means: `path` itself, or, if it is a folder and `recursive` is
// set, all files below it by name. Links to files and folders below it are left
// out and so are sockets, pipes and devices.
//   NOT_FOUND            no such file or folder.
//   FAILED_PRECONDITION  a folder, and `recursive` is not set.
absl::StatusOr<std::vector<LocalFile>> FindLocalFiles(absl::string_view path,
                                                      bool recursive);

// The extension that a file of that name gets in the cluster: what follows the
// last dot of its base name, with `tar.` before it if it has that, and empty if
// a file ID could not carry it.
std::string ExtensionOf(absl::string_view path);

// `path` below the working folder, unless it is absolute.
std::string AbsolutePath(absl::string_view path);

// `/a` for `/a/b`; `.` for `b`.
std::string ParentOf(absl::string_view path);

// `b` for `/a/b`.
std::string BaseName(absl::string_view path);

// Whether the file at `path` is there, is so long and has that CRC-32C. Reads
// all of it.
bool HasContent(const std::string& path, int64_t size_bytes, uint32_t crc32c);

// `folder`/`name`; `name` if `folder` is empty.
std::string JoinPath(absl::string_view folder, absl::string_view name);

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_LOCAL_FILES_H_
