// cairn expire: when files expire.

#include <memory>
#include <string>

#include "clients/cli/commands.h"
#include "clients/cli/durability.h"
#include "clients/cli/format.h"
#include "clients/cli/grpcurl.h"
#include "clients/cli/lifetime_text.h"
#include "clients/cli/result_json.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/base/uuid.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace cli {
namespace {

absl::Status UsageError(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                         ErrorReason::kInvalidField, message);
}

absl::StatusOr<client::Lifetime> EndOf(const ExpireFlags& flags) {
  if (flags.in.empty() + flags.at.empty() + !flags.never != 2) {
    return UsageError("say one of --in, --at and --never");
  }
  return LifetimeOf(flags.in, flags.at);
}

absl::StatusOr<client::SetExpiryOptions> OptionsOf(const ExpireFlags& flags,
                                                   const Session& session) {
  client::SetExpiryOptions options;
  CAIRN_ASSIGN_OR_RETURN(options.durability, ParseDurability(flags.durability));
  options.timeout = session.timeout();
  if (!flags.request_id.empty()) {
    if (flags.file_ids.size() > 1) {
      return UsageError("--request-id goes with one file");
    }
    CAIRN_ASSIGN_OR_RETURN(options.request_id, Uuid::Parse(flags.request_id));
  }
  return options;
}

void PrintGrpcurl(const ExpireFlags& flags, const client::Lifetime& lifetime,
                  const client::SetExpiryOptions& options, Session* session) {
  for (const std::string& id : flags.file_ids) {
    Json request;
    request["requestId"] =
        (options.request_id.is_nil() ? Uuid::Random() : options.request_id)
            .ToString();
    request["fileId"] = id;
    request["durability"] = DurabilityRequestJson(options.durability);
    AddLifetimeRequest(lifetime, &request);
    session->Write(NodeForFile(*session, id));
    session->Print(GrpcurlCall(*session, kNodeWord,
                               "cairn.storage.v1.FileService/SetExpiry",
                               request));
  }
}

}  // namespace

ExitCode RunExpire(const ExpireFlags& flags, Session* session) {
  const absl::StatusOr<client::Lifetime> lifetime = EndOf(flags);
  if (!lifetime.ok()) return session->Fail(lifetime.status());
  const absl::StatusOr<client::SetExpiryOptions> options =
      OptionsOf(flags, *session);
  if (!options.ok()) return session->Fail(options.status());
  if (session->flags().print_grpcurl) {
    PrintGrpcurl(flags, *lifetime, *options, session);
    return kExitOk;
  }
  absl::StatusOr<std::unique_ptr<client::Client>> client =
      session->Connect(1, Session::Patience::kPrompt);
  if (!client.ok()) return session->Fail(client.status());
  ExitCode exit = kExitOk;
  for (const std::string& id : flags.file_ids) {
    const absl::StatusOr<client::SetExpiryResult> result =
        (*client)->SetExpiry(id, *lifetime, *options);
    Json json;
    json["file_id"] = id;
    if (!result.ok()) {
      exit = Combine(exit, session->FailItem(result.status(), id, json));
      continue;
    }
    if (!session->json()) continue;
    json["version"] = VersionText(result->info);
    if (result->info.expire_time) {
      json["expire_time"] = FormatUtc(*result->info.expire_time);
    }
    AddReached(*result, &json);
    session->PrintJson(json);
  }
  return exit;
}

}  // namespace cli
}  // namespace cairn
