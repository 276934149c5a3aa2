// What operators let this node's group hold, as its trackers say.

#ifndef CAIRN_SERVICES_STORAGE_SYNC_QUOTA_DECISIONS_H_
#define CAIRN_SERVICES_STORAGE_SYNC_QUOTA_DECISIONS_H_

#include "absl/base/thread_annotations.h"
#include "cairn/tracker/v1/membership_service.pb.h"
#include "lib/base/mutex.h"
#include "services/storage/core/quotas.h"
#include "services/storage/sync/latest_decisions.h"

namespace cairn {
namespace storage {

// Thread-safe. Nothing is kept on the disk: a node that has not heard a tracker
// since it was started knows of no quotas.
class QuotaDecisions {
 public:
  // Takes what a tracker says of quotas, and gives `quotas` what follows, if
  // anything was new.
  void Merge(const tracker::v1::GroupPeers& peers, Quotas* quotas)
      ABSL_LOCKS_EXCLUDED(mu_);

 private:
  QuotaLimits Limits() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  Mutex mu_;  // Before that of Quotas.
  LatestDecisions group_files_ ABSL_GUARDED_BY(mu_);
  LatestDecisions group_bytes_ ABSL_GUARDED_BY(mu_);
  LatestDecisions client_files_ ABSL_GUARDED_BY(mu_);
  LatestDecisions client_bytes_ ABSL_GUARDED_BY(mu_);
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_SYNC_QUOTA_DECISIONS_H_
