// Which nodes operators have removed from this node's group, as its trackers
// say.
//
// Every tracker sends the registers that it has (GroupPeers.removals); the
// latest of all counts, so that a tracker which was away, or is gone for good,
// cannot bring a node back with what it said before. A node of which no tracker
// has said that it was removed is a member: one that is new need not wait until
// this node has heard of it.

#ifndef CAIRN_SERVICES_STORAGE_SYNC_REMOVED_MEMBERS_H_
#define CAIRN_SERVICES_STORAGE_SYNC_REMOVED_MEMBERS_H_

#include <functional>
#include <map>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cairn/tracker/v1/decision.pb.h"
#include "cairn/tracker/v1/membership_service.pb.h"
#include "lib/base/mutex.h"

namespace cairn {
namespace storage {

// Thread-safe.
class RemovedMembers {
 public:
  // Takes what a tracker says. What is no removal is passed over.
  void Merge(const tracker::v1::GroupPeers& peers) ABSL_LOCKS_EXCLUDED(mu_);

  // `node_uuid` in canonical text form.
  bool IsRemoved(absl::string_view node_uuid) const ABSL_LOCKS_EXCLUDED(mu_);

  // OK, or what a call of that node is refused with:
  //   PERMISSION_DENIED  NODE_REMOVED.
  absl::Status Check(absl::string_view node_uuid) const
      ABSL_LOCKS_EXCLUDED(mu_);

 private:
  mutable Mutex mu_;

  // By UUID, those that were taken back too. As many as the trackers keep.
  std::map<std::string, tracker::v1::Decision, std::less<>> latest_
      ABSL_GUARDED_BY(mu_);
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_SYNC_REMOVED_MEMBERS_H_
