#include "clients/cli/quota_text.h"

#include <algorithm>
#include <limits>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "clients/cli/format.h"
#include "lib/base/error_reason.h"

namespace cairn {
namespace cli {
namespace {

absl::Status NotAQuota(absl::string_view flag, absl::string_view text,
                       absl::string_view rule) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                         ErrorReason::kInvalidField,
                         absl::StrCat(flag, " ", text, " is no quota: write ",
                                      rule, ", or `none` for as much as fits"));
}

}  // namespace

absl::StatusOr<uint64_t> ParseQuotaFiles(absl::string_view text) {
  if (text == "none") return 0;
  int64_t files = 0;
  if (absl::SimpleAtoi(text, &files) && files > 0) {
    return static_cast<uint64_t>(files);
  }
  return NotAQuota("--files", text, "a number of at least 1");
}

absl::StatusOr<uint64_t> ParseQuotaBytes(absl::string_view text) {
  if (text == "none") return 0;
  const absl::StatusOr<int64_t> bytes = ParseBytes(text);
  if (bytes.ok() && *bytes > 0) return static_cast<uint64_t>(*bytes);
  return NotAQuota("--bytes", text, "a size, as 500GiB");
}

std::string FilesOfQuota(int64_t files, uint64_t quota) {
  return quota == 0 ? absl::StrCat(files) : absl::StrCat(files, " of ", quota);
}

std::string BytesOfQuota(int64_t bytes, uint64_t quota) {
  std::string text = FormatBytes(bytes);
  if (quota == 0) return text;
  const uint64_t shown = std::min(
      quota, static_cast<uint64_t>(std::numeric_limits<int64_t>::max()));
  return absl::StrCat(text, " of ", FormatBytes(static_cast<int64_t>(shown)));
}

nlohmann::ordered_json QuotaJson(uint64_t quota) {
  using Json = nlohmann::ordered_json;
  return quota == 0 ? Json(nullptr) : Json(quota);
}

}  // namespace cli
}  // namespace cairn
