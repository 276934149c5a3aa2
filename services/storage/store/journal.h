// The journal of a store path: the shared segments in the order of their
// numbers, of which the last one is written to.

#ifndef CAIRN_SERVICES_STORAGE_STORE_JOURNAL_H_
#define CAIRN_SERVICES_STORAGE_STORE_JOURNAL_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/io/file_system.h"
#include "services/storage/store/engine_metrics.h"
#include "services/storage/store/path_state.h"
#include "services/storage/store/segment_format.h"
#include "services/storage/store/segment_set.h"

namespace cairn {
namespace storage {

// One thread appends (the committer, or whoever opens the path); any thread may
// sync and ask for positions. After a sync has failed nothing may be appended
// or synced any more; the caller sees to that.
class Journal {
 public:
  // All borrowed; `observer` may be null.
  Journal(SegmentSet* segments, PathState* state, Clock* clock,
          EngineObserver* observer, int64_t segment_bytes);

  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  // Goes on behind the last whole record of the active segment, all of which is
  // durable. Called once, before anything else; without it the first
  // RollIfNeeded() begins a segment.
  void Resume(std::shared_ptr<File> file, const JournalPosition& end);

  // Begins a new segment if there is none or if the active one is full, and
  // seals the old one. Does not wait for the old one's sync: that comes with
  // the next Sync(). Then end() is where the next record stands.
  //   RESOURCE_EXHAUSTED  no space; nothing has changed.
  absl::Status RollIfNeeded();

  // The same, whether the active segment is full or not.
  absl::Status Roll();

  // Writes records that were encoded for end(); `parts` together are
  // `bytes` long, a multiple of 8.
  //   RESOURCE_EXHAUSTED  no space; what was written of them is cut off again.
  //   others              the journal's end is unknown: the path is broken.
  absl::Status Append(absl::Span<const absl::string_view> parts, int64_t bytes);

  // Writes a record that is no change of a file. Errors as of Append().
  absl::Status AppendControl(RecordType type, absl::string_view meta);

  // Makes everything that was appended before the call durable, older segments
  // first.
  absl::Status Sync() ABSL_LOCKS_EXCLUDED(mu_);

  // Where the next record begins, and how far everything is durable.
  JournalPosition end() const ABSL_LOCKS_EXCLUDED(mu_);
  JournalPosition synced() const ABSL_LOCKS_EXCLUDED(mu_);

  // Bytes appended since the journal was opened.
  int64_t appended_bytes() const ABSL_LOCKS_EXCLUDED(mu_);
  uint64_t syncs() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  SegmentSet* const segments_;
  PathState* const state_;
  Clock* const clock_;
  EngineObserver* const observer_;
  const int64_t segment_bytes_;

  mutable Mutex mu_;
  std::shared_ptr<File> file_ ABSL_GUARDED_BY(mu_);
  std::vector<std::shared_ptr<File>> sealed_ ABSL_GUARDED_BY(mu_);  // Unsynced.
  JournalPosition end_ ABSL_GUARDED_BY(mu_);
  JournalPosition synced_ ABSL_GUARDED_BY(mu_);
  int64_t appended_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t syncs_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_JOURNAL_H_
