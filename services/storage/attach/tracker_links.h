// Keeps a storage node attached to every tracker that it was given.
//
//   for each tracker:  connect ─▶ attached ─▶ lost ─▶ wait (longer each time,
//                         ▲                            with jitter) ─┐
//                         └──────────────────────────────────────────┘
//
// Nothing in the storage waits for a tracker: with all of them gone the node
// goes on serving, and is known again as soon as one is back.

#ifndef CAIRN_SERVICES_STORAGE_ATTACH_TRACKER_LINKS_H_
#define CAIRN_SERVICES_STORAGE_ATTACH_TRACKER_LINKS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cairn/tracker/v1/cluster.pb.h"
#include "cairn/tracker/v1/membership_service.pb.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"

namespace cairn {
namespace rpc {
class Tls;
}  // namespace rpc

namespace storage {

struct TrackerLinksOptions {
  // `host:port` or `[v6]:port`. Names are looked up with every attempt.
  std::vector<std::string> trackers;

  // What the node says it is; `address` is where clients reach it.
  tracker::v1::NodeIdentity identity;

  std::string cluster_secret;

  // Null: plain text.
  std::shared_ptr<const rpc::Tls> tls;

  // The longest time between two reports. A tracker may ask for more of them.
  absl::Duration report_interval = absl::Seconds(1);

  // An attempt that has not led to a welcome by then is given up.
  absl::Duration handshake_timeout = absl::Seconds(5);

  // Waits between attempts.
  absl::Duration backoff_shortest = absl::Milliseconds(200);
  absl::Duration backoff_longest = absl::Seconds(5);

  // How long Stop() waits for trackers to take its goodbye.
  absl::Duration goodbye_timeout = absl::Seconds(1);
};

// How the node stands with a tracker, for people and metrics.
struct TrackerLinkState {
  std::string tracker;
  bool attached = false;
  absl::Status last_error;  // OK if there was none since it was attached.
};

// Thread-safe.
class TrackerLinks {
 public:
  // Says how the node is. Runs on this object's thread, several times a second
  // at most; NodeReport::stopping is filled in behind it.
  using ReportFn = std::function<tracker::v1::NodeReport()>;

  // Takes the other members of the group as `tracker` sees them, whenever that
  // changed. Runs on a gRPC thread; must not block. May be null.
  using PeersFn = std::function<void(const std::string& tracker,
                                     const tracker::v1::GroupPeers& peers)>;

  // Takes what the node is used for as `tracker` sees it: what operators have
  // decided, else what the node reported. Runs when a tracker said so for the
  // first time since the node is attached there, and whenever that changed, on
  // a gRPC thread, before PeersFn; must not block. Trackers may differ for a
  // moment. May be null.
  using RoleFn = std::function<void(const std::string& tracker,
                                    tracker::v1::NodeRole role)>;

  // `clock` is borrowed and must outlive this.
  TrackerLinks(TrackerLinksOptions options, ReportFn report, PeersFn peers,
               Clock* clock, RoleFn role = nullptr);

  // As Stop().
  ~TrackerLinks();

  TrackerLinks(const TrackerLinks&) = delete;
  TrackerLinks& operator=(const TrackerLinks&) = delete;

  // Begins to attach. Returns at once.
  void Start();

  // Something changed that trackers should know before the next report is due.
  void ReportSoon() ABSL_LOCKS_EXCLUDED(mu_);

  // Tells all trackers that the node stops; they place nothing here from then
  // on, while it finishes what it has. The node stays attached.
  void AnnounceStopping() ABSL_LOCKS_EXCLUDED(mu_);

  // Says goodbye and ends all streams. When it returns nothing runs any more.
  // Call it from one thread.
  void Stop() ABSL_LOCKS_EXCLUDED(mu_);

  // One for each tracker, in the order that they were given in.
  std::vector<TrackerLinkState> States() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  class Link;

  void Run() ABSL_LOCKS_EXCLUDED(mu_);
  tracker::v1::NodeReport MakeReport() ABSL_LOCKS_EXCLUDED(mu_);
  void Wake() ABSL_LOCKS_EXCLUDED(mu_);

  const TrackerLinksOptions options_;
  const ReportFn report_;
  const PeersFn peers_;
  const RoleFn role_;
  Clock* const clock_;

  std::vector<std::unique_ptr<Link>> links_;  // Fixed; each has its own lock.

  // Taken after a link's, never before.
  mutable Mutex mu_;
  CondVar wake_;
  bool woken_ ABSL_GUARDED_BY(mu_) = false;
  bool report_soon_ ABSL_GUARDED_BY(mu_) = false;
  bool announcing_stop_ ABSL_GUARDED_BY(mu_) = false;
  bool stop_ ABSL_GUARDED_BY(mu_) = false;

  std::thread thread_;  // Runs Run(). Joined by Stop().
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_ATTACH_TRACKER_LINKS_H_
