// Whether the user wants the command to end.

#ifndef CAIRN_CLIENTS_CLI_INTERRUPT_H_
#define CAIRN_CLIENTS_CLI_INTERRUPT_H_

#include <atomic>

namespace cairn {
namespace cli {

// Raised once, by a signal thread or a test. Thread-safe. Who waits looks at it
// every kInterruptPollMillis.
class Interrupt {
 public:
  void Raise() { raised_.store(true, std::memory_order_release); }
  bool raised() const { return raised_.load(std::memory_order_acquire); }

 private:
  std::atomic<bool> raised_{false};
};

inline constexpr int kInterruptPollMillis = 100;

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_INTERRUPT_H_
