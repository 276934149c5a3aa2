#include "clients/cpp/transfer_codec.h"

#include <algorithm>
#include <utility>

#include "clients/cpp/wire_format.h"
#include "lib/attributes/attributes.h"

namespace cairn {
namespace client {
namespace {

constexpr uint32_t kChunkField = 15;  // Of UploadRequest and DownloadResponse.
constexpr uint32_t kDataField = 15;   // Of Chunk.

// A chunk's fields before its data fit into this many bytes.
constexpr size_t kChunkHeadBytes = 64;

std::string FirstBytes(const absl::Cord& message, size_t size) {
  std::string bytes;
  absl::CopyCordToString(message.Subcord(0, size), &bytes);
  return bytes;
}

// `message` is the whole message, `head` its beginning, whose first `at` bytes
// were the header of the chunk field that ends with the message.
bool ParseChunk(const absl::Cord& message, absl::string_view head, size_t at,
                ChunkPart* chunk) {
  WireReader reader(head.substr(at));
  while (at + reader.position() < message.size()) {
    uint32_t tag;
    uint64_t value;
    if (!reader.ReadTag(&tag)) return false;
    switch (tag) {
      case Tag(1, WireType::kVarint):
        if (!reader.ReadVarint(&value)) return false;
        chunk->offset = static_cast<int64_t>(value);
        break;
      case Tag(2, WireType::kFixed32):
        if (!reader.ReadFixed32(&chunk->crc32c)) return false;
        break;
      case Tag(kDataField, WireType::kBytes): {
        if (!reader.ReadLength(&value)) return false;
        const size_t data_at = at + reader.position();
        if (value != message.size() - data_at) return false;
        chunk->data = message.Subcord(data_at, static_cast<size_t>(value));
        return true;
      }
      default:
        if (!reader.Skip(tag)) return false;
    }
  }
  return true;
}

}  // namespace

absl::Cord EncodeUploadSpec(const std::string& request_id,
                            const PutOptions& options,
                            absl::optional<uint32_t> store_path,
                            absl::optional<int64_t> size_bytes) {
  std::string durability;
  AppendDurability(options.durability, &durability);
  std::string spec;
  AppendBytesField(1, request_id, &spec);
  if (!options.group.empty()) AppendBytesField(2, options.group, &spec);
  if (store_path) AppendVarintField(3, *store_path, &spec);
  if (!options.extension.empty()) AppendBytesField(4, options.extension, &spec);
  if (size_bytes) {
    AppendVarintField(5, static_cast<uint64_t>(*size_bytes), &spec);
  }
  AppendBytesField(6, durability, &spec);
  if (!options.attributes.empty()) {
    AppendBytesField(30, EncodeAttributes(options.attributes), &spec);
  }
  const std::string lifetime = EncodeLifetime(options.lifetime);
  if (!lifetime.empty()) AppendBytesField(40, lifetime, &spec);
  if (!options.derived_from.empty()) {
    std::string derived;
    AppendBytesField(1, options.derived_from, &derived);
    AppendBytesField(2, options.prefix, &derived);
    AppendBytesField(50, derived, &spec);
  }
  if (options.dedup) AppendVarintField(90, *options.dedup ? 1 : 0, &spec);
  std::string message;
  AppendBytesField(1, spec, &message);
  return absl::Cord(std::move(message));
}

absl::Cord EncodeUploadChunk(const ChunkPart& chunk,
                             absl::optional<uint32_t> finish_crc32c) {
  std::string head;
  if (finish_crc32c) {
    std::string finish;
    AppendFixed32Field(1, *finish_crc32c, &finish);
    AppendBytesField(2, finish, &head);
  }
  if (chunk.data.empty()) return absl::Cord(std::move(head));
  const auto offset = static_cast<uint64_t>(chunk.offset);
  AppendBytesHeader(kChunkField,
                    VarintFieldSize(1, offset) + Fixed32FieldSize(2) +
                        BytesFieldSize(kDataField, chunk.data.size()),
                    &head);
  AppendVarintField(1, offset, &head);
  AppendFixed32Field(2, chunk.crc32c, &head);
  AppendBytesHeader(kDataField, chunk.data.size(), &head);
  absl::Cord message(std::move(head));
  message.Append(chunk.data);
  return message;
}

bool ParseUploadResponse(const absl::Cord& message, PutResult* result) {
  const std::string bytes(message);
  WireReader reader(bytes);
  while (!reader.AtEnd()) {
    uint32_t tag;
    uint64_t value;
    absl::string_view field;
    if (!reader.ReadTag(&tag)) return false;
    if (tag == Tag(1, WireType::kBytes)) {
      if (!reader.ReadBytes(&field) || !ParseFileInfo(field, &result->info)) {
        return false;
      }
    } else if (tag == Tag(2, WireType::kBytes)) {
      if (!ReadReached(&reader, result)) return false;
    } else if (tag == Tag(3, WireType::kVarint)) {
      if (!reader.ReadVarint(&value)) return false;
      result->replayed = value != 0;
    } else if (tag == Tag(91, WireType::kVarint)) {
      if (!reader.ReadVarint(&value)) return false;
      result->shared = value != 0;
    } else if (!reader.Skip(tag)) {
      return false;
    }
  }
  return true;
}

absl::Cord EncodeDownloadRequest(absl::string_view file_id, int64_t offset,
                                 absl::optional<int64_t> length,
                                 int32_t chunk_bytes, bool include_attributes) {
  std::string message;
  AppendBytesField(1, file_id, &message);
  if (offset != 0) {
    AppendVarintField(2, static_cast<uint64_t>(offset), &message);
  }
  if (length) AppendVarintField(3, static_cast<uint64_t>(*length), &message);
  if (chunk_bytes != 0) {
    AppendVarintField(4, static_cast<uint64_t>(chunk_bytes), &message);
  }
  if (include_attributes) AppendVarintField(30, 1, &message);
  return absl::Cord(std::move(message));
}

bool ParseDownloadResponse(const absl::Cord& message, DownloadPart* part) {
  const std::string head = FirstBytes(message, kChunkHeadBytes);
  {
    WireReader reader(head);
    uint32_t tag;
    uint64_t size;
    if (!message.empty() && reader.ReadTag(&tag) &&
        tag == Tag(kChunkField, WireType::kBytes)) {
      if (!reader.ReadLength(&size) ||
          size != message.size() - reader.position()) {
        return false;
      }
      return ParseChunk(message, head, reader.position(),
                        &part->chunk.emplace());
    }
  }
  // The first message: what is known of the file.
  const std::string bytes(message);
  WireReader reader(bytes);
  while (!reader.AtEnd()) {
    uint32_t tag;
    absl::string_view field;
    if (!reader.ReadTag(&tag)) return false;
    if (tag == Tag(1, WireType::kBytes)) {
      if (!reader.ReadBytes(&field) ||
          !ParseFileInfo(field, &part->info.emplace())) {
        return false;
      }
    } else if (!reader.Skip(tag)) {
      return false;
    }
  }
  return part->info.has_value();
}

}  // namespace client
}  // namespace cairn
