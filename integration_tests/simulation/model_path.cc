#include "integration_tests/simulation/model_path.h"

#include <algorithm>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/checksum/crc32c.h"
#include "services/storage/core/file_key.h"
#include "services/storage/core/testing/scan_file_map.h"

namespace cairn {
namespace simulation {

using storage::ChangeKind;
using storage::CommitDone;
using storage::Committed;
using storage::Durability;
using storage::FileInfo;
using storage::KnownFile;
using storage::LogEntry;
using storage::LogId;
using storage::LogPosition;
using storage::LogRange;
using storage::ReplicatedChange;
using storage::Version;

namespace {

using Mode = ReplicatedChange::Mode;

constexpr int kVersionCounterBits = 16;

absl::Status ShuttingDown() {
  return ErrorWithReason(absl::StatusCode::kUnavailable,
                         ErrorReason::kShuttingDown, "the path is closing");
}

absl::Status ReadOnly() {
  return ErrorWithReason(absl::StatusCode::kFailedPrecondition,
                         ErrorReason::kStorePathReadOnly, "a sync has failed");
}

absl::Status OutcomeUnknown() {
  return ErrorWithReason(absl::StatusCode::kAborted, ErrorReason::kWriteFailed,
                         "the sync failed");
}

absl::Status NotFound(ErrorReason reason) {
  return ErrorWithReason(absl::StatusCode::kNotFound, reason, "no such file");
}

class ModelOpenFile : public storage::OpenFile {
 public:
  ModelOpenFile(FileInfo info, std::shared_ptr<DiskContent> content)
      : info_(std::move(info)), content_(std::move(content)) {}

  const FileInfo& info() const override { return info_; }

  absl::StatusOr<absl::Cord> Read(int64_t offset, int64_t length) override {
    CAIRN_CHECK(offset >= 0 && length >= 0 &&
                offset + length <= info_.size_bytes);
    return absl::Cord(
        absl::string_view(content_->bytes)
            .substr(static_cast<size_t>(offset), static_cast<size_t>(length)));
  }
  absl::optional<absl::StatusOr<absl::Cord>> TryRead(int64_t offset,
                                                     int64_t length) override {
    return Read(offset, length);
  }

 private:
  const FileInfo info_;
  const std::shared_ptr<DiskContent> content_;
};

}  // namespace

// ---- SimExecutor.

SimExecutor::SimExecutor(EventLoop* loop, const DiskFaults* faults)
    : loop_(loop), faults_(faults) {}

SimExecutor::~SimExecutor() = default;

bool SimExecutor::TrySubmit(Task task) {
  if (faults_->full_queue > 0 && loop_->Chance(faults_->full_queue)) {
    return false;
  }
  const uint64_t id = added_++;
  tasks_->emplace(id, std::move(task));
  loop_->After(loop_->Between(absl::Microseconds(10), absl::Milliseconds(2)),
               [waiting = std::weak_ptr<Tasks>(tasks_), id] {
                 const std::shared_ptr<Tasks> tasks = waiting.lock();
                 if (tasks == nullptr) return;
                 const auto it = tasks->find(id);
                 if (it == tasks->end()) return;
                 Task run = std::move(it->second);
                 tasks->erase(it);
                 run();
               });
  return true;
}

void SimExecutor::Drain() {
  while (!tasks_->empty()) {
    auto first = tasks_->extract(tasks_->begin());
    first.mapped()();
  }
}

// ---- Uploads.

class ModelUpload : public storage::Upload {
 public:
  explicit ModelUpload(ModelPath* path) : path_(path) {}

  absl::Status Write(const absl::Cord& data) override {
    CAIRN_RETURN_IF_ERROR(path_->Refusal());
    bytes_ += std::string(data);
    return absl::OkStatus();
  }
  int64_t size_bytes() const override {
    return static_cast<int64_t>(bytes_.size());
  }
  uint32_t crc32c() const override { return Crc32c(bytes_); }

  void Finish(FinishRequest finish, CommitDone done) override {
    ModelPath::Request request;
    request.request_id = finish.request_id;
    request.durability = finish.durability;
    request.file.name = std::move(finish.name);
    request.file.kind = finish.kind;
    request.file.create_unix_seconds = finish.create_unix_seconds;
    request.file.origin_node = finish.origin_node;
    request.file.attributes = std::move(finish.attributes);
    request.file.expire_unix_seconds = finish.expire_unix_seconds;
    Submit(std::move(request), std::move(done));
  }

  void FinishReplica(ReplicatedChange change, CommitDone done) override {
    if (size_bytes() != change.file.size_bytes ||
        crc32c() != change.file.crc32c) {
      done(ErrorWithReason(absl::StatusCode::kInvalidArgument,
                           size_bytes() != change.file.size_bytes
                               ? ErrorReason::kSizeMismatch
                               : ErrorReason::kChecksumMismatch,
                           "what was received is not the file"));
      return;
    }
    ModelPath::Request request;
    request.kind = ModelPath::Request::Kind::kReplica;
    request.durability =
        change.synced ? Durability::kSynced : Durability::kCached;
    request.file = change.file;
    request.replica = std::move(change);
    Submit(std::move(request), std::move(done));
  }

 private:
  void Submit(ModelPath::Request request, CommitDone done) {
    request.file.size_bytes = size_bytes();
    request.file.crc32c = crc32c();
    auto content = std::make_shared<DiskContent>();
    content->beside = size_bytes() > path_->small_file_bytes_max();
    content->synced =
        !content->beside || request.durability == Durability::kSynced;
    content->bytes = std::move(bytes_);
    request.content = std::move(content);
    request.done = std::move(done);
    path_->Submit(std::move(request));
  }

  ModelPath* const path_;
  std::string bytes_;
};

// ---- ModelPath.

ModelPath::ModelPath(const ModelPathOptions& options, const DiskFaults* faults,
                     ModelDisk* disk, EventLoop* loop, Clock* clock)
    : options_(options),
      faults_(faults),
      disk_(disk),
      loop_(loop),
      clock_(clock),
      io_(loop, faults) {
  disk_->Open();
  visible_ = disk_->now();
  for (const auto& [id, log] : visible_.logs) synced_[id] = log.applied;
  for (const auto& [name, file] : visible_.files) {
    if (file.content != nullptr && !file.content->synced) {
      unsynced_.push_back(file.content);
    }
  }
}

ModelPath::~ModelPath() { *alive_ = false; }

void ModelPath::Kill() {
  dead_ = true;
  *alive_ = false;
  std::vector<CommitDone> unanswered;
  for (Request& request : group_) {
    unanswered.push_back(std::move(request.done));
  }
  for (Request& request : queue_) {
    unanswered.push_back(std::move(request.done));
  }
  group_.clear();
  queue_.clear();
  for (CommitDone& done : unanswered) {
    if (done != nullptr) done(ShuttingDown());
  }
}

void ModelPath::Stop() {
  if (dead_ || stopped_) return;
  while (!queue_.empty() || committing_) {
    if (!committing_) BeginGroup();
    if (committing_) EndGroup(/*sync=*/true);
  }
  stopped_ = true;
  if (broken_) return;
  SyncDisk(/*with_contents=*/true);
  disk_->CleanEnd();
}

absl::Status ModelPath::Refusal() const {
  if (dead_ || stopped_) return ShuttingDown();
  if (broken_) return ReadOnly();
  return absl::OkStatus();
}

void ModelPath::Put(storage::PutRequest put, CommitDone done) {
  CAIRN_CHECK(static_cast<int64_t>(put.content.size()) <=
              options_.small_file_bytes_max);
  Request request;
  request.request_id = put.request_id;
  request.file.name = std::move(put.name);
  request.file.size_bytes = static_cast<int64_t>(put.content.size());
  request.file.crc32c = put.crc32c;
  request.file.kind = put.kind;
  request.file.create_unix_seconds = put.create_unix_seconds;
  request.file.origin_node = put.origin_node;
  request.file.attributes = std::move(put.attributes);
  request.file.expire_unix_seconds = put.expire_unix_seconds;
  request.content = std::make_shared<DiskContent>();
  request.content->bytes = std::string(put.content);
  request.durability = put.durability;
  request.done = std::move(done);
  Submit(std::move(request));
}

void ModelPath::Delete(storage::DeleteRequest del, CommitDone done) {
  Request request;
  request.kind = Request::Kind::kDelete;
  request.request_id = del.request_id;
  request.file.name = std::move(del.name);
  request.durability = del.durability;
  request.done = std::move(done);
  Submit(std::move(request));
}

void ModelPath::Update(storage::UpdateRequest update, CommitDone done) {
  Request request;
  request.kind = Request::Kind::kUpdate;
  request.request_id = update.request_id;
  request.file.name = update.name;
  request.durability = update.durability;
  request.update = std::move(update);
  request.done = std::move(done);
  Submit(std::move(request));
}

absl::Status ModelPath::LayOut(const DiskState::File& existing,
                               Request* request, KnownFile* known) const {
  using Kind = storage::UpdateRequest::Kind;
  const storage::UpdateRequest& update = request->update;
  CAIRN_RETURN_IF_ERROR(storage::CheckUpdate(
      existing.known.file, update.if_size_bytes, update.if_version));
  if (existing.content == nullptr) {
    return ErrorWithReason(absl::StatusCode::kUnavailable,
                           ErrorReason::kContentNotHere,
                           "the content is on its way here");
  }
  auto content = std::make_shared<DiskContent>();
  std::string& bytes = content->bytes;
  bytes = existing.content->bytes;
  const int64_t size = existing.known.file.size_bytes;
  if (update.kind == Kind::kTruncate) {
    bytes.resize(static_cast<size_t>(update.offset), '\0');
  } else {
    const int64_t offset = update.kind == Kind::kAppend ? size : update.offset;
    if (offset > size) {
      return ErrorWithReason(absl::StatusCode::kOutOfRange,
                             ErrorReason::kRangePastEnd,
                             "modified behind the end");
    }
    bytes.replace(static_cast<size_t>(offset), update.content.size(),
                  std::string(update.content));
  }
  known->file = existing.known.file;
  known->file.size_bytes = static_cast<int64_t>(bytes.size());
  known->file.crc32c = Crc32c(bytes);
  request->content = std::move(content);
  return absl::OkStatus();
}

void ModelPath::SetAttributes(storage::SetAttributesRequest set,
                              CommitDone done) {
  Request request;
  request.kind = Request::Kind::kAttributes;
  request.request_id = set.request_id;
  request.file.name = set.name;
  request.durability = set.durability;
  request.attributes = std::move(set);
  request.done = std::move(done);
  Submit(std::move(request));
}

void ModelPath::Seal(storage::SealRequest /*request*/, CommitDone done) {
  done(ErrorWithReason(absl::StatusCode::kUnimplemented,
                       ErrorReason::kNotSupported,
                       "the model of a path cannot seal appenders"));
}

void ModelPath::Copy(storage::CopyRequest /*request*/, CommitDone done) {
  done(ErrorWithReason(absl::StatusCode::kUnimplemented,
                       ErrorReason::kNotSupported,
                       "the model of a path copies no files"));
}

void ModelPath::Undelete(storage::UndeleteRequest /*request*/,
                         CommitDone done) {
  done(ErrorWithReason(absl::StatusCode::kUnimplemented,
                       ErrorReason::kNotSupported,
                       "the model of a path keeps nothing of deleted files"));
}

void ModelPath::SetExpiry(storage::SetExpiryRequest set, CommitDone done) {
  Request request;
  request.kind = Request::Kind::kExpiry;
  request.request_id = set.request_id;
  request.file.name = std::move(set.name);
  request.file.expire_unix_seconds = set.expire_unix_seconds;
  request.durability = set.durability;
  request.done = std::move(done);
  Submit(std::move(request));
}

bool ModelPath::HasExpired(const FileInfo& file) const {
  return storage::HasExpired(file.expire_unix_seconds,
                             absl::ToUnixSeconds(clock_->Now()));
}

absl::StatusOr<std::unique_ptr<storage::Upload>> ModelPath::StartUpload(
    absl::optional<int64_t> /*size_bytes*/) {
  CAIRN_RETURN_IF_ERROR(Refusal());
  return std::unique_ptr<storage::Upload>(std::make_unique<ModelUpload>(this));
}

void ModelPath::Apply(ReplicatedChange change, CommitDone done) {
  if (change.mode == Mode::kNext && !NamesKnownLog(change.change)) {
    done(ErrorWithReason(absl::StatusCode::kFailedPrecondition,
                         ErrorReason::kOutOfOrder, "the log was not heard of"));
    return;
  }
  Request request;
  request.kind = Request::Kind::kReplica;
  request.durability =
      change.synced ? Durability::kSynced : Durability::kCached;
  request.file = change.file;
  if (change.content.has_value() && !change.passed) {
    request.content = std::make_shared<DiskContent>();
    request.content->bytes = std::string(*change.content);
  }
  change.content.reset();
  request.replica = std::move(change);
  request.done = std::move(done);
  Submit(std::move(request));
}

bool ModelPath::NamesKnownLog(const LogPosition& change) const {
  return visible_.logs.count(change.log) != 0;
}

void ModelPath::Submit(Request request) {
  if (dead_ || stopped_) {
    request.done(ShuttingDown());
    return;
  }
  queue_.push_back(std::move(request));
  ScheduleGroup();
}

void ModelPath::ScheduleGroup() {
  if (scheduled_ || committing_) return;
  scheduled_ = true;
  loop_->After(loop_->Between(absl::Microseconds(20), absl::Milliseconds(1)),
               [this, alive = alive_] {
                 if (!*alive) return;
                 scheduled_ = false;
                 if (!committing_ && !queue_.empty()) BeginGroup();
               });
}

void ModelPath::BeginGroup() {
  committing_ = true;
  sync_contents_ = false;
  group_records_.clear();
  outcomes_.clear();
  group_.clear();
  while (!queue_.empty() && group_.size() < options_.group_entries_max) {
    group_.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  bool sync = false;
  for (Request& request : group_) {
    outcomes_.push_back(broken_ ? Outcome{ReadOnly(), {}, false}
                                : Admit(&request));
    if (outcomes_.back().status.ok() &&
        request.durability == Durability::kSynced) {
      sync = true;
    }
  }
  if (options_.mutations.sync_nothing) sync = false;
  if (!sync) {
    EndGroup(false);
    return;
  }
  loop_->After(loop_->Between(absl::Microseconds(200), absl::Milliseconds(8)),
               [this, alive = alive_] {
                 if (*alive && committing_) EndGroup(true);
               });
}

void ModelPath::EndGroup(bool sync) {
  const bool failed = sync && !SyncDisk(sync_contents_);
  const bool synced = sync || options_.mutations.sync_nothing;
  if (!failed) {
    for (DiskRecord& record : group_records_) visible_.Apply(record);
    if (synced) MarkSynced();
  }
  group_records_.clear();
  std::vector<Request> group = std::move(group_);
  std::vector<Outcome> outcomes = std::move(outcomes_);
  group_.clear();
  outcomes_.clear();
  committing_ = false;
  if (!queue_.empty()) ScheduleGroup();
  if (!failed) TellLogs();
  for (size_t i = 0; i < group.size(); ++i) {
    Outcome& outcome = outcomes[i];
    if (outcome.status.ok() && failed) outcome.status = OutcomeUnknown();
    if (!outcome.status.ok()) {
      group[i].done(outcome.status);
      continue;
    }
    const DiskContent* const content = group[i].content.get();
    outcome.committed.reached =
        synced && (content == nullptr || content->synced) ? Durability::kSynced
                                                          : Durability::kCached;
    group[i].done(std::move(outcome.committed));
  }
}

// False if the path is broken from now on.
bool ModelPath::SyncDisk(bool with_contents) {
  if (broken_) return false;
  if (faults_->sync_failure > 0 && loop_->Chance(faults_->sync_failure)) {
    loop_->Trace("    a sync fails at node ", options_.node_number);
    broken_ = true;
    disk_->FailSync();
    return false;
  }
  if (with_contents) {
    for (const auto& content : unsynced_) content->synced = true;
    unsynced_.clear();
  }
  disk_->Sync();
  return true;
}

// All of the journal is durable: so is all that is applied, unless contents
// beside it are not.
void ModelPath::MarkSynced() {
  if (!unsynced_.empty()) return;
  for (const auto& [id, log] : visible_.logs) synced_[id] = log.applied;
}

void ModelPath::TellLogs() {
  if (observer_ != nullptr) observer_->OnLogs();
}

void ModelPath::Append(DiskRecord record) {
  if (record.content != nullptr && !record.content->synced) {
    unsynced_.push_back(record.content);
  }
  disk_->Append(record);
  group_records_.push_back(std::move(record));
}

Version ModelPath::NextVersion() {
  const auto wall = static_cast<uint64_t>(
                        std::max<int64_t>(absl::ToUnixMillis(clock_->Now()), 0))
                    << kVersionCounterBits;
  return Version{std::max(wall, disk_->now().version_clock + 1),
                 options_.node_number};
}

absl::optional<Committed> ModelPath::LookUpRequest(const Uuid& request_id,
                                                   bool* was_delete) {
  const DiskState& state = disk_->now();
  const auto found = state.requests.find(request_id);
  if (found == state.requests.end()) return absl::nullopt;
  const auto& entries = state.logs.at(found->second.log).entries;
  const auto entry = entries.find(found->second.sequence);
  if (entry == entries.end()) return absl::nullopt;
  const int64_t unix_ms =
      static_cast<int64_t>(entry->second.version.clock >> kVersionCounterBits);
  if (clock_->Now() - absl::FromUnixMillis(unix_ms) >
      options_.request_retention) {
    return absl::nullopt;
  }
  *was_delete = entry->second.kind == ChangeKind::kDelete;
  Committed committed;
  const DiskState::File* const file = state.Find(entry->second.name);
  if (file != nullptr) {
    committed.file = file->known.file;
    if (file->known.content_missing) committed.replicas = 0;
  }
  committed.file.name = entry->second.name;
  committed.file.version = entry->second.version;
  committed.change = found->second;
  committed.replayed = true;
  return committed;
}

absl::optional<ModelPath::Outcome> ModelPath::AnswerFromRequestId(
    const Request& request) {
  if (request.request_id.is_nil()) return absl::nullopt;
  bool was_delete = false;
  absl::optional<Committed> earlier =
      LookUpRequest(request.request_id, &was_delete);
  if (!earlier.has_value()) return absl::nullopt;
  const bool is_delete = request.kind == Request::Kind::kDelete;
  const bool is_put = request.kind == Request::Kind::kPut;
  const bool same =
      is_delete == was_delete &&
      (!is_put ? earlier->file.name == request.file.name
               : earlier->file.size_bytes == request.file.size_bytes &&
                     earlier->file.crc32c == request.file.crc32c);
  Outcome outcome;
  if (!same) {
    outcome.status = ErrorWithReason(absl::StatusCode::kAlreadyExists,
                                     ErrorReason::kRequestIdReused,
                                     "request_id was used before");
    return outcome;
  }
  outcome.committed = *std::move(earlier);
  // What counts of it is here, wherever the content is.
  if (request.kind == Request::Kind::kAttributes ||
      request.kind == Request::Kind::kExpiry) {
    outcome.committed.replicas = 1;
  }
  if (request.durability == Durability::kSynced) sync_contents_ = true;
  return outcome;
}

ModelPath::Outcome ModelPath::Admit(Request* request) {
  if (request->kind == Request::Kind::kReplica) return AdmitReplica(request);
  if (absl::optional<Outcome> replay = AnswerFromRequestId(*request)) {
    // The content that came is not needed.
    request->content = nullptr;
    return *std::move(replay);
  }
  const DiskState& state = disk_->now();
  const DiskState::File* const existing = state.Find(request->file.name);
  Outcome outcome;
  DiskRecord record;
  KnownFile known;
  if (request->kind == Request::Kind::kPut) {
    if (existing != nullptr) {
      outcome.status =
          ErrorWithReason(absl::StatusCode::kAlreadyExists,
                          ErrorReason::kInvalidField, "the file exists");
      return outcome;
    }
    known.file = request->file;
    if (known.file.origin_node == 0) {
      known.file.origin_node = options_.node_number;
    }
    record.content = request->content;
    record.entry.kind = ChangeKind::kPut;
  } else {
    if (existing == nullptr || existing->known.deleted) {
      outcome.status =
          NotFound(existing == nullptr ? ErrorReason::kFileNotFound
                                       : ErrorReason::kFileDeleted);
      return outcome;
    }
    if (HasExpired(existing->known.file)) {
      outcome.status = NotFound(ErrorReason::kFileExpired);
      return outcome;
    }
    if (request->kind == Request::Kind::kUpdate) {
      outcome.status = LayOut(*existing, request, &known);
      if (!outcome.status.ok()) return outcome;
      record.content = request->content;
      record.entry.kind = ChangeKind::kPut;
    } else if (request->kind == Request::Kind::kExpiry) {
      known = existing->known;
      known.file.expire_unix_seconds = request->file.expire_unix_seconds;
      record.content = existing->content;
      record.entry.kind = ChangeKind::kPut;
      KeepContent(request, existing->content);
    } else if (request->kind == Request::Kind::kAttributes) {
      known.file = existing->known.file;
      outcome.status = AdmitAttributes(request, *existing, &known, &record);
      if (!outcome.status.ok()) return outcome;
    } else {
      known.file = existing->known.file;
      known.file.attributes.clear();
      known.file.expire_unix_seconds = 0;
      known.deleted = true;
      record.entry.kind = ChangeKind::kDelete;
    }
  }
  known.file.version = NextVersion();
  known.change = {state.own, state.logs.at(state.own).applied + 1};
  record.log = state.own;
  record.entry.sequence = known.change.sequence;
  record.entry.version = known.file.version;
  record.entry.life = known.file.life;
  record.entry.name = known.file.name;
  record.entry.request_id = request->request_id;
  record.known = known;
  Append(std::move(record));
  outcome.committed.file = known.file;
  outcome.committed.change = known.change;
  outcome.changed = true;
  return outcome;
}

absl::Status ModelPath::AdmitAttributes(Request* request,
                                        const DiskState::File& file,
                                        KnownFile* known, DiskRecord* record) {
  const storage::SetAttributesRequest& set = request->attributes;
  if (set.if_version_match.has_value() &&
      !(*set.if_version_match == file.known.file.version)) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition,
                           ErrorReason::kVersionMismatch,
                           "the file has another version");
  }
  CAIRN_ASSIGN_OR_RETURN(
      known->file.attributes,
      ApplyAttributeChange(file.known.file.attributes, set.change));
  known->content_missing = file.known.content_missing;
  record->content = file.content;
  record->entry.kind = ChangeKind::kPut;
  KeepContent(request, file.content);
  return absl::OkStatus();
}

// What is answered depends on whether the content is synced.
void ModelPath::KeepContent(Request* request,
                            const std::shared_ptr<DiskContent>& content) {
  request->content = content;
  if (content != nullptr && !content->synced &&
      request->durability == Durability::kSynced) {
    sync_contents_ = true;
  }
}

ModelPath::Outcome ModelPath::AdmitReplica(Request* request) {
  const ReplicatedChange& replica = request->replica;
  const DiskState& state = disk_->now();
  const bool is_next = replica.mode == Mode::kNext;
  Outcome outcome;
  outcome.committed.file = replica.file;
  outcome.committed.change = replica.change;
  if (is_next) {
    const uint64_t applied = state.logs.at(replica.change.log).applied;
    if (replica.change.sequence <= applied) {
      outcome.committed.replayed = true;
      return outcome;
    }
    if (replica.change.sequence != applied + 1) {
      outcome.status = ErrorWithReason(
          absl::StatusCode::kFailedPrecondition, ErrorReason::kOutOfOrder,
          absl::StrCat("change ", replica.change.sequence,
                       " does not follow on ", applied));
      return outcome;
    }
  }
  const DiskState::File* const existing = state.Find(request->file.name);
  const Version version = replica.file.version;
  const bool same =
      existing != nullptr && existing->known.file.version == version;
  bool wins;
  switch (replica.mode) {
    case Mode::kContent:
      wins = same && !existing->known.deleted;
      break;
    case Mode::kRemove:
      wins = same && !existing->known.deleted &&
             existing->known.change == replica.change;
      if (wins) {
        loop_->Trace("    node ", options_.node_number, " removes ",
                     request->file.name, ", as a snapshot says");
      }
      break;
    default:
      wins = !replica.passed &&
             (existing == nullptr ||
              storage::Replaces(
                  storage::StandingOf(replica.file,
                                      replica.kind == ChangeKind::kDelete),
                  storage::StandingOf(existing->known.file,
                                      existing->known.deleted)) ||
              (same && !existing->known.deleted &&
               existing->known.content_missing && request->content != nullptr));
  }
  if (options_.mutations.skip_a_change && is_next && loop_->Chance(0.02)) {
    wins = false;
  }
  DiskRecord record;
  if (is_next) {
    record.log = replica.change.log;
    record.entry.sequence = replica.change.sequence;
    record.entry.kind = replica.kind;
    record.entry.version = version;
    record.entry.life = replica.file.life;
    record.entry.name = request->file.name;
    record.entry.request_id = replica.request_id;
  }
  if (!wins) {
    outcome.committed.replayed = true;
    if (is_next) Append(std::move(record));
    return outcome;
  }
  KnownFile known;
  known.file = replica.file;
  known.deleted = replica.kind == ChangeKind::kDelete;
  if (known.deleted) {
    known.file.attributes.clear();
    known.file.expire_unix_seconds = 0;
  }
  if (!known.deleted && replica.mode != Mode::kContent && !same &&
      existing != nullptr && existing->content != nullptr &&
      existing->known.file.size_bytes == known.file.size_bytes &&
      existing->known.file.crc32c == known.file.crc32c) {
    KeepContent(request, existing->content);
  }
  known.content_missing = !known.deleted && request->content == nullptr;
  if (replica.mode == Mode::kContent) {
    known.change = existing->known.change;
    known.file.attributes = existing->known.file.attributes;
    known.file.life = existing->known.file.life;
    known.file.expire_unix_seconds = existing->known.file.expire_unix_seconds;
  } else if (state.logs.count(replica.change.log) != 0) {
    known.change = replica.change;
  }
  record.known = known;
  record.content = request->content;
  Append(std::move(record));
  outcome.changed = true;
  return outcome;
}

absl::StatusOr<FileInfo> ModelPath::Stat(absl::string_view name) {
  if (dead_ || stopped_) return ShuttingDown();
  const DiskState::File* const file = visible_.Find(name);
  if (file == nullptr) return NotFound(ErrorReason::kFileNotFound);
  if (file->known.deleted) return NotFound(ErrorReason::kFileDeleted);
  if (HasExpired(file->known.file)) return NotFound(ErrorReason::kFileExpired);
  return file->known.file;
}

absl::optional<absl::StatusOr<FileInfo>> ModelPath::TryStat(
    absl::string_view name) {
  return Stat(name);
}

absl::StatusOr<std::unique_ptr<storage::OpenFile>> ModelPath::Open(
    absl::string_view name) {
  CAIRN_RETURN_IF_ERROR(Stat(name).status());
  return OpenForMember(name);
}

absl::StatusOr<std::unique_ptr<storage::OpenFile>> ModelPath::OpenForMember(
    absl::string_view name) {
  if (dead_ || stopped_) return ShuttingDown();
  const DiskState::File* const file = visible_.Find(name);
  if (file == nullptr) return NotFound(ErrorReason::kFileNotFound);
  if (file->known.deleted) return NotFound(ErrorReason::kFileDeleted);
  if (file->content == nullptr) {
    return ErrorWithReason(absl::StatusCode::kUnavailable,
                           ErrorReason::kContentNotHere,
                           "the content is at other members");
  }
  return std::unique_ptr<storage::OpenFile>(
      std::make_unique<ModelOpenFile>(file->known.file, file->content));
}

absl::optional<absl::StatusOr<std::unique_ptr<storage::OpenFile>>>
ModelPath::TryOpen(absl::string_view name) {
  return Open(name);
}

absl::StatusOr<absl::optional<Committed>> ModelPath::FindRequest(
    const Uuid& request_id, Durability wanted) {
  if (dead_ || stopped_) return ShuttingDown();
  bool was_delete = false;
  absl::optional<Committed> found = LookUpRequest(request_id, &was_delete);
  if (found.has_value() && wanted == Durability::kSynced) {
    CAIRN_RETURN_IF_ERROR(Sync());
    found->reached = Durability::kSynced;
  }
  return found;
}

absl::optional<absl::StatusOr<absl::optional<Committed>>>
ModelPath::TryFindRequest(const Uuid& request_id, Durability wanted) {
  return FindRequest(request_id, wanted);
}

absl::StatusOr<std::string> ModelPath::ScanFiles(
    const storage::FileRange& range, storage::FileVisitor* visitor) {
  if (dead_ || stopped_) return ShuttingDown();
  std::map<std::string, storage::KnownFile> in_order;
  for (const auto& [name, file] : visible_.files) {
    std::string key;
    storage::AppendFileKey(name, &key);
    in_order[key] = file.known;
  }
  return storage::ScanFileMap(in_order, range, visitor);
}

absl::Status ModelPath::Writable(int64_t /*bytes*/) { return Refusal(); }

storage::StorePathStatus ModelPath::Status() {
  storage::StorePathStatus status;
  status.state = dead_ || stopped_ ? storage::StorePathState::kOffline
                 : broken_         ? storage::StorePathState::kReadOnly
                                   : storage::StorePathState::kActive;
  status.incarnation = visible_.own.incarnation;
  status.epoch = visible_.own.epoch;
  const auto own = visible_.logs.find(visible_.own);
  if (own != visible_.logs.end()) status.last_sequence = own->second.applied;
  status.total_bytes = int64_t{1} << 30;
  status.free_bytes = int64_t{1} << 29;
  for (const auto& [name, file] : visible_.files) {
    if (!file.known.deleted) ++status.files;
  }
  return status;
}

absl::Status ModelPath::Compact(
    double /*dead_share_min*/,
    absl::AnyInvocable<void(const storage::JobProgress&)> /*progress*/) {
  CAIRN_RETURN_IF_ERROR(Refusal());
  disk_->Checkpoint();
  DropTombstones();
  return absl::OkStatus();
}

std::vector<LogRange> ModelPath::Logs() {
  std::vector<LogRange> logs;
  for (const auto& [id, log] : visible_.logs) {
    const auto synced = synced_.find(id);
    LogRange range;
    range.log = id;
    range.cut = log.cut;
    range.applied = log.applied;
    range.synced = synced == synced_.end() ? 0 : synced->second;
    range.own = id == visible_.own;
    logs.insert(range.own ? logs.begin() : logs.end(), range);
  }
  return logs;
}

absl::StatusOr<std::vector<LogEntry>> ModelPath::ReadLog(const LogId& log,
                                                         uint64_t after,
                                                         size_t limit) {
  if (dead_ || stopped_) return ShuttingDown();
  const auto found = visible_.logs.find(log);
  if (found == visible_.logs.end()) {
    return ErrorWithReason(absl::StatusCode::kNotFound,
                           ErrorReason::kUnknownLog, "the log is not known");
  }
  std::vector<LogEntry> entries;
  if (after >= found->second.applied) return entries;
  for (auto it = found->second.entries.upper_bound(after);
       it != found->second.entries.end() && entries.size() < limit; ++it) {
    if (it->first != after + entries.size() + 1) break;  // Not kept.
    entries.push_back(it->second);
  }
  if (after < found->second.cut ||
      (entries.empty() && limit > 0 && after < found->second.applied)) {
    return ErrorWithReason(absl::StatusCode::kOutOfRange, ErrorReason::kLogCut,
                           "the entry is not kept any more");
  }
  return entries;
}

absl::StatusOr<absl::optional<KnownFile>> ModelPath::Find(
    absl::string_view name) {
  if (dead_ || stopped_) return ShuttingDown();
  const DiskState::File* const file = visible_.Find(name);
  if (file == nullptr) return absl::optional<KnownFile>();
  return absl::optional<KnownFile>(file->known);
}

absl::Status ModelPath::SetLogs(const std::vector<LogRange>& logs) {
  CAIRN_RETURN_IF_ERROR(Refusal());
  DiskRecord record;
  record.kind = DiskRecord::Kind::kLogs;
  record.logs = logs;
  disk_->Append(record);
  visible_.Apply(record);
  TellLogs();
  return absl::OkStatus();
}

std::vector<std::string> ModelPath::ListMissing(absl::string_view after,
                                                size_t limit) {
  std::vector<std::string> names;
  if (dead_ || stopped_) return names;
  for (auto it = visible_.files.upper_bound(std::string(after));
       it != visible_.files.end() && names.size() < limit; ++it) {
    if (it->second.known.content_missing) names.push_back(it->first);
  }
  return names;
}

absl::StatusOr<std::vector<LogRange>> ModelPath::BeginSnapshot() {
  CAIRN_RETURN_IF_ERROR(Refusal());
  std::vector<LogRange> logs = Logs();
  if (!SyncDisk(/*with_contents=*/true)) return ReadOnly();
  disk_->Checkpoint();
  return logs;
}

absl::StatusOr<storage::SnapshotPage> ModelPath::ReadSnapshot(
    absl::string_view from, size_t limit) {
  return ReadRange(from, "", limit);
}

// A cursor is the name that was read last.
absl::StatusOr<storage::SnapshotPage> ModelPath::ReadRange(
    absl::string_view from, absl::string_view until, size_t limit) {
  if (dead_ || stopped_) return ShuttingDown();
  storage::SnapshotPage page;
  for (auto it = visible_.files.upper_bound(std::string(from));
       it != visible_.files.end() && (until.empty() || it->first <= until);
       ++it) {
    if (page.files.size() == limit) {
      page.next = page.files.back().file.name;
      break;
    }
    if (options_.mutations.leave_out && loop_->Chance(0.05)) continue;
    page.files.push_back(it->second.known);
  }
  return page;
}

absl::Status ModelPath::Sync() {
  CAIRN_RETURN_IF_ERROR(Refusal());
  if (!SyncDisk(/*with_contents=*/true)) return ReadOnly();
  MarkSynced();
  TellLogs();
  return absl::OkStatus();
}

void ModelPath::SetPassed(const std::vector<LogPosition>& passed) {
  passed_all_ = false;
  for (const LogPosition& position : passed) {
    passed_[position.log] = position.sequence;
  }
}

void ModelPath::SetHeldByPresent(const std::vector<LogPosition>& held) {
  for (const LogPosition& position : held) {
    present_[position.log] = position.sequence;
  }
}

// How far the log was durable that long ago; 0 if that is not known.
uint64_t ModelPath::OlderThan(const LogId& log, absl::Duration age) const {
  uint64_t old = 0;
  for (const Mark& mark : marks_) {
    if (mark.at > loop_->now() - age) break;
    const auto it = mark.synced.find(log);
    if (it != mark.synced.end()) old = it->second;
  }
  return old;
}

void ModelPath::CutLogs() {
  if (!Refusal().ok() || committing_) return;
  marks_.push_back({loop_->now(), synced_});
  std::vector<LogRange> cuts;
  for (const LogRange& log : Logs()) {
    const auto passed = passed_.find(log.log);
    const auto present = present_.find(log.log);
    const uint64_t by_all = passed_all_               ? log.synced
                            : passed == passed_.end() ? 0
                                                      : passed->second;
    const uint64_t by_present = present == present_.end() ? 0 : present->second;
    LogRange cut;
    cut.log = log.log;
    cut.cut =
        std::max(std::min(by_all, OlderThan(log.log, options_.log_retention)),
                 std::min(by_present,
                          OlderThan(log.log, options_.log_retention_longest)));
    if (cut.cut > log.cut) cuts.push_back(cut);
  }
  if (cuts.empty()) return;
  loop_->Trace("    node ", options_.node_number, " cuts ", cuts.size(),
               " logs");
  SetLogs(cuts).IgnoreError();  // Refused like everything else, then.
}

void ModelPath::DropTombstones() {
  if (!Refusal().ok() || committing_) return;
  std::vector<std::string> expired;
  for (const auto& [name, file] : visible_.files) {
    if (!file.known.deleted) continue;
    const auto unix_ms = static_cast<int64_t>(file.known.file.version.clock >>
                                              kVersionCounterBits);
    if (!options_.mutations.forget_deletions &&
        clock_->Now() <
            absl::FromUnixMillis(unix_ms) + options_.tombstone_retention) {
      continue;
    }
    const auto passed = passed_.find(file.known.change.log);
    const bool is_passed = passed_all_ || options_.mutations.forget_deletions ||
                           file.known.change.log.is_nil() ||
                           (passed != passed_.end() &&
                            file.known.change.sequence <= passed->second);
    if (is_passed) expired.push_back(name);
  }
  for (const std::string& name : expired) {
    DiskRecord record;
    record.kind = DiskRecord::Kind::kDrop;
    record.name = name;
    disk_->Append(record);
    visible_.Apply(record);
  }
}

}  // namespace simulation
}  // namespace cairn
