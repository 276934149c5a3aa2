#include "services/storage/store/index.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "lib/base/error_reason.h"
#include "lib/base/log.h"
#include "lib/base/mutex.h"
#include "lib/base/status_macros.h"
#include "rocksdb/cache.h"
#include "rocksdb/compaction_filter.h"
#include "rocksdb/filter_policy.h"
#include "rocksdb/listener.h"
#include "rocksdb/options.h"
#include "rocksdb/statistics.h"
#include "rocksdb/table.h"
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
constexpr char kExpiryTombstone = 't';

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

std::string SegmentKey(char prefix, uint64_t number) {
  std::string key(1, prefix);
  AppendBigEndian(number, &key);
  return key;
}

std::string EncodeExpiryKey(const ExpiryKey& expiry) {
  std::string key;
  AppendBigEndian(static_cast<uint64_t>(expiry.unix_seconds), &key);
  key.push_back(kExpiryTombstone);
  key.append(expiry.name);
  return key;
}

absl::Status Damaged(absl::string_view what) {
  return ErrorWithReason(absl::StatusCode::kDataLoss,
                         ErrorReason::kContentDamaged, what);
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

// Remembers the background error.
class Index::Listener : public rocksdb::EventListener {
 public:
  void OnBackgroundError(rocksdb::BackgroundErrorReason,
                         rocksdb::Status* status) override {
    MutexLock lock(&mu_);
    error_ = FromRocksDb(*status, "background");
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

void IndexBatch::Put(IndexFamily family, absl::string_view key,
                     const google::protobuf::MessageLite& value) {
  scratch_.clear();
  value.AppendToString(&scratch_);
  batch_.Put(families_[static_cast<int>(family)], ToSlice(key), scratch_);
}

void IndexBatch::Delete(IndexFamily family, absl::string_view key) {
  batch_.Delete(families_[static_cast<int>(family)], ToSlice(key));
}

void IndexBatch::PutState(const disk::v1::IndexState& state) {
  Put(IndexFamily::kDefault, kStateKey, state);
}
void IndexBatch::PutFile(absl::string_view name, const FileRecord& record) {
  EncodeFileEntry(record, &file_entry_);
  Put(IndexFamily::kFiles, name, file_entry_);
}
void IndexBatch::DeleteFile(absl::string_view name) {
  Delete(IndexFamily::kFiles, name);
}
void IndexBatch::PutLog(uint32_t origin, uint64_t sequence,
                        const disk::v1::LogEntry& entry) {
  Put(IndexFamily::kLog, LogKey(origin, sequence), entry);
}
void IndexBatch::PutOrigin(uint32_t origin,
                           const disk::v1::OriginEntry& entry) {
  Put(IndexFamily::kOrigins, OriginKey(origin), entry);
}
void IndexBatch::PutRequest(absl::string_view request_id,
                            const disk::v1::RequestEntry& entry) {
  Put(IndexFamily::kRequests, request_id, entry);
}
void IndexBatch::PutExpiry(const ExpiryKey& key) {
  batch_.Put(families_[static_cast<int>(IndexFamily::kExpiry)],
             EncodeExpiryKey(key), rocksdb::Slice());
}
void IndexBatch::DeleteExpiry(const ExpiryKey& key) {
  Delete(IndexFamily::kExpiry, EncodeExpiryKey(key));
}
void IndexBatch::PutSegment(uint64_t number,
                            const disk::v1::SegmentEntry& entry) {
  Put(IndexFamily::kSegments, SegmentKey(kSegmentPrefix, number), entry);
}
void IndexBatch::DeleteSegment(uint64_t number) {
  Delete(IndexFamily::kSegments, SegmentKey(kSegmentPrefix, number));
}
void IndexBatch::PutDoomed(uint64_t number,
                           const disk::v1::DoomedSegment& entry) {
  Put(IndexFamily::kSegments, SegmentKey(kDoomedPrefix, number), entry);
}
void IndexBatch::DeleteDoomed(uint64_t number) {
  Delete(IndexFamily::kSegments, SegmentKey(kDoomedPrefix, number));
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
  index->block_cache_ = rocksdb::NewLRUCache(
      static_cast<size_t>(options.block_cache_bytes), /*num_shard_bits=*/4,
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
  // Never reached: only StartFlush() may switch memtables, see the header.
  const size_t write_buffer_bytes = static_cast<size_t>(
      std::max<int64_t>(int64_t{256} << 20, 8 * options.memtable_bytes));
  family.write_buffer_size = write_buffer_bytes;
  family.max_write_buffer_number = 6;
  family.arena_block_size = 256 << 10;
  // About 256 KiB of bits for what the memtable holds between checkpoints.
  family.memtable_prefix_bloom_size_ratio =
      static_cast<double>(256 << 10) / static_cast<double>(write_buffer_bytes);
  family.memtable_whole_key_filtering = true;
  family.compression = rocksdb::kZSTD;
  family.compression_opts.level = 1;
  family.target_file_size_base = 32 << 20;
  family.max_bytes_for_level_base = 128 << 20;
  family.level_compaction_dynamic_level_bytes = true;

  rocksdb::ColumnFamilyOptions requests = family;
  requests.compaction_style = rocksdb::kCompactionStyleUniversal;
  requests.compaction_filter_factory =
      std::make_shared<RequestFilterFactory>(clock, options.request_retention);
  requests.periodic_compaction_seconds = 24 * 60 * 60;

  requests.level_compaction_dynamic_level_bytes = false;

  std::vector<rocksdb::ColumnFamilyDescriptor> descriptors;
  for (int i = 0; i < kIndexFamilies; ++i) {
    descriptors.emplace_back(
        kFamilyNames[i],
        i == static_cast<int>(IndexFamily::kRequests) ? requests : family);
  }
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* db = nullptr;
  if (stat.ok()) {
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
  rocksdb::ReadOptions options;
  if (!may_block) options.read_tier = rocksdb::kBlockCacheTier;
  rocksdb::PinnableSlice value;
  const rocksdb::Status status =
      db_->Get(options, family(IndexFamily::kFiles), ToSlice(name), &value);
  if (status.IsNotFound()) return Lookup::kMissing;
  if (status.IsIncomplete()) return Lookup::kWouldBlock;
  if (!status.ok()) return FromRocksDb(status, "read a file");
  CAIRN_ASSIGN_OR_RETURN(*record, ParseFileEntry(FromSlice(value)));
  return Lookup::kFound;
}

absl::StatusOr<Lookup> Index::Get(IndexFamily f, absl::string_view key,
                                  bool may_block, const char* what,
                                  google::protobuf::MessageLite* value) {
  rocksdb::ReadOptions options;
  if (!may_block) options.read_tier = rocksdb::kBlockCacheTier;
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

absl::StatusOr<Lookup> Index::GetRequest(absl::string_view request_id,
                                         bool may_block,
                                         disk::v1::RequestEntry* entry) {
  return Get(IndexFamily::kRequests, request_id, may_block, "read a request",
             entry);
}

absl::StatusOr<Lookup> Index::GetLog(uint32_t origin, uint64_t sequence,
                                     bool may_block,
                                     disk::v1::LogEntry* entry) {
  return Get(IndexFamily::kLog, LogKey(origin, sequence), may_block,
             "read the log", entry);
}

absl::StatusOr<bool> Index::GetOrigin(uint32_t origin,
                                      disk::v1::OriginEntry* entry) {
  CAIRN_ASSIGN_OR_RETURN(const Lookup found,
                         Get(IndexFamily::kOrigins, OriginKey(origin),
                             /*may_block=*/true, "read an origin", entry));
  return found == Lookup::kFound;
}

absl::StatusOr<bool> Index::GetState(disk::v1::IndexState* state) {
  CAIRN_ASSIGN_OR_RETURN(const Lookup found,
                         Get(IndexFamily::kDefault, kStateKey,
                             /*may_block=*/true, "read the state", state));
  return found == Lookup::kFound;
}

absl::StatusOr<Index::SegmentEntries> Index::ListSegments() {
  SegmentEntries entries;
  std::unique_ptr<rocksdb::Iterator> it(
      db_->NewIterator(rocksdb::ReadOptions(), family(IndexFamily::kSegments)));
  for (it->Seek(SegmentKey(kSegmentPrefix, 0));
       it->Valid() && it->key().size() == 9 && it->key()[0] == kSegmentPrefix;
       it->Next()) {
    disk::v1::SegmentEntry entry;
    if (!entry.ParseFromArray(it->value().data(),
                              static_cast<int>(it->value().size()))) {
      return Damaged("index: segment entry: not parseable");
    }
    entries.emplace_back(ReadBigEndian64(it->key().data() + 1), entry);
  }
  CAIRN_RETURN_IF_ERROR(FromRocksDb(it->status(), "list segments"));
  return entries;
}

absl::StatusOr<Index::DoomedSegments> Index::ListDoomed() {
  DoomedSegments entries;
  std::unique_ptr<rocksdb::Iterator> it(
      db_->NewIterator(rocksdb::ReadOptions(), family(IndexFamily::kSegments)));
  for (it->Seek(SegmentKey(kDoomedPrefix, 0));
       it->Valid() && it->key().size() == 9 && it->key()[0] == kDoomedPrefix;
       it->Next()) {
    disk::v1::DoomedSegment entry;
    if (!entry.ParseFromArray(it->value().data(),
                              static_cast<int>(it->value().size()))) {
      return Damaged("index: doomed segment: not parseable");
    }
    entries.emplace_back(ReadBigEndian64(it->key().data() + 1), entry);
  }
  CAIRN_RETURN_IF_ERROR(FromRocksDb(it->status(), "list doomed segments"));
  return entries;
}

absl::StatusOr<std::vector<ExpiryKey>> Index::ListExpired(
    int64_t until_unix_seconds, size_t limit) {
  std::vector<ExpiryKey> keys;
  std::unique_ptr<rocksdb::Iterator> it(
      db_->NewIterator(rocksdb::ReadOptions(), family(IndexFamily::kExpiry)));
  for (it->SeekToFirst(); it->Valid() && keys.size() < limit; it->Next()) {
    const rocksdb::Slice key = it->key();
    if (key.size() < 10) return Damaged("index: expiry key");
    const auto when = static_cast<int64_t>(ReadBigEndian64(key.data()));
    if (when > until_unix_seconds) break;
    keys.push_back({when, std::string(key.data() + 9, key.size() - 9)});
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
    if (!visit(FromSlice(it->key()), record)) break;
  }
  return FromRocksDb(it->status(), "list files");
}

absl::Status Index::Write(IndexBatch* batch) {
  rocksdb::WriteOptions options;
  options.disableWAL = true;
  return FromRocksDb(db_->Write(options, &batch->batch_), "write");
}

int64_t Index::MemtableBytes() {
  uint64_t total = 0;
  for (rocksdb::ColumnFamilyHandle* handle : families_) {
    uint64_t bytes = 0;
    db_->GetIntProperty(handle, rocksdb::DB::Properties::kCurSizeActiveMemTable,
                        &bytes);
    total += bytes;
  }
  return static_cast<int64_t>(total);
}

absl::Status Index::StartFlush() {
  rocksdb::FlushOptions options;
  options.wait = false;
  options.allow_write_stall = true;  // Else it waits for compactions.
  return FromRocksDb(db_->Flush(options, {families_.begin(), families_.end()}),
                     "flush");
}

absl::Status Index::Flush() {
  rocksdb::FlushOptions options;
  options.wait = true;
  options.allow_write_stall = true;
  return FromRocksDb(db_->Flush(options, {families_.begin(), families_.end()}),
                     "flush");
}

bool Index::FlushRunning() {
  for (rocksdb::ColumnFamilyHandle* handle : families_) {
    uint64_t count = 0;
    db_->GetIntProperty(handle, rocksdb::DB::Properties::kNumImmutableMemTable,
                        &count);
    if (count > 0) return true;
  }
  return false;
}

absl::Status Index::WaitForFlush() {
  while (FlushRunning()) {
    CAIRN_RETURN_IF_ERROR(BackgroundError());
    absl::SleepFor(absl::Milliseconds(1));
  }
  return BackgroundError();
}

absl::Status Index::BackgroundError() { return listener_->error(); }

absl::Status Index::Resume() {
  const absl::Status resumed = FromRocksDb(db_->Resume(), "resume");
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
    db_->GetIntProperty(handle, rocksdb::DB::Properties::kCurSizeAllMemTables,
                        &value);
    numbers->index_memtable_bytes += static_cast<int64_t>(value);
    value = 0;
    db_->GetIntProperty(
        handle, rocksdb::DB::Properties::kEstimatePendingCompactionBytes,
        &value);
    numbers->index_pending_compaction_bytes += static_cast<int64_t>(value);
  }
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
