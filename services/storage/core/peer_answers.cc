#include "services/storage/core/peer_answers.h"

#include "absl/strings/str_cat.h"
#include "lib/base/error_reason.h"

namespace cairn {
namespace storage {

bool MayBeElsewhere(const absl::Status& status) {
  const ErrorReason reason = ReasonOf(status);
  return reason == ErrorReason::kFileNotFound ||
         reason == ErrorReason::kContentNotHere ||
         reason == ErrorReason::kContentDamaged ||
         reason == ErrorReason::kReadFailed;
}

bool PeerAnswers::IsLastWord(const absl::Status& said) {
  // A member that knows of the deletion, or when the file expires, knows more
  // than this one.
  const ErrorReason reason = ReasonOf(said);
  if (said.ok() || reason == ErrorReason::kFileDeleted ||
      reason == ErrorReason::kFileExpired ||
      reason == ErrorReason::kFileSealed) {
    return true;
  }
  // One that has no content of it, or none that it can read, knows that there
  // is such a file.
  if (reason != ErrorReason::kFileNotFound) unreachable_.Update(said);
  return false;
}

void PeerAnswers::CannotAsk() {
  unreachable_.Update(absl::UnavailableError(
      "no tracker has named all members that may have it yet"));
}

absl::Status PeerAnswers::Verdict() const {
  if (unreachable_.ok() || ReasonOf(here_) != ErrorReason::kFileNotFound) {
    return here_;
  }
  return ErrorWithReason(
      absl::StatusCode::kUnavailable, ErrorReason::kContentNotHere,
      absl::StrCat("the file is not known here, and a member that may have it "
                   "cannot be asked, or cannot read it: ",
                   unreachable_.message()));
}

}  // namespace storage
}  // namespace cairn
