#include "lib/rpc/member_proof.h"

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "lib/base/check.h"
#include "lib/base/uuid.h"
#include "lib/rpc/cluster_auth.h"

namespace cairn {
namespace rpc {
namespace {

constexpr char kVersion = 1;
constexpr size_t kCounterBytes = 8;
constexpr size_t kUuidTextBytes = 36;
constexpr size_t kProofSize = 1 + kSessionIdBytes + kCounterBytes + kProofBytes;

std::string BigEndian(uint64_t value) {
  std::string out(kCounterBytes, '\0');
  for (size_t i = 0; i < kCounterBytes; ++i) {
    out[i] = static_cast<char>(value >> (8 * (kCounterBytes - 1 - i)));
  }
  return out;
}

// Of all but the last part the length is fixed, so that no two handshakes have
// the same text.
std::string TextOf(absl::string_view domain, const MemberHandshake& handshake) {
  CAIRN_CHECK(handshake.client_nonce.size() == kNonceBytes);
  CAIRN_CHECK(handshake.server_nonce.size() == kNonceBytes);
  CAIRN_CHECK(handshake.session_id.size() == kSessionIdBytes);
  CAIRN_CHECK(handshake.client_uuid.size() == kUuidTextBytes);
  CAIRN_CHECK(handshake.cluster_id.size() == kUuidTextBytes);
  return absl::StrCat(
      domain, handshake.client_nonce, handshake.server_nonce,
      absl::StrCat(handshake.session_id, handshake.client_uuid,
                   handshake.cluster_id, handshake.server_uuid));
}

}  // namespace

std::string CanonicalUuid(absl::string_view uuid) {
  const absl::StatusOr<Uuid> parsed = Uuid::Parse(uuid);
  return parsed.ok() && !parsed->is_nil() ? parsed->ToString() : "";
}

std::string MemberKey(absl::string_view cluster_secret) {
  return HmacSha256(cluster_secret, "cairn member key v1\n");
}

std::string ServerProof(absl::string_view member_key,
                        const MemberHandshake& handshake) {
  return HmacSha256(member_key, TextOf("cairn member server v1\n", handshake));
}

std::string SessionKey(absl::string_view member_key,
                       const MemberHandshake& handshake) {
  return HmacSha256(member_key, TextOf("cairn member session v1\n", handshake));
}

std::string CallMac(absl::string_view session_key, absl::string_view session_id,
                    uint64_t counter, absl::string_view method) {
  return HmacSha256(session_key,
                    absl::StrCat("cairn member call v1\n", session_id,
                                 BigEndian(counter), method));
}

std::string SerializeMemberProof(const MemberProof& proof) {
  return absl::StrCat(std::string(1, kVersion), proof.session_id,
                      BigEndian(proof.counter), proof.mac);
}

absl::optional<MemberProof> ParseMemberProof(absl::string_view bytes) {
  if (bytes.size() != kProofSize || bytes[0] != kVersion) return absl::nullopt;
  bytes.remove_prefix(1);
  MemberProof proof;
  proof.session_id = std::string(bytes.substr(0, kSessionIdBytes));
  bytes.remove_prefix(kSessionIdBytes);
  for (size_t i = 0; i < kCounterBytes; ++i) {
    proof.counter = proof.counter << 8 | static_cast<uint8_t>(bytes[i]);
  }
  if (proof.counter == 0) return absl::nullopt;
  bytes.remove_prefix(kCounterBytes);
  proof.mac = std::string(bytes);
  return proof;
}

ReplayWindow::Outcome ReplayWindow::Use(uint64_t counter) {
  CAIRN_CHECK(counter > 0);
  if (counter > highest_) {
    if (counter - highest_ >= kWidth) {
      used_.reset();
    } else {
      // Their places were those of counters that are too old now.
      for (uint64_t c = highest_ + 1; c < counter; ++c) used_.reset(c % kWidth);
    }
    highest_ = counter;
    used_.set(counter % kWidth);
    return Outcome::kNew;
  }
  if (highest_ - counter >= kWidth) return Outcome::kTooOld;
  if (used_.test(counter % kWidth)) return Outcome::kUsed;
  used_.set(counter % kWidth);
  return Outcome::kNew;
}

}  // namespace rpc
}  // namespace cairn
