#include "clients/cli/diagnosis.h"

#include <algorithm>
#include <limits>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "clients/cli/cluster_nodes.h"
#include "clients/cli/format.h"
#include "clients/cli/quota_text.h"

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
  int64_t file_bytes = 0;
  int64_t free_bytes = std::numeric_limits<int64_t>::max();
  int64_t total_bytes = std::numeric_limits<int64_t>::max();
  bool writable = false;
  bool readable = false;
  int members = 0;

  // By store path, the members that are there and have caught up on it.
  std::map<uint32_t, std::vector<std::string>> complete;
};

class Diagnostician {
 public:
  explicit Diagnostician(const Observations& observations)
      : observations_(observations) {}

  Diagnosis Run() {
    JudgeTrackers();
    for (const tracker::v1::Node& node : observations_.nodes) JudgeNode(node);
    JudgeGroups();
    JudgeQuotas();
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
  void JudgeReplication(const tracker::v1::Node& node,
                        const storage::v1::StorePathStatus& path);
  void JudgeSetAside(const tracker::v1::Node& node,
                     const storage::v1::StorePathStatus& path);
  void JudgeUpkeep(const tracker::v1::Node& node,
                   const storage::v1::StorePathStatus& path);
  absl::optional<int64_t> MeanFileBytes(const std::string& node_uuid,
                                        uint32_t store_path) const;
  void ListCatchUp(const tracker::v1::Node& node,
                   const storage::v1::StorePathStatus& path);
  void ListDisks(const tracker::v1::Node& node);
  void ListJobs(const tracker::v1::Node& node,
                const storage::v1::GetStateResponse& state);
  void JudgeCopies(const std::string& name, const GroupSums& group);
  void JudgeGroups();
  void JudgeQuotas();
  void TellDecision(const tracker::v1::Decision& decision);
  std::string NameOfSubject(const std::string& uuid) const;
  std::string NameOfNumber(uint64_t number) const;

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
  ++group.members;
  ListDisks(node);
  for (const tracker::v1::StorePathReport& path : node.report().store_paths()) {
    std::vector<std::string>& complete = group.complete[path.index()];
    if (node.state() == tracker::v1::NODE_STATE_ACTIVE && path.readable() &&
        !path.syncing()) {
      complete.push_back(node.identity().name());
    }
  }
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
    sums.file_bytes = 0;
    for (const storage::v1::StorePathStatus& path :
         state->second->store_paths()) {
      sums.files += path.files();
      sums.file_bytes += path.file_bytes();
    }
  }
  const tracker::v1::NodeRole role = UseOf(node).role();
  group.files = std::max(group.files, sums.files);
  group.file_bytes = std::max(group.file_bytes, sums.file_bytes);
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
  ListJobs(node, *state->second);
}

void Diagnostician::JudgeStorePaths(
    const tracker::v1::Node& node, const storage::v1::GetStateResponse& state) {
  for (const storage::v1::StorePathStatus& path : state.store_paths()) {
    const std::string name =
        absl::StrCat(NameOf(node), " store path ", path.index(), " (",
                     path.directory(), ")");
    if (path.read_only_by_configuration()) {
      // Somebody's wish: said, but nothing to mend.
      Add(Verdict::kHealthy,
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
    JudgeReplication(node, path);
    JudgeSetAside(node, path);
    JudgeUpkeep(node, path);
    ListCatchUp(node, path);
  }
}

void Diagnostician::JudgeSetAside(const tracker::v1::Node& node,
                                  const storage::v1::StorePathStatus& path) {
  const storage::v1::ReplicationState& replication = path.replication();
  const uint64_t count = replication.set_aside_changes();
  if (count == 0) return;
  result_.set_aside_changes += count;
  std::string why;
  for (const storage::v1::SetAsideChange& change : replication.set_aside()) {
    if (change.error().empty()) continue;
    why = absl::StrCat("; one of them: ", change.error());
    break;
  }
  Add(Verdict::kDegraded,
      absl::StrCat(NameOf(node), " store path ", path.index(), " has set ",
                   Count(static_cast<int64_t>(count), "change"),
                   " of other members aside that it cannot apply, and tries "
                   "again",
                   why),
      absl::StrCat("cairn verify --cluster --group ", node.identity().group()));
}

void Diagnostician::JudgeUpkeep(const tracker::v1::Node& node,
                                const storage::v1::StorePathStatus& path) {
  const storage::v1::UpkeepState& upkeep = path.upkeep();
  result_.damaged_files += upkeep.damaged_files();
  result_.unmendable_files += upkeep.unmendable_files();
  if (upkeep.damaged_files() == 0) return;
  const std::string name =
      absl::StrCat(NameOf(node), " store path ", path.index(), " has ",
                   Count(static_cast<int64_t>(upkeep.damaged_files()), "file"),
                   " whose content is damaged");
  const std::string verify = absl::StrCat(
      "cairn verify --cluster --deep --group ", node.identity().group());
  if (upkeep.unmendable_files() == 0) {
    Add(Verdict::kDegraded,
        absl::StrCat(name, "; good copies are on their way"), verify);
    return;
  }
  Add(Verdict::kAtRisk,
      absl::StrCat(name, "; of ", upkeep.unmendable_files(),
                   " no member that could be asked has a good copy"),
      verify);
}

absl::optional<int64_t> Diagnostician::MeanFileBytes(
    const std::string& node_uuid, uint32_t store_path) const {
  for (const auto& [address, state] : observations_.states) {
    if (!state.ok() || state->node_uuid() != node_uuid) continue;
    for (const storage::v1::StorePathStatus& path : state->store_paths()) {
      if (path.index() != store_path || path.files() == 0) continue;
      return (path.live_bytes() - path.undelete_bytes()) / path.files();
    }
  }
  return absl::nullopt;
}

// What is no job that anybody started takes as long as one.
void Diagnostician::ListCatchUp(const tracker::v1::Node& node,
                                const storage::v1::StorePathStatus& path) {
  const storage::v1::ReplicationState& replication = path.replication();
  uint64_t behind = 0;
  for (const storage::v1::PeerState& peer : replication.peers()) {
    behind = std::max(behind, peer.behind_changes());
  }
  RunningJob running;
  if (replication.snapshot_running()) {
    running.kind = "snapshot";
    running.detail = absl::StrCat(
        replication.snapshot_files(),
        replication.snapshot_files_total() > 0
            ? absl::StrCat(" of ", replication.snapshot_files_total())
            : "",
        " files");
    running.done_bytes = static_cast<int64_t>(replication.snapshot_bytes());
  } else if (replication.syncing() &&
             (behind > 0 || replication.missing_contents() > 0)) {
    running.kind = "catch_up";
    running.detail = absl::StrCat(
        Count(static_cast<int64_t>(behind), "change"), ", ",
        Count(static_cast<int64_t>(replication.missing_contents()), "content"),
        " left");
  } else {
    return;
  }
  running.node = node.identity().name();
  running.store_path = path.index();
  running.bytes_per_second = replication.bytes_per_second();
  if (replication.has_estimated_seconds_left()) {
    running.left = absl::Seconds(replication.estimated_seconds_left());
  }
  result_.jobs.push_back(std::move(running));
}

void Diagnostician::JudgeReplication(const tracker::v1::Node& node,
                                     const storage::v1::StorePathStatus& path) {
  const storage::v1::ReplicationState& replication = path.replication();
  result_.under_replicated_changes += replication.under_replicated_changes();
  result_.missing_contents += replication.missing_contents();
  const std::string name =
      absl::StrCat(NameOf(node), " store path ", path.index());
  for (const storage::v1::PeerState& peer : replication.peers()) {
    PairLag lag;
    lag.group = node.identity().group();
    lag.node = node.identity().name();
    lag.peer = peer.name();
    lag.store_path = path.index();
    lag.pulling = peer.pulling();
    lag.changes = peer.behind_changes();
    lag.seconds = peer.behind_seconds();
    lag.needs_snapshot = peer.needs_snapshot();
    const absl::optional<int64_t> mean =
        MeanFileBytes(peer.node_uuid(), path.index());
    if (mean.has_value()) {
      lag.estimated_bytes = *mean * static_cast<int64_t>(lag.changes);
    }
    result_.lags.push_back(lag);
    // One that is not there is told of by itself.
    const bool is_there =
        std::any_of(observations_.nodes.begin(), observations_.nodes.end(),
                    [&](const tracker::v1::Node& other) {
                      return other.identity().node_uuid() == peer.node_uuid() &&
                             other.state() == tracker::v1::NODE_STATE_ACTIVE;
                    });
    if (is_there && !peer.pulling() && !peer.last_error().empty()) {
      Add(Verdict::kDegraded,
          absl::StrCat(name, " cannot copy from node ", peer.name(), " (",
                       peer.address(), "): ", peer.last_error()),
          StatusCommand(peer.address()));
    }
  }
  if (replication.syncing() &&
      path.state() != storage::v1::STORE_PATH_STATE_OFFLINE) {
    uint64_t behind = 0;
    for (const storage::v1::PeerState& peer : replication.peers()) {
      behind = std::max(behind, peer.behind_changes());
    }
    std::string how_far;
    if (replication.snapshot_running()) {
      how_far = absl::StrCat(
          "a snapshot is being taken, ",
          Count(static_cast<int64_t>(replication.snapshot_files()), "file"),
          replication.snapshot_files_total() > 0
              ? absl::StrCat(" of ", replication.snapshot_files_total())
              : " so far");
    } else if (behind > 0 || replication.missing_contents() > 0) {
      how_far = absl::StrCat(
          Count(static_cast<int64_t>(behind), "change"), " and ",
          Count(static_cast<int64_t>(replication.missing_contents()),
                "content"),
          " are left");
    } else {
      how_far = "it waits for other members";
    }
    Add(Verdict::kDegraded,
        absl::StrCat(name,
                     " is syncing, and passes on what it lacks: ", how_far),
        "cairn status --watch");
  }
}

void Diagnostician::ListDisks(const tracker::v1::Node& node) {
  DiskLine line;
  line.group = node.identity().group();
  line.node = node.identity().name();
  line.address = node.identity().address();
  line.node_state =
      node.report().stopping() ? "stopping" : StateName(node.state());
  const auto state = observations_.states.find(line.address);
  if (state != observations_.states.end() && state->second.ok()) {
    for (const storage::v1::StorePathStatus& path :
         state->second->store_paths()) {
      line.store_path = path.index();
      line.directory = path.directory();
      line.state = path.state() == storage::v1::STORE_PATH_STATE_ACTIVE &&
                           path.replication().syncing()
                       ? "syncing"
                       : PathStateName(path.state());
      line.files = path.files();
      line.file_bytes = path.file_bytes();
      line.free_bytes =
          std::max<int64_t>(0, path.free_bytes() - path.reserve_bytes());
      line.total_bytes = path.total_bytes();
      line.undelete_bytes = path.undelete_bytes();
      result_.disks.push_back(line);
    }
    return;
  }
  for (const tracker::v1::StorePathReport& path : node.report().store_paths()) {
    line.store_path = path.index();
    line.state = "unknown";
    line.files = path.files();
    line.file_bytes = path.file_bytes();
    line.free_bytes =
        std::max<int64_t>(0, path.free_bytes() - path.reserve_bytes());
    line.total_bytes = path.total_bytes();
    result_.disks.push_back(line);
  }
}

void Diagnostician::ListJobs(const tracker::v1::Node& node,
                             const storage::v1::GetStateResponse& state) {
  const auto listed = observations_.jobs.find(node.identity().address());
  if (listed == observations_.jobs.end()) return;
  for (const storage::v1::Job& job : listed->second.jobs()) {
    if (job.state() != storage::v1::JOB_STATE_RUNNING) continue;
    RunningJob running;
    running.node = node.identity().name();
    running.store_path = job.store_path();
    running.kind = absl::AsciiStrToLower(
        absl::StripPrefix(storage::v1::JobKind_Name(job.kind()), "JOB_KIND_"));
    // Of a newer version.
    if (running.kind.empty()) running.kind = absl::StrCat("job_", job.kind());
    running.detail = job.detail();
    running.done_bytes = job.done_bytes();
    running.total_bytes = job.total_bytes();
    // By the node's own clock, whatever it says of the day.
    const absl::Duration run = absl::Seconds(state.current_time().seconds() -
                                             job.start_time().seconds()) +
                               absl::Nanoseconds(state.current_time().nanos() -
                                                 job.start_time().nanos());
    if (state.has_current_time() && run > absl::ZeroDuration() &&
        job.done_bytes() > 0) {
      const double rate =
          static_cast<double>(job.done_bytes()) / absl::ToDoubleSeconds(run);
      running.bytes_per_second = rate;
      if (job.total_bytes() >= job.done_bytes()) {
        running.left = absl::Seconds(
            static_cast<double>(job.total_bytes() - job.done_bytes()) / rate);
      }
    }
    result_.jobs.push_back(std::move(running));
  }
}

// A group that has several members is to have several copies.
void Diagnostician::JudgeCopies(const std::string& name,
                                const GroupSums& group) {
  if (group.members < 2 || !group.readable) return;
  const std::vector<std::string>* fewest = nullptr;
  uint32_t where = 0;
  for (const auto& [path, complete] : group.complete) {
    if (fewest != nullptr && fewest->size() <= complete.size()) continue;
    fewest = &complete;
    where = path;
  }
  if (fewest == nullptr || fewest->size() > 1) return;
  Add(Verdict::kAtRisk,
      absl::StrCat(
          "of ", Count(group.members, "member"), " of ", name,
          fewest->empty() ? ", none is there that has all files of store path "
                          : ", only one is there that has all files of store "
                            "path ",
          where, fewest->empty() ? "" : absl::StrCat(": ", fewest->front())),
      absl::StrCat("cairn nodes --group ", name));
}

void Diagnostician::JudgeGroups() {
  bool any_writable = false;
  bool any_readable = false;
  for (const auto& [name, group] : groups_) {
    ++result_.groups;
    any_writable |= group.writable;
    any_readable |= group.readable;
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
    JudgeCopies(name, group);
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
    Add(any_readable ? Verdict::kReadOnly : Verdict::kDown,
        "no group takes uploads", "cairn groups");
  }
}

// What a group may hold and holds. Of clients, how many have a quota: there may
// be many.
void Diagnostician::JudgeQuotas() {
  std::set<std::string> clients;
  for (const tracker::v1::Decision& decision :
       observations_.decisions.decisions()) {
    const std::string& subject = decision.subject();
    const uint64_t quota = decision.value();
    const bool files =
        decision.field() == tracker::v1::DECISION_FIELD_GROUP_QUOTA_FILES;
    switch (decision.field()) {
      case tracker::v1::DECISION_FIELD_CLIENT_QUOTA_FILES:
      case tracker::v1::DECISION_FIELD_CLIENT_QUOTA_BYTES:
        clients.insert(subject);
        continue;
      case tracker::v1::DECISION_FIELD_GROUP_QUOTA_FILES:
      case tracker::v1::DECISION_FIELD_GROUP_QUOTA_BYTES:
        break;
      default:
        continue;
    }
    const auto group = groups_.find(subject);
    const int64_t held = group == groups_.end() ? 0
                         : files                ? group->second.files
                                                : group->second.file_bytes;
    const std::string what =
        absl::StrCat("group ", subject, " holds ",
                     files ? absl::StrCat(FilesOfQuota(held, quota), " files")
                           : BytesOfQuota(held, quota),
                     " that it may");
    const std::string flag = files ? "--files" : "--bytes";
    if (static_cast<uint64_t>(held) >= quota) {
      Add(Verdict::kDegraded, absl::StrCat(what, ": it takes no more"),
          absl::StrCat("cairn group quota ", subject, " ", flag,
                       " MORE  # or delete some"));
    } else {
      Add(Verdict::kHealthy, what,
          absl::StrCat("cairn group quota ", subject, " ", flag,
                       " none  # takes that back"));
    }
  }
  if (clients.empty()) return;
  Add(Verdict::kHealthy,
      absl::StrCat(Count(static_cast<int64_t>(clients.size()), "client"),
                   clients.size() == 1 ? " has" : " have", " a quota"),
      "cairn client list");
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
      Add(Verdict::kHealthy, absl::StrCat(node, " is ", RoleName(role), why),
          absl::StrCat("cairn node set ", subject,
                       " --role own  # takes that back"));
      return;
    }
    case tracker::v1::DECISION_FIELD_NODE_REMOVED:
      Add(Verdict::kHealthy, absl::StrCat(node, " is removed", why),
          absl::StrCat("cairn node restore ", subject, "  # lets it back"));
      return;
    case tracker::v1::DECISION_FIELD_NODE_WEIGHT:
      Add(Verdict::kHealthy,
          absl::StrCat(node, " has weight ", decision.value(), why), "");
      return;
    case tracker::v1::DECISION_FIELD_NODE_PRIORITY:
      Add(Verdict::kHealthy,
          absl::StrCat(node, " has priority ", decision.value(), why), "");
      return;
    case tracker::v1::DECISION_FIELD_NODE_ZONE:
      Add(Verdict::kHealthy,
          absl::StrCat(node, " is in zone ", decision.text(), why), "");
      return;
    case tracker::v1::DECISION_FIELD_NODE_RESERVE:
      Add(Verdict::kHealthy,
          absl::StrCat(node, " keeps ", decision.value(),
                       " % of each disk from uploads", why),
          "");
      return;
    case tracker::v1::DECISION_FIELD_NODE_HEIR: {
      uint32_t number = 0;
      if (!absl::SimpleAtoi(subject, &number)) return;
      Add(Verdict::kHealthy,
          absl::StrCat("appenders of ", NameOfNumber(number),
                       " are changed at ", NameOfNumber(decision.value()), why),
          "");
      return;
    }
    case tracker::v1::DECISION_FIELD_GROUP_WEIGHT:
      Add(Verdict::kHealthy,
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

std::string Diagnostician::NameOfNumber(uint64_t number) const {
  for (const tracker::v1::Node& node : observations_.nodes) {
    if (node.identity().node_number() == number) return NameOf(node);
  }
  for (const tracker::v1::Node& node :
       observations_.decisions.removed_nodes()) {
    if (node.identity().node_number() == number) return NameOf(node);
  }
  return absl::StrCat("node number ", number);
}

std::string LineOf(const Finding& finding) {
  return absl::StrCat(VerdictName(finding.verdict), ": ", finding.what);
}

}  // namespace

std::vector<std::string> ChangesBetween(const Diagnosis* before,
                                        const Diagnosis& after) {
  std::vector<std::string> changes;
  if (before == nullptr || before->verdict != after.verdict) {
    changes.push_back(
        absl::StrCat("the cluster is ", VerdictTitle(after.verdict)));
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
    case Verdict::kHealthy:
      return "healthy";
    case Verdict::kDegraded:
      return "degraded";
    case Verdict::kAtRisk:
      return "at_risk";
    case Verdict::kReadOnly:
      return "read_only";
    case Verdict::kDown:
      return "down";
  }
  return "";
}

std::string VerdictTitle(Verdict verdict) {
  switch (verdict) {
    case Verdict::kAtRisk:
      return "AT RISK";
    case Verdict::kReadOnly:
      return "READ-ONLY";
    default:
      return absl::AsciiStrToUpper(VerdictName(verdict));
  }
}

Diagnosis Diagnose(const Observations& observations) {
  return Diagnostician(observations).Run();
}

}  // namespace cli
}  // namespace cairn
