// The disk behind an interface, so that tests can make it fail, fill up and
// forget what was not synced.
//
// Paths are absolute. Errors, everywhere:
//   NOT_FOUND            ENOENT
//   ALREADY_EXISTS       EEXIST
//   RESOURCE_EXHAUSTED   ENOSPC, EDQUOT: nothing or a part was written
//   FAILED_PRECONDITION  EROFS, EISDIR, ENOTDIR, ENOTEMPTY, EBUSY
//   PERMISSION_DENIED    EACCES, EPERM
//   UNAVAILABLE          EIO and whatever else the disk says
// The message names the operation, the path and errno's text.

#ifndef CAIRN_LIB_IO_FILE_SYSTEM_H_
#define CAIRN_LIB_IO_FILE_SYSTEM_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"

namespace cairn {

// An open file. Thread-safe; reads and writes at other offsets may run side by
// side. The destructor closes it and syncs nothing.
class File {
 public:
  virtual ~File() = default;

  // Reads up to `size` bytes at `offset` (at least 0) into `buffer`. Fewer are
  // read only at the end of the file; 0 past it. May block.
  virtual absl::StatusOr<size_t> ReadAt(int64_t offset, void* buffer,
                                        size_t size) = 0;

  // As ReadAt(), but never waits for the disk: nullopt if it would have to, or
  // if the system cannot tell. A short read means the end of the file.
  virtual absl::optional<absl::StatusOr<size_t>> TryReadAt(int64_t offset,
                                                           void* buffer,
                                                           size_t size) = 0;

  // Writes all parts, one behind the other, from `offset` on; the file grows as
  // needed. After an error any part may have been written.
  virtual absl::Status WriteAt(int64_t offset,
                               absl::Span<const absl::string_view> parts) = 0;

  // fdatasync: content and size are on the disk. A failure is final: what was
  // written since the last Sync() may be lost although it still reads back, and
  // a second Sync() proves nothing.
  virtual absl::Status Sync() = 0;

  // Hints that the bytes will be synced soon, so that the disk may start. Never
  // waits for it, never fails, promises nothing.
  virtual void StartWriteback(int64_t offset, int64_t size) = 0;

  // Reserves blocks for the range without changing the size. An optimisation:
  // UNIMPLEMENTED where the file system cannot.
  virtual absl::Status Allocate(int64_t offset, int64_t size) = 0;

  virtual absl::Status Truncate(int64_t size) = 0;
  virtual absl::StatusOr<int64_t> Size() = 0;

  // Drops the range from the page cache if it is clean. A hint.
  virtual void DropCache(int64_t offset, int64_t size) = 0;
};

// Held until it is destroyed.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

enum class OpenMode {
  kRead,       // Must exist.
  kReadWrite,  // Must exist.
  kCreate,     // Read and write; created if missing, kept as it is if not.
  kCreateNew,  // Read and write; ALREADY_EXISTS if it exists.
};

struct FileStat {
  int64_t size_bytes = 0;
  bool is_directory = false;
};

struct FileSystemSpace {
  int64_t total_bytes = 0;
  int64_t available_bytes = 0;  // For a process without root's privileges.
};

// Thread-safe.
class FileSystem {
 public:
  virtual ~FileSystem() = default;

  virtual absl::StatusOr<std::unique_ptr<File>> Open(absl::string_view path,
                                                     OpenMode mode) = 0;

  // Atomic; replaces `to`. Durable after SyncDirectory() of both folders.
  virtual absl::Status Rename(absl::string_view from, absl::string_view to) = 0;
  virtual absl::Status Remove(absl::string_view path) = 0;

  // The parent must exist. ALREADY_EXISTS if it does.
  virtual absl::Status CreateDirectory(absl::string_view path) = 0;
  virtual absl::Status RemoveDirectory(absl::string_view path) = 0;

  // Makes created, renamed and removed entries of the folder durable.
  virtual absl::Status SyncDirectory(absl::string_view path) = 0;

  // Names without the path, `.` and `..` left out, sorted.
  virtual absl::StatusOr<std::vector<std::string>> List(
      absl::string_view path) = 0;

  virtual absl::StatusOr<FileStat> Stat(absl::string_view path) = 0;
  virtual absl::StatusOr<FileSystemSpace> Space(absl::string_view path) = 0;

  // Creates the file if it is missing and takes an exclusive lock on it.
  //   FAILED_PRECONDITION  another process, or this one, holds it.
  virtual absl::StatusOr<std::unique_ptr<FileLock>> Lock(
      absl::string_view path) = 0;

  // The machine's. Lives for ever.
  static FileSystem* Real();
};

// Reads a whole file of at most `size_max` bytes.
//   RESOURCE_EXHAUSTED  it is larger.
absl::StatusOr<std::string> ReadWholeFile(FileSystem* fs,
                                          absl::string_view path,
                                          int64_t size_max);

// Makes `path` hold `content`, durably and at once: a crash leaves the old
// content or the new. Uses `path`.tmp beside it.
absl::Status ReplaceFile(FileSystem* fs, absl::string_view path,
                         absl::string_view content);

// Creates the folder and its missing parents, and syncs the parents.
absl::Status CreateDirectories(FileSystem* fs, absl::string_view path);

}  // namespace cairn

#endif  // CAIRN_LIB_IO_FILE_SYSTEM_H_
