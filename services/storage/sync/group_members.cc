#include "services/storage/sync/group_members.h"

#include <utility>

#include "absl/status/statusor.h"
#include "lib/base/uuid.h"
#include "lib/file_id/file_id.h"

namespace cairn {
namespace storage {
namespace {

// The tracker that has heard of a node last knows its address best.
bool IsBetter(const tracker::v1::Node& a, const tracker::v1::Node& b) {
  const bool a_active = a.state() == tracker::v1::NODE_STATE_ACTIVE;
  const bool b_active = b.state() == tracker::v1::NODE_STATE_ACTIVE;
  if (a_active != b_active) return a_active;
  return a.last_heard_time().seconds() > b.last_heard_time().seconds();
}

}  // namespace

void GroupMembers::Merge(const std::string& tracker,
                         const tracker::v1::GroupPeers& peers,
                         absl::Duration now, size_t paths,
                         const SetPeers& set_peers) {
  MutexLock lock(&mu_);
  removed_.Merge(peers);
  said_[tracker] = peers;
  if (!first_said_.has_value()) first_said_ = now;
  all_known_ = all_known_ || said_.size() >= trackers_;
  Tell(paths, set_peers);
  removed_.MergeHeirs(peers);
}

void GroupMembers::Tick(absl::Duration now, size_t paths,
                        const SetPeers& set_peers) {
  MutexLock lock(&mu_);
  if (all_known_ || !first_said_.has_value() ||
      now - *first_said_ < kPatience) {
    return;
  }
  all_known_ = true;
  Tell(paths, set_peers);
}

bool GroupMembers::KnowsMakerOf(absl::string_view name, absl::Time now) const {
  const absl::StatusOr<FileIdFields> made = DecodeFileName(name);
  if (!made.ok() ||
      absl::FromUnixSeconds(made->create_unix_seconds) < now - kNewsTravels) {
    return true;
  }
  const uint32_t node_number = made->node_number;
  MutexLock lock(&mu_);
  if (node_number == node_number_ || said_.empty()) return true;
  if (removed_.ChangerOf(node_number) != node_number) return true;
  for (const auto& [tracker, group] : said_) {
    for (const tracker::v1::Node& node : group.nodes()) {
      if (node.identity().node_number() == node_number) return true;
    }
  }
  return false;
}

void GroupMembers::Tell(size_t paths, const SetPeers& set_peers) {
  std::map<std::string, tracker::v1::Node> best;
  for (const auto& [name, group] : said_) {
    for (const tracker::v1::Node& node : group.nodes()) {
      const auto [it, added] = best.emplace(node.identity().node_uuid(), node);
      if (!added && IsBetter(node, it->second)) it->second = node;
    }
  }
  for (size_t i = 0; i < paths; ++i) {
    std::vector<Peer> wanted;
    for (const auto& [text, node] : best) {
      const absl::StatusOr<Uuid> uuid = Uuid::Parse(text);
      if (!uuid.ok() || removed_.IsRemoved(text) ||
          static_cast<int>(i) >= node.report().store_paths_size()) {
        continue;
      }
      Peer peer;
      peer.node_uuid = *uuid;
      peer.node_number = node.identity().node_number();
      peer.name = node.identity().name();
      peer.address = node.identity().address();
      wanted.push_back(std::move(peer));
    }
    set_peers(i, std::move(wanted), all_known_);
  }
}

}  // namespace storage
}  // namespace cairn
