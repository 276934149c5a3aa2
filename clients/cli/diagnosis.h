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

Diagnosis Diagnose(const Observations& observations);

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_DIAGNOSIS_H_
