// The proofs by which the processes of a cluster, and its operators, show each
// other that they know the cluster secret, without saying it.
//
// MembershipService.Attach:
//
//   tracker ── challenge: nonce T ──────────────────────────▶ node
//   tracker ◀─ hello: nonce N, proof over T, N and identity ─ node
//   tracker ── welcome: proof over N ───────────────────────▶ node
//
// MembershipService.Exchange, between two trackers:
//
//   answerer ── challenge: nonce A ────────────────────────────────▶ caller
//   answerer ◀─ hello: nonce C, proof over A, C and who calls ─────── caller
//   answerer ── welcome: proof over A, C and who answers ──────────▶ caller
//
// AdminService, one call:
//
//   tracker ◀─ GetChallenge ── operator,  tracker ── challenge ──▶ operator
//   tracker ◀─ call: challenge, proof over it, method and request ── operator
//
// HMAC-SHA256, each over a text of its own first, so that no proof can be used
// in another place. Nonces and challenges are of fixed length, so that no two
// inputs run together to the same bytes. Pure functions.

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

// What a tracker that calls another one answers to its challenge, and what it
// gets back. `cluster_id` and the instances are UUIDs in canonical text form.
std::string ExchangeCallerProof(absl::string_view secret,
                                absl::string_view answerer_nonce,
                                absl::string_view caller_nonce,
                                absl::string_view cluster_id,
                                absl::string_view caller_instance);
std::string ExchangeAnswererProof(absl::string_view secret,
                                  absl::string_view answerer_nonce,
                                  absl::string_view caller_nonce,
                                  absl::string_view answerer_instance);

// What an operator proves with one call of AdminService: 64 hexadecimal digits.
// `method` is the full one, "/cairn.tracker.v1.AdminService/SetNode"; `request`
// is serialised with its fields in the order of their numbers.
std::string AdminProof(absl::string_view secret, absl::string_view method,
                       absl::string_view challenge, absl::string_view request);

// Names of the metadata that carries it.
inline constexpr char kAdminChallengeKey[] = "cairn-admin-challenge";
inline constexpr char kAdminProofKey[] = "cairn-admin-proof";

// Whether the two are the same; the time taken depends on their lengths alone.
// Compare proofs with nothing else.
bool SameProof(absl::string_view a, absl::string_view b);

}  // namespace rpc
}  // namespace cairn

#endif  // CAIRN_LIB_RPC_CLUSTER_AUTH_H_
