#include "lib/rpc/batch_wire.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "cairn/storage/v1/batch_service.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/error_reason.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace rpc {
namespace {

using storage::v1::RunRequest;
using storage::v1::RunResponse;

template <typename Message>
Message Generated(const grpc::ByteBuffer& buffer) {
  Message message;
  EXPECT_TRUE(FromByteBuffer(buffer, &message));
  return message;
}

// The same bytes, a few in each slice.
grpc::ByteBuffer Sliced(const grpc::ByteBuffer& buffer, size_t size) {
  grpc::Slice all;
  EXPECT_TRUE(buffer.DumpToSingleSlice(&all).ok());
  std::vector<grpc::Slice> slices;
  for (size_t i = 0; i < all.size(); i += size) {
    slices.emplace_back(all.begin() + i, std::min(size, all.size() - i));
  }
  return grpc::ByteBuffer(slices.data(), slices.size());
}

const char kId[] = "group1/M00/3F/A2/abcdefghijklmnopqrstuvwxyz0123456789ABCD";

// A message Attributes: {"a": "one"}.
const char kAttributes[] = "\x0a\x08\x0a\x01\x61\x12\x03one";

// A message Lifetime: a time_to_live of 300 seconds.
const char kLifetime[] = "\x12\x03\x08\xac\x02";

std::vector<BatchItem> SomeItems() {
  std::vector<BatchItem> items(6);
  items[0].item_id = 1;
  items[0].operation = BatchOperation::kPut;
  items[0].request_id = "0123456789abcdef";
  items[0].store_path = 0;
  items[0].extension = "tar.gz";
  items[0].durability = {2, 3, 1};
  items[0].crc32c = 0xe3069283;
  items[0].content = absl::Cord(std::string(100000, 'a'));
  items[0].attributes = kAttributes;
  items[0].lifetime = kLifetime;
  items[1].item_id = uint64_t{1} << 63;
  items[1].operation = BatchOperation::kGet;
  items[1].file_id = kId;
  items[1].offset = 4096;
  items[1].length = 0;
  items[1].include_attributes = true;
  items[2].operation = BatchOperation::kStat;
  items[2].file_id = kId;
  items[3].item_id = 4;
  items[3].operation = BatchOperation::kDelete;
  items[3].file_id = kId;
  items[3].request_id = "fedcba9876543210";
  items[3].durability.level = 1;
  items[3].purge = true;
  items[3].with_derived = true;
  items[4].item_id = 5;
  items[4].operation = BatchOperation::kPut;
  items[4].content = absl::Cord("small");
  items[4].derived =
      "\x0a\x03"
      "ids\x12\x02_x";  // A DerivedName.
  items[4].dedup = false;
  items[5].item_id = 6;
  items[5].operation = BatchOperation::kAppend;
  items[5].file_id = kId;
  items[5].request_id = "0123456789abcdef";
  items[5].durability.replicas = 2;
  items[5].condition = "\x08\x05";  // An UpdateCondition: 5 bytes.
  items[5].crc32c = 7;
  items[5].content = absl::Cord(std::string(9000, 'c'));
  return items;
}

void ExpectSame(const BatchItem& a, const BatchItem& b) {
  EXPECT_EQ(a.item_id, b.item_id);
  EXPECT_EQ(a.operation, b.operation);
  EXPECT_EQ(a.file_id, b.file_id);
  EXPECT_EQ(a.request_id, b.request_id);
  EXPECT_EQ(a.durability.level, b.durability.level);
  EXPECT_EQ(a.durability.replicas, b.durability.replicas);
  EXPECT_EQ(a.durability.policy, b.durability.policy);
  EXPECT_EQ(a.store_path, b.store_path);
  EXPECT_EQ(a.extension, b.extension);
  EXPECT_EQ(a.crc32c, b.crc32c);
  EXPECT_EQ(a.content, b.content);
  EXPECT_EQ(a.offset, b.offset);
  EXPECT_EQ(a.length, b.length);
  EXPECT_EQ(a.attributes, b.attributes);
  EXPECT_EQ(a.lifetime, b.lifetime);
  EXPECT_EQ(a.derived, b.derived);
  EXPECT_EQ(a.dedup, b.dedup);
  EXPECT_EQ(a.condition, b.condition);
  EXPECT_EQ(a.include_attributes, b.include_attributes);
  EXPECT_EQ(a.purge, b.purge);
  EXPECT_EQ(a.with_derived, b.with_derived);
}

TEST(BatchWireTest, RequestsAreWhatGeneratedCodeReads) {
  BatchRequestWriter writer;
  EXPECT_TRUE(writer.empty());
  for (const BatchItem& item : SomeItems()) writer.Add(item);
  const size_t size = writer.size();
  const grpc::ByteBuffer buffer = writer.Finish();
  EXPECT_EQ(buffer.Length(), size);
  EXPECT_TRUE(writer.empty());

  const RunRequest request = Generated<RunRequest>(buffer);
  ASSERT_EQ(request.items_size(), 6);
  EXPECT_EQ(request.items(5).append().file_id(), kId);
  EXPECT_EQ(request.items(5).append().request_id(), "0123456789abcdef");
  EXPECT_EQ(request.items(5).append().durability().replicas(), 2u);
  EXPECT_EQ(request.items(5).append().condition().size_bytes(), 5);
  EXPECT_EQ(request.items(5).append().crc32c(), 7u);
  EXPECT_EQ(request.items(5).append().content(), std::string(9000, 'c'));
  EXPECT_EQ(request.items(0).item_id(), 1u);
  EXPECT_EQ(request.items(0).put().request_id(), "0123456789abcdef");
  EXPECT_TRUE(request.items(0).put().has_store_path());
  EXPECT_EQ(request.items(0).put().extension(), "tar.gz");
  EXPECT_EQ(request.items(0).put().durability().level(), 2);
  EXPECT_EQ(request.items(0).put().durability().replicas(), 3u);
  EXPECT_EQ(request.items(0).put().durability().policy(), 1);
  EXPECT_EQ(request.items(0).put().crc32c(), 0xe3069283u);
  EXPECT_EQ(request.items(0).put().content(), std::string(100000, 'a'));
  ASSERT_EQ(request.items(0).put().attributes().attributes_size(), 1);
  EXPECT_EQ(request.items(0).put().attributes().attributes(0).value(), "one");
  EXPECT_EQ(request.items(0).put().lifetime().time_to_live().seconds(), 300);
  EXPECT_FALSE(request.items(4).put().has_attributes());
  EXPECT_FALSE(request.items(4).put().has_lifetime());
  EXPECT_FALSE(request.items(0).put().has_derived());
  EXPECT_FALSE(request.items(0).put().has_dedup());
  EXPECT_TRUE(request.items(4).put().has_dedup());
  EXPECT_FALSE(request.items(4).put().dedup());
  EXPECT_EQ(request.items(4).put().derived().master_id(), "ids");
  EXPECT_EQ(request.items(4).put().derived().prefix(), "_x");
  EXPECT_TRUE(request.items(1).get().include_attributes());
  EXPECT_FALSE(request.items(2).stat().include_attributes());
  EXPECT_EQ(request.items(1).item_id(), uint64_t{1} << 63);
  EXPECT_EQ(request.items(1).get().file_id(), kId);
  EXPECT_EQ(request.items(1).get().offset(), 4096);
  EXPECT_TRUE(request.items(1).get().has_length());
  EXPECT_EQ(request.items(2).stat().file_id(), kId);
  EXPECT_EQ(request.items(3).delete_().request_id(), "fedcba9876543210");
  EXPECT_EQ(request.items(3).delete_().durability().level(), 1);
  EXPECT_TRUE(request.items(3).delete_().purge());
  EXPECT_TRUE(request.items(3).delete_().with_derived());
  EXPECT_FALSE(request.items(4).put().has_store_path());
  EXPECT_FALSE(request.items(4).put().has_durability());
  EXPECT_EQ(request.items(4).put().content(), "small");
}

TEST(BatchWireTest, RequestsSurviveTheWayHoweverTheyAreSliced) {
  const std::vector<BatchItem> items = SomeItems();
  BatchRequestWriter writer;
  for (const BatchItem& item : items) writer.Add(item);
  const grpc::ByteBuffer buffer = writer.Finish();
  for (const size_t size : {1, 7, 700, 16384, 1 << 20}) {
    BatchRequestReader reader(Sliced(buffer, size));
    BatchItem item;
    for (const BatchItem& expected : items) {
      ASSERT_TRUE(reader.Next(&item));
      ExpectSame(item, expected);
    }
    EXPECT_FALSE(reader.Next(&item));
    EXPECT_THAT(reader.status(), IsOk());
  }
}

TEST(BatchWireTest, ReadsWhatGeneratedCodeWrites) {
  RunRequest request;
  request.add_items();  // No operation at all.
  request.add_items()->mutable_get()->set_file_id(kId);
  request.add_items()->mutable_put();
  BatchRequestReader reader(ToByteBuffer(request));
  BatchItem item;
  ASSERT_TRUE(reader.Next(&item));
  EXPECT_EQ(item.operation, BatchOperation::kNone);
  ASSERT_TRUE(reader.Next(&item));
  EXPECT_EQ(item.operation, BatchOperation::kGet);
  EXPECT_EQ(item.file_id, kId);
  EXPECT_FALSE(item.length.has_value());
  ASSERT_TRUE(reader.Next(&item));
  EXPECT_EQ(item.operation, BatchOperation::kPut);
  EXPECT_FALSE(reader.Next(&item));
  EXPECT_THAT(reader.status(), IsOk());
}

TEST(BatchWireTest, AMalformedItemEndsTheMessageAfterThoseBefore) {
  RunRequest request;
  request.add_items()->mutable_get()->set_file_id(kId);
  std::string bytes = request.SerializeAsString();
  bytes += "\x0a\x7f";  // An item that is cut off.
  BatchRequestReader reader(ToByteBuffer(bytes));
  BatchItem item;
  EXPECT_TRUE(reader.Next(&item));
  EXPECT_FALSE(reader.Next(&item));
  EXPECT_THAT(reader.status(), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(ReasonOf(reader.status()), ErrorReason::kInvalidField);

  // The tag alone.
  BatchRequestReader tag(ToByteBuffer("\x0a"));
  EXPECT_FALSE(tag.Next(&item));
  EXPECT_FALSE(tag.status().ok());
}

TEST(BatchWireTest, TextsThatAreTooLongAreCut) {
  BatchItem item;
  item.operation = BatchOperation::kDelete;
  const std::string text(100000, 'x');
  item.file_id = item.request_id = text;
  BatchRequestWriter writer;
  writer.Add(item);
  const RunRequest request = Generated<RunRequest>(writer.Finish());
  EXPECT_EQ(request.items(0).delete_().file_id().size(), kBatchTextBytesMax);
}

BatchFileInfo SomeInfo() {
  BatchFileInfo info;
  info.id_prefix = "group1/M00/";
  info.id_rest = "3F/A2/name.jpg";
  info.size_bytes = int64_t{1} << 50;
  info.crc32c = 0xfedcba98;
  info.kind = 1;
  info.create_unix_seconds = 1800000000;
  info.version_clock = 0xfedcba9876543210;
  info.version_node = 0xfffffff0;
  info.origin_node = 0xfffffff1;
  return info;
}

TEST(BatchWireTest, AnswersCarryAttributesOfAnyLength) {
  std::string attributes = kAttributes;
  // A value of 1,000 bytes.
  attributes += std::string("\x0a\xee\x07\x0a\x01z\x12\xe8\x07", 9) +
                std::string(1000, 'v');
  const std::string sha256(32, 'h');
  BatchFileInfo info = SomeInfo();
  info.attributes = attributes;
  info.sha256 = sha256;
  const absl::Cord content(std::string(20000, 'b'));
  BatchResponseWriter writer;
  writer.AddStat(1, info);
  writer.AddGet(2, info, 77, 0x12345678, content);
  writer.AddStat(3, SomeInfo());
  const grpc::ByteBuffer buffer = writer.Finish();

  const RunResponse response = Generated<RunResponse>(buffer);
  ASSERT_EQ(response.answers_size(), 3);
  EXPECT_EQ(response.answers(0).stat().info().attributes().SerializeAsString(),
            attributes);
  EXPECT_EQ(response.answers(0).stat().info().origin_node(), 0xfffffff1u);
  EXPECT_EQ(response.answers(0).stat().info().sha256(), sha256);
  EXPECT_EQ(response.answers(1).get().info().attributes().SerializeAsString(),
            attributes);
  EXPECT_EQ(response.answers(1).get().content(), std::string(content));
  EXPECT_FALSE(response.answers(2).stat().info().has_attributes());

  for (const size_t size : {1, 7, 700, 16384, 1 << 20}) {
    BatchResponseReader reader(Sliced(buffer, size));
    BatchAnswer answer;
    ASSERT_TRUE(reader.Next(&answer));
    EXPECT_EQ(answer.info.attributes, attributes);
    EXPECT_EQ(answer.info.sha256, sha256);
    EXPECT_EQ(answer.info.id_rest, "group1/M00/3F/A2/name.jpg");
    ASSERT_TRUE(reader.Next(&answer));
    EXPECT_EQ(answer.info.attributes, attributes);
    EXPECT_EQ(answer.content, content);
    ASSERT_TRUE(reader.Next(&answer));
    EXPECT_EQ(answer.info.attributes, "");
    EXPECT_FALSE(reader.Next(&answer));
    EXPECT_THAT(reader.status(), IsOk());
  }
}

TEST(BatchWireTest, AttributesThatComeTwiceAreMerged) {
  // One put, twice in its item, each with one attribute.
  const std::string put = std::string("\xf2\x01\x0a", 3) + kAttributes;
  std::string item;
  for (int i = 0; i < 2; ++i) {
    item += std::string("\x12", 1) + static_cast<char>(put.size()) + put;
  }
  const std::string bytes =
      std::string("\x0a", 1) + static_cast<char>(item.size()) + item;
  RunRequest request;
  ASSERT_TRUE(request.ParseFromString(bytes));
  ASSERT_EQ(request.items(0).put().attributes().attributes_size(), 2);
  for (const size_t size : {1, 3, 100}) {
    BatchRequestReader reader(Sliced(ToByteBuffer(bytes), size));
    BatchItem read;
    ASSERT_TRUE(reader.Next(&read));
    EXPECT_EQ(read.attributes, std::string(kAttributes) + kAttributes);
  }
}

TEST(BatchWireTest, ResponsesSurviveTheWayAndAreWhatGeneratedCodeReads) {
  BatchResponseWriter writer;
  const absl::Cord content(std::string(20000, 'b'));
  writer.AddError(
      9, ErrorWithReason(absl::StatusCode::kNotFound, ErrorReason::kFileDeleted,
                         "the file was deleted"));
  writer.AddPut(1, SomeInfo(), 2, 1, true, true);
  writer.AddGet(2, SomeInfo(), 77, 0x12345678, content);
  writer.AddGet(6, SomeInfo(), 0, 0, absl::Cord());
  writer.AddStat(3, SomeInfo());
  writer.AddDelete(4, 1, 32, false, 1800000000, absl::nullopt);
  writer.AddAppend(5, SomeInfo(), 1, 3, false);
  writer.AddDelete(7, 2, 1, true, 0, 0);
  const grpc::ByteBuffer buffer = writer.Finish();

  const RunResponse response = Generated<RunResponse>(buffer);
  ASSERT_EQ(response.answers_size(), 8);
  EXPECT_TRUE(response.answers(7).delete_().has_derived_deleted());
  EXPECT_EQ(response.answers(7).delete_().derived_deleted(), 0u);
  EXPECT_FALSE(response.answers(5).delete_().has_derived_deleted());
  EXPECT_EQ(response.answers(6).append().reached().replicas(), 3u);
  EXPECT_EQ(response.answers(6).append().info().size_bytes(), int64_t{1} << 50);
  EXPECT_EQ(response.answers(0).error().code(), 5);
  const auto& info = response.answers(1).put().info();
  EXPECT_EQ(info.file_id(), "group1/M00/3F/A2/name.jpg");
  EXPECT_EQ(info.size_bytes(), int64_t{1} << 50);
  EXPECT_EQ(info.crc32c(), 0xfedcba98u);
  EXPECT_EQ(info.kind(), common::v1::FILE_KIND_NORMAL);
  EXPECT_EQ(info.create_time().seconds(), 1800000000);
  EXPECT_EQ(info.version().clock(), 0xfedcba9876543210u);
  EXPECT_EQ(info.version().node(), 0xfffffff0u);
  EXPECT_EQ(info.origin_node(), 0xfffffff1u);
  EXPECT_TRUE(response.answers(1).put().replayed());
  EXPECT_TRUE(response.answers(1).put().shared());
  EXPECT_EQ(response.answers(1).put().reached().replicas(), 1u);
  EXPECT_EQ(response.answers(2).get().content(), std::string(content));
  EXPECT_EQ(response.answers(4).stat().info().file_id(), info.file_id());
  EXPECT_EQ(response.answers(5).delete_().reached().replicas(), 32u);
  EXPECT_EQ(response.answers(5).delete_().undelete_until().seconds(),
            1800000000);

  for (const size_t size : {1, 7, 700, 16384, 1 << 20}) {
    BatchResponseReader reader(Sliced(buffer, size));
    BatchAnswer answer;
    ASSERT_TRUE(reader.Next(&answer));
    EXPECT_EQ(answer.item_id, 9u);
    EXPECT_EQ(answer.operation, BatchOperation::kNone);
    EXPECT_THAT(answer.error, StatusIs(absl::StatusCode::kNotFound));
    EXPECT_EQ(ReasonOf(answer.error), ErrorReason::kFileDeleted);
    ASSERT_TRUE(reader.Next(&answer));
    EXPECT_EQ(answer.item_id, 1u);
    EXPECT_TRUE(answer.shared);
    EXPECT_EQ(answer.operation, BatchOperation::kPut);
    EXPECT_THAT(answer.error, IsOk());
    EXPECT_EQ(answer.info.id_rest, "group1/M00/3F/A2/name.jpg");
    EXPECT_EQ(answer.info.size_bytes, int64_t{1} << 50);
    EXPECT_EQ(answer.info.crc32c, 0xfedcba98u);
    EXPECT_EQ(answer.info.create_unix_seconds, 1800000000);
    EXPECT_EQ(answer.info.version_clock, 0xfedcba9876543210u);
    EXPECT_EQ(answer.info.version_node, 0xfffffff0u);
    EXPECT_EQ(answer.info.origin_node, 0xfffffff1u);
    EXPECT_EQ(answer.reached_level, 2u);
    EXPECT_EQ(answer.reached_replicas, 1u);
    EXPECT_TRUE(answer.replayed);
    ASSERT_TRUE(reader.Next(&answer));
    EXPECT_EQ(answer.operation, BatchOperation::kGet);
    EXPECT_EQ(answer.offset, 77);
    EXPECT_EQ(answer.crc32c, 0x12345678u);
    EXPECT_EQ(answer.content, content);
    ASSERT_TRUE(reader.Next(&answer));
    EXPECT_TRUE(answer.content.empty());
    ASSERT_TRUE(reader.Next(&answer));
    EXPECT_EQ(answer.operation, BatchOperation::kStat);
    ASSERT_TRUE(reader.Next(&answer));
    EXPECT_EQ(answer.operation, BatchOperation::kDelete);
    EXPECT_EQ(answer.reached_replicas, 32u);
    EXPECT_EQ(answer.undelete_until_unix_seconds, 1800000000);
    EXPECT_EQ(answer.derived_deleted, absl::nullopt);
    EXPECT_FALSE(answer.replayed);
    ASSERT_TRUE(reader.Next(&answer));
    EXPECT_EQ(answer.operation, BatchOperation::kAppend);
    EXPECT_EQ(answer.info.id_rest, "group1/M00/3F/A2/name.jpg");
    EXPECT_EQ(answer.reached_replicas, 3u);
    ASSERT_TRUE(reader.Next(&answer));
    EXPECT_EQ(answer.operation, BatchOperation::kDelete);
    EXPECT_EQ(answer.derived_deleted, 0u);
    EXPECT_TRUE(answer.replayed);
    EXPECT_FALSE(reader.Next(&answer));
    EXPECT_THAT(reader.status(), IsOk());
  }
}

}  // namespace
}  // namespace rpc
}  // namespace cairn
