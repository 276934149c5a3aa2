// cairn-storage: keeps files on the disks of one machine and serves them.

#include <cinttypes>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cairn/config/storage/v1/storage_config.pb.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/config/cluster_secret.h"
#include "lib/fault/fault_point.h"
#include "lib/io/fault_file_system.h"
#include "lib/io/file_system.h"
#include "lib/process/daemon.h"
#include "lib/process/termination.h"
#include "lib/process/version.h"
#include "lib/rpc/tls.h"
#include "services/storage/config/storage_config.h"
#include "services/storage/node_identity.h"
#include "services/storage/storage_server.h"
#include "services/storage/store/engine.h"
#include "services/storage/store/segment_dump.h"

namespace cairn {
namespace storage {
namespace {

constexpr char kProgram[] = "cairn-storage";
constexpr char kAbout[] =
    "Keeps the files of a Cairn cluster on the disks of this machine.\n"
    "\n"
    "Every field that the configuration file and --set take is explained in\n"
    "proto/cairn/config/storage/v1/storage_config.proto. A first node:\n"
    "\n"
    "  cairn-storage --set store_paths+='{directory: \"/data0/cairn\"}' \\\n"
    "      --set trackers=127.0.0.1:7700 \\\n"
    "      --set cluster_id=$CLUSTER_ID --set cluster_secret_file=secret";

struct Flags {
  DaemonFlags daemon;
  std::string fault_points;
  std::string fault_file_system;
  bool list_fault_points = false;

  int rebuild_path = -1;
  std::vector<std::string> dump_files;
};

absl::Status CheckConfig(const StorageConfig& config) {
  CAIRN_RETURN_IF_ERROR(ValidateConfig(config));
  CAIRN_RETURN_IF_ERROR(ReadClusterSecret(config, FileSystem::Real()).status());
  return rpc::CheckTls(config, FileSystem::Real(), Clock::Real());
}

absl::Status Serve(const StorageConfig& config, const Flags& flags) {
  TerminationSignals signals;
  if (!flags.fault_points.empty()) {
    CAIRN_RETURN_IF_ERROR(WithContext(EnableFaultPoints(flags.fault_points),
                                      "--enable_fault_points"));
    CAIRN_LOG(kWarning, "storage", "fault points are armed: {}",
              flags.fault_points);
  }
  FileSystem* fs = FileSystem::Real();
  std::unique_ptr<FileSystem> faulty;
  if (!flags.fault_file_system.empty()) {
    CAIRN_ASSIGN_OR_RETURN(faulty,
                           MakeFaultFileSystem(fs, flags.fault_file_system));
    fs = faulty.get();
    CAIRN_LOG(kWarning, "storage", "the file system fails by rules: {}",
              flags.fault_file_system);
  }
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<StorageServer> server,
                         StorageServer::Start(config, fs));
  return ServeUntilTerminated(
      {"storage",
       flags.daemon.ready_file,
       {{"storage", server->advertised_address()},
        {"listen", absl::StrJoin(server->addresses(), ",")},
        {"admin", server->admin_address()},
        {"metrics", server->metrics_address()},
        {"node_uuid", server->identity().node_uuid.ToString()},
        {"group", server->identity().group},
        {"cluster_id", config.cluster_id()}},
       server->stop_grace()},
      &signals, [&server] { server->Stop(); });
}

absl::Status Rebuild(const StorageConfig& config, int index) {
  if (index < 0 || index >= config.store_paths_size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--path: there are store paths 0 to ", config.store_paths_size() - 1));
  }
  CAIRN_ASSIGN_OR_RETURN(const NodeIdentity identity,
                         FindOrMakeNodeIdentity(config, FileSystem::Real()));
  int percent_said = -1;
  CAIRN_ASSIGN_OR_RETURN(
      const RebuildReport report,
      RebuildIndex(OptionsOfPath(config, identity, index), FileSystem::Real(),
                   Clock::Real(), [&](const JobProgress& progress) {
                     if (progress.total_bytes <= 0) return;
                     const int percent = static_cast<int>(
                         100 * progress.done_bytes / progress.total_bytes);
                     if (percent / 10 == percent_said / 10) return;
                     percent_said = percent;
                     std::fprintf(stderr, "%d %% of the segments read\n",
                                  percent);
                   }));
  std::printf(
      "store path %d has a new index: %lld files, %lld deleted names, from "
      "%lld records in %lld segments\n"
      "damaged records: %lld, files without their content: %lld\n"
      "incarnation: %s\n",
      index, static_cast<long long>(report.files),
      static_cast<long long>(report.tombstones),
      static_cast<long long>(report.records),
      static_cast<long long>(report.segments),
      static_cast<long long>(report.damaged_records),
      static_cast<long long>(report.missing_content),
      report.incarnation.ToString().c_str());
  for (const std::string& place : report.damage) {
    std::printf("  %s\n", place.c_str());
  }
  return absl::OkStatus();
}

absl::Status DumpFile(const std::string& file) {
  std::printf("%s\n", file.c_str());
  CAIRN_ASSIGN_OR_RETURN(
      const SegmentDumpSummary summary,
      DumpSegment(FileSystem::Real(), file, [](const std::string& line) {
        std::printf("%s\n", line.c_str());
      }));
  std::printf("records: %" PRId64 ", damaged places: %" PRId64 "\n",
              summary.records, summary.damaged);
  if (summary.damaged == 0) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(
      file, ": damaged places: ", summary.damaged,
      "; the lines above name them, docs/runbooks/damaged_content.md says "
      "what to do"));
}

// Asks for no configuration: a file of a disk may be all that is left. Goes on
// with the next file when one is no good.
int Dump(const std::vector<std::string>& files) {
  int exit_code = 0;
  for (const std::string& file : files) {
    exit_code |= ExitCodeOf(kProgram, DumpFile(file));
  }
  return exit_code;
}

int Main(int argc, char** argv) {
  Flags flags;
  CLI::App app(kAbout, kProgram);
  app.set_version_flag("--version", absl::StrCat(kProgram, " ", kVersion));
  AddDaemonFlags("listen=0.0.0.0:7800", &app, &flags.daemon);
  app.add_option("--enable_fault_points", flags.fault_points,
                 "For tests: makes the process fail on demand; see "
                 "lib/fault/fault_point.h.");
  app.add_flag("--list_fault_points", flags.list_fault_points,
               "Prints the names that --enable_fault_points takes, and ends.");
  app.add_option("--fault_file_system", flags.fault_file_system,
                 "For tests: makes the disk fail by rules; see "
                 "lib/io/fault_rules.h.");
  CLI::App* const rebuild = app.add_subcommand(
      "rebuild-index",
      "Makes a new index for a store path from its segments, while no process "
      "has it open.");
  rebuild->add_option("--path", flags.rebuild_path, "Index of the store path.")
      ->required();
  CLI::App* const dump = app.add_subcommand(
      "dump-segment",
      "Prints what is in segment files, record by record, and checks all of "
      "it. Changes nothing, needs no configuration; the store path may be in "
      "use. See docs/formats/segment.md.");
  dump->add_option("files", flags.dump_files,
                   "Segments: <store path>/segments/<folder>/<number>.seg")
      ->required();
  app.fallthrough();
  CLI11_PARSE(app, argc, argv);

  if (flags.list_fault_points) {
    for (const std::string& name : FaultPointNames()) {
      std::printf("%s\n", name.c_str());
    }
    return 0;
  }
  if (dump->parsed()) return Dump(flags.dump_files);
  return RunDaemon<StorageConfig>(
      kProgram, flags.daemon, &WithDefaults, &CheckConfig,
      [&](const StorageConfig& config) {
        return rebuild->parsed() ? Rebuild(config, flags.rebuild_path)
                                 : Serve(config, flags);
      });
}

}  // namespace
}  // namespace storage
}  // namespace cairn

int main(int argc, char** argv) { return cairn::storage::Main(argc, argv); }
