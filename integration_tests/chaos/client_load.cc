#include "integration_tests/chaos/client_load.h"

#include <algorithm>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"

namespace cairn {
namespace testing {
namespace {

// Calls give up long before a fault ends that lasts, so that callers go on.
constexpr absl::Duration kCallTimeout = absl::Seconds(8);
constexpr absl::Duration kStallTimeout = absl::Seconds(4);

constexpr int64_t kLargeBytesMin = (1 << 20) + 1;

bool OneIn(std::mt19937_64* random, int n) {
  return (*random)() % static_cast<uint64_t>(n) == 0;
}

}  // namespace

bool MayHappen(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kCancelled:
      return true;
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kInternal:
      // gRPC calls a stream that was torn in the middle of a frame so. Those
      // carry no reason of ours; what StorageStub complains of has none either.
      return ReasonOf(status) == ErrorReason::kUnspecified &&
             !absl::StrContains(status.message(), "broke its word");
    default:
      return false;
  }
}

bool MayHappenToAChange(const absl::Status& status) {
  if (MayHappen(status)) return true;
  switch (ReasonOf(status)) {
    case ErrorReason::kWriteFailed:
    case ErrorReason::kStorePathReadOnly:
      return true;
    default:
      return false;
  }
}

client::Durability DrawDurability(std::mt19937_64* random) {
  client::Durability durability;
  durability.level = OneIn(random, 2) ? client::DurabilityLevel::kCached
                                      : client::DurabilityLevel::kSynced;
  durability.replicas = static_cast<uint32_t>((*random)() % 4);  // 0..3
  if (durability.replicas > 0 && OneIn(random, 3)) {
    durability.policy = client::ReplicaPolicy::kRequired;
  }
  return durability;
}

absl::StatusOr<std::unique_ptr<ClientLoad>> ClientLoad::Connect(
    ClientLoadOptions options, Oracle* oracle) {
  client::ClientOptions connect;
  connect.trackers = options.trackers;
  connect.connect_timeout = absl::Minutes(3);
  connect.timeout = kCallTimeout;
  connect.stall_timeout = kStallTimeout;
  CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<client::Client> client,
                         client::Client::Connect(connect));
  return std::unique_ptr<ClientLoad>(
      new ClientLoad(std::move(options), oracle, std::move(client)));
}

ClientLoad::ClientLoad(ClientLoadOptions options, Oracle* oracle,
                       std::unique_ptr<client::Client> client)
    : options_(std::move(options)),
      oracle_(oracle),
      client_(std::move(client)) {}

ClientLoad::~ClientLoad() { Stop().IgnoreError(); }

void ClientLoad::AddMember(const std::string& address) {
  auto stub = std::make_shared<StorageStub>(address);
  MutexLock lock(&mu_);
  members_.push_back(std::move(stub));
}

void ClientLoad::Start() {
  uint64_t seed = 0;
  {
    MutexLock lock(&mu_);
    stopping_ = false;
    seed = options_.seed * 1000003 + static_cast<uint64_t>(starts_++) * 1009;
  }
  threads_.emplace_back([this, seed] { RunReader(seed); });
  for (int i = 0; i < options_.callers; ++i) {
    threads_.emplace_back(
        [this, seed, i] { Run(seed + 1 + static_cast<uint64_t>(i)); });
  }
}

absl::Status ClientLoad::Stop() {
  {
    MutexLock lock(&mu_);
    stopping_ = true;
    changed_.SignalAll();
  }
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  MutexLock lock(&mu_);
  return violation_;
}

void ClientLoad::AwaitAcknowledged(int64_t changes, absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  MutexLock lock(&mu_);
  const int64_t wanted = counts_.puts + counts_.deletes + changes;
  while (counts_.puts + counts_.deletes < wanted && absl::Now() < deadline) {
    changed_.WaitWithTimeout(&mu_, deadline - absl::Now());
  }
}

bool ClientLoad::Pause() {
  const absl::Time until = absl::Now() + options_.pause;
  MutexLock lock(&mu_);
  while (!stopping_ && absl::Now() < until) {
    changed_.WaitWithTimeout(&mu_, until - absl::Now());
  }
  return !stopping_;
}

void ClientLoad::Run(uint64_t seed) {
  Random random(seed);
  while (Pause()) {
    const uint64_t dice = random() % 12;
    if (dice < 7) {
      Put(&random);
    } else if (dice < 11) {
      Read(&random);
    } else {
      Delete(&random);
    }
  }
}

void ClientLoad::RunReader(uint64_t seed) {
  Random random(seed);
  while (Pause()) ReadAtMember(&random);
}

absl::optional<ClientLoad::StoredFile> ClientLoad::Draw(Random* random) {
  MutexLock lock(&mu_);
  if (files_.empty()) return absl::nullopt;
  // The newest ones half of the time: they are still on their way.
  const size_t newest = std::min<size_t>(files_.size(), 16);
  const size_t back = (*random)() % (OneIn(random, 2) ? newest : files_.size());
  return files_[files_.size() - 1 - back];
}

void ClientLoad::Put(Random* random) {
  StoredFile file;
  file.content_seed = (*random)();
  const bool large = OneIn(random, options_.large_one_in);
  if (large) {
    file.size_bytes =
        kLargeBytesMin +
        static_cast<int64_t>(
            (*random)() %
            static_cast<uint64_t>(options_.large_bytes_max - kLargeBytesMin));
  } else {
    // Halved a random number of times: as many of 100 bytes as of 10,000.
    file.size_bytes = static_cast<int64_t>(
        (*random)() %
        static_cast<uint64_t>(options_.small_bytes_max >> (*random)() % 12));
  }
  client::PutOptions options;
  options.durability = DrawDurability(random);
  options.timeout = kCallTimeout;
  options.request_id = oracle_->BeginPut(
      file.size_bytes, file.content_seed,
      options.durability.level == client::DurabilityLevel::kSynced,
      options.durability.replicas,
      options.durability.policy == client::ReplicaPolicy::kRequired);
  const absl::StatusOr<client::PutResult> put =
      client_->Put(ContentOf(file.content_seed, file.size_bytes), options);
  if (!put.ok()) {
    if (!MayHappen(put.status()) &&
        ReasonOf(put.status()) != ErrorReason::kWriteFailed) {
      Violation(WithContext(put.status(), "put"));
    }
    return Count(&LoadCounts::failed);
  }
  oracle_->Stored(options.request_id, put->info.file_id, put->replicas);
  if (put->level < options.durability.level || put->replicas < 1 ||
      (options.durability.policy == client::ReplicaPolicy::kRequired &&
       put->replicas < options.durability.replicas)) {
    Violation(absl::InternalError(absl::StrCat(
        put->info.file_id, ": acknowledged at less than was required: ",
        put->replicas, " of ", options.durability.replicas)));
  }
  file.file_id = put->info.file_id;
  MutexLock lock(&mu_);
  files_.push_back(std::move(file));
  ++counts_.puts;
  if (large) ++counts_.large_puts;
  changed_.SignalAll();
}

absl::StatusOr<std::string> ClientLoad::PutOne(int64_t size_bytes,
                                               uint64_t seed) {
  client::PutOptions options;
  options.request_id = oracle_->BeginPut(size_bytes, seed, /*synced=*/true);
  CAIRN_ASSIGN_OR_RETURN(const client::PutResult put,
                         client_->Put(ContentOf(seed, size_bytes), options));
  oracle_->Stored(options.request_id, put.info.file_id, put.replicas);
  MutexLock lock(&mu_);
  files_.push_back({put.info.file_id, seed, size_bytes});
  return put.info.file_id;
}

void ClientLoad::Read(Random* random) {
  const absl::optional<StoredFile> file = Draw(random);
  if (!file.has_value()) return;
  client::GetOptions options;
  options.timeout = kCallTimeout;
  if (OneIn(random, 3)) {
    options.offset = static_cast<int64_t>(
        (*random)() % static_cast<uint64_t>(file->size_bytes + 1));
    options.length = static_cast<int64_t>((*random)() % 100000);
  }
  const absl::StatusOr<client::GetResult> got =
      client_->Get(file->file_id, options);
  if (!got.ok()) return ReadFailed(file->file_id, got.status());
  const std::string expected = ContentOf(file->content_seed, file->size_bytes);
  const size_t count = options.length.has_value()
                           ? static_cast<size_t>(*options.length)
                           : std::string::npos;
  if (got->content !=
      expected.substr(static_cast<size_t>(options.offset), count)) {
    Violation(absl::DataLossError(absl::StrCat(
        file->file_id, ": other bytes were read, from ", options.offset)));
  }
  Count(&LoadCounts::reads);
}

void ClientLoad::ReadAtMember(Random* random) {
  const absl::optional<StoredFile> file = Draw(random);
  if (!file.has_value()) return;
  std::shared_ptr<StorageStub> member;
  {
    MutexLock lock(&mu_);
    if (members_.empty()) return;
    member = members_[(*random)() % members_.size()];
  }
  const absl::StatusOr<std::string> got = member->Get(file->file_id);
  if (!got.ok()) return ReadFailed(file->file_id, got.status());
  if (*got != ContentOf(file->content_seed, file->size_bytes)) {
    Violation(absl::DataLossError(
        absl::StrCat(file->file_id, ": other bytes were read at a member")));
  }
  Count(&LoadCounts::member_reads);
}

void ClientLoad::ReadFailed(const std::string& file_id,
                            const absl::Status& status) {
  Count(&LoadCounts::failed);
  if (MayHappen(status)) return;
  const ErrorReason reason = ReasonOf(status);
  {
    MutexLock lock(&mu_);
    if (absl::IsNotFound(status) && deleting_.count(file_id) != 0) return;
    if (reason == ErrorReason::kContentDamaged &&
        damaged_.count(file_id) != 0) {
      return;
    }
  }
  if (absl::IsNotFound(status)) {
    const int64_t line = oracle_->lines();
    oracle_->Remark(
        absl::StrCat("not found: ", file_id, ": ", status.ToString()));
    MutexLock lock(&mu_);
    suspicions_.push_back({file_id, line, status});
    return;
  }
  Violation(WithContext(status, absl::StrCat("read of ", file_id)));
}

void ClientLoad::Delete(Random* random) {
  StoredFile file;
  {
    MutexLock lock(&mu_);
    if (files_.empty()) return;
    const size_t index = (*random)() % files_.size();
    file = files_[index];
    files_[index] = files_.back();
    files_.pop_back();
    deleting_.insert(file.file_id);
  }
  client::DeleteOptions options;
  options.timeout = kCallTimeout;
  options.durability = DrawDurability(random);
  options.request_id = oracle_->BeginDelete(file.file_id);
  const absl::StatusOr<client::DeleteResult> deleted =
      client_->Delete(file.file_id, options);
  if (deleted.ok()) {
    oracle_->Deleted(options.request_id, deleted->replicas);
    return Count(&LoadCounts::deletes);
  }
  Count(&LoadCounts::failed);
  const ErrorReason reason = ReasonOf(deleted.status());
  if (MayHappen(deleted.status()) || reason == ErrorReason::kWriteFailed) {
    return;
  }
  if (absl::IsNotFound(deleted.status())) {
    const int64_t line = oracle_->lines();
    oracle_->Remark(absl::StrCat("not found: ", file.file_id, ": ",
                                 deleted.status().ToString()));
    MutexLock lock(&mu_);
    suspicions_.push_back({file.file_id, line, deleted.status()});
    return;
  }
  Violation(
      WithContext(deleted.status(), absl::StrCat("delete of ", file.file_id)));
}

void ClientLoad::ExpectDamaged(const std::string& file_id) {
  MutexLock lock(&mu_);
  damaged_.insert(file_id);
}

std::vector<Suspicion> ClientLoad::suspicions() const {
  MutexLock lock(&mu_);
  return suspicions_;
}

LoadCounts ClientLoad::counts() const {
  MutexLock lock(&mu_);
  return counts_;
}

void ClientLoad::Count(int64_t LoadCounts::*count) {
  MutexLock lock(&mu_);
  ++(counts_.*count);
  changed_.SignalAll();
}

void ClientLoad::Violation(const absl::Status& status) {
  oracle_->Remark(absl::StrCat("violation: ", status.ToString()));
  MutexLock lock(&mu_);
  violation_.Update(status);
}

}  // namespace testing
}  // namespace cairn
