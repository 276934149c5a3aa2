#include "clients/cli/session.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "lib/base/error_reason.h"
#include "lib/io/errno_status.h"
#include "lib/io/file_system.h"
#include "lib/rpc/tls.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace cli {
namespace {

// With the client's growing backoff, about half a minute.
constexpr int kPatientAttempts = 16;

absl::Status UsageError(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                         ErrorReason::kInvalidField, message);
}

}  // namespace

absl::Status Session::Prepare() {
  if (flags_.trackers.empty() && flags_.storage.empty()) {
    const std::string trackers = environment_.variable("CAIRN_TRACKERS");
    flags_.trackers =
        absl::StrSplit(trackers, absl::ByAnyChar(", "), absl::SkipWhitespace());
  }
  if (!flags_.trackers.empty() && !flags_.storage.empty()) {
    return UsageError("name trackers or a storage node, not both");
  }
  TakeVariable("CAIRN_TLS_CA", &flags_.tls_ca);
  TakeVariable("CAIRN_TLS_CERT", &flags_.tls_cert);
  TakeVariable("CAIRN_TLS_KEY", &flags_.tls_key);
  TakeVariable("CAIRN_TLS_SERVER_NAME", &flags_.tls_server_name);
  if (flags_.tls_ca.empty() &&
      (!flags_.tls_cert.empty() || !flags_.tls_key.empty() ||
       !flags_.tls_server_name.empty())) {
    return UsageError(
        "TLS needs --tls-ca FILE (or CAIRN_TLS_CA), the certificates of the "
        "cluster's authorities");
  }
  if (flags_.tls_cert.empty() != flags_.tls_key.empty()) {
    return UsageError(
        "--tls-cert and --tls-key (or CAIRN_TLS_CERT and CAIRN_TLS_KEY) go "
        "together");
  }
  environment_.queries->UseTls(tls());
  if (!flags_.timeout.empty()) {
    absl::Duration timeout;
    if (!absl::ParseDuration(flags_.timeout, &timeout) ||
        timeout <= absl::ZeroDuration()) {
      return UsageError(absl::StrCat("--timeout ", flags_.timeout,
                                     " is no time: write 500ms, 30s or 5m"));
    }
    timeout_ = timeout;
  }
  return absl::OkStatus();
}

void Session::TakeVariable(const char* name, std::string* flag) const {
  if (flag->empty()) *flag = environment_.variable(name);
}

rpc::TlsOptions Session::tls() const {
  rpc::TlsOptions tls;
  tls.ca_file = flags_.tls_ca;
  tls.certificate_file = flags_.tls_cert;
  tls.key_file = flags_.tls_key;
  tls.server_name = flags_.tls_server_name;
  return tls;
}

absl::Status Session::RequireAddress() const {
  if (flags_.trackers.empty() && flags_.storage.empty()) {
    return UsageError(
        "no cluster is named: add --tracker HOST:PORT (or set CAIRN_TRACKERS), "
        "or --storage HOST:PORT for one node");
  }
  // Here, or it would look as if nobody answered.
  if (flags_.tls_ca.empty()) return absl::OkStatus();
  return rpc::ReadTlsFiles(tls(), environment_.clock->Now(), FileSystem::Real())
      .status();
}

absl::StatusOr<std::unique_ptr<client::Client>> Session::Connect(
    int transfers, Patience patience) {
  const absl::Status address = RequireAddress();
  if (!address.ok()) return address;
  client::ClientOptions options;
  options.trackers = flags_.trackers;
  options.storage = flags_.storage;
  options.zone = flags_.zone;
  options.tls = tls();
  options.transfer_threads = transfers;
  if (patience == Patience::kPatient) options.attempts_max = kPatientAttempts;
  if (timeout_.has_value()) {
    options.timeout = *timeout_;
    options.connect_timeout = std::min(options.connect_timeout, *timeout_);
  }
  return environment_.connect(std::move(options));
}

void Session::Print(absl::string_view line) {
  Write(line);
  std::fputc('\n', environment_.out);
}

void Session::PrintJson(const Json& json) {
  // File names need not be UTF-8, JSON has to be.
  Print(json.dump(-1, ' ', false, Json::error_handler_t::replace));
}

void Session::Write(absl::string_view text) {
  std::fwrite(text.data(), 1, text.size(), environment_.out);
}

void Session::Say(absl::string_view line) {
  std::fwrite(line.data(), 1, line.size(), environment_.err);
  std::fputc('\n', environment_.err);
  std::fflush(environment_.err);
}

ExitCode Session::Fail(const absl::Status& status, absl::string_view what) {
  Json object = Json::object();
  if (!what.empty()) object["what"] = std::string(what);
  return FailItem(status, what, object);
}

ExitCode Session::FailItem(const absl::Status& failure, absl::string_view what,
                           const Json& object) {
  const absl::Status status =
      rpc::ExplainTlsFailure(failure, !flags_.tls_ca.empty());
  Say(absl::StrCat("cairn: ", what, what.empty() ? "" : ": ", status.message(),
                   " (", ReasonText(status), ")"));
  std::string next = NextStep(status);
  if (!next.empty() && next != last_next_step_) {
    Say(absl::StrCat("  ", next));
    last_next_step_ = std::move(next);
  }
  if (json()) {
    Json failed = object;
    failed["error"] = ErrorJson(status);
    PrintJson(failed);
  }
  return ExitCodeOf(status);
}

bool Session::color() const {
  return environment_.out_is_terminal &&
         environment_.variable("NO_COLOR").empty() &&
         environment_.variable("TERM") != "dumb";
}

absl::Status Session::Flush() {
  errno = 0;
  if (std::fflush(environment_.out) == 0 &&
      std::ferror(environment_.out) == 0) {
    return absl::OkStatus();
  }
  return StatusFromErrno(errno == 0 ? EIO : errno, "write", "standard output");
}

std::unique_ptr<Progress> Session::MakeProgress(absl::string_view verb) {
  ProgressStyle style = ProgressStyle::kPlain;
  if (flags_.no_progress) {
    style = ProgressStyle::kNone;
  } else if (environment_.err_is_terminal &&
             environment_.variable("TERM") != "dumb") {
    style = ProgressStyle::kBar;
  }
  return std::make_unique<Progress>(style, std::string(verb),
                                    environment_.columns, environment_.err,
                                    environment_.clock);
}

Json ErrorJson(const absl::Status& status) {
  Json error;
  error["code"] = absl::StatusCodeToString(status.code());
  error["reason"] = ReasonText(status);
  error["message"] = std::string(status.message());
  error["next_step"] = NextStep(status);
  return error;
}

}  // namespace cli
}  // namespace cairn
