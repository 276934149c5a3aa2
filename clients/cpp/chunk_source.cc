#include "clients/cpp/chunk_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "lib/base/error_reason.h"
#include "lib/base/mutex.h"

namespace cairn {
namespace client {
namespace {

// Buffers that come back when the bytes have gone out. Fresh memory for every
// chunk would cost more page faults than the chunk costs copies.
class BufferPool : public std::enable_shared_from_this<BufferPool> {
 public:
  using Buffer = std::unique_ptr<char[]>;

  Buffer Take(size_t size) {
    {
      MutexLock lock(&mu_);
      if (size == size_ && !free_.empty()) {
        Buffer buffer = std::move(free_.back());
        free_.pop_back();
        return buffer;
      }
      if (size != size_) free_.clear();
      size_ = size;
    }
    return Buffer(new char[size]);
  }

  // The first `used` bytes of `buffer`, which was taken with `size`.
  absl::Cord Wrap(Buffer buffer, size_t size, size_t used) {
    const absl::string_view bytes(buffer.get(), used);
    return absl::MakeCordFromExternal(
        bytes, [self = shared_from_this(), size,
                held = std::move(buffer)](absl::string_view) mutable {
          self->Return(std::move(held), size);
        });
  }

 private:
  static constexpr size_t kKeptMax = 8;

  void Return(Buffer buffer, size_t size) {
    MutexLock lock(&mu_);
    if (size == size_ && free_.size() < kKeptMax) {
      free_.push_back(std::move(buffer));
    }
  }

  Mutex mu_;
  size_t size_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<Buffer> free_ ABSL_GUARDED_BY(mu_);
};

class CordSource : public ChunkSource {
 public:
  explicit CordSource(absl::Cord content) : content_(std::move(content)) {}

  absl::StatusOr<absl::Cord> Next(size_t size) override {
    absl::Cord chunk = content_.Subcord(at_, size);
    at_ += chunk.size();
    return chunk;
  }
  bool Rewind() override {
    at_ = 0;
    return true;
  }
  absl::optional<int64_t> size_bytes() const override {
    return static_cast<int64_t>(content_.size());
  }

 private:
  const absl::Cord content_;
  size_t at_ = 0;
};

class BufferSource : public ChunkSource {
 public:
  explicit BufferSource(absl::string_view content) : content_(content) {}

  absl::StatusOr<absl::Cord> Next(size_t size) override {
    const absl::string_view bytes = content_.substr(at_, size);
    at_ += bytes.size();
    if (bytes.empty()) return absl::Cord();
    BufferPool::Buffer buffer = pool_->Take(size);
    std::memcpy(buffer.get(), bytes.data(), bytes.size());
    return pool_->Wrap(std::move(buffer), size, bytes.size());
  }
  bool Rewind() override {
    at_ = 0;
    return true;
  }
  absl::optional<int64_t> size_bytes() const override {
    return static_cast<int64_t>(content_.size());
  }

 private:
  const absl::string_view content_;
  const std::shared_ptr<BufferPool> pool_ = std::make_shared<BufferPool>();
  size_t at_ = 0;
};

class FileSource : public ChunkSource {
 public:
  FileSource(std::string path, int descriptor, int64_t size)
      : path_(std::move(path)), descriptor_(descriptor), size_(size) {
    posix_fadvise(descriptor_, 0, 0, POSIX_FADV_SEQUENTIAL);
  }
  ~FileSource() override { close(descriptor_); }

  absl::StatusOr<absl::Cord> Next(size_t size) override {
    // The disk works on what comes next while this chunk travels.
    if (at_ + kReadAheadBytes / 2 >= advised_to_ && advised_to_ < size_) {
      posix_fadvise(descriptor_, advised_to_, kReadAheadBytes,
                    POSIX_FADV_WILLNEED);
      advised_to_ += kReadAheadBytes;
    }
    BufferPool::Buffer buffer = pool_->Take(size);
    size_t used = 0;
    while (used < size) {
      const ssize_t got =
          pread(descriptor_, buffer.get() + used, size - used, at_);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) {
        return absl::UnavailableError(
            absl::StrCat("read ", path_, ": ", strerror(errno)));
      }
      if (got == 0) break;
      used += static_cast<size_t>(got);
      at_ += got;
    }
    if (used == 0) return absl::Cord();
    return pool_->Wrap(std::move(buffer), size, used);
  }
  bool Rewind() override {
    at_ = 0;
    advised_to_ = 0;
    return true;
  }
  absl::optional<int64_t> size_bytes() const override { return size_; }

 private:
  static constexpr int64_t kReadAheadBytes = 8 << 20;

  const std::string path_;
  const int descriptor_;
  const int64_t size_;
  const std::shared_ptr<BufferPool> pool_ = std::make_shared<BufferPool>();
  int64_t at_ = 0;
  int64_t advised_to_ = 0;
};

class ReaderSource : public ChunkSource {
 public:
  ReaderSource(ContentReader* reader, absl::optional<int64_t> size)
      : reader_(reader), size_(size) {}

  absl::StatusOr<absl::Cord> Next(size_t size) override {
    BufferPool::Buffer buffer = pool_->Take(size);
    size_t used = 0;
    while (used < size && !ended_) {
      const absl::StatusOr<size_t> got =
          reader_->Read(buffer.get() + used, size - used);
      if (!got.ok()) return got.status();
      ended_ = *got == 0;
      used += *got;
    }
    if (used == 0) return absl::Cord();
    return pool_->Wrap(std::move(buffer), size, used);
  }
  bool Rewind() override {
    ended_ = false;
    return reader_->Rewind();
  }
  absl::optional<int64_t> size_bytes() const override { return size_; }

 private:
  ContentReader* const reader_;
  const absl::optional<int64_t> size_;
  const std::shared_ptr<BufferPool> pool_ = std::make_shared<BufferPool>();
  bool ended_ = false;
};

class PrefixedSource : public ChunkSource {
 public:
  PrefixedSource(absl::Cord prefix, ChunkSource* rest)
      : prefix_(std::move(prefix)), rest_(rest) {}

  absl::StatusOr<absl::Cord> Next(size_t size) override {
    absl::Cord chunk = prefix_.Subcord(0, size);
    prefix_.RemovePrefix(chunk.size());
    if (chunk.size() < size) {
      const absl::StatusOr<absl::Cord> more = rest_->Next(size - chunk.size());
      if (!more.ok()) return more.status();
      chunk.Append(*more);
    }
    return chunk;
  }
  bool Rewind() override {
    prefix_.Clear();
    return rest_->Rewind();
  }
  absl::optional<int64_t> size_bytes() const override {
    return rest_->size_bytes();
  }

 private:
  absl::Cord prefix_;
  ChunkSource* const rest_;
};

}  // namespace

std::unique_ptr<ChunkSource> SourceOfCord(absl::Cord content) {
  return std::make_unique<CordSource>(std::move(content));
}

std::unique_ptr<ChunkSource> SourceOfBuffer(absl::string_view content) {
  return std::make_unique<BufferSource>(content);
}

absl::StatusOr<std::unique_ptr<ChunkSource>> SourceOfFile(
    absl::string_view path) {
  const std::string name(path);
  const int descriptor = open(name.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat info;
  if (descriptor < 0 || fstat(descriptor, &info) != 0) {
    const int error = errno;
    if (descriptor >= 0) close(descriptor);
    const std::string message =
        absl::StrCat("open ", name, ": ", strerror(error));
    switch (error) {
      case ENOENT:
        return absl::NotFoundError(message);
      case EACCES:
      case EPERM:
        return absl::PermissionDeniedError(message);
      default:
        return absl::FailedPreconditionError(message);
    }
  }
  if (!S_ISREG(info.st_mode)) {
    close(descriptor);
    return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                           ErrorReason::kInvalidField,
                           absl::StrCat(name, " is not a regular file"));
  }
  return std::make_unique<FileSource>(name, descriptor, info.st_size);
}

std::unique_ptr<ChunkSource> SourceOfReader(
    ContentReader* reader, absl::optional<int64_t> size_bytes) {
  return std::make_unique<ReaderSource>(reader, size_bytes);
}

std::unique_ptr<ChunkSource> SourceWithPrefix(absl::Cord prefix,
                                              ChunkSource* rest) {
  return std::make_unique<PrefixedSource>(std::move(prefix), rest);
}

}  // namespace client
}  // namespace cairn
