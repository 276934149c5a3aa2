// The segment files of a store path: their names, their life, and a bounded
// cache of those that are open for reading.
//
//   shared     CreateShared ──▶ segments/00/…12.seg ──────────────▶ Remove
//   dedicated  CreateUpload ──▶ uploads/…13.seg ──▶ PublishUpload ─▶ Remove
//
// An upload that goes on after a restart has a journal beside its segment,
// uploads/…13.upl.
//
// A removed file stays readable for whoever holds it open.

#ifndef CAIRN_SERVICES_STORAGE_STORE_SEGMENT_SET_H_
#define CAIRN_SERVICES_STORAGE_STORE_SEGMENT_SET_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/base/mutex.h"
#include "lib/base/uuid.h"
#include "lib/io/file_system.h"
#include "services/storage/store/segment_format.h"

namespace cairn {
namespace storage {

// Thread-safe. Errors are those of FileSystem unless said otherwise.
class SegmentSet {
 public:
  // `fs` is borrowed. At most `open_max` files are kept open without a user.
  SegmentSet(FileSystem* fs, std::string directory, size_t open_max);

  SegmentSet(const SegmentSet&) = delete;
  SegmentSet& operator=(const SegmentSet&) = delete;

  // Makes segments/ and uploads/ if they are missing, durably.
  absl::Status CreateFolders();

  // A new segment file with its header block, durable under its name.
  absl::StatusOr<std::shared_ptr<File>> CreateShared(const Uuid& incarnation,
                                                     uint64_t number);

  // A new file in uploads/ with its header block; not durable.
  absl::StatusOr<std::shared_ptr<File>> CreateUpload(const Uuid& incarnation,
                                                     uint64_t number);

  // Moves the file to segments/, durably if `sync` is true. `file` is what
  // CreateUpload() returned.
  absl::Status PublishUpload(uint64_t number, std::shared_ptr<File> file,
                             bool sync);

  // Moves the file back to uploads/, durably.
  absl::Status UnpublishUpload(uint64_t number) ABSL_LOCKS_EXCLUDED(mu_);

  // Opens a segment in uploads/, and the journal beside it.
  absl::StatusOr<std::shared_ptr<File>> OpenUpload(uint64_t number);
  absl::StatusOr<std::shared_ptr<File>> CreateUploadJournal(uint64_t number);
  absl::StatusOr<std::shared_ptr<File>> OpenUploadJournal(uint64_t number);

  // Makes the names of what is in uploads/ durable.
  absl::Status SyncUploads();

  // Makes the names of published segments durable.
  absl::Status SyncFolderOf(uint64_t number);

  // OK if it is not there.
  absl::Status RemoveUpload(uint64_t number);
  absl::Status RemoveUploadJournal(uint64_t number);

  // Opens a segment, or takes it from the cache. For reading and, after a
  // restart, for writing.
  absl::StatusOr<std::shared_ptr<File>> Open(uint64_t number);

  // Null if it is not open.
  std::shared_ptr<File> FindOpen(uint64_t number) ABSL_LOCKS_EXCLUDED(mu_);

  // Removes the file. OK if it is not there.
  absl::Status Remove(uint64_t number);

  // Numbers of the segments in segments/ from `from` on, ascending. Reads only
  // the folders where those can be.
  absl::StatusOr<std::vector<uint64_t>> List(uint64_t from);

  // Numbers of the segments in uploads/, and of the journals there, ascending.
  absl::StatusOr<std::vector<uint64_t>> ListUploads();
  absl::StatusOr<std::vector<uint64_t>> ListUploadJournals();

  // For messages and tools.
  std::string SegmentPath(uint64_t number) const;

  size_t open_count() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Cached {
    std::shared_ptr<File> file;
    bool used = true;  // Since the clock hand passed.
  };

  std::string FolderOf(uint64_t number) const;
  std::string UploadPath(uint64_t number) const;
  std::string UploadJournalPath(uint64_t number) const;
  absl::StatusOr<std::vector<uint64_t>> ListInUploads(absl::string_view suffix);
  absl::Status EnsureFolder(uint64_t number) ABSL_LOCKS_EXCLUDED(mu_);
  void Remember(uint64_t number, std::shared_ptr<File> file)
      ABSL_LOCKS_EXCLUDED(mu_);

  FileSystem* const fs_;
  const std::string directory_;
  const size_t open_max_;

  mutable Mutex mu_;
  absl::flat_hash_map<uint64_t, Cached> open_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_set<uint64_t> folders_ ABSL_GUARDED_BY(mu_);  // Durable ones.
};

// The name of a segment file: `0000000000000012.seg`.
std::string SegmentFileName(uint64_t number);

// Number of the folder that a segment is in; `segments/00` is 0.
uint64_t SegmentFolder(uint64_t number);

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_SEGMENT_SET_H_
