// What gRPC itself has to say, in the process's own log.

#ifndef CAIRN_LIB_RPC_GRPC_LOG_H_
#define CAIRN_LIB_RPC_GRPC_LOG_H_

namespace cairn {
namespace rpc {

// gRPC's lines go through lib/base/log.h from now on, as warnings and one a
// second at most: anyone who knocks without a certificate makes gRPC write one.
// Thread-safe; only the first call does anything.
void RouteGrpcLog();

}  // namespace rpc
}  // namespace cairn

#endif  // CAIRN_LIB_RPC_GRPC_LOG_H_
