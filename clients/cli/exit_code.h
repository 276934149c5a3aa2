// What a command's exit code says, and what its user may do next.

#ifndef CAIRN_CLIENTS_CLI_EXIT_CODE_H_
#define CAIRN_CLIENTS_CLI_EXIT_CODE_H_

#include <string>

#include "absl/status/status.h"

namespace cairn {
namespace cli {

// Documented in docs/cli.md: scripts rely on the numbers.
enum ExitCode : int {
  kExitOk = 0,
  kExitFailed = 1,
  kExitUsage = 2,
  kExitNotFound = 3,
  kExitUnavailable = 4,
  kExitDamaged = 5,
  kExitInterrupted = 130,
};

// The exit code of a command that ended with `status`.
ExitCode ExitCodeOf(const absl::Status& status);

// Of two parts of a command: what both say, or kExitFailed where they differ.
// kExitOk gives way to any other.
ExitCode Combine(ExitCode a, ExitCode b);

// `DISK_FULL`, or the name of the code (`UNAVAILABLE`) where no reason is
// known.
std::string ReasonText(const absl::Status& status);

// One sentence that tells a person what to do about `status`; empty if nothing
// general can be said.
std::string NextStep(const absl::Status& status);

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_EXIT_CODE_H_
