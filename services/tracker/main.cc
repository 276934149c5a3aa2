// cairn-tracker: knows who is in the cluster and says where files go.

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cairn/config/tracker/v1/tracker_config.pb.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/config/config.h"
#include "lib/process/ready_file.h"
#include "lib/process/termination.h"
#include "lib/process/version.h"
#include "services/tracker/config/tracker_config.h"
#include "services/tracker/tracker_server.h"

namespace cairn {
namespace tracker {
namespace {

constexpr char kAbout[] =
    "Knows who is in a Cairn cluster and says where files go.\n"
    "\n"
    "Every field that the configuration file and --set take is explained in\n"
    "proto/cairn/config/tracker/v1/tracker_config.proto. A first tracker:\n"
    "\n"
    "  openssl rand -base64 32 > secret && chmod 600 secret\n"
    "  cairn-tracker --set data_dir=/var/lib/cairn/tracker \\\n"
    "      --set cluster_id=$(uuidgen) --set cluster_secret_file=$PWD/secret";

struct Flags {
  std::string config_file;
  std::vector<std::string> overrides;
  std::string ready_file;
  bool print_config = false;
  bool check_config = false;
};

absl::Status LoadConfig(const Flags& flags, TrackerConfig* config) {
  if (!flags.config_file.empty()) {
    CAIRN_RETURN_IF_ERROR(LoadConfigFile(flags.config_file, config));
  }
  for (const std::string& assignment : flags.overrides) {
    CAIRN_RETURN_IF_ERROR(
        WithContext(ApplyOverride(assignment, config), "--set"));
  }
  *config = WithDefaults(*config);
  return absl::OkStatus();
}

absl::Status CheckConfig(const TrackerConfig& config) {
  CAIRN_RETURN_IF_ERROR(ValidateConfig(config));
  return ReadClusterSecret(config, FileSystem::Real()).status();
}

LogLevel LevelOf(const std::string& name) {
  if (name == "debug") return LogLevel::kDebug;
  if (name == "warning") return LogLevel::kWarning;
  if (name == "error") return LogLevel::kError;
  return LogLevel::kInfo;
}

absl::Status Serve(const TrackerConfig& config, const Flags& flags,
                   TerminationSignals* signals) {
  InitLogging(LevelOf(config.log_level()), config.log_format() == "json"
                                               ? LogFormat::kJson
                                               : LogFormat::kText);
  auto server = TrackerServer::Start(config);
  if (!server.ok()) return server.status();
  if (!flags.ready_file.empty()) {
    CAIRN_RETURN_IF_ERROR(
        WriteReadyFile(flags.ready_file,
                       {{"tracker", (*server)->advertised_address()},
                        {"listen", absl::StrJoin((*server)->addresses(), ",")},
                        {"admin", (*server)->admin_address()},
                        {"metrics", (*server)->metrics_address()},
                        {"cluster_id", config.cluster_id()}}));
  }
  const int signal = signals->Wait();
  CAIRN_LOG(kInfo, "tracker", "stopping signal={}", signal);
  (*server)->Stop();
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  TerminationSignals signals;
  Flags flags;
  CLI::App app(kAbout, "cairn-tracker");
  app.set_version_flag("--version", absl::StrCat("cairn-tracker ", kVersion));
  app.add_option("--config", flags.config_file,
                 "Configuration as a Protobuf text file.");
  app.add_option("--set", flags.overrides,
                 "Overrides a field: --set listen=0.0.0.0:7700. Repeatable.")
      ->allow_extra_args(false);
  app.add_option("--ready_file", flags.ready_file,
                 "Written once the tracker serves: its addresses as JSON.");
  app.add_flag("--print_config", flags.print_config,
               "Prints the configuration in force, secrets left out, and "
               "ends.");
  app.add_flag("--check_config", flags.check_config,
               "Checks the configuration and ends.");
  CLI11_PARSE(app, argc, argv);

  TrackerConfig config;
  absl::Status status = LoadConfig(flags, &config);
  if (status.ok() && flags.print_config) {
    std::printf("%s", PrintConfig(config).c_str());
    return 0;
  }
  if (status.ok()) status = CheckConfig(config);
  if (status.ok() && flags.check_config) {
    std::printf("cairn-tracker: the configuration is good\n");
    return 0;
  }
  if (status.ok()) status = Serve(config, flags, &signals);
  if (!status.ok()) {
    std::fprintf(stderr, "cairn-tracker: %s\n",
                 std::string(status.message()).c_str());
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace tracker
}  // namespace cairn

int main(int argc, char** argv) { return cairn::tracker::Main(argc, argv); }
