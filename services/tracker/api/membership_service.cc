#include "services/tracker/api/membership_service.h"

#include <set>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/base/log.h"
#include "lib/rpc/cluster_auth.h"
#include "lib/rpc/grpc_status.h"
#include "services/tracker/api/convert.h"
#include "services/tracker/api/group_peers.h"

namespace cairn {
namespace tracker {
namespace {

absl::Status Stopping() {
  return ErrorWithReason(absl::StatusCode::kUnavailable,
                         ErrorReason::kShuttingDown,
                         "this tracker is stopping; attach again later");
}

absl::Status NotAMember(absl::string_view why) {
  return ErrorWithReason(absl::StatusCode::kUnauthenticated,
                         ErrorReason::kNotAMember, why);
}

absl::Status Malformed(absl::string_view field, absl::string_view why) {
  return ErrorWithReason(
      absl::StatusCode::kInvalidArgument, ErrorReason::kInvalidField,
      absl::StrCat(field, ": ", why), {{"field", std::string(field)}});
}

}  // namespace

// One node's stream. Lives from Attach() to OnDone(); the service holds it, so
// that a late OnChange() finds it alive. Reads are one at a time, and what they
// touch alone (request_) needs no lock beyond the hand-over.
class MembershipServiceImpl::Stream
    : public grpc::ServerBidiReactor<v1::AttachRequest, v1::AttachResponse> {
 public:
  Stream(MembershipServiceImpl* service, std::string peer)
      : service_(service), peer_(std::move(peer)), nonce_(rpc::MakeNonce()) {}

  // Sends the challenge and listens.
  void Begin() {
    MutexLock lock(&mu_);
    if (finished_) return;
    response_.mutable_challenge()->set_nonce(nonce_);
    writing_ = true;
    StartWrite(&response_);
    StartRead(&request_);
  }

  void End(const absl::Status& status) {
    MutexLock lock(&mu_);
    if (finished_) return;
    finished_ = true;
    Finish(rpc::ToGrpcStatus(status));
  }

  // The members of its group changed.
  void SendPeers() {
    MutexLock lock(&mu_);
    peers_due_ = true;
    WriteNext();
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      // The node is gone, or has said all that it had to say.
      Detach();
      End(absl::OkStatus());
      return;
    }
    absl::Status status;
    {
      // Only to see what the thread before has written.
      MutexLock lock(&mu_);
    }
    if (attachment_ == 0) {
      status = Hello();
      if (!status.ok()) service_->Refused(status, peer_);
    } else if (request_.has_report()) {
      status = service_->membership_->Report(
          attachment_, StatusFromProto(request_.report()));
    } else {
      status = Malformed("message", "only reports may follow the hello");
    }
    if (!status.ok()) {
      Detach();
      End(status);
      return;
    }
    MutexLock lock(&mu_);
    if (!finished_) StartRead(&request_);
  }

  void OnWriteDone(bool ok) override {
    MutexLock lock(&mu_);
    writing_ = false;
    // If it failed, the read fails too and ends the stream.
    if (ok) WriteNext();
  }

  void OnCancel() override { End(absl::CancelledError("the node is gone")); }

  void OnDone() override {
    Detach();
    service_->Remove(this);
  }

 private:
  // Checks the first message and makes the node known.
  absl::Status Hello() {
    if (!request_.has_hello()) {
      return Malformed("message", "the first one must be the hello");
    }
    const v1::AttachHello& hello = request_.hello();
    if (hello.nonce().size() != rpc::kNonceBytes) {
      return Malformed("hello.nonce",
                       absl::StrCat("must have ", rpc::kNonceBytes, " bytes"));
    }
    const NodeIdentity identity = IdentityFromProto(hello.identity());
    const std::string expected =
        rpc::NodeProof(service_->options_.cluster_secret, nonce_, hello.nonce(),
                       identity.node_uuid, identity.cluster_id);
    if (!rpc::SameProof(hello.proof(), expected)) {
      return NotAMember(
          "the node's cluster secret is not this tracker's; give both the "
          "same secret");
    }
    const absl::StatusOr<Membership::Attached> attached =
        service_->membership_->Attach(identity,
                                      StatusFromProto(hello.report()));
    if (!attached.ok()) return attached.status();
    {
      MutexLock lock(&mu_);
      attachment_ = attached->attachment;
      identity_ = identity;
      welcome_ =
          rpc::TrackerProof(service_->options_.cluster_secret, hello.nonce());
      peers_due_ = true;
      WriteNext();
    }
    service_->Attached(this, *attached, identity);
    CAIRN_LOG(kInfo, "tracker",
              "node attached name={} uuid={} group={} address={} number={}",
              identity.name, identity.node_uuid, identity.group,
              identity.address, identity.node_number);
    return absl::OkStatus();
  }

  void WriteNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (finished_ || writing_ || attachment_ == 0) return;
    if (!welcome_.empty()) {
      v1::AttachWelcome* welcome = response_.mutable_welcome();
      welcome->set_proof(welcome_);
      welcome->set_suspect_after_ms(absl::ToInt64Milliseconds(
          service_->membership_->options().suspect_after));
      welcome_.clear();
    } else if (peers_due_) {
      peers_due_ = false;
      *response_.mutable_peers() =
          MakeGroupPeers(identity_, service_->membership_);
    } else {
      return;
    }
    writing_ = true;
    StartWrite(&response_);
  }

  void Detach() {
    uint64_t attachment = 0;
    {
      MutexLock lock(&mu_);
      attachment = attachment_;
    }
    // Without the lock: the membership tells everyone, this stream too.
    if (attachment != 0) service_->membership_->Detach(attachment);
  }

  MembershipServiceImpl* const service_;
  const std::string peer_;
  const std::string nonce_;

  // Of the read that is under way, or of the one that OnReadDone() looks at.
  v1::AttachRequest request_;

  // Taken before the membership's lock and never together with the service's.
  Mutex mu_;

  // Written once, under the lock, by OnReadDone(), which may read it without.
  uint64_t attachment_ = 0;

  NodeIdentity identity_ ABSL_GUARDED_BY(mu_);
  v1::AttachResponse response_ ABSL_GUARDED_BY(mu_);
  std::string welcome_ ABSL_GUARDED_BY(mu_);  // Proof to be sent.
  bool peers_due_ ABSL_GUARDED_BY(mu_) = false;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
};

MembershipServiceImpl::MembershipServiceImpl(Membership* membership,
                                             MembershipServiceOptions options,
                                             CallObserver* observer,
                                             Clock* clock)
    : membership_(membership),
      options_(std::move(options)),
      observer_(observer),
      clock_(clock),
      exchanges_(membership, observer, clock) {
  CAIRN_CHECK(!options_.cluster_secret.empty());
}

MembershipServiceImpl::~MembershipServiceImpl() {
  MutexLock lock(&mu_);
  CAIRN_CHECK_MSG(streams_.empty(), "the server must be stopped before");
}

grpc::ServerBidiReactor<v1::AttachRequest, v1::AttachResponse>*
MembershipServiceImpl::Attach(grpc::CallbackServerContext* context) {
  auto stream = std::make_shared<Stream>(this, context->peer());
  absl::Status refused;
  {
    MutexLock lock(&mu_);
    if (stopping_) {
      refused = Stopping();
    } else if (streams_.size() >= options_.streams_max) {
      refused = ErrorWithReason(
          absl::StatusCode::kResourceExhausted, ErrorReason::kOverloaded,
          absl::StrCat("this tracker has ", streams_.size(),
                       " attached nodes and takes no more"));
    }
    // Kept until OnDone() in any case.
    Entry entry;
    entry.stream = stream;
    entry.begun = clock_->Monotonic();
    streams_.emplace(stream.get(), std::move(entry));
  }
  if (refused.ok()) {
    stream->Begin();
  } else {
    stream->End(refused);
  }
  return stream.get();
}

grpc::ServerBidiReactor<v1::ExchangeRequest, v1::ExchangeResponse>*
MembershipServiceImpl::Exchange(grpc::CallbackServerContext* context) {
  return exchanges_.Answer(context->peer());
}

void MembershipServiceImpl::Attached(Stream* stream,
                                     const Membership::Attached& attached,
                                     const NodeIdentity& identity) {
  std::shared_ptr<Stream> displaced;
  {
    MutexLock lock(&mu_);
    const auto found = streams_.find(stream);
    if (found != streams_.end()) {
      found->second.attachment = attached.attachment;
      found->second.node_uuid = identity.node_uuid;
      found->second.group = identity.group;
    }
    for (const auto& [unused, entry] : streams_) {
      if (attached.displaced != 0 && entry.attachment == attached.displaced) {
        displaced = entry.stream;
      }
    }
  }
  if (displaced != nullptr) {
    // If it is not found here, its next report tells it.
    displaced->End(absl::AbortedError(
        "another process attached with the same node_uuid; if two processes "
        "use one disk, stop one of them"));
  }
  // A change between the attachment and now did not find the group here.
  stream->SendPeers();
}

void MembershipServiceImpl::Refused(const absl::Status& status,
                                    const std::string& peer) {
  observer_->OnAttachRefused(status);
  // Anyone may knock.
  const absl::optional<uint64_t> unlogged =
      refusals_.Admit(clock_->Monotonic());
  if (!unlogged.has_value()) return;
  CAIRN_LOG(kWarning, "tracker",
            "a node was refused peer={} error=\"{}\" others_since_last={}",
            peer, status, *unlogged);
}

void MembershipServiceImpl::Remove(Stream* stream) {
  std::shared_ptr<Stream> last;  // Destroyed without the lock.
  MutexLock lock(&mu_);
  const auto found = streams_.find(stream);
  CAIRN_CHECK(found != streams_.end());
  last = std::move(found->second.stream);
  streams_.erase(found);
}

void MembershipServiceImpl::OnChange() {
  std::vector<std::shared_ptr<Stream>> concerned;
  std::vector<std::pair<std::shared_ptr<Stream>, absl::Status>> removed;
  {
    MutexLock lock(&mu_);
    const absl::optional<std::set<std::string>> groups =
        GroupsToTell(membership_, &peers_revision_);
    for (const auto& [unused, entry] : streams_) {
      if (entry.attachment == 0) continue;
      if (!groups.has_value() || groups->count(entry.group) > 0) {
        const absl::Status member = membership_->CheckMember(entry.node_uuid);
        if (member.ok()) {
          concerned.push_back(entry.stream);
        } else {
          removed.emplace_back(entry.stream, member);
        }
      }
    }
  }
  for (const auto& stream : concerned) stream->SendPeers();
  for (const auto& [stream, status] : removed) stream->End(status);
}

void MembershipServiceImpl::Tick(const std::vector<uint64_t>& silent) {
  exchanges_.Tick();
  const std::set<uint64_t> silent_set(silent.begin(), silent.end());
  std::vector<std::pair<std::shared_ptr<Stream>, absl::Status>> ended;
  {
    MutexLock lock(&mu_);
    const absl::Duration now = clock_->Monotonic();
    for (const auto& [unused, entry] : streams_) {
      if (entry.attachment == 0 &&
          now - entry.begun >= options_.handshake_timeout) {
        ended.emplace_back(entry.stream, NotAMember("no hello came in time"));
      } else if (entry.attachment != 0 &&
                 silent_set.count(entry.attachment) > 0) {
        ended.emplace_back(
            entry.stream,
            ErrorWithReason(absl::StatusCode::kUnavailable,
                            ErrorReason::kDeadline,
                            "no report came in time; attach again"));
      }
    }
  }
  for (const auto& [stream, status] : ended) stream->End(status);
}

void MembershipServiceImpl::Stop() {
  exchanges_.Stop();
  std::vector<std::shared_ptr<Stream>> streams;
  {
    MutexLock lock(&mu_);
    stopping_ = true;
    for (const auto& [unused, entry] : streams_) {
      streams.push_back(entry.stream);
    }
  }
  for (const auto& stream : streams) stream->End(Stopping());
}

size_t MembershipServiceImpl::streams() const {
  const size_t rounds = exchanges_.rounds();
  MutexLock lock(&mu_);
  return rounds + streams_.size();
}

}  // namespace tracker
}  // namespace cairn
