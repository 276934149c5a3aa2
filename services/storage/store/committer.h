// The one thread of a store path that changes it: takes whatever waits, makes
// one group of it, and answers.
//
//   Submit ─▶ queue ─▶ check ─▶ encode ─▶ journal write ─▶ sync ─▶ index ─▶
//   done
//                      └──────────── one group at a time ─────────────────┘
//
// The order is what makes an acknowledgement true: nothing is visible before it
// is as durable as it promises.

#ifndef CAIRN_SERVICES_STORAGE_STORE_COMMITTER_H_
#define CAIRN_SERVICES_STORAGE_STORE_COMMITTER_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "cairn/disk/v1/segment.pb.h"
#include "lib/attributes/attributes.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/base/uuid.h"
#include "lib/io/file_system.h"
#include "services/storage/core/store_path.h"
#include "services/storage/store/change_set.h"
#include "services/storage/store/engine_metrics.h"
#include "services/storage/store/file_record.h"
#include "services/storage/store/index.h"
#include "services/storage/store/journal.h"
#include "services/storage/store/options.h"
#include "services/storage/store/path_health.h"
#include "services/storage/store/path_state.h"
#include "services/storage/store/pieces.h"

namespace cairn {
namespace storage {

// One member of a group.
struct CommitRequest {
  enum class Kind {
    kPut,     // A file with its content.
    kFinish,  // A file whose content is in a dedicated segment.
    kDelete,
    kMove,        // Compaction: a copy of a record that is in a segment now.
    kReplica,     // What another member took.
    kUpdate,      // A change of an appender's content.
    kMerge,       // Pieces of a content as one; nobody sees a difference.
    kAttributes,  // New attributes of a file, whose content stays.
    kExpiry,      // The same of when it expires.
    kReclaim,     // Deletes a file that has expired long enough ago, if it
                  // still has; answered OK in any case.
    kSeal,        // An appender becomes a normal file.
    kUndelete,    // A file that is deleted is there again.
    kGiveUp,      // Gives up what a tombstone keeps, if its time has come;
                  // answered OK in any case. Nobody sees a difference.
    kCopy,        // A file that shares the content of another one.
    kShare,       // A file with the content that `shared_segment` has.
  };
  Kind kind = Kind::kPut;
  Uuid request_id;
  std::string name;
  Durability durability = Durability::kSynced;
  FileKind file_kind = FileKind::kNormal;
  int64_t create_unix_seconds = 0;
  uint32_t origin_node = 0;
  int64_t size_bytes = 0;
  uint32_t crc32c = 0;
  std::string attributes;            // kPut and kFinish.
  int64_t expire_unix_seconds = 0;   // The same, and kExpiry.
  std::string owner;                 // kPut, kFinish and kCopy.
  AttributeChange attribute_change;  // kAttributes; with `if_version`.

  // kPut, kMove of a record that has one, kReplica with a small content;
  // kUpdate and kMerge: what becomes an own extent.
  absl::Cord content;
  absl::InlinedVector<uint32_t, 1> block_crcs;  // As BlockCrcCount() says.

  // kCopy: the file whose content it is, in `extent`. With `size_bytes` and
  // `crc32c`.
  std::string copied_from;

  // kFinish of a content that others may share, and kShare: its SHA-256.
  std::string sha256;

  // kShare: the segment that was looked at, and found whole. If the content is
  // not known to be there any more, the answer is one that NeedsOwnSegment().
  uint64_t shared_segment = 0;

  // kFinish, kReplica with a large content, kMerge into a segment of its own.
  Extent extent;               // length 0: not in a segment of its own.
  std::shared_ptr<File> file;  // Of that segment.

  // kMove: the record to copy, and where it is now. Applied only if it is still
  // the newest of its name; answered OK in any case.
  RecordType move_type = RecordType::kPut;
  disk::v1::FileChange move_change;
  JournalPosition move_from;

  bool purge = false;          // kDelete: as in DeleteRequest.
  bool give_up_early = false;  // kGiveUp: whatever its time.

  // kReplica: the change, its content apart, and the short id of its log; 0 if
  // that is not known.
  std::unique_ptr<const ReplicatedChange> replica;
  uint32_t replica_log = 0;
  bool replica_has_content = false;

  // kUpdate: what is to be done; `size_bytes` are written. One that begins or
  // ends inside a piece needs a splice: without, or if it does not fit any
  // more, the answer is one that NeedsCut().
  UpdateRequest::Kind update = UpdateRequest::Kind::kAppend;
  int64_t offset = 0;
  absl::optional<int64_t> if_size_bytes;
  absl::optional<Version> if_version;

  // kSeal, which has the conditions of an update, too.
  std::function<SealRequest::NewName(int64_t, uint32_t)> make_name;

  // kUpdate (`from` is empty if there is none), kMerge. One that does not fit
  // any more merges nothing, and is answered OK as replayed.
  Splice splice;

  CommitDone done;
};

// Whether an update was answered so because it has to cut a piece: nothing was
// changed, and with a splice of what the file is now it can be tried again.
bool NeedsCut(const absl::Status& status);

// Whether a kShare was answered so because there is nothing to share: nothing
// was changed, and it has to bring its content.
bool NeedsOwnSegment(const absl::Status& status);

// CRCs of the blocks of `content`, as many as BlockCrcCount() says.
absl::InlinedVector<uint32_t, 1> BlockCrcsOf(const absl::Cord& content);

// What the committer works with. All borrowed; `observer` may be null.
struct CommitterParts {
  const StorePathOptions* options = nullptr;
  Index* index = nullptr;
  PathState* state = nullptr;
  Journal* journal = nullptr;
  PathHealth* health = nullptr;
  Clock* clock = nullptr;
  EngineObserver* observer = nullptr;

  // Called on the committer's thread when a checkpoint should be made. Must not
  // block.
  std::function<void()> checkpoint_wanted;

  // Called on the committer's thread when logs have grown.
  std::function<void()> logs_changed;

  // Called on the committer's thread with the name of a file of which pieces
  // can be merged. Must not block.
  std::function<void(const std::string&)> merge_wanted;

  // What the last checkpoint said.
  std::function<absl::Status()> checkpoint_status;

  // Makes the dedicated segments durable that are not, on the calling thread.
  std::function<absl::Status()> sync_dedicated;
};

struct CommitterNumbers {
  uint64_t commits = 0;
  uint64_t committed = 0;
  uint64_t refused = 0;
  uint64_t shared_bytes = 0;
  int64_t queue_entries = 0;
  int64_t queue_bytes = 0;
};

class Committer {
 public:
  explicit Committer(CommitterParts parts);
  ~Committer();  // Stop().

  Committer(const Committer&) = delete;
  Committer& operator=(const Committer&) = delete;

  void Start();

  // Answers what waits, then joins. Later calls answer SHUTTING_DOWN.
  void Stop() ABSL_LOCKS_EXCLUDED(mu_);

  // Queues `request`. Errors as of StorePath's changes. Thread-safe.
  void Submit(CommitRequest request) ABSL_LOCKS_EXCLUDED(mu_);

  // Runs `task` on the committer's thread, between groups, and waits for it.
  // What it puts into the change set is written when it returns OK. Not to be
  // called from the committer's thread.
  //   UNAVAILABLE  SHUTTING_DOWN: it was not run.
  using Task = std::function<absl::Status(ChangeSet*)>;
  absl::Status Run(const Task& task) ABSL_LOCKS_EXCLUDED(mu_);

  // The earlier change that `request_id` made; for StorePath::FindRequest() and
  // TryFindRequest(). Thread-safe.
  absl::optional<absl::StatusOr<absl::optional<Committed>>> FindRequest(
      const Uuid& request_id, bool may_block);

  // A checkpoint was made at what is now Journal::appended_bytes().
  void CheckpointMade(int64_t appended_bytes) {
    checkpoint_at_bytes_.store(appended_bytes, std::memory_order_relaxed);
  }

  CommitterNumbers Numbers() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Queued {
    CommitRequest request;
    int64_t bytes = 0;
  };

  // What becomes of a member; the answer is made when the group is through.
  struct Outcome {
    enum class Kind { kRefused, kCommitted, kReplayed, kSkipped };
    Kind kind = Kind::kRefused;
    absl::Status status;  // kRefused.
    Committed committed;  // The others, without `reached`.

    // It refers to a dedicated segment that is not known to be durable.
    bool content_unsynced = false;
    bool merge_wanted = false;
    int64_t shared_bytes = 0;  // Of a content that was there already.
  };

  struct WaitingTask {
    const Task* task = nullptr;
    absl::Status result;
    Notification ran;
  };

  void Loop() ABSL_LOCKS_EXCLUDED(mu_);

  // Waits for members that are likely to come within a part of a sync's time.
  void AwaitCompany() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RunTask(WaitingTask* waiting);

  // Commits group_[begin, end) and answers it.
  void CommitGroup(size_t begin, size_t end);

  enum class GroupResult { kDone, kNoSpace, kBroken };
  GroupResult TryGroup(size_t begin, size_t end);

  void Admit(CommitRequest* request, bool has_room, Outcome* outcome);
  void AdmitPut(CommitRequest* request, Outcome* outcome);
  void AdmitCopy(CommitRequest* request, Outcome* outcome);
  void AdmitShare(CommitRequest* request, Outcome* outcome);

  // The dedicated segment with a content that can be shared; nullopt if there
  // is none.
  absl::StatusOr<absl::optional<Extent>> FindShareable(
      const std::string& sha256, int64_t size_bytes, uint32_t crc32c);

  // A derived file of a name that is taken: the answer that `existing` makes
  // it. True if it is to be put all the same: the content is not here so far.
  bool AnswerFromName(const FileRecord& existing, CommitRequest* request,
                      Outcome* outcome);
  void AdmitDelete(CommitRequest* request, Outcome* outcome);
  void AdmitMove(CommitRequest* request, Outcome* outcome);
  void AdmitReplica(CommitRequest* request, Outcome* outcome);
  void AdmitUpdate(CommitRequest* request, Outcome* outcome);
  void AdmitReclaim(CommitRequest* request, Outcome* outcome);
  void AdmitAttributes(CommitRequest* request, Outcome* outcome);
  void AdmitSeal(CommitRequest* request, Outcome* outcome);
  void AdmitUndelete(CommitRequest* request, Outcome* outcome);
  void AdmitGiveUp(CommitRequest* request, Outcome* outcome);
  void AdmitMerge(CommitRequest* request, Outcome* outcome);

  // A record that holds a piece is written again, with all that is known of the
  // file.
  void MovePieces(const FileRecord& existing, CommitRequest* request,
                  Outcome* outcome);

  // Puts the pieces of the content that an update makes into `after`, which is
  // the file before it, with size and CRC.
  absl::Status LayOut(const CommitRequest& request, FileRecord* after) const;

  // A record refers to dedicated segments that are `synced` or not.
  void NeedsDedicated(bool synced, const CommitRequest& request,
                      Outcome* outcome);

  // A record of kPieces in place of that of `existing`, or of the file `name`,
  // which that became; what `after` says of the record itself does not count.
  // `change` is of NextChange(), with what `after` does not say.
  absl::Status AddPieces(absl::string_view name, const FileRecord& existing,
                         const FileRecord& after, uint8_t flags,
                         CommitRequest* request, disk::v1::FileChange* change);

  // Gives `after` a version, and its place in this node's log.
  void BeginVersion(FileRecord* after);

  // AddPieces() as the change of this node that `request` asks for, and the
  // outcome of it.
  void CommitPieces(const std::string& name, const FileRecord& existing,
                    const FileRecord& after, CommitRequest* request,
                    disk::v1::FileChange* change, Outcome* outcome);

  // A change of another member that only added to the file: adds the same to
  // what is here. Returns false if that is not what the change was made of.
  bool AddGrown(const FileRecord& existing, CommitRequest* request,
                Outcome* outcome);

  // What is here of the content that another member's file has: the content
  // under an earlier version, the appender that it was, the file that it is a
  // copy of, or one whose content has the same SHA-256. With the last two it
  // shares the content. kNone if nothing is.
  enum class SameContent { kNone, kOfTheFile, kOfAnother };
  absl::StatusOr<SameContent> FindSameContent(const CommitRequest& request,
                                              bool known,
                                              const FileRecord& existing,
                                              FileRecord* same);
  absl::StatusOr<SameContent> FindByHash(const FileRecord& wanted,
                                         FileRecord* same);

  // Whether a change that counts for nothing any more brings the content that
  // is missing: a later one changed what is said of the file alone.
  static bool BringsContent(const FileRecord& existing,
                            const CommitRequest& request);
  absl::Status TakeContent(const FileRecord& existing, CommitRequest* request);

  // A change that counts for nothing any more still ends the appender that it
  // sealed.
  absl::Status EndSealed(const CommitRequest& request);

  // Whether all of the content that is in dedicated segments is durable.
  bool DedicatedAreSynced(const FileRecord& record) const;

  // A record that says only that the change has its place in the log; or that
  // one that was set aside has nothing left to do.
  void AddPassed(const CommitRequest& request, Outcome* outcome);

  // A record that remembers a change that cannot be applied.
  void AddSetAside(const CommitRequest& request, Outcome* outcome);

  // What another member says of the file, but its content.
  static void FillReplica(const CommitRequest& request,
                          disk::v1::FileChange* change);

  // A tombstone that keeps nothing, of a file that is there or of what is kept
  // of one; until `undelete_until` others may have the content.
  void AddTombstone(const FileRecord& existing, int64_t undelete_until,
                    CommitRequest* request, Outcome* outcome);

  // What can be said of a tombstone again, but for what it keeps.
  absl::Status AddDeleted(absl::string_view name, const FileRecord& tombstone,
                          uint8_t flags, disk::v1::FileChange* change);

  // The tombstone `after` in place of `existing`, in the same version: nobody
  // sees a difference.
  void MoveTombstone(absl::string_view name, const FileRecord& existing,
                     const FileRecord& after, Outcome* outcome);

  // The tombstone that another member's deletion makes of `existing`, and that
  // keeps what is here of the file. False if there is nothing to keep.
  bool KeepDeleted(const FileRecord& existing, const CommitRequest& request,
                   FileRecord* tombstone) const;

  int64_t NowUnixSeconds() const;

  // What is known of the file that a request of the path's own is about, which
  // is skipped unless more is made of it. False if nothing is known; if that
  // cannot be said, it is refused.
  bool FindOrSkip(absl::string_view name, FileRecord* record, Outcome* outcome);

  // Takes from the quotas what a caller's change adds.
  //   RESOURCE_EXHAUSTED  QUOTA_EXCEEDED.
  absl::Status TakeQuota(absl::string_view owner, const FileUse& more);

  // What is known of a file that is there.
  //   NOT_FOUND  FILE_NOT_FOUND, FILE_DELETED, FILE_EXPIRED.
  absl::Status FindPresent(absl::string_view name, FileRecord* record);

  // The same of a file whose content a copy can share; the errors are those of
  // StorePath::Copy().
  absl::Status FindToCopy(const CommitRequest& request, FileRecord* record);

  // The same of an appender that is as the request's conditions say, with its
  // content; the errors are those of StorePath::Update().
  absl::Status FindToUpdate(const CommitRequest& request, FileRecord* record);

  // True if `request` was answered from an earlier change.
  bool AnswerFromRequestId(CommitRequest* request, Outcome* outcome);
  absl::StatusOr<Lookup> LookUpRequest(const Uuid& request_id, bool may_block,
                                       Committed* committed,
                                       uint32_t* operation);

  disk::v1::FileChange* NextChange();

  // Writes into `change` which segments, `segment` among them unless it is 0,
  // may hold older records of the name.
  void AddShadowed(const FileRecord& existing, uint64_t segment,
                   disk::v1::FileChange* change);
  absl::Status AddRecord(RecordType type, uint8_t flags,
                         const disk::v1::FileChange& change,
                         const absl::Cord* content, uint32_t content_crc,
                         absl::Span<const uint32_t> block_crcs,
                         absl::Span<const Extent> runs = {});
  // OK, or why the index cannot take more changes.
  absl::Status IndexUsable() const;
  void ApplyBackPressure();
  absl::Status ShuttingDown() const;

  const CommitterParts parts_;
  const StorePathOptions& options_;

  // ---- The committer's thread only.
  std::vector<Queued> group_;
  std::vector<Outcome> outcomes_;
  ChangeSet changes_;
  LogId own_log_;  // Since Start().
  std::deque<disk::v1::FileChange> change_slots_;
  size_t change_slots_used_ = 0;
  size_t group_begin_ = 0;  // outcomes_[i] is of group_[group_begin_ + i].
  absl::flat_hash_map<Uuid, size_t> group_requests_;  // Index in outcomes_.
  std::string prefixes_;  // Padding, header, meta, CRCs, of record by record.
  struct Piece {
    size_t prefix_end = 0;  // In prefixes_.
    const absl::Cord* content = nullptr;
  };
  std::vector<Piece> pieces_;
  std::string meta_;
  std::vector<absl::string_view> iov_;
  JournalPosition next_;    // Where the next record of the group stands.
  JournalPosition synced_;  // When the group began.
  bool sync_needed_ = false;
  absl::Duration sync_time_;    // The last one's.
  int waits_to_leave_out_ = 0;  // Since nobody came while we waited.
  int waits_left_out_last_ = 0;
  bool sync_dedicated_needed_ = false;
  std::vector<uint64_t> group_unsynced_;  // Segments that come unsynced.
  std::atomic<int64_t> checkpoint_at_bytes_{0};

  mutable Mutex mu_;
  CondVar work_;
  std::vector<Queued> queue_ ABSL_GUARDED_BY(mu_);
  size_t queued_synced_ ABSL_GUARDED_BY(mu_) = 0;  // Of queue_: want a sync.
  size_t awaited_ ABSL_GUARDED_BY(mu_) = 0;  // 0, or tell when so many wait.
  size_t company_ ABSL_GUARDED_BY(mu_) = 0;  // See AwaitCompany().
  std::deque<WaitingTask*> tasks_ ABSL_GUARDED_BY(mu_);
  int64_t queued_bytes_ ABSL_GUARDED_BY(mu_) = 0;  // With those in group_.
  size_t queued_entries_ ABSL_GUARDED_BY(mu_) = 0;
  bool idle_ ABSL_GUARDED_BY(mu_) = false;
  bool stopping_ ABSL_GUARDED_BY(mu_) = true;
  CommitterNumbers numbers_ ABSL_GUARDED_BY(mu_);

  std::thread thread_;  // Runs Loop(). Joined by Stop().
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_COMMITTER_H_
