// All files of a store path on their way from another member, page by page:
//
//   OnBatch ─▶ Apply(kSnapshot) × n ─▶ Next … last page ─▶ SetLogs(where it
//                                                          began)
//
// What was applied stays when the stream breaks: the cursor says where the next
// one goes on. Thread-safe.

#ifndef CAIRN_SERVICES_STORAGE_CORE_SNAPSHOT_PULL_H_
#define CAIRN_SERVICES_STORAGE_CORE_SNAPSHOT_PULL_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
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
    uint64_t files = 0;          // So far.
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
  absl::Duration heard() const ABSL_LOCKS_EXCLUDED(mu_);

  void OnBatch(SnapshotBatch batch) override ABSL_LOCKS_EXCLUDED(mu_);
  void OnEnd(const absl::Status& status) override ABSL_LOCKS_EXCLUDED(mu_);

 private:
  // On the path's pool.
  void Take(SnapshotBatch batch) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status Begin(const SnapshotBatch& batch) ABSL_LOCKS_EXCLUDED(mu_);

  void Applied(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);
  void Complete() ABSL_LOCKS_EXCLUDED(mu_);
  void Done(const absl::Status& status, bool complete) ABSL_LOCKS_EXCLUDED(mu_);

  const std::shared_ptr<StorePath> path_;
  MissingContents* const missing_;
  Clock* const clock_;
  const std::function<void()> wake_;
  std::shared_ptr<PeerStream> stream_;  // Fixed by Start().

  mutable Mutex mu_;
  Cursor cursor_ ABSL_GUARDED_BY(mu_);
  std::string next_ ABSL_GUARDED_BY(mu_);  // Of the batch under way.
  size_t batch_files_ ABSL_GUARDED_BY(mu_) = 0;
  bool last_ ABSL_GUARDED_BY(mu_) = false;
  bool begun_ ABSL_GUARDED_BY(mu_) = false;
  bool complete_ ABSL_GUARDED_BY(mu_) = false;
  size_t left_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Duration heard_ ABSL_GUARDED_BY(mu_);
  absl::Status failed_ ABSL_GUARDED_BY(mu_);
  bool stream_ended_ ABSL_GUARDED_BY(mu_) = false;
  absl::optional<absl::Status> ended_ ABSL_GUARDED_BY(mu_);
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_SNAPSHOT_PULL_H_
