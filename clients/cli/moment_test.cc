// Times and ages as people type them.

#include "clients/cli/moment.h"

#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace cli {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1767225600);  // 2026-01-01.

TEST(MomentTest, TakesTimes) {
  EXPECT_THAT(ParseMoment("2026-01-01", kNow), IsOkAndHolds(kNow));
  EXPECT_THAT(ParseMoment("2026-01-01T00:00:00", kNow), IsOkAndHolds(kNow));
  EXPECT_THAT(ParseMoment("2026-01-01T00:00:00Z", kNow), IsOkAndHolds(kNow));
  EXPECT_THAT(ParseMoment("2026-01-01T01:00:00+01:00", kNow),
              IsOkAndHolds(kNow));
  EXPECT_THAT(ParseMoment("@1767225600", kNow), IsOkAndHolds(kNow));
}

TEST(MomentTest, TakesAges) {
  EXPECT_THAT(ParseMoment("90s", kNow), IsOkAndHolds(kNow - absl::Seconds(90)));
  EXPECT_THAT(ParseMoment("15m", kNow), IsOkAndHolds(kNow - absl::Minutes(15)));
  EXPECT_THAT(ParseMoment("2h", kNow), IsOkAndHolds(kNow - absl::Hours(2)));
  EXPECT_THAT(ParseMoment("7d", kNow), IsOkAndHolds(kNow - absl::Hours(168)));
  EXPECT_THAT(ParseMoment("3w", kNow), IsOkAndHolds(kNow - absl::Hours(504)));
}

TEST(MomentTest, RefusesEverythingElse) {
  for (const char* const text :
       {"", "@", "@-1", "@99999999999999", "5", "h", "-2h", "99999999w",
        "yesterday", "2026-13-01", "2026-01-01 00:00:00", "1h30m"}) {
    EXPECT_THAT(ParseMoment(text, kNow),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << text;
  }
}

}  // namespace
}  // namespace cli
}  // namespace cairn
