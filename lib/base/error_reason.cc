#include "lib/base/error_reason.h"

#include "absl/strings/cord.h"
#include "absl/strings/str_split.h"

namespace cairn {
namespace {

// The payload: reason name, then key and value in turn, each ended by NUL.
constexpr char kPayloadUrl[] = "cairn/error_reason";

struct NamedReason {
  ErrorReason reason;
  const char* name;
};

constexpr NamedReason kNames[] = {
    {ErrorReason::kUnspecified, "UNSPECIFIED"},
    {ErrorReason::kInvalidField, "INVALID_FIELD"},
    {ErrorReason::kInvalidFileId, "INVALID_FILE_ID"},
    {ErrorReason::kForgedFileId, "FORGED_FILE_ID"},
    {ErrorReason::kFileNotFound, "FILE_NOT_FOUND"},
    {ErrorReason::kFileDeleted, "FILE_DELETED"},
    {ErrorReason::kWrongGroup, "WRONG_GROUP"},
    {ErrorReason::kUnknownStorePath, "UNKNOWN_STORE_PATH"},
    {ErrorReason::kRangePastEnd, "RANGE_PAST_END"},
    {ErrorReason::kChecksumMismatch, "CHECKSUM_MISMATCH"},
    {ErrorReason::kSizeMismatch, "SIZE_MISMATCH"},
    {ErrorReason::kChunkOutOfOrder, "CHUNK_OUT_OF_ORDER"},
    {ErrorReason::kRequestIdReused, "REQUEST_ID_REUSED"},
    {ErrorReason::kTooLarge, "TOO_LARGE"},
    {ErrorReason::kDiskFull, "DISK_FULL"},
    {ErrorReason::kStorePathReadOnly, "STORE_PATH_READ_ONLY"},
    {ErrorReason::kStorePathOffline, "STORE_PATH_OFFLINE"},
    {ErrorReason::kOverloaded, "OVERLOADED"},
    {ErrorReason::kShuttingDown, "SHUTTING_DOWN"},
    {ErrorReason::kContentDamaged, "CONTENT_DAMAGED"},
    {ErrorReason::kInsufficientReplicas, "INSUFFICIENT_REPLICAS"},
    {ErrorReason::kUnknownGroup, "UNKNOWN_GROUP"},
    {ErrorReason::kUnknownNode, "UNKNOWN_NODE"},
    {ErrorReason::kNoWritableNode, "NO_WRITABLE_NODE"},
    {ErrorReason::kNotAMember, "NOT_A_MEMBER"},
    {ErrorReason::kWrongCluster, "WRONG_CLUSTER"},
    {ErrorReason::kNotSupported, "NOT_SUPPORTED"},
    {ErrorReason::kDeadline, "DEADLINE"},
    {ErrorReason::kWriteFailed, "WRITE_FAILED"},
    {ErrorReason::kJobRunning, "JOB_RUNNING"},
    {ErrorReason::kReadFailed, "READ_FAILED"},
    {ErrorReason::kInternal, "INTERNAL"},
    {ErrorReason::kNoReadableNode, "NO_READABLE_NODE"},
    {ErrorReason::kRequestInProgress, "REQUEST_IN_PROGRESS"},
    {ErrorReason::kNodeRemoved, "NODE_REMOVED"},
    {ErrorReason::kLastMember, "LAST_MEMBER"},
    {ErrorReason::kNodeActive, "NODE_ACTIVE"},
    {ErrorReason::kNotReplicated, "NOT_REPLICATED"},
    {ErrorReason::kTrackersApart, "TRACKERS_APART"},
    {ErrorReason::kContentNotHere, "CONTENT_NOT_HERE"},
    {ErrorReason::kUnknownLog, "UNKNOWN_LOG"},
    {ErrorReason::kLogCut, "LOG_CUT"},
    {ErrorReason::kOutOfOrder, "OUT_OF_ORDER"},
    {ErrorReason::kVersionMismatch, "VERSION_MISMATCH"},
    {ErrorReason::kNotAnAppender, "NOT_AN_APPENDER"},
    {ErrorReason::kConditionFailed, "CONDITION_FAILED"},
    {ErrorReason::kNotOrigin, "NOT_ORIGIN"},
    {ErrorReason::kOriginDown, "ORIGIN_DOWN"},
    {ErrorReason::kUploadNotFound, "UPLOAD_NOT_FOUND"},
    {ErrorReason::kUploadRangeBusy, "UPLOAD_RANGE_BUSY"},
    {ErrorReason::kUploadContentDiffers, "UPLOAD_CONTENT_DIFFERS"},
    {ErrorReason::kUploadIncomplete, "UPLOAD_INCOMPLETE"},
    {ErrorReason::kTooManyUploads, "TOO_MANY_UPLOADS"},
    {ErrorReason::kUploadElsewhere, "UPLOAD_ELSEWHERE"},
    {ErrorReason::kFileExpired, "FILE_EXPIRED"},
    {ErrorReason::kFileExists, "FILE_EXISTS"},
    {ErrorReason::kFileSealed, "FILE_SEALED"},
    {ErrorReason::kWrongKind, "WRONG_KIND"},
    {ErrorReason::kQuotaExceeded, "QUOTA_EXCEEDED"},
};

std::vector<std::string> PayloadOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kPayloadUrl);
  if (!payload.has_value()) return {};
  return absl::StrSplit(std::string(*payload), '\0');
}

void AppendPart(absl::string_view part, std::string* out) {
  out->append(part.data(), part.size());
  out->push_back('\0');
}

}  // namespace

absl::string_view ErrorReasonName(ErrorReason reason) {
  for (const NamedReason& named : kNames) {
    if (named.reason == reason) return named.name;
  }
  return kNames[0].name;
}

ErrorReason ErrorReasonFromName(absl::string_view name) {
  for (const NamedReason& named : kNames) {
    if (name == named.name) return named.reason;
  }
  return ErrorReason::kUnspecified;
}

absl::Status ErrorWithReason(absl::StatusCode code, ErrorReason reason,
                             absl::string_view message,
                             const ErrorMetadata& metadata) {
  absl::Status status(code, message);
  std::string payload;
  AppendPart(ErrorReasonName(reason), &payload);
  for (const auto& [key, value] : metadata) {
    AppendPart(key, &payload);
    AppendPart(value, &payload);
  }
  status.SetPayload(kPayloadUrl, absl::Cord(payload));
  return status;
}

ErrorReason ReasonOf(const absl::Status& status) {
  const std::vector<std::string> parts = PayloadOf(status);
  return parts.empty() ? ErrorReason::kUnspecified
                       : ErrorReasonFromName(parts[0]);
}

std::map<std::string, std::string> MetadataOf(const absl::Status& status) {
  const std::vector<std::string> parts = PayloadOf(status);
  std::map<std::string, std::string> metadata;
  for (size_t i = 1; i + 1 < parts.size(); i += 2) {
    metadata[parts[i]] = parts[i + 1];
  }
  return metadata;
}

}  // namespace cairn
