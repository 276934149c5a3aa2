#include "lib/base/host_port.h"

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "lib/base/error_reason.h"

namespace cairn {

absl::StatusOr<HostPort> ParseHostPort(absl::string_view address) {
  const auto malformed = [address] {
    return ErrorWithReason(
        absl::StatusCode::kInvalidArgument, ErrorReason::kInvalidField,
        absl::StrCat("'", address,
                     "' is not an address: write host:port or [v6]:port"));
  };
  const size_t colon = address.rfind(':');
  if (colon == absl::string_view::npos || colon == 0) return malformed();
  absl::string_view host = address.substr(0, colon);
  if (host.front() == '[') {
    if (host.size() < 3 || host.back() != ']') return malformed();
    host = host.substr(1, host.size() - 2);
    if (!absl::StrContains(host, ':')) return malformed();
  } else if (absl::StrContains(host, ':') || absl::StrContains(host, ']')) {
    return malformed();
  }
  HostPort out;
  out.host = std::string(host);
  const absl::string_view port = address.substr(colon + 1);
  if (port.empty() ||
      port.find_first_not_of("0123456789") != absl::string_view::npos ||
      !absl::SimpleAtoi(port, &out.port) || out.port > 65535) {
    return malformed();
  }
  return out;
}

std::string JoinHostPort(absl::string_view host, int port) {
  if (absl::StrContains(host, ':')) return absl::StrCat("[", host, "]:", port);
  return absl::StrCat(host, ":", port);
}

bool IsLoopback(absl::string_view host) {
  return host == "localhost" || host == "::1" ||
         absl::StartsWith(host, "127.") ||
         absl::StartsWith(host, "::ffff:127.");
}

bool IsWildcard(absl::string_view host) {
  return host == "0.0.0.0" || host == "::";
}

}  // namespace cairn
