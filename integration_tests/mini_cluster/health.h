// The standard gRPC health check (grpc.health.v1.Health/Check), spoken without
// its generated code, which Debian does not ship.

#ifndef CAIRN_INTEGRATION_TESTS_MINI_CLUSTER_HEALTH_H_
#define CAIRN_INTEGRATION_TESTS_MINI_CLUSTER_HEALTH_H_

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace grpc {
class Channel;
}  // namespace grpc

namespace cairn {
namespace testing {

// Whether `service` ("" for the whole server) is SERVING.
//   NOT_FOUND    the server knows no such service.
//   UNAVAILABLE  nobody answers.
absl::StatusOr<bool> CheckHealth(const std::shared_ptr<grpc::Channel>& channel,
                                 absl::string_view service,
                                 absl::Duration timeout);

}  // namespace testing
}  // namespace cairn

#endif  // CAIRN_INTEGRATION_TESTS_MINI_CLUSTER_HEALTH_H_
