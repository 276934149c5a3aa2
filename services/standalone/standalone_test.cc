// A whole Cairn in this process, spoken to over the wire: the tracker says
// where, the storage takes the file, and both find everything again.

#include "services/standalone/standalone.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cairn/storage/v1/file_service.grpc.pb.h"
#include "cairn/tracker/v1/tracker_service.grpc.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/uuid.h"
#include "lib/checksum/crc32c.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/grpc_status.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace standalone {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kNever = absl::Minutes(5);

StandaloneOptions Options(const std::string& data_dir) {
  StandaloneOptions options;
  options.data_dir = data_dir;
  options.listen = "127.0.0.1:0";
  return options;
}

std::string NewDirectory() {
  std::string path = absl::StrCat(::testing::TempDir(), "/standalone_XXXXXX");
  EXPECT_NE(mkdtemp(path.data()), nullptr);
  return absl::StrCat(path, "/data");
}

absl::StatusOr<tracker::v1::PlaceUploadResponse> Place(const Standalone& cairn,
                                                       int64_t size_bytes) {
  const auto stub = tracker::v1::TrackerService::NewStub(
      rpc::MakeChannel(cairn.tracker().addresses().front()));
  grpc::ClientContext context;
  rpc::SetTimeout(&context, kNever);
  tracker::v1::PlaceUploadRequest request;
  request.set_size_bytes(size_bytes);
  tracker::v1::PlaceUploadResponse response;
  const grpc::Status status = stub->PlaceUpload(&context, request, &response);
  if (!status.ok()) return rpc::FromGrpcStatus(status);
  return response;
}

absl::StatusOr<std::string> Upload(const std::string& address,
                                   const std::string& content) {
  const auto stub =
      storage::v1::FileService::NewStub(rpc::MakeChannel(address));
  grpc::ClientContext context;
  rpc::SetTimeout(&context, kNever);
  storage::v1::UploadResponse response;
  const auto writer = stub->Upload(&context, &response);
  storage::v1::UploadRequest request;
  request.mutable_spec()->set_request_id(Uuid::Random().ToString());
  request.mutable_spec()->set_size_bytes(static_cast<int64_t>(content.size()));
  request.mutable_spec()->set_extension("txt");
  writer->Write(request);
  request.mutable_chunk()->set_data(content);
  request.mutable_chunk()->set_crc32c(Crc32c(absl::string_view(content)));
  request.mutable_finish();
  writer->Write(request);
  writer->WritesDone();
  const grpc::Status status = writer->Finish();
  if (!status.ok()) return rpc::FromGrpcStatus(status);
  return response.info().file_id();
}

absl::StatusOr<std::string> Download(const std::string& address,
                                     const std::string& file_id) {
  const auto stub =
      storage::v1::FileService::NewStub(rpc::MakeChannel(address));
  grpc::ClientContext context;
  rpc::SetTimeout(&context, kNever);
  storage::v1::DownloadRequest request;
  request.set_file_id(file_id);
  const auto reader = stub->Download(&context, request);
  std::string content;
  storage::v1::DownloadResponse response;
  while (reader->Read(&response)) content += response.chunk().data();
  const grpc::Status status = reader->Finish();
  if (!status.ok()) return rpc::FromGrpcStatus(status);
  return content;
}

TEST(StandaloneTest, StoresAFileAndFindsItAgainAfterARestart) {
  const std::string directory = NewDirectory();
  std::string file_id;
  std::string cluster_id;
  {
    const auto cairn = Standalone::Start(Options(directory));
    ASSERT_THAT(cairn, IsOk());
    EXPECT_TRUE((*cairn)->data().is_new());
    cluster_id = (*cairn)->data().cluster_id().ToString();
    // Who is told that it serves can place at once.
    const auto place = Place(**cairn, 5);
    ASSERT_THAT(place, IsOk());
    EXPECT_EQ(place->node().identity().address(),
              (*cairn)->storage().addresses().front());
    EXPECT_EQ(place->node().identity().cluster_id(), cluster_id);
    const auto stored = Upload(place->node().identity().address(), "hello");
    ASSERT_THAT(stored, IsOk());
    file_id = *stored;
    EXPECT_THAT(file_id, ::testing::StartsWith("group1/M00/"));
    EXPECT_THAT(Download((*cairn)->storage().addresses().front(), file_id),
                IsOkAndHolds("hello"));
    (*cairn)->Stop();
  }
  const auto cairn = Standalone::Start(Options(directory));
  ASSERT_THAT(cairn, IsOk());
  EXPECT_FALSE((*cairn)->data().is_new());
  EXPECT_EQ((*cairn)->data().cluster_id().ToString(), cluster_id);
  EXPECT_THAT(Download((*cairn)->storage().addresses().front(), file_id),
              IsOkAndHolds("hello"));
}

TEST(StandaloneTest, RunsOnceOnADirectory) {
  const std::string directory = NewDirectory();
  const auto first = Standalone::Start(Options(directory));
  ASSERT_THAT(first, IsOk());
  EXPECT_THAT(Standalone::Start(Options(directory)),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("another cairn-standalone")));
}

TEST(StandaloneTest, ReadsTheFilesThatAPersonChanged) {
  const std::string directory = NewDirectory();
  ASSERT_THAT(Standalone::Start(Options(directory)), IsOk());
  std::ofstream(absl::StrCat(directory, "/tracker.conf"))
      << "listen: '127.0.0.1:0'\nname: 'mine'\nlisten_to: 'x'\n";
  EXPECT_THAT(Standalone::Start(Options(directory)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("tracker.conf:3")));
  std::ofstream(absl::StrCat(directory, "/tracker.conf"))
      << "listen: '127.0.0.1:0'\n"
      << "cluster_id: '11111111-2222-4333-8444-555555555555'\n";
  EXPECT_THAT(Standalone::Start(Options(directory)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("tracker.conf: cluster_id")));
}

TEST(StandaloneTest, OverridesComeLast) {
  StandaloneOptions options = Options(NewDirectory());
  options.tracker_overrides = {"metrics_listen="};
  options.storage_overrides = {"metrics_listen=", "name=n7"};
  const auto cairn = Standalone::Start(options);
  ASSERT_THAT(cairn, IsOk());
  EXPECT_EQ((*cairn)->tracker().metrics_address(), "");
  EXPECT_EQ((*cairn)->storage().metrics_address(), "");
  EXPECT_EQ((*cairn)->storage().identity().name, "n7");
  options = Options(NewDirectory());
  options.storage_overrides = {"nme=n7"};
  EXPECT_THAT(Standalone::Start(options),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("did you mean 'name'")));
}

TEST(StandaloneTest, SaysWhatIsWrongWithAnAddress) {
  StandaloneOptions options = Options(NewDirectory());
  options.listen = "7700";
  EXPECT_THAT(
      Standalone::Start(options),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("host:port")));
  options.listen = "127.0.0.1:65500";
  EXPECT_THAT(
      Standalone::Start(options),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("above port")));
}

}  // namespace
}  // namespace standalone
}  // namespace cairn
