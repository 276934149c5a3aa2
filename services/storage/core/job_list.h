// Long work on store paths: one thread does it, anyone may look how far it is.

#ifndef CAIRN_SERVICES_STORAGE_CORE_JOB_LIST_H_
#define CAIRN_SERVICES_STORAGE_CORE_JOB_LIST_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "lib/base/clock.h"
#include "lib/base/executor.h"
#include "lib/base/mutex.h"
#include "services/storage/core/store_path.h"
#include "services/storage/core/upkeep_report.h"

namespace cairn {
namespace storage {

enum class JobKind { kCompaction, kRebuildIndex, kScrub, kCompare };
enum class JobState { kRunning, kSucceeded, kFailed };

// What a job has found, if it looks for something.
struct JobFindings {
  absl::optional<ScrubReport> scrub;
  absl::optional<ComparisonReport> comparison;
};

struct Job {
  std::string id;  // Unique in the process.
  JobKind kind = JobKind::kCompaction;
  uint32_t store_path = 0;
  JobState state = JobState::kRunning;
  std::string detail;  // The error, or what was done.
  JobProgress progress;
  JobFindings findings;
  absl::Time start_time;
  absl::Time end_time;  // Infinite future while it runs.
};

// Thread-safe.
class JobList {
 public:
  using Report = std::function<void(const JobProgress&)>;
  using Work = std::function<absl::Status(const Report& report)>;

  // Jobs run on `executor`. Both are borrowed, and the executor's threads must
  // have ended before the list goes.
  JobList(Executor* executor, Clock* clock);

  // Queues `work` and returns the job.
  //   FAILED_PRECONDITION  JOB_RUNNING: one of that kind on that path runs.
  //   RESOURCE_EXHAUSTED   OVERLOADED: too many jobs wait.
  absl::StatusOr<Job> Start(JobKind kind, uint32_t store_path, Work work)
      ABSL_LOCKS_EXCLUDED(mu_);

  // A job that somebody else does: says how far it is, and ends it. `detail` is
  // what was done, if `outcome` is OK.
  //   FAILED_PRECONDITION  JOB_RUNNING, as Start().
  absl::StatusOr<Job> Begin(JobKind kind, uint32_t store_path)
      ABSL_LOCKS_EXCLUDED(mu_);
  void SetProgress(const std::string& id, const JobProgress& progress,
                   const JobFindings& findings) ABSL_LOCKS_EXCLUDED(mu_);
  void End(const std::string& id, const absl::Status& outcome,
           absl::string_view detail) ABSL_LOCKS_EXCLUDED(mu_);

  // The job of this id.
  //   NOT_FOUND  It has ended long ago, or never was.
  absl::StatusOr<Job> Find(const std::string& id) const
      ABSL_LOCKS_EXCLUDED(mu_);

  // Running ones and the last 100 that ended, newest first.
  std::vector<Job> List() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Update(const std::string& id, const std::function<void(Job*)>& change)
      ABSL_LOCKS_EXCLUDED(mu_);

  Executor* const executor_;
  Clock* const clock_;

  // May be taken while a lock of whoever does a job is held, never the other
  // way round.
  mutable Mutex mu_;
  uint64_t last_id_ ABSL_GUARDED_BY(mu_) = 0;
  std::deque<Job> jobs_ ABSL_GUARDED_BY(mu_);  // Newest first.
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_JOB_LIST_H_
