#include "lib/io/file_system.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"

namespace cairn {
namespace {

constexpr size_t kReadBytes = 64 << 10;

// The folder that holds `path`; empty for `/`.
absl::string_view ParentOf(absl::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  const size_t slash = path.rfind('/');
  if (path == "/" || slash == absl::string_view::npos) return "";
  return slash == 0 ? path.substr(0, 1) : path.substr(0, slash);
}

absl::Status WriteAndSync(FileSystem* fs, absl::string_view path,
                          absl::string_view content) {
  CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<File> file,
                         fs->Open(path, OpenMode::kCreate));
  CAIRN_RETURN_IF_ERROR(file->Truncate(0));
  CAIRN_RETURN_IF_ERROR(file->WriteAt(0, {content}));
  return file->Sync();
}

}  // namespace

absl::StatusOr<std::string> ReadWholeFile(FileSystem* fs,
                                          absl::string_view path,
                                          int64_t size_max) {
  CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<File> file,
                         fs->Open(path, OpenMode::kRead));
  CAIRN_ASSIGN_OR_RETURN(const int64_t size, file->Size());
  // The size is a hint only: it may change, and files of /proc have none. One
  // byte more than is allowed is asked for, so that too large a file shows.
  std::string content;
  size_t used = 0;
  size_t wanted = static_cast<size_t>(std::min(size, size_max)) + 1;
  while (true) {
    content.resize(wanted);
    CAIRN_ASSIGN_OR_RETURN(const size_t read,
                           file->ReadAt(static_cast<int64_t>(used),
                                        &content[used], content.size() - used));
    used += read;
    if (used > static_cast<size_t>(size_max)) {
      return absl::ResourceExhaustedError(
          absl::StrCat("read ", path, ": larger than ", size_max, " bytes"));
    }
    if (used < content.size()) break;
    wanted = std::min(used + kReadBytes, static_cast<size_t>(size_max) + 1);
  }
  content.resize(used);
  return content;
}

absl::Status ReplaceFile(FileSystem* fs, absl::string_view path,
                         absl::string_view content) {
  const std::string temporary = absl::StrCat(path, ".tmp");
  absl::Status replaced = WriteAndSync(fs, temporary, content);
  if (replaced.ok()) replaced = fs->Rename(temporary, path);
  if (!replaced.ok()) {
    // What is left over is overwritten next time; the first error is the news.
    fs->Remove(temporary).IgnoreError();
    return replaced;
  }
  return fs->SyncDirectory(ParentOf(path));
}

absl::Status CreateDirectories(FileSystem* fs, absl::string_view path) {
  // From the bottom up, the folders that are missing.
  std::vector<absl::string_view> missing;
  absl::string_view existing = path;
  while (!existing.empty()) {
    const absl::StatusOr<FileStat> stat = fs->Stat(existing);
    if (stat.ok() && !stat->is_directory) {
      return absl::FailedPreconditionError(absl::StrCat(
          "create directory ", path, ": ", existing, " is not a directory"));
    }
    if (stat.ok()) break;
    if (!absl::IsNotFound(stat.status())) return stat.status();
    missing.push_back(existing);
    existing = ParentOf(existing);
  }

  // The one that exists may have been made by a process that died before it
  // could sync the parent. Above it there is no such doubt, since a folder is
  // only filled after its parent was synced.
  const absl::string_view parent = ParentOf(existing);
  if (!parent.empty()) {
    absl::Status synced = fs->SyncDirectory(parent);
    // An operator made it, in a folder that we may not read.
    if (!synced.ok() && !absl::IsPermissionDenied(synced)) return synced;
  }
  for (auto folder = missing.rbegin(); folder != missing.rend(); ++folder) {
    absl::Status created = fs->CreateDirectory(*folder);
    // Somebody else may have been faster.
    if (!created.ok() && !absl::IsAlreadyExists(created)) return created;
    CAIRN_RETURN_IF_ERROR(fs->SyncDirectory(ParentOf(*folder)));
  }
  return absl::OkStatus();
}

}  // namespace cairn
