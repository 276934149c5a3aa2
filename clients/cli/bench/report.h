// What a benchmark says in the end: the figures of each phase as JSON, as a
// table, and as ratios to an earlier run. The JSON is documented in
// docs/cli.md; scripts read it.

#ifndef CAIRN_CLIENTS_CLI_BENCH_REPORT_H_
#define CAIRN_CLIENTS_CLI_BENCH_REPORT_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "clients/cli/bench/load.h"
#include "clients/cli/session.h"

namespace cairn {
namespace cli {

// What processes used while a phase ran.
struct ResourceUse {
  absl::Duration client_cpu;

  // Of all storage nodes together; unset if they could not be asked.
  absl::optional<absl::Duration> server_cpu;
  int64_t server_resident_bytes = 0;  // At the end.
};

// The figures of one phase.
Json PhaseJson(const LoadOptions& options, const LoadResult& result,
               const ResourceUse& use);

// A table with a line for each phase of `report` (its "phases").
std::string ReportTable(const Json& report);

// Adds to each phase of `report` the "ratio" of its figures to those of the
// phase of the same operation in `old_report`, the text of an earlier report.
//   INVALID_ARGUMENT  `old_report` is none.
absl::Status AddRatios(absl::string_view old_report, Json* report);

// A table of the ratios.
std::string RatioTable(const Json& report);

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_BENCH_REPORT_H_
