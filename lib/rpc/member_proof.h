// The bytes by which members of a cluster prove to each other who they are.
// docs/formats/member_proof.md says what they look like.
//
//   cluster secret ─▶ MemberKey ─▶ SessionKey ─▶ the MAC of each call
//
// Pure functions and values.

#ifndef CAIRN_LIB_RPC_MEMBER_PROOF_H_
#define CAIRN_LIB_RPC_MEMBER_PROOF_H_

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/optional.h"

namespace cairn {
namespace rpc {

inline constexpr size_t kSessionIdBytes = 16;

// The metadata of a call that carries a MemberProof.
inline constexpr char kMemberProofKey[] = "cairn-member-proof-bin";

// `uuid` in canonical text form, in which both sides must sign it; empty if it
// is none or all zero.
std::string CanonicalUuid(absl::string_view uuid);

// What both sides know once a challenge was answered. UUIDs are in canonical
// text form.
struct MemberHandshake {
  std::string client_nonce;  // kNonceBytes.
  std::string server_nonce;  // kNonceBytes.
  std::string session_id;    // kSessionIdBytes.
  std::string client_uuid;
  std::string cluster_id;
  std::string server_uuid;  // May be empty.
};

// The key that all proofs come from, so that nothing else that the secret signs
// (file IDs, attachments) can be taken for one.
std::string MemberKey(absl::string_view cluster_secret);

// What the server answers to a challenge. All but `server_uuid` must have the
// length that is said above.
std::string ServerProof(absl::string_view member_key,
                        const MemberHandshake& handshake);

// What the calls of the session are signed with.
std::string SessionKey(absl::string_view member_key,
                       const MemberHandshake& handshake);

// What a call carries.
struct MemberProof {
  std::string session_id;  // kSessionIdBytes.
  uint64_t counter = 0;    // From 1; never used twice in a session.
  std::string mac;         // kProofBytes.
};

// The MAC of a call of `method`, `/package.Service/Method`.
std::string CallMac(absl::string_view session_key, absl::string_view session_id,
                    uint64_t counter, absl::string_view method);

// The bytes of the metadata.
std::string SerializeMemberProof(const MemberProof& proof);

// The reverse, of bytes that anybody may have sent; nullopt if they are no
// proof.
absl::optional<MemberProof> ParseMemberProof(absl::string_view bytes);

// Remembers which counters of a session were used. Calls of several threads
// arrive out of order, so not only the highest counts.
class ReplayWindow {
 public:
  // How far behind the highest one a counter may come.
  static constexpr size_t kWidth = 1024;

  enum class Outcome {
    kNew,     // Used from now on.
    kUsed,    // Was used before.
    kTooOld,  // Too far behind to know.
  };

  Outcome Use(uint64_t counter);

 private:
  uint64_t highest_ = 0;
  std::bitset<kWidth> used_;  // By counter modulo kWidth.
};

}  // namespace rpc
}  // namespace cairn

#endif  // CAIRN_LIB_RPC_MEMBER_PROOF_H_
