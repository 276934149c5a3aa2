// The stream to one node that small operations share.
//
//   Submit ──▶ waiting ──▶ message ──▶ on the way ──▶ answer ──▶ OnOutcome
//                  ▲  a write is in flight: others gather here
//
// An operation that finds no write in flight leaves at once, from the caller's
// thread. Those that come while a message is being written gather and go
// together in the next one; so do those that are submitted by the callbacks of
// one arriving message. Nobody ever waits for a timer.

#ifndef CAIRN_CLIENTS_CPP_BATCH_STREAM_H_
#define CAIRN_CLIENTS_CPP_BATCH_STREAM_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "clients/cpp/batch_codec.h"
#include "clients/cpp/timer.h"
#include "lib/base/mutex.h"

namespace grpc {
class Channel;
}  // namespace grpc

namespace cairn {
namespace client {

// One operation on its way. The stream looks at `request` and `deadline` only;
// whoever submits derives from it to keep the rest.
struct SmallCall {
  virtual ~SmallCall() = default;

  SmallRequest request;
  absl::Duration deadline;  // As MonotonicNow().
};

// Where operations end. Its calls come from gRPC's threads, the timer's, or
// from inside Submit() and Shutdown(), never under a lock, and must not block.
class SmallCallOwner {
 public:
  virtual ~SmallCallOwner() = default;

  // `answer` is valid if `status` is OK; a failed answer's status is in
  // `status`. DEADLINE_EXCEEDED comes from the stream itself, when the deadline
  // has passed. A broken stream's failure is of gRPC and carries no reason.
  virtual void OnOutcome(std::unique_ptr<SmallCall> call, absl::Status status,
                         SmallAnswer answer) = 0;
};

struct BatchStreamOptions {
  size_t batch_bytes_max = 512 << 10;
  size_t batch_items_max = 256;
  size_t waiting_operations_max = 100000;
  size_t waiting_bytes_max = 512 << 20;
};

// Thread-safe. Opens its gRPC stream when there is something to send, and again
// after it broke.
class BatchStream : public std::enable_shared_from_this<BatchStream> {
 public:
  // `timer` and `owner` are borrowed; they must outlive the last outcome and
  // Shutdown().
  static std::shared_ptr<BatchStream> Create(
      std::shared_ptr<grpc::Channel> channel, const BatchStreamOptions& options,
      Timer* timer, SmallCallOwner* owner);

  ~BatchStream();

  // Queues the call and returns true; its outcome comes exactly once. Returns
  // false and leaves the call alone if too much waits already.
  bool Submit(std::unique_ptr<SmallCall>* call) ABSL_LOCKS_EXCLUDED(mu_);

  // Fails all that is open with `end`, which is not OK, and whatever is
  // submitted later.
  void Cancel(const absl::Status& end) ABSL_LOCKS_EXCLUDED(mu_);

  // The same; returns when gRPC holds nothing of this any more. Not from a
  // callback.
  void Shutdown(const absl::Status& end) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  class Stream;

  BatchStream(std::shared_ptr<grpc::Channel> channel,
              const BatchStreamOptions& options, Timer* timer,
              SmallCallOwner* owner);

  // Sends what waits, unless somebody is at it.
  void Flush() ABSL_LOCKS_EXCLUDED(mu_);

  // Fails what has passed its deadline, and comes back for the next one.
  void ExpireOverdue() ABSL_LOCKS_EXCLUDED(mu_);
  void WatchDeadline(absl::Duration deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::shared_ptr<grpc::Channel> channel_;
  const BatchStreamOptions options_;
  Timer* const timer_;
  SmallCallOwner* const owner_;

  Mutex mu_;
  CondVar streams_gone_;
  std::deque<std::unique_ptr<SmallCall>> waiting_ ABSL_GUARDED_BY(mu_);
  size_t waiting_bytes_ ABSL_GUARDED_BY(mu_) = 0;

  // Null before the first and after a broken one. Streams delete themselves.
  Stream* current_ ABSL_GUARDED_BY(mu_) = nullptr;
  int streams_ ABSL_GUARDED_BY(mu_) = 0;   // That gRPC still holds.
  absl::Status end_ ABSL_GUARDED_BY(mu_);  // Of Cancel(); OK before it.

  // When ExpireOverdue() is due; InfiniteDuration() if it is not.
  absl::Duration next_expiry_ ABSL_GUARDED_BY(mu_) = absl::InfiniteDuration();
};

}  // namespace client
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CPP_BATCH_STREAM_H_
