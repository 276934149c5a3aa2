#include "services/storage/api/write_upload_call.h"

#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "lib/base/error_reason.h"
#include "lib/base/mutex.h"
#include "lib/base/status_macros.h"
#include "lib/checksum/crc32c.h"
#include "lib/rpc/chunk_wire.h"
#include "lib/rpc/grpc_status.h"
#include "services/storage/api/convert.h"
#include "services/storage/core/queue_full.h"

namespace cairn {
namespace storage {
namespace {

// A message, and the beginning of a block that it does not fill.
constexpr int64_t kBudgetBytes = rpc::kChunkBytesMax + kBlockBytes;

}  // namespace

WriteUploadCall::WriteUploadCall(const CallContext& context,
                                 grpc::CallbackServerContext* server_context,
                                 v1::WriteUploadResponse* response)
    : context_(context),
      server_context_(server_context),
      response_(response),
      begin_(context.clock->Monotonic()) {
  context_.metrics->upload_write.Begin();
  // The first message holds a few hundred bytes: it needs no budget.
  ReadNext();
}

void WriteUploadCall::ReadNext() {
  TsanRelease(this);
  StartRead(&message_);
}

void WriteUploadCall::OnReadDone(bool ok) {
  TsanAcquire(this);
  if (!ok) {
    const absl::Status status =
        server_context_->IsCancelled()
            ? absl::CancelledError("the client went away")
            : InvalidField("finish", "the stream ended without it");
    if (part_ == nullptr) {
      End(status);
    } else {
      OnIo([status] { return status; });
    }
    return;
  }
  if (begun_) {
    OnIo([this] { return TakeMessage(); });
    return;
  }
  begun_ = true;
  const absl::Status begun = Begin();
  if (!begun.ok()) {
    End(begun);
    return;
  }
  context_.budget->Take(kBudgetBytes, [this] {
    budget_bytes_ = kBudgetBytes;
    OnIo([this] { return OpenPart(); });
  });
}

void WriteUploadCall::OnIo(std::function<absl::Status()> work) {
  // The path outlives the task, and the task perhaps this.
  const std::shared_ptr<StorePath> path = located_.path;
  TsanRelease(this);
  const bool queued = path->io()->TrySubmit([this, path, work] {
    TsanAcquire(this);
    const absl::Status status = work();
    if (!status.ok()) {
      SavePart();
      End(status);
    }
  });
  if (!queued) {
    End(QueueFull());
  }
}

absl::Status WriteUploadCall::Begin() {
  CAIRN_RETURN_IF_ERROR(context_.CheckServing());
  if (!message_.has_spec()) {
    return InvalidField("spec", "must be in the first message");
  }
  spec_ = message_.spec();
  CAIRN_ASSIGN_OR_RETURN(located_,
                         LocateUpload(*context_.node, spec_.upload_id()));
  return absl::OkStatus();
}

absl::Status WriteUploadCall::OpenPart() {
  absl::optional<int64_t> length;
  if (spec_.has_length()) length = spec_.length();
  CAIRN_ASSIGN_OR_RETURN(
      part_, located_.path->uploads()->OpenPart(located_.id.secret,
                                                spec_.offset(), length));
  if (message_.has_finish()) return TakeMessage();
  ReadNext();
  return absl::OkStatus();
}

absl::Status WriteUploadCall::TakeMessage() {
  // What is here stays, and the client goes on when the node is back.
  CAIRN_RETURN_IF_ERROR(context_.CheckServing());
  if (message_.has_chunk()) {
    CAIRN_RETURN_IF_ERROR(TakeChunk(message_.chunk()));
  } else if (message_.has_spec() && received_bytes_ > 0) {
    return InvalidField("spec", "must be in the first message only");
  } else if (!message_.has_finish()) {
    return InvalidField("part", "the message has neither chunk nor finish");
  }
  if (!message_.has_finish()) {
    ReadNext();
    return absl::OkStatus();
  }
  if (message_.finish().has_crc32c() &&
      message_.finish().crc32c() != received_crc_) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                           ErrorReason::kChecksumMismatch,
                           "the part does not match the CRC-32C of `finish`");
  }
  CAIRN_RETURN_IF_ERROR(part_->End());
  part_ = nullptr;
  response_->set_received_bytes(received_bytes_);
  End(absl::OkStatus());
  return absl::OkStatus();
}

absl::Status WriteUploadCall::TakeChunk(const cairn::common::v1::Chunk& chunk) {
  const auto size = static_cast<int64_t>(chunk.data().size());
  if (size == 0) return InvalidField("chunk.data", "must not be empty");
  if (chunk.data().size() > rpc::kChunkBytesMax) {
    return ErrorWithReason(
        absl::StatusCode::kInvalidArgument, ErrorReason::kTooLarge,
        absl::StrCat("a chunk is limited to ", rpc::kChunkBytesMax, " bytes"),
        {{"limit_bytes", absl::StrCat(rpc::kChunkBytesMax)}});
  }
  const int64_t expected = spec_.offset() + received_bytes_;
  if (chunk.offset() != expected) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                           ErrorReason::kChunkOutOfOrder,
                           absl::StrCat("the chunk begins at ", chunk.offset(),
                                        ", expected is ", expected),
                           {{"expected_offset", absl::StrCat(expected)}});
  }
  if (Crc32c(absl::string_view(chunk.data())) != chunk.crc32c()) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                           ErrorReason::kChecksumMismatch,
                           absl::StrCat("the chunk at ", chunk.offset(),
                                        " does not match its CRC-32C"));
  }
  received_crc_ =
      CombineCrc32c(received_crc_, chunk.crc32c(), static_cast<uint64_t>(size));
  received_bytes_ += size;
  context_.metrics->received_bytes->Add(static_cast<uint64_t>(size));
  return part_->Write(
      absl::Cord(std::move(*message_.mutable_chunk()->mutable_data())));
}

void WriteUploadCall::SavePart() {
  if (part_ == nullptr) return;
  // What goes wrong now costs the client only that it sends more again.
  part_->Save().IgnoreError();
  part_ = nullptr;
}

void WriteUploadCall::End(const absl::Status& status) {
  part_ = nullptr;
  context_.budget->Return(std::exchange(budget_bytes_, 0));
  context_.metrics->upload_write.End(status,
                                     context_.clock->Monotonic() - begin_);
  TsanRelease(this);
  Finish(rpc::ToGrpcStatus(status));
}

void WriteUploadCall::OnDone() {
  TsanAcquire(this);
  delete this;
}

}  // namespace storage
}  // namespace cairn
