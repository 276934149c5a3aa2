#include "lib/rpc/member_proof.h"

#include <cstdint>
#include <string>

#include "absl/strings/escaping.h"
#include "gtest/gtest.h"
#include "lib/rpc/cluster_auth.h"

namespace cairn {
namespace rpc {
namespace {

using Outcome = ReplayWindow::Outcome;

constexpr char kMethod[] = "/cairn.storage.v1.SyncService/Sync";

MemberHandshake Handshake() {
  MemberHandshake handshake;
  handshake.client_nonce = std::string(kNonceBytes, 'C');
  handshake.server_nonce = std::string(kNonceBytes, 'N');
  handshake.session_id = std::string(kSessionIdBytes, 'S');
  handshake.client_uuid = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
  handshake.cluster_id = "00112233-4455-6677-8899-aabbccddeeff";
  handshake.server_uuid = "11111111-2222-4333-8444-555555555555";
  return handshake;
}

// Computed with Python's hmac, so that another implementation of the protocol
// can be checked against it.
TEST(MemberProofTest, ProofsAreWhatTheProtocolSays) {
  const std::string key = MemberKey("secret");
  EXPECT_EQ(absl::BytesToHexString(key),
            "ed733be0333d584b459a12e6953287c873aa2f79ee178962668b2005d36e45e7");
  EXPECT_EQ(absl::BytesToHexString(ServerProof(key, Handshake())),
            "784b4b32f08dcf094f8358fdc2052ccaca8da32477636bdc9df18cb5e5053c59");
  const std::string session_key = SessionKey(key, Handshake());
  EXPECT_EQ(absl::BytesToHexString(session_key),
            "e5e20c5b181527e3de217259b039f03100931d560666e499d776b0f27127c03c");
  MemberProof proof;
  proof.session_id = Handshake().session_id;
  proof.counter = 258;
  proof.mac = CallMac(session_key, proof.session_id, proof.counter, kMethod);
  EXPECT_EQ(absl::BytesToHexString(proof.mac),
            "f5a9e4ce3ad442f57e2fcf2b9f22e9a5eba48a5ec25859927e618021d83be0c0");
  EXPECT_EQ(absl::BytesToHexString(SerializeMemberProof(proof)),
            "0153535353535353535353535353535353"
            "0000000000000102" +
                absl::BytesToHexString(proof.mac));
}

TEST(MemberProofTest, EveryInputCounts) {
  const std::string key = MemberKey("secret");
  EXPECT_NE(key, MemberKey("secret2"));
  const std::string proof = ServerProof(key, Handshake());
  EXPECT_NE(proof, SessionKey(key, Handshake()));
  std::string MemberHandshake::*const fields[] = {
      &MemberHandshake::client_nonce, &MemberHandshake::server_nonce,
      &MemberHandshake::session_id,   &MemberHandshake::client_uuid,
      &MemberHandshake::cluster_id,   &MemberHandshake::server_uuid};
  for (const auto field : fields) {
    MemberHandshake other = Handshake();
    (other.*field)[3] = 'f';
    EXPECT_NE(proof, ServerProof(key, other));
    EXPECT_NE(SessionKey(key, Handshake()), SessionKey(key, other));
  }
  MemberHandshake nobody = Handshake();
  nobody.server_uuid.clear();
  EXPECT_NE(proof, ServerProof(key, nobody));

  const std::string id(kSessionIdBytes, 'S');
  const std::string mac = CallMac(key, id, 1, kMethod);
  EXPECT_EQ(mac.size(), kProofBytes);
  EXPECT_NE(mac, CallMac(proof, id, 1, kMethod));
  EXPECT_NE(mac, CallMac(key, std::string(kSessionIdBytes, 'T'), 1, kMethod));
  EXPECT_NE(mac, CallMac(key, id, 256, kMethod));
  EXPECT_NE(mac, CallMac(key, id, 1, "/cairn.storage.v1.SyncService/Fetch"));
}

TEST(MemberProofTest, ParsesWhatItWritesAndNothingElse) {
  MemberProof proof;
  proof.session_id = std::string("0123456789\0\xff_def", 16);
  proof.counter = 0x0102030405060708;
  proof.mac = std::string(kProofBytes, 'm');
  const std::string bytes = SerializeMemberProof(proof);
  const auto parsed = ParseMemberProof(bytes);
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->session_id, proof.session_id);
  EXPECT_EQ(parsed->counter, proof.counter);
  EXPECT_EQ(parsed->mac, proof.mac);

  EXPECT_FALSE(ParseMemberProof("").has_value());
  EXPECT_FALSE(ParseMemberProof(bytes.substr(0, bytes.size() - 1)).has_value());
  EXPECT_FALSE(ParseMemberProof(bytes + "x").has_value());
  std::string newer = bytes;
  newer[0] = 2;
  EXPECT_FALSE(ParseMemberProof(newer).has_value());
  proof.counter = 0;
  EXPECT_FALSE(ParseMemberProof(SerializeMemberProof(proof)).has_value());
}

TEST(MemberProofTest, UuidsAreSignedInOneForm) {
  EXPECT_EQ(CanonicalUuid("0F1E2D3C-4b5a-6978-8796-a5b4c3d2e1f0"),
            "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0");
  EXPECT_EQ(CanonicalUuid("00000000-0000-0000-0000-000000000000"), "");
  EXPECT_EQ(CanonicalUuid("me"), "");
}

TEST(ReplayWindowTest, KnowsWhatWasUsedAndWhatIsTooOld) {
  ReplayWindow window;
  EXPECT_EQ(window.Use(3), Outcome::kNew);
  EXPECT_EQ(window.Use(1), Outcome::kNew);
  EXPECT_EQ(window.Use(3), Outcome::kUsed);
  EXPECT_EQ(window.Use(1), Outcome::kUsed);
  EXPECT_EQ(window.Use(2), Outcome::kNew);

  constexpr uint64_t kWidth = ReplayWindow::kWidth;
  EXPECT_EQ(window.Use(kWidth + 2), Outcome::kNew);
  EXPECT_EQ(window.Use(2), Outcome::kTooOld);
  EXPECT_EQ(window.Use(3), Outcome::kUsed);
  // 4 to kWidth + 1 were passed over and may come yet, once.
  for (uint64_t counter = 4; counter < kWidth + 2; ++counter) {
    EXPECT_EQ(window.Use(counter), Outcome::kNew) << counter;
    EXPECT_EQ(window.Use(counter), Outcome::kUsed) << counter;
  }

  // Further than the window is wide.
  EXPECT_EQ(window.Use(10 * kWidth), Outcome::kNew);
  EXPECT_EQ(window.Use(kWidth + 2), Outcome::kTooOld);
  EXPECT_EQ(window.Use(10 * kWidth), Outcome::kUsed);
  EXPECT_EQ(window.Use(9 * kWidth), Outcome::kTooOld);
  EXPECT_EQ(window.Use(9 * kWidth + 1), Outcome::kNew);
  EXPECT_EQ(window.Use(UINT64_MAX), Outcome::kNew);
  EXPECT_EQ(window.Use(UINT64_MAX), Outcome::kUsed);
  EXPECT_EQ(window.Use(UINT64_MAX - 1), Outcome::kNew);
}

}  // namespace
}  // namespace rpc
}  // namespace cairn
