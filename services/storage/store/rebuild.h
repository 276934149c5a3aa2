// A new index for a store path, made from its segments alone.
//
//   scan every shared segment ─▶ index.new ─▶ IDENTITY.new ─▶ swap both
//
// For every name the record with the highest version wins, and of equal ones
// the later one. The log is not rebuilt: the path takes a new incarnation.

#ifndef CAIRN_SERVICES_STORAGE_STORE_REBUILD_H_
#define CAIRN_SERVICES_STORAGE_STORE_REBUILD_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/base/uuid.h"
#include "lib/io/file_system.h"
#include "services/storage/core/store_path.h"
#include "services/storage/store/options.h"

namespace cairn {
namespace storage {

// What RebuildIndex() found.
struct RebuildReport {
  Uuid incarnation;             // The new one.
  int64_t segments = 0;         // Shared segments that were read.
  int64_t records = 0;          // Whole records in them.
  int64_t files = 0;            // Files in the new index.
  int64_t tombstones = 0;       // Deleted files that it remembers.
  int64_t damaged_records = 0;  // Places where no whole record was.
  int64_t missing_content = 0;  // Of `files`: dedicated segment not whole.

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

#endif  // CAIRN_SERVICES_STORAGE_STORE_REBUILD_H_
