#include "lib/config/complaints.h"

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "lib/base/error_reason.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace {

TEST(ComplaintsTest, IsContentWithWhatIsRight) {
  Complaints complaints;
  complaints.CheckRange("weight", 1, 1, 1000);
  complaints.CheckRange("grace", absl::Hours(1), absl::ZeroDuration(),
                        absl::Hours(1));
  complaints.CheckListenAddress("listen", "127.0.0.1:0");
  complaints.CheckPeerAddress("trackers", "[::1]:7700");
  EXPECT_THAT(complaints.status(), IsOk());
}

TEST(ComplaintsTest, NamesEveryFieldThatIsWrongAndWhatToWrite) {
  Complaints complaints;
  complaints.CheckRange("weight", 1001, 1, 1000);
  complaints.CheckRange("grace", absl::Hours(2), absl::ZeroDuration(),
                        absl::Hours(1));
  complaints.CheckListenAddress("listen", "nowhere");
  complaints.CheckPeerAddress("trackers", "t1:0");
  complaints.CheckPeerAddress("advertise", "nowhere");
  complaints.Add("name", "must not be empty");
  EXPECT_THAT(
      complaints.status(),
      StatusIs(absl::StatusCode::kInvalidArgument,
               "weight: 1001 does not lie between 1 and 1000\n"
               "grace: 2h does not lie between 0 and 1h\n"
               "listen: `nowhere` is not an address; write host:port or "
               "[v6]:port\n"
               "trackers: `t1:0` has port 0; others need the real one\n"
               "advertise: `nowhere` is not an address; write host:port or "
               "[v6]:port\n"
               "name: must not be empty"));
  EXPECT_EQ(ReasonOf(complaints.status()), ErrorReason::kInvalidField);
}

}  // namespace
}  // namespace cairn
