#include "services/storage/store/open_file.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/base/log.h"
#include "lib/checksum/crc32c.h"
#include "services/storage/store/segment_format.h"

namespace cairn {
namespace storage {
namespace {

// What is read is handed on as it is, so its memory belongs to the Cord.
absl::Cord CordOf(std::unique_ptr<char[]> buffer, int64_t skip,
                  int64_t length) {
  const absl::string_view view(buffer.get() + skip,
                               static_cast<size_t>(length));
  return absl::MakeCordFromExternal(
      view, [owned = std::move(buffer)](absl::string_view) {});
}

// Many references to the same bytes.
absl::Cord Zeros(int64_t length) {
  static const std::string* const block = new std::string(kBlockBytes, '\0');
  absl::Cord zeros;
  while (length > 0) {
    const auto size = static_cast<size_t>(std::min(length, kBlockBytes));
    zeros.Append(absl::MakeCordFromExternal(
        absl::string_view(block->data(), size), [] {}));
    length -= static_cast<int64_t>(size);
  }
  return zeros;
}

uint32_t Load32(const char* p) {
  uint32_t value = 0;
  for (int i = 3; i >= 0; --i) value = value << 8 | static_cast<uint8_t>(p[i]);
  return value;
}

}  // namespace

SegmentOpenFile::SegmentOpenFile(
    absl::string_view name, const FileRecord& record,
    absl::InlinedVector<std::shared_ptr<File>, 1> files,
    std::shared_ptr<ReadCounters> counters)
    : info_(record.ToFileInfo(name)), counters_(std::move(counters)) {
  CAIRN_CHECK(files.size() == record.extents.size());
  int64_t begin = 0;
  for (size_t i = 0; i < files.size(); ++i) {
    pieces_.push_back(
        {record.extents[i], begin, std::move(files[i]), /*block_crcs=*/{}});
    begin += record.extents[i].length;
  }
}

absl::StatusOr<absl::Cord> SegmentOpenFile::Read(int64_t offset,
                                                 int64_t length) {
  return *ReadRange(offset, length, /*may_block=*/true);
}

absl::optional<absl::StatusOr<absl::Cord>> SegmentOpenFile::TryRead(
    int64_t offset, int64_t length) {
  return ReadRange(offset, length, /*may_block=*/false);
}

absl::optional<uint32_t> SegmentOpenFile::CheckedCrc(int64_t offset,
                                                     int64_t length) {
  for (const Piece& piece : pieces_) {
    const int64_t from = offset - piece.begin;
    const int64_t to = from + length;
    const int64_t end = piece.extent.length;
    if (from < 0 || to > end) continue;
    if (from % kBlockBytes != 0 || (to != end && to % kBlockBytes != 0)) break;
    if (end <= kBlockBytes) return piece.extent.crc32c;
    MutexLock lock(&mu_);
    if (piece.block_crcs.empty()) break;
    uint32_t crc = 0;
    for (int64_t at = from; at < to; at += kBlockBytes) {
      crc = CombineCrc32c(crc, piece.block_crcs[at / kBlockBytes],
                          std::min(kBlockBytes, to - at));
    }
    return crc;
  }
  return absl::nullopt;
}

absl::optional<absl::StatusOr<absl::Cord>> SegmentOpenFile::ReadRange(
    int64_t offset, int64_t length, bool may_block) {
  CAIRN_CHECK(offset >= 0 && length >= 0 &&
              offset <= info_.size_bytes - length);
  absl::Cord content;
  for (Piece& piece : pieces_) {
    const int64_t from = std::max(offset, piece.begin);
    const int64_t to =
        std::min(offset + length, piece.begin + piece.extent.length);
    if (from >= to) continue;
    absl::optional<absl::StatusOr<absl::Cord>> part =
        ReadPiece(&piece, from - piece.begin, to - from, may_block);
    if (!part.has_value()) return part;
    if (!part->ok()) {
      // Here, where no lock is held.
      counters_->TellDamaged(info_);
      return part;
    }
    content.Append(**std::move(part));
  }
  counters_->read_bytes.fetch_add(static_cast<uint64_t>(length),
                                  std::memory_order_relaxed);
  return content;
}

absl::optional<absl::StatusOr<absl::Cord>> SegmentOpenFile::ReadPiece(
    Piece* piece, int64_t offset, int64_t length, bool may_block) {
  const Extent& extent = piece->extent;
  if (extent.is_hole()) return absl::StatusOr<absl::Cord>(Zeros(length));
  if (extent.length > kBlockBytes) {
    MutexLock lock(&mu_);
    const absl::optional<absl::Status> loaded = LoadBlockCrcs(piece, may_block);
    if (!loaded.has_value()) return absl::nullopt;
    if (!loaded->ok()) return *loaded;
  }
  // Whole blocks, since only those have a CRC.
  const int64_t from = offset / kBlockBytes * kBlockBytes;
  const int64_t to =
      std::min(extent.length,
               (offset + length + kBlockBytes - 1) / kBlockBytes * kBlockBytes);
  auto buffer = std::unique_ptr<char[]>(new char[to - from]);
  const absl::optional<absl::Status> fetched =
      Fetch(*piece, extent.offset + from, buffer.get(), to - from, may_block);
  if (!fetched.has_value()) return absl::nullopt;
  if (!fetched->ok()) return *fetched;
  for (int64_t at = from; at < to; at += kBlockBytes) {
    const int64_t block = at / kBlockBytes;
    const uint32_t expected =
        piece->block_crcs.empty() ? extent.crc32c : piece->block_crcs[block];
    const absl::string_view bytes(buffer.get() + (at - from),
                                  std::min(kBlockBytes, to - at));
    if (Crc32c(bytes) != expected) {
      return Damaged(*piece, absl::StrCat("CRC of block ", block));
    }
  }
  return CordOf(std::move(buffer), offset - from, length);
}

absl::optional<absl::Status> SegmentOpenFile::Fetch(const Piece& piece,
                                                    int64_t offset,
                                                    char* buffer, int64_t size,
                                                    bool may_block) {
  absl::StatusOr<size_t> read = 0;
  if (may_block) {
    read = piece.file->ReadAt(offset, buffer, static_cast<size_t>(size));
  } else {
    absl::optional<absl::StatusOr<size_t>> tried =
        piece.file->TryReadAt(offset, buffer, static_cast<size_t>(size));
    if (!tried.has_value()) return absl::nullopt;
    read = *std::move(tried);
  }
  if (!read.ok()) {
    counters_->read_failures.fetch_add(1, std::memory_order_relaxed);
    CAIRN_LOG(kWarning, "store", "read failed segment={} offset={} error={}",
              piece.extent.segment, offset, read.status());
    return ErrorWithReason(absl::StatusCode::kUnavailable,
                           ErrorReason::kReadFailed, read.status().message());
  }
  if (static_cast<int64_t>(*read) != size) return Damaged(piece, "cut off");
  return absl::OkStatus();
}

absl::optional<absl::Status> SegmentOpenFile::LoadBlockCrcs(Piece* piece,
                                                            bool may_block) {
  if (!piece->block_crcs.empty()) return absl::OkStatus();
  const Extent& extent = piece->extent;
  // The run is of these blocks of the content.
  const int64_t first = (extent.offset - extent.content_offset) / kBlockBytes;
  const int64_t blocks = BlockCrcCount(extent.length);
  if (!extent.in_record()) {
    std::string bytes(TrailerBytes(extent.content_bytes), '\0');
    absl::optional<absl::Status> fetched =
        Fetch(*piece, extent.content_offset + extent.content_bytes,
              bytes.data(), static_cast<int64_t>(bytes.size()), may_block);
    if (!fetched.has_value() || !fetched->ok()) return fetched;
    absl::StatusOr<Trailer> trailer =
        DecodeTrailer(extent.segment, extent.content_bytes, bytes);
    if (!trailer.ok()) return Damaged(*piece, trailer.status().message());
    if (extent.is_whole() && trailer->content_crc != extent.crc32c) {
      return Damaged(*piece, "CRC of another content");
    }
    const auto begin = trailer->block_crcs.begin() + first;
    piece->block_crcs.assign(begin, begin + blocks);
    return absl::OkStatus();
  }
  // They stand before the content. The CRC of the run that follows from them
  // must be the one in the index, so a wrong one does not pass.
  const int64_t table =
      extent.content_offset - 4 * BlockCrcCount(extent.content_bytes);
  std::string bytes(4 * blocks, '\0');
  absl::optional<absl::Status> fetched =
      Fetch(*piece, table + 4 * first, bytes.data(),
            static_cast<int64_t>(bytes.size()), may_block);
  if (!fetched.has_value() || !fetched->ok()) return fetched;
  std::vector<uint32_t> crcs;
  uint32_t run = 0;
  for (int64_t i = 0; i < blocks; ++i) {
    crcs.push_back(Load32(bytes.data() + 4 * i));
    run = CombineCrc32c(run, crcs.back(),
                        std::min(kBlockBytes, extent.length - i * kBlockBytes));
  }
  if (run != extent.crc32c) return Damaged(*piece, "block CRCs");
  piece->block_crcs = std::move(crcs);
  return absl::OkStatus();
}

absl::StatusOr<Extent> SegmentOpenFile::Part(size_t i, int64_t from,
                                             int64_t to) {
  Piece* const piece = &pieces_[i];
  Extent part = piece->extent;
  CAIRN_CHECK(from >= 0 && from < to && to <= part.length);
  if (from == 0 && to == part.length) return part;
  if (part.is_hole()) return ZeroExtent(to - from);
  CAIRN_CHECK(from % kBlockBytes == 0 &&
              (to == part.length || to % kBlockBytes == 0));
  part.offset += from;
  part.length = to - from;
  part.crc32c = 0;
  absl::Status loaded;
  {
    MutexLock lock(&mu_);
    loaded = *LoadBlockCrcs(piece, /*may_block=*/true);
    for (int64_t at = from; loaded.ok() && at < to; at += kBlockBytes) {
      part.crc32c =
          CombineCrc32c(part.crc32c, piece->block_crcs[at / kBlockBytes],
                        std::min(kBlockBytes, to - at));
    }
  }
  if (!loaded.ok()) {
    counters_->TellDamaged(info_);
    return loaded;
  }
  return part;
}

absl::Status SegmentOpenFile::Damaged(const Piece& piece,
                                      absl::string_view what) {
  counters_->content_damaged.fetch_add(1, std::memory_order_relaxed);
  CAIRN_LOG(kError, "store",
            "content is damaged, see docs/runbooks/damaged_content.md "
            "segment={} offset={} what={}",
            piece.extent.segment, piece.extent.offset, what);
  return ErrorWithReason(
      absl::StatusCode::kDataLoss, ErrorReason::kContentDamaged,
      absl::StrCat("file ", info_.name, ": segment ", piece.extent.segment,
                   " offset ", piece.extent.offset, ": ", what));
}

}  // namespace storage
}  // namespace cairn
