#include "clients/cli/exit_code.h"

#include "lib/base/error_reason.h"

namespace cairn {
namespace cli {

ExitCode ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kExitOk;
    case absl::StatusCode::kNotFound:
      return kExitNotFound;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kDeadlineExceeded:
      return kExitUnavailable;
    case absl::StatusCode::kDataLoss:
      return kExitDamaged;
    case absl::StatusCode::kCancelled:
      return kExitInterrupted;
    case absl::StatusCode::kInvalidArgument:
      switch (ReasonOf(status)) {
        case ErrorReason::kInvalidField:
        case ErrorReason::kInvalidFileId:
          return kExitUsage;
        default:
          return kExitFailed;
      }
    default:
      return kExitFailed;
  }
}

ExitCode Combine(ExitCode a, ExitCode b) {
  if (a == b || b == kExitOk) return a;
  if (a == kExitOk) return b;
  if (a == kExitInterrupted || b == kExitInterrupted) return kExitInterrupted;
  return kExitFailed;
}

std::string ReasonText(const absl::Status& status) {
  const ErrorReason reason = ReasonOf(status);
  if (reason != ErrorReason::kUnspecified) {
    return std::string(ErrorReasonName(reason));
  }
  return absl::StatusCodeToString(status.code());
}

std::string NextStep(const absl::Status& status) {
  switch (ReasonOf(status)) {
    case ErrorReason::kInvalidFileId:
      return "Check the ID: it looks like group1/M00/3F/A2/<40 "
             "characters>[.ext]; `cairn decode ID` says what is wrong.";
    case ErrorReason::kForgedFileId:
      return "The ID was not made by this cluster or a character of it is "
             "wrong. Check that the address and the ID belong together.";
    case ErrorReason::kFileNotFound:
      return "Check the ID, and with `cairn nodes` that this is the cluster "
             "which made it.";
    case ErrorReason::kFileSealed:
      return "A normal file was made of the appender: use the new ID.";
    case ErrorReason::kFileDeleted:
      return "The file was deleted; `cairn undelete` brings it back as long as "
             "its content is kept.";
    case ErrorReason::kFileExpired:
      return "The file has expired and cannot be read any more.";
    case ErrorReason::kWrongGroup:
      return "The node is in another group. Name the trackers (--tracker) "
             "instead of a storage node.";
    case ErrorReason::kUnknownGroup:
      return "`cairn groups` lists the groups.";
    case ErrorReason::kUnknownStorePath:
      return "`cairn status` lists the store paths of each node.";
    case ErrorReason::kRangePastEnd:
      return "`cairn stat ID` says how long the file is.";
    case ErrorReason::kDiskFull:
      return "Free some room, lower the reserve or add a node; `cairn groups` "
             "says how much is free.";
    case ErrorReason::kQuotaExceeded:
      return "Delete some files, or ask an operator for more: `cairn groups` "
             "and `cairn client list` say what is held and what may be.";
    case ErrorReason::kTooManyUploads:
      return "Uploads that nobody finishes expire after a day; or name another "
             "group (--group).";
    case ErrorReason::kUploadRangeBusy:
      return "Another process is sending the same file. Wait for it, or try "
             "again in a minute if there is none any more.";
    case ErrorReason::kNoWritableNode:
      return "`cairn status` says why no node takes files.";
    case ErrorReason::kNoReadableNode:
      return "`cairn nodes` says which members of the group are down; start "
             "one of them.";
    case ErrorReason::kInsufficientReplicas:
      return "Start more members of the group (`cairn nodes`), or ask for "
             "fewer replicas.";
    case ErrorReason::kStorePathReadOnly:
    case ErrorReason::kStorePathOffline:
      return "`cairn status` says what is wrong with the disk and what to do.";
    case ErrorReason::kOverloaded:
      return "Try again with fewer at once (-j), or later.";
    case ErrorReason::kShuttingDown:
      return "The node is stopping; try again in a moment.";
    case ErrorReason::kContentDamaged:
      return "The file is damaged on disk and no good copy was found. Tell an "
             "operator; `cairn status` names the disk.";
    case ErrorReason::kChecksumMismatch:
      return "Bytes changed on their way. Try again; if it stays, check the "
             "memory and the network of both machines.";
    case ErrorReason::kSizeMismatch:
      return "The file changed while it was read. Try again.";
    case ErrorReason::kVersionMismatch:
      return "Somebody changed the file meanwhile; `cairn stat ID` says what "
             "is there now.";
    case ErrorReason::kWriteFailed:
      return "A write failed on the node. Try again; `cairn status` names the "
             "disk.";
    case ErrorReason::kNotAMember:
      return "Name the file with the cluster secret that the trackers have: "
             "--secret-file, or CAIRN_SECRET_FILE.";
    case ErrorReason::kUnknownNode:
      return "`cairn node list` lists the nodes, with those that were removed.";
    case ErrorReason::kNodeActive:
      return "`cairn node drain NODE` first, and remove it when its files have "
             "other members; or --force.";
    case ErrorReason::kNotReplicated:
      return "`cairn node drain NODE` waits until the others have it; --force "
             "if it is lost anyway.";
    case ErrorReason::kTrackersApart:
      return "Bring the other trackers back, or ask nobody to remove nodes "
             "there, and say --force.";
    case ErrorReason::kLastMember:
      return "Add a member to the group and let it catch up, or delete the "
             "group's files.";
    case ErrorReason::kNotAnAppender:
      return "Only files that were put with --appender can be changed.";
    case ErrorReason::kConditionFailed:
      return "Somebody else changed the file. `cairn stat ID` says how it is "
             "now.";
    case ErrorReason::kNotOrigin:
      return "The file is changed at the node that created it. Name the "
             "trackers (--tracker), so that it is asked; `cairn nodes` says "
             "whether it is up.";
    case ErrorReason::kOriginDown:
      return "The file is changed at the node that created it, which is down "
             "or catching up: see `cairn nodes`. It can be read meanwhile.";
    case ErrorReason::kNotSupported:
      return "The server's version does not have this; `cairn status` shows "
             "versions.";
    case ErrorReason::kInternal:
      return "This is a bug. Please report it with the message above.";
    default:
      break;
  }
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
      return "Check the address (--tracker, --storage or CAIRN_TRACKERS) and "
             "that the process runs; `cairn status` looks at each.";
    case absl::StatusCode::kDeadlineExceeded:
      return "Allow more time with --timeout; `cairn status` says whether the "
             "cluster is well.";
    default:
      return "";
  }
}

}  // namespace cli
}  // namespace cairn
