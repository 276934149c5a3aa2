// A store path on a ModelDisk: StorePath and ReplicaStore as the engine keeps
// them (services/storage/store), in one thread and in simulated time. The
// conformance test holds it against the engine.
//
//   Put, Delete, Apply ─▶ queue ─▶ a group: admit, append ─▶ sync ─▶ visible,
//                                                           answered

#ifndef CAIRN_INTEGRATION_TESTS_SIMULATION_MODEL_PATH_H_
#define CAIRN_INTEGRATION_TESTS_SIMULATION_MODEL_PATH_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "integration_tests/simulation/event_loop.h"
#include "integration_tests/simulation/model_disk.h"
#include "lib/base/clock.h"
#include "lib/base/executor.h"
#include "lib/base/uuid.h"
#include "services/storage/core/file_scan.h"
#include "services/storage/core/replica_log.h"
#include "services/storage/core/replica_store.h"
#include "services/storage/core/store_path.h"

namespace cairn {
namespace simulation {

// Bugs that a test puts in, to see that the simulation finds them.
struct Mutations {
  bool skip_a_change = false;     // Now and then a change is only a place.
  bool sync_nothing = false;      // Answers without waiting for the disk.
  bool forget_deletions = false;  // Tombstones go before all have them.
  bool leave_out = false;         // Snapshots do not tell of some files.
  bool miss_deleted = false;      // Deleted files say that content is missing.
  bool keep_to_itself = false;    // Nobody is told of the logs of others.
  bool anybody_changes = false;   // Every member changes every appender.
  bool keep_decisions = false;    // Trackers tell nobody what was decided.
  bool hide_damage = false;       // What has rotten is read as if it had not.
  bool compare_nothing = false;   // Members with upkeep do not compare.
  bool mend_badly = false;     // What takes the place of damage is no better.
  bool forget_aside = false;   // What was set aside is not remembered.
  bool share_wrongly = false;  // Contents of one size are taken for the same.
};

struct ModelPathOptions {
  uint32_t node_number = 0;
  int64_t small_file_bytes_max = 256;

  // Contents from this size on are shared by who asks for it.
  int64_t dedup_bytes_min = 64;
  absl::Duration tombstone_retention = absl::Hours(24);
  absl::Duration request_retention = absl::Hours(24);
  absl::Duration expiry_grace = absl::Hours(24);

  // How long what is deleted can be brought back.
  absl::Duration undelete_window = absl::ZeroDuration();

  size_t group_entries_max = 16;

  // Simulated time after which log entries go that all members have, and those
  // that all have which are there.
  absl::Duration log_retention = absl::InfiniteDuration();
  absl::Duration log_retention_longest = absl::InfiniteDuration();

  Mutations mutations;

  // Told of each change that the path takes itself, when it is admitted. May be
  // null; `content` is null for none.
  std::function<void(const storage::KnownFile& known,
                     const DiskContent* content)>
      on_change;

  // Told of each deletion that the path forgets. May be null.
  std::function<void(const std::string& name)> on_forget;
};

// How bad the disk is now; probabilities.
struct DiskFaults {
  double sync_failure = 0;
  double full_queue = 0;
};

// Runs tasks in simulated time, some at once: in any order.
class SimExecutor : public Executor {
 public:
  SimExecutor(EventLoop* loop, const DiskFaults* faults);
  ~SimExecutor() override;

  bool TrySubmit(Task task) override;
  size_t queued() const override { return tasks_->size(); }

  // Runs what waits, now.
  void Drain();

 private:
  using Tasks = std::map<uint64_t, Task>;
  EventLoop* const loop_;
  const DiskFaults* const faults_;
  uint64_t added_ = 0;
  std::shared_ptr<Tasks> tasks_ = std::make_shared<Tasks>();
};

// For one thread. `disk` has no other path open on it; all are borrowed.
class ModelPath : public storage::StorePath, public storage::ReplicaStore {
 public:
  ModelPath(const ModelPathOptions& options, const DiskFaults* faults,
            ModelDisk* disk, EventLoop* loop, Clock* clock);
  ~ModelPath() override;

  // The process is gone: nothing reaches the disk any more, and every call is
  // refused.
  void Kill();

  // What the disk's background thread would do now: gives up what is kept of
  // deleted files, deletes files that have expired, and forgets tombstones.
  void LookAtExpiries();

  // Cuts logs, by how old entries are in simulated time: clocks must not decide
  // it here, since requests are known by their entries.
  void CutLogs();

  // The disk loses what it knows of a file, as if it had never been there.
  void LoseFile(const std::string& name);

  bool broken() const { return broken_; }
  const DiskState& visible() const { return visible_; }
  SimExecutor* executor() { return &io_; }

  // ---- StorePath.
  storage::ReplicaStore* replica() override { return this; }
  void Put(storage::PutRequest request, storage::CommitDone done) override;
  void Delete(storage::DeleteRequest request,
              storage::CommitDone done) override;
  void SetAttributes(storage::SetAttributesRequest request,
                     storage::CommitDone done) override;
  void SetExpiry(storage::SetExpiryRequest request,
                 storage::CommitDone done) override;
  void Update(storage::UpdateRequest request,
              storage::CommitDone done) override;
  void Seal(storage::SealRequest request, storage::CommitDone done) override;
  void Copy(storage::CopyRequest request, storage::CommitDone done) override;
  void Undelete(storage::UndeleteRequest request,
                storage::CommitDone done) override;
  absl::Status DropDeleted() override;
  absl::StatusOr<std::unique_ptr<storage::Upload>> StartUpload(
      absl::optional<int64_t> size_bytes) override;
  absl::StatusOr<storage::FileInfo> Stat(absl::string_view name) override;
  absl::optional<absl::StatusOr<storage::FileInfo>> TryStat(
      absl::string_view name) override;
  absl::StatusOr<std::unique_ptr<storage::OpenFile>> Open(
      absl::string_view name) override;
  absl::optional<absl::StatusOr<std::unique_ptr<storage::OpenFile>>> TryOpen(
      absl::string_view name) override;
  absl::StatusOr<absl::optional<storage::Committed>> FindRequest(
      const Uuid& request_id, storage::Durability wanted) override;
  absl::optional<absl::StatusOr<absl::optional<storage::Committed>>>
  TryFindRequest(const Uuid& request_id, storage::Durability wanted) override;
  absl::StatusOr<std::string> ScanFiles(const storage::FileRange& range,
                                        storage::FileVisitor* visitor) override;
  absl::Status Writable(int64_t bytes) override;
  storage::StorePathStatus Status() override;
  int64_t newest_create_unix_seconds() override { return 0; }
  absl::Status Compact(
      double dead_share_min,
      absl::AnyInvocable<void(const storage::JobProgress&)> progress) override;
  void Stop() override;
  Executor* io() override { return &io_; }
  int64_t small_file_bytes_max() const override {
    return options_.small_file_bytes_max;
  }

  // ---- ReplicaStore.
  void SetLogObserver(storage::LogObserver* observer) override {
    observer_ = observer;
  }
  std::vector<storage::LogRange> Logs() override;
  absl::StatusOr<std::vector<storage::LogEntry>> ReadLog(
      const storage::LogId& log, uint64_t after, size_t limit) override;
  absl::StatusOr<absl::optional<storage::KnownFile>> Find(
      absl::string_view name) override;
  std::unique_ptr<storage::LoggedFiles> FollowLog(
      const storage::LogId& log) override;
  absl::StatusOr<std::unique_ptr<storage::OpenFile>> OpenForMember(
      absl::string_view name) override;
  void Apply(storage::ReplicatedChange change,
             storage::CommitDone done) override;
  absl::Status SetLogs(const std::vector<storage::LogRange>& logs) override;
  std::vector<std::string> ListMissing(absl::string_view after,
                                       size_t limit) override;
  absl::StatusOr<std::vector<storage::LogRange>> BeginSnapshot() override;
  absl::StatusOr<storage::SnapshotPage> ReadSnapshot(absl::string_view from,
                                                     size_t limit) override;
  absl::StatusOr<storage::SnapshotPage> ReadRange(absl::string_view from,
                                                  absl::string_view until,
                                                  size_t limit) override;
  absl::Status Sync() override;
  void SetPassed(const std::vector<storage::LogPosition>& passed) override;
  void SetHeldByPresent(const std::vector<storage::LogPosition>& held) override;
  std::vector<storage::ReplicatedChange> ListSetAside() override;
  bool ShareContent(const storage::KnownFile& file) override;

 private:
  friend class ModelOpenFile;
  friend class ModelUpload;

  using Content = std::shared_ptr<const DiskContent>;

  struct Request {
    enum class Kind {
      kPut,
      kDelete,
      kReplica,
      kUpdate,
      kAttributes,
      kExpiry,
      kReclaim,
      kSeal,
      kUndelete,
      kGiveUp,
      kCopy,
    };
    Kind kind = Kind::kPut;
    Uuid request_id;
    storage::FileInfo file;  // kPut, kCopy; else the name, and kExpiry's time.
    Content content;         // Null: none.
    storage::Durability durability = storage::Durability::kSynced;
    bool purge = false;          // kDelete.
    bool give_up_early = false;  // kGiveUp.
    storage::ReplicatedChange replica;
    storage::UpdateRequest update;
    storage::SetAttributesRequest attributes;
    storage::SealRequest seal;
    storage::CommitDone done;
  };
  struct Outcome {
    absl::Status status;
    storage::Committed committed;
    bool changed = false;  // It is a change of this group.
  };

  // What a change makes of a file.
  struct After {
    storage::KnownFile known;
    Content content;
    bool pieces = false;  // Of what was there: the engine's kPieces.
    absl::optional<storage::FileState> base;
  };

  absl::Status Refusal() const;
  absl::Status CheckReadable(absl::string_view name) const;
  uint64_t OlderThan(const storage::LogId& log, absl::Duration age) const;

  // What a change of a file says, whatever it is of.
  template <typename Change>
  static Request RequestOf(Request::Kind kind, const Change& change,
                           storage::CommitDone done);
  void Submit(Request request);
  void Flush();
  void ScheduleGroup();
  void BeginGroup();
  void EndGroup(bool sync);

  // As the Admit…() of the engine's committer. What is refused or changes
  // nothing has said so in `outcome`.
  Outcome Admit(Request* request);
  void AdmitPut(Request* request, Outcome* outcome);
  bool AnswerFromName(const DiskState::File& existing, const Request& request,
                      Outcome* outcome);
  void AdmitCopy(Request* request, Outcome* outcome);
  void AdmitDelete(Request* request, Outcome* outcome);
  void AdmitUndelete(Request* request, Outcome* outcome);
  void AdmitGiveUp(const Request& request, Outcome* outcome);
  void AdmitReclaim(Request* request, Outcome* outcome);
  void AdmitUpdate(Request* request, Outcome* outcome);
  void AdmitAttributes(Request* request, Outcome* outcome);
  void AdmitSeal(Request* request, Outcome* outcome);
  void AdmitReplica(Request* request, Outcome* outcome);
  void SetAside(const Request& request);
  void AddTombstone(const DiskState::File& existing, int64_t undelete_until,
                    Request* request, Outcome* outcome);
  bool AddGrown(const DiskState::File& existing, Request* request,
                Outcome* outcome);
  bool KeepDeleted(const DiskState::File& existing, const Request& request,
                   After* after) const;
  Content FindSameContent(const Request& request,
                          const DiskState::File* existing, bool* shares) const;
  Content FindByHash(const storage::FileInfo& wanted) const;
  static bool BringsContent(const DiskState::File& existing,
                            const Request& request);
  void EndSealed(const Request& request);

  // Records a change of this path, in a new version; `after` has all but that.
  void Commit(After after, Request* request, Outcome* outcome);

  // Records a change of another member, or only its place in the log.
  void Record(absl::optional<After> after, Request* request, Outcome* outcome);

  bool HasExpired(const storage::FileInfo& file) const;
  absl::Status CheckPresent(const DiskState::File* file) const;
  storage::KnownFile ToKnown(const DiskState::File& file) const;
  int64_t ReclaimUnixSeconds(const storage::FileInfo& file) const;
  void DropTombstones();
  void KeepContent(Request* request, const Content& content);

  // What the update makes of the file: size, CRC and content of `after`.
  absl::Status LayOut(const DiskState::File& existing, const Request& request,
                      After* after) const;
  absl::optional<Outcome> AnswerFromRequestId(const Request& request);
  absl::optional<storage::Committed> LookUpRequest(const Uuid& request_id,
                                                   bool* was_delete);
  storage::Version NextVersion();
  bool NamesKnownLog(const storage::LogPosition& change) const;
  void Append(DiskRecord record);
  bool SyncDisk(bool with_contents);
  void MarkSynced();
  void TellLogs();

  const ModelPathOptions options_;
  const DiskFaults* const faults_;
  ModelDisk* const disk_;
  EventLoop* const loop_;
  Clock* const clock_;
  SimExecutor io_;
  storage::LogObserver* observer_ = nullptr;
  bool dead_ = false;
  bool stopped_ = false;
  bool broken_ = false;

  // What readers see: the disk's state without the group that is under way.
  DiskState visible_;
  std::map<storage::LogId, uint64_t> synced_;
  std::vector<std::shared_ptr<DiskPiece>> unsynced_;

  std::deque<Request> queue_;
  bool scheduled_ = false;
  bool committing_ = false;
  bool sync_contents_ = false;  // The group needs it.
  std::vector<Request> group_;
  std::vector<Outcome> outcomes_;
  std::vector<DiskRecord> group_records_;

  bool passed_all_ = true;
  std::map<storage::LogId, uint64_t> passed_;
  std::map<storage::LogId, uint64_t> present_;

  // How far the logs were at some times since this was opened; oldest first.
  struct Mark {
    absl::Duration at;
    std::map<storage::LogId, uint64_t> synced;
  };
  std::deque<Mark> marks_;

  // Events that wait hold it, and do nothing when it says so.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace simulation
}  // namespace cairn

#endif  // CAIRN_INTEGRATION_TESTS_SIMULATION_MODEL_PATH_H_
