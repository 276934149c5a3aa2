// The end of a unary call.

#ifndef CAIRN_SERVICES_STORAGE_API_UNARY_END_H_
#define CAIRN_SERVICES_STORAGE_API_UNARY_END_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/rpc/grpc_status.h"
#include "lib/rpc/method_metrics.h"
#include "services/storage/api/call_context.h"

namespace cairn {
namespace storage {

// Ends a unary call and counts it. Copied into whatever answers later; called
// once.
struct UnaryEnd {
  grpc::ServerUnaryReactor* reactor;
  rpc::MethodMetrics* metrics;
  Clock* clock;
  absl::Duration begin;

  void operator()(const absl::Status& status) const {
    metrics->End(status, clock->Monotonic() - begin);
    TsanRelease(reactor);
    reactor->Finish(rpc::ToGrpcStatus(status));
  }
};

inline UnaryEnd BeginUnary(const CallContext& context,
                           grpc::CallbackServerContext* call,
                           rpc::MethodMetrics* metrics) {
  metrics->Begin();
  return UnaryEnd{call->DefaultReactor(), metrics, context.clock,
                  context.clock->Monotonic()};
}

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_API_UNARY_END_H_
