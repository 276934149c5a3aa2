#include "services/standalone/standalone.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cairn/config/storage/v1/storage_config.pb.h"
#include "cairn/config/tracker/v1/tracker_config.pb.h"
#include "lib/base/error_reason.h"
#include "lib/base/host_port.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/config/config.h"
#include "lib/io/file_system.h"

namespace cairn {
namespace standalone {
namespace {

using config::storage::v1::StorageConfig;
using config::tracker::v1::TrackerConfig;

constexpr char kDefaultListen[] = "127.0.0.1:7700";
constexpr int kMetricsOffset = 1;
constexpr int kStorageOffset = 100;
constexpr absl::Duration kAttachTimeout = absl::Seconds(30);
constexpr int kPortMax = 65535 - kStorageOffset - kMetricsOffset;

// The four addresses that follow from one.
struct Addresses {
  std::string tracker;
  std::string tracker_metrics;
  std::string storage;
  std::string storage_metrics;
};

absl::Status InvalidListen(absl::string_view listen, absl::string_view why) {
  return ErrorWithReason(
      absl::StatusCode::kInvalidArgument, ErrorReason::kInvalidField,
      absl::StrCat("listen: `", listen, "` ", why), {{"field", "listen"}});
}

absl::StatusOr<Addresses> AddressesFrom(const std::string& listen) {
  const auto base = ParseHostPort(listen);
  if (!base.ok()) {
    return InvalidListen(listen, "is not host:port or [v6]:port");
  }
  if (base->port > kPortMax) {
    return InvalidListen(listen, absl::StrCat("is above port ", kPortMax,
                                              "; the storage takes the port ",
                                              kStorageOffset, " above it"));
  }
  const auto at = [&](int offset) {
    return JoinHostPort(base->host, base->port == 0 ? 0 : base->port + offset);
  };
  return Addresses{at(0), at(kMetricsOffset), at(kStorageOffset),
                   at(kStorageOffset + kMetricsOffset)};
}

// A wildcard says where to listen, not where others find this machine.
absl::Status CheckReachable(const StandaloneOptions& options,
                            bool files_say_nothing) {
  const auto listen = ParseHostPort(options.listen);
  if (!listen.ok() || !IsWildcard(listen->host)) {
    return absl::OkStatus();
  }
  if (listen->port == 0) {
    return InvalidListen(options.listen,
                         "takes any port, which others cannot know; choose "
                         "one");
  }
  if (options.advertise_host.empty() && files_say_nothing) {
    return InvalidListen(options.listen,
                         "does not say where others reach this machine; add "
                         "--advertise HOST");
  }
  return absl::OkStatus();
}

std::string TrackerFile(const Addresses& addresses) {
  return absl::StrCat(
      "# The tracker inside cairn-standalone. Yours to change; read at every\n"
      "# start. All fields: proto/cairn/config/tracker/v1/"
      "tracker_config.proto\n"
      "\n"
      "name: \"tracker\"\n"
      "listen: \"",
      addresses.tracker, "\"\nmetrics_listen: \"", addresses.tracker_metrics,
      "\"\n"
      "\n"
      "# How uploads and downloads are spread, once there is more than one "
      "node:\n"
      "# policy { node_policy: NODE_POLICY_ROUND_ROBIN }\n");
}

std::string StorageFile(const Addresses& addresses) {
  return absl::StrCat(
      "# The storage inside cairn-standalone. Yours to change; read at every\n"
      "# start. All fields: proto/cairn/config/storage/v1/"
      "storage_config.proto\n"
      "\n"
      "name: \"standalone\"\n"
      "group: \"group1\"  # Is in every file ID: never change it.\n"
      "listen: \"",
      addresses.storage, "\"\nmetrics_listen: \"", addresses.storage_metrics,
      "\"\n"
      "\n"
      "# Files go to storage/path0 beside this file. To use disks of your "
      "own,\n"
      "# say so before the first file is stored, and list them all:\n"
      "# store_paths { directory: \"/mnt/disk1/cairn\" reserve_percent: 5 "
      "}\n"
      "# store_paths { directory: \"/mnt/disk2/cairn\" reserve_percent: 5 "
      "}\n");
}

// What the directory decides and no file has to repeat.
template <typename Config>
absl::Status TakeCluster(const DataDirectory& data, absl::string_view file,
                         Config* config) {
  const std::string cluster_id = data.cluster_id().ToString();
  if (config->cluster_id().empty()) config->set_cluster_id(cluster_id);
  if (config->cluster_id() != cluster_id) {
    return ErrorWithReason(
        absl::StatusCode::kInvalidArgument, ErrorReason::kInvalidField,
        absl::StrCat(file, ": cluster_id: must be ", cluster_id,
                     ", as in the file cluster_id, or left out"),
        {{"field", "cluster_id"}});
  }
  if (config->cluster_secret().empty() &&
      config->cluster_secret_file().empty()) {
    config->set_cluster_secret_file(data.secret_file());
  }
  return absl::OkStatus();
}

template <typename Config>
absl::Status ApplyOverrides(const std::vector<std::string>& overrides,
                            absl::string_view flag, Config* config) {
  for (const std::string& assignment : overrides) {
    CAIRN_RETURN_IF_ERROR(WithContext(ApplyOverride(assignment, config), flag));
  }
  return absl::OkStatus();
}

// `host` with the port that is listened on; a port that is chosen at the start
// cannot be known here, and then the address itself is the best there is.
template <typename Config>
void Advertise(const std::string& host, Config* config) {
  if (host.empty() || config->listen_size() == 0) return;
  const auto listen = ParseHostPort(config->listen(0));
  if (listen.ok() && listen->port != 0) {
    config->set_advertise(JoinHostPort(host, listen->port));
  }
}

// The storage attaches behind its start, and whoever is told that all of it
// serves will ask the tracker at once.
void AwaitAttached(const tracker::TrackerServer& tracker) {
  const absl::Time limit = absl::Now() + kAttachTimeout;
  while (tracker.active_nodes() == 0) {
    if (absl::Now() > limit) {
      CAIRN_LOG(kWarning, "standalone",
                "the storage has not attached to the tracker yet; see the "
                "warnings above");
      return;
    }
    absl::SleepFor(absl::Milliseconds(5));
  }
}

}  // namespace

Standalone::~Standalone() { Stop(); }

absl::StatusOr<std::unique_ptr<Standalone>> Standalone::Start(
    const StandaloneOptions& options) {
  FileSystem* fs = FileSystem::Real();
  CAIRN_ASSIGN_OR_RETURN(
      const Addresses addresses,
      AddressesFrom(options.listen.empty() ? kDefaultListen : options.listen));

  std::unique_ptr<Standalone> standalone(new Standalone);
  CAIRN_ASSIGN_OR_RETURN(
      standalone->data_,
      DataDirectory::Open(fs, options.data_dir,
                          {{"tracker.conf", TrackerFile(addresses)},
                           {"storage.conf", StorageFile(addresses)}}));
  const DataDirectory& data = *standalone->data_;

  TrackerConfig tracker;
  CAIRN_RETURN_IF_ERROR(LoadConfigFile(data.file("tracker.conf"), &tracker));
  StorageConfig storage;
  CAIRN_RETURN_IF_ERROR(LoadConfigFile(data.file("storage.conf"), &storage));
  CAIRN_RETURN_IF_ERROR(CheckReachable(options, tracker.advertise().empty()));
  if (!options.listen.empty()) {
    tracker.clear_listen();
    tracker.add_listen(addresses.tracker);
    tracker.set_metrics_listen(addresses.tracker_metrics);
    storage.clear_listen();
    storage.add_listen(addresses.storage);
    storage.set_metrics_listen(addresses.storage_metrics);
  }
  Advertise(options.advertise_host, &tracker);
  Advertise(options.advertise_host, &storage);
  if (options.allow_plaintext) {
    tracker.set_allow_plaintext(true);
    storage.set_allow_plaintext(true);
  }
  CAIRN_RETURN_IF_ERROR(
      ApplyOverrides(options.tracker_overrides, "--set_tracker", &tracker));
  CAIRN_RETURN_IF_ERROR(
      ApplyOverrides(options.storage_overrides, "--set_storage", &storage));
  CAIRN_RETURN_IF_ERROR(TakeCluster(data, "tracker.conf", &tracker));
  CAIRN_RETURN_IF_ERROR(TakeCluster(data, "storage.conf", &storage));

  if (tracker.data_dir().empty()) tracker.set_data_dir(data.file("tracker"));
  auto tracker_server = tracker::TrackerServer::Start(tracker);
  if (!tracker_server.ok()) {
    return WithContext(tracker_server.status(), "tracker");
  }
  standalone->tracker_ = *std::move(tracker_server);

  if (storage.store_paths_size() == 0) {
    CAIRN_RETURN_IF_ERROR(CreateDirectories(fs, data.file("storage")));
    storage.add_store_paths()->set_directory(data.file("storage/path0"));
  }
  if (storage.trackers_size() == 0) {
    // Inside the machine, whatever others call it.
    storage.add_trackers(standalone->tracker_->addresses().front());
  }
  standalone->tls_ca_file_ = storage.tls().ca_file();
  auto storage_server = storage::StorageServer::Start(storage);
  if (!storage_server.ok()) {
    return WithContext(storage_server.status(), "storage");
  }
  standalone->storage_ = *std::move(storage_server);
  AwaitAttached(*standalone->tracker_);
  return standalone;
}

void Standalone::Stop() {
  if (storage_ != nullptr) storage_->Stop();
  if (tracker_ != nullptr) tracker_->Stop();
}

}  // namespace standalone
}  // namespace cairn
