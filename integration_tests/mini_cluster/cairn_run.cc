#include "integration_tests/mini_cluster/cairn_run.h"

#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "integration_tests/mini_cluster/process.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace testing {

Finished RunCairn(std::vector<std::string> arguments,
                  const std::string& log_file) {
  Finished run;
  auto process = Process::Start(
      {Runfile("clients/cli/cairn"), std::move(arguments), log_file});
  EXPECT_THAT(process, IsOk());
  if (!process.ok()) return run;
  const auto ended = (*process)->Wait();
  EXPECT_THAT(ended, IsOk());
  if (ended.ok()) run.end = ended->ToString();
  run.log = (*process)->Log();
  return run;
}

}  // namespace testing
}  // namespace cairn
