// Calls that only members of the cluster may make.
//
// A service that serves them:
//
//   absl::StatusOr<std::string> caller =           // The caller's node UUID.
//       member_auth_->Check(*context, "/cairn.storage.v1.SyncService/Sync");
//   if (!caller.ok()) return Refuse(caller.status());
//
// Who makes them, for each channel:
//
//   MemberAuthClient auth(channel, options, clock);
//   CAIRN_RETURN_IF_ERROR(auth.AuthorizeAndWait(method, &context));
//   … the call …  if (auth.IsSessionLost(status)) … again, once, from Authorize
//
// The proof is that both know the cluster secret; it is never sent. The first
// call on a channel costs one more round trip (MemberAuthService.Challenge),
// later ones none. A proof says who began the call, not that nobody on the way
// changed what it carries: that is what TLS is for. See
// docs/decisions/0007-member-authentication.md.

#ifndef CAIRN_LIB_RPC_MEMBER_AUTH_H_
#define CAIRN_LIB_RPC_MEMBER_AUTH_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "lib/base/clock.h"
#include "lib/base/log_limiter.h"
#include "lib/base/mutex.h"
#include "lib/metrics/metrics.h"
#include "lib/rpc/member_sessions.h"
#include "lib/rpc/server.h"

namespace grpc {
class Channel;
class ClientContext;
class ServerContextBase;
}  // namespace grpc

namespace cairn {
namespace rpc {

// The side that is called; one for a process. Thread-safe; never blocks.
class MemberAuthServer {
 public:
  // `clock` and `registry` are borrowed and must outlive this; `registry` may
  // be null.
  MemberAuthServer(MemberSessionsOptions options, Clock* clock,
                   MetricsRegistry* registry);
  ~MemberAuthServer();

  MemberAuthServer(const MemberAuthServer&) = delete;
  MemberAuthServer& operator=(const MemberAuthServer&) = delete;

  // MemberAuthService, for RpcServer::Start(). Lives as long as this.
  NamedService service() const;

  // Who makes the call; `method` is its full name, `/package.Service/Method`.
  // Call it once for a call: a proof is used up by it. Errors as of
  // MemberSessions::Check(); finish the call with them.
  absl::StatusOr<std::string> Check(const grpc::ServerContextBase& context,
                                    absl::string_view method);

 private:
  class Service;

  void CountRefused(const absl::Status& status, const std::string& peer);

  MemberSessions sessions_;
  Clock* const clock_;
  MetricsRegistry* const registry_;  // May be null.
  Counter* challenges_ = nullptr;
  Counter* not_a_member_ = nullptr;
  Counter* session_expired_ = nullptr;
  uint64_t refresh_ = 0;
  const std::unique_ptr<Service> service_;
  LogLimiter refusals_;
};

struct MemberAuthClientOptions {
  std::string cluster_secret;
  std::string cluster_id;  // Canonical text form.

  // Who calls. Canonical text form; a process that has none on disk makes one
  // with Uuid::Random() when it starts.
  std::string node_uuid;

  // Who is to be at the other end; empty if any member will do.
  std::string server_uuid;

  absl::Duration handshake_timeout = absl::Seconds(5);

  // Calls that may wait for the handshake.
  size_t waiting_max = 1024;
};

// The side that calls; one for each channel. Thread-safe.
class MemberAuthClient {
 public:
  using Done = std::function<void(const absl::Status&)>;

  // `clock` is borrowed and must outlive this.
  MemberAuthClient(std::shared_ptr<grpc::Channel> channel,
                   MemberAuthClientOptions options, Clock* clock);

  // Ends a handshake that is under way and waits for its callbacks; not to be
  // called by one of them.
  ~MemberAuthClient();

  MemberAuthClient(const MemberAuthClient&) = delete;
  MemberAuthClient& operator=(const MemberAuthClient&) = delete;

  // Adds the proof for one call of `method` to `context`, which must live until
  // `done` has run. With a session that is known it runs before this returns,
  // otherwise on a gRPC thread after a handshake; it must not block. Never
  // blocks itself.
  //
  //   UNAUTHENTICATED      NOT_A_MEMBER: the server did not prove that it knows
  //                        the secret. Do not make the call.
  //   FAILED_PRECONDITION  WRONG_CLUSTER, or UNKNOWN_NODE: another node than
  //                        `server_uuid` is at this address now.
  //   RESOURCE_EXHAUSTED   too many calls wait for the handshake.
  //   CANCELLED            this is being destroyed.
  //   and what the handshake's call ended with, UNAVAILABLE say.
  void Authorize(absl::string_view method, grpc::ClientContext* context,
                 Done done) ABSL_LOCKS_EXCLUDED(mu_);

  // The same for threads that may block; not for gRPC's.
  absl::Status AuthorizeAndWait(absl::string_view method,
                                grpc::ClientContext* context)
      ABSL_LOCKS_EXCLUDED(mu_);

  // The proof alone, for a call whose context somebody else makes: the value of
  // the metadata kMemberProofKey (member_proof.h). For one call; for threads
  // that may block. Errors as Authorize().
  absl::StatusOr<std::string> ProofAndWait(absl::string_view method)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Whether a call failed with `status` because the server has forgotten the
  // session: it was restarted, say. The next Authorize() begins a new one, so
  // the call may be made again with a new context. Do that once.
  bool IsSessionLost(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Handshake;
  struct Stub;

  struct Session {
    std::string id;  // Empty: none.
    std::string key;
    uint64_t counter = 0;  // Used last.
    absl::Duration renew;  // Not used from here on. Clock::Monotonic().
  };
  struct Waiter {
    std::string method;
    grpc::ClientContext* context = nullptr;
    Done done;
  };

  // The metadata for the session's next call; empty if there is no session.
  std::string NextProof(absl::string_view method) ABSL_LOCKS_EXCLUDED(mu_);
  void OnAnswered(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);
  absl::StatusOr<Session> SessionOf(const Handshake& handshake) const;

  const MemberAuthClientOptions options_;
  const std::string member_key_;
  Clock* const clock_;
  const std::unique_ptr<Stub> stub_;

  Mutex mu_;
  CondVar idle_;
  Session session_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<Handshake> handshake_ ABSL_GUARDED_BY(mu_);
  std::vector<Waiter> waiters_ ABSL_GUARDED_BY(mu_);
  int calling_back_ ABSL_GUARDED_BY(mu_) = 0;
  bool closing_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace rpc
}  // namespace cairn

#endif  // CAIRN_LIB_RPC_MEMBER_AUTH_H_
