// How members of a group follow each other, as a watcher sees it who asks them
// what they have, many times a second.

#ifndef CAIRN_CLIENTS_PROBE_LAG_H_
#define CAIRN_CLIENTS_PROBE_LAG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "clients/probe/probes.h"

namespace cairn {
namespace probe {

// What both said at a time, since the first sample.
struct LagSample {
  absl::Duration at;
  uint64_t taken = 0;    // Changes that the one took.
  uint64_t applied = 0;  // Changes that the other applied.
};

struct LagSummary {
  uint64_t changes = 0;

  // Age of the oldest change that was taken and not applied, at its greatest.
  absl::Duration longest;

  // From the last change that was taken until all were applied; infinite if
  // they were not.
  absl::Duration until_caught_up;
};

// Of samples in the order of their times.
LagSummary SummariseLag(const std::vector<LagSample>& samples);

// Watches the nodes at `from` and `to`, `host:port` each, until `from` has
// taken something, has taken nothing more for `quiet`, and `to` has applied all
// of it; for `limit` at most. Nothing else may change either of them.
//   changes, longest_seconds, until_caught_up_seconds (-1: not by then),
//   samples
absl::StatusOr<ProbeResult> ProbeLag(const std::string& from,
                                     const std::string& to,
                                     absl::Duration quiet,
                                     absl::Duration limit);

// Waits until the node at `target` has at least `files` files and `bytes` bytes
// of content and records.
//   seconds
//   DEADLINE_EXCEEDED  it has not, after `limit`.
absl::StatusOr<ProbeResult> ProbeFilled(const std::string& target,
                                        int64_t files, int64_t bytes,
                                        absl::Duration limit);

}  // namespace probe
}  // namespace cairn

#endif  // CAIRN_CLIENTS_PROBE_LAG_H_
