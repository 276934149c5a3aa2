#include "services/storage/core/comparer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/check.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"

namespace cairn {
namespace storage {

Comparer::Comparer(const ComparerOptions& options, uint8_t store_path,
                   PeerTransport* transport, JobList* jobs, Clock* clock,
                   std::function<void()> wake)
    : options_(options),
      store_path_(store_path),
      transport_(transport),
      jobs_(jobs),
      clock_(clock),
      wake_(std::move(wake)) {}

Comparer::~Comparer() { CAIRN_CHECK(!running()); }

absl::StatusOr<Job> Comparer::Start() {
  absl::StatusOr<Job> job;
  {
    MutexLock lock(&mu_);
    if (round_) return jobs_ != nullptr ? jobs_->Find(job_id_) : Job();
    job = BeginRound();
  }
  wake_();
  return job;
}

// The list of jobs has a lock of its own, which is always taken second.
absl::StatusOr<Job> Comparer::BeginRound() {
  Job job;
  if (jobs_ != nullptr) {
    CAIRN_ASSIGN_OR_RETURN(job, jobs_->Begin(JobKind::kCompare, store_path_));
  }
  round_ = true;
  job_id_ = job.id;
  report_ = ComparisonReport();
  return job;
}

void Comparer::Tick(absl::Duration now, const std::shared_ptr<StorePath>& path,
                    const std::shared_ptr<MissingContents>& missing,
                    const absl::optional<std::vector<Peer>>& peers) {
  const bool by_itself = options_.interval > absl::ZeroDuration();
  if (!due_known_) {
    due_known_ = true;
    due_ = by_itself ? now + options_.first_pause : absl::InfiniteDuration();
    last_tick_ = now;
  }
  Reap();
  bool round = false;
  {
    MutexLock lock(&mu_);
    // Where nobody else is nothing is compared, unless it is asked for.
    if (!round_ && now >= due_ && peers.has_value() && !peers->empty() &&
        !BeginRound().ok()) {
      due_ = now + options_.interval;
    }
    round = round_;
  }
  const absl::Duration elapsed = std::min(now - last_tick_, absl::Seconds(1));
  last_tick_ = now;
  if (!round) return;
  if (comparison_ != nullptr) {
    if (now - comparison_->heard() > options_.silence_max) {
      comparison_->Cancel();
    }
    comparison_->Allow(1 + static_cast<int64_t>(
                               static_cast<double>(options_.names_per_second) *
                               absl::ToDoubleSeconds(elapsed)),
                       std::max<int64_t>(options_.names_per_second, 1));
    if (jobs_ != nullptr) {
      JobFindings findings;
      std::string id;
      {
        MutexLock lock(&mu_);
        findings.comparison = report_;
        id = job_id_;
      }
      findings.comparison->Add(comparison_->report());
      jobs_->SetProgress(id, JobProgress(), findings);
    }
    return;
  }
  if (!peers_taken_) {
    if (!peers.has_value()) return;  // Nobody has said yet who they are.
    peers_taken_ = true;
    left_ = *peers;
    std::map<Uuid, NamesUnderWay> before = std::move(under_way_);
    under_way_.clear();
    for (const Peer& peer : left_) {
      under_way_[peer.node_uuid] = std::move(before[peer.node_uuid]);
    }
  }
  if (left_.empty()) {
    EndRound(errors_.empty() ? absl::OkStatus()
                             : absl::UnavailableError(errors_));
    return;
  }
  peer_ = left_.back();
  left_.pop_back();
  comparison_ = std::make_shared<Comparison>(
      path, missing, transport_, peer_, store_path_,
      std::move(under_way_[peer_.node_uuid]), clock_, wake_);
  comparison_->Start();
  wake_();
}

void Comparer::Reap() {
  if (comparison_ == nullptr) return;
  const absl::optional<absl::Status> ended = comparison_->ended();
  if (!ended.has_value()) return;
  ComparisonReport report = comparison_->report();
  under_way_[peer_.node_uuid] = comparison_->TakeUnderWay();
  comparison_.reset();
  (ended->ok() ? report.peers : report.failed_peers) = 1;
  if (!ended->ok()) {
    absl::StrAppend(&errors_, errors_.empty() ? "" : "; ",
                    "could not compare with ", peer_.name, ": ",
                    ended->ToString());
  }
  MutexLock lock(&mu_);
  report_.Add(report);
}

void Comparer::EndRound(const absl::Status& outcome) {
  due_known_ = true;
  due_ = options_.interval > absl::ZeroDuration()
             ? clock_->Monotonic() + options_.interval
             : absl::InfiniteDuration();
  peers_taken_ = false;
  left_.clear();
  errors_.clear();
  const absl::Time time = clock_->Now();
  ComparisonReport report;
  std::string job_id;
  {
    MutexLock lock(&mu_);
    round_ = false;
    report = report_;
    job_id = job_id_;
    last_ = report;
    last_time_ = time;
    totals_.Add(report);
    report_ = ComparisonReport();
  }
  const std::string summary = absl::StrCat(
      "compared with ", report.peers, " members, ", report.ranges, " ranges, ",
      report.names, " names; differing ", report.differing, ", mended ",
      report.mended, ", lacking there ", report.lacking_there,
      ", could not be mended ", report.unmendable, ", conflicts ",
      report.conflicts);
  if (jobs_ != nullptr) {
    JobFindings findings;
    findings.comparison = report;
    jobs_->SetProgress(job_id, JobProgress(), findings);
    jobs_->End(job_id, outcome, summary);
  }
  if (report.differing > 0 || !outcome.ok()) {
    CAIRN_LOG(kWarning, "compare", "round ended path={} {} error=\"{}\"",
              store_path_, summary, outcome);
  }
}

void Comparer::Cancel() {
  if (comparison_ != nullptr) comparison_->Cancel();
}

void Comparer::Detach() {
  CAIRN_CHECK(!running());
  due_known_ = false;
  under_way_.clear();
  bool round = false;
  {
    MutexLock lock(&mu_);
    round = round_;
  }
  if (round) EndRound(absl::CancelledError("the store path is closed"));
  due_known_ = false;
}

absl::optional<ComparisonReport> Comparer::last(absl::Time* end_time) const {
  MutexLock lock(&mu_);
  *end_time = last_time_;
  return last_;
}

ComparisonReport Comparer::totals() const {
  MutexLock lock(&mu_);
  ComparisonReport totals = totals_;
  totals.Add(report_);
  return totals;
}

}  // namespace storage
}  // namespace cairn
