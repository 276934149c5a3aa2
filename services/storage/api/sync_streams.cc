#include "services/storage/api/sync_streams.h"

#include <algorithm>
#include <utility>

#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/rpc/grpc_status.h"
#include "services/storage/core/replica_source.h"
#include "services/storage/core/replica_store.h"
#include "services/storage/sync/sync_wire.h"

namespace cairn {
namespace storage {

MemberStream::MemberStream(const CallContext& context,
                           rpc::MethodMetrics* metrics)
    : context_(context), metrics_(metrics), begin_(context.clock->Monotonic()) {
  metrics_->Begin();
}

void MemberStream::Begin(const absl::Status& status,
                         std::shared_ptr<StorePath> path) {
  stream_path_ = std::move(path);
  if (!status.ok()) End(status);
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
  const absl::Status serving = context_.CheckServing();
  absl::StatusOr<absl::optional<grpc::ByteBuffer>> produced =
      serving.ok() ? Produce() : serving;
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
                       absl::StatusOr<MemberCall> call,
                       const v1::SyncRequest& request)
    : MemberStream(context, metrics) {
  absl::Status status = call.status();
  if (status.ok()) {
    call_ = *std::move(call);
    status = Prepare(request);
  }
  if (status.ok() && own_) {
    tailing_ = true;
    call_.replicator->AddTail(this);
  }
  Begin(status, call_.path);
}

absl::Status SyncStream::Prepare(const v1::SyncRequest& request) {
  Acknowledgement said;
  for (const v1::LogRange& range : request.have()) {
    CAIRN_ASSIGN_OR_RETURN(const LogRange have, FromProto(range));
    said.logs.push_back(have);
  }
  log_ = call_.path->replica()->Logs().front().log;
  if (request.has_log()) {
    CAIRN_ASSIGN_OR_RETURN(log_, FromProto(request.log()));
  } else {
    own_ = true;
  }
  for (const LogRange& have : said.logs) {
    if (have.log == log_) sent_ = have.applied;
  }
  return absl::OkStatus();
}

void SyncStream::OnHeartbeat() {
  heartbeat_.store(true);
  Wake();
}

absl::StatusOr<absl::optional<grpc::ByteBuffer>> SyncStream::Produce() {
  SyncBatch batch;
  batch.log = log_;
  // Before the log is read: who commits now may wait for what is read then.
  batch.ack_wanted = call_.replicator->ack_wanted();
  batch.sync_wanted = call_.replicator->sync_wanted();
  CAIRN_ASSIGN_OR_RETURN(batch.changes, ReadChanges(call_.path.get(), log_,
                                                    sent_, ChangeLimits{}));
  if (batch.changes.empty()) {
    if (own_ && !following_) {
      following_ = true;
      call_.replicator->waits()->SetFollowing(call_.caller, this, true);
    }
    if (!own_) SetLast();
  } else {
    sent_ = batch.changes.back().change.sequence;
  }
  if (heartbeat_.exchange(false)) batch.logs = call_.path->replica()->Logs();
  if (batch.changes.empty() && batch.logs.empty()) {
    return absl::optional<grpc::ByteBuffer>();
  }
  return absl::optional<grpc::ByteBuffer>(MakeSyncResponse(batch));
}

void SyncStream::Ended() {
  if (tailing_) call_.replicator->RemoveTail(this);
  if (following_) {
    call_.replicator->waits()->SetFollowing(call_.caller, this, false);
  }
}

SnapshotStream::SnapshotStream(const CallContext& context,
                               rpc::MethodMetrics* metrics,
                               absl::StatusOr<MemberCall> call,
                               const v1::SnapshotRequest& request)
    : MemberStream(context, metrics), next_(request.from()) {
  absl::Status status = call.status();
  if (status.ok()) call_ = *std::move(call);
  Begin(status, call_.path);
}

absl::StatusOr<absl::optional<grpc::ByteBuffer>> SnapshotStream::Produce() {
  SnapshotBatch batch;
  if (!begun_) {
    begun_ = true;
    CAIRN_ASSIGN_OR_RETURN(logs_, call_.path->replica()->BeginSnapshot());
    batch.logs = logs_;
  }
  CAIRN_ASSIGN_OR_RETURN(
      SnapshotChanges page,
      ReadSnapshotChanges(call_.path.get(), next_, ChangeLimits{}));
  batch.changes = std::move(page.changes);
  batch.next = page.next;
  batch.end = page.next.empty();
  next_ = std::move(page.next);
  if (batch.end) SetLast();
  return absl::optional<grpc::ByteBuffer>(MakeSnapshotResponse(batch, logs_));
}

}  // namespace storage
}  // namespace cairn
