// A cluster of real processes in a temporary folder: trackers and storages with
// configurations of their own, on free ports of 127.0.0.1.
//
//   <folder>/tracker0/{config,log,ready,data/}
//   <folder>/storage0/{config,log,ready,path0/,path1/,…}
//
// With `proxies` everybody is reached through a TcpProxy, by other daemons and
// by clients alike, so that links can be hurt:
//
//   storage1 ──▶ link(0) ──▶ storage0 ──▶ tracker_link(0) ──▶ tracker0
//
// A link's sources are the daemons' names; "" is the test itself.
//
// Whatever runs ends with the object. For the test's main thread.

#ifndef CAIRN_INTEGRATION_TESTS_MINI_CLUSTER_CLUSTER_H_
#define CAIRN_INTEGRATION_TESTS_MINI_CLUSTER_CLUSTER_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "integration_tests/mini_cluster/process.h"
#include "integration_tests/mini_cluster/tcp_proxy.h"

namespace cairn {
namespace testing {

// A daemon that can be stopped and started again with the same data. The first
// start takes a free port, later ones the same, so that callers find it again.
class Daemon {
 public:
  // `program` is a runfile. `config` is the text of the configuration without
  // `listen`. `folder` is made. Nothing is started.
  Daemon(std::string program, std::string folder, std::string config);

  // Launch() and AwaitReady().
  absl::Status Start(const std::vector<std::string>& flags = {});

  // Starts it without waiting. `flags` come behind --config and --ready_file.
  absl::Status Launch(const std::vector<std::string>& flags = {});

  // Waits until what Launch() started is ready.
  //   FAILED_PRECONDITION  it ended instead; how, and the end of its log, is in
  //                        the message.
  absl::Status AwaitReady();

  // Kill() and Start().
  absl::Status KillAndRestart(const std::vector<std::string>& flags = {});

  // SIGKILL, and waits until it is gone.
  void Kill() { process_->Kill(); }

  absl::StatusOr<ExitStatus> Terminate() { return process_->Terminate(); }

  // What runs or ran last. Launch() first.
  Process* process() { return process_.get(); }

  // Where it serves; empty before it was ready for the first time.
  const std::string& address() const { return address_; }

  // The last part of its folder.
  std::string name() const;

  const std::string& folder() const { return folder_; }
  const std::string& program() const { return program_; }
  std::string config_file() const;

  // Where it is to listen from the next start on; port 0 takes a free one.
  void SetListen(std::string listen) { address_ = std::move(listen); }

  // Runs with each new process, before it can have done anything.
  void SetOnLaunch(std::function<void(int pid)> on_launch) {
    on_launch_ = std::move(on_launch);
  }

 private:
  std::string ready_file() const;

  const std::string program_;
  const std::string folder_;
  const std::string config_;
  std::function<void(int pid)> on_launch_;
  std::string address_;
  std::unique_ptr<Process> process_;
};

struct ClusterOptions {
  int trackers = 1;
  int storages = 1;
  int members = 1;  // Of each group: the first storages are group1, and so on.
  int paths = 1;    // Store paths of each storage.

  // Text that is added to every storage's, or tracker's, configuration.
  std::string storage_config = "";
  std::string tracker_config = "";

  // A directory whose content tracker 0 begins with. Empty: with nothing.
  std::string tracker_data = "";

  // A proxy before each daemon. Trackers know each other then.
  bool proxies = false;
};

class MiniCluster {
 public:
  // Starts everything and waits until all is ready.
  static absl::StatusOr<std::unique_ptr<MiniCluster>> Start(
      const ClusterOptions& options = {});

  MiniCluster(const MiniCluster&) = delete;
  MiniCluster& operator=(const MiniCluster&) = delete;

  // Starts one more storage, of the group that is not full yet, on these store
  // paths.
  // `config` is added to its configuration.
  absl::StatusOr<Daemon*> AddStorage(const std::vector<std::string>& paths,
                                     const std::string& config = "");

  Daemon* tracker(int index = 0) { return trackers_.at(index).get(); }
  Daemon* storage(int index = 0) { return storages_.at(index).get(); }
  int storages() const { return static_cast<int>(storages_.size()); }
  int trackers() const { return static_cast<int>(trackers_.size()); }

  // The way to a daemon; only with `proxies`.
  TcpProxy* link(int storage) { return links_.at(storage).get(); }
  TcpProxy* tracker_link(int tracker) {
    return tracker_links_.at(tracker).get();
  }

  // No link has faults any more.
  void HealLinks();

  // The directory of a store path.
  std::string path_folder(int storage = 0, int path = 0) const;

  const std::string& folder() const { return folder_; }

  // As `cairn --secret-file` wants it.
  std::string secret_file() const;

  // Of every cluster here.
  static const char* cluster_secret();
  static const char* cluster_id();

  // As clients and storages know them.
  std::vector<std::string> tracker_addresses() const;

  // Where the storage serves, not through its link.
  std::vector<std::string> storage_addresses() const;

 private:
  class Names;

  MiniCluster();

  absl::StatusOr<std::unique_ptr<TcpProxy>> MakeLink();
  void Name(Daemon* daemon);
  Daemon* MakeTracker(const std::string& more_config);

  const std::string folder_;
  const std::shared_ptr<Names> names_;
  size_t members_ = 1;  // Of each group.
  bool proxies_ = false;
  std::string tracker_config_;
  std::vector<std::unique_ptr<Daemon>> trackers_;
  std::vector<std::unique_ptr<Daemon>> storages_;
  std::vector<std::unique_ptr<TcpProxy>> tracker_links_;  // As trackers_.
  std::vector<std::unique_ptr<TcpProxy>> links_;          // As storages_.
};

}  // namespace testing
}  // namespace cairn

#endif  // CAIRN_INTEGRATION_TESTS_MINI_CLUSTER_CLUSTER_H_
