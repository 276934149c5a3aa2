// Whatever bytes a disk gives back: the decoders of a segment refuse them or
// give something that encodes to the same bytes, and a scan of them ends.
//
// The first byte chooses the decoder and whether the checksum is made right
// first, since no fuzzer would find one.

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "lib/base/check.h"
#include "lib/checksum/crc32c.h"
#include "lib/io/file_system.h"
#include "lib/testing/crashable_file_system.h"
#include "services/storage/store/segment_format.h"
#include "services/storage/store/segment_scan.h"

namespace cairn {
namespace storage {
namespace {

constexpr JournalPosition kPlace{7, 4096};

void Store32(uint32_t value, size_t at, std::string* bytes) {
  if (at + sizeof(value) <= bytes->size()) {
    std::memcpy(bytes->data() + at, &value, sizeof(value));
  }
}

void FuzzSegmentHeader(std::string block, bool mend) {
  // Magic to incarnation, then the CRC of that.
  constexpr size_t kChecked = 40;
  if (mend && block.size() >= kChecked) {
    Store32(Crc32c(absl::string_view(block).substr(0, kChecked)), kChecked,
            &block);
  }
  const absl::StatusOr<SegmentHeader> header = DecodeSegmentHeader(block);
  if (!header.ok()) return;
  const std::string again = EncodeSegmentHeader(*header);
  CAIRN_CHECK(again.compare(0, kChecked + 4, block, 0, kChecked + 4) == 0);
}

void FuzzRecord(std::string bytes, bool mend) {
  const absl::StatusOr<int64_t> prefix_bytes =
      RecordPrefixBytes(absl::string_view(bytes).substr(0, kRecordHeaderBytes));
  if (!prefix_bytes.ok()) return;
  CAIRN_CHECK(*prefix_bytes >= kRecordHeaderBytes);
  const std::string prefix =
      bytes.substr(0, static_cast<size_t>(*prefix_bytes));
  if (mend && static_cast<int64_t>(prefix.size()) == *prefix_bytes) {
    // The CRC is of the place and of what follows it.
    char place[16];
    std::memcpy(place, &kPlace.segment, 8);
    std::memcpy(place + 8, &kPlace.offset, 8);
    const uint32_t crc =
        ExtendCrc32c(Crc32c(absl::string_view(place, sizeof(place))),
                     absl::string_view(prefix).substr(8));
    Store32(crc, 4, &bytes);
  }
  const std::string mended =
      bytes.substr(0, static_cast<size_t>(*prefix_bytes));
  const absl::StatusOr<RecordPrefix> record =
      DecodeRecordPrefix(kPlace, mended);
  if (!record.ok()) return;
  CAIRN_CHECK(record->prefix_bytes == *prefix_bytes);
  CAIRN_CHECK(record->record_bytes % 8 == 0);
  std::string again;
  AppendRecordPrefix(kPlace, record->header, record->meta, record->block_crcs,
                     &again);
  CAIRN_CHECK(again == mended);
  const absl::string_view content =
      absl::string_view(bytes).substr(static_cast<size_t>(*prefix_bytes));
  if (CheckContent(*record, content).ok()) {
    CAIRN_CHECK(content.size() == record->header.content_bytes);
  }
}

void FuzzTrailer(std::string bytes, bool mend) {
  // The length of the content comes first; it is known from elsewhere.
  if (bytes.size() < 4) return;
  uint32_t content_bytes;
  std::memcpy(&content_bytes, bytes.data(), 4);
  content_bytes %= 8 << 20;
  bytes.erase(0, 4);
  if (mend && bytes.size() >= 4) {
    Store32(Crc32c(absl::string_view(bytes).substr(0, bytes.size() - 4)),
            bytes.size() - 4, &bytes);
  }
  const absl::StatusOr<Trailer> trailer =
      DecodeTrailer(kPlace.segment, content_bytes, bytes);
  if (trailer.ok()) CAIRN_CHECK(EncodeTrailer(*trailer) == bytes);
}

void FuzzScan(const std::string& bytes, bool check_content) {
  static CrashableFileSystem* const fs = new CrashableFileSystem(1);
  auto file = fs->Open("/segment", OpenMode::kCreate);
  CAIRN_CHECK_OK(file.status());
  CAIRN_CHECK_OK((*file)->Truncate(0));
  CAIRN_CHECK_OK((*file)->WriteAt(0, {bytes}));
  // The records below are made for offset 4096, so the file begins there.
  const auto size = static_cast<int64_t>(bytes.size());
  RecordScanner scanner(file->get(), kPlace.segment, 0, size, check_content);
  absl::StatusOr<RecordScanner::Outcome> outcome = scanner.Next();
  int64_t last = -1;
  while (true) {
    CAIRN_CHECK_OK(outcome.status());
    if (*outcome == RecordScanner::Outcome::kEnd) break;
    // It never stands still and never leaves the file.
    CAIRN_CHECK(scanner.position().offset > last);
    CAIRN_CHECK(scanner.position().offset < size);
    last = scanner.position().offset;
    outcome = *outcome == RecordScanner::Outcome::kRecord ? scanner.Next()
                                                          : scanner.Resync();
  }
}

}  // namespace
}  // namespace storage
}  // namespace cairn

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn::storage;  // NOLINT: the one function outside of it
  if (size == 0) return 0;
  const std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const bool flag = (data[0] & 4) != 0;
  switch (data[0] & 3) {
    case 0:
      FuzzSegmentHeader(bytes, flag);
      break;
    case 1:
      FuzzRecord(bytes, flag);
      break;
    case 2:
      FuzzTrailer(bytes, flag);
      break;
    case 3:
      FuzzScan(bytes, flag);
      break;
  }
  return 0;
}
