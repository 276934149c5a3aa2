#include "services/storage/core/job_list.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"

namespace cairn {
namespace storage {
namespace {

constexpr size_t kEndedJobsMax = 100;

}  // namespace

JobList::JobList(Executor* executor, Clock* clock)
    : executor_(executor), clock_(clock) {}

absl::StatusOr<Job> JobList::Begin(JobKind kind, uint32_t store_path) {
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
  return job;
}

absl::StatusOr<Job> JobList::Start(JobKind kind, uint32_t store_path,
                                   Work work) {
  CAIRN_ASSIGN_OR_RETURN(Job job, Begin(kind, store_path));
  const bool queued =
      executor_->TrySubmit([this, id = job.id, work = std::move(work)] {
        const absl::Status outcome = work([this, &id](const JobProgress& now) {
          Update(id, [&now](Job* running) { running->progress = now; });
        });
        End(id, outcome, "");
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

void JobList::SetProgress(const std::string& id, const JobProgress& progress,
                          const JobFindings& findings) {
  Update(id, [&](Job* running) {
    running->progress = progress;
    running->findings = findings;
  });
}

void JobList::End(const std::string& id, const absl::Status& outcome,
                  absl::string_view detail) {
  const absl::Time now = clock_->Now();
  Update(id, [&](Job* ended) {
    ended->state = outcome.ok() ? JobState::kSucceeded : JobState::kFailed;
    ended->detail = std::string(outcome.ok() ? detail : outcome.message());
    ended->end_time = now;
  });
}

absl::StatusOr<Job> JobList::Find(const std::string& id) const {
  MutexLock lock(&mu_);
  for (const Job& job : jobs_) {
    if (job.id == id) return job;
  }
  return absl::NotFoundError(absl::StrCat("there is no job ", id));
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
