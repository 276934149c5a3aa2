// A whole file system in memory that can lose what was not synced: the world of
// the crash tests.
//
//   operations ──▶ (fault rules) ──▶ StopAfter(n): everything fails, nothing
//                                    changes any more
//                                       ├─▶ Crash()        power cut
//                                       └─▶ KillProcess()  kill -9
//
// After Crash() or KillProcess() it works again, for the next process: handles
// and locks from before are dead. Both may also be called without a stop.
//
// What a power cut may do: see UnsyncedContent for the content of files. Of the
// entries of folders that were not synced, those are there that a prefix of the
// changes, or any subset of them, would leave. A synced file whose entry was
// not synced may be gone; a rename between folders of which one was synced may
// be half done.

#ifndef CAIRN_LIB_TESTING_CRASHABLE_FILE_SYSTEM_H_
#define CAIRN_LIB_TESTING_CRASHABLE_FILE_SYSTEM_H_

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "lib/base/mutex.h"
#include "lib/io/fault_rules.h"
#include "lib/io/file_system.h"
#include "lib/testing/unsynced_content.h"

namespace cairn {

// Thread-safe. Deterministic: the same seed and the same calls in the same
// order give the same. Handles may outlive a crash, but not this object.
class CrashableFileSystem : public FileSystem {
 public:
  explicit CrashableFileSystem(uint64_t seed);
  ~CrashableFileSystem() override;

  // The next process finds what the disk has. Unsynced changes are lost, kept
  // or torn at random.
  void Crash() ABSL_LOCKS_EXCLUDED(mu_);

  // The next process finds all that was written.
  void KillProcess() ABSL_LOCKS_EXCLUDED(mu_);

  // Lets `n` more operations of the set happen (0: none) and then stops: that
  // operation and everything after it fail and change nothing, except that a
  // write that meets the stop may be done in part.
  void StopAfter(uint64_t n, FileOperations operations = kChanges)
      ABSL_LOCKS_EXCLUDED(mu_);
  bool stopped() const ABSL_LOCKS_EXCLUDED(mu_);

  // Operations fail by these rules. A write may then have been done in part; a
  // failed sync drops the dirty pages as Linux does: they still read back, and
  // no later sync writes them.
  FaultRules& faults() { return faults_; }
  void FailNextSync(int error);

  // Total room for content, in whole pages; ENOSPC beyond it, after part of the
  // write. Nothing else takes room. Default: a TiB.
  void SetCapacity(int64_t bytes) ABSL_LOCKS_EXCLUDED(mu_);

  // Damage to the disk itself, which no sync undoes. The file must exist.
  void FlipBit(absl::string_view path, int64_t offset, int bit)
      ABSL_LOCKS_EXCLUDED(mu_);
  void TruncateOnDisk(absl::string_view path, int64_t size)
      ABSL_LOCKS_EXCLUDED(mu_);

  // How many operations of the set were asked for since the beginning, failed
  // ones included.
  uint64_t CountOf(FileOperations operations) const ABSL_LOCKS_EXCLUDED(mu_);

  // The furthest place in a file up to which the cache was to be dropped; 0 if
  // none was.
  int64_t dropped_end() const ABSL_LOCKS_EXCLUDED(mu_);

  // Every file (not folder) below `path`, sorted: for tests that damage what
  // they find.
  std::vector<std::string> FilesUnder(absl::string_view path) const
      ABSL_LOCKS_EXCLUDED(mu_);

  absl::StatusOr<std::unique_ptr<File>> Open(absl::string_view path,
                                             OpenMode mode) override;
  absl::Status Rename(absl::string_view from, absl::string_view to) override;
  absl::Status Remove(absl::string_view path) override;
  absl::Status CreateDirectory(absl::string_view path) override;
  absl::Status RemoveDirectory(absl::string_view path) override;
  absl::Status SyncDirectory(absl::string_view path) override;
  absl::StatusOr<std::vector<std::string>> List(
      absl::string_view path) override;
  absl::StatusOr<FileStat> Stat(absl::string_view path) override;
  absl::StatusOr<FileSystemSpace> Space(absl::string_view path) override;
  absl::StatusOr<std::unique_ptr<FileLock>> Lock(
      absl::string_view path) override;

 private:
  friend class CrashableFile;
  friend class CrashableFileLock;

  struct Node;
  using NodePtr = std::shared_ptr<Node>;

  // A name in a folder: where an entry is, or would be.
  struct Place {
    NodePtr folder;
    std::string name;
  };

  // `place` now holds `node`, or nothing.
  struct EntryChange {
    Place place;
    NodePtr node;
  };

  // Counts the operation and decides its fate: OK, or the error.
  absl::Status Begin(FileOperation operation, absl::string_view path,
                     int64_t offset = 0, int64_t size = 0)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // Null if there is none.
  NodePtr Find(absl::string_view path) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // NOT_FOUND or FAILED_PRECONDITION if the parent is missing or no folder.
  absl::StatusOr<Place> FindPlace(absl::string_view operation,
                                  absl::string_view path) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // Does the changes for whoever looks now; a crash may lose them, all at once,
  // until their folders are synced.
  void Change(std::vector<EntryChange> changes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  NodePtr NewNode(bool is_directory) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  int64_t UsedBytes() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void NextProcess() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // The file's part; `generation` is that of its handle.
  absl::Status CheckHandle(uint64_t generation, absl::string_view operation,
                           absl::string_view path) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status WriteTo(Node* node, absl::string_view path, int64_t offset,
                       absl::Span<const absl::string_view> parts)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  FaultRules faults_;

  mutable Mutex mu_;
  std::mt19937_64 rng_ ABSL_GUARDED_BY(mu_);
  NodePtr root_ ABSL_GUARDED_BY(mu_);
  std::vector<std::vector<EntryChange>> unsynced_ ABSL_GUARDED_BY(mu_);
  std::map<NodePtr, int> open_ ABSL_GUARDED_BY(mu_);  // Handles of a file.
  std::set<NodePtr> locked_ ABSL_GUARDED_BY(mu_);
  uint64_t generation_ ABSL_GUARDED_BY(mu_) = 1;  // Of processes.
  int64_t capacity_ ABSL_GUARDED_BY(mu_) = int64_t{1} << 40;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  int64_t dropped_end_ ABSL_GUARDED_BY(mu_) = 0;
  absl::optional<uint64_t> stop_after_ ABSL_GUARDED_BY(mu_);
  FileOperations stop_operations_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<FileOperation, uint64_t> counts_ ABSL_GUARDED_BY(mu_);
  uint64_t try_reads_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace cairn

#endif  // CAIRN_LIB_TESTING_CRASHABLE_FILE_SYSTEM_H_
