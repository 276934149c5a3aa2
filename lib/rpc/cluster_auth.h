// The proofs by which a node and a tracker show each other that they know the
// cluster secret, without saying it (MembershipService.Attach).
//
//   tracker ── challenge: nonce T ──────────────────────────▶ node
//   tracker ◀─ hello: nonce N, proof over T, N and identity ─ node
//   tracker ── welcome: proof over N ───────────────────────▶ node
//
// HMAC-SHA256. Pure functions.

#ifndef CAIRN_LIB_RPC_CLUSTER_AUTH_H_
#define CAIRN_LIB_RPC_CLUSTER_AUTH_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace cairn {
namespace rpc {

inline constexpr size_t kNonceBytes = 32;
inline constexpr size_t kProofBytes = 32;

// kNonceBytes random bytes, to be used once.
std::string MakeNonce();

// HMAC-SHA256 of `text`; kProofBytes bytes.
std::string HmacSha256(absl::string_view key, absl::string_view text);

// What a node answers to a challenge. `node_uuid` and `cluster_id` are in
// canonical text form, as in NodeIdentity.
std::string NodeProof(absl::string_view secret, absl::string_view tracker_nonce,
                      absl::string_view node_nonce, absl::string_view node_uuid,
                      absl::string_view cluster_id);

// What a tracker answers to a node.
std::string TrackerProof(absl::string_view secret,
                         absl::string_view node_nonce);

// Whether the two are the same; the time taken depends on their lengths alone.
// Compare proofs with nothing else.
bool SameProof(absl::string_view a, absl::string_view b);

}  // namespace rpc
}  // namespace cairn

#endif  // CAIRN_LIB_RPC_CLUSTER_AUTH_H_
