#include "services/storage/core/scrubber.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/checksum/crc32c.h"
#include "services/storage/core/replica_store.h"

namespace cairn {
namespace storage {
namespace {

constexpr int64_t kRateDefault = int64_t{8} << 20;

// What one task on io() reads at most, so that others get their turn.
constexpr int64_t kTaskBytesMax = int64_t{4} << 20;
constexpr int64_t kPieceBytes = int64_t{1} << 20;

// A file costs a look at the index and at a segment, however small it is.
constexpr int64_t kFileBytesLeast = 4096;

constexpr size_t kPageNames = 256;

// How often the position is written down.
constexpr absl::Duration kKeepInterval = absl::Minutes(1);

// Damaged files of one round that are watched until they are mended.
constexpr size_t kTicketsMax = 10000;

bool IsDamage(const absl::Status& status) {
  const ErrorReason reason = ReasonOf(status);
  return reason == ErrorReason::kContentDamaged ||
         reason == ErrorReason::kReadFailed;
}

}  // namespace

Scrubber::Scrubber(const ScrubberOptions& options, uint8_t store_path,
                   Repairs* repairs, JobList* jobs, Clock* clock,
                   std::function<void()> wake)
    : options_(options),
      store_path_(store_path),
      repairs_(repairs),
      jobs_(jobs),
      clock_(clock),
      wake_(std::move(wake)) {}

Scrubber::~Scrubber() { CAIRN_CHECK(!running()); }

absl::StatusOr<Job> Scrubber::Start(absl::optional<int64_t> bytes_per_second) {
  const int64_t rate = bytes_per_second.value_or(
      options_.bytes_per_second > 0 ? options_.bytes_per_second : kRateDefault);
  if (rate < 0) {
    return ErrorWithReason(
        absl::StatusCode::kInvalidArgument, ErrorReason::kInvalidField,
        absl::StrCat("bytes_per_second must not be negative, it is ", rate),
        {{"field", "bytes_per_second"}});
  }
  absl::StatusOr<Job> job;
  {
    MutexLock lock(&mu_);
    if (round_) {
      report_.bytes_per_second = rate;
      if (jobs_ != nullptr) return jobs_->Find(job_id_);
      return Job();
    }
    job = BeginRound(rate);
  }
  wake_();
  return job;
}

// The list of jobs has a lock of its own, which is always taken second.
absl::StatusOr<Job> Scrubber::BeginRound(int64_t bytes_per_second) {
  Job job;
  if (jobs_ != nullptr) {
    CAIRN_ASSIGN_OR_RETURN(job, jobs_->Begin(JobKind::kScrub, store_path_));
  }
  round_ = true;
  all_read_ = false;
  spent_ = 0;
  bytes_total_ = 0;
  failed_ = absl::OkStatus();
  job_id_ = job.id;
  report_ = ScrubReport();
  report_.bytes_per_second = bytes_per_second;
  tickets_.clear();
  return job;
}

ScrubReport Scrubber::ReportLocked() const {
  ScrubReport report = report_;
  for (const auto& ticket : tickets_) {
    switch (ticket->outcome()) {
      case RepairOutcome::kMended:
        ++report.mended;
        break;
      case RepairOutcome::kUnmendable:
        ++report.unmendable;
        break;
      case RepairOutcome::kPending:
      case RepairOutcome::kGone:
        break;
    }
  }
  return report;
}

void Scrubber::Tick(absl::Duration now,
                    const std::shared_ptr<StorePath>& path) {
  if (!due_known_) {
    due_known_ = true;
    due_ = options_.bytes_per_second > 0 ? now + options_.first_pause
                                         : absl::InfiniteDuration();
  }
  bool round = false;
  int64_t rate = 0;
  bool all_read = false;
  bool pending = false;
  absl::Status failed;
  std::string job_id;
  JobProgress progress;
  JobFindings findings;
  {
    MutexLock lock(&mu_);
    if (!round_ && now >= due_) {
      // One that is refused is due again later.
      if (BeginRound(options_.bytes_per_second).ok()) {
        position_.goes_on = true;
      } else {
        due_ = now + options_.pause;
      }
    }
    if (working_) return;
    round = round_;
    rate = report_.bytes_per_second;
    all_read = all_read_;
    failed = failed_;
    job_id = job_id_;
    allowance_ -= std::exchange(spent_, 0);
    for (const auto& ticket : tickets_) {
      pending = pending || ticket->outcome() == RepairOutcome::kPending;
    }
    findings.scrub = ReportLocked();
    progress.done_bytes = report_.bytes;
    progress.total_bytes = std::max(bytes_total_, report_.bytes);
  }
  if (!round) {
    last_tick_ = now;
    allowance_ = 0;
    return;
  }
  if (!failed.ok() || (all_read && !pending)) {
    EndRound(now, failed);
    return;
  }
  if (jobs_ != nullptr) jobs_->SetProgress(job_id, progress, findings);
  if (all_read) return;
  if (rate == 0) {
    allowance_ = kTaskBytesMax;
  } else {
    const double elapsed = absl::ToDoubleSeconds(now - last_tick_);
    // What was not used is not saved up for longer than a second.
    allowance_ =
        std::min(allowance_ + static_cast<int64_t>(static_cast<double>(rate) *
                                                   std::min(elapsed, 1.0)),
                 std::max<int64_t>(rate, 1));
  }
  last_tick_ = now;
  if (allowance_ <= 0) return;
  {
    MutexLock lock(&mu_);
    working_ = true;
  }
  const int64_t allowance = std::min(allowance_, kTaskBytesMax);
  if (!path->io()->TrySubmit(
          [this, path, allowance] { Work(path, allowance); })) {
    // The disk has enough to do: at the next tick.
    MutexLock lock(&mu_);
    working_ = false;
  }
}

void Scrubber::EndRound(absl::Duration now, const absl::Status& outcome) {
  position_ = Position();
  due_ = options_.bytes_per_second > 0 ? now + options_.pause
                                       : absl::InfiniteDuration();
  const absl::Time time = clock_->Now();
  ScrubReport report;
  std::string job_id;
  JobProgress progress;
  {
    MutexLock lock(&mu_);
    report = ReportLocked();
    round_ = false;
    job_id = job_id_;
    tickets_.clear();
    progress.done_bytes = report.bytes;
    progress.total_bytes =
        outcome.ok() ? report.bytes : std::max(bytes_total_, report.bytes);
    if (outcome.ok()) {
      last_ = report;
      last_time_ = time;
    }
    totals_.files += report.files;
    totals_.bytes += report.bytes;
    totals_.damaged += report.damaged;
    totals_.mended += report.mended;
    totals_.unmendable += report.unmendable;
  }
  const std::string summary =
      absl::StrCat(report.files, " files, ", report.bytes,
                   " bytes read; damaged ", report.damaged, ", mended ",
                   report.mended, ", could not be mended ", report.unmendable);
  if (jobs_ != nullptr) {
    JobFindings findings;
    findings.scrub = report;
    jobs_->SetProgress(job_id, progress, findings);
    jobs_->End(job_id, outcome, summary);
  }
  if (!outcome.ok()) {
    // It comes again with the next path, or at its time.
    due_known_ = false;
    CAIRN_LOG(kInfo, "scrub", "round was cut off path={} error=\"{}\" {}",
              store_path_, outcome, summary);
  } else {
    CAIRN_LOG(kInfo, "scrub", "round ended path={} {}", store_path_, summary);
  }
}

void Scrubber::Work(const std::shared_ptr<StorePath>& path, int64_t allowance) {
  int64_t spent = 0;
  absl::Status failed;
  bool all_read = false;
  while (spent < allowance) {
    {
      MutexLock lock(&mu_);
      if (cancelled_) failed = absl::CancelledError("the store path is closed");
    }
    if (!failed.ok()) break;
    if (position_.file != nullptr) {
      spent += ReadSome();
      continue;
    }
    if (position_.names.empty()) {
      if (position_.last_page) {
        all_read = true;
        break;
      }
      failed = NextPage(path.get());
      spent += kFileBytesLeast;
      continue;
    }
    OpenNext(path.get());
    spent += kFileBytesLeast;
  }
  if (all_read) path->replica()->KeepScrubPosition("");
  if (!failed.ok() && position_.begun) {
    path->replica()->KeepScrubPosition(position_.this_page);
  }
  bool at_once = false;
  // This may be destroyed as soon as it does not work any more.
  const std::function<void()> wake = wake_;
  {
    MutexLock lock(&mu_);
    spent_ = spent;
    failed_ = failed;
    all_read_ = all_read;
    working_ = false;
    at_once = report_.bytes_per_second == 0 || all_read || !failed.ok();
  }
  if (at_once) wake();
}

absl::Status Scrubber::NextPage(StorePath* path) {
  if (!position_.begun) {
    // What is in memory alone is written down first, so that it is seen.
    CAIRN_RETURN_IF_ERROR(path->replica()->BeginSnapshot().status());
    position_.begun = true;
    const StorePathStatus status = path->Status();
    {
      MutexLock lock(&mu_);
      bytes_total_ = status.live_bytes;
    }
    kept_ = clock_->Monotonic();
    if (position_.goes_on) {
      position_.next_page = path->replica()->ReadScrubPosition();
    }
    if (!position_.next_page.empty()) {
      CAIRN_LOG(kInfo, "scrub", "round goes on where it was cut off path={}",
                store_path_);
      const absl::Status read = ReadPage(path);
      if (!absl::IsInvalidArgument(read)) return read;
      position_.next_page.clear();  // That was no position.
    }
  } else if (clock_->Monotonic() >= kept_ + kKeepInterval) {
    kept_ = clock_->Monotonic();
    path->replica()->KeepScrubPosition(position_.next_page);
  }
  return ReadPage(path);
}

absl::Status Scrubber::ReadPage(StorePath* path) {
  CAIRN_ASSIGN_OR_RETURN(
      const SnapshotPage page,
      path->replica()->ReadSnapshot(position_.next_page, kPageNames));
  position_.this_page = position_.next_page;
  for (auto it = page.files.rbegin(); it != page.files.rend(); ++it) {
    if (!it->deleted && !it->content_missing) {
      position_.names.push_back(it->file.name);
    }
  }
  position_.next_page = page.next;
  position_.last_page = page.next.empty();
  return absl::OkStatus();
}

void Scrubber::OpenNext(StorePath* path) {
  const std::string name = std::move(position_.names.back());
  position_.names.pop_back();
  absl::StatusOr<std::unique_ptr<OpenFile>> file = path->Open(name);
  position_.offset = 0;
  position_.crc32c = 0;
  if (file.ok()) {
    position_.file = *std::move(file);
    return;
  }
  // Deleted since, for one.
  if (!IsDamage(file.status())) return;
  const absl::StatusOr<FileInfo> info = path->Stat(name);
  if (info.ok()) Damaged(*info);
}

// A piece of the file that is open; how many bytes that was.
int64_t Scrubber::ReadSome() {
  const FileInfo& info = position_.file->info();
  const int64_t bytes =
      std::min(kPieceBytes, info.size_bytes - position_.offset);
  bool good = true;
  if (bytes > 0) {
    const absl::StatusOr<absl::Cord> data =
        position_.file->Read(position_.offset, bytes);
    good = data.ok();
    if (good) {
      const absl::optional<uint32_t> known =
          position_.file->CheckedCrc(position_.offset, bytes);
      position_.crc32c = CombineCrc32c(
          position_.crc32c, known.has_value() ? *known : Crc32c(*data),
          static_cast<uint64_t>(bytes));
    }
    position_.offset += bytes;
    MutexLock lock(&mu_);
    report_.bytes += bytes;
  }
  if (good && position_.offset < info.size_bytes) return bytes;
  if (!good || position_.crc32c != info.crc32c) Damaged(info);
  position_.file.reset();
  MutexLock lock(&mu_);
  ++report_.files;
  return bytes;
}

void Scrubber::Damaged(const FileInfo& file) {
  std::shared_ptr<const RepairTicket> ticket = repairs_->Report(file);
  MutexLock lock(&mu_);
  ++report_.damaged;
  if (ticket == nullptr || tickets_.size() >= kTicketsMax) {
    ++report_.unmendable;  // Nobody looks after it in this round.
  } else {
    tickets_.push_back(std::move(ticket));
  }
}

void Scrubber::Cancel() {
  MutexLock lock(&mu_);
  cancelled_ = true;
}

void Scrubber::Detach() {
  bool round = false;
  {
    MutexLock lock(&mu_);
    CAIRN_CHECK(!working_);
    cancelled_ = false;
    round = round_;
  }
  position_ = Position();
  if (!round) return;
  EndRound(clock_->Monotonic(),
           absl::CancelledError("the store path is closed"));
}

bool Scrubber::running() const {
  MutexLock lock(&mu_);
  return working_;
}

absl::optional<ScrubReport> Scrubber::last(absl::Time* end_time) const {
  MutexLock lock(&mu_);
  *end_time = last_time_;
  return last_;
}

ScrubReport Scrubber::totals() const {
  MutexLock lock(&mu_);
  ScrubReport totals = totals_;
  if (!round_) return totals;
  const ScrubReport report = ReportLocked();
  totals.files += report.files;
  totals.bytes += report.bytes;
  totals.damaged += report.damaged;
  totals.mended += report.mended;
  totals.unmendable += report.unmendable;
  return totals;
}

}  // namespace storage
}  // namespace cairn
