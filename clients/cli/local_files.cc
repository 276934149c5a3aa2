#include "clients/cli/local_files.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "lib/checksum/crc32c.h"
#include "lib/file_id/file_id.h"
#include "lib/io/errno_status.h"

namespace cairn {
namespace cli {
namespace {

namespace fs = std::filesystem;

absl::Status AddBelow(const fs::path& folder, std::vector<LocalFile>* files) {
  std::error_code error;
  std::vector<fs::directory_entry> entries;
  for (fs::directory_iterator it(folder, error), end; !error && it != end;
       it.increment(error)) {
    entries.push_back(*it);
  }
  if (error) {
    return StatusFromErrno(error.value(), "list", folder.string());
  }
  std::sort(entries.begin(), entries.end());
  for (const fs::directory_entry& entry : entries) {
    const fs::file_status status = entry.symlink_status(error);
    if (error) continue;  // Gone since it was listed.
    if (fs::is_directory(status)) {
      absl::Status below = AddBelow(entry.path(), files);
      if (!below.ok()) return below;
    } else if (fs::is_regular_file(status)) {
      const auto size = entry.file_size(error);
      if (error) continue;
      files->push_back({entry.path().string(), static_cast<int64_t>(size)});
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<LocalFile>> FindLocalFiles(absl::string_view path,
                                                      bool recursive) {
  const fs::path named{std::string(path)};
  std::error_code error;
  const fs::file_status status = fs::status(named, error);  // Follows links.
  if (error) {
    return StatusFromErrno(error.value(), "stat", path);
  }
  std::vector<LocalFile> files;
  if (fs::is_directory(status)) {
    if (!recursive) {
      return absl::FailedPreconditionError(
          absl::StrCat(path, " is a folder; add -r to store what is in it"));
    }
    const absl::Status below = AddBelow(named, &files);
    if (!below.ok()) return below;
    return files;
  }
  if (!fs::is_regular_file(status)) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, " is not a regular file; pipe it in: cairn put - < ", path));
  }
  const auto size = fs::file_size(named, error);
  if (error) return StatusFromErrno(error.value(), "stat", path);
  files.push_back({std::string(path), static_cast<int64_t>(size)});
  return files;
}

std::string ExtensionOf(absl::string_view path) {
  const std::string name = BaseName(path);
  size_t dot = name.rfind('.');
  // `.bashrc` has none.
  if (dot == std::string::npos || dot == 0) return "";
  if (dot > 4 && absl::EndsWith(name.substr(0, dot), ".tar")) dot -= 4;
  std::string extension = name.substr(dot + 1);
  return ValidateExtension(extension).ok() ? extension : "";
}

std::string AbsolutePath(absl::string_view path) {
  std::error_code error;
  const fs::path absolute = fs::absolute(std::string(path), error);
  return error ? std::string(path) : absolute.lexically_normal().string();
}

std::string ParentOf(absl::string_view path) {
  const size_t slash = path.rfind('/');
  if (slash == absl::string_view::npos) return ".";
  return slash == 0 ? "/" : std::string(path.substr(0, slash));
}

std::string BaseName(absl::string_view path) {
  const size_t slash = path.rfind('/');
  return std::string(slash == absl::string_view::npos ? path
                                                      : path.substr(slash + 1));
}

std::string JoinPath(absl::string_view folder, absl::string_view name) {
  if (folder.empty()) return std::string(name);
  return absl::StrCat(absl::StripSuffix(folder, "/"), "/", name);
}

bool HasContent(const std::string& path, int64_t size_bytes, uint32_t crc32c) {
  const absl::StatusOr<std::unique_ptr<File>> file =
      FileSystem::Real()->Open(AbsolutePath(path), OpenMode::kRead);
  if (!file.ok()) return false;
  const absl::StatusOr<int64_t> size = (*file)->Size();
  if (!size.ok() || *size != size_bytes) return false;
  std::string buffer(size_t{1} << 20, '\0');
  uint32_t crc = 0;
  for (int64_t at = 0; at < size_bytes;) {
    const absl::StatusOr<size_t> got =
        (*file)->ReadAt(at, buffer.data(), buffer.size());
    if (!got.ok() || *got == 0) return false;
    crc = ExtendCrc32c(crc, absl::string_view(buffer.data(), *got));
    at += static_cast<int64_t>(*got);
  }
  return crc == crc32c;
}

}  // namespace cli
}  // namespace cairn
