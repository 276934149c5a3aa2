#include "services/storage/config/storage_config.h"

#include <sys/stat.h>
#include <unistd.h>

#include <set>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/base/uuid.h"
#include "lib/config/cluster_secret.h"
#include "lib/file_id/file_id.h"
#include "lib/rpc/server.h"

namespace cairn {
namespace storage {
namespace {

using config::storage::v1::EngineConfig;
using config::storage::v1::LimitsConfig;
using config::storage::v1::StorePathConfig;

constexpr int kStorePathsMax = 256;
constexpr int64_t kMiB = 1 << 20;

absl::Duration FromProto(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) +
         absl::Nanoseconds(duration.nanos());
}

// Collects everything that is wrong, so that a person mends it in one go.
class Complaints {
 public:
  void Add(absl::string_view field, absl::string_view text) {
    lines_.push_back(absl::StrCat(field, ": ", text));
    if (field_.empty()) field_ = std::string(field);
  }

  void CheckRange(absl::string_view field, int64_t value, int64_t least,
                  int64_t most) {
    if (value >= least && value <= most) return;
    Add(field,
        absl::StrCat(value, " does not lie between ", least, " and ", most));
  }

  void CheckAddress(absl::string_view field, absl::string_view address,
                    bool may_be_zero) {
    const auto parsed = rpc::ParseHostPort(address);
    if (!parsed.ok()) {
      Add(field, absl::StrCat("`", address,
                              "` is not an address; write host:port or "
                              "[v6]:port"));
    } else if (parsed->port == 0 && !may_be_zero) {
      Add(field,
          absl::StrCat("`", address, "` has port 0; others need the real one"));
    }
  }

  absl::Status status() const {
    if (lines_.empty()) return absl::OkStatus();
    return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                           ErrorReason::kInvalidField,
                           absl::StrJoin(lines_, "\n"), {{"field", field_}});
  }

 private:
  std::vector<std::string> lines_;
  std::string field_;
};

bool IsWildcard(absl::string_view address) {
  const auto parsed = rpc::ParseHostPort(address);
  return parsed.ok() && (parsed->host == "0.0.0.0" || parsed->host == "::");
}

std::string HostName() {
  char name[256] = "";
  if (gethostname(name, sizeof(name) - 1) != 0 || name[0] == '\0') {
    return "storage";
  }
  return name;
}

void CheckAddresses(const StorageConfig& config, Complaints* complaints) {
  for (const std::string& address : config.listen()) {
    complaints->CheckAddress("listen", address, /*may_be_zero=*/true);
  }
  if (!config.advertise().empty()) {
    complaints->CheckAddress("advertise", config.advertise(),
                             /*may_be_zero=*/false);
  } else if (config.listen_size() > 0 && IsWildcard(config.listen(0))) {
    complaints->Add("advertise",
                    absl::StrCat("must say where clients reach this node, "
                                 "since it listens on ",
                                 config.listen(0)));
  }
  if (!config.admin_listen().empty()) {
    complaints->CheckAddress("admin_listen", config.admin_listen(), true);
  }
  if (!config.metrics_listen().empty()) {
    complaints->CheckAddress("metrics_listen", config.metrics_listen(), true);
  }
  for (const std::string& address : config.trackers()) {
    complaints->CheckAddress("trackers", address, /*may_be_zero=*/false);
  }
}

void CheckStorePaths(const StorageConfig& config, Complaints* complaints) {
  if (config.store_paths_size() == 0) {
    complaints->Add("store_paths",
                    "name at least one: store_paths { directory: "
                    "\"/var/lib/cairn/path0\" }");
  }
  if (config.store_paths_size() > kStorePathsMax) {
    complaints->Add("store_paths", absl::StrCat("at most ", kStorePathsMax));
  }
  std::set<std::string> seen;
  for (int i = 0; i < config.store_paths_size(); ++i) {
    const StorePathConfig& path = config.store_paths(i);
    const std::string field = absl::StrCat("store_paths[", i, "]");
    if (path.directory().empty() || !absl::StartsWith(path.directory(), "/")) {
      complaints->Add(
          absl::StrCat(field, ".directory"),
          absl::StrCat("`", path.directory(), "` must be an absolute path"));
    } else if (!seen.insert(path.directory()).second) {
      complaints->Add(absl::StrCat(field, ".directory"),
                      absl::StrCat("`", path.directory(),
                                   "` is the directory of another path too"));
    }
    if (path.reserve_bytes() < 0) {
      complaints->Add(absl::StrCat(field, ".reserve_bytes"),
                      "must not be negative");
    }
    if (!(path.reserve_percent() >= 0 && path.reserve_percent() <= 100)) {
      complaints->Add(absl::StrCat(field, ".reserve_percent"),
                      "must lie between 0 and 100");
    }
  }
}

void CheckEngine(const EngineConfig& engine, Complaints* complaints) {
  complaints->CheckRange("engine.small_file_bytes_max",
                         engine.small_file_bytes_max(), 0, 16 * kMiB);
  complaints->CheckRange("engine.segment_bytes", engine.segment_bytes(), kMiB,
                         4096 * kMiB);
  complaints->CheckRange("engine.io_threads", engine.io_threads(), 1, 256);
  complaints->CheckRange("engine.queue_entries_max", engine.queue_entries_max(),
                         1, kMiB);
  complaints->CheckRange("engine.queue_bytes_max", engine.queue_bytes_max(),
                         16 * kMiB, int64_t{1} << 40);
  complaints->CheckRange("engine.block_cache_bytes", engine.block_cache_bytes(),
                         kMiB, int64_t{1} << 40);
  complaints->CheckRange("engine.memtable_bytes", engine.memtable_bytes(), kMiB,
                         4096 * kMiB);
  complaints->CheckRange("engine.checkpoint_journal_bytes",
                         engine.checkpoint_journal_bytes(), kMiB,
                         int64_t{1} << 40);
  complaints->CheckRange("engine.compaction_bytes_per_second",
                         engine.compaction_bytes_per_second(), 1,
                         int64_t{1} << 40);
  complaints->CheckRange("engine.open_segments_max", engine.open_segments_max(),
                         8, kMiB);
  if (!(engine.compaction_dead_share() > 0)) {
    complaints->Add("engine.compaction_dead_share",
                    "must be above 0; write 2 to turn compaction off");
  }
  if (FromProto(engine.tombstone_retention()) <= absl::ZeroDuration()) {
    complaints->Add("engine.tombstone_retention", "must be above 0");
  }
}

}  // namespace

StorageConfig WithDefaults(StorageConfig config) {
  if (config.name().empty()) config.set_name(HostName());
  if (config.group().empty()) config.set_group("group1");
  if (config.listen_size() == 0) config.add_listen("127.0.0.1:7800");
  if (config.role() == tracker::v1::NODE_ROLE_UNSPECIFIED) {
    config.set_role(tracker::v1::NODE_ROLE_READ_WRITE);
  }
  if (config.weight() == 0) config.set_weight(100);
  if (config.path_policy() == tracker::v1::PATH_POLICY_UNSPECIFIED) {
    config.set_path_policy(tracker::v1::PATH_POLICY_ROUND_ROBIN);
  }

  EngineConfig* const engine = config.mutable_engine();
  if (!engine->has_small_file_bytes_max()) {
    engine->set_small_file_bytes_max(kMiB);
  }
  if (engine->segment_bytes() == 0) engine->set_segment_bytes(256 * kMiB);
  if (engine->io_threads() == 0) engine->set_io_threads(4);
  if (engine->queue_entries_max() == 0) engine->set_queue_entries_max(16384);
  if (engine->queue_bytes_max() == 0) engine->set_queue_bytes_max(64 * kMiB);
  if (engine->block_cache_bytes() == 0) {
    engine->set_block_cache_bytes(64 * kMiB);
  }
  if (engine->memtable_bytes() == 0) engine->set_memtable_bytes(32 * kMiB);
  if (engine->checkpoint_journal_bytes() == 0) {
    engine->set_checkpoint_journal_bytes(256 * kMiB);
  }
  if (!engine->has_compaction_dead_share()) {
    engine->set_compaction_dead_share(0.5);
  }
  if (engine->compaction_bytes_per_second() == 0) {
    engine->set_compaction_bytes_per_second(32 * kMiB);
  }
  if (engine->open_segments_max() == 0) engine->set_open_segments_max(512);
  if (!engine->has_tombstone_retention()) {
    engine->mutable_tombstone_retention()->set_seconds(24 * 3600);
  }

  LimitsConfig* const limits = config.mutable_limits();
  if (limits->body_bytes_max() == 0) limits->set_body_bytes_max(256 * kMiB);
  if (limits->rpc_bytes_max() == 0) limits->set_rpc_bytes_max(512 * kMiB);
  if (limits->streams_per_connection_max() == 0) {
    limits->set_streams_per_connection_max(1024);
  }
  if (config.log_level().empty()) config.set_log_level("info");
  if (config.log_format().empty()) config.set_log_format("text");
  if (!config.has_stop_grace()) config.mutable_stop_grace()->set_seconds(10);
  return config;
}

absl::Status ValidateConfig(const StorageConfig& config) {
  Complaints complaints;
  const absl::Status group = ValidateGroupName(config.group());
  if (!group.ok()) complaints.Add("group", group.message());
  const auto cluster_id = Uuid::Parse(config.cluster_id());
  if (!cluster_id.ok() || cluster_id->is_nil()) {
    complaints.Add("cluster_id",
                   "must be the cluster's UUID, the same everywhere; make one "
                   "with `uuidgen`");
  }
  if (config.cluster_secret().empty() == config.cluster_secret_file().empty()) {
    complaints.Add("cluster_secret_file",
                   "set either this or cluster_secret; make a secret with "
                   "`openssl rand -base64 32`");
  }
  CheckAddresses(config, &complaints);
  CheckStorePaths(config, &complaints);
  CheckEngine(config.engine(), &complaints);
  complaints.CheckRange("weight", config.weight(), 1, 1000);
  if (!tracker::v1::NodeRole_IsValid(config.role())) {
    complaints.Add("role", "is no NodeRole");
  }
  if (!tracker::v1::PathPolicy_IsValid(config.path_policy())) {
    complaints.Add("path_policy", "is no PathPolicy");
  }
  complaints.CheckRange("limits.body_bytes_max",
                        config.limits().body_bytes_max(), 16 * kMiB,
                        int64_t{1} << 40);
  complaints.CheckRange("limits.rpc_bytes_max", config.limits().rpc_bytes_max(),
                        64 * kMiB, int64_t{1} << 40);
  complaints.CheckRange("limits.streams_per_connection_max",
                        config.limits().streams_per_connection_max(), 1,
                        1000000);
  const absl::Duration grace = FromProto(config.stop_grace());
  if (grace < absl::ZeroDuration() || grace > absl::Hours(1)) {
    complaints.Add("stop_grace", "must lie between 0 and 1 h");
  }
  static const auto* const kLevels =
      new std::set<std::string>{"debug", "info", "warning", "error"};
  if (kLevels->count(config.log_level()) == 0) {
    complaints.Add("log_level", "must be debug, info, warning or error");
  }
  if (config.log_format() != "text" && config.log_format() != "json") {
    complaints.Add("log_format", "must be text or json");
  }
  return complaints.status();
}

absl::StatusOr<std::string> ReadClusterSecret(const StorageConfig& config,
                                              FileSystem* fs) {
  return cairn::ReadClusterSecret(config.cluster_secret(),
                                  config.cluster_secret_file(), fs);
}

}  // namespace storage
}  // namespace cairn
