// FileService of proto/cairn/storage/v1: whole files, up and down.

#ifndef CAIRN_SERVICES_STORAGE_API_FILE_SERVICE_H_
#define CAIRN_SERVICES_STORAGE_API_FILE_SERVICE_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <string>
#include <utility>
#include <vector>

#include "cairn/storage/v1/file_service.grpc.pb.h"
#include "services/storage/api/call_context.h"

namespace cairn {
namespace storage {

// Handlers run on gRPC threads: they parse, hand over and finish. Bodies pass
// as the connection's own slices.
using FileServiceBase = v1::FileService::WithRawCallbackMethod_Upload<
    v1::FileService::WithRawCallbackMethod_Download<
        v1::FileService::WithCallbackMethod_Stat<
            v1::FileService::WithCallbackMethod_Delete<
                v1::FileService::WithCallbackMethod_GetAttributes<
                    v1::FileService::WithCallbackMethod_SetAttributes<
                        v1::FileService::WithCallbackMethod_GetCapabilities<
                            v1::FileService::WithCallbackMethod_SetExpiry<
                                v1::FileService::WithCallbackMethod_ListDerived<
                                    v1::FileService::
                                        WithCallbackMethod_Undelete<
                                            v1::FileService::
                                                WithCallbackMethod_Copy<
                                                    v1::FileService::
                                                        Service>>>>>>>>>>>;

class FileServiceImpl : public FileServiceBase {
 public:
  // `version` is the program's, `services` the full names of those that the
  // process has: what GetCapabilities says.
  FileServiceImpl(const CallContext& context, std::string version,
                  std::vector<std::string> services)
      : context_(context),
        version_(std::move(version)),
        services_(std::move(services)) {}

  grpc::ServerReadReactor<grpc::ByteBuffer>* Upload(
      grpc::CallbackServerContext* context,
      grpc::ByteBuffer* response) override;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* Download(
      grpc::CallbackServerContext* context,
      const grpc::ByteBuffer* request) override;
  grpc::ServerUnaryReactor* Stat(grpc::CallbackServerContext* context,
                                 const v1::StatRequest* request,
                                 v1::StatResponse* response) override;
  grpc::ServerUnaryReactor* Delete(grpc::CallbackServerContext* context,
                                   const v1::DeleteRequest* request,
                                   v1::DeleteResponse* response) override;
  grpc::ServerUnaryReactor* Undelete(grpc::CallbackServerContext* context,
                                     const v1::UndeleteRequest* request,
                                     v1::UndeleteResponse* response) override;
  grpc::ServerUnaryReactor* GetAttributes(
      grpc::CallbackServerContext* context,
      const v1::GetAttributesRequest* request,
      v1::GetAttributesResponse* response) override;
  grpc::ServerUnaryReactor* SetAttributes(
      grpc::CallbackServerContext* context,
      const v1::SetAttributesRequest* request,
      v1::SetAttributesResponse* response) override;
  grpc::ServerUnaryReactor* SetExpiry(grpc::CallbackServerContext* context,
                                      const v1::SetExpiryRequest* request,
                                      v1::SetExpiryResponse* response) override;
  grpc::ServerUnaryReactor* ListDerived(
      grpc::CallbackServerContext* context,
      const v1::ListDerivedRequest* request,
      v1::ListDerivedResponse* response) override;
  grpc::ServerUnaryReactor* Copy(grpc::CallbackServerContext* context,
                                 const v1::CopyRequest* request,
                                 v1::CopyResponse* response) override;
  grpc::ServerUnaryReactor* GetCapabilities(
      grpc::CallbackServerContext* context,
      const v1::GetCapabilitiesRequest* request,
      v1::GetCapabilitiesResponse* response) override;

 private:
  const CallContext context_;
  const std::string version_;
  const std::vector<std::string> services_;
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_API_FILE_SERVICE_H_
