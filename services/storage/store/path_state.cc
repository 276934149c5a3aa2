#include "services/storage/store/path_state.h"

#include <algorithm>
#include <utility>

namespace cairn {
namespace storage {

void PathState::Load(
    const disk::v1::IndexState& state,
    const std::vector<std::pair<uint64_t, disk::v1::SegmentEntry>>& segments,
    const std::vector<std::pair<uint64_t, disk::v1::DoomedSegment>>& doomed,
    const std::vector<LogHead>& logs) {
  MutexLock lock(&mu_);
  const absl::StatusOr<Uuid> incarnation = Uuid::FromBytes(state.incarnation());
  if (incarnation.ok()) incarnation_ = *incarnation;
  epoch_ = state.epoch();
  log_origin_ = state.log_origin();
  for (const LogHead& head : logs) logs_[head.origin] = head;
  LogHead& own = logs_[log_origin_];
  own.origin = log_origin_;
  own.id = LogId{incarnation_, epoch_};
  own.applied = state.last_sequence();
  own.synced = own.applied;
  version_clock_ = state.version_clock();
  newest_create_ = state.newest_create_unix_seconds();
  use_.all = FileUse{state.files(), state.file_bytes()};
  tombstones_ = state.tombstones();
  dedicated_segments_ = state.dedicated_segments();
  dedicated_bytes_ = state.dedicated_bytes();
  undelete_bytes_ = state.undelete_bytes();
  next_segment_ = std::max<uint64_t>(state.next_segment(), 1);
  for (const auto& [number, entry] : segments) {
    shared_[number] =
        SharedSegment{static_cast<int64_t>(entry.end_offset()),
                      static_cast<int64_t>(entry.live_bytes()), entry.sealed()};
  }
  doomed_.insert(doomed.begin(), doomed.end());
}

void PathState::LoadSetAside(
    const std::vector<disk::v1::FileChange>& set_aside) {
  MutexLock lock(&mu_);
  for (const disk::v1::FileChange& change : set_aside) {
    set_aside_[change.name()] = change;
  }
}

void PathState::LoadSharedContents(
    const std::vector<std::pair<uint64_t, disk::v1::SharedContentEntry>>&
        shared) {
  MutexLock lock(&mu_);
  for (const auto& [number, entry] : shared) {
    more_names_.emplace(number, entry.more_names());
  }
}

void PathState::LoadOwners(UseByOwner owners) {
  MutexLock lock(&mu_);
  use_.owners = std::move(owners);
}

void PathState::SetUse(UseTotals use) {
  MutexLock lock(&mu_);
  for (const auto& [owner, before] : use_.owners) changed_owners_.insert(owner);
  for (const auto& [owner, after] : use.owners) changed_owners_.insert(owner);
  use_ = std::move(use);
}

void PathState::CountIn(Quotas* quotas) {
  quotas_ = quotas;
  if (quotas_ == nullptr) return;
  MutexLock lock(&mu_);
  quotas_->CountIn(use_);
}

void PathState::CountOut() {
  if (quotas_ == nullptr) return;
  MutexLock lock(&mu_);
  quotas_->CountOut(use_);
  quotas_ = nullptr;
}

disk::v1::IndexState PathState::Save(Changed* changed) {
  disk::v1::IndexState state;
  MutexLock lock(&mu_);
  state.set_format_version(1);
  state.set_incarnation(incarnation_.bytes().data(), 16);
  state.set_next_segment(next_segment_);
  for (const uint64_t number : uploads_) state.add_unfinished_segments(number);
  state.set_epoch(epoch_);
  state.set_log_origin(log_origin_);
  state.set_last_sequence(logs_[log_origin_].applied);
  state.set_version_clock(version_clock_);
  state.set_newest_create_unix_seconds(newest_create_);
  state.set_files(use_.all.files);
  state.set_file_bytes(use_.all.bytes);
  state.set_tombstones(tombstones_);
  state.set_dedicated_segments(dedicated_segments_);
  state.set_dedicated_bytes(dedicated_bytes_);
  state.set_undelete_bytes(undelete_bytes_);
  for (const uint64_t number : changed_) {
    const auto it = shared_.find(number);
    if (it == shared_.end()) continue;
    disk::v1::SegmentEntry entry;
    entry.set_end_offset(it->second.end_offset);
    entry.set_live_bytes(it->second.live_bytes);
    entry.set_sealed(it->second.sealed);
    changed->segments.emplace_back(number, entry);
  }
  changed_.clear();
  for (const std::string& owner : changed_owners_) {
    changed->owners.emplace(owner, use_.OfOwner(owner));
  }
  changed_owners_.clear();
  return state;
}

void PathState::Apply(const StateChange& change) {
  if (quotas_ != nullptr && (!change.use.empty() || !change.taken.empty())) {
    quotas_->Settle(change.use, change.taken);
  }
  MutexLock lock(&mu_);
  logs_[log_origin_].applied = change.last_sequence;
  for (const auto& [origin, sequence] : change.applied) {
    LogHead& head = logs_[origin];
    head.applied = std::max(head.applied, sequence);
  }
  for (const LogHead& from : change.heads) {
    LogHead& head = logs_[from.origin];
    head.origin = from.origin;
    head.id = from.id;
    head.applied = std::max(head.applied, from.applied);
    head.cut = std::max(head.cut, from.cut);
    head.unsure = std::max(head.unsure, from.unsure);
  }
  for (const disk::v1::FileChange& aside : change.set_aside) {
    set_aside_[aside.name()] = aside;
  }
  for (const std::string& name : change.set_aside_over) set_aside_.erase(name);
  version_clock_ = std::max(version_clock_, change.version_clock);
  newest_create_ = std::max(newest_create_, change.newest_create_unix_seconds);
  use_.Add(change.use, 1);
  for (const auto& [owner, use] : change.use.owners) {
    changed_owners_.insert(owner);
  }
  tombstones_ += change.tombstones;
  dedicated_segments_ += change.dedicated_segments;
  dedicated_bytes_ += change.dedicated_bytes;
  undelete_bytes_ += change.undelete_bytes;
  for (const auto& [number, bytes] : change.live_bytes) {
    // Not there if the segment was lost and the record that it held is
    // replaced.
    const auto it = shared_.find(number);
    if (it == shared_.end()) continue;
    it->second.live_bytes += bytes;
    changed_.insert(number);
  }
  for (const auto& [number, names] : change.more_names) {
    if (names > 0) {
      more_names_[number] = names;
    } else {
      more_names_.erase(number);
    }
  }
  for (const auto& [number, entry] : change.doomed) {
    doomed_.insert_or_assign(number, entry);
    if (entry.shared()) shared_.erase(number);
  }
  for (const uint64_t number : change.undoomed) doomed_.erase(number);
}

Uuid PathState::incarnation() const {
  MutexLock lock(&mu_);
  return incarnation_;
}
uint32_t PathState::epoch() const {
  MutexLock lock(&mu_);
  return epoch_;
}
uint32_t PathState::log_origin() const {
  MutexLock lock(&mu_);
  return log_origin_;
}
uint64_t PathState::last_sequence() const {
  MutexLock lock(&mu_);
  return logs_.at(log_origin_).applied;
}
uint64_t PathState::version_clock() const {
  MutexLock lock(&mu_);
  return version_clock_;
}
int64_t PathState::newest_create_unix_seconds() const {
  MutexLock lock(&mu_);
  return newest_create_;
}
void PathState::SetIncarnation(const Uuid& incarnation) {
  MutexLock lock(&mu_);
  incarnation_ = incarnation;
}
void PathState::SetEpoch(uint32_t epoch, uint32_t log_origin) {
  MutexLock lock(&mu_);
  epoch_ = epoch;
  log_origin_ = log_origin;
  LogHead head;
  head.origin = log_origin;
  head.id = LogId{incarnation_, epoch};
  logs_[log_origin] = head;
}
std::vector<LogHead> PathState::Logs() const {
  std::vector<LogHead> heads;
  MutexLock lock(&mu_);
  heads.reserve(logs_.size());
  for (const auto& [origin, head] : logs_) heads.push_back(head);
  return heads;
}
LogHead PathState::OwnLog() const {
  MutexLock lock(&mu_);
  return logs_.at(log_origin_);
}
bool PathState::FindLog(const LogId& id, LogHead* head) const {
  MutexLock lock(&mu_);
  for (const auto& [origin, known] : logs_) {
    if (known.id != id) continue;
    *head = known;
    return true;
  }
  return false;
}
bool PathState::FindLog(uint32_t origin, LogHead* head) const {
  MutexLock lock(&mu_);
  const auto it = logs_.find(origin);
  if (it == logs_.end()) return false;
  *head = it->second;
  return true;
}
uint32_t PathState::NextLogOrigin() const {
  MutexLock lock(&mu_);
  return logs_.empty() ? 1 : logs_.rbegin()->first + 1;
}
void PathState::MarkSynced(const std::vector<LogHead>& heads) {
  MutexLock lock(&mu_);
  for (const LogHead& head : heads) {
    const auto it = logs_.find(head.origin);
    if (it == logs_.end()) continue;
    it->second.synced = std::max(it->second.synced, head.applied);
  }
}
void PathState::MarkJournalSynced() {
  MutexLock lock(&mu_);
  if (!unsynced_.empty()) return;
  for (auto& [origin, head] : logs_) head.synced = head.applied;
}
void PathState::SetPassed(const std::vector<LogPosition>& passed) {
  MutexLock lock(&mu_);
  passed_all_ = false;
  for (const LogPosition& position : passed) {
    for (const auto& [origin, head] : logs_) {
      if (head.id == position.log) passed_[origin] = position.sequence;
    }
  }
}
bool PathState::IsPassed(uint32_t origin, uint64_t sequence) const {
  MutexLock lock(&mu_);
  if (passed_all_) return true;
  const auto it = passed_.find(origin);
  return it != passed_.end() && sequence <= it->second;
}
void PathState::SetHeldByPresent(const std::vector<LogPosition>& held) {
  MutexLock lock(&mu_);
  for (const LogPosition& position : held) {
    for (const auto& [origin, head] : logs_) {
      if (head.id == position.log) present_[origin] = position.sequence;
    }
  }
}
uint64_t PathState::PassedUpTo(uint32_t origin) const {
  MutexLock lock(&mu_);
  if (passed_all_) {
    const auto log = logs_.find(origin);
    return log == logs_.end() ? 0 : log->second.synced;
  }
  const auto it = passed_.find(origin);
  return it == passed_.end() ? 0 : it->second;
}
uint64_t PathState::HeldByPresentUpTo(uint32_t origin) const {
  MutexLock lock(&mu_);
  const auto it = present_.find(origin);
  return it == present_.end() ? 0 : it->second;
}

std::map<std::string, disk::v1::FileChange> PathState::SetAside() const {
  MutexLock lock(&mu_);
  return set_aside_;
}
size_t PathState::set_aside_count() const {
  MutexLock lock(&mu_);
  return set_aside_.size();
}
bool PathState::IsSetAside(absl::string_view name) const {
  MutexLock lock(&mu_);
  return !set_aside_.empty() && set_aside_.count(std::string(name)) != 0;
}
bool PathState::FindSetAside(absl::string_view name,
                             disk::v1::FileChange* change) const {
  MutexLock lock(&mu_);
  const auto it = set_aside_.find(std::string(name));
  if (it == set_aside_.end()) return false;
  *change = it->second;
  return true;
}

uint64_t PathState::AllocateSegment() {
  MutexLock lock(&mu_);
  return next_segment_++;
}
void PathState::ReserveSegments(uint64_t number) {
  MutexLock lock(&mu_);
  next_segment_ = std::max(next_segment_, number + 1);
}
uint64_t PathState::next_segment() const {
  MutexLock lock(&mu_);
  return next_segment_;
}

void PathState::AddSharedSegment(uint64_t number) {
  MutexLock lock(&mu_);
  shared_.emplace(number, SharedSegment{});
  changed_.insert(number);
}
void PathState::SetSegmentEnd(uint64_t number, int64_t end_offset,
                              bool sealed) {
  MutexLock lock(&mu_);
  SharedSegment& segment = shared_[number];
  segment.end_offset = end_offset;
  segment.sealed = sealed;
  changed_.insert(number);
}
void PathState::RemoveSharedSegment(uint64_t number) {
  MutexLock lock(&mu_);
  shared_.erase(number);
}
std::map<uint64_t, SharedSegment> PathState::SharedSegments() const {
  MutexLock lock(&mu_);
  return shared_;
}
bool PathState::HasSharedSegment(uint64_t number) const {
  MutexLock lock(&mu_);
  return shared_.count(number) != 0;
}
bool PathState::FindSharedSegment(uint64_t number,
                                  SharedSegment* segment) const {
  MutexLock lock(&mu_);
  const auto it = shared_.find(number);
  if (it == shared_.end()) return false;
  *segment = it->second;
  return true;
}
bool PathState::SegmentFileExists(uint64_t number) const {
  MutexLock lock(&mu_);
  return shared_.count(number) != 0 || doomed_.count(number) != 0;
}
std::map<uint64_t, disk::v1::DoomedSegment> PathState::Doomed() const {
  MutexLock lock(&mu_);
  return doomed_;
}
bool PathState::IsDoomed(uint64_t number) const {
  MutexLock lock(&mu_);
  return doomed_.count(number) != 0;
}
uint32_t PathState::MoreNames(uint64_t number) const {
  MutexLock lock(&mu_);
  const auto it = more_names_.find(number);
  return it == more_names_.end() ? 0 : it->second;
}

void PathState::AddUpload(uint64_t number) {
  MutexLock lock(&mu_);
  uploads_.insert(number);
}
void PathState::RemoveUpload(uint64_t number) {
  MutexLock lock(&mu_);
  uploads_.erase(number);
}

void PathState::AddUnsynced(uint64_t number, std::shared_ptr<File> file) {
  MutexLock lock(&mu_);
  unsynced_.insert_or_assign(number, std::move(file));
}
std::vector<std::pair<uint64_t, std::shared_ptr<File>>> PathState::Unsynced()
    const {
  MutexLock lock(&mu_);
  return {unsynced_.begin(), unsynced_.end()};
}
void PathState::RemoveUnsynced(uint64_t number) {
  MutexLock lock(&mu_);
  unsynced_.erase(number);
}

bool PathState::IsUnsynced(uint64_t number) const {
  MutexLock lock(&mu_);
  return unsynced_.count(number) != 0;
}

StateTotals PathState::Totals() const {
  StateTotals totals;
  MutexLock lock(&mu_);
  totals.files = use_.all.files;
  totals.file_bytes = use_.all.bytes;
  totals.tombstones = tombstones_;
  totals.dedicated_segments = dedicated_segments_;
  totals.dedicated_bytes = dedicated_bytes_;
  totals.undelete_bytes = undelete_bytes_;
  totals.shared_segments = static_cast<int64_t>(shared_.size());
  for (const auto& [number, segment] : shared_) {
    totals.shared_live_bytes += segment.live_bytes;
    totals.shared_dead_bytes += segment.dead_bytes();
  }
  totals.doomed_segments = static_cast<int64_t>(doomed_.size());
  totals.uploads = static_cast<int64_t>(uploads_.size());
  return totals;
}

}  // namespace storage
}  // namespace cairn
