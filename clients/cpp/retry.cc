#include "clients/cpp/retry.h"

#include <algorithm>

#include "lib/base/error_reason.h"
#include "lib/base/uuid.h"

namespace cairn {
namespace client {
namespace {

constexpr double kGrowth = 1.6;

// Attempts that a node with too much to do may send away, for one that fails.
// With the longest wait between rounds this is more than a minute.
constexpr int kPatience = 16;

RetryAdvice Final() { return {}; }

RetryAdvice SameOrElsewhere() {
  RetryAdvice advice;
  advice.repeat = true;
  advice.elsewhere = true;
  return advice;
}

RetryAdvice OnlyElsewhere() {
  RetryAdvice advice = SameOrElsewhere();
  advice.only_elsewhere = true;
  return advice;
}

RetryAdvice GoneNode() {
  RetryAdvice advice = SameOrElsewhere();
  advice.node_is_gone = true;
  return advice;
}

RetryAdvice Patient() {
  RetryAdvice advice = SameOrElsewhere();
  advice.patient = true;
  return advice;
}

RetryAdvice ElsewhereOnce() {
  RetryAdvice advice = SameOrElsewhere();
  advice.once = true;
  return advice;
}

RetryAdvice Once() {
  RetryAdvice advice;
  advice.repeat = true;
  advice.once = true;
  return advice;
}

}  // namespace

RetryAdvice AdviceFor(const absl::Status& failure, Intent intent) {
  const ErrorReason reason = ReasonOf(failure);
  switch (failure.code()) {
    case absl::StatusCode::kUnavailable:
      switch (reason) {
        case ErrorReason::kUnspecified:  // From gRPC: connection refused,
                                         // reset.
        case ErrorReason::kShuttingDown:
          return GoneNode();
        case ErrorReason::kInsufficientReplicas:
          return intent == Intent::kCreate ? SameOrElsewhere() : Once();
        case ErrorReason::kOriginDown:  // It answers: it is catching up.
          return Patient();
        case ErrorReason::kContentNotHere:  // Of a derived file: the same.
          return intent == Intent::kCreate ? Patient() : SameOrElsewhere();
        default:
          return SameOrElsewhere();
      }
    case absl::StatusCode::kResourceExhausted:
      switch (reason) {
        case ErrorReason::kOverloaded:
          return Patient();
        case ErrorReason::kTooManyUploads:
        case ErrorReason::kQuotaExceeded:  // Of its group; others have theirs.
        case ErrorReason::kDiskFull:
          // A deletion needs room for its tombstone, at this member.
          return intent == Intent::kCreate ? OnlyElsewhere() : Final();
        default:
          return Final();
      }
    case absl::StatusCode::kAborted:
      return reason == ErrorReason::kWriteFailed && intent != Intent::kRead
                 ? OnlyElsewhere()
                 : Final();
    case absl::StatusCode::kFailedPrecondition:
      switch (reason) {
        case ErrorReason::kStorePathReadOnly:
        case ErrorReason::kWrongGroup:
        case ErrorReason::kUnknownStorePath:
        case ErrorReason::kNotOrigin:  // It says where: Router::NoteRefusal().
          return OnlyElsewhere();
        default:
          return Final();
      }
    case absl::StatusCode::kDataLoss:
      // Damaged there or on the way. Another member may have a good copy; with
      // none, a second look tells the two apart.
      return reason == ErrorReason::kChecksumMismatch ? ElsewhereOnce()
                                                      : OnlyElsewhere();
    case absl::StatusCode::kInvalidArgument:
      // What arrived there is not what was sent.
      return reason == ErrorReason::kChecksumMismatch ? Once() : Final();
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kCancelled:
      // With a reason it is an answer. Without one, gRPC tells of a connection
      // or stream that broke.
      return reason == ErrorReason::kUnspecified ? GoneNode() : Final();
    default:
      return Final();
  }
}

absl::Duration Backoff::Next() {
  const absl::Duration full = next_;
  next_ = std::min(next_ * kGrowth, max_);
  const double share = static_cast<double>(RandomUint32()) / UINT32_MAX;
  return full * (0.5 + 0.5 * share);
}

bool RetryState::AfterFailure(const absl::Status& status,
                              const RetryAdvice& advice,
                              absl::string_view node_uuid) {
  failure_ = status;
  ++(advice.patient ? patient_attempts_ : attempts_);
  if (!advice.repeat || attempts_ >= options_.attempts_max ||
      patient_attempts_ >= kPatience * options_.attempts_max) {
    return false;
  }
  if (advice.once && had_its_once_) return false;
  had_its_once_ |= advice.once;
  if (advice.elsewhere) tried_.emplace_back(node_uuid);
  if (advice.only_elsewhere) hopeless_.emplace_back(node_uuid);
  return true;
}

absl::optional<absl::Duration> RetryState::AfterNoRoute(
    const absl::Status& status) {
  if (tried_.size() > hopeless_.size()) {
    tried_ = hopeless_;
    return backoff_.Next();
  }
  // All that there are failed for good.
  if (!tried_.empty()) return absl::nullopt;
  failure_ = status;
  // The view may change: a node comes back, a tracker tells of a new one.
  if (status.code() != absl::StatusCode::kUnavailable ||
      ++attempts_ >= options_.attempts_max) {
    return absl::nullopt;
  }
  return backoff_.Next();
}

void RetryState::MovedOn() {
  attempts_ = 0;
  patient_attempts_ = 0;
  had_its_once_ = false;
  backoff_ = Backoff(options_.backoff, options_.backoff_max);
}

}  // namespace client
}  // namespace cairn
