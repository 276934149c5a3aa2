// How a daemon learns that it is to stop.

#ifndef CAIRN_LIB_PROCESS_TERMINATION_H_
#define CAIRN_LIB_PROCESS_TERMINATION_H_

#include <signal.h>

namespace cairn {

// SIGTERM and SIGINT, for a main() that waits for them. Make it before the
// process has other threads: it blocks the signals, and threads inherit that.
// Writing to a closed connection does not end the process any more (SIGPIPE).
class TerminationSignals {
 public:
  TerminationSignals();

  // Waits for one of the signals and returns it. From then on the next one
  // ends the process at once, for whoever is tired of a graceful stop.
  int Wait();

 private:
  sigset_t signals_;
};

}  // namespace cairn

#endif  // CAIRN_LIB_PROCESS_TERMINATION_H_
