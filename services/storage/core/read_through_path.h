// A store path whose files can be read before they are here: what this path
// does not know, or has no good copy of, is read at another member and passed
// on. So an ID can be read at any member as soon as it was returned by one.
//
//   Stat, Open ─▶ the path itself ─▶ known, or deleted: its answer
//                     └─ not known, content missing or damaged ─▶ a peer
//
// Passed on once: what peers ask of each other goes to local(). Nothing is
// kept: replication brings the file by itself. Calls that pass something on
// wait for the network on io(), some at a time; more are told OVERLOADED.

#ifndef CAIRN_SERVICES_STORAGE_CORE_READ_THROUGH_PATH_H_
#define CAIRN_SERVICES_STORAGE_CORE_READ_THROUGH_PATH_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "services/storage/core/peer_transport.h"
#include "services/storage/core/store_path.h"

namespace cairn {
namespace storage {

// How other members are reached from a path.
struct ReadThroughPeers {
  uint8_t store_path = 0;
  PeerTransport* transport = nullptr;  // Borrowed.

  // The likeliest first.
  std::function<std::vector<Peer>()> peers;

  // Whether those are all that may have the file with this name: until somebody
  // has named them, it may be anywhere, and a file of a node that nobody has
  // named is there.
  std::function<bool(absl::string_view name)> peers_known;

  // Calls that may wait for other members at once.
  int waiting_max = 3;
};

// Forwards everything to `path`, reads apart, and deletions of files that are
// not known yet: those are made known first. A deletion that another member
// knows is taken back, or purged, there. StorePath::local() is `path`.
std::unique_ptr<StorePath> MakeReadThroughPath(std::unique_ptr<StorePath> path,
                                               ReadThroughPeers peers);

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_READ_THROUGH_PATH_H_
