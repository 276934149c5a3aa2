// The whole `cairn` command but for its process: arguments in, exit code out.

#ifndef CAIRN_CLIENTS_CLI_CLI_H_
#define CAIRN_CLIENTS_CLI_CLI_H_

#include <string>
#include <vector>

#include "clients/cli/environment.h"
#include "clients/cli/exit_code.h"

namespace cairn {
namespace cli {

// Runs what `arguments` (without the program's name) say.
ExitCode RunCairn(const std::vector<std::string>& arguments,
                  const Environment& environment);

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_CLI_H_
