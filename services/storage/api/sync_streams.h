// What a member sends to another that copies it: a log as it grows, and
// everything, in pages.
//
//   OnGrown, OnHeartbeat ─▶ ┌ Produce a message on io() ─▶ write it ┐ ─▶ end
//                           └──────────── again ◀──────────────────┘
//
// One message is in memory at a time. A SyncStream that has sent all there is
// waits until it is woken. Made by new; they delete themselves when gRPC is
// done with them.

#ifndef CAIRN_SERVICES_STORAGE_API_SYNC_STREAMS_H_
#define CAIRN_SERVICES_STORAGE_API_SYNC_STREAMS_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "cairn/storage/v1/sync_service.pb.h"
#include "lib/base/mutex.h"
#include "lib/base/uuid.h"
#include "services/storage/api/call_context.h"
#include "services/storage/core/digest_source.h"
#include "services/storage/core/log_sender.h"
#include "services/storage/core/replicator.h"
#include "services/storage/core/store_path.h"

namespace cairn {
namespace storage {

// Who asks, of what.
struct MemberCall {
  Uuid caller;
  std::shared_ptr<StorePath> path;
  Replicator* replicator = nullptr;  // Of the path; borrowed.

  // Whether the caller may still call; any thread, does not block.
  std::function<absl::Status()> still_member;
};

// The part that both have in common.
class MemberStream : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  MemberStream(const MemberStream&) = delete;
  MemberStream& operator=(const MemberStream&) = delete;

  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mu_);
  void OnCancel() override ABSL_LOCKS_EXCLUDED(mu_);
  void OnDone() override;

 protected:
  MemberStream(const CallContext& context, rpc::MethodMetrics* metrics);
  ~MemberStream() override = default;

  // The next message; nullopt if there is none now. A status ends the stream;
  // an OK one with SetLast(). Runs on the path's pool, one call at a time.
  virtual absl::StatusOr<absl::optional<grpc::ByteBuffer>> Produce() = 0;

  // Nothing runs any more. Just before this is deleted.
  virtual void Ended() {}

  // What Produce() returns is the last message; none if it returns none.
  void SetLast() { last_ = true; }

  // There may be something to produce.
  void Wake() ABSL_LOCKS_EXCLUDED(mu_);

  // Begins with what was admitted; with a `status` that is not OK, ends at
  // once.
  void Begin(const absl::Status& status,
             const absl::StatusOr<MemberCall>& call);

  const CallContext context_;

 private:
  void Ref() { refs_.fetch_add(1, std::memory_order_relaxed); }
  void Unref();
  void Pump() ABSL_LOCKS_EXCLUDED(mu_);
  void Work() ABSL_LOCKS_EXCLUDED(mu_);
  void End(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);

  rpc::MethodMetrics* const metrics_;
  const absl::Duration begin_;
  std::atomic<int> refs_{1};  // gRPC's, until OnDone().
  std::shared_ptr<StorePath> stream_path_;
  std::function<absl::Status()> still_member_;
  bool last_ = false;  // Of Produce() and after it.

  grpc::ByteBuffer message_;  // While `writing_`.

  Mutex mu_;
  bool woken_ ABSL_GUARDED_BY(mu_) = true;
  bool working_ ABSL_GUARDED_BY(mu_) = false;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  absl::optional<absl::Status> end_ ABSL_GUARDED_BY(mu_);
};

class SyncStream : public MemberStream {
 public:
  SyncStream(const CallContext& context, rpc::MethodMetrics* metrics,
             const absl::StatusOr<MemberCall>& call,
             const v1::SyncRequest& request);

 private:
  absl::Status Prepare(const MemberCall& call, const v1::SyncRequest& request);
  absl::StatusOr<absl::optional<grpc::ByteBuffer>> Produce() override;
  void Ended() override;

  absl::optional<LogSender> sender_;  // Unset if the call was refused.
};

class SnapshotStream : public MemberStream {
 public:
  SnapshotStream(const CallContext& context, rpc::MethodMetrics* metrics,
                 const absl::StatusOr<MemberCall>& call,
                 const v1::SnapshotRequest& request);

 private:
  absl::StatusOr<absl::optional<grpc::ByteBuffer>> Produce() override;

  absl::optional<SnapshotSender> sender_;  // Unset if the call was refused.
};

class DigestStream : public MemberStream {
 public:
  DigestStream(const CallContext& context, rpc::MethodMetrics* metrics,
               const absl::StatusOr<MemberCall>& call,
               const v1::DigestRequest& request);

 private:
  absl::StatusOr<absl::optional<grpc::ByteBuffer>> Produce() override;

  absl::optional<DigestSender> sender_;  // None: refused.
  std::vector<LogRange> logs_;
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_API_SYNC_STREAMS_H_
