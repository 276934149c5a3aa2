#include "lib/rpc/cluster_auth.h"

#include <string>

#include "absl/strings/escaping.h"
#include "gtest/gtest.h"

namespace cairn {
namespace rpc {
namespace {

constexpr char kNode[] = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
constexpr char kCluster[] = "00112233-4455-6677-8899-aabbccddeeff";

// Computed with `openssl dgst -sha256 -hmac secret`, so that another
// implementation of the protocol can be checked against it.
TEST(ClusterAuthTest, ProofsAreWhatTheProtocolSays) {
  const std::string t(32, 'T');
  const std::string n(32, 'N');
  EXPECT_EQ(absl::BytesToHexString(NodeProof("secret", t, n, kNode, kCluster)),
            "db5825300e703a6d8c380c7e4ae29a0c2cf9d4d2645c01630a0db0afa11b2552");
  EXPECT_EQ(absl::BytesToHexString(TrackerProof("secret", n)),
            "ce00a62bd8e0523fcb88ccea6db88d71955d44cfb2571767b92b8c0068dafa78");
}

TEST(ClusterAuthTest, EveryInputCounts) {
  const std::string t = MakeNonce();
  const std::string n = MakeNonce();
  const std::string proof = NodeProof("secret", t, n, kNode, kCluster);
  EXPECT_EQ(proof.size(), kProofBytes);
  EXPECT_TRUE(SameProof(proof, NodeProof("secret", t, n, kNode, kCluster)));
  EXPECT_FALSE(SameProof(proof, NodeProof("secret2", t, n, kNode, kCluster)));
  EXPECT_FALSE(
      SameProof(proof, NodeProof("secret", MakeNonce(), n, kNode, kCluster)));
  EXPECT_FALSE(
      SameProof(proof, NodeProof("secret", t, MakeNonce(), kNode, kCluster)));
  EXPECT_FALSE(SameProof(proof, NodeProof("secret", t, n, kCluster, kNode)));
  EXPECT_FALSE(SameProof(proof, TrackerProof("secret", n)));
  EXPECT_FALSE(SameProof(proof, ""));
  EXPECT_FALSE(SameProof(proof, proof.substr(1)));
}

TEST(ClusterAuthTest, ProofsOfTrackersAndOperatorsAreWhatTheProtocolSays) {
  const std::string a(32, 'A');
  const std::string c(32, 'C');
  EXPECT_EQ(absl::BytesToHexString(
                ExchangeCallerProof("secret", a, c, kCluster, kNode)),
            "1e61447835acf299b1da25b0b8d5b9e5ceaeaa4d4c9efd8a2af849d97f1fffdd");
  EXPECT_EQ(
      absl::BytesToHexString(ExchangeAnswererProof("secret", a, c, kNode)),
      "14c4e254118cf357728f4042942c707e06d7ee25db2ab9114c685b8a5c514cff");
  EXPECT_EQ(AdminProof("secret", "/cairn.tracker.v1.AdminService/SetNode",
                       "0123", "request"),
            "e1b3dfb6ef28821f93809053031cbdcb23736c96a6c18bf576f29de19f1365b2");
}

TEST(ClusterAuthTest, NoProofServesInAnotherPlace) {
  const std::string a = MakeNonce();
  const std::string c = MakeNonce();
  const std::string caller =
      ExchangeCallerProof("secret", a, c, kCluster, kNode);
  EXPECT_NE(caller, ExchangeCallerProof("other", a, c, kCluster, kNode));
  EXPECT_NE(caller, ExchangeCallerProof("secret", c, a, kCluster, kNode));
  EXPECT_NE(caller, ExchangeCallerProof("secret", a, c, kNode, kCluster));
  EXPECT_NE(caller, NodeProof("secret", a, c, kCluster, kNode));
  EXPECT_NE(caller, NodeProof("secret", a, c, kNode, kCluster));
  const std::string answerer = ExchangeAnswererProof("secret", a, c, kNode);
  EXPECT_NE(answerer, ExchangeAnswererProof("secret", c, a, kNode));
  EXPECT_NE(answerer, ExchangeAnswererProof("secret", a, c, kCluster));

  const std::string admin = AdminProof("secret", "/s/A", "1", "request");
  EXPECT_NE(admin, AdminProof("other", "/s/A", "1", "request"));
  EXPECT_NE(admin, AdminProof("secret", "/s/B", "1", "request"));
  EXPECT_NE(admin, AdminProof("secret", "/s/A", "2", "request"));
  EXPECT_NE(admin, AdminProof("secret", "/s/A", "1", "request2"));
}

TEST(ClusterAuthTest, NoncesDiffer) {
  EXPECT_EQ(MakeNonce().size(), kNonceBytes);
  EXPECT_NE(MakeNonce(), MakeNonce());
}

}  // namespace
}  // namespace rpc
}  // namespace cairn
