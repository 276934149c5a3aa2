#include "services/storage/api/upload_call.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/checksum/crc32c.h"
#include "lib/file_id/file_id.h"
#include "lib/rpc/grpc_status.h"
#include "lib/rpc/peer_identity.h"
#include "lib/rpc/wire.h"
#include "services/storage/api/change_answer.h"
#include "services/storage/api/convert.h"
#include "services/storage/api/translate.h"
#include "services/storage/core/queue_full.h"

namespace cairn {
namespace storage {
namespace {

absl::Status SizeMismatch(int64_t declared, int64_t received) {
  return ErrorWithReason(
      absl::StatusCode::kInvalidArgument, ErrorReason::kSizeMismatch,
      absl::StrCat("the body has ", received, " bytes or more, ", declared,
                   " were declared"),
      {{"declared_bytes", absl::StrCat(declared)},
       {"received_bytes", absl::StrCat(received)}});
}

absl::Status TooLarge(absl::string_view what, int64_t limit) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                         ErrorReason::kTooLarge,
                         absl::StrCat(what, " is limited to ", limit, " bytes"),
                         {{"limit_bytes", absl::StrCat(limit)}});
}

}  // namespace

UploadCall::UploadCall(const CallContext& context,
                       grpc::CallbackServerContext* server_context,
                       grpc::ByteBuffer* response)
    : context_(context),
      server_context_(server_context),
      response_(response),
      begin_(context.clock->Monotonic()) {
  context_.metrics->upload.Begin();
  // The first message holds a few hundred bytes: it needs no budget.
  {
    MutexLock lock(&mu_);
    reading_ = true;
  }
  StartReadUnlessEnded();
}

UploadCall::~UploadCall() {
  context_.budget->Return(budget_bytes_);
  if (segment_ != nullptr) {
    // Removing what was written blocks. The path is held for as long.
    std::shared_ptr<StorePath> path = placed_.path;
    Executor* const io = path->io();
    io->TrySubmit(
        [segment = std::move(segment_), path]() mutable { segment = nullptr; });
  }
}

void UploadCall::Unref() {
  TsanRelease(this);
  if (refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    TsanAcquire(this);
    delete this;
  }
}

void UploadCall::OnReadDone(bool ok) {
  TsanAcquire(this);
  {
    MutexLock lock(&mu_);
    if (ended_) return;
  }
  absl::Status status;
  if (ok) {
    status = Arrived();
  } else if (server_context_->IsCancelled()) {
    status = absl::CancelledError("the client went away");
  } else {
    status = InvalidField("finish", "the stream ended without it");
  }
  if (!status.ok()) End(status);
}

void UploadCall::OnCancel() {
  TsanAcquire(this);
  End(absl::CancelledError("the client went away"));
  TsanRelease(this);
}

void UploadCall::OnDone() {
  TsanAcquire(this);
  Unref();
}

absl::Status UploadCall::Arrived() {
  rpc::UploadMessage message;
  const absl::Status parsed = rpc::ParseUploadMessage(message_, &message);
  message_.Clear();
  CAIRN_RETURN_IF_ERROR(parsed);

  if (!has_spec_) {
    if (!message.spec.has_value()) {
      return InvalidField("spec", "must be in the first message");
    }
    has_spec_ = true;
    early_finish_ = std::move(message.finish);
    CAIRN_RETURN_IF_ERROR(BeginUpload(*message.spec));
    ReadHandled();
    Ref();
    context_.node->ClaimRequest(
        request_id_, wish_.level, placed_.index,
        [this](absl::StatusOr<StorageNode::Claim> claim) {
          OnClaimed(std::move(claim));
          Unref();
        });
    return absl::OkStatus();
  }

  if (message.spec.has_value()) {
    return InvalidField("spec", "must be in the first message only");
  }
  if (!message.chunk.has_value() && !message.finish.has_value()) {
    return InvalidField("part", "the message has neither chunk nor finish");
  }
  if (message.chunk.has_value()) {
    CAIRN_RETURN_IF_ERROR(TakeChunk(*std::move(message.chunk)));
  }
  if (message.finish.has_value()) return TakeFinish(*message.finish);
  ReadHandled();
  ReadNext();
  return absl::OkStatus();
}

void UploadCall::ReadHandled() {
  MutexLock lock(&mu_);
  reading_ = false;
}

absl::Status UploadCall::BeginUpload(const storage::v1::UploadSpec& spec) {
  CAIRN_RETURN_IF_ERROR(context_.CheckServing());
  CAIRN_ASSIGN_OR_RETURN(request_id_,
                         ParseRequestId(spec.request_id(), /*required=*/true));
  CAIRN_RETURN_IF_ERROR(ValidateExtension(spec.extension()));
  CAIRN_ASSIGN_OR_RETURN(wish_, ParseDurability(spec.durability()));
  extension_ = spec.extension();
  owner_ = rpc::PeerIdentity(*server_context_);
  CAIRN_ASSIGN_OR_RETURN(attributes_, ParseAttributes(spec.attributes()));
  CAIRN_ASSIGN_OR_RETURN(expire_unix_seconds_,
                         ParseLifetime(spec.lifetime(), context_.clock->Now()));
  dedup_ = spec.has_dedup() ? spec.dedup() : context_.default_dedup;
  if (spec.has_size_bytes()) {
    if (spec.size_bytes() < 0) {
      return InvalidField("size_bytes", "must not be negative");
    }
    if (spec.size_bytes() > kFileSizeMax) {
      return TooLarge("a file", kFileSizeMax);
    }
    declared_bytes_ = spec.size_bytes();
  }
  absl::optional<uint32_t> store_path;
  if (spec.has_store_path()) store_path = spec.store_path();
  if (spec.has_derived()) {
    CAIRN_ASSIGN_OR_RETURN(
        derived_name_,
        ParseDerived(*context_.node, spec.derived(), extension_, &store_path));
  }
  CAIRN_ASSIGN_OR_RETURN(placed_,
                         context_.node->Place(spec.group(), store_path,
                                              declared_bytes_.value_or(0)));
  if (!derived_name_.empty()) {
    CAIRN_RETURN_IF_ERROR(context_.replicas->AdmitDerived(placed_.index));
  }
  CAIRN_ASSIGN_OR_RETURN(interest_,
                         context_.replicas->Admit(placed_.index, &wish_));

  const int64_t small_max = placed_.path->small_file_bytes_max();
  MutexLock lock(&mu_);
  streaming_ = declared_bytes_.value_or(0) > small_max;
  // All of it is taken before the first chunk: calls that each hold a part of a
  // body and wait for the rest would wait for each other for ever.
  gather_bytes_ = declared_bytes_.value_or(small_max + rpc::kChunkBytesDefault);
  return absl::OkStatus();
}

void UploadCall::OnClaimed(absl::StatusOr<StorageNode::Claim> claim) {
  if (!claim.ok()) {
    End(claim.status());
    return;
  }
  if (claim->replay().has_value()) {
    const StorageNode::Replay replay = *claim->replay();
    *claim = StorageNode::Claim();
    const absl::Status same = CheckReplay(replay.committed);
    if (!same.ok()) {
      End(same);
      return;
    }
    Answer(replay.committed, replay.path_index);
    return;
  }
  claim_ = *std::move(claim);
  bool streaming = false;
  {
    MutexLock lock(&mu_);
    streaming = streaming_;
  }
  if (early_finish_.has_value()) {
    const absl::Status status = TakeFinish(*early_finish_);
    if (!status.ok()) End(status);
    return;
  }
  // Before the body, so that a full disk refuses it early.
  if (streaming) StartDrain();
  ReadNext();
}

absl::Status UploadCall::TakeChunk(rpc::Chunk chunk) {
  const int64_t size = static_cast<int64_t>(chunk.data.size());
  if (size == 0) return InvalidField("chunk.data", "must not be empty");
  if (chunk.data.size() > rpc::kChunkBytesMax) {
    return TooLarge("a chunk", rpc::kChunkBytesMax);
  }
  if (chunk.offset != received_bytes_) {
    return ErrorWithReason(
        absl::StatusCode::kInvalidArgument, ErrorReason::kChunkOutOfOrder,
        absl::StrCat("the chunk begins at ", chunk.offset, ", expected is ",
                     received_bytes_),
        {{"expected_offset", absl::StrCat(received_bytes_)}});
  }
  if (declared_bytes_.has_value() &&
      size > *declared_bytes_ - received_bytes_) {
    return SizeMismatch(*declared_bytes_, received_bytes_ + size);
  }
  if (size > kFileSizeMax - received_bytes_) {
    return TooLarge("a file", kFileSizeMax);
  }
  if (Crc32c(chunk.data) != chunk.crc32c) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                           ErrorReason::kChecksumMismatch,
                           absl::StrCat("the chunk at ", chunk.offset,
                                        " does not match its CRC-32C"));
  }
  received_crc_ =
      CombineCrc32c(received_crc_, chunk.crc32c, static_cast<uint64_t>(size));
  received_bytes_ += size;
  context_.metrics->received_bytes->Add(static_cast<uint64_t>(size));

  bool streaming = false;
  {
    MutexLock lock(&mu_);
    if (ended_) return absl::OkStatus();
    next_bytes_ = size;
    held_bytes_ += size;
    pending_.Append(std::move(chunk.data));
    if (received_bytes_ > placed_.path->small_file_bytes_max()) {
      streaming_ = true;
    }
    streaming = streaming_;
  }
  if (streaming) StartDrain();
  return absl::OkStatus();
}

absl::Status UploadCall::TakeFinish(const storage::v1::UploadFinish& finish) {
  if (declared_bytes_.has_value() && received_bytes_ != *declared_bytes_) {
    return ErrorWithReason(
        absl::StatusCode::kInvalidArgument, ErrorReason::kSizeMismatch,
        absl::StrCat("the body has ", received_bytes_, " bytes, ",
                     *declared_bytes_, " were declared"),
        {{"declared_bytes", absl::StrCat(*declared_bytes_)},
         {"received_bytes", absl::StrCat(received_bytes_)}});
  }
  if (finish.has_crc32c() && finish.crc32c() != received_crc_) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                           ErrorReason::kChecksumMismatch,
                           "the body does not match the CRC-32C of `finish`");
  }
  bool streaming = false;
  {
    MutexLock lock(&mu_);
    complete_ = true;
    streaming = streaming_;
  }
  if (streaming) {
    StartDrain();
  } else {
    CommitSmall();
  }
  return absl::OkStatus();
}

int64_t UploadCall::NeededBytes() const {
  if (ended_) return held_bytes_;
  if (!streaming_) return std::max(held_bytes_, gather_bytes_);
  return held_bytes_ + (reading_ ? next_bytes_ : 0);
}

void UploadCall::ReadNext() {
  int64_t take = 0;
  {
    MutexLock lock(&mu_);
    if (ended_ || reading_ || complete_) return;
    if (streaming_ && held_bytes_ >= kReadAheadBytes) return;
    reading_ = true;
    take = std::max<int64_t>(0, NeededBytes() - budget_bytes_);
  }
  if (take == 0) {
    StartReadUnlessEnded();
    return;
  }
  Ref();
  context_.budget->Take(take, [this, take] {
    {
      MutexLock lock(&mu_);
      budget_bytes_ += take;
    }
    StartReadUnlessEnded();
    ReturnSurplus();  // If it ended meanwhile.
    Unref();
  });
}

void UploadCall::StartReadUnlessEnded() {
  {
    MutexLock lock(&mu_);
    if (ended_) {
      reading_ = false;
      return;
    }
    starting_read_ = true;
  }
  TsanRelease(this);
  StartRead(&message_);
  absl::optional<grpc::Status> finish;
  {
    MutexLock lock(&mu_);
    starting_read_ = false;
    finish.swap(finish_later_);
  }
  if (finish.has_value()) Finish(*std::move(finish));
}

void UploadCall::ReturnSurplus() {
  int64_t surplus = 0;
  {
    MutexLock lock(&mu_);
    surplus = budget_bytes_ - NeededBytes();
    if (surplus <= 0) return;
    budget_bytes_ -= surplus;
  }
  context_.budget->Return(surplus);
}

void UploadCall::StartDrain() {
  {
    MutexLock lock(&mu_);
    if (draining_ || ended_) return;
    draining_ = true;
  }
  Ref();
  const bool queued = placed_.path->io()->TrySubmit([this] {
    Drain();
    Unref();
  });
  if (!queued) {
    Refuse(QueueFull());
    Unref();
  }
}

void UploadCall::Drain() {
  if (segment_ == nullptr) {
    const absl::Status status = BeginSegment();
    if (!status.ok()) Refuse(status);
    // The call has ended, or will when other members have confirmed what an
    // earlier one stored. There is nowhere to write to.
    if (segment_ == nullptr) return;
  }
  for (;;) {
    absl::Cord batch;
    {
      MutexLock lock(&mu_);
      // Whoever sees it draining leaves the rest to this; after the end, or the
      // commit, there is none.
      if (ended_) return;
      if (pending_.empty()) {
        if (complete_) break;
        draining_ = false;
        return;
      }
      batch = std::move(pending_);
      pending_.Clear();
    }
    const absl::Status written = segment_->Write(batch);
    const int64_t size = static_cast<int64_t>(batch.size());
    batch.Clear();
    {
      MutexLock lock(&mu_);
      held_bytes_ -= size;
    }
    if (!written.ok()) {
      Refuse(written);
      return;
    }
    ReadNext();
    ReturnSurplus();
  }
  CommitSegment();
}

absl::Status UploadCall::BeginSegment() {
  CAIRN_ASSIGN_OR_RETURN(const absl::optional<Committed> earlier,
                         placed_.path->FindRequest(request_id_, wish_.level));
  if (earlier.has_value()) {
    CAIRN_RETURN_IF_ERROR(CheckReplay(*earlier));
    Answer(*earlier, placed_.index);
    return absl::OkStatus();
  }
  // The one that is committed is what counts. What a derived file adds depends
  // on what is there by its name.
  if (derived_name_.empty()) {
    CAIRN_RETURN_IF_ERROR(
        context_.CheckNewFile(owner_, declared_bytes_.value_or(0)));
  }
  CAIRN_ASSIGN_OR_RETURN(segment_, placed_.path->StartUpload(declared_bytes_));
  if (dedup_) segment_->Share();
  return absl::OkStatus();
}

StorageNode::NewFile UploadCall::MakeName() const {
  if (!derived_name_.empty()) return context_.node->MakeDerived(derived_name_);
  return context_.node->MakeName(placed_.index, FileKind::kNormal,
                                 received_bytes_, received_crc_, extension_);
}

absl::Status UploadCall::CheckReplay(const Committed& earlier) const {
  return CheckDerivedReplay(derived_name_, earlier);
}

void UploadCall::CommitSmall() {
  PutRequest request;
  {
    MutexLock lock(&mu_);
    if (ended_) return;
    request.content = std::move(pending_);
    pending_.Clear();
  }
  StorageNode::NewFile file = MakeName();
  request.request_id = request_id_;
  request.name = std::move(file.name);
  request.kind = kind();
  request.crc32c = received_crc_;
  request.create_unix_seconds = file.create_unix_seconds;
  request.origin_node = context_.node->identity().node_number;
  request.attributes = std::move(attributes_);
  request.expire_unix_seconds = expire_unix_seconds_;
  request.owner = owner_;
  request.dedup = dedup_;
  request.durability = wish_.level;
  placed_.path->Put(std::move(request), AnswerWhenDone());
}

void UploadCall::CommitSegment() {
  CAIRN_CHECK(segment_->size_bytes() == received_bytes_);
  CAIRN_CHECK(segment_->crc32c() == received_crc_);
  StorageNode::NewFile file = MakeName();
  Upload::FinishRequest request;
  request.request_id = request_id_;
  request.name = std::move(file.name);
  request.kind = kind();
  request.create_unix_seconds = file.create_unix_seconds;
  request.origin_node = context_.node->identity().node_number;
  request.attributes = std::move(attributes_);
  request.expire_unix_seconds = expire_unix_seconds_;
  request.owner = owner_;
  request.durability = wish_.level;
  segment_->Finish(std::move(request), AnswerWhenDone());
}

CommitDone UploadCall::AnswerWhenDone() {
  Ref();
  return [this](absl::StatusOr<Committed> committed) {
    // Before the answer, or a quick retry would be told that this still runs.
    claim_ = StorageNode::Claim();
    Answer(committed, placed_.index);
    Unref();
  };
}

void UploadCall::Answer(const absl::StatusOr<Committed>& committed,
                        uint8_t path_index) {
  // Before the caller can know the answer, and so repeat the request.
  claim_ = StorageNode::Claim();
  Ref();
  context_.replicas->Confirm(
      path_index, wish_, committed,
      [this, path_index](absl::StatusOr<Committed> confirmed) {
        Confirmed(confirmed, path_index);
        Unref();
      });
}

void UploadCall::Confirmed(const absl::StatusOr<Committed>& committed,
                           uint8_t path_index) {
  if (!committed.ok()) {
    End(committed.status());
    return;
  }
  storage::v1::UploadResponse response;
  FillChanged(*context_.node, path_index, *committed, &response);
  response.set_shared(committed->file.deduplicated);
  // `response_` lives until the call has ended.
  if (!ClaimEnd()) return;
  *response_ = rpc::ToByteBuffer(response);
  FinishClaimed(absl::OkStatus());
}

void UploadCall::Refuse(const absl::Status& status) {
  claim_ = StorageNode::Claim();
  End(status);
}

void UploadCall::End(const absl::Status& status) {
  if (ClaimEnd()) FinishClaimed(status);
}

bool UploadCall::ClaimEnd() {
  absl::Cord dropped;
  {
    MutexLock lock(&mu_);
    if (ended_) return false;
    ended_ = true;
    held_bytes_ -= static_cast<int64_t>(pending_.size());
    dropped = std::move(pending_);
    pending_.Clear();
  }
  return true;
}

void UploadCall::FinishClaimed(const absl::Status& status) {
  context_.metrics->upload.End(status, context_.clock->Monotonic() - begin_);
  ReturnSurplus();
  grpc::Status out = rpc::ToGrpcStatus(status);
  {
    MutexLock lock(&mu_);
    if (starting_read_) {
      finish_later_ = std::move(out);
      return;
    }
  }
  TsanRelease(this);
  Finish(std::move(out));
}

}  // namespace storage
}  // namespace cairn
