// Brings index and state up to what the journal says, when a path is opened.

#ifndef CAIRN_SERVICES_STORAGE_STORE_RECOVERY_H_
#define CAIRN_SERVICES_STORAGE_STORE_RECOVERY_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cairn/disk/v1/index.pb.h"
#include "lib/io/file_system.h"
#include "services/storage/store/change_set.h"
#include "services/storage/store/index.h"
#include "services/storage/store/path_state.h"
#include "services/storage/store/segment_format.h"
#include "services/storage/store/segment_set.h"

namespace cairn {
namespace storage {

struct RecoveryResult {
  // Where the journal goes on; durable up to there. `file` is null if the last
  // segment is sealed or there is none.
  JournalPosition end;
  std::shared_ptr<File> file;

  // Numbers of the log may have been given to changes that are gone: a new
  // epoch is needed.
  bool may_have_lost_changes = false;

  uint64_t replayed_records = 0;
  uint64_t damaged_records = 0;

  // Files left out, since their dedicated segment did not survive.
  uint64_t lost_files = 0;

  // Segments in uploads/ that have a journal: they may go on.
  std::vector<uint64_t> uploads;
};

// Replays from the checkpoint in `checkpoint`, which `state` was loaded from.
// Cuts a torn tail off; names damage before it, skips it and goes on. Removes
// what is left of uploads that cannot go on, and what nothing refers to.
// `boot_id` is of now. With `suspect` a sync has failed since the checkpoint:
// what reads back need not be on the disk, so it is judged as after a power
// cut, and written again. Borrows everything for the call.
//   UNAVAILABLE, RESOURCE_EXHAUSTED  the disk refused.
absl::StatusOr<RecoveryResult> Recover(const ChangeSetOptions& options,
                                       const disk::v1::IndexState& checkpoint,
                                       const std::string& boot_id, bool suspect,
                                       SegmentSet* segments, Index* index,
                                       PathState* state);

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_RECOVERY_H_
