#include "clients/cli/bench/load.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <iterator>
#include <numeric>
#include <thread>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "clients/cli/exit_code.h"
#include "lib/base/error_reason.h"
#include "lib/base/mutex.h"
#include "lib/checksum/crc32c.h"

namespace cairn {
namespace cli {
namespace {

constexpr const char* kOperationNames[] = {"put",    "get",   "stat",
                                           "delete", "mixed", "append"};
constexpr int64_t kPutsByDefault = 10000;  // Appends, too.
constexpr int64_t kMixedByDefault = 100000;

// Larger files are streamed to a sink: a Cord of each would be held in memory.
constexpr int64_t kGetInMemoryMax = 4 << 20;

// A cluster that only fails is not asked for ever.
constexpr int64_t kErrorsInRowMax = 1000;

// Of the value of an attribute.
constexpr size_t kAttributeBytes = 32;

// Latencies are counted in as many histograms, so that threads seldom share.
constexpr size_t kShards = 8;

int64_t NowNanos() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

size_t ShardOfThread() {
  static std::atomic<size_t> next{0};
  thread_local const size_t shard = next++ % kShards;
  return shard;
}

absl::Status Damaged(const std::string& file_id, absl::string_view what) {
  return ErrorWithReason(absl::StatusCode::kDataLoss,
                         ErrorReason::kChecksumMismatch,
                         absl::StrCat(file_id, ": ", what));
}

// Checks what arrives and keeps nothing of it.
class DiscardingSink : public client::ContentSink {
 public:
  explicit DiscardingSink(bool checksum) : checksum_(checksum) {}

  absl::Status Write(const absl::Cord& data) override {
    size_ += static_cast<int64_t>(data.size());
    if (!checksum_) return absl::OkStatus();
    for (absl::string_view piece : data.Chunks()) {
      crc32c_ = ExtendCrc32c(crc32c_, piece);
    }
    return absl::OkStatus();
  }

  int64_t size() const { return size_; }
  uint32_t crc32c() const { return crc32c_; }

 private:
  const bool checksum_;
  int64_t size_ = 0;
  uint32_t crc32c_ = 0;
};

// One operation in flight, and after it the next. Touched by one thread at a
// time; Slot::turn hands it over.
struct alignas(64) Slot {
  int number = 0;

  // An asynchronous operation can end before the call that began it returns.
  // Both sides exchange 1: who comes second goes on with the slot.
  std::atomic<int> turn{0};

  int64_t index = 0;  // Of the operation in the phase.
  Operation operation = Operation::kPut;
  BenchFile* file = nullptr;  // Of get, stat and delete.
  BenchFile put;              // What is being put, or appended to.
  int64_t append_bytes = 0;   // What is being added to it.
  int64_t start_nanos = 0;
  uint64_t random = 0;
  int64_t operations = 0;
  int64_t bytes = 0;

  // Put by this slot; in a mixed phase, all that it works on.
  std::vector<BenchFile> files;

  // Of what is being put: its number. Else of `file`, in `files` in a mixed
  // phase and in Load::files_ in the others.
  size_t file_index = 0;
};

class Load {
 public:
  Load(client::Client* client, const Content& content,
       const LoadOptions& options, std::vector<BenchFile>* files,
       Progress* progress, const Interrupt* interrupt);

  std::unique_ptr<LoadResult> Run();

 private:
  int64_t CountByDefault() const;
  void RunBlocking();
  void RunCallbacks();
  void WaitForSlots();

  // Chooses what the slot does next. False at the end of the phase.
  bool Next(Slot* slot);
  void NextMixed(Slot* slot);
  void PreparePut(Slot* slot);

  // Makes the file that the slot appends to. False if it cannot.
  bool MakeAppender(Slot* slot);

  // Begins operations of the slot until one is left to its callback.
  void Drive(Slot* slot) ABSL_LOCKS_EXCLUDED(mu_);
  void Start(Slot* slot);
  void Done(Slot* slot);
  void Block(Slot* slot);
  absl::Status GetToSink(const Slot& slot);

  absl::Status CheckPut(Slot* slot,
                        const absl::StatusOr<client::PutResult>& result);
  absl::Status CheckAppend(Slot* slot,
                           const absl::StatusOr<client::UpdateResult>& result);
  absl::Status CheckGet(const Slot& slot,
                        const absl::StatusOr<client::GetResult>& result);
  absl::Status CheckInfo(const Slot& slot, const client::FileInfo& info);

  void Record(Slot* slot, const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);
  void RecordError(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);
  void Collect();

  client::Client* const client_;
  const Content& content_;
  const LoadOptions options_;
  std::vector<BenchFile>* const files_;
  Progress* const progress_;
  const Interrupt* const interrupt_;
  const bool blocking_;
  const int64_t count_;
  const uint64_t first_index_;  // Number of the first file that is put.

  client::PutOptions put_options_;
  client::GetOptions get_options_;
  client::StatOptions stat_options_;
  client::DeleteOptions delete_options_;
  client::UpdateOptions update_options_;

  std::vector<uint32_t> order_;  // In which files are used; empty: as they are.
  std::vector<uint8_t> deleted_;  // By index in `files_`; not in a mixed phase.
  std::vector<std::unique_ptr<Slot>> slots_;
  std::array<Histogram, kShards> latencies_;
  std::atomic<int64_t> next_{0};
  std::atomic<bool> stopping_{false};
  std::atomic<int64_t> errors_in_row_{0};
  int64_t end_nanos_ = 0;  // 0: no end.

  Mutex mu_;
  CondVar slot_ended_;
  int running_slots_ ABSL_GUARDED_BY(mu_) = 0;
  std::unique_ptr<LoadResult> result_ ABSL_GUARDED_BY(mu_) =
      std::make_unique<LoadResult>();
};

bool NeedsBlockingCallers(const LoadOptions& options,
                          const std::vector<BenchFile>& files) {
  if (options.blocking) return true;
  const bool reads = options.operation == Operation::kGet ||
                     options.operation == Operation::kMixed;
  if (!reads) return false;
  if (options.operation == Operation::kMixed &&
      options.sizes.max_bytes() > kGetInMemoryMax) {
    return true;
  }
  return std::any_of(files.begin(), files.end(), [](const BenchFile& file) {
    return file.size_bytes > kGetInMemoryMax;
  });
}

Load::Load(client::Client* client, const Content& content,
           const LoadOptions& options, std::vector<BenchFile>* files,
           Progress* progress, const Interrupt* interrupt)
    : client_(client),
      content_(content),
      options_(options),
      files_(files),
      progress_(progress),
      interrupt_(interrupt),
      blocking_(NeedsBlockingCallers(options, *files)),
      count_(options.count.value_or(
          options.duration.has_value() ? INT64_MAX : CountByDefault())),
      first_index_(files->size()) {
  put_options_.group = options.group;
  put_options_.extension = options.extension;
  for (int i = 0; i < options.attributes; ++i) {
    put_options_.attributes[absl::StrCat("attribute-", i)] =
        std::string(kAttributeBytes, 'v');
  }
  put_options_.durability = options.durability;
  put_options_.timeout = options.timeout;
  get_options_.timeout = options.timeout;
  stat_options_.timeout = options.timeout;
  delete_options_.durability = options.durability;
  delete_options_.timeout = options.timeout;
  update_options_.durability = options.durability;
  update_options_.timeout = options.timeout;
}

int64_t Load::CountByDefault() const {
  switch (options_.operation) {
    case Operation::kPut:
    case Operation::kAppend:
      return kPutsByDefault;
    case Operation::kMixed:
      return kMixedByDefault;
    default:
      return static_cast<int64_t>(files_->size());
  }
}

std::unique_ptr<LoadResult> Load::Run() {
  const bool uses_files = options_.operation != Operation::kPut &&
                          options_.operation != Operation::kAppend &&
                          options_.operation != Operation::kMixed;
  if (uses_files && options_.shuffled) {
    order_.resize(files_->size());
    std::iota(order_.begin(), order_.end(), 0);
    for (size_t i = order_.size(); i > 1; --i) {  // Fisher-Yates.
      std::swap(order_[i - 1], order_[Mix64(options_.seed + i) % i]);
    }
  }
  if (options_.operation == Operation::kDelete) {
    deleted_.resize(files_->size());
  }
  for (int i = 0; i < options_.in_flight; ++i) {
    slots_.push_back(std::make_unique<Slot>());
    slots_.back()->number = i;
    slots_.back()->random =
        Mix64(options_.seed ^ Mix64(static_cast<uint64_t>(i)));
  }
  if (options_.operation == Operation::kMixed) {
    // Each slot has files of its own, so that no file is deleted while another
    // slot reads it.
    for (size_t i = 0; i < files_->size(); ++i) {
      slots_[i % slots_.size()]->files.push_back(std::move((*files_)[i]));
    }
    files_->clear();
  }

  if (options_.operation == Operation::kAppend) {
    for (const auto& slot : slots_) {
      if (MakeAppender(slot.get())) continue;
      stopping_ = true;
      break;
    }
  }

  const int64_t start = NowNanos();
  if (options_.duration.has_value()) {
    end_nanos_ = start + absl::ToInt64Nanoseconds(*options_.duration);
  }
  if (blocking_) {
    RunBlocking();
  } else {
    RunCallbacks();
  }
  const int64_t end = NowNanos();
  Collect();
  MutexLock lock(&mu_);
  result_->elapsed = absl::Nanoseconds(end - start);
  result_->blocking = blocking_;
  result_->interrupted = interrupt_->raised();
  return std::move(result_);
}

void Load::RunBlocking() {
  {
    MutexLock lock(&mu_);
    running_slots_ = options_.in_flight;
  }
  std::vector<std::thread> threads;
  for (const auto& slot : slots_) {
    threads.emplace_back([this, slot = slot.get()] {
      while (Next(slot)) Block(slot);
      MutexLock lock(&mu_);
      --running_slots_;
      slot_ended_.Signal();
    });
  }
  WaitForSlots();
  for (std::thread& thread : threads) thread.join();
}

void Load::RunCallbacks() {
  {
    MutexLock lock(&mu_);
    running_slots_ = options_.in_flight;
  }
  for (const auto& slot : slots_) Drive(slot.get());
  WaitForSlots();
}

// Until all slots have ended. Draws meanwhile; an interrupt lets what is in
// flight end.
void Load::WaitForSlots() {
  if (count_ != INT64_MAX) progress_->SetTotal(count_, absl::nullopt);
  for (;;) {
    // What has begun, which is near enough and costs the slots nothing.
    progress_->AddFiles(std::min<int64_t>(next_, count_) - progress_->files());
    progress_->Tick();
    if (interrupt_->raised()) stopping_ = true;
    MutexLock lock(&mu_);
    if (running_slots_ == 0) return;
    slot_ended_.WaitWithTimeout(&mu_, absl::Milliseconds(kInterruptPollMillis));
  }
}

bool Load::Next(Slot* slot) {
  if (stopping_.load(std::memory_order_relaxed)) return false;
  slot->index = next_.fetch_add(1, std::memory_order_relaxed);
  if (slot->index >= count_) return false;
  if (end_nanos_ != 0 && NowNanos() >= end_nanos_) return false;
  slot->operation = options_.operation;
  switch (options_.operation) {
    case Operation::kPut:
      PreparePut(slot);
      return true;
    case Operation::kAppend:
      slot->file_index = first_index_ + static_cast<uint64_t>(slot->index);
      slot->append_bytes =
          options_.sizes.SizeOf(options_.seed, slot->file_index);
      return true;
    case Operation::kMixed:
      NextMixed(slot);
      return true;
    default:
      break;
  }
  if (files_->empty()) return false;
  const auto index = static_cast<size_t>(slot->index);
  if (options_.operation == Operation::kDelete && index >= files_->size()) {
    return false;
  }
  size_t which = index % files_->size();
  if (!order_.empty()) which = order_[which];
  slot->file = &(*files_)[which];
  slot->file_index = which;
  return true;
}

void Load::NextMixed(Slot* slot) {
  slot->random = Mix64(slot->random);
  const int all = std::accumulate(options_.mix.begin(), options_.mix.end(), 0);
  int draw = static_cast<int>(slot->random % static_cast<uint64_t>(all));
  int which = 0;
  while (draw >= options_.mix[static_cast<size_t>(which)]) {
    draw -= options_.mix[static_cast<size_t>(which)];
    ++which;
  }
  slot->operation = static_cast<Operation>(which);
  if (slot->files.empty()) slot->operation = Operation::kPut;
  if (slot->operation == Operation::kPut) {
    PreparePut(slot);
    return;
  }
  slot->file_index = (slot->random >> 32) % slot->files.size();
  slot->file = &slot->files[slot->file_index];
}

void Load::PreparePut(Slot* slot) {
  const uint64_t number = first_index_ + static_cast<uint64_t>(slot->index);
  slot->put.size_bytes = options_.sizes.SizeOf(options_.seed, number);
  slot->put.crc32c = content_.Crc(options_.seed, number, slot->put.size_bytes);
  slot->put.file_id.clear();
  slot->file_index = number;
}

bool Load::MakeAppender(Slot* slot) {
  const absl::StatusOr<client::PutResult> made =
      client_->CreateAppender("", put_options_);
  if (made.ok()) {
    slot->put.file_id = made->info.file_id;
  } else {
    RecordError(made.status());
  }
  return made.ok();
}

void Load::Drive(Slot* slot) {
  while (Next(slot)) {
    slot->turn.store(0, std::memory_order_relaxed);
    Start(slot);
    // After this the slot is the callback's, if that has not been here yet.
    if (slot->turn.exchange(1, std::memory_order_acq_rel) == 0) return;
  }
  MutexLock lock(&mu_);
  --running_slots_;
  slot_ended_.Signal();
}

void Load::Start(Slot* slot) {
  slot->start_nanos = NowNanos();
  switch (slot->operation) {
    case Operation::kPut:
      client_->PutAsync(
          content_.Make(options_.seed, slot->file_index, slot->put.size_bytes),
          put_options_, [this, slot](absl::StatusOr<client::PutResult> result) {
            Record(slot, CheckPut(slot, result));
            Done(slot);
          });
      return;
    case Operation::kAppend:
      client_->AppendAsync(
          slot->put.file_id,
          content_.Make(options_.seed, slot->file_index, slot->append_bytes),
          update_options_,
          [this, slot](absl::StatusOr<client::UpdateResult> result) {
            Record(slot, CheckAppend(slot, result));
            Done(slot);
          });
      return;
    case Operation::kGet:
      client_->GetAsync(slot->file->file_id, get_options_,
                        [this, slot](absl::StatusOr<client::GetResult> result) {
                          Record(slot, CheckGet(*slot, result));
                          Done(slot);
                        });
      return;
    case Operation::kStat:
      client_->StatAsync(
          slot->file->file_id, stat_options_,
          [this, slot](absl::StatusOr<client::FileInfo> info) {
            Record(slot, info.ok() ? CheckInfo(*slot, *info) : info.status());
            Done(slot);
          });
      return;
    case Operation::kDelete:
    case Operation::kMixed:
      client_->DeleteAsync(
          slot->file->file_id, delete_options_,
          [this, slot](absl::StatusOr<client::DeleteResult> result) {
            Record(slot, result.status());
            Done(slot);
          });
      return;
  }
}

void Load::Done(Slot* slot) {
  if (slot->turn.exchange(1, std::memory_order_acq_rel) == 1) Drive(slot);
}

void Load::Block(Slot* slot) {
  slot->start_nanos = NowNanos();
  switch (slot->operation) {
    case Operation::kPut: {
      const absl::Cord content =
          content_.Make(options_.seed, slot->file_index, slot->put.size_bytes);
      Record(slot, CheckPut(slot, client_->Put(content, put_options_)));
      return;
    }
    case Operation::kAppend: {
      const std::string content(
          content_.Make(options_.seed, slot->file_index, slot->append_bytes));
      Record(slot, CheckAppend(slot, client_->Append(slot->put.file_id, content,
                                                     update_options_)));
      return;
    }
    case Operation::kGet:
      if (slot->file->size_bytes > kGetInMemoryMax) {
        Record(slot, GetToSink(*slot));
      } else {
        Record(slot, CheckGet(*slot,
                              client_->Get(slot->file->file_id, get_options_)));
      }
      return;
    case Operation::kStat: {
      const auto info = client_->Stat(slot->file->file_id, stat_options_);
      Record(slot, info.ok() ? CheckInfo(*slot, *info) : info.status());
      return;
    }
    case Operation::kDelete:
    case Operation::kMixed:
      Record(slot,
             client_->Delete(slot->file->file_id, delete_options_).status());
      return;
  }
}

absl::Status Load::GetToSink(const Slot& slot) {
  DiscardingSink sink(options_.verify_content);
  const auto info = client_->GetTo(slot.file->file_id, &sink, get_options_);
  if (!info.ok()) return info.status();
  absl::Status said = CheckInfo(slot, *info);
  if (!said.ok()) return said;
  if (sink.size() != slot.file->size_bytes ||
      (options_.verify_content && sink.crc32c() != slot.file->crc32c)) {
    return Damaged(slot.file->file_id, "other bytes arrived than were stored");
  }
  return absl::OkStatus();
}

absl::Status Load::CheckPut(Slot* slot,
                            const absl::StatusOr<client::PutResult>& result) {
  if (!result.ok()) return result.status();
  if (result->info.size_bytes != slot->put.size_bytes ||
      result->info.crc32c != slot->put.crc32c) {
    return Damaged(result->info.file_id,
                   "the node says that it stored something else");
  }
  slot->put.file_id = result->info.file_id;
  return absl::OkStatus();
}

// A file is only appended to by its slot, so what it is then is known.
absl::Status Load::CheckAppend(
    Slot* slot, const absl::StatusOr<client::UpdateResult>& result) {
  if (!result.ok()) return result.status();
  const int64_t before = slot->put.size_bytes;
  const uint32_t crc32c = CombineCrc32c(
      slot->put.crc32c,
      content_.Crc(options_.seed, slot->file_index, slot->append_bytes),
      static_cast<uint64_t>(slot->append_bytes));
  slot->put.size_bytes = result->info.size_bytes;
  slot->put.crc32c = result->info.crc32c;
  if (result->info.size_bytes != before + slot->append_bytes ||
      result->info.crc32c != crc32c) {
    return Damaged(slot->put.file_id,
                   "the node says that it has something else than was added");
  }
  return absl::OkStatus();
}

absl::Status Load::CheckGet(const Slot& slot,
                            const absl::StatusOr<client::GetResult>& result) {
  if (!result.ok()) return result.status();
  absl::Status said = CheckInfo(slot, result->info);
  if (!said.ok()) return said;
  if (static_cast<int64_t>(result->content.size()) != slot.file->size_bytes ||
      (options_.verify_content &&
       Crc32c(result->content) != slot.file->crc32c)) {
    return Damaged(slot.file->file_id, "other bytes arrived than were stored");
  }
  return absl::OkStatus();
}

absl::Status Load::CheckInfo(const Slot& slot, const client::FileInfo& info) {
  if (info.size_bytes == slot.file->size_bytes &&
      info.crc32c == slot.file->crc32c) {
    return absl::OkStatus();
  }
  return Damaged(slot.file->file_id, "the node knows another size or checksum");
}

void Load::Record(Slot* slot, const absl::Status& status) {
  const int64_t nanos = NowNanos() - slot->start_nanos;
  if (!status.ok()) {
    RecordError(status);
    return;
  }
  if (errors_in_row_.load(std::memory_order_relaxed) != 0) errors_in_row_ = 0;
  latencies_[ShardOfThread()].Record(nanos);
  ++slot->operations;
  int64_t bytes = 0;
  switch (slot->operation) {
    case Operation::kPut:
      bytes = slot->put.size_bytes;
      slot->files.push_back(std::move(slot->put));
      break;
    case Operation::kAppend:
      bytes = slot->append_bytes;
      break;
    case Operation::kGet:
      bytes = slot->file->size_bytes;
      break;
    case Operation::kDelete:
      if (options_.operation == Operation::kMixed) {
        std::swap(slot->files[slot->file_index], slot->files.back());
        slot->files.pop_back();
      } else {
        deleted_[slot->file_index] = 1;
      }
      break;
    default:
      break;
  }
  slot->bytes += bytes;
  // Many small ones are not worth a shared counter.
  if (bytes > kGetInMemoryMax) progress_->AddBytes(bytes);
}

void Load::RecordError(const absl::Status& status) {
  if (++errors_in_row_ > kErrorsInRowMax) stopping_ = true;
  MutexLock lock(&mu_);
  ++result_->errors;
  if (status.code() == absl::StatusCode::kDataLoss) ++result_->damaged;
  ++result_->errors_by_reason[ReasonText(status)];
  if (result_->first_error.ok()) result_->first_error = status;
}

void Load::Collect() {
  MutexLock lock(&mu_);
  for (const Histogram& shard : latencies_) result_->latency.Add(shard);
  if (!deleted_.empty()) {
    size_t kept = 0;
    for (size_t i = 0; i < files_->size(); ++i) {
      if (deleted_[i] != 0) continue;
      if (kept != i) (*files_)[kept] = std::move((*files_)[i]);
      ++kept;
    }
    files_->resize(kept);
  }
  for (const auto& slot : slots_) {
    result_->operations += slot->operations;
    result_->bytes += slot->bytes;
    if (options_.operation == Operation::kAppend &&
        !slot->put.file_id.empty()) {
      slot->files.push_back(std::move(slot->put));
    }
    std::move(slot->files.begin(), slot->files.end(),
              std::back_inserter(*files_));
  }
}

}  // namespace

std::string OperationName(Operation operation) {
  return kOperationNames[static_cast<int>(operation)];
}

absl::StatusOr<Operation> ParseOperation(absl::string_view name) {
  for (size_t i = 0; i < std::size(kOperationNames); ++i) {
    if (name == kOperationNames[i]) return static_cast<Operation>(i);
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "`", name,
      "` is no operation: write put, get, stat, delete, append or mixed"));
}

absl::StatusOr<Mix> ParseMix(absl::string_view text) {
  Mix mix = {};
  for (absl::string_view part :
       absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    const std::vector<absl::string_view> sides = absl::StrSplit(part, '=');
    int share = 0;
    const auto operation = ParseOperation(sides[0]);
    if (sides.size() != 2 || !operation.ok() ||
        *operation >= Operation::kMixed ||
        !absl::SimpleAtoi(sides[1], &share) || share < 0 || share > 1000000) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--mix ", text, ": write put=10,get=80,stat=5,delete=5"));
    }
    mix[static_cast<size_t>(*operation)] = share;
  }
  if (std::accumulate(mix.begin(), mix.end(), 0) == 0) {
    return absl::InvalidArgumentError("--mix: all shares are 0");
  }
  return mix;
}

std::unique_ptr<LoadResult> RunLoad(client::Client* client,
                                    const Content& content,
                                    const LoadOptions& options,
                                    std::vector<BenchFile>* files,
                                    Progress* progress,
                                    const Interrupt* interrupt) {
  return Load(client, content, options, files, progress, interrupt).Run();
}

}  // namespace cli
}  // namespace cairn
