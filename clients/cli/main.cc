// cairn: the process around the command. Signals, terminal, environment.

#include <pthread.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "clients/cli/cli.h"
#include "clients/cli/environment.h"
#include "clients/cli/interrupt.h"
#include "clients/cli/node_queries.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

namespace cairn {
namespace cli {
namespace {

// The first Ctrl-C lets the command end cleanly, the second ends it at once.
// The thread lives as long as the process.
void WatchSignals(Interrupt* interrupt) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // In all threads to come.
  std::signal(SIGPIPE, SIG_IGN);                  // Seen as a failed write.
  std::thread([signals, interrupt] {
    int signal = 0;
    sigwait(&signals, &signal);
    interrupt->Raise();
    sigwait(&signals, &signal);
    ::_exit(kExitInterrupted);
  }).detach();
}

int TerminalColumns() {
  winsize size = {};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) {
    return 80;
  }
  return size.ws_col;
}

int Main(int argc, char** argv) {
  // What the client logs is for the logs of services: a person gets the error
  // of the command itself.
  SetLogLevel(LogLevel::kError);
  // So does gRPC, of each connection that fails.
  ::setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  static Interrupt interrupt;  // The signal thread may outlive main().
  WatchSignals(&interrupt);
  const std::unique_ptr<NodeQueries> queries = MakeGrpcNodeQueries();
  Environment environment;
  environment.in = stdin;
  environment.out = stdout;
  environment.err = stderr;
  environment.in_is_terminal = ::isatty(STDIN_FILENO) != 0;
  environment.err_is_terminal = ::isatty(STDERR_FILENO) != 0;
  environment.out_is_terminal = ::isatty(STDOUT_FILENO) != 0;
  environment.columns = TerminalColumns();
  environment.variable = [](const char* name) {
    const char* const value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  environment.connect = [](client::ClientOptions options) {
    return client::Client::Connect(std::move(options));
  };
  environment.queries = queries.get();
  environment.interrupt = &interrupt;
  environment.clock = Clock::Real();
  return RunCairn(std::vector<std::string>(argv + 1, argv + argc), environment);
}

}  // namespace
}  // namespace cli
}  // namespace cairn

int main(int argc, char** argv) { return cairn::cli::Main(argc, argv); }
