#include "services/storage/store/rebuild.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/error_reason.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "services/storage/store/change_set.h"
#include "services/storage/store/identity.h"
#include "services/storage/store/index.h"
#include "services/storage/store/path_layout.h"
#include "services/storage/store/path_state.h"
#include "services/storage/store/segment_probe.h"
#include "services/storage/store/segment_scan.h"
#include "services/storage/store/segment_set.h"

namespace cairn {
namespace storage {
namespace {

constexpr size_t kDamageNamedMax = 100;

class Rebuild {
 public:
  Rebuild(const StorePathOptions& options, FileSystem* fs, Clock* clock,
          absl::AnyInvocable<void(const JobProgress&)> progress)
      : options_(options),
        fs_(fs),
        clock_(clock),
        progress_(std::move(progress)),
        segments_(fs, options.directory, options.open_segments_max) {}

  absl::StatusOr<RebuildReport> Run() {
    CAIRN_RETURN_IF_ERROR(Claim());
    CAIRN_RETURN_IF_ERROR(OpenNewIndex());
    CAIRN_RETURN_IF_ERROR(ScanSegments());
    CAIRN_RETURN_IF_ERROR(CheckDedicated());
    CAIRN_RETURN_IF_ERROR(SaveState());
    index_.reset();
    // With this the new index counts; the swap is ended by whoever comes next
    // if this process does not.
    CAIRN_RETURN_IF_ERROR(fs_->SyncDirectory(options_.directory));
    CAIRN_RETURN_IF_ERROR(
        WriteIdentity(fs_, options_.directory, kNewIdentityFile, identity_));
    CAIRN_RETURN_IF_ERROR(InstallRebuiltIndex(fs_, options_.directory));
    const StateTotals totals = state_.Totals();
    report_.incarnation = identity_.incarnation;
    report_.files = totals.files;
    report_.tombstones = totals.tombstones;
    CAIRN_LOG(kInfo, "store",
              "rebuilt index path={} files={} tombstones={} damaged_records={} "
              "missing_content={}",
              options_.directory, report_.files, report_.tombstones,
              report_.damaged_records, report_.missing_content);
    return std::move(report_);
  }

 private:
  absl::Status Claim() {
    CAIRN_ASSIGN_OR_RETURN(const absl::optional<Identity> found,
                           ReadIdentity(fs_, options_.directory));
    if (!found.has_value()) {
      return ErrorWithReason(
          absl::StatusCode::kFailedPrecondition, ErrorReason::kStorePathOffline,
          absl::StrCat("store path ", options_.directory,
                       " has no IDENTITY; see docs/formats/identity.md"));
    }
    CAIRN_ASSIGN_OR_RETURN(ClaimedPath claimed,
                           ClaimPath(options_, fs_, clock_));
    lock_ = std::move(claimed.lock);
    identity_ = std::move(claimed.identity);
    identity_.incarnation = Uuid::Random();
    return absl::OkStatus();
  }

  absl::Status OpenNewIndex() {
    IndexOptions index_options = IndexOptionsOf(options_);
    index_options.directory =
        absl::StrCat(options_.directory, "/", kNewIndexFolder);
    index_options.create_if_missing = true;
    CAIRN_RETURN_IF_ERROR(RemoveTree(fs_, index_options.directory));
    CAIRN_RETURN_IF_ERROR(fs_->CreateDirectory(index_options.directory));
    CAIRN_ASSIGN_OR_RETURN(index_, Index::Open(index_options, fs_, clock_));
    state_.SetIncarnation(identity_.incarnation);
    state_.SetEpoch(/*epoch=*/1, /*log_origin=*/1);
    ChangeSetOptions change_options;
    change_options.node_number = options_.node_number;
    change_options.tombstone_retention = options_.tombstone_retention;
    change_options.expiry_grace = options_.expiry_grace;
    change_options.rebuilding = true;
    changes_ =
        std::make_unique<ChangeSet>(change_options, index_.get(), &state_);
    return absl::OkStatus();
  }

  absl::Status ScanSegments() {
    CAIRN_ASSIGN_OR_RETURN(const std::vector<uint64_t> numbers,
                           segments_.List(0));
    CAIRN_ASSIGN_OR_RETURN(const std::vector<uint64_t> uploads,
                           segments_.ListUploads());
    for (const uint64_t number : uploads) state_.ReserveSegments(number);
    std::vector<std::pair<uint64_t, int64_t>> shared;
    for (const uint64_t number : numbers) {
      state_.ReserveSegments(number);
      CAIRN_ASSIGN_OR_RETURN(const std::shared_ptr<File> file,
                             segments_.Open(number));
      CAIRN_ASSIGN_OR_RETURN(const SegmentProbe probe,
                             ProbeSegment(file.get(), number));
      if (probe.header_damaged) ReportDamage({number, 0}, "segment header");
      if (!probe.shared) {
        unnamed_.insert(number);
        continue;
      }
      shared.emplace_back(number, probe.size_bytes);
      so_far_.total_bytes += probe.size_bytes;
    }
    for (const auto& [number, size] : shared) {
      CAIRN_RETURN_IF_ERROR(ScanSegment(number, size));
    }
    return absl::OkStatus();
  }

  absl::Status ScanSegment(uint64_t number, int64_t size) {
    CAIRN_ASSIGN_OR_RETURN(const std::shared_ptr<File> file,
                           segments_.Open(number));
    report_.segments += 1;
    state_.AddSharedSegment(number);
    // Nothing is appended to it any more: the path goes on in a new one.
    state_.SetSegmentEnd(number, (size + 7) & ~int64_t{7}, /*sealed=*/true);
    const int64_t done_before = so_far_.done_bytes;
    RecordScanner scanner(file.get(), number, kSegmentHeaderBytes, size,
                          /*check_content=*/true);
    CAIRN_ASSIGN_OR_RETURN(RecordScanner::Outcome outcome, scanner.Next());
    while (outcome != RecordScanner::Outcome::kEnd) {
      if (outcome == RecordScanner::Outcome::kRecord) {
        report_.records += 1;
        CAIRN_RETURN_IF_ERROR(ApplyRecord(scanner));
        CAIRN_RETURN_IF_ERROR(FlushIfLarge());
        so_far_.done_bytes = done_before + scanner.position().offset;
        if (progress_) progress_(so_far_);
        CAIRN_ASSIGN_OR_RETURN(outcome, scanner.Next());
      } else {
        ReportDamage(scanner.position(), scanner.damage());
        // The name is known though its content is not whole.
        if (scanner.prefix_is_whole()) {
          CAIRN_RETURN_IF_ERROR(ApplyRecord(scanner));
        }
        CAIRN_ASSIGN_OR_RETURN(outcome, scanner.Resync());
      }
    }
    so_far_.done_bytes = done_before + size;
    if (progress_) progress_(so_far_);
    return absl::OkStatus();
  }

  absl::Status ApplyRecord(const RecordScanner& scanner) {
    const RecordPrefix& record = scanner.record();
    if (record.header.type != RecordType::kPut &&
        record.header.type != RecordType::kFile &&
        record.header.type != RecordType::kPieces &&
        record.header.type != RecordType::kDelete) {
      return absl::OkStatus();
    }
    disk::v1::FileChange change;
    RecordPlace place;
    place.header = record.header;
    place.at = scanner.position();
    place.prefix_bytes = record.prefix_bytes;
    changes_->Reset();
    absl::Status applied;
    if (!change.ParseFromArray(record.meta.data(),
                               static_cast<int>(record.meta.size()))) {
      applied = absl::DataLossError("record meta");
    } else {
      applied = changes_->Apply(place, change);
    }
    if (absl::IsDataLoss(applied)) {
      ReportDamage(scanner.position(), applied.message());
      changes_->Reset();
      return absl::OkStatus();
    }
    CAIRN_RETURN_IF_ERROR(applied);
    changes_->Write();
    return absl::OkStatus();
  }

  absl::Status FlushIfLarge() {
    return index_->DeltaBytes() < options_.memtable_bytes ? absl::OkStatus()
                                                          : Flush();
  }

  absl::Status Flush() {
    index_->Freeze();
    return index_->Flush();
  }

  // Marks files of which a segment is missing or cut off, which other members
  // may have, and drops dedicated segments that no file names.
  absl::Status CheckDedicated() {
    CAIRN_RETURN_IF_ERROR(Flush());
    const std::set<uint64_t> listed = unnamed_;
    std::vector<std::pair<std::string, FileRecord>> missing;
    struct Names {
      uint32_t count = 0;
      Extent content;
      std::string sha256;
    };
    std::map<uint64_t, Names> names;  // Of dedicated segments.
    absl::Status failed;
    CAIRN_RETURN_IF_ERROR(index_->ForEachFile(
        [&](absl::string_view name, const FileRecord& record) {
          if (record.content_inline) return true;
          bool all_whole = true;
          for (const Extent& holder : record.Holders()) {
            if (holder.in_record()) {
              all_whole = all_whole && state_.HasSharedSegment(holder.segment);
              continue;
            }
            unnamed_.erase(holder.segment);
            const absl::StatusOr<bool> whole =
                DedicatedIsWhole(&segments_, holder, DedicatedCheck::kShape);
            failed.Update(whole.status());
            if (!failed.ok()) return false;
            all_whole = all_whole && *whole;
          }
          if (!all_whole) {
            missing.emplace_back(std::string(name), record);
            return true;
          }
          const bool is_own = record.OwnSegment() != nullptr;
          for (const Extent& holder : record.Holders()) {
            if (holder.in_record()) continue;
            Names& of_segment = names[holder.segment];
            of_segment.count += 1;
            if (is_own || of_segment.count == 1) of_segment.content = holder;
            if (is_own && !record.sha256.empty()) {
              of_segment.sha256 = record.sha256;
            }
          }
          return true;
        }));
    CAIRN_RETURN_IF_ERROR(failed);
    for (const auto& [name, record] : missing) {
      if (!record.deleted) report_.missing_content += 1;
      changes_->Reset();
      changes_->LoseContent(name, record);
      changes_->Write();
    }
    changes_->Reset();
    for (const auto& [number, of_segment] : names) {
      changes_->SetNames(of_segment.content, of_segment.count,
                         of_segment.sha256);
    }
    changes_->Write();
    // An upload that a crash interrupted while it was being finished goes on.
    CAIRN_ASSIGN_OR_RETURN(const std::vector<uint64_t> journals,
                           segments_.ListUploadJournals());
    for (const uint64_t number : journals) {
      state_.ReserveSegments(number);
      if (state_.IsDoomed(number)) {
        // Its file lost the content; another one may get it from here.
        changes_->Reset();
        changes_->ForgetDoomed(number);
        changes_->Write();
        if (listed.count(number) != 0) unnamed_.insert(number);
      }
      if (unnamed_.count(number) == 0 || report_.damaged_records > 0) continue;
      CAIRN_RETURN_IF_ERROR(segments_.UnpublishUpload(number));
      unnamed_.erase(number);
    }
    for (const uint64_t number : unnamed_) {
      if (report_.damaged_records > 0) {
        CAIRN_LOG(kWarning, "store",
                  "segment is not named by any record and is kept since "
                  "records are damaged segment={}",
                  number);
        continue;
      }
      CAIRN_RETURN_IF_ERROR(segments_.Remove(number));
    }
    return absl::OkStatus();
  }

  absl::Status SaveState() {
    CAIRN_ASSIGN_OR_RETURN(const std::string boot_id, BootId(options_, fs_));
    PathState::Changed changed;
    disk::v1::IndexState state = state_.Save(&changed);
    state.set_boot_id(boot_id);
    state.set_clean_end(true);
    // What was found came before the log: nobody can learn of it from there, so
    // whoever begins with the log is told to take a snapshot.
    LogHead own = state_.OwnLog();
    own.applied = 1;
    own.cut = 1;
    state.set_last_sequence(own.applied);
    IndexBatch batch;
    batch.PutState(state);
    batch.PutOrigin(own);
    for (const auto& [number, entry] : changed.segments) {
      batch.PutSegment(number, entry);
    }
    for (const auto& [owner, use] : changed.owners) batch.PutOwner(owner, use);
    index_->Write(&batch);
    return Flush();
  }

  void ReportDamage(const JournalPosition& at, absl::string_view what) {
    report_.damaged_records += 1;
    if (report_.damage.size() < kDamageNamedMax) {
      report_.damage.push_back(absl::StrCat(at.ToString(), ": ", what));
    }
    CAIRN_LOG(kError, "store",
              "record is damaged, see docs/runbooks/damaged_content.md "
              "segment={} offset={} what={}",
              at.segment, at.offset, what);
  }

  const StorePathOptions& options_;
  FileSystem* const fs_;
  Clock* const clock_;
  absl::AnyInvocable<void(const JobProgress&)> progress_;
  SegmentSet segments_;
  std::unique_ptr<FileLock> lock_;
  Identity identity_;
  PathState state_;
  std::unique_ptr<Index> index_;
  std::unique_ptr<ChangeSet> changes_;
  std::set<uint64_t> unnamed_;  // Not shared, and no file names them so far.
  RebuildReport report_;
  JobProgress so_far_;
};

}  // namespace

absl::StatusOr<RebuildReport> RebuildIndex(
    const StorePathOptions& options, FileSystem* fs, Clock* clock,
    absl::AnyInvocable<void(const JobProgress&)> progress) {
  return Rebuild(options, fs, clock, std::move(progress)).Run();
}

}  // namespace storage
}  // namespace cairn
