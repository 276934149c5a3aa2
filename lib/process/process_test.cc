#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/process/daemon.h"
#include "lib/process/ready_file.h"
#include "lib/process/stop_limit.h"
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

TEST(StopLimitTest, EndsAProcessThatHangsAndSaysSo) {
  EXPECT_EXIT(
      {
        const StopLimit limit("storage", absl::Milliseconds(10));
        while (true) pause();
      },
      ::testing::ExitedWithCode(1), "cannot stop within 10ms");
}

TEST(StopLimitTest, IsNothingToAProcessThatStops) {
  EXPECT_EXIT(
      {
        { const StopLimit limit("storage", absl::Hours(1)); }
        _exit(7);
      },
      ::testing::ExitedWithCode(7), "^$");
}

TEST(DaemonTest, StopsOnASignalOnceItIsReady) {
  const std::string ready = absl::StrCat(::testing::TempDir(), "/served.json");
  EXPECT_EXIT(
      {
        TerminationSignals signals;
        kill(getpid(), SIGTERM);
        bool stopped = false;
        const absl::Status served = ServeUntilTerminated(
            {"test", ready, {{"listen", "127.0.0.1:7"}}, absl::ZeroDuration()},
            &signals, [&stopped] { stopped = true; });
        _exit(served.ok() && stopped && access(ready.c_str(), F_OK) == 0 ? 0
                                                                         : 1);
      },
      ::testing::ExitedWithCode(0), "stopping signal=15");
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
