// The harness itself: what it says about processes is so.

#include "integration_tests/mini_cluster/process.h"

#include <signal.h>

#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace testing {
namespace {

using ::testing::HasSubstr;

std::unique_ptr<Process> StartShell(const std::string& folder,
                                    const std::string& script) {
  auto process =
      Process::Start({"/bin/sh", {"-c", script}, absl::StrCat(folder, "/log")});
  EXPECT_THAT(process, IsOk());
  return *std::move(process);
}

TEST(ProcessTest, ReportsTheExitCodeAndKeepsTheOutput) {
  const std::string folder = MakeTempFolder("process");
  auto process = StartShell(folder, "echo out; echo err >&2; exit 7");
  auto ended = process->Wait();
  ASSERT_THAT(ended, IsOk());
  EXPECT_EQ(ended->ToString(), "exit 7");
  EXPECT_THAT(process->Log(), HasSubstr("out"));
  EXPECT_THAT(process->Log(), HasSubstr("err"));
}

TEST(ProcessTest, KillEndsWhatIgnoresSigterm) {
  const std::string folder = MakeTempFolder("process");
  auto process =
      StartShell(folder, absl::StrCat("trap '' TERM; echo ready > ", folder,
                                      "/ready; while :; do sleep 1; done"));
  ASSERT_THAT(process->WaitForFile(absl::StrCat(folder, "/ready")), IsOk());
  process->Signal(SIGTERM);
  EXPECT_FALSE(process->ended().has_value());
  process->Kill();
  ASSERT_TRUE(process->ended().has_value());
  EXPECT_EQ(process->ended()->ToString(), "signal 9");
}

TEST(ProcessTest, WaitingForAFileSaysWhyItWillNotCome) {
  const std::string folder = MakeTempFolder("process");
  auto process = StartShell(folder, "echo no disk; exit 3");
  EXPECT_THAT(
      process->WaitForFile(absl::StrCat(folder, "/ready")),
      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("no disk")));
}

TEST(ProcessTest, WaitGivesUpOnWhatGoesOn) {
  const std::string folder = MakeTempFolder("process");
  auto process = StartShell(folder, "while :; do sleep 1; done");
  EXPECT_THAT(process->Wait(absl::Milliseconds(20)),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  auto ended = process->Terminate();
  ASSERT_THAT(ended, IsOk());
  EXPECT_EQ(ended->ToString(), "signal 15");
}

TEST(ProcessTest, AMissingProgramIsAnError) {
  EXPECT_THAT(Process::Start({"/no/such/program", {}, "/dev/null"}),
              StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace testing
}  // namespace cairn
