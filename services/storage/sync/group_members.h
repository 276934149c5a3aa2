// The other members of the node's group, put together from what each of its
// trackers says, and what operators have decided of those that are none any
// more.
//
//   tracker A: b, c ─┐
//   tracker B: b, d ─┴─▶ b, c, d, each at its newest address ─▶ without those
//                                                               that were
//                                                               removed
//
// A tracker that has just begun with an empty disk, or was cut off from the
// others, knows of few or none. So what is said may leave somebody out until
// every tracker has spoken, or those that have not were waited for.

#ifndef CAIRN_SERVICES_STORAGE_SYNC_GROUP_MEMBERS_H_
#define CAIRN_SERVICES_STORAGE_SYNC_GROUP_MEMBERS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "cairn/tracker/v1/membership_service.pb.h"
#include "lib/base/mutex.h"
#include "services/storage/core/peer_transport.h"
#include "services/storage/sync/removed_members.h"

namespace cairn {
namespace storage {

// Thread-safe.
class GroupMembers {
 public:
  // How long the other trackers are waited for once one has spoken.
  static constexpr absl::Duration kPatience = absl::Seconds(3);

  // Of the node with this number. So many trackers are asked, at least one.
  GroupMembers(uint32_t node_number, size_t trackers)
      : node_number_(node_number), trackers_(trackers) {}

  // Of the store path with this index; `all_known`: nobody is left out, as far
  // as any tracker can say. Called for each of `paths` store paths, before the
  // call that it is given to returns, one call at a time over all threads.
  using SetPeers = std::function<void(size_t store_path,
                                      std::vector<Peer> peers, bool all_known)>;

  // Takes what `tracker` says, which counts until it says something else, and
  // tells who the members are. Times are those of Clock::Monotonic().
  void Merge(const std::string& tracker, const tracker::v1::GroupPeers& peers,
             absl::Duration now, size_t paths, const SetPeers& set_peers)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Tells it once more when nobody is waited for any longer. Several times a
  // second.
  void Tick(absl::Duration now, size_t paths, const SetPeers& set_peers)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Names that are older than this are not those of a member that is new.
  static constexpr absl::Duration kNewsTravels = absl::Hours(1);

  // Whether the node that made the name is this one, or one of which a tracker
  // has said that it is a member or was removed. If not, and the name is young
  // by the clock of whoever made it, that node is a new member and has what
  // nobody can be asked for yet. True of all as long as no tracker has spoken.
  bool KnowsMakerOf(absl::string_view name, absl::Time now) const
      ABSL_LOCKS_EXCLUDED(mu_);

  const RemovedMembers& removed() const { return removed_; }

 private:
  void Tell(size_t paths, const SetPeers& set_peers)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const uint32_t node_number_;
  const size_t trackers_;
  RemovedMembers removed_;

  // Held while peers are set, so that nobody sets older ones behind newer ones.
  mutable Mutex mu_;
  std::map<std::string, tracker::v1::GroupPeers> said_ ABSL_GUARDED_BY(mu_);
  absl::optional<absl::Duration> first_said_ ABSL_GUARDED_BY(mu_);
  bool all_known_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_SYNC_GROUP_MEMBERS_H_
