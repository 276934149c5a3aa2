#include "integration_tests/mini_cluster/disks.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "lib/base/check.h"

namespace cairn {
namespace testing {
namespace {

// A mount namespace of the calling thread's own, once.
absl::Status EnterOwnNamespace() {
  static thread_local bool entered = false;
  if (entered) return absl::OkStatus();
  if (unshare(CLONE_NEWNS) != 0) {
    return absl::PermissionDeniedError(
        absl::StrCat("no mount namespace: ", strerror(errno)));
  }
  // Nothing that is mounted here is to reach the machine.
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return absl::PermissionDeniedError(
        absl::StrCat("no private mounts: ", strerror(errno)));
  }
  entered = true;
  return absl::OkStatus();
}

}  // namespace

absl::Status MountSmallDisk(const std::string& folder, int64_t bytes) {
  const absl::Status entered = EnterOwnNamespace();
  if (!entered.ok()) return entered;
  const std::string options = absl::StrCat("size=", bytes);
  if (mount("tmpfs", folder.c_str(), "tmpfs", 0, options.c_str()) != 0) {
    return absl::PermissionDeniedError(
        absl::StrCat("cannot mount on ", folder, ": ", strerror(errno)));
  }
  return absl::OkStatus();
}

absl::Status MountFile(const std::string& source, const std::string& target) {
  const absl::Status entered = EnterOwnNamespace();
  if (!entered.ok()) return entered;
  if (mount(source.c_str(), target.c_str(), nullptr, MS_BIND, nullptr) != 0) {
    return absl::PermissionDeniedError(absl::StrCat(
        "cannot mount ", source, " on ", target, ": ", strerror(errno)));
  }
  return absl::OkStatus();
}

std::vector<std::string> FilesBelow(const std::string& folder,
                                    absl::string_view suffix) {
  std::vector<std::string> found;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file() &&
        absl::EndsWith(entry.path().native(), suffix)) {
      found.push_back(entry.path().native());
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::vector<int64_t> FindInFile(const std::string& path,
                                absl::string_view bytes) {
  const std::string content = ReadFile(path);
  std::vector<int64_t> found;
  for (size_t at = content.find(bytes.data(), 0, bytes.size());
       at != std::string::npos;
       at = content.find(bytes.data(), at + 1, bytes.size())) {
    found.push_back(static_cast<int64_t>(at));
  }
  return found;
}

bool FlipBit(const std::string& path, int64_t offset, int bit) {
  const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT) return false;
  CAIRN_CHECK_MSG(fd >= 0, path);
  char byte = 0;
  CAIRN_CHECK_MSG(pread(fd, &byte, 1, offset) == 1, path);
  byte = static_cast<char>(byte ^ (1 << bit));
  CAIRN_CHECK_MSG(pwrite(fd, &byte, 1, offset) == 1, path);
  close(fd);
  return true;
}

void OverwriteFile(const std::string& path, absl::string_view content) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(content.data(), static_cast<std::streamsize>(content.size()));
  out.close();
  CAIRN_CHECK_MSG(out.good(), path);
}

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  CAIRN_CHECK_MSG(in.good(), path);
  return std::string(std::istreambuf_iterator<char>(in),
                     std::istreambuf_iterator<char>());
}

}  // namespace testing
}  // namespace cairn
