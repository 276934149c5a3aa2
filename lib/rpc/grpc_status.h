// absl::Status to grpc::Status and back, with the reason, its metadata and the
// advice when to come back on board.
//
// On the wire an error is a google.rpc.Status with one google.rpc.ErrorInfo of
// the domain "cairn" (cairn.common.v1.ErrorReason) and, where the same call may
// succeed later, a google.rpc.RetryInfo. All of it is thread-safe.

#ifndef CAIRN_LIB_RPC_GRPC_STATUS_H_
#define CAIRN_LIB_RPC_GRPC_STATUS_H_

#include <grpcpp/support/status.h>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "google/rpc/status.pb.h"

namespace cairn {
namespace rpc {

// OK stays OK. An error without a reason gets the one that its code implies;
// UNKNOWN is a bug and becomes INTERNAL.
grpc::Status ToGrpcStatus(const absl::Status& status);

// The reverse. An error that carries no ErrorInfo of ours (gRPC's own, say
// "connection refused") keeps its code and message and has no reason.
absl::Status FromGrpcStatus(const grpc::Status& status);

// The same for an answer inside a batch.
google::rpc::Status ToRpcStatus(const absl::Status& status);
absl::Status FromRpcStatus(const google::rpc::Status& status);

// How long the server asked to wait before the same call is made again; nullopt
// if it said nothing.
absl::optional<absl::Duration> RetryDelayOf(const absl::Status& status);

}  // namespace rpc
}  // namespace cairn

#endif  // CAIRN_LIB_RPC_GRPC_STATUS_H_
