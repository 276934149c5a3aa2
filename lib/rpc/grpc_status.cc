#include "lib/rpc/grpc_status.h"

#include <algorithm>
#include <cstdint>
#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"
#include "google/rpc/error_details.pb.h"
#include "lib/base/error_reason.h"

namespace cairn {
namespace rpc {
namespace {

constexpr char kDomain[] = "cairn";

// A serialised google.rpc.RetryInfo that came with a status.
constexpr char kRetryInfoUrl[] = "type.googleapis.com/google.rpc.RetryInfo";

ErrorReason ReasonImpliedBy(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
      return ErrorReason::kInvalidField;
    case absl::StatusCode::kDeadlineExceeded:
      return ErrorReason::kDeadline;
    case absl::StatusCode::kUnimplemented:
      return ErrorReason::kNotSupported;
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnknown:
      return ErrorReason::kInternal;
    default:
      return ErrorReason::kUnspecified;
  }
}

// Zero: no advice.
absl::Duration RetryDelayFor(absl::StatusCode code, ErrorReason reason) {
  if (reason == ErrorReason::kOverloaded) return absl::Milliseconds(50);
  if (code == absl::StatusCode::kUnavailable) return absl::Milliseconds(200);
  return absl::ZeroDuration();
}

}  // namespace

google::rpc::Status ToRpcStatus(const absl::Status& status) {
  google::rpc::Status out;
  if (status.ok()) return out;
  const absl::StatusCode code = status.code() == absl::StatusCode::kUnknown
                                    ? absl::StatusCode::kInternal
                                    : status.code();
  out.set_code(static_cast<int>(code));
  out.set_message(status.message().data(), status.message().size());

  ErrorReason reason = ReasonOf(status);
  if (reason == ErrorReason::kUnspecified) reason = ReasonImpliedBy(code);
  if (reason != ErrorReason::kUnspecified) {
    google::rpc::ErrorInfo info;
    const absl::string_view name = ErrorReasonName(reason);
    info.set_reason(name.data(), name.size());
    info.set_domain(kDomain);
    for (const auto& entry : MetadataOf(status)) {
      (*info.mutable_metadata())[entry.first] = entry.second;
    }
    out.add_details()->PackFrom(info);
  }

  absl::Duration delay = RetryDelayFor(code, reason);
  if (const auto told = RetryDelayOf(status); told.has_value()) delay = *told;
  if (delay > absl::ZeroDuration()) {
    google::rpc::RetryInfo retry;
    const int64_t nanoseconds = absl::ToInt64Nanoseconds(delay);
    retry.mutable_retry_delay()->set_seconds(nanoseconds / 1000000000);
    retry.mutable_retry_delay()->set_nanos(
        static_cast<int32_t>(nanoseconds % 1000000000));
    out.add_details()->PackFrom(retry);
  }
  return out;
}

absl::Status FromRpcStatus(const google::rpc::Status& status) {
  if (status.code() == 0) return absl::OkStatus();
  // A number that is no code at all becomes UNKNOWN.
  const absl::StatusCode code =
      status.code() > 0 && status.code() <= 16
          ? static_cast<absl::StatusCode>(status.code())
          : absl::StatusCode::kUnknown;
  const absl::string_view message(status.message().data(),
                                  status.message().size());
  absl::Status out(code, message);
  for (const google::protobuf::Any& detail : status.details()) {
    google::rpc::ErrorInfo info;
    if (!detail.Is<google::rpc::ErrorInfo>() || !detail.UnpackTo(&info)) {
      continue;
    }
    if (info.domain() != kDomain) continue;
    ErrorMetadata metadata;
    for (const auto& entry : info.metadata()) {
      // The payload inside a status separates by NUL; a peer may send any byte.
      if (entry.first.find('\0') != std::string::npos) continue;
      if (entry.second.find('\0') != std::string::npos) continue;
      metadata.emplace_back(entry.first, entry.second);
    }
    // Protobuf's map has another order each time, and equal errors are equal.
    std::sort(metadata.begin(), metadata.end());
    const ErrorReason reason = ErrorReasonFromName(info.reason());
    if (reason != ErrorReason::kUnspecified) {
      out = ErrorWithReason(code, reason, message, metadata);
    }
    break;
  }
  for (const google::protobuf::Any& detail : status.details()) {
    if (detail.Is<google::rpc::RetryInfo>()) {
      out.SetPayload(kRetryInfoUrl, absl::Cord(detail.value()));
      break;
    }
  }
  return out;
}

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const google::rpc::Status out = ToRpcStatus(status);
  return grpc::Status(static_cast<grpc::StatusCode>(out.code()), out.message(),
                      out.SerializeAsString());
}

absl::Status FromGrpcStatus(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  google::rpc::Status in;
  if (status.error_details().empty() ||
      !in.ParseFromString(status.error_details())) {
    in.Clear();
  }
  // What gRPC says counts; the details only add to it.
  in.set_code(static_cast<int>(status.error_code()));
  in.set_message(status.error_message());
  return FromRpcStatus(in);
}

absl::optional<absl::Duration> RetryDelayOf(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kRetryInfoUrl);
  if (!payload.has_value()) return absl::nullopt;
  google::rpc::RetryInfo info;
  if (!info.ParseFromString(std::string(*payload))) return absl::nullopt;
  const absl::Duration delay = absl::Seconds(info.retry_delay().seconds()) +
                               absl::Nanoseconds(info.retry_delay().nanos());
  if (delay < absl::ZeroDuration()) return absl::nullopt;
  return delay;
}

}  // namespace rpc
}  // namespace cairn
