// What a tracker says to the nodes that are attached to it, and when: of the
// other members of their group, and of what operators have decided. Pure.

#ifndef CAIRN_SERVICES_TRACKER_API_GROUP_PEERS_H_
#define CAIRN_SERVICES_TRACKER_API_GROUP_PEERS_H_

#include <cstdint>
#include <set>
#include <string>

#include "absl/types/optional.h"
#include "cairn/tracker/v1/membership_service.pb.h"
#include "services/tracker/core/membership.h"
#include "services/tracker/core/node_record.h"

namespace cairn {
namespace tracker {

// For the node `identity`, which has attached.
v1::GroupPeers MakeGroupPeers(const NodeIdentity& identity,
                              Membership* membership);

// The groups whose members are to be told, since something has changed behind
// `revision`, which moves on; nullopt: all are.
absl::optional<std::set<std::string>> GroupsToTell(Membership* membership,
                                                   uint64_t* revision);

}  // namespace tracker
}  // namespace cairn

#endif  // CAIRN_SERVICES_TRACKER_API_GROUP_PEERS_H_
