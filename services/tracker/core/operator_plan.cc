#include "services/tracker/core/operator_plan.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/placement/placer.h"
#include "services/tracker/core/node_record.h"

namespace cairn {
namespace tracker {
namespace {

// Stands for the tracker in times that are never kept.
constexpr char kNobody[] = "00000000-0000-4000-8000-000000000000";

absl::Status Invalid(absl::string_view field, absl::string_view why) {
  return ErrorWithReason(
      absl::StatusCode::kInvalidArgument, ErrorReason::kInvalidField,
      absl::StrCat(field, ": ", why), {{"field", std::string(field)}});
}

absl::Status UnknownNode(const std::string& node_uuid) {
  return ErrorWithReason(
      absl::StatusCode::kNotFound, ErrorReason::kUnknownNode,
      absl::StrCat("no node of UUID `", node_uuid, "` is known"));
}

absl::string_view NameOf(NodeRole role) {
  switch (role) {
    case NodeRole::kReadWrite:
      return "read_write";
    case NodeRole::kReadOnly:
      return "read_only";
    case NodeRole::kDraining:
      return "draining";
    case NodeRole::kStandby:
      return "standby";
  }
  return "read_only";
}

absl::string_view MeaningOf(NodeRole role) {
  switch (role) {
    case NodeRole::kReadWrite:
      return "It takes uploads and serves reads.";
    case NodeRole::kReadOnly:
      return "It takes no uploads and serves reads.";
    case NodeRole::kDraining:
      return "It takes no uploads and serves reads, until it is removed or "
             "used again.";
    case NodeRole::kStandby:
      return "It receives what others take and serves nobody.";
  }
  return "";
}

absl::string_view NameOf(GroupPolicy policy) {
  switch (policy) {
    case GroupPolicy::kRoundRobin:
      return "in turn";
    case GroupPolicy::kFixed:
      return "always to one group";
    case GroupPolicy::kMostFree:
      return "to the one with the most free bytes";
    case GroupPolicy::kWeighted:
      return "by weight";
  }
  return "in turn";
}

// `3 members`, `1 member`.
std::string Count(int64_t count, absl::string_view what) {
  return absl::StrCat(count, " ", what, count == 1 ? "" : "s");
}

std::string NameOf(const NodeRecord& node) {
  return absl::StrCat("Node ", node.identity.name, " (", node.identity.address,
                      ") of group ", node.identity.group);
}

int64_t FilesOf(const NodeRecord& node) {
  int64_t files = 0;
  for (const StorePathStatus& path : node.status.store_paths) {
    files += path.space.files;
  }
  return files;
}

uint64_t ChangesOnlyHere(const NodeRecord& node) {
  uint64_t changes = 0;
  for (const StorePathStatus& path : node.status.store_paths) {
    changes += path.changes_only_here;
  }
  return changes;
}

// Whether it has what its group has, as far as it says.
bool IsSettled(const NodeRecord& node) {
  return std::none_of(
      node.status.store_paths.begin(), node.status.store_paths.end(),
      [](const StorePathStatus& path) { return path.space.syncing; });
}

// What speaks against taking the node out of its group, in sentences.
// `others_complete`: what it had when it said so last is elsewhere.
std::vector<std::string> WhatMayBeLost(const NodeRecord& node,
                                       bool others_complete) {
  std::vector<std::string> lost;
  const uint64_t only_here = ChangesOnlyHere(node);
  if (only_here > 0) {
    lost.push_back(
        absl::StrCat("As far as is known, ",
                     Count(static_cast<int64_t>(only_here), "change"),
                     " that it has ", only_here == 1 ? "is" : "are",
                     " on no other member for certain, and may be lost."));
  }
  if (!others_complete) {
    lost.push_back(absl::StrCat("None of the other members of group ",
                                node.identity.group,
                                " is active and has caught up: files may be "
                                "lost."));
  }
  // It may be out of the trackers' sight alone, and go on taking changes.
  if (node.state != NodeState::kActive) {
    lost.push_back(
        "It is not heard of now: what it has taken since it last was is on no "
        "other member for certain, and may be lost.");
  }
  return lost;
}

const NodeRecord* FindNode(const OperatorView& view,
                           absl::string_view node_uuid) {
  for (const NodeRecord& node : view.nodes) {
    if (node.identity.node_uuid == node_uuid) return &node;
  }
  return nullptr;
}

// One group at one moment.
struct GroupCounts {
  uint32_t members = 0;
  uint32_t writable = 0;
  uint32_t readable = 0;
  bool any_group_writable = false;
};

GroupCounts CountGroup(const std::vector<NodeRecord>& nodes,
                       absl::string_view group) {
  GroupCounts counts;
  for (const NodeRecord& node : nodes) {
    if (node.removed) continue;
    const bool writable = NodeTakesUploads(ToModel(node));
    counts.any_group_writable |= writable;
    if (node.identity.group != group) continue;
    ++counts.members;
    counts.writable += writable ? 1 : 0;
    counts.readable += node.state != NodeState::kOffline &&
                               node.effective.role != NodeRole::kStandby
                           ? 1
                           : 0;
  }
  return counts;
}

// Collects what is decided and tells what follows for the group.
class Planner {
 public:
  Planner(const OperatorView& view, std::string group, std::string reason)
      : view_(view), reason_(std::move(reason)) {
    plan_.group = std::move(group);
  }

  // Decides, unless that is in force. Returns whether it was not.
  absl::StatusOr<bool> Decide(DecisionField field, absl::string_view subject,
                              absl::optional<uint64_t> value,
                              const std::string& text = "") {
    Decision decision;
    decision.key = {field, std::string(subject)};
    decision.value = value;
    decision.text = text;
    decision.reason = reason_;
    Decision timed = decision;
    timed.time = view_.decisions.NextTime(absl::UnixEpoch(), kNobody);
    CAIRN_RETURN_IF_ERROR(ValidateDecision(timed));
    const Decision* const now = view_.decisions.Find(field, subject);
    if (now == nullptr ? !value.has_value()
                       : now->value == value && now->text == text) {
      return false;
    }
    plan_.decisions.push_back(std::move(decision));
    return true;
  }

  void Say(std::string sentence) {
    plan_.sentences.push_back(std::move(sentence));
  }

  void SetFilesLosingRedundancy(int64_t files) {
    plan_.files_losing_redundancy = files;
  }

  OperatorPlan Finish() {
    if (plan_.decisions.empty()) {
      Say("That is in force already: nothing changes.");
    }
    const GroupCounts before = CountGroup(view_.nodes, plan_.group);
    const GroupCounts after = CountGroup(NodesAfter(), plan_.group);
    plan_.members = after.members;
    plan_.writable_members = after.writable;
    plan_.readable_members = after.readable;
    if (after.writable < before.writable) {
      Say(after.writable > 0
              ? absl::StrCat("Group ", plan_.group, " keeps ",
                             Count(after.writable, "member"),
                             " that can take uploads now.")
              : absl::StrCat("Group ", plan_.group,
                             " takes no uploads any more: it has no other "
                             "member that can."));
    } else if (after.writable > before.writable) {
      Say(absl::StrCat("Group ", plan_.group, " has ",
                       Count(after.writable, "member"),
                       " that can take uploads now."));
    }
    if (before.any_group_writable && !after.any_group_writable) {
      Say("No group of the cluster takes uploads any more.");
    }
    if (before.readable > 0 && after.readable == 0) {
      Say(absl::StrCat("Group ", plan_.group,
                       " serves no reads any more: it has no other member "
                       "that can."));
    }
    return std::move(plan_);
  }

 private:
  std::vector<NodeRecord> NodesAfter() const {
    Decisions decisions = view_.decisions;
    for (Decision decision : plan_.decisions) {
      decision.time = decisions.NextTime(absl::UnixEpoch(), kNobody);
      decisions.Merge(decision);
    }
    std::vector<NodeRecord> nodes = view_.nodes;
    for (NodeRecord& node : nodes) {
      const std::string& uuid = node.identity.node_uuid;
      node.effective = EffectiveUse(decisions, node.identity, node.status);
      node.removed =
          decisions.Value(DecisionField::kNodeRemoved, uuid).has_value();
    }
    return nodes;
  }

  const OperatorView& view_;
  const std::string reason_;
  OperatorPlan plan_;
};

std::string ZoneOrNone(const std::string& zone) {
  return zone.empty() ? "none" : zone;
}

std::string ZoneSentence(const NodeRecord& node, const SetNodeWish& wish) {
  const std::string own = ZoneOrNone(node.identity.zone);
  return absl::StrCat(
      NameOf(node), " is in zone ", wish.zone.value_or(own),
      wish.clear_zone
          ? ", as its own configuration says."
          : absl::StrCat(", by decision; its own configuration says ", own,
                         "."));
}

// Disks that have less free than they would have to leave.
void SayWhichFillUp(const NodeRecord& node, const SetNodeWish& wish,
                    Planner* planner) {
  for (const StorePathStatus& path : node.status.store_paths) {
    const int64_t reserve =
        path.space.total_bytes / 100 * *wish.reserve_percent;
    if (path.space.free_bytes > reserve) continue;
    planner->Say(absl::StrCat("Its store path ", path.space.index,
                              " has less than that free: it takes no uploads "
                              "then."));
  }
}

absl::Status NotBoth(absl::string_view field, bool set, bool clear) {
  if (!set || !clear) return absl::OkStatus();
  return Invalid(field, absl::StrCat("is set and cleared; do one of the two"));
}

// Who changes the appenders of `node`, which is removed, from now on: a member
// of its group that takes uploads and has what its group has, if there is one.
// Null if the group has no other member.
const NodeRecord* ChooseHeir(const OperatorView& view, const NodeRecord& node) {
  const auto rank = [](const NodeRecord& member) {
    return std::make_tuple(member.state == NodeState::kActive,
                           IsSettled(member),
                           member.effective.role == NodeRole::kReadWrite,
                           ~member.identity.node_number);
  };
  const NodeRecord* heir = nullptr;
  for (const NodeRecord& member : view.nodes) {
    if (&member == &node || member.removed ||
        member.identity.group != node.identity.group) {
      continue;
    }
    if (heir == nullptr || rank(*heir) < rank(member)) heir = &member;
  }
  return heir;
}

// The appenders of `node`, and those that it has taken over, go to another
// member.
absl::Status DecideHeir(const OperatorView& view, const NodeRecord& node,
                        Planner* planner) {
  const NodeRecord* const heir = ChooseHeir(view, node);
  const uint32_t from = node.identity.node_number;
  const uint32_t to = heir == nullptr ? 0 : heir->identity.node_number;
  if (from == 0 || to == 0) return absl::OkStatus();  // Not heard of yet.
  CAIRN_RETURN_IF_ERROR(
      planner->Decide(DecisionField::kNodeHeir, SubjectOf(from), to).status());
  for (const auto& [key, decision] : view.decisions.all()) {
    if (key.field != DecisionField::kNodeHeir ||
        decision.value != uint64_t{from}) {
      continue;
    }
    // The heir's own, if it was removed once and is back.
    const absl::optional<uint64_t> next = key.subject == SubjectOf(to)
                                              ? absl::nullopt
                                              : absl::optional<uint64_t>(to);
    CAIRN_RETURN_IF_ERROR(
        planner->Decide(DecisionField::kNodeHeir, key.subject, next).status());
  }
  planner->Say(absl::StrCat(
      "Appenders that it changes are changed at ", NameOf(*heir),
      " from now on, as soon as that has all that the other members have."));
  return absl::OkStatus();
}

absl::optional<uint64_t> ToValue(const absl::optional<uint32_t>& number) {
  if (!number.has_value()) return absl::nullopt;
  return uint64_t{*number};
}

// Files and bytes of the member of the group that has the most.
struct Held {
  int64_t files = 0;
  int64_t bytes = 0;
};

Held HeldBy(const OperatorView& view, absl::string_view group) {
  Held held;
  for (const NodeRecord& node : view.nodes) {
    if (node.removed || node.identity.group != group) continue;
    int64_t bytes = 0;
    for (const StorePathStatus& path : node.status.store_paths) {
      bytes += path.file_bytes;
    }
    held.files = std::max(held.files, FilesOf(node));
    held.bytes = std::max(held.bytes, bytes);
  }
  return held;
}

// Decides one of the two halves of a quota, and says that `who` may hold so
// much. 0 takes it back.
absl::Status DecideQuota(DecisionField field, const std::string& subject,
                         const absl::optional<uint64_t>& wanted,
                         absl::string_view unit, absl::string_view who,
                         Planner* planner) {
  if (!wanted.has_value()) return absl::OkStatus();
  const absl::optional<uint64_t> value = *wanted == 0 ? absl::nullopt : wanted;
  CAIRN_ASSIGN_OR_RETURN(const bool news,
                         planner->Decide(field, subject, value));
  if (!news) return absl::OkStatus();
  planner->Say(value.has_value()
                   ? absl::StrCat(who, " ", *value, " ", unit,
                                  *value == 1 ? "" : "s", ".")
                   : absl::StrCat(who, " as many ", unit, "s as fit."));
  return absl::OkStatus();
}

void SayWhatIsHeld(const OperatorView& view, const SetGroupWish& wish,
                   Planner* planner) {
  const Held held = HeldBy(view, wish.group);
  planner->Say(absl::StrCat("It holds ", Count(held.files, "file"), " of ",
                            Count(held.bytes, "byte"), " now."));
  const auto reached = [](const absl::optional<uint64_t>& quota, int64_t now) {
    return quota.value_or(0) != 0 && static_cast<uint64_t>(now) >= *quota;
  };
  if (reached(wish.quota_files, held.files) ||
      reached(wish.quota_bytes, held.bytes)) {
    planner->Say(
        "That is as much as it may, or more: uploads there are refused until "
        "some are deleted. What is there stays.");
  }
}

// `group` may be empty: any.
void SayWhoIsAway(const OperatorView& view, absl::string_view group,
                  Planner* planner) {
  int64_t away = 0;
  for (const NodeRecord& node : view.nodes) {
    if (node.removed || node.state == NodeState::kActive) continue;
    away += group.empty() || node.identity.group == group ? 1 : 0;
  }
  if (away == 0) return;
  planner->Say(absl::StrCat(
      Count(away, "node"), away == 1 ? " is" : " are",
      " not there, and hear of it when they attach to a tracker."));
}

absl::Status CheckClients(const Decisions& decisions,
                          absl::string_view identity) {
  std::set<absl::string_view> clients;
  for (const auto& [key, decision] : decisions.all()) {
    if (key.field == DecisionField::kClientQuotaFiles ||
        key.field == DecisionField::kClientQuotaBytes) {
      clients.insert(key.subject);
    }
  }
  if (clients.size() < kClientsMax || clients.count(identity) > 0) {
    return absl::OkStatus();
  }
  return ErrorWithReason(absl::StatusCode::kResourceExhausted,
                         ErrorReason::kOverloaded,
                         absl::StrCat("there are decisions about ", kClientsMax,
                                      " clients, and there can be no more"));
}

}  // namespace

absl::StatusOr<OperatorPlan> PlanSetNode(const OperatorView& view,
                                         const SetNodeWish& wish) {
  CAIRN_RETURN_IF_ERROR(
      NotBoth("role", wish.role.has_value(), wish.clear_role));
  CAIRN_RETURN_IF_ERROR(
      NotBoth("weight", wish.weight.has_value(), wish.clear_weight));
  CAIRN_RETURN_IF_ERROR(
      NotBoth("priority", wish.priority.has_value(), wish.clear_priority));
  CAIRN_RETURN_IF_ERROR(
      NotBoth("zone", wish.zone.has_value(), wish.clear_zone));
  CAIRN_RETURN_IF_ERROR(NotBoth(
      "reserve_percent", wish.reserve_percent.has_value(), wish.clear_reserve));
  const bool any = wish.zone.has_value() || wish.clear_zone ||
                   wish.reserve_percent.has_value() || wish.clear_reserve ||
                   wish.role.has_value() || wish.clear_role ||
                   wish.weight.has_value() || wish.clear_weight ||
                   wish.priority.has_value() || wish.clear_priority;
  if (!any) return Invalid("role", "neither it nor anything else is named");
  const NodeRecord* const node = FindNode(view, wish.node_uuid);
  if (node == nullptr) return UnknownNode(wish.node_uuid);

  Planner planner(view, node->identity.group, wish.reason);
  const std::string name = NameOf(*node);
  if (wish.role.has_value() || wish.clear_role) {
    absl::optional<uint64_t> value;
    if (wish.role.has_value()) value = RoleNumber(*wish.role);
    CAIRN_ASSIGN_OR_RETURN(
        const bool news,
        planner.Decide(DecisionField::kNodeRole, wish.node_uuid, value));
    const NodeRole role = wish.role.value_or(node->status.role);
    if (news) {
      planner.Say(absl::StrCat(
          name, " is ", NameOf(role),
          wish.role.has_value()
              ? absl::StrCat(", by decision; its own configuration says ",
                             NameOf(node->status.role), ".")
              : ", as its own configuration says."));
      planner.Say(std::string(MeaningOf(role)));
    }
  }
  const auto decide_number = [&](DecisionField field, absl::string_view what,
                                 const absl::optional<uint32_t>& wanted,
                                 bool clear, uint32_t own) -> absl::Status {
    if (!wanted.has_value() && !clear) return absl::OkStatus();
    CAIRN_ASSIGN_OR_RETURN(
        const bool news,
        planner.Decide(field, wish.node_uuid, ToValue(wanted)));
    if (!news) return absl::OkStatus();
    planner.Say(absl::StrCat(
        name, " has ", what, " ", wanted.value_or(own),
        clear ? ", as its own configuration says."
              : absl::StrCat(", by decision; its own configuration says ", own,
                             ".")));
    return absl::OkStatus();
  };
  CAIRN_RETURN_IF_ERROR(decide_number(DecisionField::kNodeWeight, "weight",
                                      wish.weight, wish.clear_weight,
                                      node->status.weight));
  CAIRN_RETURN_IF_ERROR(decide_number(DecisionField::kNodePriority, "priority",
                                      wish.priority, wish.clear_priority,
                                      node->status.priority));
  if (wish.zone.has_value() || wish.clear_zone) {
    absl::optional<uint64_t> value;
    if (wish.zone.has_value()) value = 1;
    CAIRN_ASSIGN_OR_RETURN(
        const bool news,
        planner.Decide(DecisionField::kNodeZone, wish.node_uuid, value,
                       wish.zone.value_or("")));
    if (news) planner.Say(ZoneSentence(*node, wish));
  }
  if (wish.reserve_percent.has_value() || wish.clear_reserve) {
    CAIRN_ASSIGN_OR_RETURN(
        const bool news,
        planner.Decide(DecisionField::kNodeReserve, wish.node_uuid,
                       ToValue(wish.reserve_percent)));
    if (news) {
      planner.Say(absl::StrCat(
          "Uploads leave ",
          wish.reserve_percent.has_value()
              ? absl::StrCat(*wish.reserve_percent, " % of each disk of ", name,
                             " free, by decision.")
              : absl::StrCat("free what the configuration of ", name,
                             " says.")));
      if (wish.reserve_percent.has_value())
        SayWhichFillUp(*node, wish, &planner);
      if (node->state != NodeState::kActive) {
        planner.Say("The node is not there, and hears of it when it is back.");
      }
    }
  }
  if (node->removed) {
    planner.Say(
        "The node is removed: what is decided here holds when it is back.");
  }
  return planner.Finish();
}

absl::StatusOr<OperatorPlan> PlanRemoveNode(const OperatorView& view,
                                            const std::string& node_uuid,
                                            bool force,
                                            const std::string& reason) {
  const NodeRecord* const node = FindNode(view, node_uuid);
  if (node == nullptr) return UnknownNode(node_uuid);
  const std::string& group = node->identity.group;
  Planner planner(view, group, reason);
  CAIRN_ASSIGN_OR_RETURN(
      const bool news,
      planner.Decide(DecisionField::kNodeRemoved, node_uuid, 1));
  if (!news) return planner.Finish();

  const int64_t files = FilesOf(*node);
  uint32_t others = 0;
  uint32_t others_active = 0;
  uint32_t others_settled = 0;
  int64_t others_files = 0;
  for (const NodeRecord& other : view.nodes) {
    if (&other == node || other.removed || other.identity.group != group) {
      continue;
    }
    ++others;
    others_active += other.state == NodeState::kActive ? 1 : 0;
    others_settled +=
        other.state == NodeState::kActive && IsSettled(other) ? 1 : 0;
    others_files = std::max(others_files, FilesOf(other));
  }
  if (others == 0 && files > 0) {
    return ErrorWithReason(
        absl::StatusCode::kFailedPrecondition, ErrorReason::kLastMember,
        absl::StrCat(NameOf(*node),
                     " is the last member of its group and "
                     "holds ",
                     Count(files, "file"),
                     ", which would be out of reach; add a member to the "
                     "group and let it catch up, or delete the files"),
        {{"group", group}, {"files", absl::StrCat(files)}});
  }
  if (node->state == NodeState::kActive &&
      node->effective.role != NodeRole::kDraining && !force) {
    return ErrorWithReason(
        absl::StatusCode::kFailedPrecondition, ErrorReason::kNodeActive,
        absl::StrCat(NameOf(*node),
                     " serves and does not drain; drain it "
                     "first (`cairn node drain ",
                     node->identity.name, "`), or say that you mean it"),
        {{"node_uuid", node_uuid}});
  }
  const std::vector<std::string> lost =
      WhatMayBeLost(*node, /*others_complete=*/files == 0 || others == 0 ||
                               others_settled > 0);
  if (!lost.empty() && !force) {
    return ErrorWithReason(
        absl::StatusCode::kFailedPrecondition, ErrorReason::kNotReplicated,
        absl::StrCat(NameOf(*node), " may hold what nobody else has. ",
                     absl::StrJoin(lost, " "),
                     node->state == NodeState::kActive
                         ? " Wait (`cairn node drain "
                         : " Start it and wait (`cairn node drain ",
                     node->identity.name, "` does), or say that you mean it"),
        {{"node_uuid", node_uuid}});
  }

  // Somebody there may be removing the other one.
  std::string apart;
  if (others == 1 && files > 0 && !view.trackers_apart.empty()) {
    const std::string trackers = absl::StrJoin(view.trackers_apart, ", ");
    apart = absl::StrCat("Not all trackers can be reached (", trackers,
                         "): if the other member of group ", group,
                         " is removed there at the same time, the group is "
                         "left with none.");
    if (!force) {
      return ErrorWithReason(
          absl::StatusCode::kFailedPrecondition, ErrorReason::kTrackersApart,
          absl::StrCat(NameOf(*node),
                       " is one of the last two members of its group. ", apart,
                       " Bring them back, or say that you mean it"),
          {{"trackers", trackers}});
    }
  }

  planner.Say(
      absl::StrCat(NameOf(*node),
                   " is removed: no view shows it, its streams end, and it "
                   "is refused when it attaches. Its disks stay as they "
                   "are."));
  if (files > 0) {
    planner.Say(absl::StrCat(
        "It holds ", Count(files, "file"),
        ", which have a member fewer from now on; the group keeps ",
        Count(others, "member"), "."));
    planner.SetFilesLosingRedundancy(files);
  }
  CAIRN_RETURN_IF_ERROR(DecideHeir(view, *node, &planner));
  for (const std::string& sentence : lost) planner.Say(sentence);
  if (!apart.empty()) planner.Say(apart);
  if (files > others_files) {
    planner.Say(absl::StrCat(
        "No other member holds more than ", Count(others_files, "file"),
        ": at least ", files - others_files,
        " may be on this node alone. Wait until the others have caught up."));
  }
  if (others > 0 && others_active == 0) {
    planner.Say(
        absl::StrCat("No other member of group ", group, " is active now."));
  }
  return planner.Finish();
}

absl::StatusOr<OperatorPlan> PlanRestoreNode(const OperatorView& view,
                                             const std::string& node_uuid,
                                             const std::string& reason) {
  const NodeRecord* const node = FindNode(view, node_uuid);
  const bool removed =
      view.decisions.Value(DecisionField::kNodeRemoved, node_uuid).has_value();
  if (node == nullptr && !removed) return UnknownNode(node_uuid);
  Planner planner(view, node == nullptr ? "" : node->identity.group, reason);
  CAIRN_ASSIGN_OR_RETURN(
      const bool news,
      planner.Decide(DecisionField::kNodeRemoved, node_uuid, absl::nullopt));
  if (news) {
    planner.Say(absl::StrCat(
        node == nullptr ? absl::StrCat("Node ", node_uuid) : NameOf(*node),
        " is let back: it is a member again as soon as it attaches."));
    if (node != nullptr && node->identity.node_number != 0) {
      CAIRN_ASSIGN_OR_RETURN(
          const bool given_back,
          planner.Decide(DecisionField::kNodeHeir,
                         SubjectOf(node->identity.node_number), absl::nullopt));
      if (given_back) {
        planner.Say(
            "Its appenders are changed there again, as soon as it has all "
            "that the other members have.");
      }
    }
    if (node != nullptr && node->effective.role != NodeRole::kReadWrite) {
      planner.Say(absl::StrCat("It is ", NameOf(node->effective.role),
                               " then. ", MeaningOf(node->effective.role)));
    }
  }
  return planner.Finish();
}

absl::StatusOr<OperatorPlan> PlanSetGroup(const OperatorView& view,
                                          const SetGroupWish& wish) {
  CAIRN_RETURN_IF_ERROR(
      NotBoth("weight", wish.weight.has_value(), wish.clear_weight));
  const bool sets_weight = wish.weight.has_value() || wish.clear_weight;
  if (!sets_weight && !wish.quota_files.has_value() &&
      !wish.quota_bytes.has_value()) {
    return Invalid("weight", "neither it nor anything else is named");
  }
  const auto of_group = [&](const NodeRecord& node) {
    return !node.removed && node.identity.group == wish.group;
  };
  const bool known =
      std::any_of(view.nodes.begin(), view.nodes.end(), of_group) ||
      view.policy.group_weights.count(wish.group) > 0;
  if (!known) {
    return ErrorWithReason(
        absl::StatusCode::kNotFound, ErrorReason::kUnknownGroup,
        absl::StrCat("group `", wish.group, "` is not known"));
  }
  const auto configured = view.configured_policy.group_weights.find(wish.group);
  const uint32_t own = configured == view.configured_policy.group_weights.end()
                           ? kDefaultWeight
                           : configured->second;
  Planner planner(view, wish.group, wish.reason);
  bool news = false;
  if (sets_weight) {
    CAIRN_ASSIGN_OR_RETURN(
        news, planner.Decide(DecisionField::kGroupWeight, wish.group,
                             ToValue(wish.weight)));
  }
  if (news) {
    const uint32_t weight = wish.weight.value_or(own);
    planner.Say(absl::StrCat(
        "Group ", wish.group, " has weight ", weight,
        wish.clear_weight
            ? ", as the policy says."
            : absl::StrCat(", by decision; the policy says ", own, ".")));
    if (view.policy.group_policy != GroupPolicy::kWeighted) {
      planner.Say(absl::StrCat("Uploads go to groups ",
                               NameOf(view.policy.group_policy),
                               ", so that weights have no effect now."));
    } else if (weight == 0) {
      planner.Say("Uploads that name no group do not go there.");
    }
  }
  CAIRN_RETURN_IF_ERROR(DecideQuota(
      DecisionField::kGroupQuotaFiles, wish.group, wish.quota_files, "file",
      absl::StrCat("Group ", wish.group, " may hold"), &planner));
  CAIRN_RETURN_IF_ERROR(DecideQuota(
      DecisionField::kGroupQuotaBytes, wish.group, wish.quota_bytes, "byte",
      absl::StrCat("The files of group ", wish.group, " may have"), &planner));
  if (wish.quota_files.has_value() || wish.quota_bytes.has_value()) {
    SayWhatIsHeld(view, wish, &planner);
    SayWhoIsAway(view, wish.group, &planner);
  }
  return planner.Finish();
}

absl::StatusOr<OperatorPlan> PlanSetClient(const OperatorView& view,
                                           const SetClientWish& wish) {
  if (!wish.quota_files.has_value() && !wish.quota_bytes.has_value()) {
    return Invalid("quota_files", "neither it nor anything else is named");
  }
  CAIRN_RETURN_IF_ERROR(CheckClients(view.decisions, wish.identity));
  Planner planner(view, "", wish.reason);
  CAIRN_RETURN_IF_ERROR(DecideQuota(
      DecisionField::kClientQuotaFiles, wish.identity, wish.quota_files, "file",
      absl::StrCat("Each group may hold, of client ", wish.identity, ","),
      &planner));
  CAIRN_RETURN_IF_ERROR(DecideQuota(
      DecisionField::kClientQuotaBytes, wish.identity, wish.quota_bytes, "byte",
      absl::StrCat("The files of client ", wish.identity,
                   " may have, in each group,"),
      &planner));
  planner.Say(
      "A client is known by the common name of its certificate; who shows none "
      "has no quota but the group's.");
  SayWhoIsAway(view, "", &planner);
  return planner.Finish();
}

}  // namespace tracker
}  // namespace cairn
