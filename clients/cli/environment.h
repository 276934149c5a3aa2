// What a command takes from the process around it, so that a test can be that
// process.

#ifndef CAIRN_CLIENTS_CLI_ENVIRONMENT_H_
#define CAIRN_CLIENTS_CLI_ENVIRONMENT_H_

#include <cstdio>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "clients/cli/interrupt.h"
#include "clients/cli/node_queries.h"
#include "clients/cpp/client.h"
#include "lib/base/clock.h"

namespace cairn {
namespace cli {

// All pointers are borrowed for as long as the command runs.
struct Environment {
  std::FILE* in = nullptr;
  std::FILE* out = nullptr;
  std::FILE* err = nullptr;

  bool in_is_terminal = false;
  bool err_is_terminal = false;
  bool out_is_terminal = false;
  int columns = 80;  // Of the terminal.

  // Value of an environment variable; empty if it is not set.
  std::function<std::string(const char*)> variable;

  std::function<absl::StatusOr<std::unique_ptr<client::Client>>(
      client::ClientOptions)>
      connect;

  NodeQueries* queries = nullptr;
  const Interrupt* interrupt = nullptr;
  Clock* clock = nullptr;
};

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_ENVIRONMENT_H_
