// The messages of BatchService, laid out and read by hand: they carry most of
// the small files of a cluster, many to a message, and generated code would
// allocate for every field and copy every content.
//
//   client  BatchRequestWriter  ──▶  RunRequest   ──▶  BatchRequestReader
//   server client  BatchResponseReader ◀──  RunResponse  ◀──
//   BatchResponseWriter server
//
// Not thread-safe.

#ifndef CAIRN_LIB_RPC_BATCH_WIRE_H_
#define CAIRN_LIB_RPC_BATCH_WIRE_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "lib/rpc/wire.h"

namespace cairn {
namespace rpc {

// A message of the stream holds at most this much.
inline constexpr size_t kBatchMessageBytesMax = 4 << 20;

// What a put or get in a batch may carry.
inline constexpr int64_t kBatchContentBytesMax = 1 << 20;

// Longer than any file ID, request_id or extension that is valid.
inline constexpr size_t kBatchTextBytesMax = 150;

enum class BatchOperation {
  kNone,
  kPut,
  kGet,
  kStat,
  kDelete,
  kSetAttributes,
  kAppend,
};

// cairn.common.v1.Durability; the numbers are those of the enums there.
struct BatchDurability {
  uint32_t level = 0;
  uint32_t replicas = 0;
  uint32_t policy = 0;
};

// cairn.storage.v1.BatchItem. Which of the fields mean something depends on
// the operation. Views last until the next call of Next(), Cords for as long
// as they are kept.
struct BatchItem {
  uint64_t item_id = 0;
  BatchOperation operation = BatchOperation::kNone;

  absl::string_view file_id;     // Get, stat, delete, append.
  absl::string_view request_id;  // Put, delete, append.
  BatchDurability durability;    // Put, delete, append.

  // Put, append.
  uint32_t crc32c = 0;
  absl::Cord content;

  // Append: a message UpdateCondition.
  absl::string_view condition;

  // Put.
  absl::optional<uint32_t> store_path;
  absl::string_view extension;
  absl::string_view attributes;  // A message cairn.common.v1.Attributes.
  absl::string_view lifetime;    // A message cairn.common.v1.Lifetime.
  absl::optional<absl::string_view> derived;  // A message DerivedName.
  absl::optional<bool> dedup;

  bool purge = false;         // Delete.
  bool with_derived = false;  // Delete.

  // Get.
  int64_t offset = 0;
  absl::optional<int64_t> length;

  bool include_attributes = false;  // Get, stat.

  // Set attributes: the whole SetAttributesOperation. Rare, and small beside
  // what a message may hold: generated code is good enough for it.
  absl::string_view set_attributes;
};

// cairn.common.v1.FileInfo, as it is sent. The ID is `id_prefix` + `id_rest`,
// so that a server need not put it together.
struct BatchFileInfo {
  absl::string_view id_prefix;
  absl::string_view id_rest;
  int64_t size_bytes = 0;
  uint32_t crc32c = 0;
  int kind = 0;  // cairn.common.v1.FileKind.
  int64_t create_unix_seconds = 0;
  uint64_t version_clock = 0;
  uint32_t version_node = 0;
  uint32_t origin_node = 0;
  int64_t expire_unix_seconds = 0;  // 0: never.
  absl::string_view attributes;     // A message cairn.common.v1.Attributes.
  absl::string_view sha256;         // 32 bytes; empty: not known.
};

// cairn.storage.v1.BatchAnswer. `operation` says which outcome it carries;
// kNone with an error that is not OK. Views last until the next Next().
struct BatchAnswer {
  uint64_t item_id = 0;
  BatchOperation operation = BatchOperation::kNone;
  absl::Status error;  // As FromRpcStatus().

  // All but delete; the whole ID in `id_rest`.
  BatchFileInfo info;

  // Put, delete, set attributes, append: cairn.common.v1.DurabilityLevel.
  uint32_t reached_level = 0;
  uint32_t reached_replicas = 0;
  bool replayed = false;

  bool shared = false;  // Put.

  // Delete: until when it can be taken back; 0: not at all.
  int64_t undelete_until_unix_seconds = 0;

  absl::optional<uint32_t> derived_deleted;  // Delete.

  // Get.
  int64_t offset = 0;
  uint32_t crc32c = 0;
  absl::Cord content;
};

// A FileInfo of another message, in the same way. `field` is its number there.
void AppendFileInfo(const BatchFileInfo& info, uint32_t field, WireWriter* out);

// Reads the FileInfo that the reader stands before, into one that is empty. Has
// the whole ID in `id_rest`. Views last as long as the reader and the three
// strings at `scratch`.
void ReadFileInfo(WireReader* reader, std::string* scratch, BatchFileInfo* out);

// Takes a RunRequest apart.
class BatchRequestReader {
 public:
  explicit BatchRequestReader(const grpc::ByteBuffer& buffer)
      : reader_(buffer) {}

  // False after the last item, or if the message is malformed.
  bool Next(BatchItem* item);

  //   INVALID_ARGUMENT (INVALID_FIELD)  the bytes are no RunRequest.
  absl::Status status() const;

 private:
  void ReadPut(BatchItem* item);
  void ReadGet(BatchItem* item);
  void ReadStat(BatchItem* item);
  void ReadDelete(BatchItem* item);
  void ReadAppend(BatchItem* item);

  WireReader reader_;
  std::string scratch_[7];
};

// Puts a RunRequest together.
class BatchRequestWriter {
 public:
  // The fields of `item` that its operation has. Texts of more than
  // kBatchTextBytesMax are cut; the server refuses them either way.
  void Add(const BatchItem& item);

  size_t size() const { return out_.size(); }
  bool empty() const { return out_.empty(); }

  // Refers to the contents of 8 KiB and more until gRPC has sent it.
  grpc::ByteBuffer Finish() { return out_.Finish(); }

 private:
  WireWriter out_;
};

// Takes a RunResponse apart.
class BatchResponseReader {
 public:
  explicit BatchResponseReader(const grpc::ByteBuffer& buffer)
      : reader_(buffer) {}

  // False after the last answer, or if the message is malformed.
  bool Next(BatchAnswer* answer);

  //   INTERNAL  the bytes are no RunResponse.
  absl::Status status() const;

 private:
  void ReadPut(BatchAnswer* answer);
  void ReadGet(BatchAnswer* answer);
  void ReadStat(BatchAnswer* answer);
  void ReadDelete(BatchAnswer* answer);

  WireReader reader_;
  std::string scratch_[3];
};

// Puts a RunResponse together.
class BatchResponseWriter {
 public:
  void AddError(uint64_t item_id, const absl::Status& error);
  void AddPut(uint64_t item_id, const BatchFileInfo& info,
              uint32_t reached_level, uint32_t reached_replicas, bool replayed,
              bool shared);
  // The content's CRC-32C is `crc32c`.
  void AddGet(uint64_t item_id, const BatchFileInfo& info, int64_t offset,
              uint32_t crc32c, const absl::Cord& content);
  void AddStat(uint64_t item_id, const BatchFileInfo& info);
  void AddDelete(uint64_t item_id, uint32_t reached_level,
                 uint32_t reached_replicas, bool replayed,
                 int64_t undelete_until_unix_seconds,
                 absl::optional<uint32_t> derived_deleted);
  void AddSetAttributes(uint64_t item_id, const BatchFileInfo& info,
                        uint32_t reached_level, uint32_t reached_replicas,
                        bool replayed);
  void AddAppend(uint64_t item_id, const BatchFileInfo& info,
                 uint32_t reached_level, uint32_t reached_replicas,
                 bool replayed);

  size_t size() const { return out_.size(); }
  bool empty() const { return out_.empty(); }
  grpc::ByteBuffer Finish() { return out_.Finish(); }

 private:
  // An answer whose outcome is `outcome` followed by `content`.
  void Add(uint64_t item_id, uint32_t field, absl::string_view outcome,
           const absl::Cord& content);

  // One that says what is known of a file and what was reached.
  void AddChange(uint64_t item_id, uint32_t field, const BatchFileInfo& info,
                 uint32_t reached_level, uint32_t reached_replicas,
                 bool replayed, bool shared = false);

  WireWriter out_;
};

}  // namespace rpc
}  // namespace cairn

#endif  // CAIRN_LIB_RPC_BATCH_WIRE_H_
