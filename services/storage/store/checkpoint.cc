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

absl::Status Checkpointer::PreSync() {
  CAIRN_RETURN_IF_ERROR(health_->CheckSmallChange());
  CAIRN_RETURN_IF_ERROR(SyncDedicated());
  const absl::Status synced = journal_->Sync();
  if (!synced.ok()) health_->SetBroken(synced);
  return synced;
}

absl::Status Checkpointer::Begin(bool clean_end) {
  Poll();
  if (index_->FlushRunning()) return absl::OkStatus();
  const absl::Duration start = clock_->Monotonic();
  CAIRN_RETURN_IF_ERROR(PreSync());

  std::vector<std::pair<uint64_t, disk::v1::SegmentEntry>> segments;
  disk::v1::IndexState state = state_->Save(&segments);
  const JournalPosition position = journal_->end();
  state.set_journal_segment(position.segment);
  state.set_journal_offset(static_cast<uint64_t>(position.offset));
  state.set_boot_id(boot_id_);
  state.set_clean_end(clean_end);
  disk::v1::OriginEntry origin;
  origin.set_incarnation(state.incarnation());
  origin.set_epoch(state.epoch());
  origin.set_last_sequence(state.last_sequence());
  IndexBatch batch = index_->NewBatch();
  batch.PutState(state);
  batch.PutOrigin(state.log_origin(), origin);
  for (const auto& [number, entry] : segments) batch.PutSegment(number, entry);
  before_begin.PassOrDie();
  absl::Status begun = index_->Write(&batch);
  if (begun.ok()) begun = index_->StartFlush();
  if (!begun.ok()) {
    state_->SaveFailed(segments);
    return begun;
  }
  after_begin.PassOrDie();
  if (observer_ != nullptr) {
    observer_->OnCheckpoint(clock_->Monotonic() - start);
  }
  MutexLock lock(&mu_);
  pending_ = position;
  begun_at_bytes_ = journal_->appended_bytes();
  count_ += 1;
  return absl::OkStatus();
}

void Checkpointer::Poll() {
  JournalPosition looked_at;
  {
    MutexLock lock(&mu_);
    if (!pending_.has_value()) return;
    looked_at = *pending_;
  }
  if (index_->FlushRunning() || !index_->BackgroundError().ok()) return;
  MutexLock lock(&mu_);
  // Another thread may have begun the next one meanwhile.
  if (!pending_.has_value() || !(*pending_ == looked_at)) return;
  durable_ = looked_at;
  pending_.reset();
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
