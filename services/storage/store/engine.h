// The storage engine: a StorePath on a directory, with segments and a RocksDB.
//
//   Put, Delete, Finish ─▶ queue ─▶ committer ─▶ journal (one write, one sync)
//                                        └─────▶ index   (one WriteBatch) ─▶
//                                        done
//   Stat, Open ─▶ index ─▶ segments
//   background: checkpoints, compaction, expiry of tombstones
//
// Formats: docs/formats/segment.md, index.md, identity.md.

#ifndef CAIRN_SERVICES_STORAGE_STORE_ENGINE_H_
#define CAIRN_SERVICES_STORAGE_STORE_ENGINE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/base/uuid.h"
#include "lib/io/file_system.h"
#include "services/storage/core/store_path.h"
#include "services/storage/store/engine_metrics.h"
#include "services/storage/store/options.h"

namespace cairn {
namespace storage {

// A StorePath that can be asked for numbers. Uploads and open files must be
// destroyed before it; Stop() may come before that.
class Engine : public StorePath {
 public:
  // Thread-safe; cheap enough for every scrape.
  virtual EngineNumbers Numbers() = 0;
};

// Opens a store path, making one of an empty or missing directory. Replays the
// journal from the index's last checkpoint: bounded by
// `checkpoint_journal_bytes`, not by what the path holds. `fs`, `clock` and
// `observer` (may be null) are borrowed and must outlive the path.
//
//   FAILED_PRECONDITION  the directory belongs to another cluster, group, node
//                        or index, or is not empty and has no IDENTITY, or
//                        another process holds it, or its format is newer than
//                        this program. Nothing was changed.
//   DATA_LOSS            CONTENT_DAMAGED: IDENTITY or the index is damaged or
//                        missing. Run `cairn-storage rebuild-index`.
//   INVALID_ARGUMENT     an option is out of its range.
//   UNAVAILABLE          the disk refused.
absl::StatusOr<std::unique_ptr<Engine>> OpenStorePath(
    const StorePathOptions& options, FileSystem* fs, Clock* clock,
    EngineObserver* observer = nullptr);

// What RebuildIndex() found.
struct RebuildReport {
  Uuid incarnation;             // The new one.
  int64_t segments = 0;         // Shared segments that were read.
  int64_t records = 0;          // Whole records in them.
  int64_t files = 0;            // Files in the new index.
  int64_t tombstones = 0;       // Deleted files that it remembers.
  int64_t damaged_records = 0;  // Places where no whole record was.
  int64_t missing_content = 0;  // Files left out: dedicated segment not whole.

  // The first 100 places: `segment 18 offset 8192: header CRC`.
  std::vector<std::string> damage;
};

// Makes a new index from the segments alone. The path must not be open: this
// takes its LOCK for as long as it runs. The old index stays in place until the
// new one is complete; a crash at any moment leaves the one or the other. The
// path gets a new incarnation. `progress` (may be null) is called on the
// calling thread.
//
//   As OpenStorePath(), except that the index is not looked at.
absl::StatusOr<RebuildReport> RebuildIndex(
    const StorePathOptions& options, FileSystem* fs, Clock* clock,
    absl::AnyInvocable<void(const JobProgress&)> progress = nullptr);

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_ENGINE_H_
