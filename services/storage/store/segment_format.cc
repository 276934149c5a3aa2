#include "services/storage/store/segment_format.h"

#include <bit>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/checksum/crc32c.h"
#include "services/storage/core/store_path.h"

namespace cairn {
namespace storage {
namespace {

constexpr char kSegmentMagic[8] = {'C', 'A', 'I', 'R', 'N', 'S', 'E', 'G'};
constexpr char kTrailerMagic[8] = {'C', 'A', 'I', 'R', 'N', 'E', 'N', 'D'};
constexpr uint32_t kRecordMagic = 0x6e724321;  // `!Crn` on disk.
constexpr uint32_t kSegmentFormatVersion = 1;

// Offsets in the header block; the rest is zero.
constexpr int kSegmentVersionAt = 8;
constexpr int kSegmentKindAt = 12;
constexpr int kSegmentNumberAt = 16;
constexpr int kSegmentIncarnationAt = 24;
constexpr int kSegmentCrcAt = 40;
constexpr int kSegmentHeaderUsed = 44;

// Offsets in a record's header.
constexpr int kRecordCrcAt = 4;
constexpr int kRecordTypeAt = 8;
constexpr int kRecordFlagsAt = 9;
constexpr int kRecordReservedAt = 10;
constexpr int kRecordMetaBytesAt = 12;
constexpr int kRecordContentBytesAt = 16;
constexpr int kRecordContentCrcAt = 20;
constexpr int kRecordSyncedOffsetAt = 24;  // In units of 8 bytes.
constexpr int kRecordSyncedSegmentAt = 28;

// Offsets in the footer.
constexpr int kFooterNumberAt = 8;
constexpr int kFooterContentBytesAt = 16;
constexpr int kFooterContentCrcAt = 24;
constexpr int kFooterBlocksAt = 28;
constexpr int kFooterReservedAt = 32;
constexpr int kFooterCrcAt = 36;

// Integers are little-endian on disk, as on every machine that this runs on.
static_assert(std::endian::native == std::endian::little);

uint32_t Load32(const char* p) {
  uint32_t value;
  std::memcpy(&value, p, sizeof(value));
  return value;
}
uint64_t Load64(const char* p) {
  uint64_t value;
  std::memcpy(&value, p, sizeof(value));
  return value;
}
void Store32(char* p, uint32_t value) { std::memcpy(p, &value, sizeof(value)); }
void Store64(char* p, uint64_t value) { std::memcpy(p, &value, sizeof(value)); }

absl::Status Damaged(absl::string_view what) {
  return ErrorWithReason(absl::StatusCode::kDataLoss,
                         ErrorReason::kContentDamaged, what);
}

// Covers where the record stands, so that stale or misplaced bytes never pass.
uint32_t RecordCrc(const JournalPosition& at, absl::string_view prefix) {
  char place[16];
  Store64(place, at.segment);
  Store64(place + 8, static_cast<uint64_t>(at.offset));
  return ExtendCrc32c(Crc32c(absl::string_view(place, sizeof(place))),
                      prefix.substr(kRecordTypeAt));
}

}  // namespace

std::string JournalPosition::ToString() const {
  return absl::StrCat("segment ", segment, " offset ", offset);
}

std::string EncodeSegmentHeader(const SegmentHeader& header) {
  std::string block(kSegmentHeaderBytes, '\0');
  char* p = block.data();
  std::memcpy(p, kSegmentMagic, sizeof(kSegmentMagic));
  Store32(p + kSegmentVersionAt, kSegmentFormatVersion);
  Store32(p + kSegmentKindAt, static_cast<uint32_t>(header.kind));
  Store64(p + kSegmentNumberAt, header.number);
  std::memcpy(p + kSegmentIncarnationAt, header.incarnation.bytes().data(), 16);
  Store32(p + kSegmentCrcAt, Crc32c(absl::string_view(p, kSegmentCrcAt)));
  return block;
}

absl::StatusOr<SegmentHeader> DecodeSegmentHeader(absl::string_view block) {
  if (block.size() < kSegmentHeaderUsed) {
    return Damaged("segment header: too short");
  }
  const char* p = block.data();
  if (std::memcmp(p, kSegmentMagic, sizeof(kSegmentMagic)) != 0) {
    return Damaged("segment header: magic");
  }
  if (Load32(p + kSegmentCrcAt) !=
      Crc32c(absl::string_view(p, kSegmentCrcAt))) {
    return Damaged("segment header: CRC");
  }
  const uint32_t version = Load32(p + kSegmentVersionAt);
  if (version != kSegmentFormatVersion) {
    return ErrorWithReason(
        absl::StatusCode::kFailedPrecondition, ErrorReason::kNotSupported,
        absl::StrCat("segment format version ", version,
                     " is not known to this program; use a newer one"));
  }
  const uint32_t kind = Load32(p + kSegmentKindAt);
  if (kind != static_cast<uint32_t>(SegmentKind::kShared) &&
      kind != static_cast<uint32_t>(SegmentKind::kDedicated)) {
    return Damaged("segment header: kind");
  }
  SegmentHeader header;
  header.kind = static_cast<SegmentKind>(kind);
  header.number = Load64(p + kSegmentNumberAt);
  header.incarnation =
      *Uuid::FromBytes(absl::string_view(p + kSegmentIncarnationAt, 16));
  return header;
}

int64_t BlockCrcCount(int64_t bytes) {
  return bytes <= kBlockBytes ? 0 : (bytes + kBlockBytes - 1) / kBlockBytes;
}

int64_t RecordBytes(int64_t prefix_bytes, int64_t content_bytes) {
  return (prefix_bytes + content_bytes + 7) & ~int64_t{7};
}

absl::string_view RecordPadding(int64_t prefix_bytes, int64_t content_bytes) {
  static constexpr char kZeros[8] = {};
  return absl::string_view(kZeros, RecordBytes(prefix_bytes, content_bytes) -
                                       (prefix_bytes + content_bytes));
}

int64_t AppendRecordPrefix(const JournalPosition& at,
                           const RecordHeader& header, absl::string_view meta,
                           absl::Span<const uint32_t> block_crcs,
                           std::string* out) {
  CAIRN_CHECK(header.meta_bytes == meta.size());
  CAIRN_CHECK(static_cast<int64_t>(block_crcs.size()) ==
              BlockCrcCount(header.content_bytes));
  CAIRN_CHECK(at.offset % 8 == 0 && header.synced.offset % 8 == 0);
  const size_t start = out->size();
  char fixed[kRecordHeaderBytes] = {};
  Store32(fixed, kRecordMagic);
  fixed[kRecordTypeAt] = static_cast<char>(header.type);
  fixed[kRecordFlagsAt] = static_cast<char>(header.flags);
  Store32(fixed + kRecordMetaBytesAt, header.meta_bytes);
  Store32(fixed + kRecordContentBytesAt, header.content_bytes);
  Store32(fixed + kRecordContentCrcAt, header.content_crc);
  Store32(fixed + kRecordSyncedOffsetAt,
          static_cast<uint32_t>(header.synced.offset / 8));
  Store64(fixed + kRecordSyncedSegmentAt, header.synced.segment);
  out->append(fixed, sizeof(fixed));
  out->append(meta.data(), meta.size());
  for (const uint32_t crc : block_crcs) {
    char bytes[4];
    Store32(bytes, crc);
    out->append(bytes, sizeof(bytes));
  }
  const absl::string_view prefix(out->data() + start, out->size() - start);
  Store32(out->data() + start + kRecordCrcAt, RecordCrc(at, prefix));
  return static_cast<int64_t>(prefix.size());
}

absl::StatusOr<int64_t> RecordPrefixBytes(absl::string_view header) {
  if (header.size() < kRecordHeaderBytes) {
    return Damaged("record header: too short");
  }
  const char* p = header.data();
  if (Load32(p) != kRecordMagic) return Damaged("record header: magic");
  const int64_t meta_bytes = Load32(p + kRecordMetaBytesAt);
  const int64_t content_bytes = Load32(p + kRecordContentBytesAt);
  if (meta_bytes > kRecordMetaBytesMax ||
      content_bytes > kRecordContentBytesMax) {
    return Damaged("record header: length");
  }
  return kRecordHeaderBytes + meta_bytes + 4 * BlockCrcCount(content_bytes);
}

absl::StatusOr<RecordPrefix> DecodeRecordPrefix(const JournalPosition& at,
                                                absl::string_view prefix) {
  CAIRN_ASSIGN_OR_RETURN(const int64_t prefix_bytes, RecordPrefixBytes(prefix));
  if (static_cast<int64_t>(prefix.size()) != prefix_bytes) {
    return Damaged("record header: too short");
  }
  const char* p = prefix.data();
  if (Load32(p + kRecordCrcAt) != RecordCrc(at, prefix)) {
    return Damaged("record header: CRC");
  }
  const uint8_t type = static_cast<uint8_t>(p[kRecordTypeAt]);
  if (type < static_cast<uint8_t>(RecordType::kPut) ||
      type > static_cast<uint8_t>(RecordType::kPieces) ||
      p[kRecordReservedAt] != 0 || p[kRecordReservedAt + 1] != 0) {
    return Damaged("record header: type");
  }
  RecordPrefix record;
  record.header.type = static_cast<RecordType>(type);
  record.header.flags = static_cast<uint8_t>(p[kRecordFlagsAt]);
  record.header.meta_bytes = Load32(p + kRecordMetaBytesAt);
  record.header.content_bytes = Load32(p + kRecordContentBytesAt);
  record.header.content_crc = Load32(p + kRecordContentCrcAt);
  record.header.synced.segment = Load64(p + kRecordSyncedSegmentAt);
  record.header.synced.offset = int64_t{8} * Load32(p + kRecordSyncedOffsetAt);
  record.meta = prefix.substr(kRecordHeaderBytes, record.header.meta_bytes);
  record.prefix_bytes = prefix_bytes;
  record.record_bytes = RecordBytes(prefix_bytes, record.header.content_bytes);
  const int64_t blocks = BlockCrcCount(record.header.content_bytes);
  const char* table = p + kRecordHeaderBytes + record.header.meta_bytes;
  record.block_crcs.reserve(blocks);
  for (int64_t i = 0; i < blocks; ++i) {
    record.block_crcs.push_back(Load32(table + 4 * i));
  }
  return record;
}

absl::Status CheckContent(const RecordPrefix& record,
                          absl::string_view content) {
  if (content.size() != record.header.content_bytes) {
    return Damaged("content: too short");
  }
  if (record.block_crcs.empty()) {
    if (Crc32c(content) != record.header.content_crc) {
      return Damaged("content: CRC");
    }
    return absl::OkStatus();
  }
  for (size_t i = 0; i < record.block_crcs.size(); ++i) {
    if (Crc32c(content.substr(i * kBlockBytes, kBlockBytes)) !=
        record.block_crcs[i]) {
      return Damaged(absl::StrCat("content: CRC of block ", i));
    }
  }
  return absl::OkStatus();
}

int64_t TrailerBytes(int64_t content_bytes) {
  return 4 * BlockCrcCount(content_bytes) + kTrailerFooterBytes;
}

int64_t DedicatedFileBytes(int64_t content_bytes) {
  return kSegmentHeaderBytes + content_bytes + TrailerBytes(content_bytes);
}

std::string EncodeTrailer(const Trailer& trailer) {
  CAIRN_CHECK(static_cast<int64_t>(trailer.block_crcs.size()) ==
              BlockCrcCount(trailer.content_bytes));
  std::string bytes(TrailerBytes(trailer.content_bytes), '\0');
  char* p = bytes.data();
  for (const uint32_t crc : trailer.block_crcs) {
    Store32(p, crc);
    p += 4;
  }
  std::memcpy(p, kTrailerMagic, sizeof(kTrailerMagic));
  Store64(p + kFooterNumberAt, trailer.number);
  Store64(p + kFooterContentBytesAt,
          static_cast<uint64_t>(trailer.content_bytes));
  Store32(p + kFooterContentCrcAt, trailer.content_crc);
  Store32(p + kFooterBlocksAt,
          static_cast<uint32_t>(trailer.block_crcs.size()));
  Store32(p + kFooterCrcAt,
          Crc32c(absl::string_view(bytes).substr(0, bytes.size() - 4)));
  return bytes;
}

absl::StatusOr<Trailer> DecodeTrailer(uint64_t number, int64_t content_bytes,
                                      absl::string_view bytes) {
  if (static_cast<int64_t>(bytes.size()) != TrailerBytes(content_bytes)) {
    return Damaged("segment trailer: too short");
  }
  const int64_t blocks = BlockCrcCount(content_bytes);
  const char* p = bytes.data() + 4 * blocks;
  if (std::memcmp(p, kTrailerMagic, sizeof(kTrailerMagic)) != 0) {
    return Damaged("segment trailer: magic");
  }
  if (Load32(p + kFooterCrcAt) != Crc32c(bytes.substr(0, bytes.size() - 4))) {
    return Damaged("segment trailer: CRC");
  }
  Trailer trailer;
  trailer.number = Load64(p + kFooterNumberAt);
  trailer.content_bytes =
      static_cast<int64_t>(Load64(p + kFooterContentBytesAt));
  trailer.content_crc = Load32(p + kFooterContentCrcAt);
  if (trailer.number != number || trailer.content_bytes != content_bytes ||
      Load32(p + kFooterBlocksAt) != blocks ||
      Load32(p + kFooterReservedAt) != 0) {
    return Damaged("segment trailer: of another segment or length");
  }
  trailer.block_crcs.reserve(blocks);
  for (int64_t i = 0; i < blocks; ++i) {
    trailer.block_crcs.push_back(Load32(bytes.data() + 4 * i));
  }
  return trailer;
}

}  // namespace storage
}  // namespace cairn
