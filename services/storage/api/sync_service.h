// SyncService: what the other members of the group ask of this one. Every call
// carries the proof that it comes from a member.

#ifndef CAIRN_SERVICES_STORAGE_API_SYNC_SERVICE_H_
#define CAIRN_SERVICES_STORAGE_API_SYNC_SERVICE_H_

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cairn/storage/v1/sync_service.grpc.pb.h"
#include "lib/metrics/metrics.h"
#include "lib/rpc/member_auth.h"
#include "lib/rpc/method_metrics.h"
#include "services/storage/api/call_context.h"
#include "services/storage/api/sync_streams.h"
#include "services/storage/core/replicator.h"

namespace cairn {
namespace storage {

struct SyncMetrics {
  explicit SyncMetrics(MetricsRegistry* registry);

  rpc::MethodMetrics sync;
  rpc::MethodMetrics ack;
  rpc::MethodMetrics snapshot;
  rpc::MethodMetrics fetch;
  rpc::MethodMetrics digest;
};

class SyncServiceImpl
    : public v1::SyncService::WithRawCallbackMethod_Sync<
          v1::SyncService::WithCallbackMethod_AckSync<
              v1::SyncService::WithRawCallbackMethod_Snapshot<
                  v1::SyncService::WithRawCallbackMethod_Fetch<
                      v1::SyncService::WithRawCallbackMethod_Digest<
                          v1::SyncService::Service>>>>> {
 public:
  // Whether the node of that UUID may call; any thread, must not block.
  using CheckMember = std::function<absl::Status(absl::string_view)>;

  // `replicator_of` gives that of a store path. All borrowed.
  SyncServiceImpl(const CallContext& context, rpc::MemberAuthServer* auth,
                  CheckMember check_member,
                  std::function<Replicator*(uint8_t)> replicator_of,
                  SyncMetrics* metrics)
      : context_(context),
        auth_(auth),
        check_member_(std::move(check_member)),
        replicator_of_(std::move(replicator_of)),
        metrics_(metrics) {}

  grpc::ServerWriteReactor<grpc::ByteBuffer>* Sync(
      grpc::CallbackServerContext* context,
      const grpc::ByteBuffer* request) override;
  grpc::ServerUnaryReactor* AckSync(grpc::CallbackServerContext* context,
                                    const v1::AckSyncRequest* request,
                                    v1::AckSyncResponse* response) override;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* Snapshot(
      grpc::CallbackServerContext* context,
      const grpc::ByteBuffer* request) override;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* Fetch(
      grpc::CallbackServerContext* context,
      const grpc::ByteBuffer* request) override;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* Digest(
      grpc::CallbackServerContext* context,
      const grpc::ByteBuffer* request) override;

 private:
  // Who asks, and of which path.
  absl::StatusOr<MemberCall> Admit(grpc::CallbackServerContext* context,
                                   absl::string_view method,
                                   const std::string& node_uuid,
                                   const std::string& group,
                                   uint32_t store_path);

  const CallContext context_;
  rpc::MemberAuthServer* const auth_;
  const CheckMember check_member_;
  const std::function<Replicator*(uint8_t)> replicator_of_;
  SyncMetrics* const metrics_;
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_API_SYNC_SERVICE_H_
