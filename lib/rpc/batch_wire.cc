#include "lib/rpc/batch_wire.h"

#include <utility>

#include "cairn/common/v1/file.pb.h"
#include "cairn/storage/v1/batch_service.pb.h"
#include "google/protobuf/timestamp.pb.h"
#include "google/rpc/status.pb.h"
#include "lib/base/error_reason.h"
#include "lib/rpc/grpc_status.h"

namespace cairn {
namespace rpc {
namespace {

// For the field numbers alone.
namespace pb = ::cairn::storage::v1;
namespace common = ::cairn::common::v1;

constexpr uint32_t kItemsField = pb::RunRequest::kItemsFieldNumber;
constexpr uint32_t kAnswersField = pb::RunResponse::kAnswersFieldNumber;

// Reads the fields of the message that begins here. `read` is given the number
// of each and says whether it took it; others are skipped.
template <typename Read>
void ReadFields(WireReader* reader, Read read) {
  const size_t outer = reader->Enter();
  while (reader->Next()) {
    if (!read(reader->field())) reader->Skip();
  }
  reader->Leave(outer);
}

void ReadDurability(WireReader* reader, BatchDurability* out) {
  ReadFields(reader, [&](uint32_t field) {
    switch (field) {
      case common::Durability::kLevelFieldNumber:
        out->level = reader->ReadUint32();
        return true;
      case common::Durability::kReplicasFieldNumber:
        out->replicas = reader->ReadUint32();
        return true;
      case common::Durability::kPolicyFieldNumber:
        out->policy = reader->ReadUint32();
        return true;
      default:
        return false;
    }
  });
}

void WriteDurability(const BatchDurability& durability, uint32_t field,
                     SmallMessage* out) {
  SmallMessage inner;
  inner.VarintIfSet(common::Durability::kLevelFieldNumber, durability.level);
  inner.VarintIfSet(common::Durability::kReplicasFieldNumber,
                    durability.replicas);
  inner.VarintIfSet(common::Durability::kPolicyFieldNumber, durability.policy);
  if (inner.size() > 0) out->Bytes(field, inner.view());
}

// Reads the bytes of a message field. One that comes again is merged with what
// came before, as generated code does it: to Protobuf that is what stands
// behind it.
void ReadRawMessage(WireReader* reader, std::string* scratch,
                    absl::string_view* out) {
  if (out->empty()) {
    *out = reader->ReadBytes(scratch);
    return;
  }
  std::string again;
  std::string merged(*out);
  const absl::string_view rest = reader->ReadBytes(&again);
  merged.append(rest.data(), rest.size());
  *scratch = std::move(merged);
  *out = *scratch;
}

// A Timestamp; left out if it is 0.
void WriteSeconds(int64_t unix_seconds, uint32_t field, SmallMessage* out) {
  if (unix_seconds == 0) return;
  SmallMessage time;
  time.Varint(google::protobuf::Timestamp::kSecondsFieldNumber,
              static_cast<uint64_t>(unix_seconds));
  out->Bytes(field, time.view());
}

// The fields of a FileInfo but its attributes.
void WriteInfoFields(const BatchFileInfo& info, SmallMessage* inner) {
  SmallMessage time;
  time.VarintIfSet(google::protobuf::Timestamp::kSecondsFieldNumber,
                   static_cast<uint64_t>(info.create_unix_seconds));
  SmallMessage version;
  version.VarintIfSet(common::FileVersion::kClockFieldNumber,
                      info.version_clock);
  version.VarintIfSet(common::FileVersion::kNodeFieldNumber, info.version_node);

  inner->Bytes(common::FileInfo::kFileIdFieldNumber, info.id_prefix,
               info.id_rest);
  inner->VarintIfSet(common::FileInfo::kSizeBytesFieldNumber,
                     static_cast<uint64_t>(info.size_bytes));
  inner->Fixed32IfSet(common::FileInfo::kCrc32CFieldNumber, info.crc32c);
  inner->VarintIfSet(common::FileInfo::kKindFieldNumber,
                     static_cast<uint64_t>(info.kind));
  inner->Bytes(common::FileInfo::kCreateTimeFieldNumber, time.view());
  inner->Bytes(common::FileInfo::kVersionFieldNumber, version.view());
  inner->VarintIfSet(common::FileInfo::kOriginNodeFieldNumber,
                     info.origin_node);
  WriteSeconds(info.expire_unix_seconds,
               common::FileInfo::kExpireTimeFieldNumber, inner);
  inner->BytesIfSet(common::FileInfo::kSha256FieldNumber, info.sha256);
}

// Without its attributes.
void WriteInfo(const BatchFileInfo& info, uint32_t field, SmallMessage* out) {
  SmallMessage inner;
  WriteInfoFields(info, &inner);
  out->Bytes(field, inner.view());
}

// The whole FileInfo in front of `rest`, whatever the length of its attributes.
std::string InfoBefore(const BatchFileInfo& info, uint32_t field,
                       const SmallMessage& rest) {
  SmallMessage inner;
  WriteInfoFields(info, &inner);
  inner.Header(common::FileInfo::kAttributesFieldNumber,
               info.attributes.size());
  SmallMessage header;
  header.Header(field, inner.size() + info.attributes.size());
  std::string bytes(header.view());
  for (const absl::string_view part :
       {inner.view(), info.attributes, rest.view()}) {
    bytes.append(part.data(), part.size());
  }
  return bytes;
}

// Of a Timestamp.
void ReadSeconds(WireReader* reader, int64_t* seconds) {
  ReadFields(reader, [&](uint32_t field) {
    if (field != google::protobuf::Timestamp::kSecondsFieldNumber) return false;
    *seconds = reader->ReadInt64();
    return true;
  });
}

// `scratch`: of the ID, of the attributes and of the hash.
void ReadInfo(WireReader* reader, std::string* scratch, BatchFileInfo* out) {
  ReadFields(reader, [&](uint32_t field) {
    switch (field) {
      case common::FileInfo::kFileIdFieldNumber:
        out->id_rest = reader->ReadBytes(scratch);
        return true;
      case common::FileInfo::kSizeBytesFieldNumber:
        out->size_bytes = reader->ReadInt64();
        return true;
      case common::FileInfo::kCrc32CFieldNumber:
        out->crc32c = reader->ReadFixed32();
        return true;
      case common::FileInfo::kKindFieldNumber:
        out->kind = reader->ReadInt32();
        return true;
      case common::FileInfo::kCreateTimeFieldNumber:
        ReadSeconds(reader, &out->create_unix_seconds);
        return true;
      case common::FileInfo::kExpireTimeFieldNumber:
        ReadSeconds(reader, &out->expire_unix_seconds);
        return true;
      case common::FileInfo::kVersionFieldNumber:
        ReadFields(reader, [&](uint32_t version) {
          switch (version) {
            case common::FileVersion::kClockFieldNumber:
              out->version_clock = reader->ReadVarint();
              return true;
            case common::FileVersion::kNodeFieldNumber:
              out->version_node = reader->ReadUint32();
              return true;
            default:
              return false;
          }
        });
        return true;
      case common::FileInfo::kOriginNodeFieldNumber:
        out->origin_node = reader->ReadUint32();
        return true;
      case common::FileInfo::kAttributesFieldNumber:
        ReadRawMessage(reader, scratch + 1, &out->attributes);
        return true;
      case common::FileInfo::kSha256FieldNumber:
        out->sha256 = reader->ReadBytes(scratch + 2);
        return true;
      default:
        return false;
    }
  });
}

void WriteReached(uint32_t level, uint32_t replicas, uint32_t field,
                  SmallMessage* out) {
  SmallMessage inner;
  inner.VarintIfSet(common::DurabilityReached::kLevelFieldNumber, level);
  inner.VarintIfSet(common::DurabilityReached::kReplicasFieldNumber, replicas);
  out->Bytes(field, inner.view());
}

void ReadReached(WireReader* reader, BatchAnswer* out) {
  ReadFields(reader, [&](uint32_t field) {
    switch (field) {
      case common::DurabilityReached::kLevelFieldNumber:
        out->reached_level = reader->ReadUint32();
        return true;
      case common::DurabilityReached::kReplicasFieldNumber:
        out->reached_replicas = reader->ReadUint32();
        return true;
      default:
        return false;
    }
  });
}

// Of a oneof the last one counts: what another operation set is forgotten.
void ChangeOperation(BatchOperation operation, BatchItem* item) {
  if (item->operation == operation) return;
  const uint64_t item_id = item->item_id;
  *item = BatchItem();
  item->item_id = item_id;
  item->operation = operation;
}

void ChangeOperation(BatchOperation operation, BatchAnswer* answer) {
  if (answer->operation == operation && answer->error.ok()) return;
  const uint64_t item_id = answer->item_id;
  *answer = BatchAnswer();
  answer->item_id = item_id;
  answer->operation = operation;
}

}  // namespace

bool BatchRequestReader::Next(BatchItem* item) {
  if (!reader_.NextOf(kItemsField)) return false;
  *item = BatchItem();
  ReadFields(&reader_, [&](uint32_t field) {
    switch (field) {
      case pb::BatchItem::kItemIdFieldNumber:
        item->item_id = reader_.ReadVarint();
        return true;
      case pb::BatchItem::kPutFieldNumber:
        ChangeOperation(BatchOperation::kPut, item);
        ReadPut(item);
        return true;
      case pb::BatchItem::kGetFieldNumber:
        ChangeOperation(BatchOperation::kGet, item);
        ReadGet(item);
        return true;
      case pb::BatchItem::kStatFieldNumber:
        ChangeOperation(BatchOperation::kStat, item);
        ReadStat(item);
        return true;
      case pb::BatchItem::kDeleteFieldNumber:
        ChangeOperation(BatchOperation::kDelete, item);
        ReadDelete(item);
        return true;
      case pb::BatchItem::kSetAttributesFieldNumber:
        ChangeOperation(BatchOperation::kSetAttributes, item);
        ReadRawMessage(&reader_, &scratch_[4], &item->set_attributes);
        return true;
      case pb::BatchItem::kAppendFieldNumber:
        ChangeOperation(BatchOperation::kAppend, item);
        ReadAppend(item);
        return true;
      default:
        return false;
    }
  });
  return reader_.ok();
}

void BatchRequestReader::ReadPut(BatchItem* item) {
  ReadFields(&reader_, [&](uint32_t field) {
    switch (field) {
      case pb::PutOperation::kRequestIdFieldNumber:
        item->request_id = reader_.ReadBytes(&scratch_[0]);
        return true;
      case pb::PutOperation::kStorePathFieldNumber:
        item->store_path = reader_.ReadUint32();
        return true;
      case pb::PutOperation::kExtensionFieldNumber:
        item->extension = reader_.ReadBytes(&scratch_[1]);
        return true;
      case pb::PutOperation::kDurabilityFieldNumber:
        ReadDurability(&reader_, &item->durability);
        return true;
      case pb::PutOperation::kCrc32CFieldNumber:
        item->crc32c = reader_.ReadFixed32();
        return true;
      case pb::PutOperation::kContentFieldNumber:
        item->content = reader_.ReadCord();
        return true;
      case pb::PutOperation::kAttributesFieldNumber:
        ReadRawMessage(&reader_, &scratch_[3], &item->attributes);
        return true;
      case pb::PutOperation::kLifetimeFieldNumber:
        ReadRawMessage(&reader_, &scratch_[5], &item->lifetime);
        return true;
      case pb::PutOperation::kDerivedFieldNumber:
        if (!item->derived.has_value()) item->derived.emplace();
        ReadRawMessage(&reader_, &scratch_[6], &*item->derived);
        return true;
      case pb::PutOperation::kDedupFieldNumber:
        item->dedup = reader_.ReadVarint() != 0;
        return true;
      default:
        return false;
    }
  });
}

void BatchRequestReader::ReadGet(BatchItem* item) {
  ReadFields(&reader_, [&](uint32_t field) {
    switch (field) {
      case pb::GetOperation::kFileIdFieldNumber:
        item->file_id = reader_.ReadBytes(&scratch_[2]);
        return true;
      case pb::GetOperation::kOffsetFieldNumber:
        item->offset = reader_.ReadInt64();
        return true;
      case pb::GetOperation::kLengthFieldNumber:
        item->length = reader_.ReadInt64();
        return true;
      case pb::GetOperation::kIncludeAttributesFieldNumber:
        item->include_attributes = reader_.ReadVarint() != 0;
        return true;
      default:
        return false;
    }
  });
}

void BatchRequestReader::ReadStat(BatchItem* item) {
  ReadFields(&reader_, [&](uint32_t field) {
    switch (field) {
      case pb::StatOperation::kFileIdFieldNumber:
        item->file_id = reader_.ReadBytes(&scratch_[2]);
        return true;
      case pb::StatOperation::kIncludeAttributesFieldNumber:
        item->include_attributes = reader_.ReadVarint() != 0;
        return true;
      default:
        return false;
    }
  });
}

void BatchRequestReader::ReadDelete(BatchItem* item) {
  ReadFields(&reader_, [&](uint32_t field) {
    switch (field) {
      case pb::DeleteOperation::kRequestIdFieldNumber:
        item->request_id = reader_.ReadBytes(&scratch_[0]);
        return true;
      case pb::DeleteOperation::kFileIdFieldNumber:
        item->file_id = reader_.ReadBytes(&scratch_[2]);
        return true;
      case pb::DeleteOperation::kDurabilityFieldNumber:
        ReadDurability(&reader_, &item->durability);
        return true;
      case pb::DeleteOperation::kPurgeFieldNumber:
        item->purge = reader_.ReadVarint() != 0;
        return true;
      case pb::DeleteOperation::kWithDerivedFieldNumber:
        item->with_derived = reader_.ReadVarint() != 0;
        return true;
      default:
        return false;
    }
  });
}

void BatchRequestReader::ReadAppend(BatchItem* item) {
  ReadFields(&reader_, [&](uint32_t field) {
    switch (field) {
      case pb::AppendOperation::kRequestIdFieldNumber:
        item->request_id = reader_.ReadBytes(&scratch_[0]);
        return true;
      case pb::AppendOperation::kFileIdFieldNumber:
        item->file_id = reader_.ReadBytes(&scratch_[2]);
        return true;
      case pb::AppendOperation::kDurabilityFieldNumber:
        ReadDurability(&reader_, &item->durability);
        return true;
      case pb::AppendOperation::kConditionFieldNumber:
        ReadRawMessage(&reader_, &scratch_[4], &item->condition);
        return true;
      case pb::AppendOperation::kCrc32CFieldNumber:
        item->crc32c = reader_.ReadFixed32();
        return true;
      case pb::AppendOperation::kContentFieldNumber:
        item->content = reader_.ReadCord();
        return true;
      default:
        return false;
    }
  });
}

void AppendFileInfo(const BatchFileInfo& info, uint32_t field,
                    WireWriter* out) {
  SmallMessage inner;
  WriteInfoFields(info, &inner);
  if (!info.attributes.empty()) {
    inner.Header(common::FileInfo::kAttributesFieldNumber,
                 info.attributes.size());
  }
  SmallMessage header;
  header.Header(field, inner.size() + info.attributes.size());
  out->Append(header);
  out->Append(inner);
  out->Append(info.attributes);
}

void ReadFileInfo(WireReader* reader, std::string* scratch,
                  BatchFileInfo* out) {
  ReadInfo(reader, scratch, out);
}

absl::Status BatchRequestReader::status() const {
  if (reader_.ok()) return absl::OkStatus();
  return ErrorWithReason(
      absl::StatusCode::kInvalidArgument, ErrorReason::kInvalidField,
      "the bytes are no RunRequest message", {{"field", "items"}});
}

void BatchRequestWriter::Add(const BatchItem& in) {
  BatchItem item = in;
  for (absl::string_view* text :
       {&item.file_id, &item.request_id, &item.extension, &item.lifetime,
        &item.condition}) {
    *text = text->substr(0, kBatchTextBytesMax);
  }
  // One after the other; the runs of bytes need not be small.
  SmallMessage operation;
  absl::string_view middle;
  SmallMessage content_header;
  absl::Cord content;
  uint32_t field = 0;
  switch (item.operation) {
    case BatchOperation::kNone:
      break;
    case BatchOperation::kPut:
      field = pb::BatchItem::kPutFieldNumber;
      operation.BytesIfSet(pb::PutOperation::kRequestIdFieldNumber,
                           item.request_id);
      if (item.store_path.has_value()) {
        operation.Varint(pb::PutOperation::kStorePathFieldNumber,
                         *item.store_path);
      }
      operation.BytesIfSet(pb::PutOperation::kExtensionFieldNumber,
                           item.extension);
      WriteDurability(item.durability, pb::PutOperation::kDurabilityFieldNumber,
                      &operation);
      operation.Fixed32IfSet(pb::PutOperation::kCrc32CFieldNumber, item.crc32c);
      operation.BytesIfSet(pb::PutOperation::kLifetimeFieldNumber,
                           item.lifetime);
      if (item.derived.has_value()) {
        operation.Bytes(pb::PutOperation::kDerivedFieldNumber,
                        item.derived->substr(0, kBatchTextBytesMax));
      }
      if (item.dedup.has_value()) {
        operation.Varint(pb::PutOperation::kDedupFieldNumber,
                         *item.dedup ? 1 : 0);
      }
      if (!item.content.empty()) {
        content = item.content;
        content_header.Header(pb::PutOperation::kContentFieldNumber,
                              content.size());
      }
      if (!item.attributes.empty()) {
        middle = item.attributes;
        operation.Header(pb::PutOperation::kAttributesFieldNumber,
                         middle.size());
      }
      break;
    case BatchOperation::kGet:
      field = pb::BatchItem::kGetFieldNumber;
      operation.BytesIfSet(pb::GetOperation::kFileIdFieldNumber, item.file_id);
      operation.VarintIfSet(pb::GetOperation::kOffsetFieldNumber,
                            static_cast<uint64_t>(item.offset));
      if (item.length.has_value()) {
        operation.Varint(pb::GetOperation::kLengthFieldNumber,
                         static_cast<uint64_t>(*item.length));
      }
      operation.VarintIfSet(pb::GetOperation::kIncludeAttributesFieldNumber,
                            item.include_attributes ? 1 : 0);
      break;
    case BatchOperation::kStat:
      field = pb::BatchItem::kStatFieldNumber;
      operation.BytesIfSet(pb::StatOperation::kFileIdFieldNumber, item.file_id);
      operation.VarintIfSet(pb::StatOperation::kIncludeAttributesFieldNumber,
                            item.include_attributes ? 1 : 0);
      break;
    case BatchOperation::kDelete:
      field = pb::BatchItem::kDeleteFieldNumber;
      operation.BytesIfSet(pb::DeleteOperation::kRequestIdFieldNumber,
                           item.request_id);
      operation.BytesIfSet(pb::DeleteOperation::kFileIdFieldNumber,
                           item.file_id);
      WriteDurability(item.durability,
                      pb::DeleteOperation::kDurabilityFieldNumber, &operation);
      operation.VarintIfSet(pb::DeleteOperation::kPurgeFieldNumber,
                            item.purge ? 1 : 0);
      operation.VarintIfSet(pb::DeleteOperation::kWithDerivedFieldNumber,
                            item.with_derived ? 1 : 0);
      break;
    case BatchOperation::kSetAttributes:
      field = pb::BatchItem::kSetAttributesFieldNumber;
      middle = item.set_attributes;
      break;
    case BatchOperation::kAppend:
      field = pb::BatchItem::kAppendFieldNumber;
      operation.BytesIfSet(pb::AppendOperation::kRequestIdFieldNumber,
                           item.request_id);
      operation.BytesIfSet(pb::AppendOperation::kFileIdFieldNumber,
                           item.file_id);
      WriteDurability(item.durability,
                      pb::AppendOperation::kDurabilityFieldNumber, &operation);
      operation.BytesIfSet(pb::AppendOperation::kConditionFieldNumber,
                           item.condition);
      operation.Fixed32IfSet(pb::AppendOperation::kCrc32CFieldNumber,
                             item.crc32c);
      if (!item.content.empty()) {
        content = item.content;
        content_header.Header(pb::AppendOperation::kContentFieldNumber,
                              content.size());
      }
      break;
  }
  const size_t operation_bytes =
      operation.size() + middle.size() + content_header.size() + content.size();
  SmallMessage fields;
  fields.VarintIfSet(pb::BatchItem::kItemIdFieldNumber, item.item_id);
  if (field != 0) fields.Header(field, operation_bytes);

  SmallMessage header;
  header.Header(kItemsField, fields.size() + operation_bytes);
  out_.Append(header);
  out_.Append(fields);
  out_.Append(operation);
  out_.Append(middle);
  out_.Append(content_header);
  out_.AppendContent(content);
}

bool BatchResponseReader::Next(BatchAnswer* answer) {
  if (!reader_.NextOf(kAnswersField)) return false;
  *answer = BatchAnswer();
  ReadFields(&reader_, [&](uint32_t field) {
    switch (field) {
      case pb::BatchAnswer::kItemIdFieldNumber:
        answer->item_id = reader_.ReadVarint();
        return true;
      case pb::BatchAnswer::kErrorFieldNumber: {
        google::rpc::Status status;
        reader_.ReadMessage(&status);
        ChangeOperation(BatchOperation::kNone, answer);
        answer->error = FromRpcStatus(status);
        return true;
      }
      case pb::BatchAnswer::kPutFieldNumber:
        ChangeOperation(BatchOperation::kPut, answer);
        ReadPut(answer);
        return true;
      case pb::BatchAnswer::kGetFieldNumber:
        ChangeOperation(BatchOperation::kGet, answer);
        ReadGet(answer);
        return true;
      case pb::BatchAnswer::kStatFieldNumber:
        ChangeOperation(BatchOperation::kStat, answer);
        ReadStat(answer);
        return true;
      case pb::BatchAnswer::kDeleteFieldNumber:
        ChangeOperation(BatchOperation::kDelete, answer);
        ReadDelete(answer);
        return true;
      case pb::BatchAnswer::kSetAttributesFieldNumber:
        // Laid out as the outcome of a put.
        ChangeOperation(BatchOperation::kSetAttributes, answer);
        ReadPut(answer);
        return true;
      case pb::BatchAnswer::kAppendFieldNumber:
        // The same.
        ChangeOperation(BatchOperation::kAppend, answer);
        ReadPut(answer);
        return true;
      default:
        return false;
    }
  });
  return reader_.ok();
}

void BatchResponseReader::ReadPut(BatchAnswer* answer) {
  ReadFields(&reader_, [&](uint32_t field) {
    switch (field) {
      case pb::PutOutcome::kInfoFieldNumber:
        ReadInfo(&reader_, scratch_, &answer->info);
        return true;
      case pb::PutOutcome::kReachedFieldNumber:
        ReadReached(&reader_, answer);
        return true;
      case pb::PutOutcome::kReplayedFieldNumber:
        answer->replayed = reader_.ReadVarint() != 0;
        return true;
      case pb::PutOutcome::kSharedFieldNumber:
        answer->shared = reader_.ReadVarint() != 0;
        return true;
      default:
        return false;
    }
  });
}

void BatchResponseReader::ReadGet(BatchAnswer* answer) {
  ReadFields(&reader_, [&](uint32_t field) {
    switch (field) {
      case pb::GetOutcome::kInfoFieldNumber:
        ReadInfo(&reader_, scratch_, &answer->info);
        return true;
      case pb::GetOutcome::kOffsetFieldNumber:
        answer->offset = reader_.ReadInt64();
        return true;
      case pb::GetOutcome::kCrc32CFieldNumber:
        answer->crc32c = reader_.ReadFixed32();
        return true;
      case pb::GetOutcome::kContentFieldNumber:
        answer->content = reader_.ReadCord();
        return true;
      default:
        return false;
    }
  });
}

void BatchResponseReader::ReadStat(BatchAnswer* answer) {
  ReadFields(&reader_, [&](uint32_t field) {
    if (field != pb::StatOutcome::kInfoFieldNumber) return false;
    ReadInfo(&reader_, scratch_, &answer->info);
    return true;
  });
}

void BatchResponseReader::ReadDelete(BatchAnswer* answer) {
  ReadFields(&reader_, [&](uint32_t field) {
    switch (field) {
      case pb::DeleteOutcome::kReachedFieldNumber:
        ReadReached(&reader_, answer);
        return true;
      case pb::DeleteOutcome::kReplayedFieldNumber:
        answer->replayed = reader_.ReadVarint() != 0;
        return true;
      case pb::DeleteOutcome::kUndeleteUntilFieldNumber:
        ReadSeconds(&reader_, &answer->undelete_until_unix_seconds);
        return true;
      case pb::DeleteOutcome::kDerivedDeletedFieldNumber:
        answer->derived_deleted = reader_.ReadUint32();
        return true;
      default:
        return false;
    }
  });
}

absl::Status BatchResponseReader::status() const {
  if (reader_.ok()) return absl::OkStatus();
  return ErrorWithReason(absl::StatusCode::kInternal, ErrorReason::kInternal,
                         "the bytes are no RunResponse message");
}

void BatchResponseWriter::Add(uint64_t item_id, uint32_t field,
                              absl::string_view outcome,
                              const absl::Cord& content) {
  SmallMessage fields;
  fields.VarintIfSet(pb::BatchAnswer::kItemIdFieldNumber, item_id);
  fields.Header(field, outcome.size() + content.size());
  SmallMessage header;
  header.Header(kAnswersField, fields.size() + outcome.size() + content.size());
  out_.Append(header);
  out_.Append(fields);
  out_.Append(outcome);
  out_.AppendContent(content);
}

void BatchResponseWriter::AddError(uint64_t item_id,
                                   const absl::Status& error) {
  const std::string status = ToRpcStatus(error).SerializeAsString();
  SmallMessage fields;
  fields.VarintIfSet(pb::BatchAnswer::kItemIdFieldNumber, item_id);
  fields.Header(pb::BatchAnswer::kErrorFieldNumber, status.size());
  SmallMessage header;
  header.Header(kAnswersField, fields.size() + status.size());
  out_.Append(header);
  out_.Append(fields);
  out_.Append(status);
}

void BatchResponseWriter::AddPut(uint64_t item_id, const BatchFileInfo& info,
                                 uint32_t reached_level,
                                 uint32_t reached_replicas, bool replayed,
                                 bool shared) {
  AddChange(item_id, pb::BatchAnswer::kPutFieldNumber, info, reached_level,
            reached_replicas, replayed, shared);
}

void BatchResponseWriter::AddSetAttributes(uint64_t item_id,
                                           const BatchFileInfo& info,
                                           uint32_t reached_level,
                                           uint32_t reached_replicas,
                                           bool replayed) {
  AddChange(item_id, pb::BatchAnswer::kSetAttributesFieldNumber, info,
            reached_level, reached_replicas, replayed);
}

void BatchResponseWriter::AddAppend(uint64_t item_id, const BatchFileInfo& info,
                                    uint32_t reached_level,
                                    uint32_t reached_replicas, bool replayed) {
  AddChange(item_id, pb::BatchAnswer::kAppendFieldNumber, info, reached_level,
            reached_replicas, replayed);
}

// PutOutcome, SetAttributesOutcome and AppendOutcome are laid out alike, but
// for `shared`, which only the first one has.
void BatchResponseWriter::AddChange(uint64_t item_id, uint32_t field,
                                    const BatchFileInfo& info,
                                    uint32_t reached_level,
                                    uint32_t reached_replicas, bool replayed,
                                    bool shared) {
  SmallMessage outcome;
  WriteInfo(info, pb::PutOutcome::kInfoFieldNumber, &outcome);
  WriteReached(reached_level, reached_replicas,
               pb::PutOutcome::kReachedFieldNumber, &outcome);
  outcome.VarintIfSet(pb::PutOutcome::kReplayedFieldNumber, replayed ? 1 : 0);
  outcome.VarintIfSet(pb::PutOutcome::kSharedFieldNumber, shared ? 1 : 0);
  Add(item_id, field, outcome.view(), absl::Cord());
}

void BatchResponseWriter::AddGet(uint64_t item_id, const BatchFileInfo& info,
                                 int64_t offset, uint32_t crc32c,
                                 const absl::Cord& content) {
  SmallMessage outcome;
  if (info.attributes.empty()) {
    WriteInfo(info, pb::GetOutcome::kInfoFieldNumber, &outcome);
  }
  outcome.VarintIfSet(pb::GetOutcome::kOffsetFieldNumber,
                      static_cast<uint64_t>(offset));
  outcome.Fixed32IfSet(pb::GetOutcome::kCrc32CFieldNumber, crc32c);
  if (!content.empty()) {
    outcome.Header(pb::GetOutcome::kContentFieldNumber, content.size());
  }
  if (info.attributes.empty()) {
    Add(item_id, pb::BatchAnswer::kGetFieldNumber, outcome.view(), content);
  } else {
    Add(item_id, pb::BatchAnswer::kGetFieldNumber,
        InfoBefore(info, pb::GetOutcome::kInfoFieldNumber, outcome), content);
  }
}

void BatchResponseWriter::AddStat(uint64_t item_id, const BatchFileInfo& info) {
  SmallMessage outcome;
  if (!info.attributes.empty()) {
    Add(item_id, pb::BatchAnswer::kStatFieldNumber,
        InfoBefore(info, pb::StatOutcome::kInfoFieldNumber, outcome),
        absl::Cord());
    return;
  }
  WriteInfo(info, pb::StatOutcome::kInfoFieldNumber, &outcome);
  Add(item_id, pb::BatchAnswer::kStatFieldNumber, outcome.view(), absl::Cord());
}

void BatchResponseWriter::AddDelete(uint64_t item_id, uint32_t reached_level,
                                    uint32_t reached_replicas, bool replayed,
                                    int64_t undelete_until_unix_seconds,
                                    absl::optional<uint32_t> derived_deleted) {
  SmallMessage outcome;
  WriteReached(reached_level, reached_replicas,
               pb::DeleteOutcome::kReachedFieldNumber, &outcome);
  outcome.VarintIfSet(pb::DeleteOutcome::kReplayedFieldNumber,
                      replayed ? 1 : 0);
  WriteSeconds(undelete_until_unix_seconds,
               pb::DeleteOutcome::kUndeleteUntilFieldNumber, &outcome);
  if (derived_deleted.has_value()) {
    outcome.Varint(pb::DeleteOutcome::kDerivedDeletedFieldNumber,
                   *derived_deleted);
  }
  Add(item_id, pb::BatchAnswer::kDeleteFieldNumber, outcome.view(),
      absl::Cord());
}

}  // namespace rpc
}  // namespace cairn
