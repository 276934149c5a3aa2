// Which files somebody wants to have listed, and how to find them without
// looking at all of them.
//
//   conditions ─▶ range()  the keys that come into question
//                 CheckKey()   skips and seeks by what a name says of itself
//                 CheckFile()  the rest, which takes the record
//
// Pure. Not thread-safe.

#ifndef CAIRN_SERVICES_STORAGE_CORE_FILE_FILTER_H_
#define CAIRN_SERVICES_STORAGE_CORE_FILE_FILTER_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "lib/attributes/attributes.h"
#include "services/storage/core/file_info.h"
#include "services/storage/core/file_scan.h"
#include "services/storage/core/replica_log.h"

namespace cairn {
namespace storage {

// All of them must be met.
struct FileConditions {
  // What the name, or its last part, begins with.
  std::string prefix;

  // FileInfo::create_unix_seconds is at least, and is below.
  absl::optional<int64_t> created_from;
  absl::optional<int64_t> created_before;

  absl::optional<FileKind> kind;

  // It has all of these; one with an empty value is only asked to be there.
  Attributes attributes;
};

class FileFilter {
 public:
  explicit FileFilter(FileConditions conditions);

  // The keys that come into question.
  const FileRange& range() const { return range_; }

  // As FileVisitor::OnKey(); never kStop.
  //
  // A name says who made it and when, and names of one node sort by that time:
  // what is too new lies at the end of each node's names, what is too old at
  // their beginning. But a derived file begins with its master's name and may
  // be younger, so that old names can be passed over at once only if derived
  // files are not asked for.
  FileVisitor::Step CheckKey(absl::string_view key, std::string* seek);

  // Whether it is there and is wanted. After CheckKey() has said kShow.
  bool CheckFile(const KnownFile& known, int64_t now_unix_seconds) const;

 private:
  bool CheckPrefix(absl::string_view key);

  const FileConditions conditions_;
  FileRange range_;
  bool prefix_is_range_ = false;  // All keys of the range have it.
  std::string name_;              // Kept for its memory.
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_FILE_FILTER_H_
