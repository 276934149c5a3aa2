#include "clients/cpp/copy_codec.h"

#include <string>

#include "absl/strings/cord.h"
#include "absl/time/time.h"
#include "cairn/storage/v1/file_service.pb.h"
#include "gtest/gtest.h"
#include "lib/attributes/attributes.h"

namespace cairn {
namespace client {
namespace {

storage::v1::CopyRequest Encoded(const CopyOptions& options) {
  storage::v1::CopyRequest request;
  EXPECT_TRUE(request.ParseFromString(
      std::string(EncodeCopy("request", "file", options))));
  return request;
}

TEST(CopyCodecTest, SaysOnlyWhatIsAskedFor) {
  const storage::v1::CopyRequest request = Encoded(CopyOptions());
  EXPECT_EQ(request.request_id(), "request");
  EXPECT_EQ(request.file_id(), "file");
  EXPECT_TRUE(request.has_durability());
  EXPECT_FALSE(request.has_extension());
  EXPECT_FALSE(request.has_attributes());
  EXPECT_FALSE(request.has_lifetime());
}

TEST(CopyCodecTest, TellsNoneFromTheSame) {
  CopyOptions options;
  options.extension = "";
  options.attributes.emplace();
  storage::v1::CopyRequest request = Encoded(options);
  EXPECT_TRUE(request.has_extension());
  EXPECT_EQ(request.extension(), "");
  EXPECT_TRUE(request.has_attributes());
  EXPECT_EQ(request.attributes().attributes_size(), 0);

  options.extension = "txt";
  options.attributes = Attributes{{"key", "value"}};
  options.lifetime.time_to_live = absl::Hours(1);
  request = Encoded(options);
  EXPECT_EQ(request.extension(), "txt");
  EXPECT_EQ(request.attributes().attributes_size(), 1);
  EXPECT_TRUE(request.has_lifetime());
}

TEST(CopyCodecTest, ReadsTheAnswer) {
  storage::v1::CopyResponse response;
  response.mutable_info()->set_file_id("copy");
  response.mutable_info()->set_size_bytes(7);
  response.mutable_reached()->set_replicas(2);
  response.set_replayed(true);
  response.set_shared(true);
  const std::string bytes = response.SerializeAsString();
  CopyResult result;
  ASSERT_TRUE(ParseCopyResponse(absl::Cord(bytes), &result));
  EXPECT_EQ(result.info.file_id, "copy");
  EXPECT_EQ(result.info.size_bytes, 7);
  EXPECT_EQ(result.replicas, 2u);
  EXPECT_TRUE(result.replayed);
  EXPECT_TRUE(result.shared);
  EXPECT_FALSE(ParseCopyResponse(absl::Cord(bytes.substr(0, bytes.size() - 1)),
                                 &result));
}

}  // namespace
}  // namespace client
}  // namespace cairn
