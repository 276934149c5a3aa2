#include "clients/cli/diagnosis.h"

#include <algorithm>
#include <limits>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "clients/cli/cluster_nodes.h"
#include "clients/cli/format.h"

namespace cairn {
namespace cli {
namespace {

// Below this share of free bytes an operator should think of more disks.
constexpr double kFreeShareLow = 0.10;

std::string NameOf(const tracker::v1::Node& node) {
  return absl::StrCat("node ", node.identity().name(), " (",
                      node.identity().address(), ")");
}

std::string StatusCommand(const std::string& address) {
  return absl::StrCat("cairn status --storage ", address);
}

std::string PathStateName(storage::v1::StorePathState state) {
  return absl::AsciiStrToLower(absl::StripPrefix(
      storage::v1::StorePathState_Name(state), "STORE_PATH_STATE_"));
}

// One group, summed up while its members are looked at.
struct GroupSums {
  int64_t files = 0;
  int64_t free_bytes = std::numeric_limits<int64_t>::max();
  int64_t total_bytes = std::numeric_limits<int64_t>::max();
  bool writable = false;
  bool readable = false;
};

class Diagnostician {
 public:
  explicit Diagnostician(const Observations& observations)
      : observations_(observations) {}

  Diagnosis Run() {
    JudgeTrackers();
    for (const tracker::v1::Node& node : observations_.nodes) JudgeNode(node);
    JudgeGroups();
    for (const tracker::v1::Decision& decision :
         observations_.decisions.decisions()) {
      TellDecision(decision);
    }
    std::stable_sort(result_.findings.begin(), result_.findings.end(),
                     [](const Finding& a, const Finding& b) {
                       return a.verdict > b.verdict;
                     });
    for (const Finding& finding : result_.findings) {
      result_.verdict = std::max(result_.verdict, finding.verdict);
    }
    return result_;
  }

 private:
  void Add(Verdict verdict, std::string what, std::string next_command) {
    result_.findings.push_back(
        {verdict, std::move(what), std::move(next_command)});
  }

  void JudgeTrackers();
  void JudgeNode(const tracker::v1::Node& node);
  void JudgeStorePaths(const tracker::v1::Node& node,
                       const storage::v1::GetStateResponse& state);
  void JudgeGroups();
  void TellDecision(const tracker::v1::Decision& decision);
  std::string NameOfSubject(const std::string& uuid) const;

  const Observations& observations_;
  Diagnosis result_;
  std::map<std::string, GroupSums> groups_;
};

void Diagnostician::JudgeTrackers() {
  for (const auto& [address, status] : observations_.trackers) {
    ++result_.trackers;
    if (status.ok()) {
      ++result_.answering_trackers;
      continue;
    }
    Add(Verdict::kDegraded,
        absl::StrCat("tracker ", address,
                     " does not answer: ", status.message()),
        "systemctl status cairn-tracker  # on that machine");
  }
  if (result_.trackers > 0 && result_.answering_trackers == 0) {
    Add(Verdict::kDown,
        "no tracker answers; clients that know the cluster go on, new ones "
        "cannot start",
        "cairn status --storage HOST:PORT  # looks at a node without trackers");
  }
}

void Diagnostician::JudgeNode(const tracker::v1::Node& node) {
  ++result_.nodes;
  const std::string& address = node.identity().address();
  GroupSums& group = groups_[node.identity().group()];
  if (node.state() != tracker::v1::NODE_STATE_ACTIVE) {
    Add(Verdict::kDegraded,
        absl::StrCat(NameOf(node), " is ", StateName(node.state()),
                     node.has_last_heard_time()
                         ? absl::StrCat(", last heard of at ",
                                        FormatUtc(absl::FromUnixSeconds(
                                            node.last_heard_time().seconds())))
                         : ""),
        "systemctl status cairn-storage  # on that machine");
    return;
  }
  ++result_.active_nodes;
  NodeSums sums = SumsOf(node);
  const auto state = observations_.states.find(address);
  if (state != observations_.states.end() && state->second.ok()) {
    // The node itself was asked just now; trackers hear of it once a second.
    sums.files = 0;
    for (const storage::v1::StorePathStatus& path :
         state->second->store_paths()) {
      sums.files += path.files();
    }
  }
  const tracker::v1::NodeRole role = UseOf(node).role();
  group.files = std::max(group.files, sums.files);
  group.free_bytes = std::min(group.free_bytes, sums.free_bytes);
  group.total_bytes = std::min(group.total_bytes, sums.total_bytes);
  if (role != tracker::v1::NODE_ROLE_STANDBY) {
    group.readable |= sums.readable_paths > 0;
    group.writable |=
        sums.writable_paths > 0 && role != tracker::v1::NODE_ROLE_READ_ONLY &&
        role != tracker::v1::NODE_ROLE_DRAINING && !node.report().stopping();
  }
  if (state == observations_.states.end()) return;
  if (!state->second.ok()) {
    Add(Verdict::kDegraded,
        absl::StrCat(NameOf(node),
                     " is known to the trackers, but not "
                     "reachable from here: ",
                     state->second.status().message()),
        StatusCommand(address));
    return;
  }
  JudgeStorePaths(node, *state->second);
}

void Diagnostician::JudgeStorePaths(
    const tracker::v1::Node& node, const storage::v1::GetStateResponse& state) {
  for (const storage::v1::StorePathStatus& path : state.store_paths()) {
    const std::string name =
        absl::StrCat(NameOf(node), " store path ", path.index(), " (",
                     path.directory(), ")");
    if (path.read_only_by_configuration()) {
      // Somebody's wish: said, but nothing to mend.
      Add(Verdict::kOk,
          absl::StrCat(name, " is ", PathStateName(path.state()), ": ",
                       path.detail()),
          "");
    } else if (path.state() != storage::v1::STORE_PATH_STATE_ACTIVE) {
      Add(Verdict::kDegraded,
          absl::StrCat(
              name, " is ", PathStateName(path.state()),
              path.detail().empty() ? "" : absl::StrCat(": ", path.detail())),
          path.state() == storage::v1::STORE_PATH_STATE_FULL
              ? absl::StrCat("df -h ", path.directory(), "  # on that machine")
              : "journalctl -u cairn-storage  # on that machine");
    } else if (path.total_bytes() > 0 &&
               static_cast<double>(path.free_bytes() - path.reserve_bytes()) <
                   kFreeShareLow * static_cast<double>(path.total_bytes())) {
      Add(Verdict::kDegraded,
          absl::StrCat(name, " has ",
                       FormatBytes(std::max<int64_t>(
                           0, path.free_bytes() - path.reserve_bytes())),
                       " left of ", FormatBytes(path.total_bytes())),
          absl::StrCat("df -h ", path.directory(), "  # on that machine"));
    }
    if (path.damaged_records() > 0) {
      Add(Verdict::kDegraded,
          absl::StrCat(name, " has found ",
                       Count(path.damaged_records(), "damaged record"),
                       " since it was opened"),
          "journalctl -u cairn-storage  # names them; on that machine");
    }
  }
}

void Diagnostician::JudgeGroups() {
  bool any_writable = false;
  for (const auto& [name, group] : groups_) {
    ++result_.groups;
    any_writable |= group.writable;
    result_.files += group.files;
    const std::string nodes = absl::StrCat("cairn nodes --group ", name);
    if (!group.readable) {
      Add(Verdict::kDown,
          absl::StrCat("no member of ", name,
                       " can be read: its files are "
                       "out of reach"),
          nodes);
    } else if (!group.writable) {
      Add(Verdict::kDegraded, absl::StrCat(name, " takes no uploads"), nodes);
    }
    if (group.total_bytes == std::numeric_limits<int64_t>::max()) continue;
    result_.free_bytes += group.free_bytes;
    result_.total_bytes += group.total_bytes;
  }
  if (observations_.nodes.empty()) {
    if (result_.trackers == 0 || result_.answering_trackers > 0) {
      Add(Verdict::kDown, "no storage node is known",
          "cairn-storage --help  # start one");
    }
  } else if (!any_writable) {
    Add(Verdict::kDown, "no group takes uploads", "cairn groups");
  }
}

// Somebody's wish: said, but nothing to mend.
void Diagnostician::TellDecision(const tracker::v1::Decision& decision) {
  const std::string why =
      absl::StrCat(" by decision of ",
                   FormatUtc(absl::FromUnixMillis(decision.time().unix_ms())),
                   decision.reason().empty() ? "" : ": ", decision.reason());
  const std::string& subject = decision.subject();
  const std::string node = NameOfSubject(subject);
  switch (decision.field()) {
    case tracker::v1::DECISION_FIELD_NODE_ROLE: {
      const auto role = static_cast<tracker::v1::NodeRole>(decision.value());
      Add(Verdict::kOk, absl::StrCat(node, " is ", RoleName(role), why),
          absl::StrCat("cairn node set ", subject,
                       " --role own  # takes that back"));
      return;
    }
    case tracker::v1::DECISION_FIELD_NODE_REMOVED:
      Add(Verdict::kOk, absl::StrCat(node, " is removed", why),
          absl::StrCat("cairn node restore ", subject, "  # lets it back"));
      return;
    case tracker::v1::DECISION_FIELD_NODE_WEIGHT:
      Add(Verdict::kOk,
          absl::StrCat(node, " has weight ", decision.value(), why), "");
      return;
    case tracker::v1::DECISION_FIELD_NODE_PRIORITY:
      Add(Verdict::kOk,
          absl::StrCat(node, " has priority ", decision.value(), why), "");
      return;
    case tracker::v1::DECISION_FIELD_GROUP_WEIGHT:
      Add(Verdict::kOk,
          absl::StrCat("group ", subject, " has weight ", decision.value(),
                       why),
          "");
      return;
    default:
      return;  // Of a newer version.
  }
}

std::string Diagnostician::NameOfSubject(const std::string& uuid) const {
  for (const tracker::v1::Node& node : observations_.nodes) {
    if (node.identity().node_uuid() == uuid) return NameOf(node);
  }
  for (const tracker::v1::Node& node :
       observations_.decisions.removed_nodes()) {
    if (node.identity().node_uuid() == uuid) return NameOf(node);
  }
  return absl::StrCat("node ", uuid);
}

std::string LineOf(const Finding& finding) {
  return absl::StrCat(VerdictName(finding.verdict), ": ", finding.what);
}

}  // namespace

std::vector<std::string> ChangesBetween(const Diagnosis* before,
                                        const Diagnosis& after) {
  std::vector<std::string> changes;
  if (before == nullptr || before->verdict != after.verdict) {
    changes.push_back(absl::StrCat(
        "the cluster is ", absl::AsciiStrToUpper(VerdictName(after.verdict))));
  }
  std::set<std::string> old;
  if (before != nullptr) {
    for (const Finding& finding : before->findings) old.insert(LineOf(finding));
  }
  for (const Finding& finding : after.findings) {
    if (old.erase(LineOf(finding)) == 0) changes.push_back(LineOf(finding));
  }
  for (const std::string& gone : old) {
    changes.push_back(absl::StrCat("over: ", gone));
  }
  return changes;
}

std::string VerdictName(Verdict verdict) {
  switch (verdict) {
    case Verdict::kOk:
      return "ok";
    case Verdict::kDegraded:
      return "degraded";
    case Verdict::kDown:
      return "down";
  }
  return "";
}

Diagnosis Diagnose(const Observations& observations) {
  return Diagnostician(observations).Run();
}

}  // namespace cli
}  // namespace cairn
