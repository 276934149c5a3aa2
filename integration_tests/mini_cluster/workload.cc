#include "integration_tests/mini_cluster/workload.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"

namespace cairn {
namespace testing {
namespace {

constexpr int kBatchFiles = 12;

// What a caller may see when its server is killed, stops or starts.
bool ServerIsGone(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kDeadlineExceeded:
      return true;
    default:
      // gRPC calls a stream that a kill tore in the middle of a frame UNKNOWN
      // or INTERNAL. Those carry no reason of ours.
      return ReasonOf(status) == ErrorReason::kUnspecified &&
             (status.code() == absl::StatusCode::kUnknown ||
              status.code() == absl::StatusCode::kInternal) &&
             !absl::StrContains(status.message(), "broke its word");
  }
}

}  // namespace

struct Workload::Caller {
  explicit Caller(uint64_t seed) : random(seed) {}

  bool OneIn(int n) { return n > 0 && random() % n == 0; }

  std::mt19937_64 random;
  std::vector<OwnFile> files;
};

Workload::Workload(WorkloadOptions options, std::string address, Oracle* oracle)
    : options_(options), oracle_(oracle), stub_(address) {}

Workload::~Workload() { (void)Stop(); }

void Workload::Start() {
  {
    MutexLock lock(&mu_);
    running_ = options_.callers;
  }
  for (int i = 0; i < options_.callers; ++i) {
    threads_.emplace_back([this, i] { Run(i); });
  }
}

absl::Status Workload::Stop() {
  stopping_ = true;
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  MutexLock lock(&mu_);
  return violation_;
}

void Workload::AwaitAcknowledged(int64_t changes) {
  MutexLock lock(&mu_);
  while (acknowledged_ < changes && running_ > 0) changed_.Wait(&mu_);
}

void Workload::AwaitRefused(int64_t puts) {
  MutexLock lock(&mu_);
  while (refused_ < puts && running_ > 0) changed_.Wait(&mu_);
}

void Workload::Run(int index) {
  Caller caller(options_.seed * 1000003 + static_cast<uint64_t>(index));
  bool alive = true;
  while (alive && !stopping_) {
    if (!caller.files.empty() && caller.OneIn(4)) {
      alive = Read(&caller);
    } else if (!caller.files.empty() && caller.OneIn(options_.delete_one_in)) {
      alive = Delete(&caller);
    } else if (caller.OneIn(8)) {
      alive = PutBatch(&caller);
    } else {
      alive = Put(&caller);
    }
  }
  MutexLock lock(&mu_);
  --running_;
  changed_.SignalAll();
}

bool Workload::Synced(Caller* caller) {
  switch (options_.level) {
    case WorkloadOptions::Level::kCached:
      return false;
    case WorkloadOptions::Level::kSynced:
      return true;
    case WorkloadOptions::Level::kEither:
      break;
  }
  return caller->OneIn(2);
}

int64_t Workload::DrawSmallSize(Caller* caller) {
  // Halved a random number of times: as many of 100 bytes as of 10,000.
  const int64_t bound = options_.small_bytes_max >> (caller->random() % 16);
  return bound == 0 ? 0
                    : static_cast<int64_t>(caller->random() %
                                           static_cast<uint64_t>(bound));
}

bool Workload::Put(Caller* caller) {
  OwnFile file;
  file.content_seed = caller->random();
  const bool large = caller->OneIn(options_.large_one_in);
  file.size_bytes = large ? static_cast<int64_t>(
                                caller->random() %
                                static_cast<uint64_t>(options_.large_bytes_max))
                          : DrawSmallSize(caller);
  PutWishes wishes;
  wishes.synced = Synced(caller);
  wishes.declare_size = !caller->OneIn(4);
  wishes.chunk_bytes = int64_t{1024} << (caller->random() % 10);
  const Uuid request =
      oracle_->BeginPut(file.size_bytes, file.content_seed, wishes.synced);
  const auto answer =
      stub_.Put(request, ContentOf(file.content_seed, file.size_bytes), wishes);
  return Book(caller, request, std::move(file), answer);
}

bool Workload::PutBatch(Caller* caller) {
  std::vector<BatchPut> puts;
  std::vector<OwnFile> files;
  for (int i = 0; i < kBatchFiles; ++i) {
    OwnFile file;
    file.content_seed = caller->random();
    file.size_bytes = DrawSmallSize(caller);
    const bool synced = Synced(caller);
    puts.push_back(
        {oracle_->BeginPut(file.size_bytes, file.content_seed, synced),
         ContentOf(file.content_seed, file.size_bytes), synced});
    files.push_back(std::move(file));
  }
  const auto answers = stub_.PutBatch(puts);
  bool alive = true;
  for (size_t i = 0; i < answers.size(); ++i) {
    alive &= Book(caller, puts[i].request, std::move(files[i]), answers[i]);
  }
  return alive;
}

bool Workload::Book(Caller* caller, const Uuid& request, OwnFile file,
                    const absl::StatusOr<StoredFile>& answer) {
  if (answer.ok()) {
    oracle_->Stored(request, answer->file_id, answer->replicas);
    if (answer->replayed) {
      Violation(absl::InternalError("a new request was answered as replayed"));
    }
    file.file_id = answer->file_id;
    caller->files.push_back(std::move(file));
    CountAcknowledged();
    return true;
  }
  if (absl::IsResourceExhausted(answer.status())) {
    // Its contract: nothing was stored.
    oracle_->Refused(request);
    MutexLock lock(&mu_);
    ++refused_;
    changed_.SignalAll();
    return true;
  }
  if (!ServerIsGone(answer.status())) {
    Violation(WithContext(answer.status(), "put"));
  }
  return false;
}

bool Workload::Read(Caller* caller) {
  const OwnFile& file = caller->files[caller->random() % caller->files.size()];
  const auto size = static_cast<uint64_t>(file.size_bytes);
  const bool whole = caller->OneIn(2);
  const auto offset =
      static_cast<int64_t>(whole ? 0 : caller->random() % (size + 1));
  absl::optional<int64_t> length;
  if (!whole) length = static_cast<int64_t>(caller->random() % (size + 10));
  const auto content = stub_.Get(file.file_id, offset, length);
  if (!content.ok()) {
    if (ServerIsGone(content.status())) return false;
    if (absl::IsResourceExhausted(content.status())) return true;
    Violation(WithContext(content.status(), file.file_id));
    return false;
  }
  const std::string expected = ContentOf(file.content_seed, file.size_bytes);
  const size_t count =
      length.has_value() ? static_cast<size_t>(*length) : std::string::npos;
  if (*content != expected.substr(static_cast<size_t>(offset), count)) {
    Violation(absl::DataLossError(
        absl::StrCat(file.file_id, ": other bytes were read, from ", offset)));
  }
  return true;
}

bool Workload::Delete(Caller* caller) {
  const size_t index = caller->random() % caller->files.size();
  const OwnFile file = caller->files[index];
  caller->files[index] = caller->files.back();
  caller->files.pop_back();
  const Uuid request = oracle_->BeginDelete(file.file_id);
  const auto replayed = stub_.Delete(request, file.file_id, Synced(caller));
  if (replayed.ok()) {
    oracle_->Deleted(request);
    CountAcknowledged();
    return true;
  }
  if (absl::IsResourceExhausted(replayed.status())) return true;
  if (!ServerIsGone(replayed.status())) {
    Violation(WithContext(replayed.status(),
                          absl::StrCat("delete of ", file.file_id)));
  }
  return false;
}

void Workload::CountAcknowledged() {
  MutexLock lock(&mu_);
  ++acknowledged_;
  changed_.SignalAll();
}

void Workload::Violation(absl::Status status) {
  oracle_->Remark(absl::StrCat("violation: ", status.ToString()));
  MutexLock lock(&mu_);
  violation_.Update(status);
}

namespace {

absl::Status Lost(absl::string_view file_id, absl::string_view what) {
  return absl::DataLossError(absl::StrCat(file_id, ": ", what));
}

// Whether the file is there. An error if it is there and not what was stored.
absl::StatusOr<bool> ReadsBack(StorageStub* stub, const ExpectedFile& file,
                               const std::string& file_id) {
  const auto content = stub->Get(file_id);
  if (absl::IsNotFound(content.status())) {
    const auto size = stub->Stat(file_id);
    if (!absl::IsNotFound(size.status())) {
      return Lost(file_id,
                  "Download says that it is gone, Stat that it is not");
    }
    return false;
  }
  CAIRN_RETURN_IF_ERROR(WithContext(content.status(), file_id));
  if (*content != file.Content()) return Lost(file_id, "other bytes");
  CAIRN_ASSIGN_OR_RETURN(const int64_t size, stub->Stat(file_id));
  if (size != file.size_bytes) return Lost(file_id, "another size");
  return true;
}

// Checks a file that was acknowledged. Returns whether it is live.
absl::StatusOr<bool> CheckStoredFile(StorageStub* stub, Oracle* oracle,
                                     const ExpectedFile& file,
                                     Verified* verified) {
  CAIRN_ASSIGN_OR_RETURN(const bool there, ReadsBack(stub, file, file.file_id));
  switch (file.deletion) {
    case ExpectedFile::Deletion::kNone:
      if (!there) return Lost(file.file_id, "acknowledged and not there");
      ++verified->read_back;
      return true;
    case ExpectedFile::Deletion::kDeleted:
      if (there) return Lost(file.file_id, "deleted and there again");
      ++verified->gone;
      return false;
    case ExpectedFile::Deletion::kUnanswered:
      break;
  }
  const auto replayed = stub->Delete(file.delete_request, file.file_id);
  CAIRN_RETURN_IF_ERROR(WithContext(replayed.status(), file.file_id));
  if (*replayed && there) {
    return Lost(file.file_id, "there although its deletion was answered");
  }
  oracle->Deleted(file.delete_request);
  CAIRN_ASSIGN_OR_RETURN(const bool still_there,
                         ReadsBack(stub, file, file.file_id));
  if (still_there) return Lost(file.file_id, "deleted and there again");
  ++verified->gone;
  return false;
}

// Repeats a put that had no answer.
absl::Status SettlePut(StorageStub* stub, Oracle* oracle,
                       const ExpectedFile& file, Verified* verified) {
  const std::string content = file.Content();
  CAIRN_ASSIGN_OR_RETURN(const StoredFile first,
                         stub->Put(file.put_request, content));
  CAIRN_ASSIGN_OR_RETURN(const StoredFile second,
                         stub->Put(file.put_request, content));
  if (second.file_id != first.file_id || !second.replayed) {
    return Lost(
        second.file_id,
        absl::StrCat("a repeated request made it beside ", first.file_id));
  }
  oracle->Stored(file.put_request, first.file_id);
  CAIRN_ASSIGN_OR_RETURN(const bool there,
                         ReadsBack(stub, file, first.file_id));
  if (!there) return Lost(first.file_id, "acknowledged and not there");
  ++verified->unanswered;
  if (first.replayed) ++verified->had_survived;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Verified> Verify(Oracle* oracle, const std::string& address) {
  StorageStub stub(address);
  Verified verified;
  int64_t live = 0;
  std::vector<ExpectedFile> unanswered;
  for (const ExpectedFile& file : oracle->Files()) {
    if (file.put == ExpectedFile::Put::kUnanswered) {
      unanswered.push_back(file);
      continue;
    }
    CAIRN_ASSIGN_OR_RETURN(const bool is_live,
                           CheckStoredFile(&stub, oracle, file, &verified));
    if (is_live) ++live;
  }

  CAIRN_ASSIGN_OR_RETURN(const int64_t before, stub.Files());
  for (const ExpectedFile& file : unanswered) {
    CAIRN_RETURN_IF_ERROR(SettlePut(&stub, oracle, file, &verified));
  }
  CAIRN_ASSIGN_OR_RETURN(const int64_t after, stub.Files());
  if (before != live + verified.had_survived ||
      after != live + verified.unanswered) {
    return absl::DataLossError(absl::StrCat(
        "the node counts ", before, " files, then ", after, "; ", live,
        " were acknowledged, ", verified.had_survived, " of ",
        verified.unanswered, " unanswered ones had survived"));
  }
  oracle->Remark(absl::StrCat("verified: ", verified.read_back, " read back, ",
                              verified.gone, " gone, ", verified.unanswered,
                              " settled"));
  return verified;
}

}  // namespace testing
}  // namespace cairn
