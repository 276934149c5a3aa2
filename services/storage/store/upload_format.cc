#include "services/storage/store/upload_format.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/checksum/crc32c.h"

namespace cairn {
namespace storage {
namespace {

constexpr char kMagic[8] = {'C', 'A', 'I', 'R', 'N', 'U', 'P', 'L'};
constexpr uint32_t kRecordMagic = 0x70754321;  // `!Cup` on disk.
constexpr uint32_t kFormatVersion = 1;

// Offsets in the header; the rest is zero.
constexpr int kVersionAt = 8;
constexpr int kNumberAt = 16;
constexpr int kHeaderCrcAt = 24;

// Offsets in a record's header.
constexpr int kRecordCrcAt = 4;
constexpr int kRecordBytesAt = 8;

// Integers are little-endian on disk, as on every machine that this runs on.
static_assert(std::endian::native == std::endian::little);

constexpr uint64_t kBlocksMax = kUploadSessionBytesMax / kBlockBytes;

template <typename T>
T Load(const char* p) {
  T value;
  std::memcpy(&value, p, sizeof(value));
  return value;
}
template <typename T>
void Store(char* p, T value) {
  std::memcpy(p, &value, sizeof(value));
}

absl::Status Damaged(absl::string_view what) {
  return ErrorWithReason(absl::StatusCode::kDataLoss,
                         ErrorReason::kContentDamaged, what);
}

// Covers where the record stands, so that stale or misplaced bytes never pass.
uint32_t RecordCrc(uint64_t number, int64_t offset, absl::string_view tail) {
  char place[16];
  Store(place, number);
  Store(place + 8, static_cast<uint64_t>(offset));
  return ExtendCrc32c(Crc32c(absl::string_view(place, sizeof(place))), tail);
}

// False if the record says what cannot be.
bool TakeBegin(const disk::v1::UploadBegin& begin, UploadJournal* journal) {
  const absl::StatusOr<Uuid> id = Uuid::FromBytes(begin.upload_id());
  if (!id.ok()) return false;
  journal->id = *id;
  if (begin.has_size_bytes()) {
    if (begin.size_bytes() < 0 || begin.size_bytes() > kUploadSessionBytesMax) {
      return false;
    }
    journal->spec.size_bytes = begin.size_bytes();
  }
  journal->spec.extension = begin.extension();
  journal->spec.derived_name = begin.derived_name();
  journal->spec.owner = begin.owner();
  if (begin.has_crc32c()) journal->spec.crc32c = begin.crc32c();
  journal->create_unix_ms = begin.unix_ms();
  journal->newest_unix_ms = begin.unix_ms();
  return true;
}

bool TakeBlocks(const disk::v1::UploadBlocks& blocks, UploadJournal* journal) {
  absl::optional<int64_t> size = journal->spec.size_bytes;
  if (blocks.has_size_bytes()) {
    if (blocks.size_bytes() < 0 ||
        blocks.size_bytes() > kUploadSessionBytesMax ||
        size.value_or(blocks.size_bytes()) != blocks.size_bytes()) {
      return false;
    }
    size = blocks.size_bytes();
  }
  uint64_t limit = kBlocksMax;
  if (size.has_value()) {
    limit = static_cast<uint64_t>((*size + kBlockBytes - 1) / kBlockBytes);
    if (journal->blocks.size() > limit) return false;
  }
  for (const disk::v1::UploadRun& run : blocks.runs()) {
    const auto count = static_cast<uint64_t>(run.crcs_size());
    if (run.first_block() > limit || count > limit - run.first_block()) {
      return false;
    }
  }
  for (const disk::v1::UploadRun& run : blocks.runs()) {
    const auto first = static_cast<size_t>(run.first_block());
    const auto count = static_cast<size_t>(run.crcs_size());
    if (count == 0) continue;
    if (journal->blocks.size() < first + count) {
      journal->blocks.resize(first + count);
    }
    for (size_t i = 0; i < count; ++i) {
      journal->blocks[first + i] = run.crcs(static_cast<int>(i));
    }
  }
  journal->spec.size_bytes = size;
  journal->newest_unix_ms = std::max(journal->newest_unix_ms, blocks.unix_ms());
  return true;
}

}  // namespace

std::string EncodeUploadJournalHeader(uint64_t number) {
  std::string header(kUploadJournalHeaderBytes, '\0');
  std::memcpy(header.data(), kMagic, sizeof(kMagic));
  Store(header.data() + kVersionAt, kFormatVersion);
  Store(header.data() + kNumberAt, number);
  Store(header.data() + kHeaderCrcAt,
        Crc32c(absl::string_view(header).substr(0, kHeaderCrcAt)));
  return header;
}

std::string EncodeUploadRecord(uint64_t number, int64_t offset,
                               const disk::v1::UploadRecord& record) {
  std::string bytes(kUploadRecordHeaderBytes, '\0');
  record.AppendToString(&bytes);
  const size_t size = bytes.size() - kUploadRecordHeaderBytes;
  CAIRN_CHECK(size <= kUploadRecordBytesMax);
  Store(bytes.data(), kRecordMagic);
  Store(bytes.data() + kRecordBytesAt, static_cast<uint32_t>(size));
  Store(bytes.data() + kRecordCrcAt,
        RecordCrc(number, offset,
                  absl::string_view(bytes).substr(kRecordBytesAt)));
  return bytes;
}

absl::StatusOr<UploadJournal> DecodeUploadJournal(uint64_t number,
                                                  absl::string_view bytes) {
  if (bytes.size() < kUploadJournalHeaderBytes ||
      std::memcmp(bytes.data(), kMagic, sizeof(kMagic)) != 0 ||
      Load<uint32_t>(bytes.data() + kHeaderCrcAt) !=
          Crc32c(bytes.substr(0, kHeaderCrcAt))) {
    return Damaged("this is no journal of an upload");
  }
  const auto version = Load<uint32_t>(bytes.data() + kVersionAt);
  if (version != kFormatVersion) {
    return ErrorWithReason(
        absl::StatusCode::kFailedPrecondition, ErrorReason::kNotSupported,
        absl::StrCat("format version ", version,
                     " of an upload's journal is not known to this program; "
                     "use a newer one"));
  }
  if (Load<uint64_t>(bytes.data() + kNumberAt) != number) {
    return Damaged("the journal is another upload's");
  }
  UploadJournal journal;
  journal.end = kUploadJournalHeaderBytes;
  for (bool first = true;; first = false) {
    const absl::string_view rest =
        bytes.substr(static_cast<size_t>(journal.end));
    if (rest.size() < kUploadRecordHeaderBytes ||
        Load<uint32_t>(rest.data()) != kRecordMagic) {
      break;
    }
    const auto size =
        static_cast<int64_t>(Load<uint32_t>(rest.data() + kRecordBytesAt));
    if (size > kUploadRecordBytesMax ||
        size > static_cast<int64_t>(rest.size()) - kUploadRecordHeaderBytes) {
      break;
    }
    const absl::string_view whole =
        rest.substr(0, static_cast<size_t>(kUploadRecordHeaderBytes + size));
    if (Load<uint32_t>(rest.data() + kRecordCrcAt) !=
        RecordCrc(number, journal.end, whole.substr(kRecordBytesAt))) {
      break;
    }
    disk::v1::UploadRecord record;
    if (!record.ParseFromArray(whole.data() + kUploadRecordHeaderBytes,
                               static_cast<int>(size))) {
      break;
    }
    const bool taken =
        first ? record.has_begin() && TakeBegin(record.begin(), &journal)
              : record.has_blocks() && TakeBlocks(record.blocks(), &journal);
    if (!taken) break;
    journal.end += static_cast<int64_t>(whole.size());
  }
  if (journal.end == kUploadJournalHeaderBytes) {
    return Damaged("the journal says of no upload");
  }
  return journal;
}

}  // namespace storage
}  // namespace cairn
