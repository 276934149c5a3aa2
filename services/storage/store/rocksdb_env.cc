#include "services/storage/store/rocksdb_env.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/mutex.h"
#include "rocksdb/env.h"
#include "rocksdb/file_system.h"
#include "rocksdb/system_clock.h"
#include "services/storage/store/rocksdb_status.h"

namespace cairn {
namespace storage {
namespace {

using rocksdb::FileOptions;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

absl::string_view Path(const std::string& path) { return path; }

IOStatus Read(File* file, uint64_t offset, size_t size, Slice* result,
              char* scratch) {
  const absl::StatusOr<size_t> read =
      file->ReadAt(static_cast<int64_t>(offset), scratch, size);
  if (!read.ok()) return ToRocksDb(read.status());
  *result = Slice(scratch, *read);
  return IOStatus::OK();
}

class SequentialFile : public rocksdb::FSSequentialFile {
 public:
  explicit SequentialFile(std::unique_ptr<File> file)
      : file_(std::move(file)) {}
  IOStatus Read(size_t size, const IOOptions&, Slice* result, char* scratch,
                IODebugContext*) override {
    IOStatus status =
        storage::Read(file_.get(), offset_, size, result, scratch);
    if (status.ok()) offset_ += result->size();
    return status;
  }
  IOStatus Skip(uint64_t bytes) override {
    offset_ += bytes;
    return IOStatus::OK();
  }

 private:
  const std::unique_ptr<File> file_;
  uint64_t offset_ = 0;
};

class RandomAccessFile : public rocksdb::FSRandomAccessFile {
 public:
  explicit RandomAccessFile(std::unique_ptr<File> file)
      : file_(std::move(file)) {}
  IOStatus Read(uint64_t offset, size_t size, const IOOptions&, Slice* result,
                char* scratch, IODebugContext*) const override {
    return storage::Read(file_.get(), offset, size, result, scratch);
  }

 private:
  const std::unique_ptr<File> file_;
};

class WritableFile : public rocksdb::FSWritableFile {
 public:
  WritableFile(std::unique_ptr<File> file, int64_t size)
      : file_(std::move(file)), size_(size) {}
  using FSWritableFile::Append;
  using FSWritableFile::PositionedAppend;
  IOStatus Append(const Slice& data, const IOOptions&,
                  IODebugContext*) override {
    const absl::Status written = file_->WriteAt(size_, {FromSlice(data)});
    if (written.ok()) size_ += static_cast<int64_t>(data.size());
    return ToRocksDb(written);
  }
  IOStatus Truncate(uint64_t size, const IOOptions&, IODebugContext*) override {
    const absl::Status cut = file_->Truncate(static_cast<int64_t>(size));
    if (cut.ok()) size_ = static_cast<int64_t>(size);
    return ToRocksDb(cut);
  }
  IOStatus Close(const IOOptions&, IODebugContext*) override {
    return IOStatus::OK();
  }
  IOStatus Flush(const IOOptions&, IODebugContext*) override {
    return IOStatus::OK();
  }
  IOStatus Sync(const IOOptions&, IODebugContext*) override {
    return ToRocksDb(file_->Sync());
  }
  bool IsSyncThreadSafe() const override { return true; }
  uint64_t GetFileSize(const IOOptions&, IODebugContext*) override {
    return static_cast<uint64_t>(size_);
  }

 private:
  const std::unique_ptr<File> file_;
  int64_t size_;
};

class Directory : public rocksdb::FSDirectory {
 public:
  Directory(FileSystem* fs, std::string path)
      : fs_(fs), path_(std::move(path)) {}
  IOStatus Fsync(const IOOptions&, IODebugContext*) override {
    return ToRocksDb(fs_->SyncDirectory(path_));
  }

 private:
  FileSystem* const fs_;
  const std::string path_;
};

class Lock : public rocksdb::FileLock {
 public:
  explicit Lock(std::unique_ptr<cairn::FileLock> lock)
      : lock_(std::move(lock)) {}

 private:
  const std::unique_ptr<cairn::FileLock> lock_;
};

// Thread-safe, as far as cairn::FileSystem is.
class Adaptor : public rocksdb::FileSystem {
 public:
  explicit Adaptor(cairn::FileSystem* fs) : fs_(fs) {}
  const char* Name() const override { return "cairn"; }

  IOStatus NewSequentialFile(const std::string& path, const FileOptions&,
                             std::unique_ptr<rocksdb::FSSequentialFile>* result,
                             IODebugContext*) override {
    auto file = fs_->Open(Path(path), OpenMode::kRead);
    if (!file.ok()) return ToRocksDb(file.status());
    *result = std::make_unique<SequentialFile>(*std::move(file));
    return IOStatus::OK();
  }
  IOStatus NewRandomAccessFile(
      const std::string& path, const FileOptions&,
      std::unique_ptr<rocksdb::FSRandomAccessFile>* result,
      IODebugContext*) override {
    auto file = fs_->Open(Path(path), OpenMode::kRead);
    if (!file.ok()) return ToRocksDb(file.status());
    *result = std::make_unique<RandomAccessFile>(*std::move(file));
    return IOStatus::OK();
  }
  IOStatus NewWritableFile(const std::string& path, const FileOptions&,
                           std::unique_ptr<rocksdb::FSWritableFile>* result,
                           IODebugContext*) override {
    auto file = fs_->Open(Path(path), OpenMode::kCreate);
    if (!file.ok()) return ToRocksDb(file.status());
    const absl::Status cut = (*file)->Truncate(0);
    if (!cut.ok()) return ToRocksDb(cut);
    *result = std::make_unique<WritableFile>(*std::move(file), 0);
    return IOStatus::OK();
  }
  IOStatus ReopenWritableFile(const std::string& path, const FileOptions&,
                              std::unique_ptr<rocksdb::FSWritableFile>* result,
                              IODebugContext*) override {
    auto file = fs_->Open(Path(path), OpenMode::kCreate);
    if (!file.ok()) return ToRocksDb(file.status());
    const absl::StatusOr<int64_t> size = (*file)->Size();
    if (!size.ok()) return ToRocksDb(size.status());
    *result = std::make_unique<WritableFile>(*std::move(file), *size);
    return IOStatus::OK();
  }
  IOStatus NewDirectory(const std::string& path, const IOOptions&,
                        std::unique_ptr<rocksdb::FSDirectory>* result,
                        IODebugContext*) override {
    const auto stat = fs_->Stat(Path(path));
    if (!stat.ok()) return ToRocksDb(stat.status());
    *result = std::make_unique<Directory>(fs_, path);
    return IOStatus::OK();
  }
  IOStatus FileExists(const std::string& path, const IOOptions&,
                      IODebugContext*) override {
    const auto stat = fs_->Stat(Path(path));
    if (absl::IsNotFound(stat.status())) return IOStatus::NotFound();
    return ToRocksDb(stat.status());
  }
  IOStatus GetChildren(const std::string& path, const IOOptions&,
                       std::vector<std::string>* result,
                       IODebugContext*) override {
    auto names = fs_->List(Path(path));
    if (absl::IsNotFound(names.status())) return IOStatus::NotFound();
    if (!names.ok()) return ToRocksDb(names.status());
    *result = *std::move(names);
    return IOStatus::OK();
  }
  IOStatus DeleteFile(const std::string& path, const IOOptions&,
                      IODebugContext*) override {
    return ToRocksDb(fs_->Remove(Path(path)));
  }
  IOStatus CreateDir(const std::string& path, const IOOptions&,
                     IODebugContext*) override {
    return ToRocksDb(fs_->CreateDirectory(Path(path)));
  }
  IOStatus CreateDirIfMissing(const std::string& path, const IOOptions&,
                              IODebugContext*) override {
    const absl::Status created = fs_->CreateDirectory(Path(path));
    if (absl::IsAlreadyExists(created)) return IOStatus::OK();
    return ToRocksDb(created);
  }
  IOStatus DeleteDir(const std::string& path, const IOOptions&,
                     IODebugContext*) override {
    return ToRocksDb(fs_->RemoveDirectory(Path(path)));
  }
  IOStatus GetFileSize(const std::string& path, const IOOptions&,
                       uint64_t* size, IODebugContext*) override {
    const auto stat = fs_->Stat(Path(path));
    if (!stat.ok()) return ToRocksDb(stat.status());
    *size = static_cast<uint64_t>(stat->size_bytes);
    return IOStatus::OK();
  }
  // Only for logs and for files that RocksDB was told to expire by age.
  IOStatus GetFileModificationTime(const std::string&, const IOOptions&,
                                   uint64_t* time, IODebugContext*) override {
    *time = 0;
    return IOStatus::OK();
  }
  IOStatus RenameFile(const std::string& from, const std::string& to,
                      const IOOptions&, IODebugContext*) override {
    // The new CURRENT names files beside it whose entries RocksDB syncs only
    // afterwards, together with its own: a power cut may leave that alone.
    const absl::Status synced =
        fs_->SyncDirectory(Path(to).substr(0, to.rfind('/')));
    if (!synced.ok()) return ToRocksDb(synced);
    return ToRocksDb(fs_->Rename(Path(from), Path(to)));
  }
  IOStatus LockFile(const std::string& path, const IOOptions&,
                    rocksdb::FileLock** lock, IODebugContext*) override {
    auto held = fs_->Lock(Path(path));
    if (!held.ok()) return ToRocksDb(held.status());
    *lock = new Lock(*std::move(held));
    return IOStatus::OK();
  }
  IOStatus UnlockFile(rocksdb::FileLock* lock, const IOOptions&,
                      IODebugContext*) override {
    delete static_cast<Lock*>(lock);
    return IOStatus::OK();
  }
  IOStatus GetTestDirectory(const IOOptions&, std::string* path,
                            IODebugContext*) override {
    path->assign(1, '/');
    return IOStatus::OK();
  }
  IOStatus NewLogger(const std::string&, const IOOptions&,
                     std::shared_ptr<rocksdb::Logger>*,
                     IODebugContext*) override {
    return IOStatus::NotSupported("the index logs to the process's log");
  }
  IOStatus GetAbsolutePath(const std::string& path, const IOOptions&,
                           std::string* result, IODebugContext*) override {
    *result = path;
    return IOStatus::OK();
  }
  IOStatus GetFreeSpace(const std::string& path, const IOOptions&,
                        uint64_t* bytes, IODebugContext*) override {
    const auto space = fs_->Space(Path(path));
    if (!space.ok()) return ToRocksDb(space.status());
    *bytes = static_cast<uint64_t>(space->available_bytes);
    return IOStatus::OK();
  }
  IOStatus IsDirectory(const std::string& path, const IOOptions&, bool* result,
                       IODebugContext*) override {
    const auto stat = fs_->Stat(Path(path));
    if (!stat.ok()) return ToRocksDb(stat.status());
    *result = stat->is_directory;
    return IOStatus::OK();
  }

 private:
  cairn::FileSystem* const fs_;
};

// RocksDB sleeps a second after each error before it goes on. A test has
// thousands of errors, and nobody mends its disk meanwhile.
class HastyClock : public rocksdb::SystemClockWrapper {
 public:
  HastyClock() : SystemClockWrapper(rocksdb::SystemClock::Default()) {}
  const char* Name() const override { return "cairn.hasty"; }
  void SleepForMicroseconds(int micros) override {
    SystemClockWrapper::SleepForMicroseconds(std::min(micros, kSleepMicrosMax));
  }

 private:
  static constexpr int kSleepMicrosMax = 1000;
};

// Files by `fs`, threads by the machine.
class AdaptedEnv : public rocksdb::EnvWrapper {
 public:
  explicit AdaptedEnv(cairn::FileSystem* fs)
      : EnvWrapper(rocksdb::NewCompositeEnv(std::make_shared<Adaptor>(fs))) {
    file_system_ = target()->GetFileSystem();
    system_clock_ = std::make_shared<HastyClock>();
  }
  const char* Name() const override { return "cairn"; }
};

}  // namespace

std::unique_ptr<rocksdb::Env> NewRocksDbEnv(FileSystem* fs) {
  return std::make_unique<AdaptedEnv>(fs);
}

}  // namespace storage
}  // namespace cairn
