// How often each method of a service is called, how it ends and how long it
// takes:
//
//   cairn_rpc_requests_total{method,code,reason}
//   cairn_rpc_latency_seconds{method}
//   cairn_rpc_in_flight{method}
//
// `method` is `FileService.Stat`, or `BatchService.Run/put` for an item of a
// batch; `code` and `reason` are names (OK and an empty reason for success).

#ifndef CAIRN_LIB_RPC_METHOD_METRICS_H_
#define CAIRN_LIB_RPC_METHOD_METRICS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "lib/base/error_reason.h"
#include "lib/base/mutex.h"
#include "lib/metrics/metrics.h"

namespace cairn {
namespace rpc {

// One method. Thread-safe. Every Begin() is followed by one End().
class MethodMetrics {
 public:
  // `registry` is borrowed for the object's life.
  MethodMetrics(MetricsRegistry* registry, absl::string_view method);
  ~MethodMetrics();

  MethodMetrics(const MethodMetrics&) = delete;
  MethodMetrics& operator=(const MethodMetrics&) = delete;

  void Begin() { begun_->Add(); }
  void End(const absl::Status& status, absl::Duration took) {
    ended_->Add();
    latency_->Observe(took);
    if (status.ok()) {
      ok_->Add();
    } else {
      CountError(status);
    }
  }

  // `count` successes at once, of which each took that long; Begin() was called
  // for none of them.
  void CountOk(uint64_t count, absl::Duration took) {
    ok_->Add(count);
    latency_->ObserveMany(absl::ToDoubleSeconds(took), count);
  }

  // Calls that have begun and not ended.
  uint64_t in_flight() const {
    // In this order, so that it is never negative.
    const uint64_t ended = ended_->Value();
    return begun_->Value() - ended;
  }

  // An error that Begin() was not called for.
  void CountError(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  MetricsRegistry* const registry_;
  const std::string method_;
  Counter* const ok_;
  Histogram* const latency_;
  // In flight is their difference; two counters, so that neither is contended.
  const std::unique_ptr<Counter> begun_;
  const std::unique_ptr<Counter> ended_;
  uint64_t callback_ = 0;  // Of the gauge.

  Mutex mu_;
  std::map<std::pair<absl::StatusCode, ErrorReason>, Counter*> errors_
      ABSL_GUARDED_BY(mu_);
};

}  // namespace rpc
}  // namespace cairn

#endif  // CAIRN_LIB_RPC_METHOD_METRICS_H_
