#include "lib/rpc/grpc_log.h"

#include <grpc/support/log.h>

#include <atomic>
#include <cstdint>

#include "absl/time/time.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

namespace cairn {
namespace rpc {
namespace {

// Runs on any thread of gRPC, perhaps while it holds locks: takes none itself.
void Log(gpr_log_func_args* args) {
  static std::atomic<int64_t> next{0};  // Clock::Monotonic() of the next line.
  static std::atomic<uint64_t> unlogged{0};
  const int64_t now = absl::ToInt64Nanoseconds(Clock::Real()->Monotonic());
  int64_t due = next.load();
  if (now < due || !next.compare_exchange_strong(
                       due, now + absl::ToInt64Nanoseconds(absl::Seconds(1)))) {
    ++unlogged;
    return;
  }
  CAIRN_LOG(kWarning, "grpc", "{} others_since_last={}", args->message,
            unlogged.exchange(0));
}

}  // namespace

void RouteGrpcLog() {
  static const bool done = [] {
    gpr_set_log_function(&Log);
    return true;
  }();
  (void)done;
}

}  // namespace rpc
}  // namespace cairn
