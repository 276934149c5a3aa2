#include "lib/rpc/grpc_status.h"

#include <string>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "cairn/common/v1/error.pb.h"
#include "gmock/gmock.h"
#include "google/protobuf/descriptor.h"
#include "google/rpc/error_details.pb.h"
#include "gtest/gtest.h"
#include "lib/base/error_reason.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace rpc {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

TEST(GrpcStatusTest, TheReasonsOfTheWireAndOfTheCodeAreTheSame) {
  const google::protobuf::EnumDescriptor* wire =
      common::v1::ErrorReason_descriptor();
  for (int i = 0; i < wire->value_count(); ++i) {
    const std::string name = wire->value(i)->name();
    ASSERT_TRUE(absl::StartsWith(name, "ERROR_REASON_")) << name;
    const std::string reason = name.substr(sizeof("ERROR_REASON_") - 1);
    EXPECT_EQ(static_cast<int>(ErrorReasonFromName(reason)),
              wire->value(i)->number())
        << name;
  }
  // Nothing in the code that the wire lacks.
  for (int number = 1; number < 1000; ++number) {
    const absl::string_view name =
        ErrorReasonName(static_cast<ErrorReason>(number));
    if (name == "UNSPECIFIED") continue;
    EXPECT_NE(wire->FindValueByNumber(number), nullptr) << std::string(name);
  }
}

TEST(GrpcStatusTest, KeepsCodeMessageReasonAndMetadata) {
  const absl::Status before = ErrorWithReason(
      absl::StatusCode::kOutOfRange, ErrorReason::kRangePastEnd,
      "offset 10 is past the end", {{"size_bytes", "5"}, {"x", ""}});
  const absl::Status after = FromGrpcStatus(ToGrpcStatus(before));
  EXPECT_THAT(after, StatusIs(absl::StatusCode::kOutOfRange,
                              "offset 10 is past the end"));
  EXPECT_EQ(ReasonOf(after), ErrorReason::kRangePastEnd);
  EXPECT_THAT(MetadataOf(after),
              ElementsAre(Pair("size_bytes", "5"), Pair("x", "")));
  EXPECT_FALSE(RetryDelayOf(after).has_value());
  EXPECT_EQ(after, before);

  const absl::Status batch = FromRpcStatus(ToRpcStatus(before));
  EXPECT_EQ(batch, after);
}

TEST(GrpcStatusTest, OkStaysOk) {
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok());
  EXPECT_THAT(FromGrpcStatus(grpc::Status::OK), IsOk());
  EXPECT_EQ(ToRpcStatus(absl::OkStatus()).ByteSizeLong(), 0u);
}

TEST(GrpcStatusTest, SaysWhenToComeBack) {
  const absl::Status overloaded = FromGrpcStatus(ToGrpcStatus(
      ErrorWithReason(absl::StatusCode::kResourceExhausted,
                      ErrorReason::kOverloaded, "the queue is full")));
  ASSERT_TRUE(RetryDelayOf(overloaded).has_value());
  EXPECT_GT(*RetryDelayOf(overloaded), absl::ZeroDuration());

  const absl::Status stopping = FromGrpcStatus(ToGrpcStatus(ErrorWithReason(
      absl::StatusCode::kUnavailable, ErrorReason::kShuttingDown, "stopping")));
  EXPECT_TRUE(RetryDelayOf(stopping).has_value());

  // A full disk does not empty itself.
  const absl::Status full = FromGrpcStatus(ToGrpcStatus(
      ErrorWithReason(absl::StatusCode::kResourceExhausted,
                      ErrorReason::kDiskFull, "full", {{"path", "0"}})));
  EXPECT_FALSE(RetryDelayOf(full).has_value());
}

TEST(GrpcStatusTest, AnErrorWithoutAReasonGetsTheOneOfItsCode) {
  const absl::Status bug =
      FromGrpcStatus(ToGrpcStatus(absl::UnknownError("what?")));
  EXPECT_EQ(bug.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(ReasonOf(bug), ErrorReason::kInternal);
  EXPECT_EQ(
      ReasonOf(FromGrpcStatus(ToGrpcStatus(absl::InvalidArgumentError("x")))),
      ErrorReason::kInvalidField);
}

TEST(GrpcStatusTest, TakesWhatOthersSend) {
  // gRPC's own errors have no details.
  const absl::Status plain = FromGrpcStatus(
      grpc::Status(grpc::StatusCode::UNAVAILABLE, "connection refused"));
  EXPECT_THAT(plain, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(ReasonOf(plain), ErrorReason::kUnspecified);

  const absl::Status garbage = FromGrpcStatus(grpc::Status(
      grpc::StatusCode::NOT_FOUND, "gone", std::string("\xff\x00\x80", 3)));
  EXPECT_THAT(garbage, StatusIs(absl::StatusCode::kNotFound, "gone"));

  google::rpc::ErrorInfo foreign;
  foreign.set_domain("example.com");
  foreign.set_reason("DISK_FULL");
  google::rpc::Status status;
  status.set_code(8);
  status.add_details()->PackFrom(foreign);
  EXPECT_EQ(ReasonOf(FromRpcStatus(status)), ErrorReason::kUnspecified);

  google::rpc::ErrorInfo with_nul;
  with_nul.set_domain("cairn");
  with_nul.set_reason("DISK_FULL");
  (*with_nul.mutable_metadata())[std::string("a\0b", 3)] = "x";
  status.clear_details();
  status.add_details()->PackFrom(with_nul);
  EXPECT_EQ(ReasonOf(FromRpcStatus(status)), ErrorReason::kDiskFull);
  EXPECT_TRUE(MetadataOf(FromRpcStatus(status)).empty());

  status.set_code(77);
  EXPECT_EQ(FromRpcStatus(status).code(), absl::StatusCode::kUnknown);
}

}  // namespace
}  // namespace rpc
}  // namespace cairn
