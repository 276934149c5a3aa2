#include "lib/process/daemon.h"

#include <cstdio>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "lib/config/config.h"
#include "lib/process/ready_file.h"
#include "lib/process/stop_limit.h"

namespace cairn {

void AddDaemonFlags(const std::string& override_example, CLI::App* app,
                    DaemonFlags* flags) {
  app->add_option("--config", flags->config_file,
                  "Configuration as a Protobuf text file.");
  app->add_option("--set", flags->overrides,
                  absl::StrCat("Overrides a field: --set ", override_example,
                               ". Repeatable."))
      ->allow_extra_args(false);
  app->add_option("--ready_file", flags->ready_file,
                  "Written once the process serves: its addresses as JSON.");
  app->add_flag("--print_config", flags->print_config,
                "Prints the configuration in force, secrets left out, and "
                "ends.");
  app->add_flag("--check_config", flags->check_config,
                "Checks the configuration and ends.");
}

absl::Status LoadDaemonConfig(const DaemonFlags& flags,
                              google::protobuf::Message* config) {
  if (!flags.config_file.empty()) {
    CAIRN_RETURN_IF_ERROR(LoadConfigFile(flags.config_file, config));
  }
  for (const std::string& assignment : flags.overrides) {
    CAIRN_RETURN_IF_ERROR(
        WithContext(ApplyOverride(assignment, config), "--set"));
  }
  return absl::OkStatus();
}

LogLevel LogLevelOf(absl::string_view level) {
  if (level == "debug") return LogLevel::kDebug;
  if (level == "warning") return LogLevel::kWarning;
  if (level == "error") return LogLevel::kError;
  return LogLevel::kInfo;
}

int ExitCodeOf(absl::string_view program, const absl::Status& status) {
  if (status.ok()) return 0;
  std::fflush(stdout);
  const std::string line = absl::StrCat(program, ": ", status.message(), "\n");
  std::fputs(line.c_str(), stderr);
  return 1;
}

void ShowConfig(const google::protobuf::Message& config) {
  std::fputs(PrintConfig(config).c_str(), stdout);
}

void SayConfigIsGood(absl::string_view program) {
  std::puts(absl::StrCat(program, ": the configuration is good").c_str());
}

absl::Status ServeUntilTerminated(const Serving& serving,
                                  TerminationSignals* signals,
                                  const std::function<void()>& stop) {
  if (!serving.ready_file.empty()) {
    CAIRN_RETURN_IF_ERROR(
        WriteReadyFile(serving.ready_file, serving.ready_fields));
  }
  const int signal = signals->Wait();
  CAIRN_LOG(kInfo, serving.component.c_str(), "stopping signal={}", signal);
  const StopLimit limit(serving.component, serving.stop_grace + kStopSlack);
  stop();
  return absl::OkStatus();
}

}  // namespace cairn
