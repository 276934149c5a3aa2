#include "services/storage/sync/sync_wire.h"

#include <string>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "lib/attributes/attributes.h"
#include "lib/base/error_reason.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/base/uuid.h"
#include "lib/checksum/crc32c.h"
#include "lib/checksum/sha256.h"
#include "lib/rpc/wire.h"

namespace cairn {
namespace storage {
namespace {

constexpr uint32_t kEntriesField = 15;
constexpr uint32_t kContentField = 15;
constexpr uint32_t kAttributesField = 30;
constexpr uint32_t kExpireField = 40;
constexpr uint32_t kLifeField = 41;
constexpr uint32_t kUndeleteUntilField = 42;
constexpr uint32_t kSealedAsField = 50;
constexpr uint32_t kSealedFromField = 51;
constexpr uint32_t kCopiedFromField = 72;
constexpr uint32_t kOwnerField = 80;
constexpr uint32_t kSha256Field = 90;
constexpr uint32_t kDeduplicatedField = 91;

// Well above the limit of this version, and below what a record can hold.
constexpr size_t kAttributesTakenMax = 512 << 10;

absl::Status Malformed(absl::string_view what) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                         ErrorReason::kInvalidField,
                         absl::StrCat("a message between members: ", what));
}

void ToProto(const FileState& state, v1::FileState* out) {
  out->set_version_clock(state.version.clock);
  out->set_version_node(state.version.node);
  out->set_size_bytes(static_cast<uint64_t>(state.size_bytes));
  out->set_crc32c(state.crc32c);
}

void AppendEntry(const ReplicatedChange& change, uint32_t snapshot_log,
                 rpc::WireWriter* out) {
  rpc::SmallMessage fields;
  fields.VarintIfSet(1, change.change.sequence);
  fields.Varint(2, change.kind == ChangeKind::kDelete
                       ? v1::CHANGE_OPERATION_DELETE
                       : v1::CHANGE_OPERATION_PUT);
  fields.Bytes(3, change.file.name);
  fields.VarintIfSet(4, change.file.version.clock);
  fields.VarintIfSet(5, change.file.version.node);
  if (!change.request_id.is_nil()) fields.Bytes(6, change.request_id.bytes());
  if (change.passed) {
    fields.Varint(7, 1);
  } else {
    fields.VarintIfSet(8, static_cast<uint64_t>(change.file.size_bytes));
    fields.Fixed32(9, change.file.crc32c);
    fields.VarintIfSet(10, static_cast<uint64_t>(change.file.kind));
    fields.VarintIfSet(11,
                       static_cast<uint64_t>(change.file.create_unix_seconds));
    fields.VarintIfSet(12, change.file.origin_node);
    if (change.kind == ChangeKind::kDelete) {
      fields.VarintIfSet(
          kUndeleteUntilField,
          static_cast<uint64_t>(change.file.undelete_until_unix_seconds));
      fields.BytesIfSet(kSealedAsField, change.file.sealed_as);
    } else {
      fields.VarintIfSet(
          kExpireField, static_cast<uint64_t>(change.file.expire_unix_seconds));
    }
    fields.BytesIfSet(kSealedFromField, change.file.sealed_from);
    fields.BytesIfSet(kCopiedFromField, change.file.copied_from);
    if (change.kind == ChangeKind::kPut) {
      fields.BytesIfSet(kOwnerField, change.file.owner);
    }
    fields.BytesIfSet(kSha256Field, change.file.sha256);
    fields.VarintIfSet(kDeduplicatedField, change.file.deduplicated ? 1 : 0);
  }
  fields.VarintIfSet(13, snapshot_log);
  fields.VarintIfSet(20, change.superseded_by);
  fields.VarintIfSet(22, change.superseded_elsewhere ? 1 : 0);
  if (change.base.has_value()) {
    v1::FileState base;
    ToProto(*change.base, &base);
    fields.Bytes(21, base.SerializeAsString());
  }
  fields.VarintIfSet(kLifeField, change.file.life);
  rpc::SmallMessage attributes;
  const absl::string_view attribute_bytes =
      change.passed || change.kind == ChangeKind::kDelete
          ? ""
          : absl::string_view(change.file.attributes);
  if (!attribute_bytes.empty()) {
    attributes.Header(kAttributesField, attribute_bytes.size());
  }
  rpc::SmallMessage content;
  const bool has_content = change.content.has_value() && !change.passed;
  const size_t content_bytes = has_content ? change.content->size() : 0;
  if (has_content) content.Header(kContentField, content_bytes);
  rpc::SmallMessage head;
  head.Header(kEntriesField, fields.size() + attributes.size() +
                                 attribute_bytes.size() + content.size() +
                                 content_bytes);
  out->Append(head);
  out->Append(fields);
  out->Append(attributes);
  out->Append(attribute_bytes);
  out->Append(content);
  if (content_bytes > 0) out->AppendContent(*change.content);
}

// What is known of names, each with the log of its change.
void AppendStates(const std::vector<ReplicatedChange>& changes,
                  const std::vector<LogRange>& logs, rpc::WireWriter* out) {
  for (const ReplicatedChange& change : changes) {
    uint32_t log = 0;
    for (size_t i = 0; i < logs.size(); ++i) {
      if (logs[i].log == change.change.log) log = static_cast<uint32_t>(i + 1);
    }
    AppendEntry(change, log, out);
  }
}

// A content that is not the file's is left out, and so fetched on its own, from
// any member: one bad file must not hold up the log.
void CheckContent(ReplicatedChange* change) {
  if (!change->content.has_value()) {
    change->base.reset();
    return;
  }
  const FileState base = change->base.value_or(FileState());
  const auto bytes = static_cast<int64_t>(change->content->size());
  if (bytes == change->file.size_bytes - base.size_bytes &&
      CombineCrc32c(base.crc32c, Crc32c(*change->content),
                    static_cast<uint64_t>(bytes)) == change->file.crc32c) {
    return;
  }
  CAIRN_LOG(kWarning, "replication",
            "content of a change is not the file's, it is fetched again "
            "change={} bytes={}",
            change->change.sequence, change->content->size());
  change->content.reset();
  change->base.reset();
}

// Reads the entry that the reader stands before. `log` gets the number of its
// log in a snapshot.
absl::Status ReadEntry(rpc::WireReader* reader, ReplicatedChange* change,
                       uint32_t* log) {
  const size_t outer = reader->Enter();
  uint64_t operation = 0;
  uint64_t kind = 0;
  std::string scratch;
  *log = 0;
  while (reader->Next()) {
    switch (reader->field()) {
      case 1:
        change->change.sequence = reader->ReadVarint();
        break;
      case 2:
        operation = reader->ReadVarint();
        break;
      case 3:
        change->file.name = std::string(reader->ReadBytes(&scratch));
        break;
      case 4:
        change->file.version.clock = reader->ReadVarint();
        break;
      case 5:
        change->file.version.node = reader->ReadUint32();
        break;
      case 6: {
        const absl::StatusOr<Uuid> id =
            Uuid::FromBytes(reader->ReadBytes(&scratch));
        if (!id.ok()) return Malformed("request_id");
        change->request_id = *id;
        break;
      }
      case 7:
        change->passed = reader->ReadVarint() != 0;
        break;
      case 8:
        change->file.size_bytes = reader->ReadInt64();
        break;
      case 9:
        change->file.crc32c = reader->ReadFixed32();
        break;
      case 10:
        kind = reader->ReadVarint();
        break;
      case 11:
        change->file.create_unix_seconds = reader->ReadInt64();
        break;
      case 12:
        change->file.origin_node = reader->ReadUint32();
        break;
      case 13:
        *log = reader->ReadUint32();
        break;
      case 20:
        change->superseded_by = reader->ReadVarint();
        break;
      case 22:
        change->superseded_elsewhere = reader->ReadVarint() != 0;
        break;
      case 21: {
        v1::FileState state;
        reader->ReadMessage(&state);
        if (!reader->ok()) return Malformed("base");
        change->base =
            FileState{Version{state.version_clock(), state.version_node()},
                      static_cast<int64_t>(state.size_bytes()), state.crc32c()};
        if (change->base->size_bytes < 0) return Malformed("base");
        break;
      }
      case kContentField:
        change->content = reader->ReadCord();
        break;
      case kAttributesField: {
        // Their limits may differ between versions of the program; the layout
        // does not.
        const absl::StatusOr<Attributes> attributes =
            DecodeAttributes(reader->ReadBytes(&scratch));
        if (!attributes.ok()) return Malformed("attributes");
        change->file.attributes = EncodeAttributes(*attributes);
        break;
      }
      case kExpireField:
        change->file.expire_unix_seconds = reader->ReadInt64();
        break;
      case kLifeField:
        change->file.life = reader->ReadUint32();
        break;
      case kUndeleteUntilField:
        change->file.undelete_until_unix_seconds = reader->ReadInt64();
        break;
      case kSealedAsField:
        change->file.sealed_as = std::string(reader->ReadBytes(&scratch));
        break;
      case kSealedFromField:
        change->file.sealed_from = std::string(reader->ReadBytes(&scratch));
        break;
      case kCopiedFromField:
        change->file.copied_from = std::string(reader->ReadBytes(&scratch));
        break;
      case kOwnerField:
        change->file.owner = std::string(reader->ReadBytes(&scratch));
        break;
      case kSha256Field:
        change->file.sha256 = std::string(reader->ReadBytes(&scratch));
        break;
      case kDeduplicatedField:
        change->file.deduplicated = reader->ReadVarint() != 0;
        break;
      default:
        reader->Skip();
    }
  }
  if (!reader->ok()) return Malformed("not a message");
  reader->Leave(outer);
  if (change->file.attributes.size() > kAttributesTakenMax) {
    return Malformed("attributes");
  }
  if (!change->file.sha256.empty() &&
      change->file.sha256.size() != kSha256Bytes) {
    return Malformed("sha256");
  }
  if (change->file.name.empty()) return Malformed("name");
  if (change->file.owner.size() > kOwnerBytesMax) return Malformed("owner");
  if (change->file.size_bytes < 0) return Malformed("size_bytes");
  if (change->file.expire_unix_seconds < 0 ||
      change->file.expire_unix_seconds > kExpireUnixSecondsMax) {
    return Malformed("expire_unix_seconds");
  }
  if (change->file.undelete_until_unix_seconds < 0 ||
      change->file.undelete_until_unix_seconds > kExpireUnixSecondsMax) {
    return Malformed("undelete_until_unix_seconds");
  }
  if (operation != v1::CHANGE_OPERATION_PUT &&
      operation != v1::CHANGE_OPERATION_DELETE) {
    return Malformed("operation");
  }
  change->kind = operation == v1::CHANGE_OPERATION_DELETE ? ChangeKind::kDelete
                                                          : ChangeKind::kPut;
  if (!change->passed) {
    if (kind < 1 || kind > 3) return Malformed("kind");
    change->file.kind = static_cast<FileKind>(kind);
  }
  CheckContent(change);
  return absl::OkStatus();
}

// An entry that is a state, and the number of its log, for SetLogs().
absl::Status ReadState(rpc::WireReader* reader,
                       std::vector<ReplicatedChange>* changes,
                       std::vector<uint32_t>* log_of) {
  ReplicatedChange change;
  uint32_t log = 0;
  CAIRN_RETURN_IF_ERROR(ReadEntry(reader, &change, &log));
  change.mode = ReplicatedChange::Mode::kSnapshot;
  log_of->push_back(log);
  changes->push_back(std::move(change));
  return absl::OkStatus();
}

// `log_of[i]` is the number of the log of `(*changes)[i]`; 0: it has none.
absl::Status SetLogs(const std::vector<uint32_t>& log_of,
                     const std::vector<LogRange>& logs,
                     std::vector<ReplicatedChange>* changes) {
  for (size_t i = 0; i < log_of.size(); ++i) {
    if (log_of[i] > logs.size()) return Malformed("snapshot_log");
    LogPosition& change = (*changes)[i].change;
    if (log_of[i] == 0) {
      change = LogPosition();
    } else {
      change.log = logs[log_of[i] - 1].log;
    }
  }
  return absl::OkStatus();
}

absl::Status AddLog(rpc::WireReader* reader, std::vector<LogRange>* logs) {
  v1::LogRange message;
  reader->ReadMessage(&message);
  if (!reader->ok()) return Malformed("logs");
  CAIRN_ASSIGN_OR_RETURN(const LogRange range, FromProto(message));
  logs->push_back(range);
  return absl::OkStatus();
}

}  // namespace

void ToProto(const LogId& id, v1::LogId* out) {
  out->set_incarnation(id.incarnation.ToString());
  out->set_epoch(id.epoch);
}

void ToProto(const LogRange& range, v1::LogRange* out) {
  ToProto(range.log, out->mutable_log());
  out->set_cut_sequence(range.cut);
  out->set_applied_sequence(range.applied);
  out->set_synced_sequence(range.synced);
  out->set_own(range.own);
  out->set_unsure_sequence(range.unsure);
}

absl::StatusOr<LogId> FromProto(const v1::LogId& id) {
  LogId out;
  const absl::StatusOr<Uuid> incarnation = Uuid::Parse(id.incarnation());
  if (!incarnation.ok()) return Malformed("incarnation");
  out.incarnation = *incarnation;
  out.epoch = id.epoch();
  return out;
}

absl::StatusOr<LogRange> FromProto(const v1::LogRange& range) {
  LogRange out;
  CAIRN_ASSIGN_OR_RETURN(out.log, FromProto(range.log()));
  out.cut = range.cut_sequence();
  out.applied = range.applied_sequence();
  out.synced = range.synced_sequence();
  out.own = range.own();
  out.unsure = range.unsure_sequence();
  return out;
}

grpc::ByteBuffer MakeSyncResponse(const SyncBatch& batch) {
  v1::SyncResponse head;
  ToProto(batch.log, head.mutable_log());
  for (const LogRange& range : batch.logs) ToProto(range, head.add_logs());
  head.set_ack_wanted(batch.ack_wanted);
  head.set_sync_wanted(batch.sync_wanted);
  if (batch.sent.has_value()) {
    head.set_sent_unix_ms(absl::ToUnixMillis(*batch.sent));
  }
  rpc::WireWriter out;
  out.Append(head.SerializeAsString());
  for (const ReplicatedChange& change : batch.changes) {
    AppendEntry(change, 0, &out);
  }
  return out.Finish();
}

grpc::ByteBuffer MakeSnapshotResponse(const SnapshotBatch& batch,
                                      const std::vector<LogRange>& logs) {
  v1::SnapshotResponse head;
  for (const LogRange& range : batch.logs) ToProto(range, head.add_logs());
  head.set_next(batch.next);
  head.set_end(batch.end);
  head.set_files_total(batch.files_total);
  rpc::WireWriter out;
  out.Append(head.SerializeAsString());
  AppendStates(batch.changes, logs, &out);
  return out.Finish();
}

grpc::ByteBuffer MakeDigestResponse(const DigestBatch& batch,
                                    const std::vector<LogRange>& logs) {
  v1::DigestResponse head;
  for (const LogRange& range : batch.logs) ToProto(range, head.add_logs());
  for (const DigestRange& range : batch.ranges) {
    v1::RangeDigest* const to = head.add_ranges();
    to->set_until(range.until);
    to->set_names(static_cast<uint32_t>(range.names));
    to->set_digest(range.digest);
  }
  head.set_next(batch.next);
  head.set_end(batch.end);
  rpc::WireWriter out;
  out.Append(head.SerializeAsString());
  AppendStates(batch.changes, logs, &out);
  return out.Finish();
}

absl::Status ParseSyncResponse(const grpc::ByteBuffer& buffer,
                               SyncBatch* batch) {
  rpc::WireReader reader(buffer);
  while (reader.Next()) {
    switch (reader.field()) {
      case 1: {
        v1::LogId log;
        reader.ReadMessage(&log);
        if (!reader.ok()) return Malformed("log");
        CAIRN_ASSIGN_OR_RETURN(batch->log, FromProto(log));
        break;
      }
      case 2:
        CAIRN_RETURN_IF_ERROR(AddLog(&reader, &batch->logs));
        break;
      case 3:
        batch->ack_wanted = reader.ReadVarint() != 0;
        break;
      case 4:
        batch->sync_wanted = reader.ReadVarint() != 0;
        break;
      case 5:
        batch->sent = absl::FromUnixMillis(reader.ReadInt64());
        break;
      case kEntriesField: {
        ReplicatedChange change;
        uint32_t log;
        CAIRN_RETURN_IF_ERROR(ReadEntry(&reader, &change, &log));
        change.mode = ReplicatedChange::Mode::kNext;
        if (change.change.sequence == 0) return Malformed("sequence");
        batch->changes.push_back(std::move(change));
        break;
      }
      default:
        reader.Skip();
    }
  }
  if (!reader.ok()) return Malformed("not a message");
  if (batch->log.is_nil()) return Malformed("no log");
  for (ReplicatedChange& change : batch->changes) {
    change.change.log = batch->log;
  }
  return absl::OkStatus();
}

absl::Status ParseSnapshotResponse(const grpc::ByteBuffer& buffer,
                                   std::vector<LogRange>* logs,
                                   SnapshotBatch* batch) {
  rpc::WireReader reader(buffer);
  std::vector<uint32_t> log_of;
  while (reader.Next()) {
    switch (reader.field()) {
      case 1:
        CAIRN_RETURN_IF_ERROR(AddLog(&reader, &batch->logs));
        break;
      case 2: {
        std::string scratch;
        batch->next = std::string(reader.ReadBytes(&scratch));
        break;
      }
      case 3:
        batch->end = reader.ReadVarint() != 0;
        break;
      case 4:
        batch->files_total = reader.ReadVarint();
        break;
      case kEntriesField:
        CAIRN_RETURN_IF_ERROR(ReadState(&reader, &batch->changes, &log_of));
        break;
      default:
        reader.Skip();
    }
  }
  if (!reader.ok()) return Malformed("not a message");
  if (!batch->logs.empty()) *logs = batch->logs;
  return SetLogs(log_of, *logs, &batch->changes);
}

absl::Status ParseDigestResponse(const grpc::ByteBuffer& buffer,
                                 std::vector<LogRange>* logs,
                                 DigestBatch* batch) {
  rpc::WireReader reader(buffer);
  std::vector<uint32_t> log_of;
  while (reader.Next()) {
    switch (reader.field()) {
      case 1:
        CAIRN_RETURN_IF_ERROR(AddLog(&reader, &batch->logs));
        break;
      case 2: {
        v1::RangeDigest range;
        reader.ReadMessage(&range);
        if (!reader.ok()) return Malformed("ranges");
        batch->ranges.push_back({range.until(), range.names(), range.digest()});
        break;
      }
      case 3: {
        std::string scratch;
        batch->next = std::string(reader.ReadBytes(&scratch));
        break;
      }
      case 4:
        batch->end = reader.ReadVarint() != 0;
        break;
      case kEntriesField: {
        CAIRN_RETURN_IF_ERROR(ReadState(&reader, &batch->changes, &log_of));
        const ReplicatedChange& change = batch->changes.back();
        // There is nothing to compare in these.
        if (change.passed || change.content.has_value()) {
          return Malformed("an entry of a digest");
        }
        break;
      }
      default:
        reader.Skip();
    }
  }
  if (!reader.ok()) return Malformed("not a message");
  if (!batch->logs.empty()) *logs = batch->logs;
  return SetLogs(log_of, *logs, &batch->changes);
}

}  // namespace storage
}  // namespace cairn
