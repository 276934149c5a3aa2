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
    if (working_ || writing_) return;  // Whoever does goes on.
  }
  Pump();
}

void ProducedStream::End(const absl::Status& status) {
  MutexLock lock(&mu_);
  if (!end_.has_value()) end_ = status;
}

void ProducedStream::Pump() {
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
  End(QueueFull());
  Pump();
  Unref();
}

void ProducedStream::Work() {
  absl::Status allowed = context_.CheckServing();
  // A caller that is removed is not served to the end.
  if (allowed.ok()) allowed = CheckAllowed();
  idle_ = false;
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

void ProducedStream::OnWriteDone(bool ok) {
  TsanAcquire(this);
  message_.Clear();
  {
    MutexLock lock(&mu_);
    writing_ = false;
    if (!idle_) woken_ = true;  // There may be more.
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
