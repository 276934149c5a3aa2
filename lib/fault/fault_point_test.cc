// Fault points: what arms them, and what they then do.

#include "lib/fault/fault_point.h"

#include <atomic>
#include <csignal>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

FaultPoint before("test.before");
FaultPoint after("test.after");

class FaultPointTest : public ::testing::Test {
 protected:
  ~FaultPointTest() override { DisableFaultPoints(); }

  // `e` for an error, `.` for none.
  static std::string Passes(FaultPoint* point, int times) {
    std::string outcomes;
    for (int i = 0; i < times; ++i) outcomes += point->Pass().ok() ? '.' : 'e';
    return outcomes;
  }
};

TEST_F(FaultPointTest, UnarmedPointsDoNothing) {
  EXPECT_EQ(Passes(&before, 5), ".....");
  EXPECT_THAT(EnableFaultPoints(""), IsOk());
  EXPECT_EQ(Passes(&before, 5), ".....");
}

TEST_F(FaultPointTest, FailsAtTheNthPassOnly) {
  ASSERT_THAT(EnableFaultPoints("test.before=error@3"), IsOk());
  EXPECT_EQ(Passes(&after, 5), ".....");
  EXPECT_EQ(Passes(&before, 5), "..e..");
}

TEST_F(FaultPointTest, FailsFromTheNthPassOnWithAPlus) {
  ASSERT_THAT(EnableFaultPoints("test.before=error@2+;test.after=error"),
              IsOk());
  EXPECT_EQ(Passes(&before, 5), ".eeee");
  EXPECT_EQ(Passes(&after, 3), "e..");
  DisableFaultPoints();
  EXPECT_EQ(Passes(&before, 2), "..");
}

TEST_F(FaultPointTest, TheErrorNamesThePointAndHasTheCode) {
  ASSERT_THAT(
      EnableFaultPoints("test.before=error@1+;test.after=error:ABORTED"),
      IsOk());
  EXPECT_THAT(before.Pass(), StatusIs(absl::StatusCode::kUnavailable,
                                      HasSubstr("test.before")));
  EXPECT_THAT(after.Pass(), StatusIs(absl::StatusCode::kAborted));
  before.PassOrDie();
}

TEST_F(FaultPointTest, Delays) {
  ASSERT_THAT(EnableFaultPoints("test.before=delay:20ms@2"), IsOk());
  EXPECT_THAT(before.Pass(), IsOk());
  const absl::Time start = absl::Now();
  EXPECT_THAT(before.Pass(), IsOk());
  EXPECT_GE(absl::Now() - start, absl::Milliseconds(19));
}

TEST_F(FaultPointTest, AbortKillsTheProcessAtTheNthPass) {
  EXPECT_EXIT(
      {
        EnableFaultPoints("test.before=abort@2").IgnoreError();
        before.PassOrDie();
        before.PassOrDie();
      },
      ::testing::KilledBySignal(SIGKILL), "test.before");
}

TEST_F(FaultPointTest, RefusesWhatItDoesNotKnowAndArmsNothing) {
  const struct {
    const char* list;
    const char* why;
  } table[] = {{"test.none=abort", "there are test.after, test.before"},
               {"test.before", "no such action: ''"},
               {"test.before=explode", "no such action: 'explode'"},
               {"test.before=error:NICE", "no such status code: 'NICE'"},
               {"test.before=error:OK", "no such status code"},
               {"test.before=delay:soon", "no such time: 'soon'"},
               {"test.before=delay:-1s", "no such time"},
               {"test.before=error@0", "number from 1"},
               {"test.before=error;test.after=", "no such action"}};
  for (const auto& row : table) {
    EXPECT_THAT(
        EnableFaultPoints(row.list),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(row.why)))
        << row.list;
    EXPECT_EQ(Passes(&before, 2), "..");
  }
}

TEST_F(FaultPointTest, NamesAreListed) {
  EXPECT_THAT(FaultPointNames(), ElementsAre("test.after", "test.before"));
}

TEST_F(FaultPointTest, ThreadsShareTheCount) {
  ASSERT_THAT(EnableFaultPoints("test.before=error@150"), IsOk());
  std::vector<std::thread> threads;
  std::atomic<int> errors{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&errors] {
      for (int i = 0; i < 100; ++i) {
        if (!before.Pass().ok()) ++errors;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(errors, 1);
}

}  // namespace
}  // namespace cairn
