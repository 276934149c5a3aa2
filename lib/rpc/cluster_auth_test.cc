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

TEST(ClusterAuthTest, NoncesDiffer) {
  EXPECT_EQ(MakeNonce().size(), kNonceBytes);
  EXPECT_NE(MakeNonce(), MakeNonce());
}

}  // namespace
}  // namespace rpc
}  // namespace cairn
