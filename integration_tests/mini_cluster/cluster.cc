#include "integration_tests/mini_cluster/cluster.h"

#include <sys/stat.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "lib/base/check.h"
#include "lib/base/mutex.h"
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

// Which process is which daemon. Thread-safe.
class MiniCluster::Names {
 public:
  void Set(const std::string& name, int pid) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    pids_[name] = pid;
  }

  // Of the process that has this connection; empty if it is none of them.
  std::string NameOf(uint16_t source_port, uint16_t target_port) const
      ABSL_LOCKS_EXCLUDED(mu_) {
    std::map<int, std::string> names;
    {
      MutexLock lock(&mu_);
      for (const auto& [name, pid] : pids_) names[pid] = name;
    }
    const absl::optional<int> pid =
        ProcessOfConnection(source_port, target_port, names);
    return pid.has_value() ? names[*pid] : "";
  }

 private:
  mutable Mutex mu_;
  std::map<std::string, int> pids_ ABSL_GUARDED_BY(mu_);
};

Daemon::Daemon(std::string program, std::string folder, std::string config)
    : program_(Runfile(program)),
      folder_(MadeFolder(std::move(folder))),
      config_(std::move(config)) {}

std::string Daemon::name() const {
  return folder_.substr(folder_.rfind('/') + 1);
}
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
  if (on_launch_ != nullptr) on_launch_(process_->pid());
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

MiniCluster::MiniCluster()
    : folder_(MakeTempFolder("cluster")), names_(std::make_shared<Names>()) {
  std::ofstream(secret_file()) << kClusterSecret << "\n";
  CAIRN_CHECK(chmod(secret_file().c_str(), 0600) == 0);
}

std::string MiniCluster::secret_file() const {
  return absl::StrCat(folder_, "/secret");
}

const char* MiniCluster::cluster_secret() { return kClusterSecret; }

const char* MiniCluster::cluster_id() { return kClusterId; }

// Its target is set when that is known.
absl::StatusOr<std::unique_ptr<TcpProxy>> MiniCluster::MakeLink() {
  // The proxy's thread may ask for its port before Start() has returned it.
  const auto port = std::make_shared<std::atomic<uint16_t>>(0);
  CAIRN_ASSIGN_OR_RETURN(
      std::unique_ptr<TcpProxy> link,
      TcpProxy::Start([names = names_, port](uint16_t source_port) {
        return names->NameOf(source_port, *port);
      }));
  *port = link->port();
  return link;
}

void MiniCluster::Name(Daemon* daemon) {
  daemon->SetOnLaunch([names = names_, name = daemon->name()](int pid) {
    names->Set(name, pid);
  });
}

absl::StatusOr<std::unique_ptr<MiniCluster>> MiniCluster::Start(
    const ClusterOptions& options) {
  std::unique_ptr<MiniCluster> cluster(new MiniCluster);
  cluster->members_ = static_cast<size_t>(options.members);
  cluster->proxies_ = options.proxies;
  cluster->tracker_config_ = options.tracker_config;
  for (int i = 0; options.proxies && i < options.trackers; ++i) {
    CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<TcpProxy> link, cluster->MakeLink());
    cluster->tracker_links_.push_back(std::move(link));
  }
  for (int i = 0; i < options.trackers; ++i) {
    std::string config;
    for (int other = 0; options.proxies && other < options.trackers; ++other) {
      absl::StrAppend(&config, other == i ? "advertise" : "trackers", ": \"",
                      cluster->tracker_links_[other]->address(), "\"\n");
    }
    Daemon* const tracker = cluster->MakeTracker(config);
    if (i == 0 && !options.tracker_data.empty()) {
      std::filesystem::copy(options.tracker_data, tracker->folder() + "/data",
                            std::filesystem::copy_options::recursive);
    }
    CAIRN_RETURN_IF_ERROR(tracker->Start());
    if (options.proxies)
      cluster->tracker_link(i)->SetTarget(tracker->address());
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

// The next one. It is not started.
Daemon* MiniCluster::MakeTracker(const std::string& more_config) {
  const std::string name = absl::StrCat("tracker", trackers_.size());
  const std::string folder = absl::StrCat(folder_, "/", name);
  trackers_.push_back(std::make_unique<Daemon>(
      "services/tracker/cairn-tracker", folder,
      absl::StrCat(CommonConfig(name), "data_dir: \"", folder, "/data\"\n",
                   tracker_config_, more_config)));
  Name(trackers_.back().get());
  return trackers_.back().get();
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
  if (proxies_) {
    CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<TcpProxy> link, MakeLink());
    absl::StrAppend(&text, "advertise: \"", link->address(), "\"\n");
    links_.push_back(std::move(link));
  }
  storages_.push_back(std::make_unique<Daemon>("services/storage/cairn-storage",
                                               absl::StrCat(folder_, "/", name),
                                               std::move(text)));
  Daemon* const storage = storages_.back().get();
  Name(storage);
  CAIRN_RETURN_IF_ERROR(storage->Start());
  if (proxies_) links_.back()->SetTarget(storage->address());
  return storage;
}

std::string MiniCluster::path_folder(int storage, int path) const {
  return absl::StrCat(folder_, "/storage", storage, "/path", path);
}

std::vector<std::string> MiniCluster::tracker_addresses() const {
  std::vector<std::string> addresses;
  for (size_t i = 0; i < trackers_.size(); ++i) {
    addresses.push_back(proxies_ ? tracker_links_[i]->address()
                                 : trackers_[i]->address());
  }
  return addresses;
}

std::vector<std::string> MiniCluster::storage_addresses() const {
  std::vector<std::string> addresses;
  for (const auto& storage : storages_) addresses.push_back(storage->address());
  return addresses;
}

void MiniCluster::HealLinks() {
  for (const auto& link : links_) link->Heal();
  for (const auto& link : tracker_links_) link->Heal();
}

}  // namespace testing
}  // namespace cairn
