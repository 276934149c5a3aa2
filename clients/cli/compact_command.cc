// cairn compact: gives room of deleted files back now, on one node.
//
//   for each store path: Compact ─▶ job ─▶ ListJobs … ─▶ what it made of it

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "clients/cli/cluster_nodes.h"
#include "clients/cli/commands.h"
#include "clients/cli/format.h"
#include "clients/cli/grpcurl.h"
#include "clients/cli/interrupt.h"
#include "clients/cli/node_queries.h"
#include "lib/base/error_reason.h"
#include "lib/base/mutex.h"
#include "lib/base/status_macros.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace cli {
namespace {

constexpr absl::Duration kPoll = absl::Milliseconds(200);

// A node that says nothing for so long is given up.
constexpr absl::Duration kPatience = absl::Seconds(30);

class CompactRun {
 public:
  CompactRun(const CompactFlags& flags, Session* session)
      : flags_(flags),
        session_(session),
        queries_(session->environment().queries),
        timeout_(QueryTimeout(*session)) {}

  ExitCode Run();

 private:
  // Free bytes of a store path, as the node says it now; 0 if it does not.
  int64_t FreeBytes(uint32_t store_path);

  // Starts the job and follows it to its end.
  //   CANCELLED  the user wants no more; the job goes on.
  absl::StatusOr<storage::v1::Job> Compact(uint32_t store_path);
  bool Wait();

  const CompactFlags& flags_;
  Session* const session_;
  NodeQueries* const queries_;
  const absl::Duration timeout_;
  std::string address_;
};

bool CompactRun::Wait() {
  Mutex mu;
  CondVar never;
  MutexLock lock(&mu);
  const absl::Time end = absl::Now() + kPoll;
  while (!session_->environment().interrupt->raised()) {
    const absl::Duration left = end - absl::Now();
    if (left <= absl::ZeroDuration()) return false;
    never.WaitWithTimeout(
        &mu, std::min(left, absl::Milliseconds(kInterruptPollMillis)));
  }
  return true;
}

int64_t CompactRun::FreeBytes(uint32_t store_path) {
  const auto state = queries_->GetState(address_, timeout_);
  if (!state.ok()) return 0;
  for (const storage::v1::StorePathStatus& path : state->store_paths()) {
    if (path.index() == store_path) return path.free_bytes();
  }
  return 0;
}

absl::StatusOr<storage::v1::Job> CompactRun::Compact(uint32_t store_path) {
  storage::v1::CompactRequest request;
  request.set_store_path(store_path);
  if (flags_.dead_share >= 0) request.set_dead_share_min(flags_.dead_share);
  request.set_drop_deleted(flags_.drop_deleted);
  CAIRN_ASSIGN_OR_RETURN(
      storage::v1::Job job,
      queries_->StartCompaction(address_, request, timeout_));
  absl::Time heard = absl::Now();
  while (job.state() == storage::v1::JOB_STATE_RUNNING) {
    if (Wait()) return absl::CancelledError("interrupted");
    const auto jobs = queries_->ListJobs(address_, timeout_);
    if (!jobs.ok()) {
      if (absl::Now() - heard > kPatience) return jobs.status();
      continue;
    }
    heard = absl::Now();
    const auto found = std::find_if(
        jobs->jobs().begin(), jobs->jobs().end(),
        [&](const auto& one) { return one.job_id() == job.job_id(); });
    if (found == jobs->jobs().end()) {
      return absl::UnavailableError("the node was restarted meanwhile");
    }
    job = *found;
  }
  if (job.state() != storage::v1::JOB_STATE_SUCCEEDED) {
    return absl::AbortedError(job.detail());
  }
  return job;
}

ExitCode CompactRun::Run() {
  const absl::StatusOr<tracker::v1::Node> node =
      FindNode(flags_.node, session_);
  if (!node.ok()) return session_->Fail(node.status(), flags_.node);
  address_ = node->identity().address();
  std::vector<uint32_t> paths;
  for (const auto& path : node->report().store_paths()) {
    if (flags_.store_path < 0 ||
        path.index() == static_cast<uint32_t>(flags_.store_path)) {
      paths.push_back(path.index());
    }
  }
  if (paths.empty()) {
    return session_->Fail(
        ErrorWithReason(
            absl::StatusCode::kNotFound, ErrorReason::kUnknownStorePath,
            absl::StrCat(node->identity().name(), " has no such store path")),
        flags_.node);
  }
  ExitCode exit = kExitOk;
  for (const uint32_t path : paths) {
    const std::string what =
        absl::StrCat(node->identity().name(), " store path ", path);
    Json json;
    json["node"] = node->identity().name();
    json["store_path"] = path;
    const int64_t free_before = FreeBytes(path);
    const absl::StatusOr<storage::v1::Job> job = Compact(path);
    if (absl::IsCancelled(job.status())) {
      session_->Say(
          "cairn: interrupted; the compaction that was begun goes on");
      return kExitInterrupted;
    }
    if (!job.ok()) {
      exit = Combine(exit, session_->FailItem(job.status(), what, json));
      continue;
    }
    const int64_t free_bytes = FreeBytes(path);
    if (session_->json()) {
      json["free_bytes_before"] = free_before;
      json["free_bytes"] = free_bytes;
      session_->PrintJson(json);
    } else {
      session_->Print(absl::StrCat(what, ": compacted, ",
                                   FormatBytes(free_bytes), " free, ",
                                   FormatBytes(free_before), " before"));
    }
  }
  return exit;
}

}  // namespace

ExitCode RunCompact(const CompactFlags& flags, Session* session) {
  if (session->flags().print_grpcurl) {
    Json request;
    request["storePath"] = std::max(flags.store_path, 0);
    if (flags.dead_share >= 0) request["deadShareMin"] = flags.dead_share;
    if (flags.drop_deleted) request["dropDeleted"] = true;
    if (flags.store_path < 0) session->Print("# for each store path:");
    session->Print(GrpcurlCall(*session, "HOST:PORT",
                               "cairn.storage.v1.NodeService/Compact",
                               request));
    return kExitOk;
  }
  return CompactRun(flags, session).Run();
}

}  // namespace cli
}  // namespace cairn
