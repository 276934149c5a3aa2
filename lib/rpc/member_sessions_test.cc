// The side that is called, without a network. Time is a fake clock's; the
// caller's side is made by hand from the pure functions.

#include "lib/rpc/member_sessions.h"

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/error_reason.h"
#include "lib/rpc/cluster_auth.h"
#include "lib/rpc/member_proof.h"
#include "lib/testing/fake_clock.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace rpc {
namespace {

constexpr char kSecret[] = "a secret of the cluster";
constexpr char kCluster[] = "00112233-4455-6677-8899-aabbccddeeff";
constexpr char kOtherCluster[] = "99112233-4455-6677-8899-aabbccddeeff";
constexpr char kNode[] = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
constexpr char kServer[] = "11111111-2222-4333-8444-555555555555";
constexpr char kSync[] = "/cairn.storage.v1.SyncService/Sync";
constexpr char kFetch[] = "/cairn.storage.v1.SyncService/Fetch";

// A session as the caller has it.
struct Caller {
  std::string id;
  std::string key;

  std::string Sign(uint64_t counter, absl::string_view method = kSync) const {
    return SerializeMemberProof(
        {id, counter, CallMac(key, id, counter, method)});
  }
};

class MemberSessionsTest : public ::testing::Test {
 protected:
  static MemberSessionsOptions Options() {
    MemberSessionsOptions options;
    options.cluster_secret = kSecret;
    options.cluster_id = kCluster;
    options.node_uuid = kServer;
    return options;
  }

  // A challenge that `secret` is answered for.
  Caller Challenge(absl::string_view secret = kSecret,
                   MemberSessions* sessions = nullptr) {
    MemberHandshake handshake;
    handshake.client_nonce = MakeNonce();
    handshake.client_uuid = kNode;
    handshake.cluster_id = kCluster;
    const auto challenge = (sessions == nullptr ? &sessions_ : sessions)
                               ->Begin(handshake.client_nonce, kNode, kCluster);
    EXPECT_THAT(challenge, IsOk());
    handshake.server_nonce = challenge->nonce;
    handshake.session_id = challenge->session_id;
    handshake.server_uuid = kServer;
    EXPECT_EQ(
        SameProof(challenge->proof, ServerProof(MemberKey(secret), handshake)),
        secret == kSecret);
    return {challenge->session_id, SessionKey(MemberKey(secret), handshake)};
  }

  // Says which of the two it was.
  std::string Refused(const std::string& proof, absl::string_view method) {
    const auto caller = sessions_.Check(proof, method);
    EXPECT_THAT(caller, StatusIs(absl::StatusCode::kUnauthenticated));
    EXPECT_EQ(ReasonOf(caller.status()), ErrorReason::kNotAMember);
    return IsSessionExpired(caller.status()) ? "session" : "proof";
  }

  FakeClock clock_;
  MemberSessions sessions_{Options(), &clock_};
};

TEST_F(MemberSessionsTest, AMemberIsKnownByItsUuid) {
  const Caller caller = Challenge();
  EXPECT_EQ(sessions_.challenges(), 1u);
  EXPECT_EQ(sessions_.sessions(), 0u);
  EXPECT_THAT(sessions_.Check(caller.Sign(1), kSync), IsOkAndHolds(kNode));
  EXPECT_EQ(sessions_.challenges(), 0u);
  EXPECT_EQ(sessions_.sessions(), 1u);
  EXPECT_THAT(sessions_.Check(caller.Sign(2, kFetch), kFetch),
              IsOkAndHolds(kNode));
}

TEST_F(MemberSessionsTest, AProofIsGoodOnce) {
  const Caller caller = Challenge();
  ASSERT_THAT(sessions_.Check(caller.Sign(1), kSync), IsOk());
  EXPECT_EQ(Refused(caller.Sign(1), kSync), "proof");
  ASSERT_THAT(sessions_.Check(caller.Sign(2), kSync), IsOk());
  EXPECT_EQ(Refused(caller.Sign(1), kSync), "proof");
  // The same counter for something else is a replay too.
  EXPECT_EQ(Refused(caller.Sign(2, kFetch), kFetch), "proof");
}

TEST_F(MemberSessionsTest, CountersMayComeOutOfOrderWithinTheWindow) {
  const Caller caller = Challenge();
  const uint64_t top = ReplayWindow::kWidth + 10;
  ASSERT_THAT(sessions_.Check(caller.Sign(top), kSync), IsOk());
  for (uint64_t counter = top - 1; counter > 10; --counter) {
    ASSERT_THAT(sessions_.Check(caller.Sign(counter), kSync), IsOk())
        << counter;
  }
  EXPECT_EQ(Refused(caller.Sign(11), kSync), "proof");
  // Too far behind to know: the caller may be honest and begins anew.
  EXPECT_EQ(Refused(caller.Sign(10), kSync), "session");
}

TEST_F(MemberSessionsTest, AWrongSecretMethodOrTextIsRefused) {
  const Caller stranger = Challenge("some other cluster's secret");
  EXPECT_EQ(Refused(stranger.Sign(1), kSync), "proof");
  const Caller caller = Challenge();
  EXPECT_EQ(Refused(caller.Sign(1, kSync), kFetch), "proof");
  const std::string proof = caller.Sign(1);
  EXPECT_EQ(Refused("", kSync), "proof");
  EXPECT_EQ(Refused(proof.substr(1), kSync), "proof");
  EXPECT_EQ(Refused(proof + "x", kSync), "proof");
  for (size_t i = 0; i < proof.size(); ++i) {
    std::string spoilt = proof;
    spoilt[i] = static_cast<char>(spoilt[i] ^ 1);
    EXPECT_THAT(sessions_.Check(spoilt, kSync),
                StatusIs(absl::StatusCode::kUnauthenticated))
        << i;
  }
  // None of that has used anything up.
  EXPECT_THAT(sessions_.Check(proof, kSync), IsOk());
}

TEST_F(MemberSessionsTest, AChallengeLastsThirtySecondsWhateverTheWallClock) {
  const Caller late = Challenge();
  const Caller in_time = Challenge();
  clock_.JumpTo(clock_.Now() + absl::Hours(1000));
  clock_.Advance(absl::Seconds(29));
  clock_.JumpTo(clock_.Now() - absl::Hours(5000));
  ASSERT_THAT(sessions_.Check(in_time.Sign(1), kSync), IsOk());
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(Refused(late.Sign(1), kSync), "session");
}

TEST_F(MemberSessionsTest, ASessionLastsAnHourWhateverTheWallClock) {
  const Caller caller = Challenge();
  ASSERT_THAT(sessions_.Check(caller.Sign(1), kSync), IsOk());
  clock_.JumpTo(clock_.Now() + absl::Hours(24 * 365));
  clock_.Advance(absl::Minutes(59));
  ASSERT_THAT(sessions_.Check(caller.Sign(2), kSync), IsOk());
  clock_.JumpTo(absl::UnixEpoch());
  clock_.Advance(absl::Minutes(1));
  const auto expired = sessions_.Check(caller.Sign(3), kSync);
  ASSERT_THAT(expired, StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_TRUE(IsSessionExpired(expired.status()));
  EXPECT_EQ(MetadataOf(expired.status())["session"],
            absl::BytesToHexString(caller.id));
}

TEST_F(MemberSessionsTest, TheOldestChallengesLeaveAFullTable) {
  MemberSessionsOptions options = Options();
  options.challenges_max = 4;
  MemberSessions sessions(options, &clock_);
  std::vector<Caller> callers;
  for (int i = 0; i < 6; ++i) {
    callers.push_back(Challenge(kSecret, &sessions));
  }
  EXPECT_EQ(sessions.challenges(), 4u);
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(sessions.Check(callers[i].Sign(1), kSync).ok(), i >= 2) << i;
  }
}

TEST_F(MemberSessionsTest, TheOldestSessionsLeaveAFullTableAndEndedOnesFirst) {
  MemberSessionsOptions options = Options();
  options.sessions_max = 2;
  MemberSessions sessions(options, &clock_);
  std::vector<Caller> callers;
  for (int i = 0; i < 3; ++i) {
    callers.push_back(Challenge(kSecret, &sessions));
    ASSERT_THAT(sessions.Check(callers[i].Sign(1), kSync), IsOk());
  }
  EXPECT_EQ(sessions.sessions(), 2u);
  const auto oldest = sessions.Check(callers[0].Sign(2), kSync);
  EXPECT_TRUE(IsSessionExpired(oldest.status()));
  EXPECT_THAT(sessions.Check(callers[1].Sign(2), kSync), IsOk());
  EXPECT_THAT(sessions.Check(callers[2].Sign(2), kSync), IsOk());
  clock_.Advance(absl::Hours(1));
  const Caller next = Challenge(kSecret, &sessions);
  ASSERT_THAT(sessions.Check(next.Sign(1), kSync), IsOk());
  EXPECT_EQ(sessions.sessions(), 1u);
}

TEST_F(MemberSessionsTest, AnotherClusterAndWhatIsMalformedGetNoChallenge) {
  const auto other = sessions_.Begin(MakeNonce(), kNode, kOtherCluster);
  ASSERT_THAT(other, StatusIs(absl::StatusCode::kFailedPrecondition,
                              ::testing::HasSubstr(kOtherCluster)));
  EXPECT_EQ(ReasonOf(other.status()), ErrorReason::kWrongCluster);
  EXPECT_EQ(MetadataOf(other.status())["cluster_id"], kCluster);

  const std::string nonce = MakeNonce();
  EXPECT_THAT(sessions_.Begin(nonce.substr(1), kNode, kCluster),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(sessions_.Begin(nonce, "me", kCluster),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(sessions_.Begin(nonce, kNode, ""),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(sessions_.challenges(), 0u);
}

}  // namespace
}  // namespace rpc
}  // namespace cairn
