// cairn-standalone: a tracker and a storage in one process.

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/process/daemon.h"
#include "lib/process/termination.h"
#include "lib/process/version.h"
#include "services/standalone/standalone.h"

namespace cairn {
namespace standalone {
namespace {

constexpr char kProgram[] = "cairn-standalone";
constexpr char kAbout[] =
    "A whole Cairn in one process: a tracker and a storage on a data directory "
    "of\ntheir own. The first start makes everything that is needed, also "
    "configuration\nfiles to read and change.";

std::string Absolute(const std::string& path) {
  if (!path.empty() && path[0] == '/') return path;
  char* here = getcwd(nullptr, 0);
  const std::string absolute =
      absl::StrCat(here == nullptr ? "" : here, "/", path);
  std::free(here);
  return absolute;
}

// What a person wants to know first.
void PrintWelcome(const Standalone& standalone) {
  const std::string tracker = standalone.tracker().advertised_address();
  const std::string storage = standalone.storage().advertised_address();
  std::string text =
      absl::StrCat("\nCairn ", kVersion, " serves",
                   standalone.data().is_new() ? " a new cluster" : "", ".\n\n",
                   "  data      ", standalone.data().path(), "\n",
                   "  tracker   ", tracker, "\n", "  storage   ", storage,
                   "  (", standalone.storage().identity().group, ")\n");
  for (const auto& [what, address] :
       {std::make_pair("tracker", standalone.tracker().metrics_address()),
        std::make_pair("storage", standalone.storage().metrics_address())}) {
    if (address.empty()) continue;
    absl::StrAppend(&text, "  metrics   http://", address, "/metrics  (", what,
                    ")\n");
  }
  const std::string& ca = standalone.tls_ca_file();
  absl::StrAppend(
      &text,
      "\nTry in another terminal:\n\n"
      "  export CAIRN_TRACKERS=",
      tracker, "\n",
      ca.empty() ? "" : absl::StrCat("  export CAIRN_TLS_CA=", ca, "\n"),
      "  cairn put README.md        # prints the file's ID\n"
      "  cairn get ID -o copy.md\n"
      "  cairn status\n"
      "  grpcurl ",
      ca.empty() ? "-plaintext" : absl::StrCat("-cacert ", ca), " ", storage,
      " list\n\nCtrl-C stops it; the data stays.\n\n");
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

struct Flags {
  StandaloneOptions options;
  std::string ready_file;
  std::string log_level = "warning";
  bool log_json = false;
};

absl::Status Serve(const Flags& flags) {
  TerminationSignals signals;
  InitLogging(LogLevelOf(flags.log_level),
              flags.log_json ? LogFormat::kJson : LogFormat::kText);
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<Standalone> standalone,
                         Standalone::Start(flags.options));
  PrintWelcome(*standalone);
  return ServeUntilTerminated(
      {"standalone",
       flags.ready_file,
       {{"tracker", standalone->tracker().advertised_address()},
        {"storage", standalone->storage().advertised_address()},
        {"tracker_metrics", standalone->tracker().metrics_address()},
        {"storage_metrics", standalone->storage().metrics_address()},
        {"cluster_id", standalone->data().cluster_id().ToString()},
        {"group", standalone->storage().identity().group},
        {"data_dir", standalone->data().path()}},
       standalone->storage().stop_grace() + standalone->tracker().stop_grace()},
      &signals, [&standalone] {
        std::printf("Stopping …\n");
        std::fflush(stdout);
        standalone->Stop();
        std::printf("Stopped. The data is in %s\n",
                    standalone->data().path().c_str());
      });
}

int Main(int argc, char** argv) {
  Flags flags;
  CLI::App app(kAbout, kProgram);
  app.set_version_flag("--version", absl::StrCat(kProgram, " ", kVersion));
  app.add_option("--data", flags.options.data_dir,
                 "Directory for everything; made at the first start.")
      ->required();
  app.add_option("--listen", flags.options.listen,
                 "Where the tracker listens, 127.0.0.1:7700 at first. Its "
                 "metrics are one port above, the storage 100 above, the "
                 "storage's metrics 101 above; port 0 takes free ones.");
  app.add_option("--advertise", flags.options.advertise_host,
                 "Host under which others reach this machine, when --listen "
                 "is 0.0.0.0 or [::].");
  app.add_flag("--allow_plaintext", flags.options.allow_plaintext,
               "Serve beyond loopback without TLS: whoever can reach this "
               "machine reads and writes everything.");
  app.add_option("--set_tracker", flags.options.tracker_overrides,
                 "Overrides a field of tracker.conf: field=value. Repeatable.")
      ->allow_extra_args(false);
  app.add_option("--set_storage", flags.options.storage_overrides,
                 "Overrides a field of storage.conf: field=value. Repeatable.")
      ->allow_extra_args(false);
  app.add_option("--ready_file", flags.ready_file,
                 "Written once all of it serves: the addresses as JSON.");
  app.add_option("--log_level", flags.log_level, "Least severe level to log.")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}))
      ->capture_default_str();
  app.add_flag("--log_json", flags.log_json, "Log lines are JSON.");
  CLI11_PARSE(app, argc, argv);

  flags.options.data_dir = Absolute(flags.options.data_dir);
  return ExitCodeOf(kProgram, Serve(flags));
}

}  // namespace
}  // namespace standalone
}  // namespace cairn

int main(int argc, char** argv) { return cairn::standalone::Main(argc, argv); }
