// What is derived from a file: the names behind its own in the index.
//
//   3F/A2/<40 characters>.jpg          the master, which need not be there
//   3F/A2/<40 characters>_large.jpg    derived from it
//   3F/A2/<40 characters>_small.webp   derived from it

#ifndef CAIRN_SERVICES_STORAGE_CORE_DERIVED_FILES_H_
#define CAIRN_SERVICES_STORAGE_CORE_DERIVED_FILES_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/storage/core/file_info.h"
#include "services/storage/core/store_path.h"

namespace cairn {
namespace storage {

// OK, or INVALID_ARGUMENT (WRONG_KIND): `name` is of a derived file, from which
// nothing can be derived.
absl::Status CheckIsMaster(absl::string_view name);

struct DerivedPage {
  std::vector<FileInfo> files;
  std::string next;  // `token` of the next page; empty after the last one.
};

// Files that are derived from `master` and there, at most `limit`, in the order
// of their keys, as far as this path has them; `token` is empty or of an
// earlier page. Blocks: call it on io(). Errors of StorePath::ScanFiles(), and
//   INVALID_ARGUMENT  WRONG_KIND. INVALID_FIELD: `token` is none.
absl::StatusOr<DerivedPage> ListDerived(StorePath* path,
                                        absl::string_view master,
                                        absl::string_view token, size_t limit,
                                        int64_t now_unix_seconds);

// How many were deleted by the call.
using DeletedDone = absl::AnyInvocable<void(absl::StatusOr<uint32_t>)>;

// Deletes what is derived from `master`, each file on its own, with `purge` as
// DeleteRequest says: after an error some may be deleted. Does not block;
// `done` runs once, on a thread of the path. Errors as of ListDerived() and of
// StorePath::Delete(), and
//   RESOURCE_EXHAUSTED  OVERLOADED: the disk's queue is full.
void DeleteDerived(std::shared_ptr<StorePath> path, std::string master,
                   Durability durability, bool purge, int64_t now_unix_seconds,
                   DeletedDone done);

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_DERIVED_FILES_H_
