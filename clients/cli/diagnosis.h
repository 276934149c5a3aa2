// One verdict over a cluster, with its reasons and what to do about each.
//
// Pure: it judges what others have asked.

#ifndef CAIRN_CLIENTS_CLI_DIAGNOSIS_H_
#define CAIRN_CLIENTS_CLI_DIAGNOSIS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "cairn/storage/v1/node_service.pb.h"
#include "cairn/tracker/v1/admin_service.pb.h"
#include "cairn/tracker/v1/cluster.pb.h"

namespace cairn {
namespace cli {

// From well to worse. kHealthy: all is well. kDegraded: files are read and
// written, but something needs a hand. kAtRisk: the same, and the loss of one
// more disk may lose files. kReadOnly: files are read, and none can be stored.
// kDown: some files cannot be read.
enum class Verdict { kHealthy, kDegraded, kAtRisk, kReadOnly, kDown };

// "healthy", "degraded", "at_risk", "read_only", "down".
std::string VerdictName(Verdict verdict);

// The same for people: "AT RISK".
std::string VerdictTitle(Verdict verdict);

struct Finding {
  Verdict verdict = Verdict::kDegraded;  // What it makes of the whole.
  std::string what;
  std::string next_command;  // To run next; may be empty.
};

// What was asked and what came back.
struct Observations {
  // By address: OK, or why a tracker does not answer.
  std::map<std::string, absl::Status> trackers;

  std::vector<tracker::v1::Node> nodes;

  // By address, of the nodes that are there.
  std::map<std::string, absl::StatusOr<storage::v1::GetStateResponse>> states;

  // By address, of the same nodes: their jobs. One that did not answer is left
  // out.
  std::map<std::string, storage::v1::ListJobsResponse> jobs;

  // What operators have decided.
  tracker::v1::ListDecisionsResponse decisions;
};

// A store path, as its node says, or as it was said last to the trackers.
struct DiskLine {
  std::string group;
  std::string node;     // Its name.
  std::string address;  // Of the node.
  std::string node_state;
  uint32_t store_path = 0;
  std::string directory;  // Empty if the node does not answer.
  std::string state;      // "active", "syncing", "full", "read_only" …
  int64_t files = 0;
  int64_t file_bytes = 0;
  int64_t free_bytes = 0;  // Above the reserve.
  int64_t total_bytes = 0;
  int64_t undelete_bytes = 0;  // Kept of deleted files.
};

// What a store path of one member lacks of what the same path of another has.
struct PairLag {
  std::string group;
  std::string node;  // Name of the one that lacks it,
  std::string peer;  // and of the one that has it.
  uint32_t store_path = 0;
  bool pulling = false;
  uint64_t changes = 0;
  double seconds = 0;  // Age of the oldest of them; 0 without any.

  // What they are in bytes if they are like the other's files: the logs keep no
  // sizes. Unset if nothing is known of these.
  absl::optional<int64_t> estimated_bytes;

  // The other's logs do not reach back so far: everything is copied anew.
  bool needs_snapshot = false;
};

// Long work on a store path, running.
struct RunningJob {
  std::string node;  // Its name.
  uint32_t store_path = 0;

  // "compaction", "rebuild_index", "scrub", "compare"; and what the path does
  // by itself: "snapshot", "catch_up".
  std::string kind;
  std::string detail;  // How far it is, where bytes do not say it.
  int64_t done_bytes = 0;
  int64_t total_bytes = 0;  // 0: not known.
  absl::optional<double> bytes_per_second;
  absl::optional<absl::Duration> left;
};

struct Diagnosis {
  Verdict verdict = Verdict::kHealthy;
  std::vector<Finding> findings;  // Worst first.
  int trackers = 0;
  int answering_trackers = 0;
  int nodes = 0;
  int active_nodes = 0;
  int groups = 0;
  int64_t files = 0;       // Sums over groups, of one member each.
  int64_t free_bytes = 0;  // Above the reserves.
  int64_t total_bytes = 0;

  std::vector<DiskLine> disks;

  // Of each ordered pair of members whose nodes answer.
  std::vector<PairLag> lags;

  std::vector<RunningJob> jobs;

  // Changes that fewer members have than are wished for, and files whose
  // content is not at every member yet; over all nodes that answer.
  uint64_t under_replicated_changes = 0;
  uint64_t missing_contents = 0;

  // Changes that could not be applied and were set aside, files whose content
  // is damaged, and those among them of which no member has a good copy; over
  // all nodes that answer.
  uint64_t set_aside_changes = 0;
  uint64_t damaged_files = 0;
  uint64_t unmendable_files = 0;
};

// What operators have decided is among the findings, as kHealthy.
Diagnosis Diagnose(const Observations& observations);

// What is told of the newer one to somebody who knows the older one: a line for
// each change of the verdict and of the findings. `before` null: all of it.
std::vector<std::string> ChangesBetween(const Diagnosis* before,
                                        const Diagnosis& after);

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_DIAGNOSIS_H_
