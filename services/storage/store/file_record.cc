#include "services/storage/store/file_record.h"

#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"

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

// The sum of the extents must be the file, or readers would run past them.
absl::Status DecodeExtents(
    const google::protobuf::RepeatedPtrField<disk::v1::Extent>& from,
    int64_t size_bytes, absl::InlinedVector<Extent, 1>* extents) {
  int64_t sum = 0;
  for (const disk::v1::Extent& extent : from) {
    const int64_t length = static_cast<int64_t>(extent.length());
    const int64_t offset = static_cast<int64_t>(extent.offset());
    if (length <= 0 || offset < 0 || length > kFileBytesMax - sum ||
        offset > kFileBytesMax) {
      return Damaged("file record: extent");
    }
    sum += length;
    extents->push_back(
        Extent{extent.segment(), offset, length, extent.crc32c()});
  }
  if (sum != size_bytes) return Damaged("file record: sum of extents");
  return absl::OkStatus();
}

void AddInlineExtent(FileRecord* record) {
  record->content_inline = true;
  if (record->size_bytes == 0) return;
  record->extents.push_back(
      Extent{record->record.segment,
             record->record.offset + record->record_prefix_bytes,
             record->size_bytes, record->crc32c});
}

}  // namespace

FileInfo FileRecord::ToFileInfo(absl::string_view name) const {
  FileInfo info;
  info.name = std::string(name);
  info.size_bytes = size_bytes;
  info.crc32c = crc32c;
  info.kind = kind;
  info.create_unix_seconds = create_unix_seconds;
  info.version = version;
  info.origin_node = origin_node;
  info.attributes = attributes;
  return info;
}

absl::StatusOr<FileRecord> FileRecordFromChange(
    const disk::v1::FileChange& change, const RecordHeader& header,
    const JournalPosition& at, int64_t prefix_bytes) {
  if (change.name().empty()) return Damaged("file record: no name");
  FileRecord record;
  CAIRN_ASSIGN_OR_RETURN(record.kind, DecodeKind(change.kind()));
  record.create_unix_seconds = change.create_unix_seconds();
  record.version = Version{change.version_clock(), change.version_node()};
  record.origin_node =
      change.origin_node() != 0 ? change.origin_node() : change.version_node();
  record.record = at;
  record.record_prefix_bytes = prefix_bytes;
  record.shadowed_segments.assign(change.shadowed_segments().begin(),
                                  change.shadowed_segments().end());
  record.log_origin = change.log_origin();
  record.log_sequence = change.log_sequence();
  if (header.type != RecordType::kDelete) {
    record.attributes = change.attributes();
  }
  if (header.type == RecordType::kPut) {
    record.size_bytes = header.content_bytes;
    record.crc32c = header.content_crc;
    AddInlineExtent(&record);
    return record;
  }
  if (header.content_bytes != 0) return Damaged("file record: has content");
  record.size_bytes = static_cast<int64_t>(change.size_bytes());
  record.crc32c = change.crc32c();
  if (record.size_bytes < 0 || record.size_bytes > kFileBytesMax) {
    return Damaged("file record: size");
  }
  if (header.type == RecordType::kDelete) {
    record.deleted = true;
    return record;
  }
  if (change.content_missing()) {
    record.content_missing = true;
    return record;
  }
  CAIRN_RETURN_IF_ERROR(
      DecodeExtents(change.extents(), record.size_bytes, &record.extents));
  return record;
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
  entry->set_record_segment(record.record.segment);
  entry->set_record_offset(record.record.offset);
  entry->set_record_prefix_bytes(record.record_prefix_bytes);
  entry->set_deleted(record.deleted);
  entry->set_content_missing(record.content_missing);
  entry->set_log_origin(record.log_origin);
  entry->set_log_sequence(record.log_sequence);
  entry->set_attributes(record.attributes);
  for (const uint64_t segment : record.shadowed_segments) {
    entry->add_shadowed_segments(segment);
  }
  if (record.content_inline) return;
  for (const Extent& extent : record.extents) {
    disk::v1::Extent* to = entry->add_extents();
    to->set_segment(extent.segment);
    to->set_offset(extent.offset);
    to->set_length(extent.length);
    to->set_crc32c(extent.crc32c);
  }
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
  record.deleted = entry.deleted();
  record.shadowed_segments.assign(entry.shadowed_segments().begin(),
                                  entry.shadowed_segments().end());
  record.record = JournalPosition{entry.record_segment(),
                                  static_cast<int64_t>(entry.record_offset())};
  record.record_prefix_bytes = entry.record_prefix_bytes();
  record.content_missing = entry.content_missing();
  record.log_origin = entry.log_origin();
  record.log_sequence = entry.log_sequence();
  record.attributes = entry.attributes();
  if (record.deleted || record.content_missing) return record;
  if (entry.extents_size() == 0) {
    AddInlineExtent(&record);
    return record;
  }
  CAIRN_RETURN_IF_ERROR(
      DecodeExtents(entry.extents(), record.size_bytes, &record.extents));
  return record;
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
