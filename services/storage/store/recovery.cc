#include "services/storage/store/recovery.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/strings/string_view.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "services/storage/store/segment_probe.h"
#include "services/storage/store/segment_scan.h"
#include "services/storage/store/suspect_mark.h"

namespace cairn {
namespace storage {
namespace {

using Outcome = RecordScanner::Outcome;

// A shared segment in the replay window.
struct Window {
  uint64_t number = 0;
  std::shared_ptr<File> file;
  int64_t begin = kSegmentHeaderBytes;
  int64_t size = 0;
};

// What the records behind a bad place say about it.
struct Evidence {
  bool record_behind = false;  // In the same segment.
  bool record_in_later_segment = false;
  JournalPosition synced;  // The furthest claim.
};

class Recovery {
 public:
  Recovery(const ChangeSetOptions& options,
           const disk::v1::IndexState& checkpoint, const std::string& boot_id,
           bool suspect, SegmentSet* segments, Index* index, PathState* state)
      : checkpoint_(checkpoint),
        boot_id_(boot_id),
        suspect_(suspect),
        segments_(segments),
        state_(state),
        changes_(options, index, state),
        era_boot_id_(checkpoint.boot_id()),
        clean_(checkpoint.clean_end()) {}

  absl::StatusOr<RecoveryResult> Run() {
    CAIRN_RETURN_IF_ERROR(RemoveUploads());
    CAIRN_RETURN_IF_ERROR(FindWindow());
    CAIRN_RETURN_IF_ERROR(Replay());
    CAIRN_RETURN_IF_ERROR(CutTail());
    CAIRN_RETURN_IF_ERROR(TakeBackUploads());
    CAIRN_RETURN_IF_ERROR(RemoveOrphans());
    if (result_.damaged_records > 0) MarkUnsure();
    // What is left of the journal was synced by now.
    state_->MarkSynced(state_->Logs());
    result_.may_have_lost_changes =
        result_.damaged_records > 0 || suspect_ || (!clean_ && !CacheIsWhole());
    return std::move(result_);
  }

 private:
  // Those that nobody can go on with.
  absl::Status RemoveUploads() {
    CAIRN_ASSIGN_OR_RETURN(const std::vector<uint64_t> journals,
                           segments_->ListUploadJournals());
    CAIRN_ASSIGN_OR_RETURN(const std::vector<uint64_t> numbers,
                           segments_->ListUploads());
    for (const uint64_t number : journals) state_->ReserveSegments(number);
    for (const uint64_t number : numbers) {
      state_->ReserveSegments(number);
      uploads_.insert(number);
    }
    for (const uint64_t number : numbers) {
      if (std::binary_search(journals.begin(), journals.end(), number)) {
        continue;
      }
      CAIRN_RETURN_IF_ERROR(segments_->RemoveUpload(number));
      uploads_.erase(number);
    }
    journals_ = journals;
    return absl::OkStatus();
  }

  // A crash between the moment when a finished upload left uploads/ and its
  // record leaves a segment that nothing names, and a journal: it goes back.
  absl::Status TakeBackUploads() {
    for (const uint64_t number : journals_) {
      const absl::Status published = segments_->Open(number).status();
      if (!published.ok() && !absl::IsNotFound(published)) return published;
      bool goes_on = uploads_.count(number) != 0;
      // What is left here of one that is a file is of a name that a power cut
      // brought back.
      const bool is_file = published.ok() && orphans_.count(number) == 0;
      // See RemoveOrphans().
      const bool may_be_file = published.ok() && result_.damaged_records > 0;
      if (is_file || may_be_file) {
        goes_on = false;
      } else if (published.ok() && !goes_on) {
        CAIRN_RETURN_IF_ERROR(segments_->UnpublishUpload(number));
        orphans_.erase(number);
        goes_on = true;
      }
      if (goes_on) {
        state_->AddUpload(number);
        result_.uploads.push_back(number);
      } else {
        CAIRN_RETURN_IF_ERROR(segments_->RemoveUploadJournal(number));
        CAIRN_RETURN_IF_ERROR(segments_->RemoveUpload(number));
      }
    }
    return absl::OkStatus();
  }

  // The segment of the checkpoint and the shared ones that were begun since.
  absl::Status FindWindow() {
    const JournalPosition from{
        checkpoint_.journal_segment(),
        static_cast<int64_t>(checkpoint_.journal_offset())};
    result_.end = from;
    if (from.segment != 0) {
      CAIRN_RETURN_IF_ERROR(AddToWindow(from.segment, from.offset));
    }
    std::set<uint64_t> young(checkpoint_.unfinished_segments().begin(),
                             checkpoint_.unfinished_segments().end());
    CAIRN_ASSIGN_OR_RETURN(const std::vector<uint64_t> listed,
                           segments_->List(checkpoint_.next_segment()));
    young.insert(listed.begin(), listed.end());
    for (const uint64_t number : young) {
      state_->ReserveSegments(number);
      CAIRN_ASSIGN_OR_RETURN(const bool shared, IsShared(number));
      if (shared) {
        CAIRN_RETURN_IF_ERROR(AddToWindow(number, kSegmentHeaderBytes));
      } else {
        orphans_.insert(number);
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<bool> IsShared(uint64_t number) {
    absl::StatusOr<std::shared_ptr<File>> file = segments_->Open(number);
    if (absl::IsNotFound(file.status())) return false;
    CAIRN_RETURN_IF_ERROR(file.status());
    CAIRN_ASSIGN_OR_RETURN(const SegmentProbe probe,
                           ProbeSegment(file->get(), number));
    if (probe.header_damaged) ReportDamage({number, 0}, "segment header");
    return probe.shared;
  }

  absl::Status AddToWindow(uint64_t number, int64_t begin) {
    absl::StatusOr<std::shared_ptr<File>> file = segments_->Open(number);
    if (absl::IsNotFound(file.status())) {
      ReportDamage({number, begin}, "segment is missing");
      return absl::OkStatus();
    }
    CAIRN_RETURN_IF_ERROR(file.status());
    Window window;
    window.number = number;
    window.file = *std::move(file);
    window.begin = begin;
    CAIRN_ASSIGN_OR_RETURN(window.size, window.file->Size());
    if (window.size < begin) {
      // The checkpoint says that it was longer, and checkpoints are synced. New
      // records must not take the place of lost ones.
      ReportDamage({number, window.size}, "segment is cut off");
      result_.end = {number, begin};
      cut_off_ = number;
      return absl::OkStatus();
    }
    window_.push_back(std::move(window));
    return absl::OkStatus();
  }

  absl::Status Replay() {
    for (size_t i = 0; i < window_.size(); ++i) {
      const Window& window = window_[i];
      if (i > 0 || !state_->HasSharedSegment(window.number)) {
        state_->AddSharedSegment(window.number);
      }
      bool sealed = false;
      CAIRN_ASSIGN_OR_RETURN(const bool goes_on, ReplaySegment(i, &sealed));
      state_->SetSegmentEnd(window.number, result_.end.offset, sealed);
      if (!goes_on) {
        active_ = i;
        active_sealed_ = sealed;
        return absl::OkStatus();
      }
    }
    return absl::OkStatus();
  }

  // Returns whether the journal goes on in the next segment.
  absl::StatusOr<bool> ReplaySegment(size_t i, bool* sealed) {
    const Window& window = window_[i];
    RecordScanner scanner(window.file.get(), window.number, window.begin,
                          window.size, /*check_content=*/true);
    CAIRN_ASSIGN_OR_RETURN(Outcome outcome, scanner.Next());
    while (true) {
      result_.end = scanner.position();
      if (outcome == Outcome::kEnd) {
        if (*sealed) return i + 1 < window_.size();
        CAIRN_ASSIGN_OR_RETURN(const Evidence evidence,
                               Look(i, scanner.position()));
        if (!IsDamage(scanner.position(), evidence)) {
          if (evidence.record_in_later_segment) LogTorn(window, scanner);
          return false;
        }
        ReportDamage(scanner.position(), "segment is cut off");
        *sealed = true;
        return true;
      }
      if (outcome == Outcome::kRecord) {
        CAIRN_RETURN_IF_ERROR(ApplyRecord(scanner));
        *sealed = scanner.record().header.type == RecordType::kSealed;
        CAIRN_ASSIGN_OR_RETURN(outcome, scanner.Next());
        continue;
      }
      CAIRN_ASSIGN_OR_RETURN(const Evidence evidence,
                             Look(i, scanner.position()));
      if (!IsDamage(scanner.position(), evidence)) {
        LogTorn(window, scanner);
        return false;
      }
      ReportDamage(scanner.position(), scanner.damage());
      // The name is known and only the content is not whole: readers are told,
      // and a peer can mend it.
      if (scanner.prefix_is_whole())
        CAIRN_RETURN_IF_ERROR(ApplyRecord(scanner));
      CAIRN_ASSIGN_OR_RETURN(outcome, scanner.Resync());
    }
  }

  // Whether the bytes at a bad place were there once. Unsynced bytes survive a
  // killed process in order; what a power cut leaves of them has any holes.
  bool IsDamage(const JournalPosition& bad, const Evidence& evidence) const {
    return bad < evidence.synced ||
           ((evidence.record_behind || evidence.record_in_later_segment) &&
            CacheIsWhole());
  }

  // Whether all that processes of this era wrote can still be read.
  bool CacheIsWhole() const { return !suspect_ && era_boot_id_ == boot_id_; }

  static void LogTorn(const Window& window, const RecordScanner& scanner) {
    CAIRN_LOG(kInfo, "store", "journal tail is torn at {} bytes={} ({})",
              scanner.position().ToString(),
              window.size - scanner.position().offset, scanner.damage());
  }

  // What stands behind a bad place, to the end of the journal.
  absl::StatusOr<Evidence> Look(size_t i, const JournalPosition& bad) {
    Evidence evidence;
    for (size_t k = i; k < window_.size(); ++k) {
      const Window& window = window_[k];
      const int64_t begin = k == i ? bad.offset : window.begin;
      RecordScanner scanner(window.file.get(), window.number, begin,
                            window.size, /*check_content=*/false);
      CAIRN_ASSIGN_OR_RETURN(Outcome outcome, scanner.Next());
      // The bad place itself is no evidence, even if its prefix is whole.
      if (k == i && outcome == Outcome::kRecord) {
        CAIRN_ASSIGN_OR_RETURN(outcome, scanner.Next());
      }
      while (outcome != Outcome::kEnd) {
        if (outcome == Outcome::kRecord) {
          (k == i ? evidence.record_behind : evidence.record_in_later_segment) =
              true;
          evidence.synced =
              std::max(evidence.synced, scanner.record().header.synced);
          CAIRN_ASSIGN_OR_RETURN(outcome, scanner.Next());
        } else {
          CAIRN_ASSIGN_OR_RETURN(outcome, scanner.Resync());
        }
      }
    }
    return evidence;
  }

  absl::Status ApplyRecord(const RecordScanner& scanner) {
    const RecordPrefix& record = scanner.record();
    result_.replayed_records += 1;
    clean_ = false;
    switch (record.header.type) {
      case RecordType::kPut:
      case RecordType::kFile:
      case RecordType::kDelete:
      case RecordType::kPassed:
      case RecordType::kPieces:
        return ApplyChange(scanner);
      case RecordType::kLogs:
        return ApplyLogs(scanner);
      case RecordType::kOpened:
        return ApplyOpened(scanner);
      case RecordType::kCleanEnd:
        clean_ = true;
        return absl::OkStatus();
      case RecordType::kSealed:
        return absl::OkStatus();
    }
    return absl::OkStatus();
  }

  absl::Status ApplyChange(const RecordScanner& scanner) {
    const RecordPrefix& record = scanner.record();
    disk::v1::FileChange change;
    if (!change.ParseFromArray(record.meta.data(),
                               static_cast<int>(record.meta.size()))) {
      ReportDamage(scanner.position(), "record meta");
      return absl::OkStatus();
    }
    absl::InlinedVector<Extent, 1> runs;  // What the change lists.
    if (record.header.type == RecordType::kFile ||
        record.header.type == RecordType::kPieces) {
      absl::StatusOr<FileRecord> file = FileRecordFromChange(
          change, record.header, scanner.position(), record.prefix_bytes);
      if (!file.ok()) {
        ReportDamage(scanner.position(), file.status().message());
        return absl::OkStatus();
      }
      CAIRN_ASSIGN_OR_RETURN(const bool whole,
                             TakeDedicated(file->extents, record.header.flags));
      if (whole) {
        runs = std::move(file->extents);
      } else {
        result_.lost_files += 1;
        CAIRN_LOG(kWarning, "store",
                  "content of an unsynced file did not survive the restart, "
                  "another member may have it name={} at={}",
                  change.name(), scanner.position().ToString());
        // The change stays: what follows in its log would hang in the air, and
        // a member that pulled it knows the file.
        SetContentMissing(&change);
      }
    }
    RecordPlace place;
    place.header = record.header;
    place.at = scanner.position();
    place.prefix_bytes = record.prefix_bytes;
    changes_.Reset();
    const absl::Status applied = changes_.Apply(place, change, runs);
    if (absl::IsDataLoss(applied)) {
      ReportDamage(scanner.position(), applied.message());
      return absl::OkStatus();
    }
    CAIRN_RETURN_IF_ERROR(applied);
    changes_.Write();
    return absl::OkStatus();
  }

  // Whether what a FILE or PIECES record names in dedicated segments can be
  // relied on. What it names in the journal stands before it there.
  absl::StatusOr<bool> TakeDedicated(absl::Span<const Extent> extents,
                                     uint8_t flags) {
    const bool durable = (flags & kRecordContentSynced) != 0;
    for (const Extent& extent : extents) {
      if (extent.is_hole() || extent.in_record()) continue;
      // Names that share a content lose it together, or it would be counted as
      // if one were there that is not.
      const std::pair<uint64_t, uint32_t> content{extent.segment,
                                                  extent.crc32c};
      if (lost_.count(content) != 0) return false;
      if (!durable && !CacheIsWhole()) {
        CAIRN_ASSIGN_OR_RETURN(
            const bool whole,
            DedicatedIsWhole(segments_, extent, DedicatedCheck::kContent));
        if (!whole) {
          lost_.insert(content);
          return false;
        }
      }
      orphans_.erase(extent.segment);
      if (durable) continue;
      absl::StatusOr<std::shared_ptr<File>> file =
          segments_->Open(extent.segment);
      if (!file.ok()) continue;  // A later record deletes it.
      if (suspect_) {
        CAIRN_ASSIGN_OR_RETURN(const int64_t size, (*file)->Size());
        CAIRN_RETURN_IF_ERROR(WriteAgain(file->get(), 0, size));
      }
      state_->AddUnsynced(extent.segment, *std::move(file));
    }
    return true;
  }

  absl::Status ApplyOpened(const RecordScanner& scanner) {
    disk::v1::Opened opened;
    if (!opened.ParseFromArray(
            scanner.record().meta.data(),
            static_cast<int>(scanner.record().meta.size()))) {
      ReportDamage(scanner.position(), "record meta");
      return absl::OkStatus();
    }
    era_boot_id_ = opened.boot_id();
    if (opened.log_origin() != state_->log_origin()) {
      state_->SetEpoch(opened.epoch(), opened.log_origin());
      changes_.Reset();
      changes_.SetLog(state_->OwnLog());
      changes_.Write();
    }
    return absl::OkStatus();
  }

  absl::Status ApplyLogs(const RecordScanner& scanner) {
    disk::v1::LogPositions positions;
    changes_.Reset();
    bool parsed = positions.ParseFromArray(
        scanner.record().meta.data(),
        static_cast<int>(scanner.record().meta.size()));
    for (const disk::v1::LogState& log : positions.logs()) {
      const absl::StatusOr<Uuid> incarnation =
          Uuid::FromBytes(log.incarnation());
      parsed = parsed && incarnation.ok() && log.log_origin() != 0;
      if (!parsed) break;
      LogHead head;
      head.origin = log.log_origin();
      head.id = LogId{*incarnation, log.epoch()};
      head.cut = log.cut_sequence();
      head.applied = log.applied_sequence();
      head.unsure = log.unsure_sequence();
      changes_.SetLog(head);
    }
    if (!parsed) {
      ReportDamage(scanner.position(), "record meta");
      changes_.Reset();
      return absl::OkStatus();
    }
    changes_.Write();
    return absl::OkStatus();
  }

  // Makes what was replayed durable, and nothing else.
  absl::Status CutTail() {
    if (window_.empty() || !active_.has_value()) return absl::OkStatus();
    const Window& window = window_[*active_];
    if (window.size > result_.end.offset) {
      CAIRN_RETURN_IF_ERROR(window.file->Truncate(result_.end.offset));
    }
    // The process may have died between sealing a segment and its sync, or
    // between creating one and the sync of its folder.
    for (size_t i = 0; i <= *active_; ++i) {
      if (suspect_) {
        CAIRN_RETURN_IF_ERROR(
            WriteAgain(window_[i].file.get(), window_[i].begin,
                       i == *active_ ? result_.end.offset : window_[i].size));
      }
      CAIRN_RETURN_IF_ERROR(window_[i].file->Sync());
      CAIRN_RETURN_IF_ERROR(segments_->SyncFolderOf(window_[i].number));
    }
    if (!active_sealed_ && window.number != cut_off_) {
      result_.file = window.file;
    }
    // Nothing in them was synced, or what is before them would be whole. They
    // must not come back once others follow.
    for (size_t i = *active_ + 1; i < window_.size(); ++i) {
      CAIRN_RETURN_IF_ERROR(segments_->Remove(window_[i].number));
      CAIRN_RETURN_IF_ERROR(segments_->SyncFolderOf(window_[i].number));
    }
    return absl::OkStatus();
  }

  // Positions may have moved over a change that is not there any more. Whoever
  // finds a file missing here must not take it for deleted.
  void MarkUnsure() {
    changes_.Reset();
    for (LogHead head : state_->Logs()) {
      head.unsure = head.applied;
      changes_.SetLog(head);
    }
    changes_.Write();
  }

  absl::Status RemoveOrphans() {
    for (const uint64_t number : orphans_) {
      if (result_.damaged_records > 0) {
        // The record that names it may be among the damaged ones.
        CAIRN_LOG(kWarning, "store",
                  "segment is not named by any record and is kept since the "
                  "journal is damaged segment={}",
                  number);
        continue;
      }
      CAIRN_RETURN_IF_ERROR(segments_->Remove(number));
    }
    return absl::OkStatus();
  }

  void ReportDamage(const JournalPosition& at, absl::string_view what) {
    result_.damaged_records += 1;
    CAIRN_LOG(kError, "store",
              "journal is damaged, see docs/runbooks/damaged_content.md "
              "segment={} offset={} what={}",
              at.segment, at.offset, what);
  }

  const disk::v1::IndexState& checkpoint_;
  const std::string& boot_id_;
  const bool suspect_;
  SegmentSet* const segments_;
  PathState* const state_;
  ChangeSet changes_;
  RecoveryResult result_;

  std::vector<Window> window_;
  absl::optional<size_t> active_;  // In window_: where the journal ends.
  bool active_sealed_ = false;
  uint64_t cut_off_ = 0;
  std::set<uint64_t> orphans_;

  // Contents of dedicated segments that are not whole, by segment and CRC.
  std::set<std::pair<uint64_t, uint32_t>> lost_;
  std::vector<uint64_t> journals_;  // Of uploads, ascending.
  std::set<uint64_t> uploads_;      // Segments in uploads/ that have one.

  // As of the record that is looked at.
  std::string era_boot_id_;
  bool clean_;
};

}  // namespace

absl::StatusOr<RecoveryResult> Recover(const ChangeSetOptions& options,
                                       const disk::v1::IndexState& checkpoint,
                                       const std::string& boot_id, bool suspect,
                                       SegmentSet* segments, Index* index,
                                       PathState* state) {
  return Recovery(options, checkpoint, boot_id, suspect, segments, index, state)
      .Run();
}

}  // namespace storage
}  // namespace cairn
