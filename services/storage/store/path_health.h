// Whether a store path takes writes: space above the reserve, and nothing that
// has broken for good.
//
//   active ⇄ full            by free space, and by ENOSPC itself
//   active, full → read-only for good: a write or a sync failed
//
// A path that the configuration makes read-only is in one of these states too,
// for its own bookkeeping; CheckWanted() is what callers' changes have to pass.

#ifndef CAIRN_SERVICES_STORAGE_STORE_PATH_HEALTH_H_
#define CAIRN_SERVICES_STORAGE_STORE_PATH_HEALTH_H_

#include <atomic>
#include <cstdint>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/io/file_system.h"
#include "services/storage/core/store_path.h"
#include "services/storage/store/options.h"

namespace cairn {
namespace storage {

// Thread-safe. Space is asked of the file system at most a few times a second
// and counted down between.
class PathHealth {
 public:
  // `fs` and `clock` are borrowed.
  PathHealth(const StorePathOptions& options, FileSystem* fs, Clock* clock);

  // OK if callers may ask for changes at all. FAILED_PRECONDITION,
  // STORE_PATH_READ_ONLY if the configuration says no; what has failed is not
  // looked at.
  absl::Status CheckWanted() const;

  // OK if a write of `bytes` may be tried, else what the caller gets:
  //   FAILED_PRECONDITION  STORE_PATH_READ_ONLY
  //   RESOURCE_EXHAUSTED   DISK_FULL
  absl::Status CheckWrite(int64_t bytes);

  // The same for what needs hardly any space: deletes, moves.
  absl::Status CheckSmallChange();

  // The same for what the path itself must write; the reserve is for that, too.
  absl::Status CheckOwnWrite(int64_t bytes);

  // What the path itself will have to write soon: other writes leave it alone.
  void SetOwnNeed(int64_t bytes) {
    own_need_.store(bytes, std::memory_order_relaxed);
  }

  // What uploads must leave, in percent, in place of what the options say;
  // below 0: what the options say. Any thread.
  void SetReserve(double percent) {
    decided_reserve_percent_.store(percent, std::memory_order_relaxed);
  }

  // `bytes` were written.
  void Took(int64_t bytes) {
    available_.fetch_sub(bytes, std::memory_order_relaxed);
  }

  // A write was refused with ENOSPC. Writes are refused until there is more
  // room, or for a second.
  void SetNoSpace();

  // A write or a sync failed: read-only until the path is opened again. The
  // first one counts. Leaves the mark of suspect_mark.h.
  void SetBroken(const absl::Status& why);

  // Tries to leave the mark again if the disk would not take it.
  void MarkIfBroken();
  bool broken() const { return broken_.load(std::memory_order_acquire); }

  // What a change gets whose outcome is unknown: ABORTED, WRITE_FAILED.
  absl::Status OutcomeUnknown() const;

  // Asks the file system now. UNAVAILABLE if it cannot tell; the last answer
  // stays.
  absl::Status Refresh();

  // Makes sure that the ballast is there if there is room for it; gives it up.
  void RestoreBallast();
  void ReleaseBallast();

  struct Report {
    StorePathState state = StorePathState::kActive;
    bool read_only_by_configuration = false;
    std::string detail;
    int64_t total_bytes = 0;
    int64_t free_bytes = 0;
    int64_t reserve_bytes = 0;
  };
  Report Describe();

 private:
  absl::Status ReadOnlyError() const;
  absl::Status FullError() const;
  int64_t Reserve() const;
  void RefreshIfOld(absl::Duration age);
  bool HasRoom(int64_t bytes);

  const std::string directory_;
  const uint32_t path_index_;
  const int64_t reserve_bytes_;
  const double reserve_percent_;
  const int64_t ballast_bytes_;
  const bool read_only_by_configuration_;
  FileSystem* const fs_;
  Clock* const clock_;

  std::atomic<double> decided_reserve_percent_{-1};
  std::atomic<bool> broken_{false};
  std::atomic<int64_t> available_{0};
  std::atomic<int64_t> total_{0};
  std::atomic<int64_t> own_need_{0};
  std::atomic<int64_t> refreshed_ns_{0};  // Clock::Monotonic().

  // The ballast was given up for deletes; other writes must not take its room.
  std::atomic<bool> ballast_released_{false};

  // Set by ENOSPC: until then, or until more than that is available.
  std::atomic<int64_t> no_space_until_ns_{0};
  std::atomic<int64_t> no_space_available_{0};

  std::atomic<bool> marked_{false};

  mutable Mutex mu_;
  absl::Status why_broken_ ABSL_GUARDED_BY(mu_);
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_PATH_HEALTH_H_
