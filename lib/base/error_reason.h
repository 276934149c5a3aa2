// Why something failed, for a program; travels inside an absl::Status.
//
// The numbers and names are those of cairn.common.v1.ErrorReason, where each is
// explained; a test in lib/rpc keeps the two alike. lib/rpc turns the payload
// into a google.rpc.ErrorInfo and back.

#ifndef CAIRN_LIB_BASE_ERROR_REASON_H_
#define CAIRN_LIB_BASE_ERROR_REASON_H_

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace cairn {

enum class ErrorReason : int {
  kUnspecified = 0,
  kInvalidField = 1,
  kInvalidFileId = 2,
  kForgedFileId = 3,
  kFileNotFound = 4,
  kFileDeleted = 5,
  kWrongGroup = 6,
  kUnknownStorePath = 7,
  kRangePastEnd = 8,
  kChecksumMismatch = 9,
  kSizeMismatch = 10,
  kChunkOutOfOrder = 11,
  kRequestIdReused = 12,
  kTooLarge = 13,
  kDiskFull = 14,
  kStorePathReadOnly = 15,
  kStorePathOffline = 16,
  kOverloaded = 17,
  kShuttingDown = 18,
  kContentDamaged = 19,
  kInsufficientReplicas = 20,
  kUnknownGroup = 21,
  kUnknownNode = 22,
  kNoWritableNode = 23,
  kNotAMember = 24,
  kWrongCluster = 25,
  kNotSupported = 26,
  kDeadline = 27,
  kWriteFailed = 28,
  kJobRunning = 29,
  kReadFailed = 30,
  kInternal = 31,
  kNoReadableNode = 32,
  kRequestInProgress = 33,
  kNodeRemoved = 34,
  kLastMember = 35,
  kNodeActive = 36,
  kNotReplicated = 37,
  kTrackersApart = 38,
  kContentNotHere = 40,
  kUnknownLog = 41,
  kLogCut = 42,
  kOutOfOrder = 43,
  kVersionMismatch = 44,
  kNotAnAppender = 100,
  kConditionFailed = 101,
  kNotOrigin = 102,
  kOriginDown = 103,
  kUploadNotFound = 140,
  kUploadRangeBusy = 141,
  kUploadContentDiffers = 142,
  kUploadIncomplete = 143,
  kTooManyUploads = 144,
  kUploadElsewhere = 145,
  kFileExpired = 160,
  kFileExists = 180,
  kFileSealed = 181,
  kWrongKind = 182,
  kQuotaExceeded = 190,
};

// `DISK_FULL` for kDiskFull. "UNSPECIFIED" for a number that is none.
absl::string_view ErrorReasonName(ErrorReason reason);

// The reverse; kUnspecified for an unknown name.
ErrorReason ErrorReasonFromName(absl::string_view name);

using ErrorMetadata = std::vector<std::pair<std::string, std::string>>;

// A status with a reason. `message` tells a person what to change. Keys and
// values of `metadata` must not contain NUL.
absl::Status ErrorWithReason(absl::StatusCode code, ErrorReason reason,
                             absl::string_view message,
                             const ErrorMetadata& metadata = {});

// kUnspecified if `status` carries none.
ErrorReason ReasonOf(const absl::Status& status);

// Empty if `status` carries none.
std::map<std::string, std::string> MetadataOf(const absl::Status& status);

}  // namespace cairn

#endif  // CAIRN_LIB_BASE_ERROR_REASON_H_
