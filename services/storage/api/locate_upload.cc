#include "services/storage/api/locate_upload.h"

#include "absl/strings/str_cat.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"

namespace cairn {
namespace storage {

absl::StatusOr<LocatedUpload> LocateUpload(const StorageNode& node,
                                           absl::string_view upload_id) {
  LocatedUpload located;
  CAIRN_ASSIGN_OR_RETURN(located.id, UploadId::Parse(upload_id));
  if (located.id.node_number != node.identity().node_number) {
    return ErrorWithReason(
        absl::StatusCode::kFailedPrecondition, ErrorReason::kUploadElsewhere,
        absl::StrCat("the upload is at the node with number ",
                     located.id.node_number, ", this one has ",
                     node.identity().node_number),
        {{"node_number", absl::StrCat(located.id.node_number)}});
  }
  absl::StatusOr<std::shared_ptr<StorePath>> path =
      node.Path(located.id.store_path);
  if (absl::IsNotFound(path.status())) {
    return ErrorWithReason(absl::StatusCode::kNotFound,
                           ErrorReason::kUploadNotFound,
                           "the upload's store path is not here any more");
  }
  CAIRN_RETURN_IF_ERROR(path.status());
  located.path = *std::move(path);
  if (located.path->uploads() == nullptr) {
    return ErrorWithReason(absl::StatusCode::kUnimplemented,
                           ErrorReason::kNotSupported,
                           "this store path takes no uploads in parts");
  }
  return located;
}

}  // namespace storage
}  // namespace cairn
