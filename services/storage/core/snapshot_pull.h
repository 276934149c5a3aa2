// All files of a store path on their way from another member, page by page:
//
//   OnBatch ─▶ Apply(kSnapshot) × n ─▶ Reconcile ─▶ Next … last page ─▶ SetLogs
//              (what cannot be: aside)  │                    (where it began)
//                                       └─ Apply(kRemove) × n, in steps
//
// A page tells of all names between its cursors. What is here between them and
// not in the page was deleted, and its tombstone is gone, if the sender had
// applied the change that made it when the snapshot began: it is removed here.
// What the sender may not have heard of, or may have lost, stays.
//
// What was applied stays when the stream breaks: the cursor says where the next
// one goes on. Thread-safe.

#ifndef CAIRN_SERVICES_STORAGE_CORE_SNAPSHOT_PULL_H_
#define CAIRN_SERVICES_STORAGE_CORE_SNAPSHOT_PULL_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
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

class SnapshotPull : public SnapshotListener {
 public:
  // Where a snapshot goes on.
  struct Cursor {
    std::string next;            // Empty: from the beginning.
    std::vector<LogRange> logs;  // The least of where its parts began.
    uint64_t files = 0;          // So far, without deleted ones.
    uint64_t files_total = 0;    // As the sender said.
    uint64_t changes = 0;        // So far, with deleted ones and removals.
    uint64_t removed = 0;        // Deleted long ago.
    uint64_t bytes = 0;          // Of content that came with it.
  };

  // `wake` is called when it has ended; on any thread, must not block.
  // `missing` and `clock` are borrowed.
  SnapshotPull(std::shared_ptr<StorePath> path, MissingContents* missing,
               Cursor cursor, Clock* clock, std::function<void()> wake);
  ~SnapshotPull() override;  // After it has ended.

  SnapshotPull(const SnapshotPull&) = delete;
  SnapshotPull& operator=(const SnapshotPull&) = delete;

  // Called once, before anything else.
  void Start(PeerTransport* transport, const Peer& peer, uint8_t store_path)
      ABSL_LOCKS_EXCLUDED(mu_);
  void Cancel() ABSL_LOCKS_EXCLUDED(mu_);

  // Set once nothing runs any more. OK: the snapshot is complete, and the path
  // says so of its logs.
  absl::optional<absl::Status> ended() const ABSL_LOCKS_EXCLUDED(mu_);
  Cursor cursor() const ABSL_LOCKS_EXCLUDED(mu_);

  // When something came last, Clock::Monotonic(); now while it is worked on.
  absl::Duration heard() const ABSL_LOCKS_EXCLUDED(mu_);

  void OnBatch(SnapshotBatch batch) override ABSL_LOCKS_EXCLUDED(mu_);
  void OnEnd(const absl::Status& status) override ABSL_LOCKS_EXCLUDED(mu_);

 private:
  // On the path's pool.
  void Take(SnapshotBatch batch) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status Begin(const SnapshotBatch& batch) ABSL_LOCKS_EXCLUDED(mu_);
  void Reconcile() ABSL_LOCKS_EXCLUDED(mu_);
  void Complete() ABSL_LOCKS_EXCLUDED(mu_);

  // The file was deleted, if the sender does not have it.
  bool IsCovered(const LogPosition& change) const;

  // Applies `step_`, and goes on when all is done.
  void ApplyStep() ABSL_LOCKS_EXCLUDED(mu_);
  void Applied(const absl::Status& status, size_t index)
      ABSL_LOCKS_EXCLUDED(mu_);
  void StepDone() ABSL_LOCKS_EXCLUDED(mu_);
  void Failed(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);
  void OnPool(void (SnapshotPull::*work)()) ABSL_LOCKS_EXCLUDED(mu_);
  void Done(const absl::Status& status, bool complete) ABSL_LOCKS_EXCLUDED(mu_);

  const std::shared_ptr<StorePath> path_;
  MissingContents* const missing_;
  Clock* const clock_;
  const std::function<void()> wake_;
  std::shared_ptr<PeerStream> stream_;  // Fixed by Start().

  // ---- Of the batch under way; used by one thread at a time, which is handed
  // over with `left_`.
  enum class Phase { kChanges, kSetAside, kRemovals };
  Phase phase_ = Phase::kChanges;
  std::vector<ReplicatedChange> step_;
  std::set<std::string> names_;        // In the page.
  std::string reconciled_;             // Up to this cursor,
  std::string next_;                   // of those up to this one.
  std::vector<LogRange> sender_logs_;  // Where this stream began.
  bool begun_ = false;

  mutable Mutex mu_;
  Cursor cursor_ ABSL_GUARDED_BY(mu_);
  Cursor page_ ABSL_GUARDED_BY(mu_);  // Its counts: of the batch under way.
  std::vector<size_t> bad_ ABSL_GUARDED_BY(mu_);  // In step_.
  bool last_ ABSL_GUARDED_BY(mu_) = false;
  bool complete_ ABSL_GUARDED_BY(mu_) = false;
  size_t left_ ABSL_GUARDED_BY(mu_) = 0;  // Of the step, and 1 more.
  absl::Duration heard_ ABSL_GUARDED_BY(mu_);
  absl::Status failed_ ABSL_GUARDED_BY(mu_);
  bool stream_ended_ ABSL_GUARDED_BY(mu_) = false;
  absl::optional<absl::Status> ended_ ABSL_GUARDED_BY(mu_);
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_SNAPSHOT_PULL_H_
