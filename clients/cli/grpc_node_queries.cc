#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <map>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "cairn/storage/v1/node_service.grpc.pb.h"
#include "cairn/tracker/v1/tracker_service.grpc.pb.h"
#include "clients/cli/node_queries.h"
#include "lib/base/mutex.h"
#include "lib/base/status_macros.h"
#include "lib/rpc/channel.h"
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

 private:
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
