// What `cairn put --resume` remembers of an upload that is not finished: one
// file for each source.
//
//   # cairn upload 1
//   source <TAB> 1073741824 <TAB> 1767225600000000000 <TAB> /home/a/film.mkv
//   upload <TAB> 00000007-01-550e8400-e29b-41d4-a716-446655440000
//   part <TAB> 0 <TAB> 33554432 <TAB> 8af3c41b
//
// Source: size in bytes, time of the last change in nanoseconds since 1970, and
// path, with tab, line feed and backslash written \t, \n and \\. Part: offset,
// length and CRC-32C of what the node has. A last line without its line feed
// was cut off by a crash and does not count. See docs/cli.md.

#ifndef CAIRN_CLIENTS_CLI_UPLOAD_JOURNAL_H_
#define CAIRN_CLIENTS_CLI_UPLOAD_JOURNAL_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "clients/cpp/types.h"
#include "lib/io/file_system.h"

namespace cairn {
namespace cli {

// A file of this machine as it was when its upload was begun.
struct UploadSource {
  std::string path;  // Absolute.
  int64_t size_bytes = 0;
  int64_t mtime_nanos = 0;

  friend bool operator==(const UploadSource& a, const UploadSource& b) {
    return a.path == b.path && a.size_bytes == b.size_bytes &&
           a.mtime_nanos == b.mtime_nanos;
  }
};

// What a journal says.
struct JournalledUpload {
  UploadSource source;
  client::UploadState state;
};

// Pure. nullopt if the text is no journal, or says of no upload.
absl::optional<JournalledUpload> ParseUploadJournal(absl::string_view text);

// As it is now. NOT_FOUND and the like.
absl::StatusOr<UploadSource> DescribeSource(absl::string_view path);

// Where the journal of a source is unless the user names a place: a file in
// $XDG_STATE_HOME/cairn/uploads (`state_home` with cairn/uploads), named by a
// hash of the path.
std::string DefaultJournalPath(absl::string_view state_home,
                               absl::string_view source_path);

// $XDG_STATE_HOME, or ~/.local/state. Empty if neither is known.
std::string StateHome();

// Not thread-safe.
class UploadJournal {
 public:
  // `fs` is borrowed, `path` absolute.
  UploadJournal(FileSystem* fs, std::string path)
      : fs_(fs), path_(std::move(path)) {}

  // What is there; nullopt if there is none, or a file that is no journal.
  absl::optional<JournalledUpload> Read();

  // Begins it anew, durably. Makes its folder if it is missing.
  //   INVALID_ARGUMENT  a file is there that is no journal; it is not touched.
  absl::Status Begin(const UploadSource& source, absl::string_view upload_id);

  // Adds a part. What a crash loses of it costs a comparison.
  absl::Status AddPart(const client::SentPart& part);

  // Removes it. OK if it is not there.
  absl::Status Remove();

  const std::string& path() const { return path_; }

 private:
  FileSystem* const fs_;
  const std::string path_;
  std::unique_ptr<File> file_;
  int64_t size_ = 0;
};

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_UPLOAD_JOURNAL_H_
