#include "services/tracker/api/peer_links.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <pthread.h>

#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cairn/tracker/v1/membership_service.grpc.pb.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/base/log.h"
#include "lib/base/uuid.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/cluster_auth.h"
#include "lib/rpc/grpc_status.h"
#include "lib/rpc/tls.h"

namespace cairn {
namespace tracker {
namespace {

// How often a tracker that has met itself looks whether it still does: an
// address may come to mean another one.
constexpr int kSelfIntervals = 60;

}  // namespace

// One peer, and the thread that talks to it.
class PeerLinks::Link {
 public:
  Link(std::string peer, const PeerLinksOptions* options,
       Membership* membership, CallObserver* observer)
      : peer_(std::move(peer)),
        options_(options),
        membership_(membership),
        observer_(observer) {}

  void Start() {
    CAIRN_CHECK(!thread_.joinable());
    thread_ = std::thread([this] {
      pthread_setname_np(pthread_self(), "exchange");
      Run();
    });
  }

  void Soon() ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    soon_ = true;
    wake_.Signal();
  }

  void AskToStop() ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    stop_ = true;
    if (context_ != nullptr) context_->TryCancel();
    wake_.Signal();
  }

  void Join() {
    if (thread_.joinable()) thread_.join();
  }

  bool reached() const ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    return reached_;
  }

  bool apart() const ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    return apart_;
  }

  const std::string& peer() const { return peer_; }

 private:
  using Stub = v1::MembershipService::Stub;
  using Stream =
      grpc::ClientReaderWriter<v1::ExchangeRequest, v1::ExchangeResponse>;

  void Run() ABSL_LOCKS_EXCLUDED(mu_) {
    while (true) {
      bool self = false;
      const absl::Status status = Round(&self);
      {
        MutexLock lock(&mu_);
        if (stop_) return;
        reached_ = status.ok() && !self;
        apart_ = !status.ok();
      }
      observer_->OnExchange(status.code());
      Tell(status, self);
      if (!status.ok()) stub_.reset();  // The name is looked up again.
      const absl::Duration wait =
          Jitter(options_->interval) * (self ? kSelfIntervals : 1);
      MutexLock lock(&mu_);
      if (!stop_ && (!soon_ || self)) wake_.WaitWithTimeout(&mu_, wait);
      soon_ = false;
      if (stop_) return;
    }
  }

  // A quarter more or less, so that trackers that were started together do not
  // all call at once for ever.
  static absl::Duration Jitter(absl::Duration full) {
    const double share = static_cast<double>(RandomUint32()) / 4294967296.0;
    return full * (0.75 + share / 2);
  }

  // One line when it is lost, fails in a new way or is back.
  void Tell(const absl::Status& status, bool self) {
    const bool news = !told_ || status.code() != last_code_ || self != self_;
    told_ = true;
    last_code_ = status.code();
    self_ = self;
    if (!news) return;
    if (!status.ok()) {
      CAIRN_LOG(kWarning, "tracker",
                "no exchange with another tracker, will try again tracker={} "
                "error=\"{}\"",
                peer_, status);
    } else if (self) {
      CAIRN_LOG(kInfo, "tracker",
                "an address leads to this tracker itself "
                "tracker={}",
                peer_);
    } else {
      CAIRN_LOG(kInfo, "tracker", "exchanging with another tracker tracker={}",
                peer_);
    }
  }

  absl::Status Round(bool* self) ABSL_LOCKS_EXCLUDED(mu_) {
    if (stub_ == nullptr) {
      rpc::ChannelOptions options;
      // A shared connection would wait out the back-off that its last failure
      // has earned, and keep the address that was looked up then.
      options.own_connection = true;
      options.tls = options_->tls;
      options.user_agent = "cairn-tracker";
      stub_ = v1::MembershipService::NewStub(rpc::MakeChannel(peer_, options));
    }
    grpc::ClientContext context;
    rpc::SetTimeout(&context, options_->round_timeout);
    {
      MutexLock lock(&mu_);
      if (stop_) return absl::CancelledError("stopping");
      context_ = &context;
    }
    const std::unique_ptr<Stream> stream = stub_->Exchange(&context);
    const absl::Status said = Converse(stream.get(), self);
    // A peer that has hung up has said why; any other would wait for more.
    if (*self || (!said.ok() && !IsCutOff(said))) context.TryCancel();
    v1::ExchangeResponse rest;
    while (stream->Read(&rest)) {
    }
    const absl::Status ended = rpc::ExplainTlsFailure(
        rpc::FromGrpcStatus(stream->Finish()), options_->tls != nullptr);
    {
      MutexLock lock(&mu_);
      context_ = nullptr;
    }
    if (*self) return absl::OkStatus();
    // The peer's word for it, unless it is only that this side hung up.
    return said.ok() || IsCutOff(said) ? ended : said;
  }

  // Stands for "the stream has ended: ask it why".
  static absl::Status CutOff() { return absl::CancelledError("cut off"); }
  static bool IsCutOff(const absl::Status& status) {
    return status.code() == absl::StatusCode::kCancelled;
  }

  // The whole round; see the picture in membership_service.proto.
  absl::Status Converse(Stream* stream, bool* self) {
    const ExchangeIdentity& identity = options_->identity;
    v1::ExchangeResponse response;
    if (!stream->Read(&response)) return CutOff();
    const std::string answerer_nonce = response.challenge().nonce();
    if (answerer_nonce.size() != rpc::kNonceBytes) {
      return absl::InternalError("the other tracker sent no challenge");
    }
    const std::string nonce = rpc::MakeNonce();
    v1::ExchangeRequest request;
    v1::ExchangeHello* const hello = request.mutable_hello();
    hello->set_cluster_id(identity.cluster_id);
    *hello->mutable_summary() = MakeSummary(identity, membership_);
    hello->set_nonce(nonce);
    hello->set_proof(rpc::ExchangeCallerProof(
        identity.cluster_secret, answerer_nonce, nonce, identity.cluster_id,
        identity.tracker_instance));
    if (!stream->Write(request) || !stream->Read(&response)) return CutOff();
    const v1::ExchangeWelcome welcome = response.welcome();
    if (!rpc::SameProof(welcome.proof(),
                        rpc::ExchangeAnswererProof(
                            identity.cluster_secret, answerer_nonce, nonce,
                            welcome.summary().tracker_instance()))) {
      return ErrorWithReason(
          absl::StatusCode::kUnauthenticated, ErrorReason::kNotAMember,
          "the other tracker did not prove that it knows the cluster secret");
    }
    if (welcome.summary().tracker_instance() == identity.tracker_instance) {
      *self = true;
      return absl::OkStatus();
    }
    const absl::Status checked = CheckSummary(welcome.summary());
    if (!checked.ok()) return checked;
    // It reads while it writes, so that this cannot wait for itself.
    for (v1::ExchangePage& page : MakePages(welcome.summary(), membership_)) {
      *request.mutable_page() = std::move(page);
      if (!stream->Write(request)) return CutOff();
    }
    stream->WritesDone();
    while (stream->Read(&response)) {
      if (!response.has_page()) {
        return absl::InternalError(
            "the other tracker sent an unexpected message");
      }
      const size_t refused =
          MergePage(welcome.summary(), response.page(), membership_);
      if (refused > 0) {
        CAIRN_LOG(kWarning, "tracker",
                  "passed over what another tracker said tracker={} records={}",
                  peer_, refused);
      }
    }
    return absl::OkStatus();
  }

  const std::string peer_;
  const PeerLinksOptions* const options_;
  Membership* const membership_;
  CallObserver* const observer_;

  // The thread's alone: the way there, and what was logged last.
  std::unique_ptr<Stub> stub_;
  bool told_ = false;
  bool self_ = false;
  absl::StatusCode last_code_ = absl::StatusCode::kOk;

  mutable Mutex mu_;
  CondVar wake_;
  grpc::ClientContext* context_ ABSL_GUARDED_BY(mu_) = nullptr;
  bool soon_ ABSL_GUARDED_BY(mu_) = false;
  bool stop_ ABSL_GUARDED_BY(mu_) = false;
  bool reached_ ABSL_GUARDED_BY(mu_) = false;
  bool apart_ ABSL_GUARDED_BY(mu_) = true;  // Until a round goes well.

  std::thread thread_;  // Runs Run(). Joined by Join().
};

PeerLinks::PeerLinks(PeerLinksOptions options, Membership* membership,
                     CallObserver* observer)
    : options_(std::move(options)) {
  for (const std::string& peer : options_.peers) {
    links_.push_back(
        std::make_unique<Link>(peer, &options_, membership, observer));
  }
}

PeerLinks::~PeerLinks() { Stop(); }

void PeerLinks::Start() {
  for (const auto& link : links_) link->Start();
}

void PeerLinks::ExchangeSoon() {
  for (const auto& link : links_) link->Soon();
}

void PeerLinks::Stop() {
  for (const auto& link : links_) link->AskToStop();
  for (const auto& link : links_) link->Join();
}

size_t PeerLinks::reached() const {
  size_t reached = 0;
  for (const auto& link : links_) reached += link->reached() ? 1 : 0;
  return reached;
}

std::vector<std::string> PeerLinks::apart() const {
  std::vector<std::string> addresses;
  for (const auto& link : links_) {
    if (link->apart()) addresses.push_back(link->peer());
  }
  return addresses;
}

}  // namespace tracker
}  // namespace cairn
