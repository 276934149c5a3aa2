#include "services/storage/store/suspect_mark.h"

#include <algorithm>
#include <memory>

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"

namespace cairn {
namespace storage {
namespace {

constexpr int64_t kPieceBytes = 1 << 20;

std::string MarkPath(const std::string& directory) {
  return absl::StrCat(directory, "/", kSuspectFile);
}

}  // namespace

absl::Status WriteSuspectMark(FileSystem* fs, const std::string& directory,
                              absl::string_view why) {
  return ReplaceFile(fs, MarkPath(directory), absl::StrCat(why, "\n"));
}

absl::StatusOr<bool> HasSuspectMark(FileSystem* fs,
                                    const std::string& directory) {
  const absl::StatusOr<FileStat> stat = fs->Stat(MarkPath(directory));
  if (absl::IsNotFound(stat.status())) return false;
  CAIRN_RETURN_IF_ERROR(stat.status());
  return true;
}

absl::Status RemoveSuspectMark(FileSystem* fs, const std::string& directory) {
  const absl::Status removed = fs->Remove(MarkPath(directory));
  if (absl::IsNotFound(removed)) return absl::OkStatus();
  CAIRN_RETURN_IF_ERROR(removed);
  return fs->SyncDirectory(directory);
}

absl::Status WriteAgain(File* file, int64_t from, int64_t to) {
  const auto buffer = std::make_unique<char[]>(kPieceBytes);
  while (from < to) {
    const int64_t wanted = std::min(kPieceBytes, to - from);
    CAIRN_ASSIGN_OR_RETURN(
        const size_t read,
        file->ReadAt(from, buffer.get(), static_cast<size_t>(wanted)));
    if (read == 0) break;
    CAIRN_RETURN_IF_ERROR(
        file->WriteAt(from, {absl::string_view(buffer.get(), read)}));
    from += static_cast<int64_t>(read);
  }
  return absl::OkStatus();
}

}  // namespace storage
}  // namespace cairn
