// Reads the files that a log tells of where they were written, one behind the
// other, instead of looking each up. A member that catches up is sent most of a
// log that way.
//
//   log       n    n+1   n+2   n+3
//   found by  index index  ── the cursor ──
//   segment  │ n │ n+1 │ other │ n+2 │ n+3 │ …
//
// Two that were looked up and stand behind each other begin it. It goes on as
// long as nothing in the segment is dead, so that no file that is read was
// deleted, and ends at the segment's end, or where the disk has another order.

#ifndef CAIRN_SERVICES_STORAGE_STORE_LOG_CURSOR_H_
#define CAIRN_SERVICES_STORAGE_STORE_LOG_CURSOR_H_

#include <cstdint>
#include <memory>

#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "cairn/disk/v1/segment.pb.h"
#include "lib/io/file_system.h"
#include "services/storage/core/replica_log.h"
#include "services/storage/store/file_record.h"
#include "services/storage/store/path_state.h"
#include "services/storage/store/segment_format.h"
#include "services/storage/store/segment_scan.h"
#include "services/storage/store/segment_set.h"

namespace cairn {
namespace storage {

// For one thread at a time.
class LogCursor {
 public:
  // Both borrowed. `log_origin` is the short id of the log.
  LogCursor(SegmentSet* segments, const PathState* state, uint32_t log_origin);

  LogCursor(const LogCursor&) = delete;
  LogCursor& operator=(const LogCursor&) = delete;

  // Whether the put that the entry tells of is what comes next. Then `record`
  // is what the entry made of the file, with its content, which was checked.
  // The file may have been changed since, but was not deleted. If not, look it
  // up and tell Found(). Blocks.
  bool Next(const LogEntry& entry, FileRecord* record);

  // Of the last record; until the next call of Next() or Found().
  absl::string_view content() const { return scanner_->content(); }

  // The file that the entry tells of was looked up, and is this.
  void Found(const LogEntry& entry, const FileRecord& record);

 private:
  void BeginBehind(const FileRecord& record);
  void End() { scanner_.reset(); }

  // Makes `change_` the next one of the log. False if there is none near.
  bool FindChange();

  // The scanner's record is of no file.
  void Count(const RecordPrefix& record);

  // What is dead in the segment at most, besides what is known to be of no
  // file.
  int64_t DeadBytesOf(const SharedSegment& segment) const;
  bool AllIsAlive() const;

  SegmentSet* const segments_;
  const PathState* const state_;
  const uint32_t log_origin_;

  JournalPosition last_end_;  // Behind what was looked up last.

  // While the cursor reads.
  std::shared_ptr<File> file_;
  absl::optional<RecordScanner> scanner_;
  bool has_change_ = false;  // `change_` is that of the scanner's record.
  disk::v1::FileChange change_;
  int64_t passed_bytes_ = 0;  // Of other records since the last hit.

  // Of records of the segment that are of no file, as far as they were seen.
  uint64_t counted_segment_ = 0;
  int64_t counted_to_ = 0;
  int64_t control_bytes_ = 0;
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_LOG_CURSOR_H_
