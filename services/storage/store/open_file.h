// A file that is open for reading. See OpenFile in
// services/storage/core/store_path.h.

#ifndef CAIRN_SERVICES_STORAGE_STORE_OPEN_FILE_H_
#define CAIRN_SERVICES_STORAGE_STORE_OPEN_FILE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/inlined_vector.h"
#include "absl/status/statusor.h"
#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "lib/base/mutex.h"
#include "lib/io/file_system.h"
#include "services/storage/core/replica_store.h"
#include "services/storage/core/store_path.h"
#include "services/storage/store/file_record.h"

namespace cairn {
namespace storage {

// What readers of a path have seen. Shared by its files, and outlives it if a
// file does. Thread-safe.
class ReadCounters {
 public:
  std::atomic<uint64_t> read_bytes{0};
  std::atomic<uint64_t> followed_files{0};
  std::atomic<uint64_t> read_failures{0};
  std::atomic<uint64_t> content_damaged{0};

  // Who is told of files that cannot be read; null for nobody. When it returns
  // the one before is not called any more.
  void SetObserver(LogObserver* observer) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    observer_ = observer;
  }
  void TellDamaged(const FileInfo& file) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    if (observer_ != nullptr) observer_->OnDamaged(file);
  }

 private:
  Mutex mu_;  // Held while the observer is told.
  LogObserver* observer_ ABSL_GUARDED_BY(mu_) = nullptr;
};

// Thread-safe.
class SegmentOpenFile : public OpenFile {
 public:
  // `files[i]` is the segment of `record.extents[i]`; null if it has none.
  SegmentOpenFile(absl::string_view name, const FileRecord& record,
                  absl::InlinedVector<std::shared_ptr<File>, 1> files,
                  std::shared_ptr<ReadCounters> counters);

  const FileInfo& info() const override { return info_; }
  absl::StatusOr<absl::Cord> Read(int64_t offset, int64_t length) override;
  absl::optional<absl::StatusOr<absl::Cord>> TryRead(int64_t offset,
                                                     int64_t length) override;
  absl::optional<uint32_t> CheckedCrc(int64_t offset, int64_t length) override
      ABSL_LOCKS_EXCLUDED(mu_);

  // Where the content is, in order.
  size_t extents() const { return pieces_.size(); }
  const Extent& extent(size_t i) const { return pieces_[i].extent; }

  // The bytes [from, to) of extent `i` as an extent of its own: whole blocks,
  // or up to its end. Their CRC comes from those of the blocks. Blocks. Errors
  // as of Read().
  absl::StatusOr<Extent> Part(size_t i, int64_t from, int64_t to)
      ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Piece {
    Extent extent;
    int64_t begin = 0;  // Where it stands in the file.
    std::shared_ptr<File> file;
    std::vector<uint32_t> block_crcs;  // Of the run; empty until loaded.
  };

  // nullopt if it would have to wait and may not.
  absl::optional<absl::StatusOr<absl::Cord>> ReadRange(int64_t offset,
                                                       int64_t length,
                                                       bool may_block);
  absl::optional<absl::StatusOr<absl::Cord>> ReadPiece(Piece* piece,
                                                       int64_t offset,
                                                       int64_t length,
                                                       bool may_block);

  // The bytes, exactly; OK, an error, or nullopt.
  absl::optional<absl::Status> Fetch(const Piece& piece, int64_t offset,
                                     char* buffer, int64_t size,
                                     bool may_block);

  // Fills piece->block_crcs if the extent has more than one block.
  absl::optional<absl::Status> LoadBlockCrcs(Piece* piece, bool may_block)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  absl::Status Damaged(const Piece& piece, absl::string_view what);

  const FileInfo info_;
  const std::shared_ptr<ReadCounters> counters_;

  // Fixed after construction but for block_crcs, which `mu_` guards until they
  // are there.
  absl::InlinedVector<Piece, 1> pieces_;
  Mutex mu_;
};

// A small file whose bytes were read and checked. Thread-safe.
class LoadedFile : public OpenFile {
 public:
  LoadedFile(FileInfo info, absl::string_view content)
      : info_(std::move(info)), content_(std::string(content)) {}

  const FileInfo& info() const override { return info_; }
  absl::StatusOr<absl::Cord> Read(int64_t offset, int64_t length) override {
    return content_.Subcord(static_cast<size_t>(offset),
                            static_cast<size_t>(length));
  }
  absl::optional<absl::StatusOr<absl::Cord>> TryRead(int64_t offset,
                                                     int64_t length) override {
    return Read(offset, length);
  }

 private:
  const FileInfo info_;
  const absl::Cord content_;
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_OPEN_FILE_H_
