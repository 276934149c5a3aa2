#include "integration_tests/chaos/change_load.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "integration_tests/chaos/client_load.h"
#include "integration_tests/mini_cluster/process.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"

namespace cairn {
namespace testing {
namespace {

// As ClientLoad's: a call gives up long before a fault ends that lasts.
constexpr absl::Duration kCallTimeout = absl::Seconds(8);

constexpr uint64_t kKeys = 4;

client::Durability AtTwo(bool synced) {
  client::Durability durability;
  durability.level = synced ? client::DurabilityLevel::kSynced
                            : client::DurabilityLevel::kCached;
  durability.replicas = 2;
  durability.policy = client::ReplicaPolicy::kRequired;
  return durability;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ChangeLoad>> ChangeLoad::Connect(
    ChangeLoadOptions options, Oracle* oracle) {
  client::ClientOptions connect;
  connect.trackers = options.trackers;
  connect.connect_timeout = kProcessDeadline;
  connect.timeout = kCallTimeout;
  CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<client::Client> client,
                         client::Client::Connect(connect));
  return std::unique_ptr<ChangeLoad>(
      new ChangeLoad(std::move(options), oracle, std::move(client)));
}

ChangeLoad::ChangeLoad(ChangeLoadOptions options, Oracle* oracle,
                       std::unique_ptr<client::Client> client)
    : options_(std::move(options)),
      oracle_(oracle),
      client_(std::move(client)) {
  for (int i = 0; i < options_.writers; ++i) {
    Writer writer;
    writer.random.seed(options_.seed * 7919 + static_cast<uint64_t>(i));
    writer.files.resize(static_cast<size_t>(options_.files_of_each));
    writers_.push_back(std::move(writer));
  }
}

ChangeLoad::~ChangeLoad() { Stop().IgnoreError(); }

void ChangeLoad::Start() {
  {
    MutexLock lock(&mu_);
    stopping_ = false;
  }
  for (Writer& writer : writers_) {
    threads_.emplace_back([this, &writer] { Run(&writer); });
  }
}

absl::Status ChangeLoad::Stop() {
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

bool ChangeLoad::Pause() {
  const absl::Time until = absl::Now() + options_.pause;
  MutexLock lock(&mu_);
  while (!stopping_ && absl::Now() < until) {
    changed_.WaitWithTimeout(&mu_, until - absl::Now());
  }
  return !stopping_;
}

void ChangeLoad::Run(Writer* writer) {
  while (Pause()) {
    OwnedFile* const file =
        &writer->files[writer->random() % writer->files.size()];
    if (!file->open.has_value()) file->open = Draw(writer, *file);
    const absl::StatusOr<bool> answered = Ask(file);
    if (answered.ok()) continue;
    oracle_->Remark(absl::StrCat("violation: ", answered.status().ToString()));
    MutexLock lock(&mu_);
    violation_.Update(answered.status());
    return;
  }
}

ChangeLoad::Change ChangeLoad::Draw(Writer* writer, const OwnedFile& file) {
  std::mt19937_64& random = writer->random;
  Change change;
  change.request = Uuid::Random();
  change.synced = random() % 2 == 0;
  const auto size = static_cast<int64_t>(
      random() %
      static_cast<uint64_t>(options_.change_bytes_max >> random() % 10));
  const auto file_size = static_cast<int64_t>(file.content.size());
  const uint64_t dice = random() % 12;
  if (file.file_id.empty()) {
    change.kind = Kind::kCreate;
    change.content = ContentOf(random(), size);
  } else if (file_size > options_.file_bytes_max || dice == 0) {
    change.kind = Kind::kTruncate;
    change.offset = static_cast<int64_t>(
        random() % static_cast<uint64_t>(options_.file_bytes_max / 2));
  } else if (dice < 3) {
    change.kind = Kind::kModify;
    change.content = ContentOf(random(), size);
    change.offset =
        static_cast<int64_t>(random() % static_cast<uint64_t>(file_size + 1));
  } else if (dice < 5) {
    change.kind = Kind::kDescribe;
    change.attributes.set[absl::StrCat("key", random() % kKeys)] =
        absl::StrCat(random());
    const std::string removed = absl::StrCat("key", random() % kKeys);
    if (change.attributes.set.count(removed) == 0) {
      change.attributes.remove = {removed};
    }
  } else {
    change.kind = Kind::kAppend;
    change.content = ContentOf(random(), size);
  }
  return change;
}

absl::Status ChangeLoad::Call(OwnedFile* file) {
  const Change& change = *file->open;
  const client::Durability durability = AtTwo(change.synced);
  if (change.kind == Kind::kCreate) {
    client::PutOptions options;
    options.durability = durability;
    options.request_id = change.request;
    CAIRN_ASSIGN_OR_RETURN(const client::PutResult created,
                           client_->CreateAppender(change.content, options));
    file->file_id = created.info.file_id;
    return absl::OkStatus();
  }
  if (change.kind == Kind::kDescribe) {
    client::SetAttributesOptions options;
    options.durability = durability;
    options.request_id = change.request;
    return client_->SetAttributes(file->file_id, change.attributes, options)
        .status();
  }
  client::UpdateOptions options;
  options.durability = durability;
  options.request_id = change.request;
  if (change.kind == Kind::kModify) {
    return client_
        ->Modify(file->file_id, change.offset, change.content, options)
        .status();
  }
  if (change.kind == Kind::kTruncate) {
    return client_->Truncate(file->file_id, change.offset, options).status();
  }
  // A member that lost its log to a wiped disk may not know the request any
  // more: the condition says whether it was done.
  const auto before = static_cast<int64_t>(file->content.size());
  options.if_size_bytes = before;
  const absl::Status appended =
      client_->Append(file->file_id, change.content, options).status();
  const auto after = before + static_cast<int64_t>(change.content.size());
  if (ReasonOf(appended) == ErrorReason::kConditionFailed &&
      MetadataOf(appended)["size_bytes"] == absl::StrCat(after)) {
    return absl::OkStatus();
  }
  return appended;
}

absl::StatusOr<bool> ChangeLoad::Ask(OwnedFile* file) {
  const absl::Status called = Call(file);
  if (called.ok()) {
    Apply(file);
    return true;
  }
  if (!MayHappenToAChange(called)) {
    return WithContext(called, absl::StrCat("change of ", file->file_id));
  }
  MutexLock lock(&mu_);
  ++counts_.repeated;
  return false;
}

void ChangeLoad::Apply(OwnedFile* file) {
  const Change change = *std::exchange(file->open, absl::nullopt);
  std::string* const content = &file->content;
  const auto offset = static_cast<size_t>(change.offset);
  int64_t ChangeCounts::*count = &ChangeCounts::appends;
  switch (change.kind) {
    case Kind::kCreate:
    case Kind::kAppend:
      *content += change.content;
      break;
    case Kind::kModify:
      count = &ChangeCounts::modifications;
      content->resize(
          std::max(content->size(), offset + change.content.size()));
      content->replace(offset, change.content.size(), change.content);
      break;
    case Kind::kTruncate:
      count = &ChangeCounts::truncations;
      content->resize(offset, '\0');
      break;
    case Kind::kDescribe:
      count = &ChangeCounts::descriptions;
      for (const std::string& key : change.attributes.remove) {
        file->attributes.erase(key);
      }
      for (const auto& [key, value] : change.attributes.set) {
        file->attributes[key] = value;
      }
      break;
  }
  oracle_->Remark(absl::StrCat(
      "changed ", file->file_id, " kind ", static_cast<int>(change.kind),
      " request ", change.request.ToString(), " offset ", change.offset,
      " bytes ", change.content.size(), " size ", content->size()));
  MutexLock lock(&mu_);
  ++(counts_.*count);
}

absl::Status ChangeLoad::Settle() {
  const absl::Time deadline = absl::Now() + kProcessDeadline;
  for (Writer& writer : writers_) {
    for (OwnedFile& file : writer.files) {
      while (file.open.has_value()) {
        CAIRN_ASSIGN_OR_RETURN(const bool answered, Ask(&file));
        if (!answered && absl::Now() > deadline) {
          return absl::DeadlineExceededError(
              absl::StrCat(file.file_id, ": a change is not answered"));
        }
      }
    }
  }
  return absl::OkStatus();
}

std::vector<std::string> ChangeLoad::file_ids() const {
  std::vector<std::string> file_ids;
  for (const Writer& writer : writers_) {
    for (const OwnedFile& file : writer.files) {
      if (!file.file_id.empty()) file_ids.push_back(file.file_id);
    }
  }
  return file_ids;
}

absl::Status ChangeLoad::CheckAt(StorageStub* member) {
  for (const Writer& writer : writers_) {
    for (const OwnedFile& file : writer.files) {
      if (file.file_id.empty()) continue;
      const absl::StatusOr<std::string> content = member->Get(file.file_id);
      if (!content.ok()) {
        return absl::DataLossError(
            absl::StrCat(file.file_id, ": ", content.status().ToString()));
      }
      if (*content != file.content) {
        const auto differs = std::mismatch(
            content->begin(),
            content->begin() + static_cast<int64_t>(std::min(
                                   content->size(), file.content.size())),
            file.content.begin());
        return absl::DataLossError(absl::StrCat(
            file.file_id, ": ", content->size(), " bytes instead of ",
            file.content.size(), ", others from ",
            differs.first - content->begin(), " on"));
      }
      const absl::StatusOr<SeenAttributes> seen =
          member->GetAttributes(file.file_id);
      if (!seen.ok() || seen->attributes != file.attributes) {
        return absl::DataLossError(
            absl::StrCat(file.file_id, ": other attributes"));
      }
      MutexLock lock(&mu_);
      ++counts_.checked;
    }
  }
  return absl::OkStatus();
}

ChangeCounts ChangeLoad::counts() const {
  MutexLock lock(&mu_);
  return counts_;
}

}  // namespace testing
}  // namespace cairn
