// A cluster of real processes in a temporary folder: trackers and storages with
// configurations of their own, on free ports of 127.0.0.1.
//
//   <folder>/tracker0/{config,log,ready,data/}
//   <folder>/storage0/{config,log,ready,path0/,path1/,…}
//
// Whatever runs ends with the object. For the test's main thread.

#ifndef CAIRN_INTEGRATION_TESTS_MINI_CLUSTER_CLUSTER_H_
#define CAIRN_INTEGRATION_TESTS_MINI_CLUSTER_CLUSTER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "integration_tests/mini_cluster/process.h"

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

  const std::string& folder() const { return folder_; }
  const std::string& program() const { return program_; }
  std::string config_file() const;

 private:
  std::string ready_file() const;

  const std::string program_;
  const std::string folder_;
  const std::string config_;
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

  // The directory of a store path.
  std::string path_folder(int storage = 0, int path = 0) const;

  const std::string& folder() const { return folder_; }
  std::vector<std::string> tracker_addresses() const;

 private:
  MiniCluster();

  const std::string folder_;
  size_t members_ = 1;  // Of each group.
  std::vector<std::unique_ptr<Daemon>> trackers_;
  std::vector<std::unique_ptr<Daemon>> storages_;
};

}  // namespace testing
}  // namespace cairn

#endif  // CAIRN_INTEGRATION_TESTS_MINI_CLUSTER_CLUSTER_H_
