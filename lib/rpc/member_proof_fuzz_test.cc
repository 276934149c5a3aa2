// Bytes from anybody as a call's proof: the parser takes only what it would
// write itself, and no made-up proof gets past the sessions.

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "lib/base/check.h"
#include "lib/base/clock.h"
#include "lib/rpc/member_proof.h"
#include "lib/rpc/member_sessions.h"

namespace {

cairn::rpc::MemberSessions* MakeSessions() {
  cairn::rpc::MemberSessionsOptions options;
  options.cluster_secret = "secret";
  options.cluster_id = "00112233-4455-6677-8899-aabbccddeeff";
  return new cairn::rpc::MemberSessions(options, cairn::Clock::Real());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static cairn::rpc::MemberSessions* const sessions = MakeSessions();
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto proof = cairn::rpc::ParseMemberProof(bytes);
  if (proof.has_value()) {
    CAIRN_CHECK(proof->counter > 0);
    CAIRN_CHECK(cairn::rpc::SerializeMemberProof(*proof) == bytes);
  }
  CAIRN_CHECK(
      !sessions->Check(bytes, "/cairn.storage.v1.SyncService/Sync").ok());
  // Anybody may ask for a challenge with any bytes, too.
  (void)sessions->Begin(bytes, bytes, bytes);
  return 0;
}
