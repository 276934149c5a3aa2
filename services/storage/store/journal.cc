#include "services/storage/store/journal.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/status_macros.h"
#include "lib/fault/fault_point.h"

namespace cairn {
namespace storage {
namespace {

FaultPoint before_seal("journal.before_seal");
FaultPoint after_seal("journal.after_seal");

}  // namespace

Journal::Journal(SegmentSet* segments, PathState* state, Clock* clock,
                 EngineObserver* observer, int64_t segment_bytes)
    : segments_(segments),
      state_(state),
      clock_(clock),
      observer_(observer),
      segment_bytes_(segment_bytes) {}

void Journal::Resume(std::shared_ptr<File> file, const JournalPosition& end) {
  MutexLock lock(&mu_);
  file_ = std::move(file);
  end_ = end;
  synced_ = end;
}

absl::Status Journal::RollIfNeeded() {
  {
    MutexLock lock(&mu_);
    if (file_ != nullptr && end_.offset < segment_bytes_) {
      return absl::OkStatus();
    }
  }
  return Roll();
}

absl::Status Journal::Roll() {
  bool sealing;
  {
    MutexLock lock(&mu_);
    sealing = file_ != nullptr;
  }
  // The new file first: if there is no space for it, nothing has happened yet.
  const uint64_t number = state_->AllocateSegment();
  absl::StatusOr<std::shared_ptr<File>> created =
      segments_->CreateShared(state_->incarnation(), number);
  absl::Status status = created.status();
  before_seal.PassOrDie();
  if (status.ok() && sealing) status = AppendControl(RecordType::kSealed, "");
  if (!status.ok()) {
    absl::Status removed = segments_->Remove(number);
    if (absl::IsResourceExhausted(status) && !removed.ok()) return removed;
    return status;
  }
  after_seal.PassOrDie();
  const JournalPosition begin{number, kSegmentHeaderBytes};
  uint64_t sealed = 0;
  int64_t sealed_end = 0;
  {
    MutexLock lock(&mu_);
    sealed = end_.segment;
    sealed_end = end_.offset;
    if (sealing) {
      sealed_.push_back(std::move(file_));
    } else {
      synced_ = begin;
    }
    file_ = *std::move(created);
    end_ = begin;
  }
  if (sealing) state_->SetSegmentEnd(sealed, sealed_end, /*sealed=*/true);
  state_->AddSharedSegment(number);
  return absl::OkStatus();
}

absl::Status Journal::AppendControl(RecordType type, absl::string_view meta) {
  std::string bytes;
  RecordHeader header;
  header.type = type;
  header.meta_bytes = static_cast<uint32_t>(meta.size());
  header.synced = synced();
  const int64_t prefix = AppendRecordPrefix(end(), header, meta, {}, &bytes);
  const absl::string_view padding = RecordPadding(prefix, 0);
  bytes.append(padding.data(), padding.size());
  return Append({absl::string_view(bytes)}, static_cast<int64_t>(bytes.size()));
}

absl::Status Journal::Append(absl::Span<const absl::string_view> parts,
                             int64_t bytes) {
  std::shared_ptr<File> file;
  JournalPosition at;
  {
    MutexLock lock(&mu_);
    file = file_;
    at = end_;
  }
  absl::Status written = file->WriteAt(at.offset, parts);
  if (!written.ok()) {
    // Cut off at once: what follows must not run into half a record.
    if (absl::IsResourceExhausted(written)) {
      const absl::Status cut = file->Truncate(at.offset);
      // Whole records of the group may be there, and nobody may be told that
      // there are none.
      if (!cut.ok()) return absl::UnavailableError(cut.message());
    }
    return written;
  }
  {
    MutexLock lock(&mu_);
    end_.offset += bytes;
    appended_bytes_ += bytes;
  }
  state_->SetSegmentEnd(at.segment, at.offset + bytes, /*sealed=*/false);
  return absl::OkStatus();
}

absl::Status Journal::Sync() {
  std::vector<std::shared_ptr<File>> files;
  JournalPosition until;
  {
    MutexLock lock(&mu_);
    if (synced_ == end_) return absl::OkStatus();
    files = sealed_;
    files.push_back(file_);
    until = end_;
  }
  const absl::Duration start = clock_->Monotonic();
  // In order: what is durable of a segment means that all before it is.
  for (const std::shared_ptr<File>& file : files) {
    CAIRN_RETURN_IF_ERROR(file->Sync());
  }
  if (observer_ != nullptr) observer_->OnSync(clock_->Monotonic() - start);
  MutexLock lock(&mu_);
  syncs_ += 1;
  synced_ = std::max(synced_, until);
  // The last one may have been sealed meanwhile, and is not done then.
  files.pop_back();
  sealed_.erase(std::remove_if(sealed_.begin(), sealed_.end(),
                               [&files](const std::shared_ptr<File>& file) {
                                 return std::find(files.begin(), files.end(),
                                                  file) != files.end();
                               }),
                sealed_.end());
  return absl::OkStatus();
}

JournalPosition Journal::end() const {
  MutexLock lock(&mu_);
  return end_;
}
JournalPosition Journal::synced() const {
  MutexLock lock(&mu_);
  return synced_;
}
int64_t Journal::appended_bytes() const {
  MutexLock lock(&mu_);
  return appended_bytes_;
}
uint64_t Journal::syncs() const {
  MutexLock lock(&mu_);
  return syncs_;
}

}  // namespace storage
}  // namespace cairn
