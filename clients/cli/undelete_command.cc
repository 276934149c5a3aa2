// cairn undelete: brings deleted files back.

#include <memory>
#include <string>

#include "clients/cli/commands.h"
#include "clients/cli/durability.h"
#include "clients/cli/format.h"
#include "clients/cli/grpcurl.h"
#include "clients/cli/result_json.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/base/uuid.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace cli {
namespace {

absl::StatusOr<client::UndeleteOptions> OptionsOf(const UndeleteFlags& flags,
                                                  const Session& session) {
  client::UndeleteOptions options;
  CAIRN_ASSIGN_OR_RETURN(options.durability, ParseDurability(flags.durability));
  options.timeout = session.timeout();
  if (!flags.request_id.empty()) {
    if (flags.file_ids.size() > 1) {
      return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                             ErrorReason::kInvalidField,
                             "--request-id goes with one file");
    }
    CAIRN_ASSIGN_OR_RETURN(options.request_id, Uuid::Parse(flags.request_id));
  }
  return options;
}

void PrintGrpcurl(const UndeleteFlags& flags,
                  const client::UndeleteOptions& options, Session* session) {
  for (const std::string& id : flags.file_ids) {
    Json request;
    request["requestId"] =
        (options.request_id.is_nil() ? Uuid::Random() : options.request_id)
            .ToString();
    request["fileId"] = id;
    request["durability"] = DurabilityRequestJson(options.durability);
    session->Write(NodeForFile(*session, id));
    session->Print(GrpcurlCall(
        *session, kNodeWord, "cairn.storage.v1.FileService/Undelete", request));
  }
}

}  // namespace

ExitCode RunUndelete(const UndeleteFlags& flags, Session* session) {
  const absl::StatusOr<client::UndeleteOptions> options =
      OptionsOf(flags, *session);
  if (!options.ok()) return session->Fail(options.status());
  if (session->flags().print_grpcurl) {
    PrintGrpcurl(flags, *options, session);
    return kExitOk;
  }
  absl::StatusOr<std::unique_ptr<client::Client>> client =
      session->Connect(1, Session::Patience::kPrompt);
  if (!client.ok()) return session->Fail(client.status());
  ExitCode exit = kExitOk;
  for (const std::string& id : flags.file_ids) {
    const absl::StatusOr<client::UndeleteResult> result =
        (*client)->Undelete(id, *options);
    Json json;
    json["file_id"] = id;
    if (!result.ok()) {
      exit = Combine(exit, session->FailItem(result.status(), id, json));
      continue;
    }
    if (!session->json()) continue;
    json["size_bytes"] = result->info.size_bytes;
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
