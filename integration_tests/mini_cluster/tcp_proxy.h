// A TCP proxy whose link can be hurt: slow, silent, one way, cut off in the
// middle, refused. Daemons that `advertise` its address are reached through it.
//
//   a ───▶ ┌──────────┐ ───▶ target
//   b ───▶ │ TcpProxy │       a, b: sources; each has faults of its own
//          └──────────┘
//
// Nothing is ever lost or changed on the way: what is held is delivered when
// the fault ends, as TCP does after a partition, unless the connection was
// reset.

#ifndef CAIRN_INTEGRATION_TESTS_MINI_CLUSTER_TCP_PROXY_H_
#define CAIRN_INTEGRATION_TESTS_MINI_CLUSTER_TCP_PROXY_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "lib/base/mutex.h"

namespace cairn {
namespace testing {

// What a link does to the bytes on it.
struct LinkFaults {
  // Added to each piece, each way.
  absl::Duration latency = absl::ZeroDuration();

  // Nothing passes this way, not even the end of the connection; connections
  // are accepted all the same. Both: a black hole.
  bool hold_to_target = false;
  bool hold_to_source = false;

  // Each connection is reset after so many bytes more, both ways together.
  absl::optional<int64_t> cut_after_bytes = {};

  // Connections are reset, those that there are and those that come.
  bool refuse = false;
};

struct ProxyCounts {
  int64_t accepted = 0;  // Connections.
  int64_t reset = 0;     // Of them, by a fault.
  int64_t bytes = 0;     // That passed, both ways.
};

// Thread-safe.
class TcpProxy {
 public:
  // Says whose connection it is that comes from this port of 127.0.0.1 to this
  // proxy's. Runs on the proxy's thread.
  using SourceOf = std::function<std::string(uint16_t source_port)>;

  // Listens on a free port of 127.0.0.1. Without `source_of` everybody is "".
  //   UNAVAILABLE  the system gives no socket.
  static absl::StatusOr<std::unique_ptr<TcpProxy>> Start(
      SourceOf source_of = nullptr);

  // Resets what is open.
  ~TcpProxy();

  TcpProxy(const TcpProxy&) = delete;
  TcpProxy& operator=(const TcpProxy&) = delete;

  // `127.0.0.1:port`.
  const std::string& address() const { return address_; }
  uint16_t port() const { return port_; }

  // Where it leads, an IPv4 address with a port; before the first call, and
  // while nobody listens there, connections are reset.
  void SetTarget(const std::string& address) ABSL_LOCKS_EXCLUDED(mu_);

  // For the connections of `source`, those that there are too.
  void SetFaults(const std::string& source, const LinkFaults& faults)
      ABSL_LOCKS_EXCLUDED(mu_);

  // For all sources that have none of their own.
  void SetFaults(const LinkFaults& faults) ABSL_LOCKS_EXCLUDED(mu_);

  // No faults any more.
  void Heal() ABSL_LOCKS_EXCLUDED(mu_);

  ProxyCounts counts() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  class Loop;

  TcpProxy(int listener, uint16_t port, int wake, SourceOf source_of);

  // The newest faults of a source, and a number that is new whenever any were
  // set.
  LinkFaults FaultsOf(const std::string& source, uint64_t* generation) const
      ABSL_LOCKS_EXCLUDED(mu_);
  std::string target() const ABSL_LOCKS_EXCLUDED(mu_);
  void Wake();

  const int listener_;
  const uint16_t port_;
  const std::string address_;
  const int wake_;  // An eventfd.
  const SourceOf source_of_;

  mutable Mutex mu_;
  bool stop_ ABSL_GUARDED_BY(mu_) = false;
  std::string target_ ABSL_GUARDED_BY(mu_);
  LinkFaults all_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, LinkFaults> by_source_ ABSL_GUARDED_BY(mu_);
  uint64_t generation_ ABSL_GUARDED_BY(mu_) = 1;
  ProxyCounts counts_ ABSL_GUARDED_BY(mu_);

  std::thread thread_;  // Runs Loop. Joined by the destructor.
};

// The process among `pids` that has the TCP connection from `source_port` to
// `target_port` of 127.0.0.1, as /proc says; nullopt if none has.
absl::optional<int> ProcessOfConnection(uint16_t source_port,
                                        uint16_t target_port,
                                        const std::map<int, std::string>& pids);

}  // namespace testing
}  // namespace cairn

#endif  // CAIRN_INTEGRATION_TESTS_MINI_CLUSTER_TCP_PROXY_H_
