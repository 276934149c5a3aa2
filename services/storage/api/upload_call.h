// One Upload: a body on its way from a client to a store path.
//
//   spec ─▶ place, claim the request_id ─▶ budget ─▶ read ─▶ chunk checked ─┐
//                                             ▲                             │
//              size known and small: gathered │ else: queued, and written   │
//              then one Put                   │ by io() while more arrives  │
//                                             └──────────────◀──────────────┘
//   finish ─▶ sizes and CRC compared ─▶ committed ─▶ answered
//
// A body of unknown size begins gathered and goes over to a segment of its own
// when it has outgrown a Put. At most kReadAheadBytes wait for the disk; the
// stream is read only when the byte budget has room for what will come.

#ifndef CAIRN_SERVICES_STORAGE_API_UPLOAD_CALL_H_
#define CAIRN_SERVICES_STORAGE_API_UPLOAD_CALL_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/cord.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "lib/base/mutex.h"
#include "lib/base/uuid.h"
#include "lib/rpc/chunk_wire.h"
#include "services/storage/api/call_context.h"
#include "services/storage/core/replica_waits.h"
#include "services/storage/core/replicator.h"
#include "services/storage/core/storage_node.h"
#include "services/storage/core/store_path.h"

namespace cairn {
namespace storage {

// Made by new; deletes itself when gRPC and all that it started are done.
// Reactions run on gRPC threads, Drain() and what it calls on the path's io().
class UploadCall : public grpc::ServerReadReactor<grpc::ByteBuffer> {
 public:
  // The two last live until OnDone().
  UploadCall(const CallContext& context,
             grpc::CallbackServerContext* server_context,
             grpc::ByteBuffer* response);

  UploadCall(const UploadCall&) = delete;
  UploadCall& operator=(const UploadCall&) = delete;

  void OnReadDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  // Bytes that may wait for the disk.
  static constexpr int64_t kReadAheadBytes = 2 << 20;

  ~UploadCall() override;

  void Ref() { refs_.fetch_add(1, std::memory_order_relaxed); }
  void Unref();

  // Looks at the message that arrived; returns the error that ends the call.
  absl::Status Arrived();
  absl::Status BeginUpload(const storage::v1::UploadSpec& spec);
  absl::Status TakeChunk(rpc::Chunk chunk) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status TakeFinish(const storage::v1::UploadFinish& finish)
      ABSL_LOCKS_EXCLUDED(mu_);
  void OnClaimed(absl::StatusOr<StorageNode::Claim> claim);

  // What arrived has been handled, so that the next message may take its place.
  // Until then nobody may read: Drain() asks for more on another thread.
  void ReadHandled() ABSL_LOCKS_EXCLUDED(mu_);

  // Asks for the next message once the budget has room for it.
  void ReadNext() ABSL_LOCKS_EXCLUDED(mu_);
  void StartReadUnlessEnded() ABSL_LOCKS_EXCLUDED(mu_);

  // What the call needs of the budget: for what it holds and for what the next
  // message may bring.
  int64_t NeededBytes() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ReturnSurplus() ABSL_LOCKS_EXCLUDED(mu_);

  // Starts Drain() on io() unless it runs. Drain() writes what has arrived to
  // the segment, which it begins first, and commits it when it is complete.
  void StartDrain() ABSL_LOCKS_EXCLUDED(mu_);
  void Drain() ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status BeginSegment();

  // Makes the name and commits: in one Put, or the segment.
  void CommitSmall() ABSL_LOCKS_EXCLUDED(mu_);
  void CommitSegment();
  StorageNode::NewFile MakeName() const;
  FileKind kind() const {
    return derived_name_.empty() ? FileKind::kNormal : FileKind::kDerived;
  }
  // An earlier call with the request_id may have stored something else.
  absl::Status CheckReplay(const Committed& earlier) const;
  CommitDone AnswerWhenDone();

  // When other members have it as was asked for.
  void Answer(const absl::StatusOr<Committed>& committed, uint8_t path_index)
      ABSL_LOCKS_EXCLUDED(mu_);
  void Confirmed(const absl::StatusOr<Committed>& committed, uint8_t path_index)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Ends the call, for which nothing is being committed or will be. It may be
  // repeated as soon as the caller knows.
  void Refuse(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);

  // Ends the call, once; later calls do nothing. An error gives up what was
  // received.
  void End(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);
  // The two halves of it: false if it has ended.
  bool ClaimEnd() ABSL_LOCKS_EXCLUDED(mu_);
  void FinishClaimed(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);

  const CallContext context_;
  grpc::CallbackServerContext* const server_context_;  // Until OnDone().
  grpc::ByteBuffer* const response_;                   // The same.
  const absl::Duration begin_;
  std::atomic<int> refs_{1};  // gRPC's, until OnDone().

  // --- Used by one at a time: the reaction that runs, or whom it handed over
  // to.
  grpc::ByteBuffer message_;
  bool has_spec_ = false;
  absl::optional<storage::v1::UploadFinish> early_finish_;  // With the spec.
  StorageNode::Placed placed_;
  StorageNode::Claim claim_;
  Uuid request_id_;
  std::string extension_;
  std::string attributes_;  // As they are stored.
  int64_t expire_unix_seconds_ = 0;
  std::string owner_;
  bool dedup_ = false;
  std::string derived_name_;  // Empty unless it is of a derived file.
  ReplicaWish wish_;
  Replicator::AckInterest interest_;
  absl::optional<int64_t> declared_bytes_;
  int64_t received_bytes_ = 0;
  uint32_t received_crc_ = 0;

  std::unique_ptr<Upload> segment_;  // Drain()'s, then the destructor's.

  Mutex mu_;
  absl::Cord pending_ ABSL_GUARDED_BY(mu_);  // Received and not written.
  int64_t held_bytes_ ABSL_GUARDED_BY(mu_) =
      0;  // That and what is written now.
  int64_t next_bytes_ ABSL_GUARDED_BY(mu_) = rpc::kChunkBytesDefault;
  int64_t budget_bytes_ ABSL_GUARDED_BY(mu_) = 0;  // Taken from the budget.
  int64_t gather_bytes_ ABSL_GUARDED_BY(mu_) = 0;  // Most that is gathered.
  bool streaming_ ABSL_GUARDED_BY(mu_) = false;    // Goes to a segment.
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  // Waiting for the budget, for a message, or handling the one that arrived.
  bool reading_ ABSL_GUARDED_BY(mu_) = false;
  bool complete_ ABSL_GUARDED_BY(mu_) = false;  // `finish` has arrived.
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  // StartRead() must not be called after Finish(), nor while it runs: whoever
  // ends the call meanwhile leaves Finish() to the one that is in StartRead().
  bool starting_read_ ABSL_GUARDED_BY(mu_) = false;
  absl::optional<grpc::Status> finish_later_ ABSL_GUARDED_BY(mu_);
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_API_UPLOAD_CALL_H_
