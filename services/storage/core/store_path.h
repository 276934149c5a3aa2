// One disk of a storage node, as the rest of the node sees it. The engine
// behind this interface is services/storage/store; a fake is in
// services/storage/core/testing.
//
//   Put ───────────────┐                     one write, at most one sync
//   StartUpload ▸ Write ▸ Finish ──▶ committer ────────────────────────▶ done
//   Delete, Undelete ──┘             (group commit)
//
// Names are FileIdParts::name and opaque here. All of it is thread-safe. Try…()
// calls never wait for the disk and may run on a gRPC thread; what may block
// says so and belongs on io().

#ifndef CAIRN_SERVICES_STORAGE_CORE_STORE_PATH_H_
#define CAIRN_SERVICES_STORAGE_CORE_STORE_PATH_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "lib/attributes/attributes.h"
#include "lib/base/executor.h"
#include "lib/base/uuid.h"
#include "services/storage/core/file_info.h"
#include "services/storage/core/file_scan.h"
#include "services/storage/core/replica_log.h"

namespace cairn {
namespace storage {

// The answer to a change.
struct Committed {
  FileInfo file;
  Durability reached = Durability::kCached;
  bool replayed = false;  // An earlier call with the request_id did it.

  // Where it is in the logs. A nil log if the path is not told.
  LogPosition change;

  // Members that have it at the level `reached`, this one included. A path
  // knows of itself alone: 0 if an earlier call's file is known here and its
  // content missing.
  uint32_t replicas = 1;
};

// Runs exactly once, on the path's committer thread or inside the call; must
// not block. Errors of every change:
//
//   FAILED_PRECONDITION  STORE_PATH_READ_ONLY. Nothing was changed.
//   RESOURCE_EXHAUSTED   DISK_FULL or OVERLOADED; QUOTA_EXCEEDED if it adds
//                        files or bytes. Nothing was changed.
//   ALREADY_EXISTS       REQUEST_ID_REUSED: the id did something else before.
//                        Nothing was changed.
//   UNAVAILABLE          SHUTTING_DOWN. Nothing was changed.
//   ABORTED              WRITE_FAILED. The outcome is unknown until the path is
//                        opened again; the path is read-only from now on.
//
// and of a new file of kind kDerived, whose name others may choose as well:
//
//   ALREADY_EXISTS       FILE_EXISTS: a file of that name is here with another
//                        content; the metadata says of what size and CRC. With
//                        the same content the call is answered as a repeated
//                        one.
using CommitDone = absl::AnyInvocable<void(absl::StatusOr<Committed>)>;

// Bytes that one call may write to an appender, whatever the settings of the
// path; where small files may be larger, as many as these.
inline constexpr int64_t kAppenderCallBytes = 1 << 20;

// A new small file in one piece.
struct PutRequest {
  // Nil if the call cannot be repeated.
  Uuid request_id;

  // Not used before on any path of the group, but for kDerived.
  std::string name;

  // 0 bytes to StorePath::small_file_bytes_max(), of an appender as much as one
  // call may write. Referenced, not copied, until `done` has run.
  absl::Cord content;

  // CRC-32C of `content`; the caller has checked that it is.
  uint32_t crc32c = 0;

  FileKind kind = FileKind::kNormal;
  int64_t create_unix_seconds = 0;
  uint32_t origin_node = 0;
  std::string attributes;  // As FileInfo::attributes; within the limits.
  int64_t expire_unix_seconds = 0;  // As FileInfo::expire_unix_seconds.
  std::string owner;                // As FileInfo::owner.

  // Share the content with files of the path that have the same, and let others
  // share it: FileInfo::sha256 and `deduplicated` say so in the answer. What is
  // smaller than the path's limit is stored as always.
  bool dedup = false;
  Durability durability = Durability::kSynced;
};

struct SetAttributesRequest {
  // Nil if the call cannot be repeated.
  Uuid request_id;
  std::string name;

  // CheckAttributeChange() takes it.
  AttributeChange change;

  // The file must have this version; unset: any.
  absl::optional<Version> if_version_match;
  Durability durability = Durability::kSynced;
};

struct SetExpiryRequest {
  // Nil if the call cannot be repeated.
  Uuid request_id;
  std::string name;

  // As FileInfo::expire_unix_seconds.
  int64_t expire_unix_seconds = 0;
  Durability durability = Durability::kSynced;
};

struct DeleteRequest {
  // Nil if the call cannot be repeated.
  Uuid request_id;
  std::string name;

  // Keep nothing for Undelete(); of a file that is deleted already, give up
  // what is kept of it, at every member.
  bool purge = false;
  Durability durability = Durability::kSynced;
};

struct UndeleteRequest {
  // Nil if the call cannot be repeated.
  Uuid request_id;
  std::string name;
  Durability durability = Durability::kSynced;
};

// A change of the content of an appender. Changes of one file follow on each
// other, each as a whole; a reader sees the file before or after.
struct UpdateRequest {
  enum class Kind {
    kAppend,    // `content` behind what is there.
    kModify,    // `content` in place of what is at `offset`, and past the end.
    kTruncate,  // `offset` is the size from now on; what is added is zero.
  };
  Kind kind = Kind::kAppend;

  // Nil if the call cannot be repeated.
  Uuid request_id;
  std::string name;

  // Not with kAppend.
  int64_t offset = 0;

  // Not with kTruncate. 0 bytes to what one call may write to an appender.
  // Referenced, not copied, until `done` has run.
  absl::Cord content;

  // CRC-32C of `content`; the caller has checked that it is.
  uint32_t crc32c = 0;

  // Only if the file has this size, and this version.
  absl::optional<int64_t> if_size_bytes;
  absl::optional<Version> if_version;

  Durability durability = Durability::kSynced;
};

// Makes a normal file of an appender, with all that the appender has; no byte
// is copied.
struct SealRequest {
  // Nil if the call cannot be repeated.
  Uuid request_id;
  std::string name;

  // Makes the name of the file, from its size and CRC, and says when it was
  // created. Called on the committer's thread, perhaps more than once; must not
  // block.
  struct NewName {
    std::string name;
    int64_t create_unix_seconds = 0;
  };
  std::function<NewName(int64_t size_bytes, uint32_t crc32c)> make_name;

  // As in UpdateRequest.
  absl::optional<int64_t> if_size_bytes;
  absl::optional<Version> if_version;

  Durability durability = Durability::kSynced;
};

// A new normal file with the content that another file has; no byte is copied.
struct CopyRequest {
  // Nil if the call cannot be repeated.
  Uuid request_id;

  // A normal or a derived file that has this size and CRC.
  std::string from;
  int64_t size_bytes = 0;
  uint32_t crc32c = 0;

  // Not used before on any path of the group.
  std::string name;
  int64_t create_unix_seconds = 0;
  uint32_t origin_node = 0;
  std::string attributes;           // As in PutRequest.
  int64_t expire_unix_seconds = 0;  // The same.
  std::string owner;                // The same.
  Durability durability = Durability::kSynced;
};

// Whether `file` is one that may be copied.
//   FAILED_PRECONDITION  WRONG_KIND: an appender.
absl::Status CheckCopy(const FileInfo& file);

// Whether `file` is one that may be updated, and is as the conditions say; the
// errors are those of StorePath::Update().
absl::Status CheckUpdate(const FileInfo& file,
                         const absl::optional<int64_t>& if_size_bytes,
                         const absl::optional<Version>& if_version);

// A file on its way into a segment of its own. Not thread-safe: one call at a
// time. Destroying it before Finish() removes what was written.
class Upload {
 public:
  virtual ~Upload() = default;

  // Before the first Write(): as PutRequest::dedup.
  virtual void Share() {}

  // Before the first Write(): nobody is expected to read it soon. What is large
  // is not kept in memory, where it would take the place of what is read.
  virtual void BypassCache() {}

  // Appends `data` (referenced until it returns). Blocks: call it on io().
  //   RESOURCE_EXHAUSTED   DISK_FULL. The upload is over; destroy it.
  //   ABORTED              WRITE_FAILED. The same.
  virtual absl::Status Write(const absl::Cord& data) = 0;

  // Of everything that was written, so that a name can be made.
  virtual int64_t size_bytes() const = 0;
  virtual uint32_t crc32c() const = 0;

  struct FinishRequest {
    Uuid request_id;
    std::string name;
    FileKind kind = FileKind::kNormal;
    int64_t create_unix_seconds = 0;
    uint32_t origin_node = 0;
    std::string attributes;           // As in PutRequest.
    int64_t expire_unix_seconds = 0;  // The same.
    std::string owner;                // The same.

    // As PutRequest::dedup, of an upload in parts; any other has Share().
    bool dedup = false;
    Durability durability = Durability::kSynced;
  };

  // Syncs the content if asked to, and commits. Blocks while it syncs: call it
  // on io(). The upload may be destroyed once `done` has run.
  virtual void Finish(FinishRequest request, CommitDone done) = 0;

  // Ends it as the content of a file that another member took. `change` is a
  // kPut without `content`. As Finish(), and the errors of
  // ReplicaStore::Apply(); INVALID_ARGUMENT with CHECKSUM_MISMATCH or
  // SIZE_MISMATCH if what was written is not `change.file`.
  virtual void FinishReplica(ReplicatedChange change, CommitDone done) = 0;
};

// A file that is open for reading; its bytes stay readable whatever is deleted
// or compacted meanwhile. Thread-safe.
class OpenFile {
 public:
  virtual ~OpenFile() = default;

  virtual const FileInfo& info() const = 0;

  // Reads exactly `length` bytes at `offset`; the range must lie inside the
  // file. Every block it touches is checked against its CRC. Blocks: call it on
  // io(). Reading whole blocks (kBlockBytes, aligned) costs least.
  //   DATA_LOSS    CONTENT_DAMAGED: a block does not match. Nothing is
  //   returned. UNAVAILABLE  READ_FAILED: the disk refused.
  virtual absl::StatusOr<absl::Cord> Read(int64_t offset, int64_t length) = 0;

  // As Read(), but nullopt if it would have to wait for the disk.
  virtual absl::optional<absl::StatusOr<absl::Cord>> TryRead(
      int64_t offset, int64_t length) = 0;

  // The CRC-32C of a range that was read, without looking at its bytes again:
  // known of whole blocks.
  virtual absl::optional<uint32_t> CheckedCrc(int64_t offset, int64_t length) {
    static_cast<void>(offset);
    static_cast<void>(length);
    return absl::nullopt;
  }
};

enum class StorePathState { kActive, kFull, kReadOnly, kOffline };

// For people, metrics and trackers. Sizes in bytes.
struct StorePathStatus {
  StorePathState state = StorePathState::kActive;
  bool read_only_by_configuration = false;
  std::string detail;  // Why it is not active and what to do.
  std::string directory;
  Uuid incarnation;
  uint32_t epoch = 0;
  uint64_t last_sequence = 0;
  int64_t total_bytes = 0;
  int64_t free_bytes = 0;
  int64_t reserve_bytes = 0;
  int64_t files = 0;
  int64_t file_bytes = 0;  // Of these; what several share counts for each.
  int64_t live_bytes = 0;
  int64_t undelete_bytes = 0;  // Of `live_bytes`: kept of deleted files.
  int64_t dead_bytes = 0;
  int64_t segments = 0;
  int64_t index_bytes = 0;
  int64_t damaged_records = 0;
};

// How far long work is. Filled by whoever works, read by whoever asks.
struct JobProgress {
  int64_t done_bytes = 0;
  int64_t total_bytes = 0;
};

class ReplicaStore;
class UploadSessions;

class StorePath {
 public:
  virtual ~StorePath() = default;

  // The path without what it passes on from other members: itself, or what it
  // stands before.
  virtual StorePath* local() { return this; }

  // The same path, as the members that copy each other see it.
  virtual ReplicaStore* replica() = 0;

  // Its uploads that outlive a call; null if it has none. Lives as long as the
  // path.
  virtual UploadSessions* uploads() { return nullptr; }

  // Queues a small file. The caller looks at writable() first; a burst that is
  // queued together is committed together.
  virtual void Put(PutRequest request, CommitDone done) = 0;

  // Queues a deletion. The answer says in
  // FileInfo::undelete_until_unix_seconds until when it can be taken back.
  // Errors besides those of every change:
  //   NOT_FOUND    FILE_NOT_FOUND, FILE_DELETED (with `purge`: and nothing is
  //                kept of it), FILE_EXPIRED.
  //   UNAVAILABLE  CONTENT_NOT_HERE: with `purge`, a file that another member
  //                knows to be deleted, and this one does not know.
  virtual void Delete(DeleteRequest request, CommitDone done) = 0;

  // Queues the end of a deletion: the file is there again as it was, in a new
  // life. Errors besides those of every change:
  //   NOT_FOUND            FILE_NOT_FOUND; FILE_DELETED: its content is not
  //                        kept any more; FILE_EXPIRED; FILE_SEALED.
  //   ALREADY_EXISTS       FILE_EXISTS: it is not deleted.
  //   UNAVAILABLE          CONTENT_NOT_HERE: another member may have the
  //                        content, or may have heard of the deletion.
  virtual void Undelete(UndeleteRequest request, CommitDone done) = 0;

  // Queues a change of an appender's content. A call that is repeated with its
  // request_id is answered with the file as the first one left it. Errors
  // besides those of every change:
  //   NOT_FOUND            FILE_NOT_FOUND, FILE_DELETED, FILE_EXPIRED.
  //   FAILED_PRECONDITION  NOT_AN_APPENDER.
  //   OUT_OF_RANGE         RANGE_PAST_END: kModify behind the end.
  //   ABORTED              CONDITION_FAILED. Nothing was changed.
  //   INVALID_ARGUMENT     TOO_LARGE.
  //   UNAVAILABLE          CONTENT_NOT_HERE: the content is at other members.
  //   UNAVAILABLE, DATA_LOSS  as of OpenFile::Read(): bytes that stay could not
  //                        be read.
  virtual void Update(UpdateRequest request, CommitDone done) = 0;

  // Queues the end of an appender; the answer is the file that it became. What
  // comes after it for the appender's name is NOT_FOUND with FILE_SEALED and,
  // in the metadata, the `file_id` of that. A repeated call is answered with
  // what the first one made. Errors as of Update(), but for the range and the
  // size.
  virtual void Seal(SealRequest request, CommitDone done) = 0;

  // Queues a change of a file's attributes: a new version with the same
  // content. Errors besides those of every change:
  //   NOT_FOUND            FILE_NOT_FOUND, FILE_DELETED, FILE_EXPIRED.
  //   INVALID_ARGUMENT     TOO_LARGE: what comes out has too many attributes.
  //   FAILED_PRECONDITION  VERSION_MISMATCH: the file has another version,
  //                        which is in the metadata.
  //   DATA_LOSS            CONTENT_DAMAGED: what the path knows of the file is
  //                        damaged.
  virtual void SetAttributes(SetAttributesRequest request, CommitDone done) = 0;

  // Queues a change of when a file expires: a new version with the same
  // content. Errors besides those of every change: as SetAttributes(), but for
  // TOO_LARGE and VERSION_MISMATCH.
  virtual void SetExpiry(SetExpiryRequest request, CommitDone done) = 0;

  // Queues a copy that shares the content; FileInfo::copied_from says so in the
  // answer. Errors besides those of every change:
  //   NOT_FOUND            FILE_NOT_FOUND, FILE_DELETED, FILE_EXPIRED.
  //   FAILED_PRECONDITION  WRONG_KIND. NOT_SUPPORTED: the content is not all of
  //                        a segment of its own: read it and put it.
  //   ABORTED              CONDITION_FAILED: it has another size or CRC.
  //   UNAVAILABLE          CONTENT_NOT_HERE: the content is at other members.
  virtual void Copy(CopyRequest request, CommitDone done) = 0;

  // Begins a large file, or one whose size is not known. Blocks: call it on
  // io(). `size_bytes`, if known, is checked against the free space at once.
  //   RESOURCE_EXHAUSTED, FAILED_PRECONDITION, UNAVAILABLE  as of every change.
  virtual absl::StatusOr<std::unique_ptr<Upload>> StartUpload(
      absl::optional<int64_t> size_bytes) = 0;

  // What is known of a file.
  //   NOT_FOUND    FILE_NOT_FOUND, FILE_DELETED, FILE_EXPIRED, FILE_SEALED.
  //   UNAVAILABLE  READ_FAILED; SHUTTING_DOWN.
  //   DATA_LOSS    CONTENT_DAMAGED: the index is damaged there.
  // The first may block; the second gives nullopt instead.
  virtual absl::StatusOr<FileInfo> Stat(absl::string_view name) = 0;
  virtual absl::optional<absl::StatusOr<FileInfo>> TryStat(
      absl::string_view name) = 0;

  // Opens a file for reading. Errors as Stat(), and
  //   UNAVAILABLE  CONTENT_NOT_HERE: the file is known, and its content is at
  //                other members.
  virtual absl::StatusOr<std::unique_ptr<OpenFile>> Open(
      absl::string_view name) = 0;
  virtual absl::optional<absl::StatusOr<std::unique_ptr<OpenFile>>> TryOpen(
      absl::string_view name) = 0;

  // Shows `visitor` the files of a range in the order of their keys, each once,
  // and returns where the rest begins: FileRange::from of the next call, behind
  // what was shown or skipped; empty if there is nothing left. May end
  // anywhere, so that no call takes everything into memory. What was committed
  // before the call is seen; of what is committed meanwhile, some may be.
  // Blocks.
  //   UNAVAILABLE  READ_FAILED; SHUTTING_DOWN.
  //   DATA_LOSS    CONTENT_DAMAGED: the index is damaged there.
  virtual absl::StatusOr<std::string> ScanFiles(const FileRange& range,
                                                FileVisitor* visitor) = 0;

  // What an earlier change with this id answered, if there was one and it is
  // not older than 24 hours: Committed::replayed is true. `reached` is at least
  // `wanted`: what was asked for less is synced first. May block.
  //   FAILED_PRECONDITION, ABORTED, UNAVAILABLE  as of every change, if it has
  //   to be synced.
  virtual absl::StatusOr<absl::optional<Committed>> FindRequest(
      const Uuid& request_id, Durability wanted) = 0;

  // As FindRequest(), but nullopt if it would have to wait for the disk.
  virtual absl::optional<absl::StatusOr<absl::optional<Committed>>>
  TryFindRequest(const Uuid& request_id, Durability wanted) = 0;

  // OK if a change of `bytes` would be taken now, else the error that it would
  // get. Cheap; for admission before a body is received.
  virtual absl::Status Writable(int64_t bytes) = 0;

  // Cheap enough for once a second.
  virtual StorePathStatus Status() = 0;

  // The newest FileInfo::create_unix_seconds that was ever committed here by
  // this node, or 0: new IDs must be younger, so that none is made twice.
  virtual int64_t newest_create_unix_seconds() = 0;

  // Compacts segments with at least this share of dead bytes, 0..1. Blocks for
  // long; stops early with OK when Stop() is called. `progress` may be called
  // often, on the same thread.
  virtual absl::Status Compact(
      double dead_share_min,
      absl::AnyInvocable<void(const JobProgress&)> progress) = 0;

  // Gives up what is kept of deleted files, whatever was promised, on this path
  // alone: other members go on keeping it. Compact() makes room of it. Blocks;
  // stops early with OK when Stop() is called.
  virtual absl::Status DropDeleted() = 0;

  // Answers what is queued, syncs, writes a clean end to the journal and
  // closes. After it returns nothing runs; every call answers SHUTTING_DOWN.
  virtual void Stop() = 0;

  // The pool for calls on this path that block. Lives as long as the path.
  virtual Executor* io() = 0;

  virtual int64_t small_file_bytes_max() const = 0;
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_STORE_PATH_H_
