// Asks a person before something is done that cannot be undone.

#ifndef CAIRN_CLIENTS_CLI_CONFIRM_H_
#define CAIRN_CLIENTS_CLI_CONFIRM_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "clients/cli/session.h"

namespace cairn {
namespace cli {

// Says `sentences` and asks whether to go on; with `yes` does neither.
//   INVALID_ARGUMENT  nobody can be asked: standard input is no terminal.
//                     `hint` says how to look at it first; may be empty.
//   ABORTED           the answer was no: `refused` is the message.
absl::Status Confirm(const std::vector<std::string>& sentences, bool yes,
                     absl::string_view hint, absl::string_view refused,
                     Session* session);

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_CONFIRM_H_
