#include "services/storage/api/download_call.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cairn/storage/v1/file_service.pb.h"
#include "cairn/storage/v1/sync_service.pb.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/checksum/crc32c.h"
#include "lib/rpc/chunk_wire.h"
#include "lib/rpc/grpc_status.h"
#include "lib/rpc/wire.h"
#include "services/storage/api/convert.h"
#include "services/storage/api/translate.h"
#include "services/storage/core/queue_full.h"
#include "services/storage/core/replica_store.h"

namespace cairn {
namespace storage {
namespace {

// What a file that was only added to began with.
class EarlierFile : public OpenFile {
 public:
  EarlierFile(std::unique_ptr<OpenFile> file, const FileState& state)
      : file_(std::move(file)), info_(file_->info()) {
    info_.version = state.version;
    info_.size_bytes = state.size_bytes;
    info_.crc32c = state.crc32c;
  }

  const FileInfo& info() const override { return info_; }
  absl::StatusOr<absl::Cord> Read(int64_t offset, int64_t length) override {
    return file_->Read(offset, length);
  }
  absl::optional<absl::StatusOr<absl::Cord>> TryRead(int64_t offset,
                                                     int64_t length) override {
    return file_->TryRead(offset, length);
  }
  absl::optional<uint32_t> CheckedCrc(int64_t offset, int64_t length) override {
    return file_->CheckedCrc(offset, length);
  }

 private:
  const std::unique_ptr<OpenFile> file_;
  FileInfo info_;
};

}  // namespace

absl::StatusOr<DownloadTarget> ParseDownloadRequest(
    const StorageNode& node, const grpc::ByteBuffer& buffer) {
  storage::v1::DownloadRequest request;
  if (!rpc::FromByteBuffer(buffer, &request)) {
    return InvalidField("request", "the bytes are no DownloadRequest message");
  }
  if (request.chunk_bytes() < 0 ||
      request.chunk_bytes() > static_cast<int32_t>(rpc::kChunkBytesMax)) {
    return InvalidField("chunk_bytes",
                        absl::StrCat("must be 0 to ", rpc::kChunkBytesMax));
  }
  DownloadTarget target;
  target.chunk_bytes = request.chunk_bytes() > 0 ? request.chunk_bytes()
                                                 : rpc::kChunkBytesDefault;
  if (target.chunk_bytes > kBlockBytes) {
    target.chunk_bytes -= target.chunk_bytes % kBlockBytes;
  }
  target.offset = request.offset();
  target.with_attributes = request.include_attributes();
  if (request.has_length()) target.length = request.length();
  CAIRN_ASSIGN_OR_RETURN(StorageNode::Located located,
                         node.Locate(request.file_id()));
  target.path = std::move(located.path);
  target.store_path = located.id.store_path;
  target.name = std::move(located.id.name);
  return target;
}

DownloadCall::DownloadCall(const CallContext& context,
                           rpc::MethodMetrics* metrics,
                           absl::StatusOr<DownloadTarget> target)
    : context_(context), metrics_(metrics), begin_(context.clock->Monotonic()) {
  metrics_->Begin();
  const absl::Status status = Begin(std::move(target));
  if (!status.ok()) Stop(status);
  Pump();
}

DownloadCall::~DownloadCall() {
  int64_t budget_bytes = writing_message_.budget_bytes;
  MutexLock lock(&mu_);
  for (const Ready& ready : ready_) budget_bytes += ready.budget_bytes;
  context_.budget->Return(budget_bytes);
}

void DownloadCall::Unref() {
  TsanRelease(this);
  if (refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    TsanAcquire(this);
    delete this;
  }
}

absl::Status DownloadCall::Begin(absl::StatusOr<DownloadTarget> target) {
  CAIRN_RETURN_IF_ERROR(context_.CheckServing());
  CAIRN_RETURN_IF_ERROR(target.status());
  target_ = *std::move(target);
  if (target_.info_only) {
    Ref();
    const bool queued = target_.path->io()->TrySubmit([this] {
      const absl::Status status = SendKnown();
      if (!status.ok()) Stop(status);
      Pump();
      Unref();
    });
    if (queued) return absl::OkStatus();
    Unref();
    return QueueFull();
  }
  absl::optional<absl::StatusOr<std::unique_ptr<OpenFile>>> opened =
      target_.path->TryOpen(target_.name);
  // A member that copies the file gets it, whatever the clock here says. So
  // does one that had it open before it expired.
  const bool of_version =
      target_.version.has_value() && opened.has_value() &&
      ReasonOf(opened->status()) == ErrorReason::kFileExpired;
  if (opened.has_value() && !of_version) {
    Opened(*std::move(opened));
    return absl::OkStatus();
  }
  Ref();
  const bool queued = target_.path->io()->TrySubmit([this] {
    Opened(target_.version.has_value()
               ? target_.path->replica()->OpenForMember(target_.name)
               : target_.path->Open(target_.name));
    Pump();
    Unref();
  });
  if (queued) return absl::OkStatus();
  Unref();
  return QueueFull();
}

void DownloadCall::Opened(absl::StatusOr<std::unique_ptr<OpenFile>> file) {
  absl::Status status = file.status();
  if (status.ok()) {
    file_ = *std::move(file);
    if (target_.state.has_value() &&
        !(file_->info().version == target_.state->version) &&
        file_->info().BeginsWith(target_.state->version) &&
        target_.state->size_bytes <= file_->info().size_bytes) {
      file_ = std::make_unique<EarlierFile>(std::move(file_), *target_.state);
    }
    if (target_.version.has_value() &&
        !(file_->info().version == *target_.version)) {
      status = ErrorWithReason(
          absl::StatusCode::kAborted, ErrorReason::kVersionMismatch,
          absl::StrCat("file ", target_.name, " has another version here"));
    }
  }
  if (status.ok()) status = SendInfo();
  if (!status.ok()) Stop(status);
}

absl::Status DownloadCall::SendInfo() {
  CAIRN_ASSIGN_OR_RETURN(
      const int64_t bytes,
      BytesToSend(file_->info(), target_.offset, target_.length));
  next_ = target_.offset;
  end_ = target_.offset + bytes;
  common::v1::FileInfo info;
  ToProto(*context_.node, target_.store_path, file_->info(), &info);
  if (target_.with_attributes) AttributesToProto(file_->info(), &info);
  if (target_.is_fetch) {
    storage::v1::FetchResponse response;
    *response.mutable_info() = std::move(info);
    response.set_life(file_->info().life);
    response.set_sealed_from(file_->info().sealed_from);
    response.set_owner(file_->info().owner);
    SendFirst(rpc::ToByteBuffer(response));
  } else {
    storage::v1::DownloadResponse response;
    *response.mutable_info() = std::move(info);
    SendFirst(rpc::ToByteBuffer(response));
  }
  return absl::OkStatus();
}

absl::Status DownloadCall::SendKnown() {
  CAIRN_ASSIGN_OR_RETURN(const absl::optional<KnownFile> known,
                         target_.path->replica()->Find(target_.name));
  if (!known.has_value() || known->deleted) {
    return ErrorWithReason(absl::StatusCode::kNotFound,
                           known.has_value() ? ErrorReason::kFileDeleted
                                             : ErrorReason::kFileNotFound,
                           absl::StrCat("file ", target_.name, " is not here"));
  }
  storage::v1::FetchResponse response;
  ToProto(*context_.node, target_.store_path, known->file,
          response.mutable_info());
  response.set_life(known->file.life);
  response.set_sealed_from(known->file.sealed_from);
  response.set_owner(known->file.owner);
  response.set_content_missing(known->content_missing);
  SendFirst(rpc::ToByteBuffer(response));
  return absl::OkStatus();
}

void DownloadCall::SendFirst(grpc::ByteBuffer message) {
  Ready ready;
  ready.message = std::move(message);
  MutexLock lock(&mu_);
  ready_.push_back(std::move(ready));
  opened_ = true;
  read_all_ = next_ == end_;
}

void DownloadCall::Stop(const absl::Status& status) {
  MutexLock lock(&mu_);
  if (status_.ok()) status_ = status;
  read_all_ = true;
}

void DownloadCall::Pump() {
  for (;;) {
    enum { kWrite, kWriteLast, kRead, kFinish } action;
    absl::Status status;
    {
      MutexLock lock(&mu_);
      if (finished_) return;
      if (!writing_ && !ready_.empty() && !cancelled_) {
        writing_message_ = std::move(ready_.front());
        ready_.pop_front();
        writing_ = true;
        action = kWrite;
        if (ready_.empty() && read_all_ && status_.ok()) {
          action = kWriteLast;
          finished_ = true;
        }
      } else if (opened_ && !reading_ && !read_all_ && !cancelled_ &&
                 ready_.size() < kReadAhead) {
        reading_ = true;
        action = kRead;
      } else if (!writing_ && !reading_ &&
                 (cancelled_ || (read_all_ && ready_.empty()))) {
        finished_ = true;
        action = kFinish;
        status = status_;
      } else {
        return;
      }
    }
    switch (action) {
      case kWrite:
        TsanRelease(this);
        StartWrite(&writing_message_.message);
        break;
      case kWriteLast:
        metrics_->End(absl::OkStatus(), context_.clock->Monotonic() - begin_);
        TsanRelease(this);
        StartWriteAndFinish(&writing_message_.message, grpc::WriteOptions(),
                            grpc::Status::OK);
        return;
      case kRead:
        Read();
        break;
      case kFinish:
        metrics_->End(status, context_.clock->Monotonic() - begin_);
        TsanRelease(this);
        Finish(rpc::ToGrpcStatus(status));
        return;
    }
  }
}

int64_t DownloadCall::ChunkEnd() const {
  return std::min(end_,
                  (next_ / target_.chunk_bytes + 1) * target_.chunk_bytes);
}

void DownloadCall::Read() {
  const int64_t length = ChunkEnd() - next_;
  if (context_.budget->TryTake(length)) {
    ReadWithBudget(length);
    return;
  }
  Ref();
  context_.budget->Take(length, [this, length] {
    ReadWithBudget(length);
    Pump();
    Unref();
  });
}

void DownloadCall::ReadWithBudget(int64_t length) {
  bool cancelled = false;
  {
    MutexLock lock(&mu_);
    cancelled = cancelled_;
  }
  if (cancelled) {
    HaveRead(length, absl::CancelledError("the client went away"));
    return;
  }
  if (absl::optional<absl::StatusOr<absl::Cord>> data =
          file_->TryRead(next_, length)) {
    HaveRead(length, *data);
    return;
  }
  Ref();
  const bool queued = target_.path->io()->TrySubmit([this, length] {
    HaveRead(length, file_->Read(next_, length));
    Pump();
    Unref();
  });
  if (!queued) {
    HaveRead(length, QueueFull());
    Unref();
  }
}

void DownloadCall::HaveRead(int64_t length,
                            const absl::StatusOr<absl::Cord>& data) {
  if (!data.ok()) {
    context_.budget->Return(length);
    MutexLock lock(&mu_);
    reading_ = false;
    if (status_.ok()) status_ = data.status();
    read_all_ = true;
    return;
  }
  rpc::Chunk chunk;
  chunk.offset = next_;
  chunk.data = *data;
  const absl::optional<uint32_t> checked = file_->CheckedCrc(next_, length);
  chunk.crc32c = checked.has_value() ? *checked : Crc32c(chunk.data);
  Ready ready;
  ready.message = rpc::MakeDownloadChunk(chunk);
  ready.budget_bytes = length;
  next_ += length;
  context_.metrics->sent_bytes->Add(static_cast<uint64_t>(length));
  MutexLock lock(&mu_);
  ready_.push_back(std::move(ready));
  reading_ = false;
  if (next_ == end_) read_all_ = true;
}

void DownloadCall::OnWriteDone(bool ok) {
  TsanAcquire(this);
  const int64_t budget_bytes = writing_message_.budget_bytes;
  writing_message_ = Ready();
  {
    MutexLock lock(&mu_);
    writing_ = false;
    if (!ok) {
      cancelled_ = true;
      if (status_.ok()) status_ = absl::CancelledError("the client went away");
    }
  }
  context_.budget->Return(budget_bytes);
  Pump();
}

void DownloadCall::OnCancel() {
  TsanAcquire(this);
  {
    MutexLock lock(&mu_);
    cancelled_ = true;
    if (status_.ok()) status_ = absl::CancelledError("the client went away");
  }
  Pump();
  TsanRelease(this);
}

void DownloadCall::OnDone() {
  TsanAcquire(this);
  Unref();
}

}  // namespace storage
}  // namespace cairn
