#include "clients/cli/manifest.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "clients/cli/local_files.h"
#include "lib/base/status_macros.h"

namespace cairn {
namespace cli {
namespace {

constexpr absl::string_view kHeading = "# cairn manifest 1\n";

// 10,000,000 files with long paths; what is larger is no manifest.
constexpr int64_t kManifestBytesMax = int64_t{4} << 30;

std::string Unescape(absl::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out.push_back(text[i]);
      continue;
    }
    switch (text[++i]) {
      case 't':
        out.push_back('\t');
        break;
      case 'n':
        out.push_back('\n');
        break;
      default:
        out.push_back(text[i]);
    }
  }
  return out;
}

absl::Status NotAManifest(absl::string_view path, absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat(path, " is not a manifest of `cairn put`: ", why));
}

bool ParseLine(absl::string_view line, ManifestEntry* entry) {
  const std::vector<absl::string_view> cells = absl::StrSplit(line, '\t');
  if (cells.size() != 4 || cells[0].empty()) return false;
  entry->file_id = std::string(cells[0]);
  entry->path = Unescape(cells[3]);
  return absl::SimpleAtoi(cells[1], &entry->size_bytes) &&
         entry->size_bytes >= 0 && cells[2].size() == 8 &&
         absl::SimpleHexAtoi(cells[2], &entry->crc32c);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ManifestWriter>> ManifestWriter::Open(
    FileSystem* fs, absl::string_view path) {
  const std::string absolute = AbsolutePath(path);
  CAIRN_ASSIGN_OR_RETURN(auto file, fs->Open(absolute, OpenMode::kCreate));
  CAIRN_ASSIGN_OR_RETURN(int64_t size, file->Size());
  if (size == 0) {
    CAIRN_RETURN_IF_ERROR(file->WriteAt(0, {kHeading}));
    CAIRN_RETURN_IF_ERROR(file->Sync());
    CAIRN_RETURN_IF_ERROR(fs->SyncDirectory(ParentOf(absolute)));
    size = static_cast<int64_t>(kHeading.size());
  } else {
    CAIRN_ASSIGN_OR_RETURN(const std::string content,
                           ReadWholeFile(fs, absolute, kManifestBytesMax));
    // A heading that was cut off counts as one: nothing else was written yet.
    if (absl::StartsWith(kHeading, content)) {
      CAIRN_RETURN_IF_ERROR(file->WriteAt(0, {kHeading}));
      size = static_cast<int64_t>(kHeading.size());
    } else if (!absl::StartsWith(content, kHeading)) {
      return NotAManifest(path, "name another file for --manifest");
    } else {
      size = static_cast<int64_t>(content.rfind('\n') + 1);
      CAIRN_RETURN_IF_ERROR(file->Truncate(size));
    }
  }
  return std::unique_ptr<ManifestWriter>(
      new ManifestWriter(std::move(file), size));
}

void ManifestWriter::Add(const ManifestEntry& entry) {
  lines_.Add(absl::StrFormat(
      "%s\t%d\t%08x\t%s\n", entry.file_id, entry.size_bytes, entry.crc32c,
      absl::StrReplaceAll(entry.path,
                          {{"\\", "\\\\"}, {"\t", "\\t"}, {"\n", "\\n"}})));
}

absl::StatusOr<std::vector<ManifestEntry>> ReadManifest(
    FileSystem* fs, absl::string_view path) {
  CAIRN_ASSIGN_OR_RETURN(
      const std::string content,
      ReadWholeFile(fs, AbsolutePath(path), kManifestBytesMax));
  absl::string_view rest = content;
  if (!absl::ConsumePrefix(&rest, kHeading)) {
    return NotAManifest(path,
                        absl::StrCat("its first line is not `",
                                     absl::StripSuffix(kHeading, "\n"), "`"));
  }
  std::vector<ManifestEntry> entries;
  for (size_t number = 2; !rest.empty(); ++number) {
    const size_t end = rest.find('\n');
    if (end == absl::string_view::npos) break;  // Cut off by a crash.
    const absl::string_view line = rest.substr(0, end);
    rest.remove_prefix(end + 1);
    if (line.empty() || line[0] == '#') continue;
    ManifestEntry entry;
    if (!ParseLine(line, &entry)) {
      return NotAManifest(path, absl::StrCat("line ", number, " is malformed"));
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

std::string SafePath(absl::string_view path) {
  std::vector<absl::string_view> safe;
  for (absl::string_view part : absl::StrSplit(path, '/')) {
    if (part == "..") {
      safe.clear();
    } else if (!part.empty() && part != ".") {
      safe.push_back(part);
    }
  }
  return absl::StrJoin(safe, "/");
}

}  // namespace cli
}  // namespace cairn
