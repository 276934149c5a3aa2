#include "services/storage/store/index_delta.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <tuple>

#include "absl/strings/match.h"
#include "lib/base/check.h"
#include "services/storage/core/file_key.h"

namespace cairn {
namespace storage {
namespace {

constexpr size_t kChunkBytes = 32 << 10;

// What an entry takes in a hash table, on average.
constexpr int64_t kFileEntryBytes = 72;
constexpr int64_t kRequestEntryBytes = 48;
constexpr int64_t kSmallEntryBytes = 128;

auto LogKey(const LogItem& item) {
  return std::make_tuple(item.origin, item.sequence);
}

bool LogLess(const LogItem& a, const LogItem& b) {
  return LogKey(a) < LogKey(b);
}

}  // namespace

char* Arena::Allocate(size_t size) {
  if (size > left_) {
    left_ = std::max(kChunkBytes, size);
    chunks_.push_back(std::unique_ptr<char[]>(new char[left_]));
    next_ = chunks_.back().get();
    allocated_bytes_ += static_cast<int64_t>(left_);
  }
  char* const allocated = next_;
  next_ += size;
  left_ -= size;
  return allocated;
}

absl::string_view Arena::Copy(absl::string_view bytes) {
  char* const copy = Allocate(bytes.size());
  std::memcpy(copy, bytes.data(), bytes.size());
  return absl::string_view(copy, bytes.size());
}

void IndexDelta::PutFile(absl::string_view name,
                         absl::optional<absl::string_view> value) {
  const size_t hash = absl::Hash<absl::string_view>()(name);
  FileShard& shard = files_[ShardOf(hash)];
  const absl::string_view written = value.value_or("");
  int64_t bytes = 0;
  absl::string_view new_name;
  {
    MutexLock lock(&shard.mu);
    FileTable& table = shard.active;
    auto it = table.entries.find(name, hash);
    if (it == table.entries.end()) {
      new_name = table.arena.Copy(name);
      it = table.entries.emplace(new_name, FileValue()).first;
      bytes += static_cast<int64_t>(name.size()) + kFileEntryBytes;
    }
    FileValue& stored = it->second;
    if (written.size() > stored.room) {
      // What was replaced by a longer one once is likely to be again.
      const size_t spare = new_name.empty() ? written.size() / 2 : 0;
      stored.room = static_cast<uint32_t>(written.size() + spare);
      stored.memory = table.arena.Allocate(stored.room);
      bytes += stored.room;
    }
    stored.deleted = !value.has_value();
    stored.size = static_cast<uint32_t>(written.size());
    std::copy(written.begin(), written.end(), stored.memory);
  }
  if (new_name.data() != nullptr) {
    MutexLock lock(&order_mu_);
    new_names_.push_back(new_name);
  }
  active_bytes_.fetch_add(bytes, std::memory_order_relaxed);
}

void IndexDelta::ReadOrder(NameOrder* order, absl::string_view from,
                           absl::string_view until, size_t limit,
                           FilePage* page, std::vector<NameInOrder>* names) {
  MutexLock lock(&order->mu);
  std::vector<absl::string_view> new_names;
  {
    MutexLock order_lock(&order_mu_);
    if (order == order_.get()) {
      new_names.swap(new_names_);
    } else if (order == frozen_order_.get()) {
      new_names.swap(frozen_new_names_);
    }  // Else it was dropped, and the tables have it.
  }
  std::vector<std::vector<NameInOrder>>& runs = order->runs;
  if (!new_names.empty()) {
    std::vector<NameInOrder> run;
    run.reserve(new_names.size());
    std::string key;
    for (const absl::string_view name : new_names) {
      key.clear();
      AppendFileKey(name, &key);
      run.push_back({order->keys.Copy(key), name});
    }
    std::sort(run.begin(), run.end());
    runs.push_back(std::move(run));
    while (runs.size() > 1 &&
           2 * runs.back().size() >= runs[runs.size() - 2].size()) {
      const std::vector<NameInOrder> last = std::move(runs.back());
      runs.pop_back();
      std::vector<NameInOrder> merged;
      merged.reserve(last.size() + runs.back().size());
      std::merge(runs.back().begin(), runs.back().end(), last.begin(),
                 last.end(), std::back_inserter(merged));
      runs.back() = std::move(merged);
    }
  }
  // There are few runs: the next of all of them is looked for one by one.
  using Iterator = std::vector<NameInOrder>::const_iterator;
  std::vector<std::pair<Iterator, Iterator>> rest;
  for (const std::vector<NameInOrder>& run : runs) {
    const Iterator begin =
        std::lower_bound(run.begin(), run.end(), NameInOrder{from, {}});
    if (begin != run.end()) rest.emplace_back(begin, run.end());
  }
  for (size_t taken = 0; taken < limit && !rest.empty(); ++taken) {
    auto least = rest.begin();
    for (auto it = rest.begin(); it != rest.end(); ++it) {
      if (*it->first < *least->first) least = it;
    }
    const NameInOrder& next = *least->first;
    if (!until.empty() && next.key >= until) break;
    names->push_back({page->bytes.Copy(next.key), page->bytes.Copy(next.name)});
    if (++least->first == least->second) rest.erase(least);
  }
}

void IndexDelta::ReadFiles(absl::string_view from, absl::string_view until,
                           size_t limit, FilePage* page) {
  std::shared_ptr<NameOrder> order;
  std::shared_ptr<NameOrder> frozen_order;
  {
    MutexLock lock(&order_mu_);
    order = order_;
    frozen_order = frozen_order_;
  }
  std::vector<NameInOrder> names;
  if (frozen_order != nullptr) {
    ReadOrder(frozen_order.get(), from, until, limit, page, &names);
  }
  const size_t of_frozen = names.size();
  ReadOrder(order.get(), from, until, limit, page, &names);
  const bool is_cut = of_frozen >= limit || names.size() - of_frozen >= limit;
  std::inplace_merge(names.begin(),
                     names.begin() + static_cast<int64_t>(of_frozen),
                     names.end());
  names.erase(std::unique(names.begin(), names.end(),
                          [](const NameInOrder& a, const NameInOrder& b) {
                            return a.key == b.key;
                          }),
              names.end());
  // Behind the last one of a list that was cut off, there may be others.
  if (is_cut) {
    names.resize(limit);
    page->end = KeyBehind(names.back().key);
  }
  page->files.reserve(names.size());
  for (const NameInOrder& name : names) {
    FileInPage file;
    file.key = name.key;
    const DeltaFound found = FindFile(name.name, [&](absl::string_view bytes) {
      file.value = page->bytes.Copy(bytes);
    });
    // What is not here any more is in the tables.
    if (found != DeltaFound::kNothing) page->files.push_back(file);
  }
}

void IndexDelta::PutLog(const LogItem& item) {
  {
    MutexLock lock(&log_mu_);
    std::vector<LogItem>& items = log_.items[item.origin];
    items.push_back(item);
    items.back().name = log_.arena.Copy(item.name);
  }
  active_bytes_.fetch_add(
      static_cast<int64_t>(sizeof(LogItem) + item.name.size()),
      std::memory_order_relaxed);
}

void IndexDelta::PutRequest(const Uuid& id, const RequestItem& item) {
  const size_t hash = absl::Hash<Uuid>()(id);
  RequestShard& shard = requests_[ShardOf(hash)];
  {
    MutexLock lock(&shard.mu);
    shard.active.insert_or_assign(id, item);
  }
  active_bytes_.fetch_add(kRequestEntryBytes, std::memory_order_relaxed);
}

void IndexDelta::PutSmall(int family, std::string key,
                          absl::optional<std::string> value) {
  active_bytes_.fetch_add(
      kSmallEntryBytes +
          static_cast<int64_t>(key.size() + value.value_or("").size()),
      std::memory_order_relaxed);
  MutexLock lock(&small_mu_);
  small_.insert_or_assign({family, std::move(key)}, std::move(value));
}

DeltaFound IndexDelta::FindRequest(const Uuid& id, RequestItem* item) const {
  const size_t hash = absl::Hash<Uuid>()(id);
  const RequestShard& shard = requests_[ShardOf(hash)];
  MutexLock lock(&shard.mu);
  for (const RequestTable* table : {&shard.active, &shard.frozen}) {
    if (table->empty()) continue;
    const auto it = table->find(id, hash);
    if (it == table->end()) continue;
    *item = it->second;
    return DeltaFound::kValue;
  }
  return DeltaFound::kNothing;
}

bool IndexDelta::FindLog(uint32_t origin, uint64_t sequence, LogItem* item,
                         std::string* name) const {
  LogItem key;
  key.origin = origin;
  key.sequence = sequence;
  MutexLock lock(&log_mu_);
  for (const LogTable* table : {&log_, &frozen_log_}) {
    const auto items = table->items.find(origin);
    if (items == table->items.end()) continue;
    const auto it = std::lower_bound(items->second.begin(), items->second.end(),
                                     key, LogLess);
    if (it == items->second.end() || LogLess(key, *it)) continue;
    *item = *it;
    *name = std::string(it->name);
    return true;
  }
  return false;
}

void IndexDelta::ListLog(uint32_t origin, uint64_t after, size_t limit,
                         std::vector<LogItem>* items,
                         std::vector<std::string>* names) const {
  LogItem key;
  key.origin = origin;
  key.sequence = after + 1;
  MutexLock lock(&log_mu_);
  for (const LogTable* table : {&frozen_log_, &log_}) {
    const auto found = table->items.find(origin);
    if (found == table->items.end()) continue;
    for (auto it = std::lower_bound(found->second.begin(), found->second.end(),
                                    key, LogLess);
         it != found->second.end() && items->size() < limit; ++it) {
      // Put twice by a replay, or frozen and put again.
      if (!items->empty() && it->sequence <= items->back().sequence) continue;
      items->push_back(*it);
      names->emplace_back(it->name);
    }
  }
}

std::map<std::string, absl::optional<std::string>> IndexDelta::ListSmall(
    int family, absl::string_view prefix) const {
  std::map<std::string, absl::optional<std::string>> entries;
  MutexLock lock(&small_mu_);
  for (const SmallMap* table : {&frozen_small_, &small_}) {
    for (auto it = table->lower_bound({family, std::string(prefix)});
         it != table->end() && it->first.first == family &&
         absl::StartsWith(it->first.second, prefix);
         ++it) {
      entries.insert_or_assign(it->first.second, it->second);
    }
  }
  return entries;
}

DeltaFound IndexDelta::FindSmall(int family, const std::string& key,
                                 std::string* value) const {
  MutexLock lock(&small_mu_);
  for (const SmallMap* table : {&small_, &frozen_small_}) {
    const auto it = table->find({family, key});
    if (it == table->end()) continue;
    if (!it->second.has_value()) return DeltaFound::kDeleted;
    *value = *it->second;
    return DeltaFound::kValue;
  }
  return DeltaFound::kNothing;
}

void IndexDelta::Freeze() {
  CAIRN_CHECK(!has_frozen());
  for (FileShard& shard : files_) {
    MutexLock lock(&shard.mu);
    std::swap(shard.active, shard.frozen);
  }
  {
    MutexLock lock(&order_mu_);
    frozen_order_ = std::move(order_);
    order_ = std::make_shared<NameOrder>();
    std::swap(new_names_, frozen_new_names_);
  }
  for (RequestShard& shard : requests_) {
    MutexLock lock(&shard.mu);
    std::swap(shard.active, shard.frozen);
  }
  {
    MutexLock lock(&log_mu_);
    std::swap(log_, frozen_log_);
  }
  {
    MutexLock lock(&small_mu_);
    std::swap(small_, frozen_small_);
  }
  frozen_bytes_.store(active_bytes(), std::memory_order_relaxed);
  active_bytes_.store(0, std::memory_order_relaxed);
  frozen_.store(true, std::memory_order_release);
}

std::vector<IndexDelta::Entry> IndexDelta::FrozenFiles() const {
  std::vector<Entry> entries;
  for (const FileShard& shard : files_) {
    MutexLock lock(&shard.mu);
    entries.reserve(entries.size() + shard.frozen.entries.size());
    for (const auto& [name, value] : shard.frozen.entries) {
      entries.emplace_back(
          name, value.deleted
                    ? absl::nullopt
                    : absl::optional<absl::string_view>(value.bytes()));
    }
  }
  return entries;
}

std::vector<std::pair<Uuid, RequestItem>> IndexDelta::FrozenRequests() const {
  std::vector<std::pair<Uuid, RequestItem>> entries;
  for (const RequestShard& shard : requests_) {
    MutexLock lock(&shard.mu);
    entries.insert(entries.end(), shard.frozen.begin(), shard.frozen.end());
  }
  std::sort(entries.begin(), entries.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  return entries;
}

std::vector<LogItem> IndexDelta::FrozenLog() const {
  std::vector<LogItem> items;
  {
    MutexLock lock(&log_mu_);
    for (const auto& [origin, of_log] : frozen_log_.items) {
      items.insert(items.end(), of_log.begin(), of_log.end());
    }
  }
  if (!std::is_sorted(items.begin(), items.end(), LogLess)) {
    std::stable_sort(items.begin(), items.end(), LogLess);
  }
  items.erase(std::unique(items.begin(), items.end(),
                          [](const LogItem& a, const LogItem& b) {
                            return LogKey(a) == LogKey(b);
                          }),
              items.end());
  return items;
}

IndexDelta::SmallMap IndexDelta::FrozenSmall() const {
  MutexLock lock(&small_mu_);
  return frozen_small_;
}

void IndexDelta::DropFrozen() {
  // What is dropped is freed without a lock, and the files once nobody reads
  // their order any more, whose names are theirs.
  std::shared_ptr<NameOrder> order;
  std::vector<absl::string_view> new_names;
  {
    MutexLock lock(&order_mu_);
    order = std::move(frozen_order_);
    new_names.swap(frozen_new_names_);
  }
  for (size_t i = 0; i < kShards; ++i) {
    MutexLock lock(&files_[i].mu);
    std::swap(files_[i].frozen, order->dropped[i]);
  }
  for (RequestShard& shard : requests_) {
    RequestTable dropped;
    MutexLock lock(&shard.mu);
    std::swap(shard.frozen, dropped);
  }
  LogTable log;
  SmallMap small;
  {
    MutexLock lock(&log_mu_);
    std::swap(log, frozen_log_);
  }
  {
    MutexLock lock(&small_mu_);
    std::swap(small, frozen_small_);
  }
  frozen_bytes_.store(0, std::memory_order_relaxed);
  frozen_.store(false, std::memory_order_release);
}

}  // namespace storage
}  // namespace cairn
