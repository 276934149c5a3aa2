#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/process/ready_file.h"
#include "lib/process/termination.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace {

using ::testing::HasSubstr;

TEST(TerminationSignalsTest, WaitsForEitherSignalAndTheNextOneKills) {
  for (const int signal : {SIGTERM, SIGINT}) {
    EXPECT_EXIT(
        {
          TerminationSignals signals;
          kill(getpid(), signal);
          if (signals.Wait() == signal) kill(getpid(), SIGTERM);
        },
        ::testing::KilledBySignal(SIGTERM), "");
  }
}

TEST(ReadyFileTest, HoldsTheFieldsAsJson) {
  const std::string path = absl::StrCat(::testing::TempDir(), "/ready.json");
  ASSERT_THAT(
      WriteReadyFile(path, {{"tracker", "127.0.0.1:7"}, {"data", "a \"b\"\n"}}),
      IsOk());
  std::ifstream file(path);
  const std::string content((std::istreambuf_iterator<char>(file)),
                            std::istreambuf_iterator<char>());
  EXPECT_EQ(content,
            "{\"tracker\":\"127.0.0.1:7\",\"data\":\"a \\\"b\\\"\\n\"}\n");
  EXPECT_NE(access(absl::StrCat(path, ".tmp").c_str(), F_OK), 0);
}

TEST(ReadyFileTest, SaysWhyItCannotBeWritten) {
  EXPECT_THAT(
      WriteReadyFile("/nowhere/ready", {}),
      StatusIs(absl::StatusCode::kUnavailable, HasSubstr("/nowhere/ready")));
}

}  // namespace
}  // namespace cairn
