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

std::string DiskContent::Bytes() const {
  std::string bytes;
  for (const auto& piece : pieces) bytes += piece->bytes;
  return bytes;
}

bool DiskContent::IsSynced() const {
  return std::all_of(pieces.begin(), pieces.end(),
                     [](const auto& piece) { return piece->synced; });
}

bool DiskContent::IsRotten() const {
  return std::any_of(pieces.begin(), pieces.end(),
                     [](const auto& piece) { return piece->rotten; });
}

bool DiskContent::IsOnePiece() const {
  return pieces.size() == 1 && pieces.front()->beside;
}

void DiskState::File::GiveUpContent(int64_t undelete_until) {
  known.file.undelete_until_unix_seconds = undelete_until;
  known.file.attributes.clear();
  known.file.expire_unix_seconds = 0;
  known.file.sha256.clear();
  known.file.deduplicated = false;
  content = nullptr;
}

void DiskState::Apply(const DiskRecord& record) {
  switch (record.kind) {
    case DiskRecord::Kind::kLogs:
      for (const LogRange& range : record.logs) {
        Log& log = logs[range.log];
        log.applied = std::max(log.applied, range.applied);
        log.cut = std::max(log.cut, range.cut);
        log.unsure = std::max(log.unsure, range.unsure);
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
  if (record.aside_over) aside.erase(record.entry.name);
  if (record.aside.has_value()) {
    const auto standing = [](const storage::ReplicatedChange& change) {
      return storage::StandingOf(change.file,
                                 change.kind == storage::ChangeKind::kDelete);
    };
    // One of a name is remembered, and it is the one that counts.
    const auto before = aside.find(record.aside->file.name);
    if (before == aside.end() ||
        !storage::Replaces(standing(before->second), standing(*record.aside))) {
      aside[record.aside->file.name] = *record.aside;
    }
  }
  if (record.known.has_value()) {
    version_clock = std::max(version_clock, record.known->file.version.clock);
    File after{*record.known, record.content};
    const File* const before = Find(after.known.file.name);
    // Of two with one version the later record counts.
    if (before == nullptr ||
        !storage::Replaces(
            storage::StandingOf(before->known.file, before->known.deleted),
            storage::StandingOf(after.known.file, after.known.deleted))) {
      if (after.known.deleted) {
        if (after.known.file.sealed_as.empty() && before != nullptr &&
            before->known.deleted) {
          after.known.file.sealed_as = before->known.file.sealed_as;
        }
        // There is nothing to bring back: what it had is another file's.
        if (!after.known.file.sealed_as.empty()) after.GiveUpContent(0);
      }
      const bool ends_appender =
          !after.known.file.sealed_from.empty() &&
          (before == nullptr || before->known.file.sealed_from.empty());
      files[after.known.file.name] = after;
      if (ends_appender) EndAppender(after.known.file.sealed_from, after.known);
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

void DiskState::EndAppender(const std::string& name, const KnownFile& sealed) {
  const auto before = files.find(name);
  if (before != files.end() && before->second.known.deleted) {
    if (!before->second.known.file.sealed_as.empty()) return;
    // Somebody who had not heard of it deleted the appender.
    before->second.known.file.sealed_as = sealed.file.name;
    before->second.GiveUpContent(0);
    return;
  }
  File tombstone;
  tombstone.known.deleted = true;
  tombstone.known.change = sealed.change;
  FileInfo& file = tombstone.known.file;
  file.name = name;
  file.kind = storage::FileKind::kAppender;
  file.sealed_as = sealed.file.name;
  file.size_bytes = sealed.file.size_bytes;
  file.crc32c = sealed.file.crc32c;
  file.version = sealed.file.version;
  file.life = sealed.file.life;
  file.grown_since = sealed.file.version;
  file.origin_node = sealed.file.origin_node;
  file.create_unix_seconds = sealed.file.create_unix_seconds;
  if (before != files.end()) {
    const FileInfo& appender = before->second.known.file;
    file.life = std::max(file.life, appender.life);
    file.create_unix_seconds = appender.create_unix_seconds;
  }
  files[name] = std::move(tombstone);
}

const DiskState::File* DiskState::Find(absl::string_view name) const {
  const auto it = files.find(std::string(name));
  return it == files.end() ? nullptr : &it->second;
}

bool DiskState::Has(const FileInfo& change, bool deleted, bool with_content,
                    bool synced) const {
  const File* const file = Find(change.name);
  if (file == nullptr ||
      storage::Replaces(
          storage::StandingOf(change, deleted),
          storage::StandingOf(file->known.file, file->known.deleted))) {
    return false;
  }
  if (!with_content || file->known.deleted) return true;
  return file->has_good_content() && (!synced || file->content->IsSynced());
}

bool DiskState::Reached(const storage::LogPosition& change) const {
  const auto log = logs.find(change.log);
  return log != logs.end() && log->second.applied >= change.sequence;
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
  std::set<std::shared_ptr<DiskPiece>> lost;
  for (DiskRecord& record : records_) {
    if (record.content == nullptr) continue;
    bool is_lost = false;
    for (const auto& piece : record.content->pieces) {
      if (piece->synced) continue;
      if (lost.count(piece) == 0) {
        if (loop_->Chance(0.5)) {
          lost.insert(piece);
        } else {
          piece->synced = true;
        }
      }
      is_lost = is_lost || !piece->synced;
    }
    if (!is_lost) continue;
    loop_->Trace("    the disk loses the content of ", record.known->file.name);
    record.content = nullptr;
    record.known->content_missing = !record.known->deleted;
  }
  Fold();
}

bool ModelDisk::Rot(const std::string& name) {
  const DiskState::File* const file = now_.Find(name);
  if (file == nullptr || file->content == nullptr ||
      file->content->pieces.empty()) {
    return false;
  }
  loop_->Pick(file->content->pieces)->rotten = true;
  return true;
}

void ModelDisk::Wipe() {
  unreadable_.clear();
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
