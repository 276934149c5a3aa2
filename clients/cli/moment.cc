#include "clients/cli/moment.h"

#include <cstdint>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "lib/base/error_reason.h"

namespace cairn {
namespace cli {
namespace {

// The last that a time on the wire can be.
constexpr int64_t kUnixSecondsMax = 253402300799;

absl::Duration UnitOf(char unit) {
  switch (unit) {
    case 's':
      return absl::Seconds(1);
    case 'm':
      return absl::Minutes(1);
    case 'h':
      return absl::Hours(1);
    case 'd':
      return absl::Hours(24);
    case 'w':
      return absl::Hours(24 * 7);
    default:
      return absl::ZeroDuration();
  }
}

}  // namespace

absl::StatusOr<absl::Time> ParseMoment(absl::string_view text, absl::Time now) {
  int64_t number = 0;
  if (!text.empty() && text[0] == '@') {
    if (absl::SimpleAtoi(text.substr(1), &number) && number >= 0 &&
        number <= kUnixSecondsMax) {
      return absl::FromUnixSeconds(number);
    }
  } else if (!text.empty() && UnitOf(text.back()) > absl::ZeroDuration() &&
             absl::SimpleAtoi(text.substr(0, text.size() - 1), &number)) {
    const absl::Duration age = number * UnitOf(text.back());
    if (number >= 0 && absl::FromUnixSeconds(0) + age <= now) return now - age;
  } else {
    absl::Time time;
    std::string error;
    for (const char* const format :
         {"%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%E*S%Ez"}) {
      if (absl::ParseTime(format, text, absl::UTCTimeZone(), &time, &error) &&
          time >= absl::UnixEpoch() &&
          time <= absl::FromUnixSeconds(kUnixSecondsMax)) {
        return time;
      }
    }
  }
  return ErrorWithReason(
      absl::StatusCode::kInvalidArgument, ErrorReason::kInvalidField,
      absl::StrCat("`", text,
                   "` is no time: give one as 2026-03-01, "
                   "2026-03-01T12:00:00Z or @1767225600, or an age as 15m, 2h "
                   "or 7d"));
}

}  // namespace cli
}  // namespace cairn
