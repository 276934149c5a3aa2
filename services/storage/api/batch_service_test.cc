// Many operations share a stream: each is answered, however it ends, and
// neither a slow disk, a slow client nor one that vanishes takes more than its
// share.

#include "services/storage/api/batch_service.h"

#include <grpcpp/grpcpp.h>

#include <map>
#include <memory>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/attributes/attributes.h"
#include "lib/base/error_reason.h"
#include "lib/base/executor.h"
#include "lib/base/mutex.h"
#include "lib/base/uuid.h"
#include "lib/checksum/crc32c.h"
#include "lib/checksum/sha256.h"
#include "lib/file_id/file_id.h"
#include "lib/rpc/grpc_status.h"
#include "lib/testing/status_matchers.h"
#include "services/storage/api/item_observer.h"
#include "services/storage/core/byte_budget.h"
#include "services/storage/core/replicator.h"
#include "services/storage/core/storage_node.h"
#include "services/storage/core/testing/fake_store_path.h"

namespace cairn {
namespace storage {
namespace {

class CountingObserver : public ItemObserver {
 public:
  void ItemAnswered(rpc::BatchOperation operation, const absl::Status& outcome,
                    absl::Duration took, int64_t bytes_in,
                    int64_t bytes_out) override {
    MutexLock lock(&mu_);
    ++answered_;
    failed_ += outcome.ok() ? 0 : 1;
    bytes_in_ += bytes_in;
    bytes_out_ += bytes_out;
  }
  int answered() {
    MutexLock lock(&mu_);
    return answered_;
  }
  int failed() {
    MutexLock lock(&mu_);
    return failed_;
  }
  int64_t bytes_in() {
    MutexLock lock(&mu_);
    return bytes_in_;
  }
  int64_t bytes_out() {
    MutexLock lock(&mu_);
    return bytes_out_;
  }

 private:
  Mutex mu_;
  int answered_ = 0;
  int failed_ = 0;
  int64_t bytes_in_ = 0;
  int64_t bytes_out_ = 0;
};

class BatchServiceTest : public ::testing::Test {
 protected:
  using Stream = grpc::ClientReaderWriter<v1::RunRequest, v1::RunResponse>;

  BatchServiceTest() {
    NodeIdentity identity;
    identity.node_number = 7;
    identity.group = "group1";
    node_ = std::make_unique<StorageNode>(identity, PathPolicy::kRoundRobin,
                                          &codec_, Clock::Real());
  }

  void Start(int paths = 1, BatchServiceOptions options = {}) {
    for (int i = 0; i < paths; ++i) {
      StorePathHooks hooks;
      hooks.open = [this]() -> absl::StatusOr<std::unique_ptr<StorePath>> {
        auto path = std::make_unique<FakeStorePath>();
        fakes_.push_back(path.get());
        return std::unique_ptr<StorePath>(std::move(path));
      };
      ASSERT_THAT(node_->AddPath("/disk", hooks), IsOk());
    }
    service_ = std::make_unique<BatchServiceImpl>(
        node_.get(), &budget_, &alone_, Clock::Real(), &executor_, &observer_,
        options);
    grpc::ServerBuilder builder;
    builder.SetMaxReceiveMessageSize(8 << 20);
    builder.RegisterService(service_.get());
    server_ = builder.BuildAndStart();
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    stub_ = v1::BatchService::NewStub(server_->InProcessChannel(arguments));
  }
  ~BatchServiceTest() override {
    if (server_ != nullptr) server_->Shutdown();
    EXPECT_EQ(budget_.taken_bytes(), 0);
  }

  static v1::BatchItem PutItem(uint64_t item_id, const std::string& content,
                               const Uuid& request_id = Uuid::Random()) {
    v1::BatchItem item;
    item.set_item_id(item_id);
    item.mutable_put()->set_request_id(std::string(request_id.bytes()));
    item.mutable_put()->set_extension("txt");
    item.mutable_put()->set_crc32c(Crc32c(content));
    item.mutable_put()->set_content(content);
    return item;
  }
  static v1::BatchItem GetItem(uint64_t item_id, const std::string& file_id) {
    v1::BatchItem item;
    item.set_item_id(item_id);
    item.mutable_get()->set_file_id(file_id);
    return item;
  }
  static v1::BatchItem StatItem(uint64_t item_id, const std::string& file_id) {
    v1::BatchItem item;
    item.set_item_id(item_id);
    item.mutable_stat()->set_file_id(file_id);
    return item;
  }
  static v1::BatchItem DeleteItem(uint64_t item_id, const std::string& file_id,
                                  const Uuid& request_id = Uuid()) {
    v1::BatchItem item;
    item.set_item_id(item_id);
    item.mutable_delete_()->set_file_id(file_id);
    if (!request_id.is_nil()) {
      item.mutable_delete_()->set_request_id(std::string(request_id.bytes()));
    }
    return item;
  }

  // Sends all items in one message on a stream of their own; the answers by
  // their item.
  std::map<uint64_t, v1::BatchAnswer> Run(
      const std::vector<v1::BatchItem>& items,
      grpc::Status expected = grpc::Status::OK) {
    grpc::ClientContext context;
    const auto stream = stub_->Run(&context);
    v1::RunRequest request;
    for (const v1::BatchItem& item : items) *request.add_items() = item;
    stream->Write(request);
    stream->WritesDone();
    std::map<uint64_t, v1::BatchAnswer> answers;
    v1::RunResponse response;
    while (stream->Read(&response)) {
      for (const v1::BatchAnswer& answer : response.answers()) {
        EXPECT_TRUE(answers.emplace(answer.item_id(), answer).second);
      }
    }
    EXPECT_EQ(stream->Finish().error_code(), expected.error_code());
    return answers;
  }

  v1::BatchAnswer RunOne(const v1::BatchItem& item) {
    return Run({item})[item.item_id()];
  }

  static ErrorReason ReasonOfAnswer(const v1::BatchAnswer& answer) {
    EXPECT_TRUE(answer.has_error());
    return ReasonOf(rpc::FromRpcStatus(answer.error()));
  }

  std::string PutSomething(const std::string& content) {
    const v1::BatchAnswer answer = RunOne(PutItem(1, content));
    EXPECT_TRUE(answer.has_put()) << answer.DebugString();
    return answer.put().info().file_id();
  }

  FileIdCodec codec_{"secret"};
  ByteBudget budget_{4 << 20};
  ThreadPool executor_{"executor", 2, 100};
  CountingObserver observer_;
  std::vector<FakeStorePath*> fakes_;
  std::unique_ptr<StorageNode> node_;
  ReplicaGate alone_{7};
  std::unique_ptr<BatchServiceImpl> service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::BatchService::Stub> stub_;
};

TEST_F(BatchServiceTest, WhatIsPutIsReadBackStatedAndDeleted) {
  Start();
  for (const bool cold : {false, true}) {
    fakes_[0]->set_cold(cold);
    const std::string content(10000, 'c');
    const v1::BatchAnswer put = RunOne(PutItem(5, content));
    ASSERT_TRUE(put.has_put()) << put.DebugString();
    EXPECT_EQ(put.put().info().size_bytes(), 10000);
    EXPECT_EQ(put.put().info().crc32c(), Crc32c(content));
    EXPECT_EQ(put.put().info().kind(), common::v1::FILE_KIND_NORMAL);
    EXPECT_EQ(put.put().reached().level(), common::v1::DURABILITY_LEVEL_SYNCED);
    EXPECT_EQ(put.put().reached().replicas(), 1u);
    EXPECT_FALSE(put.put().replayed());
    const std::string id = put.put().info().file_id();
    EXPECT_THAT(codec_.Verify(id), IsOk());

    const v1::BatchAnswer got = RunOne(GetItem(6, id));
    EXPECT_EQ(got.get().content(), content);
    EXPECT_EQ(got.get().crc32c(), Crc32c(content));
    EXPECT_EQ(got.get().info().file_id(), id);
    EXPECT_EQ(RunOne(StatItem(7, id)).stat().info().DebugString(),
              put.put().info().DebugString());
    EXPECT_TRUE(RunOne(DeleteItem(8, id)).has_delete_());
    EXPECT_EQ(ReasonOfAnswer(RunOne(GetItem(9, id))),
              ErrorReason::kFileDeleted);
    EXPECT_EQ(ReasonOfAnswer(RunOne(StatItem(9, id))),
              ErrorReason::kFileDeleted);
    EXPECT_EQ(ReasonOfAnswer(RunOne(DeleteItem(9, id))),
              ErrorReason::kFileDeleted);
  }
}

TEST_F(BatchServiceTest, AFileExpiresAsItsPutSays) {
  Start();
  fakes_[0]->set_small_file_bytes_max(1000);
  for (const size_t size : {size_t{10}, size_t{10000}}) {
    v1::BatchItem item = PutItem(5, std::string(size, 'c'));
    item.mutable_put()->mutable_lifetime()->mutable_expire_time()->set_seconds(
        4000000000);
    const v1::BatchAnswer put = RunOne(item);
    ASSERT_TRUE(put.has_put()) << put.DebugString();
    EXPECT_EQ(put.put().info().expire_time().seconds(), 4000000000);
    const std::string id = put.put().info().file_id();
    EXPECT_EQ(RunOne(StatItem(6, id)).stat().info().expire_time().seconds(),
              4000000000);
    EXPECT_EQ(RunOne(GetItem(7, id)).get().info().expire_time().seconds(),
              4000000000);
    fakes_[0]->Expire(id.substr(id.find('/', id.find('/') + 1) + 1));
    for (const v1::BatchItem& later : {StatItem(8, id), GetItem(9, id)}) {
      const v1::BatchAnswer answer = RunOne(later);
      EXPECT_EQ(answer.error().code(),
                static_cast<int>(absl::StatusCode::kNotFound));
      EXPECT_EQ(ReasonOf(rpc::FromRpcStatus(answer.error())),
                ErrorReason::kFileExpired);
    }
  }
  v1::BatchItem item = PutItem(5, "x");
  item.mutable_put()->mutable_lifetime()->mutable_expire_time()->set_seconds(1);
  EXPECT_TRUE(RunOne(item).has_error());
}

TEST_F(BatchServiceTest, APutSharesItsContentIfItSaysSo) {
  Start();
  fakes_[0]->set_small_file_bytes_max(100 << 10);
  for (const size_t size : {size_t{80 << 10}, size_t{300 << 10}}) {
    const std::string content(size, 'd');
    for (const bool shared : {false, true}) {
      v1::BatchItem item = PutItem(5, content);
      item.mutable_put()->set_dedup(true);
      const v1::BatchAnswer put = RunOne(item);
      ASSERT_TRUE(put.has_put()) << put.DebugString();
      EXPECT_EQ(put.put().shared(), shared);
      EXPECT_EQ(put.put().info().sha256(), Sha256(content));
      const std::string id = put.put().info().file_id();
      EXPECT_EQ(RunOne(StatItem(6, id)).stat().info().sha256(),
                Sha256(content));
      EXPECT_EQ(RunOne(GetItem(7, id)).get().info().sha256(), Sha256(content));
    }
    const v1::BatchAnswer plain = RunOne(PutItem(5, content));
    ASSERT_TRUE(plain.has_put()) << plain.DebugString();
    EXPECT_FALSE(plain.put().shared());
    EXPECT_EQ(plain.put().info().sha256(), "");
  }
}

TEST_F(BatchServiceTest, APutSharesItsContentIfTheNodeSaysSo) {
  BatchServiceOptions options;
  options.default_dedup = true;
  Start(1, options);
  const std::string content(80 << 10, 'd');
  for (const bool shared : {false, true}) {
    EXPECT_EQ(RunOne(PutItem(5, content)).put().shared(), shared);
  }
  v1::BatchItem item = PutItem(5, content);
  item.mutable_put()->set_dedup(false);
  EXPECT_FALSE(RunOne(item).put().shared());
}

TEST_F(BatchServiceTest, ADeletionSaysUntilWhenItCanBeTakenBack) {
  Start();
  fakes_[0]->set_undelete_until_unix_seconds(1800000000);
  const std::string id = RunOne(PutItem(1, "content")).put().info().file_id();
  EXPECT_EQ(RunOne(DeleteItem(2, id)).delete_().undelete_until().seconds(),
            1800000000);
  v1::BatchItem purge = DeleteItem(3, id);
  purge.mutable_delete_()->set_purge(true);
  const v1::BatchAnswer purged = RunOne(purge);
  ASSERT_TRUE(purged.has_delete_());
  EXPECT_FALSE(purged.delete_().has_undelete_until());
  EXPECT_EQ(ReasonOfAnswer(RunOne(purge)), ErrorReason::kFileDeleted);
}

TEST_F(BatchServiceTest, WhatIsDerivedGoesWithItsMasterIfTheItemSaysSo) {
  Start(/*paths=*/2);
  fakes_[0]->set_undelete_until_unix_seconds(1800000000);
  fakes_[1]->set_undelete_until_unix_seconds(1800000000);
  for (const bool purge : {false, true}) {
    const std::string master = PutSomething("a master");
    const std::string other = PutSomething("another master");
    std::vector<std::string> derived;
    for (const std::string& of : {master, master, master, other}) {
      v1::BatchItem item = PutItem(1, "derived");
      item.mutable_put()->mutable_derived()->set_master_id(of);
      item.mutable_put()->mutable_derived()->set_prefix(
          absl::StrCat("_", derived.size()));
      const v1::BatchAnswer put = RunOne(item);
      ASSERT_TRUE(put.has_put()) << put.DebugString();
      derived.push_back(put.put().info().file_id());
    }
    v1::BatchItem item = DeleteItem(2, derived[0]);
    item.mutable_delete_()->set_with_derived(true);
    EXPECT_EQ(ReasonOfAnswer(RunOne(item)), ErrorReason::kWrongKind);

    item = DeleteItem(2, master, Uuid::Random());
    item.mutable_delete_()->set_with_derived(true);
    item.mutable_delete_()->set_purge(purge);
    const v1::BatchAnswer deleted = RunOne(item);
    ASSERT_TRUE(deleted.has_delete_()) << deleted.DebugString();
    EXPECT_TRUE(deleted.delete_().has_derived_deleted());
    EXPECT_EQ(deleted.delete_().derived_deleted(), 3u);
    EXPECT_EQ(deleted.delete_().has_undelete_until(), !purge);
    EXPECT_FALSE(deleted.delete_().replayed());
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(ReasonOfAnswer(RunOne(StatItem(3, derived[i]))),
                ErrorReason::kFileDeleted);
    }
    EXPECT_TRUE(RunOne(StatItem(3, derived[3])).has_stat());
    const v1::BatchAnswer again = RunOne(item);
    EXPECT_TRUE(again.delete_().has_derived_deleted());
    EXPECT_EQ(again.delete_().derived_deleted(), 0u);
    EXPECT_TRUE(again.delete_().replayed());
    // Who does not ask is not told.
    EXPECT_FALSE(RunOne(DeleteItem(4, other)).delete_().has_derived_deleted());
  }
}

TEST_F(BatchServiceTest, AttributesGoUpWithTheFileAndDownWhenAskedFor) {
  Start();
  fakes_[0]->set_small_file_bytes_max(1000);
  for (const size_t size : {size_t{10}, size_t{10000}}) {
    for (const bool cold : {false, true}) {
      fakes_[0]->set_cold(cold);
      v1::BatchItem item = PutItem(5, std::string(size, 'c'));
      for (const char* key : {"b", "a"}) {
        common::v1::Attribute* const attribute =
            item.mutable_put()->mutable_attributes()->add_attributes();
        attribute->set_key(key);
        attribute->set_value(std::string(kAttributeValueBytesMax, *key));
      }
      const v1::BatchAnswer put = RunOne(item);
      ASSERT_TRUE(put.has_put()) << put.DebugString();
      const std::string id = put.put().info().file_id();
      EXPECT_FALSE(RunOne(StatItem(6, id)).stat().info().has_attributes());
      EXPECT_FALSE(RunOne(GetItem(7, id)).get().info().has_attributes());

      v1::BatchItem stat = StatItem(8, id);
      stat.mutable_stat()->set_include_attributes(true);
      const v1::BatchAnswer stated = RunOne(stat);
      const common::v1::Attributes& attributes =
          stated.stat().info().attributes();
      ASSERT_EQ(attributes.attributes_size(), 2);
      EXPECT_EQ(attributes.attributes(0).key(), "a");
      EXPECT_EQ(attributes.attributes(1).value(),
                std::string(kAttributeValueBytesMax, 'b'));
      v1::BatchItem get = GetItem(9, id);
      get.mutable_get()->set_include_attributes(true);
      const v1::BatchAnswer got = RunOne(get);
      EXPECT_EQ(got.get().content(), std::string(size, 'c'));
      EXPECT_EQ(got.get().info().attributes().SerializeAsString(),
                attributes.SerializeAsString());
    }
  }
  v1::BatchItem item = PutItem(5, "x");
  common::v1::Attribute* const attribute =
      item.mutable_put()->mutable_attributes()->add_attributes();
  attribute->set_key("k");
  attribute->set_value(std::string(kAttributeValueBytesMax + 1, 'v'));
  EXPECT_EQ(ReasonOfAnswer(RunOne(item)), ErrorReason::kTooLarge);
}

TEST_F(BatchServiceTest, DerivedFilesArePutInABatch) {
  Start(/*paths=*/2);
  for (int i = 0; i < 4; ++i) {  // Masters on both paths.
    const std::string master = PutSomething(absl::StrCat("master ", i));
    v1::BatchItem item = PutItem(1, "a small one");
    v1::DerivedName* const derived = item.mutable_put()->mutable_derived();
    derived->set_master_id(master);
    derived->set_prefix("_small");
    const v1::BatchAnswer put = RunOne(item);
    ASSERT_TRUE(put.has_put()) << put.DebugString();
    const std::string id = put.put().info().file_id();
    EXPECT_EQ(id, *DerivedFileId(master, "_small", "txt"));
    EXPECT_EQ(put.put().info().kind(), common::v1::FILE_KIND_DERIVED);
    for (const bool cold : {false, true}) {
      for (FakeStorePath* fake : fakes_) fake->set_cold(cold);
      EXPECT_EQ(RunOne(GetItem(2, id)).get().content(), "a small one");
      EXPECT_EQ(RunOne(StatItem(3, id)).stat().info().size_bytes(), 11);
    }

    item.mutable_put()->set_request_id(std::string(Uuid::Random().bytes()));
    EXPECT_TRUE(RunOne(item).put().replayed());

    v1::BatchItem other = PutItem(4, "something else");
    *other.mutable_put()->mutable_derived() = *derived;
    EXPECT_EQ(ReasonOfAnswer(RunOne(other)), ErrorReason::kFileExists);
    other.mutable_put()->mutable_derived()->set_master_id(id);
    EXPECT_EQ(ReasonOfAnswer(RunOne(other)), ErrorReason::kWrongKind);
    // Set, and empty.
    other.mutable_put()->mutable_derived()->Clear();
    EXPECT_EQ(ReasonOfAnswer(RunOne(other)), ErrorReason::kInvalidFileId);
  }
}

// There may be another file by that name, of which it is about to hear.
TEST_F(BatchServiceTest, ADerivedFileWaitsUntilTheNodeHasCaughtUp) {
  Replicator replicator(
      ReplicatorOptions(), [] { return std::shared_ptr<StorePath>(); }, nullptr,
      Clock::Real(), [] {});
  alone_ = ReplicaGate([&replicator](uint8_t) { return &replicator; },
                       ReplicaGateOptions(), Clock::Real());
  Start();
  v1::BatchItem item = PutItem(1, "a small one");
  v1::DerivedName* const derived = item.mutable_put()->mutable_derived();
  derived->set_master_id(PutSomething("master"));
  derived->set_prefix("_small");
  EXPECT_EQ(ReasonOfAnswer(RunOne(item)), ErrorReason::kContentNotHere);
  alone_ = ReplicaGate(7);
  EXPECT_TRUE(RunOne(item).has_put());
}

TEST_F(BatchServiceTest, AttributesAreChangedInABatch) {
  Start();
  const std::string id = PutSomething("content");
  v1::BatchItem item;
  item.set_item_id(3);
  v1::SetAttributesOperation* const set = item.mutable_set_attributes();
  set->set_file_id(id);
  set->set_request_id(std::string(Uuid::Random().bytes()));
  set->set_mode(common::v1::ATTRIBUTES_MODE_MERGE);
  set->mutable_attributes()->add_attributes()->set_key("k");
  const v1::BatchAnswer answer = RunOne(item);
  ASSERT_TRUE(answer.has_set_attributes()) << answer.DebugString();
  EXPECT_EQ(answer.set_attributes().info().file_id(), id);
  EXPECT_FALSE(answer.set_attributes().replayed());
  EXPECT_EQ(answer.set_attributes().reached().replicas(), 1u);
  EXPECT_TRUE(RunOne(item).set_attributes().replayed());
  v1::BatchItem stat = StatItem(8, id);
  stat.mutable_stat()->set_include_attributes(true);
  EXPECT_EQ(RunOne(stat).stat().info().attributes().attributes_size(), 1);

  set->set_request_id(std::string(Uuid::Random().bytes()));
  set->mutable_if_version_match()->set_clock(1);
  EXPECT_EQ(ReasonOfAnswer(RunOne(item)), ErrorReason::kVersionMismatch);
  set->set_request_id("short");
  EXPECT_EQ(ReasonOfAnswer(RunOne(item)), ErrorReason::kInvalidField);
  set->clear_request_id();
  set->clear_mode();
  EXPECT_EQ(ReasonOfAnswer(RunOne(item)), ErrorReason::kInvalidField);
}

TEST_F(BatchServiceTest, AppendsAreMadeInABatch) {
  Start();
  PutRequest put;
  FileIdFields fields;
  fields.node_number = 7;
  fields.flags = kFileIdAppender;
  put.name = codec_.MakeName("group1", 0, fields, "log");
  put.kind = FileKind::kAppender;
  put.content = absl::Cord("begin");
  put.crc32c = Crc32c("begin");
  absl::Status made = absl::UnknownError("");
  fakes_[0]->Put(put, [&made](const absl::StatusOr<Committed>& committed) {
    made = committed.status();
  });
  ASSERT_THAT(made, IsOk());

  v1::BatchItem item;
  item.set_item_id(3);
  v1::AppendOperation* const append = item.mutable_append();
  append->set_file_id(node_->FileId(0, put.name));
  append->set_request_id(std::string(Uuid::Random().bytes()));
  append->mutable_condition()->set_size_bytes(5);
  append->set_content(" end");
  append->set_crc32c(Crc32c(" end"));
  const v1::BatchAnswer answer = RunOne(item);
  ASSERT_TRUE(answer.has_append()) << answer.DebugString();
  EXPECT_EQ(answer.append().info().size_bytes(), 9);
  EXPECT_EQ(answer.append().info().crc32c(), Crc32c("begin end"));
  EXPECT_EQ(answer.append().reached().replicas(), 1u);
  EXPECT_FALSE(answer.append().replayed());
  EXPECT_TRUE(RunOne(item).append().replayed());
  EXPECT_EQ(RunOne(GetItem(4, append->file_id())).get().content(), "begin end");

  append->set_request_id(std::string(Uuid::Random().bytes()));
  EXPECT_EQ(ReasonOfAnswer(RunOne(item)), ErrorReason::kConditionFailed);
  append->clear_condition();
  append->set_crc32c(1);
  EXPECT_EQ(ReasonOfAnswer(RunOne(item)), ErrorReason::kChecksumMismatch);
  append->clear_request_id();
  EXPECT_EQ(ReasonOfAnswer(RunOne(item)), ErrorReason::kInvalidField);
  // Another node's.
  fields.node_number = 8;
  append->set_file_id(
      node_->FileId(0, codec_.MakeName("group1", 0, fields, "log")));
  append->set_request_id(std::string(Uuid::Random().bytes()));
  append->set_crc32c(Crc32c(" end"));
  EXPECT_EQ(ReasonOfAnswer(RunOne(item)), ErrorReason::kNotOrigin);
}

TEST_F(BatchServiceTest, RangesAreCutAtTheEndAndCarryTheirOwnChecksum) {
  Start();
  const std::string id = PutSomething("0123456789");
  v1::BatchItem item = GetItem(1, id);
  item.mutable_get()->set_offset(4);
  item.mutable_get()->set_length(3);
  v1::BatchAnswer answer = RunOne(item);
  EXPECT_EQ(answer.get().content(), "456");
  EXPECT_EQ(answer.get().offset(), 4);
  EXPECT_EQ(answer.get().crc32c(), Crc32c("456"));
  item.mutable_get()->set_length(100);
  EXPECT_EQ(RunOne(item).get().content(), "456789");
  item.mutable_get()->set_offset(10);
  EXPECT_EQ(RunOne(item).get().content(), "");
  item.mutable_get()->set_offset(11);
  answer = RunOne(item);
  EXPECT_EQ(ReasonOfAnswer(answer), ErrorReason::kRangePastEnd);
  EXPECT_EQ(MetadataOf(rpc::FromRpcStatus(answer.error())).at("size_bytes"),
            "10");
  item.mutable_get()->set_offset(-1);
  EXPECT_EQ(ReasonOfAnswer(RunOne(item)), ErrorReason::kInvalidField);
}

TEST_F(BatchServiceTest, EveryMistakeIsAnsweredAloneAndHurtsNoOther) {
  Start();
  const std::string id = PutSomething("good");
  v1::BatchItem no_request_id = PutItem(1, "x");
  no_request_id.mutable_put()->clear_request_id();
  v1::BatchItem bad_crc = PutItem(2, "x");
  bad_crc.mutable_put()->set_crc32c(1);
  v1::BatchItem bad_extension = PutItem(3, "x");
  bad_extension.mutable_put()->set_extension("../x");
  v1::BatchItem no_path = PutItem(4, "x");
  no_path.mutable_put()->set_store_path(99);
  v1::BatchItem replicas = PutItem(5, "x");
  replicas.mutable_put()->mutable_durability()->set_replicas(2);
  replicas.mutable_put()->mutable_durability()->set_policy(
      common::v1::REPLICA_POLICY_REQUIRED);
  v1::BatchItem large = PutItem(6, std::string((1 << 20) + 1, 'x'));
  v1::BatchItem nothing;
  nothing.set_item_id(7);
  std::string forged = id;
  forged[20] = forged[20] == 'A' ? 'B' : 'A';
  auto answers =
      Run({no_request_id, bad_crc, bad_extension, no_path, replicas, large,
           nothing, GetItem(8, "junk"), StatItem(9, forged), GetItem(10, id)});
  EXPECT_EQ(answers.size(), 10u);
  EXPECT_EQ(ReasonOfAnswer(answers[1]), ErrorReason::kInvalidField);
  EXPECT_EQ(ReasonOfAnswer(answers[2]), ErrorReason::kChecksumMismatch);
  EXPECT_EQ(ReasonOfAnswer(answers[3]), ErrorReason::kInvalidField);
  EXPECT_EQ(ReasonOfAnswer(answers[4]), ErrorReason::kUnknownStorePath);
  EXPECT_EQ(ReasonOfAnswer(answers[5]), ErrorReason::kInsufficientReplicas);
  EXPECT_EQ(ReasonOfAnswer(answers[6]), ErrorReason::kTooLarge);
  EXPECT_EQ(ReasonOfAnswer(answers[7]), ErrorReason::kInvalidField);
  EXPECT_EQ(ReasonOfAnswer(answers[8]), ErrorReason::kInvalidFileId);
  EXPECT_EQ(ReasonOfAnswer(answers[9]), ErrorReason::kForgedFileId);
  EXPECT_EQ(answers[10].get().content(), "good");
  EXPECT_EQ(fakes_[0]->files(), 1);
  EXPECT_EQ(observer_.answered(), 11);
  EXPECT_EQ(observer_.failed(), 9);
  EXPECT_EQ(observer_.bytes_out(), 4);
}

TEST_F(BatchServiceTest, ARetryStoresNothingTwiceWhicheverPathItTakes) {
  Start(/*paths=*/3);
  const Uuid request_id = Uuid::Random();
  const v1::BatchAnswer first = RunOne(PutItem(1, "once", request_id));
  for (int i = 0; i < 6; ++i) {
    const v1::BatchAnswer retry = RunOne(PutItem(1, "once", request_id));
    ASSERT_TRUE(retry.has_put()) << retry.DebugString();
    EXPECT_TRUE(retry.put().replayed());
    EXPECT_EQ(retry.put().info().file_id(), first.put().info().file_id());
  }
  EXPECT_EQ(fakes_[0]->files() + fakes_[1]->files() + fakes_[2]->files(), 1);

  const Uuid delete_id = Uuid::Random();
  const std::string id = first.put().info().file_id();
  EXPECT_FALSE(RunOne(DeleteItem(1, id, delete_id)).delete_().replayed());
  EXPECT_TRUE(RunOne(DeleteItem(1, id, delete_id)).delete_().replayed());
}

TEST_F(BatchServiceTest, ContentAboveThePathsOwnLimitIsStoredAllTheSame) {
  Start();
  fakes_[0]->set_small_file_bytes_max(100);
  const std::string content(5000, 'l');
  const std::string id = PutSomething(content);
  EXPECT_EQ(RunOne(GetItem(1, id)).get().content(), content);
  EXPECT_EQ(fakes_[0]->uploads_in_progress(), 0);
}

TEST_F(BatchServiceTest, AnswersComeOutOfOrderWhenTheDiskIsSlow) {
  Start();
  const std::string id = PutSomething("fast");
  fakes_[0]->HoldCommits();
  grpc::ClientContext context;
  const auto stream = stub_->Run(&context);
  v1::RunRequest request;
  *request.add_items() = PutItem(1, "slow");
  ASSERT_TRUE(stream->Write(request));
  request.Clear();
  *request.add_items() = GetItem(2, id);
  ASSERT_TRUE(stream->Write(request));
  v1::RunResponse response;
  ASSERT_TRUE(stream->Read(&response));
  ASSERT_EQ(response.answers_size(), 1);
  EXPECT_EQ(response.answers(0).item_id(), 2u);
  stream->WritesDone();
  fakes_[0]->ReleaseCommits();
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.answers(0).item_id(), 1u);
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(BatchServiceTest, AClientThatVanishesLeavesNothingBehind) {
  Start();
  fakes_[0]->HoldCommits();
  {
    grpc::ClientContext context;
    const auto stream = stub_->Run(&context);
    v1::RunRequest request;
    for (int i = 0; i < 10; ++i) *request.add_items() = PutItem(i, "x");
    ASSERT_TRUE(stream->Write(request));
    while (fakes_[0]->held_commits() < 10) std::this_thread::yield();
    EXPECT_GT(budget_.taken_bytes(), 0);
    context.TryCancel();
    EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  // The commits were begun, so they end; then the stream goes.
  fakes_[0]->ReleaseCommits();
  while (budget_.taken_bytes() > 0) std::this_thread::yield();
  EXPECT_EQ(fakes_[0]->files(), 10);
}

TEST_F(BatchServiceTest, ASlowClientStopsTheWorkAndNotTheMemory) {
  BatchServiceOptions options;
  options.answer_bytes_max = 1 << 20;
  Start(1, options);
  const std::string id = PutSomething(std::string(1 << 20, 'b'));
  const int answered_before = observer_.answered();
  for (const bool cold : {false, true}) {
    fakes_[0]->set_cold(cold);
    grpc::ClientContext context;
    const auto stream = stub_->Run(&context);
    v1::RunRequest request;
    constexpr int kGets = 300;
    for (int i = 0; i < kGets; ++i) *request.add_items() = GetItem(i, id);
    ASSERT_TRUE(stream->Write(request));
    stream->WritesDone();
    v1::RunResponse response;
    int read = 0;
    size_t largest = 0;
    while (stream->Read(&response)) {
      read += response.answers_size();
      largest = std::max(largest, response.ByteSizeLong());
    }
    EXPECT_EQ(read, kGets);
    EXPECT_TRUE(stream->Finish().ok());
    // What was made ahead of the client never exceeded the bound by more than
    // one answer.
    EXPECT_LE(largest, size_t{2} * (1 << 20) + 1000);
  }
  EXPECT_EQ(observer_.answered(), answered_before + 600);
}

TEST_F(BatchServiceTest, MoreItemsThanMayWaitAreRunInTurn) {
  BatchServiceOptions options;
  options.items_in_progress_max = 3;
  Start(1, options);
  std::vector<v1::BatchItem> items;
  for (int i = 0; i < 100; ++i) items.push_back(PutItem(i, absl::StrCat(i)));
  fakes_[0]->HoldCommits();
  std::thread release([this] {
    while (fakes_[0]->held_commits() < 3) std::this_thread::yield();
    EXPECT_EQ(fakes_[0]->held_commits(), 3);
    fakes_[0]->ReleaseCommits();
  });
  const auto answers = Run(items);
  release.join();
  EXPECT_EQ(answers.size(), 100u);
  EXPECT_EQ(fakes_[0]->files(), 100);
}

TEST_F(BatchServiceTest, AMalformedMessageEndsTheStreamAfterWhatCameBefore) {
  Start();
  grpc::ClientContext context;
  const auto channel = server_->InProcessChannel(grpc::ChannelArguments());
  const std::unique_ptr<
      grpc::ClientReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer>>
      stream(grpc::internal::ClientReaderWriterFactory<grpc::ByteBuffer,
                                                       grpc::ByteBuffer>::
                 Create(channel.get(),
                        grpc::internal::RpcMethod(
                            "/cairn.storage.v1.BatchService/Run",
                            grpc::internal::RpcMethod::BIDI_STREAMING),
                        &context));
  v1::RunRequest request;
  *request.add_items() = PutItem(1, "before");
  const grpc::Slice slice(request.SerializeAsString() + "\x0a\xff");
  stream->Write(grpc::ByteBuffer(&slice, 1));
  grpc::ByteBuffer raw;
  ASSERT_TRUE(stream->Read(&raw));
  EXPECT_FALSE(stream->Read(&raw));
  const absl::Status status = rpc::FromGrpcStatus(stream->Finish());
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(ReasonOf(status), ErrorReason::kInvalidField);
  EXPECT_EQ(fakes_[0]->files(), 1);
}

TEST_F(BatchServiceTest, AFullBudgetHoldsMessagesBackUntilThereIsRoom) {
  Start();
  ASSERT_TRUE(budget_.TryTake(budget_.max_bytes()));
  std::thread room([this] {
    while (budget_.waiting() == 0) std::this_thread::yield();
    EXPECT_EQ(fakes_[0]->files(), 0);
    budget_.Return(budget_.max_bytes());
  });
  EXPECT_TRUE(RunOne(PutItem(1, "late")).has_put());
  room.join();
}

TEST_F(BatchServiceTest, AnEmptyFileIsAFile) {
  Start();
  const std::string id = PutSomething("");
  const v1::BatchAnswer got = RunOne(GetItem(1, id));
  ASSERT_TRUE(got.has_get()) << got.DebugString();
  EXPECT_EQ(got.get().content(), "");
  EXPECT_EQ(got.get().info().size_bytes(), 0);
}

TEST_F(BatchServiceTest, StopEndsStreamsOnceWhatTheyBeganIsAnswered) {
  Start();
  fakes_[0]->HoldCommits();
  grpc::ClientContext idle_context;
  const auto idle = stub_->Run(&idle_context);
  grpc::ClientContext context;
  const auto stream = stub_->Run(&context);
  v1::RunRequest request;
  *request.add_items() = PutItem(1, "content");
  ASSERT_TRUE(stream->Write(request));
  while (fakes_[0]->held_commits() == 0) absl::SleepFor(absl::Milliseconds(1));
  while (service_->streams() < 2) absl::SleepFor(absl::Milliseconds(1));

  service_->Stop();
  EXPECT_FALSE(rpc::FromGrpcStatus(idle->Finish()).ok());
  fakes_[0]->ReleaseCommits();
  v1::RunResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_TRUE(response.answers(0).has_put());
  EXPECT_FALSE(stream->Read(&response));
  const absl::Status status = rpc::FromGrpcStatus(stream->Finish());
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(ReasonOf(status), ErrorReason::kShuttingDown);

  // Whoever comes later hears the same.
  grpc::ClientContext late_context;
  const auto late = stub_->Run(&late_context);
  EXPECT_FALSE(late->Read(&response));
  EXPECT_EQ(ReasonOf(rpc::FromGrpcStatus(late->Finish())),
            ErrorReason::kShuttingDown);
}

}  // namespace
}  // namespace storage
}  // namespace cairn
