#include "lib/rpc/channel.h"

#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/channel_arguments.h>

#include "lib/rpc/tls.h"

namespace cairn {
namespace rpc {
namespace {

// See the header. A channel holds on to those threads once it has made a call
// with a callback; this one's is over before it could connect, and the channel
// is never freed. Returns it, so that leak checkers find somebody who has it.
const void* KeepCallbackThreads() {
  struct Call {
    grpc::ClientContext context;
    grpc::ByteBuffer request;
    grpc::ByteBuffer response;
  };
  auto* const channel = new std::shared_ptr<grpc::Channel>(grpc::CreateChannel(
      "ipv4:127.0.0.1:1", grpc::InsecureChannelCredentials()));
  grpc::GenericStub stub(*channel);
  auto* const call = new Call;
  const grpc::Slice nothing;
  call->request = grpc::ByteBuffer(&nothing, 1);
  SetDeadline(&call->context, absl::UnixEpoch());
  stub.UnaryCall(&call->context, "/cairn/none", grpc::StubOptions(),
                 &call->request, &call->response,
                 [call](const grpc::Status& /*status*/) { delete call; });
  return channel;
}

}  // namespace

std::shared_ptr<grpc::Channel> MakeChannel(absl::string_view address,
                                           const ChannelOptions& options) {
  [[maybe_unused]] static const void* const kept = KeepCallbackThreads();
  grpc::ChannelArguments args;
  args.SetMaxReceiveMessageSize(options.message_bytes_max);
  args.SetMaxSendMessageSize(options.message_bytes_max);
  args.SetUserAgentPrefix(options.user_agent);
  args.SetInt(
      GRPC_ARG_KEEPALIVE_TIME_MS,
      static_cast<int>(absl::ToInt64Milliseconds(options.keepalive_interval)));
  args.SetInt(
      GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
      static_cast<int>(absl::ToInt64Milliseconds(options.keepalive_timeout)));
  // A broken connection must be noticed between calls too, or the first call
  // after a pause pays for it.
  args.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  args.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  args.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  args.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  // gRPC would take http_proxy from the environment.
  args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
  args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 5000);
  // A name whose host has moved is looked up again when the connection broke,
  // and not half a minute later.
  args.SetInt(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, 1000);
  if (options.own_connection) {
    args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  }
  if (options.tls == nullptr) {
    return grpc::CreateCustomChannel(std::string(address),
                                     grpc::InsecureChannelCredentials(), args);
  }
  const std::string& server_name = options.tls->options().server_name;
  if (!server_name.empty()) args.SetSslTargetNameOverride(server_name);
  return grpc::CreateCustomChannel(std::string(address),
                                   options.tls->channel_credentials(), args);
}

void SetTimeout(grpc::ClientContext* context, absl::Duration timeout) {
  SetDeadline(context, absl::Now() + timeout);
}

void SetDeadline(grpc::ClientContext* context, absl::Time deadline) {
  context->set_deadline(absl::ToChronoTime(deadline));
}

absl::Time DeadlineOf(const grpc::ServerContextBase& context) {
  const std::chrono::system_clock::time_point deadline = context.deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) {
    return absl::InfiniteFuture();
  }
  return absl::FromChrono(deadline);
}

}  // namespace rpc
}  // namespace cairn
