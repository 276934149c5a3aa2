// FileService of proto/cairn/storage/v1: whole files, up and down.

#ifndef CAIRN_SERVICES_STORAGE_API_FILE_SERVICE_H_
#define CAIRN_SERVICES_STORAGE_API_FILE_SERVICE_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include "cairn/storage/v1/file_service.grpc.pb.h"
#include "services/storage/api/call_context.h"

namespace cairn {
namespace storage {

// Handlers run on gRPC threads: they parse, hand over and finish. Bodies pass
// as the connection's own slices.
class FileServiceImpl : public v1::FileService::WithRawCallbackMethod_Upload<
                            v1::FileService::WithRawCallbackMethod_Download<
                                v1::FileService::WithCallbackMethod_Stat<
                                    v1::FileService::WithCallbackMethod_Delete<
                                        v1::FileService::Service>>>> {
 public:
  explicit FileServiceImpl(const CallContext& context) : context_(context) {}

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

 private:
  const CallContext context_;
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_API_FILE_SERVICE_H_
