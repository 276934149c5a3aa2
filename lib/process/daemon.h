// What the main() of every daemon does: flags, configuration, logging, saying
// that it serves, waiting for the end.
//
//   AddDaemonFlags ─▶ RunDaemon: load, complete, check ─▶ the daemon's own
//        serve() ─▶ ServeUntilTerminated: ready file ─▶ signal ─▶ stop

#ifndef CAIRN_LIB_PROCESS_DAEMON_H_
#define CAIRN_LIB_PROCESS_DAEMON_H_

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "google/protobuf/message.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/process/termination.h"

namespace CLI {
class App;
}  // namespace CLI

namespace cairn {

// A stop may take so much longer than the calls were given.
inline constexpr absl::Duration kStopSlack = absl::Seconds(30);

struct DaemonFlags {
  std::string config_file;
  std::vector<std::string> overrides;
  std::string ready_file;
  bool print_config = false;
  bool check_config = false;
};

// `override_example` is what --set may look like. `flags` must outlive parsing.
void AddDaemonFlags(const std::string& override_example, CLI::App* app,
                    DaemonFlags* flags);

// Reads --config and then each --set into `config`.
//   NOT_FOUND, INVALID_ARGUMENT  as in lib/config/config.h.
absl::Status LoadDaemonConfig(const DaemonFlags& flags,
                              google::protobuf::Message* config);

// `level` is debug, info, warning or error; anything else is info.
LogLevel LogLevelOf(absl::string_view level);

// Says on stderr what went wrong, if anything did; returns the exit code.
int ExitCodeOf(absl::string_view program, const absl::Status& status);

// Says on stdout what --print_config or --check_config is for.
void ShowConfig(const google::protobuf::Message& config);
void SayConfigIsGood(absl::string_view program);

// From the flags to the exit code. `complete` fills in defaults, `check` finds
// what is wrong, `run` does the work.
template <typename Config>
int RunDaemon(absl::string_view program, const DaemonFlags& flags,
              Config (*complete)(Config), absl::Status (*check)(const Config&),
              const std::function<absl::Status(const Config&)>& run) {
  Config config;
  const absl::Status loaded = LoadDaemonConfig(flags, &config);
  if (!loaded.ok()) return ExitCodeOf(program, loaded);
  config = complete(std::move(config));
  if (flags.print_config) {
    ShowConfig(config);
    return 0;
  }
  const absl::Status good = check(config);
  if (!good.ok()) return ExitCodeOf(program, good);
  if (flags.check_config) {
    SayConfigIsGood(program);
    return 0;
  }
  InitLogging(LogLevelOf(config.log_level()), config.log_format() == "json"
                                                  ? LogFormat::kJson
                                                  : LogFormat::kText);
  return ExitCodeOf(program, run(config));
}

struct Serving {
  std::string component;   // Of its log lines.
  std::string ready_file;  // Empty for none.
  std::vector<std::pair<std::string, std::string>> ready_fields;
  absl::Duration stop_grace;
};

// Writes the ready file, waits for a signal, and stops. A `stop` that takes
// longer than the grace and kStopSlack ends the process with exit code 1.
//   UNAVAILABLE  the ready file cannot be written; `stop` was not called.
absl::Status ServeUntilTerminated(const Serving& serving,
                                  TerminationSignals* signals,
                                  const std::function<void()>& stop);

}  // namespace cairn

#endif  // CAIRN_LIB_PROCESS_DAEMON_H_
