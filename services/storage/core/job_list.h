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
#include "absl/time/time.h"
#include "lib/base/clock.h"
#include "lib/base/executor.h"
#include "lib/base/mutex.h"
#include "services/storage/core/store_path.h"

namespace cairn {
namespace storage {

enum class JobKind { kCompaction, kRebuildIndex };
enum class JobState { kRunning, kSucceeded, kFailed };

struct Job {
  std::string id;  // Unique in the process.
  JobKind kind = JobKind::kCompaction;
  uint32_t store_path = 0;
  JobState state = JobState::kRunning;
  std::string detail;  // The error, or what was done.
  JobProgress progress;
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

  // Running ones and the last 100 that ended, newest first.
  std::vector<Job> List() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Update(const std::string& id, const std::function<void(Job*)>& change)
      ABSL_LOCKS_EXCLUDED(mu_);

  Executor* const executor_;
  Clock* const clock_;

  mutable Mutex mu_;
  uint64_t last_id_ ABSL_GUARDED_BY(mu_) = 0;
  std::deque<Job> jobs_ ABSL_GUARDED_BY(mu_);  // Newest first.
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_JOB_LIST_H_
