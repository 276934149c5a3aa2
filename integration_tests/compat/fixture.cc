#include "integration_tests/compat/fixture.h"

#include <filesystem>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "integration_tests/mini_cluster/oracle.h"
#include "integration_tests/mini_cluster/process.h"
#include "lib/base/status_macros.h"
#include "lib/io/file_system.h"

namespace cairn {
namespace testing {
namespace {

constexpr int64_t kRecordsBytesMax = 1 << 20;

absl::Status Tar(std::vector<std::string> arguments) {
  CAIRN_ASSIGN_OR_RETURN(
      const std::unique_ptr<Process> tar,
      Process::Start({"/bin/tar", std::move(arguments),
                      absl::StrCat(MakeTempFolder("tar"), "/log")}));
  CAIRN_ASSIGN_OR_RETURN(const ExitStatus ended, tar->Wait());
  if (ended.code != 0) return absl::InternalError(tar->Log());
  return absl::OkStatus();
}

}  // namespace

std::string FixtureRecord::Content() const {
  return ContentOf(seed, size_bytes);
}

Attributes FixtureAttributes() { return {{"color", "blue"}, {"number", "2"}}; }

absl::Status WriteRecords(const std::string& path,
                          const std::vector<FixtureRecord>& records) {
  std::string text;
  for (const FixtureRecord& record : records) {
    absl::StrAppend(&text, record.what, "\t", record.id, "\t", record.seed,
                    "\t", record.size_bytes, "\t", record.unix_seconds, "\n");
  }
  return ReplaceFile(FileSystem::Real(), path, text);
}

absl::StatusOr<std::vector<FixtureRecord>> ReadRecords(
    const std::string& path) {
  std::vector<FixtureRecord> records;
  if (!std::filesystem::exists(path)) return records;
  CAIRN_ASSIGN_OR_RETURN(
      const std::string text,
      ReadWholeFile(FileSystem::Real(), path, kRecordsBytesMax));
  for (const absl::string_view line :
       absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::vector<absl::string_view> cells = absl::StrSplit(line, '\t');
    FixtureRecord record;
    if (cells.size() != 5 || !absl::SimpleAtoi(cells[2], &record.seed) ||
        !absl::SimpleAtoi(cells[3], &record.size_bytes) ||
        !absl::SimpleAtoi(cells[4], &record.unix_seconds)) {
      return absl::DataLossError(absl::StrCat("records: ", line));
    }
    record.what = std::string(cells[0]);
    record.id = std::string(cells[1]);
    records.push_back(std::move(record));
  }
  return records;
}

absl::Status PackFixture(const std::string& folder,
                         const std::string& archive) {
  // What is set aside for a segment and not written yet is holes.
  return Tar({"--create", "--gzip", "--sparse", "--sort=name", "--owner=0",
              "--group=0", "--numeric-owner", "--exclude=LOCK",
              "--exclude=LOG*", absl::StrCat("--file=", archive),
              absl::StrCat("--directory=", folder), "oracle", "path0",
              "records", "tracker"});
}

absl::Status UnpackFixture(const std::string& archive,
                           const std::string& folder) {
  return Tar({"--extract", "--gzip", "--no-same-owner",
              absl::StrCat("--file=", archive),
              absl::StrCat("--directory=", folder)});
}

}  // namespace testing
}  // namespace cairn
