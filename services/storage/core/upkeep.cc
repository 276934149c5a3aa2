#include "services/storage/core/upkeep.h"

#include <cstddef>

namespace cairn {
namespace storage {
namespace {

constexpr size_t kDamagedListed = 100;

}  // namespace

Upkeep::Upkeep(const UpkeepOptions& options, uint8_t store_path,
               PeerTransport* transport, Clock* clock,
               std::function<void()> wake)
    : repairs_(options.repairs, store_path, transport, wake),
      scrubber_(options.scrubber, store_path, &repairs_, options.jobs, clock,
                wake),
      comparer_(options.comparer, store_path, transport, options.jobs, clock,
                wake) {}

UpkeepProgress Upkeep::Progress() const {
  UpkeepProgress progress;
  progress.repairs = repairs_.Numbers();
  progress.damaged = repairs_.List(kDamagedListed);
  progress.last_scrub = scrubber_.last(&progress.last_scrub_time);
  progress.last_comparison = comparer_.last(&progress.last_comparison_time);
  progress.scrubbed = scrubber_.totals();
  progress.compared = comparer_.totals();
  return progress;
}

void Upkeep::Tick(absl::Duration now, const std::shared_ptr<StorePath>& path,
                  const std::shared_ptr<MissingContents>& missing,
                  const Repairs::PeersFor& peers_for) {
  repairs_.Tick(now, path, peers_for);
  scrubber_.Tick(now, path);
  comparer_.Tick(now, path, missing, peers_for(/*origin_node=*/0));
}

void Upkeep::Cancel() {
  repairs_.Cancel();
  scrubber_.Cancel();
  comparer_.Cancel();
}

bool Upkeep::Reap(absl::Duration now) {
  repairs_.Reap(now);
  comparer_.Reap();
  return !running();
}

void Upkeep::Detach() {
  repairs_.Detach();
  scrubber_.Detach();
  comparer_.Detach();
}

}  // namespace storage
}  // namespace cairn
