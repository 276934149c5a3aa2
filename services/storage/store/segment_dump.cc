#include "services/storage/store/segment_dump.h"

#include <algorithm>
#include <memory>

#include "absl/container/inlined_vector.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "cairn/disk/v1/segment.pb.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/checksum/crc32c.h"
#include "services/storage/core/store_path.h"
#include "services/storage/store/extent.h"
#include "services/storage/store/segment_format.h"
#include "services/storage/store/segment_scan.h"

namespace cairn {
namespace storage {
namespace {

using Line = std::function<void(const std::string&)>;

const char* TypeName(RecordType type) {
  switch (type) {
    case RecordType::kPut:
      return "PUT";
    case RecordType::kFile:
      return "FILE";
    case RecordType::kDelete:
      return "DELETE";
    case RecordType::kOpened:
      return "OPENED";
    case RecordType::kCleanEnd:
      return "CLEAN_END";
    case RecordType::kSealed:
      return "SEALED";
    case RecordType::kPassed:
      return "PASSED";
    case RecordType::kLogs:
      return "LOGS";
    case RecordType::kPieces:
      return "PIECES";
  }
  return "?";
}

// The number that the file's name says, if it is `<16 hex digits>.seg`.
bool NumberFromPath(absl::string_view path, uint64_t* number) {
  const size_t slash = path.rfind('/');
  if (slash != absl::string_view::npos) path.remove_prefix(slash + 1);
  return absl::ConsumeSuffix(&path, ".seg") && path.size() == 16 &&
         absl::SimpleHexAtoi(path, number);
}

// ` runs=[4096 bytes crc32c=… segment 3 offset 8192, …]`, of a record that has
// a list of them. Places in the record itself count from its content.
std::string RunsText(const RecordPrefix& record,
                     const disk::v1::FileChange& change) {
  if (change.runs().empty()) return "";
  OwnContent own;
  own.record.offset = kSegmentHeaderBytes;
  own.prefix_bytes = record.prefix_bytes;
  own.content_bytes = record.header.content_bytes;
  absl::InlinedVector<Extent, 1> runs;
  if (!DecodeRuns(change.runs(), own, &runs).ok()) return " runs=unparseable";
  return absl::StrCat(
      " runs=[",
      absl::StrJoin(runs, ", ",
                    [](std::string* out, const Extent& run) {
                      absl::StrAppendFormat(out, "%d bytes crc32c=%08x ",
                                            run.length, run.crc32c);
                      if (run.is_hole()) {
                        absl::StrAppend(out, "zeros");
                      } else if (run.segment == 0) {
                        absl::StrAppend(out, "own offset ",
                                        run.offset - run.content_offset);
                      } else {
                        absl::StrAppend(out, "segment ", run.segment,
                                        " offset ", run.offset);
                      }
                    }),
      "]");
}

std::string MetaText(const RecordPrefix& record) {
  switch (record.header.type) {
    case RecordType::kPut:
    case RecordType::kFile:
    case RecordType::kDelete:
    case RecordType::kPassed:
    case RecordType::kPieces: {
      disk::v1::FileChange change;
      if (!change.ParseFromArray(record.meta.data(),
                                 static_cast<int>(record.meta.size()))) {
        return " meta=unparseable";
      }
      const std::string runs = RunsText(record, change);
      change.clear_runs();
      return absl::StrCat(" ", change.ShortDebugString(), runs);
    }
    case RecordType::kLogs: {
      disk::v1::LogPositions positions;
      if (!positions.ParseFromArray(record.meta.data(),
                                    static_cast<int>(record.meta.size()))) {
        return " meta=unparseable";
      }
      return absl::StrCat(" ", positions.ShortDebugString());
    }
    case RecordType::kOpened: {
      disk::v1::Opened opened;
      if (!opened.ParseFromArray(record.meta.data(),
                                 static_cast<int>(record.meta.size()))) {
        return " meta=unparseable";
      }
      return absl::StrCat(" ", opened.ShortDebugString());
    }
    default:
      return "";
  }
}

std::string RecordText(const RecordScanner& scanner) {
  const RecordPrefix& record = scanner.record();
  std::string text = absl::StrFormat(
      "%10d %s flags=%d bytes=%d content=%d", scanner.position().offset,
      TypeName(record.header.type), record.header.flags, record.record_bytes,
      record.header.content_bytes);
  if (record.header.content_bytes > 0) {
    absl::StrAppendFormat(&text, " crc32c=%08x", record.header.content_crc);
  }
  absl::StrAppendFormat(&text, " synced=%d:%d", record.header.synced.segment,
                        record.header.synced.offset);
  return absl::StrCat(text, MetaText(record));
}

absl::Status DumpRecords(File* file, uint64_t number, int64_t size,
                         const Line& line, SegmentDumpSummary* summary) {
  RecordScanner scanner(file, number, kSegmentHeaderBytes, size,
                        /*check_content=*/true);
  CAIRN_ASSIGN_OR_RETURN(RecordScanner::Outcome outcome, scanner.Next());
  while (outcome != RecordScanner::Outcome::kEnd) {
    if (outcome == RecordScanner::Outcome::kRecord) {
      ++summary->records;
      line(RecordText(scanner));
      CAIRN_ASSIGN_OR_RETURN(outcome, scanner.Next());
      continue;
    }
    ++summary->damaged;
    line(absl::StrFormat("%10d DAMAGED %s", scanner.position().offset,
                         scanner.damage()));
    if (scanner.prefix_is_whole()) line(RecordText(scanner));
    CAIRN_ASSIGN_OR_RETURN(outcome, scanner.Resync());
  }
  line(absl::StrFormat("%10d end", size));
  return absl::OkStatus();
}

// The trailer's length follows from the content's, and that from the file's.
int64_t ContentBytes(int64_t file_bytes) {
  const int64_t rest = file_bytes - kSegmentHeaderBytes;
  int64_t blocks = rest / kBlockBytes;
  for (; blocks <= rest / kBlockBytes + 1; ++blocks) {
    const int64_t table = blocks <= 1 ? 0 : 4 * blocks;
    const int64_t content = rest - table - kTrailerFooterBytes;
    if (content >= 0 && TrailerBytes(content) + content == rest) return content;
  }
  return -1;
}

absl::Status DumpDedicated(File* file, uint64_t number, int64_t size,
                           const Line& line, SegmentDumpSummary* summary) {
  const int64_t content_bytes = ContentBytes(size);
  if (content_bytes < 0) {
    ++summary->damaged;
    line("DAMAGED segment is cut off");
    return absl::OkStatus();
  }
  std::string bytes(TrailerBytes(content_bytes), '\0');
  CAIRN_ASSIGN_OR_RETURN(const size_t read,
                         file->ReadAt(kSegmentHeaderBytes + content_bytes,
                                      bytes.data(), bytes.size()));
  bytes.resize(read);
  const absl::StatusOr<Trailer> trailer =
      DecodeTrailer(number, content_bytes, bytes);
  if (!trailer.ok()) {
    ++summary->damaged;
    line(absl::StrCat("DAMAGED ", trailer.status().message()));
    return absl::OkStatus();
  }
  line(absl::StrFormat("%10d content=%d crc32c=%08x blocks=%d",
                       kSegmentHeaderBytes, content_bytes, trailer->content_crc,
                       std::max<size_t>(trailer->block_crcs.size(), 1)));
  std::string block;
  for (int64_t at = 0; at < content_bytes; at += kBlockBytes) {
    block.resize(std::min(kBlockBytes, content_bytes - at));
    CAIRN_ASSIGN_OR_RETURN(
        const size_t got,
        file->ReadAt(kSegmentHeaderBytes + at, block.data(), block.size()));
    const uint32_t expected = trailer->block_crcs.empty()
                                  ? trailer->content_crc
                                  : trailer->block_crcs[at / kBlockBytes];
    if (got == block.size() && Crc32c(block) == expected) continue;
    ++summary->damaged;
    line(absl::StrFormat("%10d DAMAGED CRC of block %d",
                         kSegmentHeaderBytes + at, at / kBlockBytes));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SegmentDumpSummary> DumpSegment(FileSystem* fs,
                                               absl::string_view path,
                                               const Line& line) {
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                         fs->Open(path, OpenMode::kRead));
  CAIRN_ASSIGN_OR_RETURN(const int64_t size, file->Size());
  std::string block(kSegmentHeaderBytes, '\0');
  CAIRN_ASSIGN_OR_RETURN(const size_t read,
                         file->ReadAt(0, block.data(), block.size()));
  block.resize(read);
  SegmentDumpSummary summary;
  const absl::StatusOr<SegmentHeader> header = DecodeSegmentHeader(block);
  if (absl::IsFailedPrecondition(header.status())) return header.status();
  uint64_t number = 0;
  SegmentKind kind = SegmentKind::kShared;
  if (header.ok()) {
    number = header->number;
    kind = header->kind;
    line(absl::StrFormat("segment %d kind=%s incarnation=%s file_bytes=%d",
                         number,
                         kind == SegmentKind::kShared ? "SHARED" : "DEDICATED",
                         header->incarnation.ToString(), size));
  } else {
    if (!NumberFromPath(path, &number)) {
      return ErrorWithReason(
          absl::StatusCode::kInvalidArgument, ErrorReason::kInvalidField,
          absl::StrCat(path, ": ", header.status().message(),
                       ", and the name is not that of a segment; segments are "
                       "the .seg files below segments/ in a store path"));
    }
    ++summary.damaged;
    line(absl::StrFormat("segment %d file_bytes=%d DAMAGED %s", number, size,
                         header.status().message()));
  }
  CAIRN_RETURN_IF_ERROR(
      kind == SegmentKind::kShared
          ? DumpRecords(file.get(), number, size, line, &summary)
          : DumpDedicated(file.get(), number, size, line, &summary));
  return summary;
}

}  // namespace storage
}  // namespace cairn
