// The far side of the gRPC probes: as lean as gRPC's callback API allows.

#ifndef CAIRN_CLIENTS_PROBE_PROBE_SERVER_H_
#define CAIRN_CLIENTS_PROBE_PROBE_SERVER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cairn {
namespace probe {

// Serves from construction to destruction. Thread-safe.
class ProbeServer {
 public:
  virtual ~ProbeServer() = default;

  // `host:port` with the port that was bound.
  virtual const std::string& address() const = 0;

  // Listens on `address`, whose port may be 0.
  //   UNAVAILABLE  the address cannot be bound.
  static absl::StatusOr<std::unique_ptr<ProbeServer>> Start(
      absl::string_view address);
};

}  // namespace probe
}  // namespace cairn

#endif  // CAIRN_CLIENTS_PROBE_PROBE_SERVER_H_
