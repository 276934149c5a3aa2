#include "services/storage/core/content_fetch.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"

namespace cairn {
namespace storage {
namespace {

absl::Status QueueFull() {
  return ErrorWithReason(absl::StatusCode::kResourceExhausted,
                         ErrorReason::kOverloaded, "the disk's queue is full");
}

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
  {
    MutexLock lock(&mu_);
    writing_ = true;
  }
  const bool queued =
      path_->io()->TrySubmit([this, moved = std::move(data)] { Write(moved); });
  if (!queued) Break(QueueFull());
}

void ContentFetch::Write(const absl::Cord& data) {
  absl::Status status;
  if (upload_ == nullptr) {
    absl::StatusOr<std::unique_ptr<Upload>> started =
        path_->StartUpload(file_.file.size_bytes);
    if (started.ok()) upload_ = *std::move(started);
    status = started.status();
  }
  if (status.ok()) status = upload_->Write(data);
  if (!status.ok()) {
    // An upload that failed is over.
    upload_.reset();
    Break(status);
    return;
  }
  bool ended = false;
  std::shared_ptr<PeerStream> stream;
  absl::Status failed;
  {
    MutexLock lock(&mu_);
    writing_ = false;
    received_bytes_ = upload_->size_bytes();
    ended = stream_ended_;
    failed = failed_;
    stream = stream_;
  }
  if (!ended) {
    stream->Next();
  } else if (failed.ok()) {
    Finish();
  } else {
    Over(failed);
  }
}

// The chunk that is under way cannot be written; the attempt ends when the
// stream has.
void ContentFetch::Break(const absl::Status& status) {
  bool ended = false;
  std::shared_ptr<PeerStream> stream;
  {
    MutexLock lock(&mu_);
    writing_ = false;
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
