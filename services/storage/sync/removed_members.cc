#include "services/storage/sync/removed_members.h"

#include <tuple>

#include "absl/strings/str_cat.h"
#include "lib/base/error_reason.h"

namespace cairn {
namespace storage {
namespace {

// As trackers compare them (services/tracker/core/decisions.h).
bool Later(const tracker::v1::Decision& a, const tracker::v1::Decision& b) {
  const auto rank = [](const tracker::v1::Decision& decision) {
    const tracker::v1::DecisionTime& time = decision.time();
    return std::make_tuple(time.unix_ms(), time.logical(),
                           std::cref(time.tracker_instance()),
                           decision.has_value());
  };
  return rank(b) < rank(a);
}

}  // namespace

void RemovedMembers::Merge(const tracker::v1::GroupPeers& peers) {
  MutexLock lock(&mu_);
  for (const tracker::v1::Decision& decision : peers.removals()) {
    if (decision.field() != tracker::v1::DECISION_FIELD_NODE_REMOVED) continue;
    const auto [known, is_new] = latest_.emplace(decision.subject(), decision);
    if (!is_new && Later(decision, known->second)) known->second = decision;
  }
}

bool RemovedMembers::IsRemoved(absl::string_view node_uuid) const {
  MutexLock lock(&mu_);
  const auto known = latest_.find(node_uuid);
  return known != latest_.end() && known->second.has_value();
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
