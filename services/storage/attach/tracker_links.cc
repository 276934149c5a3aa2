#include "services/storage/attach/tracker_links.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/log.h"
#include "lib/base/uuid.h"
#include "services/storage/attach/attach_call.h"
#include "services/storage/attach/backoff.h"

namespace cairn {
namespace storage {
namespace {

// Trackers that ask for more reports than this do not get them.
constexpr absl::Duration kReportIntervalMin = absl::Milliseconds(50);

// Failures that time does not mend. The node goes on trying, since a person
// may mend them at the other end, but not often.
bool NeedsAPerson(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kUnimplemented:
      return true;
    default:
      return false;
  }
}

}  // namespace

// One tracker. The calls of the listener come from gRPC threads, all others
// from the owner's thread.
class TrackerLinks::Link : public AttachListener {
 public:
  Link(TrackerLinks* owner, std::string tracker)
      : owner_(owner),
        tracker_(std::move(tracker)),
        backoff_(owner->options_.backoff_shortest,
                 owner->options_.backoff_longest, RandomUint64()) {}

  // Connects if it is time to, gives up an attempt that takes too long, and
  // sends `newest` if a report is due. Returns when it wants to be called
  // again.
  absl::Duration Drive(absl::Duration now,
                       const tracker::v1::NodeReport& newest, bool report_due)
      ABSL_LOCKS_EXCLUDED(mu_) {
    bool attached = false;
    absl::Duration retry_at;
    {
      MutexLock lock(&mu_);
      attached = attached_;
      retry_at = retry_at_;
      if (!running_ && now >= retry_at_) {
        running_ = true;
        connecting_since_ = now;
      } else if (running_) {
        retry_at = absl::InfiniteDuration();
      }
    }
    const absl::Duration limit =
        connecting_since_ + owner_->options_.handshake_timeout;
    if (retry_at == absl::InfiniteDuration()) {
      if (attached && report_due) call_->Send(newest);
      if (!attached && now >= limit) call_->Cancel();
      return attached || now >= limit ? absl::InfiniteDuration() : limit;
    }
    call_.reset();  // It has ended.
    if (now < retry_at) return retry_at;
    call_ = StartAttachCall(tracker_, owner_->options_.identity, newest,
                            owner_->options_.cluster_secret,
                            owner_->options_.tls, this);
    return limit;
  }

  // The time between reports that this tracker wants.
  absl::Duration report_interval() const ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    return report_interval_;
  }

  void SayGoodbye(const tracker::v1::NodeReport& report) {
    if (call_ != nullptr) call_->SayGoodbye(report);
  }

  void Cancel() {
    if (call_ != nullptr) call_->Cancel();
  }

  // No call is under way any more.
  void Clear() { call_.reset(); }

  // Waits until no call is under way, for `timeout` at most.
  bool WaitEnded(absl::Duration timeout) ABSL_LOCKS_EXCLUDED(mu_) {
    const absl::Time limit = absl::Now() + timeout;
    MutexLock lock(&mu_);
    while (running_) {
      const absl::Duration left = limit - absl::Now();
      if (left <= absl::ZeroDuration()) return false;
      ended_.WaitWithTimeout(&mu_, left);
    }
    return true;
  }

  TrackerLinkState state() const ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    TrackerLinkState state;
    state.tracker = tracker_;
    state.attached = attached_;
    state.last_error = last_error_;
    return state;
  }

  void OnAttached(absl::Duration suspect_after) override
      ABSL_LOCKS_EXCLUDED(mu_) {
    {
      MutexLock lock(&mu_);
      attached_ = true;
      last_error_ = absl::OkStatus();
      backoff_.Reset();
      report_interval_ = std::max(
          kReportIntervalMin,
          std::min(suspect_after / 3, owner_->options_.report_interval));
    }
    CAIRN_LOG(kInfo, "attach", "attached to a tracker tracker={}", tracker_);
    owner_->Wake();
  }

  void OnPeers(const tracker::v1::GroupPeers& peers) override
      ABSL_LOCKS_EXCLUDED(mu_) {
    // An older tracker says nothing.
    if (peers.has_effective()) TakeRole(peers.effective().role());
    if (owner_->peers_) owner_->peers_(tracker_, peers);
  }

  void OnEnded(const absl::Status& status) override ABSL_LOCKS_EXCLUDED(mu_) {
    bool news = false;
    {
      MutexLock lock(&mu_);
      // One line when it is lost or fails in a new way, none for each retry.
      news = !status.ok() && (attached_ || status.code() != last_error_.code());
      attached_ = false;
      role_ = tracker::v1::NODE_ROLE_UNSPECIFIED;
      // A tracker that ends the stream without an error is stopping.
      last_error_ = status.ok() ? absl::UnavailableError("ended") : status;
      retry_at_ = owner_->clock_->Monotonic() +
                  (NeedsAPerson(status) ? backoff_.Longest() : backoff_.Next());
    }
    if (news) {
      CAIRN_LOG(kWarning, "attach",
                "not attached, will try again tracker={} error=\"{}\"",
                tracker_, status);
    }
    MutexLock lock(&mu_);
    running_ = false;
    // Under the lock and last: who waits for this may destroy it and its owner.
    owner_->Wake();
    ended_.SignalAll();
  }

 private:
  void TakeRole(tracker::v1::NodeRole role) ABSL_LOCKS_EXCLUDED(mu_) {
    tracker::v1::NodeRole before;
    bool restricted_before = false;
    {
      MutexLock lock(&mu_);
      before = std::exchange(role_, role);
      if (before == role) return;
      restricted_before = restricted_;
      restricted_ = role != tracker::v1::NODE_ROLE_READ_WRITE;
    }
    if (role != tracker::v1::NODE_ROLE_READ_WRITE || restricted_before) {
      CAIRN_LOG(kInfo, "attach", "the node is used as role={} tracker={}",
                tracker::v1::NodeRole_Name(role), tracker_);
    }
    if (owner_->role_) owner_->role_(tracker_, role);
  }

  TrackerLinks* const owner_;
  const std::string tracker_;

  // The owner's thread's alone.
  std::unique_ptr<AttachCall> call_;
  absl::Duration connecting_since_;

  // Taken before the owner's, never after.
  mutable Mutex mu_;
  CondVar ended_;
  bool running_ ABSL_GUARDED_BY(mu_) = false;  // From the start to OnEnded().
  bool attached_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status last_error_ ABSL_GUARDED_BY(mu_);
  tracker::v1::NodeRole role_ ABSL_GUARDED_BY(mu_) =
      tracker::v1::NODE_ROLE_UNSPECIFIED;  // Until the tracker has said it.
  bool restricted_ ABSL_GUARDED_BY(mu_) = false;  // As it was logged last.
  absl::Duration retry_at_ ABSL_GUARDED_BY(mu_) = -absl::InfiniteDuration();
  absl::Duration report_interval_ ABSL_GUARDED_BY(mu_) =
      absl::InfiniteDuration();
  Backoff backoff_ ABSL_GUARDED_BY(mu_);
};

TrackerLinks::TrackerLinks(TrackerLinksOptions options, ReportFn report,
                           PeersFn peers, Clock* clock, RoleFn role)
    : options_(std::move(options)),
      report_(std::move(report)),
      peers_(std::move(peers)),
      role_(std::move(role)),
      clock_(clock) {
  CAIRN_CHECK(report_ != nullptr);
  for (const std::string& tracker : options_.trackers) {
    links_.push_back(std::make_unique<Link>(this, tracker));
  }
}

TrackerLinks::~TrackerLinks() { Stop(); }

void TrackerLinks::Start() {
  CAIRN_CHECK(!thread_.joinable());
  if (links_.empty()) return;
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "attach");
    Run();
  });
}

void TrackerLinks::Wake() {
  MutexLock lock(&mu_);
  woken_ = true;
  wake_.Signal();
}

void TrackerLinks::ReportSoon() {
  MutexLock lock(&mu_);
  report_soon_ = true;
  woken_ = true;
  wake_.Signal();
}

void TrackerLinks::AnnounceStopping() {
  MutexLock lock(&mu_);
  announcing_stop_ = true;
  report_soon_ = true;
  woken_ = true;
  wake_.Signal();
}

tracker::v1::NodeReport TrackerLinks::MakeReport() {
  tracker::v1::NodeReport report = report_();
  MutexLock lock(&mu_);
  report.set_stopping(announcing_stop_ || stop_);
  return report;
}

void TrackerLinks::Run() {
  tracker::v1::NodeReport newest = MakeReport();
  absl::Duration reported = clock_->Monotonic();
  while (true) {
    bool soon = false;
    {
      MutexLock lock(&mu_);
      if (stop_) break;
      soon = std::exchange(report_soon_, false);
      woken_ = false;
    }
    absl::Duration interval = options_.report_interval;
    for (const auto& link : links_) {
      interval = std::min(interval, link->report_interval());
    }
    absl::Duration now = clock_->Monotonic();
    const bool due = soon || now - reported >= interval;
    if (due) {
      newest = MakeReport();
      reported = now;
    }
    absl::Duration next = reported + interval;
    for (const auto& link : links_) {
      next = std::min(next, link->Drive(now, newest, due));
    }
    now = clock_->Monotonic();
    MutexLock lock(&mu_);
    if (!woken_ && !stop_ && next > now) {
      wake_.WaitWithTimeout(&mu_, next - now);
    }
  }

  newest = MakeReport();
  for (const auto& link : links_) link->SayGoodbye(newest);
  const absl::Time limit = absl::Now() + options_.goodbye_timeout;
  for (const auto& link : links_) {
    if (!link->WaitEnded(limit - absl::Now())) link->Cancel();
  }
  // A cancelled call ends soon, whatever the tracker does.
  for (const auto& link : links_) {
    link->WaitEnded(absl::InfiniteDuration());
    link->Clear();
  }
}

void TrackerLinks::Stop() {
  {
    MutexLock lock(&mu_);
    stop_ = true;
    wake_.Signal();
  }
  if (thread_.joinable()) thread_.join();
}

std::vector<TrackerLinkState> TrackerLinks::States() const {
  std::vector<TrackerLinkState> states;
  states.reserve(links_.size());
  for (const auto& link : links_) states.push_back(link->state());
  return states;
}

}  // namespace storage
}  // namespace cairn
