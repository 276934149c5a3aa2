// TrackerService: where to put and find files, and who is there.

#ifndef CAIRN_SERVICES_TRACKER_API_TRACKER_SERVICE_H_
#define CAIRN_SERVICES_TRACKER_API_TRACKER_SERVICE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "cairn/tracker/v1/tracker_service.grpc.pb.h"
#include "lib/base/mutex.h"
#include "lib/placement/placer.h"
#include "services/tracker/api/call_observer.h"
#include "services/tracker/api/convert.h"
#include "services/tracker/core/membership.h"

namespace cairn {
namespace tracker {

// Runs on gRPC threads; nothing in it blocks. Unary calls work on a shared
// model of the cluster. A watcher reads the changes at the pace of its stream:
// one message is under way for each, and none waits in a queue.
class TrackerServiceImpl : public v1::TrackerService::CallbackService {
 public:
  // `membership` and `observer` are borrowed and must outlive the server.
  // `seed` decides where placing in turn begins. Watchers are sent away until
  // Open().
  TrackerServiceImpl(Membership* membership, CallObserver* observer,
                     uint64_t seed);
  ~TrackerServiceImpl() override;

  grpc::ServerWriteReactor<v1::WatchClusterResponse>* WatchCluster(
      grpc::CallbackServerContext* context,
      const v1::WatchClusterRequest* request) override;
  grpc::ServerUnaryReactor* PlaceUpload(
      grpc::CallbackServerContext* context,
      const v1::PlaceUploadRequest* request,
      v1::PlaceUploadResponse* response) override;
  grpc::ServerUnaryReactor* Locate(grpc::CallbackServerContext* context,
                                   const v1::LocateRequest* request,
                                   v1::LocateResponse* response) override;
  grpc::ServerUnaryReactor* ListGroups(
      grpc::CallbackServerContext* context,
      const v1::ListGroupsRequest* request,
      v1::ListGroupsResponse* response) override;
  grpc::ServerUnaryReactor* ListNodes(grpc::CallbackServerContext* context,
                                      const v1::ListNodesRequest* request,
                                      v1::ListNodesResponse* response) override;

  // What the tracker says about itself is known now: its own address is only
  // once the server is bound. Call it once.
  void Open(TrackerIdentity identity) ABSL_LOCKS_EXCLUDED(mu_);

  // There is something new for the watchers.
  void OnChange() ABSL_LOCKS_EXCLUDED(mu_);

  // Ends every watch, also those that come later, with UNAVAILABLE.
  void Stop() ABSL_LOCKS_EXCLUDED(mu_);

  size_t watchers() const ABSL_LOCKS_EXCLUDED(mu_);

  // Snapshots sent, first ones and those for watchers that fell behind.
  uint64_t snapshots() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  class Watch;

  void Remove(const std::shared_ptr<Watch>& watch) ABSL_LOCKS_EXCLUDED(mu_);
  void CountSnapshot() ABSL_LOCKS_EXCLUDED(mu_);

  grpc::ServerUnaryReactor* Finish(grpc::CallbackServerContext* context,
                                   TrackerMethod method,
                                   const absl::Status& status);

  Membership* const membership_;
  CallObserver* const observer_;
  Placer placer_;

  // Held while nothing else is taken.
  mutable Mutex mu_;
  std::set<std::shared_ptr<Watch>> watches_ ABSL_GUARDED_BY(mu_);
  uint64_t snapshots_ ABSL_GUARDED_BY(mu_) = 0;
  std::shared_ptr<const TrackerIdentity> identity_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace tracker
}  // namespace cairn

#endif  // CAIRN_SERVICES_TRACKER_API_TRACKER_SERVICE_H_
