// Channels to other processes of the cluster, and deadlines of calls on them.

#ifndef CAIRN_LIB_RPC_CHANNEL_H_
#define CAIRN_LIB_RPC_CHANNEL_H_

#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace grpc {
class Channel;
class ClientContext;
class ServerContextBase;
}  // namespace grpc

namespace cairn {
namespace rpc {

class Tls;

struct ChannelOptions {
  // How the process shows who it is and checks the other side; one for the
  // whole process. Null: plain text.
  std::shared_ptr<const Tls> tls = nullptr;

  // Channels to one address share a connection unless this is set: several
  // connections to one server give more than one core's worth of bytes.
  bool own_connection = false;

  // What a message may hold at most, either way.
  int message_bytes_max = (4 << 20) + (64 << 10);

  // A connection that is silent for so long is asked whether it is alive, and
  // given up when there is no answer within the second. Not less than 10 s, or
  // servers will take it for an attack.
  absl::Duration keepalive_interval = absl::Seconds(20);
  absl::Duration keepalive_timeout = absl::Seconds(10);

  // Named in the user agent, for the other side's logs.
  std::string user_agent = "cairn";
};

// A channel to `address`: `host:port`, `[v6]:port`, or any gRPC target such as
// `dns:///name:port`. Connects when the first call is made and again whenever
// that is needed; never fails itself. gRPC's own retries and service
// configuration from DNS are off: the caller knows what may be repeated.
//
// The first call of a process also keeps the threads that run gRPC's callbacks
// alive until the process ends. gRPC 1.51 stops them with the last channel, and
// where one of them lets that channel go, it joins itself and corrupts the
// heap.
std::shared_ptr<grpc::Channel> MakeChannel(absl::string_view address,
                                           const ChannelOptions& options = {});

// The call ends with DEADLINE_EXCEEDED when `timeout` has passed. Every call
// needs one.
void SetTimeout(grpc::ClientContext* context, absl::Duration timeout);
void SetDeadline(grpc::ClientContext* context, absl::Time deadline);

// When the caller gives up; absl::InfiniteFuture() if it never does.
absl::Time DeadlineOf(const grpc::ServerContextBase& context);

}  // namespace rpc
}  // namespace cairn

#endif  // CAIRN_LIB_RPC_CHANNEL_H_
