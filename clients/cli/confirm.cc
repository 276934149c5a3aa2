#include "clients/cli/confirm.h"

#include <cstdio>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "lib/base/error_reason.h"

namespace cairn {
namespace cli {

absl::Status Confirm(const std::vector<std::string>& sentences, bool yes,
                     absl::string_view hint, absl::string_view refused,
                     Session* session) {
  if (yes) return absl::OkStatus();
  const Environment& environment = session->environment();
  if (!environment.in_is_terminal) {
    return ErrorWithReason(
        absl::StatusCode::kInvalidArgument, ErrorReason::kInvalidField,
        absl::StrCat("nobody can be asked whether that is meant: ", hint,
                     "add --yes"));
  }
  for (const std::string& sentence : sentences) session->Say(sentence);
  std::fputs("Go on? [y/N] ", environment.err);
  std::fflush(environment.err);
  char line[16] = "";
  const bool answered =
      std::fgets(line, sizeof(line), environment.in) != nullptr;
  const std::string answer =
      absl::AsciiStrToLower(absl::StripAsciiWhitespace(line));
  if (answered && (answer == "y" || answer == "yes")) return absl::OkStatus();
  return absl::AbortedError(refused);
}

}  // namespace cli
}  // namespace cairn
