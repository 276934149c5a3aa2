#include "lib/rpc/member_sessions.h"

#include <iterator>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/rpc/cluster_auth.h"

namespace cairn {
namespace rpc {
namespace {

absl::Status Malformed(absl::string_view field, absl::string_view why) {
  return ErrorWithReason(
      absl::StatusCode::kInvalidArgument, ErrorReason::kInvalidField,
      absl::StrCat(field, ": ", why), {{"field", std::string(field)}});
}

absl::Status NotAMember(absl::string_view why) {
  return ErrorWithReason(absl::StatusCode::kUnauthenticated,
                         ErrorReason::kNotAMember, why);
}

absl::Status Expired(absl::string_view session_id, absl::string_view why) {
  return ErrorWithReason(absl::StatusCode::kUnauthenticated,
                         ErrorReason::kNotAMember, why,
                         {{"session", absl::BytesToHexString(session_id)}});
}

}  // namespace

bool IsSessionExpired(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnauthenticated &&
         ReasonOf(status) == ErrorReason::kNotAMember &&
         MetadataOf(status).count("session") > 0;
}

void MemberSessions::Table::Add(Session session, absl::Duration now) {
  while (!by_age_.empty() &&
         (by_age_.size() >= max_ || by_age_.front().end <= now)) {
    Erase(by_age_.begin());
  }
  by_age_.push_back(std::move(session));
  by_id_[by_age_.back().id] = std::prev(by_age_.end());
}

MemberSessions::Session* MemberSessions::Table::Find(const std::string& id,
                                                     absl::Duration now) {
  const auto found = by_id_.find(id);
  if (found == by_id_.end() || found->second->end <= now) return nullptr;
  return &*found->second;
}

absl::optional<MemberSessions::Session> MemberSessions::Table::Take(
    const std::string& id, absl::Duration now) {
  Session* const session = Find(id, now);
  if (session == nullptr) return absl::nullopt;
  const auto place = by_id_.find(id)->second;
  Session taken = std::move(*place);
  by_id_.erase(id);
  by_age_.erase(place);
  return taken;
}

void MemberSessions::Table::Erase(std::list<Session>::iterator session) {
  by_id_.erase(session->id);
  by_age_.erase(session);
}

MemberSessions::MemberSessions(MemberSessionsOptions options, Clock* clock)
    : options_(std::move(options)),
      member_key_(MemberKey(options_.cluster_secret)),
      clock_(clock),
      challenges_(options_.challenges_max),
      sessions_(options_.sessions_max) {
  CAIRN_CHECK(!options_.cluster_secret.empty());
  CAIRN_CHECK(options_.cluster_id == CanonicalUuid(options_.cluster_id));
  CAIRN_CHECK(options_.challenges_max > 0 && options_.sessions_max > 0);
}

absl::StatusOr<MemberSessions::Challenge> MemberSessions::Begin(
    absl::string_view client_nonce, absl::string_view caller_uuid,
    absl::string_view cluster_id) {
  MemberHandshake handshake;
  if (client_nonce.size() != kNonceBytes) {
    return Malformed("nonce",
                     absl::StrCat("must have ", kNonceBytes, " bytes"));
  }
  handshake.client_nonce = std::string(client_nonce);
  handshake.client_uuid = CanonicalUuid(caller_uuid);
  if (handshake.client_uuid.empty()) {
    return Malformed("node_uuid", "must be a UUID");
  }
  handshake.cluster_id = CanonicalUuid(cluster_id);
  if (handshake.cluster_id.empty()) {
    return Malformed("cluster_id", "must be a UUID");
  }
  if (handshake.cluster_id != options_.cluster_id) {
    return ErrorWithReason(
        absl::StatusCode::kFailedPrecondition, ErrorReason::kWrongCluster,
        absl::StrCat("the caller belongs to cluster ", handshake.cluster_id,
                     ", this process to ", options_.cluster_id,
                     "; check the address that was called"),
        {{"cluster_id", options_.cluster_id}});
  }
  handshake.server_uuid = options_.node_uuid;
  handshake.server_nonce = MakeNonce();
  handshake.session_id = MakeNonce().substr(0, kSessionIdBytes);

  Challenge challenge;
  challenge.nonce = handshake.server_nonce;
  challenge.session_id = handshake.session_id;
  challenge.proof = ServerProof(member_key_, handshake);

  Session session;
  session.id = handshake.session_id;
  session.key = SessionKey(member_key_, handshake);
  session.caller_uuid = handshake.client_uuid;
  const absl::Duration now = clock_->Monotonic();
  session.end = now + options_.challenge_lifetime;
  MutexLock lock(&mu_);
  challenges_.Add(std::move(session), now);
  return challenge;
}

MemberSessions::Session* MemberSessions::FindAny(const std::string& id,
                                                 absl::Duration now) {
  Session* const session = sessions_.Find(id, now);
  return session != nullptr ? session : challenges_.Find(id, now);
}

absl::StatusOr<std::string> MemberSessions::Check(absl::string_view proof,
                                                  absl::string_view method) {
  const absl::optional<MemberProof> parsed = ParseMemberProof(proof);
  if (!parsed.has_value()) {
    return NotAMember("what the call carries is no member's proof");
  }
  const absl::Duration now = clock_->Monotonic();
  std::string key;
  {
    MutexLock lock(&mu_);
    const Session* const session = FindAny(parsed->session_id, now);
    if (session != nullptr) key = session->key;
  }
  if (key.empty()) {
    return Expired(parsed->session_id,
                   "the session between the caller and this process is not "
                   "known, or not any more; begin a new one");
  }
  // Without the lock: callers do not wait for each other's HMAC.
  if (!SameProof(parsed->mac,
                 CallMac(key, parsed->session_id, parsed->counter, method))) {
    return NotAMember(
        "the call is not signed by a member: another cluster secret, or "
        "another method");
  }

  MutexLock lock(&mu_);
  Session* session = sessions_.Find(parsed->session_id, now);
  if (session == nullptr) {
    // The first call makes it a session.
    absl::optional<Session> challenge =
        challenges_.Take(parsed->session_id, now);
    if (challenge.has_value()) {
      challenge->end = now + options_.session_lifetime;
      sessions_.Add(*std::move(challenge), now);
      session = sessions_.Find(parsed->session_id, now);
    }
  }
  if (session == nullptr) {
    return Expired(parsed->session_id,
                   "the session was forgotten meanwhile; begin a new one");
  }
  switch (session->window.Use(parsed->counter)) {
    case ReplayWindow::Outcome::kNew:
      return session->caller_uuid;
    case ReplayWindow::Outcome::kUsed:
      return NotAMember("the call was made before with the same proof");
    case ReplayWindow::Outcome::kTooOld:
      return Expired(parsed->session_id,
                     "too many calls were made since this one was signed; "
                     "begin a new session");
  }
  CAIRN_CHECK_MSG(false, "no such outcome");
}

size_t MemberSessions::challenges() const {
  MutexLock lock(&mu_);
  return challenges_.size();
}

size_t MemberSessions::sessions() const {
  MutexLock lock(&mu_);
  return sessions_.size();
}

}  // namespace rpc
}  // namespace cairn
