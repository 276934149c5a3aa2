#include "integration_tests/mini_cluster/oracle.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "lib/base/check.h"
#include "lib/base/status_macros.h"

namespace cairn {
namespace testing {

std::string ContentOf(uint64_t seed, int64_t size) {
  std::string content(static_cast<size_t>(size), '\0');
  std::mt19937_64 random(seed);
  size_t at = 0;
  for (; at + sizeof(uint64_t) <= content.size(); at += sizeof(uint64_t)) {
    const uint64_t word = random();
    std::memcpy(&content[at], &word, sizeof(word));
  }
  const uint64_t last = random();
  std::memcpy(&content[at], &last, content.size() - at);
  return content;
}

absl::StatusOr<std::unique_ptr<Oracle>> Oracle::Open(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string content((std::istreambuf_iterator<char>(in)),
                            std::istreambuf_iterator<char>());
  const int fd =
      open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) {
    return absl::UnavailableError(absl::StrCat(path, ": ", strerror(errno)));
  }
  std::unique_ptr<Oracle> oracle(new Oracle(fd, path));
  CAIRN_RETURN_IF_ERROR(oracle->Replay(content));
  return oracle;
}

Oracle::Oracle(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}

Oracle::~Oracle() { close(fd_); }

absl::Status Oracle::Replay(absl::string_view content) {
  MutexLock lock(&mu_);
  for (absl::string_view line :
       absl::StrSplit(content, '\n', absl::SkipEmpty())) {
    const absl::Status applied = Apply(line);
    if (!applied.ok()) {
      return absl::DataLossError(
          absl::StrCat(path_, ": ", line, ": ", applied.message()));
    }
  }
  return absl::OkStatus();
}

absl::Status Oracle::Apply(absl::string_view line) {
  ++lines_;
  const std::vector<std::string> words = absl::StrSplit(line, ' ');
  if (words[0] == "#") return absl::OkStatus();
  if (words.size() < 2) return absl::InvalidArgumentError("too few words");
  CAIRN_ASSIGN_OR_RETURN(const Uuid request, Uuid::Parse(words[1]));

  if (words[0] == "put") {
    ExpectedFile file;
    file.put_request = request;
    if (words.size() != 7 || !absl::SimpleAtoi(words[2], &file.size_bytes) ||
        !absl::SimpleAtoi(words[3], &file.content_seed) ||
        !absl::SimpleAtoi(words[5], &file.replicas_wanted)) {
      return absl::InvalidArgumentError(
          "size, seed, level, replicas and policy expected");
    }
    file.synced = words[4] == "synced";
    file.replicas_required = words[6] == "required";
    file.put_line = lines_;
    by_request_[request] = next_;
    files_[next_++] = std::move(file);
    return absl::OkStatus();
  }
  if (words[0] == "delete") {
    if (words.size() != 3)
      return absl::InvalidArgumentError("file ID expected");
    const auto found = by_id_.find(words[2]);
    if (found == by_id_.end()) return absl::NotFoundError("never stored");
    by_request_[request] = found->second;
    ExpectedFile& file = files_[found->second];
    file.deletion = ExpectedFile::Deletion::kUnanswered;
    file.delete_request = request;
    file.delete_line = lines_;
    return absl::OkStatus();
  }

  const auto found = by_request_.find(request);
  if (found == by_request_.end()) return absl::NotFoundError("never begun");
  const uint64_t key = found->second;
  if (words[0] == "refused") {
    files_.erase(key);
    return absl::OkStatus();
  }
  ExpectedFile& file = files_[key];
  if (words[0] == "stored" && words.size() == 4 &&
      absl::SimpleAtoi(words[3], &file.replicas)) {
    file.put = ExpectedFile::Put::kStored;
    file.file_id = words[2];
    file.stored_line = lines_;
    by_id_[words[2]] = key;
    return absl::OkStatus();
  }
  if (words[0] == "deleted" && words.size() == 3 &&
      absl::SimpleAtoi(words[2], &file.delete_replicas)) {
    file.deletion = ExpectedFile::Deletion::kDeleted;
    file.deleted_line = lines_;
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError("unknown word");
}

void Oracle::Record(const std::string& line) {
  MutexLock lock(&mu_);
  // One write of a file opened for appending: whole lines, in one order. It may
  // block, under a lock; this is a test's notebook.
  const std::string text = line + "\n";
  CAIRN_CHECK_MSG(
      write(fd_, text.data(), text.size()) == static_cast<ssize_t>(text.size()),
      path_);
  const absl::Status applied = Apply(line);
  CAIRN_CHECK_MSG(applied.ok(), absl::StrCat(line, ": ", applied.message()));
}

Uuid Oracle::BeginPut(int64_t size_bytes, uint64_t content_seed, bool synced,
                      uint32_t replicas_wanted, bool replicas_required) {
  const Uuid request = Uuid::Random();
  Record(absl::StrCat("put ", request.ToString(), " ", size_bytes, " ",
                      content_seed, synced ? " synced " : " cached ",
                      replicas_wanted,
                      replicas_required ? " required" : " best"));
  return request;
}

void Oracle::Stored(const Uuid& put_request, absl::string_view file_id,
                    uint32_t replicas) {
  Record(absl::StrCat("stored ", put_request.ToString(), " ", file_id, " ",
                      replicas));
}

void Oracle::Refused(const Uuid& put_request) {
  Record(absl::StrCat("refused ", put_request.ToString()));
}

Uuid Oracle::BeginDelete(absl::string_view file_id) {
  const Uuid request = Uuid::Random();
  Record(absl::StrCat("delete ", request.ToString(), " ", file_id));
  return request;
}

void Oracle::Deleted(const Uuid& delete_request, uint32_t replicas) {
  Record(absl::StrCat("deleted ", delete_request.ToString(), " ", replicas));
}

void Oracle::Remark(absl::string_view text) {
  Record(absl::StrCat("# ", text));
}

std::vector<ExpectedFile> Oracle::Files() const {
  MutexLock lock(&mu_);
  std::vector<ExpectedFile> files;
  files.reserve(files_.size());
  for (const auto& [key, file] : files_) files.push_back(file);
  return files;
}

int64_t Oracle::lines() const {
  MutexLock lock(&mu_);
  return lines_;
}

int64_t Oracle::live() const {
  MutexLock lock(&mu_);
  int64_t live = 0;
  for (const auto& [key, file] : files_) {
    if (file.put == ExpectedFile::Put::kStored &&
        file.deletion == ExpectedFile::Deletion::kNone) {
      ++live;
    }
  }
  return live;
}

}  // namespace testing
}  // namespace cairn
