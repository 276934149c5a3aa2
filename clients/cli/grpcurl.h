// What `--print-grpcurl` prints: shell lines that make the same calls with
// grpcurl. They run as they are: the servers have reflection, so no .proto
// files are needed. Requests are proto JSON.

#ifndef CAIRN_CLIENTS_CLI_GRPCURL_H_
#define CAIRN_CLIENTS_CLI_GRPCURL_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "clients/cli/session.h"

namespace cairn {
namespace cli {

// `'it'\''s'`: one word for a shell.
std::string ShellQuote(absl::string_view text);

// What grpcurl needs to know of TLS: `-plaintext`, or `-cacert …`.
std::string TransportFlags(const Session& session);

// One call. `address` is a word as the shell takes it.
std::string GrpcurlCall(const Session& session, absl::string_view address,
                        absl::string_view method, const Json& request);

// Lines that set NODE to the node that a call has to go to, asking a tracker
// if the session names trackers.
std::string NodeForFile(const Session& session, absl::string_view file_id);
std::string NodeForUpload(const Session& session, absl::string_view group);

// The same for the node that an upload in parts is at, which its ID names.
std::string NodeOfUpload(const Session& session, absl::string_view upload_id);

// The address that NodeForFile() and the others leave.
inline constexpr absl::string_view kNodeWord = "\"$NODE\"";

// The first tracker, or the storage node, as the shell takes it.
std::string AddressWord(const Session& session);

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_GRPCURL_H_
