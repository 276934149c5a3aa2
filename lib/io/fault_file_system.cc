#include "lib/io/fault_file_system.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_split.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/io/errno_status.h"

namespace cairn {
namespace {

// OK, or the error that a rule wants for this operation.
absl::Status Check(FaultRules* rules, FileOperation operation,
                   absl::string_view path, int64_t offset = 0,
                   int64_t size = 0) {
  const int error = rules->Check(operation, path, offset, size);
  if (error == 0) return absl::OkStatus();
  absl::Status status =
      StatusFromErrno(error, FileOperationName(operation), path);
  CAIRN_LOG(kWarning, "fault", "file operation fails by rule error={}", status);
  return status;
}

class FaultFile : public File {
 public:
  FaultFile(std::unique_ptr<File> base, std::string path, FaultRules* rules)
      : base_(std::move(base)), path_(std::move(path)), rules_(rules) {}

  absl::StatusOr<size_t> ReadAt(int64_t offset, void* buffer,
                                size_t size) override {
    CAIRN_RETURN_IF_ERROR(CheckRead(offset, size));
    return base_->ReadAt(offset, buffer, size);
  }

  absl::optional<absl::StatusOr<size_t>> TryReadAt(int64_t offset, void* buffer,
                                                   size_t size) override {
    auto read = base_->TryReadAt(offset, buffer, size);
    // One that declines is followed by a ReadAt(), which then counts.
    if (read.has_value()) {
      const absl::Status status = CheckRead(offset, size);
      if (!status.ok()) return absl::StatusOr<size_t>(status);
    }
    return read;
  }

  absl::Status WriteAt(int64_t offset,
                       absl::Span<const absl::string_view> parts) override {
    int64_t size = 0;
    for (absl::string_view part : parts) {
      size += static_cast<int64_t>(part.size());
    }
    absl::Status status =
        Check(rules_, FileOperation::kWrite, path_, offset, size);
    if (!status.ok()) {
      WriteHalf(offset, parts, size / 2);
      return status;
    }
    return base_->WriteAt(offset, parts);
  }

  absl::Status Sync() override {
    CAIRN_RETURN_IF_ERROR(Check(rules_, FileOperation::kSync, path_));
    return base_->Sync();
  }

  void StartWriteback(int64_t offset, int64_t size) override {
    base_->StartWriteback(offset, size);
  }

  absl::Status Allocate(int64_t offset, int64_t size) override {
    CAIRN_RETURN_IF_ERROR(Check(rules_, FileOperation::kAllocate, path_));
    return base_->Allocate(offset, size);
  }

  absl::Status Truncate(int64_t size) override {
    CAIRN_RETURN_IF_ERROR(Check(rules_, FileOperation::kTruncate, path_));
    return base_->Truncate(size);
  }

  absl::StatusOr<int64_t> Size() override {
    CAIRN_RETURN_IF_ERROR(Check(rules_, FileOperation::kStat, path_));
    return base_->Size();
  }

  void DropCache(int64_t offset, int64_t size) override {
    base_->DropCache(offset, size);
  }

 private:
  absl::Status CheckRead(int64_t offset, size_t size) {
    return Check(rules_, FileOperation::kRead, path_, offset,
                 static_cast<int64_t>(size));
  }

  void WriteHalf(int64_t offset, absl::Span<const absl::string_view> parts,
                 int64_t left) {
    for (absl::string_view part : parts) {
      const absl::string_view written =
          part.substr(0, static_cast<size_t>(left));
      if (!base_->WriteAt(offset, {written}).ok()) return;
      offset += static_cast<int64_t>(written.size());
      left -= static_cast<int64_t>(written.size());
    }
  }

  const std::unique_ptr<File> base_;
  const std::string path_;
  FaultRules* const rules_;
};

class FaultFileSystem : public FileSystem {
 public:
  explicit FaultFileSystem(FileSystem* base) : base_(base) {}

  FaultRules* rules() { return &rules_; }

  absl::StatusOr<std::unique_ptr<File>> Open(absl::string_view path,
                                             OpenMode mode) override {
    const bool creates = mode == OpenMode::kCreateNew ||
                         (mode == OpenMode::kCreate &&
                          absl::IsNotFound(base_->Stat(path).status()));
    CAIRN_RETURN_IF_ERROR(
        Check(&rules_, creates ? FileOperation::kCreate : FileOperation::kOpen,
              path));
    CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<File> file, base_->Open(path, mode));
    return std::make_unique<FaultFile>(std::move(file), std::string(path),
                                       &rules_);
  }

  absl::Status Rename(absl::string_view from, absl::string_view to) override {
    CAIRN_RETURN_IF_ERROR(Check(&rules_, FileOperation::kRename, from));
    return base_->Rename(from, to);
  }

  absl::Status Remove(absl::string_view path) override {
    CAIRN_RETURN_IF_ERROR(Check(&rules_, FileOperation::kRemove, path));
    return base_->Remove(path);
  }

  absl::Status CreateDirectory(absl::string_view path) override {
    CAIRN_RETURN_IF_ERROR(
        Check(&rules_, FileOperation::kCreateDirectory, path));
    return base_->CreateDirectory(path);
  }

  absl::Status RemoveDirectory(absl::string_view path) override {
    CAIRN_RETURN_IF_ERROR(
        Check(&rules_, FileOperation::kRemoveDirectory, path));
    return base_->RemoveDirectory(path);
  }

  absl::Status SyncDirectory(absl::string_view path) override {
    CAIRN_RETURN_IF_ERROR(Check(&rules_, FileOperation::kSyncDirectory, path));
    return base_->SyncDirectory(path);
  }

  absl::StatusOr<std::vector<std::string>> List(
      absl::string_view path) override {
    CAIRN_RETURN_IF_ERROR(Check(&rules_, FileOperation::kList, path));
    return base_->List(path);
  }

  absl::StatusOr<FileStat> Stat(absl::string_view path) override {
    CAIRN_RETURN_IF_ERROR(Check(&rules_, FileOperation::kStat, path));
    return base_->Stat(path);
  }

  absl::StatusOr<FileSystemSpace> Space(absl::string_view path) override {
    CAIRN_RETURN_IF_ERROR(Check(&rules_, FileOperation::kSpace, path));
    return base_->Space(path);
  }

  absl::StatusOr<std::unique_ptr<FileLock>> Lock(
      absl::string_view path) override {
    CAIRN_RETURN_IF_ERROR(Check(&rules_, FileOperation::kLock, path));
    return base_->Lock(path);
  }

 private:
  FileSystem* const base_;
  FaultRules rules_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<FileSystem>> MakeFaultFileSystem(
    FileSystem* base, absl::string_view rules) {
  auto file_system = std::make_unique<FaultFileSystem>(base);
  for (absl::string_view text : absl::StrSplit(rules, ';', absl::SkipEmpty())) {
    CAIRN_ASSIGN_OR_RETURN(FaultRule rule, ParseFaultRule(text));
    file_system->rules()->Add(std::move(rule));
  }
  return file_system;
}

}  // namespace cairn
