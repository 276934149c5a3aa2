#include "lib/metrics/metrics_server.h"

#include <civetweb.h>

#include <atomic>
#include <thread>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "lib/base/error_reason.h"

namespace cairn {
namespace {

int ServeMetrics(struct mg_connection* connection, void* registry) {
  const std::string text =
      static_cast<const MetricsRegistry*>(registry)->Text();
  mg_send_http_ok(connection, "text/plain; version=0.0.4; charset=utf-8",
                  static_cast<long long>(text.size()));
  mg_write(connection, text.data(), text.size());
  return 200;
}

}  // namespace

struct MetricsServer::Impl {
  ~Impl() {
    if (context == nullptr) return;
    // Its listening thread looks only every two seconds whether it is to stop,
    // or when somebody comes.
    std::atomic<bool> stopped{false};
    std::thread waker([this, &stopped] {
      while (!stopped) {
        char error[128];
        struct mg_connection* const connection =
            mg_connect_client(host.c_str(), port, 0, error, sizeof(error));
        if (connection != nullptr) mg_close_connection(connection);
        absl::SleepFor(absl::Milliseconds(10));
      }
    });
    mg_stop(context);
    stopped = true;
    waker.join();
  }
  struct mg_context* context = nullptr;
  std::string host;  // Without brackets.
  int port = 0;
};

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(
    absl::string_view address, const MetricsRegistry* registry) {
  const size_t colon = address.rfind(':');
  const std::string host(address.substr(
      0, colon == absl::string_view::npos ? address.size() : colon));
  // civetweb knows numbers only.
  const std::string listen =
      host == "localhost"
          ? absl::StrCat("127.0.0.1", address.substr(host.size()))
          : std::string(address);

  const char* options[] = {
      "listening_ports",    listen.c_str(), "num_threads", "2",
      "request_timeout_ms", "10000",        nullptr};
  struct mg_callbacks callbacks = {};
  // What it says of a client that went away is of no interest.
  callbacks.log_message = [](const struct mg_connection*, const char*) {
    return 1;
  };
  std::unique_ptr<MetricsServer> out(new MetricsServer);
  out->impl_ = std::make_unique<Impl>();
  out->impl_->context = mg_start(&callbacks, nullptr, options);
  struct mg_server_port port = {};
  if (out->impl_->context == nullptr ||
      mg_get_server_ports(out->impl_->context, 1, &port) != 1) {
    return ErrorWithReason(
        absl::StatusCode::kFailedPrecondition, ErrorReason::kInvalidField,
        absl::StrCat("cannot listen for metrics on ", address,
                     ": is the port taken by another process, and the address "
                     "one of this machine? Write ip:port or [v6]:port"),
        {{"field", "metrics_listen"}});
  }
  mg_set_request_handler(out->impl_->context, "/metrics$", ServeMetrics,
                         const_cast<MetricsRegistry*>(registry));
  out->address_ = absl::StrCat(host, ":", port.port);
  out->impl_->host =
      std::string(absl::StripSuffix(absl::StripPrefix(host, "["), "]"));
  out->impl_->port = port.port;
  return out;
}

MetricsServer::MetricsServer() = default;
MetricsServer::~MetricsServer() = default;

}  // namespace cairn
