#include "clients/cpp/atomic_file.h"

#include <filesystem>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "lib/base/status_macros.h"
#include "lib/base/uuid.h"

namespace cairn {
namespace client {
namespace {

// The disk starts on the bytes in runs of this size, so that the sync at the
// end finds little left to do.
constexpr int64_t kWritebackBytes = 16 << 20;

}  // namespace

absl::StatusOr<std::unique_ptr<AtomicFile>> AtomicFile::Create(
    FileSystem* fs, absl::string_view path) {
  std::error_code error;
  const std::filesystem::path absolute =
      std::filesystem::absolute(std::string(path), error);
  if (error || !absolute.has_filename()) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", path, "' does not name a file"));
  }
  const absl::StatusOr<FileStat> there = fs->Stat(absolute.string());
  if (there.ok() && there->is_directory) {
    return absl::FailedPreconditionError(
        absl::StrCat(absolute.string(), " is a folder"));
  }
  std::string part_path =
      absl::StrFormat("%s.%08x.part", absolute.string(), RandomUint32());
  CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<File> file,
                         fs->Open(part_path, OpenMode::kCreateNew));
  return std::unique_ptr<AtomicFile>(new AtomicFile(
      fs, absolute.string(), std::move(part_path), std::move(file)));
}

AtomicFile::AtomicFile(FileSystem* fs, std::string path, std::string part_path,
                       std::unique_ptr<File> file)
    : fs_(fs),
      path_(std::move(path)),
      part_path_(std::move(part_path)),
      file_(std::move(file)) {}

AtomicFile::~AtomicFile() {
  if (committed_) return;
  file_.reset();
  // Nobody can be told; what stays is named .part.
  fs_->Remove(part_path_).IgnoreError();
}

absl::Status AtomicFile::Write(const absl::Cord& data) {
  std::vector<absl::string_view> parts;
  for (absl::string_view piece : data.Chunks()) parts.push_back(piece);
  if (parts.empty()) return absl::OkStatus();
  CAIRN_RETURN_IF_ERROR(file_->WriteAt(size_, parts));
  size_ += static_cast<int64_t>(data.size());
  if (size_ - writeback_from_ >= kWritebackBytes) {
    file_->StartWriteback(writeback_from_, size_ - writeback_from_);
    writeback_from_ = size_;
  }
  return absl::OkStatus();
}

absl::Status AtomicFile::Commit() {
  CAIRN_RETURN_IF_ERROR(file_->Sync());
  file_.reset();
  CAIRN_RETURN_IF_ERROR(fs_->Rename(part_path_, path_));
  committed_ = true;
  return fs_->SyncDirectory(
      std::filesystem::path(path_).parent_path().string());
}

}  // namespace client
}  // namespace cairn
