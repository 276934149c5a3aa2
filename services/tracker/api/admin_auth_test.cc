// Who may decide: only who knows the secret, once for each challenge, soon, and
// only what was signed.

#include "services/tracker/api/admin_auth.h"

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/error_reason.h"
#include "lib/rpc/cluster_auth.h"
#include "lib/testing/fake_clock.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace tracker {
namespace {

using ::testing::HasSubstr;

constexpr char kSecret[] = "a secret of twenty-odd characters";
constexpr char kMethod[] = "/cairn.tracker.v1.AdminService/SetNode";
constexpr char kRequest[] = "the request";

class AdminAuthTest : public ::testing::Test {
 protected:
  static std::string Proof(const std::string& challenge,
                           const std::string& secret = kSecret) {
    return rpc::AdminProof(secret, kMethod, challenge, kRequest);
  }

  void ExpectRefused(const absl::Status& status, const std::string& why) {
    EXPECT_THAT(status,
                StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr(why)));
    EXPECT_EQ(ReasonOf(status), ErrorReason::kNotAMember);
  }

  FakeClock clock_;
  AdminAuth auth_{kSecret, &clock_};
};

TEST_F(AdminAuthTest, AChallengeServesOnce) {
  const std::string one = auth_.MakeChallenge();
  const std::string two = auth_.MakeChallenge();
  EXPECT_NE(one, two);
  EXPECT_THAT(auth_.Check(kMethod, one, Proof(one), kRequest), IsOk());
  ExpectRefused(auth_.Check(kMethod, one, Proof(one), kRequest), "before");
  EXPECT_THAT(auth_.Check(kMethod, two, Proof(two), kRequest), IsOk());
  ExpectRefused(auth_.Check(kMethod, one, Proof(one), kRequest), "before");
}

TEST_F(AdminAuthTest, AChallengeThatWasUsedStaysUsedUntilItIsOver) {
  const std::string challenge = auth_.MakeChallenge();
  EXPECT_THAT(auth_.Check(kMethod, challenge, Proof(challenge), kRequest),
              IsOk());
  clock_.Advance(AdminAuth::kLifetime);
  ExpectRefused(auth_.Check(kMethod, challenge, Proof(challenge), kRequest),
                "before");
  clock_.Advance(absl::Milliseconds(1));
  ExpectRefused(auth_.Check(kMethod, challenge, Proof(challenge), kRequest),
                "30 s");
}

TEST_F(AdminAuthTest, TheWallClockDecidesNothing) {
  const std::string challenge = auth_.MakeChallenge();
  clock_.JumpTo(absl::FromUnixSeconds(0));
  EXPECT_THAT(auth_.Check(kMethod, challenge, Proof(challenge), kRequest),
              IsOk());
}

TEST_F(AdminAuthTest, AnotherMethodRequestOrSecretIsRefused) {
  const std::string challenge = auth_.MakeChallenge();
  const std::string proof = Proof(challenge);
  ExpectRefused(auth_.Check("/cairn.tracker.v1.AdminService/RemoveNode",
                            challenge, proof, kRequest),
                "proof is wrong");
  ExpectRefused(auth_.Check(kMethod, challenge, proof, "another request"),
                "proof is wrong");
  ExpectRefused(
      auth_.Check(kMethod, challenge, Proof(challenge, "another"), kRequest),
      "proof is wrong");
  ExpectRefused(auth_.Check(kMethod, challenge, "", kRequest), "--secret-file");
  ExpectRefused(auth_.Check(kMethod, "", proof, kRequest), "--secret-file");
  // None of that has used it up.
  EXPECT_THAT(auth_.Check(kMethod, challenge, proof, kRequest), IsOk());
}

TEST_F(AdminAuthTest, OnlyItsOwnChallengesAreTaken) {
  AdminAuth other(kSecret, &clock_);
  const std::string foreign = other.MakeChallenge();
  ExpectRefused(auth_.Check(kMethod, foreign, Proof(foreign), kRequest),
                "not one of this tracker's");
  std::string changed = auth_.MakeChallenge();
  changed[0] = changed[0] == 'f' ? 'e' : 'f';  // Younger than it is.
  ExpectRefused(auth_.Check(kMethod, changed, Proof(changed), kRequest),
                "not one of this tracker's");
  std::string shouted = auth_.MakeChallenge();
  shouted[79] = 'X';
  ExpectRefused(auth_.Check(kMethod, shouted, Proof(shouted), kRequest),
                "not one of this tracker's");
  const std::string longer = absl::StrCat(auth_.MakeChallenge(), "00");
  ExpectRefused(auth_.Check(kMethod, longer, Proof(longer), kRequest),
                "not one of this tracker's");
  ExpectRefused(auth_.Check(kMethod, "00", Proof("00"), kRequest),
                "not one of this tracker's");
}

TEST_F(AdminAuthTest, ManyCallsAreBoundedAndForgotten) {
  const auto call = [&] {
    const std::string challenge = auth_.MakeChallenge();
    return auth_.Check(kMethod, challenge, Proof(challenge), kRequest);
  };
  for (size_t i = 0; i < AdminAuth::kUsedMax; ++i) {
    ASSERT_THAT(call(), IsOk());
  }
  EXPECT_THAT(call(), StatusIs(absl::StatusCode::kResourceExhausted));
  clock_.Advance(AdminAuth::kLifetime + absl::Milliseconds(1));
  EXPECT_THAT(call(), IsOk());
}

}  // namespace
}  // namespace tracker
}  // namespace cairn
