// cairn verify --cluster: a census. Every member of a group compares what it
// has with every other one, mends what it lacks, and with --deep reads all of
// it.
//
//   compare, all store paths of all members at once ─┐
//     └─ something differed, and was mended: again ◀─┘   (a few times)
//   contents that were missing are fetched
//   --deep: scrub, all store paths of all members at once
//   what is left wrong ─▶ exit code, and what to do

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "clients/cli/cluster_nodes.h"
#include "clients/cli/commands.h"
#include "clients/cli/format.h"
#include "clients/cli/grpcurl.h"
#include "clients/cli/interrupt.h"
#include "clients/cli/progress.h"
#include "lib/base/error_reason.h"
#include "lib/base/mutex.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace cli {
namespace {

// What one comparison mends another member may only see in the next.
constexpr int kPassesMax = 3;

constexpr absl::Duration kPoll = absl::Milliseconds(200);

// A member that says nothing for so long is given up, and so are contents that
// are missing and do not become fewer.
constexpr absl::Duration kPatience = absl::Seconds(30);

// One store path of one member.
struct Row {
  std::string name;
  std::string address;
  std::string group;
  uint32_t path = 0;
  uint32_t peers_expected = 0;

  std::string error;         // Why it could not be asked, or did not answer.
  std::string job_id;        // That runs.
  absl::Time heard;          // Of the job.
  int64_t scrubbed_now = 0;  // Bytes of the job, as far as progress knows.

  int64_t files = 0;
  int64_t differing = 0;                   // In the last pass.
  int64_t mended = 0;                      // In all passes.
  storage::v1::ComparisonReport compared;  // The last pass.
  storage::v1::ScrubReport scrubbed;
  uint64_t missing_contents = 0;
  uint64_t damaged_now = 0;
  uint64_t unmendable = 0;

  bool agrees() const {
    return compared.differing() == 0 && compared.failed_peers() == 0 &&
           compared.peers() >= peers_expected;
  }
  bool good() const {
    return error.empty() && agrees() && missing_contents == 0 &&
           damaged_now == 0;
  }
};

std::string PathName(uint32_t path) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  return {'M', kDigits[path >> 4 & 15], kDigits[path & 15]};
}

class Census {
 public:
  Census(const VerifyFlags& flags, int64_t bytes_per_second, Session* session)
      : flags_(flags),
        bytes_per_second_(bytes_per_second),
        session_(session),
        queries_(session->environment().queries),
        timeout_(QueryTimeout(*session)) {}

  ExitCode Run();

 private:
  absl::Status FindMembers();
  void CompareAll();
  void ScrubAll();
  void StartCompare(Row* row);
  void StartScrub(Row* row);

  // Follows the jobs of all rows to their end.
  void Follow(Progress* progress);
  void Take(const storage::v1::Job& job, Row* row, Progress* progress);

  // Asks what is missing and damaged now.
  void AskStates();
  void AwaitContents();
  bool Wait(absl::Duration duration);

  ExitCode Tell();
  void TellRow(const Row& row);
  std::string NextStepFor(const Row& row) const;

  const VerifyFlags& flags_;
  const int64_t bytes_per_second_;
  Session* const session_;
  NodeQueries* const queries_;
  const absl::Duration timeout_;
  std::vector<Row> rows_;
  int passes_ = 0;
  bool interrupted_ = false;
};

// True: the user wants no more.
bool Census::Wait(absl::Duration duration) {
  Mutex mu;
  CondVar never;
  MutexLock lock(&mu);
  const absl::Time end = absl::Now() + duration;
  while (!session_->environment().interrupt->raised()) {
    const absl::Duration left = end - absl::Now();
    if (left <= absl::ZeroDuration()) return false;
    never.WaitWithTimeout(
        &mu, std::min(left, absl::Milliseconds(kInterruptPollMillis)));
  }
  interrupted_ = true;
  return true;
}

absl::Status Census::FindMembers() {
  const auto found = FindNodes(session_, flags_.group);
  if (!found.ok()) return found.status();
  // How many members each path has.
  std::map<std::pair<std::string, uint32_t>, uint32_t> members;
  std::vector<tracker::v1::Node> nodes;
  for (const tracker::v1::Node& node : found->nodes()) {
    nodes.push_back(node);
    for (const auto& path : node.report().store_paths()) {
      ++members[{node.identity().group(), path.index()}];
    }
  }
  if (nodes.empty()) {
    return absl::NotFoundError(
        flags_.group.empty()
            ? std::string("the cluster has no storage node")
            : absl::StrCat("group ", flags_.group, " has no node"));
  }
  for (const tracker::v1::Node& node : nodes) {
    for (const auto& path : node.report().store_paths()) {
      Row row;
      row.name = node.identity().name();
      row.address = node.identity().address();
      row.group = node.identity().group();
      row.path = path.index();
      // Of one node alone nobody says who else there is.
      if (session_->flags().storage.empty()) {
        row.peers_expected = members[{row.group, row.path}] - 1;
      }
      if (node.state() != tracker::v1::NODE_STATE_ACTIVE) {
        row.error = absl::StrCat("the node is ", StateName(node.state()));
      }
      rows_.push_back(std::move(row));
    }
  }
  return absl::OkStatus();
}

void Census::StartCompare(Row* row) {
  storage::v1::CompareRequest request;
  request.set_store_path(row->path);
  const auto job = queries_->StartCompare(row->address, request, timeout_);
  if (!job.ok()) {
    row->error = job.status().ToString();
    return;
  }
  row->job_id = job->job_id();
  row->heard = absl::Now();
}

void Census::StartScrub(Row* row) {
  storage::v1::ScrubRequest request;
  request.set_store_path(row->path);
  request.set_bytes_per_second(bytes_per_second_);
  const auto job = queries_->StartScrub(row->address, request, timeout_);
  if (!job.ok()) {
    row->error = job.status().ToString();
    return;
  }
  row->job_id = job->job_id();
  row->heard = absl::Now();
  row->scrubbed_now = 0;
}

void Census::Take(const storage::v1::Job& job, Row* row, Progress* progress) {
  if (job.has_comparison()) {
    progress->AddFiles(job.comparison().names() - row->compared.names());
    row->compared = job.comparison();
  }
  if (job.has_scrub()) {
    progress->AddFiles(job.scrub().files() - row->scrubbed.files());
    progress->AddBytes(job.scrub().bytes() - row->scrubbed.bytes());
    row->scrubbed = job.scrub();
  }
  if (job.state() == storage::v1::JOB_STATE_RUNNING) return;
  row->job_id.clear();
  if (job.state() != storage::v1::JOB_STATE_SUCCEEDED) {
    row->error = job.detail();
  }
}

void Census::Follow(Progress* progress) {
  while (true) {
    std::set<std::string> asked;
    for (const Row& row : rows_) {
      if (!row.job_id.empty()) asked.insert(row.address);
    }
    if (asked.empty()) return;
    for (const std::string& address : asked) {
      const auto jobs = queries_->ListJobs(address, timeout_);
      for (Row& row : rows_) {
        if (row.address != address || row.job_id.empty()) continue;
        if (!jobs.ok()) {
          if (absl::Now() - row.heard > kPatience) {
            row.error = jobs.status().ToString();
            row.job_id.clear();
          }
          continue;
        }
        row.heard = absl::Now();
        bool found = false;
        for (const storage::v1::Job& job : jobs->jobs()) {
          if (job.job_id() != row.job_id) continue;
          found = true;
          Take(job, &row, progress);
          break;
        }
        if (!found) {
          row.error = "the node was restarted meanwhile";
          row.job_id.clear();
        }
      }
    }
    progress->Tick();
    if (Wait(kPoll)) return;
  }
}

void Census::CompareAll() {
  const std::unique_ptr<Progress> progress =
      session_->MakeProgress("comparing");
  int64_t files = 0;
  for (const Row& row : rows_) {
    files += row.files * std::max<int64_t>(1, row.peers_expected);
  }
  while (passes_ < kPassesMax && !interrupted_) {
    ++passes_;
    progress->SetTotal(files * passes_, absl::nullopt);
    for (Row& row : rows_) {
      if (!row.error.empty()) continue;
      row.compared.Clear();
      StartCompare(&row);
    }
    Follow(progress.get());
    bool again = false;
    for (Row& row : rows_) {
      row.differing += row.compared.differing();
      row.mended += row.compared.mended();
      again = again || (row.error.empty() && row.compared.differing() > 0);
    }
    if (!again) return;
  }
}

void Census::ScrubAll() {
  const std::unique_ptr<Progress> progress = session_->MakeProgress("reading");
  int64_t files = 0;
  for (const Row& row : rows_) files += row.files;
  progress->SetTotal(files, absl::nullopt);
  for (Row& row : rows_) {
    if (row.error.empty()) StartScrub(&row);
  }
  Follow(progress.get());
}

void Census::AskStates() {
  std::map<std::string, absl::StatusOr<storage::v1::GetStateResponse>> states;
  for (Row& row : rows_) {
    if (!row.error.empty()) continue;
    const auto [it, added] =
        states.emplace(row.address, absl::UnknownError("not asked"));
    if (added) it->second = queries_->GetState(row.address, timeout_);
    if (!it->second.ok()) {
      row.error = it->second.status().ToString();
      continue;
    }
    for (const auto& path : it->second->store_paths()) {
      if (path.index() != row.path) continue;
      row.files = path.files();
      row.missing_contents = path.replication().missing_contents();
      row.damaged_now = path.upkeep().damaged_files();
      row.unmendable = path.upkeep().unmendable_files();
    }
  }
}

// As long as they become fewer: what was just taken over is on its way.
void Census::AwaitContents() {
  uint64_t fewest = UINT64_MAX;
  absl::Time since = absl::Now();
  while (!interrupted_) {
    AskStates();
    uint64_t waiting = 0;
    for (const Row& row : rows_) {
      if (row.error.empty()) {
        waiting += row.missing_contents + row.damaged_now - row.unmendable;
      }
    }
    if (waiting < fewest) {
      fewest = waiting;
      since = absl::Now();
    }
    if (waiting == 0 || absl::Now() - since > kPatience) return;
    Wait(kPoll);
  }
}

std::string Census::NextStepFor(const Row& row) const {
  if (!row.error.empty() || !row.agrees()) {
    if (row.compared.conflicts() > 0) {
      return absl::StrCat(
          "two members have different files under one version; the log of ",
          row.name,
          " names them, docs/runbooks/damaged_content.md says what "
          "to do");
    }
    if (!row.error.empty() || row.compared.failed_peers() > 0 ||
        row.compared.peers() < row.peers_expected) {
      return "bring all members up (`cairn status` says which are not), and "
             "run this again";
    }
    return "run this again; if it stays, see docs/runbooks/damaged_content.md";
  }
  if (row.unmendable > 0) {
    return absl::StrCat(
        "no member has a good copy: `cairn status` and the log "
        "of ",
        row.name,
        " name the files, "
        "docs/runbooks/damaged_content.md says what to do");
  }
  return "contents are still on their way: run this again in a while";
}

void Census::TellRow(const Row& row) {
  Json json;
  json["group"] = row.group;
  json["node"] = row.name;
  json["store_path"] = row.path;
  json["files"] = row.files;
  json["peers"] = row.compared.peers();
  json["expected_peers"] = row.peers_expected;
  json["compared"] = row.compared.names();
  json["differing"] = row.differing;
  json["mended"] = row.mended;
  json["still_differing"] = row.compared.differing();
  json["conflicts"] = row.compared.conflicts();
  json["missing_contents"] = row.missing_contents;
  if (flags_.deep) {
    json["read_files"] = row.scrubbed.files();
    json["read_bytes"] = row.scrubbed.bytes();
    json["damaged"] = row.scrubbed.damaged();
    json["damaged_mended"] = row.scrubbed.mended();
  }
  json["damaged_now"] = row.damaged_now;
  json["unmendable"] = row.unmendable;
  json["good"] = row.good();
  if (!row.error.empty()) json["error"] = row.error;
  if (!row.good()) json["next_step"] = NextStepFor(row);
  session_->PrintJson(json);
}

ExitCode Census::Tell() {
  ExitCode exit = kExitOk;
  if (session_->json()) {
    for (const Row& row : rows_) TellRow(row);
  } else {
    Table table("llllrrrrrrrr");
    table.AddRow({"GROUP", "NODE", "PATH", "STATE", "FILES", "COMPARED",
                  "DIFFERING", "MENDED", "MISSING", "READ", "DAMAGED",
                  "UNMENDABLE"});
    for (const Row& row : rows_) {
      table.AddRow({row.group, row.name, PathName(row.path),
                    row.good() ? "good" : "BAD", absl::StrCat(row.files),
                    absl::StrCat(row.compared.names()),
                    absl::StrCat(row.differing),
                    absl::StrCat(row.mended + row.scrubbed.mended()),
                    absl::StrCat(row.missing_contents),
                    flags_.deep ? absl::StrCat(row.scrubbed.files()) : "-",
                    flags_.deep ? absl::StrCat(row.scrubbed.damaged())
                                : absl::StrCat(row.damaged_now),
                    absl::StrCat(row.unmendable)});
    }
    session_->Write(table.ToString());
  }
  std::set<std::string> steps;
  for (const Row& row : rows_) {
    if (row.good()) continue;
    const bool damaged = row.compared.differing() > 0 ||
                         row.missing_contents > 0 || row.damaged_now > 0;
    exit = Combine(exit, damaged ? kExitDamaged : kExitUnavailable);
    session_->Say(absl::StrCat(
        "cairn: ", row.name, " ", PathName(row.path), ": ",
        row.error.empty()
            ? absl::StrCat(row.compared.peers(), " of ", row.peers_expected,
                           " members compared, differing ",
                           row.compared.differing(), " (conflicts ",
                           row.compared.conflicts(), "), missing contents ",
                           row.missing_contents, ", damaged ", row.damaged_now,
                           ", of these unmendable ", row.unmendable)
            : row.error));
    steps.insert(NextStepFor(row));
  }
  for (const std::string& step : steps) {
    session_->Say(absl::StrCat("cairn: next: ", step));
  }
  if (interrupted_) {
    session_->Say(
        "cairn: interrupted; the jobs go on at the nodes, `cairn status` shows "
        "them");
    return kExitInterrupted;
  }
  if (exit != kExitOk) return exit;
  int64_t mended = 0;
  for (const Row& row : rows_) mended += row.mended + row.scrubbed.mended();
  session_->Say(absl::StrCat(
      "cairn: all members agree",
      flags_.deep ? ", and every content is what it was" : "",
      mended > 0 ? absl::StrCat("; ", Count(mended, "file"), " mended") : ""));
  return kExitOk;
}

ExitCode Census::Run() {
  const absl::Status found = FindMembers();
  if (!found.ok()) return session_->Fail(found);
  AskStates();
  CompareAll();
  AwaitContents();
  if (flags_.deep && !interrupted_) {
    ScrubAll();
    AwaitContents();
  }
  return Tell();
}

}  // namespace

ExitCode RunCensus(const VerifyFlags& flags, Session* session) {
  int64_t rate = 0;
  if (!flags.rate.empty()) {
    const absl::StatusOr<int64_t> parsed = ParseBytes(flags.rate);
    if (!parsed.ok()) {
      return session->Fail(ErrorWithReason(absl::StatusCode::kInvalidArgument,
                                           ErrorReason::kInvalidField,
                                           parsed.status().message()),
                           "--rate");
    }
    rate = *parsed;
  }
  if (!flags.file_ids.empty() || !flags.manifest.empty()) {
    return session->Fail(ErrorWithReason(
        absl::StatusCode::kInvalidArgument, ErrorReason::kInvalidField,
        "--cluster takes all files; leave the IDs and --manifest out"));
  }
  if (session->flags().print_grpcurl) {
    Json compare;
    compare["storePath"] = 0;
    session->Print("# for each store path of each node:");
    session->Print(GrpcurlCall(*session, "HOST:PORT",
                               "cairn.storage.v1.NodeService/Compare",
                               compare));
    if (flags.deep) {
      Json scrub = compare;
      scrub["bytesPerSecond"] = absl::StrCat(rate);
      session->Print(GrpcurlCall(*session, "HOST:PORT",
                                 "cairn.storage.v1.NodeService/Scrub", scrub));
    }
    session->Print(GrpcurlCall(*session, "HOST:PORT",
                               "cairn.storage.v1.NodeService/ListJobs",
                               Json::object()));
    return kExitOk;
  }
  return Census(flags, rate, session).Run();
}

}  // namespace cli
}  // namespace cairn
