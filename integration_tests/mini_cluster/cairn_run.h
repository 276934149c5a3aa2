// The real command, run to its end.

#ifndef CAIRN_INTEGRATION_TESTS_MINI_CLUSTER_CAIRN_RUN_H_
#define CAIRN_INTEGRATION_TESTS_MINI_CLUSTER_CAIRN_RUN_H_

#include <string>
#include <vector>

namespace cairn {
namespace testing {

// What a run left behind.
struct Finished {
  std::string end;  // As ExitStatus::ToString(); empty if it did not start.
  std::string log;  // Standard output and standard error.
};

// Writes to `log_file`. Fails the test if the command cannot be run.
Finished RunCairn(std::vector<std::string> arguments,
                  const std::string& log_file);

}  // namespace testing
}  // namespace cairn

#endif  // CAIRN_INTEGRATION_TESTS_MINI_CLUSTER_CAIRN_RUN_H_
