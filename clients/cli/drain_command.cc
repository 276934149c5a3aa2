// cairn node drain: no new uploads to a node, and the wait until all that it
// took is elsewhere.

#include <algorithm>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "clients/cli/cluster_nodes.h"
#include "clients/cli/commands.h"
#include "clients/cli/drain_progress.h"
#include "clients/cli/format.h"
#include "clients/cli/interrupt.h"
#include "lib/base/error_reason.h"
#include "lib/base/mutex.h"
#include "lib/base/status_macros.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace cli {
namespace {

constexpr absl::Duration kPollInterval = absl::Milliseconds(500);

// Where the progress is not drawn anew.
constexpr absl::Duration kLineInterval = absl::Seconds(5);

// With no word from anybody for so long, the wait is given up.
constexpr absl::Duration kSilenceMax = absl::Seconds(30);

absl::StatusOr<DrainProgress> Look(const std::string& node_uuid,
                                   Session* session,
                                   tracker::v1::Node* drained) {
  CAIRN_ASSIGN_OR_RETURN(const tracker::v1::ListNodesResponse listed,
                         FindNodes(session, ""));
  const std::vector<tracker::v1::Node> nodes(listed.nodes().begin(),
                                             listed.nodes().end());
  const auto found = std::find_if(
      nodes.begin(), nodes.end(), [&](const tracker::v1::Node& node) {
        return node.identity().node_uuid() == node_uuid;
      });
  if (found == nodes.end()) {
    return absl::NotFoundError("the node is removed");
  }
  *drained = *found;
  std::map<std::string, absl::StatusOr<storage::v1::GetStateResponse>> states;
  for (const tracker::v1::Node& node : nodes) {
    if (node.identity().group() != found->identity().group() ||
        node.state() != tracker::v1::NODE_STATE_ACTIVE) {
      continue;
    }
    states.emplace(node.identity().address(),
                   session->environment().queries->GetState(
                       node.identity().address(), QueryTimeout(*session)));
  }
  return JudgeDrain(*found, nodes, states);
}

Json ToJson(const tracker::v1::Node& node, const DrainProgress& progress) {
  Json json;
  json["node"] = node.identity().name();
  json["node_uuid"] = node.identity().node_uuid();
  json["safe_to_remove"] = progress.safe_to_remove;
  json["changes_left"] = progress.changes_left;
  json["contents_left"] = progress.contents_left;
  json["members"] = progress.members;
  json["complete_members"] = progress.complete_members;
  json["waits_for"] = progress.waits_for;
  json["away"] = progress.away;
  return json;
}

// Tells how far it is, without telling the same twice in a row.
class Teller {
 public:
  explicit Teller(Session* session)
      : session_(session),
        drawn_(session->environment().err_is_terminal && !session->json() &&
               !session->flags().no_progress) {}

  void Tell(const tracker::v1::Node& node, const DrainProgress& progress,
            absl::Duration now) {
    if (session_->json()) {
      const Json json = ToJson(node, progress);
      if (json.dump() != last_) session_->PrintJson(json);
      last_ = json.dump();
      return;
    }
    const std::string line = absl::StrCat(
        "waiting: ",
        Count(static_cast<int64_t>(progress.changes_left), "change"), " and ",
        Count(static_cast<int64_t>(progress.contents_left), "content"),
        " left, ", progress.complete_members, " of ",
        Count(progress.members, "member"), " complete; ", Left(progress, now),
        absl::StrJoin(progress.waits_for, "; "));
    if (drawn_) {
      std::fprintf(session_->environment().err, "\r\x1b[K%.*s",
                   std::max(session_->environment().columns - 1, 20),
                   line.c_str());
      std::fflush(session_->environment().err);
      return;
    }
    if (line == last_ || now - told_ < kLineInterval) return;
    session_->Say(line);
    last_ = line;
    told_ = now;
  }

  // Before something else is said.
  void Clear() {
    if (drawn_) std::fputs("\r\x1b[K", session_->environment().err);
  }

 private:
  // `0:15 left, `, once there is a rate to tell it by.
  std::string Left(const DrainProgress& progress, absl::Duration now) {
    const uint64_t left = progress.changes_left + progress.contents_left;
    if (!begun_) {
      begun_ = true;
      first_ = left;
      first_at_ = now;
    }
    const double seconds = absl::ToDoubleSeconds(now - first_at_);
    if (left == 0 || left >= first_ || seconds < 1) return "";
    const double rate = static_cast<double>(first_ - left) / seconds;
    return absl::StrCat(
        FormatSpan(absl::Seconds(static_cast<double>(left) / rate)), " left; ");
  }

  Session* const session_;
  const bool drawn_;
  std::string last_;
  absl::Duration told_ = -absl::InfiniteDuration();
  bool begun_ = false;
  uint64_t first_ = 0;
  absl::Duration first_at_;
};

bool WaitOrInterrupt(const Session& session, absl::Duration wait) {
  Mutex mu;
  CondVar never;
  MutexLock lock(&mu);
  Clock* const clock = session.environment().clock;
  const absl::Duration end = clock->Monotonic() + wait;
  while (!session.environment().interrupt->raised()) {
    const absl::Duration left = end - clock->Monotonic();
    if (left <= absl::ZeroDuration()) return false;
    never.WaitWithTimeout(
        &mu, std::min(left, absl::Milliseconds(kInterruptPollMillis)));
  }
  return true;
}

ExitCode WaitUntilElsewhere(const std::string& node_uuid, Session* session) {
  Clock* const clock = session->environment().clock;
  Teller teller(session);
  absl::Duration answered = clock->Monotonic();
  while (true) {
    tracker::v1::Node node;
    const absl::StatusOr<DrainProgress> progress =
        Look(node_uuid, session, &node);
    const absl::Duration now = clock->Monotonic();
    const std::string& name = node.identity().name();
    if (progress.ok()) {
      answered = now;
      if (progress->alone) {
        teller.Clear();
        return session->Fail(ErrorWithReason(
            absl::StatusCode::kFailedPrecondition, ErrorReason::kLastMember,
            absl::StrCat("group ", node.identity().group(),
                         " has no other member: there is no elsewhere. The "
                         "node takes no uploads, and stays. Add a member to "
                         "the group, and run this again; or take it back with "
                         "`cairn node set ",
                         name, " --role own`"),
            {{"group", node.identity().group()}}));
      }
      if (!progress->draining) {
        teller.Clear();
        return session->Fail(absl::AbortedError(
            absl::StrCat("somebody has decided otherwise: node ", name, " is ",
                         RoleName(UseOf(node).role()), " now")));
      }
      if (node.state() == tracker::v1::NODE_STATE_OFFLINE) {
        teller.Clear();
        return session->Fail(absl::UnavailableError(absl::StrCat(
            "node ", name,
            " is not there, so that it cannot be asked what others lack. Its "
            "drain stays in force. Start it and run this again; or `cairn node "
            "remove ",
            name, " --dry-run` tells what may be lost without it")));
      }
      if (progress->safe_to_remove) {
        teller.Clear();
        if (session->json()) {
          session->PrintJson(ToJson(node, *progress));
          return kExitOk;
        }
        if (!progress->away.empty()) {
          session->Say(absl::StrCat("not there, and not waited for: ",
                                    absl::StrJoin(progress->away, ", ")));
        }
        session->Print(absl::StrCat(
            "All that node ", name, " took is at ",
            Count(progress->complete_members, "other member"),
            ": safe to remove, with `cairn node remove ", name, "`."));
        return kExitOk;
      }
      teller.Tell(node, *progress, now);
    } else if (progress.status().code() == absl::StatusCode::kNotFound ||
               now - answered > kSilenceMax) {
      teller.Clear();
      return session->Fail(progress.status());
    }
    const absl::Status flushed = session->Flush();
    if (!flushed.ok()) return session->Fail(flushed);
    if (WaitOrInterrupt(*session, kPollInterval)) {
      teller.Clear();
      session->Say(
          "The drain stays in force; only the wait is over. The same command "
          "waits again.");
      return kExitInterrupted;
    }
  }
}

}  // namespace

ExitCode RunNodeDrain(const NodeDrainFlags& flags, Session* session) {
  NodeSetFlags set;
  set.node = flags.node;
  set.role = "draining";
  set.decision = flags.decision;
  const ExitCode decided = RunNodeSet(set, session);
  if (decided != kExitOk || flags.no_wait || flags.decision.dry_run ||
      session->flags().print_grpcurl) {
    return decided;
  }
  const absl::StatusOr<tracker::v1::Node> node = FindNode(flags.node, session);
  if (!node.ok()) return session->Fail(node.status());
  return WaitUntilElsewhere(node->identity().node_uuid(), session);
}

}  // namespace cli
}  // namespace cairn
