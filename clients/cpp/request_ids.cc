#include "clients/cpp/request_ids.h"

#include <unistd.h>

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace cairn {
namespace client {
namespace {

constexpr size_t kUuidBytes = 16;
constexpr size_t kAtATime = 128;
constexpr size_t kTimeBytes = 6;

struct Stock {
  char bytes[kUuidBytes * kAtATime];
  size_t left = 0;
  pid_t owner = 0;  // A forked child must not use what its parent uses too.
};

}  // namespace

Uuid NewRequestId() {
  static thread_local Stock stock;
  const pid_t pid = getpid();
  if (stock.left == 0 || stock.owner != pid) {
    RandomBytes(stock.bytes, sizeof(stock.bytes));
    stock.left = kAtATime;
    stock.owner = pid;
  }
  char* bytes = stock.bytes + --stock.left * kUuidBytes;
  // Milliseconds first, big-endian: ids that are made one after the other lie
  // side by side in the storages' indexes, and none that is new can be in a
  // table that was written before.
  const int64_t now = absl::ToUnixMillis(absl::Now());
  for (size_t i = 0; i < kTimeBytes; ++i) {
    bytes[i] = static_cast<char>(now >> (8 * (kTimeBytes - 1 - i)));
  }
  bytes[6] = static_cast<char>((bytes[6] & 0x0f) | 0x70);  // Version 7.
  bytes[8] = static_cast<char>((bytes[8] & 0x3f) | 0x80);  // RFC 9562.
  return *Uuid::FromBytes(absl::string_view(bytes, kUuidBytes));
}

}  // namespace client
}  // namespace cairn
