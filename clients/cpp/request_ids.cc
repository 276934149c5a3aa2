#include "clients/cpp/request_ids.h"

#include <unistd.h>

#include <cstddef>

#include "absl/strings/string_view.h"

namespace cairn {
namespace client {
namespace {

constexpr size_t kUuidBytes = 16;
constexpr size_t kAtATime = 128;

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
  bytes[6] = static_cast<char>((bytes[6] & 0x0f) | 0x40);  // Version 4.
  bytes[8] = static_cast<char>((bytes[8] & 0x3f) | 0x80);  // RFC 4122.
  return *Uuid::FromBytes(absl::string_view(bytes, kUuidBytes));
}

}  // namespace client
}  // namespace cairn
