#include "clients/cli/stdin_reader.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>

#include "absl/status/status.h"
#include "lib/io/errno_status.h"

namespace cairn {
namespace cli {

absl::StatusOr<size_t> StdinReader::Read(char* buffer, size_t size) {
  for (;;) {
    if (interrupt_->raised()) return absl::CancelledError("interrupted");
    pollfd poll_fd = {fd_, POLLIN, 0};
    const int ready = ::poll(&poll_fd, 1, kInterruptPollMillis);
    if (ready == 0 || (ready < 0 && errno == EINTR)) continue;
    const ssize_t got = ::read(fd_, buffer, size);
    if (got >= 0) return static_cast<size_t>(got);
    if (errno != EINTR) return StatusFromErrno(errno, "read", "stdin");
  }
}

}  // namespace cli
}  // namespace cairn
