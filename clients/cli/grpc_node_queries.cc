#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <map>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cairn/storage/v1/file_service.grpc.pb.h"
#include "cairn/storage/v1/node_service.grpc.pb.h"
#include "cairn/tracker/v1/admin_service.grpc.pb.h"
#include "cairn/tracker/v1/tracker_service.grpc.pb.h"
#include "clients/cli/node_queries.h"
#include "lib/base/mutex.h"
#include "lib/base/status_macros.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/cluster_auth.h"
#include "lib/rpc/grpc_status.h"
#include "lib/rpc/tls.h"

namespace cairn {
namespace cli {
namespace {

class GrpcNodeQueries : public NodeQueries {
 public:
  void UseTls(const rpc::TlsOptions& tls) override ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    options_ = tls;
    tls_ = nullptr;
    channels_.clear();
  }

  absl::StatusOr<storage::v1::GetStateResponse> GetState(
      const std::string& address, absl::Duration timeout) override {
    grpc::ClientContext context;
    rpc::SetTimeout(&context, timeout);
    storage::v1::GetStateResponse response;
    CAIRN_ASSIGN_OR_RETURN(const std::shared_ptr<grpc::Channel> channel,
                           ChannelTo(address));
    return Result(address,
                  storage::v1::NodeService::NewStub(channel)->GetState(
                      &context, {}, &response),
                  response);
  }

  absl::StatusOr<storage::v1::GetCapabilitiesResponse> GetCapabilities(
      const std::string& address, absl::Duration timeout) override {
    grpc::ClientContext context;
    rpc::SetTimeout(&context, timeout);
    storage::v1::GetCapabilitiesResponse response;
    CAIRN_ASSIGN_OR_RETURN(const std::shared_ptr<grpc::Channel> channel,
                           ChannelTo(address));
    return Result(address,
                  storage::v1::FileService::NewStub(channel)->GetCapabilities(
                      &context, {}, &response),
                  response);
  }

  absl::StatusOr<storage::v1::Job> StartScrub(
      const std::string& address, const storage::v1::ScrubRequest& request,
      absl::Duration timeout) override {
    grpc::ClientContext context;
    rpc::SetTimeout(&context, timeout);
    storage::v1::ScrubResponse response;
    CAIRN_ASSIGN_OR_RETURN(const std::shared_ptr<grpc::Channel> channel,
                           ChannelTo(address));
    CAIRN_RETURN_IF_ERROR(
        Result(address,
               storage::v1::NodeService::NewStub(channel)->Scrub(
                   &context, request, &response),
               response)
            .status());
    return response.job();
  }

  absl::StatusOr<storage::v1::Job> StartCompare(
      const std::string& address, const storage::v1::CompareRequest& request,
      absl::Duration timeout) override {
    grpc::ClientContext context;
    rpc::SetTimeout(&context, timeout);
    storage::v1::CompareResponse response;
    CAIRN_ASSIGN_OR_RETURN(const std::shared_ptr<grpc::Channel> channel,
                           ChannelTo(address));
    CAIRN_RETURN_IF_ERROR(
        Result(address,
               storage::v1::NodeService::NewStub(channel)->Compare(
                   &context, request, &response),
               response)
            .status());
    return response.job();
  }

  absl::StatusOr<storage::v1::Job> StartCompaction(
      const std::string& address, const storage::v1::CompactRequest& request,
      absl::Duration timeout) override {
    grpc::ClientContext context;
    rpc::SetTimeout(&context, timeout);
    storage::v1::CompactResponse response;
    CAIRN_ASSIGN_OR_RETURN(const std::shared_ptr<grpc::Channel> channel,
                           ChannelTo(address));
    CAIRN_RETURN_IF_ERROR(
        Result(address,
               storage::v1::NodeService::NewStub(channel)->Compact(
                   &context, request, &response),
               response)
            .status());
    return response.job();
  }

  absl::StatusOr<storage::v1::ListJobsResponse> ListJobs(
      const std::string& address, absl::Duration timeout) override {
    grpc::ClientContext context;
    rpc::SetTimeout(&context, timeout);
    storage::v1::ListJobsResponse response;
    CAIRN_ASSIGN_OR_RETURN(const std::shared_ptr<grpc::Channel> channel,
                           ChannelTo(address));
    return Result(address,
                  storage::v1::NodeService::NewStub(channel)->ListJobs(
                      &context, {}, &response),
                  response);
  }

  absl::StatusOr<storage::v1::ListClientsResponse> ListClients(
      const std::string& address,
      const storage::v1::ListClientsRequest& request,
      absl::Duration timeout) override {
    grpc::ClientContext context;
    rpc::SetTimeout(&context, timeout);
    storage::v1::ListClientsResponse response;
    CAIRN_ASSIGN_OR_RETURN(const std::shared_ptr<grpc::Channel> channel,
                           ChannelTo(address));
    return Result(address,
                  storage::v1::NodeService::NewStub(channel)->ListClients(
                      &context, request, &response),
                  response);
  }

  absl::StatusOr<tracker::v1::ListNodesResponse> ListNodes(
      const std::string& address, const std::string& group,
      absl::Duration timeout) override {
    grpc::ClientContext context;
    rpc::SetTimeout(&context, timeout);
    tracker::v1::ListNodesRequest request;
    request.set_group(group);
    tracker::v1::ListNodesResponse response;
    CAIRN_ASSIGN_OR_RETURN(const std::shared_ptr<grpc::Channel> channel,
                           ChannelTo(address));
    return Result(address,
                  tracker::v1::TrackerService::NewStub(channel)->ListNodes(
                      &context, request, &response),
                  response);
  }

  absl::StatusOr<tracker::v1::ListGroupsResponse> ListGroups(
      const std::string& address, absl::Duration timeout) override {
    grpc::ClientContext context;
    rpc::SetTimeout(&context, timeout);
    tracker::v1::ListGroupsResponse response;
    CAIRN_ASSIGN_OR_RETURN(const std::shared_ptr<grpc::Channel> channel,
                           ChannelTo(address));
    return Result(address,
                  tracker::v1::TrackerService::NewStub(channel)->ListGroups(
                      &context, {}, &response),
                  response);
  }

  absl::StatusOr<tracker::v1::ListDecisionsResponse> ListDecisions(
      const std::string& address, absl::Duration timeout) override {
    grpc::ClientContext context;
    rpc::SetTimeout(&context, timeout);
    tracker::v1::ListDecisionsResponse response;
    CAIRN_ASSIGN_OR_RETURN(const std::shared_ptr<grpc::Channel> channel,
                           ChannelTo(address));
    return Result(address,
                  tracker::v1::AdminService::NewStub(channel)->ListDecisions(
                      &context, {}, &response),
                  response);
  }

  absl::StatusOr<tracker::v1::Account> SetNode(
      const std::string& address, const std::string& secret,
      const tracker::v1::SetNodeRequest& request,
      absl::Duration timeout) override {
    return Decide(address, secret, "SetNode", &AdminStub::SetNode, request,
                  timeout);
  }
  absl::StatusOr<tracker::v1::Account> RemoveNode(
      const std::string& address, const std::string& secret,
      const tracker::v1::RemoveNodeRequest& request,
      absl::Duration timeout) override {
    return Decide(address, secret, "RemoveNode", &AdminStub::RemoveNode,
                  request, timeout);
  }
  absl::StatusOr<tracker::v1::Account> RestoreNode(
      const std::string& address, const std::string& secret,
      const tracker::v1::RestoreNodeRequest& request,
      absl::Duration timeout) override {
    return Decide(address, secret, "RestoreNode", &AdminStub::RestoreNode,
                  request, timeout);
  }
  absl::StatusOr<tracker::v1::Account> SetGroup(
      const std::string& address, const std::string& secret,
      const tracker::v1::SetGroupRequest& request,
      absl::Duration timeout) override {
    return Decide(address, secret, "SetGroup", &AdminStub::SetGroup, request,
                  timeout);
  }
  absl::StatusOr<tracker::v1::Account> SetClient(
      const std::string& address, const std::string& secret,
      const tracker::v1::SetClientRequest& request,
      absl::Duration timeout) override {
    return Decide(address, secret, "SetClient", &AdminStub::SetClient, request,
                  timeout);
  }

 private:
  using AdminStub = tracker::v1::AdminService::Stub;

  // Gets a challenge and makes the call with the proof for it.
  template <typename Request, typename Response>
  absl::StatusOr<tracker::v1::Account> Decide(
      const std::string& address, const std::string& secret,
      absl::string_view name,
      grpc::Status (AdminStub::*method)(grpc::ClientContext*, const Request&,
                                        Response*),
      const Request& request, absl::Duration timeout) {
    const absl::Time deadline = absl::Now() + timeout;
    CAIRN_ASSIGN_OR_RETURN(const std::shared_ptr<grpc::Channel> channel,
                           ChannelTo(address));
    const std::unique_ptr<AdminStub> stub =
        tracker::v1::AdminService::NewStub(channel);
    grpc::ClientContext asking;
    rpc::SetDeadline(&asking, deadline);
    tracker::v1::GetChallengeResponse challenge;
    CAIRN_RETURN_IF_ERROR(
        Result(address, stub->GetChallenge(&asking, {}, &challenge), challenge)
            .status());
    grpc::ClientContext context;
    rpc::SetDeadline(&context, deadline);
    context.AddMetadata(rpc::kAdminChallengeKey, challenge.challenge());
    context.AddMetadata(
        rpc::kAdminProofKey,
        rpc::AdminProof(
            secret,
            absl::StrCat("/", tracker::v1::AdminService::service_full_name(),
                         "/", name),
            challenge.challenge(), request.SerializeAsString()));
    Response response;
    CAIRN_ASSIGN_OR_RETURN(
        response,
        Result(address, (stub.get()->*method)(&context, request, &response),
               response));
    return response.account();
  }

  absl::StatusOr<std::shared_ptr<grpc::Channel>> ChannelTo(
      const std::string& address) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    if (tls_ == nullptr && !options_.ca_file.empty()) {
      CAIRN_ASSIGN_OR_RETURN(tls_, rpc::Tls::Open(options_));
    }
    std::shared_ptr<grpc::Channel>& channel = channels_[address];
    if (channel == nullptr) {
      rpc::ChannelOptions options;
      options.tls = tls_;
      channel = rpc::MakeChannel(address, options);
    }
    return channel;
  }

  template <typename Response>
  absl::StatusOr<Response> Result(const std::string& address,
                                  const grpc::Status& status,
                                  const Response& response)
      ABSL_LOCKS_EXCLUDED(mu_) {
    if (status.ok()) return response;
    MutexLock lock(&mu_);
    return WithContext(
        rpc::ExplainTlsFailure(rpc::FromGrpcStatus(status), tls_ != nullptr),
        address);
  }

  Mutex mu_;
  rpc::TlsOptions options_ ABSL_GUARDED_BY(mu_);
  std::shared_ptr<const rpc::Tls> tls_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::shared_ptr<grpc::Channel>> channels_
      ABSL_GUARDED_BY(mu_);
};

}  // namespace

std::unique_ptr<NodeQueries> MakeGrpcNodeQueries() {
  return std::make_unique<GrpcNodeQueries>();
}

}  // namespace cli
}  // namespace cairn
