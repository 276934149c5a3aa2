// The replication of a node: a Replicator for each store path, the thread that
// ticks them, and what trackers say of the other members.

#ifndef CAIRN_SERVICES_STORAGE_SYNC_REPLICATION_H_
#define CAIRN_SERVICES_STORAGE_SYNC_REPLICATION_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cairn/tracker/v1/membership_service.pb.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "services/storage/core/peer_transport.h"
#include "services/storage/core/replicator.h"
#include "services/storage/core/storage_node.h"
#include "services/storage/core/upkeep.h"
#include "services/storage/sync/group_members.h"

namespace cairn {
namespace storage {

// Thread-safe.
class Replication {
 public:
  // All borrowed, `upkeep.jobs` too. `node` has all its paths. `replicas` is
  // how many members are to have a change; it is only counted by. `trackers`
  // are asked who the other members are.
  Replication(StorageNode* node, PeerTransport* transport,
              const UpkeepOptions& upkeep, Clock* clock, uint32_t replicas,
              size_t trackers);
  ~Replication();  // Stop().

  Replication(const Replication&) = delete;
  Replication& operator=(const Replication&) = delete;

  void Start();

  // Answers who waits for other members with what there is, ends all streams,
  // and joins. Streams to peers end as their calls do.
  void Stop() ABSL_LOCKS_EXCLUDED(mu_);

  // The other members of the group as one tracker sees them. A member counts
  // for as long as the last word of any tracker names it, and no later one of
  // any says that it was removed.
  void OnPeers(const std::string& tracker,
               const tracker::v1::GroupPeers& peers);

  // Nobody will say who the other members are: there are none.
  void SetAlone();

  // `store_path` is below StorageNode::path_count(). Lives as long as this.
  Replicator* at(uint8_t store_path) { return replicators_[store_path].get(); }

  // OK, or why calls of that node are refused: PERMISSION_DENIED, NODE_REMOVED.
  absl::Status CheckMember(absl::string_view node_uuid) const {
    return members_.removed().Check(node_uuid);
  }

  // As RemovedMembers::ChangerOf().
  uint32_t ChangerOf(uint32_t origin_node) const {
    return members_.removed().ChangerOf(origin_node);
  }

  // As GroupMembers::KnowsMakerOf().
  bool KnowsMakerOf(absl::string_view name) const {
    return members_.KnowsMakerOf(name, clock_->Now());
  }

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mu_);
  void Wake() ABSL_LOCKS_EXCLUDED(mu_);

  void SetPeers(size_t store_path, std::vector<Peer> peers, bool all_known);

  Clock* const clock_;
  std::vector<std::unique_ptr<Replicator>> replicators_;  // Fixed.

  GroupMembers members_;

  Mutex mu_;
  CondVar wake_;
  bool woken_ ABSL_GUARDED_BY(mu_) = false;
  bool stop_ ABSL_GUARDED_BY(mu_) = false;

  std::thread thread_;  // Runs Run(). Joined by Stop().
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_SYNC_REPLICATION_H_
