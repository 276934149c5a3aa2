// Which nodes operators have removed from this node's group, as its trackers
// say, and who changes the appenders of these.
//
// From GroupPeers.removals; see latest_decisions.h. A node of which no tracker
// has said that it was removed is a member: one that is new need not wait until
// this node has heard of it.

#ifndef CAIRN_SERVICES_STORAGE_SYNC_REMOVED_MEMBERS_H_
#define CAIRN_SERVICES_STORAGE_SYNC_REMOVED_MEMBERS_H_

#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cairn/tracker/v1/decision.pb.h"
#include "cairn/tracker/v1/membership_service.pb.h"
#include "lib/base/mutex.h"
#include "services/storage/sync/latest_decisions.h"

namespace cairn {
namespace storage {

// Thread-safe.
class RemovedMembers {
 public:
  // Takes what a tracker says of removed nodes.
  void Merge(const tracker::v1::GroupPeers& peers) ABSL_LOCKS_EXCLUDED(mu_);

  // The same of who changes their appenders. Behind Merge(), when all that
  // follows from that is done.
  void MergeHeirs(const tracker::v1::GroupPeers& peers)
      ABSL_LOCKS_EXCLUDED(mu_);

  // `node_uuid` in canonical text form.
  bool IsRemoved(absl::string_view node_uuid) const ABSL_LOCKS_EXCLUDED(mu_);

  // OK, or what a call of that node is refused with:
  //   PERMISSION_DENIED  NODE_REMOVED.
  absl::Status Check(absl::string_view node_uuid) const
      ABSL_LOCKS_EXCLUDED(mu_);

  // Number of the node that changes appenders which the node with this number
  // created: itself, unless it was removed. The heir's heir, if that was
  // removed by a tracker which had not heard of the first removal.
  uint32_t ChangerOf(uint32_t origin_node) const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  mutable Mutex mu_;

  static void MergeInto(const tracker::v1::GroupPeers& peers,
                        tracker::v1::DecisionField field,
                        LatestDecisions* latest);

  LatestDecisions removed_ ABSL_GUARDED_BY(mu_);  // By UUID.
  LatestDecisions heirs_ ABSL_GUARDED_BY(mu_);    // By number, in decimal.
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_SYNC_REMOVED_MEMBERS_H_
