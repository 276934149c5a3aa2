#include "services/storage/core/log_sender.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/status_macros.h"

namespace cairn {
namespace storage {
namespace {

// Gathering begins with so many changes that are not acknowledged: fewer are
// no load. It ends with the acknowledgement, or after this, which is what it
// takes on a busy machine: a member that is far away is not waited for.
constexpr uint64_t kGatherFrom = 4;
constexpr absl::Duration kGatherMax = absl::Milliseconds(5);

}  // namespace

LogSender::LogSender(const Uuid& caller, std::shared_ptr<StorePath> path,
                     Replicator* replicator, const absl::optional<LogId>& log,
                     const std::vector<LogRange>& have,
                     const ChangeLimits& limits, std::function<void()> wake)
    : caller_(caller),
      path_(std::move(path)),
      replicator_(replicator),
      limits_(limits),
      wake_(std::move(wake)),
      own_(!log.has_value()),
      log_(log.has_value() ? *log : path_->replica()->Logs().front().log),
      files_(path_->replica()->FollowLog(log_)) {
  for (const LogRange& range : have) {
    if (range.log == log_) sent_ = range.applied;
  }
}

// What was to come with a change of another log, and was not here when the log
// was read: nobody is to take it that nothing is left of it.
void LogSender::MarkUnknown(std::vector<ReplicatedChange>* changes) const {
  for (ReplicatedChange& change : *changes) {
    if (!change.passed || change.kind != ChangeKind::kPut ||
        change.superseded_by != 0 || change.superseded_elsewhere) {
      continue;
    }
    const std::string& name = change.file.name;
    if (replicator_->Misses(name, change.change)) {
      change.superseded_elsewhere = true;
      continue;
    }
    // Or it has come since.
    const absl::StatusOr<absl::optional<KnownFile>> known =
        path_->replica()->Find(name);
    change.superseded_elsewhere =
        known.ok() && known->has_value() && !(*known)->deleted;
  }
}

LogSender::~LogSender() { CAIRN_CHECK(!started_); }

void LogSender::Start() {
  started_ = true;
  replicator_->waits()->Heard(caller_);
  if (own_) replicator_->AddTail(this);
}

void LogSender::Stop() {
  if (!started_) return;
  started_ = false;
  if (own_) replicator_->RemoveTail(this);
  if (following_) {
    replicator_->waits()->SetFollowing(caller_, this, false);
  }
}

void LogSender::OnHeartbeat() {
  heartbeat_.store(true);
  wake_();
}

void LogSender::OnAck(const Uuid& member) {
  if (member == caller_ && gathering_.exchange(false)) wake_();
}

bool LogSender::Gathers() {
  if (!following_ || !ack_wanted_ || heartbeat_.load()) return false;
  // Before the look at what is acknowledged: what comes after that wakes.
  gathering_.store(true);
  const uint64_t applied = replicator_->waits()->AppliedBy(caller_, log_);
  if (sent_ >= applied + kGatherFrom &&
      replicator_->MonotonicNow() < changes_sent_ + kGatherMax) {
    return true;
  }
  gathering_.store(false);
  return false;
}

absl::StatusOr<absl::optional<SyncBatch>> LogSender::Next() {
  idle_ = Gathers();
  if (idle_) return absl::optional<SyncBatch>();
  SyncBatch batch;
  batch.log = log_;
  // Before the log is read: who commits now may wait for what is read then.
  batch.ack_wanted = replicator_->ack_wanted();
  batch.sync_wanted = replicator_->sync_wanted();
  const bool misses_some = replicator_->MissesSome();
  CAIRN_ASSIGN_OR_RETURN(batch.changes, ReadChanges(path_.get(), files_.get(),
                                                    log_, sent_, limits_));
  if (misses_some) MarkUnknown(&batch.changes);
  if (batch.changes.empty()) {
    if (own_ && !following_) {
      following_ = true;
      replicator_->waits()->SetFollowing(caller_, this, true);
    }
    if (!own_) done_ = true;
  } else {
    int64_t bytes = 0;
    for (const ReplicatedChange& change : batch.changes) {
      bytes += static_cast<int64_t>(change.content_bytes());
    }
    idle_ = following_ && batch.changes.size() < limits_.entries_max &&
            bytes < limits_.bytes_max;
    sent_ = batch.changes.back().change.sequence;
    ack_wanted_ = batch.ack_wanted || batch.sync_wanted;
    changes_sent_ = replicator_->MonotonicNow();
  }
  if (heartbeat_.exchange(false)) {
    batch.sent = replicator_->WallNow();
    batch.logs = path_->replica()->Logs();
  }
  if (batch.changes.empty() && batch.logs.empty()) {
    return absl::optional<SyncBatch>();
  }
  return absl::optional<SyncBatch>(std::move(batch));
}

SnapshotSender::SnapshotSender(std::shared_ptr<StorePath> path,
                               std::string from, const ChangeLimits& limits)
    : path_(std::move(path)), limits_(limits), next_(std::move(from)) {}

absl::StatusOr<SnapshotBatch> SnapshotSender::Next() {
  SnapshotBatch batch;
  if (!begun_) {
    begun_ = true;
    CAIRN_ASSIGN_OR_RETURN(logs_, path_->replica()->BeginSnapshot());
    batch.logs = logs_;
    batch.files_total =
        static_cast<uint64_t>(std::max<int64_t>(path_->Status().files, 0));
  }
  CAIRN_ASSIGN_OR_RETURN(SnapshotChanges page,
                         ReadSnapshotChanges(path_.get(), next_, limits_));
  batch.changes = std::move(page.changes);
  batch.next = page.next;
  batch.end = page.next.empty();
  next_ = std::move(page.next);
  return batch;
}

}  // namespace storage
}  // namespace cairn
