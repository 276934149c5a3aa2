// A member of the group: a machine with a clock and a disk, and the process
// that runs on it, or none.
//
//   Start ─▶ process: ModelPath, Replicator, ReplicaGate (all of core), a link
//            to each tracker ─▶ Kill, PowerCut, StopCleanly ─▶ Start …
//   disk ─▶ Wipe

#ifndef CAIRN_INTEGRATION_TESTS_SIMULATION_MEMBER_H_
#define CAIRN_INTEGRATION_TESTS_SIMULATION_MEMBER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "integration_tests/simulation/event_loop.h"
#include "integration_tests/simulation/model_disk.h"
#include "integration_tests/simulation/model_path.h"
#include "integration_tests/simulation/network.h"
#include "integration_tests/simulation/sim_clock.h"
#include "integration_tests/simulation/tracker.h"
#include "lib/base/uuid.h"
#include "services/storage/api/replica_gate.h"
#include "services/storage/core/peer_transport.h"
#include "services/storage/core/replicator.h"
#include "services/storage/sync/group_members.h"

namespace cairn {
namespace simulation {

// Of all members.
inline constexpr char kGroup[] = "group1";

struct MemberOptions {
  HostId host = 0;
  uint32_t node_number = 0;
  ModelPathOptions path;
  double clock_rate = 1;
  absl::Duration clock_offset = absl::ZeroDuration();
  Uuid cluster_id;

  // Those that a process attaches to which begins now.
  std::function<std::vector<Tracker*>()> trackers;

  // It compares what it has with the others', and reads it again.
  bool upkeep = false;
  Mutations mutations;
};

// For one thread.
class Member {
 public:
  // Answers of calls; they come if the process lives until then.
  using Answer = std::function<void(absl::StatusOr<storage::Committed>)>;

  // All are borrowed.
  Member(const MemberOptions& options, const DiskFaults* faults,
         EventLoop* loop, Network* net);
  ~Member();  // Kill(false).

  Member(const Member&) = delete;
  Member& operator=(const Member&) = delete;

  // ---- The process. Each does nothing where there is nothing to do.
  void Start();
  void Kill(bool dark);
  void PowerCut();
  void StopCleanly();

  // An empty disk in the place of the old one. The process is not running.
  void Wipe();

  bool running() const { return process_ != nullptr; }
  uint64_t starts() const { return starts_; }

  // When the disk lost something last: to a power cut or worse, to a wipe or
  // worse. Of EventLoop::now().
  absl::Duration lost_unsynced() const { return lost_unsynced_; }
  absl::Duration lost_all() const { return lost_all_; }

  // Operators have removed it, or let it back: either way nothing counts that
  // it alone had.
  void SetRetired(bool retired);
  bool retired() const { return retired_; }

  // Clients have heard that it takes no uploads any more.
  void SetDraining(bool draining) { draining_ = draining; }
  bool draining() const { return draining_; }

  // ---- For the process that runs. What a request says of its durability does
  // not count, `wish` does.

  // Who changes the appenders of the node with this number, as far as is known
  // here.
  uint32_t ChangerOf(uint32_t origin_node) const;

  // The other members, as far as is known here, by address.
  std::vector<std::string> PeersKnown() const;

  // `put.content` may be large.
  void Put(storage::PutRequest put, const storage::ReplicaWish& wish,
           Answer answer);
  void Delete(storage::DeleteRequest del, const storage::ReplicaWish& wish,
              Answer answer);
  void Undelete(storage::UndeleteRequest undelete,
                const storage::ReplicaWish& wish, Answer answer);
  void SetAttributes(storage::SetAttributesRequest set,
                     const storage::ReplicaWish& wish, Answer answer);
  void SetExpiry(storage::SetExpiryRequest set,
                 const storage::ReplicaWish& wish, Answer answer);
  void Update(storage::UpdateRequest update, const storage::ReplicaWish& wish,
              Answer answer);
  void Seal(storage::SealRequest seal, const storage::ReplicaWish& wish,
            Answer answer);

  // Of what the member knows, or others tell it; what cannot be shared is read
  // and put. Size and CRC are looked up.
  void Copy(storage::CopyRequest copy, const storage::ReplicaWish& wish,
            Answer answer);

  // As one who asks this member, and it passes on what it has not.
  using ReadAnswer = std::function<void(absl::StatusOr<std::string>)>;
  void Read(const std::string& name, ReadAnswer answer);

  ModelPath* path() { return process_->path.get(); }
  storage::Replicator* replicator() { return process_->replicator.get(); }

  HostId host() const { return options_.host; }
  const std::string& name() const { return name_; }
  const Uuid& uuid() const { return uuid_; }
  uint32_t node_number() const { return options_.node_number; }
  const std::string& address() const { return address_; }
  ModelDisk* disk() { return &disk_; }
  SimClock* clock() { return &clock_; }

 private:
  class PeerRead;
  class TrackerLink;
  struct Process {
    std::unique_ptr<storage::GroupMembers> members;
    std::vector<std::unique_ptr<TrackerLink>> links;
    std::set<std::shared_ptr<PeerRead>> reads;
    std::shared_ptr<ModelPath> path;
    std::unique_ptr<storage::PeerTransport> transport;
    std::unique_ptr<storage::Replicator> replicator;
    std::unique_ptr<storage::ReplicaGate> gate;
    ServingProcess serving;
    bool tick_due = false;
  };

  void End(bool dark);
  void DriveLinks();
  storage::GroupMembers::SetPeers TakePeers();
  tracker::NodeIdentity IdentityForTrackers() const;
  tracker::NodeStatus StatusForTrackers() const;
  void Tick();
  void TickSoon();

  // Has the gate admit a call, `change` make it with what to tell when it is
  // committed, and the gate confirm it.
  void Guard(const storage::ReplicaWish& wish, Answer answer,
             const std::function<void(const storage::ReplicaWish& wish,
                                      storage::CommitDone done)>& change);

  // The same of a change that builds on what the file is.
  void GuardUpdate(const std::string& name, const storage::ReplicaWish& wish,
                   Answer answer,
                   const std::function<void(const storage::ReplicaWish& wish,
                                            storage::CommitDone done)>& change);
  void PutHere(storage::PutRequest put, storage::CommitDone done);

  // As in ReadThroughPath.
  template <typename Request>
  void ChangeKnown(void (storage::StorePath::*change)(Request,
                                                      storage::CommitDone),
                   Request request, storage::CommitDone done,
                   bool deleted_is_theirs = false);
  void Introduce(const std::string& name, storage::CommitDone done,
                 std::function<void(storage::CommitDone)> change);
  void AskIfDeleted(const std::string& name, const absl::Status& here,
                    storage::CommitDone done);

  const MemberOptions options_;
  const DiskFaults* const faults_;
  EventLoop* const loop_;
  Network* const net_;
  const std::string name_;
  const Uuid uuid_;
  SimClock clock_;
  ModelDisk disk_;
  std::string address_;
  uint64_t starts_ = 0;
  bool retired_ = false;
  bool draining_ = false;
  absl::Duration lost_unsynced_ = -absl::InfiniteDuration();
  absl::Duration lost_all_ = -absl::InfiniteDuration();
  std::unique_ptr<Process> process_;
  std::shared_ptr<bool> alive_;  // Of the process.
};

}  // namespace simulation
}  // namespace cairn

#endif  // CAIRN_INTEGRATION_TESTS_SIMULATION_MEMBER_H_
