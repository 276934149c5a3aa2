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
                       std::vector<NodeRecord> known,
                       const std::vector<Decision>& decisions, Clock* clock)
    : options_(std::move(options)),
      configured_policy_(std::move(policy)),
      clock_(clock) {
  CAIRN_CHECK(options_.suspect_after > absl::ZeroDuration());
  CAIRN_CHECK(options_.offline_after >= options_.suspect_after);
  MutexLock lock(&mu_);
  for (const Decision& decision : decisions) decisions_.Merge(decision);
  policy_ = configured_policy_;
  ApplyDecisionsToPolicy();
  for (NodeRecord& node : known) {
    node.state = NodeState::kOffline;
    // It stops no longer, whatever it said when it was last seen.
    node.status.stopping = false;
    node.status.calls_in_progress = 0;
    Member& member = members_[node.identity.node_uuid];
    member.node = std::move(node);
    ApplyDecisions(&member);
  }
}

void Membership::SetTrackerAddress(absl::string_view address) {
  MutexLock lock(&mu_);
  tracker_address_ = std::string(address);
}

bool Membership::IsRemoved(absl::string_view node_uuid) const {
  return decisions_.Value(DecisionField::kNodeRemoved, node_uuid).has_value();
}

absl::Status Membership::NodeRemoved(const NodeIdentity& identity) const {
  const Decision* const decision =
      decisions_.Find(DecisionField::kNodeRemoved, identity.node_uuid);
  CAIRN_CHECK(decision != nullptr);
  return ErrorWithReason(
      absl::StatusCode::kFailedPrecondition, ErrorReason::kNodeRemoved,
      absl::StrCat(
          "node `", identity.name, "` was removed from the cluster at ",
          absl::FormatTime(absl::RFC3339_sec,
                           absl::FromUnixMillis(decision->time.unix_ms),
                           absl::UTCTimeZone()),
          decision->reason.empty() ? ""
                                   : absl::StrCat(" (", decision->reason, ")"),
          "; stop it, or let it back with `cairn node restore ",
          identity.node_uuid, "`"),
      {{"node_uuid", identity.node_uuid}});
}

bool Membership::ApplyDecisions(Member* member) {
  NodeRecord& node = member->node;
  const NodeUse use = EffectiveUse(decisions_, node.identity, node.status);
  const bool removed = IsRemoved(node.identity.node_uuid);
  const bool changed = use != node.effective || removed != node.removed;
  node.effective = use;
  node.removed = removed;
  if (removed) node.state = NodeState::kOffline;
  return changed;
}

bool Membership::ApplyDecisionsToPolicy() {
  PlacementPolicy policy = configured_policy_;
  for (const auto& [key, decision] : decisions_.all()) {
    if (key.field == DecisionField::kGroupWeight &&
        decision.value.has_value()) {
      policy.group_weights[key.subject] =
          static_cast<uint32_t>(*decision.value);
    }
  }
  const bool changed = policy.group_weights != policy_.group_weights;
  policy_ = std::move(policy);
  return changed;
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
  if (IsRemoved(identity.node_uuid)) return NodeRemoved(identity);
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
  member->own_heard = member->heard;
  member->own_state = NodeState::kActive;
  member->node.last_heard = clock_->Now();
  member->node.state = NodeState::kActive;
  member->node.heard_by = tracker_address_;
}

NodeState Membership::AfterSilence(NodeState state,
                                   absl::Duration silence) const {
  if (silence >= options_.offline_after) return NodeState::kOffline;
  if (silence >= options_.suspect_after && state == NodeState::kActive) {
    return NodeState::kSuspect;
  }
  return state;
}

void Membership::Publish(const std::vector<const Member*>& members,
                         bool space_only, bool with_policy) {
  auto change = std::make_shared<ClusterChange>();
  change->revision = ++revision_;
  change->space_only = space_only;
  change->changed.reserve(members.size());
  for (const Member* member : members) {
    const std::string& uuid = member->node.identity.node_uuid;
    (member->node.removed ? change->removed : change->changed)
        .push_back(member->node);
    space_waits_.erase(uuid);
    if (!space_only) unsaved_.insert(uuid);
  }
  if (with_policy) change->policy = policy_;
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
    ApplyDecisions(&member);
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
    // Its stream ends soon, and with it the attachment.
    if (member.node.removed) return NodeRemoved(member.node.identity);
    const bool was_active = member.node.state == NodeState::kActive;
    const bool same_use = DifferOnlyInSpace(member.node.status, status);
    const bool same = same_use && Same(member.node.status, status);
    member.node.status = std::move(status);
    Hear(&member);
    ApplyDecisions(&member);
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
    if (member.own_state != NodeState::kOffline) member.own_state = state;
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
      member.own_state = AfterSilence(member.own_state, now - member.own_heard);
      if (member.node.state == NodeState::kOffline) continue;
      const NodeState state =
          AfterSilence(member.node.state, now - member.heard);
      if (state == NodeState::kOffline && member.attachment != 0) {
        silent.push_back(member.attachment);
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

std::vector<NodeWord> Membership::WordsExcept(
    const std::set<std::string>& heard_there) {
  MutexLock lock(&mu_);
  const absl::Duration now = clock_->Monotonic();
  const absl::Time wall = clock_->Now();
  std::vector<NodeWord> words;
  for (const auto& [uuid, member] : members_) {
    if (heard_there.count(uuid) > 0) continue;
    NodeWord word;
    word.identity = member.node.identity;
    word.status = member.node.status;
    word.first_hand = member.own_heard > -absl::InfiniteDuration();
    if (word.first_hand) {
      word.state = member.own_state;
      word.age = now - member.own_heard;
    } else if (member.node.last_heard != absl::InfinitePast()) {
      word.age = std::max(absl::ZeroDuration(), wall - member.node.last_heard);
    }
    words.push_back(std::move(word));
  }
  return words;
}

std::set<std::string> Membership::HeardHere() {
  MutexLock lock(&mu_);
  std::set<std::string> heard;
  for (const auto& [uuid, member] : members_) {
    if (member.attachment != 0 && member.node.state == NodeState::kActive) {
      heard.insert(uuid);
    }
  }
  return heard;
}

size_t Membership::MergeWords(absl::string_view address,
                              std::vector<NodeWord> words) {
  size_t refused = 0;
  bool changed = false;
  {
    MutexLock lock(&mu_);
    const absl::Duration now = clock_->Monotonic();
    std::vector<const Member*> moved;
    for (NodeWord& word : words) {
      const std::string uuid = word.identity.node_uuid;
      if (word.identity.cluster_id != options_.cluster_id ||
          !ValidateIdentity(word.identity).ok() ||
          !ValidateStatus(word.status).ok()) {
        ++refused;
        continue;
      }
      const auto found = members_.find(uuid);
      const bool is_new = found == members_.end();
      if (is_new && members_.size() >= options_.nodes_max) {
        ++refused;
        continue;
      }
      // What is seen here comes first, and the freshest word before others. The
      // tracker whose word counts so far may take it back: that a stream broke
      // makes nothing fresher.
      const absl::Duration heard = now - word.age;
      if (!is_new && (found->second.attachment != 0 || !word.first_hand ||
                      (heard <= found->second.heard &&
                       found->second.node.heard_by != address))) {
        continue;
      }
      Member& member = is_new ? members_[uuid] : found->second;
      const NodeRecord before = member.node;
      member.node.identity = std::move(word.identity);
      member.node.status = std::move(word.status);
      member.node.last_heard = clock_->Now() - word.age;
      if (word.first_hand) {
        member.heard = heard;
        member.node.state = AfterSilence(word.state, word.age);
        member.node.heard_by = std::string(address);
      }
      ApplyDecisions(&member);
      const NodeRecord& after = member.node;
      if (is_new || before.state != after.state ||
          before.identity != after.identity ||
          before.heard_by != after.heard_by ||
          !DifferOnlyInSpace(before.status, after.status)) {
        moved.push_back(&member);
      } else if (!after.removed && !Same(before.status, after.status)) {
        space_waits_.insert(uuid);
      }
    }
    if (!moved.empty()) {
      Publish(moved, /*space_only=*/false);
      changed = true;
    }
  }
  Notify(changed);
  return refused;
}

absl::Status Membership::CheckMember(absl::string_view node_uuid) {
  MutexLock lock(&mu_);
  if (!IsRemoved(node_uuid)) return absl::OkStatus();
  const auto found = members_.find(std::string(node_uuid));
  CAIRN_CHECK(found != members_.end());
  return NodeRemoved(found->second.node.identity);
}

std::vector<Decision> Membership::Stamp(std::vector<Decision> decisions) {
  MutexLock lock(&mu_);
  const DecisionTime time =
      decisions_.NextTime(clock_->Now(), options_.tracker_instance);
  for (Decision& decision : decisions) decision.time = time;
  return decisions;
}

size_t Membership::MergeDecisions(absl::Span<const Decision> decisions,
                                  bool saved) {
  size_t refused = 0;
  bool changed = false;
  {
    MutexLock lock(&mu_);
    std::set<std::string> nodes;
    std::set<std::string> numbers;  // Of nodes whose group is to hear of it.
    bool groups = false;
    // Whose members are to hear of a quota.
    std::set<std::string> quota_groups;
    bool client_quotas = false;
    for (const Decision& decision : decisions) {
      const bool is_new =
          decisions_.Find(decision.key.field, decision.key.subject) == nullptr;
      if (!ValidateDecision(decision).ok() ||
          (is_new && decisions_.all().size() >= options_.decisions_max)) {
        ++refused;
        continue;
      }
      if (!decisions_.Merge(decision)) continue;
      if (!saved) unsaved_decisions_.insert(decision.key);
      switch (decision.key.field) {
        case DecisionField::kGroupWeight:
          groups = true;
          break;
        case DecisionField::kGroupQuotaFiles:
        case DecisionField::kGroupQuotaBytes:
          quota_groups.insert(decision.key.subject);
          break;
        case DecisionField::kClientQuotaFiles:
        case DecisionField::kClientQuotaBytes:
          client_quotas = true;
          break;
        case DecisionField::kNodeHeir:
          // The removed node may not be known here, and its heir not any more.
          numbers.insert(decision.key.subject);
          if (decision.value.has_value()) {
            numbers.insert(absl::StrCat(*decision.value));
          }
          break;
        default:
          nodes.insert(decision.key.subject);
      }
    }
    std::vector<const Member*> moved;
    for (auto& [uuid, member] : members_) {
      const NodeIdentity& identity = member.node.identity;
      const bool hears =
          numbers.count(SubjectOf(identity.node_number)) > 0 ||
          (!member.node.removed &&
           (client_quotas || quota_groups.count(identity.group) > 0));
      if ((nodes.count(uuid) > 0 && ApplyDecisions(&member)) || hears) {
        moved.push_back(&member);
      }
    }
    const bool with_policy = groups && ApplyDecisionsToPolicy();
    if (!moved.empty() || with_policy) {
      Publish(moved, /*space_only=*/false, with_policy);
      changed = true;
    }
  }
  Notify(changed);
  return refused;
}

std::vector<Decision> Membership::AllDecisions() {
  MutexLock lock(&mu_);
  std::vector<Decision> decisions;
  decisions.reserve(decisions_.all().size());
  for (const auto& [key, decision] : decisions_.all()) {
    decisions.push_back(decision);
  }
  return decisions;
}

uint64_t Membership::decisions_digest() {
  MutexLock lock(&mu_);
  return decisions_.digest();
}

OperatorView Membership::ViewForOperators() {
  MutexLock lock(&mu_);
  OperatorView view;
  for (const auto& [uuid, member] : members_) {
    view.nodes.push_back(member.node);
  }
  view.decisions = decisions_;
  view.policy = policy_;
  view.configured_policy = configured_policy_;
  return view;
}

ClusterSnapshot Membership::Snapshot() {
  MutexLock lock(&mu_);
  ClusterSnapshot snapshot;
  snapshot.revision = revision_;
  snapshot.policy = policy_;
  snapshot.nodes.reserve(members_.size());
  for (const auto& [uuid, member] : members_) {
    if (!member.node.removed) snapshot.nodes.push_back(member.node);
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
      if (!member.node.removed) nodes.push_back(ToModel(member.node));
    }
    model_ = std::make_shared<const ClusterModel>(std::move(nodes), policy_);
  }
  return model_;
}

std::vector<NodeRecord> Membership::PeersOf(const NodeIdentity& identity) {
  MutexLock lock(&mu_);
  std::vector<NodeRecord> peers;
  for (const auto& [uuid, member] : members_) {
    if (uuid != identity.node_uuid && !member.node.removed &&
        member.node.identity.group == identity.group) {
      peers.push_back(member.node);
    }
  }
  return peers;
}

std::vector<Decision> Membership::RemovalsIn(absl::string_view group) {
  MutexLock lock(&mu_);
  std::vector<Decision> removals;
  for (auto it =
           decisions_.all().lower_bound({DecisionField::kNodeRemoved, ""});
       it != decisions_.all().end() &&
       it->first.field == DecisionField::kNodeRemoved;
       ++it) {
    const auto known = members_.find(it->first.subject);
    if (known == members_.end() || known->second.node.identity.group == group) {
      removals.push_back(it->second);
    }
  }
  for (auto it = decisions_.all().lower_bound({DecisionField::kNodeHeir, ""});
       it != decisions_.all().end() &&
       it->first.field == DecisionField::kNodeHeir;
       ++it) {
    removals.push_back(it->second);
  }
  return removals;
}

absl::optional<uint64_t> Membership::DecidedValue(DecisionField field,
                                                  absl::string_view subject) {
  MutexLock lock(&mu_);
  return decisions_.Value(field, subject);
}

std::vector<Decision> Membership::QuotasIn(absl::string_view group) {
  MutexLock lock(&mu_);
  std::vector<Decision> quotas;
  for (const DecisionField field :
       {DecisionField::kGroupQuotaFiles, DecisionField::kGroupQuotaBytes}) {
    const Decision* const decision = decisions_.Find(field, group);
    if (decision != nullptr) quotas.push_back(*decision);
  }
  for (auto it =
           decisions_.all().lower_bound({DecisionField::kClientQuotaFiles, ""});
       it != decisions_.all().end() &&
       it->first.field <= DecisionField::kClientQuotaBytes;
       ++it) {
    quotas.push_back(it->second);
  }
  return quotas;
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

std::vector<Decision> Membership::TakeUnsavedDecisions() {
  MutexLock lock(&mu_);
  std::vector<Decision> decisions;
  decisions.reserve(unsaved_decisions_.size());
  for (const DecisionKey& key : unsaved_decisions_) {
    decisions.push_back(decisions_.all().at(key));
  }
  unsaved_decisions_.clear();
  return decisions;
}

void Membership::KeepUnsavedDecisions(const std::vector<Decision>& decisions) {
  MutexLock lock(&mu_);
  for (const Decision& decision : decisions) {
    unsaved_decisions_.insert(decision.key);
  }
}

MembershipCounts Membership::Counts() {
  MutexLock lock(&mu_);
  MembershipCounts counts;
  for (const auto& [key, decision] : decisions_.all()) {
    if (decision.value.has_value()) ++counts.decisions;
  }
  for (const auto& [uuid, member] : members_) {
    if (member.node.removed) {
      ++counts.removed;
      continue;
    }
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
