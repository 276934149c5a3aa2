#include "services/storage/store/segment_probe.h"

#include <algorithm>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "lib/base/status_macros.h"
#include "lib/checksum/crc32c.h"
#include "services/storage/store/segment_format.h"
#include "services/storage/store/segment_scan.h"

namespace cairn {
namespace storage {
namespace {
constexpr int64_t kReadBytes = 1 << 20;
}  // namespace

absl::StatusOr<SegmentProbe> ProbeSegment(File* file, uint64_t number) {
  SegmentProbe probe;
  CAIRN_ASSIGN_OR_RETURN(probe.size_bytes, file->Size());
  std::string block(kSegmentHeaderBytes, '\0');
  CAIRN_ASSIGN_OR_RETURN(const size_t read,
                         file->ReadAt(0, block.data(), block.size()));
  block.resize(read);
  const absl::StatusOr<SegmentHeader> header = DecodeSegmentHeader(block);
  if (absl::IsFailedPrecondition(header.status())) return header.status();
  if (header.ok() && header->number == number) {
    probe.shared = header->kind == SegmentKind::kShared;
    return probe;
  }
  // Either the header is damaged, or it never reached the disk. A record behind
  // it tells: records know the number of their segment.
  RecordScanner scanner(file, number, kSegmentHeaderBytes, probe.size_bytes,
                        /*check_content=*/false);
  CAIRN_ASSIGN_OR_RETURN(const RecordScanner::Outcome outcome, scanner.Next());
  probe.shared = outcome == RecordScanner::Outcome::kRecord;
  probe.header_damaged = probe.shared;
  return probe;
}

absl::StatusOr<bool> DedicatedIsWhole(SegmentSet* segments,
                                      const Extent& extent,
                                      DedicatedCheck check) {
  const absl::StatusOr<std::shared_ptr<File>> file =
      segments->Open(extent.segment);
  if (absl::IsNotFound(file.status())) return false;
  CAIRN_RETURN_IF_ERROR(file.status());
  CAIRN_ASSIGN_OR_RETURN(const int64_t size, (*file)->Size());
  const int64_t content_bytes = extent.content_bytes;
  if (extent.content_offset != kSegmentHeaderBytes ||
      size < DedicatedFileBytes(content_bytes)) {
    return false;
  }
  std::string bytes(kSegmentHeaderBytes, '\0');
  CAIRN_ASSIGN_OR_RETURN(size_t read,
                         (*file)->ReadAt(0, bytes.data(), bytes.size()));
  const absl::StatusOr<SegmentHeader> header =
      DecodeSegmentHeader(absl::string_view(bytes.data(), read));
  if (!header.ok() || header->number != extent.segment) return false;
  bytes.resize(TrailerBytes(content_bytes));
  CAIRN_ASSIGN_OR_RETURN(
      read, (*file)->ReadAt(kSegmentHeaderBytes + content_bytes, bytes.data(),
                            bytes.size()));
  const absl::StatusOr<Trailer> trailer = DecodeTrailer(
      extent.segment, content_bytes, absl::string_view(bytes.data(), read));
  if (!trailer.ok()) return false;
  if (extent.is_whole() && trailer->content_crc != extent.crc32c) return false;
  if (check == DedicatedCheck::kShape) return true;
  uint32_t crc = 0;
  bytes.resize(kReadBytes);
  for (int64_t at = 0; at < content_bytes;) {
    const int64_t want = std::min<int64_t>(static_cast<int64_t>(bytes.size()),
                                           content_bytes - at);
    CAIRN_ASSIGN_OR_RETURN(
        read, (*file)->ReadAt(kSegmentHeaderBytes + at, bytes.data(), want));
    if (static_cast<int64_t>(read) != want) return false;
    crc = ExtendCrc32c(crc, absl::string_view(bytes.data(), read));
    at += want;
  }
  return crc == trailer->content_crc;
}

}  // namespace storage
}  // namespace cairn
