// One disk of a storage node, as the members that copy each other see it: the
// logs, the state that they made, and what other members took.
//
//   member A                                 member B
//   Put ─▶ own log ── ReadLog, Find, Open ─▶ Apply(kNext) ─▶ A's log
//            all files ── ReadSnapshot ────▶ Apply(kSnapshot) … SetLogs
//            one file ── Open ─────────────▶ FinishReplica(kContent)
//
// Implemented by the engine (services/storage/store). Thread-safe. What may
// block says so and belongs on StorePath::io().

#ifndef CAIRN_SERVICES_STORAGE_CORE_REPLICA_STORE_H_
#define CAIRN_SERVICES_STORAGE_CORE_REPLICA_STORE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "services/storage/core/replica_log.h"
#include "services/storage/core/store_path.h"

namespace cairn {
namespace storage {

// Told of what happens on a path. Runs on the path's threads and on those that
// read, with no lock of the path's state held; must be quick and not block.
class LogObserver {
 public:
  virtual ~LogObserver() = default;

  // A log has grown or more of it is synced: ask Logs().
  virtual void OnLogs() = 0;

  // Somebody could not read the content of a file: it is damaged, or the disk
  // refuses.
  virtual void OnDamaged(const FileInfo& file) { static_cast<void>(file); }
};

// Files in the order of the index, from a snapshot.
struct SnapshotPage {
  std::vector<KnownFile> files;

  // Where the next page begins; empty after the last one.
  std::string next;
};

// The files that the entries of one log tell of, best asked for in the log's
// order: where the disk has them in that order they are read ahead, and not
// looked up. For one thread at a time; not longer than the path.
class LoggedFiles {
 public:
  virtual ~LoggedFiles() = default;

  // ReplicaStore::Find() of the entry's name, and at the same time
  // OpenForMember() of what it finds, if its content is here and has
  // `content_bytes_max` bytes at most. `file` is null if it is not, or cannot
  // be opened. What was changed since, and not deleted, may be found as the
  // entry made it. Blocks.
  virtual absl::StatusOr<absl::optional<KnownFile>> Find(
      const LogEntry& entry, int64_t content_bytes_max,
      std::unique_ptr<OpenFile>* file) = 0;
};

class ReplicaStore {
 public:
  virtual ~ReplicaStore() = default;

  // Null for none; before the path is used. Borrowed until the path is
  // destroyed, or until this is called with null.
  virtual void SetLogObserver(LogObserver* observer) = 0;

  // Every log that the path has something of; the own one first. Cheap.
  virtual std::vector<LogRange> Logs() = 0;

  // Entries behind `after`, in order without gaps, at most `limit`; none at the
  // log's end. Blocks.
  //   NOT_FOUND     UNKNOWN_LOG.
  //   OUT_OF_RANGE  LOG_CUT: the entry behind `after` is not kept any more.
  virtual absl::StatusOr<std::vector<LogEntry>> ReadLog(const LogId& log,
                                                        uint64_t after,
                                                        size_t limit) = 0;

  // What is known of a name; nullopt if nothing is. Blocks.
  virtual absl::StatusOr<absl::optional<KnownFile>> Find(
      absl::string_view name) = 0;

  // Opens a file for another member: as StorePath::Open(), and one that has
  // expired, too. By the other member's clock it may not have, and it must get
  // what it copies. Blocks.
  virtual absl::StatusOr<std::unique_ptr<OpenFile>> OpenForMember(
      absl::string_view name) = 0;

  // What a log tells of, which need not be known yet.
  virtual std::unique_ptr<LoggedFiles> FollowLog(const LogId& log) = 0;

  // Queues a change that another member took. What is here already, or older
  // than what is here, is OK and changes nothing but the position. `done` as of
  // every change (store_path.h), and
  //   FAILED_PRECONDITION  OUT_OF_ORDER: with kNext, it is not the next of its
  //                        log. Nothing was changed.
  //   ABORTED              VERSION_MISMATCH: the change has a `base`, and that
  //   is
  //                        not here. Nothing was changed; apply it without
  //                        content and base, and fetch the content.
  //   INVALID_ARGUMENT     TOO_LARGE: such a content needs StartUpload() and
  //                        FinishReplica().
  //   DATA_LOSS            what the path knows of the name is damaged. Set the
  //                        change aside (ReplicatedChange::set_aside).
  //   RESOURCE_EXHAUSTED   OVERLOADED: with `set_aside`, too many changes are
  //                        set aside: something is wrong with the path.
  virtual void Apply(ReplicatedChange change, CommitDone done) = 0;

  // Gives `file`, whose content is missing, that of another file of the path
  // that has the same, by FileInfo::sha256. False if none has, or it could not
  // be done. Blocks.
  virtual bool ShareContent(const KnownFile& file) {
    static_cast<void>(file);
    return false;
  }

  // Says how far logs are applied, where no single change does: after a
  // snapshot was applied that began there, or for a log to be heard of. Never
  // moves a position back; `applied`, `cut` and `unsure` count. Blocks.
  virtual absl::Status SetLogs(const std::vector<LogRange>& logs) = 0;

  // Files whose content is missing, at most `limit`, in the order of their
  // names from behind `after`.
  virtual std::vector<std::string> ListMissing(absl::string_view after,
                                               size_t limit) = 0;

  // Makes sure that ReadSnapshot() sees all that is applied now, and says how
  // far that is. Blocks while a checkpoint is made.
  virtual absl::StatusOr<std::vector<LogRange>> BeginSnapshot() = 0;

  // A page of all files and tombstones; `from` is empty or SnapshotPage::next
  // of any snapshot, of this member or another. Blocks.
  //   INVALID_ARGUMENT  `from` is none.
  virtual absl::StatusOr<SnapshotPage> ReadSnapshot(absl::string_view from,
                                                    size_t limit) = 0;

  // The same up to `until`, a cursor whose own name is included; empty: as
  // ReadSnapshot(). SnapshotPage::next is empty after the last one up to there.
  // So the names between `from` and `until` are those that the pages of a
  // snapshot of any member have between them, and no others.
  virtual absl::StatusOr<SnapshotPage> ReadRange(absl::string_view from,
                                                 absl::string_view until,
                                                 size_t limit) = 0;

  // Makes everything durable that was applied before the call. Blocks.
  virtual absl::Status Sync() = 0;

  // Every member has these changes, durably: their tombstones and entries may
  // be dropped when they are old enough. Until the first call all are taken to
  // be so: a path that nobody copies.
  virtual void SetPassed(const std::vector<LogPosition>& passed) = 0;

  // Every member that is there now, or was a short time ago, has these changes,
  // durably: entries that are very old may be dropped up to here, though a
  // member that is away for long has not got them; it takes a snapshot when it
  // is back. Tombstones stay. Until the first call nothing is dropped for that
  // reason.
  virtual void SetHeldByPresent(const std::vector<LogPosition>& held) {
    static_cast<void>(held);
  }

  // How far a round over all files has come, as SnapshotPage::next, so that a
  // restart need not begin it anew; empty: to the end. What was kept last is
  // read back; empty if there is nothing, or it is lost. Both block.
  virtual void KeepScrubPosition(absl::string_view position) {
    static_cast<void>(position);
  }
  virtual std::string ReadScrubPosition() { return ""; }

  // Changes that were set aside and not applied since, as kRetry; at most some
  // hundreds are. Cheap.
  virtual std::vector<ReplicatedChange> ListSetAside() { return {}; }
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_REPLICA_STORE_H_
