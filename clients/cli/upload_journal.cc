#include "clients/cli/upload_journal.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "clients/cli/local_files.h"
#include "lib/base/status_macros.h"
#include "lib/io/errno_status.h"

namespace cairn {
namespace cli {
namespace {

constexpr absl::string_view kHeading = "# cairn upload 1\n";

// A line for each part of the largest file.
constexpr int64_t kJournalBytesMax = 256 << 20;

std::string Escape(absl::string_view text) {
  return absl::StrReplaceAll(text,
                             {{"\\", "\\\\"}, {"\t", "\\t"}, {"\n", "\\n"}});
}

std::string Unescape(absl::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) {
      const char c = text[++i];
      out.push_back(c == 't' ? '\t' : c == 'n' ? '\n' : c);
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

std::string PartLine(const client::SentPart& part) {
  return absl::StrFormat("part\t%d\t%d\t%08x\n", part.offset, part.length,
                         part.crc32c);
}

bool ParsePart(const std::vector<absl::string_view>& cells,
               client::SentPart* part) {
  return cells.size() == 4 && absl::SimpleAtoi(cells[1], &part->offset) &&
         part->offset >= 0 && absl::SimpleAtoi(cells[2], &part->length) &&
         part->length > 0 && cells[3].size() == 8 &&
         absl::SimpleHexAtoi(cells[3], &part->crc32c);
}

// FNV-1a. It is no secret: the journal names its source.
uint64_t Hash(absl::string_view text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) {
    hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  }
  return hash;
}

}  // namespace

absl::optional<JournalledUpload> ParseUploadJournal(absl::string_view text) {
  if (!absl::ConsumePrefix(&text, kHeading)) return absl::nullopt;
  JournalledUpload upload;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    if (end == absl::string_view::npos) break;  // Cut off by a crash.
    const std::vector<absl::string_view> cells =
        absl::StrSplit(text.substr(0, end), '\t');
    text.remove_prefix(end + 1);
    if (cells[0] == "source") {
      if (cells.size() != 4 ||
          !absl::SimpleAtoi(cells[1], &upload.source.size_bytes) ||
          !absl::SimpleAtoi(cells[2], &upload.source.mtime_nanos)) {
        return absl::nullopt;
      }
      upload.source.path = Unescape(cells[3]);
    } else if (cells[0] == "upload") {
      if (cells.size() != 2) return absl::nullopt;
      upload.state.upload_id = std::string(cells[1]);
    } else if (cells[0] == "part") {
      client::SentPart part;
      if (!ParsePart(cells, &part)) return absl::nullopt;
      upload.state.parts.push_back(part);
    }
  }
  if (upload.source.path.empty() || upload.state.upload_id.empty()) {
    return absl::nullopt;
  }
  return upload;
}

absl::StatusOr<UploadSource> DescribeSource(absl::string_view path) {
  UploadSource source;
  source.path = AbsolutePath(path);
  struct stat found = {};
  if (::stat(source.path.c_str(), &found) != 0) {
    return StatusFromErrno(errno, "stat", source.path);
  }
  source.size_bytes = found.st_size;
  source.mtime_nanos =
      int64_t{found.st_mtim.tv_sec} * 1000000000 + found.st_mtim.tv_nsec;
  return source;
}

std::string DefaultJournalPath(absl::string_view state_home,
                               absl::string_view source_path) {
  return absl::StrFormat("%s/cairn/uploads/%016x", state_home,
                         Hash(source_path));
}

std::string StateHome() {
  const char* const state = std::getenv("XDG_STATE_HOME");
  // By its specification a relative one does not count.
  if (state != nullptr && state[0] == '/') return state;
  const char* const home = std::getenv("HOME");
  if (home != nullptr && home[0] == '/') {
    return absl::StrCat(home, "/.local/state");
  }
  return "";
}

absl::optional<JournalledUpload> UploadJournal::Read() {
  const absl::StatusOr<std::string> text =
      ReadWholeFile(fs_, path_, kJournalBytesMax);
  if (!text.ok()) return absl::nullopt;
  return ParseUploadJournal(*text);
}

absl::Status UploadJournal::Begin(const UploadSource& source,
                                  absl::string_view upload_id) {
  const absl::StatusOr<std::string> old =
      ReadWholeFile(fs_, path_, kJournalBytesMax);
  if (old.ok() && !absl::StartsWith(*old, kHeading)) {
    return absl::InvalidArgumentError(absl::StrCat(
        path_,
        " is not a journal of `cairn put --resume`: name another file for "
        "--journal"));
  }
  CAIRN_RETURN_IF_ERROR(CreateDirectories(fs_, ParentOf(path_)));
  const std::string text = absl::StrFormat(
      "%ssource\t%d\t%d\t%s\nupload\t%s\n", kHeading, source.size_bytes,
      source.mtime_nanos, Escape(source.path), upload_id);
  CAIRN_RETURN_IF_ERROR(ReplaceFile(fs_, path_, text));
  CAIRN_ASSIGN_OR_RETURN(file_, fs_->Open(path_, OpenMode::kReadWrite));
  size_ = static_cast<int64_t>(text.size());
  return absl::OkStatus();
}

absl::Status UploadJournal::AddPart(const client::SentPart& part) {
  if (file_ == nullptr) {
    CAIRN_ASSIGN_OR_RETURN(file_, fs_->Open(path_, OpenMode::kReadWrite));
    CAIRN_ASSIGN_OR_RETURN(const std::string text,
                           ReadWholeFile(fs_, path_, kJournalBytesMax));
    size_ = static_cast<int64_t>(text.rfind('\n') + 1);
    CAIRN_RETURN_IF_ERROR(file_->Truncate(size_));
  }
  const std::string line = PartLine(part);
  CAIRN_RETURN_IF_ERROR(file_->WriteAt(size_, {absl::string_view(line)}));
  size_ += static_cast<int64_t>(line.size());
  return absl::OkStatus();
}

absl::Status UploadJournal::Remove() {
  file_ = nullptr;
  const absl::Status removed = fs_->Remove(path_);
  return absl::IsNotFound(removed) ? absl::OkStatus() : removed;
}

}  // namespace cli
}  // namespace cairn
