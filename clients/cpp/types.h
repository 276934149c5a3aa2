// The values that go into and come out of a Client. Plain structs: no gRPC, no
// wire messages. Every member has an initializer, so that designated ones can
// name the few that matter without a warning.

#ifndef CAIRN_CLIENTS_CPP_TYPES_H_
#define CAIRN_CLIENTS_CPP_TYPES_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/cord.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "lib/attributes/attributes.h"
#include "lib/base/uuid.h"

namespace cairn {
namespace client {

// What an acknowledgement survives. kCached: a killed process. kSynced: a power
// cut.
enum class DurabilityLevel { kCached = 1, kSynced = 2 };

// kBestEffort: min(replicas, members that are up). kRequired: exactly that
// many, or UNAVAILABLE with INSUFFICIENT_REPLICAS.
enum class ReplicaPolicy { kBestEffort = 1, kRequired = 2 };

// What a change asks for before it is acknowledged.
struct Durability {
  DurabilityLevel level = DurabilityLevel::kSynced;
  uint32_t replicas = 0;  // 0..32; 0 is the group's default.
  ReplicaPolicy policy = ReplicaPolicy::kBestEffort;
};

enum class FileKind { kNormal = 1, kAppender = 2, kDerived = 3 };

// What is known of a file.
// What a member of a group has of a file.
enum class ReplicaState {
  kCurrent = 1,         // The file in the version of FileInfo.
  kContentMissing = 2,  // It knows that version; its content is to come.
  kOtherVersion = 3,    // It is behind, or ahead of the member that was asked.
  kAbsent = 4,          // Nothing, or that the file was deleted.
  kUnreachable = 5,     // It could not be asked.
};

struct Replica {
  std::string node_uuid = {};
  std::string node_name = {};  // Empty if it is not known.
  uint32_t node_number = 0;    // 0 if it is not known.
  ReplicaState state = ReplicaState::kUnreachable;
};

struct FileInfo {
  std::string file_id = {};
  int64_t size_bytes = 0;
  uint32_t crc32c = 0;  // Of the whole content.
  FileKind kind = FileKind::kNormal;
  absl::Time create_time = absl::UnixEpoch();  // Whole seconds.
  uint64_t version_clock = 0;
  uint32_t version_node = 0;
  uint32_t origin_node = 0;  // Number of the node that took the upload.

  // From when on it is not found, whole seconds; unset: it does not expire.
  absl::optional<absl::Time> expire_time = {};

  // SHA-256 of the content, 32 bytes, of a file that was stored to share it
  // (PutOptions::dedup). Empty: nobody has computed it.
  std::string sha256 = {};

  // What users say of it, where that was asked for. What is allowed, and keys
  // that mean something: lib/attributes.
  Attributes attributes = {};

  // Every member of the group, the one that answered first, where that was
  // asked for.
  std::vector<Replica> replicas = {};
};

// When a file expires: it is not found any more then, and its space is
// reclaimed some time later. One of the two; with neither it never does.
struct Lifetime {
  // In the future. What is not a whole second is rounded up.
  absl::optional<absl::Time> expire_time = {};

  // So long after the node takes the call; at least a second.
  absl::optional<absl::Duration> time_to_live = {};
};

// Called with the bytes that have gone over so far and, if it is known, the
// total. Runs on the thread that moves the bytes and must return fast. After a
// transfer that had to begin again the first number goes back.
using Progress =
    std::function<void(int64_t done_bytes, absl::optional<int64_t> total)>;

struct PutOptions {
  // Group to store in; empty lets the cluster's policy choose.
  std::string group = {};

  // 0..15 characters of `[A-Za-z0-9]`, dots between them allowed.
  std::string extension = {};

  // Store path on the node, 0..255; unset lets the placement choose.
  absl::optional<uint32_t> store_path = {};

  Durability durability = {};

  // For the whole operation with all its repetitions. A large file may take any
  // time by default, as long as it moves (ClientOptions::stall_timeout).
  absl::optional<absl::Duration> timeout = {};

  // Makes the same Put() repeatable across processes: a second one with this id
  // stores nothing and returns the first one's file. Nil: one is made.
  Uuid request_id = {};

  // The file has these from its beginning on.
  Attributes attributes = {};
  Lifetime lifetime = {};

  // ID of a master: the file is named after it, with `prefix` (1 to 32
  // characters of `[A-Za-z0-9_-]`) and `extension`, and lies in its group and
  // store path, which are not given. Its ID is known beforehand:
  // DerivedFileId() of lib/file_id. Empty: the file gets an ID of its own.
  std::string derived_from = {};
  std::string prefix = {};

  // Share the content with other files of the store path that have the same:
  // PutResult::shared says whether there was one. The node decides, and leaves
  // small contents alone. Unset: what the node's configuration says.
  absl::optional<bool> dedup = {};

  Progress progress = {};  // For files and readers only. May be empty.
};

struct PutResult {
  FileInfo info;
  DurabilityLevel level = DurabilityLevel::kCached;  // That was reached.
  uint32_t replicas = 0;                             // That have it.
  bool replayed = false;  // An earlier Put() with the request_id stored it.
  bool shared = false;    // Its content was there already; no byte was stored.
};

// A part of a file that the node has durably.
struct SentPart {
  int64_t offset = 0;
  int64_t length = 0;
  uint32_t crc32c = 0;
};

// What another process needs to go on with an upload.
struct UploadState {
  std::string upload_id = {};
  std::vector<SentPart> parts = {};  // May be left out: then less is compared.
};

struct ResumableOptions {
  // `progress` is called on several threads, one at a time. `request_id`: nil
  // makes the upload's own, so that it is finished once in any case.
  PutOptions put = {};

  // Parts that are sent at a time, 1..64, and bytes of each, a multiple of
  // 256 KiB.
  int streams = 1;
  int64_t part_bytes = 32 << 20;

  // The upload to go on with. Empty: a new one.
  UploadState resume = {};

  // Told the ID of a new upload before anything is sent, and of each part that
  // has become durable; one call at a time. An error ends the call and is its
  // result. May be empty.
  std::function<absl::Status(const std::string& upload_id)> begun = {};
  std::function<absl::Status(const SentPart& part)> part_sent = {};
};

struct GetOptions {
  int64_t offset = 0;  // First byte, 0..size.
  absl::optional<int64_t> length =
      {};  // Bytes; what lies past the end is left out.
  absl::optional<absl::Duration> timeout = {};  // As PutOptions::timeout.
  bool include_attributes = false;              // In FileInfo.
  Progress progress = {};                       // Not for Get() into memory.
};

struct GetResult {
  FileInfo info;
  absl::Cord content = {};  // From GetOptions::offset on. Checked.
};

struct StatOptions {
  absl::optional<absl::Duration> timeout = {};
  bool include_attributes = false;  // In FileInfo.

  // The same. The member that is asked asks all others, and waits some seconds
  // for those that do not answer.
  bool include_replicas = false;
};

struct SetAttributesOptions {
  // The file must have this version (FileInfo::version_clock and
  // version_node), or the change fails with VERSION_MISMATCH; unset: any.
  absl::optional<std::pair<uint64_t, uint32_t>> if_version_match = {};
  Durability durability = {};
  absl::optional<absl::Duration> timeout = {};
  Uuid request_id = {};  // As PutOptions::request_id.
};

struct SetAttributesResult {
  FileInfo info;  // With its new version; without attributes.
  DurabilityLevel level = DurabilityLevel::kCached;
  uint32_t replicas = 0;
  bool replayed = false;
};

struct SetExpiryOptions {
  Durability durability = {};
  absl::optional<absl::Duration> timeout = {};
  Uuid request_id = {};  // As PutOptions::request_id.
};

// The file with its new version; without attributes.
using SetExpiryResult = PutResult;

struct CopyOptions {
  // Of the new file. Unset: those of the file that is copied.
  absl::optional<std::string> extension = {};
  absl::optional<Attributes> attributes = {};

  Lifetime lifetime = {};  // Of the new file.
  Durability durability = {};
  absl::optional<absl::Duration> timeout = {};
  Uuid request_id = {};  // As PutOptions::request_id.
};

// The new file, without attributes. `shared`: no byte was copied.
using CopyResult = PutResult;

// For a change of an appender.
struct UpdateOptions {
  // Only if the file has this size, and this version (FileInfo::version_clock
  // and version_node); else ABORTED with CONDITION_FAILED.
  absl::optional<int64_t> if_size_bytes = {};
  absl::optional<std::pair<uint64_t, uint32_t>> if_version_match = {};

  Durability durability = {};
  absl::optional<absl::Duration> timeout = {};
  Uuid request_id = {};  // As PutOptions::request_id.
};

// The file as the change left it.
using UpdateResult = PutResult;

struct DeleteOptions {
  Durability durability = {};

  // Delete what is derived from the file, too, and first; each on its own.
  bool with_derived = false;

  // There is no way back: nothing is kept for Undelete(). Of a file that was
  // deleted before, what is kept of it is given up.
  bool purge = false;
  absl::optional<absl::Duration> timeout = {};
  Uuid request_id = {};  // As PutOptions::request_id.
};

struct DeleteResult {
  DurabilityLevel level = DurabilityLevel::kCached;
  uint32_t replicas = 0;
  bool replayed = false;
  uint32_t derived_deleted = 0;  // By this call, with `with_derived`.

  // Until when Undelete() can bring it back; unset: it cannot.
  absl::optional<absl::Time> undelete_until = {};
};

struct UndeleteOptions {
  Durability durability = {};
  absl::optional<absl::Duration> timeout = {};
  Uuid request_id = {};  // As PutOptions::request_id.
};

// The file with its new version; without attributes.
using UndeleteResult = PutResult;

struct ListDerivedOptions {
  uint32_t page_size = 0;       // 1..1000; 0: the node's choice.
  std::string page_token = {};  // ListDerivedResult::next_page_token, or empty.
  absl::optional<absl::Duration> timeout = {};
};

struct ListDerivedResult {
  std::vector<FileInfo> files = {};  // Without attributes.
  std::string next_page_token = {};  // Empty after the last page.
};

// Where the bytes of a file come from. Used by one thread at a time.
class ContentReader {
 public:
  virtual ~ContentReader() = default;

  // Reads 1 to `size` bytes, or 0 at the end and only there. May block.
  virtual absl::StatusOr<size_t> Read(char* buffer, size_t size) = 0;

  // Begins again from the first byte, so that a broken upload can be repeated.
  // False if that cannot be done: the upload then fails instead.
  virtual bool Rewind() { return false; }
};

// Where the bytes of a file go. Used by one thread at a time.
class ContentSink {
 public:
  virtual ~ContentSink() = default;

  // Takes the next bytes; they are checked and never sent twice. May block. An
  // error ends the download and is its result.
  virtual absl::Status Write(const absl::Cord& data) = 0;
};

}  // namespace client
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CPP_TYPES_H_
