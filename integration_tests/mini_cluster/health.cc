#include "integration_tests/mini_cluster/health.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <string>
#include <vector>

#include "lib/base/status_macros.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/grpc_status.h"

namespace cairn {
namespace testing {

absl::StatusOr<bool> CheckHealth(const std::shared_ptr<grpc::Channel>& channel,
                                 absl::string_view service,
                                 absl::Duration timeout) {
  grpc::ClientContext context;
  rpc::SetTimeout(&context, timeout);

  // HealthCheckRequest { string service = 1; }
  std::string request;
  if (!service.empty()) {
    request.push_back('\x0a');
    request.push_back(static_cast<char>(service.size()));  // Below 128.
    request.append(service.data(), service.size());
  }
  grpc::Slice slice(request);
  const grpc::ByteBuffer request_buffer(&slice, 1);

  grpc::GenericStub stub(channel);
  grpc::CompletionQueue queue;
  auto call = stub.PrepareUnaryCall(&context, "/grpc.health.v1.Health/Check",
                                    request_buffer, &queue);
  call->StartCall();
  grpc::ByteBuffer response_buffer;
  grpc::Status status;
  call->Finish(&response_buffer, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  CAIRN_RETURN_IF_ERROR(rpc::FromGrpcStatus(status));

  // HealthCheckResponse { ServingStatus status = 1; }, SERVING is 1.
  std::vector<grpc::Slice> slices;
  response_buffer.Dump(&slices);
  std::string response;
  for (const grpc::Slice& part : slices) {
    response.append(reinterpret_cast<const char*>(part.begin()), part.size());
  }
  return response == std::string("\x08\x01", 2);
}

}  // namespace testing
}  // namespace cairn
