// Whatever bytes a disk gives back as the journal of an upload: the decoder
// refuses them, or gives something that keeps to its limits and says the same
// when it is read again up to its end.
//
// The first byte says whether the checksums are made right first, since no
// fuzzer would find one.

#include <cstdint>
#include <cstring>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/base/check.h"
#include "lib/checksum/crc32c.h"
#include "services/storage/store/upload_format.h"

namespace cairn {
namespace storage {
namespace {

constexpr uint64_t kNumber = 7;

// Takes `bytes` for bodies of records, each behind a byte with its size, and
// makes a journal of them.
std::string JournalOf(absl::string_view bytes) {
  std::string journal = EncodeUploadJournalHeader(kNumber);
  while (!bytes.empty()) {
    const auto size = static_cast<size_t>(static_cast<uint8_t>(bytes[0]));
    bytes.remove_prefix(1);
    const absl::string_view body = bytes.substr(0, size);
    bytes.remove_prefix(body.size());
    disk::v1::UploadRecord record;
    if (!record.ParseFromArray(body.data(), static_cast<int>(body.size()))) {
      continue;
    }
    journal += EncodeUploadRecord(kNumber, static_cast<int64_t>(journal.size()),
                                  record);
  }
  return journal;
}

void Fuzz(absl::string_view bytes) {
  const absl::StatusOr<UploadJournal> journal =
      DecodeUploadJournal(kNumber, bytes);
  if (!journal.ok()) return;
  CAIRN_CHECK(journal->end > kUploadJournalHeaderBytes);
  CAIRN_CHECK(journal->end <= static_cast<int64_t>(bytes.size()));
  const auto blocks = static_cast<int64_t>(journal->blocks.size());
  CAIRN_CHECK(blocks <= kUploadSessionBytesMax / kBlockBytes);
  if (journal->spec.size_bytes.has_value()) {
    CAIRN_CHECK(*journal->spec.size_bytes >= 0);
    CAIRN_CHECK((blocks - 1) * kBlockBytes < *journal->spec.size_bytes ||
                blocks == 0);
  }
  const absl::StatusOr<UploadJournal> again = DecodeUploadJournal(
      kNumber, bytes.substr(0, static_cast<size_t>(journal->end)));
  CAIRN_CHECK_OK(again.status());
  CAIRN_CHECK(again->end == journal->end);
  CAIRN_CHECK(again->blocks == journal->blocks);
  CAIRN_CHECK(again->spec.size_bytes == journal->spec.size_bytes);
}

}  // namespace
}  // namespace storage
}  // namespace cairn

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const absl::string_view bytes(reinterpret_cast<const char*>(data) + 1,
                                size - 1);
  cairn::storage::Fuzz(data[0] % 2 == 0 ? std::string(bytes)
                                        : cairn::storage::JournalOf(bytes));
  return 0;
}
