// cairn node set, remove, restore; cairn group set, quota; cairn client quota:
// what operators decide. Each is first told by the tracker what it leads to.

#include <google/protobuf/util/json_util.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "cairn/tracker/v1/admin_service.pb.h"
#include "clients/cli/cluster_nodes.h"
#include "clients/cli/commands.h"
#include "clients/cli/confirm.h"
#include "clients/cli/grpcurl.h"
#include "clients/cli/quota_text.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/base/uuid.h"
#include "lib/config/cluster_secret.h"
#include "lib/io/file_system.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace cli {
namespace {

using tracker::v1::Account;

absl::Status UsageError(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                         ErrorReason::kInvalidField, message);
}

// The proof of an AdminService call, made where a shell script runs: the secret
// stays out of command lines, which others can see.
constexpr char kProofScript[] =
    "import base64,hmac,sys; "
    "print(hmac.new(open(sys.argv[1],\"rb\").read().strip(), "
    "(\"cairn admin v1\\n%s\\n%s\\n\" % (sys.argv[2], sys.argv[3])).encode() + "
    "base64.b64decode(sys.argv[4]), \"sha256\").hexdigest())";

std::string SecretFile(const DecisionFlags& flags, const Session& session) {
  return flags.secret_file.empty()
             ? session.environment().variable("CAIRN_SECRET_FILE")
             : flags.secret_file;
}

absl::StatusOr<std::string> ReadSecret(const DecisionFlags& flags,
                                       const Session& session) {
  const std::string path = SecretFile(flags, session);
  if (path.empty()) {
    return UsageError(
        "no cluster secret: name the file that holds it with --secret-file or "
        "CAIRN_SECRET_FILE");
  }
  return ReadClusterSecret("", path, FileSystem::Real());
}

// For --print-grpcurl, which asks nobody.
absl::StatusOr<std::string> UuidAsGiven(const std::string& node) {
  if (Uuid::Parse(node).ok()) return node;
  return UsageError(
      "--print-grpcurl asks no tracker: name the node by its UUID (`cairn node "
      "list --json`)");
}

void PrintGrpcurl(const std::string& method,
                  const google::protobuf::Message& request,
                  const DecisionFlags& flags, Session* session) {
  const std::string service = "cairn.tracker.v1.AdminService/";
  const std::string file = SecretFile(flags, *session);
  std::string json;
  CAIRN_CHECK(google::protobuf::util::MessageToJsonString(request, &json).ok());
  session->Print(
      absl::StrCat("CHALLENGE=$(",
                   GrpcurlCall(*session, AddressWord(*session),
                               service + "GetChallenge", Json::object()),
                   " | jq -r .challenge)"));
  session->Print(absl::StrCat(
      "PROOF=$(python3 -c ", ShellQuote(kProofScript), " ",
      file.empty() ? "\"$CAIRN_SECRET_FILE\"" : ShellQuote(file), " ",
      ShellQuote(absl::StrCat("/", service, method)), " \"$CHALLENGE\" ",
      ShellQuote(absl::Base64Escape(request.SerializeAsString())), ")"));
  session->Print(absl::StrCat("grpcurl ", TransportFlags(*session),
                              " -H \"cairn-admin-challenge: $CHALLENGE\" "
                              "-H \"cairn-admin-proof: $PROOF\" -d ",
                              ShellQuote(json), " ", AddressWord(*session), " ",
                              service, method));
}

Json ToJson(const Account& account, bool applied) {
  Json json;
  json["applied"] = applied;
  json["sentences"] = Json::array();
  for (const std::string& sentence : account.sentences()) {
    json["sentences"].push_back(sentence);
  }
  json["decisions"] = Json::array();
  for (const tracker::v1::Decision& decision : account.decisions()) {
    json["decisions"].push_back(DecisionJson(decision));
  }
  json["group"] = account.group();
  json["members"] = account.members();
  json["writable_members"] = account.writable_members();
  json["readable_members"] = account.readable_members();
  json["files_losing_redundancy"] = account.files_losing_redundancy();
  return json;
}

// One decision from the question to the answer.
class DecisionRun {
 public:
  // Asks a tracker; with `dry_run` it only tells.
  using Ask = std::function<absl::StatusOr<Account>(
      const std::string& tracker, const std::string& secret, bool dry_run)>;

  DecisionRun(const DecisionFlags& flags, Session* session)
      : flags_(flags), session_(session) {}

  // `must_confirm` says of what the tracker has told whether a person has to
  // agree.
  ExitCode Run(const Ask& ask,
               const std::function<bool(const Account&)>& must_confirm) {
    if (session_->flags().trackers.empty()) {
      return session_->Fail(UsageError(
          "trackers keep what operators decide: name one with --tracker"));
    }
    const absl::StatusOr<std::string> secret = ReadSecret(flags_, *session_);
    if (!secret.ok()) return session_->Fail(secret.status());
    const absl::StatusOr<Account> told =
        AskInTurn(ask, *secret, /*dry_run=*/true);
    if (!told.ok()) return session_->Fail(told.status());
    if (flags_.dry_run) return Report(*told, /*applied=*/false);
    if (told->decisions_size() > 0 && must_confirm(*told)) {
      const absl::Status confirmed = Confirm(
          {told->sentences().begin(), told->sentences().end()}, flags_.yes,
          "look at it with --dry-run, and ", "nothing was decided", session_);
      if (!confirmed.ok()) return session_->Fail(confirmed);
    }
    const absl::StatusOr<Account> decided =
        AskInTurn(ask, *secret, /*dry_run=*/false);
    if (!decided.ok()) return session_->Fail(decided.status());
    return Report(*decided, /*applied=*/true);
  }

 private:
  // The first tracker that is there.
  absl::StatusOr<Account> AskInTurn(const Ask& ask, const std::string& secret,
                                    bool dry_run) {
    std::vector<std::string> errors;
    for (const std::string& tracker : session_->flags().trackers) {
      absl::StatusOr<Account> account = ask(tracker, secret, dry_run);
      const absl::StatusCode code = account.status().code();
      if (code != absl::StatusCode::kUnavailable &&
          code != absl::StatusCode::kDeadlineExceeded) {
        return account;
      }
      errors.push_back(std::string(account.status().message()));
    }
    return absl::UnavailableError(
        absl::StrCat("no tracker answers: ", absl::StrJoin(errors, "; ")));
  }

  ExitCode Report(const Account& account, bool applied) {
    if (session_->json()) {
      session_->PrintJson(ToJson(account, applied));
      return kExitOk;
    }
    if (!applied) session_->Say("dry run: nothing is decided");
    for (const std::string& sentence : account.sentences()) {
      session_->Print(sentence);
    }
    return kExitOk;
  }

  const DecisionFlags& flags_;
  Session* const session_;
};

// A number, or `own` to take the decision back.
template <typename Request>
absl::Status ParseNumber(absl::string_view flag, const std::string& text,
                         void (Request::*set)(uint32_t),
                         void (Request::*clear)(bool), Request* request) {
  if (text.empty()) return absl::OkStatus();
  if (text == "own") {
    (request->*clear)(true);
    return absl::OkStatus();
  }
  uint32_t number = 0;
  if (!absl::SimpleAtoi(text, &number)) {
    return UsageError(absl::StrCat(flag, " ", text,
                                   " is no number: write one from 0 on, or "
                                   "`own` for what the configuration says"));
  }
  (request->*set)(number);
  return absl::OkStatus();
}

tracker::v1::NodeRole ParseRole(const std::string& role) {
  tracker::v1::NodeRole parsed = tracker::v1::NODE_ROLE_UNSPECIFIED;
  tracker::v1::NodeRole_Parse(
      absl::StrCat("NODE_ROLE_", absl::AsciiStrToUpper(role)), &parsed);
  return parsed;
}

absl::StatusOr<tracker::v1::SetNodeRequest> MakeSetNode(
    const NodeSetFlags& flags) {
  using Request = tracker::v1::SetNodeRequest;
  Request request;
  if (flags.role == "own") {
    request.set_clear_role(true);
  } else if (!flags.role.empty()) {
    request.set_role(ParseRole(flags.role));
  }
  CAIRN_RETURN_IF_ERROR(ParseNumber("--weight", flags.weight,
                                    &Request::set_weight,
                                    &Request::set_clear_weight, &request));
  CAIRN_RETURN_IF_ERROR(ParseNumber("--priority", flags.priority,
                                    &Request::set_priority,
                                    &Request::set_clear_priority, &request));
  if (flags.zone == "own") {
    request.set_clear_zone(true);
  } else if (!flags.zone.empty()) {
    request.set_zone(flags.zone);
  }
  const std::string reserve(absl::StripSuffix(flags.reserve, "%"));
  CAIRN_RETURN_IF_ERROR(ParseNumber("--reserve", reserve,
                                    &Request::set_reserve_percent,
                                    &Request::set_clear_reserve, &request));
  if (flags.role.empty() && flags.weight.empty() && flags.priority.empty() &&
      flags.zone.empty() && flags.reserve.empty()) {
    return UsageError(
        "nothing is to be set: add --role, --weight, --priority, --in-zone or "
        "--reserve");
  }
  request.set_reason(flags.decision.reason);
  return request;
}

// Prints the call or makes it.
template <typename Request, typename Method>
ExitCode Decide(const char* name, Request request, Method method,
                const DecisionFlags& flags, Session* session,
                const std::function<bool(const Account&)>& confirm) {
  if (session->flags().print_grpcurl) {
    request.set_dry_run(flags.dry_run);
    PrintGrpcurl(name, request, flags, session);
    return kExitOk;
  }
  return DecisionRun(flags, session)
      .Run(
          [&](const std::string& tracker, const std::string& secret,
              bool dry_run) {
            request.set_dry_run(dry_run);
            return (session->environment().queries->*method)(
                tracker, secret, request, QueryTimeout(*session));
          },
          confirm);
}

// Finds the node, prints the call or makes it.
template <typename Request, typename Method>
ExitCode DecideAboutNode(const std::string& node, const char* name,
                         Request request, Method method,
                         const DecisionFlags& flags, Session* session,
                         const std::function<bool(const Account&)>& confirm) {
  if (session->flags().print_grpcurl) {
    const absl::StatusOr<std::string> uuid = UuidAsGiven(node);
    if (!uuid.ok()) return session->Fail(uuid.status());
    request.set_node_uuid(*uuid);
  } else {
    const absl::StatusOr<tracker::v1::Node> found = FindNode(node, session);
    if (!found.ok()) return session->Fail(found.status());
    request.set_node_uuid(found->identity().node_uuid());
  }
  return Decide(name, std::move(request), method, flags, session, confirm);
}

// Fills in what is named, of a request that has a quota.
template <typename Request>
absl::Status ParseQuota(const QuotaFlags& flags, Request* request) {
  if (flags.files.empty() && flags.bytes.empty()) {
    return UsageError("nothing is to be set: add --files or --bytes");
  }
  if (!flags.files.empty()) {
    CAIRN_ASSIGN_OR_RETURN(const uint64_t files, ParseQuotaFiles(flags.files));
    request->set_quota_files(files);
  }
  if (!flags.bytes.empty()) {
    CAIRN_ASSIGN_OR_RETURN(const uint64_t bytes, ParseQuotaBytes(flags.bytes));
    request->set_quota_bytes(bytes);
  }
  request->set_reason(flags.decision.reason);
  return absl::OkStatus();
}

template <typename Request, typename Method>
ExitCode DecideQuota(const QuotaFlags& flags, const char* name, Request request,
                     Method method, Session* session) {
  const absl::Status parsed = ParseQuota(flags, &request);
  if (!parsed.ok()) return session->Fail(parsed);
  return Decide(name, std::move(request), method, flags.decision, session,
                // What is there stays, and it is undone as quickly.
                [](const Account& /*account*/) { return false; });
}

}  // namespace

ExitCode RunNodeSet(const NodeSetFlags& flags, Session* session) {
  const absl::StatusOr<tracker::v1::SetNodeRequest> request =
      MakeSetNode(flags);
  if (!request.ok()) return session->Fail(request.status());
  // What takes something away from everybody is not done by a slip.
  const bool restricts = request->has_role() &&
                         request->role() != tracker::v1::NODE_ROLE_READ_WRITE;
  return DecideAboutNode(
      flags.node, "SetNode", *request, &NodeQueries::SetNode, flags.decision,
      session, [restricts](const Account& account) {
        return restricts && (account.writable_members() == 0 ||
                             account.readable_members() == 0);
      });
}

ExitCode RunNodeRemove(const NodeRemoveFlags& flags, Session* session) {
  tracker::v1::RemoveNodeRequest request;
  request.set_force(flags.force);
  request.set_reason(flags.decision.reason);
  return DecideAboutNode(flags.node, "RemoveNode", request,
                         &NodeQueries::RemoveNode, flags.decision, session,
                         [](const Account& /*account*/) { return true; });
}

ExitCode RunNodeRestore(const NodeRestoreFlags& flags, Session* session) {
  tracker::v1::RestoreNodeRequest request;
  request.set_reason(flags.decision.reason);
  return DecideAboutNode(flags.node, "RestoreNode", request,
                         &NodeQueries::RestoreNode, flags.decision, session,
                         [](const Account& /*account*/) { return false; });
}

ExitCode RunGroupQuota(const QuotaFlags& flags, Session* session) {
  tracker::v1::SetGroupRequest request;
  request.set_group(flags.subject);
  return DecideQuota(flags, "SetGroup", request, &NodeQueries::SetGroup,
                     session);
}

ExitCode RunClientQuota(const QuotaFlags& flags, Session* session) {
  tracker::v1::SetClientRequest request;
  request.set_identity(flags.subject);
  return DecideQuota(flags, "SetClient", request, &NodeQueries::SetClient,
                     session);
}

ExitCode RunGroupSet(const GroupSetFlags& flags, Session* session) {
  using Request = tracker::v1::SetGroupRequest;
  Request request;
  const absl::Status parsed =
      ParseNumber("--weight", flags.weight, &Request::set_weight,
                  &Request::set_clear_weight, &request);
  if (!parsed.ok()) return session->Fail(parsed);
  request.set_group(flags.group);
  request.set_reason(flags.decision.reason);
  const bool closes = request.has_weight() && request.weight() == 0;
  return Decide("SetGroup", std::move(request), &NodeQueries::SetGroup,
                flags.decision, session,
                [closes](const Account& /*account*/) { return closes; });
}

}  // namespace cli
}  // namespace cairn
