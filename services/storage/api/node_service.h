// NodeService of proto/cairn/storage/v1: what a node is, how its disks are, and
// the work on them.
//
// Whoever reaches the node may call all of it: docs/security.md says why, and
// what that allows.

#ifndef CAIRN_SERVICES_STORAGE_API_NODE_SERVICE_H_
#define CAIRN_SERVICES_STORAGE_API_NODE_SERVICE_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cairn/storage/v1/node_service.grpc.pb.h"
#include "lib/base/clock.h"
#include "lib/base/executor.h"
#include "services/storage/core/job_list.h"
#include "services/storage/core/quotas.h"
#include "services/storage/core/replicator.h"
#include "services/storage/core/storage_node.h"
#include "services/storage/core/upkeep.h"

namespace cairn {
namespace storage {

struct NodeServiceOptions {
  std::string version;
  absl::Time start_time;

  // Borrowed. Null: nothing is said of the time now.
  Clock* clock = nullptr;

  // Borrowed. Null: nothing is said of quotas.
  const Quotas* quotas = nullptr;

  // For a CompactRequest that says nothing.
  double dead_share_min = 0.5;

  // How a store path stands with other members. Null for a node that has none.
  std::function<ReplicationProgress(uint8_t)> replication;

  // What looks after a store path. Null for a node that has none.
  std::function<Upkeep*(uint8_t)> upkeep;
};

// Handlers run on gRPC threads and hand over to `background`.
class NodeServiceImpl : public v1::NodeService::CallbackService {
 public:
  // All borrowed for the service's life.
  NodeServiceImpl(NodeServiceOptions options, StorageNode* node, JobList* jobs,
                  Executor* background);

  grpc::ServerUnaryReactor* GetState(grpc::CallbackServerContext* context,
                                     const v1::GetStateRequest* request,
                                     v1::GetStateResponse* response) override;
  grpc::ServerUnaryReactor* Compact(grpc::CallbackServerContext* context,
                                    const v1::CompactRequest* request,
                                    v1::CompactResponse* response) override;
  grpc::ServerUnaryReactor* RebuildIndex(
      grpc::CallbackServerContext* context,
      const v1::RebuildIndexRequest* request,
      v1::RebuildIndexResponse* response) override;
  grpc::ServerUnaryReactor* Scrub(grpc::CallbackServerContext* context,
                                  const v1::ScrubRequest* request,
                                  v1::ScrubResponse* response) override;
  grpc::ServerUnaryReactor* Compare(grpc::CallbackServerContext* context,
                                    const v1::CompareRequest* request,
                                    v1::CompareResponse* response) override;
  grpc::ServerUnaryReactor* ListJobs(grpc::CallbackServerContext* context,
                                     const v1::ListJobsRequest* request,
                                     v1::ListJobsResponse* response) override;
  grpc::ServerUnaryReactor* ListClients(
      grpc::CallbackServerContext* context,
      const v1::ListClientsRequest* request,
      v1::ListClientsResponse* response) override;

 private:
  void FillState(v1::GetStateResponse* response) const;
  absl::Status StartCompaction(const v1::CompactRequest& request, v1::Job* job);
  absl::Status StartRebuild(const v1::RebuildIndexRequest& request,
                            v1::Job* job);

  void FillUpkeep(uint8_t store_path, v1::UpkeepState* out) const;

  // What looks after the path, which is open.
  absl::StatusOr<Upkeep*> UpkeepOf(uint32_t store_path) const;

  const NodeServiceOptions options_;
  StorageNode* const node_;
  JobList* const jobs_;
  Executor* const background_;
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_API_NODE_SERVICE_H_
