// The messages of BatchService.Run, written and read without message objects.
// No gRPC in here, so that the fuzzer can reach it.

#ifndef CAIRN_CLIENTS_CPP_BATCH_CODEC_H_
#define CAIRN_CLIENTS_CPP_BATCH_CODEC_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "clients/cpp/file_info_codec.h"
#include "clients/cpp/types.h"
#include "lib/base/uuid.h"

namespace cairn {
namespace client {

enum class SmallKind : uint8_t {
  kPut,
  kGet,
  kStat,
  kDelete,
  kSetAttributes,
  kAppend,
};

// One operation as it goes out. Which fields count depends on `kind`.
struct SmallRequest {
  SmallKind kind = SmallKind::kStat;

  std::string file_id;  // All but kPut.

  // kGet
  int64_t offset = 0;
  absl::optional<int64_t> length;

  // kGet, kStat
  bool include_attributes = false;

  // kPut, kSetAttributes: as lib/attributes lays them out.
  std::string attributes;

  // kPut: from EncodeLifetime().
  std::string lifetime;

  // kSetAttributes
  bool overwrite = false;
  std::vector<std::string> remove;

  // kSetAttributes, kAppend
  absl::optional<std::pair<uint64_t, uint32_t>> if_version_match;

  // kAppend
  absl::optional<int64_t> if_size_bytes;

  bool purge = false;         // kDelete
  bool with_derived = false;  // kDelete

  // All but kGet and kStat
  Uuid request_id;
  Durability durability;

  // kPut
  std::string extension;
  absl::optional<uint32_t> store_path;
  std::string derived_from;  // With `prefix`; empty: it is no derived file.
  std::string prefix;
  absl::optional<bool> dedup;

  // kPut, kAppend. The content is `borrowed` if that is set (it is copied into
  // the message), else `content` (large pieces are referenced).
  uint32_t crc32c = 0;
  absl::string_view borrowed;
  absl::Cord content;

  size_t content_bytes() const {
    return borrowed.empty() ? content.size() : borrowed.size();
  }
};

// Collects items into one RunRequest.
class BatchMessage {
 public:
  void Add(uint64_t item_id, const SmallRequest& request);

  // Bytes so far.
  size_t size() const { return done_.size() + tail_.size(); }

  // The message; this is empty again.
  absl::Cord Take();

 private:
  // Everything but what lies in `tail_`, which follows it.
  absl::Cord done_;
  std::string tail_;
};

// One answer. `status_bytes` is set if the operation failed.
struct SmallAnswer {
  uint64_t item_id = 0;
  bool failed = false;
  SmallKind kind = SmallKind::kStat;  // Of the outcome, if it did not fail.
  std::string status_bytes;           // A google.rpc.Status.
  FileInfo info;
  Reached reached;
  bool replayed = false;
  bool shared = false;                        // kPut
  absl::optional<absl::Time> undelete_until;  // kDelete
  absl::optional<uint32_t> derived_deleted;   // kDelete, with `with_derived`

  // kGet
  int64_t offset = 0;
  uint32_t crc32c = 0;
  absl::Cord content;
};

// Reads the answers out of one RunResponse.
class AnswerReader {
 public:
  // `message` is borrowed.
  explicit AnswerReader(const absl::Cord& message);

  enum class Result { kAnswer, kEnd, kMalformed };

  // Overwrites `answer`.
  Result Next(SmallAnswer* answer);

 private:
  // The next `size` bytes in one piece, in place or in `scratch_`; they are not
  // passed over.
  absl::string_view Peek(size_t size);
  bool ReadVarint(uint64_t* value);
  void Advance(size_t size);

  const absl::Cord& message_;
  absl::Cord::CharIterator at_;
  size_t position_ = 0;
  std::string scratch_;
};

}  // namespace client
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CPP_BATCH_CODEC_H_
