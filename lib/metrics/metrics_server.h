// Serves a registry to Prometheus: GET /metrics on a port of its own.

#ifndef CAIRN_LIB_METRICS_METRICS_SERVER_H_
#define CAIRN_LIB_METRICS_METRICS_SERVER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/metrics/metrics.h"

namespace cairn {

// Thread-safe. Two threads of its own.
class MetricsServer {
 public:
  // `address` is `host:port` or `[v6]:port`; port 0 takes a free one.
  // `registry` is borrowed and must outlive the server.
  //   FAILED_PRECONDITION  the address cannot be bound.
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(
      absl::string_view address, const MetricsRegistry* registry);

  // Waits for a scrape that is under way.
  ~MetricsServer();

  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;

  // With the real port.
  const std::string& address() const { return address_; }

 private:
  struct Impl;
  MetricsServer();

  std::string address_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace cairn

#endif  // CAIRN_LIB_METRICS_METRICS_SERVER_H_
