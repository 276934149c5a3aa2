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

#include <memory>

#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "lib/base/clock.h"
#include "lib/io/file_system.h"
#include "services/storage/core/store_path.h"
#include "services/storage/store/engine_metrics.h"
#include "services/storage/store/options.h"
#include "services/storage/store/rebuild.h"  // RebuildIndex().

namespace cairn {
namespace storage {

// A StorePath that can be asked for numbers. Uploads and open files must be
// destroyed before it; Stop() may come before that.
class Engine : public StorePath {
 public:
  // Thread-safe; cheap enough for every scrape.
  virtual EngineNumbers Numbers() = 0;

  // What uploads must leave free from now on, in percent of the disk, 0..100,
  // in place of what the options say; unset: what they say. Thread-safe.
  virtual void SetReserve(absl::optional<double> percent) = 0;
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

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_ENGINE_H_
