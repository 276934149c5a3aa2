#include "services/tracker/api/group_peers.h"

#include "lib/base/check.h"
#include "services/tracker/api/convert.h"

namespace cairn {
namespace tracker {

v1::GroupPeers MakeGroupPeers(const NodeIdentity& identity,
                              Membership* membership) {
  v1::GroupPeers peers;
  for (const NodeRecord& peer : membership->PeersOf(identity)) {
    *peers.add_nodes() = ToProto(peer);
  }
  for (const Decision& removal : membership->RemovalsIn(identity.group)) {
    *peers.add_removals() = ToProto(removal);
  }
  for (Decision& quota : membership->QuotasIn(identity.group)) {
    quota.reason.clear();  // For operators; there may be many.
    *peers.add_quotas() = ToProto(quota);
  }
  const absl::optional<NodeRecord> self =
      membership->FindNode(identity.node_uuid);
  CAIRN_CHECK(self.has_value());  // Nodes are never forgotten.
  *peers.mutable_effective() = ToProto(self->effective);
  return peers;
}

absl::optional<std::set<std::string>> GroupsToTell(Membership* membership,
                                                   uint64_t* revision) {
  const auto changes = membership->ChangesSince(*revision, SIZE_MAX);
  if (!changes.has_value()) {
    *revision = membership->revision();
    return absl::nullopt;
  }
  std::set<std::string> groups;
  for (const auto& change : *changes) {
    *revision = change->revision;
    if (change->space_only) continue;
    for (const NodeRecord& node : change->changed) {
      groups.insert(node.identity.group);
    }
    for (const NodeRecord& node : change->removed) {
      groups.insert(node.identity.group);
    }
  }
  return groups;
}

}  // namespace tracker
}  // namespace cairn
