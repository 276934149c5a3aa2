#include "services/storage/api/sync_streams.h"

#include <utility>
#include <vector>

#include "lib/base/status_macros.h"
#include "services/storage/core/peer_transport.h"
#include "services/storage/core/replica_log.h"
#include "services/storage/core/replica_source.h"
#include "services/storage/sync/sync_wire.h"

namespace cairn {
namespace storage {

MemberStream::MemberStream(const CallContext& context,
                           rpc::MethodMetrics* metrics)
    : ProducedStream(context, metrics) {}

void MemberStream::BeginFor(const absl::Status& status,
                            const absl::StatusOr<MemberCall>& call) {
  if (!status.ok()) {
    Begin(status, nullptr);
    return;
  }
  still_member_ = call->still_member;
  Begin(status, call->path);
}

SyncStream::SyncStream(const CallContext& context, rpc::MethodMetrics* metrics,
                       const absl::StatusOr<MemberCall>& call,
                       const v1::SyncRequest& request)
    : MemberStream(context, metrics) {
  absl::Status status = call.status();
  if (status.ok()) status = Prepare(*call, request);
  if (status.ok()) sender_->Start();
  BeginFor(status, call);
}

absl::Status SyncStream::Prepare(const MemberCall& call,
                                 const v1::SyncRequest& request) {
  std::vector<LogRange> have;
  for (const v1::LogRange& range : request.have()) {
    CAIRN_ASSIGN_OR_RETURN(const LogRange said, FromProto(range));
    have.push_back(said);
  }
  absl::optional<LogId> log;
  if (request.has_log()) {
    CAIRN_ASSIGN_OR_RETURN(log, FromProto(request.log()));
  }
  sender_.emplace(call.caller, call.path, call.replicator, log, have,
                  ChangeLimits{}, [this] { Wake(); });
  return absl::OkStatus();
}

absl::StatusOr<absl::optional<grpc::ByteBuffer>> SyncStream::Produce() {
  CAIRN_ASSIGN_OR_RETURN(const absl::optional<SyncBatch> batch,
                         sender_->Next());
  if (sender_->done()) SetLast();
  if (sender_->idle()) SetIdle();
  if (!batch.has_value()) return absl::optional<grpc::ByteBuffer>();
  return absl::optional<grpc::ByteBuffer>(MakeSyncResponse(*batch));
}

void SyncStream::Ended() {
  if (sender_.has_value()) sender_->Stop();
}

SnapshotStream::SnapshotStream(const CallContext& context,
                               rpc::MethodMetrics* metrics,
                               const absl::StatusOr<MemberCall>& call,
                               const v1::SnapshotRequest& request)
    : MemberStream(context, metrics) {
  if (call.ok()) sender_.emplace(call->path, request.from(), ChangeLimits{});
  BeginFor(call.status(), call);
}

absl::StatusOr<absl::optional<grpc::ByteBuffer>> SnapshotStream::Produce() {
  CAIRN_ASSIGN_OR_RETURN(const SnapshotBatch batch, sender_->Next());
  if (batch.end) SetLast();
  return absl::optional<grpc::ByteBuffer>(
      MakeSnapshotResponse(batch, sender_->logs()));
}

DigestStream::DigestStream(const CallContext& context,
                           rpc::MethodMetrics* metrics,
                           const absl::StatusOr<MemberCall>& call,
                           const v1::DigestRequest& request)
    : MemberStream(context, metrics) {
  if (call.ok()) {
    DigestWish wish;
    wish.from = request.from();
    wish.until = request.until();
    wish.entries = request.entries();
    sender_.emplace(call->path, std::move(wish), DigestLimits());
  }
  BeginFor(call.status(), call);
}

absl::StatusOr<absl::optional<grpc::ByteBuffer>> DigestStream::Produce() {
  CAIRN_ASSIGN_OR_RETURN(const DigestBatch batch, sender_->Next());
  if (!batch.logs.empty()) logs_ = batch.logs;
  if (batch.end) SetLast();
  return absl::optional<grpc::ByteBuffer>(MakeDigestResponse(batch, logs_));
}

}  // namespace storage
}  // namespace cairn
