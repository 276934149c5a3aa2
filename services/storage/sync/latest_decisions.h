// Operators' decisions as a node keeps what its trackers tell of them.
//
// Every tracker sends the registers that it has; the latest of all counts, so
// that a tracker which was away, or is gone for good, cannot take back what
// was decided since.

#ifndef CAIRN_SERVICES_STORAGE_SYNC_LATEST_DECISIONS_H_
#define CAIRN_SERVICES_STORAGE_SYNC_LATEST_DECISIONS_H_

#include <functional>
#include <map>
#include <string>

#include "cairn/tracker/v1/decision.pb.h"

namespace cairn {
namespace storage {

// Of one field, by subject; those that were taken back, too. As many as the
// trackers keep.
using LatestDecisions =
    std::map<std::string, tracker::v1::Decision, std::less<>>;

// Takes `decision` if it is later than what is there about its subject. Returns
// whether it was.
bool MergeLatest(const tracker::v1::Decision& decision,
                 LatestDecisions* latest);

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_SYNC_LATEST_DECISIONS_H_
