// How a store path keeps what it has good: by reading it again, by comparing it
// with the other members', and by mending what is damaged from them.
//
//   readers ──────────────┐
//   Scrubber ─ damaged ─▶ Repairs ─▶ a good copy from a member
//   Comparer ─ lacking ─▶ MissingContents ─▶ the same
//
// Belongs to a Replicator, whose thread ticks it.

#ifndef CAIRN_SERVICES_STORAGE_CORE_UPKEEP_H_
#define CAIRN_SERVICES_STORAGE_CORE_UPKEEP_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "lib/base/clock.h"
#include "services/storage/core/comparer.h"
#include "services/storage/core/job_list.h"
#include "services/storage/core/missing_contents.h"
#include "services/storage/core/peer_transport.h"
#include "services/storage/core/repairs.h"
#include "services/storage/core/scrubber.h"
#include "services/storage/core/store_path.h"
#include "services/storage/core/upkeep_report.h"

namespace cairn {
namespace storage {

struct UpkeepOptions {
  RepairsOptions repairs;
  ScrubberOptions scrubber;
  ComparerOptions comparer;

  // Where rounds are listed. Borrowed; may be null.
  JobList* jobs = nullptr;
};

// For people and metrics.
struct UpkeepProgress {
  RepairNumbers repairs;
  std::vector<DamagedFile> damaged;  // At most 100.
  absl::optional<ScrubReport> last_scrub;
  absl::Time last_scrub_time;
  absl::optional<ComparisonReport> last_comparison;
  absl::Time last_comparison_time;

  // Since the process began.
  ScrubReport scrubbed;
  ComparisonReport compared;
};

class Upkeep {
 public:
  // As of its parts. All borrowed.
  Upkeep(const UpkeepOptions& options, uint8_t store_path,
         PeerTransport* transport, Clock* clock, std::function<void()> wake);

  Upkeep(const Upkeep&) = delete;
  Upkeep& operator=(const Upkeep&) = delete;

  // Thread-safe as far as they say so.
  Repairs* repairs() { return &repairs_; }
  Scrubber* scrubber() { return &scrubber_; }
  Comparer* comparer() { return &comparer_; }
  UpkeepProgress Progress() const;

  // Does what is to be done now. One thread at a time, as are the next three.
  void Tick(absl::Duration now, const std::shared_ptr<StorePath>& path,
            const std::shared_ptr<MissingContents>& missing,
            const Repairs::PeersFor& peers_for);

  // Ends what is under way soon.
  void Cancel();

  // Takes leave of what has ended; true if nothing is left.
  bool Reap(absl::Duration now);
  bool running() const {
    return repairs_.running() || scrubber_.running() || comparer_.running();
  }

  // Lets go of the path, once nothing is left.
  void Detach();

 private:
  Repairs repairs_;
  Scrubber scrubber_;  // Reports to `repairs_`.
  Comparer comparer_;
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_UPKEEP_H_
