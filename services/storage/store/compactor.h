// Gives back the room of dead records in shared segments that are not written
// to any more.
//
//   scan a segment ─▶ copy what is the newest of its name, or a piece of its
//   content, through the committer ─▶ nothing lives there ─▶ doomed ─▶ removed
//   after a checkpoint
//
// A crash at any step leaves the old record, the new one, or both, and both say
// the same. A record whose content does not match its CRCs stays where it is,
// and so does its segment.

#ifndef CAIRN_SERVICES_STORAGE_STORE_COMPACTOR_H_
#define CAIRN_SERVICES_STORAGE_STORE_COMPACTOR_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cairn/disk/v1/segment.pb.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/io/file_system.h"
#include "services/storage/core/store_path.h"
#include "services/storage/store/committer.h"
#include "services/storage/store/index.h"
#include "services/storage/store/journal.h"
#include "services/storage/store/options.h"
#include "services/storage/store/path_health.h"
#include "services/storage/store/path_state.h"
#include "services/storage/store/segment_scan.h"
#include "services/storage/store/segment_set.h"

namespace cairn {
namespace storage {

// All borrowed.
struct CompactorParts {
  const StorePathOptions* options = nullptr;
  Index* index = nullptr;
  PathState* state = nullptr;
  Journal* journal = nullptr;
  SegmentSet* segments = nullptr;
  PathHealth* health = nullptr;
  Committer* committer = nullptr;
  Clock* clock = nullptr;
};

struct CompactorNumbers {
  uint64_t segments = 0;  // That were emptied.
  uint64_t copied_bytes = 0;
  uint64_t damaged_records = 0;
};

class Compactor {
 public:
  using Progress = absl::AnyInvocable<void(const JobProgress&)>;

  explicit Compactor(const CompactorParts& parts);
  ~Compactor();  // Stop().

  Compactor(const Compactor&) = delete;
  Compactor& operator=(const Compactor&) = delete;

  // Runs the background thread.
  void Start();

  // Ends what runs, at the next record. The committer must still run.
  void Stop() ABSL_LOCKS_EXCLUDED(mu_);

  // Empties every segment with at least this share of dead bytes, on the
  // calling thread; one caller at a time. With `roll` the active segment is
  // closed first if it has that share. OK also if Stop() cut it short.
  absl::Status Compact(double dead_share_min, bool roll, Progress* progress)
      ABSL_LOCKS_EXCLUDED(compact_mu_, mu_);

  CompactorNumbers Numbers() const;

 private:
  struct Moves;  // That are on their way through the committer.

  void Loop() ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status CompactSegment(uint64_t number, const SharedSegment& segment,
                              JobProgress* so_far, Progress* progress)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(compact_mu_);

  // Whether the record is the newest of its name, or holds a piece of its
  // content. Fills `change`, and `needed_by` with the file that needs it: that
  // is another one if the name was an appender's that was sealed.
  absl::StatusOr<bool> IsLive(const RecordScanner& scanner,
                              disk::v1::FileChange* change,
                              std::string* needed_by);
  absl::StatusOr<bool> HoldsLive(uint64_t number, const SharedSegment& segment,
                                 File* file);
  absl::Status MoveIfLive(const RecordScanner& scanner, Moves* moves);
  absl::Status Doom(uint64_t number) ABSL_EXCLUSIVE_LOCKS_REQUIRED(compact_mu_);
  bool stopping() const ABSL_LOCKS_EXCLUDED(mu_);

  // Waits as long as `bytes` take at the rate that is allowed.
  void Pace(int64_t bytes) ABSL_LOCKS_EXCLUDED(mu_);

  const CompactorParts parts_;

  Mutex compact_mu_;  // Held while segments are compacted; before mu_.

  // Segments that could not be emptied, with what lived in them then: not tried
  // again before that changes.
  std::map<uint64_t, int64_t> stuck_ ABSL_GUARDED_BY(compact_mu_);

  mutable Mutex mu_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;

  std::atomic<uint64_t> emptied_{0};
  std::atomic<uint64_t> copied_bytes_{0};
  std::atomic<uint64_t> damaged_records_{0};

  std::thread thread_;  // Runs Loop(). Joined by Stop().
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_COMPACTOR_H_
