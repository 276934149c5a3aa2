// What is done to the files of a store path, from the logs of all that take
// changes for it, as far as they are applied here.
//
//   log of A   1 ─ 2 ─ 3 ─ 4 ──┐
//   log of B   1 ─ 2 ──────────┼─▶ Next: the oldest first, each as what is
//   log of C   1 ─ 2 ─ 3 ──────┘   known of its file now
//
// Versions order what different members did to a file, as far as both logs are
// here. Changes of one log come in its order, and none is left out.
//
// Not thread-safe. Next() blocks and belongs on StorePath::io().

#ifndef CAIRN_SERVICES_STORAGE_CORE_CHANGE_FEED_H_
#define CAIRN_SERVICES_STORAGE_CORE_CHANGE_FEED_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "services/storage/core/file_info.h"
#include "services/storage/core/replica_log.h"
#include "services/storage/core/store_path.h"

namespace cairn {
namespace storage {

// One change. What was changed again since is told as what that made of it.
struct FileEvent {
  enum class Kind { kCreated, kChanged, kDeleted };
  Kind kind = Kind::kCreated;

  // After it; of a deleted file what is still known, the name at least.
  FileInfo file;
};

class ChangeFeed {
 public:
  using Positions = std::map<LogId, uint64_t>;

  // How far the logs of a path are applied now.
  static Positions End(StorePath* path);

  // Begins behind `from`, at the beginning of logs that it does not name; ends
  // at `until`, if there is one.
  ChangeFeed(std::shared_ptr<StorePath> path, Positions from,
             absl::optional<Positions> until);

  // The next changes, about `limit` at most; none if there are none now. An
  // appender that was sealed is told of as deleted, behind what it became.
  //   OUT_OF_RANGE  LOG_CUT: some that come next are not kept.
  //   UNAVAILABLE   READ_FAILED; SHUTTING_DOWN.
  //   DATA_LOSS     CONTENT_DAMAGED.
  absl::StatusOr<std::vector<FileEvent>> Next(size_t limit);

  // Behind what Next() returned last. Of logs that were never heard of here,
  // too: they are another member's to tell of.
  const Positions& positions() const { return positions_; }

 private:
  struct Reader {
    uint64_t read = 0;  // Up to here, `entries` included.
    uint64_t end = 0;   // Up to here it may be read now.
    std::deque<LogEntry> entries;
  };

  absl::Status Fill(const LogId& log, Reader* reader);
  absl::StatusOr<FileEvent> EventOf(const LogId& log, const LogEntry& entry);

  const std::shared_ptr<StorePath> path_;
  const absl::optional<Positions> until_;
  Positions positions_;
  std::map<LogId, Reader> readers_;
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_CHANGE_FEED_H_
