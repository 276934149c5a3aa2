// Changes of other members that a path could not apply: which errors are of a
// single change, and trying again what was set aside.
//
//   LogPull, SnapshotPull ── IsOfOneChange ─▶ Apply(set_aside) ─▶ the path
//   SetAsideRetries ◀── ListSetAside ────────────────────────────┘ remembers
//                   ── Apply(kRetry), less and less often ─▶ applied, forgotten

#ifndef CAIRN_SERVICES_STORAGE_CORE_SET_ASIDE_H_
#define CAIRN_SERVICES_STORAGE_CORE_SET_ASIDE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "lib/base/mutex.h"
#include "services/storage/core/missing_contents.h"
#include "services/storage/core/replica_log.h"
#include "services/storage/core/store_path.h"

namespace cairn {
namespace storage {

// Whether a change that ReplicaStore::Apply() refused with `status` is to be
// set aside: the error is its own, and another change may well be applied. Not
// so if the path takes no changes now, or must get another one first.
bool IsOfOneChange(const absl::Status& status);

// What was set aside, for people.
struct SetAsideInfo {
  ReplicatedChange change;
  uint32_t attempts = 0;  // Since the process began.
  absl::Status error;     // Of the last one.
};

// Used by one thread.
class SetAsideRetries {
 public:
  // Waits between two attempts for one change.
  SetAsideRetries(absl::Duration shortest, absl::Duration longest)
      : shortest_(shortest), longest_(longest) {}

  // Tries what is due. `path` was attached to, and `missing` is its; what comes
  // without its content is added there first.
  void Tick(absl::Duration now, StorePath* path,
            const std::shared_ptr<MissingContents>& missing);

  // The path is another one from now on.
  void Clear() { items_.clear(); }

  size_t size() const { return items_.size(); }

  // At most `limit`, by name.
  std::vector<SetAsideInfo> List(size_t limit) const;

 private:
  // An attempt. The path answers on a thread of its own.
  struct Attempt {
    Mutex mu;
    absl::optional<absl::Status> result ABSL_GUARDED_BY(mu);
  };
  struct Item {
    SetAsideInfo info;
    std::shared_ptr<Attempt> attempt;  // While one runs.
    absl::Duration next = -absl::InfiniteDuration();
    absl::Duration wait = absl::ZeroDuration();
  };

  const absl::Duration shortest_;
  const absl::Duration longest_;
  std::map<std::string, Item> items_;  // By name.
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_SET_ASIDE_H_
