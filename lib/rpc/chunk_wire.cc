#include "lib/rpc/chunk_wire.h"

#include <string>

#include "absl/strings/string_view.h"
#include "cairn/storage/v1/sync_service.pb.h"
#include "lib/base/error_reason.h"
#include "lib/rpc/wire.h"

namespace cairn {
namespace rpc {
namespace {

using storage::v1::DownloadResponse;
using storage::v1::UploadRequest;

absl::Status Malformed(absl::string_view what) {
  return ErrorWithReason(
      absl::StatusCode::kInvalidArgument, ErrorReason::kInvalidField,
      std::string("the bytes are no ") + std::string(what) + " message");
}

// Merges into `chunk`, as Protobuf does with a field that comes twice.
void ReadChunk(WireReader* reader, Chunk* chunk) {
  const size_t outer = reader->Enter();
  while (reader->Next()) {
    switch (reader->field()) {
      case common::v1::Chunk::kOffsetFieldNumber:
        chunk->offset = reader->ReadInt64();
        break;
      case common::v1::Chunk::kCrc32CFieldNumber:
        chunk->crc32c = reader->ReadFixed32();
        break;
      case common::v1::Chunk::kDataFieldNumber:
        chunk->data = reader->ReadCord();
        break;
      default:
        reader->Skip();
    }
  }
  reader->Leave(outer);
}

// The chunk as field `field` of a message that began with `before`.
grpc::ByteBuffer MakeChunk(uint32_t field, const Chunk& chunk,
                           const SmallMessage& before) {
  SmallMessage fields;
  fields.VarintIfSet(common::v1::Chunk::kOffsetFieldNumber,
                     static_cast<uint64_t>(chunk.offset));
  fields.Fixed32IfSet(common::v1::Chunk::kCrc32CFieldNumber, chunk.crc32c);
  if (!chunk.data.empty()) {
    fields.Header(common::v1::Chunk::kDataFieldNumber, chunk.data.size());
  }
  SmallMessage header;
  header.Header(field, fields.size() + chunk.data.size());

  WireWriter out;
  out.Append(before);
  out.Append(header);
  out.Append(fields);
  out.AppendContent(chunk.data);
  return out.Finish();
}

}  // namespace

absl::Status ParseUploadMessage(const grpc::ByteBuffer& buffer,
                                UploadMessage* message) {
  *message = UploadMessage();
  WireReader reader(buffer);
  while (reader.Next()) {
    switch (reader.field()) {
      case UploadRequest::kSpecFieldNumber:
        // Of a oneof the last one counts.
        message->chunk.reset();
        if (!message->spec.has_value()) message->spec.emplace();
        reader.ReadMessage(&*message->spec);
        break;
      case UploadRequest::kChunkFieldNumber:
        message->spec.reset();
        if (!message->chunk.has_value()) message->chunk.emplace();
        ReadChunk(&reader, &*message->chunk);
        break;
      case UploadRequest::kFinishFieldNumber:
        if (!message->finish.has_value()) message->finish.emplace();
        reader.ReadMessage(&*message->finish);
        break;
      default:
        reader.Skip();
    }
  }
  return reader.ok() ? absl::OkStatus() : Malformed("UploadRequest");
}

absl::Status ParseDownloadMessage(const grpc::ByteBuffer& buffer,
                                  DownloadMessage* message) {
  *message = DownloadMessage();
  WireReader reader(buffer);
  while (reader.Next()) {
    switch (reader.field()) {
      case DownloadResponse::kInfoFieldNumber:
        message->chunk.reset();
        if (!message->info.has_value()) message->info.emplace();
        reader.ReadMessage(&*message->info);
        break;
      case DownloadResponse::kChunkFieldNumber:
        message->info.reset();
        if (!message->chunk.has_value()) message->chunk.emplace();
        ReadChunk(&reader, &*message->chunk);
        break;
      case storage::v1::FetchResponse::kLifeFieldNumber:
        message->life = reader.ReadUint32();
        break;
      case storage::v1::FetchResponse::kContentMissingFieldNumber:
        message->content_missing = reader.ReadUint32() != 0;
        break;
      case storage::v1::FetchResponse::kSealedFromFieldNumber:
        message->sealed_from = std::string(reader.ReadCord());
        break;
      case storage::v1::FetchResponse::kOwnerFieldNumber:
        message->owner = std::string(reader.ReadCord());
        break;
      default:
        reader.Skip();
    }
  }
  return reader.ok() ? absl::OkStatus() : Malformed("DownloadResponse");
}

grpc::ByteBuffer MakeUploadChunk(const Chunk& chunk,
                                 const storage::v1::UploadFinish* finish) {
  SmallMessage before;
  if (finish != nullptr) {
    before.Bytes(UploadRequest::kFinishFieldNumber,
                 finish->SerializeAsString());
  }
  return MakeChunk(UploadRequest::kChunkFieldNumber, chunk, before);
}

grpc::ByteBuffer MakeDownloadChunk(const Chunk& chunk) {
  return MakeChunk(DownloadResponse::kChunkFieldNumber, chunk, SmallMessage());
}

}  // namespace rpc
}  // namespace cairn
