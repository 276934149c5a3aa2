// How far a node that drains is: whether all that it took is at the other
// members of its group, so that it may go.
//
// Pure: it judges what others have asked.

#ifndef CAIRN_CLIENTS_CLI_DRAIN_PROGRESS_H_
#define CAIRN_CLIENTS_CLI_DRAIN_PROGRESS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cairn/storage/v1/node_service.pb.h"
#include "cairn/tracker/v1/cluster.pb.h"

namespace cairn {
namespace cli {

struct DrainProgress {
  // Every member that is there has all that the node has, on its disk, and
  // there is at least one.
  bool safe_to_remove = false;

  // The group has no other member.
  bool alone = false;

  // Whether the node is draining, by what is in force.
  bool draining = false;

  // What keeps it, one sentence for each member and store path.
  std::vector<std::string> waits_for;

  // Members that are not there, and are not waited for.
  std::vector<std::string> away;

  // Members that have everything, and those that are waited for.
  int complete_members = 0;
  int members = 0;

  // Changes and contents that the slowest member lacks.
  uint64_t changes_left = 0;
  uint64_t contents_left = 0;
};

// `node` is the one that drains, as the trackers know it. `nodes` are all nodes
// of the cluster; `states`, by address, what it and the other members of its
// group have said of themselves.
DrainProgress JudgeDrain(
    const tracker::v1::Node& node, const std::vector<tracker::v1::Node>& nodes,
    const std::map<std::string, absl::StatusOr<storage::v1::GetStateResponse>>&
        states);

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_DRAIN_PROGRESS_H_
