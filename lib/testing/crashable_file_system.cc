#include "lib/testing/crashable_file_system.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "lib/base/check.h"
#include "lib/base/status_macros.h"
#include "lib/io/errno_status.h"

namespace cairn {
namespace {

constexpr int64_t kPageBytes = UnsyncedContent::kPageBytes;

// Every so many TryReadAt() say that they would have to wait.
constexpr uint64_t kDeclineEvery = 3;

int64_t RoundUp(int64_t bytes) {
  return (bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
}

std::vector<absl::string_view> Components(absl::string_view path) {
  return absl::StrSplit(path, '/', absl::SkipEmpty());
}

}  // namespace

struct CrashableFileSystem::Node {
  Node(bool is_directory, uint64_t seed)
      : is_directory(is_directory), content(seed) {}

  int64_t allocated_bytes() const {
    return RoundUp(std::max(content.size(), reserved_end));
  }

  const bool is_directory;

  // Of a file.
  UnsyncedContent content;
  int64_t reserved_end = 0;

  // Of a folder: as programs see it, and as the disk has it.
  std::map<std::string, NodePtr> seen;
  std::map<std::string, NodePtr> disk;
};

class CrashableFile : public File {
 public:
  using Node = CrashableFileSystem::Node;

  CrashableFile(CrashableFileSystem* fs, std::shared_ptr<Node> node,
                std::string path, bool writable, uint64_t generation)
      : fs_(fs),
        node_(std::move(node)),
        path_(std::move(path)),
        writable_(writable),
        generation_(generation) {}

  ~CrashableFile() override {
    MutexLock lock(&fs_->mu_);
    if (generation_ != fs_->generation_) return;
    const auto open = fs_->open_.find(node_);
    if (--open->second == 0) fs_->open_.erase(open);
  }

  absl::StatusOr<size_t> ReadAt(int64_t offset, void* buffer,
                                size_t size) override {
    MutexLock lock(&fs_->mu_);
    return Read(offset, buffer, size);
  }

  absl::optional<absl::StatusOr<size_t>> TryReadAt(int64_t offset, void* buffer,
                                                   size_t size) override {
    MutexLock lock(&fs_->mu_);
    if (++fs_->try_reads_ % kDeclineEvery == 0) return absl::nullopt;
    return Read(offset, buffer, size);
  }

  absl::Status WriteAt(int64_t offset,
                       absl::Span<const absl::string_view> parts) override {
    MutexLock lock(&fs_->mu_);
    CAIRN_RETURN_IF_ERROR(Writable("write"));
    return fs_->WriteTo(node_.get(), path_, offset, parts);
  }

  absl::Status Sync() override {
    MutexLock lock(&fs_->mu_);
    CAIRN_RETURN_IF_ERROR(fs_->CheckHandle(generation_, "sync", path_));
    absl::Status begun = fs_->Begin(FileOperation::kSync, path_);
    if (begun.ok()) {
      node_->content.Sync();
    } else if (!fs_->stopped_) {
      node_->content.FailSync();
    }
    return begun;
  }

  void StartWriteback(int64_t offset, int64_t size) override {}

  absl::Status Allocate(int64_t offset, int64_t size) override {
    MutexLock lock(&fs_->mu_);
    CAIRN_RETURN_IF_ERROR(Writable("allocate"));
    CAIRN_RETURN_IF_ERROR(fs_->Begin(FileOperation::kAllocate, path_));
    const int64_t needed = RoundUp(offset + size) - node_->allocated_bytes();
    if (needed > fs_->capacity_ - fs_->UsedBytes()) {
      return StatusFromErrno(ENOSPC, "allocate", path_);
    }
    node_->reserved_end = std::max(node_->reserved_end, offset + size);
    return absl::OkStatus();
  }

  absl::Status Truncate(int64_t size) override {
    MutexLock lock(&fs_->mu_);
    CAIRN_RETURN_IF_ERROR(Writable("truncate"));
    CAIRN_RETURN_IF_ERROR(fs_->Begin(FileOperation::kTruncate, path_));
    node_->content.Truncate(size);
    node_->reserved_end = std::min(node_->reserved_end, size);
    return absl::OkStatus();
  }

  absl::StatusOr<int64_t> Size() override {
    MutexLock lock(&fs_->mu_);
    CAIRN_RETURN_IF_ERROR(fs_->CheckHandle(generation_, "stat", path_));
    CAIRN_RETURN_IF_ERROR(fs_->Begin(FileOperation::kStat, path_));
    return node_->content.size();
  }

  void DropCache(int64_t offset, int64_t size) override {
    MutexLock lock(&fs_->mu_);
    fs_->dropped_end_ = std::max(fs_->dropped_end_, offset + size);
  }

 private:
  absl::StatusOr<size_t> Read(int64_t offset, void* buffer, size_t size)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(fs_->mu_) {
    CAIRN_RETURN_IF_ERROR(fs_->CheckHandle(generation_, "read", path_));
    CAIRN_RETURN_IF_ERROR(fs_->Begin(FileOperation::kRead, path_, offset,
                                     static_cast<int64_t>(size)));
    return node_->content.Read(offset, buffer, size);
  }

  absl::Status Writable(absl::string_view operation)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(fs_->mu_) {
    CAIRN_RETURN_IF_ERROR(fs_->CheckHandle(generation_, operation, path_));
    if (!writable_) return StatusFromErrno(EBADF, operation, path_);
    return absl::OkStatus();
  }

  CrashableFileSystem* const fs_;
  const std::shared_ptr<Node> node_;
  const std::string path_;
  const bool writable_;
  const uint64_t generation_;
};

class CrashableFileLock : public FileLock {
 public:
  using Node = CrashableFileSystem::Node;

  CrashableFileLock(CrashableFileSystem* fs, std::shared_ptr<Node> node,
                    uint64_t generation)
      : fs_(fs), node_(std::move(node)), generation_(generation) {}

  ~CrashableFileLock() override {
    MutexLock lock(&fs_->mu_);
    if (generation_ == fs_->generation_) fs_->locked_.erase(node_);
  }

 private:
  CrashableFileSystem* const fs_;
  const std::shared_ptr<Node> node_;
  const uint64_t generation_;
};

CrashableFileSystem::CrashableFileSystem(uint64_t seed) : rng_(seed) {
  MutexLock lock(&mu_);
  root_ = NewNode(/*is_directory=*/true);
}

CrashableFileSystem::~CrashableFileSystem() = default;

void CrashableFileSystem::Crash() {
  MutexLock lock(&mu_);
  // A journalling file system keeps a prefix of the changes; others promise
  // less.
  const bool prefix = rng_() % 2 == 0;
  const uint64_t kept = rng_() % (unsynced_.size() + 1);
  for (size_t i = 0; i < unsynced_.size(); ++i) {
    if (prefix ? i >= kept : rng_() % 2 == 0) continue;
    for (EntryChange& change : unsynced_[i]) {
      if (change.node != nullptr) {
        change.place.folder->disk[change.place.name] = change.node;
      } else {
        change.place.folder->disk.erase(change.place.name);
      }
    }
  }
  unsynced_.clear();

  // A half-done rename may have left one file under two names.
  std::set<NodePtr> done;
  std::vector<NodePtr> left = {root_};
  while (!left.empty()) {
    const NodePtr node = left.back();
    left.pop_back();
    if (!done.insert(node).second) continue;
    node->reserved_end = 0;
    if (!node->is_directory) node->content.Crash();
    node->seen = node->disk;
    for (const auto& [name, child] : node->disk) left.push_back(child);
  }
  NextProcess();
}

void CrashableFileSystem::KillProcess() {
  MutexLock lock(&mu_);
  NextProcess();
}

void CrashableFileSystem::NextProcess() {
  ++generation_;
  open_.clear();
  locked_.clear();
  stopped_ = false;
  stop_after_.reset();
}

void CrashableFileSystem::StopAfter(uint64_t n, FileOperations operations) {
  MutexLock lock(&mu_);
  stop_after_ = n;
  stop_operations_ = operations;
}

bool CrashableFileSystem::stopped() const {
  MutexLock lock(&mu_);
  return stopped_;
}

void CrashableFileSystem::FailNextSync(int error) {
  FaultRule rule;
  rule.operations = static_cast<FileOperations>(FileOperation::kSync);
  rule.error = error;
  faults_.Add(rule);
}

void CrashableFileSystem::SetCapacity(int64_t bytes) {
  MutexLock lock(&mu_);
  capacity_ = bytes;
}

void CrashableFileSystem::FlipBit(absl::string_view path, int64_t offset,
                                  int bit) {
  MutexLock lock(&mu_);
  const NodePtr node = Find(path);
  CAIRN_CHECK_MSG(node != nullptr, path);
  node->content.FlipBit(offset, bit);
}

void CrashableFileSystem::TruncateOnDisk(absl::string_view path, int64_t size) {
  MutexLock lock(&mu_);
  const NodePtr node = Find(path);
  CAIRN_CHECK_MSG(node != nullptr, path);
  node->content.TruncateOnDisk(size);
}

int64_t CrashableFileSystem::dropped_end() const {
  MutexLock lock(&mu_);
  return dropped_end_;
}

uint64_t CrashableFileSystem::CountOf(FileOperations operations) const {
  MutexLock lock(&mu_);
  uint64_t count = 0;
  for (const auto& [operation, times] : counts_) {
    if (Contains(operations, operation)) count += times;
  }
  return count;
}

std::vector<std::string> CrashableFileSystem::FilesUnder(
    absl::string_view path) const {
  MutexLock lock(&mu_);
  std::vector<std::string> files;
  std::vector<std::pair<std::string, NodePtr>> left;
  if (NodePtr node = Find(path)) {
    left.emplace_back(path == "/" ? "" : path, std::move(node));
  }
  while (!left.empty()) {
    const auto [name, node] = left.back();
    left.pop_back();
    if (!node->is_directory) files.push_back(name);
    for (const auto& [child_name, child] : node->seen) {
      left.emplace_back(absl::StrCat(name, "/", child_name), child);
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

absl::Status CrashableFileSystem::Begin(FileOperation operation,
                                        absl::string_view path, int64_t offset,
                                        int64_t size) {
  ++counts_[operation];
  if (!stopped_ && stop_after_.has_value() &&
      Contains(stop_operations_, operation) && (*stop_after_)-- == 0) {
    stopped_ = true;
  }
  const absl::string_view name = FileOperationName(operation);
  if (stopped_) return StatusFromErrno(EIO, name, path);
  const int error = faults_.Check(operation, path, offset, size);
  return error == 0 ? absl::OkStatus() : StatusFromErrno(error, name, path);
}

CrashableFileSystem::NodePtr CrashableFileSystem::Find(
    absl::string_view path) const {
  NodePtr node = root_;
  for (absl::string_view name : Components(path)) {
    const auto child = node->seen.find(std::string(name));
    if (child == node->seen.end()) return nullptr;
    node = child->second;
  }
  return node;
}

absl::StatusOr<CrashableFileSystem::Place> CrashableFileSystem::FindPlace(
    absl::string_view operation, absl::string_view path) const {
  std::vector<absl::string_view> names = Components(path);
  if (path.empty() || path[0] != '/' || names.empty()) {
    return StatusFromErrno(EINVAL, operation, path);
  }
  Place place;
  place.name = std::string(names.back());
  names.pop_back();
  place.folder = root_;
  for (absl::string_view name : names) {
    const auto child = place.folder->seen.find(std::string(name));
    if (child == place.folder->seen.end()) {
      return StatusFromErrno(ENOENT, operation, path);
    }
    place.folder = child->second;
    if (!place.folder->is_directory) {
      return StatusFromErrno(ENOTDIR, operation, path);
    }
  }
  return place;
}

void CrashableFileSystem::Change(std::vector<EntryChange> changes) {
  for (const EntryChange& change : changes) {
    if (change.node != nullptr) {
      change.place.folder->seen[change.place.name] = change.node;
    } else {
      change.place.folder->seen.erase(change.place.name);
    }
  }
  unsynced_.push_back(std::move(changes));
}

CrashableFileSystem::NodePtr CrashableFileSystem::NewNode(bool is_directory) {
  return std::make_shared<Node>(is_directory, rng_());
}

int64_t CrashableFileSystem::UsedBytes() const {
  // What is linked, and what is open: Linux frees a removed file with its last
  // handle.
  int64_t used = 0;
  std::set<NodePtr> done;
  std::vector<NodePtr> left = {root_};
  for (const auto& [node, handles] : open_) left.push_back(node);
  while (!left.empty()) {
    const NodePtr node = left.back();
    left.pop_back();
    if (!done.insert(node).second) continue;
    used += node->allocated_bytes();
    for (const auto& [name, child] : node->seen) left.push_back(child);
  }
  return used;
}

absl::Status CrashableFileSystem::CheckHandle(uint64_t generation,
                                              absl::string_view operation,
                                              absl::string_view path) const {
  if (generation == generation_) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat(operation, " ", path, ": opened by a dead process"));
}

absl::Status CrashableFileSystem::WriteTo(
    Node* node, absl::string_view path, int64_t offset,
    absl::Span<const absl::string_view> parts) {
  int64_t size = 0;
  for (absl::string_view part : parts)
    size += static_cast<int64_t>(part.size());
  const bool was_stopped = stopped_;
  absl::Status outcome = Begin(FileOperation::kWrite, path, offset, size);
  if (was_stopped) return outcome;

  int64_t allowed = size;
  if (!outcome.ok()) {
    allowed = rng_() % 2 == 0 ? 0 : static_cast<int64_t>(rng_() % (size + 1));
  } else if (RoundUp(offset + size) > node->allocated_bytes()) {
    const int64_t end =
        node->allocated_bytes() +
        std::max<int64_t>(0, capacity_ - UsedBytes()) / kPageBytes * kPageBytes;
    if (offset + size > end) {
      allowed = std::max<int64_t>(0, end - offset);
      outcome = StatusFromErrno(ENOSPC, "write", path);
    }
  }
  for (absl::string_view part : parts) {
    part = part.substr(0, static_cast<size_t>(allowed));
    node->content.Write(offset, part);
    offset += static_cast<int64_t>(part.size());
    allowed -= static_cast<int64_t>(part.size());
  }
  return outcome;
}

absl::StatusOr<std::unique_ptr<File>> CrashableFileSystem::Open(
    absl::string_view path, OpenMode mode) {
  MutexLock lock(&mu_);
  NodePtr node = Find(path);
  const bool creates =
      mode == OpenMode::kCreate || mode == OpenMode::kCreateNew;
  CAIRN_RETURN_IF_ERROR(Begin(node == nullptr && creates
                                  ? FileOperation::kCreate
                                  : FileOperation::kOpen,
                              path));
  if (node != nullptr && mode == OpenMode::kCreateNew) {
    return StatusFromErrno(EEXIST, "open", path);
  }
  if (node != nullptr && node->is_directory) {
    return StatusFromErrno(EISDIR, "open", path);
  }
  if (node == nullptr) {
    CAIRN_ASSIGN_OR_RETURN(Place place, FindPlace("open", path));
    if (!creates) return StatusFromErrno(ENOENT, "open", path);
    node = NewNode(/*is_directory=*/false);
    Change({{std::move(place), node}});
  }
  ++open_[node];
  return std::make_unique<CrashableFile>(this, std::move(node),
                                         std::string(path),
                                         mode != OpenMode::kRead, generation_);
}

absl::Status CrashableFileSystem::Rename(absl::string_view from,
                                         absl::string_view to) {
  MutexLock lock(&mu_);
  CAIRN_RETURN_IF_ERROR(Begin(FileOperation::kRename, from));
  CAIRN_ASSIGN_OR_RETURN(Place source, FindPlace("rename", from));
  CAIRN_ASSIGN_OR_RETURN(Place target, FindPlace("rename", to));
  const NodePtr node = Find(from);
  if (node == nullptr) return StatusFromErrno(ENOENT, "rename", from);
  const NodePtr replaced = Find(to);
  if (replaced == node) return absl::OkStatus();
  if (replaced != nullptr) {
    if (replaced->is_directory && !node->is_directory) {
      return StatusFromErrno(EISDIR, "rename", to);
    }
    if (!replaced->is_directory && node->is_directory) {
      return StatusFromErrno(ENOTDIR, "rename", to);
    }
    if (!replaced->seen.empty()) {
      return StatusFromErrno(ENOTEMPTY, "rename", to);
    }
  }
  Change({{std::move(source), nullptr}, {std::move(target), node}});
  return absl::OkStatus();
}

absl::Status CrashableFileSystem::Remove(absl::string_view path) {
  MutexLock lock(&mu_);
  CAIRN_RETURN_IF_ERROR(Begin(FileOperation::kRemove, path));
  CAIRN_ASSIGN_OR_RETURN(Place place, FindPlace("remove", path));
  const NodePtr node = Find(path);
  if (node == nullptr) return StatusFromErrno(ENOENT, "remove", path);
  if (node->is_directory) return StatusFromErrno(EISDIR, "remove", path);
  Change({{std::move(place), nullptr}});
  return absl::OkStatus();
}

absl::Status CrashableFileSystem::CreateDirectory(absl::string_view path) {
  MutexLock lock(&mu_);
  CAIRN_RETURN_IF_ERROR(Begin(FileOperation::kCreateDirectory, path));
  if (Find(path) != nullptr) {
    return StatusFromErrno(EEXIST, "create directory", path);
  }
  CAIRN_ASSIGN_OR_RETURN(Place place, FindPlace("create directory", path));
  Change({{std::move(place), NewNode(/*is_directory=*/true)}});
  return absl::OkStatus();
}

absl::Status CrashableFileSystem::RemoveDirectory(absl::string_view path) {
  MutexLock lock(&mu_);
  CAIRN_RETURN_IF_ERROR(Begin(FileOperation::kRemoveDirectory, path));
  CAIRN_ASSIGN_OR_RETURN(Place place, FindPlace("remove directory", path));
  const NodePtr node = Find(path);
  if (node == nullptr) return StatusFromErrno(ENOENT, "remove directory", path);
  if (!node->is_directory) {
    return StatusFromErrno(ENOTDIR, "remove directory", path);
  }
  if (!node->seen.empty()) {
    return StatusFromErrno(ENOTEMPTY, "remove directory", path);
  }
  Change({{std::move(place), nullptr}});
  return absl::OkStatus();
}

absl::Status CrashableFileSystem::SyncDirectory(absl::string_view path) {
  MutexLock lock(&mu_);
  CAIRN_RETURN_IF_ERROR(Begin(FileOperation::kSyncDirectory, path));
  const NodePtr folder = Find(path);
  if (folder == nullptr) return StatusFromErrno(ENOENT, "sync directory", path);
  if (!folder->is_directory) {
    return StatusFromErrno(ENOTDIR, "sync directory", path);
  }
  folder->disk = folder->seen;
  for (std::vector<EntryChange>& changes : unsynced_) {
    changes.erase(std::remove_if(changes.begin(), changes.end(),
                                 [&folder](const EntryChange& change) {
                                   return change.place.folder == folder;
                                 }),
                  changes.end());
  }
  unsynced_.erase(std::remove_if(unsynced_.begin(), unsynced_.end(),
                                 [](const std::vector<EntryChange>& changes) {
                                   return changes.empty();
                                 }),
                  unsynced_.end());
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> CrashableFileSystem::List(
    absl::string_view path) {
  MutexLock lock(&mu_);
  CAIRN_RETURN_IF_ERROR(Begin(FileOperation::kList, path));
  const NodePtr folder = Find(path);
  if (folder == nullptr) return StatusFromErrno(ENOENT, "list", path);
  if (!folder->is_directory) return StatusFromErrno(ENOTDIR, "list", path);
  std::vector<std::string> names;
  for (const auto& [name, child] : folder->seen) names.push_back(name);
  return names;
}

absl::StatusOr<FileStat> CrashableFileSystem::Stat(absl::string_view path) {
  MutexLock lock(&mu_);
  CAIRN_RETURN_IF_ERROR(Begin(FileOperation::kStat, path));
  const NodePtr node = Find(path);
  if (node == nullptr) return StatusFromErrno(ENOENT, "stat", path);
  FileStat stat;
  stat.size_bytes = node->content.size();
  stat.is_directory = node->is_directory;
  return stat;
}

absl::StatusOr<FileSystemSpace> CrashableFileSystem::Space(
    absl::string_view path) {
  MutexLock lock(&mu_);
  CAIRN_RETURN_IF_ERROR(Begin(FileOperation::kSpace, path));
  if (Find(path) == nullptr) return StatusFromErrno(ENOENT, "space of", path);
  FileSystemSpace space;
  space.total_bytes = capacity_;
  space.available_bytes = std::max<int64_t>(0, capacity_ - UsedBytes());
  return space;
}

absl::StatusOr<std::unique_ptr<FileLock>> CrashableFileSystem::Lock(
    absl::string_view path) {
  MutexLock lock(&mu_);
  NodePtr node = Find(path);
  CAIRN_RETURN_IF_ERROR(Begin(
      node == nullptr ? FileOperation::kCreate : FileOperation::kLock, path));
  if (node == nullptr) {
    CAIRN_ASSIGN_OR_RETURN(Place place, FindPlace("lock", path));
    node = NewNode(/*is_directory=*/false);
    Change({{std::move(place), node}});
  }
  if (!locked_.insert(node).second) {
    return absl::FailedPreconditionError(
        absl::StrCat("lock ", path, ": held by this process"));
  }
  return std::make_unique<CrashableFileLock>(this, std::move(node),
                                             generation_);
}

}  // namespace cairn
