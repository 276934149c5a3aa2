// Runs the whole command in this process, as a shell would: arguments and
// standard input go in, exit code and what it printed come out.

#ifndef CAIRN_CLIENTS_CLI_TESTING_CLI_HARNESS_H_
#define CAIRN_CLIENTS_CLI_TESTING_CLI_HARNESS_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "clients/cli/interrupt.h"
#include "clients/cli/node_queries.h"

namespace cairn {
namespace cli {

struct CliResult {
  int exit = 0;
  std::string out;
  std::string err;

  // `out` by its lines.
  std::vector<std::string> OutLines() const;
};

// By the real client and real gRPC. Not thread-safe.
class CliHarness {
 public:
  // Makes a new empty folder for the test.
  CliHarness();

  CliResult Run(const std::vector<std::string>& arguments,
                const std::string& in = "");

  // What the environment says from now on.
  void SetVariable(const std::string& name, const std::string& value) {
    variables_[name] = value;
  }

  // As if standard input were a person at a terminal from now on.
  void SetInputIsTerminal() { in_is_terminal_ = true; }

  // As if the user had pressed Ctrl-C.
  Interrupt* interrupt() { return &interrupt_; }

  const std::string& folder() const { return folder_; }
  std::string Path(const std::string& name) const;

  // Creates the folders above it too.
  void WriteFile(const std::string& name, const std::string& content) const;
  std::string ReadFile(const std::string& name) const;

  // All files below `name`, sorted; `b/c` for one in a folder.
  std::vector<std::string> FilesBelow(const std::string& name) const;

 private:
  std::string folder_;
  std::map<std::string, std::string> variables_;
  bool in_is_terminal_ = false;
  Interrupt interrupt_;
  const std::unique_ptr<NodeQueries> queries_;
};

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_TESTING_CLI_HARNESS_H_
