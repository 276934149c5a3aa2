// TLS for servers and channels, from files that may be replaced while the
// process runs.
//
//   files ──Open: checked──▶ in use ──replaced──▶ new connections use the new
//                              └── days before the end: said in the log
//
// Connections that exist keep what they began with.

#ifndef CAIRN_LIB_RPC_TLS_H_
#define CAIRN_LIB_RPC_TLS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/io/file_system.h"
#include "lib/metrics/metrics.h"
#include "lib/rpc/tls_files.h"

namespace grpc {
class ChannelCredentials;
class ServerCredentials;
}  // namespace grpc

namespace cairn {
namespace config {
namespace common {
namespace v1 {
class TlsConfig;
}  // namespace v1
}  // namespace common
}  // namespace config

namespace rpc {

// Thread-safe. One for a process: its channels to one address then share a
// connection, and one thread of gRPC looks after the files.
class Tls {
 public:
  // Reads the files. Errors as of ReadTlsFiles(). `fs` and `clock` are borrowed
  // and must outlive this.
  static absl::StatusOr<std::shared_ptr<Tls>> Open(
      TlsOptions options, FileSystem* fs = FileSystem::Real(),
      Clock* clock = Clock::Real());

  ~Tls();

  Tls(const Tls&) = delete;
  Tls& operator=(const Tls&) = delete;

  const TlsOptions& options() const { return options_; }

  // For RpcServer; `options` must name a certificate.
  std::shared_ptr<grpc::ServerCredentials> server_credentials() const;

  // For MakeChannel().
  std::shared_ptr<grpc::ChannelCredentials> channel_credentials() const;

  // Looks at the files from now on, on a thread of its own, to say in the log
  // what was taken up, what cannot be, and when the certificate will expire.
  // gRPC takes up the files by itself, and less talkatively: a certificate and
  // a key that do not belong together make new connections fail until they do.
  // For daemons. Call it once.
  void Watch();

  // Of the process's own certificate, as far as is known.
  absl::Duration TimeLeft() const ABSL_LOCKS_EXCLUDED(mu_);

  // Looks that found files which cannot be used.
  uint64_t failed_looks() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  Tls(TlsOptions options, TlsFiles files, FileSystem* fs, Clock* clock);

  void MakeCredentials();

  void Run() ABSL_LOCKS_EXCLUDED(mu_);
  void Look() ABSL_LOCKS_EXCLUDED(mu_);

  const TlsOptions options_;
  FileSystem* const fs_;
  Clock* const clock_;
  std::shared_ptr<grpc::ChannelCredentials> channel_credentials_;
  std::shared_ptr<grpc::ServerCredentials> server_credentials_;  // May be null.

  mutable Mutex mu_;
  CondVar wake_;
  TlsFiles files_ ABSL_GUARDED_BY(mu_);
  uint64_t failed_looks_ ABSL_GUARDED_BY(mu_) = 0;
  bool stop_ ABSL_GUARDED_BY(mu_) = false;

  // The thread's alone.
  std::string failure_said_;
  absl::Time expiry_said_ = absl::InfinitePast();

  std::thread thread_;  // Runs Run(). Joined by the destructor.
};

TlsOptions TlsOptionsOf(const config::common::v1::TlsConfig& config);

// From the `tls` of a daemon's configuration, and watched; null if it has none.
//   Errors as of Tls::Open().
template <typename Config>
absl::StatusOr<std::shared_ptr<Tls>> OpenTls(const Config& config,
                                             FileSystem* fs, Clock* clock) {
  if (!config.has_tls()) return std::shared_ptr<Tls>();
  auto tls = Tls::Open(TlsOptionsOf(config.tls()), fs, clock);
  if (tls.ok()) (*tls)->Watch();
  return tls;
}

// Only says whether OpenTls() would find anything wrong.
template <typename Config>
absl::Status CheckTls(const Config& config, FileSystem* fs, Clock* clock) {
  if (!config.has_tls()) return absl::OkStatus();
  return ReadTlsFiles(TlsOptionsOf(config.tls()), clock->Now(), fs).status();
}

// For daemons, with TLS and without (`tls` is null). `tls` must outlive the
// registry.
void AddTlsMetrics(const Tls* tls, MetricsRegistry* registry);

// For a call on a connection that was never good: `status` with what to change,
// for a person, if it failed for what TLS is. `tls` is whether the channel has
// it.
absl::Status ExplainTlsFailure(const absl::Status& status, bool tls);

}  // namespace rpc
}  // namespace cairn

#endif  // CAIRN_LIB_RPC_TLS_H_
