#include "services/storage/store/file_record.h"

#include <algorithm>
#include <utility>

#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/checksum/sha256.h"

namespace cairn {
namespace storage {
namespace {

absl::Status Damaged(absl::string_view what) {
  return ErrorWithReason(absl::StatusCode::kDataLoss,
                         ErrorReason::kContentDamaged, what);
}

absl::StatusOr<FileKind> DecodeKind(uint32_t kind) {
  switch (kind) {
    case 0:
      return FileKind::kNormal;
    case static_cast<uint32_t>(FileKind::kAppender):
      return FileKind::kAppender;
    case static_cast<uint32_t>(FileKind::kDerived):
      return FileKind::kDerived;
    default:
      return Damaged("file record: kind");
  }
}

absl::StatusOr<int64_t> DecodeSeconds(int64_t unix_seconds) {
  if (unix_seconds < 0 || unix_seconds > kExpireUnixSecondsMax) {
    return Damaged("file record: time");
  }
  return unix_seconds;
}

absl::Status CheckHash(const std::string& sha256) {
  return sha256.empty() || sha256.size() == kSha256Bytes
             ? absl::OkStatus()
             : Damaged("file record: SHA-256");
}

OwnContent OwnContentOf(const FileRecord& record) {
  return OwnContent{record.record, record.record_prefix_bytes,
                    record.record_content_bytes};
}

// What earlier versions wrote.
absl::Status DecodeExtents(
    const google::protobuf::RepeatedPtrField<disk::v1::Extent>& from,
    FileRecord* record) {
  const OwnContent own = OwnContentOf(*record);
  for (const disk::v1::Extent& encoded : from) {
    if (encoded.offset() > static_cast<uint64_t>(kFileBytesMax)) {
      return Damaged("file record: extent");
    }
    Extent extent;
    if (encoded.own()) {
      extent =
          ExtentOf(own, static_cast<int64_t>(encoded.offset()),
                   static_cast<int64_t>(encoded.length()), encoded.crc32c());
    } else {
      extent.segment = encoded.segment();
      extent.offset = static_cast<int64_t>(encoded.offset());
      extent.length = static_cast<int64_t>(encoded.length());
      extent.crc32c = encoded.crc32c();
      extent.record_offset = static_cast<int64_t>(encoded.record_offset());
      const bool whole = encoded.content_bytes() == 0;
      extent.content_offset =
          whole ? extent.offset
                : static_cast<int64_t>(encoded.content_offset());
      extent.content_bytes =
          whole ? extent.length : static_cast<int64_t>(encoded.content_bytes());
    }
    if (extent.is_hole()) {
      // There is no content that zeros are from.
      extent.offset = 0;
      extent.content_offset = 0;
      extent.content_bytes = extent.length;
    }
    if (!IsSound(extent)) return Damaged("file record: extent");
    record->extents.push_back(extent);
  }
  return absl::OkStatus();
}

// The extents must be the file, or readers would run past them.
absl::Status CheckSum(const FileRecord& record) {
  int64_t left = record.size_bytes;
  for (const Extent& extent : record.extents) {
    if (extent.length > left) return Damaged("file record: sum of extents");
    left -= extent.length;
  }
  return left == 0 ? absl::OkStatus() : Damaged("file record: sum of extents");
}

// Of a FileChange or a FileEntry.
template <typename Message>
absl::Status DecodeContent(const Message& message, FileRecord* record) {
  CAIRN_RETURN_IF_ERROR(message.runs().empty()
                            ? DecodeExtents(message.extents(), record)
                            : DecodeRuns(message.runs(), OwnContentOf(*record),
                                         &record->extents));
  return CheckSum(*record);
}

absl::Status TakeRuns(absl::Span<const Extent> runs, FileRecord* record) {
  const OwnContent own = OwnContentOf(*record);
  record->extents.reserve(runs.size());
  for (const Extent& run : runs) {
    record->extents.push_back(
        run.record_offset == kOwnRecord
            ? ExtentOf(own, run.offset, run.length, run.crc32c)
            : run);
  }
  return CheckSum(*record);
}

void AddInlineExtent(FileRecord* record) {
  record->content_inline = true;
  record->record_content_bytes = record->size_bytes;
  if (record->size_bytes == 0) return;
  record->extents.push_back(
      ExtentOf(OwnContentOf(*record), 0, record->size_bytes, record->crc32c));
}

}  // namespace

bool FileRecord::NeedsRecord(const JournalPosition& at) const {
  if (record == at) return true;
  for (const Extent& extent : extents) {
    if (extent.segment == at.segment && extent.record_offset == at.offset) {
      return true;
    }
  }
  return false;
}

absl::InlinedVector<Extent, 1> FileRecord::Holders() const {
  absl::InlinedVector<Extent, 1> holders;
  if (content_inline) return holders;
  holders.reserve(extents.size());
  // Two runs may be of one content only if neither is all of it.
  absl::InlinedVector<std::pair<uint64_t, int64_t>, 4> parted;
  for (const Extent& extent : extents) {
    if (extent.is_hole() ||
        (extent.in_record() &&
         record == JournalPosition{extent.segment, extent.record_offset})) {
      continue;
    }
    if (!extent.is_whole()) {
      const std::pair<uint64_t, int64_t> holder(extent.segment,
                                                extent.record_offset);
      if (std::find(parted.begin(), parted.end(), holder) != parted.end()) {
        continue;
      }
      parted.push_back(holder);
    }
    holders.push_back(extent);
  }
  return holders;
}

void FileRecord::GiveUpContent(int64_t undelete_until) {
  undelete_until_unix_seconds = undelete_until;
  content_missing = undelete_until != 0;
  content_inline = false;
  extents.clear();
  sha256.clear();
  deduplicated = false;
  attributes.clear();
  expire_unix_seconds = 0;
  owner.clear();
}

const Extent* FileRecord::OwnSegment() const {
  if (content_missing || extents.size() != 1) return nullptr;
  const Extent& extent = extents.front();
  const bool all = !extent.in_record() && !extent.is_hole() &&
                   extent.is_whole() && extent.length == size_bytes;
  return all ? &extent : nullptr;
}

FileInfo FileRecord::ToFileInfo(absl::string_view name) const {
  FileInfo info;
  FillFileInfo(name, &info);
  return info;
}

void FileRecord::FillFileInfo(absl::string_view name, FileInfo* info) const {
  info->name.assign(name.data(), name.size());
  info->size_bytes = size_bytes;
  info->crc32c = crc32c;
  info->kind = kind;
  info->create_unix_seconds = create_unix_seconds;
  info->version = version;
  info->origin_node = origin_node;
  info->life = life;
  info->expire_unix_seconds = expire_unix_seconds;
  info->attributes = attributes;
  info->grown_since = grown_since;
  info->sealed_from = sealed_from;
  info->sealed_as = sealed_as;
  info->undelete_until_unix_seconds = undelete_until_unix_seconds;
  info->copied_from = copied_from;
  info->owner = owner;
  info->sha256 = sha256;
  info->deduplicated = deduplicated;
}

absl::StatusOr<FileRecord> FileRecordFromChange(
    const disk::v1::FileChange& change, const RecordHeader& header,
    const JournalPosition& at, int64_t prefix_bytes,
    absl::Span<const Extent> runs) {
  if (change.name().empty()) return Damaged("file record: no name");
  FileRecord record;
  CAIRN_ASSIGN_OR_RETURN(record.kind, DecodeKind(change.kind()));
  record.create_unix_seconds = change.create_unix_seconds();
  record.version = Version{change.version_clock(), change.version_node()};
  record.origin_node =
      change.origin_node() != 0 ? change.origin_node() : change.version_node();
  record.grown_since = record.version;
  if (change.grown_since_clock() != 0) {
    record.grown_since =
        Version{change.grown_since_clock(), change.grown_since_node()};
  }
  record.life = change.life();
  record.record = at;
  record.record_prefix_bytes = prefix_bytes;
  record.shadowed_segments.assign(change.shadowed_segments().begin(),
                                  change.shadowed_segments().end());
  record.log_origin = change.log_origin();
  record.log_sequence = change.log_sequence();
  record.sealed_from = change.sealed_from();
  record.sealed_as = change.sealed_as();
  record.copied_from = change.copied_from();
  if (header.type != RecordType::kDelete) {
    record.attributes = change.attributes();
    record.owner = change.owner();
    record.sha256 = change.sha256();
    record.deduplicated = change.deduplicated();
    CAIRN_RETURN_IF_ERROR(CheckHash(record.sha256));
    CAIRN_ASSIGN_OR_RETURN(record.expire_unix_seconds,
                           DecodeSeconds(change.expire_unix_seconds()));
  }
  if (header.type == RecordType::kPut) {
    record.size_bytes = header.content_bytes;
    record.crc32c = header.content_crc;
    AddInlineExtent(&record);
    return record;
  }
  if (header.content_bytes != 0 && header.type != RecordType::kPieces) {
    return Damaged("file record: has content");
  }
  record.record_content_bytes = header.content_bytes;
  record.size_bytes = static_cast<int64_t>(change.size_bytes());
  record.crc32c = change.crc32c();
  if (record.size_bytes < 0 || record.size_bytes > kFileBytesMax) {
    return Damaged("file record: size");
  }
  if (header.type == RecordType::kDelete ||
      header.type == RecordType::kPieces) {
    CAIRN_ASSIGN_OR_RETURN(record.undelete_until_unix_seconds,
                           DecodeSeconds(change.undelete_until_unix_seconds()));
  }
  record.deleted = header.type == RecordType::kDelete ||
                   record.undelete_until_unix_seconds != 0;
  if (header.type == RecordType::kDelete) {
    record.content_missing = record.undelete_until_unix_seconds != 0;
    return record;
  }
  if (change.content_missing()) {
    record.content_missing = true;
    return record;
  }
  CAIRN_RETURN_IF_ERROR(runs.empty() ? DecodeContent(change, &record)
                                     : TakeRuns(runs, &record));
  return record;
}

void EncodeState(const FileState& state, disk::v1::FileState* to) {
  to->set_version_clock(state.version.clock);
  to->set_version_node(state.version.node);
  to->set_size_bytes(static_cast<uint64_t>(state.size_bytes));
  to->set_crc32c(state.crc32c);
}

FileState DecodeState(const disk::v1::FileState& state) {
  return FileState{Version{state.version_clock(), state.version_node()},
                   static_cast<int64_t>(state.size_bytes()), state.crc32c()};
}

void SetContentMissing(disk::v1::FileChange* change) {
  change->clear_extents();
  change->clear_runs();
  change->set_content_missing(true);
}

void FillPieces(const FileRecord& record, disk::v1::FileChange* change) {
  change->set_version_clock(record.version.clock);
  change->set_version_node(record.version.node);
  if (record.origin_node != record.version.node) {
    change->set_origin_node(record.origin_node);
  }
  if (record.kind != FileKind::kNormal) {
    change->set_kind(static_cast<uint32_t>(record.kind));
  }
  change->set_create_unix_seconds(record.create_unix_seconds);
  change->set_log_origin(record.log_origin);
  change->set_log_sequence(record.log_sequence);
  change->set_size_bytes(record.size_bytes);
  change->set_crc32c(record.crc32c);
  change->set_life(record.life);
  change->set_expire_unix_seconds(record.expire_unix_seconds);
  change->set_attributes(record.attributes);
  change->set_sealed_from(record.sealed_from);
  change->set_undelete_until_unix_seconds(record.undelete_until_unix_seconds);
  change->set_copied_from(record.copied_from);
  change->set_owner(record.owner);
  change->set_sha256(record.sha256);
  change->set_deduplicated(record.deduplicated);
  if (!(record.grown_since == record.version)) {
    change->set_grown_since_clock(record.grown_since.clock);
    change->set_grown_since_node(record.grown_since.node);
  }
  change->set_content_missing(record.content_missing);
  change->clear_extents();
  if (record.content_missing) {
    change->clear_runs();
  } else {
    EncodeRuns(record.extents, change->mutable_runs());
  }
}

void EncodeFileEntry(const FileRecord& record, disk::v1::FileEntry* entry) {
  entry->Clear();
  entry->set_size_bytes(record.size_bytes);
  entry->set_crc32c(record.crc32c);
  entry->set_version_clock(record.version.clock);
  entry->set_version_node(record.version.node);
  if (record.origin_node != record.version.node) {
    entry->set_origin_node(record.origin_node);
  }
  if (record.kind != FileKind::kNormal) {
    entry->set_kind(static_cast<uint32_t>(record.kind));
  }
  entry->set_create_unix_seconds(record.create_unix_seconds);
  if (!(record.grown_since == record.version)) {
    entry->set_grown_since_clock(record.grown_since.clock);
    entry->set_grown_since_node(record.grown_since.node);
  }
  entry->set_record_segment(record.record.segment);
  entry->set_record_offset(record.record.offset);
  entry->set_record_prefix_bytes(record.record_prefix_bytes);
  entry->set_deleted(record.deleted);
  entry->set_content_missing(record.content_missing);
  entry->set_log_origin(record.log_origin);
  entry->set_log_sequence(record.log_sequence);
  entry->set_life(record.life);
  entry->set_expire_unix_seconds(record.expire_unix_seconds);
  entry->set_attributes(record.attributes);
  entry->set_sealed_from(record.sealed_from);
  entry->set_sealed_as(record.sealed_as);
  entry->set_undelete_until_unix_seconds(record.undelete_until_unix_seconds);
  entry->set_copied_from(record.copied_from);
  entry->set_owner(record.owner);
  entry->set_sha256(record.sha256);
  entry->set_deduplicated(record.deduplicated);
  for (const uint64_t segment : record.shadowed_segments) {
    entry->add_shadowed_segments(segment);
  }
  if (record.content_inline) return;
  entry->set_record_content_bytes(record.record_content_bytes);
  EncodeRuns(record.extents, entry->mutable_runs());
}

absl::StatusOr<FileRecord> DecodeFileEntry(const disk::v1::FileEntry& entry) {
  FileRecord record;
  CAIRN_ASSIGN_OR_RETURN(record.kind, DecodeKind(entry.kind()));
  record.size_bytes = static_cast<int64_t>(entry.size_bytes());
  if (record.size_bytes < 0 || record.size_bytes > kFileBytesMax) {
    return Damaged("file record: size");
  }
  record.crc32c = entry.crc32c();
  record.create_unix_seconds = entry.create_unix_seconds();
  record.version = Version{entry.version_clock(), entry.version_node()};
  record.origin_node =
      entry.origin_node() != 0 ? entry.origin_node() : entry.version_node();
  record.grown_since = record.version;
  if (entry.grown_since_clock() != 0) {
    record.grown_since =
        Version{entry.grown_since_clock(), entry.grown_since_node()};
  }
  record.deleted = entry.deleted();
  record.shadowed_segments.assign(entry.shadowed_segments().begin(),
                                  entry.shadowed_segments().end());
  record.record = JournalPosition{entry.record_segment(),
                                  static_cast<int64_t>(entry.record_offset())};
  if (record.record.offset < 0 || record.record.offset > kFileBytesMax) {
    return Damaged("file record: place");
  }
  record.record_prefix_bytes = entry.record_prefix_bytes();
  record.content_missing = entry.content_missing();
  record.log_origin = entry.log_origin();
  record.log_sequence = entry.log_sequence();
  record.life = entry.life();
  CAIRN_ASSIGN_OR_RETURN(record.expire_unix_seconds,
                         DecodeSeconds(entry.expire_unix_seconds()));
  record.attributes = entry.attributes();
  record.sealed_from = entry.sealed_from();
  record.sealed_as = entry.sealed_as();
  record.copied_from = entry.copied_from();
  record.owner = entry.owner();
  record.sha256 = entry.sha256();
  record.deduplicated = entry.deduplicated();
  CAIRN_RETURN_IF_ERROR(CheckHash(record.sha256));
  record.record_content_bytes = entry.record_content_bytes();
  CAIRN_ASSIGN_OR_RETURN(record.undelete_until_unix_seconds,
                         DecodeSeconds(entry.undelete_until_unix_seconds()));
  if (!record.has_content()) return record;
  if (entry.runs().empty() && entry.extents_size() == 0 &&
      record.record_content_bytes == 0) {
    AddInlineExtent(&record);
    return record;
  }
  CAIRN_RETURN_IF_ERROR(DecodeContent(entry, &record));
  return record;
}

disk::v1::FileChange DecodeSetAside(absl::string_view name,
                                    const disk::v1::SetAsideEntry& entry) {
  disk::v1::FileChange change;
  if (entry.has_change()) {
    change = entry.change();
  } else {
    change.set_set_aside(true);
    change.set_log_origin(entry.log_origin());
    change.set_log_sequence(entry.log_sequence());
    change.set_operation(entry.operation());
    change.set_version_clock(entry.version_clock());
    change.set_version_node(entry.version_node());
    change.set_origin_node(entry.origin_node());
    change.set_kind(entry.kind());
    change.set_create_unix_seconds(entry.create_unix_seconds());
    change.set_size_bytes(entry.size_bytes());
    change.set_crc32c(entry.crc32c());
    change.set_attributes(entry.attributes());
    change.set_life(entry.life());
    change.set_expire_unix_seconds(entry.expire_unix_seconds());
    change.set_undelete_until_unix_seconds(entry.undelete_until_unix_seconds());
    change.set_owner(entry.owner());
    change.set_sha256(entry.sha256());
    change.set_deduplicated(entry.deduplicated());
  }
  change.set_name(name.data(), name.size());
  return change;
}

absl::StatusOr<FileRecord> ParseFileEntry(absl::string_view value) {
  // Kept per thread: parsing into a used message allocates nothing.
  thread_local disk::v1::FileEntry entry;
  if (!entry.ParseFromArray(value.data(), static_cast<int>(value.size()))) {
    return Damaged("file record: not parseable");
  }
  return DecodeFileEntry(entry);
}

}  // namespace storage
}  // namespace cairn
