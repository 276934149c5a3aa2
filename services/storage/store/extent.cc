#include "services/storage/store/extent.h"

#include <cstring>

#include "lib/base/error_reason.h"
#include "lib/base/varint.h"
#include "lib/checksum/crc32c.h"
#include "services/storage/core/store_path.h"

namespace cairn {
namespace storage {
namespace {

// The first number of a run is its length, and these in the lowest bits.
constexpr int kKindBits = 3;
constexpr uint64_t kPartial = 4;  // Or'ed to one of:
enum RunKind : uint64_t {
  kZeros = 0,
  kOfRecord = 1,
  kOfDedicated = 2,
  kOfOwn = 3,  // Of the record that lists it.
};

// Six numbers, and a CRC.
constexpr size_t kRunBytesMax = 6 * kVarintBytesMax + sizeof(uint32_t);

// Those of some KiB in a record of a segment of usual size.
constexpr size_t kRunBytesUsual = 14;

absl::Status Damaged() {
  return ErrorWithReason(absl::StatusCode::kDataLoss,
                         ErrorReason::kContentDamaged, "list of runs");
}

RunKind KindOf(const Extent& extent) {
  if (extent.record_offset == kOwnRecord) return kOfOwn;
  if (extent.in_record()) return kOfRecord;
  return extent.is_hole() ? kZeros : kOfDedicated;
}

char* WriteRun(const Extent& extent, char* to) {
  const RunKind kind = KindOf(extent);
  // There is no content that zeros are from.
  const bool partial = kind != kZeros && !extent.is_whole();
  const auto write = [&to](int64_t number) {
    to = WriteVarint(static_cast<uint64_t>(number), to);
  };
  to = WriteVarint(static_cast<uint64_t>(extent.length) << kKindBits | kind |
                       (partial ? kPartial : 0),
                   to);
  std::memcpy(to, &extent.crc32c, sizeof(extent.crc32c));
  to += sizeof(extent.crc32c);
  if (kind == kOfRecord || kind == kOfDedicated) {
    to = WriteVarint(extent.segment, to);
    if (kind == kOfRecord) write(extent.record_offset);
    write(extent.content_offset - extent.record_offset);
  }
  if (partial) {
    write(extent.offset - extent.content_offset);
    if (kind != kOfOwn) write(extent.content_bytes);
  }
  return to;
}

// A number that is within the limits of what one adds to it.
bool TakeBytes(absl::string_view* from, int64_t* bytes) {
  uint64_t value = 0;
  if (!TakeVarint(from, &value) ||
      value > static_cast<uint64_t>(kFileBytesMax)) {
    return false;
  }
  *bytes = static_cast<int64_t>(value);
  return true;
}

bool TakeRun(absl::string_view* from, const OwnContent& own, Extent* extent) {
  uint64_t head = 0;
  uint32_t crc32c = 0;
  if (!TakeVarint(from, &head) || from->size() < sizeof(crc32c)) return false;
  std::memcpy(&crc32c, from->data(), sizeof(crc32c));
  from->remove_prefix(sizeof(crc32c));
  const auto length = static_cast<int64_t>(head >> kKindBits);
  const bool partial = (head & kPartial) != 0;
  const auto kind = static_cast<RunKind>(head & (kPartial - 1));
  int64_t offset = 0;  // In the content that it is from.
  if (kind == kOfOwn) {
    if (partial && !TakeBytes(from, &offset)) return false;
    *extent = ExtentOf(own, offset, length, crc32c);
    return partial != extent->is_whole();
  }
  extent->length = length;
  extent->content_bytes = length;
  extent->crc32c = crc32c;
  if (kind == kZeros) return !partial;
  if (!TakeVarint(from, &extent->segment) ||
      (kind == kOfRecord && !TakeBytes(from, &extent->record_offset)) ||
      !TakeBytes(from, &extent->content_offset)) {
    return false;
  }
  extent->content_offset += extent->record_offset;
  if (partial &&
      (!TakeBytes(from, &offset) || !TakeBytes(from, &extent->content_bytes))) {
    return false;
  }
  extent->offset = extent->content_offset + offset;
  return KindOf(*extent) == kind && partial != extent->is_whole();
}

}  // namespace

Extent DedicatedExtent(uint64_t segment, int64_t bytes, uint32_t crc32c) {
  Extent extent;
  extent.segment = segment;
  extent.offset = kSegmentHeaderBytes;
  extent.length = bytes;
  extent.crc32c = crc32c;
  extent.content_offset = extent.offset;
  extent.content_bytes = bytes;
  return extent;
}

Extent OwnExtent(int64_t offset, int64_t length, uint32_t crc32c,
                 int64_t content_bytes) {
  Extent extent;
  extent.offset = offset;
  extent.length = length;
  extent.crc32c = crc32c;
  extent.record_offset = kOwnRecord;
  extent.content_bytes = content_bytes;
  return extent;
}

Extent ZeroExtent(int64_t length) {
  Extent extent;
  extent.length = length;
  extent.content_bytes = length;
  // Of one zero byte, then of twice as many again and again.
  uint32_t power_crc = Crc32c(absl::string_view("\0", 1));
  int64_t power = 1;
  for (int64_t left = length; left > 0; left /= 2) {
    if (left % 2 != 0) {
      extent.crc32c =
          CombineCrc32c(extent.crc32c, power_crc, static_cast<uint64_t>(power));
    }
    power_crc =
        CombineCrc32c(power_crc, power_crc, static_cast<uint64_t>(power));
    power *= 2;
  }
  return extent;
}

uint32_t CrcOf(absl::Span<const Extent> extents) {
  uint32_t crc = 0;
  for (const Extent& extent : extents) {
    crc =
        CombineCrc32c(crc, extent.crc32c, static_cast<uint64_t>(extent.length));
  }
  return crc;
}

bool IsSound(const Extent& extent) {
  if (extent.length <= 0 || extent.length > kFileBytesMax) return false;
  if (extent.is_hole()) return true;
  if (extent.content_bytes <= 0 || extent.content_bytes > kFileBytesMax ||
      extent.content_offset < 0 || extent.content_offset > kFileBytesMax) {
    return false;
  }
  const int64_t from = extent.offset - extent.content_offset;
  const int64_t left = extent.content_bytes - from;
  if (from < 0 || from % kBlockBytes != 0 || extent.length > left ||
      (extent.length != left && extent.length % kBlockBytes != 0)) {
    return false;
  }
  return !extent.in_record() ||
         (extent.record_offset >= kSegmentHeaderBytes &&
          extent.content_offset - extent.record_offset >= kRecordHeaderBytes &&
          extent.content_bytes <= kRecordContentBytesMax);
}

Extent ExtentOf(const OwnContent& own, int64_t offset, int64_t length,
                uint32_t crc32c) {
  Extent extent;
  extent.segment = own.record.segment;
  extent.record_offset = own.record.offset;
  extent.content_offset = own.record.offset + own.prefix_bytes;
  extent.content_bytes = own.content_bytes;
  extent.offset = extent.content_offset + offset;
  extent.length = length;
  extent.crc32c = crc32c;
  return extent;
}

void EncodeRuns(absl::Span<const Extent> extents, std::string* bytes) {
  bytes->clear();
  for (const Extent& extent : extents) {
    char run[kRunBytesMax];
    const char* const end = WriteRun(extent, run);
    bytes->append(run, static_cast<size_t>(end - run));
  }
}

absl::Status DecodeRuns(absl::string_view bytes, const OwnContent& own,
                        absl::InlinedVector<Extent, 1>* extents) {
  extents->clear();
  extents->reserve(bytes.size() / kRunBytesUsual);
  while (!bytes.empty()) {
    Extent& extent = extents->emplace_back();
    if (!TakeRun(&bytes, own, &extent) || !IsSound(extent)) return Damaged();
  }
  return absl::OkStatus();
}

}  // namespace storage
}  // namespace cairn
