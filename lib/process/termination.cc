#include "lib/process/termination.h"

#include <cerrno>

#include "lib/base/check.h"

namespace cairn {

TerminationSignals::TerminationSignals() {
  sigemptyset(&signals_);
  sigaddset(&signals_, SIGTERM);
  sigaddset(&signals_, SIGINT);
  CAIRN_CHECK(pthread_sigmask(SIG_BLOCK, &signals_, nullptr) == 0);
  CAIRN_CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
}

int TerminationSignals::Wait() {
  int received = 0;
  int error = 0;
  do {
    error = sigwait(&signals_, &received);
  } while (error == EINTR);
  CAIRN_CHECK(error == 0);
  CAIRN_CHECK(pthread_sigmask(SIG_UNBLOCK, &signals_, nullptr) == 0);
  return received;
}

}  // namespace cairn
