#include "services/storage/core/log_pull.h"

#include <algorithm>

#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/base/log.h"
#include "services/storage/core/queue_full.h"
#include "services/storage/core/replica_store.h"
#include "services/storage/core/set_aside.h"

namespace cairn {
namespace storage {
namespace {

// Of the version's clock the upper 48 bits are the time.
absl::Time TimeOf(const Version& version) {
  return absl::FromUnixMillis(static_cast<int64_t>(version.clock >> 16));
}

// Whether the change goes on from a state of its file that is not here.
bool NeedsWhole(const ReplicatedChange& change, const absl::Status& status) {
  return change.base.has_value() &&
         ReasonOf(status) == ErrorReason::kVersionMismatch;
}

}  // namespace

LogPull::LogPull(std::shared_ptr<StorePath> path, MissingContents* missing,
                 Clock* clock, std::function<void()> wake)
    : path_(std::move(path)),
      missing_(missing),
      clock_(clock),
      wake_(std::move(wake)),
      heard_(clock->Monotonic()) {}

LogPull::~LogPull() { CAIRN_CHECK(ended().has_value()); }

void LogPull::Start(PeerTransport* transport, const Peer& peer,
                    uint8_t store_path, const absl::optional<LogId>& log) {
  stream_ = transport->StartSync(peer, store_path, log,
                                 path_->replica()->Logs(), this);
  stream_->Next();
}

void LogPull::Cancel() { stream_->Cancel(); }

absl::optional<absl::Status> LogPull::ended() const {
  MutexLock lock(&mu_);
  return ended_;
}
absl::optional<LogId> LogPull::log() const {
  MutexLock lock(&mu_);
  return log_;
}
std::vector<LogRange> LogPull::peer_logs() const {
  MutexLock lock(&mu_);
  return peer_logs_;
}
absl::Duration LogPull::heard() const {
  MutexLock lock(&mu_);
  return heard_;
}
uint64_t LogPull::applied() const {
  MutexLock lock(&mu_);
  return applied_;
}
uint64_t LogPull::bytes() const {
  MutexLock lock(&mu_);
  return bytes_;
}
absl::optional<absl::Duration> LogPull::age() const {
  MutexLock lock(&mu_);
  if (left_ == 0 || !made_.has_value() || !sent_.has_value()) {
    return absl::nullopt;
  }
  const absl::Time there = *sent_ + (clock_->Monotonic() - sent_at_);
  return std::max(there - *made_, absl::ZeroDuration());
}
bool LogPull::TakeAckWanted() {
  MutexLock lock(&mu_);
  return std::exchange(ack_wanted_, false);
}

void LogPull::OnBatch(SyncBatch batch) {
  bool begin = false;
  {
    MutexLock lock(&mu_);
    heard_ = clock_->Monotonic();
    if (!batch.logs.empty()) peer_logs_ = std::move(batch.logs);
    if (batch.sent.has_value()) {
      sent_ = batch.sent;
      sent_at_ = heard_;
    }
    if (!log_.has_value()) log_ = batch.log;
    if (!batch.changes.empty()) {
      if (!failed_.ok()) return;  // It was given up.
      if (left_ > 0) {
        waiting_ = std::move(batch);
        return;
      }
      left_ = 1;
      made_ = TimeOf(batch.changes.front().file.version);
      begin = true;
    }
  }
  // The next one is read, and looked at, while this one is applied.
  stream_->Next();
  if (begin) Begin(std::move(batch));
}

void LogPull::Begin(SyncBatch batch) {
  if (missing_->IsFull()) {
    // It would never be fetched if it went on to change.
    Applied(ErrorWithReason(absl::StatusCode::kResourceExhausted,
                            ErrorReason::kOverloaded,
                            "a file that changes all the time is to be fetched "
                            "first"),
            kNoChange);
    return;
  }
  bool introduced = false;
  {
    MutexLock lock(&mu_);
    introduced = introduced_;
  }
  if (introduced) {
    Apply(std::move(batch));
    return;
  }
  const bool queued =
      path_->io()->TrySubmit([this, moved = std::move(batch)]() mutable {
        Introduce(std::move(moved));
      });
  if (!queued) {
    Applied(QueueFull(), kNoChange);
  }
}

void LogPull::Introduce(SyncBatch batch) {
  bool is_known = false;
  LogRange mine;
  for (const LogRange& range : path_->replica()->Logs()) {
    if (range.log != batch.log) continue;
    is_known = true;
    mine = range;
  }
  LogRange range;
  range.log = batch.log;
  for (const LogRange& theirs : peer_logs()) {
    // What the peer may have lost comes from there as if it were passed.
    if (theirs.log == batch.log && theirs.unsure > mine.applied &&
        theirs.unsure > mine.unsure) {
      range.unsure = theirs.unsure;
    }
  }
  if (!is_known || range.unsure > 0) {
    const absl::Status set = path_->replica()->SetLogs({range});
    if (!set.ok()) {
      Applied(set, kNoChange);
      return;
    }
  }
  {
    MutexLock lock(&mu_);
    introduced_ = true;
  }
  Apply(std::move(batch));
}

void LogPull::Apply(SyncBatch batch) {
  if (batch.sync_wanted) batch.changes.back().synced = true;
  batch_ack_wanted_ = batch.ack_wanted || batch.sync_wanted;
  changes_ = std::move(batch.changes);
  ApplyFrom(0);
}

void LogPull::ApplyFrom(size_t begin) {
  {
    MutexLock lock(&mu_);
    left_ += changes_.size() - begin;
  }
  // The last answer may let the batch go, and this with it: but not before the
  // one below.
  for (size_t i = begin; i < changes_.size(); ++i) {
    const ReplicatedChange& change = changes_[i];
    if (change.kind == ChangeKind::kPut && !change.passed &&
        !change.content.has_value()) {
      missing_->Add(change.file.name, change.change);
    }
    // Until the other change has come, and the content with it.
    if (change.superseded_elsewhere) {
      missing_->AddSuperseded(change.file.name, change.change, change.change,
                              StandingOf(change.file, /*deleted=*/false));
    }
    if (change.superseded_by != 0) {
      missing_->AddSuperseded(
          change.file.name, change.change,
          LogPosition{change.change.log, change.superseded_by},
          StandingOf(change.file, /*deleted=*/false));
    }
    path_->replica()->Apply(change, [this, i](absl::StatusOr<Committed> done) {
      Applied(done.status(), i);
    });
  }
  Applied(absl::OkStatus(), kNoChange);
}

void LogPull::Applied(const absl::Status& status, size_t index) {
  absl::Status failed;
  bool over = false;
  bool ack_wanted = false;
  absl::optional<size_t> bad;
  absl::Status bad_error;
  absl::optional<SyncBatch> next;
  std::vector<ReplicatedChange> applied;  // Let go without the lock.
  // This may be destroyed as soon as it has ended.
  std::shared_ptr<PeerStream> stream;
  std::function<void()> wake;
  {
    MutexLock lock(&mu_);
    if (status.ok()) {
      if (index != kNoChange) {
        ++applied_;
        bytes_ += changes_[index].content_bytes();
      }
    } else if (index != kNoChange && !bad_.has_value() &&
               (IsOfOneChange(status) || NeedsWhole(changes_[index], status))) {
      bad_ = index;
      bad_error_ = status;
    } else if (!bad_.has_value() ||
               ReasonOf(status) != ErrorReason::kOutOfOrder) {
      failed_.Update(status);  // Those behind a bad one are out of order.
    }
    if (left_ > 1) {
      --left_;
      return;
    }
    failed = failed_;
    bad = std::exchange(bad_, absl::nullopt);
    bad_error = bad_error_;
    if (bad.has_value() && failed.ok()) {
      left_ = 1;  // For the one that is set aside.
    } else {
      bad.reset();
      left_ = 0;
      applied.swap(changes_);
      stream = stream_;
      wake = wake_;
      ack_wanted = batch_ack_wanted_;
      if (ack_wanted) ack_wanted_ = true;
      if (failed.ok()) next.swap(waiting_);
      if (next.has_value()) {
        left_ = 1;
        made_ = TimeOf(next->changes.front().file.version);
      } else if (stream_ended_) {
        ended_ = failed_;
        over = true;
      }
    }
  }
  if (bad.has_value()) {
    if (NeedsWhole(changes_[*bad], bad_error)) {
      ApplyWhole(*bad);
    } else {
      SetAside(*bad, bad_error);
    }
    return;
  }
  if (over || ack_wanted) wake();
  if (over) return;
  if (!failed.ok()) {
    stream->Cancel();
  } else if (next.has_value()) {
    stream->Next();
    BeginLater(*std::move(next));
  }
}

void LogPull::BeginLater(SyncBatch batch) {
  // The thread that commits has enough to do.
  auto later = std::make_shared<SyncBatch>(std::move(batch));
  const bool queued =
      path_->io()->TrySubmit([this, later] { Begin(std::move(*later)); });
  if (!queued) Begin(std::move(*later));
}

void LogPull::ApplyWhole(size_t index) {
  ReplicatedChange change = changes_[index];
  change.base.reset();
  change.content.reset();
  missing_->Add(change.file.name, change.change);
  ApplyInstead(std::move(change), index);
}

void LogPull::ApplyInstead(ReplicatedChange change, size_t index) {
  path_->replica()->Apply(std::move(change),
                          [this, index](absl::StatusOr<Committed> done) {
                            if (!done.ok()) {
                              // Not of this change any more, whatever it says.
                              Applied(done.status(), kNoChange);
                              return;
                            }
                            ApplyFrom(index + 1);
                          });
}

void LogPull::SetAside(size_t index, const absl::Status& error) {
  ReplicatedChange change = changes_[index];
  CAIRN_LOG(kWarning, "replication",
            "change cannot be applied and is set aside log={} change={} "
            "error=\"{}\"",
            change.change.log.ToString(), change.change.sequence, error);
  missing_->Remove(change.file.name, change.change);
  change.set_aside = true;
  change.base.reset();
  change.content.reset();
  ApplyInstead(std::move(change), index);
}

void LogPull::OnEnd(const absl::Status& status) {
  std::function<void()> wake;
  {
    MutexLock lock(&mu_);
    failed_.Update(status);
    stream_ended_ = true;
    if (left_ > 0) return;  // Whoever applies the rest says that it is over.
    ended_ = failed_;
    wake = wake_;
  }
  wake();
}

}  // namespace storage
}  // namespace cairn
