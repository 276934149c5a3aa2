// What operators ask trackers and nodes, beside what the client library does.

#ifndef CAIRN_CLIENTS_CLI_NODE_QUERIES_H_
#define CAIRN_CLIENTS_CLI_NODE_QUERIES_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cairn/storage/v1/file_service.pb.h"
#include "cairn/storage/v1/node_service.pb.h"
#include "cairn/tracker/v1/admin_service.pb.h"
#include "cairn/tracker/v1/tracker_service.pb.h"
#include "lib/rpc/tls_files.h"

namespace cairn {
namespace cli {

// Thread-safe. Every call blocks for at most `timeout`; addresses are
// `host:port`.
//   UNAVAILABLE        nobody answers at `address`.
//   DEADLINE_EXCEEDED  it does not answer in time.
//   UNIMPLEMENTED      what answers there has no such service.
class NodeQueries {
 public:
  virtual ~NodeQueries() = default;

  // From now on; without a `ca_file`, as at first, all is plain text. What is
  // wrong with the files is what calls end with.
  virtual void UseTls(const rpc::TlsOptions& tls) = 0;

  // Of a storage node.
  virtual absl::StatusOr<storage::v1::GetStateResponse> GetState(
      const std::string& address, absl::Duration timeout) = 0;

  virtual absl::StatusOr<storage::v1::GetCapabilitiesResponse> GetCapabilities(
      const std::string& address, absl::Duration timeout) = 0;

  // Work on a store path of a storage node; returns the job at once.
  virtual absl::StatusOr<storage::v1::Job> StartScrub(
      const std::string& address, const storage::v1::ScrubRequest& request,
      absl::Duration timeout) = 0;
  virtual absl::StatusOr<storage::v1::Job> StartCompare(
      const std::string& address, const storage::v1::CompareRequest& request,
      absl::Duration timeout) = 0;
  virtual absl::StatusOr<storage::v1::Job> StartCompaction(
      const std::string& address, const storage::v1::CompactRequest& request,
      absl::Duration timeout) = 0;
  virtual absl::StatusOr<storage::v1::ListJobsResponse> ListJobs(
      const std::string& address, absl::Duration timeout) = 0;

  virtual absl::StatusOr<storage::v1::ListClientsResponse> ListClients(
      const std::string& address,
      const storage::v1::ListClientsRequest& request,
      absl::Duration timeout) = 0;

  // Of a tracker. `group` may be empty, for all.
  virtual absl::StatusOr<tracker::v1::ListNodesResponse> ListNodes(
      const std::string& address, const std::string& group,
      absl::Duration timeout) = 0;
  virtual absl::StatusOr<tracker::v1::ListGroupsResponse> ListGroups(
      const std::string& address, absl::Duration timeout) = 0;
  virtual absl::StatusOr<tracker::v1::ListDecisionsResponse> ListDecisions(
      const std::string& address, absl::Duration timeout) = 0;

  // Decides something at a tracker. `secret` is the cluster's.
  //   UNAUTHENTICATED  it is not.
  // and what AdminService says of each.
  virtual absl::StatusOr<tracker::v1::Account> SetNode(
      const std::string& address, const std::string& secret,
      const tracker::v1::SetNodeRequest& request, absl::Duration timeout) = 0;
  virtual absl::StatusOr<tracker::v1::Account> RemoveNode(
      const std::string& address, const std::string& secret,
      const tracker::v1::RemoveNodeRequest& request,
      absl::Duration timeout) = 0;
  virtual absl::StatusOr<tracker::v1::Account> RestoreNode(
      const std::string& address, const std::string& secret,
      const tracker::v1::RestoreNodeRequest& request,
      absl::Duration timeout) = 0;
  virtual absl::StatusOr<tracker::v1::Account> SetGroup(
      const std::string& address, const std::string& secret,
      const tracker::v1::SetGroupRequest& request, absl::Duration timeout) = 0;
  virtual absl::StatusOr<tracker::v1::Account> SetClient(
      const std::string& address, const std::string& secret,
      const tracker::v1::SetClientRequest& request, absl::Duration timeout) = 0;
};

// By gRPC; keeps its connections.
std::unique_ptr<NodeQueries> MakeGrpcNodeQueries();

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_NODE_QUERIES_H_
