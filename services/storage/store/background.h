// The background thread of a store path: checkpoints, removal of segments that
// nothing needs, files that have expired, tombstones that may be forgotten,
// cutting of logs, the ballast.

#ifndef CAIRN_SERVICES_STORAGE_STORE_BACKGROUND_H_
#define CAIRN_SERVICES_STORAGE_STORE_BACKGROUND_H_

#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "services/storage/store/change_set.h"
#include "services/storage/store/checkpoint.h"
#include "services/storage/store/committer.h"
#include "services/storage/store/index.h"
#include "services/storage/store/journal.h"
#include "services/storage/store/log_cutter.h"
#include "services/storage/store/options.h"
#include "services/storage/store/path_health.h"
#include "services/storage/store/path_state.h"
#include "services/storage/store/segment_set.h"

namespace cairn {
namespace storage {

// All borrowed.
struct BackgroundParts {
  const StorePathOptions* options = nullptr;
  Index* index = nullptr;
  PathState* state = nullptr;
  Journal* journal = nullptr;
  SegmentSet* segments = nullptr;
  PathHealth* health = nullptr;
  Checkpointer* checkpointer = nullptr;
  Committer* committer = nullptr;
  Clock* clock = nullptr;

  // Removes uploads that have expired. Called in each round; may block.
  std::function<void()> expire_uploads;
};

class Background {
 public:
  explicit Background(const BackgroundParts& parts);
  ~Background();  // Stop().

  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  void Start();

  // After it returns nothing runs. The committer must still run.
  void Stop() ABSL_LOCKS_EXCLUDED(mu_);

  // A checkpoint should be made soon. Any thread; does not block.
  void WantCheckpoint() ABSL_LOCKS_EXCLUDED(mu_);

  // Makes one and waits until it is durable, or the path is broken, or Stop()
  // was called. Any thread but the committer's.
  absl::Status CheckpointNow() ABSL_LOCKS_EXCLUDED(mu_);

  // Gives up what tombstones keep that are in the tables of the index, whatever
  // their time. OK also if Stop() cut it short. Any thread but the committer's.
  absl::Status DropDeleted() ABSL_LOCKS_EXCLUDED(mu_);

  // One round of everything but checkpoints, on the calling thread. For
  // Compact() and tests; safe beside the thread.
  void RunOnce() ABSL_LOCKS_EXCLUDED(round_mu_);

 private:
  void Loop() ABSL_LOCKS_EXCLUDED(mu_);
  bool stopping() ABSL_LOCKS_EXCLUDED(mu_);

  // Ends the checkpoint that was begun, if any, and makes a new one.
  absl::Status Checkpoint();
  void ResumeIndex();
  absl::Status RemoveDoomed() ABSL_EXCLUSIVE_LOCKS_REQUIRED(round_mu_);

  // Looks at the names whose time has come.
  absl::Status LookAtExpiries() ABSL_EXCLUSIVE_LOCKS_REQUIRED(round_mu_);

  // Deletes those of them that are to be reclaimed, and gives up what those
  // keep that were deleted long enough ago; waits.
  absl::Status Reclaim(const std::vector<ExpiryKey>& expiries, int64_t now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(round_mu_);

  // Hands changes to the committer and waits for their answers: the first error
  // among them.
  absl::Status CommitAll(std::vector<CommitRequest> requests);

  // What is left to do for a name, between two groups of the committer.
  absl::Status LookAtTombstone(const ExpiryKey& expiry, int64_t now,
                               ChangeSet* changes);
  absl::Status LookAtFile(const ExpiryKey& expiry, int64_t now,
                          ChangeSet* changes);
  absl::Status LookAtKept(const ExpiryKey& expiry, int64_t now,
                          ChangeSet* changes);

  const BackgroundParts parts_;
  const ChangeSetOptions change_options_;

  Mutex round_mu_;  // Held for a round; before mu_.
  LogCutter log_cutter_ ABSL_GUARDED_BY(round_mu_);
  Mutex mu_;
  CondVar changed_;
  bool checkpoint_wanted_ ABSL_GUARDED_BY(mu_) = false;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;

  std::thread thread_;  // Runs Loop(). Joined by Stop().
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_BACKGROUND_H_
