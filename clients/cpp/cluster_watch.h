// Follows the cluster through whichever tracker answers.

#ifndef CAIRN_CLIENTS_CPP_CLUSTER_WATCH_H_
#define CAIRN_CLIENTS_CPP_CLUSTER_WATCH_H_

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "lib/base/mutex.h"
#include "lib/placement/cluster_model.h"

namespace grpc {
class ClientContext;
}  // namespace grpc

namespace cairn {
namespace rpc {
class Tls;
}  // namespace rpc

namespace client {

// Thread-safe. One thread watches: the tracker that answered last, and when it
// breaks off the next of all that are known (those that were given and those
// that the view names), in turn. While none answers the last view stays.
class ClusterWatch {
 public:
  using OnView = std::function<void(std::shared_ptr<const ClusterModel>)>;

  // `tls` may be null, for plain text. `on_view` runs on the watching thread
  // with every new view.
  ClusterWatch(std::vector<std::string> trackers,
               std::shared_ptr<const rpc::Tls> tls, OnView on_view);

  // As Stop().
  ~ClusterWatch();

  // Waits for the first view.
  //   UNAVAILABLE  none came in time; the message has each tracker's answer.
  absl::Status WaitForView(absl::Duration timeout) ABSL_LOCKS_EXCLUDED(mu_);

  // Ends the thread. `on_view` does not run afterwards.
  void Stop() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  class Follower;

  void Run() ABSL_LOCKS_EXCLUDED(mu_);

  // Watches one tracker until it breaks off. True if it sent a view.
  bool Follow(const std::string& tracker, absl::Status* end)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Returns early, with false, if Stop() was called.
  bool Pause(absl::Duration duration) ABSL_LOCKS_EXCLUDED(mu_);

  const std::shared_ptr<const rpc::Tls> tls_;
  const OnView on_view_;

  // Used by the watching thread only.
  std::vector<std::string> trackers_;
  const std::unique_ptr<Follower> follower_;

  Mutex mu_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  bool has_view_ ABSL_GUARDED_BY(mu_) = false;
  grpc::ClientContext* context_ ABSL_GUARDED_BY(mu_) = nullptr;
  std::vector<std::string> failures_ ABSL_GUARDED_BY(mu_);  // Until a view.

  std::thread thread_;
};

}  // namespace client
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CPP_CLUSTER_WATCH_H_
