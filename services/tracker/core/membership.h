// Who is in the cluster and how they are, as this tracker sees it.
//
//            Attach, Report                 silent for suspect_after, or the
//   ┌────────────────────────▶ ACTIVE ────── stream broke ──────▶ SUSPECT
//   │                             ▲                                  │
//   │                             └──────────── Report ──────────────┤
//   │                                                                │
//   └── OFFLINE ◀────────── silent for offline_after ────────────────┘
//          ▲
//          └── loaded from disk; stream ended after "stopping"
//
// Every change that others must hear of gets the next revision and goes to a
// log of bounded length, from which watchers read at their own pace: who is too
// slow finds a gap and takes a snapshot. Changes of free space alone are put
// together and published at most once per `space_interval`.

#ifndef CAIRN_SERVICES_TRACKER_CORE_MEMBERSHIP_H_
#define CAIRN_SERVICES_TRACKER_CORE_MEMBERSHIP_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/placement/cluster_model.h"
#include "services/tracker/core/node_record.h"

namespace cairn {
namespace tracker {

struct MembershipOptions {
  std::string cluster_id;

  // Silence after which a node is SUSPECT and OFFLINE.
  absl::Duration suspect_after = absl::Seconds(3);
  absl::Duration offline_after = absl::Seconds(10);

  // Least time between two changes that are about free space only.
  absl::Duration space_interval = absl::Seconds(1);

  // Changes that a watcher may lag behind before it needs a snapshot.
  size_t change_log_max = 256;

  // Nodes that are remembered at most.
  size_t nodes_max = 10000;
};

// What happened at one revision.
struct ClusterChange {
  uint64_t revision = 0;
  bool space_only = false;
  std::vector<NodeRecord> changed;
};

// All that is known at one revision.
struct ClusterSnapshot {
  uint64_t revision = 0;
  std::vector<NodeRecord> nodes;  // By UUID.
};

// How many there are, for metrics.
struct MembershipCounts {
  size_t active = 0;
  size_t suspect = 0;
  size_t offline = 0;
  size_t attached = 0;
};

// Told that the revision has grown, on the thread that made it grow, with no
// lock held. Calls may overlap and overtake each other: ask for ChangesSince().
class MembershipObserver {
 public:
  virtual ~MembershipObserver() = default;
  virtual void OnChange() = 0;
};

// Thread-safe; nothing here waits for a disk or the network.
class Membership {
 public:
  // `known` are nodes from before; they are OFFLINE until heard of. `clock` is
  // borrowed and must outlive this.
  Membership(MembershipOptions options, PlacementPolicy policy,
             std::vector<NodeRecord> known, Clock* clock);

  // Null for none. Call it before the first change.
  void SetObserver(MembershipObserver* observer) { observer_ = observer; }

  struct Attached {
    uint64_t attachment = 0;

    // The node's attachment before, which is void now; 0 if it had none.
    uint64_t displaced = 0;
  };

  // A node that has proved to be a member is here.
  //   INVALID_ARGUMENT     a field is malformed, or the node number belongs to
  //                        another node of the group.
  //   FAILED_PRECONDITION  WRONG_CLUSTER.
  //   RESOURCE_EXHAUSTED   more than `nodes_max` are known.
  absl::StatusOr<Attached> Attach(NodeIdentity identity, NodeStatus status)
      ABSL_LOCKS_EXCLUDED(mu_);

  // It is alive, and how it is.
  //   INVALID_ARGUMENT  a field is malformed.
  //   ABORTED           a newer attachment has displaced this one.
  absl::Status Report(uint64_t attachment, NodeStatus status)
      ABSL_LOCKS_EXCLUDED(mu_);

  // The stream is gone. The node is SUSPECT at once; OFFLINE if it had said
  // that it stops. Nothing happens if the attachment was displaced.
  void Detach(uint64_t attachment) ABSL_LOCKS_EXCLUDED(mu_);

  // Looks at the clock: silent nodes change state, and changes of free space
  // that wait are published. Call it several times a second. Returns the
  // attachments whose nodes are OFFLINE now: nothing comes from these streams
  // any more, so end them.
  std::vector<uint64_t> Tick() ABSL_LOCKS_EXCLUDED(mu_);

  ClusterSnapshot Snapshot() ABSL_LOCKS_EXCLUDED(mu_);

  // nullopt if it is not known.
  absl::optional<NodeRecord> FindNode(absl::string_view node_uuid)
      ABSL_LOCKS_EXCLUDED(mu_);

  // The changes behind `revision`, in order, at most `limit`; none if there are
  // none. nullopt if the log does not reach back that far: take a snapshot.
  absl::optional<std::vector<std::shared_ptr<const ClusterChange>>>
  ChangesSince(uint64_t revision, size_t limit) ABSL_LOCKS_EXCLUDED(mu_);

  // For placement; as of the newest revision.
  std::shared_ptr<const ClusterModel> Model() ABSL_LOCKS_EXCLUDED(mu_);

  // The other members of the node's group.
  std::vector<NodeRecord> PeersOf(const NodeIdentity& identity)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Nodes that became known or changed (free space apart) since the last call,
  // to be saved. If saving fails, give them back with KeepUnsaved().
  std::vector<NodeRecord> TakeUnsaved() ABSL_LOCKS_EXCLUDED(mu_);
  void KeepUnsaved(const std::vector<NodeRecord>& nodes)
      ABSL_LOCKS_EXCLUDED(mu_);

  MembershipCounts Counts() ABSL_LOCKS_EXCLUDED(mu_);

  uint64_t revision() const ABSL_LOCKS_EXCLUDED(mu_);
  const MembershipOptions& options() const { return options_; }
  const PlacementPolicy& policy() const { return policy_; }

 private:
  struct Member {
    NodeRecord node;
    uint64_t attachment = 0;                          // 0: not attached.
    absl::Duration heard = absl::InfiniteDuration();  // Clock::Monotonic().
  };

  absl::Status CheckNew(const NodeIdentity& identity)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Hear(Member* member) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // Makes the next revision of these; their free space is in it, so nothing
  // about them waits any more.
  void Publish(const std::vector<const Member*>& members, bool space_only)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  void Notify(bool changed) {
    if (changed && observer_ != nullptr) observer_->OnChange();
  }

  const MembershipOptions options_;
  const PlacementPolicy policy_;
  Clock* const clock_;
  MembershipObserver* observer_ = nullptr;

  mutable Mutex mu_;
  std::map<std::string, Member> members_ ABSL_GUARDED_BY(mu_);  // By UUID.
  absl::flat_hash_map<uint64_t, std::string> attachments_ ABSL_GUARDED_BY(mu_);
  uint64_t last_attachment_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t revision_ ABSL_GUARDED_BY(mu_) = 1;
  std::deque<std::shared_ptr<const ClusterChange>> log_ ABSL_GUARDED_BY(mu_);
  std::shared_ptr<const ClusterModel> model_ ABSL_GUARDED_BY(mu_);
  std::set<std::string> space_waits_ ABSL_GUARDED_BY(mu_);  // UUIDs.
  absl::Duration space_published_ ABSL_GUARDED_BY(mu_) =
      -absl::InfiniteDuration();
  std::set<std::string> unsaved_ ABSL_GUARDED_BY(mu_);  // UUIDs.
};

}  // namespace tracker
}  // namespace cairn

#endif  // CAIRN_SERVICES_TRACKER_CORE_MEMBERSHIP_H_
