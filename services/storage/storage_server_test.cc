// A whole node in this process, on the real engine in temporary folders: what
// it is told by its configuration and its disks, and what a stop and a start
// keep.

#include "services/storage/storage_server.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cairn/config/storage/v1/storage_config.pb.h"
#include "cairn/storage/v1/batch_service.grpc.pb.h"
#include "cairn/storage/v1/file_service.grpc.pb.h"
#include "cairn/storage/v1/node_service.grpc.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/error_reason.h"
#include "lib/base/uuid.h"
#include "lib/checksum/crc32c.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/grpc_status.h"
#include "lib/testing/status_matchers.h"
#include "services/storage/config/storage_config.h"

namespace cairn {
namespace storage {
namespace {

using ::testing::HasSubstr;

class StorageServerTest : public ::testing::Test {
 protected:
  StorageServerTest() {
    std::string pattern = ::testing::TempDir() + "/storage_server_XXXXXX";
    folder_ = mkdtemp(&pattern[0]);
  }
  ~StorageServerTest() override {
    server_ = nullptr;
    std::filesystem::remove_all(folder_);
  }

  StorageConfig Config(int paths = 1) {
    StorageConfig config;
    config.set_name("n1");
    config.set_cluster_id("3c1a1f0e-8f5b-4c44-9d0a-6f1d8a0b7e21");
    config.set_cluster_secret("a secret for tests alone");
    config.add_listen("127.0.0.1:0");
    for (int i = 0; i < paths; ++i) {
      config.add_store_paths()->set_directory(absl::StrCat(folder_, "/p", i));
    }
    return config;
  }

  absl::Status Start(const StorageConfig& config) {
    server_ = nullptr;
    auto server = StorageServer::Start(config);
    if (!server.ok()) return server.status();
    server_ = *std::move(server);
    rpc::ChannelOptions options;
    options.own_connection = true;
    channel_ = rpc::MakeChannel(server_->addresses()[0], options);
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> Upload(const std::string& content) {
    grpc::ClientContext context;
    rpc::SetTimeout(&context, absl::Minutes(5));
    v1::UploadResponse response;
    const auto stub = v1::FileService::NewStub(channel_);
    const auto writer = stub->Upload(&context, &response);
    v1::UploadRequest request;
    request.mutable_spec()->set_request_id(Uuid::Random().ToString());
    request.mutable_spec()->set_size_bytes(
        static_cast<int64_t>(content.size()));
    bool open = writer->Write(request);
    for (size_t at = 0; open && at < content.size(); at += 256 << 10) {
      const std::string data = content.substr(at, 256 << 10);
      request.mutable_chunk()->set_offset(static_cast<int64_t>(at));
      request.mutable_chunk()->set_data(data);
      request.mutable_chunk()->set_crc32c(Crc32c(data));
      open = writer->Write(request);
    }
    request.Clear();
    request.mutable_finish();
    if (open) writer->Write(request);
    writer->WritesDone();
    const grpc::Status status = writer->Finish();
    if (!status.ok()) return rpc::FromGrpcStatus(status);
    return response.info().file_id();
  }

  absl::StatusOr<std::string> Download(const std::string& id) {
    grpc::ClientContext context;
    rpc::SetTimeout(&context, absl::Minutes(5));
    v1::DownloadRequest request;
    request.set_file_id(id);
    const auto stub = v1::FileService::NewStub(channel_);
    const auto reader = stub->Download(&context, request);
    v1::DownloadResponse response;
    std::string content;
    while (reader->Read(&response)) content += response.chunk().data();
    const grpc::Status status = reader->Finish();
    if (!status.ok()) return rpc::FromGrpcStatus(status);
    return content;
  }

  v1::GetStateResponse State() {
    grpc::ClientContext context;
    rpc::SetTimeout(&context, absl::Minutes(5));
    v1::GetStateResponse response;
    EXPECT_TRUE(v1::NodeService::NewStub(channel_)
                    ->GetState(&context, v1::GetStateRequest(), &response)
                    .ok());
    return response;
  }

  std::string folder_;
  std::unique_ptr<StorageServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(StorageServerTest, KeepsFilesAndItsNameOverARestart) {
  ASSERT_THAT(Start(Config(2)), IsOk());
  const std::string small(1000, 's');
  const std::string large(3000000, 'l');
  const auto small_id = Upload(small);
  const auto large_id = Upload(large);
  ASSERT_THAT(small_id, IsOk());
  ASSERT_THAT(large_id, IsOk());
  EXPECT_THAT(Download(*small_id), IsOkAndHolds(small));
  EXPECT_TRUE(Download(*large_id).value_or("") == large);
  const v1::GetStateResponse before = State();
  EXPECT_EQ(before.name(), "n1");
  EXPECT_EQ(before.store_paths_size(), 2);

  ASSERT_THAT(Start(Config(2)), IsOk());
  EXPECT_EQ(State().node_uuid(), before.node_uuid());
  EXPECT_EQ(State().node_number(), before.node_number());
  EXPECT_THAT(Download(*small_id), IsOkAndHolds(small));
  EXPECT_TRUE(Download(*large_id).value_or("") == large);
}

TEST_F(StorageServerTest, StopsSoonThoughABatchStreamIsOpen) {
  StorageConfig config = Config();
  config.mutable_stop_grace()->set_seconds(3600);
  ASSERT_THAT(Start(config), IsOk());
  grpc::ClientContext context;
  rpc::SetTimeout(&context, absl::Hours(2));
  const auto stub = v1::BatchService::NewStub(channel_);
  const auto stream = stub->Run(&context);
  v1::RunRequest request;
  request.add_items()->mutable_stat()->set_file_id("nonsense");
  ASSERT_TRUE(stream->Write(request));
  v1::RunResponse response;
  ASSERT_TRUE(stream->Read(&response));
  // Within the hour.
  server_->Stop();
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(ReasonOf(rpc::FromGrpcStatus(stream->Finish())),
            ErrorReason::kShuttingDown);
}

TEST_F(StorageServerTest, RefusesDisksThatAreNotItsOwn) {
  ASSERT_THAT(Start(Config()), IsOk());
  // In use.
  EXPECT_THAT(StorageServer::Start(Config()),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  server_ = nullptr;

  StorageConfig other = Config();
  other.set_cluster_id("aaaaaaaa-8f5b-4c44-9d0a-6f1d8a0b7e21");
  EXPECT_THAT(Start(other), StatusIs(absl::StatusCode::kFailedPrecondition,
                                     HasSubstr("cluster")));
  other = Config();
  other.set_group("group2");
  EXPECT_THAT(Start(other), StatusIs(absl::StatusCode::kFailedPrecondition,
                                     HasSubstr("group1")));
  // Another index than it was made for.
  other = Config();
  other.mutable_store_paths(0)->set_directory(folder_ + "/new");
  other.add_store_paths()->set_directory(folder_ + "/p0");
  EXPECT_THAT(Start(other), StatusIs(absl::StatusCode::kFailedPrecondition,
                                     HasSubstr("store_paths[1]")));
  EXPECT_THAT(Start(Config()), IsOk());
}

TEST_F(StorageServerTest, ADamagedDiskStaysOfflineAndTheOthersServe) {
  ASSERT_THAT(Start(Config(2)), IsOk());
  server_ = nullptr;
  std::ofstream(folder_ + "/p1/IDENTITY") << "garbage";
  ASSERT_THAT(Start(Config(2)), IsOk());
  const v1::GetStateResponse state = State();
  EXPECT_EQ(state.store_paths(0).state(), v1::STORE_PATH_STATE_ACTIVE);
  EXPECT_EQ(state.store_paths(1).state(), v1::STORE_PATH_STATE_OFFLINE);
  EXPECT_NE(state.store_paths(1).detail(), "");
  EXPECT_THAT(Upload("content"), IsOk());
  EXPECT_EQ(
      server_->metrics().Read("cairn_storage_path_readable", {{"path", "1"}}),
      0);

  server_ = nullptr;
  std::ofstream(folder_ + "/p0/IDENTITY") << "garbage";
  EXPECT_THAT(Start(Config(2)), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(StorageServerTest, APathThatIsMeantToBeReadOnlyTakesNoUploads) {
  ASSERT_THAT(Start(Config()), IsOk());
  const absl::StatusOr<std::string> kept = Upload("kept");
  ASSERT_THAT(kept, IsOk());
  StorageConfig config = Config(2);
  config.mutable_store_paths(0)->set_read_only(true);
  ASSERT_THAT(Start(config), IsOk());

  const v1::GetStateResponse state = State();
  EXPECT_EQ(state.store_paths(0).state(), v1::STORE_PATH_STATE_READ_ONLY);
  EXPECT_TRUE(state.store_paths(0).read_only_by_configuration());
  EXPECT_THAT(state.store_paths(0).detail(), HasSubstr("configuration"));
  EXPECT_FALSE(state.store_paths(1).read_only_by_configuration());
  const auto metric = [this](const char* name, const char* path) {
    return server_->metrics().Read(name, {{"path", path}});
  };
  const char* const wish = "cairn_storage_path_read_only_by_configuration";
  EXPECT_EQ(metric(wish, "0"), 1);
  EXPECT_EQ(metric(wish, "1"), 0);
  EXPECT_EQ(metric("cairn_storage_path_writable", "0"), 0);
  EXPECT_EQ(metric("cairn_storage_path_readable", "0"), 1);

  EXPECT_THAT(Download(*kept), IsOkAndHolds("kept"));
  for (int i = 0; i < 4; ++i) {  // In turn, so the first path comes up too.
    const absl::StatusOr<std::string> id = Upload("new");
    ASSERT_THAT(id, IsOk());
    EXPECT_THAT(*id, HasSubstr("/M01/"));
  }
  EXPECT_EQ(State().store_paths(0).files(), 1);
}

TEST_F(StorageServerTest, AMistakeInTheConfigurationIsNamedWithItsFix) {
  StorageConfig config;
  config.set_group("Group 1");
  config.add_listen("0.0.0.0:7800");
  config.add_store_paths()->set_directory("relative");
  config.add_store_paths()->set_reserve_percent(101);
  config.set_log_level("loud");
  config.set_weight(1001);
  config.mutable_engine()->set_segment_bytes(5);
  config.mutable_limits()->set_body_bytes_max(5);
  const absl::Status status = Start(config);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument));
  for (const char* field :
       {"group: ", "cluster_id: ", "uuidgen", "cluster_secret_file: ",
        "advertise: ", "listen: ", "allow_plaintext: true",
        "store_paths[0].directory: ", "store_paths[1].reserve_percent: ",
        "log_level: ", "weight: ", "engine.segment_bytes: ",
        "limits.body_bytes_max: "}) {
    EXPECT_THAT(std::string(status.message()), HasSubstr(field));
  }
  config = Config();
  config.set_cluster_secret("short");
  EXPECT_THAT(Start(config), StatusIs(absl::StatusCode::kInvalidArgument,
                                      HasSubstr("openssl rand")));
}

// Every metric is in docs/metrics.md with its type and help, and nothing is
// there that the program has not.
TEST_F(StorageServerTest, MetricsAreDocumented) {
  ASSERT_THAT(Start(Config()), IsOk());
  std::ifstream in("docs/metrics.md");
  std::stringstream text;
  text << in.rdbuf();
  std::string page = text.str();
  ASSERT_FALSE(page.empty());
  const size_t begin = page.find("## cairn-storage");
  ASSERT_NE(begin, std::string::npos);
  page = page.substr(begin, page.find("\n## ", begin + 1) - begin);
  size_t rows = 0;
  for (const MetricDescription& metric : server_->metrics().Describe()) {
    const char* const type = metric.type == MetricType::kCounter ? "counter"
                             : metric.type == MetricType::kGauge ? "gauge"
                                                                 : "histogram";
    EXPECT_THAT(page, HasSubstr(absl::StrCat("| `", metric.name, "` | ", type,
                                             " | ", metric.help, " |\n")));
    ++rows;
  }
  size_t documented = 0;
  for (size_t at = page.find("\n| `"); at != std::string::npos;
       at = page.find("\n| `", at + 1)) {
    ++documented;
  }
  EXPECT_EQ(documented, rows);
}

}  // namespace
}  // namespace storage
}  // namespace cairn
