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
#include "cairn/storage/v1/node_service.pb.h"
#include "cairn/tracker/v1/admin_service.pb.h"
#include "cairn/tracker/v1/cluster.pb.h"

namespace cairn {
namespace cli {

// kOk: all is well. kDegraded: files are read and written, but something needs
// a hand. kDown: some files cannot be read, or none can be stored.
enum class Verdict { kOk, kDegraded, kDown };

// "ok", "degraded", "down".
std::string VerdictName(Verdict verdict);

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

  // What operators have decided.
  tracker::v1::ListDecisionsResponse decisions;
};

struct Diagnosis {
  Verdict verdict = Verdict::kOk;
  std::vector<Finding> findings;  // Worst first.
  int trackers = 0;
  int answering_trackers = 0;
  int nodes = 0;
  int active_nodes = 0;
  int groups = 0;
  int64_t files = 0;       // Sums over groups, of one member each.
  int64_t free_bytes = 0;  // Above the reserves.
  int64_t total_bytes = 0;
};

// What operators have decided is among the findings, as kOk.
Diagnosis Diagnose(const Observations& observations);

// What is told of the newer one to somebody who knows the older one: a line for
// each change of the verdict and of the findings. `before` null: all of it.
std::vector<std::string> ChangesBetween(const Diagnosis* before,
                                        const Diagnosis& after);

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_DIAGNOSIS_H_
