#include "services/storage/store/segment_set.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "lib/base/status_macros.h"

namespace cairn {
namespace storage {
namespace {

// Numbers per folder are consecutive, so that the newest segments are found
// without reading them all.
constexpr int kFolderShift = 10;

constexpr absl::string_view kSuffix = ".seg";
constexpr absl::string_view kJournalSuffix = ".upl";

bool ParseHex(absl::string_view text, uint64_t* value) {
  return !text.empty() && absl::SimpleHexAtoi(text, value);
}

bool ParseFileName(absl::string_view name, absl::string_view suffix,
                   uint64_t* number) {
  return name.size() == 16 + suffix.size() && absl::EndsWith(name, suffix) &&
         ParseHex(name.substr(0, 16), number);
}

}  // namespace

std::string SegmentFileName(uint64_t number) {
  return absl::StrFormat("%016x%s", number, kSuffix);
}

uint64_t SegmentFolder(uint64_t number) { return number >> kFolderShift; }

SegmentSet::SegmentSet(FileSystem* fs, std::string directory, size_t open_max)
    : fs_(fs),
      directory_(std::move(directory)),
      open_max_(std::max<size_t>(open_max, 1)) {}

std::string SegmentSet::FolderOf(uint64_t number) const {
  return absl::StrFormat("%s/segments/%02x", directory_, SegmentFolder(number));
}

std::string SegmentSet::SegmentPath(uint64_t number) const {
  return absl::StrCat(FolderOf(number), "/", SegmentFileName(number));
}

std::string SegmentSet::UploadPath(uint64_t number) const {
  return absl::StrCat(directory_, "/uploads/", SegmentFileName(number));
}

std::string SegmentSet::UploadJournalPath(uint64_t number) const {
  return absl::StrFormat("%s/uploads/%016x%s", directory_, number,
                         kJournalSuffix);
}

absl::Status SegmentSet::CreateFolders() {
  for (const char* name : {"/segments", "/uploads"}) {
    CAIRN_RETURN_IF_ERROR(
        CreateDirectories(fs_, absl::StrCat(directory_, name)));
  }
  return fs_->SyncDirectory(directory_);
}

absl::Status SegmentSet::EnsureFolder(uint64_t number) {
  const uint64_t folder = SegmentFolder(number);
  {
    MutexLock lock(&mu_);
    if (folders_.contains(folder)) return absl::OkStatus();
  }
  absl::Status created = fs_->CreateDirectory(FolderOf(number));
  if (!created.ok() && !absl::IsAlreadyExists(created)) return created;
  // Also if it was there: whoever made it may have died before syncing it.
  CAIRN_RETURN_IF_ERROR(
      fs_->SyncDirectory(absl::StrCat(directory_, "/segments")));
  MutexLock lock(&mu_);
  folders_.insert(folder);
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<File>> SegmentSet::CreateShared(
    const Uuid& incarnation, uint64_t number) {
  CAIRN_RETURN_IF_ERROR(EnsureFolder(number));
  CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<File> file,
                         fs_->Open(SegmentPath(number), OpenMode::kCreateNew));
  const std::string header =
      EncodeSegmentHeader({incarnation, number, SegmentKind::kShared});
  CAIRN_RETURN_IF_ERROR(file->WriteAt(0, {absl::string_view(header)}));
  CAIRN_RETURN_IF_ERROR(file->Sync());
  CAIRN_RETURN_IF_ERROR(SyncFolderOf(number));
  Remember(number, file);
  return file;
}

absl::StatusOr<std::shared_ptr<File>> SegmentSet::CreateUpload(
    const Uuid& incarnation, uint64_t number) {
  CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<File> file,
                         fs_->Open(UploadPath(number), OpenMode::kCreateNew));
  const std::string header =
      EncodeSegmentHeader({incarnation, number, SegmentKind::kDedicated});
  CAIRN_RETURN_IF_ERROR(file->WriteAt(0, {absl::string_view(header)}));
  return file;
}

absl::Status SegmentSet::PublishUpload(uint64_t number,
                                       std::shared_ptr<File> file, bool sync) {
  CAIRN_RETURN_IF_ERROR(EnsureFolder(number));
  CAIRN_RETURN_IF_ERROR(fs_->Rename(UploadPath(number), SegmentPath(number)));
  if (sync) {
    // The new name first: a crash between the two leaves a name, or two.
    CAIRN_RETURN_IF_ERROR(SyncFolderOf(number));
    CAIRN_RETURN_IF_ERROR(SyncUploads());
  }
  Remember(number, std::move(file));
  return absl::OkStatus();
}

absl::Status SegmentSet::UnpublishUpload(uint64_t number) {
  CAIRN_RETURN_IF_ERROR(fs_->Rename(SegmentPath(number), UploadPath(number)));
  {
    std::shared_ptr<File> dropped;  // Closed without the lock.
    MutexLock lock(&mu_);
    const auto it = open_.find(number);
    if (it != open_.end()) {
      dropped = std::move(it->second.file);
      open_.erase(it);
    }
  }
  // The new name first: a crash between the two leaves a name, or two.
  CAIRN_RETURN_IF_ERROR(SyncUploads());
  return SyncFolderOf(number);
}

absl::StatusOr<std::shared_ptr<File>> SegmentSet::OpenUpload(uint64_t number) {
  return fs_->Open(UploadPath(number), OpenMode::kReadWrite);
}

absl::StatusOr<std::shared_ptr<File>> SegmentSet::CreateUploadJournal(
    uint64_t number) {
  return fs_->Open(UploadJournalPath(number), OpenMode::kCreateNew);
}

absl::StatusOr<std::shared_ptr<File>> SegmentSet::OpenUploadJournal(
    uint64_t number) {
  return fs_->Open(UploadJournalPath(number), OpenMode::kReadWrite);
}

absl::Status SegmentSet::SyncUploads() {
  return fs_->SyncDirectory(absl::StrCat(directory_, "/uploads"));
}

absl::Status SegmentSet::SyncFolderOf(uint64_t number) {
  return fs_->SyncDirectory(FolderOf(number));
}

absl::Status SegmentSet::RemoveUpload(uint64_t number) {
  const absl::Status removed = fs_->Remove(UploadPath(number));
  return absl::IsNotFound(removed) ? absl::OkStatus() : removed;
}

absl::Status SegmentSet::RemoveUploadJournal(uint64_t number) {
  const absl::Status removed = fs_->Remove(UploadJournalPath(number));
  return absl::IsNotFound(removed) ? absl::OkStatus() : removed;
}

absl::StatusOr<std::shared_ptr<File>> SegmentSet::Open(uint64_t number) {
  if (std::shared_ptr<File> file = FindOpen(number)) return file;
  CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<File> file,
                         fs_->Open(SegmentPath(number), OpenMode::kReadWrite));
  Remember(number, file);
  return file;
}

std::shared_ptr<File> SegmentSet::FindOpen(uint64_t number) {
  MutexLock lock(&mu_);
  const auto it = open_.find(number);
  if (it == open_.end()) return nullptr;
  it->second.used = true;
  return it->second.file;
}

void SegmentSet::Remember(uint64_t number, std::shared_ptr<File> file) {
  std::vector<std::shared_ptr<File>> dropped;  // Closed without the lock.
  MutexLock lock(&mu_);
  open_.insert_or_assign(number, Cached{std::move(file), true});
  if (open_.size() <= open_max_) return;
  // Second chance: drop what was not used since this ran the last time, an
  // eighth of the cache at once so that it does not run often.
  const size_t target = open_max_ - open_max_ / 8;
  for (int round = 0; round < 2 && open_.size() > target; ++round) {
    for (auto it = open_.begin(); it != open_.end() && open_.size() > target;) {
      if (it->second.used) {
        it->second.used = false;
        ++it;
      } else {
        dropped.push_back(std::move(it->second.file));
        open_.erase(it++);
      }
    }
  }
}

absl::Status SegmentSet::Remove(uint64_t number) {
  absl::Status removed = fs_->Remove(SegmentPath(number));
  if (!removed.ok() && !absl::IsNotFound(removed)) return removed;
  // Afterwards: while the name was there, a reader could open it again.
  std::shared_ptr<File> dropped;  // Closed without the lock.
  MutexLock lock(&mu_);
  const auto it = open_.find(number);
  if (it != open_.end()) {
    dropped = std::move(it->second.file);
    open_.erase(it);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<uint64_t>> SegmentSet::List(uint64_t from) {
  const std::string top = absl::StrCat(directory_, "/segments");
  CAIRN_ASSIGN_OR_RETURN(const std::vector<std::string> folders,
                         fs_->List(top));
  std::vector<uint64_t> numbers;
  for (const std::string& folder : folders) {
    uint64_t folder_number;
    if (!ParseHex(folder, &folder_number) ||
        folder_number < SegmentFolder(from)) {
      continue;
    }
    CAIRN_ASSIGN_OR_RETURN(const std::vector<std::string> files,
                           fs_->List(absl::StrCat(top, "/", folder)));
    for (const std::string& file : files) {
      uint64_t number;
      if (!ParseFileName(file, kSuffix, &number) || number < from) continue;
      numbers.push_back(number);
    }
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

absl::StatusOr<std::vector<uint64_t>> SegmentSet::ListUploads() {
  return ListInUploads(kSuffix);
}

absl::StatusOr<std::vector<uint64_t>> SegmentSet::ListUploadJournals() {
  return ListInUploads(kJournalSuffix);
}

absl::StatusOr<std::vector<uint64_t>> SegmentSet::ListInUploads(
    absl::string_view suffix) {
  CAIRN_ASSIGN_OR_RETURN(const std::vector<std::string> files,
                         fs_->List(absl::StrCat(directory_, "/uploads")));
  std::vector<uint64_t> numbers;
  for (const std::string& file : files) {
    uint64_t number;
    if (ParseFileName(file, suffix, &number)) numbers.push_back(number);
  }
  return numbers;
}

size_t SegmentSet::open_count() const {
  MutexLock lock(&mu_);
  return open_.size();
}

}  // namespace storage
}  // namespace cairn
