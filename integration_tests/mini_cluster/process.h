// A real process under test: started, hurt, waited for.
//
//   Start() ──▶ running ──▶ Kill() / Terminate() / it ends itself ──▶ Wait()
//
// A process never outlives the thread that started it (PR_SET_PDEATHSIG), so a
// test that crashes leaves nothing behind. Start it on the test's main thread.

#ifndef CAIRN_INTEGRATION_TESTS_MINI_CLUSTER_PROCESS_H_
#define CAIRN_INTEGRATION_TESTS_MINI_CLUSTER_PROCESS_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"

namespace cairn {
namespace testing {

// How long a condition on another process may take before the test gives up:
// far more than a slow machine under a sanitizer needs.
inline constexpr absl::Duration kProcessDeadline = absl::Minutes(3);

// How a process ended.
struct ExitStatus {
  absl::optional<int> code;    // Set if it ended by itself.
  absl::optional<int> signal;  // Set if a signal ended it.

  // `exit 1` or `signal 9`.
  std::string ToString() const;
};

struct ProcessOptions {
  // Absolute path of the program.
  std::string program;

  // Without argv[0].
  std::vector<std::string> arguments;

  // Takes stdout and stderr, appended. Created if missing.
  std::string log_file;
};

// For one thread.
class Process {
 public:
  //   NOT_FOUND  there is no such program.
  static absl::StatusOr<std::unique_ptr<Process>> Start(ProcessOptions options);

  // Kills it if it runs.
  ~Process();

  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // SIGKILL, and waits until it is gone: what it wrote stays, what it had in
  // memory is lost. Nothing if it has ended.
  void Kill();

  // Sends a signal without waiting. Nothing if it has ended.
  void Signal(int signal);

  // SIGTERM, then Wait().
  absl::StatusOr<ExitStatus> Terminate();

  // Waits until it has ended.
  //   DEADLINE_EXCEEDED  it goes on; the end of its log is in the message.
  absl::StatusOr<ExitStatus> Wait(absl::Duration timeout = kProcessDeadline);

  // Waits until `path` exists and is not empty, and returns what it holds.
  //   FAILED_PRECONDITION  the process ended before; how, and the end of its
  //                        log, is in the message.
  //   DEADLINE_EXCEEDED    as Wait().
  absl::StatusOr<std::string> WaitForFile(
      const std::string& path, absl::Duration timeout = kProcessDeadline);

  // Nullopt while it runs.
  absl::optional<ExitStatus> ended();

  pid_t pid() const { return pid_; }

  // Everything that it wrote to stdout and stderr, over all starts that share
  // the file.
  std::string Log() const;

 private:
  Process(ProcessOptions options, pid_t pid, int pid_fd);

  // Waits up to `timeout` for the end. False if it goes on.
  bool AwaitEnd(absl::Duration timeout);
  std::string LogTail() const;

  const ProcessOptions options_;
  const pid_t pid_;
  const int pid_fd_;
  absl::optional<ExitStatus> exit_status_;
};

// The absolute path of a file that the test target names in `data`, such as
// "services/storage/cairn-storage".
std::string Runfile(absl::string_view path);

// A new empty folder below ::testing::TempDir().
std::string MakeTempFolder(absl::string_view name);

}  // namespace testing
}  // namespace cairn

#endif  // CAIRN_INTEGRATION_TESTS_MINI_CLUSTER_PROCESS_H_
