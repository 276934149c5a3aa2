// A gRPC server with what every process of the cluster has: several listen
// addresses, reflection, health, limits, and a stop that lets calls finish. An
// address for administrators, if there is one, has the same services and
// channelz (https://github.com/grpc/proposal/blob/master/A14-channelz.md).
//
//   Start ──▶ not ready ──SetReady──▶ ready ──Stop──▶ not ready, calls finish,
//                                                     the rest is cut ──▶ gone

#ifndef CAIRN_LIB_RPC_SERVER_H_
#define CAIRN_LIB_RPC_SERVER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "lib/base/mutex.h"

namespace grpc {
class HealthCheckServiceInterface;
class Server;
class Service;
}  // namespace grpc

namespace cairn {
namespace rpc {

class Tls;

// A service with its full name: {FileService::service_full_name(), &service}.
struct NamedService {
  std::string name;
  grpc::Service* service = nullptr;  // Borrowed; must outlive the server.
};

struct RpcServerOptions {
  // `host:port` or `[v6]:port`; port 0 takes a free one. At least one.
  std::vector<std::string> listen;

  // The same for channelz; empty for none. Keep it on loopback.
  std::string admin_listen;

  // How the server shows who it is, on all addresses. Null: plain text.
  std::shared_ptr<const Tls> tls = nullptr;

  // What a message may hold at most, either way. The protocol allows 4 MiB of
  // content; the rest is for what is round it.
  int message_bytes_max = (4 << 20) + (64 << 10);

  // Memory that gRPC may hold for all connections before it slows them down.
  // 0 for no limit.
  int64_t memory_bytes_max = int64_t{512} << 20;

  // Calls at once on one connection.
  int streams_per_connection_max = 1024;

  // A client that is silent for so long is asked whether it is alive, and
  // disconnected when there is no answer within the second.
  absl::Duration keepalive_interval = absl::Seconds(30);
  absl::Duration keepalive_timeout = absl::Seconds(10);
};

// Thread-safe.
class RpcServer {
 public:
  // Binds every address and serves. Says so loudly if one without TLS is not on
  // loopback.
  //   INVALID_ARGUMENT     an address is malformed; the message names it.
  //   FAILED_PRECONDITION  an address cannot be bound; the message names it.
  static absl::StatusOr<std::unique_ptr<RpcServer>> Start(
      const RpcServerOptions& options,
      const std::vector<NamedService>& services);

  // As Stop(absl::ZeroDuration()), if it was not called.
  ~RpcServer();

  RpcServer(const RpcServer&) = delete;
  RpcServer& operator=(const RpcServer&) = delete;

  // What is bound: RpcServerOptions::listen with the real ports.
  const std::vector<std::string>& addresses() const { return addresses_; }
  const std::string& admin_address() const { return admin_address_; }

  // What health checks of "", "readiness" and every service answer; false at
  // first. "liveness" is SERVING for as long as the process serves.
  void SetReady(bool ready) ABSL_LOCKS_EXCLUDED(mu_);

  // The same for one service alone; `name` is any name.
  void SetServing(absl::string_view name, bool serving)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Says NOT_SERVING, takes no new calls, lets those in progress finish for
  // `grace`, cancels the rest, and returns when no handler runs any more. Only
  // the first call does anything; others wait for it.
  //
  // gRPC waits for connections too, and a client that is idle may notice late
  // that it should close its own. With `idle`, which says that no call is in
  // progress, new calls are still taken (their handlers refuse them) until it
  // is true or `grace` has passed, and connections are cut soon after.
  void Stop(absl::Duration grace, std::function<bool()> idle = nullptr)
      ABSL_LOCKS_EXCLUDED(mu_);

 private:
  RpcServer();

  std::vector<std::string> service_names_;
  std::vector<std::string> addresses_;
  std::string admin_address_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<grpc::Server> admin_server_;  // Null without admin_listen.

  Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  CondVar stopped_changed_;
};

}  // namespace rpc
}  // namespace cairn

#endif  // CAIRN_LIB_RPC_SERVER_H_
