#include "services/storage/api/sync_streams.h"

#include <utility>
#include <vector>

#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/rpc/grpc_status.h"
#include "services/storage/core/peer_transport.h"
#include "services/storage/core/replica_log.h"
#include "services/storage/core/replica_source.h"
#include "services/storage/sync/sync_wire.h"

namespace cairn {
namespace storage {

MemberStream::MemberStream(const CallContext& context,
                           rpc::MethodMetrics* metrics)
    : context_(context), metrics_(metrics), begin_(context.clock->Monotonic()) {
  metrics_->Begin();
}

void MemberStream::Begin(const absl::Status& status,
                         const absl::StatusOr<MemberCall>& call) {
  if (status.ok()) {
    stream_path_ = call->path;
    still_member_ = call->still_member;
  } else {
    End(status);
  }
  Pump();
}

void MemberStream::Unref() {
  TsanRelease(this);
  if (refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    TsanAcquire(this);
    Ended();
    delete this;
  }
}

void MemberStream::Wake() {
  {
    MutexLock lock(&mu_);
    if (woken_ || finished_) return;
    woken_ = true;
    if (working_ || writing_) return;  // Whoever does goes on.
  }
  Pump();
}

void MemberStream::End(const absl::Status& status) {
  MutexLock lock(&mu_);
  if (!end_.has_value()) end_ = status;
}

void MemberStream::Pump() {
  absl::optional<absl::Status> end;
  {
    MutexLock lock(&mu_);
    if (finished_ || working_ || writing_) return;
    if (end_.has_value()) {
      finished_ = true;
      end = end_;
    } else {
      if (!woken_) return;
      woken_ = false;
      working_ = true;
      Ref();
    }
  }
  if (end.has_value()) {
    metrics_->End(*end, context_.clock->Monotonic() - begin_);
    TsanRelease(this);
    Finish(rpc::ToGrpcStatus(*end));
    return;
  }
  if (stream_path_->io()->TrySubmit([this] {
        Work();
        Unref();
      })) {
    return;
  }
  {
    MutexLock lock(&mu_);
    working_ = false;
  }
  End(ErrorWithReason(absl::StatusCode::kResourceExhausted,
                      ErrorReason::kOverloaded, "the disk's queue is full"));
  Pump();
  Unref();
}

void MemberStream::Work() {
  absl::Status allowed = context_.CheckServing();
  // A caller that is removed is not served to the end.
  if (allowed.ok()) allowed = still_member_();
  absl::StatusOr<absl::optional<grpc::ByteBuffer>> produced =
      allowed.ok() ? Produce() : allowed;
  bool write = false;
  {
    MutexLock lock(&mu_);
    working_ = false;
    if (!produced.ok()) {
      if (!end_.has_value()) end_ = produced.status();
    } else {
      if (last_ && !end_.has_value()) end_ = absl::OkStatus();
      write = produced->has_value() && (!end_.has_value() || end_->ok());
      writing_ = write;
    }
  }
  if (!write) {
    Pump();
    return;
  }
  message_ = **std::move(produced);
  TsanRelease(this);
  StartWrite(&message_);
}

void MemberStream::OnWriteDone(bool ok) {
  TsanAcquire(this);
  message_.Clear();
  {
    MutexLock lock(&mu_);
    writing_ = false;
    woken_ = true;  // There may be more.
    if (!ok && (!end_.has_value() || end_->ok())) {
      end_ = absl::CancelledError("the member went away");
    }
  }
  Pump();
}

void MemberStream::OnCancel() {
  TsanAcquire(this);
  End(absl::CancelledError("the member went away"));
  Pump();
  TsanRelease(this);
}

void MemberStream::OnDone() {
  TsanAcquire(this);
  Unref();
}

SyncStream::SyncStream(const CallContext& context, rpc::MethodMetrics* metrics,
                       const absl::StatusOr<MemberCall>& call,
                       const v1::SyncRequest& request)
    : MemberStream(context, metrics) {
  absl::Status status = call.status();
  if (status.ok()) status = Prepare(*call, request);
  if (status.ok()) sender_->Start();
  Begin(status, call);
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
  Begin(call.status(), call);
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
  Begin(call.status(), call);
}

absl::StatusOr<absl::optional<grpc::ByteBuffer>> DigestStream::Produce() {
  CAIRN_ASSIGN_OR_RETURN(const DigestBatch batch, sender_->Next());
  if (!batch.logs.empty()) logs_ = batch.logs;
  if (batch.end) SetLast();
  return absl::optional<grpc::ByteBuffer>(MakeDigestResponse(batch, logs_));
}

}  // namespace storage
}  // namespace cairn
