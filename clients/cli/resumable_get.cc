#include "clients/cli/resumable_get.h"

#include <algorithm>
#include <map>
#include <memory>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/inlined_vector.h"
#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "clients/cli/format.h"
#include "clients/cli/local_files.h"
#include "lib/base/error_reason.h"
#include "lib/base/mutex.h"
#include "lib/base/status_macros.h"
#include "lib/checksum/crc32c.h"
#include "lib/io/file_system.h"

namespace cairn {
namespace cli {
namespace {

constexpr absl::string_view kHeading = "# cairn download 1\n";
constexpr int64_t kStateBytesMax = 256 << 20;
constexpr int64_t kPartBytes = 32 << 20;
constexpr int64_t kReadBytes = 1 << 20;

bool ParseFile(const std::vector<absl::string_view>& cells,
               PartialDownload* download) {
  if (cells.size() != 5 || cells[4].empty()) return false;
  download->file_id = std::string(cells[4]);
  const std::vector<absl::string_view> version = absl::StrSplit(cells[3], '.');
  return absl::SimpleAtoi(cells[1], &download->size_bytes) &&
         download->size_bytes >= 0 &&
         absl::SimpleHexAtoi(cells[2], &download->crc32c) &&
         version.size() == 2 &&
         absl::SimpleAtoi(version[0], &download->version_clock) &&
         absl::SimpleAtoi(version[1], &download->version_node);
}

bool ParsePart(const std::vector<absl::string_view>& cells, int64_t size,
               client::SentPart* part) {
  return cells.size() == 4 && absl::SimpleAtoi(cells[1], &part->offset) &&
         part->offset >= 0 && part->offset <= size &&
         absl::SimpleAtoi(cells[2], &part->length) && part->length > 0 &&
         part->length <= size - part->offset &&
         absl::SimpleHexAtoi(cells[3], &part->crc32c);
}

bool SameFile(const PartialDownload& download, const std::string& file_id,
              const client::FileInfo& info) {
  return download.file_id == file_id &&
         download.size_bytes == info.size_bytes &&
         download.crc32c == info.crc32c &&
         download.version_clock == info.version_clock &&
         download.version_node == info.version_node;
}

// Writes what comes to its place, and adds up its CRC.
class PartSink : public client::ContentSink {
 public:
  PartSink(File* file, int64_t offset) : file_(file), position_(offset) {}

  absl::Status Write(const absl::Cord& data) override {
    absl::InlinedVector<absl::string_view, 16> pieces;
    for (const absl::string_view chunk : data.Chunks()) pieces.push_back(chunk);
    CAIRN_RETURN_IF_ERROR(file_->WriteAt(position_, pieces));
    position_ += static_cast<int64_t>(data.size());
    crc_ = CombineCrc32c(crc_, Crc32c(data), data.size());
    return absl::OkStatus();
  }
  uint32_t crc32c() const { return crc_; }

 private:
  File* const file_;
  int64_t position_;
  uint32_t crc_ = 0;
};

class Run {
 public:
  Run(client::Client* client, const std::string& file_id,
      const std::string& path, int streams, const client::GetOptions& options,
      std::vector<std::string>* notes)
      : client_(client),
        file_id_(file_id),
        path_(AbsolutePath(path)),
        part_path_(path_ + ".part"),
        state_path_(path_ + ".part.state"),
        streams_(streams),
        options_(options),
        notes_(notes) {}

  absl::StatusOr<client::FileInfo> Go() {
    client::StatOptions stat;
    stat.timeout = options_.timeout;
    CAIRN_ASSIGN_OR_RETURN(info_, client_->Stat(file_id_, stat));
    if (info_.size_bytes < kResumableGetBytesMin) {
      return client_->GetToFile(file_id_, path_, options_);
    }
    CAIRN_RETURN_IF_ERROR(OpenFiles());
    CAIRN_RETURN_IF_ERROR(ReadAll());
    uint32_t crc = 0;
    for (const auto& [offset, part] : parts_) {
      crc = CombineCrc32c(crc, part.crc32c, static_cast<uint64_t>(part.length));
    }
    if (crc != info_.crc32c) {
      CAIRN_RETURN_IF_ERROR(fs_->Remove(state_path_));
      CAIRN_RETURN_IF_ERROR(fs_->Remove(part_path_));
      return ErrorWithReason(absl::StatusCode::kDataLoss,
                             ErrorReason::kChecksumMismatch,
                             "the content is not what was stored");
    }
    CAIRN_RETURN_IF_ERROR(file_->Truncate(info_.size_bytes));
    CAIRN_RETURN_IF_ERROR(file_->Sync());
    CAIRN_RETURN_IF_ERROR(fs_->Rename(part_path_, path_));
    CAIRN_RETURN_IF_ERROR(fs_->Remove(state_path_));
    CAIRN_RETURN_IF_ERROR(fs_->SyncDirectory(ParentOf(path_)));
    return info_;
  }

 private:
  absl::Status OpenFiles() {
    CAIRN_ASSIGN_OR_RETURN(file_, fs_->Open(part_path_, OpenMode::kCreate));
    const absl::StatusOr<std::string> text =
        ReadWholeFile(fs_, state_path_, kStateBytesMax);
    const absl::optional<PartialDownload> earlier =
        text.ok() ? ParsePartialDownload(*text) : absl::nullopt;
    PartialDownload now;
    now.file_id = file_id_;
    now.size_bytes = info_.size_bytes;
    now.crc32c = info_.crc32c;
    now.version_clock = info_.version_clock;
    now.version_node = info_.version_node;
    if (earlier.has_value() && SameFile(*earlier, file_id_, info_)) {
      int64_t there = 0;
      for (const client::SentPart& part : earlier->parts) {
        CAIRN_ASSIGN_OR_RETURN(const bool right, IsRight(part));
        if (!right) continue;
        parts_[part.offset] = part;
      }
      for (const auto& [offset, part] : parts_) there += part.length;
      notes_->push_back(
          absl::StrCat("going on with ", part_path_, ", ", FormatBytes(there),
                       " of ", FormatBytes(info_.size_bytes), " are there"));
      done_bytes_ = there;
    }
    // Anew, with what is right: so no line that a crash cut off stays.
    std::string lines = FormatPartialDownload(now);
    for (const auto& [offset, part] : parts_) lines += LineOf(part);
    CAIRN_RETURN_IF_ERROR(ReplaceFile(fs_, state_path_, lines));
    CAIRN_ASSIGN_OR_RETURN(state_,
                           fs_->Open(state_path_, OpenMode::kReadWrite));
    state_bytes_ = static_cast<int64_t>(lines.size());
    return absl::OkStatus();
  }

  static std::string LineOf(const client::SentPart& part) {
    return absl::StrFormat("part\t%d\t%d\t%08x\n", part.offset, part.length,
                           part.crc32c);
  }

  // Whether the file has, at this place, what the state says. Of parts that
  // overlap none counts but the first.
  absl::StatusOr<bool> IsRight(const client::SentPart& part) {
    if (part.offset % kPartBytes != 0 ||
        part.length != std::min(kPartBytes, info_.size_bytes - part.offset)) {
      return false;
    }
    uint32_t crc = 0;
    std::string buffer(kReadBytes, '\0');
    for (int64_t done = 0; done < part.length;) {
      const auto want = static_cast<size_t>(
          std::min<int64_t>(kReadBytes, part.length - done));
      CAIRN_ASSIGN_OR_RETURN(
          const size_t got,
          file_->ReadAt(part.offset + done, buffer.data(), want));
      if (got != want) return false;
      crc = ExtendCrc32c(crc, absl::string_view(buffer.data(), got));
      done += static_cast<int64_t>(got);
    }
    return crc == part.crc32c;
  }

  absl::Status ReadAll() {
    for (int64_t at = 0; at < info_.size_bytes; at += kPartBytes) {
      if (parts_.count(at) == 0) missing_.push_back(at);
    }
    std::vector<std::thread> others;
    const size_t count =
        std::min(static_cast<size_t>(std::max(streams_, 1)), missing_.size());
    for (size_t i = 1; i < count; ++i) {
      others.emplace_back([this] { ReadSome(); });
    }
    ReadSome();
    for (std::thread& other : others) other.join();
    MutexLock lock(&mu_);
    return failed_;
  }

  // What one stream does.
  void ReadSome() {
    for (;;) {
      int64_t offset = 0;
      {
        MutexLock lock(&mu_);
        if (!failed_.ok() || next_ == missing_.size()) return;
        offset = missing_[next_++];
      }
      const absl::Status status = ReadPart(offset);
      if (!status.ok()) {
        MutexLock lock(&mu_);
        failed_.Update(status);
        return;
      }
    }
  }

  absl::Status ReadPart(int64_t offset) {
    client::SentPart part;
    part.offset = offset;
    part.length = std::min(kPartBytes, info_.size_bytes - offset);
    PartSink sink(file_.get(), offset);
    client::GetOptions options = options_;
    options.offset = offset;
    options.length = part.length;
    int64_t counted = 0;
    options.progress = [this, &counted](int64_t done, absl::optional<int64_t>) {
      AddProgress(done - std::exchange(counted, done));
    };
    CAIRN_ASSIGN_OR_RETURN(const client::FileInfo info,
                           client_->GetTo(file_id_, &sink, options));
    if (info.version_clock != info_.version_clock ||
        info.version_node != info_.version_node) {
      return absl::AbortedError(
          "the file was changed while it was read: read it again");
    }
    part.crc32c = sink.crc32c();
    const std::string line = LineOf(part);
    MutexLock lock(&mu_);
    parts_[offset] = part;
    CAIRN_RETURN_IF_ERROR(
        state_->WriteAt(state_bytes_, {absl::string_view(line)}));
    state_bytes_ += static_cast<int64_t>(line.size());
    return absl::OkStatus();
  }

  void AddProgress(int64_t bytes) {
    if (!options_.progress) return;
    MutexLock lock(&mu_);
    done_bytes_ += bytes;
    options_.progress(done_bytes_, info_.size_bytes);
  }

  FileSystem* const fs_ = FileSystem::Real();
  client::Client* const client_;
  const std::string file_id_;
  const std::string path_;
  const std::string part_path_;
  const std::string state_path_;
  const int streams_;
  const client::GetOptions& options_;
  std::vector<std::string>* const notes_;

  client::FileInfo info_;
  std::unique_ptr<File> file_;
  std::unique_ptr<File> state_;
  std::vector<int64_t> missing_;  // Where parts begin.

  // The first three belong to one thread until there are streams, and after.
  Mutex mu_;
  std::map<int64_t, client::SentPart> parts_;
  int64_t state_bytes_ = 0;
  int64_t done_bytes_ = 0;
  size_t next_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Status failed_ ABSL_GUARDED_BY(mu_);
};

}  // namespace

absl::optional<PartialDownload> ParsePartialDownload(absl::string_view text) {
  if (!absl::ConsumePrefix(&text, kHeading)) return absl::nullopt;
  PartialDownload download;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    if (end == absl::string_view::npos) break;  // Cut off by a crash.
    const std::vector<absl::string_view> cells =
        absl::StrSplit(text.substr(0, end), '\t');
    text.remove_prefix(end + 1);
    if (cells[0] == "file") {
      if (!download.file_id.empty() || !ParseFile(cells, &download)) {
        return absl::nullopt;
      }
    } else if (cells[0] == "part") {
      client::SentPart part;
      if (!ParsePart(cells, download.size_bytes, &part)) return absl::nullopt;
      download.parts.push_back(part);
    }
  }
  if (download.file_id.empty()) return absl::nullopt;
  return download;
}

std::string FormatPartialDownload(const PartialDownload& download) {
  return absl::StrFormat("%sfile\t%d\t%08x\t%d.%d\t%s\n", kHeading,
                         download.size_bytes, download.crc32c,
                         download.version_clock, download.version_node,
                         download.file_id);
}

absl::StatusOr<client::FileInfo> GetResumable(client::Client* client,
                                              const std::string& file_id,
                                              const std::string& path,
                                              int streams,
                                              const client::GetOptions& options,
                                              std::vector<std::string>* notes) {
  Run run(client, file_id, path, streams, options, notes);
  return run.Go();
}

}  // namespace cli
}  // namespace cairn
