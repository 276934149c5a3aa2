// AppenderService of proto/cairn/storage/v1: files whose content changes.

#ifndef CAIRN_SERVICES_STORAGE_API_APPENDER_SERVICE_H_
#define CAIRN_SERVICES_STORAGE_API_APPENDER_SERVICE_H_

#include <grpcpp/support/server_callback.h>

#include "cairn/storage/v1/appender_service.grpc.pb.h"
#include "services/storage/api/call_context.h"

namespace cairn {
namespace storage {

// Handlers run on gRPC threads: they parse, hand over and finish.
class AppenderServiceImpl
    : public v1::AppenderService::WithCallbackMethod_CreateAppender<
          v1::AppenderService::WithCallbackMethod_Append<
              v1::AppenderService::WithCallbackMethod_Modify<
                  v1::AppenderService::WithCallbackMethod_Truncate<
                      v1::AppenderService::WithCallbackMethod_Seal<
                          v1::AppenderService::Service>>>>> {
 public:
  explicit AppenderServiceImpl(const CallContext& context)
      : context_(context) {}

  grpc::ServerUnaryReactor* CreateAppender(
      grpc::CallbackServerContext* context,
      const v1::CreateAppenderRequest* request,
      v1::CreateAppenderResponse* response) override;
  grpc::ServerUnaryReactor* Append(grpc::CallbackServerContext* context,
                                   const v1::AppendRequest* request,
                                   v1::AppendResponse* response) override;
  grpc::ServerUnaryReactor* Modify(grpc::CallbackServerContext* context,
                                   const v1::ModifyRequest* request,
                                   v1::ModifyResponse* response) override;
  grpc::ServerUnaryReactor* Truncate(grpc::CallbackServerContext* context,
                                     const v1::TruncateRequest* request,
                                     v1::TruncateResponse* response) override;
  grpc::ServerUnaryReactor* Seal(grpc::CallbackServerContext* context,
                                 const v1::SealRequest* request,
                                 v1::SealResponse* response) override;

 private:
  const CallContext context_;
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_API_APPENDER_SERVICE_H_
