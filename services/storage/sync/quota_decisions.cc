#include "services/storage/sync/quota_decisions.h"

namespace cairn {
namespace storage {

void QuotaDecisions::Merge(const tracker::v1::GroupPeers& peers,
                           Quotas* quotas) {
  MutexLock lock(&mu_);
  bool news = false;
  for (const tracker::v1::Decision& decision : peers.quotas()) {
    LatestDecisions* latest = nullptr;
    switch (decision.field()) {
      case tracker::v1::DECISION_FIELD_GROUP_QUOTA_FILES:
        latest = &group_files_;
        break;
      case tracker::v1::DECISION_FIELD_GROUP_QUOTA_BYTES:
        latest = &group_bytes_;
        break;
      case tracker::v1::DECISION_FIELD_CLIENT_QUOTA_FILES:
        latest = &client_files_;
        break;
      case tracker::v1::DECISION_FIELD_CLIENT_QUOTA_BYTES:
        latest = &client_bytes_;
        break;
      default:
        continue;  // Of a newer version.
    }
    news |= MergeLatest(decision, latest);
  }
  // Under the lock: of two trackers' words the later one must come last.
  if (news) quotas->SetLimits(Limits());
}

QuotaLimits QuotaDecisions::Limits() const {
  QuotaLimits limits;
  // A tracker tells of one group.
  for (const auto& [group, decision] : group_files_) {
    limits.group.files = decision.value();  // 0 if it was taken back.
  }
  for (const auto& [group, decision] : group_bytes_) {
    limits.group.bytes = decision.value();
  }
  for (const auto& [client, decision] : client_files_) {
    if (decision.value() == 0) continue;
    limits.clients[client].files = decision.value();
  }
  for (const auto& [client, decision] : client_bytes_) {
    if (decision.value() == 0) continue;
    limits.clients[client].bytes = decision.value();
  }
  return limits;
}

}  // namespace storage
}  // namespace cairn
