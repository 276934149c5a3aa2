#include "clients/cli/group_tokens.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "lib/base/error_reason.h"
#include "lib/file_id/file_id.h"

namespace cairn {
namespace cli {
namespace {

bool IsToken(absl::string_view text) {
  for (const char c : text) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '-' &&
        c != '_') {
      return false;
    }
  }
  return !text.empty();
}

}  // namespace

std::string FormatGroupTokens(const GroupTokens& tokens) {
  std::string text;
  for (const auto& [group, token] : tokens) {
    if (token.empty()) continue;
    absl::StrAppend(&text, text.empty() ? "" : ",", group, "=", token);
  }
  return text;
}

absl::StatusOr<GroupTokens> ParseGroupTokens(absl::string_view text) {
  GroupTokens tokens;
  if (text.empty()) return tokens;
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    const size_t equals = part.find('=');
    const absl::string_view group = part.substr(0, equals);
    if (equals == absl::string_view::npos || !ValidateGroupName(group).ok() ||
        !IsToken(part.substr(equals + 1)) ||
        !tokens.emplace(group, part.substr(equals + 1)).second) {
      return ErrorWithReason(
          absl::StatusCode::kInvalidArgument, ErrorReason::kInvalidField,
          "the token is none that `cairn watch` or `cairn export` gave");
    }
  }
  return tokens;
}

}  // namespace cli
}  // namespace cairn
