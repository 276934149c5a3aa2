#include "clients/cli/drain_progress.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "clients/cli/cluster_nodes.h"
#include "clients/cli/format.h"

namespace cairn {
namespace cli {
namespace {

using storage::v1::GetStateResponse;
using States = std::map<std::string, absl::StatusOr<GetStateResponse>>;

// Null if the node did not answer; `why` says so then.
const GetStateResponse* StateOf(const tracker::v1::Node& node,
                                const States& states, std::string* why) {
  const auto found = states.find(node.identity().address());
  if (found != states.end() && found->second.ok()) return &*found->second;
  *why = absl::StrCat("node ", node.identity().name(), " (",
                      node.identity().address(), ") does not answer");
  if (found != states.end()) {
    absl::StrAppend(why, ": ", found->second.status().message());
  }
  return nullptr;
}

const storage::v1::StorePathStatus* PathOf(const GetStateResponse& state,
                                           uint32_t index) {
  for (const storage::v1::StorePathStatus& path : state.store_paths()) {
    if (path.index() == index) return &path;
  }
  return nullptr;
}

// How `path` stands with the member; null if it does not know of it.
const storage::v1::PeerState* PeerOf(const storage::v1::StorePathStatus& path,
                                     const std::string& node_uuid) {
  for (const storage::v1::PeerState& peer : path.replication().peers()) {
    if (peer.node_uuid() == node_uuid) return &peer;
  }
  return nullptr;
}

// What one member lacks of one path of the node. Both sides are asked: the node
// knows what it took and what was acknowledged, the member what it lacks of the
// logs of others that the node keeps.
struct PathLack {
  uint64_t changes = 0;
  uint64_t contents = 0;
  std::string why;  // Empty: nothing, and both say so.
};

PathLack LackOf(const tracker::v1::Node& node, const tracker::v1::Node& member,
                const storage::v1::StorePathStatus& path,
                const GetStateResponse& member_state) {
  PathLack lack;
  const std::string where =
      absl::StrCat(member.identity().name(), " store path ", path.index());
  const storage::v1::StorePathStatus* const theirs =
      PathOf(member_state, path.index());
  if (theirs == nullptr ||
      theirs->state() == storage::v1::STORE_PATH_STATE_OFFLINE) {
    lack.why = absl::StrCat(where, " is not open");
    return lack;
  }
  const storage::v1::PeerState* const told =
      PeerOf(path, member.identity().node_uuid());
  const storage::v1::PeerState* const known =
      PeerOf(*theirs, node.identity().node_uuid());
  if (told == nullptr || known == nullptr) {
    lack.why = absl::StrCat(where, " has not heard of the node");
    return lack;
  }
  lack.changes =
      std::max(told->peer_unsynced_changes(), known->behind_changes());
  // What the node misses itself it cannot give.
  const uint64_t both_miss = path.replication().missing_contents();
  const uint64_t missing = theirs->replication().missing_contents();
  lack.contents = std::max(told->peer_missing_contents(),
                           missing > both_miss ? missing - both_miss : 0);
  if (lack.changes > 0 || lack.contents > 0) {
    lack.why = absl::StrCat(
        where, " lacks ", Count(static_cast<int64_t>(lack.changes), "change"),
        " and ", Count(static_cast<int64_t>(lack.contents), "content"));
  } else if (theirs->replication().syncing()) {
    lack.why = absl::StrCat(where, " is syncing");
  } else if (!known->pulling()) {
    lack.why =
        absl::StrCat(where, " cannot reach the node: ", known->last_error());
  }
  return lack;
}

}  // namespace

DrainProgress JudgeDrain(const tracker::v1::Node& node,
                         const std::vector<tracker::v1::Node>& nodes,
                         const States& states) {
  DrainProgress progress;
  progress.draining = UseOf(node).role() == tracker::v1::NODE_ROLE_DRAINING;
  std::vector<const tracker::v1::Node*> members;
  for (const tracker::v1::Node& other : nodes) {
    if (other.identity().group() != node.identity().group() ||
        other.identity().node_uuid() == node.identity().node_uuid()) {
      continue;
    }
    if (other.state() == tracker::v1::NODE_STATE_ACTIVE) {
      members.push_back(&other);
    } else {
      progress.away.push_back(other.identity().name());
    }
  }
  progress.members = static_cast<int>(members.size());
  progress.alone = members.empty() && progress.away.empty();
  if (progress.alone) return progress;

  std::string why;
  const GetStateResponse* const own = StateOf(node, states, &why);
  if (own == nullptr) {
    progress.waits_for.push_back(why);
    return progress;
  }
  for (const storage::v1::StorePathStatus& path : own->store_paths()) {
    if (path.state() == storage::v1::STORE_PATH_STATE_OFFLINE) {
      progress.waits_for.push_back(
          absl::StrCat("the node's store path ", path.index(),
                       " is not open: nobody can say what is on it"));
    }
  }
  const bool own_open = progress.waits_for.empty();
  for (const tracker::v1::Node* const member : members) {
    const GetStateResponse* const state = StateOf(*member, states, &why);
    if (state == nullptr) {
      progress.waits_for.push_back(why);
      continue;
    }
    bool complete = true;
    uint64_t changes = 0;
    uint64_t contents = 0;
    for (const storage::v1::StorePathStatus& path : own->store_paths()) {
      const PathLack lack = LackOf(node, *member, path, *state);
      changes += lack.changes;
      contents += lack.contents;
      if (lack.why.empty()) continue;
      complete = false;
      progress.waits_for.push_back(lack.why);
    }
    progress.complete_members += complete ? 1 : 0;
    progress.changes_left = std::max(progress.changes_left, changes);
    progress.contents_left = std::max(progress.contents_left, contents);
  }
  // What is not told to the trackers yet would keep them from letting it go.
  bool told = true;
  for (const tracker::v1::StorePathReport& path : node.report().store_paths()) {
    if (path.changes_only_here() > 0) told = false;
  }
  for (const tracker::v1::Node* const member : members) {
    for (const auto& path : member->report().store_paths()) {
      if (path.syncing()) told = false;
    }
  }
  if (!told && progress.waits_for.empty()) {
    progress.waits_for.push_back("the trackers have not heard of it yet");
  }
  if (members.empty()) {
    progress.waits_for.push_back("no other member of the group is there");
  }
  progress.safe_to_remove = own_open && told && progress.complete_members > 0 &&
                            progress.complete_members == progress.members;
  return progress;
}

}  // namespace cli
}  // namespace cairn
