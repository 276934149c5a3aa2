#include "services/storage/attach/attach_call.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "cairn/tracker/v1/membership_service.grpc.pb.h"
#include "lib/base/error_reason.h"
#include "lib/base/mutex.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/cluster_auth.h"
#include "lib/rpc/grpc_status.h"
#include "lib/rpc/tls.h"

namespace cairn {
namespace storage {
namespace {

using tracker::v1::AttachRequest;
using tracker::v1::AttachResponse;
using tracker::v1::MembershipService;

class GrpcAttachCall
    : public AttachCall,
      public grpc::ClientBidiReactor<AttachRequest, AttachResponse> {
 public:
  GrpcAttachCall(absl::string_view tracker,
                 const tracker::v1::NodeIdentity& identity,
                 const tracker::v1::NodeReport& first_report,
                 absl::string_view cluster_secret,
                 std::shared_ptr<const rpc::Tls> tls, AttachListener* listener)
      : identity_(identity),
        first_report_(first_report),
        cluster_secret_(cluster_secret),
        nonce_(rpc::MakeNonce()),
        listener_(listener),
        tls_(tls != nullptr) {
    rpc::ChannelOptions options;
    options.tls = std::move(tls);
    // A shared connection would wait out the back-off that its last failure
    // has earned, and keep the address that was looked up then.
    options.own_connection = true;
    options.user_agent = absl::StrCat("cairn-storage/", identity.version());
    channel_ = rpc::MakeChannel(tracker, options);
    stub_ = MembershipService::NewStub(channel_);
  }

  void Begin() {
    MutexLock lock(&mu_);
    stub_->async()->Attach(&context_, this);
    // Writes are started from outside of reactions too; until EndLocked() the
    // call must not be done.
    AddHold();
    StartRead(&response_);
    StartCall();
  }

  void Send(const tracker::v1::NodeReport& report) override {
    MutexLock lock(&mu_);
    if (goodbye_) return;
    report_ = report;
    WriteNext();
  }

  void SayGoodbye(const tracker::v1::NodeReport& report) override {
    MutexLock lock(&mu_);
    if (goodbye_) return;
    if (!attached_) {
      Fail(absl::CancelledError("the node is stopping"));
      return;
    }
    report_ = report;
    goodbye_ = true;
    WriteNext();
  }

  void Cancel() override {
    MutexLock lock(&mu_);
    Fail(absl::CancelledError("the node has given up the attempt"));
  }

  void OnReadDone(bool ok) override {
    absl::optional<absl::Duration> attached;
    bool peers = false;
    {
      MutexLock lock(&mu_);
      if (!ok) {
        EndLocked();
        return;
      }
      if (response_.has_challenge() && !answered_) {
        Answer();
      } else if (response_.has_welcome() && answered_ && !attached_) {
        if (!rpc::SameProof(response_.welcome().proof(),
                            rpc::TrackerProof(cluster_secret_, nonce_))) {
          Fail(ErrorWithReason(
              absl::StatusCode::kUnauthenticated, ErrorReason::kNotAMember,
              "the tracker did not prove that it knows the cluster secret"));
        } else {
          attached_ = true;
          attached = absl::Milliseconds(response_.welcome().suspect_after_ms());
          WriteNext();
        }
      } else if (response_.has_peers() && attached_) {
        peers = true;
      } else {
        Fail(absl::InternalError("the tracker sent an unexpected message"));
      }
    }
    // No read is under way, so response_ is this thread's alone.
    if (attached.has_value()) listener_->OnAttached(*attached);
    if (peers) listener_->OnPeers(PeersOfResponse());
    MutexLock lock(&mu_);
    StartRead(&response_);
  }

  void OnWriteDone(bool ok) override {
    MutexLock lock(&mu_);
    writing_ = false;
    // If it failed, the read fails too and ends the call.
    if (ok) WriteNext();
  }

  void OnDone(const grpc::Status& status) override {
    absl::Status outcome = rpc::FromGrpcStatus(status);
    {
      MutexLock lock(&mu_);
      if (!attached_) outcome = rpc::ExplainTlsFailure(outcome, tls_);
      if (!failure_.ok()) outcome = failure_;
    }
    // Last: the owner may destroy this as soon as it hears of it.
    listener_->OnEnded(outcome);
  }

 private:
  const tracker::v1::GroupPeers& PeersOfResponse()
      ABSL_NO_THREAD_SAFETY_ANALYSIS {
    return response_.peers();
  }

  // Answers the challenge with who this is and the proof.
  void Answer() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    answered_ = true;
    tracker::v1::AttachHello* hello = request_.mutable_hello();
    *hello->mutable_identity() = identity_;
    *hello->mutable_report() = first_report_;
    hello->set_nonce(nonce_);
    hello->set_proof(
        rpc::NodeProof(cluster_secret_, response_.challenge().nonce(), nonce_,
                       identity_.node_uuid(), identity_.cluster_id()));
    writing_ = true;
    StartWrite(&request_);
  }

  void WriteNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (ended_ || writing_ || !attached_) return;
    if (report_.has_value()) {
      *request_.mutable_report() = *std::move(report_);
      report_.reset();
      writing_ = true;
      StartWrite(&request_);
    } else if (goodbye_ && !writes_done_) {
      writes_done_ = true;
      StartWritesDone();
    }
  }

  // Ends the call with `failure` instead of what the tracker says.
  void Fail(absl::Status failure) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (failure_.ok()) failure_ = std::move(failure);
    context_.TryCancel();
  }

  void EndLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (ended_) return;
    ended_ = true;
    RemoveHold();
  }

  const tracker::v1::NodeIdentity identity_;
  const tracker::v1::NodeReport first_report_;
  const std::string cluster_secret_;
  const std::string nonce_;
  AttachListener* const listener_;
  const bool tls_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<MembershipService::Stub> stub_;
  grpc::ClientContext context_;

  // Held while nothing else is taken.
  Mutex mu_;
  AttachRequest request_ ABSL_GUARDED_BY(mu_);
  AttachResponse response_ ABSL_GUARDED_BY(mu_);
  absl::optional<tracker::v1::NodeReport> report_ ABSL_GUARDED_BY(mu_);
  bool answered_ ABSL_GUARDED_BY(mu_) = false;
  bool attached_ ABSL_GUARDED_BY(mu_) = false;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool goodbye_ ABSL_GUARDED_BY(mu_) = false;
  bool writes_done_ ABSL_GUARDED_BY(mu_) = false;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status failure_ ABSL_GUARDED_BY(mu_);
};

}  // namespace

std::unique_ptr<AttachCall> StartAttachCall(
    absl::string_view tracker, const tracker::v1::NodeIdentity& identity,
    const tracker::v1::NodeReport& first_report,
    absl::string_view cluster_secret, std::shared_ptr<const rpc::Tls> tls,
    AttachListener* listener) {
  auto call = std::make_unique<GrpcAttachCall>(tracker, identity, first_report,
                                               cluster_secret, std::move(tls),
                                               listener);
  call->Begin();
  return call;
}

}  // namespace storage
}  // namespace cairn
