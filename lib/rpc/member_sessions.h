// The sessions between this process and other members of the cluster, on the
// side that is called: who has one, its key, and what was used up.
//
//   Begin ──▶ challenge ──first good call──▶ session ──lifetime──▶ gone
//                 └── 30 s without one ──▶ gone
//
// No gRPC in here; member_auth.h has that.

#ifndef CAIRN_LIB_RPC_MEMBER_SESSIONS_H_
#define CAIRN_LIB_RPC_MEMBER_SESSIONS_H_

#include <cstddef>
#include <list>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/rpc/member_proof.h"

namespace cairn {
namespace rpc {

struct MemberSessionsOptions {
  std::string cluster_secret;

  // Canonical text form; callers of another cluster are refused.
  std::string cluster_id;

  // Who this is, so that callers can tell whether they have reached the right
  // one. Canonical text form, or empty.
  std::string node_uuid;

  // How long the first call may take to come, and sessions last after it.
  absl::Duration challenge_lifetime = absl::Seconds(30);
  absl::Duration session_lifetime = absl::Hours(1);

  // Beyond these the oldest are forgotten. Anyone may ask for a challenge;
  // only who knows the secret gets a session out of it.
  size_t challenges_max = 4096;
  size_t sessions_max = 16384;
};

// Whether a call between members was refused because its session is not known,
// or not any more; metadata `session` says which.
bool IsSessionExpired(const absl::Status& status);

// Thread-safe; never blocks. Time is the clock's monotonic one alone.
class MemberSessions {
 public:
  // `clock` is borrowed and must outlive this.
  MemberSessions(MemberSessionsOptions options, Clock* clock);

  MemberSessions(const MemberSessions&) = delete;
  MemberSessions& operator=(const MemberSessions&) = delete;

  struct Challenge {
    std::string nonce;
    std::string session_id;
    std::string proof;  // Of this side.
  };

  // Makes a challenge for who says to be `caller_uuid` of `cluster_id`.
  //   INVALID_ARGUMENT     one of the three is malformed.
  //   FAILED_PRECONDITION  WRONG_CLUSTER.
  absl::StatusOr<Challenge> Begin(absl::string_view client_nonce,
                                  absl::string_view caller_uuid,
                                  absl::string_view cluster_id)
      ABSL_LOCKS_EXCLUDED(mu_);

  // The UUID of the member that signed `proof`, a serialised MemberProof, for a
  // call of `method`. Each proof is good once.
  //   UNAUTHENTICATED  NOT_A_MEMBER: malformed, signed with another secret or
  //                    for another method, or used before. With the metadata
  //                    `session`: that session is not known, or the counter is
  //                    too far behind; the caller begins anew.
  absl::StatusOr<std::string> Check(absl::string_view proof,
                                    absl::string_view method)
      ABSL_LOCKS_EXCLUDED(mu_);

  size_t challenges() const ABSL_LOCKS_EXCLUDED(mu_);
  size_t sessions() const ABSL_LOCKS_EXCLUDED(mu_);

  const MemberSessionsOptions& options() const { return options_; }

 private:
  struct Session {
    std::string id;
    std::string key;
    std::string caller_uuid;
    absl::Duration end;  // Clock::Monotonic().
    ReplayWindow window;
  };

  // Sessions by id and by age.
  class Table {
   public:
    explicit Table(size_t max) : max_(max) {}
    // Forgets those that have ended and, if it is full, the oldest.
    void Add(Session session, absl::Duration now);
    // Null if there is none, or it has ended.
    Session* Find(const std::string& id, absl::Duration now);
    absl::optional<Session> Take(const std::string& id, absl::Duration now);
    size_t size() const { return by_age_.size(); }

   private:
    void Erase(std::list<Session>::iterator session);

    const size_t max_;
    std::list<Session> by_age_;  // Oldest first, so they end in this order.
    absl::flat_hash_map<std::string, std::list<Session>::iterator> by_id_;
  };

  Session* FindAny(const std::string& id, absl::Duration now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const MemberSessionsOptions options_;
  const std::string member_key_;
  Clock* const clock_;

  mutable Mutex mu_;
  Table challenges_ ABSL_GUARDED_BY(mu_);
  Table sessions_ ABSL_GUARDED_BY(mu_);
};

}  // namespace rpc
}  // namespace cairn

#endif  // CAIRN_LIB_RPC_MEMBER_SESSIONS_H_
