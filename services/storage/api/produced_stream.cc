#include "services/storage/api/produced_stream.h"

#include <utility>

#include "lib/rpc/grpc_status.h"
#include "services/storage/core/queue_full.h"

namespace cairn {
namespace storage {

ProducedStream::ProducedStream(const CallContext& context,
                               rpc::MethodMetrics* metrics)
    : context_(context), metrics_(metrics), begin_(context.clock->Monotonic()) {
  metrics_->Begin();
}

void ProducedStream::Begin(const absl::Status& status,
                           std::shared_ptr<StorePath> path) {
  if (status.ok()) {
    stream_path_ = std::move(path);
  } else {
    End(status);
  }
  Pump();
}

void ProducedStream::Unref() {
  TsanRelease(this);
  if (refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    TsanAcquire(this);
    Ended();
    delete this;
  }
}

void ProducedStream::Wake() {
  {
    MutexLock lock(&mu_);
    if (woken_ || finished_) return;
    woken_ = true;
    // Whoever works or writes goes on.
    if (working_ || ready_.has_value() || (writing_ && !ahead_)) return;
  }
  Pump();
}

void ProducedStream::End(const absl::Status& status) {
  MutexLock lock(&mu_);
  if (!end_.has_value()) end_ = status;
}

bool ProducedStream::TakeWork() {
  if (end_.has_value() || working_ || ready_.has_value()) return false;
  if (!woken_ || (writing_ && !ahead_)) return false;
  woken_ = false;
  working_ = true;
  Ref();
  return true;
}

void ProducedStream::Pump() {
  absl::optional<absl::Status> end;
  bool write = false;
  bool work = false;
  {
    MutexLock lock(&mu_);
    if (finished_) return;
    if (end_.has_value() && !end_->ok()) ready_.reset();
    if (!writing_ && ready_.has_value()) {
      message_ = *std::move(ready_);
      ready_.reset();
      writing_ = true;
      write = true;
    }
    work = TakeWork();
    if (end_.has_value() && !working_ && !writing_) {
      finished_ = true;
      end = end_;
    }
  }
  if (end.has_value()) {
    metrics_->End(*end, context_.clock->Monotonic() - begin_);
    TsanRelease(this);
    Finish(rpc::ToGrpcStatus(*end));
    return;
  }
  const bool refused = work && !stream_path_->io()->TrySubmit([this] {
    Work();
    Unref();
  });
  if (refused) {
    {
      MutexLock lock(&mu_);
      working_ = false;
    }
    End(QueueFull());
  }
  if (write) {
    TsanRelease(this);
    StartWrite(&message_);  // Nothing but a reference keeps this from here on.
  } else if (refused) {
    Pump();
  }
  if (refused) Unref();
}

void ProducedStream::Work() {
  absl::Status allowed = context_.CheckServing();
  // A caller that is removed is not served to the end.
  if (allowed.ok()) allowed = CheckAllowed();
  idle_ = false;
  absl::StatusOr<absl::optional<grpc::ByteBuffer>> produced =
      allowed.ok() ? Produce() : allowed;
  {
    MutexLock lock(&mu_);
    working_ = false;
    if (!produced.ok()) {
      if (!end_.has_value()) end_ = produced.status();
    } else {
      if (last_ && !end_.has_value()) end_ = absl::OkStatus();
      if (produced->has_value()) {
        ready_ = **std::move(produced);
        ahead_ = !idle_;
        if (ahead_) woken_ = true;  // There may be more.
      }
    }
  }
  Pump();
}

void ProducedStream::OnWriteDone(bool ok) {
  TsanAcquire(this);
  message_.Clear();
  {
    MutexLock lock(&mu_);
    writing_ = false;
    if (!ok && (!end_.has_value() || end_->ok())) {
      end_ = absl::CancelledError("the caller went away");
    }
  }
  Pump();
}

void ProducedStream::OnCancel() {
  TsanAcquire(this);
  End(absl::CancelledError("the caller went away"));
  Pump();
  TsanRelease(this);
}

void ProducedStream::OnDone() {
  TsanAcquire(this);
  Unref();
}

}  // namespace storage
}  // namespace cairn
