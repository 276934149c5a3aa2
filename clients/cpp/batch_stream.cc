#include "clients/cpp/batch_stream.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/client_callback.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "clients/cpp/grpc_cord.h"
#include "google/rpc/status.pb.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/rpc/grpc_status.h"

namespace cairn {
namespace client {
namespace {

constexpr char kMethod[] = "/cairn.storage.v1.BatchService/Run";

// An item_id is a slot and, above these bits, how often it was used: an answer
// that comes twice or too late finds another number there.
constexpr int kSlotBits = 20;
constexpr uint64_t kSlotMask = (uint64_t{1} << kSlotBits) - 1;

// The stream whose callbacks this thread is running: what they submit to it
// gathers until the last of them has run.
thread_local const BatchStream* dispatching = nullptr;

absl::Status StatusOfAnswer(const SmallAnswer& answer) {
  if (!answer.failed) return absl::OkStatus();
  google::rpc::Status status;
  if (!status.ParseFromString(answer.status_bytes) || status.code() == 0) {
    return absl::InternalError("the node's error cannot be read");
  }
  return rpc::FromRpcStatus(status);
}

}  // namespace

// One gRPC stream from its start to its end. Created by Flush(); deletes itself
// when gRPC is done with it. Everything but the read buffer and the context is
// guarded by the owner's mutex; the write buffer belongs to whoever set
// `writing`.
class BatchStream::Stream
    : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  struct Item {
    uint64_t id;
    const SmallRequest* request;
  };

  explicit Stream(std::shared_ptr<BatchStream> parent)
      : parent_(std::move(parent)) {}

  void Start() {
    grpc::TemplatedGenericStub<grpc::ByteBuffer, grpc::ByteBuffer> stub(
        parent_->channel_);
    stub.PrepareBidiStreamingCall(&context_, kMethod, {}, this);
    // Writes start on any thread, so gRPC must not end the stream by itself
    // between two of them. RemoveHold() when reading has ended and no write is
    // in flight.
    AddHold();
    StartRead(&read_buffer_);
    StartCall();
  }

  void Cancel() { context_.TryCancel(); }

  // Takes over a call; returns its item.
  Item Add(std::unique_ptr<SmallCall> call) {
    size_t index;
    if (free_.empty()) {
      index = slots_.size();
      slots_.emplace_back();
    } else {
      index = free_.back();
      free_.pop_back();
    }
    Slot& slot = slots_[index];
    slot.call = std::move(call);
    slot.state = SlotState::kEncoding;
    return {slot.uses << kSlotBits | index, &slot.call->request};
  }

  bool HasRoom() const { return slots_.size() <= kSlotMask || !free_.empty(); }

  void MarkSent(const std::vector<Item>& items) {
    for (const Item& item : items) {
      slots_[item.id & kSlotMask].state = SlotState::kSent;
    }
  }

  // The call that `item_id` names, or null if its deadline has passed. False if
  // nothing of that name is on its way.
  bool Take(uint64_t item_id, std::unique_ptr<SmallCall>* call) {
    const uint64_t index = item_id & kSlotMask;
    if (index >= slots_.size()) return false;
    Slot& slot = slots_[index];
    if (slot.uses != item_id >> kSlotBits ||
        (slot.state != SlotState::kSent &&
         slot.state != SlotState::kAbandoned)) {
      return false;
    }
    *call = std::move(slot.call);
    slot.state = SlotState::kFree;
    ++slot.uses;
    free_.push_back(index);
    return true;
  }

  // Moves out what is overdue; returns the earliest deadline of the rest.
  absl::Duration TakeOverdue(absl::Duration now,
                             std::vector<std::unique_ptr<SmallCall>>* out) {
    absl::Duration earliest = absl::InfiniteDuration();
    for (Slot& slot : slots_) {
      if (slot.call == nullptr) continue;
      // What is being encoded is looked at again in a moment.
      const absl::Duration due =
          slot.state == SlotState::kEncoding
              ? std::max(slot.call->deadline, now + absl::Milliseconds(10))
              : slot.call->deadline;
      if (due > now) {
        earliest = std::min(earliest, due);
        continue;
      }
      out->push_back(std::move(slot.call));
      slot.state = SlotState::kAbandoned;
    }
    return earliest;
  }

  std::vector<std::unique_ptr<SmallCall>> TakeAll() {
    std::vector<std::unique_ptr<SmallCall>> calls;
    for (Slot& slot : slots_) {
      if (slot.call != nullptr) calls.push_back(std::move(slot.call));
    }
    slots_.clear();
    return calls;
  }

  void Write(absl::Cord message) {
    write_buffer_ = ByteBufferFromCord(message);
    StartWrite(&write_buffer_);
  }

  bool writing = false;  // From before the encoding to OnWriteDone().
  bool read_ended = false;

 private:
  enum class SlotState : uint8_t { kFree, kEncoding, kSent, kAbandoned };

  struct Slot {
    std::unique_ptr<SmallCall> call;
    uint64_t uses = 0;
    SlotState state = SlotState::kFree;
  };

  void OnWriteDone(bool ok) override {
    bool ended;
    {
      MutexLock lock(&parent_->mu_);
      writing = false;
      ended = read_ended;
      if (!ok && parent_->current_ == this) parent_->current_ = nullptr;
    }
    if (!ok) Cancel();
    const std::shared_ptr<BatchStream> parent = parent_;
    if (ended) RemoveHold();  // This may be gone now.
    parent->Flush();
  }

  void OnReadDone(bool ok) override {
    TsanAcquire(this);
    if (ok && Dispatch()) {
      TsanRelease(this);
      StartRead(&read_buffer_);
      return;
    }
    TsanRelease(this);
    if (ok) Cancel();  // It does not speak our protocol.
    bool idle;
    {
      MutexLock lock(&parent_->mu_);
      read_ended = true;
      idle = !writing;
      if (parent_->current_ == this) parent_->current_ = nullptr;
    }
    const std::shared_ptr<BatchStream> parent = parent_;
    if (idle) RemoveHold();
    parent->Flush();
  }

  void OnDone(const grpc::Status& grpc_status) override {
    TsanAcquire(this);
    const std::shared_ptr<BatchStream> parent = parent_;
    std::vector<std::unique_ptr<SmallCall>> calls;
    absl::Status end;
    {
      MutexLock lock(&parent->mu_);
      calls = TakeAll();
      end = parent->end_;
    }
    absl::Status status = rpc::FromGrpcStatus(grpc_status);
    if (malformed_) {
      status = absl::InternalError("the node's answer is malformed");
    } else if (status.ok() ||
               (status.code() == absl::StatusCode::kInvalidArgument)) {
      // It ended without answering all. An INVALID_ARGUMENT of the stream says
      // that a message of ours was damaged on its way.
      status = absl::UnavailableError(
          absl::StrCat("the node ended the stream: ", status.message()));
    }
    if (!end.ok()) status = end;
    for (std::unique_ptr<SmallCall>& call : calls) {
      parent->owner_->OnOutcome(std::move(call), status, SmallAnswer());
    }
    delete this;
    MutexLock lock(&parent->mu_);
    --parent->streams_;
    parent->streams_gone_.SignalAll();
  }

  // Handles the message in the read buffer. False if it is malformed.
  bool Dispatch() {
    const absl::Cord message = CordFromByteBuffer(read_buffer_);
    read_buffer_.Clear();
    AnswerReader reader(message);
    answers_.clear();
    for (;;) {
      answers_.emplace_back();
      const AnswerReader::Result result = reader.Next(&answers_.back().answer);
      if (result == AnswerReader::Result::kAnswer) continue;
      answers_.pop_back();
      if (result == AnswerReader::Result::kMalformed) malformed_ = true;
      break;
    }
    {
      MutexLock lock(&parent_->mu_);
      for (Arrived& arrived : answers_) {
        if (!Take(arrived.answer.item_id, &arrived.call)) malformed_ = true;
      }
    }
    const BatchStream* const outer = std::exchange(dispatching, parent_.get());
    for (Arrived& arrived : answers_) {
      if (arrived.call == nullptr) continue;
      absl::Status status = StatusOfAnswer(arrived.answer);
      parent_->owner_->OnOutcome(std::move(arrived.call), std::move(status),
                                 std::move(arrived.answer));
    }
    dispatching = outer;
    answers_.clear();
    parent_->Flush();
    return !malformed_;
  }

  struct Arrived {
    SmallAnswer answer;
    std::unique_ptr<SmallCall> call;
  };

  const std::shared_ptr<BatchStream> parent_;
  grpc::ClientContext context_;
  grpc::ByteBuffer read_buffer_;
  grpc::ByteBuffer write_buffer_;

  std::vector<Slot> slots_;
  std::vector<size_t> free_;

  // Used by the reading callbacks only, which come one after the other.
  std::vector<Arrived> answers_;
  bool malformed_ = false;
};

std::shared_ptr<BatchStream> BatchStream::Create(
    std::shared_ptr<grpc::Channel> channel, const BatchStreamOptions& options,
    Timer* timer, SmallCallOwner* owner) {
  return std::shared_ptr<BatchStream>(
      new BatchStream(std::move(channel), options, timer, owner));
}

BatchStream::BatchStream(std::shared_ptr<grpc::Channel> channel,
                         const BatchStreamOptions& options, Timer* timer,
                         SmallCallOwner* owner)
    : channel_(std::move(channel)),
      options_(options),
      timer_(timer),
      owner_(owner) {}

BatchStream::~BatchStream() {
  MutexLock lock(&mu_);
  CAIRN_CHECK(waiting_.empty() && streams_ == 0);
}

bool BatchStream::Submit(std::unique_ptr<SmallCall>* call) {
  const size_t bytes = (*call)->request.content_bytes();
  absl::Status end;
  {
    MutexLock lock(&mu_);
    end = end_;
    if (end.ok()) {
      if (waiting_.size() >= options_.waiting_operations_max ||
          waiting_bytes_ + bytes > options_.waiting_bytes_max) {
        return false;
      }
      WatchDeadline((*call)->deadline);
      waiting_bytes_ += bytes;
      waiting_.push_back(std::move(*call));
      if (dispatching == this || (current_ != nullptr && current_->writing)) {
        return true;  // Somebody comes and takes it along.
      }
    }
  }
  if (!end.ok()) {
    owner_->OnOutcome(std::move(*call), std::move(end), SmallAnswer());
    return true;
  }
  Flush();
  return true;
}

void BatchStream::Flush() {
  std::vector<Stream::Item> items;
  Stream* stream;
  bool fresh = false;
  {
    MutexLock lock(&mu_);
    if (waiting_.empty() || !end_.ok()) return;
    if (current_ == nullptr) {
      current_ = new Stream(shared_from_this());
      ++streams_;
      fresh = true;
    }
    stream = current_;
    if (stream->writing || !stream->HasRoom()) return;
    stream->writing = true;
    items.reserve(std::min(waiting_.size(), options_.batch_items_max));
    size_t bytes = 0;
    while (!waiting_.empty() && items.size() < options_.batch_items_max &&
           stream->HasRoom()) {
      const size_t size = waiting_.front()->request.content_bytes();
      if (!items.empty() && bytes + size > options_.batch_bytes_max) break;
      bytes += size;
      waiting_bytes_ -= size;
      items.push_back(stream->Add(std::move(waiting_.front())));
      waiting_.pop_front();
    }
  }
  // From here to the write only this thread uses the stream's calls that are in
  // `items`: they are not marked as sent yet.
  if (fresh) stream->Start();
  BatchMessage message;
  for (const Stream::Item& item : items) message.Add(item.id, *item.request);
  {
    MutexLock lock(&mu_);
    stream->MarkSent(items);
  }
  stream->Write(message.Take());
}

void BatchStream::WatchDeadline(absl::Duration deadline) {
  if (deadline >= next_expiry_) return;
  next_expiry_ = deadline;
  timer_->At(deadline, [weak = weak_from_this()](bool stopped) {
    const std::shared_ptr<BatchStream> self = weak.lock();
    if (self != nullptr && !stopped) self->ExpireOverdue();
  });
}

void BatchStream::ExpireOverdue() {
  std::vector<std::unique_ptr<SmallCall>> overdue;
  {
    MutexLock lock(&mu_);
    const absl::Duration now = MonotonicNow();
    if (now < next_expiry_) return;  // A timer of an earlier plan.
    next_expiry_ = absl::InfiniteDuration();
    absl::Duration earliest = absl::InfiniteDuration();
    std::deque<std::unique_ptr<SmallCall>> rest;
    for (std::unique_ptr<SmallCall>& call : waiting_) {
      if (call->deadline <= now) {
        waiting_bytes_ -= call->request.content_bytes();
        overdue.push_back(std::move(call));
      } else {
        earliest = std::min(earliest, call->deadline);
        rest.push_back(std::move(call));
      }
    }
    waiting_.swap(rest);
    if (current_ != nullptr) {
      earliest = std::min(earliest, current_->TakeOverdue(now, &overdue));
    }
    if (earliest < absl::InfiniteDuration()) WatchDeadline(earliest);
  }
  for (std::unique_ptr<SmallCall>& call : overdue) {
    owner_->OnOutcome(
        std::move(call),
        ErrorWithReason(absl::StatusCode::kDeadlineExceeded,
                        ErrorReason::kDeadline,
                        "the node did not answer before the deadline"),
        SmallAnswer());
  }
}

void BatchStream::Cancel(const absl::Status& end) {
  CAIRN_CHECK(!end.ok());
  std::deque<std::unique_ptr<SmallCall>> waiting;
  {
    MutexLock lock(&mu_);
    if (end_.ok()) end_ = end;
    waiting.swap(waiting_);
    waiting_bytes_ = 0;
    // Others are broken and end without being told.
    if (current_ != nullptr) current_->Cancel();
  }
  for (std::unique_ptr<SmallCall>& call : waiting) {
    owner_->OnOutcome(std::move(call), end, SmallAnswer());
  }
}

void BatchStream::Shutdown(const absl::Status& end) {
  Cancel(end);
  MutexLock lock(&mu_);
  while (streams_ > 0) streams_gone_.Wait(&mu_);
}

}  // namespace client
}  // namespace cairn
