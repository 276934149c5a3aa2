// One run of the command: the flags that all commands share, the way to the
// cluster, and the way to the user.
//
// Standard output carries results and nothing else: one line for each file, or
// with --json one JSON object for each. Everything said to a person (progress,
// sums, errors and what to do about them) goes to standard error.

#ifndef CAIRN_CLIENTS_CLI_SESSION_H_
#define CAIRN_CLIENTS_CLI_SESSION_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "clients/cli/environment.h"
#include "clients/cli/exit_code.h"
#include "clients/cli/progress.h"
#include "clients/cpp/client.h"
#include "lib/rpc/tls_files.h"
#include "nlohmann/json_fwd.hpp"

namespace cairn {
namespace cli {

using Json = nlohmann::ordered_json;

struct GlobalFlags {
  std::vector<std::string> trackers;
  std::string storage;
  std::string zone;
  std::string tls_ca;  // Empty: plain text.
  std::string tls_cert;
  std::string tls_key;
  std::string tls_server_name;
  std::string timeout;  // absl::ParseDuration; empty: the client's default.
  bool json = false;
  bool print_grpcurl = false;
  bool no_progress = false;
};

// Not thread-safe.
class Session {
 public:
  // `environment` is borrowed.
  Session(const Environment& environment, GlobalFlags flags)
      : environment_(environment), flags_(std::move(flags)) {}

  // Takes what no flag names from the environment: the trackers from
  // CAIRN_TRACKERS if there is no address at all, TLS from CAIRN_TLS_*. Checks
  // what can be checked without a cluster.
  //   INVALID_ARGUMENT  says which flag to change.
  absl::Status Prepare();

  // INVALID_ARGUMENT unless there is an address to talk to; and what is wrong
  // with the files of TLS.
  absl::Status RequireAddress() const;

  // How long an operation goes on while nobody answers. kPatient: half a
  // minute, so that a transfer survives the restart of a node. kPrompt: two
  // seconds, since somebody waits for the answer.
  enum class Patience { kPrompt, kPatient };

  // A client whose large transfers run `transfers` at a time.
  absl::StatusOr<std::unique_ptr<client::Client>> Connect(int transfers,
                                                          Patience patience);

  const Environment& environment() const { return environment_; }
  const GlobalFlags& flags() const { return flags_; }
  bool json() const { return flags_.json; }
  rpc::TlsOptions tls() const;
  absl::optional<absl::Duration> timeout() const { return timeout_; }

  // The tracker to ask first, or empty with --storage.
  std::string first_tracker() const {
    return flags_.trackers.empty() ? "" : flags_.trackers[0];
  }

  // A line on standard output.
  void Print(absl::string_view line);
  void PrintJson(const Json& json);

  // Text on standard output as it is.
  void Write(absl::string_view text);

  // A line for a person, on standard error.
  void Say(absl::string_view line);

  // Says what went wrong with `what` (a file, an ID, an address; may be empty)
  // and what to do next. Returns the exit code.
  ExitCode Fail(const absl::Status& status, absl::string_view what = "");

  // The same for a file of many: in JSON it becomes `object` with an "error".
  ExitCode FailItem(const absl::Status& failure, absl::string_view what,
                    const Json& object);

  // Whether standard output may be coloured.
  bool color() const;

  // OK, or what kept standard output from being written (a full disk, a closed
  // pipe).
  absl::Status Flush();

  // `verb` as in "storing".
  std::unique_ptr<Progress> MakeProgress(absl::string_view verb);

 private:
  void TakeVariable(const char* name, std::string* flag) const;

  const Environment& environment_;
  GlobalFlags flags_;
  absl::optional<absl::Duration> timeout_;
  std::string last_next_step_;  // Said once for many files that fail alike.
};

// {"code", "reason", "message", "next_step"} of an error.
Json ErrorJson(const absl::Status& status);

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_SESSION_H_
