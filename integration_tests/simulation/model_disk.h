// What the disk under a simulated store path holds, in memory: the records of
// a journal, in order, and what they add up to.
//
//   Append ─▶ record record record record record │
//                            └ durable ┘ └ lost in a power cut, from any
//                                          record on ┘
//
// It outlives the process that writes to it. The engine's rules
// (docs/formats/segment.md) in a few lines; model_path.h has the rest.

#ifndef CAIRN_INTEGRATION_TESTS_SIMULATION_MODEL_DISK_H_
#define CAIRN_INTEGRATION_TESTS_SIMULATION_MODEL_DISK_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "integration_tests/simulation/event_loop.h"
#include "lib/base/uuid.h"
#include "services/storage/core/replica_log.h"

namespace cairn {
namespace simulation {

// A run of bytes. A large one lies beside the journal and is synced on its own.
struct DiskPiece {
  std::string bytes;
  bool beside = false;
  bool synced = true;

  // They do not match their checksum any more; `bytes` is what they were.
  bool rotten = false;
};

// The content of a file, in order. Files may share pieces.
struct DiskContent {
  std::vector<std::shared_ptr<DiskPiece>> pieces;  // None is empty.

  std::string Bytes() const;
  bool IsSynced() const;
  bool IsRotten() const;

  // It is all of a large piece.
  bool IsOnePiece() const;
};

struct DiskRecord {
  enum class Kind {
    kChange,  // Of a file, or only a place in a log.
    kLogs,    // SetLogs().
    kOpened,  // From here on the path's own log is this one.
    kDrop,    // A tombstone is forgotten.
  };
  Kind kind = Kind::kChange;

  // kChange: the entry that it adds to a log, if it does.
  absl::optional<storage::LogId> log;
  storage::LogEntry entry;

  // kChange: what it makes of the file; unset for a place in a log.
  absl::optional<storage::KnownFile> known;
  std::shared_ptr<const DiskContent> content;  // Null: none, or missing.

  // kChange: a change that was set aside, and that the one of this name is
  // over.
  absl::optional<storage::ReplicatedChange> aside;
  bool aside_over = false;

  std::vector<storage::LogRange> logs;  // kLogs: `applied`, `cut`, `unsure`.
  storage::LogId own;                   // kOpened.
  std::string name;                     // kDrop.
};

// What records add up to.
struct DiskState {
  struct File {
    storage::KnownFile known;

    // Null: none, or missing. A tombstone may keep one.
    std::shared_ptr<const DiskContent> content;

    bool keeps_content() const { return known.deleted && content != nullptr; }
    bool has_good_content() const {
      return content != nullptr && !content->IsRotten();
    }

    // Makes a tombstone one that keeps nothing; until `undelete_until` others
    // may have the content.
    void GiveUpContent(int64_t undelete_until);
  };
  struct Log {
    uint64_t cut = 0;
    uint64_t applied = 0;
    uint64_t unsure = 0;
    std::map<uint64_t, storage::LogEntry> entries;
  };

  std::map<std::string, File> files;
  std::map<std::string, storage::ReplicatedChange> aside;  // By name.
  std::map<storage::LogId, Log> logs;
  std::map<Uuid, storage::LogPosition> requests;
  uint64_t version_clock = 0;
  storage::LogId own;

  void Apply(const DiskRecord& record);

  // Null if nothing is known.
  const File* Find(absl::string_view name) const;

  // Whether a change to what `change` is, or one that takes its place, is in
  // it; `with_content`: and the content, unless it is deleted; `synced`: one
  // that a power cut leaves.
  bool Has(const storage::FileInfo& change, bool deleted, bool with_content,
           bool synced) const;

  // Whether the log is applied up to the change.
  bool Reached(const storage::LogPosition& change) const;

 private:
  // `sealed` is what the appender `name` became.
  void EndAppender(const std::string& name, const storage::KnownFile& sealed);
};

class ModelDisk {
 public:
  // An empty disk. `loop` is borrowed.
  explicit ModelDisk(EventLoop* loop);

  ModelDisk(const ModelDisk&) = delete;
  ModelDisk& operator=(const ModelDisk&) = delete;

  // ---- For the process that has it open.
  void Append(DiskRecord record);
  void Sync();        // All that was appended; contents beside it are not.
  void Checkpoint();  // Tombstones that were forgotten stay so.

  // A sync has failed: what it was to write is lost or not, which shows at the
  // next Open().
  void FailSync() { suspect_ = true; }
  bool suspect() const { return suspect_; }

  // Begins an era. Nobody else has it open.
  void Open();

  // The process has said all that it had to say.
  void CleanEnd();

  // ---- What may happen to it at any time. Bytes of a file rot; false if there
  // are none.
  bool Rot(const std::string& name);

  // What is known of a name cannot be read, nor anything be written in its
  // place.
  void SetUnreadable(const std::string& name) { unreadable_.insert(name); }
  void MendUnreadable() { unreadable_.clear(); }
  bool IsUnreadable(absl::string_view name) const {
    return unreadable_.count(std::string(name)) != 0;
  }

  // ---- What may happen to it while no process has it open.
  void PowerCut();
  void Wipe();

  // All records, and those that a power cut leaves.
  const DiskState& now() const { return now_; }
  const DiskState& durable() const { return durable_; }

 private:
  void Fold();
  void LoseUnsynced();
  void DropUnsafe(size_t least);

  EventLoop* const loop_;
  Uuid incarnation_;
  uint64_t boot_ = 1;
  uint64_t era_boot_ = 0;
  bool clean_ = true;
  bool suspect_ = false;  // A sync has failed since Open().
  std::set<std::string> unreadable_;
  std::vector<DiskRecord> records_;
  size_t synced_ = 0;      // Records.
  size_t checkpoint_ = 0;  // Records.
  DiskState now_;
  DiskState durable_;
};

}  // namespace simulation
}  // namespace cairn

#endif  // CAIRN_INTEGRATION_TESTS_SIMULATION_MODEL_DISK_H_
