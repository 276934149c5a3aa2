// Whatever is in a tracker's records on disk: it can be worked on, and what is
// saved of it is what was read.
//
// The first byte chooses the record.

#include <cstddef>
#include <cstdint>
#include <string>

#include "cairn/disk/tracker/v1/state.pb.h"
#include "lib/base/check.h"
#include "lib/placement/cluster_model.h"
#include "services/tracker/core/decisions.h"
#include "services/tracker/core/node_record.h"
#include "services/tracker/state/saved_records.h"

namespace cairn {
namespace tracker {
namespace {

void TryNode(const disk::tracker::v1::SavedNode& saved) {
  const NodeRecord node = FromSaved(saved);
  CAIRN_CHECK(node.state == NodeState::kOffline);
  CAIRN_CHECK(static_cast<int>(node.status.store_paths.size()) ==
              saved.store_paths_size());
  const std::string once = ToSaved(node).SerializeAsString();
  CAIRN_CHECK(ToSaved(FromSaved(ToSaved(node))).SerializeAsString() == once);
}

void TryDecision(const disk::tracker::v1::SavedDecision& saved) {
  const Decision decision = FromSaved(saved);
  CAIRN_CHECK(FromSaved(ToSaved(decision)) == decision);
  if (!ValidateDecision(decision).ok()) return;
  Decisions decisions;
  CAIRN_CHECK(decisions.Merge(decision));
  CAIRN_CHECK(decisions.Value(decision.key.field, decision.key.subject) ==
              decision.value);
}

void TryPolicy(const disk::tracker::v1::SavedPolicy& saved) {
  const PlacementPolicy policy = FromSaved(saved);
  const PlacementPolicy again = FromSaved(ToSaved(policy));
  CAIRN_CHECK(again.group_policy == policy.group_policy);
  CAIRN_CHECK(again.node_policy == policy.node_policy);
  CAIRN_CHECK(again.path_policy == policy.path_policy);
  CAIRN_CHECK(again.read_policy == policy.read_policy);
  CAIRN_CHECK(again.fixed_group == policy.fixed_group);
  CAIRN_CHECK(again.group_weights == policy.group_weights);
}

}  // namespace
}  // namespace tracker
}  // namespace cairn

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace disk = ::cairn::disk::tracker::v1;
  if (size == 0) return 0;
  const std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  disk::SavedNode node;
  disk::SavedDecision decision;
  disk::SavedPolicy policy;
  switch (data[0] % 3) {
    case 0:
      if (node.ParseFromString(bytes)) cairn::tracker::TryNode(node);
      break;
    case 1:
      if (decision.ParseFromString(bytes)) {
        cairn::tracker::TryDecision(decision);
      }
      break;
    default:
      if (policy.ParseFromString(bytes)) cairn::tracker::TryPolicy(policy);
      break;
  }
  return 0;
}
