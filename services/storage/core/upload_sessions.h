// Uploads that outlive a call, a connection and a process: the bytes of one
// file arrive in parts, in any order and side by side, and become a file when
// all are there.
//
//   Create ─▶ OpenPart ▸ Write ▸ End ─┬─▶ OpenFinish ▸ Commit ─▶ a file
//                 (parts at a time)   └─▶ Abort, or nothing for a day ─▶ gone
//
// A session lies on one store path. Its content is kept in blocks of
// kBlockBytes: a part begins at a multiple of that, and ends at one unless it
// ends the file.
//
// Thread-safe. Everything blocks, and belongs on StorePath::io(), unless it
// says otherwise.

#ifndef CAIRN_SERVICES_STORAGE_CORE_UPLOAD_SESSIONS_H_
#define CAIRN_SERVICES_STORAGE_CORE_UPLOAD_SESSIONS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/cord.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "lib/base/uuid.h"
#include "services/storage/core/store_path.h"

namespace cairn {
namespace storage {

// The most that a file may have which arrives in parts.
inline constexpr int64_t kUploadSessionBytesMax = int64_t{4} << 40;

// What is known of a file before its bytes arrive.
struct UploadSessionSpec {
  // Of the whole file, 0..kUploadSessionBytesMax. Unset if it is not known:
  // then the part that does not end with a block ends the file, or, if there
  // is none, what is there.
  absl::optional<int64_t> size_bytes;

  std::string extension;            // Valid, may be empty.
  std::string derived_name;         // The name, if it is of a derived file.
  absl::optional<uint32_t> crc32c;  // Of the whole file, if it is known.
  std::string owner;                // FileInfo::owner of the file.
};

// From `begin` up to, not including, `end`.
struct ByteRange {
  int64_t begin = 0;
  int64_t end = 0;

  friend bool operator==(const ByteRange& a, const ByteRange& b) {
    return a.begin == b.begin && a.end == b.end;
  }
};

struct UploadSessionInfo {
  Uuid id;
  UploadSessionSpec spec;  // `size_bytes` is set as soon as it is known.

  // What survives a power cut, and what is there besides and survives nothing.
  // Ascending, with a gap between any two.
  std::vector<ByteRange> durable;
  std::vector<ByteRange> written;

  absl::Time create_time;
  absl::Time expire_time;  // If nothing is written until then.
};

// One run of bytes on its way into a session. Not thread-safe. Destroying it
// gives up the bytes behind the last whole block; what is before stays.
class UploadPart {
 public:
  virtual ~UploadPart() = default;

  // Takes the next bytes (referenced until the part is destroyed). Blocks that
  // are there already are compared and skipped.
  //   FAILED_PRECONDITION  UPLOAD_CONTENT_DIFFERS: a block that is there has
  //                        other bytes. STORE_PATH_READ_ONLY.
  //   INVALID_ARGUMENT     SIZE_MISMATCH: past the end of the file. TOO_LARGE.
  //   RESOURCE_EXHAUSTED   DISK_FULL, TOO_MANY_UPLOADS.
  //   ABORTED              WRITE_FAILED.
  // After an error the part is over; destroy it.
  virtual absl::Status Write(const absl::Cord& data) = 0;

  // The part ends here: what of it is there is durable when this returns OK.
  //   INVALID_ARGUMENT  SIZE_MISMATCH: it ends inside a block, and that is not
  //                     where the file ends.
  //   and as Write().
  virtual absl::Status End() = 0;

  // Makes what was written durable, and no more. For a part that broke off.
  virtual absl::Status Save() = 0;
};

// A session that is complete and about to be a file. Nobody else can write to
// it. Destroying it before Commit() leaves the session as it was.
class CompleteUpload {
 public:
  virtual ~CompleteUpload() = default;

  // Of the whole file, so that a name can be made. Do not block.
  virtual int64_t size_bytes() const = 0;
  virtual uint32_t crc32c() const = 0;

  // Makes the file and ends the session, as Upload::Finish(). After an error
  // other than WRITE_FAILED the session is as it was. The upload may be
  // destroyed once `done` has run.
  virtual void Commit(Upload::FinishRequest request, CommitDone done) = 0;
};

// The sessions of one store path. Errors of every call with an id:
//   NOT_FOUND    UPLOAD_NOT_FOUND: never made, finished, aborted or expired.
//   UNAVAILABLE  SHUTTING_DOWN.
class UploadSessions {
 public:
  virtual ~UploadSessions() = default;

  // Begins a session, durably. `id` is random and not used before.
  //   RESOURCE_EXHAUSTED   DISK_FULL; TOO_MANY_UPLOADS: as many are open, or
  //                        as large ones, as may be.
  //   FAILED_PRECONDITION  STORE_PATH_READ_ONLY.
  //   INVALID_ARGUMENT     TOO_LARGE.
  virtual absl::Status Create(const Uuid& id,
                              const UploadSessionSpec& spec) = 0;

  // Begins a part of `length` bytes at most, or up to the end of the file.
  //   ABORTED           UPLOAD_RANGE_BUSY: somebody else writes to this range,
  //                     or finishes the upload.
  //   INVALID_ARGUMENT  INVALID_FIELD: `offset` is no multiple of kBlockBytes.
  //                     SIZE_MISMATCH: past the end of the file.
  virtual absl::StatusOr<std::unique_ptr<UploadPart>> OpenPart(
      const Uuid& id, int64_t offset, absl::optional<int64_t> length) = 0;

  // Does not block.
  virtual absl::StatusOr<UploadSessionInfo> Query(const Uuid& id) = 0;

  // Every open session, the oldest first. Does not block.
  virtual std::vector<UploadSessionInfo> List() = 0;

  // `crc32c`, if set, is what the content must have.
  //   FAILED_PRECONDITION  UPLOAD_INCOMPLETE: the metadata says what is missing
  //                        first.
  //   INVALID_ARGUMENT     CHECKSUM_MISMATCH: the content is not what it was
  //                        said to be. Abort the upload and begin anew.
  //   ABORTED              UPLOAD_RANGE_BUSY.
  virtual absl::StatusOr<std::unique_ptr<CompleteUpload>> OpenFinish(
      const Uuid& id, absl::optional<uint32_t> crc32c) = 0;

  // Removes the session and its bytes.
  //   ABORTED  UPLOAD_RANGE_BUSY: it is being finished.
  // Parts that are being written fail with UPLOAD_NOT_FOUND.
  virtual absl::Status Abort(const Uuid& id) = 0;
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_UPLOAD_SESSIONS_H_
