#include "lib/rpc/method_metrics.h"

namespace cairn {
namespace rpc {
namespace {

constexpr char kRequests[] = "cairn_rpc_requests_total";
constexpr char kRequestsHelp[] =
    "Calls that ended, by method, status code and reason. A rise of codes "
    "other than OK says that callers get errors; the reason says why.";
constexpr char kLatency[] = "cairn_rpc_latency_seconds";
constexpr char kLatencyHelp[] =
    "Time from a call's arrival to its answer, by method. Streams last as long "
    "as the client wants.";
constexpr char kInFlight[] = "cairn_rpc_in_flight";
constexpr char kInFlightHelp[] =
    "Calls that have begun and not ended, by method. A rise means that calls "
    "arrive faster than they are answered.";

Counter* AddRequests(MetricsRegistry* registry, const std::string& method,
                     absl::string_view code, absl::string_view reason) {
  return registry->AddCounter(kRequests, kRequestsHelp,
                              {{"method", method},
                               {"code", std::string(code)},
                               {"reason", std::string(reason)}});
}

}  // namespace

MethodMetrics::MethodMetrics(MetricsRegistry* registry,
                             absl::string_view method)
    : registry_(registry),
      method_(method),
      ok_(AddRequests(registry, method_, "OK", "")),
      latency_(registry->AddHistogram(kLatency, kLatencyHelp,
                                      Histogram::LatencyBounds(),
                                      {{"method", method_}})),
      begun_(std::make_unique<Counter>()),
      ended_(std::make_unique<Counter>()) {
  callback_ = registry->AddCallback(
      kInFlight, kInFlightHelp, MetricType::kGauge, {{"method", method_}},
      [this] { return static_cast<double>(in_flight()); });
}

MethodMetrics::~MethodMetrics() { registry_->Remove(callback_); }

void MethodMetrics::CountError(const absl::Status& status) {
  const ErrorReason reason = ReasonOf(status);
  Counter* counter = nullptr;
  {
    MutexLock lock(&mu_);
    counter = errors_[{status.code(), reason}];
  }
  if (counter == nullptr) {
    counter = AddRequests(
        registry_, method_, absl::StatusCodeToString(status.code()),
        reason == ErrorReason::kUnspecified ? absl::string_view()
                                            : ErrorReasonName(reason));
    MutexLock lock(&mu_);
    errors_[{status.code(), reason}] = counter;
  }
  counter->Add();
}

}  // namespace rpc
}  // namespace cairn
