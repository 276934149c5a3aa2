// Scripts that complete `cairn` in a shell, made from the commands and flags
// that this binary really has.

#ifndef CAIRN_CLIENTS_CLI_COMPLETION_H_
#define CAIRN_CLIENTS_CLI_COMPLETION_H_

#include <string>
#include <vector>

namespace cairn {
namespace cli {

struct CompletionFlag {
  std::string name;  // `--json`, `-r`
  std::string help;
  bool takes_value = false;
  std::vector<std::string> values;  // If only these are allowed.
};

struct CompletionCommand {
  std::string name;
  std::string help;
  bool takes_files = false;           // Local ones.
  std::vector<std::string> words;     // Its own fixed arguments.
  std::vector<CompletionFlag> flags;  // Without the global ones.
};

// `shell` is bash, zsh or fish; empty for any other.
std::string CompletionScript(const std::string& shell,
                             const std::vector<CompletionCommand>& commands,
                             const std::vector<CompletionFlag>& global_flags);

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_COMPLETION_H_
