// The hand-written messages against Protobuf's own, however they are cut into
// pieces on the way.

#include "clients/cpp/batch_codec.h"

#include <string>
#include <utility>
#include <vector>

#include "cairn/storage/v1/batch_service.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/attributes/attributes.h"

namespace cairn {
namespace client {
namespace {

namespace pb = cairn::storage::v1;

SmallRequest PutOf(const std::string& content) {
  SmallRequest request;
  request.kind = SmallKind::kPut;
  request.request_id = Uuid::Random();
  request.extension = "tar.gz";
  request.store_path = 3;
  request.durability.level = DurabilityLevel::kCached;
  request.durability.replicas = 2;
  request.durability.policy = ReplicaPolicy::kRequired;
  request.crc32c = 0xfffffff0;
  request.content = absl::Cord(content);
  return request;
}

pb::RunRequest Parsed(BatchMessage* message) {
  pb::RunRequest request;
  EXPECT_TRUE(request.ParseFromString(std::string(message->Take())));
  return request;
}

// `bytes` in pieces of `size`, each its own node of the cord.
absl::Cord InPieces(const std::string& bytes, size_t size) {
  absl::Cord cord;
  for (size_t at = 0; at < bytes.size(); at += size) {
    auto* piece = new std::string(bytes.substr(at, size));
    cord.Append(absl::MakeCordFromExternal(
        absl::string_view(piece->data(), piece->size()),
        [piece](absl::string_view) { delete piece; }));
  }
  return cord;
}

TEST(BatchMessageTest, APutIsWhatProtobufReads) {
  for (const size_t size :
       {size_t{0}, size_t{1}, size_t{4096}, size_t{16384}, size_t{1} << 20}) {
    const std::string content(size, 'x');
    const SmallRequest put = PutOf(content);
    BatchMessage message;
    message.Add(12345678901, put);
    const pb::RunRequest request = Parsed(&message);
    ASSERT_EQ(request.items_size(), 1);
    EXPECT_EQ(request.items(0).item_id(), 12345678901);
    ASSERT_TRUE(request.items(0).has_put());
    const pb::PutOperation& got = request.items(0).put();
    EXPECT_EQ(got.request_id(), std::string(put.request_id.bytes()));
    EXPECT_EQ(got.store_path(), 3);
    EXPECT_EQ(got.extension(), "tar.gz");
    EXPECT_EQ(got.durability().level(), common::v1::DURABILITY_LEVEL_CACHED);
    EXPECT_EQ(got.durability().replicas(), 2);
    EXPECT_EQ(got.durability().policy(), common::v1::REPLICA_POLICY_REQUIRED);
    EXPECT_EQ(got.crc32c(), 0xfffffff0);
    EXPECT_FALSE(got.has_dedup());
    EXPECT_EQ(got.content(), content);
  }
}

TEST(BatchMessageTest, ABorrowedContentIsTheSame) {
  const std::string content(100000, 'b');
  SmallRequest put = PutOf("");
  put.borrowed = content;
  BatchMessage message;
  message.Add(1, put);
  const pb::RunRequest request = Parsed(&message);
  EXPECT_EQ(request.items(0).put().content(), content);
}

TEST(BatchMessageTest, ItemsOfAllKindsShareAMessage) {
  SmallRequest get;
  get.kind = SmallKind::kGet;
  get.file_id = "group1/M00/00/00/name";
  get.offset = int64_t{1} << 40;
  get.length = 0;
  SmallRequest stat;
  stat.kind = SmallKind::kStat;
  stat.file_id = "s";
  SmallRequest remove;
  remove.kind = SmallKind::kDelete;
  remove.file_id = "d";
  remove.purge = true;
  remove.with_derived = true;
  remove.request_id = Uuid::Random();
  SmallRequest set;
  set.kind = SmallKind::kSetAttributes;
  set.file_id = "a";
  set.request_id = Uuid::Random();
  set.attributes = EncodeAttributes({{"k", std::string(1000, 'v')}});
  set.remove = {"x", "yy"};
  set.if_version_match = std::make_pair(uint64_t{1} << 60, 9u);
  SmallRequest overwrite = set;
  overwrite.overwrite = true;
  overwrite.attributes.clear();
  overwrite.remove.clear();
  overwrite.if_version_match.reset();
  SmallRequest put = PutOf(std::string(30000, 'p'));
  put.attributes = set.attributes;
  put.derived_from = "group1/M00/00/00/master.jpg";
  put.prefix = "_small";
  put.dedup = true;
  put.lifetime = EncodeLifetime({.time_to_live = absl::Milliseconds(1500)});
  get.include_attributes = true;
  SmallRequest append;
  append.kind = SmallKind::kAppend;
  append.file_id = "l";
  append.request_id = Uuid::Random();
  append.if_size_bytes = int64_t{1} << 40;
  append.if_version_match = set.if_version_match;
  append.crc32c = 0xfffffff0;
  append.content = absl::Cord(std::string(40000, 'l'));
  SmallRequest always = append;
  always.if_size_bytes.reset();
  always.if_version_match.reset();
  always.content.Clear();

  BatchMessage message;
  message.Add(1, put);
  message.Add(2, get);
  message.Add(3, stat);
  message.Add(4, remove);
  message.Add(5, set);
  message.Add(6, overwrite);
  message.Add(7, append);
  message.Add(8, always);
  const pb::RunRequest request = Parsed(&message);
  ASSERT_EQ(request.items_size(), 8);
  const pb::AppendOperation& added = request.items(6).append();
  EXPECT_EQ(added.file_id(), "l");
  EXPECT_EQ(added.request_id(), std::string(append.request_id.bytes()));
  EXPECT_EQ(added.condition().size_bytes(), int64_t{1} << 40);
  EXPECT_EQ(added.condition().version().clock(), uint64_t{1} << 60);
  EXPECT_EQ(added.crc32c(), 0xfffffff0);
  EXPECT_EQ(added.content(), std::string(append.content));
  EXPECT_FALSE(request.items(7).append().has_condition());
  EXPECT_EQ(request.items(7).append().content(), "");
  ASSERT_EQ(request.items(0).put().attributes().attributes_size(), 1);
  EXPECT_EQ(request.items(0).put().attributes().attributes(0).key(), "k");
  EXPECT_EQ(request.items(0).put().derived().master_id(), put.derived_from);
  EXPECT_EQ(request.items(0).put().derived().prefix(), "_small");
  EXPECT_TRUE(request.items(0).put().dedup());
  EXPECT_EQ(request.items(0).put().content(), std::string(30000, 'p'));
  EXPECT_EQ(request.items(0).put().lifetime().time_to_live().seconds(), 1);
  EXPECT_EQ(request.items(0).put().lifetime().time_to_live().nanos(),
            500000000);
  EXPECT_TRUE(request.items(1).get().include_attributes());
  EXPECT_FALSE(request.items(2).stat().include_attributes());
  const pb::SetAttributesOperation& change = request.items(4).set_attributes();
  EXPECT_EQ(change.file_id(), "a");
  EXPECT_EQ(change.request_id(), std::string(set.request_id.bytes()));
  EXPECT_EQ(change.mode(), common::v1::ATTRIBUTES_MODE_MERGE);
  EXPECT_EQ(change.attributes().SerializeAsString(), set.attributes);
  ASSERT_EQ(change.remove_size(), 2);
  EXPECT_EQ(change.remove(1), "yy");
  EXPECT_EQ(change.if_version_match().clock(), uint64_t{1} << 60);
  EXPECT_EQ(change.if_version_match().node(), 9);
  EXPECT_EQ(change.durability().level(), common::v1::DURABILITY_LEVEL_SYNCED);
  EXPECT_EQ(request.items(5).set_attributes().mode(),
            common::v1::ATTRIBUTES_MODE_OVERWRITE);
  EXPECT_FALSE(request.items(5).set_attributes().has_if_version_match());
  EXPECT_EQ(request.items(0).put().content().size(), 30000);
  EXPECT_EQ(request.items(1).get().file_id(), get.file_id);
  EXPECT_EQ(request.items(1).get().offset(), get.offset);
  EXPECT_TRUE(request.items(1).get().has_length());
  EXPECT_EQ(request.items(1).get().length(), 0);
  EXPECT_EQ(request.items(2).stat().file_id(), "s");
  EXPECT_EQ(request.items(3).delete_().file_id(), "d");
  EXPECT_EQ(request.items(3).delete_().request_id(),
            std::string(remove.request_id.bytes()));
  EXPECT_TRUE(request.items(3).delete_().purge());
  EXPECT_TRUE(request.items(3).delete_().with_derived());
  EXPECT_EQ(request.items(3).delete_().durability().level(),
            common::v1::DURABILITY_LEVEL_SYNCED);
  EXPECT_EQ(message.size(), 0);
}

pb::RunResponse AnswersOfAllKinds() {
  pb::RunResponse response;
  common::v1::FileInfo info;
  info.set_file_id("group1/M00/3F/A2/abcdefghijklmnopqrstuvwxyz0123456789_-AB");
  info.set_size_bytes(5000);
  info.set_crc32c(0x12345678);
  info.set_kind(common::v1::FILE_KIND_NORMAL);
  info.mutable_create_time()->set_seconds(1767225600);
  info.mutable_version()->set_clock(uint64_t{1} << 60);
  info.mutable_version()->set_node(9);
  info.set_origin_node(0xffffffff);
  info.set_sha256(std::string(32, 'h'));

  pb::BatchAnswer* put = response.add_answers();
  put->set_item_id(1);
  *put->mutable_put()->mutable_info() = info;
  put->mutable_put()->mutable_reached()->set_level(
      common::v1::DURABILITY_LEVEL_SYNCED);
  put->mutable_put()->mutable_reached()->set_replicas(2);
  put->mutable_put()->set_replayed(true);
  put->mutable_put()->set_shared(true);
  pb::BatchAnswer* get = response.add_answers();
  get->set_item_id(2);
  *get->mutable_get()->mutable_info() = info;
  get->mutable_get()->set_offset(10);
  get->mutable_get()->set_crc32c(7);
  get->mutable_get()->set_content(std::string(5000, 'c'));
  pb::BatchAnswer* large = response.add_answers();
  large->set_item_id(3);
  *large->mutable_get()->mutable_info() = info;
  large->mutable_get()->set_content(std::string(300000, 'l'));
  pb::BatchAnswer* empty = response.add_answers();
  empty->set_item_id(4);
  *empty->mutable_get()->mutable_info() = info;
  pb::BatchAnswer* stat = response.add_answers();
  stat->set_item_id(5);
  *stat->mutable_stat()->mutable_info() = info;
  pb::BatchAnswer* remove = response.add_answers();
  remove->set_item_id(6);
  remove->mutable_delete_()->mutable_reached()->set_level(
      common::v1::DURABILITY_LEVEL_CACHED);
  remove->mutable_delete_()->mutable_reached()->set_replicas(1);
  remove->mutable_delete_()->mutable_undelete_until()->set_seconds(1800000000);
  remove->mutable_delete_()->set_derived_deleted(300);
  pb::BatchAnswer* error = response.add_answers();
  error->set_item_id(7);
  error->mutable_error()->set_code(5);
  error->mutable_error()->set_message(std::string(5000, 'e'));
  return response;
}

TEST(AnswerReaderTest, ReadsWhatProtobufWroteHoweverItIsCut) {
  const pb::RunResponse response = AnswersOfAllKinds();
  const std::string bytes = response.SerializeAsString();
  for (const size_t piece : {bytes.size(), size_t{16384}, size_t{4096},
                             size_t{777}, size_t{64}, size_t{3}}) {
    SCOPED_TRACE(piece);
    const absl::Cord message = InPieces(bytes, piece);
    AnswerReader reader(message);
    SmallAnswer answer;

    ASSERT_EQ(reader.Next(&answer), AnswerReader::Result::kAnswer);
    EXPECT_EQ(answer.item_id, 1);
    EXPECT_EQ(answer.kind, SmallKind::kPut);
    EXPECT_FALSE(answer.failed);
    EXPECT_EQ(answer.info.file_id, response.answers(0).put().info().file_id());
    EXPECT_EQ(answer.info.size_bytes, 5000);
    EXPECT_EQ(answer.info.crc32c, 0x12345678);
    EXPECT_EQ(answer.info.create_time, absl::FromUnixSeconds(1767225600));
    EXPECT_EQ(answer.info.version_clock, uint64_t{1} << 60);
    EXPECT_EQ(answer.info.version_node, 9);
    EXPECT_EQ(answer.info.origin_node, 0xffffffff);
    EXPECT_EQ(answer.reached.level, DurabilityLevel::kSynced);
    EXPECT_EQ(answer.reached.replicas, 2);
    EXPECT_TRUE(answer.replayed);
    EXPECT_TRUE(answer.shared);
    EXPECT_EQ(answer.info.sha256, std::string(32, 'h'));

    ASSERT_EQ(reader.Next(&answer), AnswerReader::Result::kAnswer);
    EXPECT_EQ(answer.item_id, 2);
    EXPECT_EQ(answer.kind, SmallKind::kGet);
    EXPECT_EQ(answer.offset, 10);
    EXPECT_EQ(answer.crc32c, 7);
    EXPECT_EQ(std::string(answer.content), std::string(5000, 'c'));
    EXPECT_FALSE(answer.replayed);
    EXPECT_FALSE(answer.shared);

    ASSERT_EQ(reader.Next(&answer), AnswerReader::Result::kAnswer);
    EXPECT_EQ(answer.item_id, 3);
    EXPECT_EQ(std::string(answer.content), std::string(300000, 'l'));

    ASSERT_EQ(reader.Next(&answer), AnswerReader::Result::kAnswer);
    EXPECT_EQ(answer.item_id, 4);
    EXPECT_EQ(answer.kind, SmallKind::kGet);
    EXPECT_TRUE(answer.content.empty());

    ASSERT_EQ(reader.Next(&answer), AnswerReader::Result::kAnswer);
    EXPECT_EQ(answer.item_id, 5);
    EXPECT_EQ(answer.kind, SmallKind::kStat);
    EXPECT_EQ(answer.info.size_bytes, 5000);

    ASSERT_EQ(reader.Next(&answer), AnswerReader::Result::kAnswer);
    EXPECT_EQ(answer.item_id, 6);
    EXPECT_EQ(answer.kind, SmallKind::kDelete);
    EXPECT_EQ(answer.reached.level, DurabilityLevel::kCached);
    EXPECT_EQ(answer.undelete_until, absl::FromUnixSeconds(1800000000));
    EXPECT_EQ(answer.derived_deleted, 300u);

    ASSERT_EQ(reader.Next(&answer), AnswerReader::Result::kAnswer);
    EXPECT_EQ(answer.item_id, 7);
    EXPECT_TRUE(answer.failed);
    EXPECT_EQ(answer.status_bytes,
              response.answers(6).error().SerializeAsString());

    EXPECT_EQ(reader.Next(&answer), AnswerReader::Result::kEnd);
  }
}

TEST(AnswerReaderTest, NoCutOffMessageIsTakenForAWholeOne) {
  const std::string bytes = AnswersOfAllKinds().SerializeAsString();
  // Every end in the small answers, some in the large one.
  for (size_t size = 1;
       size<bytes.size(); size += size> 6000 && size < 300000 ? 1009 : 1) {
    const absl::Cord message(absl::string_view(bytes.data(), size));
    AnswerReader reader(message);
    SmallAnswer answer;
    int answers = 0;
    AnswerReader::Result result;
    while ((result = reader.Next(&answer)) == AnswerReader::Result::kAnswer) {
      ++answers;
    }
    EXPECT_LT(answers, 7) << size;
    // An end between two answers is a whole message with fewer of them.
    if (result == AnswerReader::Result::kEnd) {
      pb::RunResponse shorter;
      ASSERT_TRUE(shorter.ParseFromArray(bytes.data(), static_cast<int>(size)));
      EXPECT_EQ(shorter.answers_size(), answers);
    }
  }
}

TEST(AnswerReaderTest, UnknownFieldsArePassedOver) {
  pb::RunResponse response = AnswersOfAllKinds();
  for (pb::BatchAnswer& answer : *response.mutable_answers()) {
    if (answer.has_get()) continue;  // Content comes last, by contract.
    answer.GetReflection()->MutableUnknownFields(&answer)->AddVarint(99, 5);
    answer.GetReflection()->MutableUnknownFields(&answer)->AddLengthDelimited(
        100, "from a later version");
  }
  const absl::Cord message(response.SerializeAsString());
  AnswerReader reader(message);
  SmallAnswer answer;
  int answers = 0;
  while (reader.Next(&answer) == AnswerReader::Result::kAnswer) ++answers;
  EXPECT_EQ(answers, response.answers_size());
}

}  // namespace
}  // namespace client
}  // namespace cairn
