// A server stream whose messages are made one after the other where it may
// block:
//
//   Wake ─▶ Produce a message on io() ─▶ write it ─▶ end
//              └─▶ Produce the next one meanwhile ─▶ …
//
// Two messages are in memory at a time at most, however slow the reader is. A
// stream that has sent all there is waits until it is woken, and what comes
// while its last message is written waits for that: so it shares the next one.
// Made by new; deletes itself when gRPC is done with it.

#ifndef CAIRN_SERVICES_STORAGE_API_PRODUCED_STREAM_H_
#define CAIRN_SERVICES_STORAGE_API_PRODUCED_STREAM_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "lib/base/mutex.h"
#include "services/storage/api/call_context.h"
#include "services/storage/core/store_path.h"

namespace cairn {
namespace storage {

class ProducedStream : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  ProducedStream(const ProducedStream&) = delete;
  ProducedStream& operator=(const ProducedStream&) = delete;

  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mu_);
  void OnCancel() override ABSL_LOCKS_EXCLUDED(mu_);
  void OnDone() override;

 protected:
  ProducedStream(const CallContext& context, rpc::MethodMetrics* metrics);
  ~ProducedStream() override = default;

  // Whether the caller may still call; asked before each message.
  virtual absl::Status CheckAllowed() = 0;

  // The next message; nullopt if there is none now. A status ends the stream;
  // an OK one with SetLast(). Runs on the path's pool, one call at a time.
  virtual absl::StatusOr<absl::optional<grpc::ByteBuffer>> Produce() = 0;

  // Nothing runs any more. Just before this is deleted.
  virtual void Ended() {}

  // What Produce() returns is the last message; none if it returns none. For
  // Produce().
  void SetLast() { last_ = true; }

  // Behind what Produce() returns there is nothing until Wake(). For Produce().
  void SetIdle() { idle_ = true; }

  // The path on whose pool the next Produce() runs. For Produce().
  void SetPath(std::shared_ptr<StorePath> path) {
    stream_path_ = std::move(path);
  }

  // There may be something to produce.
  void Wake() ABSL_LOCKS_EXCLUDED(mu_);

  // Begins with `path`; with a `status` that is not OK, ends at once. Once, at
  // the end of the constructor of what is derived from this.
  void Begin(const absl::Status& status, std::shared_ptr<StorePath> path);

  const CallContext context_;

 private:
  void Ref() { refs_.fetch_add(1, std::memory_order_relaxed); }
  void Unref();
  void Pump() ABSL_LOCKS_EXCLUDED(mu_);
  void Work() ABSL_LOCKS_EXCLUDED(mu_);
  void End(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);

  // Whether Produce() may be called, and is from then on.
  bool TakeWork() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  rpc::MethodMetrics* const metrics_;
  const absl::Duration begin_;
  std::atomic<int> refs_{1};  // gRPC's, until OnDone().
  std::shared_ptr<StorePath> stream_path_;
  bool last_ = false;  // Of Produce() and after it.
  bool idle_ = false;

  grpc::ByteBuffer message_;  // While `writing_`.

  Mutex mu_;
  bool woken_ ABSL_GUARDED_BY(mu_) = true;
  bool working_ ABSL_GUARDED_BY(mu_) = false;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool ahead_ ABSL_GUARDED_BY(mu_) = false;  // Produce() need not wait for it.
  absl::optional<grpc::ByteBuffer> ready_ ABSL_GUARDED_BY(mu_);  // Behind it.
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  absl::optional<absl::Status> end_ ABSL_GUARDED_BY(mu_);
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_API_PRODUCED_STREAM_H_
