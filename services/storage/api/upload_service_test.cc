// Uploads in parts through a real connection, on a real store path in a file
// system in memory: what is promised for every mistake of a client, and for a
// client that comes back.

#include "services/storage/api/upload_service.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "cairn/storage/v1/upload_service.grpc.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/check.h"
#include "lib/base/clock.h"
#include "lib/base/error_reason.h"
#include "lib/base/uuid.h"
#include "lib/checksum/crc32c.h"
#include "lib/checksum/sha256.h"
#include "lib/file_id/file_id.h"
#include "lib/metrics/metrics.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/grpc_status.h"
#include "lib/rpc/server.h"
#include "lib/testing/crashable_file_system.h"
#include "lib/testing/fake_clock.h"
#include "lib/testing/status_matchers.h"
#include "services/storage/api/call_context.h"
#include "services/storage/api/replica_gate.h"
#include "services/storage/core/byte_budget.h"
#include "services/storage/core/file_use.h"
#include "services/storage/core/quotas.h"
#include "services/storage/core/replicator.h"
#include "services/storage/core/storage_node.h"
#include "services/storage/core/store_path.h"
#include "services/storage/core/upload_sessions.h"
#include "services/storage/store/engine.h"
#include "services/storage/store/test_path.h"

namespace cairn {
namespace storage {
namespace {

// One WriteUpload, message by message.
class Part {
 public:
  Part(v1::UploadService::Stub* stub, const std::string& upload_id,
       int64_t offset, absl::optional<int64_t> length)
      : offset_(offset) {
    rpc::SetTimeout(&context_, absl::Minutes(5));
    writer_ = stub->WriteUpload(&context_, &response_);
    v1::WriteUploadRequest message;
    message.mutable_spec()->set_upload_id(upload_id);
    message.mutable_spec()->set_offset(offset);
    if (length.has_value()) message.mutable_spec()->set_length(*length);
    writer_->Write(message);
  }

  bool Send(const std::string& data) {
    v1::WriteUploadRequest message;
    message.mutable_chunk()->set_offset(offset_);
    message.mutable_chunk()->set_data(data);
    message.mutable_chunk()->set_crc32c(Crc32c(data));
    offset_ += static_cast<int64_t>(data.size());
    return Send(message);
  }
  bool Send(const v1::WriteUploadRequest& message) {
    return writer_->Write(message);
  }
  void Cancel() { context_.TryCancel(); }

  absl::StatusOr<int64_t> Finish(absl::optional<uint32_t> crc = absl::nullopt) {
    v1::WriteUploadRequest message;
    message.mutable_finish();
    if (crc.has_value()) message.mutable_finish()->set_crc32c(*crc);
    writer_->Write(message);
    return End();
  }
  absl::StatusOr<int64_t> End() {
    writer_->WritesDone();
    const grpc::Status status = writer_->Finish();
    if (!status.ok()) return rpc::FromGrpcStatus(status);
    return response_.received_bytes();
  }

 private:
  int64_t offset_;
  grpc::ClientContext context_;
  v1::WriteUploadResponse response_;
  std::unique_ptr<grpc::ClientWriter<v1::WriteUploadRequest>> writer_;
};

class UploadServiceTest : public ::testing::Test {
 protected:
  UploadServiceTest() : fs_(1), options_(TestPathOptions("/disk/path")) {
    options_.quotas = &quotas_;
    CAIRN_CHECK_OK(fs_.CreateDirectory("/disk"));
    CAIRN_CHECK_OK(fs_.SyncDirectory("/"));
    Start();
  }
  ~UploadServiceTest() override { Stop(); }

  void Start() {
    NodeIdentity identity;
    identity.node_number = 7;
    identity.group = "group1";
    node_ = std::make_unique<StorageNode>(identity, PathPolicy::kRoundRobin,
                                          &codec_, &clock_);
    StorePathHooks hooks;
    hooks.open = [this]() -> absl::StatusOr<std::unique_ptr<StorePath>> {
      absl::StatusOr<std::unique_ptr<Engine>> engine =
          OpenStorePath(options_, &fs_, &clock_);
      if (!engine.ok()) return engine.status();
      engine_ = engine->get();
      return std::unique_ptr<StorePath>(*std::move(engine));
    };
    ASSERT_THAT(node_->AddPath("/disk/path", hooks), IsOk());
    CallContext context;
    context.node = node_.get();
    context.budget = &budget_;
    context.replicas = &alone_;
    context.quotas = &quotas_;
    context.clock = Clock::Real();
    context.metrics = &metrics_;
    service_ = std::make_unique<UploadServiceImpl>(context);
    rpc::RpcServerOptions options;
    options.listen = {"127.0.0.1:0"};
    auto server = rpc::RpcServer::Start(
        options, {{v1::UploadService::service_full_name(), service_.get()}});
    ASSERT_THAT(server, IsOk());
    server_ = *std::move(server);
    rpc::ChannelOptions channel;
    channel.own_connection = true;
    stub_ = v1::UploadService::NewStub(
        rpc::MakeChannel(server_->addresses()[0], channel));
  }

  void Stop() {
    stub_ = nullptr;
    server_->Stop(absl::Minutes(1));
    node_ = nullptr;
    server_ = nullptr;
    EXPECT_EQ(budget_.taken_bytes(), 0);
    EXPECT_EQ(metrics_.upload_write.in_flight(), 0u);
  }
  void Restart() {
    Stop();
    Start();
  }

  std::string Begin(absl::optional<int64_t> size) {
    v1::CreateUploadRequest request;
    request.set_extension("bin");
    if (size.has_value()) request.set_size_bytes(*size);
    const auto created = Create(request);
    EXPECT_THAT(created, IsOk());
    return created.ok() ? created->upload_id() : "";
  }

  absl::StatusOr<v1::UploadStatus> Create(
      const v1::CreateUploadRequest& request) {
    grpc::ClientContext context;
    rpc::SetTimeout(&context, absl::Minutes(5));
    v1::CreateUploadResponse response;
    const grpc::Status status =
        stub_->CreateUpload(&context, request, &response);
    if (!status.ok()) return rpc::FromGrpcStatus(status);
    return response.upload();
  }

  absl::StatusOr<v1::UploadStatus> Query(const std::string& upload_id) {
    grpc::ClientContext context;
    rpc::SetTimeout(&context, absl::Minutes(5));
    v1::QueryUploadRequest request;
    request.set_upload_id(upload_id);
    v1::QueryUploadResponse response;
    const grpc::Status status =
        stub_->QueryUpload(&context, request, &response);
    if (!status.ok()) return rpc::FromGrpcStatus(status);
    return response.upload();
  }

  absl::StatusOr<v1::FinishUploadResponse> Finish(
      const std::string& upload_id, const std::string& request_id = "",
      absl::optional<uint32_t> crc = absl::nullopt,
      v1::FinishUploadRequest request = {}) {
    grpc::ClientContext context;
    rpc::SetTimeout(&context, absl::Minutes(5));
    request.set_upload_id(upload_id);
    request.set_request_id(request_id);
    if (crc.has_value()) request.set_crc32c(*crc);
    v1::FinishUploadResponse response;
    const grpc::Status status =
        stub_->FinishUpload(&context, request, &response);
    if (!status.ok()) return rpc::FromGrpcStatus(status);
    return response;
  }

  absl::Status Abort(const std::string& upload_id) {
    grpc::ClientContext context;
    rpc::SetTimeout(&context, absl::Minutes(5));
    v1::AbortUploadRequest request;
    request.set_upload_id(upload_id);
    v1::AbortUploadResponse response;
    return rpc::FromGrpcStatus(
        stub_->AbortUpload(&context, request, &response));
  }

  absl::StatusOr<int64_t> Send(const std::string& upload_id, int64_t offset,
                               const std::string& content,
                               size_t chunk = 200000) {
    Part part(stub_.get(), upload_id, offset,
              static_cast<int64_t>(content.size()));
    bool open = true;
    for (size_t at = 0; open && at < content.size(); at += chunk) {
      open = part.Send(content.substr(at, chunk));
    }
    return part.Finish(Crc32c(content));
  }

  // The content of a file ID, as the path has it.
  absl::StatusOr<std::string> Read(const std::string& file_id) {
    const auto located = node_->Locate(file_id);
    if (!located.ok()) return located.status();
    return ReadFile(located->path.get(), located->id.name);
  }

  CrashableFileSystem fs_;
  FakeClock clock_;
  StorePathOptions options_;
  const FileIdCodec codec_{"secret"};
  ByteBudget budget_{64 << 20};
  Quotas quotas_{"group1"};
  ReplicaGate alone_{7};
  MetricsRegistry registry_;
  ApiMetrics metrics_{&registry_};
  std::unique_ptr<StorageNode> node_;
  Engine* engine_ = nullptr;
  std::unique_ptr<UploadServiceImpl> service_;
  std::unique_ptr<rpc::RpcServer> server_;
  std::unique_ptr<v1::UploadService::Stub> stub_;
};

TEST_F(UploadServiceTest, MakesAFileOfPartsThatComeSideBySide) {
  const std::string content = TestContent(1, 4 * kBlockBytes + 77);
  const std::string id = Begin(static_cast<int64_t>(content.size()));
  Part first(stub_.get(), id, 0, 2 * kBlockBytes);
  Part second(stub_.get(), id, 2 * kBlockBytes, absl::nullopt);
  EXPECT_TRUE(second.Send(content.substr(2 * kBlockBytes, 100)));
  EXPECT_TRUE(first.Send(content.substr(0, 2 * kBlockBytes)));
  EXPECT_TRUE(second.Send(content.substr(2 * kBlockBytes + 100)));
  EXPECT_THAT(first.Finish(), IsOkAndHolds(2 * kBlockBytes));
  EXPECT_THAT(second.Finish(), IsOkAndHolds(2 * kBlockBytes + 77));

  const auto status = Query(id);
  ASSERT_THAT(status, IsOk());
  EXPECT_EQ(status->node_number(), 7u);
  EXPECT_EQ(status->block_bytes(), kBlockBytes);
  EXPECT_EQ(status->size_bytes(), static_cast<int64_t>(content.size()));
  ASSERT_EQ(status->durable_size(), 1);
  EXPECT_EQ(status->durable(0).offset(), 0);
  EXPECT_EQ(status->durable(0).length(), static_cast<int64_t>(content.size()));
  EXPECT_EQ(status->written_size(), 0);
  EXPECT_EQ(status->expire_time().seconds(),
            absl::ToUnixSeconds(clock_.Now() + absl::Hours(24)));

  const auto finished = Finish(id, "", Crc32c(content));
  ASSERT_THAT(finished, IsOk());
  EXPECT_EQ(finished->info().size_bytes(),
            static_cast<int64_t>(content.size()));
  EXPECT_EQ(finished->info().crc32c(), Crc32c(content));
  EXPECT_EQ(finished->reached().level(), common::v1::DURABILITY_LEVEL_SYNCED);
  EXPECT_FALSE(finished->replayed());
  EXPECT_THAT(finished->info().file_id(), ::testing::EndsWith(".bin"));
  EXPECT_THAT(Read(finished->info().file_id()), IsOkAndHolds(content));
}

TEST_F(UploadServiceTest, TheFileHasWhatItsEndSays) {
  // In the journal, and in a segment of its own.
  for (const size_t size : {size_t{10}, size_t{2 * kBlockBytes + 5}}) {
    const std::string id = Begin(absl::nullopt);
    ASSERT_THAT(Send(id, 0, TestContent(3, size)), IsOk());
    constexpr int64_t kEnd = 4000000000;
    v1::FinishUploadRequest request;
    request.mutable_lifetime()->mutable_expire_time()->set_seconds(1);
    EXPECT_EQ(ReasonOf(Finish(id, "", absl::nullopt, request).status()),
              ErrorReason::kInvalidField);
    request.mutable_lifetime()->mutable_expire_time()->set_seconds(kEnd);
    common::v1::Attribute* const attribute =
        request.mutable_attributes()->add_attributes();
    attribute->set_key("k");
    attribute->set_value("v");
    const auto finished = Finish(id, "", absl::nullopt, request);
    ASSERT_THAT(finished, IsOk());
    EXPECT_EQ(finished->info().expire_time().seconds(), kEnd);
    const std::string name = ParseFileId(finished->info().file_id())->name;
    for (int opened = 0; opened < 2; ++opened) {
      const auto info = engine_->Stat(name);
      ASSERT_THAT(info, IsOk());
      EXPECT_EQ(info->expire_unix_seconds, kEnd);
      EXPECT_EQ(info->attributes, request.attributes().SerializeAsString());
      if (opened == 0) Restart();
    }
  }
}

TEST_F(UploadServiceTest, AFinishSharesTheContentIfItSaysSo) {
  const std::string content = TestContent(9, 2 * kBlockBytes + 5);
  v1::FinishUploadRequest request;
  request.set_dedup(true);
  std::string id;
  for (const bool shared : {false, true}) {
    id = Begin(absl::nullopt);
    ASSERT_THAT(Send(id, 0, content), IsOk());
    const auto finished = Finish(id, "", absl::nullopt, request);
    ASSERT_THAT(finished, IsOk());
    EXPECT_EQ(finished->shared(), shared);
    EXPECT_EQ(finished->info().sha256(), Sha256(content));
  }
  for (int opened = 0; opened < 2; ++opened) {
    const auto again = Finish(id, "", absl::nullopt, request);
    ASSERT_THAT(again, IsOk());
    EXPECT_TRUE(again->replayed());
    EXPECT_TRUE(again->shared());
    if (opened == 0) Restart();
  }
}

TEST_F(UploadServiceTest, AnswersARepeatedFinishAlikeAlsoAfterARestart) {
  for (const std::string& request_id :
       {std::string(), Uuid::Random().ToString()}) {
    for (const int64_t size : {int64_t{10}, 2 * kBlockBytes}) {
      const std::string id = Begin(absl::nullopt);
      const std::string content =
          TestContent(2, static_cast<size_t>(size) + request_id.size());
      ASSERT_THAT(Send(id, 0, content), IsOk());
      const std::string request =
          request_id.empty() ? "" : Uuid::Random().ToString();
      const auto first = Finish(id, request);
      ASSERT_THAT(first, IsOk());
      const auto again = Finish(id, request);
      ASSERT_THAT(again, IsOk());
      EXPECT_TRUE(again->replayed());
      EXPECT_EQ(again->info().file_id(), first->info().file_id());
      Restart();
      const auto later = Finish(id, request);
      ASSERT_THAT(later, IsOk());
      EXPECT_TRUE(later->replayed());
      EXPECT_EQ(later->info().file_id(), first->info().file_id());
      EXPECT_EQ(ReasonOf(Query(id).status()), ErrorReason::kUploadNotFound);
    }
  }
  EXPECT_EQ(engine_->Status().files, 4);
}

TEST_F(UploadServiceTest, GoesOnAfterARestart) {
  const std::string content = TestContent(3, 3 * kBlockBytes);
  const std::string id = Begin(static_cast<int64_t>(content.size()));
  ASSERT_THAT(Send(id, kBlockBytes, content.substr(kBlockBytes)), IsOk());
  Restart();
  const auto status = Query(id);
  ASSERT_THAT(status, IsOk());
  ASSERT_EQ(status->durable_size(), 1);
  EXPECT_EQ(status->durable(0).offset(), kBlockBytes);
  const auto early = Finish(id);
  EXPECT_THAT(early, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(ReasonOf(early.status()), ErrorReason::kUploadIncomplete);
  EXPECT_EQ(MetadataOf(early.status())["missing_offset"], "0");
  ASSERT_THAT(Send(id, 0, content), IsOk());
  const auto finished = Finish(id);
  ASSERT_THAT(finished, IsOk());
  EXPECT_THAT(Read(finished->info().file_id()), IsOkAndHolds(content));
}

TEST_F(UploadServiceTest, KeepsTheWholeBlocksOfAPartThatBreaksOff) {
  const std::string content = TestContent(4, 3 * kBlockBytes);
  const std::string id = Begin(static_cast<int64_t>(content.size()));
  {
    Part part(stub_.get(), id, 0, absl::nullopt);
    EXPECT_TRUE(part.Send(content.substr(0, kBlockBytes + 10)));
    EXPECT_THAT(part.End(), StatusIs(absl::StatusCode::kInvalidArgument));
  }
  auto status = Query(id);
  ASSERT_THAT(status, IsOk());
  ASSERT_EQ(status->durable_size(), 1);
  EXPECT_EQ(status->durable(0).length(), kBlockBytes);
  {
    // The same when the client goes away. Its range is free as soon as the node
    // has seen it.
    Part part(stub_.get(), id, kBlockBytes, absl::nullopt);
    EXPECT_TRUE(part.Send(content.substr(kBlockBytes, kBlockBytes)));
    part.Cancel();
    EXPECT_THAT(part.End(), StatusIs(absl::StatusCode::kCancelled));
  }
  absl::StatusOr<int64_t> sent;
  do {
    sent = Send(id, 0, content);
  } while (ReasonOf(sent.status()) == ErrorReason::kUploadRangeBusy);
  ASSERT_THAT(sent, IsOk());
  EXPECT_THAT(Finish(id), IsOk());
}

TEST_F(UploadServiceTest, RefusesASecondWriterOfARange) {
  const std::string content = TestContent(5, 2 * kBlockBytes);
  const std::string id = Begin(static_cast<int64_t>(content.size()));
  Part first(stub_.get(), id, 0, absl::nullopt);
  EXPECT_TRUE(first.Send(content.substr(0, kBlockBytes)));
  // Until it has been seen to be there.
  while (Query(id)->written_size() == 0) {
  }
  const auto second = Send(id, kBlockBytes, content.substr(kBlockBytes));
  EXPECT_THAT(second, StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(ReasonOf(second.status()), ErrorReason::kUploadRangeBusy);
  const auto finish = Finish(id);
  EXPECT_THAT(finish, StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(ReasonOf(finish.status()), ErrorReason::kUploadRangeBusy);
  EXPECT_TRUE(first.Send(content.substr(kBlockBytes)));
  EXPECT_THAT(first.Finish(), IsOk());
  EXPECT_THAT(Finish(id), IsOk());
}

TEST_F(UploadServiceTest, ComparesWhatIsSentAgain) {
  std::string content = TestContent(6, 2 * kBlockBytes);
  const std::string id = Begin(static_cast<int64_t>(content.size()));
  ASSERT_THAT(Send(id, 0, content), IsOk());
  EXPECT_THAT(Send(id, kBlockBytes, content.substr(kBlockBytes)), IsOk());
  content[kBlockBytes + 3] ^= 1;
  const auto other = Send(id, 0, content);
  EXPECT_THAT(other, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(ReasonOf(other.status()), ErrorReason::kUploadContentDiffers);
  EXPECT_EQ(ReasonOf(Finish(id, "", Crc32c(content)).status()),
            ErrorReason::kChecksumMismatch);
}

TEST_F(UploadServiceTest, RefusesMalformedMessages) {
  const std::string id = Begin(absl::nullopt);
  const std::string data = TestContent(7, 1000);
  {
    Part part(stub_.get(), id, 0, absl::nullopt);
    v1::WriteUploadRequest message;
    message.mutable_chunk()->set_data(data);
    message.mutable_chunk()->set_crc32c(Crc32c(data) + 1);
    part.Send(message);
    EXPECT_EQ(ReasonOf(part.Finish().status()), ErrorReason::kChecksumMismatch);
  }
  {
    Part part(stub_.get(), id, 0, absl::nullopt);
    v1::WriteUploadRequest message;
    message.mutable_chunk()->set_offset(5);
    message.mutable_chunk()->set_data(data);
    message.mutable_chunk()->set_crc32c(Crc32c(data));
    part.Send(message);
    const absl::Status refused = part.Finish().status();
    EXPECT_EQ(ReasonOf(refused), ErrorReason::kChunkOutOfOrder);
    EXPECT_EQ(MetadataOf(refused)["expected_offset"], "0");
  }
  {
    Part part(stub_.get(), id, 0, absl::nullopt);
    part.Send(data);
    EXPECT_EQ(ReasonOf(part.Finish(Crc32c(data) + 1).status()),
              ErrorReason::kChecksumMismatch);
  }
  {
    Part part(stub_.get(), id, 0, absl::nullopt);
    part.Send(v1::WriteUploadRequest());
    EXPECT_EQ(ReasonOf(part.End().status()), ErrorReason::kInvalidField);
  }
  EXPECT_EQ(ReasonOf(Send(id, 1, data).status()), ErrorReason::kInvalidField);
  EXPECT_EQ(ReasonOf(Send("nonsense", 0, data).status()),
            ErrorReason::kInvalidField);
  EXPECT_EQ(ReasonOf(Query("nonsense").status()), ErrorReason::kInvalidField);
  std::string elsewhere = id;
  elsewhere[0] = '1';
  EXPECT_EQ(ReasonOf(Query(elsewhere).status()), ErrorReason::kUploadElsewhere);
  EXPECT_EQ(ReasonOf(Finish(elsewhere).status()),
            ErrorReason::kUploadElsewhere);
  std::string guessed = id;
  guessed.back() = guessed.back() == '0' ? '1' : '0';
  EXPECT_THAT(Query(guessed), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(ReasonOf(Finish(guessed).status()), ErrorReason::kUploadNotFound);
  EXPECT_EQ(ReasonOf(Abort(guessed)), ErrorReason::kUploadNotFound);

  v1::CreateUploadRequest create;
  create.set_extension("no/slash");
  EXPECT_THAT(Create(create), StatusIs(absl::StatusCode::kInvalidArgument));
  create.clear_extension();
  create.set_size_bytes(-1);
  EXPECT_EQ(ReasonOf(Create(create).status()), ErrorReason::kInvalidField);
  create.set_size_bytes(kUploadSessionBytesMax + 1);
  EXPECT_THAT(Create(create).status().ok(), false);
  create.clear_size_bytes();
  create.set_group("group2");
  EXPECT_EQ(ReasonOf(Create(create).status()), ErrorReason::kWrongGroup);
  create.clear_group();
  create.set_store_path(3);
  EXPECT_EQ(ReasonOf(Create(create).status()), ErrorReason::kUnknownStorePath);
}

TEST_F(UploadServiceTest, ForgetsWhatIsAbortedOrExpires) {
  const std::string aborted = Begin(absl::nullopt);
  const std::string idle = Begin(absl::nullopt);
  ASSERT_THAT(Abort(aborted), IsOk());
  EXPECT_EQ(ReasonOf(Abort(aborted)), ErrorReason::kUploadNotFound);
  EXPECT_EQ(ReasonOf(Send(aborted, 0, "x").status()),
            ErrorReason::kUploadNotFound);
  clock_.Advance(absl::Hours(24) + absl::Seconds(1));
  ASSERT_THAT(engine_->Compact(2, [](const JobProgress&) {}), IsOk());
  EXPECT_EQ(ReasonOf(Query(idle).status()), ErrorReason::kUploadNotFound);
}

TEST_F(UploadServiceTest, SaysWhenThereAreTooMany) {
  options_.uploads_open_max = 1;
  Restart();
  const std::string id = Begin(absl::nullopt);
  const auto refused = Create(v1::CreateUploadRequest());
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(ReasonOf(refused.status()), ErrorReason::kTooManyUploads);
  ASSERT_THAT(Abort(id), IsOk());
  EXPECT_THAT(Create(v1::CreateUploadRequest()), IsOk());
}

TEST_F(UploadServiceTest, AQuotaIsLookedAtWhenItBeginsAndWhenItEnds) {
  quotas_.SetLimits({{/*files=*/1, /*bytes=*/1000}, {}});
  v1::CreateUploadRequest request;
  request.set_size_bytes(1001);
  const auto refused = Create(request);
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(ReasonOf(refused.status()), ErrorReason::kQuotaExceeded);
  EXPECT_EQ(MetadataOf(refused.status())["limit_bytes"], "1000");

  const std::string fits = Begin(1000);
  ASSERT_THAT(Send(fits, 0, TestContent(1, 1000)), IsOk());
  const std::string unknown = Begin(absl::nullopt);
  ASSERT_THAT(Send(unknown, 0, TestContent(2, 1001)), IsOk());
  auto finish = Finish(unknown);
  EXPECT_THAT(finish, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(ReasonOf(finish.status()), ErrorReason::kQuotaExceeded);
  const auto finished = Finish(fits);
  ASSERT_THAT(finished, IsOk());
  // A repeated call is told of the file that fills the group.
  const auto again = Finish(fits);
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->info().file_id(), finished->info().file_id());
  EXPECT_EQ(ReasonOf(Create(v1::CreateUploadRequest()).status()),
            ErrorReason::kQuotaExceeded);

  // The other one waits for room.
  Restart();
  EXPECT_EQ(quotas_.Use(), (FileUse{1, 1000}));
  EXPECT_EQ(ReasonOf(Finish(unknown).status()), ErrorReason::kQuotaExceeded);
  quotas_.SetLimits({{/*files=*/2, /*bytes=*/0}, {}});
  EXPECT_THAT(Finish(unknown), IsOk());
  EXPECT_EQ(quotas_.Use(), (FileUse{2, 2001}));
}

TEST_F(UploadServiceTest, AFileHasItsAttributesFromTheBeginning) {
  const std::string content = TestContent(1, 1 << 20);
  const std::string id = Begin(1 << 20);
  Part part(stub_.get(), id, 0, absl::nullopt);
  part.Send(content);
  ASSERT_THAT(part.Finish(), IsOk());
  v1::FinishUploadRequest request;
  request.set_upload_id(id);
  common::v1::Attribute* attribute =
      request.mutable_attributes()->add_attributes();
  attribute->set_key("k");
  attribute->set_value("v");
  v1::FinishUploadResponse response;
  {
    v1::FinishUploadRequest wrong = request;
    wrong.mutable_attributes()->mutable_attributes(0)->set_key("");
    grpc::ClientContext context;
    rpc::SetTimeout(&context, absl::Minutes(5));
    EXPECT_FALSE(stub_->FinishUpload(&context, wrong, &response).ok());
  }
  grpc::ClientContext context;
  rpc::SetTimeout(&context, absl::Minutes(5));
  ASSERT_TRUE(stub_->FinishUpload(&context, request, &response).ok());
  const auto parts = codec_.Verify(response.info().file_id());
  ASSERT_THAT(parts, IsOk());
  EXPECT_EQ(engine_->Stat(parts->name)->attributes,
            request.attributes().SerializeAsString());
}

TEST_F(UploadServiceTest, ADerivedFileRemembersItsNameOverARestart) {
  FileIdParts master;
  master.group = "group1";
  master.name = codec_.MakeName("group1", 0, FileIdFields(), "mp4");
  v1::CreateUploadRequest request;
  request.set_extension("webm");
  request.mutable_derived()->set_master_id(master.ToString());
  request.mutable_derived()->set_prefix("_720p");
  const std::string content = TestContent(1, 1 << 20);
  const auto store = [&](const std::string& what) {
    const auto created = Create(request);
    EXPECT_THAT(created, IsOk());
    Part part(stub_.get(), created->upload_id(), 0, absl::nullopt);
    part.Send(what);
    EXPECT_THAT(part.Finish(), IsOk());
    Restart();
    return Finish(created->upload_id());
  };
  const auto stored = store(content);
  ASSERT_THAT(stored, IsOk());
  EXPECT_EQ(stored->info().file_id(),
            *DerivedFileId(master.ToString(), "_720p", "webm"));
  EXPECT_EQ(stored->info().kind(), common::v1::FILE_KIND_DERIVED);
  EXPECT_FALSE(stored->replayed());

  const auto again = store(content);
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(again->replayed());
  EXPECT_TRUE(engine_->uploads()->List().empty());

  // What cannot be finished stays, so that it can be aborted.
  EXPECT_EQ(ReasonOf(store(TestContent(2, 1 << 20)).status()),
            ErrorReason::kFileExists);
  EXPECT_EQ(engine_->uploads()->List().size(), 1u);

  request.mutable_derived()->set_master_id(stored->info().file_id());
  EXPECT_EQ(ReasonOf(Create(request).status()), ErrorReason::kWrongKind);
}

// There may be another file by that name, of which it is about to hear.
TEST_F(UploadServiceTest, ADerivedFileWaitsUntilTheNodeHasCaughtUp) {
  FileIdParts master;
  master.group = "group1";
  master.name = codec_.MakeName("group1", 0, FileIdFields(), "mp4");
  v1::CreateUploadRequest request;
  request.mutable_derived()->set_master_id(master.ToString());
  request.mutable_derived()->set_prefix("_720p");
  const auto created = Create(request);
  ASSERT_THAT(created, IsOk());
  Part part(stub_.get(), created->upload_id(), 0, absl::nullopt);
  part.Send("content");
  ASSERT_THAT(part.Finish(), IsOk());

  // It has heard of nobody yet.
  Replicator replicator(
      ReplicatorOptions(), [] { return std::shared_ptr<StorePath>(); }, nullptr,
      &clock_, [] {});
  alone_ = ReplicaGate([&replicator](uint8_t) { return &replicator; },
                       ReplicaGateOptions(), &clock_);
  for (const absl::Status& refused :
       {Create(request).status(), Finish(created->upload_id()).status()}) {
    EXPECT_THAT(refused, StatusIs(absl::StatusCode::kUnavailable));
    EXPECT_EQ(ReasonOf(refused), ErrorReason::kContentNotHere);
  }
  // What has come stays, and is finished later.
  alone_ = ReplicaGate(7);
  EXPECT_THAT(Finish(created->upload_id()), IsOk());
}

}  // namespace
}  // namespace storage
}  // namespace cairn
