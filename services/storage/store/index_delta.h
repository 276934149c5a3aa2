// What changed in the index since its last flush, in memory.
//
//   Put… ─▶ active ── Freeze ──▶ frozen ── (written to tables) ── DropFrozen
//            readers look in both, the newer first
//
// RocksDB's own memtables do the same, but a sorted insert of a random name
// costs several times what all the rest of a commit does, and the order is
// needed only once: when the tables are written. So names and request ids are
// in hash tables here, the log is a list, and Freeze() costs nothing.

#ifndef CAIRN_SERVICES_STORAGE_STORE_INDEX_DELTA_H_
#define CAIRN_SERVICES_STORAGE_STORE_INDEX_DELTA_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "lib/base/mutex.h"
#include "lib/base/uuid.h"
#include "services/storage/core/file_info.h"

namespace cairn {
namespace storage {

// Bytes that stay where they are until the arena goes. Not thread-safe.
class Arena {
 public:
  char* Allocate(size_t size);
  absl::string_view Copy(absl::string_view bytes);
  int64_t allocated_bytes() const { return allocated_bytes_; }

 private:
  std::vector<std::unique_ptr<char[]>> chunks_;
  size_t left_ = 0;
  char* next_ = nullptr;
  int64_t allocated_bytes_ = 0;
};

// LogItem.operation, and that of LogEntry on disk.
inline constexpr uint32_t kLogPut = 1;
inline constexpr uint32_t kLogDelete = 2;
inline constexpr uint32_t kLogChange = 3;

// A change of the log. The name's owner is the delta, or whoever calls.
struct LogItem {
  uint64_t sequence = 0;
  uint64_t version_clock = 0;
  uint32_t origin = 0;
  uint32_t version_node = 0;
  uint32_t operation = 0;
  uint32_t life = 0;
  absl::string_view name;
  Uuid request_id;  // Nil for none.

  // Of an appender: the file then, and, after a change that only added to its
  // end, before. `version` of `state` is the change's.
  absl::optional<FileState> state;
  absl::optional<FileState> base;
};

struct RequestItem {
  uint64_t log_sequence = 0;
  uint32_t log_origin = 0;
  uint32_t unix_minutes = 0;
};

// Whether a delta says anything of a key, and what.
enum class DeltaFound { kNothing, kValue, kDeleted };

// Thread-safe: one thread at a time writes and freezes, any thread reads.
class IndexDelta {
 public:
  // Families that are small: sorted, under one lock. The numbers are those of
  // IndexFamily.
  using SmallKey = std::pair<int, std::string>;
  using SmallMap = std::map<SmallKey, absl::optional<std::string>>;

  IndexDelta() = default;
  IndexDelta(const IndexDelta&) = delete;
  IndexDelta& operator=(const IndexDelta&) = delete;

  // nullopt deletes.
  void PutFile(absl::string_view name, absl::optional<absl::string_view> value)
      ABSL_LOCKS_EXCLUDED(order_mu_);
  void PutLog(const LogItem& item) ABSL_LOCKS_EXCLUDED(log_mu_);
  void PutRequest(const Uuid& id, const RequestItem& item);
  void PutSmall(int family, std::string key, absl::optional<std::string> value)
      ABSL_LOCKS_EXCLUDED(small_mu_);

  // Calls `visit` with the value, while the entry is locked, if there is one:
  // `visit` must be short.
  template <typename Visit>
  DeltaFound FindFile(absl::string_view name, Visit visit) const;

  // Files in the order of their keys (file_key.h), as they are now.
  struct FileInPage {
    absl::string_view key;                    // Both refer to `bytes`.
    absl::optional<absl::string_view> value;  // nullopt: deleted.
  };
  struct FilePage {
    std::vector<FileInPage> files;

    // Where what was looked at ends: there may be more from this key on. Empty:
    // there is none.
    std::string end;
    Arena bytes;
  };

  // Those whose keys are at least `from` and below `until` (empty: all), about
  // `limit` at most. What is in the tables when this returns may be missing.
  void ReadFiles(absl::string_view from, absl::string_view until, size_t limit,
                 FilePage* page) ABSL_LOCKS_EXCLUDED(order_mu_);

  DeltaFound FindRequest(const Uuid& id, RequestItem* item) const;
  bool FindLog(uint32_t origin, uint64_t sequence, LogItem* item,
               std::string* name) const ABSL_LOCKS_EXCLUDED(log_mu_);

  // Appends the items of a log behind `after`, in order, at most `limit`, and
  // their names to `names`. There may be a gap before the first.
  void ListLog(uint32_t origin, uint64_t after, size_t limit,
               std::vector<LogItem>* items,
               std::vector<std::string>* names) const
      ABSL_LOCKS_EXCLUDED(log_mu_);

  // The small entries of a family whose keys begin with `prefix`: nullopt for
  // those that are deleted.
  std::map<std::string, absl::optional<std::string>> ListSmall(
      int family, absl::string_view prefix) const
      ABSL_LOCKS_EXCLUDED(small_mu_);
  DeltaFound FindSmall(int family, const std::string& key,
                       std::string* value) const ABSL_LOCKS_EXCLUDED(small_mu_);

  // Memory of what is active, roughly.
  int64_t active_bytes() const {
    return active_bytes_.load(std::memory_order_relaxed);
  }
  int64_t frozen_bytes() const {
    return frozen_bytes_.load(std::memory_order_relaxed);
  }
  bool has_frozen() const { return frozen_.load(std::memory_order_acquire); }

  // What is active becomes frozen, and the active part is empty. There must be
  // nothing frozen.
  void Freeze() ABSL_LOCKS_EXCLUDED(order_mu_);

  // What is frozen; nullopt is a deletion. Files come in no order, the rest
  // sorted by key. Valid until DropFrozen(); one thread.
  using Entry = std::pair<absl::string_view, absl::optional<absl::string_view>>;
  std::vector<Entry> FrozenFiles() const;
  std::vector<std::pair<Uuid, RequestItem>> FrozenRequests() const;
  std::vector<LogItem> FrozenLog() const ABSL_LOCKS_EXCLUDED(log_mu_);
  SmallMap FrozenSmall() const ABSL_LOCKS_EXCLUDED(small_mu_);

  // It is in the tables now, and readers find it there.
  void DropFrozen() ABSL_LOCKS_EXCLUDED(order_mu_);

 private:
  static constexpr size_t kShards = 16;

  // Of the active table it is written over, under the shard's lock, as long as
  // there is room: an appender that grows by small pieces must not fill the
  // table with what it was.
  struct FileValue {
    char* memory = nullptr;
    uint32_t size = 0;
    uint32_t room = 0;
    bool deleted = false;

    absl::string_view bytes() const { return {memory, size}; }
  };
  struct FileTable {
    Arena arena;  // Names and values.
    absl::flat_hash_map<absl::string_view, FileValue> entries;
  };
  struct FileShard {
    mutable Mutex mu;
    FileTable active ABSL_GUARDED_BY(mu);
    FileTable frozen ABSL_GUARDED_BY(mu);
  };

  // The order of the names of one table, active or frozen, as far as somebody
  // asked for it: runs that are sorted, each less than half as long as the one
  // before it. So a name is sorted in once and merged a few times, however
  // often somebody asks.
  struct NameInOrder {
    absl::string_view key;
    absl::string_view name;
    friend bool operator<(const NameInOrder& a, const NameInOrder& b) {
      return a.key < b.key;
    }
  };
  struct NameOrder {
    Mutex
        mu;  // Held while names are sorted. `order_mu_` may be taken under it.
    std::vector<std::vector<NameInOrder>> runs ABSL_GUARDED_BY(mu);
    Arena keys ABSL_GUARDED_BY(mu);

    // What the names refer to, once it was dropped. Nobody reads it.
    std::array<FileTable, kShards> dropped;
  };

  // Sorts in what is new, and appends the keys of the range in order, at most
  // `limit`; they refer to `page`.
  void ReadOrder(NameOrder* order, absl::string_view from,
                 absl::string_view until, size_t limit, FilePage* page,
                 std::vector<NameInOrder>* names)
      ABSL_LOCKS_EXCLUDED(order_mu_);

  using RequestTable = absl::flat_hash_map<Uuid, RequestItem>;
  struct RequestShard {
    mutable Mutex mu;
    RequestTable active ABSL_GUARDED_BY(mu);
    RequestTable frozen ABSL_GUARDED_BY(mu);
  };
  struct LogTable {
    Arena arena;  // Names.
    // Of each log its items in the order in which they came: that of their
    // numbers, but for what a replay of a damaged journal may make of it.
    absl::flat_hash_map<uint32_t, std::vector<LogItem>> items;
  };

  static size_t ShardOf(size_t hash) { return hash >> 60; }

  std::array<FileShard, kShards> files_;
  std::array<RequestShard, kShards> requests_;

  // The names of the tables in the order in which they came, as far as they are
  // not in `order_` and `frozen_order_` yet. Held for moments.
  mutable Mutex order_mu_;
  std::vector<absl::string_view> new_names_ ABSL_GUARDED_BY(order_mu_);
  std::vector<absl::string_view> frozen_new_names_ ABSL_GUARDED_BY(order_mu_);
  std::shared_ptr<NameOrder> order_ ABSL_GUARDED_BY(order_mu_) =
      std::make_shared<NameOrder>();
  std::shared_ptr<NameOrder> frozen_order_ ABSL_GUARDED_BY(order_mu_);

  mutable Mutex log_mu_;
  LogTable log_ ABSL_GUARDED_BY(log_mu_);
  LogTable frozen_log_ ABSL_GUARDED_BY(log_mu_);

  mutable Mutex small_mu_;
  SmallMap small_ ABSL_GUARDED_BY(small_mu_);
  SmallMap frozen_small_ ABSL_GUARDED_BY(small_mu_);

  std::atomic<int64_t> active_bytes_{0};
  std::atomic<int64_t> frozen_bytes_{0};
  std::atomic<bool> frozen_{false};
};

template <typename Visit>
DeltaFound IndexDelta::FindFile(absl::string_view name, Visit visit) const {
  const size_t hash = absl::Hash<absl::string_view>()(name);
  const FileShard& shard = files_[ShardOf(hash)];
  MutexLock lock(&shard.mu);
  for (const FileTable* table : {&shard.active, &shard.frozen}) {
    if (table->entries.empty()) continue;
    const auto it = table->entries.find(name, hash);
    if (it == table->entries.end()) continue;
    if (it->second.deleted) return DeltaFound::kDeleted;
    visit(it->second.bytes());
    return DeltaFound::kValue;
  }
  return DeltaFound::kNothing;
}

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_INDEX_DELTA_H_
