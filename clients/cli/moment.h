// Moments as people type them: a time, or how long ago.

#ifndef CAIRN_CLIENTS_CLI_MOMENT_H_
#define CAIRN_CLIENTS_CLI_MOMENT_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace cairn {
namespace cli {

// `2026-03-01` (its beginning), `2026-03-01T12:00:00`, the same with `Z` or
// `+01:00`; `@1767225600`, in seconds since 1970; or an age: `90s`, `15m`,
// `2h`, `7d`, `3w`, which is so long before `now`. Without a zone it is UTC.
//   INVALID_ARGUMENT  anything else.
absl::StatusOr<absl::Time> ParseMoment(absl::string_view text, absl::Time now);

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_MOMENT_H_
