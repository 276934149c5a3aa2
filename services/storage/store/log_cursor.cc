#include "services/storage/store/log_cursor.h"

#include <utility>

#include "absl/status/statusor.h"

namespace cairn {
namespace storage {
namespace {

// What stands between two changes of the log, of other logs, say, is passed
// over up to here.
constexpr int64_t kPassMax = 64 << 10;

// With less ahead it is not worth beginning.
constexpr int64_t kAheadMin = 1 << 20;

// Records that are of no file: a path has a few of them, small ones.
constexpr int64_t kControlBytesMax = 4 << 10;

bool IsOfFile(RecordType type) {
  return type == RecordType::kPut || type == RecordType::kFile ||
         type == RecordType::kDelete || type == RecordType::kPieces;
}

// A content that no other file has to do with.
bool IsPlain(const FileRecord& record) {
  return record.kind == FileKind::kNormal && record.sha256.empty() &&
         record.sealed_from.empty() && record.copied_from.empty();
}

}  // namespace

LogCursor::LogCursor(SegmentSet* segments, const PathState* state,
                     uint32_t log_origin)
    : segments_(segments), state_(state), log_origin_(log_origin) {}

bool LogCursor::Next(const LogEntry& entry, FileRecord* record) {
  if (!scanner_.has_value() || entry.kind != ChangeKind::kPut) return false;
  do {
    if (!has_change_ && !FindChange()) {
      End();
      return false;
    }
    // It is behind what this entry did: its turn comes.
    if (change_.log_sequence() > entry.sequence) return false;
    has_change_ = false;
  } while (change_.log_sequence() < entry.sequence);

  const RecordPrefix& found = scanner_->record();
  if (found.header.type != RecordType::kPut || change_.name() != entry.name) {
    return false;
  }
  absl::StatusOr<FileRecord> made = FileRecordFromChange(
      change_, found.header, scanner_->position(), found.prefix_bytes);
  if (!made.ok() || !IsPlain(*made) || !(made->version == entry.version)) {
    return false;
  }
  // Behind the look at the record: what dies from now on was alive then.
  if (!AllIsAlive()) {
    End();
    return false;
  }
  *record = *std::move(made);
  passed_bytes_ = 0;
  return true;
}

bool LogCursor::FindChange() {
  while (passed_bytes_ <= kPassMax) {
    const absl::StatusOr<RecordScanner::Outcome> outcome = scanner_->Next();
    if (!outcome.ok() || *outcome != RecordScanner::Outcome::kRecord) {
      return false;
    }
    const RecordPrefix& record = scanner_->record();
    passed_bytes_ += record.record_bytes;
    if (!IsOfFile(record.header.type)) {
      Count(record);
      continue;
    }
    if (!change_.ParseFromArray(record.meta.data(),
                                static_cast<int>(record.meta.size()))) {
      return false;
    }
    if (change_.log_origin() == log_origin_ && !change_.outside_log()) {
      has_change_ = true;
      return true;
    }
  }
  return false;
}

void LogCursor::Count(const RecordPrefix& record) {
  const int64_t offset = scanner_->position().offset;
  if (offset < counted_to_) return;
  counted_to_ = offset + record.record_bytes;
  control_bytes_ += record.record_bytes;
}

int64_t LogCursor::DeadBytesOf(const SharedSegment& segment) const {
  const int64_t seal_bytes =
      segment.sealed ? RecordBytes(kRecordHeaderBytes, /*content_bytes=*/0) : 0;
  return segment.dead_bytes() - seal_bytes - control_bytes_;
}

bool LogCursor::AllIsAlive() const {
  SharedSegment segment;
  return state_->FindSharedSegment(counted_segment_, &segment) &&
         DeadBytesOf(segment) <= 0;
}

void LogCursor::Found(const LogEntry& entry, const FileRecord& record) {
  // What was changed since says nothing of where the log goes on.
  if (record.log_origin != log_origin_ || log_origin_ == 0 ||
      record.log_sequence != entry.sequence || !record.has_record()) {
    return;
  }
  const JournalPosition at = record.record;
  if (scanner_.has_value()) {
    const JournalPosition next = scanner_->position();
    if (at.segment != next.segment || at.offset > next.offset + kPassMax) End();
  }
  const bool follows = at.segment == last_end_.segment &&
                       last_end_.offset <= at.offset &&
                       at.offset <= last_end_.offset + kPassMax;
  last_end_ = {at.segment, at.offset + record.record_bytes()};
  if (follows && !scanner_.has_value()) BeginBehind(record);
}

void LogCursor::BeginBehind(const FileRecord& record) {
  const uint64_t number = record.record.segment;
  SharedSegment segment;
  int64_t from = record.record.offset + record.record_bytes();
  if (!state_->FindSharedSegment(number, &segment) ||
      segment.end_offset - from < kAheadMin) {
    return;
  }
  // Near the beginning, what is of no file is counted on the way.
  const bool from_the_start = from <= kSegmentHeaderBytes + kPassMax;
  if (from_the_start) from = kSegmentHeaderBytes;
  if (from_the_start || number != counted_segment_) {
    counted_segment_ = number;
    counted_to_ = 0;
    control_bytes_ = 0;
  }
  if (DeadBytesOf(segment) > (from_the_start ? kControlBytesMax : 0)) return;
  absl::StatusOr<std::shared_ptr<File>> file = segments_->Open(number);
  if (!file.ok()) return;
  file_ = *std::move(file);
  scanner_.emplace(file_.get(), number, from, segment.end_offset,
                   /*check_content=*/true);
  has_change_ = false;
  passed_bytes_ = 0;
}

}  // namespace storage
}  // namespace cairn
