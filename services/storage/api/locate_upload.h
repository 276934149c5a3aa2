// From the ID of an upload to the store path that it is at.

#ifndef CAIRN_SERVICES_STORAGE_API_LOCATE_UPLOAD_H_
#define CAIRN_SERVICES_STORAGE_API_LOCATE_UPLOAD_H_

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/storage/core/storage_node.h"
#include "services/storage/core/store_path.h"
#include "services/storage/core/upload_id.h"

namespace cairn {
namespace storage {

struct LocatedUpload {
  UploadId id;
  std::shared_ptr<StorePath> path;  // It has uploads().
};

//   INVALID_ARGUMENT     INVALID_FIELD.
//   FAILED_PRECONDITION  UPLOAD_ELSEWHERE.
//   NOT_FOUND            UPLOAD_NOT_FOUND: there is no such store path.
//   UNAVAILABLE          STORE_PATH_OFFLINE.
//   UNIMPLEMENTED        NOT_SUPPORTED: the path takes none.
absl::StatusOr<LocatedUpload> LocateUpload(const StorageNode& node,
                                           absl::string_view upload_id);

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_API_LOCATE_UPLOAD_H_
