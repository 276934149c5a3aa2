#include "services/storage/store/change_set.h"

#include <algorithm>
#include <utility>

#include "lib/base/status_macros.h"

namespace cairn {
namespace storage {
namespace {

constexpr int kVersionCounterBits = 16;

// Of all records that are kept; some MiB.
constexpr size_t kRecentExtentsMax = 64 << 10;

int64_t UnixMillis(const Version& version) {
  return static_cast<int64_t>(version.clock >> kVersionCounterBits);
}

Standing StandingOf(const FileRecord& record) {
  return Standing{record.life, record.deleted, record.version};
}

// Of a change that could not be applied.
Standing StandingOfAside(const disk::v1::FileChange& change) {
  return Standing{change.life(), change.operation() == kLogDelete,
                  Version{change.version_clock(), change.version_node()}};
}

}  // namespace

uint64_t ShadowedBy(const FileRecord& existing) {
  return existing.deleted && !existing.keeps_content()
             ? 0
             : existing.record.segment;
}

int64_t ReclaimUnixSeconds(const ChangeSetOptions& options,
                           const FileRecord& record) {
  const int64_t grace = absl::ToInt64Seconds(options.expiry_grace);
  return record.expire_unix_seconds +
         (record.origin_node == options.node_number ? grace : 2 * grace);
}

int64_t DropUnixSeconds(const ChangeSetOptions& options,
                        const FileRecord& record) {
  return std::max(UnixMillis(record.version) / 1000 +
                      absl::ToInt64Seconds(options.tombstone_retention),
                  record.undelete_until_unix_seconds);
}

ChangeSet::ChangeSet(const ChangeSetOptions& options, Index* index,
                     PathState* state)
    : options_(options), index_(index), state_(state) {
  Reset();
}

ChangeSet::~ChangeSet() { ReturnTaken(); }

absl::Status ChangeSet::Take(absl::string_view owner, const FileUse& more) {
  Quotas* const quotas = state_->quotas();
  if (quotas == nullptr) return absl::OkStatus();
  CAIRN_RETURN_IF_ERROR(quotas->Take(owner, more));
  change_.taken.Add(owner, more);
  return absl::OkStatus();
}

void ChangeSet::ReturnTaken() {
  if (change_.taken.empty()) return;
  state_->quotas()->Settle(UseTotals(), change_.taken);
  change_.taken = UseTotals();
}

void ChangeSet::Reset() {
  ReturnTaken();
  batch_.Clear();
  files_.clear();
  names_.clear();
  contents_.clear();
  contents_of_segments_.clear();
  last_known_.reset();
  change_ = StateChange();
  const LogHead own = state_->OwnLog();
  own_log_ = own.origin;
  change_.last_sequence = own.applied;
  change_.version_clock = state_->version_clock();
}

absl::StatusOr<bool> ChangeSet::FindFile(absl::string_view name,
                                         FileRecord* record) {
  const auto it = files_.find(name);
  if (it != files_.end()) {
    *record = it->second;
    return true;
  }
  if (last_known_.has_value() && last_known_->name == name) {
    if (last_known_->found) *record = last_known_->record;
    return last_known_->found;
  }
  const auto recent = recent_.find(name);
  if (recent != recent_.end()) {
    *record = recent->second;
    return true;
  }
  CAIRN_ASSIGN_OR_RETURN(const Lookup found,
                         index_->GetFile(name, /*may_block=*/true, record));
  if (!last_known_.has_value()) last_known_.emplace();
  last_known_->name.assign(name.data(), name.size());
  last_known_->found = found == Lookup::kFound;
  if (last_known_->found) last_known_->record = *record;
  return last_known_->found;
}

absl::StatusOr<absl::optional<Extent>> ChangeSet::FindContent(
    absl::string_view sha256, int64_t size_bytes) {
  const std::string key = ContentKey(sha256, size_bytes);
  auto it = contents_.find(key);
  if (it == contents_.end()) {
    disk::v1::ContentEntry entry;
    CAIRN_ASSIGN_OR_RETURN(const bool found, index_->GetContent(key, &entry));
    it = contents_.emplace(key, absl::nullopt).first;
    if (found) it->second = entry;
  }
  if (!it->second.has_value()) return absl::optional<Extent>();
  return absl::optional<Extent>(
      DedicatedExtent(it->second->segment(), size_bytes, it->second->crc32c()));
}

uint64_t ChangeSet::AppliedOf(uint32_t log_origin) const {
  uint64_t applied = 0;
  LogHead head;
  if (state_->FindLog(log_origin, &head)) applied = head.applied;
  if (log_origin == own_log_) {
    applied = std::max(applied, change_.last_sequence);
  }
  for (const auto& [origin, sequence] : change_.applied) {
    if (origin == log_origin) applied = std::max(applied, sequence);
  }
  return applied;
}

uint64_t ChangeSet::NextSequence() { return change_.last_sequence + 1; }

Version ChangeSet::NextVersion(absl::Time now) {
  const auto wall =
      static_cast<uint64_t>(std::max<int64_t>(absl::ToUnixMillis(now), 0))
      << kVersionCounterBits;
  return Version{std::max(wall, change_.version_clock + 1),
                 options_.node_number};
}

void ChangeSet::AddLive(uint64_t segment, int64_t bytes) {
  for (auto& [number, sum] : change_.live_bytes) {
    if (number == segment) {
      sum += bytes;
      return;
    }
  }
  change_.live_bytes.emplace_back(segment, bytes);
}

void ChangeSet::DoomDedicated(uint64_t number, const JournalPosition& after) {
  disk::v1::DoomedSegment doomed;
  doomed.set_after_segment(after.segment);
  doomed.set_after_offset(after.offset);
  batch_.PutDoomed(number, doomed);
  change_.doomed.emplace_back(number, doomed);
  ForgetContentOf(number);
}

void ChangeSet::RememberContent(const Extent& content,
                                const std::string& sha256) {
  const std::string key = ContentKey(sha256, content.length);
  disk::v1::ContentEntry entry;
  entry.set_segment(content.segment);
  entry.set_crc32c(content.crc32c);
  batch_.PutContent(key, entry);
  contents_[key] = entry;
  disk::v1::SegmentContentEntry of_segment;
  of_segment.set_sha256(sha256);
  of_segment.set_size_bytes(static_cast<uint64_t>(content.length));
  batch_.PutContentOfSegment(content.segment, of_segment);
  contents_of_segments_[content.segment] = key;
}

absl::Status ChangeSet::LookUpContentOf(uint64_t number) {
  if (contents_of_segments_.contains(number)) return absl::OkStatus();
  disk::v1::SegmentContentEntry entry;
  CAIRN_ASSIGN_OR_RETURN(const bool found,
                         index_->GetContentOfSegment(number, &entry));
  std::string key;
  if (found) {
    const auto size_bytes = static_cast<int64_t>(entry.size_bytes());
    CAIRN_RETURN_IF_ERROR(FindContent(entry.sha256(), size_bytes).status());
    key = ContentKey(entry.sha256(), size_bytes);
  }
  contents_of_segments_.emplace(number, std::move(key));
  return absl::OkStatus();
}

void ChangeSet::ForgetContentOf(uint64_t number) {
  const auto it = contents_of_segments_.find(number);
  if (it == contents_of_segments_.end() || it->second.empty()) return;
  batch_.DeleteContentOfSegment(number);
  absl::optional<disk::v1::ContentEntry>& entry = contents_[it->second];
  // Another segment may have the same content, and be the one that is found.
  if (entry.has_value() && entry->segment() == number) {
    batch_.DeleteContent(it->second);
    entry.reset();
  }
  it->second.clear();
}

void ChangeSet::Count(const FileRecord& record, int sign) {
  if (record.has_record()) {
    AddLive(record.record.segment, sign * record.record_bytes());
  }
  if (record.deleted) {
    change_.tombstones += sign;
  } else {
    change_.use.Add(record.owner, {sign, sign * record.size_bytes});
  }
  if (record.keeps_content()) {
    change_.undelete_bytes += sign * record.size_bytes;
  }
  const bool is_own = record.OwnSegment() != nullptr;
  for (const Extent& holder : record.Holders()) {
    if (holder.in_record()) {
      AddLive(holder.segment, sign * holder.record_bytes());
    } else {
      CountName(holder, sign, is_own ? record.sha256 : std::string());
    }
  }
}

void ChangeSet::CountName(const Extent& holder, int sign,
                          const std::string& sha256) {
  for (NameCount& count : names_) {
    if (count.content.segment != holder.segment) continue;
    count.names += sign;
    if (count.sha256.empty()) count.sha256 = sha256;
    return;
  }
  names_.push_back({holder, sign, sha256});
}

uint32_t ChangeSet::MoreNames(uint64_t number) const {
  for (const auto& [segment, names] : change_.more_names) {
    if (segment == number) return names;
  }
  return state_->MoreNames(number);
}

void ChangeSet::SetMoreNames(uint64_t number, uint32_t names) {
  if (names > 0) {
    disk::v1::SharedContentEntry entry;
    entry.set_more_names(names);
    batch_.PutSharedContent(number, entry);
  } else {
    batch_.DeleteSharedContent(number);
  }
  for (auto& [segment, more] : change_.more_names) {
    if (segment != number) continue;
    more = names;
    return;
  }
  change_.more_names.emplace_back(number, names);
}

void ChangeSet::SettleNames(bool shares, const JournalPosition& at) {
  for (const NameCount& count : names_) {
    if (count.names == 0) continue;
    int64_t segments = 0;
    if (options_.rebuilding) {
      // Names come in any order; SetNames() has the last word.
      segments = count.names;
    } else {
      const uint32_t before = MoreNames(count.content.segment);
      int64_t more = before + count.names;
      if (count.names > 0 ? !shares : more < 0) {
        segments = count.names > 0 ? 1 : -1;
        more -= segments;
      }
      const auto after = static_cast<uint32_t>(std::max<int64_t>(more, 0));
      if (after != before) SetMoreNames(count.content.segment, after);
      if (segments > 0 && !count.sha256.empty()) {
        RememberContent(count.content, count.sha256);
      }
    }
    if (segments < 0) DoomDedicated(count.content.segment, at);
    change_.dedicated_segments += segments;
    change_.dedicated_bytes += segments * count.content.content_bytes;
  }
  names_.clear();
}

void ChangeSet::SetNames(const Extent& content, uint32_t names,
                         const std::string& sha256) {
  const uint64_t number = content.segment;
  // By the deletion of a name that was not the last one.
  if (state_->IsDoomed(number)) ForgetDoomed(number);
  if (!sha256.empty()) RememberContent(content, sha256);
  if (names < 2) return;
  const int64_t more = names - 1;
  change_.dedicated_segments -= more;
  change_.dedicated_bytes -= more * content.content_bytes;
  SetMoreNames(number, names - 1);
}

void ChangeSet::SetLog(const LogHead& head) {
  LogHead merged;
  if (!state_->FindLog(head.origin, &merged)) merged = head;
  merged.applied = std::max(merged.applied, head.applied);
  merged.cut = std::max(merged.cut, head.cut);
  merged.unsure = std::max(merged.unsure, head.unsure);
  batch_.PutOrigin(merged);
  change_.heads.push_back(merged);
}

void ChangeSet::MoveLog(uint32_t origin, uint64_t sequence) {
  if (origin == own_log_) {
    change_.last_sequence = std::max(change_.last_sequence, sequence);
    return;
  }
  for (auto& [log, applied] : change_.applied) {
    if (log != origin) continue;
    applied = std::max(applied, sequence);
    return;
  }
  change_.applied.emplace_back(origin, sequence);
}

void ChangeSet::AddToLog(const disk::v1::FileChange& change, uint32_t operation,
                         const FileRecord* record) {
  MoveLog(change.log_origin(), change.log_sequence());
  LogItem item;
  item.origin = change.log_origin();
  item.sequence = change.log_sequence();
  item.operation = operation;
  item.version_clock = change.version_clock();
  item.version_node = change.version_node();
  item.life = change.life();
  if (record != nullptr && record->kind == FileKind::kAppender) {
    // It will be another file by the time somebody asks.
    item.state = FileState{record->version, record->size_bytes, record->crc32c};
  }
  if (change.has_base()) item.base = DecodeState(change.base());
  item.name = change.name();
  const absl::StatusOr<Uuid> request_id = Uuid::FromBytes(change.request_id());
  if (request_id.ok()) {
    item.request_id = *request_id;
    RequestItem request;
    request.log_origin = item.origin;
    request.log_sequence = item.sequence;
    request.unix_minutes = static_cast<uint32_t>(
        UnixMillis(Version{change.version_clock(), change.version_node()}) /
        60000);
    batch_.PutRequest(*request_id, request);
  }
  batch_.PutLog(item);
}

void ChangeSet::SetAside(const disk::v1::FileChange& change) {
  disk::v1::FileChange before;
  if (state_->FindSetAside(change.name(), &before) &&
      Replaces(StandingOfAside(before), StandingOfAside(change))) {
    return;  // One of a name is remembered, and it is the one that counts.
  }
  batch_.PutSetAside(change);
  change_.set_aside.push_back(change);
}

void ChangeSet::EndSetAside(absl::string_view name) {
  batch_.DeleteSetAside(name);
  change_.set_aside_over.emplace_back(name);
}

absl::Status ChangeSet::Apply(const RecordPlace& place,
                              const disk::v1::FileChange& change,
                              absl::Span<const Extent> runs) {
  const bool logged = change.log_sequence() != 0 && !options_.rebuilding &&
                      !change.outside_log() &&
                      (place.header.flags & kRecordMoved) == 0;
  if (place.header.type == RecordType::kPassed) {
    if (change.name().empty()) return absl::DataLossError("passed: no name");
    if (change.set_aside() && !options_.rebuilding) SetAside(change);
    if (change.set_aside_over()) EndSetAside(change.name());
    change_.version_clock =
        std::max(change_.version_clock, change.version_clock());
    if (logged) AddToLog(change, change.operation(), nullptr);
    return absl::OkStatus();
  }
  CAIRN_ASSIGN_OR_RETURN(FileRecord record,
                         FileRecordFromChange(change, place.header, place.at,
                                              place.prefix_bytes, runs));
  if (options_.rebuilding) {
    // Short ids belong to the index that is gone.
    record.log_origin = 0;
    record.log_sequence = 0;
  }
  const absl::string_view name = change.name();
  if (change.set_aside_over()) EndSetAside(name);
  change_.version_clock = std::max(change_.version_clock, record.version.clock);
  if (record.origin_node == options_.node_number) {
    change_.newest_create_unix_seconds = std::max(
        change_.newest_create_unix_seconds, record.create_unix_seconds);
  }
  names_.clear();
  FileRecord before;
  CAIRN_ASSIGN_OR_RETURN(const bool known, FindFile(name, &before));
  const bool wins =
      !known || Replaces(StandingOf(record), StandingOf(before)) ||
      (before.version == record.version && before.deleted == record.deleted &&
       before.record < record.record);
  if (wins && known && !options_.rebuilding) {
    // Before anything is changed: it may give up the segment.
    const Extent* const own = before.OwnSegment();
    const Extent* const stays = record.OwnSegment();
    if (own != nullptr &&
        (stays == nullptr || stays->segment != own->segment)) {
      CAIRN_RETURN_IF_ERROR(LookUpContentOf(own->segment));
    }
  }
  if (wins) {
    // Records of the name may hold pieces of another file, whoever deleted it.
    if (known && before.deleted && record.deleted && record.sealed_as.empty()) {
      record.sealed_as = before.sealed_as;
    }
    // There is nothing to bring back: its content is that of another file.
    if (record.deleted && !record.sealed_as.empty()) record.GiveUpContent(0);
    if (known) Count(before, -1);
    Count(record, 1);
    batch_.PutFile(name, record);
    const bool was_missing = known && before.needs_content();
    const bool is_missing = record.needs_content();
    if (is_missing && !was_missing) batch_.PutMissing(name);
    if (!is_missing && was_missing) batch_.DeleteMissing(name);
    // What was said before stays; whoever looks at it finds that it is stale.
    if (record.deleted && (!known || !before.deleted)) {
      batch_.PutExpiry({DropUnixSeconds(options_, record),
                        ExpiryKey::Kind::kTombstone, std::string(name)});
    }
    if (record.keeps_content() &&
        (!known || before.undelete_until_unix_seconds !=
                       record.undelete_until_unix_seconds)) {
      batch_.PutExpiry({record.undelete_until_unix_seconds,
                        ExpiryKey::Kind::kKept, std::string(name)});
    }
    if (!record.deleted && record.expire_unix_seconds != 0 &&
        (!known || before.deleted ||
         before.expire_unix_seconds != record.expire_unix_seconds)) {
      batch_.PutExpiry({ReclaimUnixSeconds(options_, record),
                        ExpiryKey::Kind::kFile, std::string(name)});
    }
  }
  if (logged) {
    const bool pieces = place.header.type == RecordType::kPieces;
    // What an appender became is a new file.
    const bool changed =
        known ? !before.deleted && (pieces || before.version < record.version)
              : pieces && record.sealed_from.empty();
    AddToLog(change,
             record.deleted ? kLogDelete
             : changed      ? kLogChange
                            : kLogPut,
             &record);
  }
  if (wins) {
    // Later records of the file repeat it.
    if (!record.sealed_from.empty() && (!known || before.sealed_from.empty())) {
      CAIRN_RETURN_IF_ERROR(EndAppender(change.sealed_from(), name, record));
    }
    SettleNames(change.shares_segment(), place.end());
    files_.insert_or_assign(name, std::move(record));
  }
  return absl::OkStatus();
}

absl::Status ChangeSet::EndAppender(absl::string_view name,
                                    absl::string_view sealed_as,
                                    const FileRecord& sealed) {
  FileRecord before;
  CAIRN_ASSIGN_OR_RETURN(const bool known, FindFile(name, &before));
  if (known && before.deleted) {
    if (!before.sealed_as.empty()) return absl::OkStatus();
    // Somebody who had not heard of it deleted the appender.
    FileRecord after = before;
    after.sealed_as = std::string(sealed_as);
    after.GiveUpContent(0);
    Count(before, -1);
    Count(after, 1);
    batch_.PutFile(name, after);
    files_.insert_or_assign(name, std::move(after));
    return absl::OkStatus();
  }
  FileRecord tombstone;
  tombstone.deleted = true;
  tombstone.kind = FileKind::kAppender;
  tombstone.sealed_as = std::string(sealed_as);
  tombstone.size_bytes = sealed.size_bytes;
  tombstone.crc32c = sealed.crc32c;
  tombstone.version = sealed.version;
  tombstone.life = std::max(sealed.life, known ? before.life : 0);
  tombstone.grown_since = sealed.version;
  tombstone.origin_node = sealed.origin_node;
  tombstone.create_unix_seconds =
      known ? before.create_unix_seconds : sealed.create_unix_seconds;
  tombstone.log_origin = sealed.log_origin;
  tombstone.log_sequence = sealed.log_sequence;
  // A rebuild must not find the appender and not what it became: the records of
  // both are waited for.
  tombstone.shadowed_segments = sealed.shadowed_segments;
  if (known) {
    tombstone.shadowed_segments.insert(tombstone.shadowed_segments.end(),
                                       before.shadowed_segments.begin(),
                                       before.shadowed_segments.end());
    tombstone.shadowed_segments.push_back(before.record.segment);
    std::sort(tombstone.shadowed_segments.begin(),
              tombstone.shadowed_segments.end());
    tombstone.shadowed_segments.erase(
        std::unique(tombstone.shadowed_segments.begin(),
                    tombstone.shadowed_segments.end()),
        tombstone.shadowed_segments.end());
    Count(before, -1);
    if (before.content_missing) batch_.DeleteMissing(name);
  }
  Count(tombstone, 1);
  batch_.PutFile(name, tombstone);
  batch_.PutExpiry({DropUnixSeconds(options_, tombstone),
                    ExpiryKey::Kind::kTombstone, std::string(name)});
  files_.insert_or_assign(name, std::move(tombstone));
  return absl::OkStatus();
}

void ChangeSet::DropTombstone(const ExpiryKey& expiry,
                              const FileRecord& record) {
  ForgetRecent(expiry.name);
  batch_.DeleteFile(expiry.name);
  batch_.DeleteExpiry(expiry);
  Count(record, -1);
}

void ChangeSet::PostponeExpiry(const ExpiryKey& expiry, int64_t unix_seconds) {
  batch_.DeleteExpiry(expiry);
  batch_.PutExpiry({unix_seconds, expiry.kind, expiry.name});
}

void ChangeSet::ForgetExpiry(const ExpiryKey& expiry) {
  batch_.DeleteExpiry(expiry);
}

void ChangeSet::LoseContent(absl::string_view name, const FileRecord& record) {
  ForgetRecent(name);
  FileRecord without = record;
  without.content_missing = true;
  without.extents.clear();
  Count(record, -1);
  Count(without, 1);
  SettleNames(/*shares=*/false, record.record);
  batch_.PutFile(name, without);
  if (!record.deleted) batch_.PutMissing(name);
}

void ChangeSet::DoomShared(uint64_t number, const JournalPosition& after) {
  disk::v1::DoomedSegment doomed;
  doomed.set_after_segment(after.segment);
  doomed.set_after_offset(after.offset);
  doomed.set_shared(true);
  batch_.DeleteSegment(number);
  batch_.PutDoomed(number, doomed);
  change_.doomed.emplace_back(number, doomed);
}

void ChangeSet::ForgetDoomed(uint64_t number) {
  batch_.DeleteDoomed(number);
  change_.undoomed.push_back(number);
}

void ChangeSet::KeepRecent() {
  for (auto& [name, record] : files_) {
    ForgetRecent(name);
    if (record.extents.size() < 2 || options_.rebuilding) continue;
    if (recent_extents_ > kRecentExtentsMax) {
      recent_.clear();
      recent_extents_ = 0;
    }
    recent_extents_ += record.extents.size();
    recent_.emplace(std::string(name), std::move(record));
  }
}

void ChangeSet::ForgetRecent(absl::string_view name) {
  const auto it = recent_.find(name);
  if (it == recent_.end()) return;
  recent_extents_ -= it->second.extents.size();
  recent_.erase(it);
}

void ChangeSet::Write() {
  index_->Write(&batch_);
  state_->Apply(change_);
  KeepRecent();
  change_.taken = UseTotals();
  Reset();
}

}  // namespace storage
}  // namespace cairn
