// What the engine counts, without a metrics library: numbers that it can be
// asked for, and an observer for what has a distribution. The service binds
// both to Prometheus.

#ifndef CAIRN_SERVICES_STORAGE_STORE_ENGINE_METRICS_H_
#define CAIRN_SERVICES_STORAGE_STORE_ENGINE_METRICS_H_

#include <cstdint>

#include "absl/time/time.h"

namespace cairn {
namespace storage {

// Is told of events as they happen. Called on the committer and on the threads
// of io(); must be thread-safe, quick, and outlive the path.
class EngineObserver {
 public:
  virtual ~EngineObserver() = default;

  // A group was written, synced if a member asked for it, and indexed. A rise
  // of `entries` means more is waiting for the disk.
  virtual void OnCommit(int64_t entries, int64_t journal_bytes,
                        absl::Duration duration) {}

  // The journal or a dedicated segment was synced.
  virtual void OnSync(absl::Duration duration) {}

  // A checkpoint of the index was begun: how long the committer paused for it.
  virtual void OnCheckpoint(absl::Duration pause) {}
};

// Counters since the path was opened, and gauges as of now. Sizes in bytes.
struct EngineNumbers {
  // Counters.
  uint64_t commits = 0;          // Groups.
  uint64_t committed = 0;        // Members of groups.
  uint64_t refused = 0;          // Answered OVERLOADED, DISK_FULL or read-only.
  uint64_t journal_bytes = 0;    // Written to shared segments.
  uint64_t dedicated_bytes = 0;  // Written to dedicated segments.
  uint64_t syncs = 0;
  uint64_t sync_failures = 0;
  uint64_t read_bytes = 0;       // Content that was read and checked.
  uint64_t followed_files = 0;   // Read for members without being looked up.
  uint64_t read_failures = 0;    // The disk refused.
  uint64_t content_damaged = 0;  // Blocks whose CRC did not match.
  uint64_t damaged_records = 0;  // Records that recovery or compaction skipped.
  uint64_t checkpoints = 0;
  uint64_t compacted_segments = 0;
  uint64_t compacted_bytes = 0;   // Copied by compaction.
  uint64_t shared_bytes = 0;      // Of contents that were there already.
  uint64_t piece_merges = 0;      // Of contents that had many pieces.
  uint64_t replayed_records = 0;  // When the path was opened.

  // Gauges.
  int64_t queue_entries = 0;  // Waiting for the committer.
  int64_t queue_bytes = 0;
  int64_t io_queue_entries = 0;
  int64_t files = 0;
  int64_t file_bytes = 0;  // Of these; what several share counts for each.
  int64_t tombstones = 0;
  int64_t live_bytes = 0;
  int64_t undelete_bytes = 0;  // Of `live_bytes`: kept of deleted files.
  int64_t dead_bytes = 0;
  int64_t segments = 0;
  int64_t open_segments = 0;         // With a file descriptor in the cache.
  int64_t uploads = 0;               // Unfinished.
  int64_t open_uploads = 0;          // In parts, that go on after a restart.
  int64_t open_upload_bytes = 0;     // That those take, or have claimed.
  int64_t checkpoint_lag_bytes = 0;  // Journal that a restart would replay.
  bool writable = true;

  // RocksDB's own: properties summed over the column families, and tickers.
  int64_t index_bytes = 0;  // Table files.
  int64_t index_memtable_bytes = 0;
  int64_t index_block_cache_bytes = 0;
  int64_t index_pending_compaction_bytes = 0;
  uint64_t index_block_cache_hits = 0;
  uint64_t index_block_cache_misses = 0;
  uint64_t index_bloom_useful = 0;
  uint64_t index_flush_write_bytes = 0;
  uint64_t index_compaction_read_bytes = 0;
  uint64_t index_compaction_write_bytes = 0;
  uint64_t index_stall_micros = 0;
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_ENGINE_METRICS_H_
