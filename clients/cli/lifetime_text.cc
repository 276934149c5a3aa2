#include "clients/cli/lifetime_text.h"

#include <cstdint>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace cli {
namespace {

constexpr int64_t kDaysMax = 3000000;

absl::Status UsageError(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                         ErrorReason::kInvalidField, message);
}

absl::Status NoTimeToLive(absl::string_view text) {
  return UsageError(absl::StrCat(
      "`", text,
      "` is not how long a file lives: write 90s, 12h, 7d or 1d12h"));
}

}  // namespace

absl::StatusOr<absl::Duration> ParseTimeToLive(absl::string_view text) {
  absl::Duration sum;
  absl::string_view rest = text;
  const size_t days_end = rest.find('d');
  if (days_end != absl::string_view::npos) {
    int64_t days = 0;
    if (!absl::SimpleAtoi(rest.substr(0, days_end), &days) || days < 0 ||
        days > kDaysMax) {
      return NoTimeToLive(text);
    }
    sum = absl::Hours(24 * days);
    rest.remove_prefix(days_end + 1);
  }
  if (!rest.empty() || days_end == absl::string_view::npos) {
    absl::Duration part;
    if (!absl::ParseDuration(rest, &part) || part < absl::ZeroDuration()) {
      return NoTimeToLive(text);
    }
    sum += part;
  }
  if (sum < absl::Seconds(1) || sum > absl::Hours(24 * kDaysMax)) {
    return NoTimeToLive(text);
  }
  return sum;
}

absl::StatusOr<client::Lifetime> LifetimeOf(absl::string_view in,
                                            absl::string_view at) {
  client::Lifetime lifetime;
  if (!in.empty() && !at.empty()) {
    return UsageError("say either after how long it expires, or when");
  }
  if (!in.empty()) {
    CAIRN_ASSIGN_OR_RETURN(lifetime.time_to_live, ParseTimeToLive(in));
  }
  if (!at.empty()) {
    std::string error;
    absl::Time time;
    if (!absl::ParseTime(absl::RFC3339_full, at, &time, &error)) {
      return UsageError(absl::StrCat(
          "`", at, "` is no time, write 2030-01-31T12:00:00Z: ", error));
    }
    lifetime.expire_time = time;
  }
  return lifetime;
}

void AddLifetimeRequest(const client::Lifetime& lifetime, Json* request) {
  if (lifetime.expire_time) {
    (*request)["lifetime"]["expireTime"] = absl::FormatTime(
        absl::RFC3339_full, *lifetime.expire_time, absl::UTCTimeZone());
  } else if (lifetime.time_to_live) {
    (*request)["lifetime"]["timeToLive"] =
        absl::StrCat(absl::ToInt64Seconds(
                         absl::Ceil(*lifetime.time_to_live, absl::Seconds(1))),
                     "s");
  }
}

}  // namespace cli
}  // namespace cairn
