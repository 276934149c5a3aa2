// UploadService of proto/cairn/storage/v1: uploads in parts, that go on after a
// restart.

#ifndef CAIRN_SERVICES_STORAGE_API_UPLOAD_SERVICE_H_
#define CAIRN_SERVICES_STORAGE_API_UPLOAD_SERVICE_H_

#include <grpcpp/support/server_callback.h>

#include "cairn/storage/v1/upload_service.grpc.pb.h"
#include "services/storage/api/call_context.h"

namespace cairn {
namespace storage {

// Handlers run on gRPC threads: they parse, hand over to the path's io() and
// finish.
class UploadServiceImpl
    : public v1::UploadService::WithCallbackMethod_CreateUpload<
          v1::UploadService::WithCallbackMethod_WriteUpload<
              v1::UploadService::WithCallbackMethod_QueryUpload<
                  v1::UploadService::WithCallbackMethod_FinishUpload<
                      v1::UploadService::WithCallbackMethod_AbortUpload<
                          v1::UploadService::Service>>>>> {
 public:
  explicit UploadServiceImpl(const CallContext& context) : context_(context) {}

  grpc::ServerUnaryReactor* CreateUpload(
      grpc::CallbackServerContext* context,
      const v1::CreateUploadRequest* request,
      v1::CreateUploadResponse* response) override;
  grpc::ServerReadReactor<v1::WriteUploadRequest>* WriteUpload(
      grpc::CallbackServerContext* context,
      v1::WriteUploadResponse* response) override;
  grpc::ServerUnaryReactor* QueryUpload(
      grpc::CallbackServerContext* context,
      const v1::QueryUploadRequest* request,
      v1::QueryUploadResponse* response) override;
  grpc::ServerUnaryReactor* FinishUpload(
      grpc::CallbackServerContext* context,
      const v1::FinishUploadRequest* request,
      v1::FinishUploadResponse* response) override;
  grpc::ServerUnaryReactor* AbortUpload(
      grpc::CallbackServerContext* context,
      const v1::AbortUploadRequest* request,
      v1::AbortUploadResponse* response) override;

 private:
  const CallContext context_;
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_API_UPLOAD_SERVICE_H_
