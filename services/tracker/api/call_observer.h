// Told of every call that a tracker answered, for metrics.

#ifndef CAIRN_SERVICES_TRACKER_API_CALL_OBSERVER_H_
#define CAIRN_SERVICES_TRACKER_API_CALL_OBSERVER_H_

#include <cstddef>

#include "absl/status/status.h"

namespace cairn {
namespace tracker {

enum class TrackerMethod {
  kWatchCluster,
  kPlaceUpload,
  kLocate,
  kListGroups,
  kListNodes,
  kGetChallenge,
  kListDecisions,
  kSetNode,
  kRemoveNode,
  kRestoreNode,
  kSetGroup,
  kSetClient
};
inline constexpr size_t kTrackerMethods = 12;

// Called on gRPC threads and those of PeerLinks; must not block.
class CallObserver {
 public:
  virtual ~CallObserver() = default;

  // A call was answered; a watch when it ends.
  virtual void OnCall(TrackerMethod method, absl::StatusCode code) = 0;

  // A storage was not let in.
  virtual void OnAttachRefused(const absl::Status& status) = 0;

  // A round that this tracker began with another one has ended.
  virtual void OnExchange(absl::StatusCode code) = 0;

  // Somebody began a round here and was sent away.
  virtual void OnExchangeRefused(const absl::Status& status) = 0;
};

}  // namespace tracker
}  // namespace cairn

#endif  // CAIRN_SERVICES_TRACKER_API_CALL_OBSERVER_H_
