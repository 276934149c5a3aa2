// What a member sends to another that copies it: a log as it grows, and
// everything, in pages. A SyncStream that has sent all there is waits for
// OnGrown or OnHeartbeat of its log.

#ifndef CAIRN_SERVICES_STORAGE_API_SYNC_STREAMS_H_
#define CAIRN_SERVICES_STORAGE_API_SYNC_STREAMS_H_

#include <grpcpp/support/byte_buffer.h>

#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "cairn/storage/v1/sync_service.pb.h"
#include "lib/base/uuid.h"
#include "services/storage/api/call_context.h"
#include "services/storage/api/produced_stream.h"
#include "services/storage/core/digest_source.h"
#include "services/storage/core/log_sender.h"
#include "services/storage/core/replicator.h"
#include "services/storage/core/store_path.h"

namespace cairn {
namespace storage {

// Who asks, of what.
struct MemberCall {
  Uuid caller;
  std::shared_ptr<StorePath> path;
  Replicator* replicator = nullptr;  // Of the path; borrowed.

  // Whether the caller may still call; any thread, does not block.
  std::function<absl::Status()> still_member;
};

// The part that all have in common.
class MemberStream : public ProducedStream {
 protected:
  MemberStream(const CallContext& context, rpc::MethodMetrics* metrics);

  absl::Status CheckAllowed() override { return still_member_(); }

  // Begins with what was admitted; with a `status` that is not OK, ends at
  // once.
  void BeginFor(const absl::Status& status,
                const absl::StatusOr<MemberCall>& call);

 private:
  std::function<absl::Status()> still_member_;
};

class SyncStream : public MemberStream {
 public:
  SyncStream(const CallContext& context, rpc::MethodMetrics* metrics,
             const absl::StatusOr<MemberCall>& call,
             const v1::SyncRequest& request);

 private:
  absl::Status Prepare(const MemberCall& call, const v1::SyncRequest& request);
  absl::StatusOr<absl::optional<grpc::ByteBuffer>> Produce() override;
  void Ended() override;

  absl::optional<LogSender> sender_;  // Unset if the call was refused.
};

class SnapshotStream : public MemberStream {
 public:
  SnapshotStream(const CallContext& context, rpc::MethodMetrics* metrics,
                 const absl::StatusOr<MemberCall>& call,
                 const v1::SnapshotRequest& request);

 private:
  absl::StatusOr<absl::optional<grpc::ByteBuffer>> Produce() override;

  absl::optional<SnapshotSender> sender_;  // Unset if the call was refused.
};

class DigestStream : public MemberStream {
 public:
  DigestStream(const CallContext& context, rpc::MethodMetrics* metrics,
               const absl::StatusOr<MemberCall>& call,
               const v1::DigestRequest& request);

 private:
  absl::StatusOr<absl::optional<grpc::ByteBuffer>> Produce() override;

  absl::optional<DigestSender> sender_;  // None: refused.
  std::vector<LogRange> logs_;
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_API_SYNC_STREAMS_H_
