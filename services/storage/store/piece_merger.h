// Makes one piece of many small neighbours, behind the back of everybody who
// uses the file: content, version and size stay what they are.
//
//   append … append ─▶ Want(name) ─▶ read the pieces ─▶ one content ─▶
//   committer
//                                    (I/O pool)         (a record, or a segment
//                                                       of its own if large)

#ifndef CAIRN_SERVICES_STORAGE_STORE_PIECE_MERGER_H_
#define CAIRN_SERVICES_STORAGE_STORE_PIECE_MERGER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/base/executor.h"
#include "lib/base/mutex.h"
#include "services/storage/store/committer.h"
#include "services/storage/store/open_file.h"
#include "services/storage/store/upload.h"

namespace cairn {
namespace storage {

// All borrowed.
struct PieceMergerParts {
  Committer* committer = nullptr;
  Executor* io = nullptr;
  UploadParts upload;

  // Opens a file; may block.
  std::function<absl::StatusOr<std::unique_ptr<SegmentOpenFile>>(
      absl::string_view)>
      open;
};

// Thread-safe. Its work ends before `io` does, or as soon as the committer
// takes nothing more.
class PieceMerger {
 public:
  explicit PieceMerger(PieceMergerParts parts);

  PieceMerger(const PieceMerger&) = delete;
  PieceMerger& operator=(const PieceMerger&) = delete;

  // The file may have pieces to merge. Does not block. Nothing happens if the
  // pool is busy: the next change of the file says it again.
  void Want(const std::string& name) ABSL_LOCKS_EXCLUDED(mu_);

  // No more merges begin.
  void Stop() { stopping_.store(true); }

  // Merges that were committed.
  uint64_t merges() const { return merges_.load(); }

 private:
  void Work(const std::string& name) ABSL_LOCKS_EXCLUDED(mu_);

  // Returns whether something was handed to the committer, which ends with
  // Done().
  absl::StatusOr<bool> MergeOnce(const std::string& name);
  void Done(const std::string& name, const absl::StatusOr<Committed>& committed)
      ABSL_LOCKS_EXCLUDED(mu_);
  void Start(const std::string& name) ABSL_LOCKS_EXCLUDED(mu_);

  // Ends the work on a file; returns whether it was wanted again meanwhile.
  bool Leave(const std::string& name) ABSL_LOCKS_EXCLUDED(mu_);

  const PieceMergerParts parts_;
  std::atomic<bool> stopping_{false};
  std::atomic<uint64_t> merges_{0};

  Mutex mu_;
  // Files that are worked on, and whether they were wanted again since.
  absl::flat_hash_map<std::string, bool> working_ ABSL_GUARDED_BY(mu_);
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_PIECE_MERGER_H_
