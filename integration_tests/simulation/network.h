// The network between simulated members: delay, loss, reordering, partitions
// (one way too), streams that fall silent, hosts that are dark.
//
//   client process                            serving process
//   PeerTransport::StartSync ── request ────▶ LogSender (core)
//   listener ◀── inbox ◀──── messages, in order, as many as were asked for
//                ◀────────── the end, now or later, here or there or both
//
// Messages of one stream keep their order, as over TCP; streams and single
// calls overtake each other. What is on its way over a link that is cut waits
// there, and arrives late or never.

#ifndef CAIRN_INTEGRATION_TESTS_SIMULATION_NETWORK_H_
#define CAIRN_INTEGRATION_TESTS_SIMULATION_NETWORK_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "integration_tests/simulation/event_loop.h"
#include "integration_tests/simulation/model_path.h"
#include "lib/base/uuid.h"
#include "services/storage/core/peer_transport.h"
#include "services/storage/core/replica_source.h"
#include "services/storage/core/replicator.h"

namespace cairn {
namespace simulation {

// Machines are numbers. A machine runs one process or none.
using HostId = int;

// A process that serves other members.
struct ServingProcess {
  Uuid node_uuid;
  std::shared_ptr<ModelPath> path;
  storage::Replicator* replicator = nullptr;

  // Why calls of that node are refused, if they are.
  std::function<absl::Status(const Uuid& caller)> check_member;
};

struct Weather {
  absl::Duration delay_least = absl::Microseconds(50);
  absl::Duration delay_most = absl::Milliseconds(3);
  double loss = 0;     // A message breaks its stream, or gets lost.
  double silence = 0;  // A message is the last that its stream carries.
};

class Stream;

// One direction of a stream.
struct Channel {
  using Event = absl::AnyInvocable<void()>;
  HostId from = 0;
  HostId to = 0;
  bool frozen = false;
  absl::Duration last = absl::ZeroDuration();  // Arrival.
  std::deque<Event> held;
};

class Network {
 public:
  using Event = Channel::Event;

  explicit Network(EventLoop* loop);
  ~Network();

  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  void SetWeather(const Weather& weather) { weather_ = weather; }
  const Weather& weather() const { return weather_; }

  // ---- Who is where. `process` is borrowed until Gone().
  void Serve(HostId host, const std::string& address, ServingProcess* process);

  // The process is no more. `dark`: its machine says nothing to anybody, until
  // something is served there again.
  void Gone(HostId host, bool dark);

  // The machine is dark no more.
  void BackUp(HostId host) { dark_.erase(host); }

  // Ends what the host's process has opened, here and now.
  void EndOpenedBy(HostId host);

  // ---- Links.
  void Block(HostId from, HostId to);
  void UnblockAll();
  bool IsBlocked(HostId from, HostId to) const {
    return blocked_.count({from, to}) != 0;
  }

  // ---- Streams that are broken, or say nothing any more.
  void BreakSome(double share);
  size_t streams() const { return streams_.size(); }

  // A message of its own, from host to host; lost like any other. Runs at the
  // receiver.
  void Send(HostId from, HostId to, Event event);

  // Messages that arrive in the order in which they are sent. False: the
  // message is lost, and nothing may be sent behind it.
  static std::shared_ptr<Channel> OpenChannel(HostId from, HostId to);
  bool SendOver(const std::shared_ptr<Channel>& channel, Event event);

  // For the processes.
  std::unique_ptr<storage::PeerTransport> MakeTransport(HostId host,
                                                        const Uuid& node_uuid);

 private:
  friend class Stream;
  friend class SimTransport;

  void Arrive(const std::shared_ptr<Channel>& channel, Event event);

  absl::optional<HostId> HostAt(const std::string& address) const;
  ServingProcess* ProcessAt(HostId host) const;
  void Wake(uint64_t stream);
  void PumpWoken();
  void Release(uint64_t stream);
  void GiveUpLater(const std::shared_ptr<Stream>& stream, HostId from,
                   HostId to);
  std::shared_ptr<Stream> Open(HostId client, const storage::Peer& peer);
  void SendAck(HostId client, const Uuid& caller, const storage::Peer& peer,
               const storage::Acknowledgement& acknowledgement,
               std::function<void(const absl::Status&)> done);
  void AckDone(uint64_t id, const absl::Status& status);

  EventLoop* const loop_;
  Weather weather_;
  std::map<std::string, HostId> addresses_;
  std::map<HostId, ServingProcess*> processes_;
  std::set<HostId> dark_;
  std::set<std::pair<HostId, HostId>> blocked_;
  std::vector<std::weak_ptr<Channel>>
      waiting_;  // Channels that hold something.
  uint64_t last_id_ = 0;
  std::map<uint64_t, std::shared_ptr<Stream>> streams_;
  std::set<uint64_t> woken_;
  struct PendingAck {
    HostId client = 0;
    std::function<void(const absl::Status&)> done;
  };
  std::map<uint64_t, PendingAck> acks_;
};

}  // namespace simulation
}  // namespace cairn

#endif  // CAIRN_INTEGRATION_TESTS_SIMULATION_NETWORK_H_
