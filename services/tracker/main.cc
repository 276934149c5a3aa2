// cairn-tracker: knows who is in the cluster and says where files go.

#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cairn/config/tracker/v1/tracker_config.pb.h"
#include "lib/base/clock.h"
#include "lib/base/status_macros.h"
#include "lib/config/cluster_secret.h"
#include "lib/io/file_system.h"
#include "lib/process/daemon.h"
#include "lib/process/termination.h"
#include "lib/process/version.h"
#include "lib/rpc/tls.h"
#include "services/tracker/config/tracker_config.h"
#include "services/tracker/tracker_server.h"

namespace cairn {
namespace tracker {
namespace {

constexpr char kProgram[] = "cairn-tracker";
constexpr char kAbout[] =
    "Knows who is in a Cairn cluster and says where files go.\n"
    "\n"
    "Every field that the configuration file and --set take is explained in\n"
    "proto/cairn/config/tracker/v1/tracker_config.proto. A first tracker:\n"
    "\n"
    "  openssl rand -base64 32 > secret && chmod 600 secret\n"
    "  cairn-tracker --set data_dir=/var/lib/cairn/tracker \\\n"
    "      --set cluster_id=$(uuidgen) --set cluster_secret_file=$PWD/secret";

absl::Status CheckConfig(const TrackerConfig& config) {
  CAIRN_RETURN_IF_ERROR(ValidateConfig(config));
  CAIRN_RETURN_IF_ERROR(ReadClusterSecret(config, FileSystem::Real()).status());
  return rpc::CheckTls(config, FileSystem::Real(), Clock::Real());
}

absl::Status Serve(const TrackerConfig& config, const std::string& ready_file) {
  TerminationSignals signals;
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<TrackerServer> server,
                         TrackerServer::Start(config));
  return ServeUntilTerminated(
      {"tracker",
       ready_file,
       {{"tracker", server->advertised_address()},
        {"listen", absl::StrJoin(server->addresses(), ",")},
        {"admin", server->admin_address()},
        {"metrics", server->metrics_address()},
        {"cluster_id", config.cluster_id()}},
       server->stop_grace()},
      &signals, [&server] { server->Stop(); });
}

int Main(int argc, char** argv) {
  DaemonFlags flags;
  CLI::App app(kAbout, kProgram);
  app.set_version_flag("--version", absl::StrCat(kProgram, " ", kVersion));
  AddDaemonFlags("listen=0.0.0.0:7700", &app, &flags);
  CLI11_PARSE(app, argc, argv);
  return RunDaemon<TrackerConfig>(kProgram, flags, &WithDefaults, &CheckConfig,
                                  [&](const TrackerConfig& config) {
                                    return Serve(config, flags.ready_file);
                                  });
}

}  // namespace
}  // namespace tracker
}  // namespace cairn

int main(int argc, char** argv) { return cairn::tracker::Main(argc, argv); }
