// What the configurations of all daemons have alike: where to listen, the
// cluster, logging, stopping. Templates over the messages, whose fields have
// the same names.

#ifndef CAIRN_LIB_CONFIG_DAEMON_CONFIG_H_
#define CAIRN_LIB_CONFIG_DAEMON_CONFIG_H_

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "google/protobuf/duration.pb.h"
#include "lib/base/host_port.h"
#include "lib/base/uuid.h"
#include "lib/config/complaints.h"

namespace cairn {

inline absl::Duration FromProto(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) +
         absl::Nanoseconds(duration.nanos());
}

// Sets what is not set.
template <typename Config>
void SetDaemonDefaults(absl::string_view name, absl::string_view listen,
                       absl::Duration stop_grace, Config* config) {
  if (config->name().empty()) config->set_name(std::string(name));
  if (config->listen_size() == 0) config->add_listen(std::string(listen));
  if (config->log_level().empty()) config->set_log_level("info");
  if (config->log_format().empty()) config->set_log_format("text");
  if (!config->has_stop_grace()) {
    config->mutable_stop_grace()->set_seconds(absl::ToInt64Seconds(stop_grace));
  }
}

template <typename Config>
void CheckDaemonAddresses(const Config& config, Complaints* complaints) {
  for (const std::string& address : config.listen()) {
    complaints->CheckListenAddress("listen", address);
  }
  if (!config.advertise().empty()) {
    complaints->CheckPeerAddress("advertise", config.advertise());
  } else if (config.listen_size() > 0) {
    const auto first = ParseHostPort(config.listen(0));
    if (first.ok() && IsWildcard(first->host)) {
      complaints->Add("advertise",
                      absl::StrCat("must say where others reach this process, "
                                   "since it listens on ",
                                   config.listen(0)));
    }
  }
  if (!config.admin_listen().empty()) {
    complaints->CheckListenAddress("admin_listen", config.admin_listen());
  }
  if (!config.metrics_listen().empty()) {
    complaints->CheckListenAddress("metrics_listen", config.metrics_listen());
  }
  for (const std::string& address : config.trackers()) {
    complaints->CheckPeerAddress("trackers", address);
  }
}

// Plain text stays on this machine unless somebody wants it otherwise, and TLS
// is whole.
template <typename Config>
void CheckDaemonTransport(const Config& config, Complaints* complaints) {
  if (config.has_tls()) {
    const auto& tls = config.tls();
    if (tls.certificate_file().empty() || tls.key_file().empty() ||
        tls.ca_file().empty()) {
      complaints->Add("tls",
                      "certificate_file, key_file and ca_file must name files; "
                      "docs/security.md says how to make them");
    }
    if (tls.has_reload_interval()) {
      complaints->CheckRange("tls.reload_interval",
                             FromProto(tls.reload_interval()), absl::Seconds(1),
                             absl::Hours(1));
    }
    return;
  }
  if (config.allow_plaintext()) return;
  const auto check = [complaints](absl::string_view field,
                                  const std::string& address) {
    const auto parsed = ParseHostPort(address);
    if (!parsed.ok() || IsLoopback(parsed->host)) return;
    complaints->Add(
        field,
        absl::StrCat("`", address,
                     "` is not on loopback, and without TLS whoever can reach "
                     "it reads and writes everything; set tls { … } "
                     "(docs/security.md), or allow_plaintext: true where the "
                     "network is closed to strangers"));
  };
  for (const std::string& address : config.listen()) check("listen", address);
  if (!config.admin_listen().empty()) {
    check("admin_listen", config.admin_listen());
  }
}

// Checks a configuration with its defaults.
template <typename Config>
void CheckDaemonConfig(const Config& config, Complaints* complaints) {
  CheckDaemonAddresses(config, complaints);
  CheckDaemonTransport(config, complaints);
  const auto cluster_id = Uuid::Parse(config.cluster_id());
  if (!cluster_id.ok() || cluster_id->is_nil()) {
    complaints->Add("cluster_id",
                    "must be the cluster's UUID, the same everywhere; make one "
                    "with `uuidgen`");
  }
  if (config.cluster_secret().empty() == config.cluster_secret_file().empty()) {
    complaints->Add("cluster_secret_file",
                    "set either this or cluster_secret; make a secret with "
                    "`openssl rand -base64 32`");
  }
  complaints->CheckRange("stop_grace", FromProto(config.stop_grace()),
                         absl::ZeroDuration(), absl::Hours(1));
  const std::string& level = config.log_level();
  if (level != "debug" && level != "info" && level != "warning" &&
      level != "error") {
    complaints->Add("log_level", "must be debug, info, warning or error");
  }
  if (config.log_format() != "text" && config.log_format() != "json") {
    complaints->Add("log_format", "must be text or json");
  }
}

}  // namespace cairn

#endif  // CAIRN_LIB_CONFIG_DAEMON_CONFIG_H_
