// Whatever a tracker says of the cluster: a model can be made of it, and
// uploads and reads are placed on members that it has, or refused.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cairn/tracker/v1/tracker_service.pb.h"
#include "lib/base/check.h"
#include "lib/placement/cluster_model.h"
#include "lib/placement/from_proto.h"
#include "lib/placement/placer.h"

namespace {

void Place(const cairn::ClusterModel& model) {
  cairn::Placer placer(1);
  for (const int64_t bytes : {int64_t{0}, int64_t{1} << 40}) {
    cairn::UploadQuery upload;
    upload.size_bytes = bytes;
    const absl::StatusOr<cairn::UploadPlace> place =
        placer.PlaceUpload(model, upload);
    if (place.ok()) CAIRN_CHECK(place->node != nullptr);
  }
  for (const cairn::NodeModel& node : model.nodes()) {
    cairn::ReadQuery read;
    read.group = node.group;
    read.origin_node = node.number;
    const absl::StatusOr<std::vector<const cairn::NodeModel*>> order =
        placer.ReadOrder(model, read);
    if (!order.ok()) continue;
    CAIRN_CHECK(!order->empty());
    for (const cairn::NodeModel* member : *order) {
      CAIRN_CHECK(member->group == node.group);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // Messages one behind the other, each with its length in front.
  cairn::ViewFollower follower;
  size_t at = 0;
  while (at + 2 <= size) {
    const size_t length =
        std::min<size_t>(data[at] | data[at + 1] << 8, size - at - 2);
    cairn::tracker::v1::WatchClusterResponse update;
    if (!update.ParseFromArray(data + at + 2, static_cast<int>(length))) {
      return 0;
    }
    at += 2 + length;
    if (!follower.Apply(update).ok()) continue;
    CAIRN_CHECK(follower.model() != nullptr);
    Place(*follower.model());
  }
  return 0;
}
