// What a mutating call asks of the other members of the group: before it
// begins, while it runs, and before it is answered.
//
//   Admit ─▶ (refused: too few are up)
//     └─▶ commit here ─▶ Confirm ─▶ enough members have it ─▶ answer

#ifndef CAIRN_SERVICES_STORAGE_API_REPLICA_GATE_H_
#define CAIRN_SERVICES_STORAGE_API_REPLICA_GATE_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "lib/base/clock.h"
#include "services/storage/core/replica_survey.h"
#include "services/storage/core/replica_waits.h"
#include "services/storage/core/replicator.h"
#include "services/storage/core/store_path.h"

namespace cairn {
namespace storage {

struct ReplicaGateOptions {
  // For calls that name no number.
  uint32_t default_replicas = 2;

  // How long a call waits for members that follow.
  absl::Duration patience = absl::Seconds(2);

  // Of this node; and of the node that changes the appenders which the one with
  // the given number created. Unset: that one.
  uint32_t node_number = 0;
  std::function<uint32_t(uint32_t)> changer_of;
};

// Thread-safe.
class ReplicaGate {
 public:
  // A node that has no other members.
  explicit ReplicaGate(uint32_t node_number) {
    options_.node_number = node_number;
  }

  // `replicator_of` gives that of a store path; `clock` is borrowed.
  ReplicaGate(std::function<Replicator*(uint8_t)> replicator_of,
              const ReplicaGateOptions& options, Clock* clock)
      : replicator_of_(std::move(replicator_of)),
        options_(options),
        clock_(clock) {}

  // Fills in the default of `wish`. What is returned is kept until the call is
  // answered.
  //   UNAVAILABLE  INSUFFICIENT_REPLICAS: fewer members are up than are
  //                required. Nothing was changed.
  absl::StatusOr<Replicator::AckInterest> Admit(uint8_t store_path,
                                                ReplicaWish* wish) const;

  // Whether the file may be changed here in a way that builds on what it is. An
  // appender may at one node alone, and not while the path there is SYNCING:
  // after a power cut others may have changes that this path took and lost, or
  // that a removed member took, and what is built without them would take their
  // place.
  //   FAILED_PRECONDITION  NOT_ORIGIN: at another node.
  //   UNAVAILABLE          ORIGIN_DOWN: not now. Nothing was changed.
  absl::Status AdmitUpdate(uint8_t store_path, absl::string_view name) const;

  // Whether a file may be stored under a name that somebody else may have given
  // away. Not while the path is SYNCING: what is there by that name it is about
  // to hear of, and would replace with what it took meanwhile, or lose that to
  // a deletion.
  //   UNAVAILABLE  CONTENT_NOT_HERE: at another member, or later. Nothing was
  //                changed.
  absl::Status AdmitDerived(uint8_t store_path) const;

  // Hands an outcome on to `done` when what was wished for is true, with
  // Committed::replicas filled in. Runs in the call, or on another thread.
  //   UNAVAILABLE  INSUFFICIENT_REPLICAS: it is committed here, and fewer
  //                members than are required have said that they have it.
  //                Repeating the call with its request_id waits again.
  void Confirm(uint8_t store_path, const ReplicaWish& wish,
               absl::StatusOr<Committed> committed, CommitDone done) const;

  // Asks every other member what it has of the file, next to what `file` says.
  // `done` runs once unless this fails, in the call or on another thread.
  //   UNAVAILABLE         nobody has said yet who the other members are.
  //   RESOURCE_EXHAUSTED  OVERLOADED.
  absl::Status AskReplicas(uint8_t store_path, const FileInfo& file,
                           ReplicaSurveys::Done done) const;

 private:
  std::function<Replicator*(uint8_t)> replicator_of_;
  ReplicaGateOptions options_;
  Clock* clock_ = nullptr;
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_API_REPLICA_GATE_H_
