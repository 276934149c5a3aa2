// The calling side of MembershipService.Exchange: a round with each of the
// other trackers at every interval, and at once when there is something to
// tell.
//
// Nothing in a tracker waits for another one: with all of them gone it goes on
// with what it knows.

#ifndef CAIRN_SERVICES_TRACKER_API_PEER_LINKS_H_
#define CAIRN_SERVICES_TRACKER_API_PEER_LINKS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "lib/base/mutex.h"
#include "services/tracker/api/call_observer.h"
#include "services/tracker/api/exchange.h"
#include "services/tracker/core/membership.h"

namespace cairn {
namespace rpc {
class Tls;
}  // namespace rpc

namespace tracker {

struct PeerLinksOptions {
  // `host:port` or `[v6]:port` of the other trackers. Names are looked up again
  // with every new connection. One of them may lead back to this tracker.
  std::vector<std::string> peers;

  ExchangeIdentity identity;

  // Null: plain text.
  std::shared_ptr<const rpc::Tls> tls;

  // Between two rounds, a quarter more or less.
  absl::Duration interval = absl::Seconds(1);

  // A round that takes longer has failed.
  absl::Duration round_timeout = absl::Seconds(5);
};

// Thread-safe. A thread for each peer, since a round waits for the network; the
// membership's observer is called on these threads.
class PeerLinks {
 public:
  // `membership` and `observer` are borrowed and must outlive this.
  PeerLinks(PeerLinksOptions options, Membership* membership,
            CallObserver* observer);

  // As Stop().
  ~PeerLinks();

  PeerLinks(const PeerLinks&) = delete;
  PeerLinks& operator=(const PeerLinks&) = delete;

  // Begins. Returns at once.
  void Start();

  // There is something that the others should know now. Returns at once.
  void ExchangeSoon();

  // Ends all rounds. When it returns nothing runs any more.
  void Stop();

  // Peers whose last round went well, this tracker itself not counted.
  size_t reached() const;

  // Addresses of the others: those whose last round failed, or who have had
  // none yet.
  std::vector<std::string> apart() const;

 private:
  class Link;

  const PeerLinksOptions options_;
  std::vector<std::unique_ptr<Link>> links_;  // Fixed; each has its own lock.
};

}  // namespace tracker
}  // namespace cairn

#endif  // CAIRN_SERVICES_TRACKER_API_PEER_LINKS_H_
