// FileSystem::Real(): the machine's, by plain system calls.

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"
#include "lib/io/errno_status.h"
#include "lib/io/file_system.h"

namespace cairn {
namespace {

// Files hold what users gave us, so nobody else on the machine reads them.
constexpr mode_t kFileMode = 0640;
constexpr mode_t kDirectoryMode = 0750;

// Calls until it is not interrupted by a signal.
template <typename Call>
auto Retry(Call call) {
  decltype(call()) result;
  do {
    result = call();
  } while (result == -1 && errno == EINTR);
  return result;
}

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  // Linux closes the descriptor even if close() is interrupted.
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;

  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

class PosixFile : public File {
 public:
  PosixFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}

  absl::StatusOr<size_t> ReadAt(int64_t offset, void* buffer,
                                size_t size) override {
    size_t done = 0;
    while (done < size) {
      const ssize_t read = Retry([&] {
        return ::pread(fd_.get(), static_cast<char*>(buffer) + done,
                       size - done, offset + static_cast<int64_t>(done));
      });
      if (read < 0) return Error("read");
      if (read == 0) break;
      done += static_cast<size_t>(read);
    }
    return done;
  }

  absl::optional<absl::StatusOr<size_t>> TryReadAt(int64_t offset, void* buffer,
                                                   size_t size) override {
    if (!can_tell_.load(std::memory_order_relaxed)) return absl::nullopt;
    size_t done = 0;
    while (done < size) {
      struct iovec part;
      part.iov_base = static_cast<char*>(buffer) + done;
      part.iov_len = size - done;
      const ssize_t read = Retry([&] {
        return ::preadv2(fd_.get(), &part, 1,
                         offset + static_cast<int64_t>(done), RWF_NOWAIT);
      });
      if (read < 0) {
        // Some file systems (tmpfs before Linux 6.6, FUSE) cannot tell whether
        // they would wait.
        if (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL) {
          can_tell_.store(false, std::memory_order_relaxed);
          return absl::nullopt;
        }
        if (errno == EAGAIN) return absl::nullopt;
        return absl::StatusOr<size_t>(Error("read"));
      }
      // A short read may mean the end or a page that is not cached; the next
      // round tells which.
      if (read == 0) break;
      done += static_cast<size_t>(read);
    }
    return absl::StatusOr<size_t>(done);
  }

  absl::Status WriteAt(int64_t offset,
                       absl::Span<const absl::string_view> parts) override {
    absl::InlinedVector<struct iovec, 16> left;
    for (absl::string_view part : parts) {
      if (part.empty()) continue;
      struct iovec entry;
      entry.iov_base = const_cast<char*>(part.data());
      entry.iov_len = part.size();
      left.push_back(entry);
    }
    size_t next = 0;
    while (next < left.size()) {
      const int count =
          static_cast<int>(std::min<size_t>(left.size() - next, IOV_MAX));
      const ssize_t written = Retry(
          [&] { return ::pwritev(fd_.get(), &left[next], count, offset); });
      if (written < 0) return Error("write");
      if (written == 0) return StatusFromErrno(EIO, "write", path_);
      offset += written;
      size_t skip = static_cast<size_t>(written);
      while (skip > 0) {
        const size_t taken = std::min(skip, left[next].iov_len);
        left[next].iov_base = static_cast<char*>(left[next].iov_base) + taken;
        left[next].iov_len -= taken;
        skip -= taken;
        if (left[next].iov_len == 0) ++next;
      }
    }
    return absl::OkStatus();
  }

  absl::Status Sync() override {
    // To be interrupted is no failure: nothing was reported, nothing dropped.
    if (Retry([&] { return ::fdatasync(fd_.get()); }) != 0) {
      return Error("sync");
    }
    return absl::OkStatus();
  }

  void StartWriteback(int64_t offset, int64_t size) override {
    // Only ever SYNC_FILE_RANGE_WRITE. The waiting kinds would take notice of a
    // failed write-back in the place of the fdatasync that must report it.
    ::sync_file_range(fd_.get(), offset, size, SYNC_FILE_RANGE_WRITE);
  }

  absl::Status Allocate(int64_t offset, int64_t size) override {
    if (Retry([&] {
          return ::fallocate(fd_.get(), FALLOC_FL_KEEP_SIZE, offset, size);
        }) == 0) {
      return absl::OkStatus();
    }
    if (errno == EOPNOTSUPP || errno == ENOSYS) {
      return absl::UnimplementedError(absl::StrCat(
          "allocate ", path_, ": the file system cannot reserve blocks"));
    }
    return Error("allocate");
  }

  absl::Status Truncate(int64_t size) override {
    if (Retry([&] { return ::ftruncate(fd_.get(), size); }) != 0) {
      return Error("truncate");
    }
    return absl::OkStatus();
  }

  absl::StatusOr<int64_t> Size() override {
    struct stat stat;
    if (::fstat(fd_.get(), &stat) != 0) return Error("stat");
    return static_cast<int64_t>(stat.st_size);
  }

  void DropCache(int64_t offset, int64_t size) override {
    ::posix_fadvise(fd_.get(), offset, size, POSIX_FADV_DONTNEED);
  }

 private:
  absl::Status Error(absl::string_view operation) const {
    return StatusFromErrno(errno, operation, path_);
  }

  const Fd fd_;
  const std::string path_;
  std::atomic<bool> can_tell_{true};  // RWF_NOWAIT works here.
};

class PosixFileLock : public FileLock {
 public:
  explicit PosixFileLock(int fd) : fd_(fd) {}

 private:
  const Fd fd_;  // Closing it releases the lock.
};

class PosixFileSystem : public FileSystem {
 public:
  absl::StatusOr<std::unique_ptr<File>> Open(absl::string_view path,
                                             OpenMode mode) override {
    std::string name(path);
    const int fd =
        Retry([&] { return ::open(name.c_str(), FlagsOf(mode), kFileMode); });
    if (fd < 0) return StatusFromErrno(errno, "open", path);
    return std::make_unique<PosixFile>(fd, std::move(name));
  }

  absl::Status Rename(absl::string_view from, absl::string_view to) override {
    if (::rename(std::string(from).c_str(), std::string(to).c_str()) != 0) {
      return StatusFromErrno(errno, "rename", absl::StrCat(from, " to ", to));
    }
    return absl::OkStatus();
  }

  absl::Status Remove(absl::string_view path) override {
    if (::unlink(std::string(path).c_str()) != 0) {
      return StatusFromErrno(errno, "remove", path);
    }
    return absl::OkStatus();
  }

  absl::Status CreateDirectory(absl::string_view path) override {
    if (::mkdir(std::string(path).c_str(), kDirectoryMode) != 0) {
      return StatusFromErrno(errno, "create directory", path);
    }
    return absl::OkStatus();
  }

  absl::Status RemoveDirectory(absl::string_view path) override {
    if (::rmdir(std::string(path).c_str()) != 0) {
      return StatusFromErrno(errno, "remove directory", path);
    }
    return absl::OkStatus();
  }

  absl::Status SyncDirectory(absl::string_view path) override {
    const std::string name(path);
    const Fd fd(Retry([&] {
      return ::open(name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }));
    if (fd.get() < 0 || Retry([&] { return ::fsync(fd.get()); }) != 0) {
      return StatusFromErrno(errno, "sync directory", path);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<std::string>> List(
      absl::string_view path) override {
    DIR* directory = ::opendir(std::string(path).c_str());
    if (directory == nullptr) return StatusFromErrno(errno, "list", path);
    std::vector<std::string> names;
    errno = 0;
    while (const struct dirent* entry = ::readdir(directory)) {
      const absl::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
      errno = 0;
    }
    const int error = errno;
    ::closedir(directory);
    if (error != 0) return StatusFromErrno(error, "list", path);
    std::sort(names.begin(), names.end());
    return names;
  }

  absl::StatusOr<FileStat> Stat(absl::string_view path) override {
    struct stat stat;
    if (::stat(std::string(path).c_str(), &stat) != 0) {
      return StatusFromErrno(errno, "stat", path);
    }
    FileStat result;
    result.size_bytes = stat.st_size;
    result.is_directory = S_ISDIR(stat.st_mode);
    return result;
  }

  absl::StatusOr<FileSystemSpace> Space(absl::string_view path) override {
    struct statvfs stat;
    const std::string name(path);
    if (Retry([&] { return ::statvfs(name.c_str(), &stat); }) != 0) {
      return StatusFromErrno(errno, "space of", path);
    }
    FileSystemSpace space;
    const auto unit = static_cast<int64_t>(stat.f_frsize);
    space.total_bytes = static_cast<int64_t>(stat.f_blocks) * unit;
    space.available_bytes = static_cast<int64_t>(stat.f_bavail) * unit;
    return space;
  }

  absl::StatusOr<std::unique_ptr<FileLock>> Lock(
      absl::string_view path) override {
    const std::string name(path);
    const int fd = Retry([&] {
      return ::open(name.c_str(), FlagsOf(OpenMode::kCreate), kFileMode);
    });
    if (fd < 0) return StatusFromErrno(errno, "lock", path);
    auto lock = std::make_unique<PosixFileLock>(fd);

    // The lock belongs to the open file and not to the process, so that a
    // second attempt is refused here as it is elsewhere.
    struct flock range = {};
    range.l_type = F_WRLCK;
    range.l_whence = SEEK_SET;
    if (Retry([&] { return ::fcntl(fd, F_OFD_SETLK, &range); }) != 0) {
      if (errno == EAGAIN || errno == EACCES) {
        return absl::FailedPreconditionError(
            absl::StrCat("lock ", path, ": held by process ", ReadHolder(fd)));
      }
      return StatusFromErrno(errno, "lock", path);
    }
    WriteHolder(fd);
    return lock;
  }

 private:
  static int FlagsOf(OpenMode mode) {
    switch (mode) {
      case OpenMode::kRead:
        return O_RDONLY | O_CLOEXEC;
      case OpenMode::kReadWrite:
        return O_RDWR | O_CLOEXEC;
      case OpenMode::kCreate:
        return O_RDWR | O_CREAT | O_CLOEXEC;
      case OpenMode::kCreateNew:
        return O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC;
    }
    return O_RDONLY | O_CLOEXEC;
  }

  // The holder's number is in the file for whoever is refused; that it cannot
  // be written (a full disk) or read hurts nobody.
  static void WriteHolder(int fd) {
    const std::string text = absl::StrCat(::getpid(), "\n");
    if (::ftruncate(fd, 0) != 0) return;
    [[maybe_unused]] const ssize_t written =
        ::pwrite(fd, text.data(), text.size(), 0);
  }
  static std::string ReadHolder(int fd) {
    char text[16];
    const ssize_t read = ::pread(fd, text, sizeof(text), 0);
    std::string holder;
    for (ssize_t i = 0; i < read && text[i] >= '0' && text[i] <= '9'; ++i) {
      holder.push_back(text[i]);
    }
    return holder.empty() ? "unknown" : holder;
  }
};

}  // namespace

FileSystem* FileSystem::Real() {
  static PosixFileSystem* const real = new PosixFileSystem;
  return real;
}

}  // namespace cairn
