// Whole files up and down through a real connection, on fake store paths: what
// is promised for every mistake of a client, for a client that is slow or gone,
// and for a disk that is.

#include "services/storage/api/file_service.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "cairn/storage/v1/file_service.grpc.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/attributes/attributes.h"
#include "lib/base/clock.h"
#include "lib/base/error_reason.h"
#include "lib/base/mutex.h"
#include "lib/base/uuid.h"
#include "lib/checksum/crc32c.h"
#include "lib/checksum/sha256.h"
#include "lib/file_id/file_id.h"
#include "lib/metrics/metrics.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/grpc_status.h"
#include "lib/rpc/server.h"
#include "lib/testing/status_matchers.h"
#include "services/storage/api/call_context.h"
#include "services/storage/api/replica_gate.h"
#include "services/storage/core/byte_budget.h"
#include "services/storage/core/file_use.h"
#include "services/storage/core/quotas.h"
#include "services/storage/core/replicator.h"
#include "services/storage/core/storage_node.h"
#include "services/storage/core/store_path.h"
#include "services/storage/core/testing/fake_store_path.h"

namespace cairn {
namespace storage {
namespace {

using ::testing::ElementsAre;
using ::testing::Le;
using ::testing::StartsWith;

constexpr int64_t kMiB = 1 << 20;

std::string SomeContent(size_t size) {
  std::string out(size, '\0');
  for (size_t i = 0; i < size; ++i) {
    out[i] = static_cast<char>(i * 31 + i / 251 + i / 65521);
  }
  return out;
}

// Whoever waits for something that another thread does has no better way than
// to look again; a machine may be slow, so the deadline is for a broken one.
bool Eventually(const std::function<bool()>& condition) {
  const absl::Time deadline = absl::Now() + absl::Minutes(2);
  while (!condition()) {
    if (absl::Now() > deadline) return false;
    absl::SleepFor(absl::Milliseconds(1));
  }
  return true;
}

// One Upload, message by message.
class Uploader {
 public:
  Uploader(v1::FileService::Stub* stub) {
    rpc::SetTimeout(&context_, absl::Minutes(5));
    writer_ = stub->Upload(&context_, &response_);
  }

  bool Send(const v1::UploadRequest& message) {
    return writer_->Write(message);
  }
  bool SendSpec(const v1::UploadSpec& spec) {
    v1::UploadRequest message;
    *message.mutable_spec() = spec;
    return Send(message);
  }
  bool SendChunk(int64_t offset, const std::string& data) {
    v1::UploadRequest message;
    message.mutable_chunk()->set_offset(offset);
    message.mutable_chunk()->set_data(data);
    message.mutable_chunk()->set_crc32c(Crc32c(data));
    return Send(message);
  }
  bool SendFinish() {
    v1::UploadRequest message;
    message.mutable_finish();
    return Send(message);
  }
  void Cancel() { context_.TryCancel(); }

  absl::StatusOr<v1::UploadResponse> Finish() {
    writer_->WritesDone();
    return Await();
  }

  // The answer to what was sent so far: more could follow.
  absl::StatusOr<v1::UploadResponse> Await() {
    const grpc::Status status = writer_->Finish();
    if (!status.ok()) return rpc::FromGrpcStatus(status);
    return response_;
  }

 private:
  grpc::ClientContext context_;
  v1::UploadResponse response_;
  std::unique_ptr<grpc::ClientWriter<v1::UploadRequest>> writer_;
};

class FileServiceTest : public ::testing::Test {
 protected:
  void Start(int paths = 1, int64_t budget_bytes = 64 * kMiB) {
    NodeIdentity identity;
    identity.node_number = 7;
    identity.group = "group1";
    budget_ = std::make_unique<ByteBudget>(budget_bytes);
    node_ = std::make_unique<StorageNode>(identity, PathPolicy::kRoundRobin,
                                          &codec_, Clock::Real());
    for (int i = 0; i < paths; ++i) {
      StorePathHooks hooks;
      hooks.open = [this]() -> absl::StatusOr<std::unique_ptr<StorePath>> {
        auto path = std::make_unique<FakeStorePath>();
        fakes_.push_back(path.get());
        return std::unique_ptr<StorePath>(std::move(path));
      };
      ASSERT_THAT(node_->AddPath("/disk", hooks), IsOk());
    }
    CallContext context;
    context.node = node_.get();
    context.budget = budget_.get();
    context.replicas = alone_.get();
    context.quotas = &quotas_;
    context.default_dedup = default_dedup_;
    context.clock = Clock::Real();
    context.metrics = &metrics_;
    service_ = std::make_unique<FileServiceImpl>(
        context, "1.2.3",
        std::vector<std::string>{v1::FileService::service_full_name()});
    rpc::RpcServerOptions options;
    options.listen = {"127.0.0.1:0"};
    auto server = rpc::RpcServer::Start(
        options, {{v1::FileService::service_full_name(), service_.get()}});
    ASSERT_THAT(server, IsOk());
    server_ = *std::move(server);
    rpc::ChannelOptions channel;
    channel.own_connection = true;
    stub_ = v1::FileService::NewStub(
        rpc::MakeChannel(server_->addresses()[0], channel));
  }

  ~FileServiceTest() override {
    if (server_ == nullptr) return;
    // A connection that nobody polls closes late, and Stop() waits for it.
    stub_ = nullptr;
    server_->Stop(absl::Minutes(1));
    node_ = nullptr;  // Waits for whoever uses a path.
    EXPECT_EQ(budget_->taken_bytes(), 0);
    EXPECT_EQ(metrics_.upload.in_flight(), 0u);
    EXPECT_EQ(metrics_.download.in_flight(), 0u);
  }

  static v1::UploadSpec Spec(absl::optional<int64_t> size = absl::nullopt) {
    v1::UploadSpec spec;
    spec.set_request_id(Uuid::Random().ToString());
    spec.set_extension("bin");
    if (size.has_value()) spec.set_size_bytes(*size);
    return spec;
  }

  absl::StatusOr<v1::UploadResponse> Upload(const v1::UploadSpec& spec,
                                            const std::string& content,
                                            size_t chunk = 256 << 10) {
    Uploader uploader(stub_.get());
    bool open = uploader.SendSpec(spec);
    for (size_t at = 0; open && at < content.size(); at += chunk) {
      open = uploader.SendChunk(static_cast<int64_t>(at),
                                content.substr(at, chunk));
    }
    if (open) uploader.SendFinish();
    return uploader.Finish();
  }

  absl::StatusOr<v1::CopyResponse> Copy(const v1::CopyRequest& request) {
    grpc::ClientContext context;
    rpc::SetTimeout(&context, absl::Minutes(5));
    v1::CopyResponse response;
    const grpc::Status status = stub_->Copy(&context, request, &response);
    if (!status.ok()) return rpc::FromGrpcStatus(status);
    return response;
  }

  common::v1::Attributes AttributesOf(const std::string& id) {
    grpc::ClientContext context;
    rpc::SetTimeout(&context, absl::Minutes(5));
    v1::GetAttributesRequest request;
    request.set_file_id(id);
    v1::GetAttributesResponse response;
    EXPECT_TRUE(stub_->GetAttributes(&context, request, &response).ok());
    return response.attributes();
  }

  // A file that is there, for those who read.
  std::string Put(const std::string& content) {
    const auto response =
        Upload(Spec(static_cast<int64_t>(content.size())), content);
    EXPECT_THAT(response, IsOk());
    return response.ok() ? response->info().file_id() : "";
  }

  struct Downloaded {
    common::v1::FileInfo info;
    std::string content;
    int chunks = 0;
  };
  absl::StatusOr<Downloaded> Download(const v1::DownloadRequest& request) {
    grpc::ClientContext context;
    rpc::SetTimeout(&context, absl::Minutes(5));
    const auto reader = stub_->Download(&context, request);
    Downloaded out;
    v1::DownloadResponse response;
    int64_t expected_offset = request.offset();
    while (reader->Read(&response)) {
      if (response.has_info()) {
        EXPECT_EQ(out.chunks, 0);
        out.info = response.info();
        continue;
      }
      EXPECT_EQ(response.chunk().offset(), expected_offset);
      EXPECT_EQ(response.chunk().crc32c(), Crc32c(response.chunk().data()));
      out.content += response.chunk().data();
      expected_offset += static_cast<int64_t>(response.chunk().data().size());
      ++out.chunks;
    }
    const grpc::Status status = reader->Finish();
    if (!status.ok()) return rpc::FromGrpcStatus(status);
    return out;
  }
  absl::StatusOr<Downloaded> Download(const std::string& file_id) {
    v1::DownloadRequest request;
    request.set_file_id(file_id);
    return Download(request);
  }

  absl::StatusOr<v1::StatResponse> Stat(const std::string& file_id,
                                        bool with_attributes = false) {
    grpc::ClientContext context;
    rpc::SetTimeout(&context, absl::Minutes(5));
    v1::StatRequest request;
    request.set_file_id(file_id);
    request.set_include_attributes(with_attributes);
    v1::StatResponse response;
    const grpc::Status status = stub_->Stat(&context, request, &response);
    if (!status.ok()) return rpc::FromGrpcStatus(status);
    return response;
  }

  absl::StatusOr<v1::DeleteResponse> Delete(const v1::DeleteRequest& request) {
    grpc::ClientContext context;
    rpc::SetTimeout(&context, absl::Minutes(5));
    v1::DeleteResponse response;
    const grpc::Status status = stub_->Delete(&context, request, &response);
    if (!status.ok()) return rpc::FromGrpcStatus(status);
    return response;
  }

  absl::StatusOr<v1::UndeleteResponse> Undelete(
      const v1::UndeleteRequest& request) {
    grpc::ClientContext context;
    rpc::SetTimeout(&context, absl::Minutes(5));
    v1::UndeleteResponse response;
    const grpc::Status status = stub_->Undelete(&context, request, &response);
    if (!status.ok()) return rpc::FromGrpcStatus(status);
    return response;
  }

  // Keeps all threads of a path's io() busy until it is destroyed.
  class BusyDisk {
   public:
    explicit BusyDisk(FakeStorePath* path) {
      for (int i = 0; i < 2; ++i) {
        EXPECT_TRUE(path->io()->TrySubmit(
            [released = released_] { released->WaitForNotification(); }));
      }
    }
    ~BusyDisk() { released_->Notify(); }

   private:
    // A thread may still be waking up when this object is gone.
    const std::shared_ptr<Notification> released_ =
        std::make_shared<Notification>();
  };

  const FileIdCodec codec_{"a secret for tests alone"};
  MetricsRegistry registry_;
  ApiMetrics metrics_{&registry_};
  Quotas quotas_{"group1"};
  bool default_dedup_ = false;
  std::unique_ptr<ByteBudget> budget_;
  std::vector<FakeStorePath*> fakes_;
  std::unique_ptr<StorageNode> node_;
  std::unique_ptr<Replicator> replicator_;  // Null in most tests.
  std::unique_ptr<ReplicaGate> alone_ = std::make_unique<ReplicaGate>(7);
  std::unique_ptr<FileServiceImpl> service_;
  std::unique_ptr<rpc::RpcServer> server_;
  std::unique_ptr<v1::FileService::Stub> stub_;
};

#define EXPECT_REASON(expression, code, reason)                               \
  do {                                                                        \
    const absl::Status expect_status = (expression).status();                 \
    EXPECT_THAT(expect_status, StatusIs(absl::StatusCode::code));             \
    EXPECT_EQ(ReasonOf(expect_status), ErrorReason::reason) << expect_status; \
  } while (false)

TEST_F(FileServiceTest, WhatGoesUpComesDown) {
  Start();
  for (const size_t size :
       {size_t{0}, size_t{1}, size_t{1000}, size_t{256 << 10},
        size_t{(256 << 10) + 1}, size_t{1 << 20}, size_t{(1 << 20) + 1},
        size_t{5000000}}) {
    const std::string content = SomeContent(size);
    for (const bool known : {true, false}) {
      v1::UploadSpec spec = Spec();
      if (known) spec.set_size_bytes(static_cast<int64_t>(size));
      const auto up = Upload(spec, content);
      ASSERT_THAT(up, IsOk());
      EXPECT_THAT(up->info().file_id(), StartsWith("group1/M00/"));
      EXPECT_EQ(up->info().size_bytes(), static_cast<int64_t>(size));
      EXPECT_EQ(up->info().crc32c(), Crc32c(content));
      EXPECT_EQ(up->info().kind(), common::v1::FILE_KIND_NORMAL);
      EXPECT_EQ(up->info().origin_node(), 7u);
      EXPECT_EQ(up->reached().level(), common::v1::DURABILITY_LEVEL_SYNCED);
      EXPECT_EQ(up->reached().replicas(), 1u);
      EXPECT_FALSE(up->replayed());

      const auto down = Download(up->info().file_id());
      ASSERT_THAT(down, IsOk());
      EXPECT_TRUE(down->content == content) << size;
      EXPECT_EQ(down->info.SerializeAsString(), up->info().SerializeAsString());
      const auto stat = Stat(up->info().file_id());
      ASSERT_THAT(stat, IsOk());
      EXPECT_EQ(stat->info().SerializeAsString(),
                up->info().SerializeAsString());
    }
  }
  EXPECT_EQ(fakes_[0]->uploads_in_progress(), 0);
}

TEST_F(FileServiceTest, TheSameFromADiskThatHasToBeWaitedFor) {
  Start();
  const std::string content = SomeContent(3000000);
  const std::string id = Put(content);
  fakes_[0]->set_cold(true);
  const auto down = Download(id);
  ASSERT_THAT(down, IsOk());
  EXPECT_TRUE(down->content == content);
  EXPECT_THAT(Stat(id), IsOk());
}

TEST_F(FileServiceTest, ChunksOfAnySizeAndAFinishBesideTheLast) {
  Start();
  const std::string content = SomeContent(10000);
  EXPECT_THAT(Upload(Spec(10000), content, 1), IsOk());
  EXPECT_THAT(Upload(Spec(3 * kMiB), SomeContent(3 * kMiB), 2 * kMiB), IsOk());

  Uploader uploader(stub_.get());
  ASSERT_TRUE(uploader.SendSpec(Spec()));
  v1::UploadRequest message;
  message.mutable_chunk()->set_data("hello");
  message.mutable_chunk()->set_crc32c(Crc32c("hello"));
  message.mutable_finish()->set_crc32c(Crc32c("hello"));
  uploader.Send(message);
  EXPECT_THAT(uploader.Finish(), IsOk());

  Uploader empty(stub_.get());
  message.Clear();
  *message.mutable_spec() = Spec(0);
  message.mutable_finish();
  empty.Send(message);
  EXPECT_THAT(empty.Finish(), IsOk());
}

TEST_F(FileServiceTest, ReadsRanges) {
  Start();
  const std::string content = SomeContent(1000000);
  const std::string id = Put(content);
  const auto read = [&](int64_t offset, absl::optional<int64_t> length,
                        int32_t chunk = 0) {
    v1::DownloadRequest request;
    request.set_file_id(id);
    request.set_offset(offset);
    if (length.has_value()) request.set_length(*length);
    request.set_chunk_bytes(chunk);
    return Download(request);
  };
  for (const bool cold : {false, true}) {
    fakes_[0]->set_cold(cold);
    EXPECT_EQ(read(0, 1)->content, content.substr(0, 1));
    EXPECT_EQ(read(262143, 2)->content, content.substr(262143, 2));
    EXPECT_TRUE(read(100, 900000)->content == content.substr(100, 900000));
    EXPECT_TRUE(read(5, absl::nullopt, 1000)->content == content.substr(5));
    EXPECT_EQ(read(999999, 50)->content, content.substr(999999));
    EXPECT_EQ(read(1000000, absl::nullopt)->content, "");
    EXPECT_EQ(read(10, 0)->content, "");
  }
  // Chunks lie at multiples of their size.
  EXPECT_EQ(read(0, absl::nullopt)->chunks, 4);
  EXPECT_EQ(read(1, absl::nullopt)->chunks, 4);
  EXPECT_EQ(read(0, absl::nullopt, 2 << 20)->chunks, 1);

  const auto past = read(1000001, absl::nullopt);
  EXPECT_REASON(past, kOutOfRange, kRangePastEnd);
  EXPECT_EQ(MetadataOf(past.status())["size_bytes"], "1000000");
  EXPECT_REASON(read(-1, absl::nullopt), kInvalidArgument, kInvalidField);
  EXPECT_REASON(read(0, -1), kInvalidArgument, kInvalidField);
  EXPECT_REASON(read(0, absl::nullopt, -1), kInvalidArgument, kInvalidField);
  EXPECT_REASON(read(0, absl::nullopt, (2 << 20) + 1), kInvalidArgument,
                kInvalidField);
}

TEST_F(FileServiceTest, IdsThatLeadNowhere) {
  Start(2);
  const std::string id = Put("content");
  std::string forged = id;
  char& last_of_tag = forged[forged.size() - 5];  // Before `.bin`.
  last_of_tag = last_of_tag == 'A' ? 'B' : 'A';
  EXPECT_REASON(Stat(forged), kInvalidArgument, kForgedFileId);
  EXPECT_REASON(Download(forged), kInvalidArgument, kForgedFileId);
  EXPECT_REASON(Stat("nonsense"), kInvalidArgument, kInvalidFileId);
  EXPECT_REASON(Stat(""), kInvalidArgument, kInvalidFileId);

  FileIdParts other_group{"group2", 0, ""};
  other_group.name = codec_.MakeName("group2", 0, {}, "");
  EXPECT_REASON(Stat(other_group.ToString()), kFailedPrecondition, kWrongGroup);
  FileIdParts other_path{"group1", 9, codec_.MakeName("group1", 9, {}, "")};
  EXPECT_REASON(Stat(other_path.ToString()), kNotFound, kUnknownStorePath);
  FileIdParts unknown{"group1", 1, codec_.MakeName("group1", 1, {}, "")};
  EXPECT_REASON(Stat(unknown.ToString()), kNotFound, kFileNotFound);
  EXPECT_REASON(Download(unknown.ToString()), kNotFound, kFileNotFound);
}

TEST_F(FileServiceTest, DeletesOnceAndSaysSoAgain) {
  Start();
  const std::string id = Put("content");
  v1::DeleteRequest request;
  request.set_file_id(id);
  request.set_request_id(Uuid::Random().ToString());
  const auto first = Delete(request);
  ASSERT_THAT(first, IsOk());
  EXPECT_FALSE(first->replayed());
  EXPECT_EQ(first->reached().replicas(), 1u);
  const auto again = Delete(request);
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(again->replayed());
  request.clear_request_id();
  EXPECT_REASON(Delete(request), kNotFound, kFileDeleted);
  EXPECT_REASON(Stat(id), kNotFound, kFileDeleted);
  EXPECT_REASON(Download(id), kNotFound, kFileDeleted);
  request.set_request_id("not a uuid");
  EXPECT_REASON(Delete(request), kInvalidArgument, kInvalidField);
}

TEST_F(FileServiceTest, ADeletionSaysUntilWhenItCanBeTakenBack) {
  Start();
  const std::string id = Put("content");
  v1::DeleteRequest remove;
  remove.set_file_id(id);
  v1::UndeleteRequest undelete;
  undelete.set_file_id(id);
  EXPECT_REASON(Undelete(undelete), kAlreadyExists, kFileExists);

  const auto final = Delete(remove);
  ASSERT_THAT(final, IsOk());
  EXPECT_FALSE(final->has_undelete_until());
  EXPECT_REASON(Undelete(undelete), kNotFound, kFileDeleted);

  fakes_[0]->set_undelete_until_unix_seconds(1800000000);
  const std::string other = Put("other content");
  remove.set_file_id(other);
  undelete.set_file_id(other);
  undelete.set_request_id(Uuid::Random().ToString());
  const auto deleted = Delete(remove);
  ASSERT_THAT(deleted, IsOk());
  EXPECT_EQ(deleted->undelete_until().seconds(), 1800000000);
  const auto back = Undelete(undelete);
  ASSERT_THAT(back, IsOk());
  EXPECT_EQ(back->info().file_id(), other);
  EXPECT_EQ(back->info().size_bytes(), 13);
  EXPECT_EQ(back->reached().replicas(), 1u);
  EXPECT_FALSE(back->replayed());
  EXPECT_TRUE(Undelete(undelete)->replayed());
  EXPECT_THAT(Stat(other), IsOk());

  ASSERT_THAT(Delete(remove), IsOk());
  remove.set_purge(true);
  const auto purged = Delete(remove);
  ASSERT_THAT(purged, IsOk());
  EXPECT_FALSE(purged->has_undelete_until());
  EXPECT_REASON(Delete(remove), kNotFound, kFileDeleted);
  undelete.clear_request_id();
  EXPECT_REASON(Undelete(undelete), kNotFound, kFileDeleted);
  undelete.set_request_id("not a uuid");
  EXPECT_REASON(Undelete(undelete), kInvalidArgument, kInvalidField);
  undelete.clear_request_id();
  undelete.set_file_id("group1/M00/00/00/x");
  EXPECT_REASON(Undelete(undelete), kInvalidArgument, kInvalidFileId);
}

TEST_F(FileServiceTest, RefusesMalformedSpecs) {
  Start();
  const auto refused = [this](const std::function<void(v1::UploadSpec*)>& spoil,
                              absl::StatusCode code, ErrorReason reason) {
    v1::UploadSpec spec = Spec(5);
    spoil(&spec);
    const auto response = Upload(spec, "12345");
    EXPECT_THAT(response, StatusIs(code));
    EXPECT_EQ(ReasonOf(response.status()), reason) << response.status();
  };
  const auto kInvalid = absl::StatusCode::kInvalidArgument;
  refused([](v1::UploadSpec* s) { s->clear_request_id(); }, kInvalid,
          ErrorReason::kInvalidField);
  refused([](v1::UploadSpec* s) { s->set_request_id("x"); }, kInvalid,
          ErrorReason::kInvalidField);
  refused(
      [](v1::UploadSpec* s) {
        s->set_request_id("00000000-0000-0000-0000-000000000000");
      },
      kInvalid, ErrorReason::kInvalidField);
  refused([](v1::UploadSpec* s) { s->set_extension("a/b"); }, kInvalid,
          ErrorReason::kInvalidField);
  refused([](v1::UploadSpec* s) { s->set_size_bytes(-1); }, kInvalid,
          ErrorReason::kInvalidField);
  refused([](v1::UploadSpec* s) { s->set_size_bytes(int64_t{1} << 56); },
          kInvalid, ErrorReason::kTooLarge);
  refused(
      [](v1::UploadSpec* s) {
        s->mutable_durability()->set_level(
            static_cast<common::v1::DurabilityLevel>(9));
      },
      kInvalid, ErrorReason::kInvalidField);
  refused([](v1::UploadSpec* s) { s->mutable_durability()->set_replicas(33); },
          kInvalid, ErrorReason::kInvalidField);
  refused([](v1::UploadSpec* s) { s->set_group("group2"); },
          absl::StatusCode::kFailedPrecondition, ErrorReason::kWrongGroup);
  refused([](v1::UploadSpec* s) { s->set_store_path(3); },
          absl::StatusCode::kNotFound, ErrorReason::kUnknownStorePath);
  refused(
      [](v1::UploadSpec* s) {
        s->mutable_durability()->set_replicas(2);
        s->mutable_durability()->set_policy(
            common::v1::REPLICA_POLICY_REQUIRED);
      },
      absl::StatusCode::kUnavailable, ErrorReason::kInsufficientReplicas);
  EXPECT_EQ(fakes_[0]->files(), 0);

  // As many as there are is enough.
  v1::UploadSpec spec = Spec(5);
  spec.set_group("group1");
  spec.set_store_path(0);
  spec.mutable_durability()->set_replicas(2);
  spec.mutable_durability()->set_level(common::v1::DURABILITY_LEVEL_CACHED);
  const auto response = Upload(spec, "12345");
  ASSERT_THAT(response, IsOk());
  EXPECT_EQ(response->reached().replicas(), 1u);
  EXPECT_EQ(response->reached().level(), common::v1::DURABILITY_LEVEL_CACHED);
}

TEST_F(FileServiceTest, AFileHasItsAttributesFromItsBeginningOn) {
  Start();
  for (const size_t size : {size_t{5}, size_t{2 << 20}}) {
    v1::UploadSpec spec = Spec();
    // In any order.
    for (const char* key : {"b", "a"}) {
      common::v1::Attribute* const attribute =
          spec.mutable_attributes()->add_attributes();
      attribute->set_key(key);
      attribute->set_value(absl::StrCat("of ", key));
    }
    const auto up = Upload(spec, SomeContent(size));
    ASSERT_THAT(up, IsOk());
    EXPECT_FALSE(up->info().has_attributes());
    const std::string id = up->info().file_id();
    // Who does not ask for them is not told.
    EXPECT_FALSE(Stat(id)->info().has_attributes());
    EXPECT_FALSE(Download(id)->info.has_attributes());

    const auto stat = Stat(id, /*with_attributes=*/true);
    ASSERT_THAT(stat, IsOk());
    const common::v1::Attributes& attributes = stat->info().attributes();
    ASSERT_EQ(attributes.attributes_size(), 2);
    EXPECT_EQ(attributes.attributes(0).key(), "a");
    EXPECT_EQ(attributes.attributes(0).value(), "of a");
    EXPECT_EQ(attributes.attributes(1).key(), "b");
    v1::DownloadRequest request;
    request.set_file_id(id);
    request.set_include_attributes(true);
    const auto down = Download(request);
    ASSERT_THAT(down, IsOk());
    EXPECT_EQ(down->info.attributes().SerializeAsString(),
              attributes.SerializeAsString());
  }
  EXPECT_FALSE(
      Stat(Put("without"), /*with_attributes=*/true)->info().has_attributes());
}

TEST_F(FileServiceTest, AttributesAreSetMergedAndRead) {
  Start();
  const std::string id = Put("content");
  const auto call = [this](const v1::SetAttributesRequest& request)
      -> absl::StatusOr<v1::SetAttributesResponse> {
    grpc::ClientContext context;
    rpc::SetTimeout(&context, absl::Minutes(5));
    v1::SetAttributesResponse response;
    const grpc::Status status =
        stub_->SetAttributes(&context, request, &response);
    if (!status.ok()) return rpc::FromGrpcStatus(status);
    return response;
  };
  const auto get = [this, &id](bool cold) {
    fakes_[0]->set_cold(cold);
    grpc::ClientContext context;
    rpc::SetTimeout(&context, absl::Minutes(5));
    v1::GetAttributesRequest request;
    request.set_file_id(id);
    v1::GetAttributesResponse response;
    EXPECT_TRUE(stub_->GetAttributes(&context, request, &response).ok());
    fakes_[0]->set_cold(false);
    return response;
  };
  EXPECT_EQ(get(false).attributes().attributes_size(), 0);
  EXPECT_GT(get(true).version().clock(), 0u);

  v1::SetAttributesRequest request;
  request.set_request_id(Uuid::Random().ToString());
  request.set_file_id(id);
  request.set_mode(common::v1::ATTRIBUTES_MODE_MERGE);
  common::v1::Attribute* const attribute =
      request.mutable_attributes()->add_attributes();
  attribute->set_key("k");
  attribute->set_value("v");
  request.add_remove("never there");
  const auto set = call(request);
  ASSERT_THAT(set, IsOk());
  EXPECT_EQ(set->info().file_id(), id);
  EXPECT_EQ(set->info().size_bytes(), 7);
  EXPECT_FALSE(set->replayed());
  EXPECT_EQ(set->reached().level(), common::v1::DURABILITY_LEVEL_SYNCED);
  const auto again = call(request);
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(again->replayed());
  const v1::GetAttributesResponse seen = get(true);
  ASSERT_EQ(seen.attributes().attributes_size(), 1);
  EXPECT_EQ(seen.attributes().attributes(0).value(), "v");
  EXPECT_EQ(seen.version().clock(), set->info().version().clock());

  request.set_request_id(Uuid::Random().ToString());
  request.set_mode(common::v1::ATTRIBUTES_MODE_OVERWRITE);
  EXPECT_REASON(call(request), kInvalidArgument, kInvalidField);  // `remove`.
  request.clear_remove();
  request.mutable_attributes()->Clear();
  request.mutable_if_version_match()->set_clock(1);
  EXPECT_REASON(call(request), kFailedPrecondition, kVersionMismatch);
  *request.mutable_if_version_match() = seen.version();
  EXPECT_THAT(call(request), IsOk());
  EXPECT_EQ(get(false).attributes().attributes_size(), 0);
  request.clear_mode();
  EXPECT_REASON(call(request), kInvalidArgument, kInvalidField);
  request.set_file_id("group1/M00/00/00/x");
  request.set_mode(common::v1::ATTRIBUTES_MODE_MERGE);
  EXPECT_REASON(call(request), kInvalidArgument, kInvalidFileId);
}

TEST_F(FileServiceTest, AnUploadSharesItsContentIfItOrTheNodeSaysSo) {
  for (const bool by_default : {false, true}) {
    default_dedup_ = by_default;
    fakes_.clear();
    if (by_default) {
      stub_ = nullptr;
      server_->Stop(absl::Minutes(1));
      node_ = nullptr;
    }
    Start();
    fakes_[0]->set_small_file_bytes_max(200 << 10);
    // In one piece, and as it comes.
    for (const size_t size : {size_t{100 << 10}, size_t{3 << 20}}) {
      const std::string content = SomeContent(size);
      for (const bool known : {true, false}) {
        v1::UploadSpec spec = known ? Spec(static_cast<int64_t>(size)) : Spec();
        if (!by_default) spec.set_dedup(true);
        const auto put = Upload(spec, content);
        ASSERT_THAT(put, IsOk());
        EXPECT_EQ(put->shared(), !known);
        EXPECT_EQ(put->info().sha256(), Sha256(content));
        const auto again = Upload(spec, content);
        ASSERT_THAT(again, IsOk());
        EXPECT_TRUE(again->replayed());
        EXPECT_EQ(again->shared(), !known);
        const auto stat = Stat(put->info().file_id());
        ASSERT_THAT(stat, IsOk());
        EXPECT_EQ(stat->info().sha256(), Sha256(content));
        EXPECT_EQ(Download(put->info().file_id())->info.sha256(),
                  Sha256(content));
      }
      v1::UploadSpec plain = Spec();
      if (by_default) plain.set_dedup(false);
      const auto put = Upload(plain, content);
      ASSERT_THAT(put, IsOk());
      EXPECT_FALSE(put->shared());
      EXPECT_EQ(put->info().sha256(), "");
    }
  }
}

TEST_F(FileServiceTest, AFileExpiresAsItsUploadSays) {
  Start();
  fakes_[0]->set_small_file_bytes_max(1000);
  for (const size_t size : {size_t{10}, size_t{100000}}) {
    const std::string content(size, 'e');
    v1::UploadSpec spec;
    spec.set_request_id(Uuid::Random().ToString());
    spec.mutable_lifetime()->mutable_expire_time()->set_seconds(4000000000);
    spec.mutable_lifetime()->mutable_expire_time()->set_nanos(1);
    const auto up = Upload(spec, content);
    ASSERT_THAT(up, IsOk());
    EXPECT_EQ(up->info().expire_time().seconds(), 4000000001);
    const std::string id = up->info().file_id();
    EXPECT_EQ(Stat(id)->info().expire_time().seconds(), 4000000001);
    EXPECT_EQ(Download(id)->info.expire_time().seconds(), 4000000001);

    spec.set_request_id(Uuid::Random().ToString());
    spec.mutable_lifetime()->mutable_time_to_live()->set_seconds(7);
    const int64_t before = absl::ToUnixSeconds(absl::Now());
    const auto short_lived = Upload(spec, content);
    ASSERT_THAT(short_lived, IsOk());
    EXPECT_GE(short_lived->info().expire_time().seconds(), before + 7);
    EXPECT_LE(short_lived->info().expire_time().seconds(),
              absl::ToUnixSeconds(absl::Now()) + 8);
  }
  EXPECT_FALSE(Stat(Put("without"))->info().has_expire_time());
}

TEST_F(FileServiceTest, RefusesLifetimesThatAreNone) {
  Start();
  const auto refused =
      [this](const std::function<void(common::v1::Lifetime*)>& fill) {
        v1::UploadSpec spec;
        spec.set_request_id(Uuid::Random().ToString());
        fill(spec.mutable_lifetime());
        const auto up = Upload(spec, "x");
        EXPECT_REASON(up, kInvalidArgument, kInvalidField);
        return MetadataOf(up.status())["field"];
      };
  EXPECT_EQ(refused([](common::v1::Lifetime* lifetime) {
              lifetime->mutable_expire_time()->set_seconds(1);
            }),
            "lifetime.expire_time");
  EXPECT_EQ(refused([](common::v1::Lifetime* lifetime) {
              lifetime->mutable_expire_time()->set_seconds(253402300799);
              lifetime->mutable_expire_time()->set_nanos(1);
            }),
            "lifetime.expire_time");
  EXPECT_EQ(refused([](common::v1::Lifetime* lifetime) {
              lifetime->mutable_expire_time()->set_seconds(INT64_MAX);
            }),
            "lifetime.expire_time");
  EXPECT_EQ(refused([](common::v1::Lifetime* lifetime) {
              lifetime->mutable_expire_time()->set_nanos(-1);
            }),
            "lifetime.expire_time");
  EXPECT_EQ(refused([](common::v1::Lifetime* lifetime) {
              lifetime->mutable_time_to_live()->set_nanos(999999999);
            }),
            "lifetime.time_to_live");
  EXPECT_EQ(refused([](common::v1::Lifetime* lifetime) {
              lifetime->mutable_time_to_live()->set_seconds(INT64_MAX);
            }),
            "lifetime.time_to_live");
  EXPECT_EQ(refused([](common::v1::Lifetime* lifetime) {
              lifetime->mutable_time_to_live()->set_seconds(253402300799);
            }),
            "lifetime.time_to_live");
}

TEST_F(FileServiceTest, WhenAFileExpiresCanBeSaidLater) {
  Start();
  const std::string id = Put("content");
  const auto call = [this](const v1::SetExpiryRequest& request)
      -> absl::StatusOr<v1::SetExpiryResponse> {
    grpc::ClientContext context;
    rpc::SetTimeout(&context, absl::Minutes(5));
    v1::SetExpiryResponse response;
    const grpc::Status status = stub_->SetExpiry(&context, request, &response);
    if (!status.ok()) return rpc::FromGrpcStatus(status);
    return response;
  };
  v1::SetExpiryRequest request;
  request.set_request_id(Uuid::Random().ToString());
  request.set_file_id(id);
  request.mutable_lifetime()->mutable_expire_time()->set_seconds(4000000000);
  const auto set = call(request);
  ASSERT_THAT(set, IsOk());
  EXPECT_EQ(set->info().file_id(), id);
  EXPECT_EQ(set->info().expire_time().seconds(), 4000000000);
  EXPECT_FALSE(set->replayed());
  EXPECT_EQ(set->reached().level(), common::v1::DURABILITY_LEVEL_SYNCED);
  EXPECT_TRUE(call(request)->replayed());
  EXPECT_EQ(Stat(id)->info().version().clock(), set->info().version().clock());

  request.set_request_id(Uuid::Random().ToString());
  request.clear_lifetime();
  ASSERT_THAT(call(request), IsOk());
  EXPECT_FALSE(Stat(id)->info().has_expire_time());

  request.set_request_id(Uuid::Random().ToString());
  request.mutable_lifetime()->mutable_expire_time()->set_seconds(1);
  EXPECT_REASON(call(request), kInvalidArgument, kInvalidField);
  request.clear_lifetime();
  request.set_request_id("?");
  EXPECT_REASON(call(request), kInvalidArgument, kInvalidField);
  request.clear_request_id();
  request.set_file_id("group1/M00/00/00/x");
  EXPECT_REASON(call(request), kInvalidArgument, kInvalidFileId);

  request.set_file_id(id);
  fakes_[0]->Expire(id.substr(id.find('/', id.find('/') + 1) + 1));
  EXPECT_REASON(call(request), kNotFound, kFileExpired);
  EXPECT_REASON(Stat(id), kNotFound, kFileExpired);
  EXPECT_REASON(Download(id), kNotFound, kFileExpired);
}

TEST_F(FileServiceTest, SaysWhatItCanDo) {
  Start();
  grpc::ClientContext context;
  rpc::SetTimeout(&context, absl::Minutes(5));
  v1::GetCapabilitiesResponse can;
  ASSERT_TRUE(stub_->GetCapabilities(&context, {}, &can).ok());
  EXPECT_EQ(can.version(), "1.2.3");
  ASSERT_EQ(can.services_size(), 1);
  EXPECT_EQ(can.services(0), "cairn.storage.v1.FileService");
  EXPECT_THAT(can.features(), ElementsAre("attributes", "copies", "dedup",
                                          "expiry", "undelete"));
  EXPECT_EQ(can.attributes_max(), 64u);
  EXPECT_EQ(can.attribute_key_bytes_max(), 64u);
  EXPECT_EQ(can.attribute_value_bytes_max(), 1024u);
  EXPECT_EQ(can.batch_content_bytes_max(), 1 << 20);
  EXPECT_EQ(can.chunk_bytes_max(), 2 << 20);
  EXPECT_EQ(can.file_bytes_max(), (int64_t{1} << 56) - 1);
}

TEST_F(FileServiceTest, TakesAttributesUpToTheirLimits) {
  Start();
  const auto upload = [this](const Attributes& attributes) {
    v1::UploadSpec spec = Spec(5);
    for (const auto& [key, value] : attributes) {
      common::v1::Attribute* const attribute =
          spec.mutable_attributes()->add_attributes();
      attribute->set_key(key);
      attribute->set_value(value);
    }
    return Upload(spec, "12345").status();
  };
  Attributes attributes;
  for (size_t i = 0; i < kAttributesMax; ++i) {
    std::string key = absl::StrCat(i);
    key.resize(kAttributeKeyBytesMax, 'k');
    attributes[key] = std::string(kAttributeValueBytesMax, '\xff');
  }
  EXPECT_THAT(upload(attributes), IsOk());
  attributes["one more"] = "";
  const absl::Status many = upload(attributes);
  EXPECT_THAT(many, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(ReasonOf(many), ErrorReason::kTooLarge);
  EXPECT_EQ(MetadataOf(many)["limit"], absl::StrCat(kAttributesMax));
  const absl::Status value =
      upload({{"k", std::string(kAttributeValueBytesMax + 1, 'v')}});
  EXPECT_EQ(ReasonOf(value), ErrorReason::kTooLarge);
  EXPECT_EQ(MetadataOf(value)["limit_bytes"],
            absl::StrCat(kAttributeValueBytesMax));
  EXPECT_EQ(
      ReasonOf(upload({{std::string(kAttributeKeyBytesMax + 1, 'k'), ""}})),
      ErrorReason::kTooLarge);
  EXPECT_EQ(ReasonOf(upload({{"", "v"}})), ErrorReason::kInvalidField);
  EXPECT_EQ(fakes_[0]->files(), 1);
}

TEST_F(FileServiceTest, RefusesMalformedStreams) {
  Start();
  const auto outcome = [this](const std::function<void(Uploader*)>& send) {
    Uploader uploader(stub_.get());
    send(&uploader);
    return uploader.Finish();
  };
  const v1::UploadSpec spec = Spec(10);
  EXPECT_REASON(outcome([](Uploader*) {}), kInvalidArgument, kInvalidField);
  EXPECT_REASON(outcome([](Uploader* u) { u->SendChunk(0, "x"); }),
                kInvalidArgument, kInvalidField);
  EXPECT_REASON(outcome([&](Uploader* u) {
                  u->SendSpec(spec);
                  u->SendSpec(spec);
                }),
                kInvalidArgument, kInvalidField);
  EXPECT_REASON(outcome([&](Uploader* u) {
                  u->SendSpec(spec);
                  u->Send(v1::UploadRequest());
                }),
                kInvalidArgument, kInvalidField);
  // The body ends without `finish`.
  EXPECT_REASON(outcome([&](Uploader* u) {
                  u->SendSpec(spec);
                  u->SendChunk(0, "0123456789");
                }),
                kInvalidArgument, kInvalidField);
  EXPECT_REASON(outcome([&](Uploader* u) {
                  u->SendSpec(spec);
                  u->SendChunk(0, "");
                }),
                kInvalidArgument, kInvalidField);
  const auto gap = outcome([&](Uploader* u) {
    u->SendSpec(spec);
    u->SendChunk(0, "01");
    u->SendChunk(3, "3");
  });
  EXPECT_REASON(gap, kInvalidArgument, kChunkOutOfOrder);
  EXPECT_EQ(MetadataOf(gap.status())["expected_offset"], "2");
  const auto longer = outcome([&](Uploader* u) {
    u->SendSpec(spec);
    u->SendChunk(0, "0123456789A");
  });
  EXPECT_REASON(longer, kInvalidArgument, kSizeMismatch);
  const auto shorter = outcome([&](Uploader* u) {
    u->SendSpec(spec);
    u->SendChunk(0, "012");
    u->SendFinish();
  });
  EXPECT_REASON(shorter, kInvalidArgument, kSizeMismatch);
  EXPECT_EQ(MetadataOf(shorter.status())["declared_bytes"], "10");
  EXPECT_EQ(MetadataOf(shorter.status())["received_bytes"], "3");
  EXPECT_REASON(outcome([&](Uploader* u) {
                  u->SendSpec(spec);
                  v1::UploadRequest message;
                  message.mutable_chunk()->set_data("0123456789");
                  message.mutable_chunk()->set_crc32c(1);
                  u->Send(message);
                }),
                kInvalidArgument, kChecksumMismatch);
  EXPECT_REASON(outcome([&](Uploader* u) {
                  u->SendSpec(spec);
                  v1::UploadRequest message;
                  message.mutable_chunk()->set_data("0123456789");
                  message.mutable_chunk()->set_crc32c(Crc32c("0123456789"));
                  message.mutable_finish()->set_crc32c(1);
                  u->Send(message);
                }),
                kInvalidArgument, kChecksumMismatch);
  EXPECT_REASON(outcome([&](Uploader* u) {
                  u->SendSpec(Spec());
                  u->SendChunk(0, std::string((2 << 20) + 1, 'x'));
                }),
                kInvalidArgument, kTooLarge);
  // A large one that is wrong at its end leaves nothing either.
  EXPECT_REASON(outcome([&](Uploader* u) {
                  u->SendSpec(Spec(5 * kMiB));
                  for (int i = 0; i < 4; ++i) {
                    u->SendChunk(i * kMiB, std::string(kMiB, 'x'));
                  }
                  u->SendFinish();
                }),
                kInvalidArgument, kSizeMismatch);
  EXPECT_EQ(fakes_[0]->files(), 0);
  EXPECT_TRUE(
      Eventually([&] { return fakes_[0]->uploads_in_progress() == 0; }));
}

TEST_F(FileServiceTest, ARetryReturnsTheFirstAnswerOnWhicheverPathItWas) {
  Start(3);
  for (const size_t size : {size_t{10}, size_t{3000000}}) {
    const std::string content = SomeContent(size);
    v1::UploadSpec spec = Spec(static_cast<int64_t>(size));
    const int64_t before =
        fakes_[0]->files() + fakes_[1]->files() + fakes_[2]->files();
    const auto first = Upload(spec, content);
    ASSERT_THAT(first, IsOk());
    // In turn, so the next ones begin on the other paths.
    for (int i = 0; i < 4; ++i) {
      const auto again = Upload(spec, content);
      ASSERT_THAT(again, IsOk());
      EXPECT_TRUE(again->replayed());
      EXPECT_EQ(again->info().SerializeAsString(),
                first->info().SerializeAsString());
    }
    EXPECT_EQ(fakes_[0]->files() + fakes_[1]->files() + fakes_[2]->files(),
              before + 1);
  }
}

TEST_F(FileServiceTest, AttributesOfAnAppenderWaitUntilTheNodeHasCaughtUp) {
  // It has heard of nobody yet.
  replicator_ = std::make_unique<Replicator>(
      ReplicatorOptions(), [] { return std::shared_ptr<StorePath>(); }, nullptr,
      Clock::Real(), [] {});
  ReplicaGateOptions options;
  options.node_number = 7;
  alone_ = std::make_unique<ReplicaGate>(
      [this](uint8_t) { return replicator_.get(); }, options, Clock::Real());
  Start();
  const auto merge = [this](const std::string& file_id)
      -> absl::StatusOr<v1::SetAttributesResponse> {
    grpc::ClientContext context;
    rpc::SetTimeout(&context, absl::Minutes(5));
    v1::SetAttributesRequest request;
    request.set_file_id(file_id);
    request.set_mode(common::v1::ATTRIBUTES_MODE_MERGE);
    request.add_remove("k");
    v1::SetAttributesResponse response;
    const grpc::Status status =
        stub_->SetAttributes(&context, request, &response);
    if (!status.ok()) return rpc::FromGrpcStatus(status);
    return response;
  };
  FileIdFields fields;
  fields.node_number = 7;
  fields.flags = kFileIdAppender;
  FileIdParts parts;
  parts.group = "group1";
  parts.name = codec_.MakeName("group1", 0, fields, "");
  EXPECT_REASON(merge(parts.ToString()), kUnavailable, kOriginDown);
  fields.node_number = 8;
  parts.name = codec_.MakeName("group1", 0, fields, "");
  EXPECT_REASON(merge(parts.ToString()), kFailedPrecondition, kNotOrigin);
  // Those of other files depend on nothing.
  EXPECT_THAT(merge(Put("content")), IsOk());
}

// There may be another file by that name, of which it is about to hear.
TEST_F(FileServiceTest, ADerivedFileWaitsUntilTheNodeHasCaughtUp) {
  replicator_ = std::make_unique<Replicator>(
      ReplicatorOptions(), [] { return std::shared_ptr<StorePath>(); }, nullptr,
      Clock::Real(), [] {});
  alone_ = std::make_unique<ReplicaGate>(
      [this](uint8_t) { return replicator_.get(); }, ReplicaGateOptions(),
      Clock::Real());
  Start();
  const std::string master = Put("content");  // Of a name of its own.
  for (const size_t size : {size_t{1000}, size_t{3 * kMiB}}) {
    v1::UploadSpec spec = Spec(static_cast<int64_t>(size));
    spec.mutable_derived()->set_master_id(master);
    spec.mutable_derived()->set_prefix("_small");
    EXPECT_REASON(Upload(spec, SomeContent(size)), kUnavailable,
                  kContentNotHere);
  }
  EXPECT_EQ(fakes_[0]->files(), 1u);
}

// As when a member brings the change while its upload is repeated here.
TEST_F(FileServiceTest, ARetryThatIsFoundLateWaitsForTheOtherMembers) {
  replicator_ = std::make_unique<Replicator>(
      ReplicatorOptions(), [] { return std::shared_ptr<StorePath>(); }, nullptr,
      Clock::Real(), [] {});
  const Uuid other = Uuid::Random();
  const int stream = 0;
  replicator_->waits()->SetMembers({other});
  replicator_->waits()->SetFollowing(other, &stream, true);
  alone_ = std::make_unique<ReplicaGate>(
      [this](uint8_t) { return replicator_.get(); }, ReplicaGateOptions(),
      Clock::Real());
  Start();
  const std::string content = SomeContent(3 * kMiB);
  const v1::UploadSpec spec = Spec(3 * kMiB);
  absl::StatusOr<v1::UploadResponse> response = absl::UnknownError("");
  std::thread client;
  {
    BusyDisk busy(fakes_[0]);
    client = std::thread([&] { response = Upload(spec, content); });
    ASSERT_TRUE(
        Eventually([&] { return metrics_.received_bytes->Value() >= kMiB; }));
    PutRequest earlier;
    earlier.request_id = *Uuid::Parse(spec.request_id());
    earlier.name = "00/00/brought";
    earlier.content = absl::Cord(content);
    earlier.crc32c = Crc32c(content);
    fakes_[0]->Put(std::move(earlier), [](absl::StatusOr<Committed>) {});
  }
  ASSERT_TRUE(Eventually([&] { return replicator_->waits()->waiting() == 1; }));
  replicator_->waits()->Stop();
  client.join();
  ASSERT_THAT(response, IsOk());
  EXPECT_TRUE(response->replayed());
  EXPECT_EQ(fakes_[0]->files(), 1);
}

TEST_F(FileServiceTest, ALargeFileThatDoesNotFitTheQuotaIsRefusedEarly) {
  Start();
  v1::UploadSpec spec = Spec(3 * kMiB);
  const std::string content = SomeContent(3 * kMiB);
  const auto stored = Upload(spec, content);
  ASSERT_THAT(stored, IsOk());
  UseTotals held;
  held.Add("", {1, 3 * kMiB});
  quotas_.CountIn(held);
  quotas_.SetLimits({{/*files=*/0, /*bytes=*/5 * kMiB}, {}});

  // Nothing of the body is sent. The end of the stream would be an error, too.
  Uploader uploader(stub_.get());
  uploader.SendSpec(Spec(3 * kMiB));
  const auto refused = uploader.Await();
  EXPECT_REASON(refused, kResourceExhausted, kQuotaExceeded);
  EXPECT_EQ(MetadataOf(refused.status())["quota"], "group");
  EXPECT_EQ(MetadataOf(refused.status())["limit_bytes"],
            absl::StrCat(5 * kMiB));

  // What was stored before is told, and what fits is taken.
  const auto again = Upload(spec, content);
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->info().file_id(), stored->info().file_id());
  EXPECT_THAT(Upload(Spec(2 * kMiB), SomeContent(2 * kMiB)), IsOk());
}

TEST_F(FileServiceTest, WhatTheDiskRefusesIsToldWithItsReason) {
  Start();
  const std::string id = Put("content");
  const auto kBig = Spec(3 * kMiB);
  fakes_[0]->set_refusal(ErrorWithReason(absl::StatusCode::kResourceExhausted,
                                         ErrorReason::kDiskFull, "full",
                                         {{"path", "0"}}));
  EXPECT_REASON(Upload(Spec(5), "12345"), kResourceExhausted, kDiskFull);
  EXPECT_REASON(Upload(Spec(), SomeContent(3 * kMiB)), kResourceExhausted,
                kDiskFull);
  EXPECT_REASON(Upload(kBig, SomeContent(3 * kMiB)), kResourceExhausted,
                kDiskFull);
  fakes_[0]->set_refusal(ErrorWithReason(absl::StatusCode::kAborted,
                                         ErrorReason::kWriteFailed, "failed"));
  v1::DeleteRequest request;
  request.set_file_id(id);
  EXPECT_REASON(Delete(request), kAborted, kWriteFailed);
  EXPECT_THAT(Download(id), IsOk());
  fakes_[0]->set_refusal(absl::OkStatus());
  EXPECT_TRUE(
      Eventually([&] { return fakes_[0]->uploads_in_progress() == 0; }));
}

TEST_F(FileServiceTest, ADamagedBlockIsNeverSent) {
  Start();
  const std::string content = SomeContent(1000000);
  const std::string id = Put(content);
  const auto parts = codec_.Verify(id);
  ASSERT_THAT(parts, IsOk());
  fakes_[0]->DamageContent(parts->name, 600000);
  for (const bool cold : {false, true}) {
    fakes_[0]->set_cold(cold);
    grpc::ClientContext context;
    rpc::SetTimeout(&context, absl::Minutes(5));
    v1::DownloadRequest request;
    request.set_file_id(id);
    const auto reader = stub_->Download(&context, request);
    v1::DownloadResponse response;
    std::string got;
    while (reader->Read(&response)) got += response.chunk().data();
    const absl::Status status = rpc::FromGrpcStatus(reader->Finish());
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kDataLoss));
    EXPECT_EQ(ReasonOf(status), ErrorReason::kContentDamaged);
    // What lies before is good.
    EXPECT_EQ(got.size(), size_t{512 << 10});
    EXPECT_TRUE(got == content.substr(0, got.size()));
  }
}

TEST_F(FileServiceTest, AClientThatVanishesLeavesNothing) {
  Start();
  for (const bool known : {true, false}) {
    for (const int64_t sent : {int64_t{0}, int64_t{1}, 3 * kMiB}) {
      Uploader uploader(stub_.get());
      ASSERT_TRUE(uploader.SendSpec(known ? Spec(10 * kMiB) : Spec()));
      for (int64_t at = 0; at < sent; at += kMiB) {
        uploader.SendChunk(at, std::string(std::min(sent, kMiB), 'x'));
      }
      uploader.Cancel();
      EXPECT_THAT(uploader.Finish(), StatusIs(absl::StatusCode::kCancelled));
    }
  }
  EXPECT_TRUE(Eventually([&] {
    return fakes_[0]->uploads_in_progress() == 0 &&
           budget_->taken_bytes() == 0 && metrics_.upload.in_flight() == 0;
  }));
  EXPECT_EQ(fakes_[0]->files(), 0);
}

TEST_F(FileServiceTest, AnUploadIsCommittedThoughItsClientVanishes) {
  Start();
  fakes_[0]->HoldCommits();
  const v1::UploadSpec spec = Spec(5);
  Uploader uploader(stub_.get());
  ASSERT_TRUE(uploader.SendSpec(spec));
  ASSERT_TRUE(uploader.SendChunk(0, "12345"));
  ASSERT_TRUE(uploader.SendFinish());
  ASSERT_TRUE(Eventually([&] { return fakes_[0]->held_commits() == 1; }));
  uploader.Cancel();
  EXPECT_THAT(uploader.Finish(), StatusIs(absl::StatusCode::kCancelled));
  ASSERT_TRUE(Eventually([&] { return metrics_.upload.in_flight() == 0; }));
  fakes_[0]->ReleaseCommits();
  EXPECT_TRUE(Eventually([&] { return budget_->taken_bytes() == 0; }));
  const auto again = Upload(spec, "12345");
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(again->replayed());
}

TEST_F(FileServiceTest, ASlowDiskHoldsTheUploadBackAndNotInMemory) {
  Start();
  const std::string content = SomeContent(16 * kMiB);
  int64_t most = 0;
  absl::StatusOr<v1::UploadResponse> response = absl::UnknownError("");
  std::thread client;
  {
    BusyDisk busy(fakes_[0]);
    client = std::thread([&] { response = Upload(Spec(16 * kMiB), content); });
    // It takes what it may and then no more.
    ASSERT_TRUE(Eventually(
        [&] { return metrics_.received_bytes->Value() >= 2 * kMiB; }));
    for (int i = 0; i < 50; ++i) {
      most = std::max(most, budget_->taken_bytes());
      absl::SleepFor(absl::Milliseconds(1));
    }
    EXPECT_THAT(most, Le(4 * kMiB));
    EXPECT_THAT(metrics_.received_bytes->Value(), Le(uint64_t{3 * kMiB}));
  }
  client.join();
  ASSERT_THAT(response, IsOk());
  EXPECT_TRUE(Download(response->info().file_id())->content == content);
}

TEST_F(FileServiceTest, ASlowClientHoldsTheDownloadBackAndNotInMemory) {
  Start();
  const std::string id = Put(SomeContent(64 * kMiB));
  EXPECT_TRUE(Eventually([&] { return budget_->taken_bytes() == 0; }));
  grpc::ClientContext context;
  rpc::SetTimeout(&context, absl::Minutes(5));
  v1::DownloadRequest request;
  request.set_file_id(id);
  const auto reader = stub_->Download(&context, request);
  v1::DownloadResponse response;
  ASSERT_TRUE(reader->Read(&response));
  // Nobody reads on: what is sent is what the connection's windows hold.
  uint64_t sent = 0;
  ASSERT_TRUE(Eventually([&] {
    const uint64_t before = sent;
    sent = metrics_.sent_bytes->Value();
    absl::SleepFor(absl::Milliseconds(100));
    return sent > 0 && sent == before;
  }));
  EXPECT_THAT(sent, Le(uint64_t{32 * kMiB}));
  EXPECT_THAT(budget_->taken_bytes(), Le(3 * (256 << 10)));
  context.TryCancel();
  while (reader->Read(&response)) {
  }
  EXPECT_FALSE(reader->Finish().ok());
  EXPECT_TRUE(Eventually([&] { return metrics_.download.in_flight() == 0; }));
}

TEST_F(FileServiceTest, MoreBodiesThanTheBudgetHoldsTakeTurns) {
  Start(/*paths=*/1, /*budget_bytes=*/2 * kMiB);
  std::vector<std::thread> clients;
  std::atomic<int> good{0};
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back([&, i] {
      const size_t size = (i % 2 == 0 ? 900 : 5000) * 1000;
      const std::string content = SomeContent(size);
      v1::UploadSpec spec = Spec();
      if (i % 3 != 0) spec.set_size_bytes(static_cast<int64_t>(size));
      const auto up = Upload(spec, content);
      if (!up.ok()) return;
      const auto down = Download(up->info().file_id());
      if (down.ok() && down->content == content) ++good;
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(good, 8);
}

TEST_F(FileServiceTest, StopLetsTransfersFinish) {
  Start();
  const std::string content = SomeContent(3 * kMiB);
  Uploader uploader(stub_.get());
  ASSERT_TRUE(uploader.SendSpec(Spec(3 * kMiB)));
  ASSERT_TRUE(uploader.SendChunk(0, content.substr(0, kMiB)));
  ASSERT_TRUE(Eventually(
      [&] { return metrics_.received_bytes->Value() >= uint64_t{kMiB}; }));
  std::thread stopper([&] { server_->Stop(absl::Minutes(2)); });
  EXPECT_TRUE(uploader.SendChunk(kMiB, content.substr(kMiB, kMiB)));
  EXPECT_TRUE(uploader.SendChunk(2 * kMiB, content.substr(2 * kMiB)));
  EXPECT_TRUE(uploader.SendFinish());
  EXPECT_THAT(uploader.Finish(), IsOk());
  stopper.join();
  EXPECT_EQ(fakes_[0]->files(), 1);
}

TEST_F(FileServiceTest, StopCutsTransfersAtItsDeadline) {
  Start();
  Uploader uploader(stub_.get());
  ASSERT_TRUE(uploader.SendSpec(Spec(3 * kMiB)));
  ASSERT_TRUE(uploader.SendChunk(0, SomeContent(kMiB)));
  ASSERT_TRUE(Eventually(
      [&] { return metrics_.received_bytes->Value() >= uint64_t{kMiB}; }));
  server_->Stop(absl::ZeroDuration());
  EXPECT_FALSE(uploader.Finish().ok());
  EXPECT_TRUE(
      Eventually([&] { return fakes_[0]->uploads_in_progress() == 0; }));
  EXPECT_EQ(fakes_[0]->files(), 0);
}

TEST_F(FileServiceTest, CallsAreCountedByOutcome) {
  Start();
  Put("content");
  (void)Stat("nonsense");
  EXPECT_TRUE(Eventually([&] {
    return registry_.Read("cairn_rpc_requests_total",
                          {{"method", "FileService.Stat"},
                           {"code", "INVALID_ARGUMENT"},
                           {"reason", "INVALID_FILE_ID"}}) == 1;
  }));
  EXPECT_EQ(
      registry_.Read(
          "cairn_rpc_requests_total",
          {{"method", "FileService.Upload"}, {"code", "OK"}, {"reason", ""}}),
      1);
  EXPECT_EQ(registry_.Read("cairn_storage_received_bytes_total"), 7);
}

// ---- Derived files.

TEST_F(FileServiceTest, ADerivedFileIsNamedAfterItsMaster) {
  Start(/*paths=*/2);
  for (const size_t size : {size_t{1000}, size_t{3 * kMiB}}) {
    SCOPED_TRACE(size);
    const std::string master = Put(SomeContent(100 + size));
    const std::string content = SomeContent(size);
    v1::UploadSpec spec = Spec(static_cast<int64_t>(size));
    spec.mutable_derived()->set_master_id(master);
    spec.mutable_derived()->set_prefix("_small");
    const auto stored = Upload(spec, content);
    ASSERT_THAT(stored, IsOk());
    EXPECT_FALSE(stored->replayed());
    EXPECT_EQ(stored->info().file_id(),
              *DerivedFileId(master, "_small", "bin"));
    EXPECT_EQ(stored->info().kind(), common::v1::FILE_KIND_DERIVED);
    EXPECT_EQ(stored->info().size_bytes(), static_cast<int64_t>(size));
    EXPECT_EQ(stored->info().crc32c(), Crc32c(content));

    // Whoever stores the same is told the same, whatever else he says.
    spec.set_request_id(Uuid::Random().ToString());
    const auto again = Upload(spec, content);
    ASSERT_THAT(again, IsOk());
    EXPECT_TRUE(again->replayed());
    EXPECT_EQ(again->info().file_id(), stored->info().file_id());

    spec.set_request_id(Uuid::Random().ToString());
    spec.clear_size_bytes();
    const absl::Status refused = Upload(spec, "something else").status();
    EXPECT_EQ(refused.code(), absl::StatusCode::kAlreadyExists);
    EXPECT_EQ(ReasonOf(refused), ErrorReason::kFileExists);
  }
}

TEST_F(FileServiceTest, MakesAFileOfAnotherOne) {
  Start(/*paths=*/2);
  fakes_[0]->set_small_file_bytes_max(1000);
  fakes_[1]->set_small_file_bytes_max(1000);
  for (const size_t size : {size_t{0}, size_t{700}, size_t{3 * kMiB + 1}}) {
    SCOPED_TRACE(size);
    const std::string content = SomeContent(size);
    v1::UploadSpec spec = Spec(static_cast<int64_t>(size));
    auto* const attribute = spec.mutable_attributes()->add_attributes();
    attribute->set_key("k");
    attribute->set_value("v");
    const auto stored = Upload(spec, content);
    ASSERT_THAT(stored, IsOk());

    v1::CopyRequest request;
    request.set_request_id(Uuid::Random().ToString());
    request.set_file_id(stored->info().file_id());
    const auto copied = Copy(request);
    ASSERT_THAT(copied, IsOk());
    EXPECT_FALSE(copied->replayed());
    EXPECT_EQ(copied->shared(), size > 1000);
    const std::string id = copied->info().file_id();
    EXPECT_NE(id, stored->info().file_id());
    EXPECT_EQ(copied->info().kind(), common::v1::FILE_KIND_NORMAL);
    EXPECT_EQ(copied->info().size_bytes(), static_cast<int64_t>(size));
    EXPECT_EQ(copied->info().crc32c(), Crc32c(content));
    const auto parts = ParseFileId(id);
    ASSERT_THAT(parts, IsOk());
    EXPECT_EQ(ExtensionOfName(parts->name), "bin");
    EXPECT_EQ(parts->store_path,
              ParseFileId(stored->info().file_id())->store_path);
    EXPECT_TRUE(Download(id)->content == content);
    EXPECT_EQ(AttributesOf(id).attributes_size(), 1);

    // The same call again, when the other file is gone.
    grpc::ClientContext context;
    v1::DeleteRequest remove;
    remove.set_file_id(stored->info().file_id());
    v1::DeleteResponse removed;
    rpc::SetTimeout(&context, absl::Minutes(5));
    ASSERT_TRUE(stub_->Delete(&context, remove, &removed).ok());
    const auto again = Copy(request);
    ASSERT_THAT(again, IsOk());
    EXPECT_TRUE(again->replayed());
    EXPECT_EQ(again->shared(), size > 1000);
    EXPECT_EQ(again->info().file_id(), id);
    request.set_request_id(Uuid::Random().ToString());
    EXPECT_EQ(ReasonOf(Copy(request).status()), ErrorReason::kFileDeleted);

    // A copy of the copy, with things said of it that are its own.
    request.set_request_id(Uuid::Random().ToString());
    request.set_file_id(id);
    request.set_extension("");
    request.mutable_attributes();
    const auto second = Copy(request);
    ASSERT_THAT(second, IsOk());
    const std::string second_id = second->info().file_id();
    EXPECT_EQ(ExtensionOfName(ParseFileId(second_id)->name), "");
    EXPECT_EQ(AttributesOf(second_id).attributes_size(), 0);
    EXPECT_TRUE(Download(second_id)->content == content);
  }
  // An id of another upload is not one of a copy.
  v1::UploadSpec spec = Spec();
  ASSERT_THAT(Upload(spec, "some content"), IsOk());
  v1::CopyRequest request;
  request.set_file_id(Put("another content"));
  EXPECT_EQ(ReasonOf(Copy(request).status()), ErrorReason::kInvalidField);
  request.set_request_id(spec.request_id());
  EXPECT_EQ(ReasonOf(Copy(request).status()), ErrorReason::kRequestIdReused);
}

TEST_F(FileServiceTest, WhatCannotBeDerivedIsRefusedBeforeTheBody) {
  Start(/*paths=*/2);
  const std::string master = Put("a master");
  const auto refusal = [&](const std::string& id, const std::string& prefix,
                           const std::function<void(v1::UploadSpec*)>& change) {
    v1::UploadSpec spec = Spec(1);
    spec.mutable_derived()->set_master_id(id);
    spec.mutable_derived()->set_prefix(prefix);
    change(&spec);
    Uploader uploader(stub_.get());
    uploader.SendSpec(spec);
    return ReasonOf(uploader.Finish().status());
  };
  const auto nothing = [](v1::UploadSpec*) {};
  EXPECT_EQ(refusal(master, "", nothing), ErrorReason::kInvalidField);
  EXPECT_EQ(refusal(master, "a.b", nothing), ErrorReason::kInvalidField);
  EXPECT_EQ(refusal(master, std::string(33, 'p'), nothing),
            ErrorReason::kInvalidField);
  EXPECT_EQ(refusal("", "_x", nothing), ErrorReason::kInvalidFileId);
  EXPECT_EQ(refusal(*DerivedFileId(master, "_x", "bin"), "_y", nothing),
            ErrorReason::kWrongKind);
  std::string forged = master;
  forged[forged.size() - 5] = forged[forged.size() - 5] == 'A' ? 'B' : 'A';
  EXPECT_EQ(refusal(forged, "_x", nothing), ErrorReason::kForgedFileId);
  FileIdParts elsewhere;
  elsewhere.group = "group2";
  elsewhere.name = codec_.MakeName("group2", 0, FileIdFields(), "bin");
  EXPECT_EQ(refusal(elsewhere.ToString(), "_x", nothing),
            ErrorReason::kWrongGroup);
  EXPECT_EQ(
      refusal(master, "_x", [](v1::UploadSpec* s) { s->set_group("group2"); }),
      ErrorReason::kWrongGroup);
  const uint32_t other_path = 1u - ParseFileId(master)->store_path;
  EXPECT_EQ(refusal(master, "_x",
                    [&](v1::UploadSpec* s) { s->set_store_path(other_path); }),
            ErrorReason::kInvalidField);
}

TEST_F(FileServiceTest, AMasterNeedNotBeThere) {
  Start();
  FileIdParts parts;
  parts.group = "group1";
  FileIdFields fields;
  fields.node_number = 9;
  parts.name = codec_.MakeName("group1", 0, fields, "jpg");
  v1::UploadSpec spec = Spec();
  spec.mutable_derived()->set_master_id(parts.ToString());
  spec.mutable_derived()->set_prefix("_x");
  const auto stored = Upload(spec, "content");
  ASSERT_THAT(stored, IsOk());
  EXPECT_EQ(stored->info().origin_node(), 7u);
}

TEST_F(FileServiceTest, DerivedFilesAreListedByPagesAndGoWithTheirMaster) {
  Start(/*paths=*/2);
  const std::string master = Put("a master");
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) {
    v1::UploadSpec spec = Spec();
    spec.mutable_derived()->set_master_id(master);
    spec.mutable_derived()->set_prefix(absl::StrCat("_", i));
    const auto stored = Upload(spec, absl::StrCat("form ", i));
    ASSERT_THAT(stored, IsOk());
    ids.push_back(stored->info().file_id());
  }
  v1::ListDerivedRequest list;
  list.set_file_id(master);
  list.set_page_size(2);
  std::vector<std::string> listed;
  v1::ListDerivedResponse page;
  const auto read_page = [&] {
    grpc::ClientContext context;
    rpc::SetTimeout(&context, absl::Minutes(5));
    page.Clear();
    return rpc::FromGrpcStatus(stub_->ListDerived(&context, list, &page));
  };
  do {
    ASSERT_THAT(read_page(), IsOk());
    EXPECT_LE(page.files_size(), 2);
    for (const common::v1::FileInfo& info : page.files()) {
      EXPECT_EQ(info.kind(), common::v1::FILE_KIND_DERIVED);
      EXPECT_EQ(info.size_bytes(), 6);
      listed.push_back(info.file_id());
    }
    list.set_page_token(page.next_page_token());
  } while (!list.page_token().empty());
  EXPECT_EQ(listed, ids);
  list.set_page_size(1001);
  EXPECT_EQ(ReasonOf(read_page()), ErrorReason::kInvalidField);
  list.set_page_size(0);
  list.set_page_token("?");
  EXPECT_EQ(ReasonOf(read_page()), ErrorReason::kInvalidField);
  list.clear_page_token();
  list.set_file_id(ids[0]);
  EXPECT_EQ(ReasonOf(read_page()), ErrorReason::kWrongKind);

  v1::DeleteRequest remove;
  remove.set_with_derived(true);
  const auto run_delete = [&](v1::DeleteResponse* response) {
    grpc::ClientContext context;
    rpc::SetTimeout(&context, absl::Minutes(5));
    return rpc::FromGrpcStatus(stub_->Delete(&context, remove, response));
  };
  v1::DeleteResponse response;
  remove.set_file_id(ids[0]);
  EXPECT_EQ(ReasonOf(run_delete(&response)), ErrorReason::kWrongKind);
  remove.set_file_id(master);
  remove.set_request_id(Uuid::Random().ToString());
  ASSERT_THAT(run_delete(&response), IsOk());
  EXPECT_EQ(response.derived_deleted(), 5u);
  EXPECT_FALSE(response.replayed());
  list.set_file_id(master);
  ASSERT_THAT(read_page(), IsOk());
  EXPECT_EQ(page.files_size(), 0);
  v1::DeleteResponse again;
  ASSERT_THAT(run_delete(&again), IsOk());
  EXPECT_EQ(again.derived_deleted(), 0u);
  EXPECT_TRUE(again.replayed());
  remove.clear_request_id();
  EXPECT_EQ(ReasonOf(run_delete(&again)), ErrorReason::kFileDeleted);
}

TEST_F(FileServiceTest, ARequestIdIsNotAnsweredWithAnotherName) {
  Start(/*paths=*/2);
  const std::string content = SomeContent(3 * kMiB);
  v1::UploadSpec plain = Spec(3 * kMiB);
  const auto stored = Upload(plain, content);
  ASSERT_THAT(stored, IsOk());
  // On the path of the first one, and on the other one.
  std::string masters[2];
  while (masters[0].empty() || masters[1].empty()) {
    const std::string id = Put("a master");
    masters[ParseFileId(id)->store_path] = id;
  }
  for (const std::string& master : masters) {
    v1::UploadSpec spec = plain;
    spec.mutable_derived()->set_master_id(master);
    spec.mutable_derived()->set_prefix("_x");
    EXPECT_EQ(ReasonOf(Upload(spec, content).status()),
              ErrorReason::kRequestIdReused);
  }
}

}  // namespace
}  // namespace storage
}  // namespace cairn
