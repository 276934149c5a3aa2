// Compares a store path with the same path of every other member of its group,
// now and then and on demand: one comparison.h after the other.

#ifndef CAIRN_SERVICES_STORAGE_CORE_COMPARER_H_
#define CAIRN_SERVICES_STORAGE_CORE_COMPARER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/base/uuid.h"
#include "services/storage/core/comparison.h"
#include "services/storage/core/job_list.h"
#include "services/storage/core/missing_contents.h"
#include "services/storage/core/peer_transport.h"
#include "services/storage/core/store_path.h"
#include "services/storage/core/upkeep_report.h"

namespace cairn {
namespace storage {

struct ComparerOptions {
  // Between the end of a round and the next, and before the first; 0: none
  // begins by itself.
  absl::Duration interval = absl::Hours(1);
  absl::Duration first_pause = absl::Minutes(5);

  // At most.
  int64_t names_per_second = 20000;

  // A peer that is silent for so long is given up.
  absl::Duration silence_max = absl::Seconds(30);
};

class Comparer {
 public:
  // `wake` asks for a Tick() soon. All borrowed; `jobs` may be null.
  Comparer(const ComparerOptions& options, uint8_t store_path,
           PeerTransport* transport, JobList* jobs, Clock* clock,
           std::function<void()> wake);
  ~Comparer();  // Nothing is running.

  Comparer(const Comparer&) = delete;
  Comparer& operator=(const Comparer&) = delete;

  // Begins a round now; one that runs goes on. Any thread.
  absl::StatusOr<Job> Start() ABSL_LOCKS_EXCLUDED(mu_);

  // Does what is to be done now. `peers` is nullopt while it is not known who
  // the other members are. One thread at a time, as are the next four.
  void Tick(absl::Duration now, const std::shared_ptr<StorePath>& path,
            const std::shared_ptr<MissingContents>& missing,
            const absl::optional<std::vector<Peer>>& peers)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Ends the round soon, since its path goes; and lets go of the path, once
  // nothing is running.
  void Cancel();
  void Reap() ABSL_LOCKS_EXCLUDED(mu_);
  bool running() const { return comparison_ != nullptr; }
  void Detach() ABSL_LOCKS_EXCLUDED(mu_);

  // Of the last round that ended, and when that was; nullopt if none has.
  absl::optional<ComparisonReport> last(absl::Time* end_time) const
      ABSL_LOCKS_EXCLUDED(mu_);

  // Of all rounds since the process began.
  ComparisonReport totals() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  absl::StatusOr<Job> BeginRound() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void EndRound(const absl::Status& outcome) ABSL_LOCKS_EXCLUDED(mu_);

  const ComparerOptions options_;
  const uint8_t store_path_;
  PeerTransport* const transport_;
  JobList* const jobs_;
  Clock* const clock_;
  const std::function<void()> wake_;

  // ---- The thread that ticks.
  std::shared_ptr<Comparison> comparison_;
  Peer peer_;                                // That it is with.
  std::map<Uuid, NamesUnderWay> under_way_;  // In the last round, by peer.
  std::vector<Peer> left_;  // Peers of this round that are still to come.
  bool peers_taken_ = false;
  bool due_known_ = false;
  absl::Duration due_ = absl::InfiniteDuration();  // Clock::Monotonic().
  absl::Duration last_tick_ = absl::ZeroDuration();
  std::string errors_;

  mutable Mutex mu_;
  bool round_ ABSL_GUARDED_BY(mu_) = false;
  std::string job_id_ ABSL_GUARDED_BY(mu_);
  ComparisonReport report_ ABSL_GUARDED_BY(mu_);  // Of peers that are through.
  absl::optional<ComparisonReport> last_ ABSL_GUARDED_BY(mu_);
  absl::Time last_time_ ABSL_GUARDED_BY(mu_);
  ComparisonReport totals_ ABSL_GUARDED_BY(mu_);  // Of rounds that ended.
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_COMPARER_H_
