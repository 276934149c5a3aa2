#include "clients/cpp/raw_call.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/client_callback.h>

#include <deque>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "clients/cpp/grpc_cord.h"
#include "clients/cpp/timer.h"
#include "lib/base/error_reason.h"
#include "lib/base/mutex.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/grpc_status.h"

namespace cairn {
namespace client {

class RawCall::Reactor
    : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  Reactor(const std::shared_ptr<grpc::Channel>& channel, const char* method,
          const RawCallOptions& options)
      : options_(options) {
    if (options.deadline < absl::InfiniteDuration()) {
      rpc::SetTimeout(&context_, options.deadline - MonotonicNow());
    }
    for (const auto& [key, value] : options.metadata) {
      context_.AddMetadata(key, value);
    }
    grpc::TemplatedGenericStub<grpc::ByteBuffer, grpc::ByteBuffer> stub(
        channel);
    stub.PrepareBidiStreamingCall(&context_, method, {}, this);
    // The caller's thread starts reads and writes too; given back in Finish().
    AddHold();
    reading_ = true;
    StartRead(&read_buffer_);
    StartCall();
  }

  bool Write(absl::Cord message, bool last) {
    {
      MutexLock lock(&mu_);
      while (outbox_.size() >= options_.window && !write_broken_) {
        WaitForProgress();
      }
      if (write_broken_) return false;
      outbox_.push_back({std::move(message), last});
      if (writing_) return true;
      writing_ = true;
    }
    WriteNext();
    return true;
  }

  absl::optional<absl::Cord> Read(bool patiently) {
    absl::Cord message;
    bool start;
    {
      MutexLock lock(&mu_);
      while (inbox_.empty() && reading_) {
        if (patiently) {
          changed_.Wait(&mu_);
        } else {
          WaitForProgress();
        }
      }
      if (inbox_.empty()) return absl::nullopt;
      message = std::move(inbox_.front());
      inbox_.pop_front();
      start = !reading_ && !read_ended_;
      if (start) reading_ = true;
    }
    if (start) StartRead(&read_buffer_);
    return message;
  }

  absl::Status Finish() {
    bool unread;
    {
      MutexLock lock(&mu_);
      if (finished_) return status_;
      finished_ = true;
      unread = !read_ended_;
    }
    if (unread) Cancel();
    RemoveHold();
    MutexLock lock(&mu_);
    while (!done_) changed_.Wait(&mu_);
    if (stalled_) {
      status_ = absl::UnavailableError(absl::StrCat(
          "no byte moved for ", absl::FormatDuration(options_.stall_timeout)));
    }
    return status_;
  }

  void Cancel() { context_.TryCancel(); }

 private:
  struct Outgoing {
    absl::Cord message;
    bool last;
  };

  // Returns when something has happened. When nothing has for the stall
  // timeout the call is cancelled, which makes something happen.
  void WaitForProgress() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (stalled_) {
      changed_.Wait(&mu_);
      return;
    }
    const uint64_t before = events_;
    const absl::Duration until = MonotonicNow() + options_.stall_timeout;
    while (events_ == before) {
      const absl::Duration left = until - MonotonicNow();
      if (left <= absl::ZeroDuration()) {
        stalled_ = true;
        Cancel();
        return;
      }
      changed_.WaitWithTimeout(&mu_, left);
    }
  }

  // Sends the front of the outbox. Only who set `writing_` calls it.
  void WriteNext() {
    grpc::WriteOptions options;
    {
      MutexLock lock(&mu_);
      write_buffer_ = ByteBufferFromCord(outbox_.front().message);
      if (outbox_.front().last) options.set_last_message();
      outbox_.front().message.Clear();
    }
    StartWrite(&write_buffer_, options);
  }

  void OnWriteDone(bool ok) override {
    bool more;
    {
      MutexLock lock(&mu_);
      ++events_;
      outbox_.pop_front();
      write_buffer_.Clear();
      if (!ok) {
        write_broken_ = true;
        outbox_.clear();
      }
      more = !outbox_.empty();
      if (!more) writing_ = false;
      changed_.Signal();
    }
    if (more) WriteNext();
  }

  void OnReadDone(bool ok) override {
    bool more = false;
    {
      MutexLock lock(&mu_);
      ++events_;
      if (ok) {
        inbox_.push_back(CordFromByteBuffer(read_buffer_));
        read_buffer_.Clear();
        more = inbox_.size() < options_.window;
      } else {
        read_ended_ = true;
        write_broken_ = true;
      }
      if (!more) reading_ = false;
      changed_.Signal();
    }
    if (more) StartRead(&read_buffer_);
  }

  void OnDone(const grpc::Status& status) override {
    MutexLock lock(&mu_);
    status_ = rpc::FromGrpcStatus(status);
    done_ = true;
    ++events_;
    // Under the lock: the caller may destroy this as soon as it can look.
    changed_.Signal();
  }

  const RawCallOptions options_;
  grpc::ClientContext context_;
  grpc::ByteBuffer read_buffer_;   // Used while `reading_`.
  grpc::ByteBuffer write_buffer_;  // Used while `writing_`.

  Mutex mu_;
  CondVar changed_;
  uint64_t events_ ABSL_GUARDED_BY(mu_) = 0;
  std::deque<Outgoing> outbox_ ABSL_GUARDED_BY(mu_);
  std::deque<absl::Cord> inbox_ ABSL_GUARDED_BY(mu_);
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool reading_ ABSL_GUARDED_BY(mu_) = false;
  bool write_broken_ ABSL_GUARDED_BY(mu_) = false;
  bool read_ended_ ABSL_GUARDED_BY(mu_) = false;
  bool stalled_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  bool done_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mu_);
};

RawCall::RawCall(const std::shared_ptr<grpc::Channel>& channel,
                 const char* method, const RawCallOptions& options)
    : reactor_(std::make_unique<Reactor>(channel, method, options)) {}

RawCall::~RawCall() { reactor_->Finish().IgnoreError(); }

bool RawCall::Write(absl::Cord message, bool last) {
  return reactor_->Write(std::move(message), last);
}

absl::optional<absl::Cord> RawCall::Read() {
  return reactor_->Read(/*patiently=*/false);
}

absl::optional<absl::Cord> RawCall::ReadPatiently() {
  return reactor_->Read(/*patiently=*/true);
}

absl::Status RawCall::Finish() { return reactor_->Finish(); }

void RawCall::Cancel() { reactor_->Cancel(); }

}  // namespace client
}  // namespace cairn
