#include "services/storage/core/testing/fake_store_path.h"

#include "absl/strings/str_cat.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/checksum/crc32c.h"
#include "lib/checksum/sha256.h"
#include "services/storage/core/file_key.h"
#include "services/storage/core/testing/scan_file_map.h"

namespace cairn {
namespace storage {
namespace {

absl::Status Stopping() {
  return ErrorWithReason(absl::StatusCode::kUnavailable,
                         ErrorReason::kShuttingDown, "the path is stopping");
}

}  // namespace

class FakeUpload : public Upload {
 public:
  explicit FakeUpload(FakeStorePath* path) : path_(path) {
    MutexLock lock(&path_->mu_);
    ++path_->uploads_in_progress_;
  }
  ~FakeUpload() override {
    MutexLock lock(&path_->mu_);
    --path_->uploads_in_progress_;
  }

  void Share() override { dedup_ = true; }

  absl::Status Write(const absl::Cord& data) override {
    {
      MutexLock lock(&path_->mu_);
      CAIRN_RETURN_IF_ERROR(path_->refusal_);
    }
    content_ += std::string(data);
    return absl::OkStatus();
  }
  int64_t size_bytes() const override {
    return static_cast<int64_t>(content_.size());
  }
  uint32_t crc32c() const override { return Crc32c(content_); }

  void Finish(FinishRequest request, CommitDone done) override {
    FileInfo info;
    info.name = request.name;
    info.size_bytes = size_bytes();
    info.crc32c = crc32c();
    info.kind = request.kind;
    info.create_unix_seconds = request.create_unix_seconds;
    info.origin_node = request.origin_node;
    info.attributes = request.attributes;
    info.owner = request.owner;
    info.expire_unix_seconds = request.expire_unix_seconds;
    path_->Store(request.request_id, info, std::move(content_), dedup_,
                 request.durability, std::move(done));
  }

  void FinishReplica(ReplicatedChange change, CommitDone done) override {
    path_->Store(Uuid(), change.file, std::move(content_), /*dedup=*/false,
                 Durability::kSynced, std::move(done));
  }

 private:
  FakeStorePath* const path_;
  std::string content_;
  bool dedup_ = false;
};

class FakeOpenFile : public OpenFile {
 public:
  FakeOpenFile(FakeStorePath* path, const FakeStorePath::StoredFile& file)
      : path_(path),
        info_(file.info),
        content_(file.content),
        damaged_from_(file.damaged_from) {}

  const FileInfo& info() const override { return info_; }

  absl::StatusOr<absl::Cord> Read(int64_t offset, int64_t length) override {
    CAIRN_CHECK(offset >= 0 && length >= 0 &&
                offset + length <= info_.size_bytes);
    if (damaged_from_ >= 0 && offset + length > damaged_from_) {
      return ErrorWithReason(absl::StatusCode::kDataLoss,
                             ErrorReason::kContentDamaged, "a damaged block");
    }
    return absl::Cord(content_->substr(static_cast<size_t>(offset),
                                       static_cast<size_t>(length)));
  }
  absl::optional<absl::StatusOr<absl::Cord>> TryRead(int64_t offset,
                                                     int64_t length) override {
    if (path_->cold()) return absl::nullopt;
    return Read(offset, length);
  }

 private:
  FakeStorePath* const path_;
  const FileInfo info_;
  const std::shared_ptr<const std::string> content_;
  const int64_t damaged_from_;
};

FakeStorePath::FakeStorePath() : io_("fake-io", 2, 1000) {}
FakeStorePath::~FakeStorePath() { Stop(); }

void FakeStorePath::set_cold(bool cold) {
  MutexLock lock(&mu_);
  cold_ = cold;
}
bool FakeStorePath::cold() const {
  MutexLock lock(&mu_);
  return cold_;
}
void FakeStorePath::set_refusal(absl::Status refusal) {
  MutexLock lock(&mu_);
  refusal_ = std::move(refusal);
}
void FakeStorePath::DamageContent(absl::string_view name, int64_t from_offset) {
  MutexLock lock(&mu_);
  stored_.at(std::string(name)).damaged_from = from_offset;
}
void FakeStorePath::HoldCommits() {
  MutexLock lock(&mu_);
  holding_ = true;
}
void FakeStorePath::ReleaseCommits() {
  std::vector<std::pair<absl::StatusOr<Committed>, CommitDone>> held;
  {
    MutexLock lock(&mu_);
    holding_ = false;
    held.swap(held_);
  }
  for (auto& [outcome, done] : held) done(std::move(outcome));
}
int FakeStorePath::held_commits() const {
  MutexLock lock(&mu_);
  return static_cast<int>(held_.size());
}
void FakeStorePath::set_newest_create_unix_seconds(int64_t seconds) {
  MutexLock lock(&mu_);
  newest_create_unix_seconds_ = seconds;
}
void FakeStorePath::set_undelete_until_unix_seconds(int64_t seconds) {
  MutexLock lock(&mu_);
  undelete_until_unix_seconds_ = seconds;
}
void FakeStorePath::set_free_bytes(int64_t bytes) {
  MutexLock lock(&mu_);
  free_bytes_ = bytes;
}
void FakeStorePath::set_small_file_bytes_max(int64_t bytes) {
  MutexLock lock(&mu_);
  small_file_bytes_max_ = bytes;
}
int64_t FakeStorePath::files() const {
  MutexLock lock(&mu_);
  int64_t files = 0;
  for (const auto& [name, file] : stored_) files += file.deleted ? 0 : 1;
  return files;
}
int FakeStorePath::uploads_in_progress() const {
  MutexLock lock(&mu_);
  return uploads_in_progress_;
}
std::string FakeStorePath::ContentOf(absl::string_view name) const {
  MutexLock lock(&mu_);
  return *stored_.at(std::string(name)).content;
}

void FakeStorePath::Put(PutRequest request, CommitDone done) {
  CAIRN_CHECK(Crc32c(request.content) == request.crc32c);
  FileInfo info;
  info.name = request.name;
  info.size_bytes = static_cast<int64_t>(request.content.size());
  info.crc32c = request.crc32c;
  info.kind = request.kind;
  info.create_unix_seconds = request.create_unix_seconds;
  info.origin_node = request.origin_node;
  info.attributes = request.attributes;
  info.owner = request.owner;
  info.expire_unix_seconds = request.expire_unix_seconds;
  Store(request.request_id, info, std::string(request.content), request.dedup,
        request.durability, std::move(done));
}

void FakeStorePath::Store(const Uuid& request_id, const FileInfo& info,
                          std::string content, bool dedup,
                          Durability durability, CommitDone done) {
  Change(&FakeStorePath::StoreLocked,
         NewFile{request_id, info, std::move(content), dedup, durability},
         std::move(done));
}

template <typename Request>
void FakeStorePath::Change(MakeChange<Request> make, Request request,
                           CommitDone done) {
  absl::StatusOr<Committed> outcome = absl::InternalError("not run");
  {
    MutexLock lock(&mu_);
    const auto earlier = requests_.find(request.request_id);
    if (stopped_) {
      outcome = Stopping();
    } else if (!refusal_.ok()) {
      outcome = refusal_;
    } else if (!request.request_id.is_nil() && earlier != requests_.end()) {
      outcome = earlier->second;
      outcome->replayed = true;
    } else {
      outcome = (this->*make)(request);
      if (outcome.ok() && !outcome->replayed && !request.request_id.is_nil()) {
        requests_[request.request_id] = *outcome;
      }
    }
  }
  Answer(std::move(outcome), std::move(done));
}

Committed FakeStorePath::CommittedLocked(const FileInfo& info,
                                         Durability durability) const {
  Committed committed;
  committed.file = info;
  committed.reached = durability;
  committed.change = {log_, sequence_};
  return committed;
}

absl::StatusOr<Committed> FakeStorePath::StoreLocked(const NewFile& request) {
  const FileInfo& info = request.info;
  const auto known = stored_.find(info.name);
  if (known != stored_.end() && info.kind == FileKind::kDerived &&
      !known->second.deleted) {
    const FileInfo& there = known->second.info;
    if (there.size_bytes != info.size_bytes || there.crc32c != info.crc32c) {
      return ErrorWithReason(absl::StatusCode::kAlreadyExists,
                             ErrorReason::kFileExists, "the name is taken");
    }
    Committed replayed;
    replayed.file = there;
    replayed.reached = request.durability;
    replayed.replayed = true;
    return replayed;
  }
  CAIRN_CHECK(known == stored_.end() || info.kind == FileKind::kDerived);
  std::string sha256;
  bool deduplicated = false;
  if (request.dedup && info.size_bytes >= kFakeDedupBytesMin) {
    sha256 = Sha256(request.content);
    for (const auto& [name, other] : stored_) {
      deduplicated |= !other.deleted && other.info.sha256 == sha256;
    }
  }
  StoredFile& file = stored_[info.name];
  file.info = info;
  file.info.sha256 = std::move(sha256);
  file.info.deduplicated = deduplicated;
  file.info.version = {++sequence_, info.origin_node};
  file.content = std::make_shared<const std::string>(request.content);
  file.deleted = false;
  return CommittedLocked(file.info, request.durability);
}

void FakeStorePath::Answer(absl::StatusOr<Committed> outcome, CommitDone done) {
  {
    MutexLock lock(&mu_);
    if (holding_) {
      held_.emplace_back(std::move(outcome), std::move(done));
      return;
    }
  }
  done(std::move(outcome));
}

void FakeStorePath::Delete(DeleteRequest request, CommitDone done) {
  Change(&FakeStorePath::DeleteLocked, std::move(request), std::move(done));
}

absl::StatusOr<Committed> FakeStorePath::DeleteLocked(
    const DeleteRequest& request) {
  const absl::Status found = FindLocked(request.name).status();
  const auto it = stored_.find(request.name);
  const bool purges = request.purge && it != stored_.end() &&
                      it->second.info.undelete_until_unix_seconds != 0;
  if (!purges) CAIRN_RETURN_IF_ERROR(found);
  StoredFile& file = it->second;
  file.deleted = true;
  file.info.undelete_until_unix_seconds =
      request.purge ? 0 : undelete_until_unix_seconds_;
  Committed committed;
  committed.file = file.info;
  committed.reached = request.durability;
  return committed;
}

void FakeStorePath::Undelete(UndeleteRequest request, CommitDone done) {
  Change(&FakeStorePath::UndeleteLocked, std::move(request), std::move(done));
}

absl::StatusOr<Committed> FakeStorePath::UndeleteLocked(
    const UndeleteRequest& request) {
  const absl::Status found = FindLocked(request.name).status();
  if (found.ok()) {
    return ErrorWithReason(absl::StatusCode::kAlreadyExists,
                           ErrorReason::kFileExists, "it is not deleted");
  }
  if (ReasonOf(found) != ErrorReason::kFileDeleted) return found;
  StoredFile& file = stored_.at(request.name);
  if (file.info.undelete_until_unix_seconds == 0) return found;
  file.deleted = false;
  file.info.undelete_until_unix_seconds = 0;
  file.info.version.clock = ++sequence_;
  return CommittedLocked(file.info, request.durability);
}

void FakeStorePath::Update(UpdateRequest request, CommitDone done) {
  Change(&FakeStorePath::UpdateLocked, std::move(request), std::move(done));
}

absl::StatusOr<Committed> FakeStorePath::UpdateLocked(
    const UpdateRequest& request) {
  CAIRN_RETURN_IF_ERROR(FindLocked(request.name).status());
  StoredFile& file = stored_.at(request.name);
  CAIRN_RETURN_IF_ERROR(
      CheckUpdate(file.info, request.if_size_bytes, request.if_version));
  std::string content = *file.content;
  const std::string data(request.content);
  switch (request.kind) {
    case UpdateRequest::Kind::kAppend:
      content += data;
      break;
    case UpdateRequest::Kind::kModify:
      if (request.offset > file.info.size_bytes) {
        return ErrorWithReason(
            absl::StatusCode::kOutOfRange, ErrorReason::kRangePastEnd,
            "modified behind the end",
            {{"size_bytes", absl::StrCat(file.info.size_bytes)}});
      }
      content.replace(static_cast<size_t>(request.offset), data.size(), data);
      break;
    case UpdateRequest::Kind::kTruncate:
      content.resize(static_cast<size_t>(request.offset), '\0');
      break;
  }
  file.info.size_bytes = static_cast<int64_t>(content.size());
  file.info.crc32c = Crc32c(content);
  file.info.version.clock = ++sequence_;
  file.content = std::make_shared<const std::string>(std::move(content));
  return CommittedLocked(file.info, request.durability);
}

void FakeStorePath::Seal(SealRequest request, CommitDone done) {
  Change(&FakeStorePath::SealLocked, std::move(request), std::move(done));
}

absl::StatusOr<Committed> FakeStorePath::SealLocked(
    const SealRequest& request) {
  CAIRN_RETURN_IF_ERROR(FindLocked(request.name).status());
  StoredFile file = stored_.at(request.name);
  CAIRN_RETURN_IF_ERROR(
      CheckUpdate(file.info, request.if_size_bytes, request.if_version));
  const SealRequest::NewName made =
      request.make_name(file.info.size_bytes, file.info.crc32c);
  file.info.name = made.name;
  file.info.create_unix_seconds = made.create_unix_seconds;
  file.info.kind = FileKind::kNormal;
  file.info.version.clock = ++sequence_;
  file.info.sealed_from = request.name;
  stored_.at(request.name).deleted = true;
  stored_.at(request.name).info.sealed_as = made.name;
  stored_[made.name] = file;
  return CommittedLocked(file.info, request.durability);
}

void FakeStorePath::Copy(CopyRequest request, CommitDone done) {
  Change(&FakeStorePath::CopyLocked, std::move(request), std::move(done));
}

absl::StatusOr<Committed> FakeStorePath::CopyLocked(
    const CopyRequest& request) {
  CAIRN_RETURN_IF_ERROR(FindLocked(request.from).status());
  StoredFile file = stored_.at(request.from);
  CAIRN_RETURN_IF_ERROR(CheckCopy(file.info));
  if (file.info.size_bytes <= small_file_bytes_max_) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition,
                           ErrorReason::kNotSupported, "a small file");
  }
  file.info.name = request.name;
  file.info.kind = FileKind::kNormal;
  file.info.create_unix_seconds = request.create_unix_seconds;
  file.info.origin_node = request.origin_node;
  file.info.attributes = request.attributes;
  file.info.owner = request.owner;
  file.info.expire_unix_seconds = request.expire_unix_seconds;
  file.info.version.clock = ++sequence_;
  file.info.copied_from = request.from;
  stored_[request.name] = file;
  return CommittedLocked(file.info, request.durability);
}

void FakeStorePath::SetAttributes(SetAttributesRequest request,
                                  CommitDone done) {
  Change(&FakeStorePath::SetAttributesLocked, std::move(request),
         std::move(done));
}

absl::StatusOr<Committed> FakeStorePath::SetAttributesLocked(
    const SetAttributesRequest& request) {
  CAIRN_RETURN_IF_ERROR(FindLocked(request.name).status());
  StoredFile& file = stored_.at(request.name);
  if (request.if_version_match.has_value() &&
      !(*request.if_version_match == file.info.version)) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition,
                           ErrorReason::kVersionMismatch,
                           "the file has another version");
  }
  CAIRN_ASSIGN_OR_RETURN(
      file.info.attributes,
      ApplyAttributeChange(file.info.attributes, request.change));
  file.info.version.clock = ++sequence_;
  return CommittedLocked(file.info, request.durability);
}

void FakeStorePath::SetExpiry(SetExpiryRequest request, CommitDone done) {
  Change(&FakeStorePath::SetExpiryLocked, std::move(request), std::move(done));
}

absl::StatusOr<Committed> FakeStorePath::SetExpiryLocked(
    const SetExpiryRequest& request) {
  CAIRN_RETURN_IF_ERROR(FindLocked(request.name).status());
  StoredFile& file = stored_.at(request.name);
  file.info.expire_unix_seconds = request.expire_unix_seconds;
  file.info.version.clock = ++sequence_;
  return CommittedLocked(file.info, request.durability);
}

void FakeStorePath::Expire(absl::string_view name) {
  MutexLock lock(&mu_);
  stored_.at(std::string(name)).expired = true;
}

absl::StatusOr<std::unique_ptr<Upload>> FakeStorePath::StartUpload(
    absl::optional<int64_t> size_bytes) {
  CAIRN_RETURN_IF_ERROR(Writable(size_bytes.value_or(0)));
  return std::unique_ptr<Upload>(std::make_unique<FakeUpload>(this));
}

absl::StatusOr<const FakeStorePath::StoredFile*> FakeStorePath::FindLocked(
    absl::string_view name) const {
  if (stopped_) return Stopping();
  const auto found = stored_.find(std::string(name));
  if (found == stored_.end()) {
    return ErrorWithReason(absl::StatusCode::kNotFound,
                           ErrorReason::kFileNotFound, "no such file");
  }
  if (found->second.deleted && !found->second.info.sealed_as.empty()) {
    return ErrorWithReason(absl::StatusCode::kNotFound,
                           ErrorReason::kFileSealed, "the file was sealed");
  }
  if (found->second.deleted) {
    return ErrorWithReason(absl::StatusCode::kNotFound,
                           ErrorReason::kFileDeleted, "the file was deleted");
  }
  if (found->second.expired) {
    return ErrorWithReason(absl::StatusCode::kNotFound,
                           ErrorReason::kFileExpired, "the file has expired");
  }
  return &found->second;
}

absl::StatusOr<FileInfo> FakeStorePath::Stat(absl::string_view name) {
  MutexLock lock(&mu_);
  CAIRN_ASSIGN_OR_RETURN(const StoredFile* const file, FindLocked(name));
  return file->info;
}

absl::optional<absl::StatusOr<FileInfo>> FakeStorePath::TryStat(
    absl::string_view name) {
  if (cold()) return absl::nullopt;
  return Stat(name);
}

absl::StatusOr<std::unique_ptr<OpenFile>> FakeStorePath::Open(
    absl::string_view name) {
  MutexLock lock(&mu_);
  CAIRN_ASSIGN_OR_RETURN(const StoredFile* const file, FindLocked(name));
  return std::unique_ptr<OpenFile>(std::make_unique<FakeOpenFile>(this, *file));
}

absl::optional<absl::StatusOr<std::unique_ptr<OpenFile>>>
FakeStorePath::TryOpen(absl::string_view name) {
  if (cold()) return absl::nullopt;
  return Open(name);
}

absl::StatusOr<absl::optional<Committed>> FakeStorePath::FindRequest(
    const Uuid& request_id, Durability wanted) {
  MutexLock lock(&mu_);
  if (stopped_) return Stopping();
  const auto found = requests_.find(request_id);
  if (found == requests_.end()) return absl::optional<Committed>();
  Committed committed = found->second;
  committed.replayed = true;
  if (wanted == Durability::kSynced) committed.reached = wanted;
  return absl::optional<Committed>(committed);
}

absl::optional<absl::StatusOr<absl::optional<Committed>>>
FakeStorePath::TryFindRequest(const Uuid& request_id, Durability wanted) {
  if (cold()) return absl::nullopt;
  return FindRequest(request_id, wanted);
}

absl::StatusOr<std::string> FakeStorePath::ScanFiles(const FileRange& range,
                                                     FileVisitor* visitor) {
  std::map<std::string, KnownFile> in_order;
  {
    MutexLock lock(&mu_);
    if (stopped_) return Stopping();
    for (const auto& [name, file] : stored_) {
      std::string key;
      AppendFileKey(name, &key);
      KnownFile& known = in_order[key];
      known.file = file.info;
      known.deleted = file.deleted;
    }
  }
  return ScanFileMap(in_order, range, visitor);
}

absl::Status FakeStorePath::Writable(int64_t bytes) {
  MutexLock lock(&mu_);
  if (stopped_) return Stopping();
  CAIRN_RETURN_IF_ERROR(refusal_);
  if (bytes > free_bytes_) {
    return ErrorWithReason(absl::StatusCode::kResourceExhausted,
                           ErrorReason::kDiskFull, "the disk is full");
  }
  return absl::OkStatus();
}

StorePathStatus FakeStorePath::Status() {
  StorePathStatus status;
  status.directory = "fake";
  status.files = files();
  MutexLock lock(&mu_);
  status.free_bytes = free_bytes_;
  status.last_sequence = sequence_;
  return status;
}

int64_t FakeStorePath::newest_create_unix_seconds() {
  MutexLock lock(&mu_);
  return newest_create_unix_seconds_;
}

absl::Status FakeStorePath::Compact(
    double /*dead_share_min*/,
    absl::AnyInvocable<void(const JobProgress&)> progress) {
  progress({1, 1});
  return absl::OkStatus();
}

absl::Status FakeStorePath::DropDeleted() {
  MutexLock lock(&mu_);
  ++dropped_deleted_;
  return absl::OkStatus();
}
int FakeStorePath::dropped_deleted() const {
  MutexLock lock(&mu_);
  return dropped_deleted_;
}

void FakeStorePath::Stop() {
  ReleaseCommits();
  MutexLock lock(&mu_);
  stopped_ = true;
}

int64_t FakeStorePath::small_file_bytes_max() const {
  MutexLock lock(&mu_);
  return small_file_bytes_max_;
}

}  // namespace storage
}  // namespace cairn
