#include "services/storage/core/snapshot_pull.h"

#include <algorithm>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "services/storage/core/queue_full.h"
#include "services/storage/core/replica_store.h"
#include "services/storage/core/set_aside.h"

namespace cairn {
namespace storage {
namespace {

// Names here that are compared with a page in one go.
constexpr size_t kReconciledAtOnce = 512;

// The least of both: a log that one of them does not name was not there.
std::vector<LogRange> LeastOf(const std::vector<LogRange>& a,
                              const std::vector<LogRange>& b) {
  std::vector<LogRange> least;
  for (const LogRange& mine : a) {
    for (const LogRange& theirs : b) {
      if (mine.log != theirs.log) continue;
      LogRange range = mine;
      range.applied = std::min(mine.applied, theirs.applied);
      range.unsure = std::max(mine.unsure, theirs.unsure);
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
  return left_ > 0 ? clock_->Monotonic() : heard_;
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
  if (!queued) Failed(QueueFull());
}

void SnapshotPull::OnPool(void (SnapshotPull::*work)()) {
  if (!path_->io()->TrySubmit([this, work] { (this->*work)(); })) {
    Failed(QueueFull());
  }
}

// The logs must be known before a file says which of its changes made it; their
// positions come at the end.
absl::Status SnapshotPull::Begin(const SnapshotBatch& batch) {
  if (begun_) return absl::OkStatus();
  begun_ = true;
  sender_logs_ = batch.logs;
  {
    MutexLock lock(&mu_);
    cursor_.logs =
        cursor_.next.empty() ? batch.logs : LeastOf(cursor_.logs, batch.logs);
    cursor_.files_total = batch.files_total;
  }
  std::vector<LogRange> heard_of;
  for (const LogRange& log : batch.logs) {
    LogRange range;
    range.log = log.log;
    heard_of.push_back(range);
  }
  CAIRN_RETURN_IF_ERROR(path_->replica()->SetLogs(heard_of));
  // What is here is compared with the pages as a snapshot, too.
  return path_->replica()->BeginSnapshot().status();
}

void SnapshotPull::Take(SnapshotBatch batch) {
  const absl::Status begun = Begin(batch);
  if (!begun.ok()) {
    Failed(begun);
    return;
  }
  Cursor counts;
  names_.clear();
  for (const ReplicatedChange& change : batch.changes) {
    names_.insert(change.file.name);
    if (change.kind == ChangeKind::kPut) ++counts.files;
    counts.bytes += change.content_bytes();
    if (change.kind == ChangeKind::kPut && !change.content.has_value()) {
      missing_->Add(change.file.name, change.change);
    }
  }
  counts.changes = batch.changes.size();
  next_ = std::move(batch.next);
  {
    MutexLock lock(&mu_);
    reconciled_ = cursor_.next;
    page_ = counts;
  }
  phase_ = Phase::kChanges;
  step_ = std::move(batch.changes);
  ApplyStep();
}

void SnapshotPull::ApplyStep() {
  {
    MutexLock lock(&mu_);
    left_ = 1 + step_.size();
    bad_.clear();
  }
  for (size_t i = 0; i < step_.size(); ++i) {
    path_->replica()->Apply(step_[i],
                            [this, i](absl::StatusOr<Committed> committed) {
                              Applied(committed.status(), i);
                            });
  }
  Applied(absl::OkStatus(), step_.size());
}

void SnapshotPull::Applied(const absl::Status& status, size_t index) {
  {
    MutexLock lock(&mu_);
    if (status.ok() && phase_ == Phase::kChanges && index < step_.size()) {
      missing_->Settle(step_[index].file.name, step_[index].change);
    } else if (!status.ok() && phase_ == Phase::kChanges &&
               IsOfOneChange(status)) {
      bad_.push_back(index);
    } else {
      failed_.Update(status);
    }
    if (left_ > 1) {
      --left_;
      return;
    }
  }
  StepDone();
}

void SnapshotPull::StepDone() {
  absl::Status failed;
  std::vector<ReplicatedChange> aside;
  {
    MutexLock lock(&mu_);
    heard_ = clock_->Monotonic();
    failed = failed_;
    for (const size_t i : bad_) aside.push_back(std::move(step_[i]));
  }
  if (!failed.ok()) {
    Done(failed, false);
    return;
  }
  if (!aside.empty()) {
    for (ReplicatedChange& change : aside) {
      CAIRN_LOG(kWarning, "replication",
                "file of a snapshot cannot be applied and is set aside log={} "
                "change={}",
                change.change.log.ToString(), change.change.sequence);
      missing_->Remove(change.file.name, change.change);
      change.set_aside = true;
      change.content.reset();
    }
    phase_ = Phase::kSetAside;
    step_ = std::move(aside);
    ApplyStep();
    return;
  }
  if (phase_ != Phase::kRemovals || !reconciled_.empty()) {
    OnPool(&SnapshotPull::Reconcile);
    return;
  }
  bool complete = false;
  {
    MutexLock lock(&mu_);
    cursor_.next = next_;
    cursor_.files += page_.files;
    cursor_.bytes += page_.bytes;
    cursor_.changes += page_.changes;
    cursor_.removed += page_.removed;
    complete = last_;
  }
  step_.clear();
  if (complete) {
    OnPool(&SnapshotPull::Complete);
  } else {
    Done(absl::OkStatus(), false);
  }
}

bool SnapshotPull::IsCovered(const LogPosition& change) const {
  if (change.log.is_nil()) return false;
  for (const LogRange& log : sender_logs_) {
    if (log.log == change.log) {
      return change.sequence <= log.applied && change.sequence > log.unsure;
    }
  }
  return false;
}

// A step of what is here between the page's cursors.
void SnapshotPull::Reconcile() {
  absl::StatusOr<SnapshotPage> here =
      path_->replica()->ReadRange(reconciled_, next_, kReconciledAtOnce);
  if (!here.ok()) {
    Failed(here.status());
    return;
  }
  phase_ = Phase::kRemovals;
  reconciled_ = std::move(here->next);
  step_.clear();
  for (KnownFile& known : here->files) {
    if (known.deleted || names_.count(known.file.name) != 0 ||
        !IsCovered(known.change)) {
      continue;
    }
    ReplicatedChange removal;
    removal.mode = ReplicatedChange::Mode::kRemove;
    removal.kind = ChangeKind::kDelete;
    removal.change = known.change;
    removal.file = std::move(known.file);
    step_.push_back(std::move(removal));
  }
  {
    MutexLock lock(&mu_);
    page_.removed += step_.size();
    page_.changes += step_.size();
  }
  ApplyStep();
}

void SnapshotPull::Complete() {
  std::vector<LogRange> moved;
  for (LogRange& log : cursor().logs) {
    bool is_behind = true;
    for (const LogRange& here : path_->replica()->Logs()) {
      if (here.log == log.log) is_behind = here.applied < log.applied;
    }
    if (!is_behind) continue;
    // Entries before are not here: this path cannot serve them. And what the
    // sender may have lost, this path may lack.
    log.cut = log.applied;
    moved.push_back(log);
  }
  Done(path_->replica()->SetLogs(moved), true);
}

void SnapshotPull::Failed(const absl::Status& status) { Done(status, false); }

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
