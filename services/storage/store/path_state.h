// What a store path knows in memory besides its index: counters, the log's
// head, and the shared segments. The index gets a copy at every checkpoint;
// replay brings it up to date again.

#ifndef CAIRN_SERVICES_STORAGE_STORE_PATH_STATE_H_
#define CAIRN_SERVICES_STORAGE_STORE_PATH_STATE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "cairn/disk/v1/index.pb.h"
#include "lib/base/mutex.h"
#include "lib/base/uuid.h"
#include "lib/io/file_system.h"
#include "services/storage/core/file_use.h"
#include "services/storage/core/quotas.h"
#include "services/storage/store/log_head.h"
#include "services/storage/store/segment_format.h"

namespace cairn {
namespace storage {

// What one group of changes adds to. The logs' heads and the clocks are values,
// the rest differences.
struct StateChange {
  uint64_t last_sequence = 0;                          // Of the own log.
  std::vector<std::pair<uint32_t, uint64_t>> applied;  // Of others, by origin.
  std::vector<LogHead> heads;  // Heard of, moved or cut; `synced` is left out.
  std::vector<disk::v1::FileChange> set_aside;
  std::vector<std::string> set_aside_over;
  uint64_t version_clock = 0;
  int64_t newest_create_unix_seconds = 0;
  UseTotals use;    // Of files.
  UseTotals taken;  // Of the quotas, for what is in `use`.
  int64_t tombstones = 0;
  int64_t dedicated_segments = 0;
  int64_t dedicated_bytes = 0;
  int64_t undelete_bytes = 0;
  std::vector<std::pair<uint64_t, int64_t>> live_bytes;  // Per shared segment.
  std::vector<std::pair<uint64_t, uint32_t>>
      more_names;  // Values; per segment.
  std::vector<std::pair<uint64_t, disk::v1::DoomedSegment>> doomed;
  std::vector<uint64_t> undoomed;  // Their files are gone.
};

struct SharedSegment {
  int64_t end_offset = kSegmentHeaderBytes;
  int64_t live_bytes = 0;
  bool sealed = false;

  int64_t dead_bytes() const {
    return end_offset - kSegmentHeaderBytes - live_bytes;
  }
};

struct StateTotals {
  int64_t files = 0;
  int64_t file_bytes = 0;
  int64_t tombstones = 0;
  int64_t dedicated_segments = 0;
  int64_t dedicated_bytes = 0;
  int64_t undelete_bytes = 0;  // Of contents that tombstones keep.
  int64_t shared_segments = 0;
  int64_t shared_live_bytes = 0;
  int64_t shared_dead_bytes = 0;
  int64_t doomed_segments = 0;
  int64_t uploads = 0;
};

// Thread-safe. Changed by one thread at a time (the committer, or whoever opens
// the path) but for segment numbers and uploads.
class PathState {
 public:
  PathState() = default;
  PathState(const PathState&) = delete;
  PathState& operator=(const PathState&) = delete;

  // From the index, when the path is opened.
  void Load(
      const disk::v1::IndexState& state,
      const std::vector<std::pair<uint64_t, disk::v1::SegmentEntry>>& segments,
      const std::vector<std::pair<uint64_t, disk::v1::DoomedSegment>>& doomed,
      const std::vector<LogHead>& logs);

  // The same, of changes that were set aside.
  void LoadSetAside(const std::vector<disk::v1::FileChange>& set_aside);

  // The same, of dedicated segments that several names refer to.
  void LoadSharedContents(
      const std::vector<std::pair<uint64_t, disk::v1::SharedContentEntry>>&
          shared);

  // The same, of what owners have.
  void LoadOwners(UseByOwner owners);

  // In place of what Load() and LoadOwners() were told: what was counted.
  void SetUse(UseTotals use);

  // For a checkpoint: everything but the journal position and the boot id, and
  // the shared segments and the owners that changed since the last call.
  struct Changed {
    std::vector<std::pair<uint64_t, disk::v1::SegmentEntry>> segments;
    UseByOwner owners;
  };
  disk::v1::IndexState Save(Changed* changed);

  // From now on `quotas` (borrowed, may be null) counts the path's files, until
  // CountOut(). Nobody changes the path meanwhile.
  void CountIn(Quotas* quotas);
  void CountOut();
  Quotas* quotas() const { return quotas_; }

  void Apply(const StateChange& change);

  // ---- The log.
  Uuid incarnation() const;
  uint32_t epoch() const;
  uint32_t log_origin() const;
  uint64_t last_sequence() const;
  uint64_t version_clock() const;
  int64_t newest_create_unix_seconds() const;
  void SetIncarnation(const Uuid& incarnation);

  // The path's own log is this one from now on; it begins at sequence 0.
  void SetEpoch(uint32_t epoch, uint32_t log_origin);

  // All that are known, by origin, the own one among them.
  std::vector<LogHead> Logs() const;
  LogHead OwnLog() const;

  // False if there is none.
  bool FindLog(const LogId& id, LogHead* head) const;
  bool FindLog(uint32_t origin, LogHead* head) const;

  // A short id that no log has.
  uint32_t NextLogOrigin() const;

  // Everything up to there is durable. `heads` is what Logs() said before it
  // was made so.
  void MarkSynced(const std::vector<LogHead>& heads);

  // All of the journal is durable: so is all that is applied, unless contents
  // beside it are not.
  void MarkJournalSynced();

  // What every member has, durably; see ReplicaStore::SetPassed().
  void SetPassed(const std::vector<LogPosition>& passed);
  bool IsPassed(uint32_t origin, uint64_t sequence) const;

  // The same, for members that are there; see ReplicaStore::SetHeldByPresent().
  void SetHeldByPresent(const std::vector<LogPosition>& held);

  // Up to where the log's entries may be dropped when they are old enough: what
  // every member has, and what those have that are there.
  uint64_t PassedUpTo(uint32_t origin) const;
  uint64_t HeldByPresentUpTo(uint32_t origin) const;

  // ---- Changes that could not be applied, by name.
  std::map<std::string, disk::v1::FileChange> SetAside() const;
  size_t set_aside_count() const;
  bool IsSetAside(absl::string_view name) const;
  bool FindSetAside(absl::string_view name, disk::v1::FileChange* change) const;

  // ---- Segments.
  uint64_t AllocateSegment();

  // Numbers up to `number` are taken.
  void ReserveSegments(uint64_t number);
  uint64_t next_segment() const;

  void AddSharedSegment(uint64_t number);
  void SetSegmentEnd(uint64_t number, int64_t end_offset, bool sealed);
  void RemoveSharedSegment(uint64_t number);
  std::map<uint64_t, SharedSegment> SharedSegments() const;
  bool HasSharedSegment(uint64_t number) const;

  // False if there is none.
  bool FindSharedSegment(uint64_t number, SharedSegment* segment) const;

  // Whether the file of a shared segment may still be there.
  bool SegmentFileExists(uint64_t number) const;

  std::map<uint64_t, disk::v1::DoomedSegment> Doomed() const;
  bool IsDoomed(uint64_t number) const;

  // How many names besides one refer to a dedicated segment.
  uint32_t MoreNames(uint64_t number) const;

  // ---- Uploads that are not committed. Their segments are theirs.
  void AddUpload(uint64_t number);
  void RemoveUpload(uint64_t number);

  // ---- Dedicated segments that are committed and not known to be durable.
  void AddUnsynced(uint64_t number, std::shared_ptr<File> file);
  std::vector<std::pair<uint64_t, std::shared_ptr<File>>> Unsynced() const;
  void RemoveUnsynced(uint64_t number);
  bool IsUnsynced(uint64_t number) const;

  StateTotals Totals() const;

 private:
  Quotas* quotas_ = nullptr;  // Set while nobody else uses the path.

  mutable Mutex mu_;
  Uuid incarnation_ ABSL_GUARDED_BY(mu_);
  uint32_t epoch_ ABSL_GUARDED_BY(mu_) = 0;
  uint32_t log_origin_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<uint32_t, LogHead> logs_ ABSL_GUARDED_BY(mu_);  // By origin.
  bool passed_all_ ABSL_GUARDED_BY(mu_) = true;
  std::map<uint32_t, uint64_t> passed_ ABSL_GUARDED_BY(mu_);   // By origin.
  std::map<uint32_t, uint64_t> present_ ABSL_GUARDED_BY(mu_);  // By origin.
  std::map<std::string, disk::v1::FileChange> set_aside_ ABSL_GUARDED_BY(mu_);
  uint64_t version_clock_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t newest_create_ ABSL_GUARDED_BY(mu_) = 0;
  UseTotals use_ ABSL_GUARDED_BY(mu_);
  std::set<std::string> changed_owners_ ABSL_GUARDED_BY(mu_);
  int64_t tombstones_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t dedicated_segments_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t dedicated_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t undelete_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t next_segment_ ABSL_GUARDED_BY(mu_) = 1;
  std::map<uint64_t, SharedSegment> shared_ ABSL_GUARDED_BY(mu_);
  std::set<uint64_t> changed_ ABSL_GUARDED_BY(mu_);
  std::map<uint64_t, disk::v1::DoomedSegment> doomed_ ABSL_GUARDED_BY(mu_);
  std::map<uint64_t, uint32_t> more_names_ ABSL_GUARDED_BY(mu_);  // None is 0.
  std::set<uint64_t> uploads_ ABSL_GUARDED_BY(mu_);
  std::map<uint64_t, std::shared_ptr<File>> unsynced_ ABSL_GUARDED_BY(mu_);
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_PATH_STATE_H_
