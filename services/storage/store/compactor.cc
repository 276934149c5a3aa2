#include "services/storage/store/compactor.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "lib/base/log.h"
#include "lib/base/status_macros.h"

namespace cairn {
namespace storage {
namespace {

// What may be on its way through the committer.
constexpr int64_t kMovesBytesMax = 4 << 20;
constexpr int64_t kMovesMax = 256;

// Bytes that are read between two pauses.
constexpr int64_t kPaceBytes = 1 << 20;

double DeadShare(const SharedSegment& segment) {
  const int64_t bytes = segment.end_offset - kSegmentHeaderBytes;
  if (bytes <= 0) return 1;
  return static_cast<double>(segment.dead_bytes()) / static_cast<double>(bytes);
}

}  // namespace

struct Compactor::Moves {
  Mutex mu;
  CondVar changed;
  int64_t entries ABSL_GUARDED_BY(mu) = 0;
  int64_t bytes ABSL_GUARDED_BY(mu) = 0;
  absl::Status first_error ABSL_GUARDED_BY(mu);

  void WaitForRoom(int64_t entries_max, int64_t bytes_max) {
    MutexLock lock(&mu);
    while (entries > entries_max || bytes > bytes_max) changed.Wait(&mu);
  }
  absl::Status error() {
    MutexLock lock(&mu);
    return first_error;
  }
};

Compactor::Compactor(const CompactorParts& parts) : parts_(parts) {}

Compactor::~Compactor() { Stop(); }

void Compactor::Start() {
  thread_ = std::thread([this] { Loop(); });
}

void Compactor::Stop() {
  {
    MutexLock lock(&mu_);
    stopping_ = true;
    changed_.SignalAll();
  }
  if (thread_.joinable()) thread_.join();
  // A caller of Compact() may still be in there.
  MutexLock lock(&compact_mu_);
}

bool Compactor::stopping() const {
  MutexLock lock(&mu_);
  return stopping_;
}

CompactorNumbers Compactor::Numbers() const {
  return {emptied_.load(), copied_bytes_.load(), damaged_records_.load()};
}

void Compactor::Loop() {
  while (true) {
    {
      MutexLock lock(&mu_);
      if (!stopping_) {
        changed_.WaitWithTimeout(&mu_, parts_.options->background_interval);
      }
      if (stopping_) return;
    }
    const absl::Status done =
        Compact(parts_.options->compaction_dead_share, /*roll=*/false, nullptr);
    if (!done.ok()) {
      CAIRN_LOG(kWarning, "store", "compaction failed path={} error={}",
                parts_.options->directory, done);
    }
  }
}

absl::Status Compactor::Compact(double dead_share_min, bool roll,
                                Progress* progress) {
  MutexLock compact(&compact_mu_);
  CAIRN_RETURN_IF_ERROR(parts_.health->CheckSmallChange());
  if (roll) {
    CAIRN_RETURN_IF_ERROR(parts_.committer->Run([&](ChangeSet*) {
      const auto segments = parts_.state->SharedSegments();
      const auto active = segments.find(parts_.journal->end().segment);
      if (active == segments.end() || active->second.sealed ||
          active->second.dead_bytes() == 0 ||
          DeadShare(active->second) < dead_share_min) {
        return absl::OkStatus();
      }
      absl::Status rolled = parts_.journal->Roll();
      if (!rolled.ok() && !absl::IsResourceExhausted(rolled)) {
        parts_.health->SetBroken(rolled);
      }
      return rolled;
    }));
  }
  std::vector<std::pair<uint64_t, SharedSegment>> chosen;
  JobProgress so_far;
  for (const auto& [number, segment] : parts_.state->SharedSegments()) {
    if (!segment.sealed || segment.dead_bytes() <= 0 ||
        DeadShare(segment) < dead_share_min) {
      continue;
    }
    const auto stuck = stuck_.find(number);
    if (stuck != stuck_.end() && stuck->second == segment.live_bytes) continue;
    chosen.emplace_back(number, segment);
    so_far.total_bytes += segment.end_offset;
  }
  for (const auto& [number, segment] : chosen) {
    if (stopping()) return absl::OkStatus();
    const absl::Status done =
        CompactSegment(number, segment, &so_far, progress);
    if (stopping()) return absl::OkStatus();
    CAIRN_RETURN_IF_ERROR(done);
  }
  return absl::OkStatus();
}

absl::Status Compactor::CompactSegment(uint64_t number,
                                       const SharedSegment& segment,
                                       JobProgress* so_far,
                                       Progress* progress) {
  const int64_t done_before = so_far->done_bytes;
  Moves moves;
  absl::Status status;
  CAIRN_ASSIGN_OR_RETURN(const std::shared_ptr<File> file,
                         parts_.segments->Open(number));
  // The counter alone is no reason to remove a segment: a look at it is cheap.
  bool holds_live = segment.live_bytes > 0;
  if (!holds_live) {
    CAIRN_ASSIGN_OR_RETURN(holds_live, HoldsLive(number, segment, file.get()));
  }
  bool damaged = false;
  if (holds_live) {
    RecordScanner scanner(file.get(), number, kSegmentHeaderBytes,
                          segment.end_offset, /*check_content=*/true);
    int64_t paced_until = kSegmentHeaderBytes;
    absl::StatusOr<RecordScanner::Outcome> outcome = scanner.Next();
    while (outcome.ok() && *outcome != RecordScanner::Outcome::kEnd &&
           status.ok() && !stopping()) {
      if (*outcome == RecordScanner::Outcome::kRecord) {
        status = MoveIfLive(scanner, &moves);
        outcome = scanner.Next();
      } else {
        damaged = true;
        damaged_records_.fetch_add(1);
        CAIRN_LOG(kError, "store",
                  "record is damaged, see docs/runbooks/damaged_content.md "
                  "segment={} offset={} what={}",
                  number, scanner.position().offset, scanner.damage());
        outcome = scanner.Resync();
      }
      const int64_t read = scanner.position().offset - paced_until;
      if (read < kPaceBytes) continue;
      paced_until = scanner.position().offset;
      so_far->done_bytes = done_before + paced_until;
      if (progress != nullptr && *progress) (*progress)(*so_far);
      Pace(read);
    }
    status.Update(outcome.status());
  }
  // The callbacks refer to `moves`.
  moves.WaitForRoom(0, 0);
  status.Update(moves.error());
  CAIRN_RETURN_IF_ERROR(status);
  if (stopping()) return absl::OkStatus();
  if (damaged && segment.live_bytes <= 0) {
    // With a counter that is wrong nobody knows what was in the damaged place.
    stuck_[number] = segment.live_bytes;
    return absl::OkStatus();
  }
  CAIRN_RETURN_IF_ERROR(Doom(number));
  so_far->done_bytes = done_before + segment.end_offset;
  if (progress != nullptr && *progress) (*progress)(*so_far);
  return absl::OkStatus();
}

absl::StatusOr<bool> Compactor::IsLive(const RecordScanner& scanner,
                                       disk::v1::FileChange* change,
                                       std::string* needed_by) {
  const RecordPrefix& record = scanner.record();
  if (record.header.type != RecordType::kPut &&
      record.header.type != RecordType::kFile &&
      record.header.type != RecordType::kPieces &&
      record.header.type != RecordType::kDelete) {
    return false;
  }
  if (!change->ParseFromArray(record.meta.data(),
                              static_cast<int>(record.meta.size()))) {
    damaged_records_.fetch_add(1);
    return false;
  }
  FileRecord known;
  CAIRN_ASSIGN_OR_RETURN(
      Lookup found,
      parts_.index->GetFile(change->name(), /*may_block=*/true, &known));
  *needed_by = change->name();
  if (found == Lookup::kFound && !known.sealed_as.empty() &&
      !known.NeedsRecord(scanner.position())) {
    // What the appender became may have pieces in its records.
    *needed_by = known.sealed_as;
    CAIRN_ASSIGN_OR_RETURN(
        found, parts_.index->GetFile(*needed_by, /*may_block=*/true, &known));
  }
  return found == Lookup::kFound && known.NeedsRecord(scanner.position());
}

absl::StatusOr<bool> Compactor::HoldsLive(uint64_t number,
                                          const SharedSegment& segment,
                                          File* file) {
  RecordScanner scanner(file, number, kSegmentHeaderBytes, segment.end_offset,
                        /*check_content=*/false);
  disk::v1::FileChange change;
  std::string name;
  CAIRN_ASSIGN_OR_RETURN(RecordScanner::Outcome outcome, scanner.Next());
  while (outcome != RecordScanner::Outcome::kEnd && !stopping()) {
    if (outcome == RecordScanner::Outcome::kRecord) {
      CAIRN_ASSIGN_OR_RETURN(const bool live, IsLive(scanner, &change, &name));
      if (live) {
        CAIRN_LOG(kError, "store",
                  "segment counts no live bytes, but file {} is in it: the "
                  "counts of this path are wrong, `cairn-storage "
                  "rebuild-index` counts anew segment={} offset={}",
                  name, number, scanner.position().offset);
        return true;
      }
      CAIRN_ASSIGN_OR_RETURN(outcome, scanner.Next());
    } else {
      CAIRN_ASSIGN_OR_RETURN(outcome, scanner.Resync());
    }
  }
  return false;
}

absl::Status Compactor::MoveIfLive(const RecordScanner& scanner, Moves* moves) {
  const RecordPrefix& record = scanner.record();
  CommitRequest request;
  // A first look without the committer, which looks again.
  CAIRN_ASSIGN_OR_RETURN(const bool live,
                         IsLive(scanner, &request.move_change, &request.name));
  if (!live) return absl::OkStatus();
  request.kind = CommitRequest::Kind::kMove;
  request.durability = Durability::kCached;  // The checkpoint syncs it.
  request.move_type = record.header.type;
  request.move_from = scanner.position();
  request.size_bytes = record.header.content_bytes;
  request.crc32c = record.header.content_crc;
  request.content = absl::Cord(scanner.content());
  request.block_crcs.assign(record.block_crcs.begin(), record.block_crcs.end());
  const int64_t bytes = record.record_bytes;
  moves->WaitForRoom(kMovesMax, kMovesBytesMax);
  CAIRN_RETURN_IF_ERROR(moves->error());
  {
    MutexLock lock(&moves->mu);
    moves->entries += 1;
    moves->bytes += bytes;
  }
  request.done = [this, moves, bytes](absl::StatusOr<Committed> committed) {
    if (committed.ok()) copied_bytes_.fetch_add(static_cast<uint64_t>(bytes));
    MutexLock lock(&moves->mu);
    moves->first_error.Update(committed.status());
    moves->entries -= 1;
    moves->bytes -= bytes;
    moves->changed.SignalAll();
  };
  parts_.committer->Submit(std::move(request));
  return absl::OkStatus();
}

absl::Status Compactor::Doom(uint64_t number) {
  int64_t live = 0;
  CAIRN_RETURN_IF_ERROR(parts_.committer->Run([&](ChangeSet* changes) {
    const auto segments = parts_.state->SharedSegments();
    const auto it = segments.find(number);
    if (it == segments.end()) return absl::OkStatus();
    live = it->second.live_bytes;
    if (live <= 0) changes->DoomShared(number, parts_.journal->end());
    return absl::OkStatus();
  }));
  if (live <= 0) {
    emptied_.fetch_add(1);
    stuck_.erase(number);
  } else {
    stuck_[number] = live;
  }
  return absl::OkStatus();
}

void Compactor::Pace(int64_t bytes) {
  const int64_t rate = parts_.options->compaction_bytes_per_second;
  if (rate <= 0) return;
  const absl::Duration pause =
      absl::Seconds(static_cast<double>(bytes) / static_cast<double>(rate));
  MutexLock lock(&mu_);
  if (!stopping_) changed_.WaitWithTimeout(&mu_, pause);
}

}  // namespace storage
}  // namespace cairn
