// Addresses as people write them: `host:port` or `[v6]:port`. Pure.

#ifndef CAIRN_LIB_BASE_HOST_PORT_H_
#define CAIRN_LIB_BASE_HOST_PORT_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cairn {

// `host` and `port` of an address; "[::1]:7" has the host "::1".
//   INVALID_ARGUMENT  it is neither `host:port` nor `[v6]:port`.
struct HostPort {
  std::string host;
  int port = 0;
};
absl::StatusOr<HostPort> ParseHostPort(absl::string_view address);

// Puts the two together, with brackets where they are needed.
std::string JoinHostPort(absl::string_view host, int port);

// Whether nobody outside this machine can reach `host`.
bool IsLoopback(absl::string_view host);

// Whether `host` stands for every address of this machine, so that it says
// where to listen but not where others find it.
bool IsWildcard(absl::string_view host);

}  // namespace cairn

#endif  // CAIRN_LIB_BASE_HOST_PORT_H_
