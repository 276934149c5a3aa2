#include "services/storage/store/index.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <limits>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/base/log.h"
#include "lib/base/mutex.h"
#include "lib/base/status_macros.h"
#include "rocksdb/cache.h"
#include "rocksdb/compaction_filter.h"
#include "rocksdb/convenience.h"
#include "rocksdb/filter_policy.h"
#include "rocksdb/listener.h"
#include "rocksdb/options.h"
#include "rocksdb/statistics.h"
#include "rocksdb/table.h"
#include "services/storage/core/file_key.h"
#include "services/storage/store/manifest_tail.h"
#include "services/storage/store/rocksdb_env.h"
#include "services/storage/store/rocksdb_status.h"

namespace cairn {
namespace storage {
namespace {

constexpr const char* kFamilyNames[kIndexFamilies] = {
    "default", "files",    "attributes", "log",     "origins",
    "uploads", "requests", "expiry",     "segments"};

constexpr absl::string_view kStateKey = "state";
constexpr char kSegmentPrefix = 's';
constexpr char kDoomedPrefix = 'd';
constexpr char kSharedContentPrefix = 'r';
constexpr char kContentPrefix = 'h';
constexpr char kContentOfSegmentPrefix = 'c';
constexpr absl::string_view kMissingPrefix = "missing/";
constexpr absl::string_view kAsidePrefix = "aside/";
constexpr absl::string_view kOwnerPrefix = "owner/";

// What of the delta a part of a scan looks at.
constexpr size_t kScannedDeltaMax = 1024;

// Big-endian, so that keys sort as the numbers do.
template <typename T>
void AppendBigEndian(T value, std::string* out) {
  for (int shift = 8 * (static_cast<int>(sizeof(T)) - 1); shift >= 0;
       shift -= 8) {
    out->push_back(static_cast<char>(value >> shift));
  }
}

uint64_t ReadBigEndian64(const char* p) {
  uint64_t value = 0;
  for (int i = 0; i < 8; ++i) {
    value = value << 8 | static_cast<uint8_t>(p[i]);
  }
  return value;
}

std::string LogKey(uint32_t origin, uint64_t sequence) {
  std::string key;
  AppendBigEndian(origin, &key);
  AppendBigEndian(sequence, &key);
  return key;
}

std::string OriginKey(uint32_t origin) {
  std::string key;
  AppendBigEndian(origin, &key);
  return key;
}

// False if the entry is none that this program writes.
bool ParseOrigin(absl::string_view key, absl::string_view value,
                 LogHead* head) {
  disk::v1::OriginEntry entry;
  if (key.size() != 4 ||
      !entry.ParseFromArray(value.data(), static_cast<int>(value.size()))) {
    return false;
  }
  const absl::StatusOr<Uuid> incarnation = Uuid::FromBytes(entry.incarnation());
  if (!incarnation.ok()) return false;
  for (const char byte : key) {
    head->origin = head->origin << 8 | static_cast<uint8_t>(byte);
  }
  head->id = LogId{*incarnation, entry.epoch()};
  head->cut = entry.cut_sequence();
  head->applied = entry.last_sequence();
  head->unsure = entry.unsure_sequence();
  head->synced = head->applied;
  return true;
}

void FillLogEntry(const LogItem& item, absl::string_view name,
                  disk::v1::LogEntry* entry) {
  entry->set_operation(item.operation);
  entry->set_name(name.data(), name.size());
  entry->set_version_clock(item.version_clock);
  entry->set_version_node(item.version_node);
  entry->set_life(item.life);
  entry->clear_size_bytes();
  entry->clear_crc32c();
  entry->clear_base();
  if (item.state.has_value()) {
    entry->set_size_bytes(static_cast<uint64_t>(item.state->size_bytes));
    entry->set_crc32c(item.state->crc32c);
  }
  if (item.base.has_value()) EncodeState(*item.base, entry->mutable_base());
  if (item.request_id.is_nil()) {
    entry->clear_request_id();
  } else {
    entry->set_request_id(item.request_id.bytes().data(), 16);
  }
}

std::string HashKey(absl::string_view content) {
  return absl::StrCat(absl::string_view(&kContentPrefix, 1), content);
}

std::string SegmentKey(char prefix, uint64_t number) {
  std::string key(1, prefix);
  AppendBigEndian(number, &key);
  return key;
}

std::string EncodeExpiryKey(const ExpiryKey& expiry) {
  std::string key;
  AppendBigEndian(static_cast<uint64_t>(expiry.unix_seconds), &key);
  key.push_back(static_cast<char>(expiry.kind));
  key.append(expiry.name);
  return key;
}

absl::Status Damaged(absl::string_view what) {
  return ErrorWithReason(absl::StatusCode::kDataLoss,
                         ErrorReason::kContentDamaged, what);
}

// Memtables hold nothing that is not in the delta, too.
rocksdb::ReadOptions ReadOptionsFor(bool may_block) {
  rocksdb::ReadOptions options;
  options.read_tier =
      may_block ? rocksdb::kPersistedTier : rocksdb::kBlockCacheTier;
  return options;
}

// RocksDB's warnings go to the process's log, the rest nowhere.
class LogBridge : public rocksdb::Logger {
 public:
  LogBridge() : Logger(rocksdb::InfoLogLevel::WARN_LEVEL) {}
  using Logger::Logv;
  void Logv(const rocksdb::InfoLogLevel level, const char* format,
            va_list arguments) override {
    if (level < rocksdb::InfoLogLevel::WARN_LEVEL ||
        level == rocksdb::InfoLogLevel::HEADER_LEVEL) {
      return;
    }
    char text[512];
    vsnprintf(text, sizeof(text), format, arguments);
    CAIRN_LOG(kWarning, "index", "rocksdb {}", text);
  }
  void Logv(const char*, va_list) override {}
};

// RocksDB (7.8) does not come back from a flush that failed, for lack of space
// or for another reason: its recovery may wait for itself for ever, or say OK
// without having flushed. So whoever flushes looks for room before, and if it
// fails nevertheless, that is final until the path is opened again.
absl::Status Final(const absl::Status& status) {
  if (!absl::IsResourceExhausted(status)) return status;
  return ErrorWithReason(
      absl::StatusCode::kUnavailable, ErrorReason::kWriteFailed,
      absl::StrCat(status.message(), "; restart the node when there is room"));
}

// Drops request ids that are older than the retention time.
class RequestFilter : public rocksdb::CompactionFilter {
 public:
  explicit RequestFilter(uint32_t oldest_minutes)
      : oldest_minutes_(oldest_minutes) {}
  const char* Name() const override { return "cairn.requests"; }
  bool Filter(int, const rocksdb::Slice&, const rocksdb::Slice& value,
              std::string*, bool*) const override {
    disk::v1::RequestEntry entry;
    return entry.ParseFromArray(value.data(), static_cast<int>(value.size())) &&
           entry.unix_minutes() < oldest_minutes_;
  }

 private:
  const uint32_t oldest_minutes_;
};

}  // namespace

class Index::RequestFilterFactory : public rocksdb::CompactionFilterFactory {
 public:
  RequestFilterFactory(Clock* clock, absl::Duration retention)
      : clock_(clock), retention_(retention) {}
  const char* Name() const override { return "cairn.requests"; }
  std::unique_ptr<rocksdb::CompactionFilter> CreateCompactionFilter(
      const rocksdb::CompactionFilter::Context&) override {
    const int64_t oldest = absl::ToUnixSeconds(clock_->Now() - retention_) / 60;
    return std::make_unique<RequestFilter>(
        static_cast<uint32_t>(std::max<int64_t>(oldest, 0)));
  }

 private:
  Clock* const clock_;
  const absl::Duration retention_;
};

// Remembers the background error, and keeps RocksDB from mending it by itself.
class Index::Listener : public rocksdb::EventListener {
 public:
  void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason, rocksdb::Status,
                            bool* auto_recovery) override {
    *auto_recovery = false;
  }
  void OnBackgroundError(rocksdb::BackgroundErrorReason,
                         rocksdb::Status* status) override {
    const absl::Status error = FromRocksDb(*status, "background");
    MutexLock lock(&mu_);
    error_ = status->severity() >= rocksdb::Status::Severity::kHardError
                 ? Final(error)
                 : error;
  }
  absl::Status error() {
    MutexLock lock(&mu_);
    return error_;
  }
  void Clear() {
    MutexLock lock(&mu_);
    error_ = absl::OkStatus();
  }

 private:
  Mutex mu_;
  absl::Status error_ ABSL_GUARDED_BY(mu_);
};

std::string ContentKey(absl::string_view sha256, int64_t size_bytes) {
  std::string key(sha256);
  AppendBigEndian(static_cast<uint64_t>(size_bytes), &key);
  return key;
}

void IndexBatch::Clear() {
  files_.clear();
  values_.clear();
  log_.clear();
  requests_.clear();
  small_.clear();
}

void IndexBatch::PutState(const disk::v1::IndexState& state) {
  small_.push_back({IndexFamily::kDefault, std::string(kStateKey),
                    state.SerializeAsString()});
}
void IndexBatch::PutFile(absl::string_view name, const FileRecord& record) {
  EncodeFileEntry(record, &file_entry_);
  FileChange change;
  change.name = name;
  change.value_begin = values_.size();
  file_entry_.AppendToString(&values_);
  change.value_end = values_.size();
  files_.push_back(change);
}
void IndexBatch::DeleteFile(absl::string_view name) {
  FileChange change;
  change.name = name;
  change.deleted = true;
  files_.push_back(change);
}
void IndexBatch::PutLog(const LogItem& item) { log_.push_back(item); }
void IndexBatch::PutOrigin(const LogHead& head) {
  disk::v1::OriginEntry entry;
  entry.set_incarnation(head.id.incarnation.bytes().data(), 16);
  entry.set_epoch(head.id.epoch);
  entry.set_last_sequence(head.applied);
  entry.set_cut_sequence(head.cut);
  entry.set_unsure_sequence(head.unsure);
  small_.push_back({IndexFamily::kOrigins, OriginKey(head.origin),
                    entry.SerializeAsString()});
}
void IndexBatch::PutMissing(absl::string_view name) {
  small_.push_back({IndexFamily::kDefault, absl::StrCat(kMissingPrefix, name),
                    std::string()});
}
void IndexBatch::DeleteMissing(absl::string_view name) {
  small_.push_back({IndexFamily::kDefault, absl::StrCat(kMissingPrefix, name),
                    absl::nullopt});
}
void IndexBatch::PutSetAside(const disk::v1::FileChange& change) {
  disk::v1::SetAsideEntry entry;
  *entry.mutable_change() = change;
  small_.push_back({IndexFamily::kDefault,
                    absl::StrCat(kAsidePrefix, change.name()),
                    entry.SerializeAsString()});
}
void IndexBatch::DeleteSetAside(absl::string_view name) {
  small_.push_back(
      {IndexFamily::kDefault, absl::StrCat(kAsidePrefix, name), absl::nullopt});
}
void IndexBatch::PutRequest(const Uuid& id, const RequestItem& item) {
  requests_.emplace_back(id, item);
}
void IndexBatch::PutExpiry(const ExpiryKey& key) {
  small_.push_back({IndexFamily::kExpiry, EncodeExpiryKey(key), std::string()});
}
void IndexBatch::DeleteExpiry(const ExpiryKey& key) {
  small_.push_back({IndexFamily::kExpiry, EncodeExpiryKey(key), absl::nullopt});
}
void IndexBatch::PutSegment(uint64_t number,
                            const disk::v1::SegmentEntry& entry) {
  small_.push_back({IndexFamily::kSegments, SegmentKey(kSegmentPrefix, number),
                    entry.SerializeAsString()});
}
void IndexBatch::DeleteSegment(uint64_t number) {
  small_.push_back({IndexFamily::kSegments, SegmentKey(kSegmentPrefix, number),
                    absl::nullopt});
}
void IndexBatch::PutDoomed(uint64_t number,
                           const disk::v1::DoomedSegment& entry) {
  small_.push_back({IndexFamily::kSegments, SegmentKey(kDoomedPrefix, number),
                    entry.SerializeAsString()});
}
void IndexBatch::DeleteDoomed(uint64_t number) {
  small_.push_back({IndexFamily::kSegments, SegmentKey(kDoomedPrefix, number),
                    absl::nullopt});
}
void IndexBatch::PutSharedContent(uint64_t number,
                                  const disk::v1::SharedContentEntry& entry) {
  small_.push_back({IndexFamily::kSegments,
                    SegmentKey(kSharedContentPrefix, number),
                    entry.SerializeAsString()});
}
void IndexBatch::DeleteSharedContent(uint64_t number) {
  small_.push_back({IndexFamily::kSegments,
                    SegmentKey(kSharedContentPrefix, number), absl::nullopt});
}
void IndexBatch::PutContent(absl::string_view content,
                            const disk::v1::ContentEntry& entry) {
  small_.push_back(
      {IndexFamily::kSegments, HashKey(content), entry.SerializeAsString()});
}
void IndexBatch::DeleteContent(absl::string_view content) {
  small_.push_back({IndexFamily::kSegments, HashKey(content), absl::nullopt});
}
void IndexBatch::PutContentOfSegment(
    uint64_t number, const disk::v1::SegmentContentEntry& entry) {
  small_.push_back({IndexFamily::kSegments,
                    SegmentKey(kContentOfSegmentPrefix, number),
                    entry.SerializeAsString()});
}
void IndexBatch::DeleteContentOfSegment(uint64_t number) {
  small_.push_back({IndexFamily::kSegments,
                    SegmentKey(kContentOfSegmentPrefix, number),
                    absl::nullopt});
}

void IndexBatch::PutOwner(absl::string_view owner, const FileUse& use) {
  absl::optional<std::string> value;
  if (!use.empty()) {
    disk::v1::OwnerEntry entry;
    entry.set_files(use.files);
    entry.set_bytes(use.bytes);
    value = entry.SerializeAsString();
  }
  small_.push_back({IndexFamily::kDefault, absl::StrCat(kOwnerPrefix, owner),
                    std::move(value)});
}

absl::StatusOr<std::unique_ptr<Index>> Index::Open(const IndexOptions& options,
                                                   FileSystem* fs,
                                                   Clock* clock) {
  const std::string current = absl::StrCat(options.directory, "/CURRENT");
  const absl::StatusOr<FileStat> stat = fs->Stat(current);
  if (!stat.ok() && !absl::IsNotFound(stat.status())) return stat.status();
  if (!stat.ok() && !options.create_if_missing) {
    return absl::NotFoundError(
        absl::StrCat("index ", options.directory, " is missing"));
  }
  auto index = std::unique_ptr<Index>(new Index());
  index->listener_ = std::make_shared<Listener>();
  index->statistics_ = rocksdb::CreateDBStatistics();
  index->statistics_->set_stats_level(
      rocksdb::StatsLevel::kExceptHistogramOrTimers);
  // A part of it for single entries: one that is there saves the search in
  // filters, index and data blocks.
  const int64_t row_cache_bytes = options.block_cache_bytes / 4;
  index->block_cache_ = rocksdb::NewLRUCache(
      static_cast<size_t>(options.block_cache_bytes - row_cache_bytes),
      /*num_shard_bits=*/4,
      /*strict_capacity_limit=*/false, /*high_pri_pool_ratio=*/0.5);

  rocksdb::DBOptions db_options;
  if (fs != FileSystem::Real()) {
    index->env_ = NewRocksDbEnv(fs);
    db_options.env = index->env_.get();
  }
  db_options.create_if_missing = true;
  db_options.info_log = std::make_shared<LogBridge>();
  db_options.listeners.push_back(index->listener_);
  db_options.statistics = index->statistics_;
  db_options.row_cache = rocksdb::NewLRUCache(
      static_cast<size_t>(row_cache_bytes), /*num_shard_bits=*/4);
  // After an error the path is read-only, or Flush() tries again.
  db_options.max_bgerror_resume_count = 0;
  db_options.atomic_flush = true;
  db_options.avoid_flush_during_shutdown = true;
  db_options.avoid_flush_during_recovery = true;
  db_options.allow_concurrent_memtable_write = false;
  db_options.max_background_jobs = 2;
  db_options.max_open_files = -1;
  db_options.skip_stats_update_on_db_open = true;
  db_options.skip_checking_sst_file_sizes_on_db_open = true;
  db_options.stats_dump_period_sec = 0;
  db_options.stats_persist_period_sec = 0;
  db_options.bytes_per_sync = 1 << 20;
  db_options.paranoid_checks = true;

  rocksdb::BlockBasedTableOptions table;
  table.block_cache = index->block_cache_;
  table.cache_index_and_filter_blocks = true;
  table.cache_index_and_filter_blocks_with_high_priority = true;
  table.pin_l0_filter_and_index_blocks_in_cache = true;
  table.pin_top_level_index_and_filter = true;
  table.index_type = rocksdb::BlockBasedTableOptions::kTwoLevelIndexSearch;
  table.partition_filters = true;
  table.metadata_block_size = 16 << 10;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.whole_key_filtering = true;
  table.block_size = 8 << 10;
  table.format_version = 5;
  table.data_block_index_type =
      rocksdb::BlockBasedTableOptions::kDataBlockBinaryAndHash;

  rocksdb::ColumnFamilyOptions family;
  family.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  // Never reached: only Flush() fills memtables, and it flushes them at once.
  family.write_buffer_size = static_cast<size_t>(
      std::max<int64_t>(int64_t{256} << 20, 8 * options.memtable_bytes));
  family.arena_block_size = 64 << 10;
  family.compression = rocksdb::kZSTD;
  family.compression_opts.level = 1;
  family.target_file_size_base = 32 << 20;
  family.max_bytes_for_level_base = 128 << 20;
  family.level_compaction_dynamic_level_bytes = true;
  // A flush writes one table per family, whatever its size.
  family.level0_file_num_compaction_trigger = 6;
  family.level0_slowdown_writes_trigger = 40;
  family.level0_stop_writes_trigger = 80;

  // Names that are looked for and not there are rare, and new ones lie behind
  // all tables: the last level needs no filter.
  rocksdb::ColumnFamilyOptions files = family;
  files.optimize_filters_for_hits = true;

  rocksdb::ColumnFamilyOptions requests = family;
  requests.compaction_style = rocksdb::kCompactionStyleUniversal;
  requests.compaction_filter_factory =
      std::make_shared<RequestFilterFactory>(clock, options.request_retention);
  requests.periodic_compaction_seconds = 24 * 60 * 60;

  requests.level_compaction_dynamic_level_bytes = false;

  std::vector<rocksdb::ColumnFamilyDescriptor> descriptors;
  for (int i = 0; i < kIndexFamilies; ++i) {
    const bool is_files = i == static_cast<int>(IndexFamily::kFiles);
    const bool is_requests = i == static_cast<int>(IndexFamily::kRequests);
    descriptors.emplace_back(kFamilyNames[i], is_files      ? files
                                              : is_requests ? requests
                                                            : family);
  }
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* db = nullptr;
  if (stat.ok()) {
    CAIRN_RETURN_IF_ERROR(CutTornManifest(fs, options.directory));
    CAIRN_RETURN_IF_ERROR(
        FromRocksDb(rocksdb::DB::Open(db_options, options.directory,
                                      descriptors, &handles, &db),
                    "open"));
    index->db_.reset(db);
  } else {
    // All families at once: one by one each would rewrite the options' file.
    CAIRN_RETURN_IF_ERROR(
        FromRocksDb(rocksdb::DB::Open(db_options, options.directory,
                                      {descriptors.front()}, &handles, &db),
                    "create"));
    index->db_.reset(db);
    index->families_[0] = handles.front();
    descriptors.erase(descriptors.begin());
    std::vector<rocksdb::ColumnFamilyHandle*> created;
    const rocksdb::Status status =
        db->CreateColumnFamilies(descriptors, &created);
    handles.insert(handles.end(), created.begin(), created.end());
    std::copy(handles.begin(), handles.end(), index->families_.begin());
    CAIRN_RETURN_IF_ERROR(FromRocksDb(status, "create column families"));
  }
  std::copy(handles.begin(), handles.end(), index->families_.begin());
  return index;
}

Index::~Index() {
  if (db_ == nullptr) return;
  for (rocksdb::ColumnFamilyHandle* handle : families_) {
    if (handle == nullptr) continue;  // Open() has failed half-way.
    db_->DestroyColumnFamilyHandle(handle).PermitUncheckedError();
  }
  db_->Close().PermitUncheckedError();
}

absl::StatusOr<Lookup> Index::GetFile(absl::string_view name, bool may_block,
                                      FileRecord* record) {
  absl::Status parsed;
  const auto parse = [record, &parsed](absl::string_view value) {
    absl::StatusOr<FileRecord> found = ParseFileEntry(value);
    if (found.ok()) {
      *record = *std::move(found);
    } else {
      parsed = found.status();
    }
  };
  // The delta first: what is dropped from it is in the tables by then.
  switch (delta_.FindFile(name, parse)) {
    case DeltaFound::kValue:
      CAIRN_RETURN_IF_ERROR(parsed);
      return Lookup::kFound;
    case DeltaFound::kDeleted:
      return Lookup::kMissing;
    case DeltaFound::kNothing:
      break;
  }
  const rocksdb::ReadOptions options = ReadOptionsFor(may_block);
  thread_local std::string key;  // Kept: its memory is used again.
  key.clear();
  AppendFileKey(name, &key);
  rocksdb::PinnableSlice value;
  const rocksdb::Status status =
      db_->Get(options, family(IndexFamily::kFiles), key, &value);
  if (status.IsNotFound()) return Lookup::kMissing;
  if (status.IsIncomplete()) return Lookup::kWouldBlock;
  if (!status.ok()) return FromRocksDb(status, "read a file");
  parse(FromSlice(value));
  CAIRN_RETURN_IF_ERROR(parsed);
  return Lookup::kFound;
}

absl::StatusOr<Lookup> Index::Get(IndexFamily f, absl::string_view key,
                                  bool may_block, const char* what,
                                  google::protobuf::MessageLite* value) {
  const rocksdb::ReadOptions options = ReadOptionsFor(may_block);
  rocksdb::PinnableSlice bytes;
  const rocksdb::Status status =
      db_->Get(options, family(f), ToSlice(key), &bytes);
  if (status.IsNotFound()) return Lookup::kMissing;
  if (status.IsIncomplete()) return Lookup::kWouldBlock;
  if (!status.ok()) return FromRocksDb(status, what);
  if (!value->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return Damaged(absl::StrCat("index: ", what, ": not parseable"));
  }
  return Lookup::kFound;
}

absl::StatusOr<Lookup> Index::GetRequest(const Uuid& id, bool may_block,
                                         RequestItem* item) {
  if (delta_.FindRequest(id, item) == DeltaFound::kValue) return Lookup::kFound;
  disk::v1::RequestEntry entry;
  CAIRN_ASSIGN_OR_RETURN(const Lookup found,
                         Get(IndexFamily::kRequests, id.bytes(), may_block,
                             "read a request", &entry));
  item->log_origin = entry.log_origin();
  item->log_sequence = entry.log_sequence();
  item->unix_minutes = entry.unix_minutes();
  return found;
}

absl::StatusOr<Lookup> Index::GetLog(uint32_t origin, uint64_t sequence,
                                     bool may_block,
                                     disk::v1::LogEntry* entry) {
  LogItem item;
  std::string name;
  if (delta_.FindLog(origin, sequence, &item, &name)) {
    FillLogEntry(item, name, entry);
    return Lookup::kFound;
  }
  return Get(IndexFamily::kLog, LogKey(origin, sequence), may_block,
             "read the log", entry);
}

absl::StatusOr<bool> Index::GetOfSegments(
    const std::string& key, const char* what,
    google::protobuf::MessageLite* value) {
  // The delta first: what is dropped from it is in the tables by then.
  std::string bytes;
  switch (
      delta_.FindSmall(static_cast<int>(IndexFamily::kSegments), key, &bytes)) {
    case DeltaFound::kValue:
      if (!value->ParseFromString(bytes)) {
        return Damaged(absl::StrCat("index: ", what, ": not parseable"));
      }
      return true;
    case DeltaFound::kDeleted:
      return false;
    case DeltaFound::kNothing:
      break;
  }
  CAIRN_ASSIGN_OR_RETURN(
      const Lookup found,
      Get(IndexFamily::kSegments, key, /*may_block=*/true, what, value));
  return found == Lookup::kFound;
}

absl::StatusOr<bool> Index::GetContent(absl::string_view content,
                                       disk::v1::ContentEntry* entry) {
  return GetOfSegments(HashKey(content), "content", entry);
}

absl::StatusOr<bool> Index::GetContentOfSegment(
    uint64_t number, disk::v1::SegmentContentEntry* entry) {
  return GetOfSegments(SegmentKey(kContentOfSegmentPrefix, number),
                       "content of a segment", entry);
}

absl::StatusOr<std::vector<Index::LogRow>> Index::ReadLog(uint32_t origin,
                                                          uint64_t after,
                                                          size_t limit) {
  // The delta first: what is dropped from it meanwhile is in the tables then.
  std::vector<LogItem> items;
  std::vector<std::string> names;
  delta_.ListLog(origin, after, limit, &items, &names);
  std::vector<LogRow> rows;
  if (items.empty() || items.front().sequence != after + 1) {
    const uint64_t end = items.empty() ? std::numeric_limits<uint64_t>::max()
                                       : items.front().sequence;
    rocksdb::ReadOptions options;
    options.fill_cache = false;
    std::unique_ptr<rocksdb::Iterator> it(
        db_->NewIterator(options, family(IndexFamily::kLog)));
    uint64_t next = after + 1;
    for (it->Seek(LogKey(origin, next));
         it->Valid() && next < end && rows.size() < limit &&
         it->key() == LogKey(origin, next);
         it->Next(), ++next) {
      LogRow row;
      row.sequence = next;
      if (!row.entry.ParseFromArray(it->value().data(),
                                    static_cast<int>(it->value().size()))) {
        return Damaged("index: log entry: not parseable");
      }
      rows.push_back(std::move(row));
    }
    CAIRN_RETURN_IF_ERROR(FromRocksDb(it->status(), "read the log"));
    after = next - 1;
  }
  for (size_t i = 0; i < items.size() && rows.size() < limit; ++i) {
    if (items[i].sequence != after + 1) break;
    ++after;
    LogRow row;
    row.sequence = after;
    FillLogEntry(items[i], names[i], &row.entry);
    rows.push_back(std::move(row));
  }
  return rows;
}

absl::StatusOr<std::vector<std::string>> Index::ListMissing(
    absl::string_view after, size_t limit) {
  // A name's key is in both while it is flushed; the delta says how it is.
  std::map<std::string, bool> found;
  for (const auto& [key, value] : delta_.ListSmall(
           static_cast<int>(IndexFamily::kDefault), kMissingPrefix)) {
    found[key] = value.has_value();
  }
  const std::string first = absl::StrCat(kMissingPrefix, after);
  const size_t of_tables_max = limit + found.size();
  size_t of_tables = 0;
  rocksdb::ReadOptions options;
  options.fill_cache = false;
  std::unique_ptr<rocksdb::Iterator> it(
      db_->NewIterator(options, family(IndexFamily::kDefault)));
  std::string last;  // Of the tables, if there may be more behind it.
  for (it->Seek(ToSlice(first));
       it->Valid() && absl::StartsWith(FromSlice(it->key()), kMissingPrefix);
       it->Next()) {
    last = it->key().ToString();
    found.emplace(last, true);
    if (++of_tables > of_tables_max) break;
    last.clear();
  }
  CAIRN_RETURN_IF_ERROR(FromRocksDb(it->status(), "list missing contents"));
  std::vector<std::string> names;
  for (const auto& [key, missing] : found) {
    if (names.size() >= limit || (!last.empty() && key > last)) break;
    if (!missing || (!after.empty() && key <= first)) continue;
    names.push_back(key.substr(kMissingPrefix.size()));
  }
  return names;
}

absl::StatusOr<std::vector<LogHead>> Index::ListOrigins() {
  std::vector<LogHead> heads;
  std::unique_ptr<rocksdb::Iterator> it(
      db_->NewIterator(rocksdb::ReadOptions(), family(IndexFamily::kOrigins)));
  for (it->SeekToFirst(); it->Valid(); it->Next()) {
    disk::v1::OriginEntry entry;
    LogHead head;
    if (!ParseOrigin(FromSlice(it->key()), FromSlice(it->value()), &head)) {
      return Damaged("index: origin: not parseable");
    }
    heads.push_back(head);
  }
  CAIRN_RETURN_IF_ERROR(FromRocksDb(it->status(), "list origins"));
  return heads;
}

absl::StatusOr<std::vector<disk::v1::FileChange>> Index::ListSetAside() {
  std::vector<disk::v1::FileChange> changes;
  std::unique_ptr<rocksdb::Iterator> it(
      db_->NewIterator(rocksdb::ReadOptions(), family(IndexFamily::kDefault)));
  for (it->Seek(ToSlice(kAsidePrefix));
       it->Valid() && absl::StartsWith(FromSlice(it->key()), kAsidePrefix);
       it->Next()) {
    disk::v1::SetAsideEntry entry;
    if (!entry.ParseFromArray(it->value().data(),
                              static_cast<int>(it->value().size()))) {
      return Damaged("index: change that was set aside: not parseable");
    }
    changes.push_back(DecodeSetAside(
        FromSlice(it->key()).substr(kAsidePrefix.size()), entry));
  }
  CAIRN_RETURN_IF_ERROR(FromRocksDb(it->status(), "list what was set aside"));
  return changes;
}

absl::StatusOr<UseByOwner> Index::ListOwners() {
  UseByOwner owners;
  std::unique_ptr<rocksdb::Iterator> it(
      db_->NewIterator(rocksdb::ReadOptions(), family(IndexFamily::kDefault)));
  for (it->Seek(ToSlice(kOwnerPrefix));
       it->Valid() && absl::StartsWith(FromSlice(it->key()), kOwnerPrefix);
       it->Next()) {
    disk::v1::OwnerEntry entry;
    if (!entry.ParseFromArray(it->value().data(),
                              static_cast<int>(it->value().size()))) {
      return Damaged("index: what an owner has: not parseable");
    }
    owners.emplace(FromSlice(it->key()).substr(kOwnerPrefix.size()),
                   FileUse{entry.files(), entry.bytes()});
  }
  CAIRN_RETURN_IF_ERROR(FromRocksDb(it->status(), "list owners"));
  return owners;
}

absl::StatusOr<bool> Index::GetState(disk::v1::IndexState* state) {
  CAIRN_ASSIGN_OR_RETURN(const Lookup found,
                         Get(IndexFamily::kDefault, kStateKey,
                             /*may_block=*/true, "read the state", state));
  return found == Lookup::kFound;
}

template <typename Entry>
absl::StatusOr<std::vector<std::pair<uint64_t, Entry>>> Index::ListOfSegments(
    char prefix, absl::string_view what, absl::string_view listing) {
  std::vector<std::pair<uint64_t, Entry>> entries;
  std::unique_ptr<rocksdb::Iterator> it(
      db_->NewIterator(rocksdb::ReadOptions(), family(IndexFamily::kSegments)));
  for (it->Seek(SegmentKey(prefix, 0));
       it->Valid() && it->key().size() == 9 && it->key()[0] == prefix;
       it->Next()) {
    Entry entry;
    if (!entry.ParseFromArray(it->value().data(),
                              static_cast<int>(it->value().size()))) {
      return Damaged(absl::StrCat("index: ", what, ": not parseable"));
    }
    entries.emplace_back(ReadBigEndian64(it->key().data() + 1), entry);
  }
  CAIRN_RETURN_IF_ERROR(FromRocksDb(it->status(), listing));
  return entries;
}

absl::StatusOr<Index::SegmentEntries> Index::ListSegments() {
  return ListOfSegments<disk::v1::SegmentEntry>(kSegmentPrefix, "segment entry",
                                                "list segments");
}

absl::StatusOr<Index::DoomedSegments> Index::ListDoomed() {
  return ListOfSegments<disk::v1::DoomedSegment>(
      kDoomedPrefix, "doomed segment", "list doomed segments");
}

absl::StatusOr<Index::SharedContents> Index::ListSharedContents() {
  return ListOfSegments<disk::v1::SharedContentEntry>(
      kSharedContentPrefix, "shared content", "list shared contents");
}

absl::StatusOr<std::vector<ExpiryKey>> Index::ListExpired(
    int64_t until_unix_seconds, size_t limit, const ExpiryKey* after) {
  std::vector<ExpiryKey> keys;
  std::unique_ptr<rocksdb::Iterator> it(
      db_->NewIterator(rocksdb::ReadOptions(), family(IndexFamily::kExpiry)));
  if (after == nullptr) {
    it->SeekToFirst();
  } else {
    // With a NUL behind it: the key that comes next.
    std::string behind = EncodeExpiryKey(*after);
    behind.push_back('\0');
    it->Seek(behind);
  }
  for (; it->Valid() && keys.size() < limit; it->Next()) {
    const rocksdb::Slice key = it->key();
    if (key.size() < 10) return Damaged("index: expiry key");
    const auto when = static_cast<int64_t>(ReadBigEndian64(key.data()));
    if (when > until_unix_seconds) break;
    std::string value;
    if (delta_.FindSmall(static_cast<int>(IndexFamily::kExpiry), key.ToString(),
                         &value) == DeltaFound::kDeleted) {
      continue;
    }
    ExpiryKey expiry;
    expiry.unix_seconds = when;
    expiry.kind = static_cast<ExpiryKey::Kind>(key[8]);
    expiry.name.assign(key.data() + 9, key.size() - 9);
    keys.push_back(std::move(expiry));
  }
  CAIRN_RETURN_IF_ERROR(FromRocksDb(it->status(), "list expiries"));
  return keys;
}

absl::Status Index::ForEachFile(
    const std::function<bool(absl::string_view, const FileRecord&)>& visit) {
  rocksdb::ReadOptions options;
  options.fill_cache = false;
  std::unique_ptr<rocksdb::Iterator> it(
      db_->NewIterator(options, family(IndexFamily::kFiles)));
  for (it->SeekToFirst(); it->Valid(); it->Next()) {
    CAIRN_ASSIGN_OR_RETURN(const FileRecord record,
                           ParseFileEntry(FromSlice(it->value())));
    const absl::optional<std::string> name =
        FileNameFromKey(FromSlice(it->key()));
    if (!name.has_value()) return Damaged("index: file key");
    if (!visit(*name, record)) break;
  }
  return FromRocksDb(it->status(), "list files");
}

absl::StatusOr<std::vector<Index::FileRow>> Index::ReadFiles(
    absl::string_view from, absl::string_view until, size_t limit,
    std::string* next) {
  std::vector<FileRow> rows;
  next->clear();
  rocksdb::ReadOptions options;
  options.fill_cache = false;
  std::unique_ptr<rocksdb::Iterator> it(
      db_->NewIterator(options, family(IndexFamily::kFiles)));
  it->Seek(ToSlice(from));
  if (it->Valid() && !from.empty() && it->key() == ToSlice(from)) it->Next();
  for (; it->Valid(); it->Next()) {
    if (!until.empty() && FromSlice(it->key()) > until) break;
    if (rows.size() == limit) return rows;
    FileRow row;
    CAIRN_ASSIGN_OR_RETURN(row.record, ParseFileEntry(FromSlice(it->value())));
    absl::optional<std::string> name = FileNameFromKey(FromSlice(it->key()));
    if (!name.has_value()) return Damaged("index: file key");
    row.name = *std::move(name);
    *next = it->key().ToString();
    rows.push_back(std::move(row));
  }
  CAIRN_RETURN_IF_ERROR(FromRocksDb(it->status(), "list files"));
  next->clear();
  return rows;
}

absl::StatusOr<std::string> Index::ScanFiles(
    const FileRange& range,
    absl::FunctionRef<FileVisitor::Step(absl::string_view, std::string*)>
        on_key,
    absl::FunctionRef<bool(absl::string_view, absl::string_view,
                           const FileRecord&)>
        on_file) {
  // The delta first: what is dropped from it meanwhile is in the tables then.
  IndexDelta::FilePage delta;
  delta_.ReadFiles(range.from, range.until, kScannedDeltaMax, &delta);
  const std::string& end = delta.end.empty() ? range.until : delta.end;
  rocksdb::ReadOptions options;
  options.fill_cache = false;
  options.readahead_size = static_cast<size_t>(range.read_ahead_bytes);
  const rocksdb::Slice bound(end);
  if (!end.empty()) options.iterate_upper_bound = &bound;
  std::unique_ptr<rocksdb::Iterator> it(
      db_->NewIterator(options, family(IndexFamily::kFiles)));
  it->Seek(range.from);
  auto changed = delta.files.begin();
  std::string seek;
  std::string name;
  while (it->Valid() || changed != delta.files.end()) {
    const bool in_tables = it->Valid();
    const bool in_delta = changed != delta.files.end();
    const int order = !in_tables  ? 1
                      : !in_delta ? -1
                                  : FromSlice(it->key()).compare(changed->key);
    const absl::string_view key =
        order < 0 ? FromSlice(it->key()) : changed->key;
    const bool is_gone = order >= 0 && !changed->value.has_value();
    const FileVisitor::Step step =
        is_gone ? FileVisitor::Step::kSkip : on_key(key, &seek);
    if (step == FileVisitor::Step::kStop) return std::string(key);
    if (step == FileVisitor::Step::kSeek) {
      CAIRN_CHECK(key < seek);
      if (!range.until.empty() && seek >= range.until) return std::string();
      if (!end.empty() && seek >= end) return seek;
      changed = std::lower_bound(
          changed, delta.files.end(), seek,
          [](const IndexDelta::FileInPage& file, const std::string& wanted) {
            return file.key < wanted;
          });
      it->Seek(seek);
      continue;
    }
    if (step == FileVisitor::Step::kShow) {
      CAIRN_ASSIGN_OR_RETURN(
          const FileRecord record,
          ParseFileEntry(order < 0 ? FromSlice(it->value()) : *changed->value));
      if (!FileNameFromKey(key, &name)) return Damaged("index: file key");
      if (!on_file(key, name, record)) return KeyBehind(key);
    }
    if (order <= 0) it->Next();
    if (order >= 0) ++changed;
  }
  CAIRN_RETURN_IF_ERROR(FromRocksDb(it->status(), "list files"));
  return delta.end;
}

void Index::Write(IndexBatch* batch) {
  const absl::string_view values = batch->values_;
  for (const IndexBatch::FileChange& change : batch->files_) {
    if (change.deleted) {
      delta_.PutFile(change.name, absl::nullopt);
    } else {
      delta_.PutFile(change.name,
                     values.substr(change.value_begin,
                                   change.value_end - change.value_begin));
    }
  }
  for (IndexBatch::SmallChange& change : batch->small_) {
    delta_.PutSmall(static_cast<int>(change.family), std::move(change.key),
                    std::move(change.value));
  }
  for (const LogItem& item : batch->log_) delta_.PutLog(item);
  // Last: who finds a request looks for its log entry and its file.
  for (const auto& [id, item] : batch->requests_) delta_.PutRequest(id, item);
  batch->Clear();
}

bool Index::Freeze() {
  if (delta_.has_frozen()) return false;
  delta_.Freeze();
  return true;
}

absl::Status Index::HandFrozenOver() {
  rocksdb::WriteBatch batch;
  const auto add = [&batch, this](
                       IndexFamily f, absl::string_view key,
                       const absl::optional<absl::string_view>& value) {
    if (value.has_value()) {
      batch.Put(family(f), ToSlice(key), ToSlice(*value));
    } else {
      batch.Delete(family(f), ToSlice(key));
    }
  };
  // Each family in the order of its keys: then an insert into a memtable does
  // not search.
  {
    std::vector<IndexDelta::Entry> files = delta_.FrozenFiles();
    Arena keys;
    std::string key;
    for (IndexDelta::Entry& entry : files) {
      key.clear();
      AppendFileKey(entry.first, &key);
      entry.first = keys.Copy(key);
    }
    std::sort(files.begin(), files.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    for (const auto& [name, value] : files) {
      add(IndexFamily::kFiles, name, value);
    }
  }
  std::string value;
  disk::v1::LogEntry log;
  for (const LogItem& item : delta_.FrozenLog()) {
    FillLogEntry(item, item.name, &log);
    log.SerializeToString(&value);
    add(IndexFamily::kLog, LogKey(item.origin, item.sequence), value);
  }
  disk::v1::RequestEntry request;
  for (const auto& [id, item] : delta_.FrozenRequests()) {
    request.set_log_origin(item.log_origin);
    request.set_log_sequence(item.log_sequence);
    request.set_unix_minutes(item.unix_minutes);
    request.SerializeToString(&value);
    add(IndexFamily::kRequests, id.bytes(), value);
  }
  for (const auto& [key, small] : delta_.FrozenSmall()) {
    add(static_cast<IndexFamily>(key.first), key.second,
        small.has_value() ? absl::optional<absl::string_view>(*small)
                          : absl::nullopt);
    LogHead head;
    if (key.first != static_cast<int>(IndexFamily::kOrigins) ||
        !small.has_value() || !ParseOrigin(key.second, *small, &head)) {
      continue;
    }
    // Behind the entries of this batch, which may be among those.
    uint64_t& cut = log_cuts_[head.origin];
    if (head.cut <= cut) continue;
    batch.DeleteRange(family(IndexFamily::kLog), LogKey(head.origin, cut),
                      LogKey(head.origin, head.cut + 1));
    cut = head.cut;
    cut_logs_.push_back(head.origin);
  }
  rocksdb::WriteOptions options;
  options.disableWAL = true;
  // One batch: whatever makes RocksDB flush, tables hold all of it or nothing.
  return FromRocksDb(db_->Write(options, &batch), "write");
}

bool Index::MemtablesAreEmpty() {
  for (rocksdb::ColumnFamilyHandle* handle : families_) {
    uint64_t entries = 0;
    uint64_t immutable = 0;
    if (!db_->GetIntProperty(handle,
                             rocksdb::DB::Properties::kNumEntriesActiveMemTable,
                             &entries) ||
        !db_->GetIntProperty(handle,
                             rocksdb::DB::Properties::kNumImmutableMemTable,
                             &immutable) ||
        entries > 0 || immutable > 0) {
      return false;
    }
  }
  return true;
}

absl::Status Index::Flush() {
  MutexLock lock(&flush_mu_);
  if (!delta_.has_frozen()) return absl::OkStatus();
  absl::Status before = BackgroundError();
  // Without room for a compaction there may still be room for this.
  if (!before.ok() && !absl::IsResourceExhausted(before)) return before;
  CAIRN_RETURN_IF_ERROR(Final(HandFrozenOver()));
  rocksdb::FlushOptions options;
  options.wait = true;
  options.allow_write_stall = true;  // Else it waits for compactions.
  CAIRN_RETURN_IF_ERROR(Final(FromRocksDb(
      db_->Flush(options, {families_.begin(), families_.end()}), "flush")));
  if (!MemtablesAreEmpty()) {
    return ErrorWithReason(absl::StatusCode::kUnavailable,
                           ErrorReason::kWriteFailed,
                           "index: flush: RocksDB has not flushed");
  }
  delta_.DropFrozen();
  DropTablesOfCutLogs();
  return absl::OkStatus();
}

// Entries that are cut are deleted; tables that hold nothing else need not wait
// for a compaction. An error is one of the background's.
void Index::DropTablesOfCutLogs() {
  for (const uint32_t origin : cut_logs_) {
    const std::string first = LogKey(origin, 0);
    const std::string last = LogKey(origin, log_cuts_[origin]);
    const rocksdb::Slice begin = ToSlice(first);
    const rocksdb::Slice end = ToSlice(last);
    rocksdb::DeleteFilesInRange(db_.get(), family(IndexFamily::kLog), &begin,
                                &end)
        .PermitUncheckedError();
  }
  cut_logs_.clear();
}

absl::Status Index::BackgroundError() { return listener_->error(); }

absl::Status Index::Resume() {
  absl::Status resumed = FromRocksDb(db_->Resume(), "resume");
  if (resumed.ok()) listener_->Clear();
  return resumed;
}

void Index::FillNumbers(EngineNumbers* numbers) {
  for (rocksdb::ColumnFamilyHandle* handle : families_) {
    uint64_t value = 0;
    db_->GetIntProperty(handle, rocksdb::DB::Properties::kTotalSstFilesSize,
                        &value);
    numbers->index_bytes += static_cast<int64_t>(value);
    value = 0;
    db_->GetIntProperty(
        handle, rocksdb::DB::Properties::kEstimatePendingCompactionBytes,
        &value);
    numbers->index_pending_compaction_bytes += static_cast<int64_t>(value);
  }
  numbers->index_memtable_bytes = delta_.active_bytes();
  numbers->index_block_cache_bytes =
      static_cast<int64_t>(block_cache_->GetUsage());
  const auto ticker = [this](uint32_t t) {
    return statistics_->getTickerCount(t);
  };
  numbers->index_block_cache_hits = ticker(rocksdb::BLOCK_CACHE_HIT);
  numbers->index_block_cache_misses = ticker(rocksdb::BLOCK_CACHE_MISS);
  numbers->index_bloom_useful = ticker(rocksdb::BLOOM_FILTER_USEFUL);
  numbers->index_flush_write_bytes = ticker(rocksdb::FLUSH_WRITE_BYTES);
  numbers->index_compaction_read_bytes = ticker(rocksdb::COMPACT_READ_BYTES);
  numbers->index_compaction_write_bytes = ticker(rocksdb::COMPACT_WRITE_BYTES);
  numbers->index_stall_micros = ticker(rocksdb::STALL_MICROS);
}

}  // namespace storage
}  // namespace cairn
