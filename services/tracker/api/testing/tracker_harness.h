// The sides of a storage, a client and an operator of a tracker's services, one
// step at a time, over real gRPC on loopback.

#ifndef CAIRN_SERVICES_TRACKER_API_TESTING_TRACKER_HARNESS_H_
#define CAIRN_SERVICES_TRACKER_API_TESTING_TRACKER_HARNESS_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cairn/config/tracker/v1/tracker_config.pb.h"
#include "cairn/tracker/v1/admin_service.grpc.pb.h"
#include "cairn/tracker/v1/membership_service.grpc.pb.h"
#include "cairn/tracker/v1/tracker_service.grpc.pb.h"
#include "gtest/gtest.h"
#include "lib/placement/from_proto.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/cluster_auth.h"
#include "lib/rpc/grpc_status.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace tracker {

inline constexpr char kCluster[] = "11111111-2222-4333-8444-555555555555";
inline constexpr char kSecret[] = "a secret of twenty-odd characters";

// Far beyond what anything here takes; a test that gets there has failed.
inline constexpr absl::Duration kNever = absl::Minutes(5);

inline std::string NewDirectory() {
  std::string path = absl::StrCat(::testing::TempDir(), "/tracker_XXXXXX");
  EXPECT_NE(mkdtemp(path.data()), nullptr);
  return path;
}

inline config::tracker::v1::TrackerConfig Config(const std::string& data_dir) {
  config::tracker::v1::TrackerConfig config;
  config.add_listen("127.0.0.1:0");
  config.set_data_dir(data_dir);
  config.set_cluster_id(kCluster);
  config.set_cluster_secret(kSecret);
  return config;
}

inline std::string UuidOf(int i) {
  return absl::StrCat("aaaaaaaa-0000-4000-8000-00000000000", i);
}

inline v1::NodeIdentity Identity(int i) {
  v1::NodeIdentity identity;
  identity.set_node_uuid(UuidOf(i));
  identity.set_node_number(100 + i);
  identity.set_name(absl::StrCat("n", i));
  identity.set_group("group1");
  identity.set_cluster_id(kCluster);
  identity.set_address(absl::StrCat("127.0.0.1:", 20000 + i));
  return identity;
}

inline v1::NodeReport Report(int64_t free_bytes = 500) {
  v1::NodeReport report;
  v1::StorePathReport* path = report.add_store_paths();
  path->set_writable(true);
  path->set_readable(true);
  path->set_total_bytes(1000);
  path->set_free_bytes(free_bytes);
  return report;
}

// A storage's side of Attach, one step at a time.
class FakeNode {
 public:
  explicit FakeNode(const std::string& tracker)
      : stub_(v1::MembershipService::NewStub(rpc::MakeChannel(tracker))) {
    rpc::SetTimeout(&context_, kNever);
    stream_ = stub_->Attach(&context_);
  }

  ~FakeNode() {
    context_.TryCancel();
    if (!ended_) (void)End();
  }

  // The next message; one without any case set if the stream has ended.
  v1::AttachResponse Read() {
    v1::AttachResponse response;
    if (!stream_->Read(&response)) response.Clear();
    return response;
  }

  v1::AttachRequest Hello(int i, const std::string& challenge,
                          const std::string& secret = kSecret) {
    v1::AttachRequest request;
    v1::AttachHello* hello = request.mutable_hello();
    *hello->mutable_identity() = Identity(i);
    *hello->mutable_report() = Report();
    hello->set_nonce(nonce_);
    hello->set_proof(
        rpc::NodeProof(secret, challenge, nonce_, UuidOf(i), kCluster));
    return request;
  }

  void Write(const v1::AttachRequest& request) { stream_->Write(request); }

  void SendReport(const v1::NodeReport& report) {
    v1::AttachRequest request;
    *request.mutable_report() = report;
    stream_->Write(request);
  }

  // The whole handshake, up to and with the first peers.
  v1::GroupPeers Attach(int i) {
    const v1::AttachResponse challenge = Read();
    EXPECT_EQ(challenge.challenge().nonce().size(), rpc::kNonceBytes);
    Write(Hello(i, challenge.challenge().nonce()));
    const v1::AttachResponse welcome = Read();
    EXPECT_TRUE(rpc::SameProof(welcome.welcome().proof(),
                               rpc::TrackerProof(kSecret, nonce_)));
    EXPECT_EQ(welcome.welcome().suspect_after_ms(), 3000);
    return Read().peers();
  }

  // Hangs up without a word.
  void Break() { context_.TryCancel(); }

  // How the tracker ended the stream.
  absl::Status End() {
    ended_ = true;
    v1::AttachResponse response;
    while (stream_->Read(&response)) {
    }
    return rpc::FromGrpcStatus(stream_->Finish());
  }

  void HangUp() { stream_->WritesDone(); }

  const std::string nonce_ = rpc::MakeNonce();

 private:
  std::unique_ptr<v1::MembershipService::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<
      grpc::ClientReaderWriter<v1::AttachRequest, v1::AttachResponse>>
      stream_;
  bool ended_ = false;
};

// A client's side of WatchCluster.
class Watcher {
 public:
  explicit Watcher(const std::string& tracker)
      : stub_(v1::TrackerService::NewStub(rpc::MakeChannel(tracker))) {
    rpc::SetTimeout(&context_, kNever);
    reader_ = stub_->WatchCluster(&context_, v1::WatchClusterRequest());
  }
  ~Watcher() {
    context_.TryCancel();
    if (!ended_) (void)End();
  }

  // Reads until the view is as `wanted` says; false if the stream ends first.
  bool Until(const std::function<bool(const v1::ClusterView&)>& wanted) {
    while (!started_ || !wanted(follower_.view())) {
      v1::WatchClusterResponse update;
      if (!reader_->Read(&update)) return false;
      EXPECT_THAT(follower_.Apply(update), IsOk());
      started_ = true;
    }
    return true;
  }

  bool UntilState(int i, v1::NodeState state) {
    return UntilNode(
        i, [&](const v1::Node& node) { return node.state() == state; });
  }

  bool UntilRole(int i, v1::NodeRole role) {
    return UntilNode(i, [&](const v1::Node& node) {
      return node.effective().role() == role;
    });
  }

  // Until the node is known and as `wanted` says.
  bool UntilNode(int i, const std::function<bool(const v1::Node&)>& wanted) {
    return Until([&](const v1::ClusterView& view) {
      const v1::Node* const node = Find(view, i);
      return node != nullptr && wanted(*node);
    });
  }

  bool UntilGone(int i) {
    return Until(
        [&](const v1::ClusterView& view) { return Find(view, i) == nullptr; });
  }

  const v1::Node* Find(int i) const { return Find(view(), i); }

  absl::Status End() {
    ended_ = true;
    v1::WatchClusterResponse update;
    while (reader_->Read(&update)) {
    }
    return rpc::FromGrpcStatus(reader_->Finish());
  }

  const v1::ClusterView& view() const { return follower_.view(); }

 private:
  static const v1::Node* Find(const v1::ClusterView& view, int i) {
    for (const v1::Node& node : view.nodes()) {
      if (node.identity().node_uuid() == UuidOf(i)) return &node;
    }
    return nullptr;
  }

  std::unique_ptr<v1::TrackerService::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::WatchClusterResponse>> reader_;
  ViewFollower follower_;
  bool started_ = false;
  bool ended_ = false;
};

// An operator's side of AdminService.
class Operator {
 public:
  explicit Operator(const std::string& tracker,
                    const std::string& secret = kSecret)
      : stub_(v1::AdminService::NewStub(rpc::MakeChannel(tracker))),
        secret_(secret) {}

  std::string GetChallenge() {
    grpc::ClientContext context;
    rpc::SetTimeout(&context, kNever);
    v1::GetChallengeResponse response;
    EXPECT_THAT(
        rpc::FromGrpcStatus(stub_->GetChallenge(&context, {}, &response)),
        IsOk());
    return response.challenge();
  }

  // A call with a proof for it; `challenge` empty gets a new one.
  absl::StatusOr<v1::SetNodeResponse> SetNode(
      const v1::SetNodeRequest& request, const std::string& challenge = "") {
    return Call("SetNode", &v1::AdminService::Stub::SetNode, request,
                challenge);
  }
  absl::StatusOr<v1::SetNodeResponse> SetRole(int i, v1::NodeRole role) {
    v1::SetNodeRequest request;
    request.set_node_uuid(UuidOf(i));
    request.set_role(role);
    return SetNode(request);
  }
  absl::StatusOr<v1::RemoveNodeResponse> Remove(int i, bool force = false) {
    v1::RemoveNodeRequest request;
    request.set_node_uuid(UuidOf(i));
    request.set_force(force);
    request.set_reason("tested");
    return Call("RemoveNode", &v1::AdminService::Stub::RemoveNode, request);
  }
  absl::StatusOr<v1::RestoreNodeResponse> Restore(int i) {
    v1::RestoreNodeRequest request;
    request.set_node_uuid(UuidOf(i));
    return Call("RestoreNode", &v1::AdminService::Stub::RestoreNode, request);
  }
  absl::StatusOr<v1::SetGroupResponse> SetGroup(
      const v1::SetGroupRequest& request) {
    return Call("SetGroup", &v1::AdminService::Stub::SetGroup, request);
  }
  absl::StatusOr<v1::SetClientResponse> SetClient(
      const v1::SetClientRequest& request) {
    return Call("SetClient", &v1::AdminService::Stub::SetClient, request);
  }

  absl::StatusOr<v1::ListDecisionsResponse> List(bool with_taken_back = false) {
    grpc::ClientContext context;
    rpc::SetTimeout(&context, kNever);
    v1::ListDecisionsRequest request;
    request.set_with_taken_back(with_taken_back);
    v1::ListDecisionsResponse response;
    const grpc::Status status =
        stub_->ListDecisions(&context, request, &response);
    if (!status.ok()) return rpc::FromGrpcStatus(status);
    return response;
  }

 private:
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(
      absl::string_view name,
      grpc::Status (v1::AdminService::Stub::*method)(grpc::ClientContext*,
                                                     const Request&, Response*),
      const Request& request, std::string challenge = "") {
    if (challenge.empty()) challenge = GetChallenge();
    grpc::ClientContext context;
    rpc::SetTimeout(&context, kNever);
    context.AddMetadata(rpc::kAdminChallengeKey, challenge);
    context.AddMetadata(
        rpc::kAdminProofKey,
        rpc::AdminProof(secret_,
                        absl::StrCat("/cairn.tracker.v1.AdminService/", name),
                        challenge, request.SerializeAsString()));
    Response response;
    const grpc::Status status =
        (stub_.get()->*method)(&context, request, &response);
    if (!status.ok()) return rpc::FromGrpcStatus(status);
    return response;
  }

  std::unique_ptr<v1::AdminService::Stub> stub_;
  const std::string secret_;
};

}  // namespace tracker
}  // namespace cairn

#endif  // CAIRN_SERVICES_TRACKER_API_TESTING_TRACKER_HARNESS_H_
