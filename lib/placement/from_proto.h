// From what a tracker sends to what placement works on.

#ifndef CAIRN_LIB_PLACEMENT_FROM_PROTO_H_
#define CAIRN_LIB_PLACEMENT_FROM_PROTO_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/types/optional.h"
#include "cairn/tracker/v1/cluster.pb.h"
#include "cairn/tracker/v1/tracker_service.pb.h"
#include "lib/placement/cluster_model.h"

namespace cairn {

// Unset enums become what their comments in cluster.proto say; values that this
// version does not know become the careful choice: a node of unknown role or
// state gets no uploads, a policy of an unknown kind is the default one.
NodeModel NodeFromProto(const tracker::v1::Node& node);
PlacementPolicy PolicyFromProto(const tracker::v1::PlacementPolicy& policy);
ClusterModel ModelFromProto(const tracker::v1::ClusterView& view);

// Keeps a cluster's view up to date from the messages of WatchCluster. Not
// thread-safe; the models that it hands out are.
class ViewFollower {
 public:
  // Applies the next message of one stream.
  //   FAILED_PRECONDITION  it does not follow from what came before: end the
  //                        stream and watch again. The view stays as it was.
  absl::Status Apply(const tracker::v1::WatchClusterResponse& update);

  // Empty before the first snapshot.
  const tracker::v1::ClusterView& view() const { return view_; }

  // Never null; knows no node before the first snapshot.
  std::shared_ptr<const ClusterModel> model() const { return model_; }

  // A new stream begins, perhaps of another tracker: only a snapshot may come
  // next. The view stays usable meanwhile.
  void ExpectSnapshot() { following_ = false; }

 private:
  tracker::v1::ClusterView view_;
  std::shared_ptr<const ClusterModel> model_ =
      std::make_shared<const ClusterModel>();
  bool following_ = false;
};

}  // namespace cairn

#endif  // CAIRN_LIB_PLACEMENT_FROM_PROTO_H_
