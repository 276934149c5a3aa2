// Reads the records of a shared segment in order.

#ifndef CAIRN_SERVICES_STORAGE_STORE_SEGMENT_SCAN_H_
#define CAIRN_SERVICES_STORAGE_STORE_SEGMENT_SCAN_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/io/file_system.h"
#include "services/storage/store/segment_format.h"

namespace cairn {
namespace storage {

// Used by one thread. Reads ahead, so appended bytes may not be seen.
class RecordScanner {
 public:
  enum class Outcome {
    kRecord,  // position(), record() and, if asked for, content() are valid.
    kEnd,     // position() is `end` exactly.
    kBad,     // There are bytes at position() that are no whole record.
  };

  // Scans [offset, end) of segment `segment` in `file`, which must outlive the
  // scanner. With `check_content` a record whose content does not match its
  // CRCs is bad too, and content() can be asked for.
  RecordScanner(File* file, uint64_t segment, int64_t offset, int64_t end,
                bool check_content);

  // Moves to the next record. After kBad only Resync() goes on.
  //   UNAVAILABLE  the disk refused.
  absl::StatusOr<Outcome> Next();

  // Looks for the next record behind a bad place, in steps of 8 bytes. The
  // outcome is kRecord, kEnd, or kBad with prefix_is_whole().
  absl::StatusOr<Outcome> Resync();

  JournalPosition position() const { return {segment_, offset_}; }

  // Why the last Next() said kBad: `record header: CRC`.
  const std::string& damage() const { return damage_; }

  // After kBad: whether the prefix is whole and only the content is not, so
  // that record() is valid.
  bool prefix_is_whole() const { return prefix_is_whole_; }

  // Valid until the next call of a method that is not const.
  const RecordPrefix& record() const { return record_; }

  // The content of record(), with the same validity.
  absl::string_view content() const { return content_; }

 private:
  // The bytes [offset, offset + size), fewer at the end of the range.
  absl::StatusOr<absl::string_view> Fetch(int64_t offset, int64_t size);

  // Decodes what is at offset_.
  absl::StatusOr<Outcome> Decode();

  File* const file_;
  const uint64_t segment_;
  const int64_t end_;
  const bool check_content_;

  int64_t offset_;       // Of the record that is looked at.
  int64_t next_offset_;  // Of the one behind it.
  RecordPrefix record_;
  std::string prefix_;  // What record_.meta points into.
  absl::string_view content_;
  std::string damage_;
  bool prefix_is_whole_ = false;

  std::string buffer_;
  int64_t buffer_offset_ = 0;
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_SEGMENT_SCAN_H_
