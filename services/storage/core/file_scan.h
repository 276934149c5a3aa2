// Going through the files of a store path in the order of their keys.
//
//   from ──▶ key ─ OnKey ─▶ kShow ─▶ the record is read ─ OnFile ─▶ next key
//                     ├───▶ kSkip ─▶ next key
//                     ├───▶ kSeek ─▶ the first key from another one on
//                     └───▶ kStop
//
// A key is a name, turned (file_key.h): files of one node follow on each other,
// the older ones first. What a key alone can tell costs no look at the record.

#ifndef CAIRN_SERVICES_STORAGE_CORE_FILE_SCAN_H_
#define CAIRN_SERVICES_STORAGE_CORE_FILE_SCAN_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "services/storage/core/file_info.h"
#include "services/storage/core/replica_log.h"

namespace cairn {
namespace storage {

// The keys from `from` on that are below `until`.
struct FileRange {
  std::string from;   // Empty: from the first one.
  std::string until;  // Empty: to the last one.

  // What to read of the disk at once; 0 for who wants a few files.
  int64_t read_ahead_bytes = 0;
};

// Whether whoever asks for a file finds it.
inline bool IsVisible(const KnownFile& known, int64_t now_unix_seconds) {
  return !known.deleted &&
         !HasExpired(known.file.expire_unix_seconds, now_unix_seconds);
}

// Is shown what is there. Not to call the path it is shown.
class FileVisitor {
 public:
  virtual ~FileVisitor() = default;

  enum class Step {
    kShow,
    kSkip,
    kSeek,  // To `seek`, which was set to a key behind this one.
    kStop,  // Before this one.
  };

  // Of a name, deleted ones too. `key` is valid during the call.
  virtual Step OnKey(absl::string_view key, std::string* seek) = 0;

  // After kShow; a tombstone too. KnownFile::change is not filled in. False:
  // this is the last one. Both are valid during the call.
  virtual bool OnFile(absl::string_view key, const KnownFile& file) = 0;
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_FILE_SCAN_H_
