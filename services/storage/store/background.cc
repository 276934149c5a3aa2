#include "services/storage/store/background.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "absl/types/optional.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/fault/fault_point.h"

namespace cairn {
namespace storage {
namespace {

FaultPoint before_remove("compactor.before_remove");

// Names looked at in one pause of the committer.
constexpr size_t kNamesAtOnce = 256;

// A tombstone that cannot go yet is looked at again after a part of the
// retention time, but not every second, unless that is how short it is. A file
// that could not be reclaimed is looked at again after these seconds.
constexpr int64_t kPostponePart = 24;
constexpr int64_t kPostponeSeconds = 60;

}  // namespace

Background::Background(const BackgroundParts& parts)
    : parts_(parts),
      change_options_{parts.options->node_number,
                      parts.options->tombstone_retention,
                      parts.options->expiry_grace},
      log_cutter_({parts.options, parts.index, parts.state, parts.journal,
                   parts.health, parts.committer, parts.clock}) {}

Background::~Background() { Stop(); }

void Background::Start() {
  thread_ = std::thread([this] { Loop(); });
}

void Background::Stop() {
  {
    MutexLock lock(&mu_);
    stopping_ = true;
    changed_.SignalAll();
  }
  if (thread_.joinable()) thread_.join();
}

void Background::WantCheckpoint() {
  MutexLock lock(&mu_);
  if (checkpoint_wanted_) return;
  checkpoint_wanted_ = true;
  changed_.SignalAll();
}

void Background::Loop() {
  absl::Duration last_round = parts_.clock->Monotonic();
  absl::Duration last_checkpoint = last_round;
  bool failed = false;
  while (true) {
    bool wanted;
    {
      MutexLock lock(&mu_);
      if (!stopping_ && (failed || !checkpoint_wanted_)) {
        changed_.WaitWithTimeout(
            &mu_,
            std::min(parts_.options->background_interval, absl::Seconds(1)));
      }
      if (stopping_) return;
      wanted = checkpoint_wanted_;
      checkpoint_wanted_ = false;
    }
    const absl::Duration now = parts_.clock->Monotonic();
    const bool dirty = parts_.journal->appended_bytes() >
                       parts_.checkpointer->begun_at_bytes();
    const bool due =
        dirty && now - last_checkpoint >= parts_.options->checkpoint_interval;
    if ((wanted || due || parts_.index->has_frozen()) &&
        !parts_.health->broken()) {
      const absl::Status made =
          (wanted || due) ? Checkpoint() : parts_.checkpointer->Complete();
      if (!made.ok() && !failed) {
        CAIRN_LOG(kWarning, "store", "checkpoint failed path={} error={}",
                  parts_.options->directory, made);
      }
      failed = !made.ok();
      last_checkpoint = now;
    }
    if (now - last_round >= parts_.options->background_interval) {
      last_round = now;
      RunOnce();
    }
  }
}

absl::Status Background::Checkpoint() {
  CAIRN_RETURN_IF_ERROR(parts_.checkpointer->Complete());
  CAIRN_RETURN_IF_ERROR(parts_.committer->Run([this](ChangeSet*) {
    parts_.checkpointer->Begin(/*clean_end=*/false);
    parts_.committer->CheckpointMade(parts_.journal->appended_bytes());
    return absl::OkStatus();
  }));
  return parts_.checkpointer->Complete();
}

absl::Status Background::CheckpointNow() {
  const JournalPosition target = parts_.journal->end();
  while (parts_.checkpointer->durable() < target) {
    CAIRN_RETURN_IF_ERROR(parts_.health->CheckSmallChange());
    {
      MutexLock lock(&mu_);
      if (stopping_) return absl::CancelledError("the path is closing");
    }
    CAIRN_RETURN_IF_ERROR(Checkpoint());
  }
  return absl::OkStatus();
}

void Background::ResumeIndex() {
  if (!absl::IsResourceExhausted(parts_.index->BackgroundError())) return;
  if (!parts_.health->CheckWrite(parts_.options->memtable_bytes).ok()) return;
  const absl::Status resumed = parts_.index->Resume();
  CAIRN_LOG(kInfo, "store", "index resumes after a full disk path={} status={}",
            parts_.options->directory, resumed);
}

void Background::RunOnce() {
  MutexLock round(&round_mu_);
  if (parts_.health->broken()) {
    parts_.health->MarkIfBroken();
    return;
  }
  parts_.health->Refresh().IgnoreError();  // The last answer stays.
  parts_.health->RestoreBallast();
  ResumeIndex();
  if (parts_.expire_uploads) parts_.expire_uploads();
  absl::Status done = RemoveDoomed();
  done.Update(LookAtExpiries());
  done.Update(log_cutter_.RunOnce());
  if (!done.ok() && !absl::IsUnavailable(done)) {
    CAIRN_LOG(kWarning, "store", "background work failed path={} error={}",
              parts_.options->directory, done);
  }
}

absl::Status Background::RemoveDoomed() {
  const std::map<uint64_t, disk::v1::DoomedSegment> doomed =
      parts_.state->Doomed();
  if (doomed.empty()) return absl::OkStatus();
  // What removed the last reference must be durable before the file goes, or a
  // power cut would leave the reference without the file.
  CAIRN_RETURN_IF_ERROR(parts_.checkpointer->SyncAll());
  const JournalPosition synced = parts_.journal->synced();
  const JournalPosition durable = parts_.checkpointer->durable();
  std::vector<uint64_t> removed;
  std::set<uint64_t> folders;
  for (const auto& [number, entry] : doomed) {
    const JournalPosition after{entry.after_segment(),
                                static_cast<int64_t>(entry.after_offset())};
    // A shared one may be where a restart would replay from.
    const JournalPosition& reached = entry.shared() ? durable : synced;
    if (reached < after) continue;
    before_remove.PassOrDie();
    CAIRN_RETURN_IF_ERROR(parts_.segments->Remove(number));
    removed.push_back(number);
  }
  for (const uint64_t number : removed) {
    if (!folders.insert(SegmentFolder(number)).second) continue;
    CAIRN_RETURN_IF_ERROR(parts_.segments->SyncFolderOf(number));
  }
  if (removed.empty()) return absl::OkStatus();
  return parts_.committer->Run([&removed](ChangeSet* changes) {
    for (const uint64_t number : removed) changes->ForgetDoomed(number);
    return absl::OkStatus();
  });
}

absl::Status Background::LookAtExpiries() {
  const int64_t now = absl::ToUnixSeconds(parts_.clock->Now());
  absl::Status done;
  while (true) {
    CAIRN_ASSIGN_OR_RETURN(const std::vector<ExpiryKey> expiries,
                           parts_.index->ListExpired(now, kNamesAtOnce));
    if (expiries.empty()) return done;
    // What could not be reclaimed is put off below, with the error told.
    done.Update(Reclaim(expiries, now));
    CAIRN_RETURN_IF_ERROR(
        parts_.committer->Run([&](ChangeSet* changes) -> absl::Status {
          for (const ExpiryKey& expiry : expiries) {
            switch (expiry.kind) {
              case ExpiryKey::Kind::kTombstone:
                CAIRN_RETURN_IF_ERROR(LookAtTombstone(expiry, now, changes));
                break;
              case ExpiryKey::Kind::kFile:
                CAIRN_RETURN_IF_ERROR(LookAtFile(expiry, now, changes));
                break;
              case ExpiryKey::Kind::kKept:
                CAIRN_RETURN_IF_ERROR(LookAtKept(expiry, now, changes));
                break;
            }
          }
          return absl::OkStatus();
        }));
    if (stopping()) return done;
  }
}

bool Background::stopping() {
  MutexLock lock(&mu_);
  return stopping_;
}

absl::Status Background::CommitAll(std::vector<CommitRequest> requests) {
  struct Waiting {
    Mutex mu;
    CondVar changed;
    size_t count ABSL_GUARDED_BY(mu) = 0;
    absl::Status first_error ABSL_GUARDED_BY(mu);
  } waiting;
  for (CommitRequest& request : requests) {
    request.durability = Durability::kCached;
    request.done = [&waiting](const absl::StatusOr<Committed>& committed) {
      MutexLock lock(&waiting.mu);
      waiting.first_error.Update(committed.status());
      waiting.count -= 1;
      waiting.changed.SignalAll();
    };
    {
      MutexLock lock(&waiting.mu);
      waiting.count += 1;
    }
    parts_.committer->Submit(std::move(request));
  }
  MutexLock lock(&waiting.mu);
  while (waiting.count > 0) waiting.changed.Wait(&waiting.mu);
  return waiting.first_error;
}

absl::Status Background::Reclaim(const std::vector<ExpiryKey>& expiries,
                                 int64_t now) {
  // Of a path that is only read nothing is taken; there is nothing to tell.
  if (!parts_.health->CheckWanted().ok()) return absl::OkStatus();
  absl::Status failed;
  std::vector<CommitRequest> requests;
  for (const ExpiryKey& expiry : expiries) {
    if (expiry.kind == ExpiryKey::Kind::kTombstone) continue;
    // A first look without the committer, which looks again.
    FileRecord record;
    const absl::StatusOr<Lookup> found =
        parts_.index->GetFile(expiry.name, /*may_block=*/true, &record);
    if (!found.ok()) {
      failed = found.status();
      break;
    }
    if (*found != Lookup::kFound) continue;
    CommitRequest request;
    if (expiry.kind == ExpiryKey::Kind::kKept) {
      if (!record.keeps_content() || record.undelete_until_unix_seconds > now) {
        continue;
      }
      request.kind = CommitRequest::Kind::kGiveUp;
    } else {
      if (record.deleted || record.expire_unix_seconds == 0 ||
          ReclaimUnixSeconds(change_options_, record) > now) {
        continue;
      }
      request.kind = CommitRequest::Kind::kReclaim;
    }
    request.name = expiry.name;
    requests.push_back(std::move(request));
  }
  const absl::Status committed = CommitAll(std::move(requests));
  failed.Update(committed);
  return failed;
}

absl::Status Background::DropDeleted() {
  absl::optional<ExpiryKey> last;
  while (!stopping()) {
    CAIRN_ASSIGN_OR_RETURN(
        const std::vector<ExpiryKey> expiries,
        parts_.index->ListExpired(std::numeric_limits<int64_t>::max(),
                                  kNamesAtOnce,
                                  last.has_value() ? &*last : nullptr));
    if (expiries.empty()) break;
    std::vector<CommitRequest> requests;
    for (const ExpiryKey& expiry : expiries) {
      if (expiry.kind != ExpiryKey::Kind::kKept) continue;
      CommitRequest request;
      request.kind = CommitRequest::Kind::kGiveUp;
      request.name = expiry.name;
      request.give_up_early = true;
      requests.push_back(std::move(request));
    }
    CAIRN_RETURN_IF_ERROR(CommitAll(std::move(requests)));
    last = expiries.back();
  }
  return absl::OkStatus();
}

absl::Status Background::LookAtFile(const ExpiryKey& expiry, int64_t now,
                                    ChangeSet* changes) {
  FileRecord record;
  CAIRN_ASSIGN_OR_RETURN(const bool known,
                         changes->FindFile(expiry.name, &record));
  if (!known || record.deleted || record.expire_unix_seconds == 0) {
    changes->ForgetExpiry(expiry);
    return absl::OkStatus();
  }
  // Somebody has said something else since, or it could not be reclaimed.
  const int64_t due = ReclaimUnixSeconds(change_options_, record);
  changes->PostponeExpiry(expiry, due > now ? due : now + kPostponeSeconds);
  return absl::OkStatus();
}

absl::Status Background::LookAtKept(const ExpiryKey& expiry, int64_t now,
                                    ChangeSet* changes) {
  FileRecord record;
  CAIRN_ASSIGN_OR_RETURN(const bool known,
                         changes->FindFile(expiry.name, &record));
  if (!known || !record.keeps_content()) {
    changes->ForgetExpiry(expiry);
    return absl::OkStatus();
  }
  // Deleted once more since, or it could not be given up.
  const int64_t due = record.undelete_until_unix_seconds;
  changes->PostponeExpiry(expiry, due > now ? due : now + kPostponeSeconds);
  return absl::OkStatus();
}

absl::Status Background::LookAtTombstone(const ExpiryKey& expiry, int64_t now,
                                         ChangeSet* changes) {
  FileRecord record;
  CAIRN_ASSIGN_OR_RETURN(const bool known,
                         changes->FindFile(expiry.name, &record));
  if (!known || !record.deleted) {
    changes->ForgetExpiry(expiry);
    return absl::OkStatus();
  }
  // Brought back and deleted again since, or it says what others keep.
  const int64_t due = DropUnixSeconds(change_options_, record);
  if (due > now) {
    changes->PostponeExpiry(expiry, due);
    return absl::OkStatus();
  }
  const bool shadows =
      std::any_of(record.shadowed_segments.begin(),
                  record.shadowed_segments.end(), [this](uint64_t number) {
                    return parts_.state->SegmentFileExists(number);
                  });
  // A member that has not heard of the deletion would bring the file back.
  const bool passed =
      record.log_sequence == 0 ||
      parts_.state->IsPassed(record.log_origin, record.log_sequence);
  if (shadows || !passed || record.keeps_content()) {
    const int64_t retention =
        absl::ToInt64Seconds(parts_.options->tombstone_retention);
    changes->PostponeExpiry(
        expiry, now + std::max(retention / kPostponePart,
                               std::min(retention, kPostponeSeconds)));
  } else {
    changes->DropTombstone(expiry, record);
  }
  return absl::OkStatus();
}

}  // namespace storage
}  // namespace cairn
