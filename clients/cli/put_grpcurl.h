// `cairn put --print-grpcurl`: an Upload stream as shell lines.

#ifndef CAIRN_CLIENTS_CLI_PUT_GRPCURL_H_
#define CAIRN_CLIENTS_CLI_PUT_GRPCURL_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "clients/cli/commands.h"
#include "clients/cli/session.h"

namespace cairn {
namespace cli {

// What a file may have at most: every byte goes through base64 and a shell.
inline constexpr int64_t kGrpcurlFileBytesMax = 64 << 20;

// For the one file that `flags` names. Reads it now, for the checksums.
//   INVALID_ARGUMENT  several files, a folder, standard input or a file that is
//                     too large. Otherwise as reading a file.
absl::StatusOr<std::string> GrpcurlForPut(const PutFlags& flags,
                                          const Session& session);

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_PUT_GRPCURL_H_
