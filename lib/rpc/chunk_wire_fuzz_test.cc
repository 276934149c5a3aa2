// Bytes from anybody as UploadRequest and DownloadResponse: whatever the
// hand-written reader takes, generated code reads alike; and what generated
// code writes, the reader takes.

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "lib/base/check.h"
#include "lib/rpc/chunk_wire.h"
#include "lib/rpc/wire.h"

namespace {

using cairn::rpc::Chunk;
using cairn::storage::v1::DownloadResponse;
using cairn::storage::v1::UploadRequest;

grpc::ByteBuffer InSlices(const char* data, size_t size, size_t slice) {
  std::vector<grpc::Slice> slices;
  for (size_t i = 0; i < size; i += slice) {
    slices.emplace_back(data + i, std::min(slice, size - i));
  }
  return grpc::ByteBuffer(slices.data(), slices.size());
}

void CheckSame(const Chunk& chunk, const cairn::common::v1::Chunk& expected) {
  CAIRN_CHECK(chunk.offset == expected.offset());
  CAIRN_CHECK(chunk.crc32c == expected.crc32c());
  CAIRN_CHECK(chunk.data == expected.data());
}

void CheckSame(const cairn::rpc::UploadMessage& message,
               const UploadRequest& expected) {
  CAIRN_CHECK(message.chunk.has_value() == expected.has_chunk());
  CAIRN_CHECK(message.spec.has_value() == expected.has_spec());
  CAIRN_CHECK(message.finish.has_value() == expected.has_finish());
  if (message.chunk.has_value()) CheckSame(*message.chunk, expected.chunk());
  if (message.spec.has_value()) {
    CAIRN_CHECK(message.spec->SerializeAsString() ==
                expected.spec().SerializeAsString());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  // The first byte says how the rest is sliced.
  const size_t slice = 1 + data[0] % 64;
  const char* const bytes = reinterpret_cast<const char*>(data + 1);
  --size;
  const grpc::ByteBuffer buffer = InSlices(bytes, size, slice);

  UploadRequest request;
  const bool generated = request.ParseFromArray(bytes, static_cast<int>(size));
  cairn::rpc::UploadMessage upload;
  const bool taken = cairn::rpc::ParseUploadMessage(buffer, &upload).ok();
  if (taken && generated) CheckSame(upload, request);
  if (generated) {
    request.DiscardUnknownFields();
    const std::string again = request.SerializeAsString();
    CAIRN_CHECK(cairn::rpc::ParseUploadMessage(
                    InSlices(again.data(), again.size(), slice), &upload)
                    .ok());
    CheckSame(upload, request);
  }

  DownloadResponse response;
  cairn::rpc::DownloadMessage download;
  if (cairn::rpc::ParseDownloadMessage(buffer, &download).ok() &&
      response.ParseFromArray(bytes, static_cast<int>(size))) {
    CAIRN_CHECK(download.chunk.has_value() == response.has_chunk());
    if (download.chunk.has_value()) {
      CheckSame(*download.chunk, response.chunk());
    }
  }
  return 0;
}
