// What commands have in common that change what is said of several files, one
// after the other: `expire`, `undelete`.

#ifndef CAIRN_CLIENTS_CLI_DESCRIBED_FILES_H_
#define CAIRN_CLIENTS_CLI_DESCRIBED_FILES_H_

#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "clients/cli/durability.h"
#include "clients/cli/session.h"
#include "clients/cpp/client.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/base/uuid.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace cli {

// The options of the client library that the flags ask for.
//   INVALID_ARGUMENT  INVALID_FIELD: a flag is malformed, or one request_id is
//                     to serve several files.
template <typename Options, typename Flags>
absl::StatusOr<Options> OptionsForFiles(const Flags& flags,
                                        const Session& session) {
  Options options;
  CAIRN_ASSIGN_OR_RETURN(options.durability, ParseDurability(flags.durability));
  options.timeout = session.timeout();
  if (!flags.request_id.empty()) {
    if (flags.file_ids.size() > 1) {
      return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                             ErrorReason::kInvalidField,
                             "--request-id goes with one file");
    }
    CAIRN_ASSIGN_OR_RETURN(options.request_id, Uuid::Parse(flags.request_id));
  }
  return options;
}

// Prints for each file how to call `method`; `fill` adds to the request what is
// of its kind alone. A nil `request_id` is a new one for each.
void PrintGrpcurlForFiles(const std::vector<std::string>& file_ids,
                          absl::string_view method, const Uuid& request_id,
                          const client::Durability& durability,
                          absl::FunctionRef<void(Json*)> fill,
                          Session* session);

// Changes each of them by `change`, and prints what became of it. `add` puts
// into the JSON what stands before the version.
ExitCode ChangeFiles(
    const std::vector<std::string>& file_ids,
    absl::FunctionRef<absl::StatusOr<client::PutResult>(client::Client*,
                                                        const std::string&)>
        change,
    absl::FunctionRef<void(const client::PutResult&, Json*)> add,
    Session* session);

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_DESCRIBED_FILES_H_
