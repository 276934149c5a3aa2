#include "services/storage/core/snapshot_pull.h"

#include <algorithm>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "services/storage/core/replica_store.h"

namespace cairn {
namespace storage {
namespace {

// The least of both: a log that one of them does not name was not there.
std::vector<LogRange> LeastOf(const std::vector<LogRange>& a,
                              const std::vector<LogRange>& b) {
  std::vector<LogRange> least;
  for (const LogRange& mine : a) {
    for (const LogRange& theirs : b) {
      if (mine.log != theirs.log) continue;
      LogRange range = mine;
      range.applied = std::min(mine.applied, theirs.applied);
      least.push_back(range);
    }
  }
  return least;
}

}  // namespace

SnapshotPull::SnapshotPull(std::shared_ptr<StorePath> path,
                           MissingContents* missing, Cursor cursor,
                           Clock* clock, std::function<void()> wake)
    : path_(std::move(path)),
      missing_(missing),
      clock_(clock),
      wake_(std::move(wake)),
      cursor_(std::move(cursor)),
      heard_(clock->Monotonic()) {}

SnapshotPull::~SnapshotPull() { CAIRN_CHECK(ended().has_value()); }

void SnapshotPull::Start(PeerTransport* transport, const Peer& peer,
                         uint8_t store_path) {
  stream_ = transport->StartSnapshot(peer, store_path, cursor().next, this);
  stream_->Next();
}

void SnapshotPull::Cancel() { stream_->Cancel(); }

absl::optional<absl::Status> SnapshotPull::ended() const {
  MutexLock lock(&mu_);
  return ended_;
}
SnapshotPull::Cursor SnapshotPull::cursor() const {
  MutexLock lock(&mu_);
  return cursor_;
}
absl::Duration SnapshotPull::heard() const {
  MutexLock lock(&mu_);
  return heard_;
}

void SnapshotPull::OnBatch(SnapshotBatch batch) {
  {
    MutexLock lock(&mu_);
    heard_ = clock_->Monotonic();
    left_ = 1;
    last_ = batch.end;
  }
  const bool queued = path_->io()->TrySubmit(
      [this, moved = std::move(batch)]() mutable { Take(std::move(moved)); });
  if (!queued) {
    Applied(ErrorWithReason(absl::StatusCode::kResourceExhausted,
                            ErrorReason::kOverloaded,
                            "the disk's queue is full"));
  }
}

// The logs must be known before a file says which of its changes made it; their
// positions come at the end.
absl::Status SnapshotPull::Begin(const SnapshotBatch& batch) {
  {
    MutexLock lock(&mu_);
    if (begun_) return absl::OkStatus();
    begun_ = true;
    cursor_.logs =
        cursor_.next.empty() ? batch.logs : LeastOf(cursor_.logs, batch.logs);
  }
  std::vector<LogRange> heard_of;
  for (const LogRange& log : batch.logs) {
    LogRange range;
    range.log = log.log;
    heard_of.push_back(range);
  }
  return path_->replica()->SetLogs(heard_of);
}

void SnapshotPull::Take(SnapshotBatch batch) {
  const absl::Status begun = Begin(batch);
  if (!begun.ok()) {
    Applied(begun);
    return;
  }
  {
    MutexLock lock(&mu_);
    next_ = batch.next;
    batch_files_ = batch.changes.size();
    left_ += batch.changes.size();
  }
  for (ReplicatedChange& change : batch.changes) {
    if (change.kind == ChangeKind::kPut && !change.content.has_value()) {
      missing_->Add(change.file.name, change.change);
    }
    path_->replica()->Apply(std::move(change),
                            [this](absl::StatusOr<Committed> committed) {
                              Applied(committed.status());
                            });
  }
  Applied(absl::OkStatus());
}

void SnapshotPull::Applied(const absl::Status& status) {
  bool complete = false;
  {
    MutexLock lock(&mu_);
    failed_.Update(status);
    if (left_ > 1) {
      --left_;
      return;
    }
    if (failed_.ok()) {
      cursor_.next = next_;
      cursor_.files += batch_files_;
      complete = last_;
    }
  }
  if (!complete) {
    Done(absl::OkStatus(), false);
    return;
  }
  if (!path_->io()->TrySubmit([this] { Complete(); })) {
    Done(ErrorWithReason(absl::StatusCode::kResourceExhausted,
                         ErrorReason::kOverloaded, "the disk's queue is full"),
         false);
  }
}

void SnapshotPull::Complete() {
  std::vector<LogRange> moved;
  for (LogRange& log : cursor().logs) {
    bool is_behind = true;
    for (const LogRange& here : path_->replica()->Logs()) {
      if (here.log == log.log) is_behind = here.applied < log.applied;
    }
    if (!is_behind) continue;
    // Entries before are not here: this path cannot serve them.
    log.cut = log.applied;
    moved.push_back(log);
  }
  Done(path_->replica()->SetLogs(moved), true);
}

void SnapshotPull::Done(const absl::Status& status, bool complete) {
  // This may be destroyed as soon as it has ended.
  std::shared_ptr<PeerStream> stream;
  std::function<void()> wake;
  bool go_on = false;
  {
    MutexLock lock(&mu_);
    failed_.Update(status);
    left_ = 0;
    if (complete && failed_.ok()) complete_ = true;
    go_on = failed_.ok() && !complete;
    stream = stream_;
    if (stream_ended_) {
      ended_ = complete_ ? absl::OkStatus() : failed_;
      wake = wake_;
    }
  }
  if (wake != nullptr) {
    wake();
  } else if (go_on) {
    stream->Next();
  } else {
    stream->Cancel();
  }
}

void SnapshotPull::OnEnd(const absl::Status& status) {
  std::function<void()> wake;
  {
    MutexLock lock(&mu_);
    if (!complete_) failed_.Update(status);
    if (status.ok() && !last_) {
      failed_.Update(absl::UnavailableError("the snapshot was cut off"));
    }
    stream_ended_ = true;
    if (left_ > 0) return;  // Whoever applies the rest says that it is over.
    ended_ = complete_ ? absl::OkStatus() : failed_;
    wake = wake_;
  }
  wake();
}

}  // namespace storage
}  // namespace cairn
