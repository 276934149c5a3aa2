#include "services/storage/api/replica_gate.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/error_reason.h"
#include "lib/file_id/file_id.h"

namespace cairn {
namespace storage {
namespace {

absl::Status Insufficient(uint32_t required, uint32_t there,
                          absl::string_view what) {
  return ErrorWithReason(
      absl::StatusCode::kUnavailable, ErrorReason::kInsufficientReplicas,
      absl::StrCat(required, " replicas are required, and ", there, " ", what));
}

}  // namespace

absl::StatusOr<Replicator::AckInterest> ReplicaGate::Admit(
    uint8_t store_path, ReplicaWish* wish) const {
  if (wish->replicas == 0) wish->replicas = options_.default_replicas;
  if (wish->replicas <= 1) return Replicator::AckInterest();
  const uint32_t up =
      replicator_of_ ? replicator_of_(store_path)->waits()->up() : 1;
  if (wish->required && up < wish->replicas) {
    return Insufficient(wish->replicas, up,
                        up == 1 ? "member of the group is up: this one"
                                : "members of the group are up");
  }
  if (up == 1) return Replicator::AckInterest();
  return Replicator::AckInterest(replicator_of_(store_path),
                                 wish->level == Durability::kSynced);
}

absl::Status ReplicaGate::AdmitUpdate(uint8_t store_path,
                                      absl::string_view name) const {
  // An ID that was made elsewhere is of no appender; the path says so.
  if (!IsAppenderName(name)) return absl::OkStatus();
  const uint32_t origin = DecodeFileName(name)->node_number;
  const uint32_t changer =
      options_.changer_of ? options_.changer_of(origin) : origin;
  if (changer != options_.node_number) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition,
                           ErrorReason::kNotOrigin,
                           absl::StrCat("the file is changed at node ", changer,
                                        ", and this is ", options_.node_number),
                           {{"origin_node", absl::StrCat(changer)}});
  }
  if (!replicator_of_) return absl::OkStatus();
  const Replicator* const replicator = replicator_of_(store_path);
  if (!replicator->syncing() &&
      (changer == origin || !replicator->syncing_gone())) {
    return absl::OkStatus();
  }
  return ErrorWithReason(
      absl::StatusCode::kUnavailable, ErrorReason::kOriginDown,
      absl::StrCat("node ", changer,
                   ", where the file is changed, has not caught up with the "
                   "other members of its group yet"),
      {{"origin_node", absl::StrCat(changer)}});
}

absl::Status ReplicaGate::AdmitDerived(uint8_t store_path) const {
  if (!replicator_of_ || !replicator_of_(store_path)->awaits_others()) {
    return absl::OkStatus();
  }
  return ErrorWithReason(
      absl::StatusCode::kUnavailable, ErrorReason::kContentNotHere,
      "this member has not caught up with its group, and does not know yet "
      "whether there is a derived file of that name; ask another member, or "
      "later");
}

void ReplicaGate::Confirm(uint8_t store_path, const ReplicaWish& wish,
                          absl::StatusOr<Committed> committed,
                          CommitDone done) const {
  // A repeated call may meet a member that has not got the content yet.
  const bool here = committed.ok() && committed->replicas > 0;
  const bool is_known = committed.ok() && !committed->change.log.is_nil();
  if (!committed.ok() || (wish.replicas <= 1 && here) || !replicator_of_ ||
      !is_known) {
    if (committed.ok() && !here) {
      committed = Insufficient(1, 0, "have it");
    } else if (committed.ok() && wish.required && wish.replicas > 1) {
      // Acknowledgements are of changes: nobody's says that it has the file.
      committed = Insufficient(wish.replicas, 1,
                               "is certain: this member does not know which "
                               "change made the file; repeat the call at "
                               "another one");
    }
    done(std::move(committed));
    return;
  }
  const LogPosition change = committed->change;
  replicator_of_(store_path)
      ->waits()
      ->Await(
          change, wish, clock_->Monotonic() + options_.patience,
          [wish, done = std::move(done), committed = *std::move(committed)](
              uint32_t replicas, bool enough) mutable {
            if (replicas == 0 || (!enough && wish.required)) {
              done(Insufficient(wish.replicas, replicas,
                                "members have it by now; repeat the call "
                                "with its request_id to wait again"));
              return;
            }
            committed.replicas = replicas;
            done(std::move(committed));
          },
          here ? 1 : 0);
}

absl::Status ReplicaGate::AskReplicas(uint8_t store_path, const FileInfo& file,
                                      ReplicaSurveys::Done done) const {
  if (!replicator_of_) {
    done({});
    return absl::OkStatus();
  }
  Replicator* const replicator = replicator_of_(store_path);
  if (!replicator->peers_known()) {
    return absl::UnavailableError(
        "no tracker has said yet who the other members of the group are");
  }
  return replicator->surveys()->Ask(
      replicator->PeersFor(file.origin_node), file.name, file.version,
      clock_->Monotonic() + options_.patience, std::move(done));
}

}  // namespace storage
}  // namespace cairn
