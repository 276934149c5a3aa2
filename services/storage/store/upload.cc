#include "services/storage/store/upload.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/checksum/crc32c.h"
#include "lib/fault/fault_point.h"
#include "services/storage/core/queue_full.h"
#include "services/storage/store/segment_format.h"
#include "services/storage/store/segment_probe.h"

namespace cairn {
namespace storage {
namespace {

FaultPoint before_publish("upload.before_publish");

// Bytes after which the disk is told to start, so that the sync at the end has
// little left to do.
constexpr int64_t kWritebackBytes = 8 << 20;

// Of a content that is not to be cached: what is kept, since the disk may still
// be writing it, and how far behind that it is looked for what can be dropped.
constexpr int64_t kCachedBytes = 64 << 20;
constexpr int64_t kDropBytes = 512 << 20;

constexpr int64_t kBufferBytesMax = 256 << 10;

}  // namespace

CommitRequest RequestOf(const Upload::FinishRequest& finish) {
  CommitRequest request;
  request.request_id = finish.request_id;
  request.name = finish.name;
  request.durability = finish.durability;
  request.file_kind = finish.kind;
  request.create_unix_seconds = finish.create_unix_seconds;
  request.origin_node = finish.origin_node;
  request.attributes = finish.attributes;
  request.expire_unix_seconds = finish.expire_unix_seconds;
  request.owner = finish.owner;
  return request;
}

absl::StatusOr<uint64_t> FindWholeContent(const UploadParts& parts,
                                          const std::string& sha256,
                                          int64_t size_bytes, uint32_t crc32c) {
  disk::v1::ContentEntry content;
  CAIRN_ASSIGN_OR_RETURN(
      const bool found,
      parts.index->GetContent(ContentKey(sha256, size_bytes), &content));
  if (!found || content.crc32c() != crc32c) return uint64_t{0};
  const absl::StatusOr<bool> whole = DedicatedIsWhole(
      parts.segments, DedicatedExtent(content.segment(), size_bytes, crc32c),
      DedicatedCheck::kContent);
  if (whole.ok() && *whole) return content.segment();
  // It is stored once more, and found from then on.
  CAIRN_LOG(kWarning, "store",
            "a content that was to be shared is damaged or cannot be read "
            "segment={} error=\"{}\"",
            content.segment(), whole.status());
  return uint64_t{0};
}

void SubmitShare(const UploadParts& parts, CommitRequest request,
                 uint64_t segment, CommitDone done,
                 absl::AnyInvocable<void()> otherwise) {
  request.kind = CommitRequest::Kind::kShare;
  request.shared_segment = segment;
  struct Task {
    CommitDone done;
    absl::AnyInvocable<void()> otherwise;
  };
  const auto task =
      std::make_shared<Task>(Task{std::move(done), std::move(otherwise)});
  request.done = [io = parts.io, task](absl::StatusOr<Committed> committed) {
    if (!NeedsOwnSegment(committed.status())) {
      task->done(std::move(committed));
      return;
    }
    if (!io->TrySubmit([task] { task->otherwise(); })) {
      task->done(QueueFull());
    }
  };
  parts.committer->Submit(std::move(request));
}

SegmentUpload::SegmentUpload(const UploadParts& parts)
    : parts_(parts),
      buffer_bytes_max_(std::min(parts.small_file_bytes_max, kBufferBytesMax)) {
}

SegmentUpload::~SegmentUpload() {
  if (!handed_over_) Abandon();
}

void SegmentUpload::Share() {
  CAIRN_CHECK(size_bytes_ == 0);
  hash_.emplace();
  buffer_bytes_max_ = std::min(buffer_bytes_max_, parts_.dedup_bytes_min - 1);
}

void SegmentUpload::Abandon() {
  if (number_ == 0) return;
  file_.reset();
  absl::Status removed = parts_.segments->RemoveUpload(number_);
  removed.Update(parts_.segments->Remove(number_));  // If it was published.
  if (!removed.ok()) {
    // The next open removes it.
    CAIRN_LOG(kWarning, "store", "cannot remove upload segment={} error={}",
              number_, removed);
  }
  parts_.state->RemoveUpload(number_);
  number_ = 0;
}

absl::Status SegmentUpload::Failed(const absl::Status& status) {
  if (absl::IsResourceExhausted(status)) {
    parts_.health->SetNoSpace();
    failed_ = ErrorWithReason(absl::StatusCode::kResourceExhausted,
                              ErrorReason::kDiskFull, status.message());
  } else {
    parts_.health->SetBroken(status);
    failed_ = parts_.health->OutcomeUnknown();
  }
  return failed_;
}

void SegmentUpload::AddToCrcs(const absl::Cord& data) {
  for (absl::string_view chunk : data.Chunks()) {
    while (!chunk.empty()) {
      const int64_t in_block = size_bytes_ % kBlockBytes;
      const absl::string_view part = chunk.substr(0, kBlockBytes - in_block);
      open_block_crc_ = ExtendCrc32c(open_block_crc_, part);
      size_bytes_ += static_cast<int64_t>(part.size());
      chunk.remove_prefix(part.size());
      if (size_bytes_ % kBlockBytes != 0) continue;
      block_crcs_.push_back(open_block_crc_);
      whole_blocks_crc_ =
          CombineCrc32c(whole_blocks_crc_, open_block_crc_, kBlockBytes);
      open_block_crc_ = 0;
    }
  }
}

uint32_t SegmentUpload::crc32c() const {
  return CombineCrc32c(whole_blocks_crc_, open_block_crc_,
                       static_cast<uint64_t>(size_bytes_ % kBlockBytes));
}

absl::Status SegmentUpload::Write(const absl::Cord& data) {
  CAIRN_RETURN_IF_ERROR(failed_);
  CAIRN_CHECK(!handed_over_);
  const auto bytes = static_cast<int64_t>(data.size());
  failed_ = parts_.health->CheckWrite(bytes);
  CAIRN_RETURN_IF_ERROR(failed_);
  if (number_ == 0) {
    if (size_bytes_ + bytes <= buffer_bytes_max_) {
      buffer_.Append(data);
      if (hash_.has_value()) hash_->Update(data);
      AddToCrcs(data);
      return absl::OkStatus();
    }
    CAIRN_RETURN_IF_ERROR(Spill());
  }
  CAIRN_RETURN_IF_ERROR(WriteToSegment(data));
  if (hash_.has_value()) hash_->Update(data);
  AddToCrcs(data);
  return absl::OkStatus();
}

absl::Status SegmentUpload::Spill() {
  const uint64_t number = parts_.state->AllocateSegment();
  parts_.state->AddUpload(number);
  number_ = number;
  absl::StatusOr<std::shared_ptr<File>> file =
      parts_.segments->CreateUpload(parts_.state->incarnation(), number);
  if (!file.ok()) return Failed(file.status());
  file_ = *std::move(file);
  const absl::Cord buffered = std::move(buffer_);
  buffer_.Clear();
  // What is buffered is counted already.
  const int64_t counted = size_bytes_;
  size_bytes_ = 0;
  absl::Status written = WriteToSegment(buffered);
  size_bytes_ = counted;
  return written;
}

absl::Status SegmentUpload::WriteToSegment(const absl::Cord& data) {
  absl::InlinedVector<absl::string_view, 16> parts;
  for (const absl::string_view chunk : data.Chunks()) parts.push_back(chunk);
  if (parts.empty()) return absl::OkStatus();
  const absl::Status written =
      file_->WriteAt(kSegmentHeaderBytes + size_bytes_, parts);
  if (!written.ok()) return Failed(written);
  const auto bytes = static_cast<int64_t>(data.size());
  parts_.health->Took(bytes);
  parts_.dedicated_bytes->fetch_add(data.size(), std::memory_order_relaxed);
  WriteBack(size_bytes_ + bytes);
  return absl::OkStatus();
}

// `end`: what was written so far.
void SegmentUpload::WriteBack(int64_t end) {
  if (end - written_back_ < kWritebackBytes) return;
  file_->StartWriteback(kSegmentHeaderBytes + written_back_,
                        end - written_back_);
  written_back_ = end;
  if (!bypass_cache_ || end <= kCachedBytes) return;
  const int64_t drop_end = end - kCachedBytes;
  const int64_t drop_begin = std::max<int64_t>(drop_end - kDropBytes, 0);
  file_->DropCache(kSegmentHeaderBytes + drop_begin, drop_end - drop_begin);
}

absl::Status SegmentUpload::FinishSegment(Durability durability) {
  Trailer trailer;
  trailer.number = number_;
  trailer.content_bytes = size_bytes_;
  trailer.content_crc = crc32c();
  if (BlockCrcCount(size_bytes_) > 0) {
    trailer.block_crcs = block_crcs_;
    if (size_bytes_ % kBlockBytes != 0) {
      trailer.block_crcs.push_back(open_block_crc_);
    }
  }
  const std::string bytes = EncodeTrailer(trailer);
  const absl::Status written = file_->WriteAt(kSegmentHeaderBytes + size_bytes_,
                                              {absl::string_view(bytes)});
  if (!written.ok()) return Failed(written);
  const bool sync = durability == Durability::kSynced;
  if (sync) {
    const absl::Duration start = parts_.clock->Monotonic();
    const absl::Status synced = file_->Sync();
    if (!synced.ok()) {
      parts_.health->SetBroken(synced);  // Also if it says ENOSPC: it is final.
      failed_ = parts_.health->OutcomeUnknown();
      return failed_;
    }
    if (parts_.observer != nullptr) {
      parts_.observer->OnSync(parts_.clock->Monotonic() - start);
    }
  }
  before_publish.PassOrDie();
  const absl::Status published =
      parts_.segments->PublishUpload(number_, file_, sync);
  if (!published.ok()) return Failed(published);
  return absl::OkStatus();
}

void SegmentUpload::Finish(FinishRequest finish, CommitDone done) {
  if (hash_.has_value() && failed_.ok() && number_ != 0 &&
      size_bytes_ >= parts_.dedup_bytes_min) {
    FinishShared(finish, hash_->Finish(), std::move(done));
    return;
  }
  Submit(RequestOf(finish), CommitRequest::Kind::kPut,
         CommitRequest::Kind::kFinish, std::move(done));
}

void SegmentUpload::FinishShared(const FinishRequest& finish,
                                 const std::string& sha256, CommitDone done) {
  const absl::StatusOr<uint64_t> segment =
      FindWholeContent(parts_, sha256, size_bytes_, crc32c());
  if (!segment.ok()) {
    done(segment.status());
    return;
  }
  CommitRequest request = RequestOf(finish);
  request.sha256 = sha256;
  if (*segment == 0) {
    Submit(std::move(request), CommitRequest::Kind::kPut,
           CommitRequest::Kind::kFinish, std::move(done));
    return;
  }
  request.size_bytes = size_bytes_;
  request.crc32c = crc32c();
  // What was written goes with this, unless it is needed after all.
  const auto answer = std::make_shared<CommitDone>(std::move(done));
  SubmitShare(
      parts_, std::move(request), *segment,
      [answer](absl::StatusOr<Committed> committed) {
        (*answer)(std::move(committed));
      },
      [this, finish, sha256, answer] {
        CommitRequest own = RequestOf(finish);
        own.sha256 = sha256;
        Submit(std::move(own), CommitRequest::Kind::kPut,
               CommitRequest::Kind::kFinish, std::move(*answer));
      });
}

void SegmentUpload::FinishReplica(ReplicatedChange change, CommitDone done) {
  CAIRN_CHECK(change.kind == ChangeKind::kPut);
  if (size_bytes_ != change.file.size_bytes || crc32c() != change.file.crc32c) {
    done(ErrorWithReason(
        absl::StatusCode::kInvalidArgument,
        size_bytes_ != change.file.size_bytes ? ErrorReason::kSizeMismatch
                                              : ErrorReason::kChecksumMismatch,
        absl::StrCat("what was received of file ", change.file.name, ", ",
                     size_bytes_, " bytes, is not the file")));
    return;
  }
  if (!change.file.sha256.empty() && number_ == 0 && size_bytes_ > 0 &&
      failed_.ok()) {
    // Other files may come to share it.
    const absl::Status spilled = Spill();
    if (!spilled.ok()) {
      done(spilled);
      return;
    }
  }
  CommitRequest request;
  request.name = change.file.name;
  request.durability =
      change.synced ? Durability::kSynced : Durability::kCached;
  LogHead head;
  if (parts_.state->FindLog(change.change.log, &head)) {
    request.replica_log = head.origin;
  }
  request.replica_has_content = true;
  request.replica = std::make_unique<const ReplicatedChange>(std::move(change));
  Submit(std::move(request), CommitRequest::Kind::kReplica,
         CommitRequest::Kind::kReplica, std::move(done));
}

void SegmentUpload::FinishMerge(CommitRequest request, CommitDone done) {
  CAIRN_CHECK(number_ != 0);
  request.durability = Durability::kSynced;
  request.splice.to.push_back(DedicatedExtent(number_, size_bytes_, crc32c()));
  Submit(std::move(request), CommitRequest::Kind::kMerge,
         CommitRequest::Kind::kMerge, std::move(done));
}

void SegmentUpload::Submit(CommitRequest request, CommitRequest::Kind small,
                           CommitRequest::Kind large, CommitDone done) {
  CAIRN_CHECK(!handed_over_);
  if (!failed_.ok()) {
    done(failed_);
    return;
  }
  request.size_bytes = size_bytes_;
  request.crc32c = crc32c();
  if (number_ == 0) {
    request.kind = small;
    request.content = std::move(buffer_);
    if (BlockCrcCount(size_bytes_) > 0) {
      request.block_crcs.assign(block_crcs_.begin(), block_crcs_.end());
      if (size_bytes_ % kBlockBytes != 0) {
        request.block_crcs.push_back(open_block_crc_);
      }
    }
    request.done = std::move(done);
    handed_over_ = true;
    parts_.committer->Submit(std::move(request));
    return;
  }
  const absl::Status finished = FinishSegment(request.durability);
  if (!finished.ok()) {
    done(finished);
    return;
  }
  request.kind = large;
  request.extent = DedicatedExtent(number_, size_bytes_, request.crc32c);
  request.file = std::move(file_);
  request.done = [parts = parts_, number = number_, done = std::move(done)](
                     absl::StatusOr<Committed> committed) mutable {
    // Not needed: refused, or an earlier call with the request_id did it. If
    // the outcome is unknown it stays for whoever opens the path again.
    const bool unused = committed.ok() ? committed->replayed
                                       : !absl::IsAborted(committed.status());
    if (unused) {
      const absl::Status removed = parts.segments->Remove(number);
      if (!removed.ok()) {
        CAIRN_LOG(kWarning, "store", "cannot remove segment={} error={}",
                  number, removed);
      }
      parts.state->RemoveUpload(number);
    }
    done(std::move(committed));
  };
  handed_over_ = true;
  parts_.committer->Submit(std::move(request));
}

}  // namespace storage
}  // namespace cairn
