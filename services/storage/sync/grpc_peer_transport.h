// PeerTransport over gRPC: SyncService of other members, with the proof that
// this node is one.
//
// Each peer has two connections: one for logs, acknowledgements and snapshots,
// one for contents and digests, so that large ones do not hold up small
// changes.

#ifndef CAIRN_SERVICES_STORAGE_SYNC_GRPC_PEER_TRANSPORT_H_
#define CAIRN_SERVICES_STORAGE_SYNC_GRPC_PEER_TRANSPORT_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/types/optional.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/base/uuid.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/member_auth.h"
#include "services/storage/core/peer_transport.h"

namespace cairn {
namespace storage {

struct GrpcPeerTransportOptions {
  Uuid node_uuid;  // This node.
  std::string group;
  std::string cluster_id;
  std::string cluster_secret;
  rpc::ChannelOptions channel;
};

// Thread-safe. To be destroyed when none of its streams is left and no
// acknowledgement is under way, and not on a gRPC thread.
class GrpcPeerTransport : public PeerTransport {
 public:
  // `clock` is borrowed.
  GrpcPeerTransport(GrpcPeerTransportOptions options, Clock* clock);
  ~GrpcPeerTransport() override;

  std::shared_ptr<PeerStream> StartSync(const Peer& peer, uint8_t store_path,
                                        const absl::optional<LogId>& log,
                                        const std::vector<LogRange>& have,
                                        SyncListener* listener) override;
  std::shared_ptr<PeerStream> StartSnapshot(
      const Peer& peer, uint8_t store_path, const std::string& from,
      SnapshotListener* listener) override;
  std::shared_ptr<PeerStream> StartFetch(const Peer& peer, uint8_t store_path,
                                         const FetchWish& wish,
                                         FetchListener* listener) override;
  std::shared_ptr<PeerStream> StartDigest(const Peer& peer, uint8_t store_path,
                                          const DigestWish& wish,
                                          DigestListener* listener) override;
  void SendAck(const Peer& peer, uint8_t store_path,
               const Acknowledgement& acknowledgement,
               std::function<void(const absl::Status&)> done) override;

 private:
  // A connection with this node's session on it.
  struct Link {
    std::shared_ptr<grpc::Channel> channel;
    std::unique_ptr<rpc::MemberAuthClient> auth;
  };
  struct Links {
    std::string address;
    std::shared_ptr<Link> log;
    std::shared_ptr<Link> content;
  };
  class Stream;
  class AckCall;

  std::shared_ptr<Link> MakeLink(const Peer& peer, bool own_connection) const;
  Links LinksTo(const Peer& peer) ABSL_LOCKS_EXCLUDED(mu_);

  const GrpcPeerTransportOptions options_;
  Clock* const clock_;

  Mutex mu_;
  std::map<Uuid, Links> links_ ABSL_GUARDED_BY(mu_);
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_SYNC_GRPC_PEER_TRANSPORT_H_
