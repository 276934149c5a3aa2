#include "lib/rpc/chunk_wire.h"

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/error_reason.h"
#include "lib/rpc/wire.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace rpc {
namespace {

using storage::v1::DownloadResponse;
using storage::v1::UploadRequest;

std::string Flatten(const grpc::ByteBuffer& buffer) {
  grpc::Slice slice;
  EXPECT_TRUE(buffer.DumpToSingleSlice(&slice).ok());
  return std::string(reinterpret_cast<const char*>(slice.begin()),
                     slice.size());
}

// The same bytes in slices of `sizes` in turn.
grpc::ByteBuffer InSlices(absl::string_view bytes,
                          const std::vector<size_t>& sizes) {
  std::vector<grpc::Slice> slices;
  for (size_t i = 0; !bytes.empty(); ++i) {
    const size_t n = std::min(bytes.size(), sizes[i % sizes.size()]);
    slices.emplace_back(bytes.data(), n);
    bytes.remove_prefix(n);
  }
  return grpc::ByteBuffer(slices.data(), slices.size());
}

Chunk SomeChunk(size_t size) {
  Chunk chunk;
  chunk.offset = int64_t{5} << 40;
  chunk.crc32c = 0x81020304;
  std::string data(size, '\0');
  for (size_t i = 0; i < size; ++i) data[i] = static_cast<char>(i * 7 + i / 9);
  chunk.data = absl::Cord(data);
  return chunk;
}

TEST(ChunkWireTest, AChunkIsWhatGeneratedCodeReads) {
  for (const size_t size : {0, 1, 100, 8191, 8192, 300000, 2 << 20}) {
    const Chunk chunk = SomeChunk(size);
    DownloadResponse response;
    ASSERT_TRUE(response.ParseFromString(Flatten(MakeDownloadChunk(chunk))));
    EXPECT_EQ(response.chunk().offset(), chunk.offset);
    EXPECT_EQ(response.chunk().crc32c(), chunk.crc32c);
    EXPECT_EQ(response.chunk().data(), std::string(chunk.data));

    storage::v1::UploadFinish finish;
    finish.set_crc32c(77);
    UploadRequest request;
    ASSERT_TRUE(
        request.ParseFromString(Flatten(MakeUploadChunk(chunk, &finish))));
    EXPECT_EQ(request.chunk().data(), std::string(chunk.data));
    EXPECT_EQ(request.finish().crc32c(), 77u);
    ASSERT_TRUE(
        request.ParseFromString(Flatten(MakeUploadChunk(chunk, nullptr))));
    EXPECT_FALSE(request.has_finish());
  }
}

TEST(ChunkWireTest, ReadsWhatGeneratedCodeWritesHoweverItIsSliced) {
  UploadRequest request;
  request.mutable_finish()->set_crc32c(5);
  request.mutable_chunk()->set_offset(123456789);
  request.mutable_chunk()->set_crc32c(0xdeadbeef);
  request.mutable_chunk()->set_data(std::string(SomeChunk(70000).data));
  const std::string bytes = request.SerializeAsString();
  for (const std::vector<size_t>& sizes : std::vector<std::vector<size_t>>{
           {1 << 30}, {1}, {2, 3}, {16384}, {3, 9000, 1, 600}}) {
    UploadMessage message;
    ASSERT_THAT(ParseUploadMessage(InSlices(bytes, sizes), &message), IsOk());
    ASSERT_TRUE(message.chunk.has_value());
    EXPECT_EQ(message.chunk->offset, 123456789);
    EXPECT_EQ(message.chunk->crc32c, 0xdeadbeef);
    EXPECT_EQ(std::string(message.chunk->data), request.chunk().data());
    ASSERT_TRUE(message.finish.has_value());
    EXPECT_EQ(message.finish->crc32c(), 5u);
    EXPECT_FALSE(message.spec.has_value());
  }
}

TEST(ChunkWireTest, TheDataOutlivesTheMessageThatItCameIn) {
  absl::Cord data;
  {
    UploadMessage message;
    ASSERT_THAT(ParseUploadMessage(MakeUploadChunk(SomeChunk(100000), nullptr),
                                   &message),
                IsOk());
    data = message.chunk->data;
  }
  EXPECT_EQ(data, SomeChunk(100000).data);
}

TEST(ChunkWireTest, ContentIsReferredToAndReleased) {
  bool released = false;
  const std::string bytes(100000, 'x');
  {
    Chunk chunk;
    chunk.data =
        absl::MakeCordFromExternal(bytes, [&released] { released = true; });
    grpc::ByteBuffer buffer = MakeDownloadChunk(chunk);
    chunk.data.Clear();
    EXPECT_FALSE(released);
    std::vector<grpc::Slice> slices;
    ASSERT_TRUE(buffer.Dump(&slices).ok());
    ASSERT_EQ(slices.size(), 2u);
    EXPECT_EQ(static_cast<const void*>(slices[1].begin()), bytes.data());
  }
  EXPECT_TRUE(released);
}

TEST(ChunkWireTest, ReadsInfoAndSpec) {
  DownloadResponse response;
  response.mutable_info()->set_file_id("group1/M00/aa");
  DownloadMessage down;
  ASSERT_THAT(ParseDownloadMessage(ToByteBuffer(response), &down), IsOk());
  ASSERT_TRUE(down.info.has_value());
  EXPECT_EQ(down.info->file_id(), "group1/M00/aa");
  EXPECT_FALSE(down.chunk.has_value());

  UploadRequest request;
  request.mutable_spec()->set_extension("jpg");
  UploadMessage up;
  ASSERT_THAT(ParseUploadMessage(ToByteBuffer(request), &up), IsOk());
  ASSERT_TRUE(up.spec.has_value());
  EXPECT_EQ(up.spec->extension(), "jpg");

  // An empty message has neither.
  ASSERT_THAT(ParseUploadMessage(grpc::ByteBuffer(), &up), IsOk());
  EXPECT_FALSE(up.spec.has_value());
}

TEST(ChunkWireTest, EveryTruncationIsMalformedOrShorterAndNeverACrash) {
  UploadRequest request;
  request.mutable_chunk()->set_offset(300);
  request.mutable_chunk()->set_crc32c(1);
  request.mutable_chunk()->set_data("hello");
  const std::string bytes = request.SerializeAsString();
  for (size_t n = 1; n < bytes.size(); ++n) {
    UploadMessage message;
    const absl::Status status =
        ParseUploadMessage(InSlices(bytes.substr(0, n), {1}), &message);
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument)) << n;
    EXPECT_EQ(ReasonOf(status), ErrorReason::kInvalidField);
  }
}

TEST(ChunkWireTest, RefusesWhatIsNoMessage) {
  const std::string bad[] = {
      std::string("\x00", 1),  // Field 0.
      "\x0b",                  // A group.
      "\x7a\x05",              // Length past the end.
      "\x78\x01",              // A chunk that is a number.
      "\x7a\x02\x08",          // A chunk that is cut off.
      "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  // Too long a varint.
      "\x7a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  // A huge length.
  };
  for (const std::string& bytes : bad) {
    UploadMessage message;
    EXPECT_THAT(ParseUploadMessage(ToByteBuffer(bytes), &message),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

}  // namespace
}  // namespace rpc
}  // namespace cairn
