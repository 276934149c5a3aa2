#include "integration_tests/simulation/model_disk.h"

#include <algorithm>
#include <memory>
#include <set>
#include <utility>

namespace cairn {
namespace simulation {

using storage::FileInfo;
using storage::KnownFile;
using storage::LogId;
using storage::LogRange;

void DiskState::Apply(const DiskRecord& record) {
  switch (record.kind) {
    case DiskRecord::Kind::kLogs:
      for (const LogRange& range : record.logs) {
        Log& log = logs[range.log];
        log.applied = std::max(log.applied, range.applied);
        log.cut = std::max(log.cut, range.cut);
      }
      return;
    case DiskRecord::Kind::kOpened:
      own = record.own;
      logs[own];
      return;
    case DiskRecord::Kind::kDrop:
      files.erase(record.name);
      return;
    case DiskRecord::Kind::kChange:
      break;
  }
  if (record.known.has_value()) {
    const KnownFile& known = *record.known;
    version_clock = std::max(version_clock, known.file.version.clock);
    File& file = files[known.file.name];
    // Of two with one version the later record counts.
    if (!storage::Replaces(
            storage::StandingOf(file.known.file, file.known.deleted),
            storage::StandingOf(known.file, known.deleted))) {
      file.known = known;
      file.content = record.content;
    }
  }
  if (record.log.has_value()) {
    version_clock = std::max(version_clock, record.entry.version.clock);
    Log& log = logs[*record.log];
    log.entries[record.entry.sequence] = record.entry;
    log.applied = std::max(log.applied, record.entry.sequence);
    if (!record.entry.request_id.is_nil()) {
      requests[record.entry.request_id] = {*record.log, record.entry.sequence};
    }
  }
}

const DiskState::File* DiskState::Find(absl::string_view name) const {
  const auto it = files.find(std::string(name));
  return it == files.end() ? nullptr : &it->second;
}

bool DiskState::Has(const FileInfo& change, bool synced) const {
  const File* const file = Find(change.name);
  if (file == nullptr || file->known.file.life < change.life) return false;
  if (file->known.file.life == change.life &&
      file->known.file.version < change.version) {
    return false;
  }
  if (file->known.deleted) return true;
  return file->content != nullptr && (!synced || file->content->synced);
}

ModelDisk::ModelDisk(EventLoop* loop) : loop_(loop) { Wipe(); }

void ModelDisk::Append(DiskRecord record) {
  now_.Apply(record);
  records_.push_back(std::move(record));
}

void ModelDisk::Sync() {
  for (; synced_ < records_.size(); ++synced_) {
    durable_.Apply(records_[synced_]);
  }
}

void ModelDisk::Checkpoint() {
  Sync();
  checkpoint_ = records_.size();
}

void ModelDisk::CleanEnd() {
  Checkpoint();
  clean_ = true;
}

void ModelDisk::Fold() {
  now_ = DiskState();
  for (const DiskRecord& record : records_) now_.Apply(record);
  synced_ = records_.size();
  checkpoint_ = records_.size();
  durable_ = now_;
}

// Records from some place on, at or behind `least`, are gone.
void ModelDisk::DropUnsafe(size_t least) {
  const size_t kept = least + loop_->Draw(records_.size() - least + 1);
  loop_->Trace("    the disk loses ", records_.size() - kept, " records");
  records_.resize(kept);
}

void ModelDisk::Open() {
  // What a sync could not write still reads back, or the kernel has dropped it.
  if (suspect_) LoseUnsynced();
  // Tombstones are forgotten in the index only.
  size_t kept = 0;
  for (size_t i = 0; i < records_.size(); ++i) {
    if (i >= checkpoint_ && records_[i].kind == DiskRecord::Kind::kDrop) {
      continue;
    }
    if (kept != i) records_[kept] = std::move(records_[i]);
    ++kept;
  }
  records_.resize(kept);
  Fold();
  DiskRecord opened;
  opened.kind = DiskRecord::Kind::kOpened;
  opened.own = now_.own;
  if (opened.own.is_nil()) {
    opened.own = LogId{incarnation_, 1};
  } else if (suspect_ || (!clean_ && era_boot_ != boot_)) {
    ++opened.own.epoch;
  }
  Append(std::move(opened));
  Sync();
  era_boot_ = boot_;
  clean_ = false;
  suspect_ = false;
}

void ModelDisk::PowerCut() {
  ++boot_;
  if (!clean_) LoseUnsynced();
}

void ModelDisk::LoseUnsynced() {
  DropUnsafe(std::min(synced_, records_.size()));
  // Bytes beside the journal survive or not, whatever the journal says.
  std::set<std::shared_ptr<DiskContent>> lost;
  for (DiskRecord& record : records_) {
    if (record.content == nullptr || record.content->synced) continue;
    if (lost.count(record.content) != 0 || loop_->Chance(0.5)) {
      loop_->Trace("    the disk loses the content of ",
                   record.known->file.name);
      lost.insert(record.content);
      record.content = nullptr;
      record.known->content_missing = true;
    } else {
      record.content->synced = true;
    }
  }
  Fold();
}

void ModelDisk::Wipe() {
  incarnation_ = loop_->DrawUuid();
  ++boot_;
  era_boot_ = 0;
  clean_ = true;
  suspect_ = false;
  records_.clear();
  Fold();
}

}  // namespace simulation
}  // namespace cairn
