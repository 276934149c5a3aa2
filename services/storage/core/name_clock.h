// The (second, counter) pair that makes a file ID unique on its node.

#ifndef CAIRN_SERVICES_STORAGE_CORE_NAME_CLOCK_H_
#define CAIRN_SERVICES_STORAGE_CORE_NAME_CLOCK_H_

#include <atomic>
#include <cstdint>

namespace cairn {
namespace storage {

// Thread-safe. Never gives the same pair twice: not when the clock stands still
// or goes back, and not after a restart either, if it is told the newest second
// that was ever used. When a second's counter is used up it borrows from the
// next.
class NameClock {
 public:
  struct Moment {
    uint32_t unix_seconds = 0;
    uint32_t counter = 0;  // 24 bits.
  };

  // Moments given from now on are younger than `unix_seconds`.
  void StartAfter(int64_t unix_seconds) {
    Raise(static_cast<uint64_t>(unix_seconds + 1) << kCounterBits);
  }

  Moment Next(int64_t now_unix_seconds) {
    const uint64_t now = static_cast<uint64_t>(now_unix_seconds)
                         << kCounterBits;
    uint64_t next = next_.load(std::memory_order_relaxed);
    uint64_t taken;
    do {
      taken = next < now ? now : next;
    } while (!next_.compare_exchange_weak(next, taken + 1,
                                          std::memory_order_relaxed));
    return {static_cast<uint32_t>(taken >> kCounterBits),
            static_cast<uint32_t>(taken & ((1u << kCounterBits) - 1))};
  }

 private:
  static constexpr int kCounterBits = 24;

  void Raise(uint64_t least) {
    uint64_t next = next_.load(std::memory_order_relaxed);
    while (next < least && !next_.compare_exchange_weak(
                               next, least, std::memory_order_relaxed)) {
    }
  }

  std::atomic<uint64_t> next_{0};
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_NAME_CLOCK_H_
