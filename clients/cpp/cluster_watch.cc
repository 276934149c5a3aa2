#include "clients/cpp/cluster_watch.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <pthread.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cairn/tracker/v1/tracker_service.grpc.pb.h"
#include "clients/cpp/retry.h"
#include "lib/base/log.h"
#include "lib/placement/from_proto.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/grpc_status.h"
#include "lib/rpc/tls.h"

namespace cairn {
namespace client {
namespace {

constexpr absl::Duration kPauseFirst = absl::Milliseconds(50);
constexpr absl::Duration kPauseMax = absl::Seconds(5);

// Failures are remembered for the message of WaitForView() alone.
constexpr size_t kFailuresMax = 8;

}  // namespace

// Keeps lib/placement's wire messages out of the header.
class ClusterWatch::Follower {
 public:
  ViewFollower view;
};

ClusterWatch::ClusterWatch(std::vector<std::string> trackers,
                           std::shared_ptr<const rpc::Tls> tls, OnView on_view)
    : tls_(std::move(tls)),
      on_view_(std::move(on_view)),
      trackers_(std::move(trackers)),
      follower_(std::make_unique<Follower>()),
      thread_([this] { Run(); }) {}

ClusterWatch::~ClusterWatch() { Stop(); }

absl::Status ClusterWatch::WaitForView(absl::Duration timeout) {
  const absl::Time until = absl::Now() + timeout;
  MutexLock lock(&mu_);
  while (!has_view_) {
    const absl::Duration left = until - absl::Now();
    if (left <= absl::ZeroDuration()) {
      return absl::UnavailableError(absl::StrCat(
          "no tracker answered within ", absl::FormatDuration(timeout),
          failures_.empty() ? "" : ": ", absl::StrJoin(failures_, "; ")));
    }
    changed_.WaitWithTimeout(&mu_, left);
  }
  return absl::OkStatus();
}

void ClusterWatch::Stop() {
  {
    MutexLock lock(&mu_);
    stopping_ = true;
    if (context_ != nullptr) context_->TryCancel();
    changed_.SignalAll();
  }
  if (thread_.joinable()) thread_.join();
}

bool ClusterWatch::Pause(absl::Duration duration) {
  const absl::Time until = absl::Now() + duration;
  MutexLock lock(&mu_);
  while (!stopping_) {
    const absl::Duration left = until - absl::Now();
    if (left <= absl::ZeroDuration()) return true;
    changed_.WaitWithTimeout(&mu_, left);
  }
  return false;
}

void ClusterWatch::Run() {
  pthread_setname_np(pthread_self(), "cairn-watch");
  Backoff pause(kPauseFirst, kPauseMax);
  size_t next = 0;
  size_t failed_in_a_row = 0;
  for (;;) {
    const std::string tracker = trackers_[next % trackers_.size()];
    absl::Status end;
    const bool answered = Follow(tracker, &end);
    {
      MutexLock lock(&mu_);
      if (stopping_) return;
      if (!has_view_) {
        std::string failure = absl::StrCat(
            tracker, ": ",
            end.message().empty() ? "ended without a view" : end.message());
        if (failures_.size() < kFailuresMax &&
            std::find(failures_.begin(), failures_.end(), failure) ==
                failures_.end()) {
          failures_.push_back(std::move(failure));
        }
      }
    }
    if (answered) {
      CAIRN_LOG(kDebug, "client", "lost tracker address={} error={}", tracker,
                end);
      failed_in_a_row = 0;
      pause = Backoff(kPauseFirst, kPauseMax);
    }
    // The same one first: a stream that broke says little. Then the others.
    if (!answered) {
      ++next;
      ++failed_in_a_row;
    }
    if (answered || failed_in_a_row % trackers_.size() == 0) {
      if (!Pause(pause.Next())) return;
    }
  }
}

bool ClusterWatch::Follow(const std::string& tracker, absl::Status* end) {
  rpc::ChannelOptions options;
  options.user_agent = "cairn-client";
  options.tls = tls_;
  const std::shared_ptr<grpc::Channel> channel =
      rpc::MakeChannel(tracker, options);
  const auto stub = tracker::v1::TrackerService::NewStub(channel);
  // No deadline: the stream is to last. Keepalive ends it when the tracker is
  // gone.
  grpc::ClientContext context;
  {
    MutexLock lock(&mu_);
    if (stopping_) return false;
    context_ = &context;
  }
  follower_->view.ExpectSnapshot();
  bool answered = false;
  const auto reader = stub->WatchCluster(&context, {});
  tracker::v1::WatchClusterResponse update;
  *end = absl::OkStatus();
  while (reader->Read(&update)) {
    *end = follower_->view.Apply(update);
    if (!end->ok()) {
      context.TryCancel();
      break;
    }
    answered = true;
    for (const std::string& known : follower_->view.view().trackers()) {
      if (std::find(trackers_.begin(), trackers_.end(), known) ==
          trackers_.end()) {
        trackers_.push_back(known);
      }
    }
    on_view_(follower_->view.model());
    MutexLock lock(&mu_);
    if (!has_view_) {
      has_view_ = true;
      changed_.SignalAll();
    }
  }
  const grpc::Status status = reader->Finish();
  if (end->ok()) *end = rpc::FromGrpcStatus(status);
  if (!answered) *end = rpc::ExplainTlsFailure(*end, tls_ != nullptr);
  MutexLock lock(&mu_);
  context_ = nullptr;
  return answered;
}

}  // namespace client
}  // namespace cairn
