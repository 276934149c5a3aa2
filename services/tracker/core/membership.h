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
// That is what this tracker observes itself, and it comes first. Of a node that
// is not attached here, the tracker that heard it last knows best: another one
// that does, by MergeWords().
//
// Operators' decisions are kept here too, since they change what is published:
// what a node is used for, and whether it is a member at all. A node that was
// removed is in no snapshot and no model.
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
#include "absl/types/span.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/placement/cluster_model.h"
#include "services/tracker/core/decisions.h"
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

  // Nodes, and decisions, that are remembered at most.
  size_t nodes_max = 10000;
  size_t decisions_max = 50000;

  // UUID of this process, for the times of decisions.
  std::string tracker_instance;
};

// What happened at one revision.
struct ClusterChange {
  uint64_t revision = 0;
  bool space_only = false;
  std::vector<NodeRecord> changed;
  std::vector<NodeRecord> removed;
  absl::optional<PlacementPolicy> policy;  // Set if it changed.
};

// All that is known at one revision.
struct ClusterSnapshot {
  uint64_t revision = 0;
  std::vector<NodeRecord> nodes;  // By UUID, without those that were removed.
  PlacementPolicy policy;
};

// What an operator's decision is judged by.
struct OperatorView {
  std::vector<NodeRecord> nodes;  // By UUID, with those that were removed.
  Decisions decisions;
  PlacementPolicy policy;             // That is in force.
  PlacementPolicy configured_policy;  // Without decisions.

  // Addresses of other trackers with which the last exchange failed. Not filled
  // in by Membership.
  std::vector<std::string> trackers_apart;
};

// How many there are, for metrics.
struct MembershipCounts {
  size_t active = 0;
  size_t suspect = 0;
  size_t offline = 0;
  size_t removed = 0;  // Not among the others.
  size_t attached = 0;
  size_t decisions = 0;  // In force.
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
  // `known` are nodes from before; they are OFFLINE until heard of. So are
  // `decisions`, which must be valid. `clock` is borrowed and must outlive
  // this.
  Membership(MembershipOptions options, PlacementPolicy policy,
             std::vector<NodeRecord> known,
             const std::vector<Decision>& decisions, Clock* clock);

  // Once it is known, which is after the server is bound. Call it before the
  // first node attaches.
  void SetTrackerAddress(absl::string_view address) ABSL_LOCKS_EXCLUDED(mu_);

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
  //   FAILED_PRECONDITION  WRONG_CLUSTER, or NODE_REMOVED.
  //   RESOURCE_EXHAUSTED   more than `nodes_max` are known.
  absl::StatusOr<Attached> Attach(NodeIdentity identity, NodeStatus status)
      ABSL_LOCKS_EXCLUDED(mu_);

  // It is alive, and how it is.
  //   INVALID_ARGUMENT     a field is malformed.
  //   FAILED_PRECONDITION  NODE_REMOVED.
  //   ABORTED              a newer attachment has displaced this one.
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

  // For another tracker: all nodes but those that it hears itself, and what is
  // known of each.
  std::vector<NodeWord> WordsExcept(const std::set<std::string>& heard_there)
      ABSL_LOCKS_EXCLUDED(mu_);

  // UUIDs of the nodes that are ACTIVE and attached here.
  std::set<std::string> HeardHere() ABSL_LOCKS_EXCLUDED(mu_);

  // What the tracker at `address` says. Words that are malformed or of another
  // cluster are passed over; their number is returned.
  size_t MergeWords(absl::string_view address, std::vector<NodeWord> words)
      ABSL_LOCKS_EXCLUDED(mu_);

  // FAILED_PRECONDITION, NODE_REMOVED, if the node was removed; else OK.
  absl::Status CheckMember(absl::string_view node_uuid)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Gives decisions that are taken here and now their time: later than all that
  // was merged.
  std::vector<Decision> Stamp(std::vector<Decision> decisions)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Takes decisions and publishes what they change. Those that are malformed,
  // and new ones beyond `decisions_max`, are passed over; their number is
  // returned. `saved`: they need no saving.
  size_t MergeDecisions(absl::Span<const Decision> decisions, bool saved)
      ABSL_LOCKS_EXCLUDED(mu_);

  // By key, with those that were taken back.
  std::vector<Decision> AllDecisions() ABSL_LOCKS_EXCLUDED(mu_);
  uint64_t decisions_digest() ABSL_LOCKS_EXCLUDED(mu_);

  OperatorView ViewForOperators() ABSL_LOCKS_EXCLUDED(mu_);

  ClusterSnapshot Snapshot() ABSL_LOCKS_EXCLUDED(mu_);

  // Also one that was removed. nullopt if it is not known.
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

  // Every decision that a node was removed, or let back, of the nodes of a
  // group and of nodes that are not known here.
  std::vector<Decision> RemovalsIn(absl::string_view group)
      ABSL_LOCKS_EXCLUDED(mu_);

  // What is in force; nullopt if nothing is.
  absl::optional<uint64_t> DecidedValue(DecisionField field,
                                        absl::string_view subject)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Every decision about what a group, and each group of each client, may hold.
  std::vector<Decision> QuotasIn(absl::string_view group)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Nodes that became known or changed (free space apart) since the last call,
  // to be saved. If saving fails, give them back with KeepUnsaved().
  std::vector<NodeRecord> TakeUnsaved() ABSL_LOCKS_EXCLUDED(mu_);
  void KeepUnsaved(const std::vector<NodeRecord>& nodes)
      ABSL_LOCKS_EXCLUDED(mu_);

  // The same for decisions that came from other trackers.
  std::vector<Decision> TakeUnsavedDecisions() ABSL_LOCKS_EXCLUDED(mu_);
  void KeepUnsavedDecisions(const std::vector<Decision>& decisions)
      ABSL_LOCKS_EXCLUDED(mu_);

  MembershipCounts Counts() ABSL_LOCKS_EXCLUDED(mu_);

  uint64_t revision() const ABSL_LOCKS_EXCLUDED(mu_);
  const MembershipOptions& options() const { return options_; }

 private:
  struct Member {
    NodeRecord node;
    uint64_t attachment = 0;  // 0: not attached.

    // When it was heard last, by anybody, and by this tracker itself, with what
    // that says of it. Clock::Monotonic(); -infinite: never.
    absl::Duration heard = -absl::InfiniteDuration();
    absl::Duration own_heard = -absl::InfiniteDuration();
    NodeState own_state = NodeState::kOffline;
  };

  // The state of a node that was in `state` when it was last heard of.
  NodeState AfterSilence(NodeState state, absl::Duration silence) const;

  absl::Status CheckNew(const NodeIdentity& identity)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Hear(Member* member) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  bool IsRemoved(absl::string_view node_uuid) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status NodeRemoved(const NodeIdentity& identity) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // Sets what follows from the decisions. Returns whether anything changed.
  bool ApplyDecisions(Member* member) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool ApplyDecisionsToPolicy() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // Makes the next revision of these; their free space is in it, so nothing
  // about them waits any more.
  void Publish(const std::vector<const Member*>& members, bool space_only,
               bool with_policy = false) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  void Notify(bool changed) {
    if (changed && observer_ != nullptr) observer_->OnChange();
  }

  const MembershipOptions options_;
  const PlacementPolicy configured_policy_;
  Clock* const clock_;
  MembershipObserver* observer_ = nullptr;

  mutable Mutex mu_;
  std::string tracker_address_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, Member> members_ ABSL_GUARDED_BY(mu_);  // By UUID.
  Decisions decisions_ ABSL_GUARDED_BY(mu_);
  PlacementPolicy policy_ ABSL_GUARDED_BY(mu_);  // With decisions.
  absl::flat_hash_map<uint64_t, std::string> attachments_ ABSL_GUARDED_BY(mu_);
  uint64_t last_attachment_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t revision_ ABSL_GUARDED_BY(mu_) = 1;
  std::deque<std::shared_ptr<const ClusterChange>> log_ ABSL_GUARDED_BY(mu_);
  std::shared_ptr<const ClusterModel> model_ ABSL_GUARDED_BY(mu_);
  std::set<std::string> space_waits_ ABSL_GUARDED_BY(mu_);  // UUIDs.
  absl::Duration space_published_ ABSL_GUARDED_BY(mu_) =
      -absl::InfiniteDuration();
  std::set<std::string> unsaved_ ABSL_GUARDED_BY(mu_);  // UUIDs.
  std::set<DecisionKey> unsaved_decisions_ ABSL_GUARDED_BY(mu_);
};

}  // namespace tracker
}  // namespace cairn

#endif  // CAIRN_SERVICES_TRACKER_CORE_MEMBERSHIP_H_
