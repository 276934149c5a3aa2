#include "services/storage/sync/removed_members.h"

#include <cstddef>

#include "absl/strings/str_cat.h"
#include "lib/base/error_reason.h"

namespace cairn {
namespace storage {

void RemovedMembers::Merge(const tracker::v1::GroupPeers& peers) {
  MutexLock lock(&mu_);
  MergeInto(peers, tracker::v1::DECISION_FIELD_NODE_REMOVED, &removed_);
}

void RemovedMembers::MergeHeirs(const tracker::v1::GroupPeers& peers) {
  MutexLock lock(&mu_);
  MergeInto(peers, tracker::v1::DECISION_FIELD_NODE_HEIR, &heirs_);
}

void RemovedMembers::MergeInto(const tracker::v1::GroupPeers& peers,
                               tracker::v1::DecisionField field,
                               LatestDecisions* latest) {
  for (const tracker::v1::Decision& decision : peers.removals()) {
    if (decision.field() == field) MergeLatest(decision, latest);
  }
}

bool RemovedMembers::IsRemoved(absl::string_view node_uuid) const {
  MutexLock lock(&mu_);
  const auto known = removed_.find(node_uuid);
  return known != removed_.end() && known->second.has_value();
}

uint32_t RemovedMembers::ChangerOf(uint32_t origin_node) const {
  MutexLock lock(&mu_);
  uint32_t changer = origin_node;
  // One step is all there is, unless trackers that were cut off from each other
  // removed a node and its heir.
  for (size_t steps = 0; steps <= heirs_.size(); ++steps) {
    const auto known = heirs_.find(absl::StrCat(changer));
    if (known == heirs_.end() || !known->second.has_value()) return changer;
    changer = static_cast<uint32_t>(known->second.value());
  }
  return origin_node;  // They inherit from each other: an operator's case.
}

absl::Status RemovedMembers::Check(absl::string_view node_uuid) const {
  if (!IsRemoved(node_uuid)) return absl::OkStatus();
  return ErrorWithReason(
      absl::StatusCode::kPermissionDenied, ErrorReason::kNodeRemoved,
      absl::StrCat("node ", node_uuid,
                   " was removed from the cluster; stop it, or let it back "
                   "with `cairn node restore ",
                   node_uuid, "`"),
      {{"node_uuid", std::string(node_uuid)}});
}

}  // namespace storage
}  // namespace cairn
