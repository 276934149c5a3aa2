#include "services/storage/store/piece_merger.h"

#include <algorithm>
#include <utility>

#include "absl/types/optional.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/checksum/crc32c.h"
#include "services/storage/store/pieces.h"

namespace cairn {
namespace storage {
namespace {

constexpr int64_t kCopyBytes = 1 << 20;

}  // namespace

PieceMerger::PieceMerger(PieceMergerParts parts) : parts_(std::move(parts)) {}

void PieceMerger::Want(const std::string& name) {
  {
    MutexLock lock(&mu_);
    const auto [it, inserted] = working_.try_emplace(name, false);
    if (!inserted) {
      it->second = true;
      return;
    }
  }
  Start(name);
}

void PieceMerger::Start(const std::string& name) {
  if (!stopping_.load() && parts_.io->TrySubmit([this, name] { Work(name); })) {
    return;
  }
  Leave(name);
}

bool PieceMerger::Leave(const std::string& name) {
  MutexLock lock(&mu_);
  const auto it = working_.find(name);
  const bool again = it->second;
  working_.erase(it);
  return again;
}

void PieceMerger::Work(const std::string& name) {
  {
    MutexLock lock(&mu_);
    working_[name] = false;  // What was wanted so far is about to be done.
  }
  const absl::StatusOr<bool> merging =
      stopping_.load() ? absl::StatusOr<bool>(false) : MergeOnce(name);
  if (merging.ok() && *merging) return;
  if (!merging.ok() && !absl::IsNotFound(merging.status())) {
    CAIRN_LOG(kDebug, "store", "pieces are not merged name={} error={}", name,
              merging.status());
  }
  const bool again = Leave(name);
  if (again && merging.ok()) Want(name);
}

absl::StatusOr<bool> PieceMerger::MergeOnce(const std::string& name) {
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<SegmentOpenFile> file,
                         parts_.open(name));
  absl::InlinedVector<Extent, 16> extents;
  for (size_t i = 0; i < file->extents(); ++i) {
    extents.push_back(file->extent(i));
  }
  const absl::optional<PieceRange> range = PickMerge(extents);
  if (!range.has_value()) return false;

  CommitRequest request;
  request.kind = CommitRequest::Kind::kMerge;
  request.name = name;
  int64_t at = 0;
  for (size_t i = 0; i < range->begin; ++i) at += extents[i].length;
  request.splice.position = at;
  int64_t bytes = 0;
  for (size_t i = range->begin; i < range->end; ++i) {
    bytes += extents[i].length;
    request.splice.from.push_back(extents[i]);
  }
  CommitDone done = [this, name](absl::StatusOr<Committed> committed) {
    Done(name, committed);
  };
  if (bytes <= parts_.upload.small_file_bytes_max) {
    CAIRN_ASSIGN_OR_RETURN(request.content, file->Read(at, bytes));
    request.durability = Durability::kCached;  // The checkpoint syncs it.
    request.size_bytes = bytes;
    request.crc32c = Crc32c(request.content);
    request.block_crcs = BlockCrcsOf(request.content);
    request.splice.to.push_back(OwnExtent(0, bytes, request.crc32c, bytes));
    request.done = std::move(done);
    parts_.committer->Submit(std::move(request));
    return true;
  }
  // Owned by the answer: what the committer has of it lives until then.
  const auto copy = std::make_shared<SegmentUpload>(parts_.upload);
  for (int64_t copied = 0; copied < bytes && !stopping_.load();) {
    const int64_t part = std::min(kCopyBytes, bytes - copied);
    CAIRN_ASSIGN_OR_RETURN(const absl::Cord data,
                           file->Read(at + copied, part));
    CAIRN_RETURN_IF_ERROR(copy->Write(data));
    copied += part;
  }
  if (copy->size_bytes() != bytes) return false;
  copy->FinishMerge(std::move(request),
                    [copy, done = std::move(done)](
                        absl::StatusOr<Committed> committed) mutable {
                      done(std::move(committed));
                    });
  return true;
}

void PieceMerger::Done(const std::string& name,
                       const absl::StatusOr<Committed>& committed) {
  if (committed.ok() && !committed->replayed) merges_.fetch_add(1);
  if (!committed.ok()) {
    Leave(name);
    return;
  }
  // There may be more: what was merged may be the eighth of its size.
  Start(name);
}

}  // namespace storage
}  // namespace cairn
