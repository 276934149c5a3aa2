#include "services/storage/core/job_list.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/error_reason.h"

namespace cairn {
namespace storage {
namespace {

constexpr size_t kEndedJobsMax = 100;

}  // namespace

JobList::JobList(Executor* executor, Clock* clock)
    : executor_(executor), clock_(clock) {}

absl::StatusOr<Job> JobList::Start(JobKind kind, uint32_t store_path,
                                   Work work) {
  Job job;
  job.kind = kind;
  job.store_path = store_path;
  job.start_time = clock_->Now();
  job.end_time = absl::InfiniteFuture();
  {
    MutexLock lock(&mu_);
    for (const Job& other : jobs_) {
      if (other.state == JobState::kRunning && other.kind == kind &&
          other.store_path == store_path) {
        return ErrorWithReason(
            absl::StatusCode::kFailedPrecondition, ErrorReason::kJobRunning,
            absl::StrCat("job ", other.id, " does it"), {{"job_id", other.id}});
      }
    }
    job.id = absl::StrCat(++last_id_);
    jobs_.push_front(job);
    while (jobs_.size() > kEndedJobsMax &&
           jobs_.back().state != JobState::kRunning) {
      jobs_.pop_back();
    }
  }
  const bool queued =
      executor_->TrySubmit([this, id = job.id, work = std::move(work)] {
        const absl::Status outcome = work([this, &id](const JobProgress& now) {
          Update(id, [&now](Job* running) { running->progress = now; });
        });
        Update(id, [this, &outcome](Job* ended) {
          ended->state =
              outcome.ok() ? JobState::kSucceeded : JobState::kFailed;
          ended->detail = std::string(outcome.message());
          ended->end_time = clock_->Now();
        });
      });
  if (queued) return job;
  {
    MutexLock lock(&mu_);
    for (auto it = jobs_.begin(); it != jobs_.end(); ++it) {
      if (it->id == job.id) {
        jobs_.erase(it);
        break;
      }
    }
  }
  return ErrorWithReason(absl::StatusCode::kResourceExhausted,
                         ErrorReason::kOverloaded, "too many jobs wait");
}

std::vector<Job> JobList::List() const {
  MutexLock lock(&mu_);
  return {jobs_.begin(), jobs_.end()};
}

void JobList::Update(const std::string& id,
                     const std::function<void(Job*)>& change) {
  MutexLock lock(&mu_);
  for (Job& job : jobs_) {
    if (job.id == id) {
      change(&job);
      return;
    }
  }
}

}  // namespace storage
}  // namespace cairn
