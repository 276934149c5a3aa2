// Whatever comes as the details of an error: the code is what was said, and
// what was understood survives the way to the next one.

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "google/rpc/status.pb.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/rpc/grpc_status.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto code = static_cast<grpc::StatusCode>(data[0] % 17);
  const absl::Status from_call =
      cairn::rpc::FromGrpcStatus(grpc::Status(code, "message", bytes));
  CAIRN_CHECK(static_cast<int>(from_call.code()) == static_cast<int>(code));

  google::rpc::Status message;
  if (!message.ParseFromString(bytes)) return 0;
  const absl::Status status = cairn::rpc::FromRpcStatus(message);
  CAIRN_CHECK(status.ok() == (message.code() == 0));
  const absl::optional<absl::Duration> delay = cairn::rpc::RetryDelayOf(status);
  CAIRN_CHECK(!delay.has_value() || *delay >= absl::ZeroDuration());
  if (status.ok()) return 0;
  const absl::Status again =
      cairn::rpc::FromRpcStatus(cairn::rpc::ToRpcStatus(status));
  CAIRN_CHECK(!again.ok() && again.message() == status.message());
  const cairn::ErrorReason reason = cairn::ReasonOf(status);
  if (reason != cairn::ErrorReason::kUnspecified) {
    CAIRN_CHECK(cairn::ReasonOf(again) == reason);
    CAIRN_CHECK(cairn::MetadataOf(again) == cairn::MetadataOf(status));
  }
  return 0;
}
