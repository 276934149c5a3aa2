#include "lib/rpc/tls.h"

#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <pthread.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cairn/config/common/v1/tls_config.pb.h"
#include "lib/base/check.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"

namespace cairn {
namespace rpc {
namespace {

// A certificate that ends sooner is said to, once a day.
constexpr absl::Duration kExpiresSoon = absl::Hours(24 * 14);

std::shared_ptr<grpc::experimental::CertificateProviderInterface> ProviderOf(
    const TlsOptions& options) {
  const auto seconds = static_cast<unsigned int>(
      std::max<int64_t>(1, absl::ToInt64Seconds(options.reload_interval)));
  return std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
      options.key_file, options.certificate_file, options.ca_file, seconds);
}

std::string Text(absl::Time time) {
  return absl::FormatTime(absl::RFC3339_sec, time, absl::UTCTimeZone());
}

int64_t Days(absl::Duration time_left) {
  return absl::ToInt64Hours(time_left) / 24;
}

// What gRPC's messages mean. The first that fits counts.
struct Advice {
  bool tls;  // Of the channel.
  const char* contains;
  const char* text;
};

constexpr char kWantsClientCertificate[] =
    "the server closed the connection: if it has require_client_certificate, "
    "it "
    "wants a certificate from an authority that it knows";
constexpr char kMayWantTls[] =
    "the server closed the connection: if it has TLS, name its authority's "
    "certificate (ca_file)";

constexpr Advice kAdvices[] = {
    {true, "wrong version number",
     "the server does not speak TLS: call it without"},
    {true, "certificate verify failed",
     "the server's certificate is from no authority in ca_file, or has "
     "expired"},
    {true, "Hostname Verification Check failed",
     "the server's certificate is for another name than the one that was "
     "called: set server_name to one that it carries"},
    {true, "certificate required", kWantsClientCertificate},
    {true, "Socket closed", kWantsClientCertificate},
    {false, "Socket closed", kMayWantTls},
    {false, "Connection reset by peer", kMayWantTls},
};

}  // namespace

absl::StatusOr<std::shared_ptr<Tls>> Tls::Open(TlsOptions options,
                                               FileSystem* fs, Clock* clock) {
  CAIRN_ASSIGN_OR_RETURN(TlsFiles files,
                         ReadTlsFiles(options, clock->Now(), fs));
  return std::shared_ptr<Tls>(
      new Tls(std::move(options), std::move(files), fs, clock));
}

Tls::Tls(TlsOptions options, TlsFiles files, FileSystem* fs, Clock* clock)
    : options_(std::move(options)),
      fs_(fs),
      clock_(clock),
      files_(std::move(files)) {
  MakeCredentials();
}

void Tls::MakeCredentials() {
  // One for both, so that the files have one watcher. gRPC's other way, SSL
  // credentials with a callback that fetches certificates, would let us check
  // them first; but 1.51 replaces them there without the lock that new
  // connections would need.
  const auto provider = ProviderOf(options_);
  grpc::experimental::TlsChannelCredentialsOptions channel;
  channel.set_certificate_provider(provider);
  if (!options_.ca_file.empty()) channel.watch_root_certs();
  if (!options_.certificate_file.empty()) {
    channel.watch_identity_key_cert_pairs();
  }
  channel_credentials_ = grpc::experimental::TlsCredentials(channel);
  if (options_.certificate_file.empty()) return;
  grpc::experimental::TlsServerCredentialsOptions server(provider);
  server.watch_identity_key_cert_pairs();
  if (options_.require_client_certificate) {
    server.watch_root_certs();
    server.set_cert_request_type(
        GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  }
  server_credentials_ = grpc::experimental::TlsServerCredentials(server);
}

Tls::~Tls() {
  {
    MutexLock lock(&mu_);
    stop_ = true;
    wake_.SignalAll();
  }
  if (thread_.joinable()) thread_.join();
}

std::shared_ptr<grpc::ServerCredentials> Tls::server_credentials() const {
  CAIRN_CHECK(server_credentials_ != nullptr);
  return server_credentials_;
}

std::shared_ptr<grpc::ChannelCredentials> Tls::channel_credentials() const {
  return channel_credentials_;
}

void Tls::Watch() {
  TlsFiles files;
  {
    MutexLock lock(&mu_);
    files = files_;
  }
  CAIRN_LOG(kInfo, "tls",
            "certificate in use subject=\"{}\" file={} expires={} days={}",
            files.subject, options_.certificate_file, Text(files.not_after),
            Days(files.not_after - clock_->Now()));
  if (!files.trusts_itself) {
    CAIRN_LOG(kWarning, "tls",
              "the certificate does not come from an authority in tls.ca_file: "
              "processes with the same tls.ca_file will refuse it file={} "
              "ca_file={}",
              options_.certificate_file, options_.ca_file);
  }
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "tls-watch");
    Run();
  });
}

void Tls::Run() {
  while (true) {
    {
      MutexLock lock(&mu_);
      if (!stop_) wake_.WaitWithTimeout(&mu_, options_.reload_interval);
      if (stop_) return;
    }
    Look();
  }
}

void Tls::Look() {
  const absl::Time now = clock_->Now();
  const absl::StatusOr<TlsFiles> found = ReadTlsFiles(options_, now, fs_);
  bool changed = false;
  TlsFiles files;
  {
    MutexLock lock(&mu_);
    if (found.ok()) {
      changed = found->fingerprint != files_.fingerprint;
      files_ = *found;
    } else {
      ++failed_looks_;
    }
    files = files_;
  }
  if (!found.ok()) {
    // Each failure once: it lasts until somebody mends it.
    const std::string failure(found.status().message());
    if (failure != failure_said_) {
      CAIRN_LOG(kError, "tls",
                "the files cannot be used; new connections may fail until they "
                "can error=\"{}\"",
                failure);
    }
    failure_said_ = failure;
    return;
  }
  if (changed || !failure_said_.empty()) {
    CAIRN_LOG(kInfo, "tls", "files taken up subject=\"{}\" expires={} days={}",
              files.subject, Text(files.not_after),
              Days(files.not_after - now));
    expiry_said_ = absl::InfinitePast();
  }
  failure_said_.clear();
  if (files.not_after - now < kExpiresSoon &&
      now - expiry_said_ >= absl::Hours(24)) {
    expiry_said_ = now;
    CAIRN_LOG(
        kWarning, "tls",
        "the certificate expires soon: replace it and its key, no restart "
        "is needed file={} expires={} days={}",
        options_.certificate_file, Text(files.not_after),
        Days(files.not_after - now));
  }
}

absl::Duration Tls::TimeLeft() const {
  MutexLock lock(&mu_);
  return files_.not_after - clock_->Now();
}

uint64_t Tls::failed_looks() const {
  MutexLock lock(&mu_);
  return failed_looks_;
}

TlsOptions TlsOptionsOf(const config::common::v1::TlsConfig& config) {
  TlsOptions options;
  options.certificate_file = config.certificate_file();
  options.key_file = config.key_file();
  options.ca_file = config.ca_file();
  options.require_client_certificate = config.require_client_certificate();
  options.server_name = config.server_name();
  if (config.has_reload_interval()) {
    options.reload_interval =
        absl::Seconds(config.reload_interval().seconds()) +
        absl::Nanoseconds(config.reload_interval().nanos());
  }
  return options;
}

void AddTlsMetrics(const Tls* tls, MetricsRegistry* registry) {
  registry->AddCallback(
      "cairn_tls_certificate_expiry_seconds",
      "Time until the certificate of the process expires; NaN without TLS. "
      "Below two weeks: replace the files, no restart is needed.",
      MetricType::kGauge, {}, [tls] {
        return tls == nullptr ? std::numeric_limits<double>::quiet_NaN()
                              : absl::ToDoubleSeconds(tls->TimeLeft());
      });
  registry->AddCallback(
      "cairn_tls_file_failures_total",
      "Looks at the files of TLS that found what cannot be used. A rise: see "
      "the log; new connections may fail.",
      MetricType::kCounter, {}, [tls] {
        return tls == nullptr ? 0 : static_cast<double>(tls->failed_looks());
      });
}

absl::Status ExplainTlsFailure(const absl::Status& status, bool tls) {
  if (status.code() != absl::StatusCode::kUnavailable) return status;
  const absl::string_view message = status.message();
  for (const Advice& advice : kAdvices) {
    if (advice.tls != tls || !absl::StrContains(message, advice.contains)) {
      continue;
    }
    if (absl::StrContains(message, advice.text)) return status;
    absl::Status out(status.code(),
                     absl::StrCat(advice.text, " (", message, ")"));
    status.ForEachPayload(
        [&out](absl::string_view url, const absl::Cord& value) {
          out.SetPayload(url, value);
        });
    return out;
  }
  return status;
}

}  // namespace rpc
}  // namespace cairn
