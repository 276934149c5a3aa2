// The index of a store path: a RocksDB without a write-ahead log, whose tables
// hold exactly what the journal says up to one position.
//
// Keys, values and column families: docs/formats/index.md. One thread at a
// time writes (the committer, or whoever opens the path); any thread reads.
//
//   Write … Write ─▶ memtables ── StartFlush ──▶ tables, all families at once
//                                                and durable together
//
// Memtables are never flushed but by StartFlush(): only its caller knows that
// what they refer to is durable.

#ifndef CAIRN_SERVICES_STORAGE_STORE_INDEX_H_
#define CAIRN_SERVICES_STORAGE_STORE_INDEX_H_

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "cairn/disk/v1/index.pb.h"
#include "lib/base/clock.h"
#include "lib/base/uuid.h"
#include "lib/io/file_system.h"
#include "rocksdb/db.h"
#include "rocksdb/write_batch.h"
#include "services/storage/store/engine_metrics.h"
#include "services/storage/store/file_record.h"

namespace cairn {
namespace storage {

struct IndexOptions {
  std::string directory;
  bool create_if_missing = false;
  int64_t block_cache_bytes = 0;
  int64_t memtable_bytes = 0;
  absl::Duration request_retention;
};

enum class IndexFamily : int {
  kDefault = 0,
  kFiles,
  kAttributes,
  kLog,
  kOrigins,
  kUploads,
  kRequests,
  kExpiry,
  kSegments,
};
inline constexpr int kIndexFamilies = 9;

// A name whose tombstone may be dropped after `unix_seconds`.
struct ExpiryKey {
  int64_t unix_seconds = 0;
  std::string name;
};

// Changes that become visible together. Not thread-safe; keeps its memory when
// cleared.
class IndexBatch {
 public:
  void PutState(const disk::v1::IndexState& state);
  void PutFile(absl::string_view name, const FileRecord& record);
  void DeleteFile(absl::string_view name);
  void PutLog(uint32_t origin, uint64_t sequence,
              const disk::v1::LogEntry& entry);
  void PutOrigin(uint32_t origin, const disk::v1::OriginEntry& entry);
  void PutRequest(absl::string_view request_id,
                  const disk::v1::RequestEntry& entry);
  void PutExpiry(const ExpiryKey& key);
  void DeleteExpiry(const ExpiryKey& key);
  void PutSegment(uint64_t number, const disk::v1::SegmentEntry& entry);
  void DeleteSegment(uint64_t number);
  void PutDoomed(uint64_t number, const disk::v1::DoomedSegment& entry);
  void DeleteDoomed(uint64_t number);

  void Clear() { batch_.Clear(); }
  bool empty() const { return batch_.Count() == 0; }

 private:
  friend class Index;
  explicit IndexBatch(
      const std::array<rocksdb::ColumnFamilyHandle*, kIndexFamilies>& families)
      : families_(families) {}

  void Put(IndexFamily family, absl::string_view key,
           const google::protobuf::MessageLite& value);
  void Delete(IndexFamily family, absl::string_view key);

  const std::array<rocksdb::ColumnFamilyHandle*, kIndexFamilies> families_;
  rocksdb::WriteBatch batch_;
  std::string scratch_;
  disk::v1::FileEntry file_entry_;
};

// What a lookup that must not wait found.
enum class Lookup { kFound, kMissing, kWouldBlock };

class Index {
 public:
  // `fs` and `clock` are borrowed for the life of the index.
  //   NOT_FOUND   there is none and create_if_missing is false.
  //   DATA_LOSS   it is damaged.
  static absl::StatusOr<std::unique_ptr<Index>> Open(
      const IndexOptions& options, FileSystem* fs, Clock* clock);

  // Closes without flushing.
  ~Index();

  Index(const Index&) = delete;
  Index& operator=(const Index&) = delete;

  // Reads. Errors: DATA_LOSS, UNAVAILABLE. Without `may_block` what is not in
  // memory is kWouldBlock.
  absl::StatusOr<Lookup> GetFile(absl::string_view name, bool may_block,
                                 FileRecord* record);
  absl::StatusOr<Lookup> GetRequest(absl::string_view request_id,
                                    bool may_block,
                                    disk::v1::RequestEntry* entry);
  absl::StatusOr<Lookup> GetLog(uint32_t origin, uint64_t sequence,
                                bool may_block, disk::v1::LogEntry* entry);
  absl::StatusOr<bool> GetOrigin(uint32_t origin, disk::v1::OriginEntry* entry);
  absl::StatusOr<bool> GetState(disk::v1::IndexState* state);

  using SegmentEntries =
      std::vector<std::pair<uint64_t, disk::v1::SegmentEntry>>;
  using DoomedSegments =
      std::vector<std::pair<uint64_t, disk::v1::DoomedSegment>>;
  absl::StatusOr<SegmentEntries> ListSegments();
  absl::StatusOr<DoomedSegments> ListDoomed();

  // The oldest `limit` keys that are not later than `until`.
  absl::StatusOr<std::vector<ExpiryKey>> ListExpired(int64_t until_unix_seconds,
                                                     size_t limit);

  // Calls `visit` for each name in order until it returns false. For tools and
  // tests: reads everything.
  absl::Status ForEachFile(
      const std::function<bool(absl::string_view, const FileRecord&)>& visit);

  IndexBatch NewBatch() const { return IndexBatch(families_); }

  // Makes a batch visible. Not durable before a flush.
  absl::Status Write(IndexBatch* batch);

  // Bytes of changes in memory that are not being flushed.
  int64_t MemtableBytes();

  // Begins to make everything that was written so far durable, together, and
  // returns; then FlushRunning() is true until it is. Flush() waits for it.
  absl::Status StartFlush();
  absl::Status Flush();
  bool FlushRunning();

  // Waits until no flush runs. An error if a background one failed.
  absl::Status WaitForFlush();

  // Not OK if a background flush or compaction failed; nothing is flushed or
  // compacted until Resume() succeeds.
  absl::Status BackgroundError();
  absl::Status Resume();

  // Fills the index_… fields.
  void FillNumbers(EngineNumbers* numbers);

 private:
  class Listener;
  class RequestFilterFactory;

  Index() = default;
  absl::StatusOr<Lookup> Get(IndexFamily family, absl::string_view key,
                             bool may_block, const char* what,
                             google::protobuf::MessageLite* value);
  rocksdb::ColumnFamilyHandle* family(IndexFamily f) const {
    return families_[static_cast<int>(f)];
  }

  std::unique_ptr<rocksdb::Env> env_;  // Null for the machine's file system.
  std::shared_ptr<Listener> listener_;
  std::shared_ptr<rocksdb::Cache> block_cache_;
  std::shared_ptr<rocksdb::Statistics> statistics_;
  std::unique_ptr<rocksdb::DB> db_;
  std::array<rocksdb::ColumnFamilyHandle*, kIndexFamilies> families_{};
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_INDEX_H_
