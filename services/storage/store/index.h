// The index of a store path: a RocksDB whose tables hold exactly what the
// journal says up to one position, and what changed since then in memory.
//
// Keys, values and column families: docs/formats/index.md. One thread at a
// time writes (the committer, or whoever opens the path); any thread reads.
//
//   Write … Write ─▶ delta ── Freeze ──▶ frozen delta ── Flush ──▶ tables
//                    (memory)                            all families at once,
//                                                        durable together
//
// RocksDB's log is not used, and its memtables only as the way into tables: a
// flush hands them the frozen delta, sorted, in one batch. See
// docs/decisions/0005-index-delta.md.

#ifndef CAIRN_SERVICES_STORAGE_STORE_INDEX_H_
#define CAIRN_SERVICES_STORAGE_STORE_INDEX_H_

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "cairn/disk/v1/index.pb.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/base/uuid.h"
#include "lib/io/file_system.h"
#include "rocksdb/db.h"
#include "rocksdb/write_batch.h"
#include "services/storage/core/file_scan.h"
#include "services/storage/core/file_use.h"
#include "services/storage/store/engine_metrics.h"
#include "services/storage/store/file_record.h"
#include "services/storage/store/index_delta.h"
#include "services/storage/store/log_head.h"

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

// A name to be looked at after `unix_seconds`.
struct ExpiryKey {
  enum class Kind : char {
    kTombstone = 't',  // It may be dropped.
    kFile = 'e',       // Its space may be reclaimed, if it has expired.
    kKept = 'u',       // What a tombstone keeps may be given up.
  };
  int64_t unix_seconds = 0;
  Kind kind = Kind::kTombstone;
  std::string name;
};

// What tells contents apart: the SHA-256, and the size.
std::string ContentKey(absl::string_view sha256, int64_t size_bytes);

// Changes that are written together. Not thread-safe; keeps its memory when
// cleared. Names and ids are borrowed until Index::Write() or Clear().
class IndexBatch {
 public:
  void PutState(const disk::v1::IndexState& state);
  void PutFile(absl::string_view name, const FileRecord& record);
  void DeleteFile(absl::string_view name);
  void PutLog(const LogItem& item);
  void PutOrigin(const LogHead& head);

  // The content of a file is missing, or not any more.
  void PutMissing(absl::string_view name);
  void DeleteMissing(absl::string_view name);

  // A change that could not be applied is remembered, or not any more.
  void PutSetAside(const disk::v1::FileChange& change);
  void DeleteSetAside(absl::string_view name);

  void PutRequest(const Uuid& id, const RequestItem& item);
  void PutExpiry(const ExpiryKey& key);
  void DeleteExpiry(const ExpiryKey& key);
  void PutSegment(uint64_t number, const disk::v1::SegmentEntry& entry);
  void DeleteSegment(uint64_t number);
  void PutDoomed(uint64_t number, const disk::v1::DoomedSegment& entry);
  void DeleteDoomed(uint64_t number);
  void PutSharedContent(uint64_t number,
                        const disk::v1::SharedContentEntry& entry);
  void DeleteSharedContent(uint64_t number);

  // What the path has of a client's files; deletes the entry if it is none.
  void PutOwner(absl::string_view owner, const FileUse& use);

  // Which dedicated segment holds a content, and which content one holds.
  // `content` is a ContentKey().
  void PutContent(absl::string_view content,
                  const disk::v1::ContentEntry& entry);
  void DeleteContent(absl::string_view content);
  void PutContentOfSegment(uint64_t number,
                           const disk::v1::SegmentContentEntry& entry);
  void DeleteContentOfSegment(uint64_t number);

  void Clear();

 private:
  friend class Index;

  struct FileChange {
    absl::string_view name;
    size_t value_begin = 0;  // In values_.
    size_t value_end = 0;
    bool deleted = false;
  };
  struct SmallChange {
    IndexFamily family;
    std::string key;
    absl::optional<std::string> value;
  };

  std::vector<FileChange> files_;
  std::string values_;
  std::vector<LogItem> log_;
  std::vector<std::pair<Uuid, RequestItem>> requests_;
  std::vector<SmallChange> small_;
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
  absl::StatusOr<Lookup> GetRequest(const Uuid& id, bool may_block,
                                    RequestItem* item);
  absl::StatusOr<Lookup> GetLog(uint32_t origin, uint64_t sequence,
                                bool may_block, disk::v1::LogEntry* entry);

  // The dedicated segment of a content, and the content of one. `content` is a
  // ContentKey().
  absl::StatusOr<bool> GetContent(absl::string_view content,
                                  disk::v1::ContentEntry* entry);
  absl::StatusOr<bool> GetContentOfSegment(
      uint64_t number, disk::v1::SegmentContentEntry* entry);

  // Entries of a log behind `after`, in order without gaps, at most `limit`;
  // none if the first of them is not there.
  struct LogRow {
    uint64_t sequence = 0;
    disk::v1::LogEntry entry;
  };
  absl::StatusOr<std::vector<LogRow>> ReadLog(uint32_t origin, uint64_t after,
                                              size_t limit);

  // Files whose content is missing, behind `after`, at most `limit`.
  absl::StatusOr<std::vector<std::string>> ListMissing(absl::string_view after,
                                                       size_t limit);

  // The oldest `limit` keys that are not later than `until`, from behind
  // `after` on (null: from the first). Those that were put since the last flush
  // may be missing.
  absl::StatusOr<std::vector<ExpiryKey>> ListExpired(
      int64_t until_unix_seconds, size_t limit,
      const ExpiryKey* after = nullptr);

  // What the tables say, without what was written since the last flush: for
  // whoever opens the path, and for tools.
  absl::StatusOr<bool> GetState(disk::v1::IndexState* state);
  using SegmentEntries =
      std::vector<std::pair<uint64_t, disk::v1::SegmentEntry>>;
  using DoomedSegments =
      std::vector<std::pair<uint64_t, disk::v1::DoomedSegment>>;
  absl::StatusOr<SegmentEntries> ListSegments();
  absl::StatusOr<DoomedSegments> ListDoomed();
  using SharedContents =
      std::vector<std::pair<uint64_t, disk::v1::SharedContentEntry>>;
  absl::StatusOr<SharedContents> ListSharedContents();
  absl::StatusOr<std::vector<LogHead>> ListOrigins();
  absl::StatusOr<UseByOwner> ListOwners();
  absl::StatusOr<std::vector<disk::v1::FileChange>> ListSetAside();

  // Calls `visit` for each name in order until it returns false.
  absl::Status ForEachFile(
      const std::function<bool(absl::string_view, const FileRecord&)>& visit);

  // Files behind the key `from` (none if it is empty: from the first), in the
  // order of keys, at most `limit`, as the tables have them: without what was
  // written since the last flush. `next` is the key of the last one, empty if
  // there are no more.
  struct FileRow {
    std::string name;
    FileRecord record;
  };
  absl::StatusOr<std::vector<FileRow>> ReadFiles(absl::string_view from,
                                                 size_t limit,
                                                 std::string* next) {
    return ReadFiles(from, /*until=*/"", limit, next);
  }

  // The same up to the key `until`, included; empty: to the last one.
  absl::StatusOr<std::vector<FileRow>> ReadFiles(absl::string_view from,
                                                 absl::string_view until,
                                                 size_t limit,
                                                 std::string* next);

  // As StorePath::ScanFiles(), of what the tables have and what was written
  // since: FileVisitor::OnKey() is `on_key`, and OnFile() is `on_file`, which
  // gets the key, the name and the record.
  absl::StatusOr<std::string> ScanFiles(
      const FileRange& range,
      absl::FunctionRef<FileVisitor::Step(absl::string_view, std::string*)>
          on_key,
      absl::FunctionRef<bool(absl::string_view, absl::string_view,
                             const FileRecord&)>
          on_file);

  // Makes a batch visible, and clears it. Not durable before a flush. A reader
  // never finds a request or a log entry before the file.
  void Write(IndexBatch* batch);

  // Memory of what was written since the last Freeze().
  int64_t DeltaBytes() const { return delta_.active_bytes(); }

  // Marks everything that was written so far for the next Flush(). On the
  // writer's thread; costs nothing. False if what was marked before is not
  // flushed yet: then nothing has happened.
  bool Freeze();

  // Something is marked and not durable.
  bool has_frozen() const { return delta_.has_frozen(); }

  // About so much of the disk the next Flush() takes; so much it would take to
  // flush everything.
  int64_t frozen_room() const { return delta_.frozen_bytes() + kRoomForTables; }
  int64_t flush_room() const { return frozen_room() + delta_.active_bytes(); }

  // Makes durable, together, what Freeze() marked. The caller has made durable
  // what it refers to, and has seen that there is frozen_room(). Does
  // nothing if nothing is marked. Blocks; one thread at a time. An error is
  // final, also for lack of space: what is marked stays readable, and is not
  // flushed until the index is opened again.
  absl::Status Flush() ABSL_LOCKS_EXCLUDED(flush_mu_);

  // Not OK if a flush or a compaction failed. RESOURCE_EXHAUSTED: there was no
  // room for a compaction; none is tried until Resume().
  absl::Status BackgroundError();
  absl::Status Resume();

  // Fills the index_… fields.
  void FillNumbers(EngineNumbers* numbers);

 private:
  class Listener;
  class RequestFilterFactory;

  // What tables take besides their entries, for all families: some pages each.
  static constexpr int64_t kRoomForTables = 48 << 10;

  Index() = default;
  // Of the tables: the entries of `segments` with this prefix, by number.
  template <typename Entry>
  absl::StatusOr<std::vector<std::pair<uint64_t, Entry>>> ListOfSegments(
      char prefix, absl::string_view what, absl::string_view listing);

  // What was written since the last flush, or the tables say.
  absl::StatusOr<bool> GetOfSegments(const std::string& key, const char* what,
                                     google::protobuf::MessageLite* value);

  // Of the tables: one value.
  absl::StatusOr<Lookup> Get(IndexFamily family, absl::string_view key,
                             bool may_block, const char* what,
                             google::protobuf::MessageLite* value);
  bool MemtablesAreEmpty();
  absl::Status HandFrozenOver() ABSL_EXCLUSIVE_LOCKS_REQUIRED(flush_mu_);
  void DropTablesOfCutLogs() ABSL_EXCLUSIVE_LOCKS_REQUIRED(flush_mu_);
  rocksdb::ColumnFamilyHandle* family(IndexFamily f) const {
    return families_[static_cast<int>(f)];
  }

  std::unique_ptr<rocksdb::Env> env_;  // Null for the machine's file system.
  std::shared_ptr<Listener> listener_;
  std::shared_ptr<rocksdb::Cache> block_cache_;
  std::shared_ptr<rocksdb::Statistics> statistics_;
  std::unique_ptr<rocksdb::DB> db_;
  std::array<rocksdb::ColumnFamilyHandle*, kIndexFamilies> families_{};

  IndexDelta delta_;
  Mutex flush_mu_;  // Held by Flush().

  // Of each log, up to where the tables hold no entries any more.
  std::map<uint32_t, uint64_t> log_cuts_ ABSL_GUARDED_BY(flush_mu_);
  std::vector<uint32_t> cut_logs_ ABSL_GUARDED_BY(flush_mu_);  // Just now.
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_INDEX_H_
