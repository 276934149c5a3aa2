// Who the other side of a call is.

#ifndef CAIRN_LIB_RPC_PEER_IDENTITY_H_
#define CAIRN_LIB_RPC_PEER_IDENTITY_H_

#include <grpcpp/server_context.h>

#include <cstddef>
#include <string>

namespace cairn {
namespace rpc {

// Longer names are none: X.509 has none.
inline constexpr size_t kPeerIdentityBytesMax = 64;

// The common name of the caller's certificate, in UTF-8; empty if it has shown
// none. A server asks for certificates, and has checked that they come from its
// authority, if its configuration says `require_client_certificate`; over plain
// text nobody has one.
std::string PeerIdentity(const grpc::CallbackServerContext& context);

}  // namespace rpc
}  // namespace cairn

#endif  // CAIRN_LIB_RPC_PEER_IDENTITY_H_
