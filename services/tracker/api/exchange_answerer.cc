#include "services/tracker/api/exchange_answerer.h"

#include <deque>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/base/log.h"
#include "lib/rpc/cluster_auth.h"
#include "lib/rpc/grpc_status.h"

namespace cairn {
namespace tracker {
namespace {

absl::Status Malformed(absl::string_view field, absl::string_view why) {
  return ErrorWithReason(
      absl::StatusCode::kInvalidArgument, ErrorReason::kInvalidField,
      absl::StrCat(field, ": ", why), {{"field", std::string(field)}});
}

absl::Status Stopping() {
  return ErrorWithReason(absl::StatusCode::kUnavailable,
                         ErrorReason::kShuttingDown,
                         "this tracker is stopping; try again later");
}

}  // namespace

// One round. Lives from Answer() to OnDone(); the answerer holds it, so that a
// late Tick() finds it alive. Reads are one at a time, and what they touch
// alone (request_) needs no lock beyond the hand-over.
class ExchangeAnswerer::Round
    : public grpc::ServerBidiReactor<v1::ExchangeRequest,
                                     v1::ExchangeResponse> {
 public:
  Round(ExchangeAnswerer* answerer,
        std::shared_ptr<const ExchangeIdentity> identity, std::string peer)
      : answerer_(answerer),
        identity_(std::move(identity)),
        peer_(std::move(peer)),
        nonce_(rpc::MakeNonce()) {}

  // Sends the challenge and listens.
  void Begin() {
    MutexLock lock(&mu_);
    if (finished_) return;
    outgoing_.emplace_back().mutable_challenge()->set_nonce(nonce_);
    WriteNext();
    StartRead(&request_);
  }

  void End(const absl::Status& status) {
    MutexLock lock(&mu_);
    EndLocked(status);
  }

  void OnReadDone(bool ok) override {
    absl::optional<v1::ExchangeSummary> caller;
    {
      MutexLock lock(&mu_);
      if (!ok) {
        reads_done_ = true;
        FinishIfDone();
        return;
      }
      caller = caller_;
    }
    absl::Status status;
    if (!caller.has_value()) {
      status = Hello();
      if (!status.ok()) answerer_->Refused(status, peer_);
    } else if (request_.has_page()) {
      const size_t refused =
          MergePage(*caller, request_.page(), answerer_->membership_);
      if (refused > 0) {
        CAIRN_LOG(kWarning, "tracker",
                  "passed over what another tracker said tracker={} records={}",
                  caller->address(), refused);
      }
    } else {
      status = Malformed("message", "only pages may follow the hello");
    }
    MutexLock lock(&mu_);
    if (!status.ok()) EndLocked(status);
    if (!finished_) StartRead(&request_);
  }

  void OnWriteDone(bool ok) override {
    MutexLock lock(&mu_);
    writing_ = false;
    outgoing_.pop_front();
    if (!ok) {
      EndLocked(absl::CancelledError("the other tracker is gone"));
      return;
    }
    WriteNext();
    FinishIfDone();
  }

  void OnCancel() override {
    End(absl::CancelledError("the other tracker is gone"));
  }

  void OnDone() override {
    {
      // Only to see what the threads before have written.
      MutexLock lock(&mu_);
    }
    answerer_->Remove(this);
  }

 private:
  // Checks who calls, and prepares all that there is to say.
  absl::Status Hello() {
    if (!request_.has_hello()) {
      return Malformed("message", "the first one must be the hello");
    }
    const v1::ExchangeHello& hello = request_.hello();
    if (hello.nonce().size() != rpc::kNonceBytes) {
      return Malformed("hello.nonce",
                       absl::StrCat("must have ", rpc::kNonceBytes, " bytes"));
    }
    const std::string expected = rpc::ExchangeCallerProof(
        identity_->cluster_secret, nonce_, hello.nonce(), hello.cluster_id(),
        hello.summary().tracker_instance());
    if (!rpc::SameProof(hello.proof(), expected)) {
      return ErrorWithReason(
          absl::StatusCode::kUnauthenticated, ErrorReason::kNotAMember,
          "the calling tracker's cluster secret is not this one's; give both "
          "the same secret");
    }
    if (hello.cluster_id() != identity_->cluster_id) {
      return ErrorWithReason(
          absl::StatusCode::kFailedPrecondition, ErrorReason::kWrongCluster,
          absl::StrCat("the calling tracker belongs to cluster ",
                       hello.cluster_id(), ", this one to ",
                       identity_->cluster_id, "; check the field `trackers`"),
          {{"cluster_id", identity_->cluster_id}});
    }
    const absl::Status checked = CheckSummary(hello.summary());
    if (!checked.ok()) return checked;

    Membership* const membership = answerer_->membership_;
    v1::ExchangeResponse welcome;
    *welcome.mutable_welcome()->mutable_summary() =
        MakeSummary(*identity_, membership);
    welcome.mutable_welcome()->set_proof(
        rpc::ExchangeAnswererProof(identity_->cluster_secret, nonce_,
                                   hello.nonce(), identity_->tracker_instance));
    std::vector<v1::ExchangePage> pages;
    // A tracker that has called itself learns so from the welcome.
    if (hello.summary().tracker_instance() != identity_->tracker_instance) {
      pages = MakePages(hello.summary(), membership);
    }
    MutexLock lock(&mu_);
    caller_ = hello.summary();
    caller_->clear_heard_nodes();
    outgoing_.push_back(std::move(welcome));
    for (v1::ExchangePage& page : pages) {
      *outgoing_.emplace_back().mutable_page() = std::move(page);
    }
    WriteNext();
    return absl::OkStatus();
  }

  void WriteNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (finished_ || writing_ || outgoing_.empty()) return;
    writing_ = true;
    StartWrite(&outgoing_.front());
  }

  // Ends the round when both sides have said everything.
  void FinishIfDone() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (!reads_done_) return;
    if (!caller_.has_value()) {
      EndLocked(ErrorWithReason(absl::StatusCode::kUnauthenticated,
                                ErrorReason::kNotAMember, "no hello came"));
    } else if (outgoing_.empty()) {
      EndLocked(absl::OkStatus());
    }
  }

  void EndLocked(const absl::Status& status)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (finished_) return;
    finished_ = true;
    Finish(rpc::ToGrpcStatus(status));
  }

  ExchangeAnswerer* const answerer_;
  const std::shared_ptr<const ExchangeIdentity> identity_;
  const std::string peer_;
  const std::string nonce_;

  // Of the read that is under way, or of the one that OnReadDone() looks at.
  v1::ExchangeRequest request_;

  // Held while nothing else is taken.
  Mutex mu_;
  absl::optional<v1::ExchangeSummary> caller_ ABSL_GUARDED_BY(mu_);
  std::deque<v1::ExchangeResponse> outgoing_ ABSL_GUARDED_BY(mu_);
  bool writing_ ABSL_GUARDED_BY(mu_) = false;  // The first of outgoing_.
  bool reads_done_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
};

ExchangeAnswerer::ExchangeAnswerer(Membership* membership,
                                   CallObserver* observer, Clock* clock)
    : membership_(membership), observer_(observer), clock_(clock) {}

ExchangeAnswerer::~ExchangeAnswerer() {
  MutexLock lock(&mu_);
  CAIRN_CHECK_MSG(rounds_.empty(), "the server must be stopped before");
}

void ExchangeAnswerer::Open(ExchangeIdentity identity) {
  MutexLock lock(&mu_);
  CAIRN_CHECK(identity_ == nullptr);
  identity_ = std::make_shared<const ExchangeIdentity>(std::move(identity));
}

grpc::ServerBidiReactor<v1::ExchangeRequest, v1::ExchangeResponse>*
ExchangeAnswerer::Answer(const std::string& peer) {
  std::shared_ptr<Round> round;
  absl::Status refused;
  {
    MutexLock lock(&mu_);
    round = std::make_shared<Round>(this, identity_, peer);
    if (stopping_) {
      refused = Stopping();
    } else if (identity_ == nullptr) {
      refused = absl::UnavailableError("this tracker is starting");
    } else if (rounds_.size() >= kRoundsMax) {
      refused = ErrorWithReason(
          absl::StatusCode::kResourceExhausted, ErrorReason::kOverloaded,
          absl::StrCat("this tracker has ", rounds_.size(),
                       " exchanges in progress and takes no more"));
    }
    // Kept until OnDone() in any case.
    rounds_.emplace(round.get(), Entry{round, clock_->Monotonic()});
  }
  if (refused.ok()) {
    round->Begin();
  } else {
    round->End(refused);
  }
  return round.get();
}

void ExchangeAnswerer::Refused(const absl::Status& status,
                               const std::string& peer) {
  observer_->OnExchangeRefused(status);
  // Anyone may knock.
  const absl::optional<uint64_t> unlogged =
      refusals_.Admit(clock_->Monotonic());
  if (!unlogged.has_value()) return;
  CAIRN_LOG(kWarning, "tracker",
            "a tracker was refused peer={} error=\"{}\" others_since_last={}",
            peer, status, *unlogged);
}

void ExchangeAnswerer::Remove(Round* round) {
  std::shared_ptr<Round> last;  // Destroyed without the lock.
  MutexLock lock(&mu_);
  const auto found = rounds_.find(round);
  CAIRN_CHECK(found != rounds_.end());
  last = std::move(found->second.round);
  rounds_.erase(found);
}

void ExchangeAnswerer::Tick() {
  std::vector<std::shared_ptr<Round>> late;
  {
    MutexLock lock(&mu_);
    const absl::Duration now = clock_->Monotonic();
    for (const auto& [unused, entry] : rounds_) {
      if (now - entry.begun >= kRoundTimeout) late.push_back(entry.round);
    }
  }
  for (const auto& round : late) {
    round->End(ErrorWithReason(absl::StatusCode::kUnavailable,
                               ErrorReason::kDeadline,
                               "the exchange took too long; try again"));
  }
}

void ExchangeAnswerer::Stop() {
  std::vector<std::shared_ptr<Round>> rounds;
  {
    MutexLock lock(&mu_);
    stopping_ = true;
    for (const auto& [unused, entry] : rounds_) rounds.push_back(entry.round);
  }
  for (const auto& round : rounds) round->End(Stopping());
}

size_t ExchangeAnswerer::rounds() const {
  MutexLock lock(&mu_);
  return rounds_.size();
}

}  // namespace tracker
}  // namespace cairn
