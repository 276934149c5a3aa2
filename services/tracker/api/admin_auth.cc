#include "services/tracker/api/admin_auth.h"

#include <cstdint>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "lib/base/error_reason.h"
#include "lib/base/uuid.h"
#include "lib/rpc/cluster_auth.h"

namespace cairn {
namespace tracker {
namespace {

// When it was made (milliseconds of the monotonic clock, big-endian), what
// makes it one of a kind, and the mark over both.
constexpr size_t kTimeBytes = 8;
constexpr size_t kRandomBytes = 16;
constexpr size_t kMarkBytes = 16;
constexpr size_t kChallengeBytes = kTimeBytes + kRandomBytes + kMarkBytes;

std::string MarkOf(absl::string_view key, absl::string_view unmarked) {
  return rpc::HmacSha256(key, unmarked).substr(0, kMarkBytes);
}

absl::Status Refused(absl::string_view why) {
  return ErrorWithReason(absl::StatusCode::kUnauthenticated,
                         ErrorReason::kNotAMember, why);
}

}  // namespace

AdminAuth::AdminAuth(std::string cluster_secret, Clock* clock)
    : cluster_secret_(std::move(cluster_secret)),
      key_(rpc::MakeNonce()),
      clock_(clock) {}

std::string AdminAuth::MakeChallenge() {
  std::string challenge(kTimeBytes + kRandomBytes, '\0');
  auto made =
      static_cast<uint64_t>(absl::ToInt64Milliseconds(clock_->Monotonic()));
  for (size_t i = kTimeBytes; i-- > 0; made >>= 8) {
    challenge[i] = static_cast<char>(made & 0xff);
  }
  RandomBytes(&challenge[kTimeBytes], kRandomBytes);
  return absl::BytesToHexString(
      absl::StrCat(challenge, MarkOf(key_, challenge)));
}

absl::Status AdminAuth::Check(absl::string_view method,
                              absl::string_view challenge,
                              absl::string_view proof,
                              absl::string_view request) {
  if (challenge.empty() || proof.empty()) {
    return Refused(
        "the call does not prove that its caller knows the cluster secret; "
        "name the file that holds it (cairn: --secret-file)");
  }
  for (const char c : challenge) {
    if (!absl::ascii_isdigit(static_cast<unsigned char>(c)) &&
        (c < 'a' || c > 'f')) {
      return Refused("the challenge is not one of this tracker's");
    }
  }
  const std::string bytes = absl::HexStringToBytes(challenge);
  if (challenge.size() != 2 * kChallengeBytes ||
      !rpc::SameProof(
          bytes.substr(kTimeBytes + kRandomBytes),
          MarkOf(key_, bytes.substr(0, kTimeBytes + kRandomBytes)))) {
    return Refused(
        "the challenge is not one of this tracker's, or it was restarted "
        "meanwhile; get a new one");
  }
  uint64_t made_ms = 0;
  for (size_t i = 0; i < kTimeBytes; ++i) {
    made_ms = made_ms << 8 | static_cast<uint8_t>(bytes[i]);
  }
  const absl::Duration made = absl::Milliseconds(made_ms);
  const absl::Duration now = clock_->Monotonic();
  if (now - made > kLifetime) {
    return Refused("the challenge is over 30 s old; get a new one");
  }
  if (!rpc::SameProof(proof, rpc::AdminProof(cluster_secret_, method, challenge,
                                             request))) {
    return Refused(
        "the proof is wrong: the caller's cluster secret is not this "
        "tracker's, or the call is not the one that was signed");
  }
  // Only who knows the secret gets here, so that strangers cannot fill it.
  MutexLock lock(&mu_);
  // The oldest come first, since a challenge begins with its time.
  while (!used_.empty() && now - used_.begin()->second > kLifetime) {
    used_.erase(used_.begin());
  }
  if (used_.size() >= kUsedMax) {
    return ErrorWithReason(absl::StatusCode::kResourceExhausted,
                           ErrorReason::kOverloaded,
                           "too many decisions at once; try again");
  }
  if (!used_.emplace(bytes, made).second) {
    return Refused("the challenge was used before; get a new one");
  }
  return absl::OkStatus();
}

}  // namespace tracker
}  // namespace cairn
