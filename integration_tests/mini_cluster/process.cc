#include "integration_tests/mini_cluster/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "lib/base/check.h"

namespace cairn {
namespace testing {
namespace {

// How often a file is looked for. The wait ends at once when the process does.
constexpr int kPollMilliseconds = 5;

constexpr size_t kLogTailBytes = 4000;

std::string ReadFileOrEmpty(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in),
                     std::istreambuf_iterator<char>());
}

}  // namespace

std::string ExitStatus::ToString() const {
  if (code.has_value()) return absl::StrCat("exit ", *code);
  if (signal.has_value()) return absl::StrCat("signal ", *signal);
  return "still running";
}

absl::StatusOr<std::unique_ptr<Process>> Process::Start(
    ProcessOptions options) {
  if (access(options.program.c_str(), X_OK) != 0) {
    return absl::NotFoundError(
        absl::StrCat(options.program, ": ", strerror(errno)));
  }
  std::vector<char*> argv = {options.program.data()};
  for (std::string& argument : options.arguments) {
    argv.push_back(argument.data());
  }
  argv.push_back(nullptr);
  const int log = open(options.log_file.c_str(),
                       O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  CAIRN_CHECK_MSG(log >= 0, options.log_file);

  const pid_t parent = getpid();
  const pid_t pid = fork();
  CAIRN_CHECK(pid >= 0);
  if (pid == 0) {
    // Between fork and exec of a threaded process: only system calls.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
    const int null = open("/dev/null", O_RDONLY);
    dup2(null, STDIN_FILENO);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    execv(argv[0], argv.data());
    _exit(127);
  }
  close(log);
  const int pid_fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  CAIRN_CHECK(pid_fd >= 0);
  return std::unique_ptr<Process>(new Process(std::move(options), pid, pid_fd));
}

Process::Process(ProcessOptions options, pid_t pid, int pid_fd)
    : options_(std::move(options)), pid_(pid), pid_fd_(pid_fd) {}

Process::~Process() {
  Kill();
  close(pid_fd_);
}

void Process::Kill() {
  Signal(SIGKILL);
  CAIRN_CHECK(AwaitEnd(kProcessDeadline));
}

void Process::Signal(int signal) {
  if (!ended().has_value()) kill(pid_, signal);
}

absl::StatusOr<ExitStatus> Process::Terminate() {
  Signal(SIGTERM);
  return Wait();
}

absl::StatusOr<ExitStatus> Process::Wait(absl::Duration timeout) {
  if (!AwaitEnd(timeout)) {
    return absl::DeadlineExceededError(
        absl::StrCat(options_.program, " goes on after ",
                     absl::FormatDuration(timeout), "\n", LogTail()));
  }
  return *exit_status_;
}

absl::StatusOr<std::string> Process::WaitForFile(const std::string& path,
                                                 absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  while (true) {
    std::string content = ReadFileOrEmpty(path);
    if (!content.empty()) return content;
    if (AwaitEnd(absl::Milliseconds(kPollMilliseconds))) {
      return absl::FailedPreconditionError(
          absl::StrCat(options_.program, " ended (", exit_status_->ToString(),
                       ") before it wrote ", path, "\n", LogTail()));
    }
    if (absl::Now() > deadline) {
      return absl::DeadlineExceededError(
          absl::StrCat(options_.program, " did not write ", path, " in ",
                       absl::FormatDuration(timeout), "\n", LogTail()));
    }
  }
}

absl::optional<ExitStatus> Process::ended() {
  AwaitEnd(absl::ZeroDuration());
  return exit_status_;
}

bool Process::AwaitEnd(absl::Duration timeout) {
  if (exit_status_.has_value()) return true;
  const absl::Time deadline = absl::Now() + timeout;
  pollfd waited = {pid_fd_, POLLIN, 0};
  int ready = 0;
  do {
    const int64_t left = absl::ToInt64Milliseconds(
        std::max(deadline - absl::Now(), absl::ZeroDuration()));
    ready = poll(&waited, 1, static_cast<int>(left));
  } while (ready < 0 && errno == EINTR);
  if (ready <= 0) return false;

  int status = 0;
  CAIRN_CHECK(waitpid(pid_, &status, 0) == pid_);
  exit_status_.emplace();
  if (WIFEXITED(status)) exit_status_->code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) exit_status_->signal = WTERMSIG(status);
  return true;
}

std::string Process::Log() const { return ReadFileOrEmpty(options_.log_file); }

std::string Process::LogTail() const {
  std::string log = Log();
  if (log.size() > kLogTailBytes) log.erase(0, log.size() - kLogTailBytes);
  return absl::StrCat("---- end of ", options_.log_file, "\n", log, "----");
}

std::string Runfile(absl::string_view path) {
  const char* runfiles = getenv("TEST_SRCDIR");
  const char* workspace = getenv("TEST_WORKSPACE");
  CAIRN_CHECK_MSG(runfiles != nullptr && workspace != nullptr,
                  "run this through `bazel test` or `bazel run`");
  return absl::StrCat(runfiles, "/", workspace, "/", path);
}

std::string MakeTempFolder(absl::string_view name) {
  std::string folder = absl::StrCat(::testing::TempDir(), "/", name, "-XXXXXX");
  CAIRN_CHECK_MSG(mkdtemp(folder.data()) != nullptr, folder);
  return folder;
}

}  // namespace testing
}  // namespace cairn
