// cairn-probe: measures what gRPC and the disk do here without Cairn, so that
// Cairn's own figures can be given as ratios. Each probe prints one line of
// JSON.

#include <csignal>
#include <cstdio>
#include <fstream>
#include <functional>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "clients/probe/lag.h"
#include "clients/probe/probe_server.h"
#include "clients/probe/probes.h"
#include "lib/base/mutex.h"  // Switches the deadlock search of gRPC's locks off.

namespace cairn {
namespace probe {
namespace {

int Serve(const std::string& listen, const std::string& ready_file) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // Before gRPC's threads.
  const auto server = ProbeServer::Start(listen);
  if (!server.ok()) {
    absl::FPrintF(stderr, "cairn-probe: %s\n", server.status().message());
    return 1;
  }
  absl::PrintF("listening on %s\n", (*server)->address());
  std::fflush(stdout);
  if (!ready_file.empty()) {
    std::ofstream(ready_file + ".tmp") << (*server)->address() << "\n";
    if (std::rename((ready_file + ".tmp").c_str(), ready_file.c_str()) != 0) {
      absl::FPrintF(stderr, "cairn-probe: cannot write %s\n", ready_file);
      return 1;
    }
  }
  int received = 0;
  sigwait(&signals, &received);
  return 0;
}

int Print(const absl::StatusOr<ProbeResult>& result) {
  if (!result.ok()) {
    absl::FPrintF(stderr, "cairn-probe: %s\n", result.status().ToString());
    return 1;
  }
  std::string line;
  for (const auto& [name, value] : *result) {
    absl::StrAppend(&line, line.empty() ? "" : ", ", "\"", name,
                    "\": ", absl::StrFormat("%.3f", value));
  }
  absl::PrintF("{%s}\n", line);
  return 0;
}

int Main(int argc, char** argv) {
  CLI::App app("Measures what gRPC and the disk do here without Cairn.",
               "cairn-probe");
  app.require_subcommand(1);
  std::string listen = "127.0.0.1:0";
  std::string ready_file;
  std::string target;
  std::string directory = ".";
  int callers = 64;
  int streams = 1;
  int64_t payload_bytes = 4096;
  int64_t total_bytes = int64_t{1} << 30;
  int64_t chunk_bytes = 256 << 10;
  double seconds = 3;
  std::string from;
  std::string to;
  double quiet_seconds = 1;

  CLI::App* const serve =
      app.add_subcommand("serve", "Serve the gRPC probes until SIGTERM.");
  serve->add_option("--listen", listen, "Address; port 0 takes a free one.");
  serve->add_option("--ready_file", ready_file,
                    "Written with the address once the server listens.");

  CLI::App* const echo = app.add_subcommand(
      "echo", "Unary calls that return their payload, by blocking threads.");
  echo->add_option("--callers", callers, "Threads.");
  echo->add_option("--payload", payload_bytes, "Bytes in each call.");
  CLI::App* const up =
      app.add_subcommand("up", "Raw byte streams to the server.");
  CLI::App* const down =
      app.add_subcommand("down", "Raw byte streams from the server.");
  for (CLI::App* const stream : {up, down}) {
    stream->add_option("--streams", streams, "Streams at once.");
    stream->add_option("--bytes", total_bytes, "Bytes of each stream.");
    stream->add_option("--chunk", chunk_bytes, "Bytes of a message.")
        ->check(CLI::Range(1, 16 << 20));
  }
  for (CLI::App* const remote : {echo, up, down}) {
    remote->add_option("--target", target, "Address of `cairn-probe serve`.")
        ->required();
  }
  CLI::App* const sync =
      app.add_subcommand("sync", "write + fdatasync of 4 KiB by one thread.");
  CLI::App* const file =
      app.add_subcommand("file", "Sequential write and read of one file.");
  CLI::App* const disk = app.add_subcommand(
      "disk", "Sequential write of one file past the page cache.");
  for (CLI::App* const whole : {file, disk}) {
    whole->add_option("--bytes", total_bytes, "Size of the file.");
  }
  for (CLI::App* const local : {sync, file, disk}) {
    local->add_option("--directory", directory, "Where the file is made.");
  }
  for (CLI::App* const timed : {echo, sync}) {
    timed->add_option("--seconds", seconds, "How long to measure.");
  }
  CLI::App* const lag = app.add_subcommand(
      "lag",
      "How far a member of a group is behind another that takes files: starts "
      "before the load and ends after it.");
  lag->add_option("--from", from, "Address of the node that takes them.")
      ->required();
  lag->add_option("--to", to, "Address of the member that follows.")
      ->required();
  lag->add_option("--quiet", quiet_seconds,
                  "The load is over after so long without a change.");
  double limit_seconds = 600;
  int64_t files = 0;
  int64_t live_bytes = 0;
  CLI::App* const filled = app.add_subcommand(
      "filled", "Wait until a node has so many files, contents and all.");
  filled->add_option("--target", target, "Address of the node.")->required();
  filled->add_option("--files", files, "How many.")->required();
  filled->add_option("--bytes", live_bytes, "Of all of them together.");
  for (CLI::App* const watch : {lag, filled}) {
    watch->add_option("--limit", limit_seconds, "Seconds to watch at most.");
  }
  CLI11_PARSE(app, argc, argv);

  if (serve->parsed()) return Serve(listen, ready_file);
  if (echo->parsed()) {
    return Print(
        ProbeEcho(target, callers, payload_bytes, absl::Seconds(seconds)));
  }
  if (up->parsed()) {
    return Print(ProbeUpload(target, streams, total_bytes, chunk_bytes));
  }
  if (down->parsed()) {
    return Print(ProbeDownload(target, streams, total_bytes, chunk_bytes));
  }
  if (sync->parsed()) {
    return Print(ProbeSync(directory, absl::Seconds(seconds)));
  }
  if (disk->parsed()) return Print(ProbeDisk(directory, total_bytes));
  if (lag->parsed()) {
    return Print(ProbeLag(from, to, absl::Seconds(quiet_seconds),
                          absl::Seconds(limit_seconds)));
  }
  if (filled->parsed()) {
    return Print(
        ProbeFilled(target, files, live_bytes, absl::Seconds(limit_seconds)));
  }
  return Print(ProbeSequentialFile(directory, total_bytes));
}

}  // namespace
}  // namespace probe
}  // namespace cairn

int main(int argc, char** argv) { return cairn::probe::Main(argc, argv); }
