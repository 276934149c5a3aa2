#include "services/standalone/data_directory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"

namespace cairn {
namespace standalone {
namespace {

constexpr size_t kSecretBytes = 32;
constexpr int64_t kSmallFileBytesMax = 4096;

absl::Status FromErrno(absl::string_view what, absl::string_view path) {
  return absl::UnavailableError(
      absl::StrCat(what, " ", path, ": ", std::strerror(errno)));
}

// Writes a new secret for its owner's eyes alone, from the first byte on, which
// FileSystem cannot promise.
absl::Status WriteSecret(FileSystem* fs, const std::string& directory,
                         const std::string& path) {
  char random[kSecretBytes];
  RandomBytes(random, sizeof(random));
  const std::string text = absl::StrCat(
      absl::Base64Escape(absl::string_view(random, sizeof(random))), "\n");
  const std::string beside = absl::StrCat(path, ".tmp");
  if (unlink(beside.c_str()) != 0 && errno != ENOENT) {
    return FromErrno("remove", beside);
  }
  const int file =
      open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0) return FromErrno("create", beside);
  const absl::Cleanup close_file = [file] { close(file); };
  if (write(file, text.data(), text.size()) !=
          static_cast<ssize_t>(text.size()) ||
      fsync(file) != 0) {
    return FromErrno("write", beside);
  }
  CAIRN_RETURN_IF_ERROR(fs->Rename(beside, path));
  return fs->SyncDirectory(directory);
}

bool IsMissing(const absl::StatusOr<FileStat>& stat) {
  return stat.status().code() == absl::StatusCode::kNotFound;
}

}  // namespace

std::string DataDirectory::file(absl::string_view name) const {
  return absl::StrCat(path_, "/", name);
}

absl::StatusOr<std::unique_ptr<DataDirectory>> DataDirectory::Open(
    FileSystem* fs, absl::string_view path,
    const std::vector<InitialFile>& files) {
  std::unique_ptr<DataDirectory> directory(new DataDirectory);
  directory->path_ = std::string(path);
  CAIRN_RETURN_IF_ERROR(CreateDirectories(fs, path));

  const std::string id_file = directory->file("cluster_id");
  if (IsMissing(fs->Stat(id_file))) {
    // A typing error must not scatter files over somebody's home.
    CAIRN_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                           fs->List(path));
    const bool foreign =
        std::any_of(names.begin(), names.end(), [](const std::string& name) {
          return name != "LOCK" && name != "cluster_id.tmp";
        });
    if (foreign) {
      return ErrorWithReason(
          absl::StatusCode::kFailedPrecondition, ErrorReason::kUnspecified,
          absl::StrCat(path,
                       " is not empty and not cairn-standalone's; choose "
                       "another directory"));
    }
  }

  absl::StatusOr<std::unique_ptr<FileLock>> lock =
      fs->Lock(directory->file("LOCK"));
  if (lock.status().code() == absl::StatusCode::kFailedPrecondition) {
    return WithContext(lock.status(),
                       absl::StrCat("another cairn-standalone runs on ", path));
  }
  CAIRN_RETURN_IF_ERROR(lock.status());
  directory->lock_ = *std::move(lock);

  if (IsMissing(fs->Stat(id_file))) {
    directory->is_new_ = true;
    CAIRN_RETURN_IF_ERROR(ReplaceFile(
        fs, id_file, absl::StrCat(Uuid::Random().ToString(), "\n")));
  }
  CAIRN_ASSIGN_OR_RETURN(const std::string id_text,
                         ReadWholeFile(fs, id_file, kSmallFileBytesMax));
  const absl::StatusOr<Uuid> id =
      Uuid::Parse(absl::StripAsciiWhitespace(id_text));
  if (!id.ok() || id->is_nil()) {
    return ErrorWithReason(
        absl::StatusCode::kDataLoss, ErrorReason::kContentDamaged,
        absl::StrCat(id_file,
                     " does not hold a UUID; the IDENTITY files under ",
                     directory->file("storage"), " say which it was"));
  }
  directory->cluster_id_ = *id;

  const std::string secret_file = directory->secret_file();
  if (IsMissing(fs->Stat(secret_file))) {
    // Files that were stored with another secret could not be read any more.
    if (!directory->is_new_ &&
        !IsMissing(fs->Stat(directory->file("storage")))) {
      return ErrorWithReason(
          absl::StatusCode::kDataLoss, ErrorReason::kContentDamaged,
          absl::StrCat(secret_file,
                       " is missing, and without it no file ID is valid; bring "
                       "it back from a backup"));
    }
    CAIRN_RETURN_IF_ERROR(WriteSecret(fs, directory->path_, secret_file));
  }

  for (const auto& [name, content] : files) {
    const std::string target = directory->file(name);
    if (!IsMissing(fs->Stat(target))) continue;
    CAIRN_RETURN_IF_ERROR(ReplaceFile(fs, target, content));
  }
  return directory;
}

}  // namespace standalone
}  // namespace cairn
