// When a file expires, as people type it.

#ifndef CAIRN_CLIENTS_CLI_LIFETIME_TEXT_H_
#define CAIRN_CLIENTS_CLI_LIFETIME_TEXT_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "clients/cli/result_json.h"
#include "clients/cpp/types.h"

namespace cairn {
namespace cli {

// `90s`, `12h`, `7d`, `1d12h`: at least a second.
//   INVALID_ARGUMENT  anything else.
absl::StatusOr<absl::Duration> ParseTimeToLive(absl::string_view text);

// Of `--expire-in` and `--expire-at` (RFC 3339); empty ones are not given. With
// neither a file never expires.
//   INVALID_ARGUMENT  both, or one that is none.
absl::StatusOr<client::Lifetime> LifetimeOf(absl::string_view in,
                                            absl::string_view at);

// Adds `lifetime` to a request, as grpcurl takes it; nothing if it has no end.
void AddLifetimeRequest(const client::Lifetime& lifetime, Json* request);

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_LIFETIME_TEXT_H_
