// A way to other members on which nobody answers: for tests that derive from it
// what they need of one, and for those that need none.

#ifndef CAIRN_SERVICES_STORAGE_CORE_TESTING_SILENT_TRANSPORT_H_
#define CAIRN_SERVICES_STORAGE_CORE_TESTING_SILENT_TRANSPORT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/optional.h"
#include "services/storage/core/peer_transport.h"
#include "services/storage/core/replica_log.h"

namespace cairn {
namespace storage {

// Starts no stream, and takes acknowledgements without a word.
class SilentTransport : public PeerTransport {
 public:
  std::shared_ptr<PeerStream> StartSync(const Peer&, uint8_t,
                                        const absl::optional<LogId>&,
                                        const std::vector<LogRange>&,
                                        SyncListener*) override {
    return nullptr;
  }
  std::shared_ptr<PeerStream> StartSnapshot(const Peer&, uint8_t,
                                            const std::string&,
                                            SnapshotListener*) override {
    return nullptr;
  }
  std::shared_ptr<PeerStream> StartFetch(const Peer&, uint8_t, const FetchWish&,
                                         FetchListener*) override {
    return nullptr;
  }
  void SendAck(const Peer&, uint8_t, const Acknowledgement&,
               std::function<void(const absl::Status&)>) override {}
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_TESTING_SILENT_TRANSPORT_H_
