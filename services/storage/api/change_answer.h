// How a call that changes a file is answered: what the file is now, what the
// acknowledgement means, and that enough members have it first.
//
// For response messages with the fields `reached` and `replayed`, and `info`
// where the file is told.

#ifndef CAIRN_SERVICES_STORAGE_API_CHANGE_ANSWER_H_
#define CAIRN_SERVICES_STORAGE_API_CHANGE_ANSWER_H_

#include <cstdint>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "services/storage/api/call_context.h"
#include "services/storage/api/convert.h"
#include "services/storage/api/replica_gate.h"
#include "services/storage/api/translate.h"
#include "services/storage/api/unary_end.h"
#include "services/storage/core/replicator.h"
#include "services/storage/core/storage_node.h"
#include "services/storage/core/store_path.h"

namespace cairn {
namespace storage {

// What the acknowledgement means.
template <typename Response>
void FillReached(const Committed& committed, Response* response) {
  response->mutable_reached()->set_level(ToProto(committed.reached));
  response->mutable_reached()->set_replicas(committed.replicas);
  response->set_replayed(committed.replayed);
}

// The file as the change left it, and FillReached().
template <typename Response>
void FillChanged(const StorageNode& node, uint8_t path_index,
                 const Committed& committed, Response* response) {
  ToProto(node, path_index, committed.file, response->mutable_info());
  FillReached(committed, response);
}

// Hands an outcome of `path` on to `answer` when the other members have it as
// was wished for. The path is held until then.
inline CommitDone ConfirmThen(const CallContext& context, uint8_t path_index,
                              const ReplicaWish& wish,
                              std::shared_ptr<StorePath> path,
                              CommitDone answer) {
  return [path = std::move(path), path_index, wish, gate = context.replicas,
          answer =
              std::move(answer)](absl::StatusOr<Committed> committed) mutable {
    gate->Confirm(path_index, wish, std::move(committed), std::move(answer));
  };
}

// ConfirmThen() that fills `response` in and ends the call. `interest` is kept
// until then.
template <typename Response>
CommitDone AnswerWithFile(const CallContext& context, uint8_t path_index,
                          const ReplicaWish& wish,
                          std::shared_ptr<StorePath> path,
                          Replicator::AckInterest interest, Response* response,
                          const UnaryEnd& end) {
  return ConfirmThen(
      context, path_index, wish, std::move(path),
      [interest = std::move(interest), node = context.node, path_index,
       response, end](const absl::StatusOr<Committed>& committed) {
        if (committed.ok()) {
          FillChanged(*node, path_index, *committed, response);
        }
        end(committed.status());
      });
}

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_API_CHANGE_ANSWER_H_
