#include "services/tracker/core/membership.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"

namespace cairn {
namespace tracker {

Membership::Membership(MembershipOptions options, PlacementPolicy policy,
                       std::vector<NodeRecord> known, Clock* clock)
    : options_(std::move(options)), policy_(std::move(policy)), clock_(clock) {
  CAIRN_CHECK(options_.suspect_after > absl::ZeroDuration());
  CAIRN_CHECK(options_.offline_after >= options_.suspect_after);
  MutexLock lock(&mu_);
  for (NodeRecord& node : known) {
    node.state = NodeState::kOffline;
    // It stops no longer, whatever it said when it was last seen.
    node.status.stopping = false;
    node.status.calls_in_progress = 0;
    const std::string uuid = node.identity.node_uuid;
    members_[uuid].node = std::move(node);
  }
}

absl::Status Membership::CheckNew(const NodeIdentity& identity) {
  if (identity.cluster_id != options_.cluster_id) {
    return ErrorWithReason(
        absl::StatusCode::kFailedPrecondition, ErrorReason::kWrongCluster,
        absl::StrCat("node `", identity.name, "` belongs to cluster ",
                     identity.cluster_id, ", this tracker to ",
                     options_.cluster_id,
                     "; check the addresses of the node's trackers"),
        {{"cluster_id", options_.cluster_id}});
  }
  if (members_.size() >= options_.nodes_max &&
      members_.count(identity.node_uuid) == 0) {
    return ErrorWithReason(absl::StatusCode::kResourceExhausted,
                           ErrorReason::kOverloaded,
                           absl::StrCat("this tracker knows ", members_.size(),
                                        " nodes and takes no more"));
  }
  // File IDs tell the nodes of a group apart by their numbers.
  for (const auto& [uuid, member] : members_) {
    const NodeIdentity& other = member.node.identity;
    if (uuid != identity.node_uuid && other.group == identity.group &&
        other.node_number == identity.node_number) {
      return ErrorWithReason(
          absl::StatusCode::kInvalidArgument, ErrorReason::kInvalidField,
          absl::StrCat("node_number: ", identity.node_number,
                       " belongs to node `", other.name, "` (", uuid,
                       ") of group `", other.group, "`"),
          {{"field", "node_number"}});
    }
  }
  return absl::OkStatus();
}

void Membership::Hear(Member* member) {
  member->heard = clock_->Monotonic();
  member->node.last_heard = clock_->Now();
  member->node.state = NodeState::kActive;
}

void Membership::Publish(const std::vector<const Member*>& members,
                         bool space_only) {
  auto change = std::make_shared<ClusterChange>();
  change->revision = ++revision_;
  change->space_only = space_only;
  change->changed.reserve(members.size());
  for (const Member* member : members) {
    const std::string& uuid = member->node.identity.node_uuid;
    change->changed.push_back(member->node);
    space_waits_.erase(uuid);
    if (!space_only) unsaved_.insert(uuid);
  }
  log_.push_back(std::move(change));
  while (log_.size() > options_.change_log_max) log_.pop_front();
  model_.reset();
}

absl::StatusOr<Membership::Attached> Membership::Attach(NodeIdentity identity,
                                                        NodeStatus status) {
  CAIRN_RETURN_IF_ERROR(ValidateIdentity(identity));
  CAIRN_RETURN_IF_ERROR(ValidateStatus(status));
  Attached attached;
  {
    MutexLock lock(&mu_);
    CAIRN_RETURN_IF_ERROR(CheckNew(identity));
    Member& member = members_[identity.node_uuid];
    attached.displaced = member.attachment;
    if (attached.displaced != 0) attachments_.erase(attached.displaced);
    attached.attachment = ++last_attachment_;
    member.attachment = attached.attachment;
    attachments_[attached.attachment] = identity.node_uuid;
    member.node.identity = std::move(identity);
    member.node.status = std::move(status);
    Hear(&member);
    Publish({&member}, /*space_only=*/false);
  }
  Notify(true);
  return attached;
}

absl::Status Membership::Report(uint64_t attachment, NodeStatus status) {
  CAIRN_RETURN_IF_ERROR(ValidateStatus(status));
  bool changed = false;
  {
    MutexLock lock(&mu_);
    const auto found = attachments_.find(attachment);
    if (found == attachments_.end()) {
      return absl::AbortedError(
          "another process attached with the same node_uuid; if two processes "
          "use one disk, stop one of them");
    }
    Member& member = members_.at(found->second);
    const bool was_active = member.node.state == NodeState::kActive;
    const bool same_use = DifferOnlyInSpace(member.node.status, status);
    const bool same = same_use && Same(member.node.status, status);
    member.node.status = std::move(status);
    Hear(&member);
    if (!was_active || !same_use) {
      Publish({&member}, /*space_only=*/false);
      changed = true;
    } else if (!same) {
      space_waits_.insert(found->second);
    }
  }
  Notify(changed);
  return absl::OkStatus();
}

void Membership::Detach(uint64_t attachment) {
  {
    MutexLock lock(&mu_);
    const auto found = attachments_.find(attachment);
    if (found == attachments_.end()) return;
    Member& member = members_.at(found->second);
    attachments_.erase(found);
    member.attachment = 0;
    const NodeState state =
        member.node.status.stopping ? NodeState::kOffline : NodeState::kSuspect;
    // A node that is OFFLINE already does not come nearer by going.
    if (member.node.state == NodeState::kOffline ||
        member.node.state == state) {
      return;
    }
    member.node.state = state;
    Publish({&member}, /*space_only=*/false);
  }
  Notify(true);
}

std::vector<uint64_t> Membership::Tick() {
  std::vector<uint64_t> silent;
  bool changed = false;
  {
    MutexLock lock(&mu_);
    const absl::Duration now = clock_->Monotonic();
    std::vector<const Member*> moved;
    for (auto& [uuid, member] : members_) {
      if (member.node.state == NodeState::kOffline) continue;
      const absl::Duration silence = now - member.heard;
      NodeState state = member.node.state;
      if (silence >= options_.offline_after) {
        state = NodeState::kOffline;
        if (member.attachment != 0) silent.push_back(member.attachment);
      } else if (silence >= options_.suspect_after) {
        state = NodeState::kSuspect;
      }
      if (state == member.node.state) continue;
      member.node.state = state;
      moved.push_back(&member);
    }
    if (!moved.empty()) {
      Publish(moved, /*space_only=*/false);
      changed = true;
    }
    if (!space_waits_.empty() &&
        now - space_published_ >= options_.space_interval) {
      std::vector<const Member*> waiting;
      for (const std::string& uuid : space_waits_) {
        waiting.push_back(&members_.at(uuid));
      }
      Publish(waiting, /*space_only=*/true);
      space_published_ = now;
      changed = true;
    }
  }
  Notify(changed);
  return silent;
}

ClusterSnapshot Membership::Snapshot() {
  MutexLock lock(&mu_);
  ClusterSnapshot snapshot;
  snapshot.revision = revision_;
  snapshot.nodes.reserve(members_.size());
  for (const auto& [uuid, member] : members_) {
    snapshot.nodes.push_back(member.node);
  }
  return snapshot;
}

absl::optional<NodeRecord> Membership::FindNode(absl::string_view node_uuid) {
  MutexLock lock(&mu_);
  const auto found = members_.find(std::string(node_uuid));
  if (found == members_.end()) return absl::nullopt;
  return found->second.node;
}

absl::optional<std::vector<std::shared_ptr<const ClusterChange>>>
Membership::ChangesSince(uint64_t revision, size_t limit) {
  MutexLock lock(&mu_);
  // The log is dense and ends at revision_.
  if (revision > revision_ || revision_ - revision > log_.size()) {
    return absl::nullopt;
  }
  std::vector<std::shared_ptr<const ClusterChange>> changes;
  const size_t behind = revision_ - revision;
  for (size_t i = log_.size() - behind;
       i < log_.size() && changes.size() < limit; ++i) {
    changes.push_back(log_[i]);
  }
  return changes;
}

std::shared_ptr<const ClusterModel> Membership::Model() {
  MutexLock lock(&mu_);
  if (model_ == nullptr) {
    std::vector<NodeModel> nodes;
    nodes.reserve(members_.size());
    for (const auto& [uuid, member] : members_) {
      nodes.push_back(ToModel(member.node));
    }
    model_ = std::make_shared<const ClusterModel>(std::move(nodes), policy_);
  }
  return model_;
}

std::vector<NodeRecord> Membership::PeersOf(const NodeIdentity& identity) {
  MutexLock lock(&mu_);
  std::vector<NodeRecord> peers;
  for (const auto& [uuid, member] : members_) {
    if (uuid != identity.node_uuid &&
        member.node.identity.group == identity.group) {
      peers.push_back(member.node);
    }
  }
  return peers;
}

std::vector<NodeRecord> Membership::TakeUnsaved() {
  MutexLock lock(&mu_);
  std::vector<NodeRecord> nodes;
  nodes.reserve(unsaved_.size());
  for (const std::string& uuid : unsaved_) {
    nodes.push_back(members_.at(uuid).node);
  }
  unsaved_.clear();
  return nodes;
}

void Membership::KeepUnsaved(const std::vector<NodeRecord>& nodes) {
  MutexLock lock(&mu_);
  for (const NodeRecord& node : nodes) unsaved_.insert(node.identity.node_uuid);
}

MembershipCounts Membership::Counts() {
  MutexLock lock(&mu_);
  MembershipCounts counts;
  for (const auto& [uuid, member] : members_) {
    switch (member.node.state) {
      case NodeState::kActive:
        ++counts.active;
        break;
      case NodeState::kSuspect:
        ++counts.suspect;
        break;
      case NodeState::kOffline:
        ++counts.offline;
        break;
    }
  }
  counts.attached = attachments_.size();
  return counts;
}

uint64_t Membership::revision() const {
  MutexLock lock(&mu_);
  return revision_;
}

}  // namespace tracker
}  // namespace cairn
