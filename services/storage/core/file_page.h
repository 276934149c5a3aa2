// A page of files: StorePath::ScanFiles() for who wants them in a list.

#ifndef CAIRN_SERVICES_STORAGE_CORE_FILE_PAGE_H_
#define CAIRN_SERVICES_STORAGE_CORE_FILE_PAGE_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/storage/core/file_scan.h"
#include "services/storage/core/replica_log.h"
#include "services/storage/core/store_path.h"

namespace cairn {
namespace storage {

struct FilePage {
  // In the order of their keys; tombstones too.
  std::vector<KnownFile> files;

  // FileRange::from of the next page; empty after the last one.
  std::string next;
};

// The first `limit` files of a range. Blocks. Errors as StorePath::ScanFiles().
absl::StatusOr<FilePage> ReadFilePage(StorePath* path, const FileRange& range,
                                      size_t limit);

// The names whose last part begins with `prefix`, in whatever folders.
FileRange RangeOfLastPart(absl::string_view prefix);

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_FILE_PAGE_H_
