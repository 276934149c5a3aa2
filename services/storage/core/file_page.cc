#include "services/storage/core/file_page.h"

#include <utility>

#include "lib/base/status_macros.h"
#include "services/storage/core/file_key.h"

namespace cairn {
namespace storage {
namespace {

class Collector : public FileVisitor {
 public:
  explicit Collector(size_t limit) : limit_(limit) {}

  Step OnKey(absl::string_view, std::string*) override {
    return files_.size() == limit_ ? Step::kStop : Step::kShow;
  }
  bool OnFile(absl::string_view, const KnownFile& file) override {
    files_.push_back(file);
    return true;
  }

  std::vector<KnownFile> TakeFiles() { return std::move(files_); }
  bool full() const { return files_.size() >= limit_; }

 private:
  const size_t limit_;
  std::vector<KnownFile> files_;
};

}  // namespace

absl::StatusOr<FilePage> ReadFilePage(StorePath* path, const FileRange& range,
                                      size_t limit) {
  Collector collector(limit);
  FileRange rest = range;
  FilePage page;
  do {
    CAIRN_ASSIGN_OR_RETURN(page.next, path->ScanFiles(rest, &collector));
    rest.from = page.next;
  } while (!page.next.empty() && !collector.full());
  page.files = collector.TakeFiles();
  return page;
}

FileRange RangeOfLastPart(absl::string_view prefix) {
  FileRange range;
  AppendFileKey(prefix, &range.from);
  range.until = EndOfPrefix(range.from);
  return range;
}

}  // namespace storage
}  // namespace cairn
