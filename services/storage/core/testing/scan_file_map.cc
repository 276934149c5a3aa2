#include "services/storage/core/testing/scan_file_map.h"

#include "services/storage/core/file_key.h"

namespace cairn {
namespace storage {
namespace {

// Names in one call.
constexpr int kNamesMax = 7;

}  // namespace

std::string ScanFileMap(const std::map<std::string, KnownFile>& files,
                        const FileRange& range, FileVisitor* visitor) {
  std::string seek;
  int names = 0;
  auto it = files.lower_bound(range.from);
  while (it != files.end() &&
         (range.until.empty() || it->first < range.until)) {
    if (names++ == kNamesMax) return it->first;
    switch (visitor->OnKey(it->first, &seek)) {
      case FileVisitor::Step::kShow:
        if (!visitor->OnFile(it->first, it->second)) {
          return KeyBehind(it->first);
        }
        ++it;
        break;
      case FileVisitor::Step::kSkip:
        ++it;
        break;
      case FileVisitor::Step::kSeek:
        it = files.lower_bound(seek);
        break;
      case FileVisitor::Step::kStop:
        return it->first;
    }
  }
  return "";
}

}  // namespace storage
}  // namespace cairn
