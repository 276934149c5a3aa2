// cairn status: one verdict over the cluster, why, and what to run next.

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "clients/cli/cluster_nodes.h"
#include "clients/cli/commands.h"
#include "clients/cli/diagnosis.h"
#include "clients/cli/format.h"
#include "clients/cli/grpcurl.h"
#include "clients/cli/interrupt.h"
#include "lib/base/mutex.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace cli {
namespace {

constexpr absl::Duration kWatchInterval = absl::Seconds(2);

void AskNode(const std::string& address, Session* session, Observations* seen) {
  NodeQueries* const queries = session->environment().queries;
  const absl::Duration timeout = QueryTimeout(*session);
  auto state = queries->GetState(address, timeout);
  const bool answers = state.ok();
  seen->states.emplace(address, std::move(state));
  // One that does not answer is not waited for twice.
  if (!answers) return;
  auto jobs = queries->ListJobs(address, timeout);
  if (jobs.ok()) seen->jobs.emplace(address, *std::move(jobs));
}

Observations Observe(Session* session) {
  Observations seen;
  NodeQueries* const queries = session->environment().queries;
  const absl::Duration timeout = QueryTimeout(*session);
  for (const std::string& tracker : session->flags().trackers) {
    auto nodes = queries->ListNodes(tracker, "", timeout);
    seen.trackers[tracker] = nodes.status();
    if (!nodes.ok() || !seen.nodes.empty()) continue;
    seen.nodes.assign(nodes->nodes().begin(), nodes->nodes().end());
  }
  // Where no tracker answers, that is told already.
  auto decisions = FindDecisions(session);
  if (decisions.ok()) seen.decisions = *std::move(decisions);
  for (const tracker::v1::Node& node : seen.nodes) {
    if (node.state() != tracker::v1::NODE_STATE_ACTIVE) continue;
    const std::string& address = node.identity().address();
    AskNode(address, session, &seen);
  }
  return seen;
}

absl::StatusOr<Observations> ObserveStorage(Session* session) {
  const std::string& address = session->flags().storage;
  auto nodes = FindNodes(session, "");
  if (!nodes.ok()) return nodes.status();
  Observations seen;
  seen.nodes.assign(nodes->nodes().begin(), nodes->nodes().end());
  AskNode(address, session, &seen);
  return seen;
}

std::string Colored(const Session& session, Verdict verdict,
                    const std::string& text) {
  if (!session.color()) return text;
  const char* const color = verdict == Verdict::kHealthy    ? "\x1b[32m"
                            : verdict == Verdict::kDegraded ? "\x1b[33m"
                                                            : "\x1b[31m";
  return absl::StrCat(color, text, "\x1b[0m");
}

void PrintDisks(const Diagnosis& diagnosis, Session* session) {
  if (diagnosis.disks.empty()) return;
  Table table("llllrllrrrr");
  table.AddRow({"GROUP", "NODE", "ADDRESS", "STATE", "PATH", "DIRECTORY",
                "DISK", "FILES", "FREE", "SIZE", "DELETED"});
  for (const DiskLine& disk : diagnosis.disks) {
    table.AddRow({disk.group, disk.node, disk.address, disk.node_state,
                  absl::StrCat(disk.store_path),
                  disk.directory.empty() ? "-" : disk.directory, disk.state,
                  absl::StrCat(disk.files), FormatBytes(disk.free_bytes),
                  FormatBytes(disk.total_bytes),
                  FormatBytes(disk.undelete_bytes)});
  }
  session->Print("");
  session->Write(table.ToString());
}

// Those who are level are counted, the others named.
void PrintLags(const Diagnosis& diagnosis, Session* session) {
  if (diagnosis.lags.empty()) return;
  Table table("llrrrrl");
  table.AddRow({"BEHIND", "OF", "PATH", "CHANGES", "ABOUT", "SINCE", ""});
  int64_t behind = 0;
  for (const PairLag& lag : diagnosis.lags) {
    if (lag.pulling && lag.changes == 0) continue;
    ++behind;
    table.AddRow(
        {lag.node, lag.peer, absl::StrCat(lag.store_path),
         absl::StrCat(lag.changes),
         lag.estimated_bytes.has_value() ? FormatBytes(*lag.estimated_bytes)
                                         : "-",
         lag.changes > 0 ? FormatSpan(absl::Seconds(lag.seconds)) : "-",
         lag.needs_snapshot ? "copies all"
         : lag.pulling      ? ""
                            : "cut off"});
  }
  session->Print("");
  session->Print(absl::StrCat(
      behind, " of ",
      Count(static_cast<int64_t>(diagnosis.lags.size()), "pair"),
      " of members behind; ",
      Count(static_cast<int64_t>(diagnosis.under_replicated_changes), "change"),
      " with fewer copies than wished for, ",
      Count(static_cast<int64_t>(diagnosis.missing_contents), "content"),
      " on the way"));
  if (behind > 0) session->Write(table.ToString());
}

void PrintJobs(const Diagnosis& diagnosis, Session* session) {
  if (diagnosis.jobs.empty()) return;
  Table table("lrlrrrl");
  table.AddRow({"JOB OF", "PATH", "KIND", "DONE", "RATE", "LEFT", "DETAIL"});
  for (const RunningJob& job : diagnosis.jobs) {
    std::string done =
        job.done_bytes > 0 ? FormatBytes(job.done_bytes) : std::string("-");
    if (job.total_bytes > 0) {
      absl::StrAppend(&done, " / ", FormatBytes(job.total_bytes), " (",
                      job.done_bytes * 100 / job.total_bytes, "%)");
    }
    table.AddRow(
        {job.node, absl::StrCat(job.store_path), job.kind, done,
         job.bytes_per_second.has_value() ? FormatRate(*job.bytes_per_second)
                                          : "-",
         job.left.has_value() ? FormatSpan(*job.left) : "-", job.detail});
  }
  session->Print("");
  session->Write(table.ToString());
}

void PrintText(const Diagnosis& diagnosis, Session* session) {
  std::string line =
      Colored(*session, diagnosis.verdict, VerdictTitle(diagnosis.verdict));
  absl::StrAppend(&line, ": ");
  if (diagnosis.trackers > 0) {
    absl::StrAppend(&line, diagnosis.answering_trackers, " of ",
                    Count(diagnosis.trackers, "tracker"), ", ");
  }
  absl::StrAppend(
      &line, diagnosis.active_nodes, " of ", Count(diagnosis.nodes, "node"),
      ", ", Count(diagnosis.groups, "group"), "; ",
      Count(diagnosis.files, "file"), ", ", FormatBytes(diagnosis.free_bytes),
      " free of ", FormatBytes(diagnosis.total_bytes));
  session->Print(line);
  for (const Finding& finding : diagnosis.findings) {
    session->Print(absl::StrCat(
        "  ", Colored(*session, finding.verdict, VerdictName(finding.verdict)),
        ": ", finding.what));
    if (!finding.next_command.empty()) {
      session->Print(absl::StrCat("      next: ", finding.next_command));
    }
  }
  PrintDisks(diagnosis, session);
  PrintLags(diagnosis, session);
  PrintJobs(diagnosis, session);
}

Json ToJson(const Diagnosis& diagnosis) {
  Json json;
  json["verdict"] = VerdictName(diagnosis.verdict);
  json["trackers"] = diagnosis.trackers;
  json["answering_trackers"] = diagnosis.answering_trackers;
  json["nodes"] = diagnosis.nodes;
  json["active_nodes"] = diagnosis.active_nodes;
  json["groups"] = diagnosis.groups;
  json["files"] = diagnosis.files;
  json["free_bytes"] = diagnosis.free_bytes;
  json["total_bytes"] = diagnosis.total_bytes;
  json["under_replicated_changes"] = diagnosis.under_replicated_changes;
  json["missing_contents"] = diagnosis.missing_contents;
  json["set_aside_changes"] = diagnosis.set_aside_changes;
  json["damaged_files"] = diagnosis.damaged_files;
  json["unmendable_files"] = diagnosis.unmendable_files;
  json["store_paths"] = Json::array();
  for (const DiskLine& disk : diagnosis.disks) {
    Json one;
    one["group"] = disk.group;
    one["node"] = disk.node;
    one["address"] = disk.address;
    one["node_state"] = disk.node_state;
    one["index"] = disk.store_path;
    one["directory"] = disk.directory;
    one["state"] = disk.state;
    one["files"] = disk.files;
    one["file_bytes"] = disk.file_bytes;
    one["free_bytes"] = disk.free_bytes;
    one["total_bytes"] = disk.total_bytes;
    one["undelete_bytes"] = disk.undelete_bytes;
    json["store_paths"].push_back(one);
  }
  json["lag"] = Json::array();
  for (const PairLag& lag : diagnosis.lags) {
    Json one;
    one["group"] = lag.group;
    one["node"] = lag.node;
    one["behind"] = lag.peer;
    one["store_path"] = lag.store_path;
    one["pulling"] = lag.pulling;
    one["changes"] = lag.changes;
    if (lag.estimated_bytes.has_value()) {
      one["estimated_bytes"] = *lag.estimated_bytes;
    }
    one["seconds"] = lag.seconds;
    one["needs_snapshot"] = lag.needs_snapshot;
    json["lag"].push_back(one);
  }
  json["jobs"] = Json::array();
  for (const RunningJob& job : diagnosis.jobs) {
    Json one;
    one["node"] = job.node;
    one["store_path"] = job.store_path;
    one["kind"] = job.kind;
    one["detail"] = job.detail;
    one["done_bytes"] = job.done_bytes;
    one["total_bytes"] = job.total_bytes;
    if (job.bytes_per_second.has_value()) {
      one["bytes_per_second"] = *job.bytes_per_second;
    }
    if (job.left.has_value()) {
      one["left_seconds"] = absl::ToDoubleSeconds(*job.left);
    }
    json["jobs"].push_back(one);
  }
  json["findings"] = Json::array();
  for (const Finding& finding : diagnosis.findings) {
    Json one;
    one["verdict"] = VerdictName(finding.verdict);
    one["what"] = finding.what;
    one["next_command"] = finding.next_command;
    json["findings"].push_back(one);
  }
  return json;
}

void PrintGrpcurl(Session* session) {
  const bool storage = !session->flags().storage.empty();
  if (!storage) {
    session->Print(GrpcurlCall(*session, AddressWord(*session),
                               "cairn.tracker.v1.TrackerService/ListNodes",
                               Json::object()));
    session->Print("# and each node of the answer:");
  }
  session->Print(
      GrpcurlCall(*session, storage ? AddressWord(*session) : "HOST:PORT",
                  "cairn.storage.v1.NodeService/GetState", Json::object()));
}

absl::StatusOr<Diagnosis> Look(Session* session) {
  absl::StatusOr<Observations> seen = session->flags().storage.empty()
                                          ? Observe(session)
                                          : ObserveStorage(session);
  if (!seen.ok()) return seen.status();
  return Diagnose(*seen);
}

// Waits, and returns whether the user wants no more.
bool WaitOrInterrupt(const Session& session, absl::Duration wait) {
  Mutex mu;
  CondVar never;
  MutexLock lock(&mu);
  const absl::Time end = absl::Now() + wait;
  while (!session.environment().interrupt->raised()) {
    const absl::Duration left = end - absl::Now();
    if (left <= absl::ZeroDuration()) return false;
    never.WaitWithTimeout(
        &mu, std::min(left, absl::Milliseconds(kInterruptPollMillis)));
  }
  return true;
}

// On a terminal everything anew, elsewhere what has changed.
ExitCode Watch(Session* session) {
  const bool redraw =
      session->environment().out_is_terminal && !session->json();
  absl::optional<Diagnosis> before;
  while (true) {
    const absl::StatusOr<Diagnosis> now = Look(session);
    if (!now.ok()) {
      session->Fail(now.status());
    } else {
      const std::vector<std::string> changes =
          ChangesBetween(before.has_value() ? &*before : nullptr, *now);
      if (redraw) {
        session->Write("\x1b[H\x1b[2J");
        PrintText(*now, session);
      } else if (session->json()) {
        if (!changes.empty()) session->PrintJson(ToJson(*now));
      } else {
        for (const std::string& change : changes) {
          session->Print(absl::StrCat(
              FormatUtc(session->environment().clock->Now()), " ", change));
        }
      }
      before = *now;
    }
    const absl::Status flushed = session->Flush();
    if (!flushed.ok()) return session->Fail(flushed);
    if (WaitOrInterrupt(*session, kWatchInterval)) return kExitInterrupted;
  }
}

}  // namespace

ExitCode RunStatus(const StatusFlags& flags, Session* session) {
  if (session->flags().print_grpcurl) {
    PrintGrpcurl(session);
    return kExitOk;
  }
  const absl::Status address = session->RequireAddress();
  if (!address.ok()) return session->Fail(address);
  if (flags.watch) return Watch(session);
  const absl::StatusOr<Diagnosis> diagnosis = Look(session);
  if (!diagnosis.ok()) return session->Fail(diagnosis.status());
  if (session->json()) {
    session->PrintJson(ToJson(*diagnosis));
  } else {
    PrintText(*diagnosis, session);
  }
  switch (diagnosis->verdict) {
    case Verdict::kHealthy:
      return kExitOk;
    case Verdict::kDegraded:
    case Verdict::kAtRisk:
      return kExitFailed;
    case Verdict::kReadOnly:
    case Verdict::kDown:
      return kExitUnavailable;
  }
  return kExitFailed;
}

}  // namespace cli
}  // namespace cairn
