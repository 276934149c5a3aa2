#include "lib/rpc/cluster_auth.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "lib/base/check.h"
#include "lib/base/uuid.h"

namespace cairn {
namespace rpc {

std::string HmacSha256(absl::string_view key, absl::string_view text) {
  std::string out(kProofBytes, '\0');
  unsigned int length = 0;
  const unsigned char* const done =
      HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
           reinterpret_cast<const unsigned char*>(text.data()), text.size(),
           reinterpret_cast<unsigned char*>(&out[0]), &length);
  CAIRN_CHECK(done != nullptr && length == kProofBytes);
  return out;
}

std::string MakeNonce() {
  std::string out(kNonceBytes, '\0');
  RandomBytes(&out[0], out.size());
  return out;
}

std::string NodeProof(absl::string_view secret, absl::string_view tracker_nonce,
                      absl::string_view node_nonce, absl::string_view node_uuid,
                      absl::string_view cluster_id) {
  return HmacSha256(
      secret, absl::StrCat("cairn attach node v1\n", tracker_nonce, node_nonce,
                           node_uuid, cluster_id));
}

std::string TrackerProof(absl::string_view secret,
                         absl::string_view node_nonce) {
  return HmacSha256(secret,
                    absl::StrCat("cairn attach tracker v1\n", node_nonce));
}

std::string ExchangeCallerProof(absl::string_view secret,
                                absl::string_view answerer_nonce,
                                absl::string_view caller_nonce,
                                absl::string_view cluster_id,
                                absl::string_view caller_instance) {
  return HmacSha256(secret,
                    absl::StrCat("cairn exchange caller v1\n", answerer_nonce,
                                 caller_nonce, cluster_id, caller_instance));
}

std::string ExchangeAnswererProof(absl::string_view secret,
                                  absl::string_view answerer_nonce,
                                  absl::string_view caller_nonce,
                                  absl::string_view answerer_instance) {
  return HmacSha256(secret,
                    absl::StrCat("cairn exchange answerer v1\n", answerer_nonce,
                                 caller_nonce, answerer_instance));
}

std::string AdminProof(absl::string_view secret, absl::string_view method,
                       absl::string_view challenge, absl::string_view request) {
  return absl::BytesToHexString(
      HmacSha256(secret, absl::StrCat("cairn admin v1\n", method, "\n",
                                      challenge, "\n", request)));
}

bool SameProof(absl::string_view a, absl::string_view b) {
  return a.size() == b.size() &&
         CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace rpc
}  // namespace cairn
