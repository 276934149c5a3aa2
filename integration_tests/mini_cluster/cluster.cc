#include "integration_tests/mini_cluster/cluster.h"

#include <sys/stat.h>

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "lib/base/check.h"
#include "lib/base/status_macros.h"

namespace cairn {
namespace testing {
namespace {

// Of every cluster here. Not secret: nothing listens beyond loopback.
constexpr char kClusterId[] = "3c1a1f0e-8f5b-4c44-9d0a-6f1d8a0b7e21";
constexpr char kClusterSecret[] = "a secret for tests alone";

std::string MadeFolder(std::string folder) {
  CAIRN_CHECK_MSG(mkdir(folder.c_str(), 0755) == 0, folder);
  return folder;
}

std::string CommonConfig(const std::string& name) {
  return absl::StrCat("name: \"", name, "\"\ncluster_id: \"", kClusterId,
                      "\"\ncluster_secret: \"", kClusterSecret, "\"\n");
}

}  // namespace

Daemon::Daemon(std::string program, std::string folder, std::string config)
    : program_(Runfile(program)),
      folder_(MadeFolder(std::move(folder))),
      config_(std::move(config)) {}

std::string Daemon::config_file() const {
  return absl::StrCat(folder_, "/config");
}
std::string Daemon::ready_file() const {
  return absl::StrCat(folder_, "/ready");
}

absl::Status Daemon::Start(const std::vector<std::string>& flags) {
  CAIRN_RETURN_IF_ERROR(Launch(flags));
  return AwaitReady();
}

absl::Status Daemon::KillAndRestart(const std::vector<std::string>& flags) {
  Kill();
  return Start(flags);
}

absl::Status Daemon::Launch(const std::vector<std::string>& flags) {
  std::remove(ready_file().c_str());
  const std::string listen = address_.empty() ? "127.0.0.1:0" : address_;
  std::ofstream(config_file()) << "listen: \"" << listen << "\"\n" << config_;
  std::vector<std::string> arguments = {
      absl::StrCat("--config=", config_file()),
      absl::StrCat("--ready_file=", ready_file())};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  CAIRN_ASSIGN_OR_RETURN(process_,
                         Process::Start({program_, std::move(arguments),
                                         absl::StrCat(folder_, "/log")}));
  return absl::OkStatus();
}

absl::Status Daemon::AwaitReady() {
  CAIRN_ASSIGN_OR_RETURN(const std::string ready,
                         process_->WaitForFile(ready_file()));
  const auto fields = nlohmann::json::parse(ready, nullptr, false);
  if (!fields.is_object() || !fields.contains("listen")) {
    return absl::InternalError(
        absl::StrCat(ready_file(), " names no address: ", ready));
  }
  const std::vector<std::string> addresses =
      absl::StrSplit(fields["listen"].get<std::string>(), ',');
  address_ = addresses[0];
  return absl::OkStatus();
}

MiniCluster::MiniCluster() : folder_(MakeTempFolder("cluster")) {}

absl::StatusOr<std::unique_ptr<MiniCluster>> MiniCluster::Start(
    const ClusterOptions& options) {
  std::unique_ptr<MiniCluster> cluster(new MiniCluster);
  cluster->members_ = static_cast<size_t>(options.members);
  for (int i = 0; i < options.trackers; ++i) {
    const std::string name = absl::StrCat("tracker", i);
    const std::string folder = absl::StrCat(cluster->folder_, "/", name);
    cluster->trackers_.push_back(std::make_unique<Daemon>(
        "services/tracker/cairn-tracker", folder,
        absl::StrCat(CommonConfig(name), "data_dir: \"", folder, "/data\"\n",
                     options.tracker_config)));
    CAIRN_RETURN_IF_ERROR(cluster->trackers_.back()->Start());
  }
  for (int i = 0; i < options.storages; ++i) {
    std::vector<std::string> paths;
    for (int path = 0; path < options.paths; ++path) {
      paths.push_back(cluster->path_folder(i, path));
    }
    CAIRN_RETURN_IF_ERROR(
        cluster->AddStorage(paths, options.storage_config).status());
  }
  return cluster;
}

absl::StatusOr<Daemon*> MiniCluster::AddStorage(
    const std::vector<std::string>& paths, const std::string& config) {
  const std::string name = absl::StrCat("storage", storages_.size());
  std::string text =
      absl::StrCat(CommonConfig(name), "group: \"group",
                   storages_.size() / members_ + 1, "\"\n", config);
  for (const std::string& tracker : tracker_addresses()) {
    absl::StrAppend(&text, "trackers: \"", tracker, "\"\n");
  }
  for (const std::string& path : paths) {
    absl::StrAppend(&text, "store_paths { directory: \"", path, "\" }\n");
  }
  storages_.push_back(std::make_unique<Daemon>("services/storage/cairn-storage",
                                               absl::StrCat(folder_, "/", name),
                                               std::move(text)));
  CAIRN_RETURN_IF_ERROR(storages_.back()->Start());
  return storages_.back().get();
}

std::string MiniCluster::path_folder(int storage, int path) const {
  return absl::StrCat(folder_, "/storage", storage, "/path", path);
}

std::vector<std::string> MiniCluster::tracker_addresses() const {
  std::vector<std::string> addresses;
  for (const auto& tracker : trackers_) addresses.push_back(tracker->address());
  return addresses;
}

}  // namespace testing
}  // namespace cairn
