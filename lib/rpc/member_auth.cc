#include "lib/rpc/member_auth.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/server_context.h>

#include <iterator>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "cairn/common/v1/member_auth_service.grpc.pb.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/base/log.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/cluster_auth.h"
#include "lib/rpc/grpc_status.h"

namespace cairn {
namespace rpc {
namespace {

using common::v1::ChallengeRequest;
using common::v1::ChallengeResponse;
using common::v1::MemberAuthService;

constexpr char kRefused[] = "cairn_rpc_member_calls_refused_total";
constexpr char kRefusedHelp[] =
    "Calls between members that were refused, by cause. proof: a wrong cluster "
    "secret, or somebody tries. session: the caller begins anew; a few after a "
    "restart.";

absl::Status NotAMember(absl::string_view why) {
  return ErrorWithReason(absl::StatusCode::kUnauthenticated,
                         ErrorReason::kNotAMember, why);
}

// One session more costs a round trip, one too many a failed call.
absl::Duration RenewalOf(absl::Duration lifetime) { return lifetime * 3 / 4; }

}  // namespace

class MemberAuthServer::Service : public MemberAuthService::CallbackService {
 public:
  explicit Service(MemberAuthServer* owner) : owner_(owner) {}

  grpc::ServerUnaryReactor* Challenge(grpc::CallbackServerContext* context,
                                      const ChallengeRequest* request,
                                      ChallengeResponse* response) override {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    MemberSessions& sessions = owner_->sessions_;
    if (owner_->challenges_ != nullptr) owner_->challenges_->Add();
    const absl::StatusOr<MemberSessions::Challenge> challenge = sessions.Begin(
        request->nonce(), request->node_uuid(), request->cluster_id());
    if (!challenge.ok()) {
      reactor->Finish(ToGrpcStatus(challenge.status()));
      return reactor;
    }
    response->set_nonce(challenge->nonce);
    response->set_session_id(challenge->session_id);
    response->set_node_uuid(sessions.options().node_uuid);
    response->set_proof(challenge->proof);
    response->set_session_lifetime_ms(
        absl::ToInt64Milliseconds(sessions.options().session_lifetime));
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

 private:
  MemberAuthServer* const owner_;
};

MemberAuthServer::MemberAuthServer(MemberSessionsOptions options, Clock* clock,
                                   MetricsRegistry* registry)
    : sessions_(std::move(options), clock),
      clock_(clock),
      registry_(registry),
      service_(std::make_unique<Service>(this)) {
  if (registry_ == nullptr) return;
  challenges_ = registry_->AddCounter(
      "cairn_rpc_member_challenges_total",
      "Sessions that other members, or who says to be one, asked for. Rising "
      "much faster than members restart: somebody tries.");
  not_a_member_ =
      registry_->AddCounter(kRefused, kRefusedHelp, {{"cause", "proof"}});
  session_expired_ =
      registry_->AddCounter(kRefused, kRefusedHelp, {{"cause", "session"}});
  Gauge* const sessions = registry_->AddGauge(
      "cairn_rpc_member_sessions",
      "Sessions of other members with this process, used or not.");
  refresh_ = registry_->AddRefresh([this, sessions] {
    sessions->Set(static_cast<double>(sessions_.sessions()));
  });
}

MemberAuthServer::~MemberAuthServer() {
  if (registry_ != nullptr) registry_->Remove(refresh_);
}

NamedService MemberAuthServer::service() const {
  return {MemberAuthService::service_full_name(), service_.get()};
}

absl::StatusOr<std::string> MemberAuthServer::Check(
    const grpc::ServerContextBase& context, absl::string_view method) {
  const auto found = context.client_metadata().equal_range(kMemberProofKey);
  absl::StatusOr<std::string> caller;
  if (found.first == found.second) {
    caller = NotAMember(
        "only members of the cluster may call this, and the call carries no "
        "proof");
  } else if (std::next(found.first) != found.second) {
    caller = NotAMember("the call carries more than one proof");
  } else {
    const grpc::string_ref proof = found.first->second;
    caller =
        sessions_.Check(absl::string_view(proof.data(), proof.size()), method);
  }
  if (!caller.ok()) CountRefused(caller.status(), context.peer());
  return caller;
}

void MemberAuthServer::CountRefused(const absl::Status& status,
                                    const std::string& peer) {
  if (IsSessionExpired(status)) {
    if (session_expired_ != nullptr) session_expired_->Add();
    return;  // Ordinary: this process was restarted.
  }
  if (not_a_member_ != nullptr) not_a_member_->Add();
  // Anyone may knock.
  const absl::optional<uint64_t> unlogged =
      refusals_.Admit(clock_->Monotonic());
  if (!unlogged.has_value()) return;
  CAIRN_LOG(kWarning, "rpc",
            "a call between members was refused peer={} error=\"{}\" "
            "others_since_last={}",
            peer, status, *unlogged);
}

struct MemberAuthClient::Stub {
  std::unique_ptr<MemberAuthService::Stub> service;
};

// One call of Challenge.
struct MemberAuthClient::Handshake {
  grpc::ClientContext context;
  ChallengeRequest request;
  ChallengeResponse response;
  absl::Duration begun;
};

MemberAuthClient::MemberAuthClient(std::shared_ptr<grpc::Channel> channel,
                                   MemberAuthClientOptions options,
                                   Clock* clock)
    : options_(std::move(options)),
      member_key_(MemberKey(options_.cluster_secret)),
      clock_(clock),
      stub_(std::make_unique<Stub>()) {
  CAIRN_CHECK(!options_.cluster_secret.empty());
  CAIRN_CHECK(options_.cluster_id == CanonicalUuid(options_.cluster_id));
  CAIRN_CHECK(options_.node_uuid == CanonicalUuid(options_.node_uuid));
  stub_->service = MemberAuthService::NewStub(std::move(channel));
}

MemberAuthClient::~MemberAuthClient() {
  MutexLock lock(&mu_);
  closing_ = true;
  if (handshake_ != nullptr) handshake_->context.TryCancel();
  while (handshake_ != nullptr || calling_back_ > 0) idle_.Wait(&mu_);
}

std::string MemberAuthClient::NextProof(absl::string_view method) {
  const absl::Duration now = clock_->Monotonic();
  MemberProof proof;
  std::string key;
  {
    MutexLock lock(&mu_);
    if (session_.id.empty() || now >= session_.renew) return "";
    proof.session_id = session_.id;
    proof.counter = ++session_.counter;
    key = session_.key;
  }
  proof.mac = CallMac(key, proof.session_id, proof.counter, method);
  return SerializeMemberProof(proof);
}

void MemberAuthClient::Authorize(absl::string_view method,
                                 grpc::ClientContext* context, Done done) {
  const std::string proof = NextProof(method);
  if (!proof.empty()) {
    context->AddMetadata(kMemberProofKey, proof);
    done(absl::OkStatus());
    return;
  }
  Handshake* begin = nullptr;
  absl::Status refused;
  {
    MutexLock lock(&mu_);
    if (closing_) {
      refused = absl::CancelledError("the caller is stopping");
    } else if (waiters_.size() >= options_.waiting_max) {
      refused = ErrorWithReason(
          absl::StatusCode::kResourceExhausted, ErrorReason::kOverloaded,
          "too many calls wait for a session with the server");
    } else {
      waiters_.push_back({std::string(method), context, std::move(done)});
      if (handshake_ == nullptr) {
        handshake_ = std::make_unique<Handshake>();
        begin = handshake_.get();
        begin->begun = clock_->Monotonic();
        begin->request.set_nonce(MakeNonce());
        begin->request.set_node_uuid(options_.node_uuid);
        begin->request.set_cluster_id(options_.cluster_id);
        SetTimeout(&begin->context, options_.handshake_timeout);
      }
    }
  }
  if (!refused.ok()) done(refused);
  if (begin == nullptr) return;
  // It stays where it is until OnAnswered() has run.
  stub_->service->async()->Challenge(&begin->context, &begin->request,
                                     &begin->response,
                                     [this](const grpc::Status& status) {
                                       OnAnswered(FromGrpcStatus(status));
                                     });
}

void MemberAuthClient::OnAnswered(const absl::Status& status) {
  std::unique_ptr<Handshake> handshake;
  std::vector<Waiter> waiters;
  absl::Status outcome = status;
  {
    MutexLock lock(&mu_);
    if (outcome.ok()) {
      absl::StatusOr<Session> session = SessionOf(*handshake_);
      outcome = session.status();
      if (session.ok()) session_ = *std::move(session);
    }
    if (closing_) outcome = absl::CancelledError("the caller is stopping");
    handshake = std::move(handshake_);
    waiters.swap(waiters_);
    ++calling_back_;
  }
  // Without the lock: a callback is free to call Authorize().
  for (Waiter& waiter : waiters) {
    absl::Status answer = outcome;
    if (answer.ok()) {
      const std::string proof = NextProof(waiter.method);
      if (proof.empty()) {
        answer = absl::UnavailableError("the session was lost at once");
      } else {
        waiter.context->AddMetadata(kMemberProofKey, proof);
      }
    }
    waiter.done(answer);
  }
  // Before the destructor may go on: what they hold may be its owner's.
  waiters.clear();
  handshake.reset();
  MutexLock lock(&mu_);
  --calling_back_;
  idle_.SignalAll();
}

absl::StatusOr<MemberAuthClient::Session> MemberAuthClient::SessionOf(
    const Handshake& handshake) const {
  const ChallengeResponse& response = handshake.response;
  if (response.nonce().size() != kNonceBytes ||
      response.session_id().size() != kSessionIdBytes ||
      response.session_lifetime_ms() <= 0) {
    return absl::InternalError("the server's answer to a challenge is none");
  }
  MemberHandshake both;
  both.client_nonce = handshake.request.nonce();
  both.server_nonce = response.nonce();
  both.session_id = response.session_id();
  both.client_uuid = options_.node_uuid;
  both.cluster_id = options_.cluster_id;
  both.server_uuid = response.node_uuid();
  if (!SameProof(response.proof(), ServerProof(member_key_, both))) {
    return NotAMember(
        "the server's cluster secret is not this process's; give both the "
        "same secret");
  }
  if (!options_.server_uuid.empty() &&
      response.node_uuid() != options_.server_uuid) {
    return ErrorWithReason(
        absl::StatusCode::kFailedPrecondition, ErrorReason::kUnknownNode,
        absl::StrCat("node ", response.node_uuid(), " answers where node ",
                     options_.server_uuid, " was expected"),
        {{"node_uuid", response.node_uuid()}});
  }
  Session session;
  session.id = response.session_id();
  session.key = SessionKey(member_key_, both);
  session.renew = handshake.begun +
                  RenewalOf(absl::Milliseconds(response.session_lifetime_ms()));
  return session;
}

absl::Status MemberAuthClient::AuthorizeAndWait(absl::string_view method,
                                                grpc::ClientContext* context) {
  Notification answered;
  absl::Status answer;
  Authorize(method, context, [&answered, &answer](const absl::Status& status) {
    answer = status;
    answered.Notify();
  });
  answered.WaitForNotification();
  return answer;
}

absl::StatusOr<std::string> MemberAuthClient::ProofAndWait(
    absl::string_view method) {
  std::string proof = NextProof(method);
  if (!proof.empty()) return proof;
  grpc::ClientContext unused;
  absl::Status authorized = AuthorizeAndWait(method, &unused);
  if (!authorized.ok()) return authorized;
  proof = NextProof(method);
  if (proof.empty()) {
    return absl::UnavailableError("the session was lost at once");
  }
  return proof;
}

bool MemberAuthClient::IsSessionLost(const absl::Status& status) {
  if (!IsSessionExpired(status)) return false;
  const std::string lost = MetadataOf(status)["session"];
  MutexLock lock(&mu_);
  // Another call may have begun a new one already.
  if (absl::BytesToHexString(session_.id) == lost) session_ = Session();
  return true;
}

}  // namespace rpc
}  // namespace cairn
