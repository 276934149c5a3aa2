#include "integration_tests/simulation/model_path.h"

#include <algorithm>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/checksum/crc32c.h"
#include "lib/checksum/sha256.h"
#include "services/storage/core/file_key.h"
#include "services/storage/core/testing/scan_file_map.h"

namespace cairn {
namespace simulation {

using storage::ChangeKind;
using storage::CommitDone;
using storage::Committed;
using storage::Durability;
using storage::FileInfo;
using storage::FileKind;
using storage::FileState;
using storage::KnownFile;
using storage::LogEntry;
using storage::LogId;
using storage::LogPosition;
using storage::LogRange;
using storage::ReplicatedChange;
using storage::StandingOf;
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

absl::Status ContentNotHere() {
  return ErrorWithReason(absl::StatusCode::kUnavailable,
                         ErrorReason::kContentNotHere,
                         "the content is at other members");
}

absl::Status Damaged() {
  return ErrorWithReason(absl::StatusCode::kDataLoss,
                         ErrorReason::kContentDamaged,
                         "what is there does not match its checksum");
}

// Unix time of a version.
int64_t MillisOf(const Version& version) {
  return static_cast<int64_t>(version.clock >> kVersionCounterBits);
}

std::shared_ptr<DiskPiece> PieceOf(std::string bytes) {
  auto piece = std::make_shared<DiskPiece>();
  piece->bytes = std::move(bytes);
  return piece;
}

// All of it in the journal.
std::shared_ptr<DiskContent> ContentOf(std::string bytes) {
  auto content = std::make_shared<DiskContent>();
  if (!bytes.empty()) content->pieces.push_back(PieceOf(std::move(bytes)));
  return content;
}

FileState StateOf(const FileInfo& file) {
  return FileState{file.version, file.size_bytes, file.crc32c};
}

}  // namespace

class ModelOpenFile : public storage::OpenFile {
 public:
  ModelOpenFile(std::weak_ptr<bool> alive, ModelPath* path, FileInfo info,
                std::shared_ptr<const DiskContent> content)
      : alive_(std::move(alive)),
        path_(path),
        info_(std::move(info)),
        content_(std::move(content)) {}

  const FileInfo& info() const override { return info_; }

  absl::StatusOr<absl::Cord> Read(int64_t offset, int64_t length) override {
    CAIRN_CHECK(offset >= 0 && length >= 0 &&
                offset + length <= info_.size_bytes);
    const std::shared_ptr<bool> alive = alive_.lock();
    const bool is_open = alive != nullptr && *alive;
    absl::Cord data;
    int64_t begin = 0;
    for (const auto& piece : content_->pieces) {
      const auto size = static_cast<int64_t>(piece->bytes.size());
      const int64_t from = std::max(offset - begin, int64_t{0});
      const int64_t to = std::min(offset + length - begin, size);
      begin += size;
      if (from >= to) continue;
      if (piece->rotten && is_open && !path_->options_.mutations.hide_damage) {
        if (path_->observer_ != nullptr) path_->observer_->OnDamaged(info_);
        return Damaged();
      }
      data.Append(absl::string_view(piece->bytes)
                      .substr(static_cast<size_t>(from),
                              static_cast<size_t>(to - from)));
    }
    return data;
  }
  absl::optional<absl::StatusOr<absl::Cord>> TryRead(int64_t offset,
                                                     int64_t length) override {
    return Read(offset, length);
  }

 private:
  const std::weak_ptr<bool> alive_;
  ModelPath* const path_;
  const FileInfo info_;
  const std::shared_ptr<const DiskContent> content_;
};

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

  void Share() override { share_ = true; }

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
    if ((share_ || finish.dedup) &&
        size_bytes() >= path_->options_.dedup_bytes_min) {
      request.file.sha256 = Sha256(bytes_);
    }
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
    const DiskState::File* const here =
        path_->disk_->now().Find(change.file.name);
    if (path_->options_.mutations.mend_badly && here != nullptr &&
        here->content != nullptr && !bytes_.empty()) {
      bytes_.front() ^= 1;
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
    if (size_bytes() > 0) {
      const std::shared_ptr<DiskPiece> piece = PieceOf(std::move(bytes_));
      piece->beside = request.file.size_bytes > path_->small_file_bytes_max() ||
                      !request.file.sha256.empty();
      piece->synced =
          !piece->beside || request.durability == Durability::kSynced;
      content->pieces.push_back(piece);
    }
    request.content = std::move(content);
    request.done = std::move(done);
    path_->Submit(std::move(request));
  }

  ModelPath* const path_;
  std::string bytes_;
  bool share_ = false;
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
    if (file.content == nullptr) continue;
    for (const auto& piece : file.content->pieces) {
      if (!piece->synced) unsynced_.push_back(piece);
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
  Flush();
  stopped_ = true;
  if (broken_) return;
  SyncDisk(/*with_contents=*/true);
  disk_->CleanEnd();
}

// Answers all that waits, now.
void ModelPath::Flush() {
  while (!queue_.empty() || committing_) {
    if (!committing_) BeginGroup();
    if (committing_) EndGroup(/*sync=*/true);
  }
}

template <typename Change>
ModelPath::Request ModelPath::RequestOf(Request::Kind kind,
                                        const Change& change, CommitDone done) {
  Request request;
  request.kind = kind;
  request.request_id = change.request_id;
  request.file.name = change.name;
  request.durability = change.durability;
  request.done = std::move(done);
  return request;
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
  request.content = ContentOf(std::string(put.content));
  request.durability = put.durability;
  if (put.dedup && put.kind != FileKind::kAppender &&
      request.file.size_bytes >= options_.dedup_bytes_min) {
    request.file.sha256 = Sha256(std::string(put.content));
    DiskPiece* const piece = request.content->pieces.front().get();
    piece->beside = true;
    piece->synced = put.durability == Durability::kSynced;
  }
  request.done = std::move(done);
  Submit(std::move(request));
}

void ModelPath::Delete(storage::DeleteRequest del, CommitDone done) {
  Request request = RequestOf(Request::Kind::kDelete, del, std::move(done));
  request.purge = del.purge;
  Submit(std::move(request));
}

void ModelPath::Update(storage::UpdateRequest update, CommitDone done) {
  Request request = RequestOf(Request::Kind::kUpdate, update, std::move(done));
  request.update = std::move(update);
  Submit(std::move(request));
}

absl::Status ModelPath::LayOut(const DiskState::File& existing,
                               const Request& request, After* after) const {
  using Kind = storage::UpdateRequest::Kind;
  const storage::UpdateRequest& update = request.update;
  const int64_t size = existing.known.file.size_bytes;
  std::string added(update.content);
  auto content = std::make_shared<DiskContent>(*existing.content);
  auto& pieces = content->pieces;
  bool cuts = false;
  if (update.kind == Kind::kTruncate) {
    cuts = update.offset < size;
    int64_t at = 0;
    size_t kept = 0;
    while (kept < pieces.size() && at < update.offset) {
      at += static_cast<int64_t>(pieces[kept]->bytes.size());
      ++kept;
    }
    pieces.resize(kept);
    if (at > update.offset) {  // Inside the last one.
      std::string& last =
          (pieces.back() = PieceOf(pieces.back()->bytes))->bytes;
      last.resize(last.size() - static_cast<size_t>(at - update.offset));
    } else if (at < update.offset) {
      pieces.push_back(
          PieceOf(std::string(static_cast<size_t>(update.offset - at), '\0')));
    }
  } else {
    const int64_t offset = update.kind == Kind::kAppend ? size : update.offset;
    if (offset > size) {
      return ErrorWithReason(absl::StatusCode::kOutOfRange,
                             ErrorReason::kRangePastEnd,
                             "modified behind the end");
    }
    if (!added.empty() && offset < size) {
      // What it touches becomes one piece.
      cuts = true;
      const int64_t end = offset + static_cast<int64_t>(added.size());
      std::vector<std::shared_ptr<DiskPiece>> changed;
      std::string whole;
      int64_t at = 0;
      for (size_t i = 0; i < pieces.size(); ++i) {
        const int64_t begin = at;
        at += static_cast<int64_t>(pieces[i]->bytes.size());
        if (at <= offset || begin >= end) {
          changed.push_back(pieces[i]);
          continue;
        }
        if (begin <= offset) {
          whole =
              pieces[i]->bytes.substr(0, static_cast<size_t>(offset - begin));
          whole += added;
          changed.push_back(nullptr);
        }
        if (at > end) {
          whole += pieces[i]->bytes.substr(static_cast<size_t>(end - begin));
        }
      }
      for (auto& piece : changed) {
        if (piece == nullptr) piece = PieceOf(whole);
      }
      pieces = std::move(changed);
    } else if (!added.empty()) {
      pieces.push_back(PieceOf(std::move(added)));
    }
  }
  // Bytes that stay have to be read.
  if (cuts && existing.content->IsRotten()) return Damaged();
  const std::string bytes = content->Bytes();
  after->known = existing.known;
  after->known.file.size_bytes = static_cast<int64_t>(bytes.size());
  after->known.file.crc32c = Crc32c(bytes);
  after->content = std::move(content);
  if (cuts) {
    after->known.file.grown_since = Version();  // With Commit().
  } else {
    after->base = StateOf(existing.known.file);
  }
  return absl::OkStatus();
}

void ModelPath::SetAttributes(storage::SetAttributesRequest set,
                              CommitDone done) {
  Request request = RequestOf(Request::Kind::kAttributes, set, std::move(done));
  request.attributes = std::move(set);
  Submit(std::move(request));
}

void ModelPath::Seal(storage::SealRequest seal, CommitDone done) {
  Request request = RequestOf(Request::Kind::kSeal, seal, std::move(done));
  request.seal = std::move(seal);
  Submit(std::move(request));
}

void ModelPath::Copy(storage::CopyRequest copy, CommitDone done) {
  Request request = RequestOf(Request::Kind::kCopy, copy, std::move(done));
  request.file.copied_from = std::move(copy.from);
  request.file.size_bytes = copy.size_bytes;
  request.file.crc32c = copy.crc32c;
  request.file.create_unix_seconds = copy.create_unix_seconds;
  request.file.origin_node = copy.origin_node;
  request.file.attributes = std::move(copy.attributes);
  request.file.expire_unix_seconds = copy.expire_unix_seconds;
  Submit(std::move(request));
}

void ModelPath::Undelete(storage::UndeleteRequest undelete, CommitDone done) {
  Request request =
      RequestOf(Request::Kind::kUndelete, undelete, std::move(done));
  Submit(std::move(request));
}

absl::Status ModelPath::DropDeleted() {
  CAIRN_RETURN_IF_ERROR(Refusal());
  for (const auto& [name, file] : visible_.files) {
    if (!file.keeps_content()) continue;
    Request request;
    request.kind = Request::Kind::kGiveUp;
    request.file.name = name;
    request.durability = Durability::kCached;
    request.give_up_early = true;
    request.done = [](const absl::StatusOr<Committed>&) {};
    Submit(std::move(request));
  }
  Flush();
  return absl::OkStatus();
}

void ModelPath::SetExpiry(storage::SetExpiryRequest set, CommitDone done) {
  Request request = RequestOf(Request::Kind::kExpiry, set, std::move(done));
  request.file.expire_unix_seconds = set.expire_unix_seconds;
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
    request.content = ContentOf(std::string(*change.content));
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
        synced && (content == nullptr || content->IsSynced())
            ? Durability::kSynced
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
    for (const auto& piece : unsynced_) piece->synced = true;
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
  if (record.content != nullptr) {
    for (const auto& piece : record.content->pieces) {
      if (!piece->synced) unsynced_.push_back(piece);
    }
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
  const LogEntry& made = entry->second;
  if (clock_->Now() - absl::FromUnixMillis(MillisOf(made.version)) >
      options_.request_retention) {
    return absl::nullopt;
  }
  *was_delete = made.kind == ChangeKind::kDelete;
  Committed committed;
  const DiskState::File* const file = state.Find(made.name);
  if (file != nullptr) {
    committed.file = file->known.file;
    if (file->known.content_missing) committed.replicas = 0;
  }
  // What is set aside may be just this change, or one after it.
  if (visible_.aside.count(made.name) != 0) committed.replicas = 0;
  committed.file.name = made.name;
  committed.file.version = made.version;
  if (committed.file.kind == FileKind::kAppender && made.state.has_value()) {
    // As it was then.
    committed.file.size_bytes = made.state->size_bytes;
    committed.file.crc32c = made.state->crc32c;
  }
  committed.change = found->second;
  committed.replayed = true;
  return committed;
}

absl::optional<ModelPath::Outcome> ModelPath::AnswerFromRequestId(
    const Request& request) {
  using Kind = Request::Kind;
  if (request.request_id.is_nil()) return absl::nullopt;
  bool was_delete = false;
  absl::optional<Committed> earlier =
      LookUpRequest(request.request_id, &was_delete);
  if (!earlier.has_value()) return absl::nullopt;
  const bool is_delete = request.kind == Kind::kDelete;
  const bool is_put = request.kind == Kind::kPut || request.kind == Kind::kCopy;
  const bool is_seal = request.kind == Kind::kSeal;
  const bool named = !is_put || request.file.kind == FileKind::kDerived ||
                     earlier->file.kind == FileKind::kDerived;
  const bool same =
      is_seal ? !was_delete && earlier->file.sealed_from == request.file.name
              : is_delete == was_delete &&
                    (!named || earlier->file.name == request.file.name) &&
                    (!is_put ||
                     (earlier->file.size_bytes == request.file.size_bytes &&
                      earlier->file.crc32c == request.file.crc32c));
  Outcome outcome;
  if (!same) {
    outcome.status = ErrorWithReason(absl::StatusCode::kAlreadyExists,
                                     ErrorReason::kRequestIdReused,
                                     "request_id was used before");
    return outcome;
  }
  outcome.committed = *std::move(earlier);
  // What counts of it is here, wherever the content is.
  const bool is_apart_from_content = request.kind == Kind::kAttributes ||
                                     request.kind == Kind::kExpiry ||
                                     request.kind == Kind::kUndelete || is_seal;
  if (is_apart_from_content &&
      visible_.aside.count(outcome.committed.file.name) == 0) {
    outcome.committed.replicas = 1;
  }
  if (request.durability == Durability::kSynced) sync_contents_ = true;
  return outcome;
}

absl::Status ModelPath::CheckReadable(absl::string_view name) const {
  return disk_->IsUnreadable(name) ? Damaged() : absl::OkStatus();
}

ModelPath::Outcome ModelPath::Admit(Request* request) {
  Outcome outcome;
  outcome.committed.replayed = true;  // Unless it turns out to change anything.
  if (request->kind != Request::Kind::kReplica) {
    outcome.status = CheckReadable(request->file.name);
    if (!outcome.status.ok()) return outcome;
  }
  if (absl::optional<Outcome> replay = AnswerFromRequestId(*request)) {
    // The content that came is not needed.
    request->content = nullptr;
    return *std::move(replay);
  }
  switch (request->kind) {
    case Request::Kind::kPut:
      AdmitPut(request, &outcome);
      break;
    case Request::Kind::kCopy:
      AdmitCopy(request, &outcome);
      break;
    case Request::Kind::kDelete:
      AdmitDelete(request, &outcome);
      break;
    case Request::Kind::kUndelete:
      AdmitUndelete(request, &outcome);
      break;
    case Request::Kind::kGiveUp:
      AdmitGiveUp(*request, &outcome);
      break;
    case Request::Kind::kReclaim:
      AdmitReclaim(request, &outcome);
      break;
    case Request::Kind::kUpdate:
      AdmitUpdate(request, &outcome);
      break;
    case Request::Kind::kAttributes:
    case Request::Kind::kExpiry:
      AdmitAttributes(request, &outcome);
      break;
    case Request::Kind::kSeal:
      AdmitSeal(request, &outcome);
      break;
    case Request::Kind::kReplica:
      AdmitReplica(request, &outcome);
      break;
  }
  return outcome;
}

absl::Status ModelPath::CheckPresent(const DiskState::File* file) const {
  if (file == nullptr) return NotFound(ErrorReason::kFileNotFound);
  if (!file->known.deleted) return absl::OkStatus();
  return NotFound(file->known.file.sealed_as.empty()
                      ? ErrorReason::kFileDeleted
                      : ErrorReason::kFileSealed);
}

KnownFile ModelPath::ToKnown(const DiskState::File& file) const {
  KnownFile known = file.known;
  if (options_.mutations.miss_deleted && known.deleted &&
      known.file.undelete_until_unix_seconds != 0 && file.content == nullptr) {
    known.content_missing = true;
  }
  return known;
}

int64_t ModelPath::ReclaimUnixSeconds(const FileInfo& file) const {
  const int64_t grace = absl::ToInt64Seconds(options_.expiry_grace);
  return file.expire_unix_seconds +
         (file.origin_node == options_.node_number ? grace : 2 * grace);
}

void ModelPath::Commit(After after, Request* request, Outcome* outcome) {
  const DiskState& state = disk_->now();
  FileInfo& file = after.known.file;
  // AdmitPut() has looked at the clock already.
  if (file.version.clock == 0) file.version = NextVersion();
  if (!after.pieces || file.grown_since.clock == 0) {
    file.grown_since = file.version;
  }
  after.known.change = {state.own, state.logs.at(state.own).applied + 1};
  after.known.content_missing =
      !after.known.deleted && after.content == nullptr;
  KeepContent(request, after.content);
  outcome->committed.file = file;
  outcome->committed.change = after.known.change;
  outcome->committed.replayed = false;
  outcome->changed = true;
  if (options_.on_change) {
    options_.on_change(after.known, after.content.get());
  }
  Record(std::move(after), request, outcome);
}

void ModelPath::Record(absl::optional<After> after, Request* request,
                       Outcome* outcome) {
  const ReplicatedChange& replica = request->replica;
  const bool is_replica = request->kind == Request::Kind::kReplica;
  DiskRecord record;
  LogEntry& entry = record.entry;
  if (is_replica) {
    if (replica.mode == Mode::kNext) record.log = replica.change.log;
    record.aside_over = replica.mode == Mode::kRetry;
    entry.sequence = replica.change.sequence;
    entry.kind = replica.kind;
    entry.version = replica.file.version;
    entry.life = replica.file.life;
    entry.name = replica.file.name;
    entry.request_id = replica.request_id;
  } else {
    const KnownFile& known = after->known;
    record.log = known.change.log;
    entry.sequence = known.change.sequence;
    entry.kind = known.deleted ? ChangeKind::kDelete : ChangeKind::kPut;
    entry.version = known.file.version;
    entry.life = known.file.life;
    entry.name = known.file.name;
    entry.request_id = request->request_id;
  }
  if (after.has_value()) {
    const FileInfo& file = after->known.file;
    const DiskState::File* const before = disk_->now().Find(file.name);
    entry.was_there =
        !after->known.deleted &&
        (before != nullptr
             ? !before->known.deleted &&
                   (after->pieces || before->known.file.version < file.version)
             : after->pieces && file.sealed_from.empty());
    if (file.kind == FileKind::kAppender) entry.state = StateOf(file);
    entry.base = after->base;
    record.known = std::move(after->known);
    record.content = std::move(after->content);
  } else {
    outcome->committed.replayed = true;
  }
  Append(std::move(record));
}

void ModelPath::AdmitPut(Request* request, Outcome* outcome) {
  const DiskState::File* const existing = disk_->now().Find(request->file.name);
  After after;
  FileInfo& file = after.known.file;
  file = request->file;
  const bool derived = file.kind == FileKind::kDerived;
  const bool is_there = existing != nullptr && !existing->known.deleted &&
                        !HasExpired(existing->known.file);
  if (derived && is_there && !AnswerFromName(*existing, *request, outcome)) {
    return;
  }
  if (existing != nullptr && !derived) {
    outcome->status =
        ErrorWithReason(absl::StatusCode::kAlreadyExists,
                        ErrorReason::kInvalidField, "the file exists");
    return;
  }
  file.version = NextVersion();
  if (file.origin_node == 0) file.origin_node = options_.node_number;
  if (derived) {
    const uint32_t used = existing == nullptr ? 0 : existing->known.file.life;
    file.life = std::max(used + 1,
                         static_cast<uint32_t>(MillisOf(file.version) / 1000));
    if (is_there) {  // Without its content.
      file.attributes = existing->known.file.attributes;
      file.expire_unix_seconds = existing->known.file.expire_unix_seconds;
    }
  }
  if (request->kind == Request::Kind::kPut && !file.sha256.empty()) {
    const Content here = FindByHash(file);
    // What is there is read before.
    if (here != nullptr && !here->IsRotten()) {
      request->content = here;
      file.deduplicated = true;
    }
  }
  after.content = request->content;
  Commit(std::move(after), request, outcome);
}

bool ModelPath::AnswerFromName(const DiskState::File& existing,
                               const Request& request, Outcome* outcome) {
  const FileInfo& file = existing.known.file;
  if (file.size_bytes != request.file.size_bytes ||
      file.crc32c != request.file.crc32c) {
    outcome->status =
        ErrorWithReason(absl::StatusCode::kAlreadyExists,
                        ErrorReason::kFileExists, "it has another content");
    return false;
  }
  if (existing.content == nullptr) return true;
  outcome->committed.file = file;
  outcome->committed.change = existing.known.change;
  outcome->committed.replayed = true;
  if (request.durability == Durability::kSynced) sync_contents_ = true;
  return false;
}

void ModelPath::AdmitCopy(Request* request, Outcome* outcome) {
  const DiskState::File* const from =
      disk_->now().Find(request->file.copied_from);
  outcome->status = CheckPresent(from);
  if (!outcome->status.ok()) return;
  const FileInfo& file = from->known.file;
  if (HasExpired(file)) {
    outcome->status = NotFound(ErrorReason::kFileExpired);
    return;
  }
  outcome->status = storage::CheckCopy(file);
  if (!outcome->status.ok()) return;
  if (file.size_bytes != request->file.size_bytes ||
      file.crc32c != request->file.crc32c) {
    outcome->status =
        ErrorWithReason(absl::StatusCode::kAborted,
                        ErrorReason::kConditionFailed, "another content");
  } else if (from->content == nullptr) {
    outcome->status = ContentNotHere();
  } else if (!from->content->IsOnePiece()) {
    outcome->status = ErrorWithReason(absl::StatusCode::kFailedPrecondition,
                                      ErrorReason::kNotSupported,
                                      "there is nothing that could be shared");
  }
  if (!outcome->status.ok()) return;
  request->content = from->content;
  request->file.sha256 = file.sha256;
  AdmitPut(request, outcome);
}

void ModelPath::AdmitDelete(Request* request, Outcome* outcome) {
  const DiskState::File* const existing = disk_->now().Find(request->file.name);
  const int64_t now = absl::ToUnixSeconds(clock_->Now());
  outcome->status = CheckPresent(existing);
  if (outcome->status.ok() && HasExpired(existing->known.file)) {
    outcome->status = NotFound(ErrorReason::kFileExpired);
  }
  if (request->purge &&
      ReasonOf(outcome->status) == ErrorReason::kFileDeleted &&
      existing->known.file.undelete_until_unix_seconds > now) {
    outcome->status = absl::OkStatus();
  }
  if (!outcome->status.ok()) return;
  const int64_t window = absl::ToInt64Seconds(options_.undelete_window);
  const int64_t until = request->purge || window <= 0 ? 0 : now + window;
  if (until == 0 || existing->content == nullptr) {
    AddTombstone(*existing, until, request, outcome);
    return;
  }
  After after{existing->known, existing->content, /*pieces=*/true, {}};
  after.known.deleted = true;
  after.known.file.undelete_until_unix_seconds = until;
  after.known.file.version = Version();
  Commit(std::move(after), request, outcome);
}

void ModelPath::AddTombstone(const DiskState::File& existing,
                             int64_t undelete_until, Request* request,
                             Outcome* outcome) {
  const FileInfo was = existing.known.file;
  DiskState::File tombstone = existing;
  tombstone.known.deleted = true;
  tombstone.GiveUpContent(undelete_until);
  tombstone.known.file.copied_from.clear();
  tombstone.known.file.version = Version();
  request->content = nullptr;
  Commit({tombstone.known, nullptr, /*pieces=*/false, {}}, request, outcome);
  const Version version = outcome->committed.file.version;
  outcome->committed.file = was;
  outcome->committed.file.version = version;
  outcome->committed.file.undelete_until_unix_seconds = undelete_until;
}

void ModelPath::AdmitUndelete(Request* request, Outcome* outcome) {
  const DiskState::File* const existing = disk_->now().Find(request->file.name);
  outcome->status = CheckPresent(existing);
  if (outcome->status.ok()) {
    outcome->status =
        HasExpired(existing->known.file)
            ? NotFound(ErrorReason::kFileExpired)
            : ErrorWithReason(absl::StatusCode::kAlreadyExists,
                              ErrorReason::kFileExists, "it is not deleted");
    return;
  }
  if (ReasonOf(outcome->status) != ErrorReason::kFileDeleted ||
      existing->known.file.undelete_until_unix_seconds <=
          absl::ToUnixSeconds(clock_->Now())) {
    return;
  }
  if (HasExpired(existing->known.file)) {
    outcome->status = NotFound(ErrorReason::kFileExpired);
    return;
  }
  if (!existing->keeps_content()) {
    outcome->status = ContentNotHere();
    return;
  }
  outcome->status = absl::OkStatus();
  After after{existing->known, existing->content, /*pieces=*/true, {}};
  after.known.deleted = false;
  after.known.file.undelete_until_unix_seconds = 0;
  after.known.file.life += 1;
  after.known.file.version = Version();
  Commit(std::move(after), request, outcome);
}

void ModelPath::AdmitGiveUp(const Request& request, Outcome* outcome) {
  const DiskState::File* const existing = disk_->now().Find(request.file.name);
  if (existing == nullptr || !existing->keeps_content()) return;
  const int64_t until = existing->known.file.undelete_until_unix_seconds;
  const bool over = until <= absl::ToUnixSeconds(clock_->Now());
  if (!over && !request.give_up_early) return;
  DiskState::File after = *existing;
  after.GiveUpContent(over ? 0 : until);
  after.known.file.copied_from.clear();
  after.known.file.grown_since = after.known.file.version;
  DiskRecord record;
  record.known = after.known;
  Append(std::move(record));
  outcome->changed = true;
}

void ModelPath::AdmitReclaim(Request* request, Outcome* outcome) {
  const DiskState::File* const existing = disk_->now().Find(request->file.name);
  if (existing == nullptr || existing->known.deleted ||
      existing->known.file.expire_unix_seconds == 0 ||
      ReclaimUnixSeconds(existing->known.file) >
          absl::ToUnixSeconds(clock_->Now())) {
    return;
  }
  loop_->Trace("    node ", options_.node_number, " reclaims ",
               request->file.name, ", which has expired");
  AddTombstone(*existing, /*undelete_until=*/0, request, outcome);
}

void ModelPath::AdmitUpdate(Request* request, Outcome* outcome) {
  const DiskState::File* const existing = disk_->now().Find(request->file.name);
  outcome->status = CheckPresent(existing);
  if (!outcome->status.ok()) return;
  if (HasExpired(existing->known.file)) {
    outcome->status = NotFound(ErrorReason::kFileExpired);
    return;
  }
  outcome->status =
      storage::CheckUpdate(existing->known.file, request->update.if_size_bytes,
                           request->update.if_version);
  if (!outcome->status.ok()) return;
  if (existing->content == nullptr) {
    outcome->status = ContentNotHere();
    return;
  }
  After after;
  outcome->status = LayOut(*existing, *request, &after);
  if (!outcome->status.ok()) return;
  after.pieces = true;
  after.known.file.version = Version();
  Commit(std::move(after), request, outcome);
}

void ModelPath::AdmitAttributes(Request* request, Outcome* outcome) {
  const DiskState::File* const existing = disk_->now().Find(request->file.name);
  outcome->status = CheckPresent(existing);
  if (!outcome->status.ok()) return;
  const FileInfo& file = existing->known.file;
  if (HasExpired(file)) {
    outcome->status = NotFound(ErrorReason::kFileExpired);
    return;
  }
  const storage::SetAttributesRequest& set = request->attributes;
  if (set.if_version_match.has_value() &&
      !(*set.if_version_match == file.version)) {
    outcome->status = ErrorWithReason(absl::StatusCode::kFailedPrecondition,
                                      ErrorReason::kVersionMismatch,
                                      "the file has another version");
    return;
  }
  After after{existing->known, existing->content, /*pieces=*/true, {}};
  if (request->kind == Request::Kind::kExpiry) {
    after.known.file.expire_unix_seconds = request->file.expire_unix_seconds;
  } else {
    absl::StatusOr<std::string> attributes =
        ApplyAttributeChange(file.attributes, set.change);
    if (!attributes.ok()) {
      outcome->status = attributes.status();
      return;
    }
    after.known.file.attributes = *std::move(attributes);
  }
  if (file.kind == FileKind::kAppender && existing->content != nullptr) {
    after.base = StateOf(file);
  }
  after.known.file.version = Version();
  Commit(std::move(after), request, outcome);
}

void ModelPath::AdmitSeal(Request* request, Outcome* outcome) {
  const DiskState::File* const existing = disk_->now().Find(request->file.name);
  outcome->status = CheckPresent(existing);
  if (!outcome->status.ok()) return;
  const FileInfo& file = existing->known.file;
  if (HasExpired(file)) {
    outcome->status = NotFound(ErrorReason::kFileExpired);
    return;
  }
  outcome->status = storage::CheckUpdate(file, request->seal.if_size_bytes,
                                         request->seal.if_version);
  if (!outcome->status.ok()) return;
  if (existing->content == nullptr) {
    outcome->status = ContentNotHere();
    return;
  }
  const storage::SealRequest::NewName made =
      request->seal.make_name(file.size_bytes, file.crc32c);
  After after{existing->known, existing->content, /*pieces=*/true, {}};
  after.known.file.name = made.name;
  after.known.file.kind = FileKind::kNormal;
  after.known.file.create_unix_seconds = made.create_unix_seconds;
  after.known.file.sealed_from = request->file.name;
  after.known.file.version = Version();
  after.known.file.grown_since = Version();
  Commit(std::move(after), request, outcome);
}

// What is answered depends on whether the content is synced.
void ModelPath::KeepContent(Request* request, const Content& content) {
  request->content = content;
  if (content != nullptr && !content->IsSynced() &&
      request->durability == Durability::kSynced) {
    sync_contents_ = true;
  }
}

void ModelPath::AdmitReplica(Request* request, Outcome* outcome) {
  const ReplicatedChange& replica = request->replica;
  const DiskState& state = disk_->now();
  const bool is_next = replica.mode == Mode::kNext;
  outcome->committed.file = replica.file;
  outcome->committed.change = replica.change;
  if (is_next) {
    const uint64_t applied = state.logs.at(replica.change.log).applied;
    if (replica.change.sequence <= applied) return;
    if (replica.change.sequence != applied + 1) {
      outcome->status = ErrorWithReason(
          absl::StatusCode::kFailedPrecondition, ErrorReason::kOutOfOrder,
          absl::StrCat("change ", replica.change.sequence,
                       " does not follow on ", applied));
      return;
    }
  }
  if (replica.set_aside) {
    SetAside(*request);
    return;
  }
  outcome->status = CheckReadable(request->file.name);
  if (!outcome->status.ok()) return;
  const DiskState::File* const existing = state.Find(request->file.name);
  const bool is_delete = replica.kind == ChangeKind::kDelete;
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
                  StandingOf(replica.file, is_delete),
                  StandingOf(existing->known.file, existing->known.deleted)) ||
              (same && !existing->known.deleted &&
               existing->known.content_missing && request->content != nullptr));
  }
  if (options_.mutations.skip_a_change && is_next && loop_->Chance(0.02)) {
    wins = false;
  }
  if (!wins) {
    EndSealed(*request);
    if (existing != nullptr && BringsContent(*existing, *request)) {
      DiskRecord taken;
      taken.known = existing->known;
      taken.known->content_missing = false;
      taken.content = request->content;
      Append(std::move(taken));
    }
    request->content = nullptr;
    if (is_next || replica.mode == Mode::kRetry) {
      Record(absl::nullopt, request, outcome);
    }
    return;
  }
  if (replica.base.has_value()) {
    if (existing == nullptr || !AddGrown(*existing, request, outcome)) {
      outcome->status = ErrorWithReason(
          absl::StatusCode::kAborted, ErrorReason::kVersionMismatch,
          "what the change was made of is not here");
    }
    return;
  }
  After after;
  KnownFile& known = after.known;
  FileInfo& file = known.file;
  file = replica.file;
  known.deleted = is_delete;
  if (file.origin_node == 0) file.origin_node = version.node;
  if (is_delete) {
    file.attributes.clear();
    file.expire_unix_seconds = 0;
    file.sha256.clear();
    file.deduplicated = false;
  } else {
    file.sealed_as.clear();
    file.undelete_until_unix_seconds = 0;
  }
  bool shares = false;
  if (existing != nullptr && KeepDeleted(*existing, *request, &after)) {
    request->content = after.content;
  } else if (const Content here =
                 FindSameContent(*request, existing, &shares)) {
    after.content = here;
    after.pieces = !shares;
  } else {
    after.content = request->content;
    if (replica.mode == Mode::kContent && after.content == nullptr) return;
  }
  if (is_delete && !after.pieces) after.content = nullptr;
  const bool keeps = is_delete && after.content != nullptr;
  if (!keeps) file.grown_since = version;
  KeepContent(request, after.content);
  known.content_missing = !is_delete && after.content == nullptr;
  if (replica.mode == Mode::kContent) {
    known.change = existing->known.change;
    const FileInfo& before = existing->known.file;
    file.attributes = before.attributes;
    file.life = before.life;
    file.expire_unix_seconds = before.expire_unix_seconds;
    file.sealed_from = before.sealed_from;
    file.copied_from = before.copied_from;
    file.sha256 = before.sha256;
    file.deduplicated = before.deduplicated;
  } else if (state.logs.count(replica.change.log) != 0) {
    known.change = replica.change;
  } else {
    known.change = LogPosition();
  }
  outcome->committed.replayed = false;
  outcome->changed = true;
  Record(std::move(after), request, outcome);
}

void ModelPath::SetAside(const Request& request) {
  const ReplicatedChange& replica = request.replica;
  DiskRecord record;
  LogEntry& entry = record.entry;
  if (replica.mode == Mode::kNext) {
    record.log = replica.change.log;
    entry.request_id = replica.request_id;
  }
  entry.sequence = replica.change.sequence;
  entry.kind = replica.kind;
  entry.version = replica.file.version;
  entry.life = replica.file.life;
  entry.name = replica.file.name;
  // Of a change that another has replaced nothing is to be made good.
  if (!replica.passed && !options_.mutations.forget_aside) {
    record.aside = replica;
    record.aside->mode = Mode::kRetry;
    record.aside->set_aside = false;
    record.aside->request_id = Uuid();
  }
  loop_->Trace("    node ", options_.node_number, " sets a change of ",
               replica.file.name, " aside");
  Append(std::move(record));
}

std::vector<ReplicatedChange> ModelPath::ListSetAside() {
  std::vector<ReplicatedChange> changes;
  for (const auto& [name, change] : visible_.aside) changes.push_back(change);
  return changes;
}

void ModelPath::LoseFile(const std::string& name) {
  DiskRecord record;
  record.kind = DiskRecord::Kind::kDrop;
  record.name = name;
  disk_->Append(record);
  visible_.Apply(record);
  // It does not come back when the path is opened again.
  disk_->Checkpoint();
}

bool ModelPath::KeepDeleted(const DiskState::File& existing,
                            const Request& request, After* after) const {
  const ReplicatedChange& replica = request.replica;
  const FileInfo& file = replica.file;
  const FileInfo& here = existing.known.file;
  if (replica.kind != ChangeKind::kDelete || replica.mode == Mode::kRemove ||
      file.undelete_until_unix_seconds <= absl::ToUnixSeconds(clock_->Now()) ||
      !file.sealed_as.empty() || !here.sealed_as.empty() ||
      existing.content == nullptr) {
    return false;
  }
  if (here.life != file.life &&
      (here.size_bytes != file.size_bytes || here.crc32c != file.crc32c)) {
    return false;
  }
  const int64_t until = file.undelete_until_unix_seconds;
  const Version version = file.version;
  const uint32_t life = file.life;
  after->known = existing.known;
  after->known.deleted = true;
  after->known.file.undelete_until_unix_seconds = until;
  after->known.file.version = version;
  after->known.file.life = life;
  after->content = existing.content;
  after->pieces = true;
  return true;
}

ModelPath::Content ModelPath::FindSameContent(const Request& request,
                                              const DiskState::File* existing,
                                              bool* shares) const {
  const ReplicatedChange& replica = request.replica;
  const FileInfo& file = replica.file;
  if (replica.kind != ChangeKind::kPut ||
      (request.content != nullptr && request.content->IsOnePiece())) {
    return nullptr;
  }
  const DiskState& state = disk_->now();
  if (replica.mode == Mode::kContent) {
    // What is here and is to be exchanged is no good.
    *shares = true;
    return existing->known.content_missing ? FindByHash(existing->known.file)
                                           : nullptr;
  }
  const DiskState::File* same = nullptr;
  if (existing != nullptr) {
    if (!(existing->known.file.version == file.version)) same = existing;
  } else {
    if (!file.sealed_from.empty()) same = state.Find(file.sealed_from);
    if (same == nullptr && !file.copied_from.empty()) {
      same = state.Find(file.copied_from);
      *shares = true;
      if (same != nullptr &&
          (same->content == nullptr || !same->content->IsOnePiece())) {
        same = nullptr;
      }
    }
  }
  if (same != nullptr && same->content != nullptr &&
      same->known.file.size_bytes == file.size_bytes &&
      same->known.file.crc32c == file.crc32c) {
    return same->content;
  }
  *shares = true;
  return FindByHash(file);
}

ModelPath::Content ModelPath::FindByHash(const FileInfo& wanted) const {
  if (wanted.sha256.empty()) return nullptr;
  const bool wrongly = options_.mutations.share_wrongly;
  for (const auto& [name, file] : disk_->now().files) {
    const FileInfo& here = file.known.file;
    if (file.content != nullptr && file.content->IsOnePiece() &&
        !here.sha256.empty() && here.size_bytes == wanted.size_bytes &&
        (wrongly ||
         (here.sha256 == wanted.sha256 && here.crc32c == wanted.crc32c))) {
      return file.content;
    }
  }
  return nullptr;
}

bool ModelPath::ShareContent(const KnownFile& file) {
  if (!Refusal().ok() || FindByHash(file.file) == nullptr) return false;
  ReplicatedChange change;
  change.mode = Mode::kContent;
  change.change = file.change;
  change.file = file.file;
  change.synced = true;
  bool shared = false;
  Apply(std::move(change), [&shared](const absl::StatusOr<Committed>& done) {
    shared = done.ok() && !done->replayed;
  });
  Flush();
  return shared;
}

// Whether a change that counts for nothing any more brings the content that is
// missing.
bool ModelPath::BringsContent(const DiskState::File& existing,
                              const Request& request) {
  const ReplicatedChange& replica = request.replica;
  return replica.kind == ChangeKind::kPut && replica.mode != Mode::kContent &&
         replica.mode != Mode::kRemove && !replica.passed &&
         !replica.base.has_value() && request.content != nullptr &&
         !existing.known.deleted && existing.content == nullptr &&
         existing.known.file.size_bytes == replica.file.size_bytes &&
         existing.known.file.crc32c == replica.file.crc32c;
}

// A change that counts for nothing any more still ends the appender that it
// sealed.
void ModelPath::EndSealed(const Request& request) {
  const FileInfo& file = request.replica.file;
  if (file.sealed_from.empty()) return;
  const DiskState::File* const appender = disk_->now().Find(file.sealed_from);
  if (appender == nullptr || appender->known.deleted) return;
  DiskState::File tombstone = *appender;
  tombstone.known.deleted = true;
  tombstone.known.content_missing = false;
  tombstone.known.change = LogPosition();
  tombstone.known.file.sealed_as = file.name;
  tombstone.known.file.version = file.version;
  tombstone.known.file.grown_since = file.version;
  tombstone.known.file.copied_from.clear();
  tombstone.GiveUpContent(0);
  DiskRecord record;
  record.known = tombstone.known;
  Append(std::move(record));
}

bool ModelPath::AddGrown(const DiskState::File& existing, Request* request,
                         Outcome* outcome) {
  const ReplicatedChange& replica = request->replica;
  const FileInfo& file = replica.file;
  const FileState& base = *replica.base;
  if (existing.known.deleted || existing.content == nullptr ||
      request->content == nullptr ||
      !(existing.known.file.version == base.version) ||
      existing.known.file.size_bytes != base.size_bytes ||
      existing.known.file.crc32c != base.crc32c) {
    return false;
  }
  auto content = std::make_shared<DiskContent>(*existing.content);
  content->pieces.insert(content->pieces.end(),
                         request->content->pieces.begin(),
                         request->content->pieces.end());
  const std::string bytes = content->Bytes();
  if (file.size_bytes != static_cast<int64_t>(bytes.size()) ||
      file.crc32c != Crc32c(bytes)) {
    return false;
  }
  After after{existing.known, std::move(content), /*pieces=*/true, base};
  FileInfo& grown = after.known.file;
  grown.size_bytes = file.size_bytes;
  grown.crc32c = file.crc32c;
  grown.version = file.version;
  grown.attributes = file.attributes;
  grown.life = file.life;
  grown.expire_unix_seconds = file.expire_unix_seconds;
  after.known.change = replica.change;
  KeepContent(request, after.content);
  outcome->committed.replayed = false;
  outcome->changed = true;
  Record(std::move(after), request, outcome);
  return true;
}

absl::StatusOr<FileInfo> ModelPath::Stat(absl::string_view name) {
  if (dead_ || stopped_) return ShuttingDown();
  CAIRN_RETURN_IF_ERROR(CheckReadable(name));
  const DiskState::File* const file = visible_.Find(name);
  CAIRN_RETURN_IF_ERROR(CheckPresent(file));
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

std::unique_ptr<storage::LoggedFiles> ModelPath::FollowLog(
    const LogId& /*log*/) {
  class LookedUp : public storage::LoggedFiles {
   public:
    explicit LookedUp(ModelPath* path) : path_(path) {}
    absl::StatusOr<absl::optional<KnownFile>> Find(
        const LogEntry& entry, int64_t content_bytes_max,
        std::unique_ptr<storage::OpenFile>* file) override {
      file->reset();
      CAIRN_ASSIGN_OR_RETURN(absl::optional<KnownFile> known,
                             path_->Find(entry.name));
      if (!known.has_value() || known->file.size_bytes > content_bytes_max) {
        return known;
      }
      absl::StatusOr<std::unique_ptr<storage::OpenFile>> opened =
          path_->OpenForMember(entry.name);
      if (opened.ok()) *file = *std::move(opened);
      return known;
    }

   private:
    ModelPath* const path_;
  };
  return std::make_unique<LookedUp>(this);
}

absl::StatusOr<std::unique_ptr<storage::OpenFile>> ModelPath::OpenForMember(
    absl::string_view name) {
  if (dead_ || stopped_) return ShuttingDown();
  CAIRN_RETURN_IF_ERROR(CheckReadable(name));
  const DiskState::File* const file = visible_.Find(name);
  CAIRN_RETURN_IF_ERROR(CheckPresent(file));
  if (file->content == nullptr) return ContentNotHere();
  return std::unique_ptr<storage::OpenFile>(std::make_unique<ModelOpenFile>(
      alive_, this, file->known.file, file->content));
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
    in_order[key] = ToKnown(file);
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
  Flush();
  disk_->Checkpoint();
  LookAtExpiries();
  Flush();
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
    range.unsure = log.unsure;
    for (const auto& [name, aside] : visible_.aside) {
      if (aside.change.log != id) continue;
      range.unsure = std::max(range.unsure, aside.change.sequence);
    }
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
  if (after >= found->second.applied ||
      (options_.mutations.keep_to_itself &&
       log.incarnation != visible_.own.incarnation)) {
    return entries;
  }
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
  CAIRN_RETURN_IF_ERROR(CheckReadable(name));
  const DiskState::File* const file = visible_.Find(name);
  if (file == nullptr) return absl::optional<KnownFile>();
  return absl::optional<KnownFile>(ToKnown(*file));
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
    if (ToKnown(it->second).content_missing) names.push_back(it->first);
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
    page.files.push_back(ToKnown(it->second));
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

void ModelPath::LookAtExpiries() {
  if (!Refusal().ok() || committing_) return;
  const int64_t now = absl::ToUnixSeconds(clock_->Now());
  for (const auto& [name, file] : visible_.files) {
    const FileInfo& info = file.known.file;
    Request request;
    if (file.keeps_content()) {
      request.kind = Request::Kind::kGiveUp;
      if (info.undelete_until_unix_seconds > now) continue;
    } else {
      request.kind = Request::Kind::kReclaim;
      if (file.known.deleted || info.expire_unix_seconds == 0 ||
          ReclaimUnixSeconds(info) > now) {
        continue;
      }
    }
    request.file.name = name;
    request.durability = Durability::kCached;
    request.done = [](const absl::StatusOr<Committed>&) {};
    Submit(std::move(request));
  }
  DropTombstones();
}

void ModelPath::DropTombstones() {
  const int64_t now = absl::ToUnixSeconds(clock_->Now());
  std::vector<std::string> expired;
  for (const auto& [name, file] : visible_.files) {
    if (!file.known.deleted || file.keeps_content()) continue;
    const int64_t due =
        std::max(MillisOf(file.known.file.version) / 1000 +
                     absl::ToInt64Seconds(options_.tombstone_retention),
                 file.known.file.undelete_until_unix_seconds);
    if (!options_.mutations.forget_deletions && now < due) continue;
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
    if (options_.on_forget) options_.on_forget(name);
  }
}

}  // namespace simulation
}  // namespace cairn
