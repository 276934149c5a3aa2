// How one store path is run.

#ifndef CAIRN_SERVICES_STORAGE_STORE_OPTIONS_H_
#define CAIRN_SERVICES_STORAGE_STORE_OPTIONS_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "lib/base/uuid.h"

namespace cairn {
namespace storage {

class Quotas;

struct StorePathOptions {
  // Absolute. Created if it is missing; its parent must exist.
  std::string directory;

  // Must be what IDENTITY says, and is written there for a new path.
  Uuid cluster_id;
  std::string group;
  Uuid node_uuid;
  uint32_t node_number = 0;
  uint32_t path_index = 0;

  // Files up to this many bytes go into shared segments. 0..16 MiB.
  int64_t small_file_bytes_max = 1 << 20;

  // Contents from this size on are shared where an upload asks for it, and have
  // segments of their own then. At least 1.
  int64_t dedup_bytes_min = 64 << 10;

  // A shared segment is closed when it has grown to this size. 1 MiB..4 GiB.
  int64_t segment_bytes = int64_t{256} << 20;

  // Free space that writes must leave: the larger of the two. Deletes may use
  // it.
  int64_t reserve_bytes = 0;
  double reserve_percent = 0;  // Of the file system, 0..100.

  // Refuses every change that a caller asks for, and compacts nothing.
  bool read_only = false;

  // A file of this size is kept and given up when the disk is full, so that
  // deletes can still be written.
  int64_t ballast_bytes = int64_t{4} << 20;

  // What may wait for the committer before it answers OVERLOADED, and what it
  // takes at once.
  size_t queue_entries_max = 16384;
  int64_t queue_bytes_max = int64_t{64} << 20;
  size_t group_entries_max = 1024;
  int64_t group_bytes_max = int64_t{8} << 20;

  // Memory of the index: cached blocks and entries, and changes since the last
  // checkpoint (some times that much for the time that a checkpoint takes).
  int64_t block_cache_bytes = int64_t{64} << 20;
  int64_t memtable_bytes = int64_t{32} << 20;

  // A checkpoint is made when the journal has grown by so much,
  // `memtable_bytes` is reached, or this time has passed with a change in it.
  // They bound what opening the path has to replay.
  int64_t checkpoint_journal_bytes = int64_t{256} << 20;
  absl::Duration checkpoint_interval = absl::Minutes(5);

  // Segments whose files are kept open for reading.
  size_t open_segments_max = 512;

  // The pool for calls that block.
  int io_threads = 4;
  size_t io_queue_max = 4096;

  // Shared segments with at least this share of dead bytes are compacted in the
  // background, reading at most so many bytes a second. A share above 1 turns
  // it off.
  double compaction_dead_share = 0.5;
  int64_t compaction_bytes_per_second = int64_t{32} << 20;

  // How often the background thread looks for work.
  absl::Duration background_interval = absl::Seconds(10);

  // How long a deleted name is remembered at least, and how long a request_id.
  absl::Duration tombstone_retention = absl::Hours(24);
  absl::Duration request_retention = absl::Hours(24);

  // How long the space of a file that has expired is kept, by the node that
  // took it; by the others twice as long. What their clocks may be off.
  absl::Duration expiry_grace = absl::Hours(24);

  // How long the content of a file that a user deletes is kept, by every
  // member, so that it can be brought back. Zero: not at all. 0..365 days.
  absl::Duration undelete_window = absl::ZeroDuration();

  // How long entries of logs are kept that every member has, and how long those
  // that a member has not got which stays away. Not shorter than
  // `request_retention`, and not shorter than the former.
  absl::Duration log_retention = absl::Hours(24);
  absl::Duration log_retention_longest = absl::Hours(7 * 24);

  // Uploads in parts: how long one is kept that nobody writes to, and how many
  // may be open at once, and how many bytes they may take together.
  absl::Duration upload_lifetime = absl::Hours(24);
  int64_t uploads_open_max = 1000;
  int64_t upload_bytes_open_max = int64_t{1} << 40;

  // What the node's quotas are, and what its paths count in; may be null.
  // Borrowed for the path's life.
  Quotas* quotas = nullptr;

  // Names the time since the machine was started: unsynced writes survive as
  // long as it stays the same. Empty: the system's.
  std::string boot_id;
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_OPTIONS_H_
