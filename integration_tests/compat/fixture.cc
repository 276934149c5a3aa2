#include "integration_tests/compat/fixture.h"

#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "integration_tests/mini_cluster/process.h"
#include "lib/base/status_macros.h"

namespace cairn {
namespace testing {
namespace {

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

absl::Status PackFixture(const std::string& folder,
                         const std::string& archive) {
  // What is set aside for a segment and not written yet is holes.
  return Tar({"--create", "--gzip", "--sparse", "--sort=name", "--owner=0",
              "--group=0", "--numeric-owner", "--exclude=LOCK",
              "--exclude=LOG*", absl::StrCat("--file=", archive),
              absl::StrCat("--directory=", folder), "oracle", "path0",
              "tracker"});
}

absl::Status UnpackFixture(const std::string& archive,
                           const std::string& folder) {
  return Tar({"--extract", "--gzip", "--no-same-owner",
              absl::StrCat("--file=", archive),
              absl::StrCat("--directory=", folder)});
}

}  // namespace testing
}  // namespace cairn
