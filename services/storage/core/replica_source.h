// What a member sends to another that copies it: the entries of a log, or all
// files in the order of their names, each with what is needed to apply it.
//
//   log entry ─▶ Find ─▶ still what the entry made of it ─▶ with its content,
//                   │                                       or without, if it
//                   │                                       is large or bad
//                   here └─▶ changed or deleted since ─▶ `passed`
//
// An appender that was only added to since is sent as it was then, and of what
// an append made only what it added.
//
// A deletion is told even when its tombstone is not kept any more.
//
// Pure decisions over the store; everything here blocks.

#ifndef CAIRN_SERVICES_STORAGE_CORE_REPLICA_SOURCE_H_
#define CAIRN_SERVICES_STORAGE_CORE_REPLICA_SOURCE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/storage/core/replica_log.h"
#include "services/storage/core/replica_store.h"
#include "services/storage/core/store_path.h"

namespace cairn {
namespace storage {

// What is put together at most; at least one change is.
struct ChangeLimits {
  size_t entries_max = 512;

  // Contents together.
  int64_t bytes_max = 1 << 20;

  // Larger ones are left to be fetched.
  int64_t content_bytes_max = 1 << 20;
};

// The changes of a log behind `after`, in order without gaps, as kNext; none at
// its end. Whoever goes on where the last call ended keeps `files`, of
// FollowLog().
//   NOT_FOUND, OUT_OF_RANGE  as ReplicaStore::ReadLog().
//   UNAVAILABLE              READ_FAILED; SHUTTING_DOWN.
absl::StatusOr<std::vector<ReplicatedChange>> ReadChanges(
    StorePath* path, LoggedFiles* files, const LogId& log, uint64_t after,
    const ChangeLimits& limits);
absl::StatusOr<std::vector<ReplicatedChange>> ReadChanges(
    StorePath* path, const LogId& log, uint64_t after,
    const ChangeLimits& limits);

struct SnapshotChanges {
  std::vector<ReplicatedChange> changes;  // As kSnapshot.
  std::string next;                       // As SnapshotPage::next.
};

// A page of a snapshot; ReplicaStore::BeginSnapshot() was called before.
// Changes that were set aside stand in the place of what is known of their
// files; the last page has those, too, of files that are not known.
//   INVALID_ARGUMENT, UNAVAILABLE  as ReplicaStore::ReadSnapshot().
absl::StatusOr<SnapshotChanges> ReadSnapshotChanges(StorePath* path,
                                                    absl::string_view from,
                                                    const ChangeLimits& limits);

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_REPLICA_SOURCE_H_
