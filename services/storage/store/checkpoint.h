// Checkpoints: the moments at which the index on disk holds exactly what the
// journal says up to one position, and refers to nothing that is not durable.
//
//   Begin (committer)           Complete (background)
//   state into the index,  ──▶  sync journal and dedicated  ──▶ durable()
//   freeze what it holds        segments, flush the index

#ifndef CAIRN_SERVICES_STORAGE_STORE_CHECKPOINT_H_
#define CAIRN_SERVICES_STORAGE_STORE_CHECKPOINT_H_

#include <cstdint>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/types/optional.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "services/storage/store/engine_metrics.h"
#include "services/storage/store/index.h"
#include "services/storage/store/journal.h"
#include "services/storage/store/path_health.h"
#include "services/storage/store/path_state.h"
#include "services/storage/store/segment_set.h"

namespace cairn {
namespace storage {

class Checkpointer {
 public:
  // All borrowed; `observer` may be null. `durable` is where the index stood
  // when it was opened.
  Checkpointer(Index* index, PathState* state, Journal* journal,
               SegmentSet* segments, PathHealth* health, Clock* clock,
               EngineObserver* observer, std::string boot_id,
               const JournalPosition& durable);

  // Makes the journal and the dedicated segments durable. Any thread. A failure
  // breaks the path.
  absl::Status SyncAll();

  // Makes the dedicated segments durable that are committed and not known to
  // be. Any thread. A failure breaks the path.
  absl::Status SyncDedicated();

  // Marks what the index holds now for the next Complete(). On the thread that
  // changes the path; does not touch the disk. Does nothing if what was marked
  // before is not complete. `clean_end`: nothing will be written after this.
  void Begin(bool clean_end) ABSL_LOCKS_EXCLUDED(mu_);

  // Makes durable what Begin() marked, if it did. Any thread but the
  // committer's; blocks.
  //   RESOURCE_EXHAUSTED  DISK_FULL: try again when there is room.
  //   others              the path is broken.
  absl::Status Complete() ABSL_LOCKS_EXCLUDED(complete_mu_, mu_);

  // What the last Complete() said.
  absl::Status last_status() const ABSL_LOCKS_EXCLUDED(mu_);

  // What a restart would replay from. Never moves back.
  JournalPosition durable() const ABSL_LOCKS_EXCLUDED(mu_);

  // Journal::appended_bytes() at the last Begin().
  int64_t begun_at_bytes() const ABSL_LOCKS_EXCLUDED(mu_);
  uint64_t count() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  Index* const index_;
  PathState* const state_;
  Journal* const journal_;
  SegmentSet* const segments_;
  PathHealth* const health_;
  Clock* const clock_;
  EngineObserver* const observer_;
  const std::string boot_id_;

  Mutex complete_mu_;  // Held by Complete(); before mu_.
  mutable Mutex mu_;
  absl::Status last_status_ ABSL_GUARDED_BY(mu_);
  JournalPosition durable_ ABSL_GUARDED_BY(mu_);
  absl::optional<JournalPosition> pending_ ABSL_GUARDED_BY(mu_);
  int64_t begun_at_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t count_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_CHECKPOINT_H_
