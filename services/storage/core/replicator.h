// One store path among the same paths of the other members of its group: pulls
// what they take, fetches contents, and says how far it is.
//
//   SetPeers ─▶ ┌ Tick ───────────────────────────────────────────────────┐
//   OnLogs   ─▶ │ a pull of each peer's own log, for as long as it is     │
//   wake     ◀─ │   there; of other logs, from whoever has more of them   │
//               │ a snapshot, where a log does not reach back             │
//               │ contents that are missing, some at a time               │
//               │ acknowledgements, at once where somebody waits          │
//               └─────────────────────────────────────────────────────────┘
//   tails (streams to peers) are woken when a log grows
//
// Everything is decided in Tick(), by one thread at a time; what a stream
// brings is applied where it arrives (log_pull.h). No clock decides an outcome,
// only how long to wait before something is tried again.

#ifndef CAIRN_SERVICES_STORAGE_CORE_REPLICATOR_H_
#define CAIRN_SERVICES_STORAGE_CORE_REPLICATOR_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/base/uuid.h"
#include "services/storage/core/catch_up.h"
#include "services/storage/core/content_fetch.h"
#include "services/storage/core/log_pull.h"
#include "services/storage/core/missing_contents.h"
#include "services/storage/core/peer_transport.h"
#include "services/storage/core/replica_log.h"
#include "services/storage/core/replica_store.h"
#include "services/storage/core/replica_survey.h"
#include "services/storage/core/replica_waits.h"
#include "services/storage/core/set_aside.h"
#include "services/storage/core/snapshot_pull.h"
#include "services/storage/core/store_path.h"
#include "services/storage/core/upkeep.h"

namespace cairn {
namespace storage {

struct ReplicatorOptions {
  uint8_t store_path = 0;

  // Members that a change is to have, this one included, before it does not
  // count as under-replicated.
  uint32_t replicas = 2;

  // Waits before something that failed is tried again.
  absl::Duration backoff_shortest = absl::Milliseconds(100);
  absl::Duration backoff_longest = absl::Seconds(5);

  // A stream that is silent for so long is given up; its other end sends
  // something every second.
  absl::Duration silence_max = absl::Seconds(10);

  // How long acknowledgements wait that nobody waits for, and how old what is
  // applied gets before it is synced.
  absl::Duration ack_interval = absl::Milliseconds(500);
  absl::Duration sync_interval = absl::Seconds(1);
  absl::Duration heartbeat_interval = absl::Seconds(1);

  // Contents that are fetched at once.
  size_t fetches_max = 4;

  // How often some of the files whose content is missing are looked at, to see
  // that they are fetched.
  absl::Duration find_missing_interval = absl::Seconds(5);

  // How often acknowledgements are repeated that say nothing new.
  absl::Duration ack_refresh = absl::Seconds(30);

  // A member that was not heard of for so long is away: entries of logs that
  // are very old are not kept for it.
  absl::Duration away_after = absl::Minutes(10);

  // Waits between attempts for a change that was set aside.
  absl::Duration retry_shortest = absl::Seconds(1);
  absl::Duration retry_longest = absl::Minutes(5);
  UpkeepOptions upkeep;
};

// A stream of a log to a peer. Woken on any thread; must not block.
class LogTail {
 public:
  virtual ~LogTail() = default;

  // The log has grown.
  virtual void OnGrown() = 0;

  // Nothing was sent for a while, perhaps: a heartbeat is due.
  virtual void OnHeartbeat() = 0;

  // A member has said how far it is.
  virtual void OnAck(const Uuid&) {}
};

// How a path stands with a peer, for people and metrics.
struct PeerProgress {
  Peer peer;
  bool pulling = false;         // A stream of its own log is open.
  absl::Status last_error;      // OK if none since it was opened.
  uint64_t behind_changes = 0;  // Of all logs that the peer has.
  absl::Duration behind;        // Age of the oldest of them; 0 if none.
  bool needs_snapshot = false;  // Its logs do not reach back far enough.
  MemberLag lag;                // The peer's, of what this path took.
};

struct ReplicationProgress {
  std::vector<PeerProgress> peers;
  uint64_t applied_changes = 0;  // Since the process began.
  size_t missing_contents = 0;
  bool snapshot_running = false;
  uint64_t snapshot_files = 0;
  uint64_t snapshot_files_total = 0;
  uint64_t snapshot_bytes = 0;
  double changes_per_second = 0;  // Lately, of logs and snapshots.
  double bytes_per_second = 0;    // Of content that came with them.

  // Until the end of the snapshot, or else of the logs; nullopt if there is
  // nothing to do or the rate is not known.
  absl::optional<absl::Duration> time_left;
  size_t set_aside_changes = 0;
  std::vector<SetAsideInfo> set_aside;  // Some of them.
  std::vector<LogRange> logs;           // Of this path.
  bool caught_up = false;  // Was at the end of every peer's log since it began.
  bool syncing = true;     // See catch_up.h.
  bool awaits_others = true;

  // The same, as to the logs of members that are gone, since the last one went.
  bool syncing_gone = true;

  // Changes that this path took and that no peer has with its content, and
  // those that fewer than the wished-for number of members have. 0 without
  // peers; but until it is known whether there are any, the first is all that
  // it has. And that counts those, too, that others took which cannot be
  // reached now and may have lost them. Not 0 before it has looked.
  uint64_t changes_only_here = 1;
  uint64_t under_replicated_changes = 0;
};

class Replicator : public LogObserver {
 public:
  // `path` gives the path as it is now; null while it is not open. `wake` asks
  // for a Tick() soon; on any thread, must not block. All borrowed.
  Replicator(const ReplicatorOptions& options,
             std::function<std::shared_ptr<StorePath>()> path,
             PeerTransport* transport, Clock* clock,
             std::function<void()> wake);

  // After Stop().
  ~Replicator() override;

  Replicator(const Replicator&) = delete;
  Replicator& operator=(const Replicator&) = delete;

  // The other members of the group, as far as they are known; not `all_known`:
  // there may be others, and until a call says that there are none nobody may
  // take it that nothing is there which these do not have.
  void SetPeers(std::vector<Peer> peers, bool all_known = true)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Does what is to be done now. One thread at a time; several times a second,
  // and when woken. Reads the index now and then.
  void Tick() ABSL_LOCKS_EXCLUDED(mu_);

  // Ends all streams; true when none is left. Call it, and Tick() no more,
  // until it is.
  bool Stop() ABSL_LOCKS_EXCLUDED(mu_);

  // Who waits for other members, and what they said. Thread-safe.
  ReplicaWaits* waits() { return &waits_; }

  // A member says how far it is; whoever waits for that is answered.
  void OnAck(const Uuid& member, const Acknowledgement& acknowledgement)
      ABSL_LOCKS_EXCLUDED(tails_mu_);

  // Who asks the other members what they have of a file. Thread-safe.
  ReplicaSurveys* surveys() { return &surveys_; }

  // While somebody is about to wait for acknowledgements: streams ask for them.
  class AckInterest {
   public:
    AckInterest() = default;
    AckInterest(Replicator* replicator, bool synced);
    AckInterest(AckInterest&& other) noexcept;
    AckInterest& operator=(AckInterest&& other) noexcept;
    ~AckInterest();

   private:
    Replicator* replicator_ = nullptr;
    bool synced_ = false;
  };
  bool ack_wanted() const { return acks_wanted_.load() > 0; }
  bool sync_wanted() const { return syncs_wanted_.load() > 0; }

  void AddTail(LogTail* tail) ABSL_LOCKS_EXCLUDED(tails_mu_);
  void RemoveTail(LogTail* tail) ABSL_LOCKS_EXCLUDED(tails_mu_);

  // Peers that may have a file, the likeliest first: `origin_node` took it.
  std::vector<Peer> PeersFor(uint32_t origin_node) const
      ABSL_LOCKS_EXCLUDED(mu_);

  // SetPeers() has named all: who is not among them is no member.
  bool peers_known() const ABSL_LOCKS_EXCLUDED(mu_);

  // As ReplicationProgress::syncing: others may have what this path took and
  // has lost.
  bool syncing() const ABSL_LOCKS_EXCLUDED(mu_);

  // As ReplicationProgress::awaits_others: others have files that this path
  // knows nothing of, and it is about to hear of them.
  bool awaits_others() const ABSL_LOCKS_EXCLUDED(mu_);

  // As ReplicationProgress::syncing_gone: others may have what a member took
  // that was removed, and this path has not.
  bool syncing_gone() const ABSL_LOCKS_EXCLUDED(mu_);

  // What the change made of the file is not here; of anything, there is such a
  // change.
  bool Misses(const std::string& name, const LogPosition& change) const
      ABSL_LOCKS_EXCLUDED(mu_);
  bool MissesSome() const ABSL_LOCKS_EXCLUDED(mu_);

  // What the node's clock says: for people, and for nothing else.
  absl::Time WallNow() const { return clock_->Now(); }
  absl::Duration MonotonicNow() const { return clock_->Monotonic(); }

  ReplicationProgress Progress() const ABSL_LOCKS_EXCLUDED(mu_);

  // How the path keeps what it has good.
  Upkeep* upkeep() { return &upkeep_; }

  // LogObserver.
  void OnLogs() override ABSL_LOCKS_EXCLUDED(tails_mu_);
  void OnDamaged(const FileInfo& file) override;

 private:
  // Tries again, later each time.
  struct Backoff {
    absl::Duration next = absl::ZeroDuration();  // Clock::Monotonic().
    absl::Duration wait = absl::ZeroDuration();
    void Failed(absl::Duration now, const ReplicatorOptions& options);
  };

  // Since when there are changes that are not applied here, of all logs of a
  // peer; as it said in heartbeats.
  class BehindSince {
   public:
    void Heard(const LogRange& theirs, uint64_t applied, absl::Duration now);
    absl::optional<absl::Duration> since() const;

   private:
    struct Mark {
      uint64_t sequence = 0;  // It had so many then.
      absl::Duration at;
    };
    std::map<LogId, std::vector<Mark>> marks_;
  };

  // Of the acknowledgement that is on its way; its answer outlives the peer.
  struct AckState {
    std::atomic<bool> in_flight{false};
    std::atomic<bool> lost{false};   // The last one failed.
    std::atomic<bool> again{false};  // Somebody waits for its answer.
  };

  struct PeerState {
    Peer peer;
    std::unique_ptr<LogPull> pull;
    Backoff backoff;
    absl::Status last_error;
    bool current = true;                 // Among SetPeers().
    std::vector<LogRange> acknowledged;  // What it was told last.
    size_t acknowledged_missing = 0;
    absl::Duration ack_due = -absl::InfiniteDuration();
    std::shared_ptr<AckState> ack = std::make_shared<AckState>();
    bool needs_snapshot = false;
    std::vector<LogRange> logs;  // How far it has them.
    BehindSince behind;
  };

  struct Fetching {
    std::unique_ptr<ContentFetch> fetch;
    bool running = false;
    size_t attempts = 0;
    int64_t received_bytes = 0;  // When it moved last.
    absl::Duration moved;
    Backoff backoff;
  };

  bool AttachPath();
  void DetachPath();
  bool StreamsOpen() const;
  void CancelAll();
  void ReapEnded(absl::Duration now);
  void StartPulls(absl::Duration now) ABSL_LOCKS_EXCLUDED(mu_);
  void StartOtherPulls(absl::Duration now);
  void RunSnapshot(absl::Duration now);
  void ReapFetches(absl::Duration now);
  void RunFetches(absl::Duration now);
  bool IsBeingFetched(const std::string& sha256) const;
  void RunUpkeep(absl::Duration now) ABSL_LOCKS_EXCLUDED(mu_);
  void SendAcks(absl::Duration now);
  void SyncNowAndThen(absl::Duration now);
  void SetPassed(absl::Duration now);
  void Heartbeat(absl::Duration now) ABSL_LOCKS_EXCLUDED(tails_mu_);
  void FindMissing(absl::Duration now);
  void AddMissing(const std::string& name);
  bool IsMissing(const std::string& name) const;
  void RunRetries(absl::Duration now);
  void Measure(uint64_t changes, uint64_t bytes, absl::Duration now);
  void Publish(absl::Duration now) ABSL_LOCKS_EXCLUDED(mu_);

  // Of a log of another member: changes that no peer has for certain.
  uint64_t NotElsewhere(const LogRange& log, absl::Duration now) const;
  size_t FetchedInVain() const;

  // Applied here, and not durable yet.
  bool MayBeLost(const LogPosition& change) const;

  LogRange RangeOf(const LogId& id) const;

  const ReplicatorOptions options_;
  const std::function<std::shared_ptr<StorePath>()> find_path_;
  PeerTransport* const transport_;
  Clock* const clock_;
  const std::function<void()> wake_;
  ReplicaWaits waits_;
  ReplicaSurveys surveys_;
  Upkeep upkeep_;
  std::atomic<int> acks_wanted_{0};
  std::atomic<int> syncs_wanted_{0};
  std::shared_ptr<MissingContents> missing_ =
      std::make_shared<MissingContents>();

  // ---- The thread that ticks.
  std::shared_ptr<StorePath> path_;
  std::vector<LogRange> logs_;  // Of the path, as of this tick.
  std::map<Uuid, PeerState> peers_;
  std::map<LogId, std::unique_ptr<LogPull>> other_pulls_;
  std::unique_ptr<SnapshotPull> snapshot_;
  SnapshotPull::Cursor snapshot_cursor_;
  Uuid snapshot_peer_;
  Backoff snapshot_backoff_;
  std::map<std::string, Fetching> fetches_;
  absl::Duration sync_due_ = -absl::InfiniteDuration();
  std::shared_ptr<std::atomic<bool>> syncing_ =
      std::make_shared<std::atomic<bool>>(false);
  absl::Duration passed_due_ = -absl::InfiniteDuration();
  absl::Duration heartbeat_due_ = -absl::InfiniteDuration();
  uint64_t applied_before_ = 0;    // By pulls that are gone.
  uint64_t bytes_before_ = 0;      // The same.
  uint64_t snapshot_changes_ = 0;  // By snapshots that are gone.
  SetAsideRetries retries_;

  // Since when this path is at the end of all logs of all other members, for as
  // long as it takes them to tell of new ones; how many changes were among the
  // missing when that began; and with how many it was last so for that long.
  absl::optional<absl::Duration> at_end_since_;
  uint64_t added_by_then_ = 0;
  uint64_t at_end_with_ = 0;
  absl::Duration find_missing_due_ = -absl::InfiniteDuration();
  std::string find_missing_after_;
  absl::Duration retries_due_ = -absl::InfiniteDuration();
  absl::Duration refresh_due_ = -absl::InfiniteDuration();

  // What was applied, measured now and then.
  absl::Duration measured_at_ = -absl::InfiniteDuration();
  uint64_t measured_changes_ = 0;
  uint64_t measured_bytes_ = 0;
  double changes_per_second_ = 0;
  double bytes_per_second_ = 0;
  bool stopping_ = false;
  bool caught_up_ = false;
  CatchUp catch_up_;
  CatchUp catch_up_gone_;
  absl::Duration gone_at_ = -absl::InfiniteDuration();  // The last one went.

  mutable Mutex mu_;
  std::vector<Peer> wanted_peers_ ABSL_GUARDED_BY(mu_);
  bool peers_known_ ABSL_GUARDED_BY(mu_) = false;
  bool member_gone_ ABSL_GUARDED_BY(mu_) = false;  // Since the last Publish().
  std::shared_ptr<const MissingContents> missing_now_
      ABSL_GUARDED_BY(mu_);  // For other threads.
  ReplicationProgress progress_ ABSL_GUARDED_BY(mu_);

  Mutex tails_mu_;  // Held while they are woken.
  std::set<LogTail*> tails_ ABSL_GUARDED_BY(tails_mu_);
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_REPLICATOR_H_
