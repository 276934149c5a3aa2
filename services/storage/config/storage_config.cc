#include "services/storage/config/storage_config.h"

#include <unistd.h>

#include <algorithm>
#include <set>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "lib/config/complaints.h"
#include "lib/config/daemon_config.h"
#include "lib/file_id/file_id.h"

namespace cairn {
namespace storage {
namespace {

using config::storage::v1::EngineConfig;
using config::storage::v1::LimitsConfig;
using config::storage::v1::StorePathConfig;
using config::storage::v1::UpkeepConfig;

constexpr int kStorePathsMax = 256;
constexpr int64_t kMiB = 1 << 20;

std::string HostName() {
  char name[256] = "";
  if (gethostname(name, sizeof(name) - 1) != 0 || name[0] == '\0') {
    return "storage";
  }
  return name;
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
  complaints->CheckRange("engine.dedup_min_bytes", engine.dedup_min_bytes(), 1,
                         int64_t{1} << 40);
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
  if (FromProto(engine.request_retention()) <= absl::ZeroDuration()) {
    complaints->Add("engine.request_retention", "must be above 0");
  }
  if (FromProto(engine.upload_lifetime()) <= absl::ZeroDuration()) {
    complaints->Add("engine.upload_lifetime", "must be above 0");
  }
  if (FromProto(engine.expiry_grace()) < absl::ZeroDuration()) {
    complaints->Add("engine.expiry_grace", "must not be negative");
  }
  if (FromProto(engine.undelete_window()) < absl::ZeroDuration() ||
      FromProto(engine.undelete_window()) > absl::Hours(24 * 365)) {
    complaints->Add("engine.undelete_window", "must be 0 to 365 days");
  }
  complaints->CheckRange("engine.uploads_open_max", engine.uploads_open_max(),
                         1, kMiB);
  complaints->CheckRange("engine.upload_bytes_open_max",
                         engine.upload_bytes_open_max(), kMiB,
                         int64_t{1} << 56);
  if (FromProto(engine.log_retention()) <
      FromProto(engine.request_retention())) {
    complaints->Add("engine.log_retention",
                    "must be at least engine.request_retention, since the log "
                    "says what a request_id did");
  }
  if (FromProto(engine.log_retention_longest()) <
      FromProto(engine.log_retention())) {
    complaints->Add("engine.log_retention_longest",
                    "must be at least engine.log_retention");
  }
}

void CheckUpkeep(const UpkeepConfig& upkeep, Complaints* complaints) {
  complaints->CheckRange("upkeep.scrub_bytes_per_second",
                         upkeep.scrub_bytes_per_second(), 0, int64_t{1} << 40);
  if (FromProto(upkeep.scrub_pause()) < absl::ZeroDuration()) {
    complaints->Add("upkeep.scrub_pause", "must not be negative");
  }
  if (FromProto(upkeep.comparison_interval()) < absl::ZeroDuration()) {
    complaints->Add("upkeep.comparison_interval",
                    "must not be negative; 0 turns comparisons off");
  }
  complaints->CheckRange("upkeep.comparison_names_per_second",
                         upkeep.comparison_names_per_second(), 1, 1000000000);
}

}  // namespace

StorageConfig WithDefaults(StorageConfig config) {
  SetDaemonDefaults(HostName(), "127.0.0.1:7800", absl::Seconds(10), &config);
  if (config.group().empty()) config.set_group("group1");
  if (config.role() == tracker::v1::NODE_ROLE_UNSPECIFIED) {
    config.set_role(tracker::v1::NODE_ROLE_READ_WRITE);
  }
  if (config.weight() == 0) config.set_weight(100);
  if (config.path_policy() == tracker::v1::PATH_POLICY_UNSPECIFIED) {
    config.set_path_policy(tracker::v1::PATH_POLICY_ROUND_ROBIN);
  }

  if (config.default_replicas() == 0) config.set_default_replicas(2);
  if (!config.has_replica_patience()) {
    config.mutable_replica_patience()->set_seconds(2);
  }

  EngineConfig* const engine = config.mutable_engine();
  if (!engine->has_small_file_bytes_max()) {
    engine->set_small_file_bytes_max(kMiB);
  }
  if (engine->dedup_min_bytes() == 0) engine->set_dedup_min_bytes(64 << 10);
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
  if (!engine->has_request_retention()) {
    engine->mutable_request_retention()->set_seconds(24 * 3600);
  }
  if (!engine->has_log_retention()) {
    *engine->mutable_log_retention() = engine->request_retention();
  }
  if (!engine->has_log_retention_longest()) {
    engine->mutable_log_retention_longest()->set_seconds(std::max<int64_t>(
        7 * 24 * 3600, engine->log_retention().seconds() + 1));
  }
  if (!engine->has_upload_lifetime()) {
    engine->mutable_upload_lifetime()->set_seconds(24 * 3600);
  }
  if (!engine->has_expiry_grace()) {
    engine->mutable_expiry_grace()->set_seconds(24 * 3600);
  }
  if (!engine->has_undelete_window()) {
    engine->mutable_undelete_window()->set_seconds(24 * 3600);
  }
  if (engine->uploads_open_max() == 0) engine->set_uploads_open_max(1000);
  if (engine->upload_bytes_open_max() == 0) {
    engine->set_upload_bytes_open_max(int64_t{1} << 40);
  }

  UpkeepConfig* const upkeep = config.mutable_upkeep();
  if (!upkeep->has_scrub_bytes_per_second()) {
    upkeep->set_scrub_bytes_per_second(8 * kMiB);
  }
  if (!upkeep->has_scrub_pause()) {
    upkeep->mutable_scrub_pause()->set_seconds(7 * 24 * 3600);
  }
  if (!upkeep->has_comparison_interval()) {
    upkeep->mutable_comparison_interval()->set_seconds(3600);
  }
  if (upkeep->comparison_names_per_second() == 0) {
    upkeep->set_comparison_names_per_second(20000);
  }

  LimitsConfig* const limits = config.mutable_limits();
  if (limits->body_bytes_max() == 0) limits->set_body_bytes_max(256 * kMiB);
  if (limits->rpc_bytes_max() == 0) limits->set_rpc_bytes_max(512 * kMiB);
  if (limits->streams_per_connection_max() == 0) {
    limits->set_streams_per_connection_max(1024);
  }
  return config;
}

absl::Status ValidateConfig(const StorageConfig& config) {
  Complaints complaints;
  const absl::Status group = ValidateGroupName(config.group());
  if (!group.ok()) complaints.Add("group", group.message());
  CheckDaemonConfig(config, &complaints);
  CheckStorePaths(config, &complaints);
  CheckEngine(config.engine(), &complaints);
  CheckUpkeep(config.upkeep(), &complaints);
  complaints.CheckRange("weight", config.weight(), 1, 1000);
  complaints.CheckRange("default_replicas", config.default_replicas(), 1, 32);
  if (FromProto(config.replica_patience()) < absl::ZeroDuration()) {
    complaints.Add("replica_patience", "must not be negative");
  }
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
  return complaints.status();
}

}  // namespace storage
}  // namespace cairn
