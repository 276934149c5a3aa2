#include "clients/probe/lag.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cairn/storage/v1/node_service.grpc.pb.h"
#include "lib/base/status_macros.h"

namespace cairn {
namespace probe {
namespace {

using storage::v1::GetStateRequest;
using storage::v1::GetStateResponse;
using storage::v1::NodeService;

// Seldom enough not to be a load itself.
constexpr absl::Duration kInterval = absl::Milliseconds(20);
constexpr absl::Duration kCallLimit = absl::Seconds(10);

class Node {
 public:
  explicit Node(const std::string& address)
      : address_(address),
        stub_(NodeService::NewStub(grpc::CreateChannel(
            address, grpc::InsecureChannelCredentials()))) {}

  absl::StatusOr<GetStateResponse> State() {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + kCallLimit));
    GetStateResponse response;
    const grpc::Status status =
        stub_->GetState(&context, GetStateRequest(), &response);
    if (!status.ok()) {
      return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                          absl::StrCat(address_, ": ", status.error_message()));
    }
    return response;
  }

 private:
  const std::string address_;
  const std::unique_ptr<NodeService::Stub> stub_;
};

uint64_t TakenBy(const GetStateResponse& state) {
  uint64_t taken = 0;
  for (const auto& path : state.store_paths()) taken += path.last_sequence();
  return taken;
}
uint64_t AppliedBy(const GetStateResponse& state) {
  uint64_t applied = 0;
  for (const auto& path : state.store_paths()) {
    applied += path.replication().applied_changes();
  }
  return applied;
}

}  // namespace

LagSummary SummariseLag(const std::vector<LagSample>& samples) {
  LagSummary summary;
  summary.until_caught_up = absl::InfiniteDuration();
  if (samples.empty()) return summary;
  summary.changes = samples.back().taken;
  size_t oldest = 0;  // First sample with a change that is not applied yet.
  size_t last_growth = 0;
  for (size_t i = 0; i < samples.size(); ++i) {
    while (oldest < i && samples[oldest].taken <= samples[i].applied) ++oldest;
    if (samples[oldest].taken > samples[i].applied) {
      summary.longest =
          std::max(summary.longest, samples[i].at - samples[oldest].at);
    }
    if (i > 0 && samples[i].taken > samples[i - 1].taken) last_growth = i;
  }
  for (size_t i = last_growth; i < samples.size(); ++i) {
    if (samples[i].applied >= summary.changes) {
      summary.until_caught_up = samples[i].at - samples[last_growth].at;
      break;
    }
  }
  return summary;
}

absl::StatusOr<ProbeResult> ProbeLag(const std::string& from,
                                     const std::string& to,
                                     absl::Duration quiet,
                                     absl::Duration limit) {
  Node taker(from);
  Node follower(to);
  std::vector<LagSample> samples;
  uint64_t taken_first = 0;
  uint64_t applied_first = 0;
  const absl::Time start = absl::Now();
  absl::Duration grown;
  while (true) {
    // The follower first: what it has not got is never overstated.
    CAIRN_ASSIGN_OR_RETURN(const GetStateResponse behind, follower.State());
    CAIRN_ASSIGN_OR_RETURN(const GetStateResponse ahead, taker.State());
    LagSample sample;
    sample.at = absl::Now() - start;
    if (samples.empty()) {
      taken_first = TakenBy(ahead);
      applied_first = AppliedBy(behind);
    }
    sample.taken = TakenBy(ahead) - taken_first;
    sample.applied = AppliedBy(behind) - applied_first;
    if (samples.empty() || sample.taken > samples.back().taken) {
      grown = sample.at;
    }
    samples.push_back(sample);
    const bool over = sample.taken > 0 && sample.at - grown >= quiet &&
                      sample.applied >= sample.taken;
    if (over || sample.at >= limit) break;
    absl::SleepFor(kInterval);
  }
  const LagSummary summary = SummariseLag(samples);
  const bool caught_up = summary.until_caught_up < absl::InfiniteDuration();
  return ProbeResult{
      {"changes", static_cast<double>(summary.changes)},
      {"longest_seconds", absl::ToDoubleSeconds(summary.longest)},
      {"until_caught_up_seconds",
       caught_up ? absl::ToDoubleSeconds(summary.until_caught_up) : -1},
      {"samples", static_cast<double>(samples.size())}};
}

absl::StatusOr<ProbeResult> ProbeFilled(const std::string& target,
                                        int64_t files, int64_t bytes,
                                        absl::Duration limit) {
  Node node(target);
  const absl::Time start = absl::Now();
  while (true) {
    CAIRN_ASSIGN_OR_RETURN(const GetStateResponse state, node.State());
    const absl::Duration taken = absl::Now() - start;
    int64_t files_there = 0;
    int64_t bytes_there = 0;
    for (const auto& path : state.store_paths()) {
      files_there += path.files();
      bytes_there += path.live_bytes();
    }
    if (files_there >= files && bytes_there >= bytes) {
      return ProbeResult{{"seconds", absl::ToDoubleSeconds(taken)}};
    }
    if (taken > limit) {
      return absl::DeadlineExceededError(
          absl::StrCat(target, " has ", files_there, " of ", files,
                       " files and ", bytes_there, " of ", bytes, " bytes"));
    }
    absl::SleepFor(kInterval);
  }
}

}  // namespace probe
}  // namespace cairn
