#include "services/storage/node_identity.h"

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "lib/base/error_reason.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/base/uuid.h"
#include "lib/config/daemon_config.h"
#include "services/storage/store/identity.h"

namespace cairn {
namespace storage {
namespace {

absl::Status Conflict(const std::string& field, const std::string& what) {
  return ErrorWithReason(absl::StatusCode::kFailedPrecondition,
                         ErrorReason::kInvalidField,
                         absl::StrCat(field, ": ", what), {{"field", field}});
}

// 0 means "none" in places.
uint32_t MakeNodeNumber() {
  uint32_t number = 0;
  while (number == 0) number = RandomUint32();
  return number;
}

}  // namespace

absl::StatusOr<NodeIdentity> FindOrMakeNodeIdentity(
    const config::storage::v1::StorageConfig& config, FileSystem* fs) {
  NodeIdentity out;
  out.name = config.name();
  out.group = config.group();
  CAIRN_ASSIGN_OR_RETURN(out.cluster_id, Uuid::Parse(config.cluster_id()));

  std::string found_on;
  absl::Status unreadable;
  for (int i = 0; i < config.store_paths_size(); ++i) {
    const std::string field = absl::StrCat("store_paths[", i, "].directory");
    const std::string& directory = config.store_paths(i).directory();
    const absl::StatusOr<absl::optional<Identity>> read =
        ReadIdentity(fs, directory);
    if (!read.ok()) {
      // Another path may say who the node is; this one will be offline.
      unreadable = WithContext(read.status(), field);
      continue;
    }
    if (!read->has_value()) continue;
    const Identity& identity = **read;
    if (identity.cluster_id != out.cluster_id) {
      return Conflict(field, absl::StrCat(directory, " belongs to the cluster ",
                                          identity.cluster_id.ToString(),
                                          ", and cluster_id says ",
                                          out.cluster_id.ToString()));
    }
    if (identity.group != out.group) {
      return Conflict(
          field, absl::StrCat(directory, " belongs to the group ",
                              identity.group, ", and group says ", out.group));
    }
    if (identity.path_index != static_cast<uint32_t>(i)) {
      return Conflict(
          field, absl::StrCat(directory, " is store path ", identity.path_index,
                              " of its node; put it there in the list again"));
    }
    if (found_on.empty()) {
      out.node_uuid = identity.node_uuid;
      out.node_number = identity.node_number;
      found_on = directory;
    } else if (identity.node_uuid != out.node_uuid) {
      return Conflict(
          field, absl::StrCat(directory, " belongs to the node ",
                              identity.node_uuid.ToString(), ", and ", found_on,
                              " to ", out.node_uuid.ToString(),
                              ": one of the two is another machine's disk"));
    }
  }
  if (!found_on.empty()) return out;
  CAIRN_RETURN_IF_ERROR(unreadable);
  out.node_uuid = Uuid::Random();
  out.node_number = MakeNodeNumber();
  CAIRN_LOG(kInfo, "storage", "a new node node_uuid={} node_number={}",
            out.node_uuid, out.node_number);
  return out;
}

StorePathOptions OptionsOfPath(const config::storage::v1::StorageConfig& config,
                               const NodeIdentity& identity, int index) {
  const auto& path = config.store_paths(index);
  const auto& engine = config.engine();
  StorePathOptions out;
  out.directory = path.directory();
  out.cluster_id = identity.cluster_id;
  out.group = identity.group;
  out.node_uuid = identity.node_uuid;
  out.node_number = identity.node_number;
  out.path_index = static_cast<uint32_t>(index);
  out.reserve_bytes = path.reserve_bytes();
  out.reserve_percent = path.reserve_percent();
  out.read_only = path.read_only();
  out.small_file_bytes_max = engine.small_file_bytes_max();
  out.dedup_bytes_min = engine.dedup_min_bytes();
  out.segment_bytes = engine.segment_bytes();
  out.io_threads = engine.io_threads();
  out.queue_entries_max = static_cast<size_t>(engine.queue_entries_max());
  out.queue_bytes_max = engine.queue_bytes_max();
  out.block_cache_bytes = engine.block_cache_bytes();
  out.memtable_bytes = engine.memtable_bytes();
  out.checkpoint_journal_bytes = engine.checkpoint_journal_bytes();
  out.compaction_dead_share = engine.compaction_dead_share();
  out.compaction_bytes_per_second = engine.compaction_bytes_per_second();
  out.open_segments_max = static_cast<size_t>(engine.open_segments_max());
  out.tombstone_retention = FromProto(engine.tombstone_retention());
  out.expiry_grace = FromProto(engine.expiry_grace());
  out.undelete_window = FromProto(engine.undelete_window());
  out.request_retention = FromProto(engine.request_retention());
  out.log_retention = FromProto(engine.log_retention());
  out.log_retention_longest = FromProto(engine.log_retention_longest());
  out.upload_lifetime = FromProto(engine.upload_lifetime());
  out.uploads_open_max = engine.uploads_open_max();
  out.upload_bytes_open_max = engine.upload_bytes_open_max();
  return out;
}

}  // namespace storage
}  // namespace cairn
