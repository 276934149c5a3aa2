// The catalogue of a whole node in this process, on the real engine: what it
// lists and tells, to whom, and how it goes on after a page, a restart or a
// call that was broken off.

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "cairn/config/storage/v1/storage_config.pb.h"
#include "cairn/storage/v1/appender_service.grpc.pb.h"
#include "cairn/storage/v1/catalog_service.grpc.pb.h"
#include "cairn/storage/v1/file_service.grpc.pb.h"
#include "cairn/storage/v1/upload_service.grpc.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/clock.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/base/uuid.h"
#include "lib/checksum/crc32c.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/grpc_status.h"
#include "lib/rpc/member_auth.h"
#include "lib/testing/status_matchers.h"
#include "services/storage/config/storage_config.h"
#include "services/storage/storage_server.h"

namespace cairn {
namespace storage {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;
using ::testing::UnorderedElementsAreArray;

constexpr char kSecret[] = "a secret for tests alone";
constexpr char kCluster[] = "3c1a1f0e-8f5b-4c44-9d0a-6f1d8a0b7e21";

std::vector<std::string> IdsOf(
    const std::vector<v1::ListFilesResponse>& pages) {
  std::vector<std::string> ids;
  for (const v1::ListFilesResponse& page : pages) {
    for (const common::v1::FileInfo& file : page.files()) {
      ids.push_back(file.file_id());
    }
  }
  return ids;
}

class CatalogTest : public ::testing::Test {
 protected:
  CatalogTest() {
    std::string pattern = ::testing::TempDir() + "/catalog_XXXXXX";
    folder_ = mkdtemp(&pattern[0]);
  }
  ~CatalogTest() override {
    auth_ = nullptr;
    server_ = nullptr;
    std::filesystem::remove_all(folder_);
  }

  void Start(int paths = 2) {
    auth_ = nullptr;
    server_ = nullptr;
    StorageConfig config;
    config.set_name("n1");
    config.set_cluster_id(kCluster);
    config.set_cluster_secret(kSecret);
    config.add_listen("127.0.0.1:0");
    for (int i = 0; i < paths; ++i) {
      config.add_store_paths()->set_directory(absl::StrCat(folder_, "/p", i));
    }
    auto server = StorageServer::Start(config);
    ASSERT_THAT(server, IsOk());
    server_ = *std::move(server);
    rpc::ChannelOptions options;
    options.own_connection = true;
    channel_ = rpc::MakeChannel(server_->addresses()[0], options);
    auth_ = MakeAuth(kSecret);
    files_ = v1::FileService::NewStub(channel_);
    catalog_ = v1::CatalogService::NewStub(channel_);
  }

  std::unique_ptr<rpc::MemberAuthClient> MakeAuth(const std::string& secret) {
    rpc::MemberAuthClientOptions options;
    options.cluster_secret = secret;
    options.cluster_id = kCluster;
    options.node_uuid = Uuid::Random().ToString();
    return std::make_unique<rpc::MemberAuthClient>(channel_, options,
                                                   Clock::Real());
  }

  void Prepare(const char* method, grpc::ClientContext* context) {
    rpc::SetTimeout(context, absl::Minutes(10));
    ASSERT_THAT(
        auth_->AuthorizeAndWait(
            absl::StrCat("/cairn.storage.v1.CatalogService/", method), context),
        IsOk());
  }

  std::string Upload(const std::string& content,
                     const std::map<std::string, std::string>& attributes = {},
                     int store_path = -1) {
    grpc::ClientContext context;
    rpc::SetTimeout(&context, absl::Minutes(10));
    v1::UploadResponse response;
    const auto writer = files_->Upload(&context, &response);
    v1::UploadRequest request;
    request.mutable_spec()->set_request_id(Uuid::Random().ToString());
    if (store_path >= 0) {
      request.mutable_spec()->set_store_path(static_cast<uint32_t>(store_path));
    }
    for (const auto& [key, value] : attributes) {
      common::v1::Attribute* const attribute =
          request.mutable_spec()->mutable_attributes()->add_attributes();
      attribute->set_key(key);
      attribute->set_value(value);
    }
    writer->Write(request);
    request.Clear();
    request.mutable_chunk()->set_data(content);
    request.mutable_chunk()->set_crc32c(Crc32c(content));
    request.mutable_finish();
    writer->Write(request);
    writer->WritesDone();
    const grpc::Status status = writer->Finish();
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.info().file_id();
  }

  void Delete(const std::string& id) {
    grpc::ClientContext context;
    rpc::SetTimeout(&context, absl::Minutes(10));
    v1::DeleteRequest request;
    request.set_file_id(id);
    v1::DeleteResponse response;
    const grpc::Status status = files_->Delete(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
  }

  void Tag(const std::string& id, const std::string& key) {
    grpc::ClientContext context;
    rpc::SetTimeout(&context, absl::Minutes(10));
    v1::SetAttributesRequest request;
    request.set_file_id(id);
    request.set_mode(common::v1::ATTRIBUTES_MODE_MERGE);
    request.mutable_attributes()->add_attributes()->set_key(key);
    v1::SetAttributesResponse response;
    const grpc::Status status =
        files_->SetAttributes(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
  }

  std::string CreateAppender() {
    grpc::ClientContext context;
    rpc::SetTimeout(&context, absl::Minutes(10));
    v1::CreateAppenderRequest request;
    request.set_request_id(Uuid::Random().ToString());
    v1::CreateAppenderResponse response;
    const grpc::Status status =
        v1::AppenderService::NewStub(channel_)->CreateAppender(
            &context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.info().file_id();
  }

  absl::StatusOr<std::vector<v1::ListFilesResponse>> List(
      const v1::ListFilesRequest& request = {}) {
    grpc::ClientContext context;
    Prepare("ListFiles", &context);
    const auto reader = catalog_->ListFiles(&context, request);
    std::vector<v1::ListFilesResponse> pages;
    v1::ListFilesResponse page;
    while (reader->Read(&page)) pages.push_back(page);
    const grpc::Status status = reader->Finish();
    if (!status.ok()) return rpc::FromGrpcStatus(status);
    return pages;
  }

  // What has happened, up to now: kind and ID.
  using Event = std::pair<v1::FileChangeKind, std::string>;
  absl::StatusOr<std::vector<Event>> Watched(const std::string& from,
                                             std::string* token) {
    grpc::ClientContext context;
    Prepare("WatchFiles", &context);
    v1::WatchFilesRequest request;
    request.set_resume_token(from);
    request.set_until_now(true);
    const auto reader = catalog_->WatchFiles(&context, request);
    std::vector<Event> events;
    v1::WatchFilesResponse response;
    while (reader->Read(&response)) {
      for (const v1::FileEvent& event : response.events()) {
        events.emplace_back(event.kind(), event.file().file_id());
      }
      *token = response.resume_token();
    }
    const grpc::Status status = reader->Finish();
    if (!status.ok()) return rpc::FromGrpcStatus(status);
    return events;
  }

  std::string folder_;
  std::unique_ptr<StorageServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<rpc::MemberAuthClient> auth_;
  std::unique_ptr<v1::FileService::Stub> files_;
  std::unique_ptr<v1::CatalogService::Stub> catalog_;
};

TEST_F(CatalogTest, ListsUploadsThatAreOpen) {
  Start();
  const auto uploads = v1::UploadService::NewStub(channel_);
  const auto create = [&](uint32_t path, absl::optional<int64_t> size) {
    grpc::ClientContext context;
    rpc::SetTimeout(&context, absl::Minutes(10));
    v1::CreateUploadRequest request;
    request.set_store_path(path);
    request.set_extension("bin");
    if (size.has_value()) request.set_size_bytes(*size);
    v1::CreateUploadResponse response;
    const grpc::Status status =
        uploads->CreateUpload(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.upload().upload_id();
  };
  const auto list = [&](absl::optional<uint32_t> path) {
    grpc::ClientContext context;
    Prepare("ListUploads", &context);
    v1::ListUploadsRequest request;
    if (path.has_value()) request.set_store_path(*path);
    v1::ListUploadsResponse response;
    const grpc::Status status =
        catalog_->ListUploads(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    std::map<std::string, v1::OpenUpload> found;
    for (const v1::OpenUpload& upload : response.uploads()) {
      found[upload.upload().upload_id()] = upload;
    }
    return found;
  };
  EXPECT_THAT(list(absl::nullopt), IsEmpty());
  const std::string known = create(0, 1 << 20);
  const std::string unknown = create(1, absl::nullopt);
  {
    grpc::ClientContext context;
    rpc::SetTimeout(&context, absl::Minutes(10));
    v1::WriteUploadResponse response;
    const auto writer = uploads->WriteUpload(&context, &response);
    v1::WriteUploadRequest request;
    request.mutable_spec()->set_upload_id(known);
    request.mutable_spec()->set_offset(256 << 10);
    writer->Write(request);
    request.Clear();
    const std::string block(256 << 10, 'b');
    request.mutable_chunk()->set_offset(256 << 10);
    request.mutable_chunk()->set_data(block);
    request.mutable_chunk()->set_crc32c(Crc32c(block));
    request.mutable_finish();
    writer->Write(request);
    writer->WritesDone();
    const grpc::Status status = writer->Finish();
    ASSERT_TRUE(status.ok()) << status.error_message();
  }
  auto open = list(absl::nullopt);
  ASSERT_THAT(open, SizeIs(2));
  EXPECT_EQ(open[known].upload().size_bytes(), 1 << 20);
  EXPECT_EQ(open[known].upload().store_path(), 0u);
  EXPECT_EQ(open[known].received_bytes(), 256 << 10);
  EXPECT_EQ(open[known].extension(), "bin");
  EXPECT_GT(open[known].upload().expire_time().seconds(),
            open[known].create_time().seconds());
  EXPECT_FALSE(open[unknown].upload().has_size_bytes());
  EXPECT_EQ(open[unknown].upload().store_path(), 1u);
  EXPECT_EQ(open[unknown].received_bytes(), 0);
  EXPECT_EQ(list(1).count(unknown), 1u);
  EXPECT_THAT(list(1), SizeIs(1));

  grpc::ClientContext context;
  rpc::SetTimeout(&context, absl::Minutes(10));
  v1::AbortUploadRequest request;
  request.set_upload_id(known);
  v1::AbortUploadResponse response;
  ASSERT_TRUE(uploads->AbortUpload(&context, request, &response).ok());
  EXPECT_THAT(list(0), IsEmpty());

  // Over a restart; and to nobody who does not know the secret.
  Start();
  EXPECT_EQ(list(absl::nullopt).count(unknown), 1u);
  grpc::ClientContext without;
  rpc::SetTimeout(&without, absl::Minutes(10));
  v1::ListUploadsResponse nothing;
  const grpc::Status refused =
      catalog_->ListUploads(&without, v1::ListUploadsRequest(), &nothing);
  EXPECT_EQ(ReasonOf(rpc::FromGrpcStatus(refused)), ErrorReason::kNotAMember);
}

constexpr auto kCreated = v1::FILE_CHANGE_KIND_CREATED;
constexpr auto kChanged = v1::FILE_CHANGE_KIND_CHANGED;
constexpr auto kDeleted = v1::FILE_CHANGE_KIND_DELETED;

TEST_F(CatalogTest, ListsWhatIsThereFlushedOrNot) {
  Start();
  std::vector<std::string> ids;
  for (int i = 0; i < 20; ++i) ids.push_back(Upload(absl::StrCat("file ", i)));
  Delete(ids.back());
  ids.pop_back();
  auto pages = List();
  ASSERT_THAT(pages, IsOk());
  EXPECT_THAT(IdsOf(*pages), UnorderedElementsAreArray(ids));
  EXPECT_EQ(pages->back().next_page_token(), "");
  EXPECT_NE(pages->front().watch_token(), "");
  const common::v1::FileInfo& file = pages->front().files(0);
  EXPECT_EQ(file.kind(), common::v1::FILE_KIND_NORMAL);
  EXPECT_GT(file.size_bytes(), 5);
  EXPECT_NE(file.crc32c(), 0u);
  EXPECT_GT(file.create_time().seconds(), 0);
  EXPECT_NE(file.origin_node(), 0u);

  Start();  // Flushed by the stop.
  ids.push_back(Upload("another"));
  pages = List();
  ASSERT_THAT(pages, IsOk());
  EXPECT_THAT(IdsOf(*pages), UnorderedElementsAreArray(ids));
}

TEST_F(CatalogTest, ListsByConditions) {
  Start();
  const std::string plain = Upload("plain");
  const std::string tagged = Upload("tagged", {{"a", "1"}, {"b", "x"}}, 1);
  const std::string other = Upload("other", {{"a", "2"}}, 0);
  const std::string appender = CreateAppender();
  const auto list = [this](std::function<void(v1::ListFilesRequest*)> set) {
    v1::ListFilesRequest request;
    set(&request);
    const auto pages = List(request);
    EXPECT_THAT(pages, IsOk());
    return pages.ok() ? IdsOf(*pages) : std::vector<std::string>();
  };
  EXPECT_THAT(list([](v1::ListFilesRequest* request) {
                request->add_attributes()->set_key("a");
              }),
              UnorderedElementsAre(tagged, other));
  EXPECT_THAT(list([](v1::ListFilesRequest* request) {
                request->add_attributes()->set_key("a");
                request->mutable_attributes(0)->set_value("1");
              }),
              ElementsAre(tagged));
  EXPECT_THAT(list([](v1::ListFilesRequest* request) {
                request->set_kind(common::v1::FILE_KIND_APPENDER);
              }),
              ElementsAre(appender));
  EXPECT_THAT(list([&](v1::ListFilesRequest* request) {
                request->set_prefix(plain.substr(plain.rfind('/') + 1));
              }),
              ElementsAre(plain));
  EXPECT_THAT(list([&](v1::ListFilesRequest* request) {
                request->set_prefix(plain.substr(plain.find('/') + 5));
              }),
              ElementsAre(plain));
  EXPECT_THAT(
      list([](v1::ListFilesRequest* request) { request->set_store_path(1); }),
      Contains(tagged));
  EXPECT_THAT(list([](v1::ListFilesRequest* request) {
                request->mutable_created_before()->set_seconds(1000000000);
              }),
              IsEmpty());
  EXPECT_THAT(list([](v1::ListFilesRequest* request) {
                request->mutable_created_from()->set_seconds(1000000000);
              }),
              SizeIs(4));
  EXPECT_THAT(list([](v1::ListFilesRequest* request) {
                request->mutable_created_from()->set_seconds(int64_t{1} << 33);
              }),
              IsEmpty());

  v1::ListFilesRequest request;
  request.add_attributes()->set_key("b");
  request.set_include_attributes(true);
  const auto pages = List(request);
  ASSERT_THAT(pages, IsOk());
  ASSERT_THAT(IdsOf(*pages), ElementsAre(tagged));
  for (const v1::ListFilesResponse& page : *pages) {
    for (const common::v1::FileInfo& file : page.files()) {
      ASSERT_EQ(file.attributes().attributes_size(), 2);
      EXPECT_EQ(file.attributes().attributes(1).value(), "x");
    }
  }
}

TEST_F(CatalogTest, GoesOnBehindAPageAfterARestartToo) {
  Start();
  std::set<std::string> ids;
  for (int i = 0; i < 25; ++i) ids.insert(Upload(absl::StrCat("file ", i)));
  const auto whole = List();
  ASSERT_THAT(whole, IsOk());
  std::vector<std::string> listed;
  v1::ListFilesRequest request;
  request.set_limit(4);
  for (int calls = 0;; ++calls) {
    ASSERT_LT(calls, 100);
    if (calls == 3) Start();
    const auto pages = List(request);
    ASSERT_THAT(pages, IsOk());
    const std::vector<std::string> some = IdsOf(*pages);
    EXPECT_LE(some.size(), 4u);
    listed.insert(listed.end(), some.begin(), some.end());
    request.set_page_token(pages->back().next_page_token());
    if (request.page_token().empty()) break;
  }
  EXPECT_EQ(listed, IdsOf(*whole));
  EXPECT_EQ(std::set<std::string>(listed.begin(), listed.end()), ids);
}

TEST_F(CatalogTest, TellsWhatHappenedAndThenWhatHappens) {
  Start();
  const std::string before = Upload("before");
  const auto listed = List();
  ASSERT_THAT(listed, IsOk());
  const std::string watch = listed->front().watch_token();

  const std::string stays = Upload("stays");
  const std::string goes = Upload("goes");
  Delete(goes);
  Tag(before, "seen");
  std::string token;
  auto events = Watched(watch, &token);
  ASSERT_THAT(events, IsOk());
  std::set<Event> once(events->begin(), events->end());
  EXPECT_EQ(once,
            (std::set<Event>{
                {kCreated, stays}, {kDeleted, goes}, {kChanged, before}}));
  // Nothing since; and over a restart.
  EXPECT_THAT(Watched(token, &token), IsOkAndHolds(IsEmpty()));
  Start();
  EXPECT_THAT(Watched(token, &token), IsOkAndHolds(IsEmpty()));
  const std::string later = Upload("later");
  EXPECT_THAT(Watched(token, &token),
              IsOkAndHolds(ElementsAre(Event{kCreated, later})));
  EXPECT_THAT(Watched(watch, &token),
              IsOkAndHolds(Contains(Event{kCreated, later})));

  // As it happens.
  grpc::ClientContext context;
  Prepare("WatchFiles", &context);
  const auto reader = catalog_->WatchFiles(&context, v1::WatchFilesRequest());
  v1::WatchFilesResponse response;
  ASSERT_TRUE(reader->Read(&response));  // From here on.
  EXPECT_EQ(response.events_size(), 0);
  EXPECT_NE(response.resume_token(), "");
  const std::string live = Upload("live");
  do {
    ASSERT_TRUE(reader->Read(&response));
  } while (response.events_size() == 0);
  EXPECT_EQ(response.events(0).kind(), kCreated);
  EXPECT_EQ(response.events(0).file().file_id(), live);
  EXPECT_EQ(response.events(0).file().size_bytes(), 4);
  // Heartbeats, until the caller goes.
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.events_size(), 0);
  context.TryCancel();
  while (reader->Read(&response)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(CatalogTest, RefusesWhoDoesNotKnowTheSecretAndWhatIsMalformed) {
  Start();
  {
    grpc::ClientContext context;
    rpc::SetTimeout(&context, absl::Minutes(10));
    const auto reader = catalog_->ListFiles(&context, {});
    v1::ListFilesResponse page;
    EXPECT_FALSE(reader->Read(&page));
    const absl::Status status = rpc::FromGrpcStatus(reader->Finish());
    EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
    EXPECT_EQ(ReasonOf(status), ErrorReason::kNotAMember);
  }
  {
    grpc::ClientContext context;
    EXPECT_THAT(MakeAuth("another secret for tests")
                    ->AuthorizeAndWait(
                        "/cairn.storage.v1.CatalogService/ListFiles", &context),
                StatusIs(absl::StatusCode::kUnauthenticated));
  }
  v1::ListFilesRequest request;
  request.set_page_token("nonsense");
  EXPECT_THAT(List(request), StatusIs(absl::StatusCode::kInvalidArgument));
  request.Clear();
  request.set_store_path(7);
  EXPECT_THAT(List(request), StatusIs(absl::StatusCode::kNotFound));
  request.Clear();
  request.set_prefix(std::string(300, 'a'));
  EXPECT_THAT(List(request), StatusIs(absl::StatusCode::kInvalidArgument));
  request.Clear();
  request.mutable_created_from()->set_nanos(-1);
  EXPECT_THAT(List(request), StatusIs(absl::StatusCode::kInvalidArgument));
  request.Clear();
  request.set_kind(static_cast<common::v1::FileKind>(9));
  EXPECT_THAT(List(request), StatusIs(absl::StatusCode::kInvalidArgument));
  request.Clear();
  request.add_attributes()->set_key("a");
  request.add_attributes()->set_key("a");
  EXPECT_THAT(List(request), StatusIs(absl::StatusCode::kInvalidArgument));
  std::string token;
  EXPECT_THAT(Watched("nonsense", &token),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(CatalogTest, StopsThoughSomebodyListsAndWatches) {
  Start();
  Upload("content");
  grpc::ClientContext watch_context;
  Prepare("WatchFiles", &watch_context);
  const auto watch =
      catalog_->WatchFiles(&watch_context, v1::WatchFilesRequest());
  v1::WatchFilesResponse response;
  ASSERT_TRUE(watch->Read(&response));
  server_->Stop();
  while (watch->Read(&response)) {
  }
  const absl::Status status = rpc::FromGrpcStatus(watch->Finish());
  EXPECT_FALSE(status.ok());
}

}  // namespace
}  // namespace storage
}  // namespace cairn
