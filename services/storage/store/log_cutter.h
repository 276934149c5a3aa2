// Drops the entries of a store path's logs that nobody needs any more, and
// writes how far logs are into the journal.
//
//   ──── dropped ────┐┌──── kept ─────────────────────────────▶ newest
//                  cut│ younger than log_retention, or some member has not got
//                     │ them and they are younger than log_retention_longest,
//                     │ or a member that is there has not got them
//
// Positions decide what may go at all, clocks only when. A clock that is wrong
// drops entries sooner or later which every member has that is there; a member
// that was away and does not find them takes a snapshot.

#ifndef CAIRN_SERVICES_STORAGE_STORE_LOG_CUTTER_H_
#define CAIRN_SERVICES_STORAGE_STORE_LOG_CUTTER_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "lib/base/clock.h"
#include "services/storage/core/replica_log.h"
#include "services/storage/store/change_set.h"
#include "services/storage/store/committer.h"
#include "services/storage/store/index.h"
#include "services/storage/store/journal.h"
#include "services/storage/store/log_head.h"
#include "services/storage/store/options.h"
#include "services/storage/store/path_health.h"
#include "services/storage/store/path_state.h"

namespace cairn {
namespace storage {

// Says in the journal, and in `changes`, how far logs are; see
// ReplicaStore::SetLogs(). On the committer's thread, in a task of
// Committer::Run(). Errors as of every change.
absl::Status WriteLogs(const std::vector<LogRange>& logs, PathState* state,
                       Journal* journal, PathHealth* health,
                       ChangeSet* changes);

// All borrowed.
struct LogCutterParts {
  const StorePathOptions* options = nullptr;
  Index* index = nullptr;
  PathState* state = nullptr;
  Journal* journal = nullptr;
  PathHealth* health = nullptr;
  Committer* committer = nullptr;
  Clock* clock = nullptr;
};

// One thread at a time.
class LogCutter {
 public:
  explicit LogCutter(const LogCutterParts& parts) : parts_(parts) {}

  // Cuts every log as far as it may be. Reads some dozen entries of each, and
  // writes one record if there is something to cut. The index gives the room
  // back with the next checkpoint.
  absl::Status RunOnce();

  // Where to cut `log` now; its present cut if there is nothing to drop.
  absl::StatusOr<uint64_t> CutOf(const LogHead& log) const;

 private:
  // The last of (cut, until] that is older than `age`; `cut` if none is.
  absl::StatusOr<uint64_t> LastOlderThan(const LogHead& log, uint64_t until,
                                         absl::Duration age) const;

  const LogCutterParts parts_;
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_LOG_CUTTER_H_
