// The messages of FileService.Upload and Download, written and read round the
// content instead of through message objects. No gRPC in here.

#ifndef CAIRN_CLIENTS_CPP_TRANSFER_CODEC_H_
#define CAIRN_CLIENTS_CPP_TRANSFER_CODEC_H_

#include <cstdint>
#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "clients/cpp/file_info_codec.h"
#include "clients/cpp/types.h"

namespace cairn {
namespace client {

// A run of a body.
struct ChunkPart {
  int64_t offset = 0;
  uint32_t crc32c = 0;
  absl::Cord data;
};

// UploadRequest messages. A chunk references its data; with `finish_crc32c` it
// is the last one. Without data there is only the finish.
absl::Cord EncodeUploadSpec(const std::string& request_id,
                            const PutOptions& options,
                            absl::optional<uint32_t> store_path,
                            absl::optional<int64_t> size_bytes);
absl::Cord EncodeUploadChunk(const ChunkPart& chunk,
                             absl::optional<uint32_t> finish_crc32c);

// An UploadResponse. False if it is malformed.
bool ParseUploadResponse(const absl::Cord& message, PutResult* result);

absl::Cord EncodeDownloadRequest(absl::string_view file_id, int64_t offset,
                                 absl::optional<int64_t> length,
                                 int32_t chunk_bytes,
                                 bool include_attributes = false);

// A DownloadResponse: one of the two is set. False if it is malformed.
struct DownloadPart {
  absl::optional<FileInfo> info;
  absl::optional<ChunkPart> chunk;
};
bool ParseDownloadResponse(const absl::Cord& message, DownloadPart* part);

}  // namespace client
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CPP_TRANSFER_CODEC_H_
