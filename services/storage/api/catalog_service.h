// CatalogService: which files there are, what becomes of them, and which
// uploads are open. Every call carries the proof that the caller knows the
// cluster's secret.

#ifndef CAIRN_SERVICES_STORAGE_API_CATALOG_SERVICE_H_
#define CAIRN_SERVICES_STORAGE_API_CATALOG_SERVICE_H_

#include <cstdint>
#include <functional>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "cairn/storage/v1/catalog_service.grpc.pb.h"
#include "lib/metrics/metrics.h"
#include "lib/rpc/member_auth.h"
#include "lib/rpc/method_metrics.h"
#include "services/storage/api/call_context.h"
#include "services/storage/api/catalog_streams.h"
#include "services/storage/core/replicator.h"

namespace cairn {
namespace storage {

struct CatalogMetrics {
  explicit CatalogMetrics(MetricsRegistry* registry);

  rpc::MethodMetrics list;
  rpc::MethodMetrics watch;
  rpc::MethodMetrics list_uploads;
};

class CatalogServiceImpl
    : public v1::CatalogService::WithRawCallbackMethod_ListFiles<
          v1::CatalogService::WithRawCallbackMethod_WatchFiles<
              v1::CatalogService::WithCallbackMethod_ListUploads<
                  v1::CatalogService::Service>>> {
 public:
  // OK unless the node of that UUID was removed; any thread, must not block.
  // Who is no node at all may call: an operator's program.
  using CheckMember = std::function<absl::Status(absl::string_view)>;

  // `replicator_of` gives that of a store path. All borrowed.
  CatalogServiceImpl(const CallContext& context, rpc::MemberAuthServer* auth,
                     CheckMember check_member,
                     std::function<Replicator*(uint8_t)> replicator_of,
                     CatalogMetrics* metrics)
      : context_(context),
        auth_(auth),
        check_member_(std::move(check_member)),
        replicator_of_(std::move(replicator_of)),
        metrics_(metrics) {}

  grpc::ServerWriteReactor<grpc::ByteBuffer>* ListFiles(
      grpc::CallbackServerContext* context,
      const grpc::ByteBuffer* request) override;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* WatchFiles(
      grpc::CallbackServerContext* context,
      const grpc::ByteBuffer* request) override;
  grpc::ServerUnaryReactor* ListUploads(
      grpc::CallbackServerContext* context,
      const v1::ListUploadsRequest* request,
      v1::ListUploadsResponse* response) override;

 private:
  // Who asks, and of which paths: one, or all.
  absl::StatusOr<CatalogCall> Admit(grpc::CallbackServerContext* context,
                                    absl::string_view method,
                                    absl::optional<uint32_t> store_path);

  const CallContext context_;
  rpc::MemberAuthServer* const auth_;
  const CheckMember check_member_;
  const std::function<Replicator*(uint8_t)> replicator_of_;
  CatalogMetrics* const metrics_;
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_API_CATALOG_SERVICE_H_
