// The streamed messages of FileService, with content that is not copied:
// UploadRequest and DownloadResponse.

#ifndef CAIRN_LIB_RPC_CHUNK_WIRE_H_
#define CAIRN_LIB_RPC_CHUNK_WIRE_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "absl/types/optional.h"
#include "cairn/common/v1/file.pb.h"
#include "cairn/storage/v1/file_service.pb.h"

namespace cairn {
namespace rpc {

// What a Chunk may carry.
inline constexpr size_t kChunkBytesMax = 2 << 20;
inline constexpr size_t kChunkBytesDefault = 256 << 10;

// cairn.common.v1.Chunk.
struct Chunk {
  int64_t offset = 0;
  uint32_t crc32c = 0;  // As it was sent; not compared with `data` in here.
  absl::Cord data;
};

// cairn.storage.v1.UploadRequest: `spec`, `chunk` or neither.
struct UploadMessage {
  absl::optional<storage::v1::UploadSpec> spec;
  absl::optional<Chunk> chunk;
  absl::optional<storage::v1::UploadFinish> finish;
};

// cairn.storage.v1.DownloadResponse: `info`, `chunk` or neither.
struct DownloadMessage {
  absl::optional<common::v1::FileInfo> info;
  absl::optional<Chunk> chunk;

  // Of a FetchResponse, beside `info`.
  uint32_t life = 0;
  std::string sealed_from;
  std::string owner;
  bool content_missing = false;
};

// `chunk.data` refers to the slices of `buffer`.
//   INVALID_ARGUMENT (INVALID_FIELD)  the bytes are no such message. (Which
//                                     parts a message must have is not checked
//                                     here.)
absl::Status ParseUploadMessage(const grpc::ByteBuffer& buffer,
                                UploadMessage* message);
absl::Status ParseDownloadMessage(const grpc::ByteBuffer& buffer,
                                  DownloadMessage* message);

// The messages with a chunk; the others are made by generated code and
// ToByteBuffer(). The buffer refers to `chunk.data` until gRPC has sent it.
// With `finish` this is the last message of an upload.
grpc::ByteBuffer MakeUploadChunk(const Chunk& chunk,
                                 const storage::v1::UploadFinish* finish);
grpc::ByteBuffer MakeDownloadChunk(const Chunk& chunk);

}  // namespace rpc
}  // namespace cairn

#endif  // CAIRN_LIB_RPC_CHUNK_WIRE_H_
