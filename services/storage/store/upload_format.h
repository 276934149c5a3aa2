// The bytes of an upload's journal, which lies beside its segment as long as it
// is not finished. Pure: no I/O, no clock; the fuzzer reaches all of it.
// Layout: docs/formats/upload.md.
//
//   | header 32 | record | record | …
//   record: | header 12 | UploadRecord |

#ifndef CAIRN_SERVICES_STORAGE_STORE_UPLOAD_FORMAT_H_
#define CAIRN_SERVICES_STORAGE_STORE_UPLOAD_FORMAT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "cairn/disk/v1/upload.pb.h"
#include "services/storage/core/upload_sessions.h"

namespace cairn {
namespace storage {

inline constexpr int64_t kUploadJournalHeaderBytes = 32;
inline constexpr int64_t kUploadRecordHeaderBytes = 12;

// Longer ones are damage.
inline constexpr int64_t kUploadRecordBytesMax = 1 << 20;

// Block CRCs that fit into one record, whatever runs they make.
inline constexpr size_t kUploadBlocksPerRecord = 16384;

// Of the segment with this number. kUploadJournalHeaderBytes bytes.
std::string EncodeUploadJournalHeader(uint64_t number);

// The record that stands at `offset` of the journal.
std::string EncodeUploadRecord(uint64_t number, int64_t offset,
                               const disk::v1::UploadRecord& record);

// What a journal says.
struct UploadJournal {
  Uuid id;
  UploadSessionSpec spec;
  int64_t create_unix_ms = 0;
  int64_t newest_unix_ms = 0;  // Of any record.

  // CRC-32C of each block that is durable, by its number; the vector ends with
  // the last of them.
  std::vector<absl::optional<uint32_t>> blocks;

  // Where the whole records end: the next one goes there, and what lies behind
  // is the torn tail of a crash.
  int64_t end = 0;
};

// Reads as many records as are whole.
//   DATA_LOSS            damaged before the first record's end, or of another
//                        segment: there is no upload.
//   FAILED_PRECONDITION  its format version is newer than this program.
absl::StatusOr<UploadJournal> DecodeUploadJournal(uint64_t number,
                                                  absl::string_view bytes);

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_UPLOAD_FORMAT_H_
