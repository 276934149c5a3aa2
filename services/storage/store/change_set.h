// What a group of journal records does to the index and to the state. Live
// commits, replay and rebuild all go through Apply(), so that they agree.

#ifndef CAIRN_SERVICES_STORAGE_STORE_CHANGE_SET_H_
#define CAIRN_SERVICES_STORAGE_STORE_CHANGE_SET_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "cairn/disk/v1/index.pb.h"
#include "cairn/disk/v1/segment.pb.h"
#include "services/storage/core/file_use.h"
#include "services/storage/store/file_record.h"
#include "services/storage/store/index.h"
#include "services/storage/store/path_state.h"
#include "services/storage/store/segment_format.h"

namespace cairn {
namespace storage {

struct ChangeSetOptions {
  uint32_t node_number = 0;  // Of this node.
  absl::Duration tombstone_retention;
  absl::Duration expiry_grace;

  // A rebuild: records come from everywhere and in any order; no log and no
  // requests are made of them.
  bool rebuilding = false;
};

// Where a record stands and how it looks, besides its meta.
struct RecordPlace {
  RecordHeader header;
  JournalPosition at;
  int64_t prefix_bytes = 0;

  JournalPosition end() const {
    return {at.segment,
            at.offset + RecordBytes(prefix_bytes, header.content_bytes)};
  }
};

// When the space of a file that expires is to be reclaimed here, unix seconds.
// The node that took the file does it first; others only if that has not
// happened. docs/decisions/0013-lifetimes.md.
int64_t ReclaimUnixSeconds(const ChangeSetOptions& options,
                           const FileRecord& record);

// When a tombstone may be dropped, as far as it is a question of time, unix
// seconds.
int64_t DropUnixSeconds(const ChangeSetOptions& options,
                        const FileRecord& record);

// The segment that a record which takes the place of `existing` must be known
// to shadow, 0 if none: an older file would come back, or what is kept of a
// deleted one. A tombstone that keeps nothing does no harm.
uint64_t ShadowedBy(const FileRecord& existing);

// Used by the one thread that changes the path. Nothing is visible before
// Write().
class ChangeSet {
 public:
  // Both are borrowed.
  ChangeSet(const ChangeSetOptions& options, Index* index, PathState* state);
  ~ChangeSet();

  ChangeSet(const ChangeSet&) = delete;
  ChangeSet& operator=(const ChangeSet&) = delete;

  // Forgets everything that was applied.
  void Reset();

  // What is known of a name, with what was applied to this set. Returns false
  // if nothing is.
  absl::StatusOr<bool> FindFile(absl::string_view name, FileRecord* record);

  // The dedicated segment that holds a content, with what was applied to this
  // set: one that a name refers to. nullopt if none is known to.
  absl::StatusOr<absl::optional<Extent>> FindContent(absl::string_view sha256,
                                                     int64_t size_bytes);

  // How far a log is applied, with what was applied to this set.
  uint64_t AppliedOf(uint32_t log_origin) const;

  // Takes from the quotas what a change adds that is about to be applied. Given
  // back by Write(), for which it counts, or Reset().
  //   RESOURCE_EXHAUSTED  QUOTA_EXCEEDED.
  absl::Status Take(absl::string_view owner, const FileUse& more);

  // Gives back what was taken for what is not going to be written.
  void ReturnTaken();

  // The number and the version for the next change of this node.
  uint64_t NextSequence();
  Version NextVersion(absl::Time now);

  // Applies a PUT, FILE, PIECES, DELETE or PASSED. It wins over what is known
  // of the name if it Replaces() that, or is of the same version and its place
  // later. One with `sealed_from` deletes that appender in the same step. Names
  // in `change` must stay valid and unchanged until Write() or Reset(). `runs`
  // as in FileRecordFromChange().
  //   DATA_LOSS  the record is none that this program writes.
  absl::Status Apply(const RecordPlace& place,
                     const disk::v1::FileChange& change,
                     absl::Span<const Extent> runs = {});

  // Says how far a log is; `head.synced` is left out. Positions do not move
  // back.
  void SetLog(const LogHead& head);

  // Forgets a tombstone.
  void DropTombstone(const ExpiryKey& expiry, const FileRecord& record);

  // Puts off the moment to look at a name again, or forgets it.
  void PostponeExpiry(const ExpiryKey& expiry, int64_t unix_seconds);
  void ForgetExpiry(const ExpiryKey& expiry);

  const ChangeSetOptions& options() const { return options_; }

  // A rebuild found that the content is not there: the file stays known, as
  // after a replay that finds the same.
  void LoseContent(absl::string_view name, const FileRecord& record);

  // A rebuild has seen all files, and so many names refer to the dedicated
  // segment of `content`. `sha256` is that of it, empty if it is not known. Of
  // segments with one content the last one is found by it.
  void SetNames(const Extent& content, uint32_t names,
                const std::string& sha256);

  // Nothing refers to the shared segment any more.
  void DoomShared(uint64_t number, const JournalPosition& after);

  // The file of the doomed segment is gone.
  void ForgetDoomed(uint64_t number);

  IndexBatch* batch() { return &batch_; }

  // Makes all of it visible in the index and in the state, and resets.
  void Write();

 private:
  void AddLive(uint64_t segment, int64_t bytes);

  // `record` is what the change made; null if it left nothing.
  void AddToLog(const disk::v1::FileChange& change, uint32_t operation,
                const FileRecord* record);
  void MoveLog(uint32_t origin, uint64_t sequence);
  void SetAside(const disk::v1::FileChange& change);
  void EndSetAside(absl::string_view name);
  void DoomDedicated(uint64_t number, const JournalPosition& after);

  // How many names more, or less, refer to a dedicated segment.
  struct NameCount {
    Extent content;
    int64_t names = 0;
    std::string sha256;  // Of the content, if a name says it.
  };
  void CountName(const Extent& holder, int sign, const std::string& sha256);

  // The index is to find the dedicated segment by its content, or not any more.
  // What is to be forgotten was looked up before.
  void RememberContent(const Extent& content, const std::string& sha256);
  absl::Status LookUpContentOf(uint64_t number);
  void ForgetContentOf(uint64_t number);
  uint32_t MoreNames(uint64_t number) const;
  void SetMoreNames(uint64_t number, uint32_t names);

  // Draws the sum of what one record, which ends at `at`, did to the names of
  // dedicated segments. A name that is new to a segment is its first one, or
  // one more (`shares`); without its last one the segment is doomed.
  void SettleNames(bool shares, const JournalPosition& at);

  // Adds what the record needs to what lives, or takes it away (`sign` -1);
  // SettleNames() has to follow.
  void Count(const FileRecord& record, int sign);

  // `sealed` is what the appender `name` became: the appender is deleted, and
  // what it shares with `sealed` stays.
  absl::Status EndAppender(absl::string_view name, absl::string_view sealed_as,
                           const FileRecord& sealed);

  // For recent_: what was written, and a name of which it is not known any
  // more.
  void KeepRecent();
  void ForgetRecent(absl::string_view name);

  const ChangeSetOptions options_;
  Index* const index_;
  PathState* const state_;
  IndexBatch batch_;
  StateChange change_;
  uint32_t own_log_ = 0;  // Short id, since Reset().

  // The last name that FindFile() looked up in the index: whoever admits a
  // change asks for it, and then Apply() does.
  struct Known {
    std::string name;
    bool found = false;
    FileRecord record;
  };
  absl::optional<Known> last_known_;

  // What the index says of files that were changed last and are in pieces: they
  // are likely to be changed again, and their records take long to decode.
  // Nobody else changes what the index says of files.
  absl::flat_hash_map<std::string, FileRecord> recent_;
  size_t recent_extents_ = 0;

  std::vector<NameCount> names_;  // Of one record; a handful at most.

  // What was looked up or changed, by ContentKey() and by segment. Nullopt and
  // empty: there is none.
  absl::flat_hash_map<std::string, absl::optional<disk::v1::ContentEntry>>
      contents_;
  absl::flat_hash_map<uint64_t, std::string> contents_of_segments_;

  // Names that were changed here.
  absl::flat_hash_map<absl::string_view, FileRecord> files_;
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_CHANGE_SET_H_
