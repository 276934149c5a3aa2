// Files whose content changes, through a real connection, on fake store paths:
// what is promised for every call and for every mistake of a client.

#include "services/storage/api/appender_service.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cairn/storage/v1/appender_service.grpc.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/clock.h"
#include "lib/base/error_reason.h"
#include "lib/base/uuid.h"
#include "lib/checksum/crc32c.h"
#include "lib/file_id/file_id.h"
#include "lib/metrics/metrics.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/grpc_status.h"
#include "lib/rpc/server.h"
#include "lib/testing/status_matchers.h"
#include "services/storage/api/call_context.h"
#include "services/storage/api/replica_gate.h"
#include "services/storage/core/byte_budget.h"
#include "services/storage/core/replicator.h"
#include "services/storage/core/storage_node.h"
#include "services/storage/core/store_path.h"
#include "services/storage/core/testing/fake_store_path.h"

namespace cairn {
namespace storage {
namespace {

constexpr int64_t kMiB = 1 << 20;

class AppenderServiceTest : public ::testing::Test {
 protected:
  AppenderServiceTest()
      : metrics_(&registry_),
        budget_(4 * kMiB),
        node_(Identity(), PathPolicy::kRoundRobin, &codec_, Clock::Real()) {
    StorePathHooks hooks;
    hooks.open = [this]() -> absl::StatusOr<std::unique_ptr<StorePath>> {
      auto path = std::make_unique<FakeStorePath>();
      fake_ = path.get();
      return std::unique_ptr<StorePath>(std::move(path));
    };
    EXPECT_THAT(node_.AddPath("/disk", hooks), IsOk());
    CallContext context;
    context.node = &node_;
    context.budget = &budget_;
    context.replicas = &gate_;
    context.clock = Clock::Real();
    context.metrics = &metrics_;
    service_ = std::make_unique<AppenderServiceImpl>(context);
    rpc::RpcServerOptions options;
    options.listen = {"127.0.0.1:0"};
    auto server = rpc::RpcServer::Start(
        options, {{v1::AppenderService::service_full_name(), service_.get()}});
    EXPECT_THAT(server, IsOk());
    server_ = *std::move(server);
    rpc::ChannelOptions channel;
    channel.own_connection = true;
    stub_ = v1::AppenderService::NewStub(
        rpc::MakeChannel(server_->addresses()[0], channel));
  }

  ~AppenderServiceTest() override {
    // A connection that nobody polls closes late, and Stop() waits for it.
    stub_ = nullptr;
    server_->Stop(absl::Minutes(1));
    EXPECT_EQ(budget_.taken_bytes(), 0);
    EXPECT_EQ(metrics_.create_appender.in_flight(), 0u);
    EXPECT_EQ(metrics_.append.in_flight(), 0u);
    EXPECT_EQ(metrics_.modify.in_flight(), 0u);
    EXPECT_EQ(metrics_.truncate.in_flight(), 0u);
    EXPECT_EQ(metrics_.seal.in_flight(), 0u);
  }

  static NodeIdentity Identity() {
    NodeIdentity identity;
    identity.node_number = 7;
    identity.group = "group1";
    return identity;
  }

  template <typename Request, typename Response>
  using Method = grpc::Status (v1::AppenderService::Stub::*)(
      grpc::ClientContext*, const Request&, Response*);

  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(Method<Request, Response> method,
                                Request request) {
    if (request.request_id().empty()) {
      request.set_request_id(Uuid::Random().ToString());
    }
    grpc::ClientContext context;
    rpc::SetTimeout(&context, absl::Minutes(5));
    Response response;
    const grpc::Status status =
        (stub_.get()->*method)(&context, request, &response);
    if (!status.ok()) return rpc::FromGrpcStatus(status);
    return response;
  }

  absl::StatusOr<v1::CreateAppenderResponse> Create(
      v1::CreateAppenderRequest request) {
    return Call<v1::CreateAppenderRequest, v1::CreateAppenderResponse>(
        &v1::AppenderService::Stub::CreateAppender, std::move(request));
  }
  absl::StatusOr<v1::AppendResponse> Append(v1::AppendRequest request) {
    return Call<v1::AppendRequest, v1::AppendResponse>(
        &v1::AppenderService::Stub::Append, std::move(request));
  }
  absl::StatusOr<v1::ModifyResponse> Modify(v1::ModifyRequest request) {
    return Call<v1::ModifyRequest, v1::ModifyResponse>(
        &v1::AppenderService::Stub::Modify, std::move(request));
  }
  absl::StatusOr<v1::TruncateResponse> Truncate(v1::TruncateRequest request) {
    return Call<v1::TruncateRequest, v1::TruncateResponse>(
        &v1::AppenderService::Stub::Truncate, std::move(request));
  }
  absl::StatusOr<v1::SealResponse> Seal(v1::SealRequest request) {
    return Call<v1::SealRequest, v1::SealResponse>(
        &v1::AppenderService::Stub::Seal, std::move(request));
  }

  std::string Made(const std::string& content) {
    v1::CreateAppenderRequest request;
    request.set_content(content);
    const auto made = Create(request);
    EXPECT_THAT(made, IsOk());
    return made.ok() ? made->info().file_id() : "";
  }

  std::string ContentOf(const std::string& file_id) {
    return fake_->ContentOf(ParseFileId(file_id)->name);
  }

  const FileIdCodec codec_{"secret"};
  MetricsRegistry registry_;
  ApiMetrics metrics_;
  ByteBudget budget_;
  ReplicaGate gate_{7};
  StorageNode node_;
  FakeStorePath* fake_ = nullptr;
  std::unique_ptr<AppenderServiceImpl> service_;
  std::unique_ptr<rpc::RpcServer> server_;
  std::unique_ptr<v1::AppenderService::Stub> stub_;
};

TEST_F(AppenderServiceTest, MakesAndChangesAFile) {
  v1::CreateAppenderRequest create;
  create.set_extension("log");
  create.set_content("begin");
  common::v1::Attribute* const attribute =
      create.mutable_attributes()->add_attributes();
  attribute->set_key("k");
  attribute->set_value("v");
  create.mutable_lifetime()->mutable_expire_time()->set_seconds(4000000000);
  const auto made = Create(create);
  ASSERT_THAT(made, IsOk());
  EXPECT_EQ(made->info().expire_time().seconds(), 4000000000);
  EXPECT_EQ(fake_->Stat(ParseFileId(made->info().file_id())->name)->attributes,
            create.attributes().SerializeAsString());
  EXPECT_EQ(made->info().kind(), common::v1::FILE_KIND_APPENDER);
  EXPECT_EQ(made->info().size_bytes(), 5);
  const std::string id = made->info().file_id();
  const auto fields = DecodeFileName(ParseFileId(id)->name);
  ASSERT_THAT(fields, IsOk());
  EXPECT_EQ(fields->size_bytes, 0);
  EXPECT_EQ(fields->crc32c, 0u);
  EXPECT_EQ(fields->flags, kFileIdAppender);

  v1::AppendRequest append;
  append.set_file_id(id);
  append.set_content(" middle");
  append.set_crc32c(Crc32c(" middle"));
  const auto appended = Append(append);
  ASSERT_THAT(appended, IsOk());
  EXPECT_EQ(appended->info().size_bytes(), 12);
  EXPECT_EQ(appended->info().crc32c(), Crc32c("begin middle"));
  v1::ModifyRequest modify;
  modify.set_file_id(id);
  modify.set_offset(6);
  modify.set_content("M");
  ASSERT_THAT(Modify(modify), IsOk());
  v1::TruncateRequest truncate;
  truncate.set_file_id(id);
  truncate.set_size_bytes(8);
  const auto truncated = Truncate(truncate);
  ASSERT_THAT(truncated, IsOk());
  EXPECT_EQ(truncated->info().size_bytes(), 8);
  EXPECT_EQ(truncated->info().expire_time().seconds(), 4000000000);
  EXPECT_EQ(ContentOf(id), "begin Mi");
}

TEST_F(AppenderServiceTest, RepeatsAreAnsweredAsTheFirstTime) {
  v1::CreateAppenderRequest create;
  create.set_request_id(Uuid::Random().ToString());
  const auto made = Create(create);
  ASSERT_THAT(made, IsOk());
  const auto again = Create(create);
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(again->replayed());
  EXPECT_EQ(again->info().file_id(), made->info().file_id());
  v1::AppendRequest append;
  append.set_request_id(Uuid::Random().ToString());
  append.set_file_id(made->info().file_id());
  append.set_content("once");
  for (int i = 0; i < 2; ++i) {
    const auto appended = Append(append);
    ASSERT_THAT(appended, IsOk());
    EXPECT_EQ(appended->replayed(), i == 1);
    EXPECT_EQ(appended->info().size_bytes(), 4);
  }
  EXPECT_EQ(ContentOf(made->info().file_id()), "once");
}

TEST_F(AppenderServiceTest, SaysWhyItRefuses) {
  const std::string id = Made("0123");
  v1::AppendRequest append;
  append.set_file_id(id);
  append.set_content("x");
  append.set_crc32c(1);
  EXPECT_EQ(ReasonOf(Append(append).status()), ErrorReason::kChecksumMismatch);
  append.clear_crc32c();
  append.set_content(std::string(kMiB + 1, 'x'));
  const auto large = Append(append);
  EXPECT_EQ(ReasonOf(large.status()), ErrorReason::kTooLarge);
  EXPECT_EQ(MetadataOf(large.status())["limit_bytes"], absl::StrCat(kMiB));
  append.set_content("x");
  append.mutable_condition()->set_size_bytes(3);
  const auto stale = Append(append);
  EXPECT_THAT(stale, StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(ReasonOf(stale.status()), ErrorReason::kConditionFailed);
  EXPECT_EQ(MetadataOf(stale.status())["size_bytes"], "4");
  append.clear_condition();
  append.set_request_id("no uuid");
  EXPECT_EQ(ReasonOf(Append(append).status()), ErrorReason::kInvalidField);
  v1::ModifyRequest modify;
  modify.set_file_id(id);
  modify.set_offset(5);
  const auto past = Modify(modify);
  EXPECT_THAT(past, StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_EQ(MetadataOf(past.status())["size_bytes"], "4");
  modify.set_offset(-1);
  EXPECT_EQ(ReasonOf(Modify(modify).status()), ErrorReason::kInvalidField);
  v1::TruncateRequest truncate;
  truncate.set_file_id(id);
  truncate.set_size_bytes(-1);
  EXPECT_EQ(ReasonOf(Truncate(truncate).status()), ErrorReason::kInvalidField);
  v1::CreateAppenderRequest create;
  create.set_extension("no/good");
  EXPECT_THAT(Create(create), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(ContentOf(id), "0123");
}

TEST_F(AppenderServiceTest, SealsAFileUnderAnIdThatSaysItsSize) {
  v1::CreateAppenderRequest create;
  create.set_extension("tar.gz");
  create.set_content("content");
  create.set_crc32c(Crc32c("content"));
  common::v1::Attribute* const attribute =
      create.mutable_attributes()->add_attributes();
  attribute->set_key("k");
  attribute->set_value("v");
  const auto created = Create(create);
  ASSERT_THAT(created, IsOk());
  v1::SealRequest seal;
  seal.set_request_id(Uuid::Random().ToString());
  seal.set_file_id(created->info().file_id());
  seal.mutable_condition()->set_size_bytes(6);
  EXPECT_EQ(ReasonOf(Seal(seal).status()), ErrorReason::kConditionFailed);
  seal.mutable_condition()->set_size_bytes(7);
  const auto sealed = Seal(seal);
  ASSERT_THAT(sealed, IsOk());
  EXPECT_FALSE(sealed->replayed());
  const auto parts = codec_.Verify(sealed->info().file_id());
  ASSERT_THAT(parts, IsOk());
  EXPECT_EQ(ExtensionOfName(parts->name), "tar.gz");
  const auto fields = DecodeFileName(parts->name);
  ASSERT_THAT(fields, IsOk());
  EXPECT_EQ(fields->flags, 0);
  EXPECT_EQ(fields->size_bytes, 7);
  EXPECT_EQ(fields->crc32c, Crc32c("content"));
  EXPECT_EQ(fields->node_number, 7u);
  EXPECT_EQ(sealed->info().kind(), common::v1::FILE_KIND_NORMAL);
  EXPECT_EQ(sealed->info().create_time().seconds(),
            fields->create_unix_seconds);

  const auto again = Seal(seal);
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(again->replayed());
  EXPECT_EQ(again->info().file_id(), sealed->info().file_id());

  seal.set_request_id(Uuid::Random().ToString());
  EXPECT_EQ(ReasonOf(Seal(seal).status()), ErrorReason::kFileSealed);
  v1::AppendRequest append;
  append.set_file_id(created->info().file_id());
  append.set_content("x");
  append.set_crc32c(Crc32c("x"));
  EXPECT_EQ(ReasonOf(Append(append).status()), ErrorReason::kFileSealed);
  append.set_file_id(sealed->info().file_id());
  EXPECT_EQ(ReasonOf(Append(append).status()), ErrorReason::kNotAnAppender);
  seal.set_file_id(sealed->info().file_id());
  EXPECT_EQ(ReasonOf(Seal(seal).status()), ErrorReason::kNotAnAppender);
}

TEST_F(AppenderServiceTest, SendsWhoIsWrongToTheOrigin) {
  FileIdFields fields;
  fields.node_number = 8;
  fields.flags = kFileIdAppender;
  FileIdParts parts;
  parts.group = "group1";
  parts.name = codec_.MakeName("group1", 0, fields, "");
  v1::AppendRequest append;
  append.set_file_id(parts.ToString());
  const auto refused = Append(append);
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(ReasonOf(refused.status()), ErrorReason::kNotOrigin);
  EXPECT_EQ(MetadataOf(refused.status())["origin_node"], "8");
}

// After a power cut others may have changes that were taken and lost here.
TEST_F(AppenderServiceTest, TakesNoChangeBeforeItHasCaughtUp) {
  const std::string id = Made("0123");
  // It has heard of nobody yet.
  Replicator replicator(
      ReplicatorOptions(), [] { return std::shared_ptr<StorePath>(); }, nullptr,
      Clock::Real(), [] {});
  ReplicaGateOptions options;
  options.node_number = 7;
  gate_ = ReplicaGate([&replicator](uint8_t) { return &replicator; }, options,
                      Clock::Real());
  v1::AppendRequest append;
  append.set_request_id(Uuid::Random().ToString());
  append.set_file_id(id);
  append.set_content("4");
  v1::ModifyRequest modify;
  modify.set_file_id(id);
  modify.set_content("x");
  v1::TruncateRequest truncate;
  truncate.set_file_id(id);
  v1::SealRequest seal;
  seal.set_file_id(id);
  for (const absl::Status& refused :
       {Append(append).status(), Modify(modify).status(),
        Truncate(truncate).status(), Seal(seal).status()}) {
    EXPECT_THAT(refused, StatusIs(absl::StatusCode::kUnavailable));
    EXPECT_EQ(ReasonOf(refused), ErrorReason::kOriginDown);
    EXPECT_EQ(MetadataOf(refused)["origin_node"], "7");
    EXPECT_TRUE(rpc::RetryDelayOf(refused).has_value());
  }
  EXPECT_EQ(ContentOf(id), "0123");
  // A new one has no past.
  Made("new");
  gate_ = ReplicaGate(7);
  ASSERT_THAT(Append(append), IsOk());
  EXPECT_EQ(ContentOf(id), "01234");
}

TEST_F(AppenderServiceTest, RequiresReplicasOrRefuses) {
  v1::AppendRequest append;
  append.set_file_id(Made(""));
  append.mutable_durability()->set_replicas(2);
  append.mutable_durability()->set_policy(common::v1::REPLICA_POLICY_REQUIRED);
  EXPECT_EQ(ReasonOf(Append(append).status()),
            ErrorReason::kInsufficientReplicas);
}

}  // namespace
}  // namespace storage
}  // namespace cairn
