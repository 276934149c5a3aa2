#include "services/storage/core/content_fetch.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "services/storage/core/queue_full.h"

namespace cairn {
namespace storage {
namespace {

// What is received ahead of the disk.
constexpr size_t kWaitingBytesMax = 2 << 20;

}  // namespace

ContentFetch::ContentFetch(std::shared_ptr<StorePath> path, KnownFile file,
                           std::function<void()> wake)
    : path_(std::move(path)), file_(std::move(file)), wake_(std::move(wake)) {}

ContentFetch::~ContentFetch() {
  MutexLock lock(&mu_);
  CAIRN_CHECK(stream_ == nullptr || result_.has_value());
}

void ContentFetch::Start(PeerTransport* transport, const Peer& peer,
                         uint8_t store_path) {
  FetchWish wish;
  wish.name = file_.file.name;
  wish.version = file_.file.version;
  if (file_.file.kind == FileKind::kAppender) {
    wish.state =
        FileState{file_.file.version, file_.file.size_bytes, file_.file.crc32c};
  }
  {
    MutexLock lock(&mu_);
    CAIRN_CHECK(stream_ == nullptr || result_.has_value());
    result_.reset();
    failed_ = absl::OkStatus();
    stream_ended_ = false;
    wish.offset = received_bytes_;
  }
  std::shared_ptr<PeerStream> stream =
      transport->StartFetch(peer, store_path, wish, this);
  {
    MutexLock lock(&mu_);
    stream_ = stream;
  }
  stream->Next();
}

void ContentFetch::Cancel() {
  std::shared_ptr<PeerStream> stream;
  {
    MutexLock lock(&mu_);
    stream = stream_;
  }
  if (stream != nullptr) stream->Cancel();
}

absl::optional<absl::Status> ContentFetch::result() const {
  MutexLock lock(&mu_);
  return result_;
}

int64_t ContentFetch::received_bytes() const {
  MutexLock lock(&mu_);
  return received_bytes_;
}

void ContentFetch::OnInfo(const FileInfo& info) {
  std::shared_ptr<PeerStream> stream;
  {
    MutexLock lock(&mu_);
    stream = stream_;
    if (info.size_bytes != file_.file.size_bytes ||
        info.crc32c != file_.file.crc32c ||
        !(info.version == file_.file.version)) {
      failed_ = ErrorWithReason(
          absl::StatusCode::kAborted, ErrorReason::kVersionMismatch,
          absl::StrCat("file ", file_.file.name, " is another one there"));
    }
    if (!failed_.ok()) stream = nullptr;
  }
  if (stream != nullptr) {
    stream->Next();
  } else {
    Cancel();
  }
}

void ContentFetch::OnChunk(absl::Cord data) {
  std::shared_ptr<PeerStream> stream;
  bool write = false;
  {
    MutexLock lock(&mu_);
    if (!failed_.ok()) return;  // Cancelled already.
    waiting_bytes_ += data.size();
    waiting_.push_back(std::move(data));
    paused_ = waiting_bytes_ >= kWaitingBytesMax;
    if (!paused_) stream = stream_;
    write = !std::exchange(writing_, true);
  }
  if (write && !path_->io()->TrySubmit([this] { WriteWaiting(); })) {
    Break(QueueFull());
    return;
  }
  if (stream != nullptr) stream->Next();
}

void ContentFetch::WriteWaiting() {
  while (true) {
    absl::Cord data;
    std::shared_ptr<PeerStream> stream;
    bool ended = false;
    absl::Status failed;
    {
      MutexLock lock(&mu_);
      if (upload_ != nullptr) received_bytes_ = upload_->size_bytes();
      if (waiting_.empty()) {
        writing_ = false;
        if (!stream_ended_) return;
        ended = true;
        failed = failed_;
      } else {
        data = std::move(waiting_.front());
        waiting_.pop_front();
        waiting_bytes_ -= data.size();
        if (paused_ && waiting_bytes_ < kWaitingBytesMax) {
          paused_ = false;
          stream = stream_;
        }
      }
    }
    if (ended) {
      if (failed.ok()) {
        Finish();
      } else {
        Over(failed);
      }
      return;
    }
    if (stream != nullptr) stream->Next();
    const absl::Status status = Write(data);
    if (!status.ok()) {
      // An upload that failed is over.
      upload_.reset();
      Break(status);
      return;
    }
  }
}

absl::Status ContentFetch::Write(const absl::Cord& data) {
  if (upload_ == nullptr) {
    CAIRN_ASSIGN_OR_RETURN(upload_, path_->StartUpload(file_.file.size_bytes));
    upload_->BypassCache();
  }
  return upload_->Write(data);
}

// What waits cannot be written; the attempt ends when the stream has.
void ContentFetch::Break(const absl::Status& status) {
  bool ended = false;
  std::shared_ptr<PeerStream> stream;
  {
    MutexLock lock(&mu_);
    writing_ = false;
    waiting_.clear();
    waiting_bytes_ = 0;
    failed_.Update(status);
    if (upload_ == nullptr) received_bytes_ = 0;
    ended = stream_ended_;
    stream = stream_;
  }
  if (ended) {
    Over(status);
  } else {
    stream->Cancel();
  }
}

void ContentFetch::OnEnd(const absl::Status& status) {
  absl::Status failed;
  {
    MutexLock lock(&mu_);
    failed_.Update(status);
    stream_ended_ = true;
    if (writing_) return;  // Whoever writes goes on.
    failed = failed_;
  }
  if (!failed.ok()) {
    Over(failed);
    return;
  }
  if (!path_->io()->TrySubmit([this] { Finish(); })) Over(QueueFull());
}

void ContentFetch::Finish() {
  if (upload_ == nullptr) {
    // A content of no bytes came without a chunk.
    absl::StatusOr<std::unique_ptr<Upload>> started =
        path_->StartUpload(file_.file.size_bytes);
    if (!started.ok()) {
      Over(started.status());
      return;
    }
    upload_ = *std::move(started);
  }
  ReplicatedChange change;
  change.mode = ReplicatedChange::Mode::kContent;
  change.change = file_.change;
  change.file = file_.file;
  change.synced = true;
  // Both live until the call has returned, and the upload until it is answered;
  // this may be gone by then.
  const std::shared_ptr<StorePath> path = path_;
  const std::shared_ptr<Upload> upload = std::move(upload_);
  upload->FinishReplica(
      std::move(change),
      [this, path, upload](absl::StatusOr<Committed> committed) {
        {
          MutexLock lock(&mu_);
          if (!committed.ok()) received_bytes_ = 0;
        }
        Over(committed.status());
      });
}

void ContentFetch::Over(const absl::Status& status) {
  // This may be destroyed as soon as the result is there.
  std::function<void()> wake;
  {
    MutexLock lock(&mu_);
    result_ = status;
    wake = wake_;
  }
  wake();
}

}  // namespace storage
}  // namespace cairn
