// Reads every file of a store path again, slowly, and checks it against its
// checksums: what is damaged goes to Repairs.
//
//   pause ─▶ a round: all files in the order of the index, at a bounded rate
//     ▲            └─▶ waits until its damaged files are mended or cannot be
//     └────────────────┘
//
// One task at a time on the path's io(), of a few megabytes at most. A round
// ends with its path. The next one that begins by itself goes on where that was
// cut off, give or take a minute; one that is asked for reads everything.

#ifndef CAIRN_SERVICES_STORAGE_CORE_SCRUBBER_H_
#define CAIRN_SERVICES_STORAGE_CORE_SCRUBBER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
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
#include "services/storage/core/job_list.h"
#include "services/storage/core/repairs.h"
#include "services/storage/core/store_path.h"
#include "services/storage/core/upkeep_report.h"

namespace cairn {
namespace storage {

struct ScrubberOptions {
  // At most, in rounds that begin by themselves; 0: none does.
  int64_t bytes_per_second = int64_t{8} << 20;

  // Between the end of a round and the next, and before the first.
  absl::Duration pause = absl::Hours(7 * 24);
  absl::Duration first_pause = absl::Minutes(10);
};

class Scrubber {
 public:
  // `wake` asks for a Tick() soon. All borrowed; `jobs` may be null.
  Scrubber(const ScrubberOptions& options, uint8_t store_path, Repairs* repairs,
           JobList* jobs, Clock* clock, std::function<void()> wake);
  ~Scrubber();  // Nothing is running.

  Scrubber(const Scrubber&) = delete;
  Scrubber& operator=(const Scrubber&) = delete;

  // Begins a round now, at this rate (0: as fast as it can; nullopt: that of
  // the options, or 8 MiB/s if that is 0). One that runs goes on at this rate.
  // Any thread.
  absl::StatusOr<Job> Start(absl::optional<int64_t> bytes_per_second)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Does what is to be done now. One thread at a time, as are the next three.
  void Tick(absl::Duration now, const std::shared_ptr<StorePath>& path)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Ends the round soon, since its path goes; and lets go of the path, once
  // nothing is running.
  void Cancel() ABSL_LOCKS_EXCLUDED(mu_);
  void Detach() ABSL_LOCKS_EXCLUDED(mu_);

  // A task of it is on io().
  bool running() const ABSL_LOCKS_EXCLUDED(mu_);

  // Of the last round that ended well, and when that was; nullopt if none has.
  absl::optional<ScrubReport> last(absl::Time* end_time) const
      ABSL_LOCKS_EXCLUDED(mu_);

  // Of all rounds since the process began.
  ScrubReport totals() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  // Where a round is. Of whoever works.
  struct Position {
    bool begun = false;
    bool goes_on = false;            // Where the last round was cut off.
    std::string this_page;           // Where it begins.
    std::vector<std::string> names;  // Of the page, the next one last.
    std::string next_page;
    bool last_page = false;
    std::unique_ptr<OpenFile> file;
    int64_t offset = 0;
    uint32_t crc32c = 0;
  };

  absl::StatusOr<Job> BeginRound(int64_t bytes_per_second)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void EndRound(absl::Duration now, const absl::Status& outcome)
      ABSL_LOCKS_EXCLUDED(mu_);

  // On io().
  void Work(const std::shared_ptr<StorePath>& path, int64_t allowance)
      ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status NextPage(StorePath* path);
  absl::Status ReadPage(StorePath* path);
  void OpenNext(StorePath* path) ABSL_LOCKS_EXCLUDED(mu_);
  int64_t ReadSome() ABSL_LOCKS_EXCLUDED(mu_);
  void Damaged(const FileInfo& file) ABSL_LOCKS_EXCLUDED(mu_);
  ScrubReport ReportLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const ScrubberOptions options_;
  const uint8_t store_path_;
  Repairs* const repairs_;
  JobList* const jobs_;
  Clock* const clock_;
  const std::function<void()> wake_;

  Position position_;  // Of Work(); of Tick() while nothing works.
  absl::Duration kept_ = -absl::InfiniteDuration();  // When it was, last.

  // ---- The thread that ticks.
  absl::Duration due_ = absl::InfiniteDuration();  // Clock::Monotonic().
  bool due_known_ = false;
  absl::Duration last_tick_ = absl::ZeroDuration();
  int64_t allowance_ = 0;

  mutable Mutex mu_;
  bool round_ ABSL_GUARDED_BY(mu_) = false;
  bool working_ ABSL_GUARDED_BY(mu_) = false;
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
  bool all_read_ ABSL_GUARDED_BY(mu_) = false;
  int64_t spent_ ABSL_GUARDED_BY(mu_) = 0;  // By the last Work().
  int64_t bytes_total_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Status failed_ ABSL_GUARDED_BY(mu_);
  std::string job_id_ ABSL_GUARDED_BY(mu_);
  ScrubReport report_ ABSL_GUARDED_BY(mu_);
  std::vector<std::shared_ptr<const RepairTicket>> tickets_
      ABSL_GUARDED_BY(mu_);
  absl::optional<ScrubReport> last_ ABSL_GUARDED_BY(mu_);
  absl::Time last_time_ ABSL_GUARDED_BY(mu_);
  ScrubReport totals_ ABSL_GUARDED_BY(mu_);  // Of rounds that ended.
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_SCRUBBER_H_
