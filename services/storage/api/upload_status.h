// An upload in parts as UploadService and CatalogService tell of it.

#ifndef CAIRN_SERVICES_STORAGE_API_UPLOAD_STATUS_H_
#define CAIRN_SERVICES_STORAGE_API_UPLOAD_STATUS_H_

#include "cairn/storage/v1/catalog_service.pb.h"
#include "cairn/storage/v1/upload_service.pb.h"
#include "services/storage/core/upload_id.h"
#include "services/storage/core/upload_sessions.h"

namespace cairn {
namespace storage {

void ToProto(const UploadId& id, const UploadSessionInfo& info,
             v1::UploadStatus* out);

// The same without what is there, but for the sum of it.
void ToProto(const UploadId& id, const UploadSessionInfo& info,
             v1::OpenUpload* out);

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_API_UPLOAD_STATUS_H_
