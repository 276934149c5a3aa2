// One log on its way from another member: takes what a stream brings and has
// the path apply it, a batch after the other.
//
//   OnBatch ─▶ Next, Apply × n (group commits) ─▶ all applied ─▶ the next one
//                      │            └─ the path refuses ─▶ Cancel ─▶ OnEnd
//                      └─ one cannot be applied ─▶ set it aside, go on behind
//                      it
//
// While a batch is applied the next one is read; it waits, and no more are.
//
// The position is the path's: whoever pulls again after an error asks for what
// follows on what is applied. Thread-safe.

#ifndef CAIRN_SERVICES_STORAGE_CORE_LOG_PULL_H_
#define CAIRN_SERVICES_STORAGE_CORE_LOG_PULL_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "services/storage/core/missing_contents.h"
#include "services/storage/core/peer_transport.h"
#include "services/storage/core/replica_log.h"
#include "services/storage/core/store_path.h"

namespace cairn {
namespace storage {

class LogPull : public SyncListener {
 public:
  static constexpr size_t kNoChange = static_cast<size_t>(-1);

  // `missing` learns of every file that comes without its content, before it is
  // applied. `wake` is called when somebody waits for an acknowledgement and
  // when the stream has ended; on any thread, must not block. Both are borrowed
  // like `clock`.
  LogPull(std::shared_ptr<StorePath> path, MissingContents* missing,
          Clock* clock, std::function<void()> wake);
  ~LogPull() override;  // After it has ended.

  LogPull(const LogPull&) = delete;
  LogPull& operator=(const LogPull&) = delete;

  // Called once, before anything else. Unset: the peer's own log.
  void Start(PeerTransport* transport, const Peer& peer, uint8_t store_path,
             const absl::optional<LogId>& log) ABSL_LOCKS_EXCLUDED(mu_);
  void Cancel() ABSL_LOCKS_EXCLUDED(mu_);

  // Set once nothing runs any more: what the stream, or the path, said.
  absl::optional<absl::Status> ended() const ABSL_LOCKS_EXCLUDED(mu_);

  // The log, once the peer has said which one it is.
  absl::optional<LogId> log() const ABSL_LOCKS_EXCLUDED(mu_);

  // How far the peer has logs, as it said last.
  std::vector<LogRange> peer_logs() const ABSL_LOCKS_EXCLUDED(mu_);

  // When something came last, Clock::Monotonic().
  absl::Duration heard() const ABSL_LOCKS_EXCLUDED(mu_);

  // Changes that were applied, and bytes of content that came with them.
  uint64_t applied() const ABSL_LOCKS_EXCLUDED(mu_);
  uint64_t bytes() const ABSL_LOCKS_EXCLUDED(mu_);

  // How old the change is that is being applied, by the clock of whoever took
  // it; nullopt if none is, or that is not known.
  absl::optional<absl::Duration> age() const ABSL_LOCKS_EXCLUDED(mu_);

  // Whether an acknowledgement is wanted since the last call.
  bool TakeAckWanted() ABSL_LOCKS_EXCLUDED(mu_);

  void OnBatch(SyncBatch batch) override ABSL_LOCKS_EXCLUDED(mu_);
  void OnEnd(const absl::Status& status) override ABSL_LOCKS_EXCLUDED(mu_);

 private:
  // Applies the batch, or says why not.
  void Begin(SyncBatch batch) ABSL_LOCKS_EXCLUDED(mu_);
  void BeginLater(SyncBatch batch);

  // The log may not be known here yet, or the peer may have lost some of it:
  // says so to the path first. Blocks.
  void Introduce(SyncBatch batch);
  void Apply(SyncBatch batch);

  // Applies the changes of the batch from there on.
  void ApplyFrom(size_t begin) ABSL_LOCKS_EXCLUDED(mu_);

  // One of the batch is done; the last one goes on. `index`: in the batch, or
  // kNoChange.
  void Applied(const absl::Status& status, size_t index)
      ABSL_LOCKS_EXCLUDED(mu_);

  // It goes on from a state of its file that is not here: the file is known
  // from then on, and its content missing.
  void ApplyWhole(size_t index) ABSL_LOCKS_EXCLUDED(mu_);

  // Applies `change` in place of the one of the batch, and goes on behind it.
  void ApplyInstead(ReplicatedChange change, size_t index)
      ABSL_LOCKS_EXCLUDED(mu_);

  // It cannot be applied: has its place taken, and goes on behind it.
  void SetAside(size_t index, const absl::Status& error)
      ABSL_LOCKS_EXCLUDED(mu_);

  const std::shared_ptr<StorePath> path_;
  MissingContents* const missing_;
  Clock* const clock_;
  const std::function<void()> wake_;
  std::shared_ptr<PeerStream> stream_;  // Fixed by Start().

  mutable Mutex mu_;
  absl::optional<LogId> log_ ABSL_GUARDED_BY(mu_);
  bool introduced_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<LogRange> peer_logs_ ABSL_GUARDED_BY(mu_);
  absl::Duration heard_ ABSL_GUARDED_BY(mu_);
  uint64_t applied_ ABSL_GUARDED_BY(mu_) = 0;
  bool ack_wanted_ ABSL_GUARDED_BY(mu_) = false;

  // The batch that is applied; fixed while `left_` is not 0. It is kept until
  // then: behind a change that cannot be applied the others are refused, too.
  std::vector<ReplicatedChange> changes_;
  bool batch_ack_wanted_ = false;

  absl::optional<SyncBatch> waiting_ ABSL_GUARDED_BY(mu_);  // Behind it.
  size_t left_ ABSL_GUARDED_BY(mu_) = 0;  // Of the batch, and 1 while it is
                                          // handed over.
  absl::optional<size_t> bad_ ABSL_GUARDED_BY(mu_);  // Cannot be applied.
  absl::Status bad_error_ ABSL_GUARDED_BY(mu_);
  uint64_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
  absl::optional<absl::Time> sent_ ABSL_GUARDED_BY(mu_);  // The peer's clock,
  absl::Duration sent_at_ ABSL_GUARDED_BY(mu_);           // and when it came.
  absl::optional<absl::Time> made_ ABSL_GUARDED_BY(mu_);  // Of the batch.
  absl::Status failed_ ABSL_GUARDED_BY(mu_);
  bool stream_ended_ ABSL_GUARDED_BY(mu_) = false;
  absl::optional<absl::Status> ended_ ABSL_GUARDED_BY(mu_);
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_LOG_PULL_H_
