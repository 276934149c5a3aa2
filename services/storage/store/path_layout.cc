#include "services/storage/store/path_layout.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "lib/base/error_reason.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "services/storage/store/segment_set.h"

namespace cairn {
namespace storage {
namespace {

constexpr const char* kBootIdPath = "/proc/sys/kernel/random/boot_id";

// What a new path consists of before it has an IDENTITY, and what a file system
// may have at its root. LOCK and BALLAST hold nothing of value.
bool MayBeInNewPath(const std::string& name) {
  return name == "LOCK" || name == "index" || name == "segments" ||
         name == "uploads" || name == "IDENTITY.tmp" || name == "lost+found" ||
         name == "BALLAST";
}

absl::Status NotOurs(const std::string& directory, absl::string_view what) {
  return ErrorWithReason(absl::StatusCode::kFailedPrecondition,
                         ErrorReason::kStorePathOffline,
                         absl::StrCat("store path ", directory, " ", what));
}

// OK if nothing of value can be in a directory without IDENTITY.
absl::Status CheckEmpty(FileSystem* fs, const std::string& directory) {
  CAIRN_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                         fs->List(directory));
  for (const std::string& name : names) {
    if (!MayBeInNewPath(name)) {
      return NotOurs(directory,
                     absl::StrCat("has no IDENTITY and is not empty (", name,
                                  "); use an empty directory"));
    }
  }
  if (std::find(names.begin(), names.end(), "segments") == names.end()) {
    return absl::OkStatus();
  }
  SegmentSet segments(fs, directory, 1);
  CAIRN_ASSIGN_OR_RETURN(const std::vector<uint64_t> found, segments.List(0));
  if (!found.empty()) {
    return NotOurs(directory,
                   "has segments but no IDENTITY; restore IDENTITY (see "
                   "docs/formats/identity.md) or use an empty directory");
  }
  return absl::OkStatus();
}

absl::StatusOr<Identity> MakePath(const StorePathOptions& options,
                                  FileSystem* fs, Clock* clock,
                                  const std::string& boot_id) {
  // What an attempt left that did not get as far as IDENTITY.
  CAIRN_RETURN_IF_ERROR(RemoveTree(fs, IndexDirectory(options)));
  SegmentSet segments(fs, options.directory, 1);
  CAIRN_RETURN_IF_ERROR(segments.CreateFolders());

  Identity identity;
  identity.cluster_id = options.cluster_id;
  identity.group = options.group;
  identity.node_uuid = options.node_uuid;
  identity.node_number = options.node_number;
  identity.path_index = options.path_index;
  identity.incarnation = Uuid::Random();

  CAIRN_RETURN_IF_ERROR(fs->CreateDirectory(IndexDirectory(options)));
  IndexOptions index_options = IndexOptionsOf(options);
  index_options.create_if_missing = true;
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<Index> index,
                         Index::Open(index_options, fs, clock));
  disk::v1::IndexState state;
  state.set_format_version(1);
  state.set_incarnation(identity.incarnation.bytes().data(), 16);
  state.set_next_segment(1);
  state.set_epoch(1);
  state.set_log_origin(1);
  state.set_boot_id(boot_id);
  state.set_clean_end(true);
  LogHead own;
  own.origin = 1;
  own.id = LogId{identity.incarnation, 1};
  IndexBatch batch;
  batch.PutState(state);
  batch.PutOrigin(own);
  index->Write(&batch);
  index->Freeze();
  CAIRN_RETURN_IF_ERROR(index->Flush());
  CAIRN_RETURN_IF_ERROR(fs->SyncDirectory(options.directory));
  // Last: with it the path exists.
  CAIRN_RETURN_IF_ERROR(
      WriteIdentity(fs, options.directory, kIdentityFile, identity));
  CAIRN_LOG(kInfo, "store", "made a new store path directory={} incarnation={}",
            options.directory, identity.incarnation);
  return identity;
}

}  // namespace

std::string IndexDirectory(const StorePathOptions& options) {
  return absl::StrCat(options.directory, "/index");
}

IndexOptions IndexOptionsOf(const StorePathOptions& options) {
  IndexOptions index;
  index.directory = IndexDirectory(options);
  index.block_cache_bytes = options.block_cache_bytes;
  index.memtable_bytes = options.memtable_bytes;
  index.request_retention = options.request_retention;
  return index;
}

absl::StatusOr<std::string> BootId(const StorePathOptions& options,
                                   FileSystem* fs) {
  if (!options.boot_id.empty()) return options.boot_id;
  CAIRN_ASSIGN_OR_RETURN(const std::string text,
                         ReadWholeFile(FileSystem::Real(), kBootIdPath, 4096));
  return std::string(absl::StripAsciiWhitespace(text));
}

absl::Status RemoveTree(FileSystem* fs, const std::string& directory) {
  const absl::StatusOr<std::vector<std::string>> names = fs->List(directory);
  if (absl::IsNotFound(names.status())) return absl::OkStatus();
  CAIRN_RETURN_IF_ERROR(names.status());
  for (const std::string& name : *names) {
    const std::string path = absl::StrCat(directory, "/", name);
    CAIRN_ASSIGN_OR_RETURN(const FileStat stat, fs->Stat(path));
    CAIRN_RETURN_IF_ERROR(stat.is_directory ? RemoveTree(fs, path)
                                            : fs->Remove(path));
  }
  return fs->RemoveDirectory(directory);
}

absl::StatusOr<ClaimedPath> ClaimPath(const StorePathOptions& options,
                                      FileSystem* fs, Clock* clock) {
  const std::string& directory = options.directory;
  const absl::Status created = fs->CreateDirectory(directory);
  if (created.ok()) {
    const std::string parent = directory.substr(0, directory.rfind('/'));
    CAIRN_RETURN_IF_ERROR(fs->SyncDirectory(parent.empty() ? "/" : parent));
  } else if (!absl::IsAlreadyExists(created)) {
    return created;
  }
  Identity expected;
  expected.cluster_id = options.cluster_id;
  expected.group = options.group;
  expected.node_uuid = options.node_uuid;
  expected.node_number = options.node_number;
  expected.path_index = options.path_index;

  // Before the lock, so that a directory of others is left as it is.
  CAIRN_ASSIGN_OR_RETURN(absl::optional<Identity> found,
                         ReadIdentity(fs, directory));
  if (found.has_value()) {
    CAIRN_RETURN_IF_ERROR(CheckIdentity(*found, expected, directory));
  } else {
    CAIRN_RETURN_IF_ERROR(CheckEmpty(fs, directory));
  }
  ClaimedPath claimed;
  absl::StatusOr<std::unique_ptr<FileLock>> lock =
      fs->Lock(absl::StrCat(directory, "/LOCK"));
  if (absl::IsFailedPrecondition(lock.status())) {
    return NotOurs(directory, "is in use by another process");
  }
  CAIRN_RETURN_IF_ERROR(lock.status());
  claimed.lock = *std::move(lock);

  // Another process may have been quicker, or may have rebuilt the index.
  CAIRN_RETURN_IF_ERROR(InstallRebuiltIndex(fs, directory));
  CAIRN_ASSIGN_OR_RETURN(found, ReadIdentity(fs, directory));
  if (found.has_value()) {
    CAIRN_RETURN_IF_ERROR(CheckIdentity(*found, expected, directory));
    claimed.identity = *std::move(found);
    return claimed;
  }
  CAIRN_ASSIGN_OR_RETURN(const std::string boot_id, BootId(options, fs));
  CAIRN_ASSIGN_OR_RETURN(claimed.identity,
                         MakePath(options, fs, clock, boot_id));
  return claimed;
}

absl::Status InstallRebuiltIndex(FileSystem* fs, const std::string& directory) {
  const std::string identity = absl::StrCat(directory, "/IDENTITY");
  const std::string new_identity =
      absl::StrCat(directory, "/", kNewIdentityFile);
  const std::string index = absl::StrCat(directory, "/index");
  const std::string new_index = absl::StrCat(directory, "/", kNewIndexFolder);
  const std::string old_index = absl::StrCat(directory, "/index.old");
  const auto exists = [fs](const std::string& path) -> absl::StatusOr<bool> {
    const absl::StatusOr<FileStat> stat = fs->Stat(path);
    if (absl::IsNotFound(stat.status())) return false;
    CAIRN_RETURN_IF_ERROR(stat.status());
    return true;
  };
  // IDENTITY.new is written when index.new is complete and durable.
  CAIRN_ASSIGN_OR_RETURN(const bool complete, exists(new_identity));
  CAIRN_ASSIGN_OR_RETURN(const bool has_new, exists(new_index));
  if (!complete) {
    CAIRN_RETURN_IF_ERROR(RemoveTree(fs, new_index));
    return RemoveTree(fs, old_index);
  }
  if (has_new) {
    CAIRN_ASSIGN_OR_RETURN(const bool has_index, exists(index));
    if (has_index) {
      CAIRN_RETURN_IF_ERROR(RemoveTree(fs, old_index));
      CAIRN_RETURN_IF_ERROR(fs->Rename(index, old_index));
    }
    CAIRN_RETURN_IF_ERROR(fs->Rename(new_index, index));
    CAIRN_RETURN_IF_ERROR(fs->SyncDirectory(directory));
  }
  CAIRN_RETURN_IF_ERROR(fs->Rename(new_identity, identity));
  CAIRN_RETURN_IF_ERROR(fs->SyncDirectory(directory));
  return RemoveTree(fs, old_index);
}

}  // namespace storage
}  // namespace cairn
