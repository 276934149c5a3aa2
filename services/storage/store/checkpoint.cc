#include "services/storage/store/checkpoint.h"

#include <memory>
#include <utility>
#include <vector>

#include "lib/base/status_macros.h"
#include "lib/fault/fault_point.h"

namespace cairn {
namespace storage {
namespace {

FaultPoint before_begin("checkpoint.before_begin");
FaultPoint after_begin("checkpoint.after_begin");
FaultPoint before_flush("checkpoint.before_flush");

}  // namespace

Checkpointer::Checkpointer(Index* index, PathState* state, Journal* journal,
                           SegmentSet* segments, PathHealth* health,
                           Clock* clock, EngineObserver* observer,
                           std::string boot_id, const JournalPosition& durable)
    : index_(index),
      state_(state),
      journal_(journal),
      segments_(segments),
      health_(health),
      clock_(clock),
      observer_(observer),
      boot_id_(std::move(boot_id)),
      durable_(durable) {}

absl::Status Checkpointer::SyncDedicated() {
  for (const auto& [number, file] : state_->Unsynced()) {
    const absl::Duration start = clock_->Monotonic();
    absl::Status synced = file->Sync();
    if (synced.ok()) synced = segments_->SyncFolderOf(number);
    if (!synced.ok()) {
      health_->SetBroken(synced);
      return synced;
    }
    if (observer_ != nullptr) observer_->OnSync(clock_->Monotonic() - start);
    state_->RemoveUnsynced(number);
  }
  return absl::OkStatus();
}

absl::Status Checkpointer::SyncAll() {
  CAIRN_RETURN_IF_ERROR(health_->CheckSmallChange());
  const std::vector<LogHead> applied = state_->Logs();
  CAIRN_RETURN_IF_ERROR(SyncDedicated());
  absl::Status synced = journal_->Sync();
  if (synced.ok()) {
    state_->MarkSynced(applied);
  } else {
    health_->SetBroken(synced);
  }
  return synced;
}

void Checkpointer::Begin(bool clean_end) {
  if (index_->has_frozen()) return;
  const absl::Duration start = clock_->Monotonic();
  PathState::Changed changed;
  disk::v1::IndexState state = state_->Save(&changed);
  const JournalPosition position = journal_->end();
  state.set_journal_segment(position.segment);
  state.set_journal_offset(static_cast<uint64_t>(position.offset));
  state.set_boot_id(boot_id_);
  state.set_clean_end(clean_end);
  IndexBatch batch;
  batch.PutState(state);
  for (const LogHead& head : state_->Logs()) batch.PutOrigin(head);
  for (const auto& [number, entry] : changed.segments) {
    batch.PutSegment(number, entry);
  }
  for (const auto& [owner, use] : changed.owners) batch.PutOwner(owner, use);
  before_begin.PassOrDie();
  index_->Write(&batch);
  {
    MutexLock lock(&mu_);
    pending_ = position;
    begun_at_bytes_ = journal_->appended_bytes();
    count_ += 1;
  }
  index_->Freeze();
  after_begin.PassOrDie();
  if (observer_ != nullptr) {
    observer_->OnCheckpoint(clock_->Monotonic() - start);
  }
}

absl::Status Checkpointer::Complete() {
  MutexLock complete(&complete_mu_);
  if (!index_->has_frozen()) return absl::OkStatus();
  JournalPosition position;
  {
    MutexLock lock(&mu_);
    position = *pending_;
  }
  const int64_t room = index_->frozen_room();
  absl::Status done = health_->CheckOwnWrite(room);
  if (absl::IsResourceExhausted(done)) {
    // Without a checkpoint nothing that was deleted gives its room back.
    health_->ReleaseBallast();
    done = health_->CheckOwnWrite(room);
  }
  // What is flushed must not refer to bytes that a power cut can take.
  if (done.ok()) done = SyncAll();
  before_flush.PassOrDie();
  if (done.ok()) {
    done = index_->Flush();
    health_->Refresh().IgnoreError();  // Tables are not counted down.
  }
  if (!done.ok() && !absl::IsResourceExhausted(done)) health_->SetBroken(done);
  MutexLock lock(&mu_);
  last_status_ = done;
  if (!done.ok()) return done;
  durable_ = position;
  // Begin() may have marked the next one meanwhile.
  if (*pending_ == position) pending_.reset();
  return absl::OkStatus();
}

absl::Status Checkpointer::last_status() const {
  MutexLock lock(&mu_);
  return last_status_;
}

JournalPosition Checkpointer::durable() const {
  MutexLock lock(&mu_);
  return durable_;
}
int64_t Checkpointer::begun_at_bytes() const {
  MutexLock lock(&mu_);
  return begun_at_bytes_;
}
uint64_t Checkpointer::count() const {
  MutexLock lock(&mu_);
  return count_;
}

}  // namespace storage
}  // namespace cairn
