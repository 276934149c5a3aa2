#include "lib/rpc/peer_identity.h"

#include <grpc/grpc_security_constants.h>
#include <grpcpp/security/auth_context.h>
#include <grpcpp/support/string_ref.h>

#include <memory>
#include <vector>

namespace cairn {
namespace rpc {

std::string PeerIdentity(const grpc::CallbackServerContext& context) {
  const std::shared_ptr<const grpc::AuthContext> peer = context.auth_context();
  if (peer == nullptr || !peer->IsPeerAuthenticated()) return "";
  const std::vector<grpc::string_ref> names =
      peer->FindPropertyValues(GRPC_X509_CN_PROPERTY_NAME);
  if (names.empty() || names[0].size() > kPeerIdentityBytesMax) return "";
  return std::string(names[0].data(), names[0].size());
}

}  // namespace rpc
}  // namespace cairn
