#include "services/storage/core/catch_up.h"

namespace cairn {
namespace storage {

void CatchUp::Restart() {
  syncing_ = true;
  unreached_since_.reset();
  alone_since_.reset();
  left_alone_ = false;
}

bool CatchUp::Update(const CatchUpView& view, absl::Duration now) {
  if (view.incarnation != incarnation_) {
    incarnation_ = view.incarnation;
    Restart();
  }
  if (view.peers_reached > 0) {
    alone_since_.reset();
  } else if (!alone_since_.has_value()) {
    alone_since_ = now;
  }
  left_alone_ = alone_since_.has_value() && now - *alone_since_ >= kPatience;
  if (!view.peers_known) return syncing_;
  if (view.peers == 0) {
    syncing_ = false;
    return syncing_;
  }
  if (view.peers_reached == view.peers) {
    unreached_since_.reset();
  } else if (!unreached_since_.has_value()) {
    unreached_since_ = now;
  }
  if (view.snapshot || view.behind_changes > kFarBehind) {
    syncing_ = true;
    return syncing_;
  }
  const bool at_the_end =
      view.behind_changes == 0 && view.missing_contents <= kMissingMax;
  // One that cannot be reached may be away for good; what it alone has nobody
  // can have.
  const bool all_heard =
      !unreached_since_.has_value() ||
      (view.peers_reached > 0 && now - *unreached_since_ >= kPatience);
  if (at_the_end && all_heard) syncing_ = false;
  return syncing_;
}

}  // namespace storage
}  // namespace cairn
