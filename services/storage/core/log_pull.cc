#include "services/storage/core/log_pull.h"

#include <algorithm>

#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "services/storage/core/replica_store.h"

namespace cairn {
namespace storage {

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
bool LogPull::TakeAckWanted() {
  MutexLock lock(&mu_);
  return std::exchange(ack_wanted_, false);
}

void LogPull::OnBatch(SyncBatch batch) {
  bool introduced = false;
  {
    MutexLock lock(&mu_);
    heard_ = clock_->Monotonic();
    if (!batch.logs.empty()) peer_logs_ = std::move(batch.logs);
    if (!log_.has_value()) log_ = batch.log;
    introduced = introduced_;
    if (!batch.changes.empty()) left_ = 1;
  }
  if (batch.changes.empty()) {
    stream_->Next();
    return;
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
    Applied(
        ErrorWithReason(absl::StatusCode::kResourceExhausted,
                        ErrorReason::kOverloaded, "the disk's queue is full"),
        false);
  }
}

void LogPull::Introduce(SyncBatch batch) {
  const std::vector<LogRange> known = path_->replica()->Logs();
  const bool is_known = std::any_of(
      known.begin(), known.end(),
      [&batch](const LogRange& range) { return range.log == batch.log; });
  if (!is_known) {
    LogRange range;
    range.log = batch.log;
    const absl::Status set = path_->replica()->SetLogs({range});
    if (!set.ok()) {
      Applied(set, false);
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
  {
    MutexLock lock(&mu_);
    left_ += batch.changes.size();
  }
  if (batch.sync_wanted) batch.changes.back().synced = true;
  const bool ack_wanted = batch.ack_wanted || batch.sync_wanted;
  for (ReplicatedChange& change : batch.changes) {
    if (change.kind == ChangeKind::kPut && !change.passed &&
        !change.content.has_value()) {
      missing_->Add(change.file.name, change.change);
    }
    path_->replica()->Apply(std::move(change),
                            [this, ack_wanted](absl::StatusOr<Committed> done) {
                              Applied(done.status(), ack_wanted);
                            });
  }
  Applied(absl::OkStatus(), ack_wanted);
}

void LogPull::Applied(const absl::Status& status, bool ack_wanted) {
  absl::Status failed;
  bool over = false;
  // This may be destroyed as soon as it has ended.
  std::shared_ptr<PeerStream> stream;
  std::function<void()> wake;
  {
    MutexLock lock(&mu_);
    failed_.Update(status);
    if (status.ok()) ++applied_;
    if (left_ > 1) {
      --left_;
      return;
    }
    left_ = 0;
    failed = failed_;
    stream = stream_;
    wake = wake_;
    if (ack_wanted) ack_wanted_ = true;
    if (stream_ended_) {
      ended_ = failed_;
      over = true;
    }
  }
  if (over || ack_wanted) wake();
  if (over) return;
  if (failed.ok()) {
    stream->Next();
  } else {
    stream->Cancel();
  }
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
