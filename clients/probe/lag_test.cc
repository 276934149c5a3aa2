#include "clients/probe/lag.h"

#include "gtest/gtest.h"

namespace cairn {
namespace probe {
namespace {

LagSample At(int millis, uint64_t taken, uint64_t applied) {
  return {absl::Milliseconds(millis), taken, applied};
}

TEST(LagTest, IsTheAgeOfTheOldestChangeThatIsNotApplied) {
  const LagSummary summary = SummariseLag({
      At(0, 0, 0),
      At(100, 10, 0),   // Taken by now, at 100 at the latest.
      At(200, 20, 5),   // The first ten are still not all there: 100 old.
      At(300, 30, 10),  // Those of 200 are 100 old.
      At(400, 30, 10),  // And 200.
      At(500, 30, 30),
  });
  EXPECT_EQ(summary.changes, 30u);
  EXPECT_EQ(summary.longest, absl::Milliseconds(200));
  EXPECT_EQ(summary.until_caught_up, absl::Milliseconds(200));
}

TEST(LagTest, WhoKeepsUpHasNone) {
  const LagSummary summary =
      SummariseLag({At(0, 0, 0), At(100, 10, 10), At(200, 20, 20)});
  EXPECT_EQ(summary.longest, absl::ZeroDuration());
  EXPECT_EQ(summary.until_caught_up, absl::ZeroDuration());
}

TEST(LagTest, WhoNeverCatchesUpSaysSo) {
  const LagSummary summary =
      SummariseLag({At(0, 0, 0), At(100, 10, 0), At(5000, 10, 9)});
  EXPECT_EQ(summary.longest, absl::Milliseconds(4900));
  EXPECT_EQ(summary.until_caught_up, absl::InfiniteDuration());
}

TEST(LagTest, NothingSaysNothing) {
  EXPECT_EQ(SummariseLag({}).changes, 0u);
  EXPECT_EQ(SummariseLag({}).until_caught_up, absl::InfiniteDuration());
}

}  // namespace
}  // namespace probe
}  // namespace cairn
