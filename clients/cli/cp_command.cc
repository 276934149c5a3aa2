// cairn cp: makes a file of another one.

#include <memory>

#include "clients/cli/attribute_text.h"
#include "clients/cli/commands.h"
#include "clients/cli/durability.h"
#include "clients/cli/lifetime_text.h"
#include "clients/cli/result_json.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/base/uuid.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace cli {
namespace {

absl::Status Usage(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                         ErrorReason::kInvalidField, message);
}

absl::StatusOr<client::CopyResult> Copy(const CpFlags& flags,
                                        Session* session) {
  client::CopyOptions options;
  CAIRN_ASSIGN_OR_RETURN(options.durability, ParseDurability(flags.durability));
  options.timeout = session->timeout();
  if (flags.has_extension) options.extension = flags.extension;
  if (!flags.attributes.empty() || flags.no_attributes) {
    if (!flags.attributes.empty() && flags.no_attributes) {
      return Usage("--no-attributes does not go with --attribute");
    }
    CAIRN_ASSIGN_OR_RETURN(options.attributes,
                           ParseAttributes(flags.attributes));
  }
  CAIRN_ASSIGN_OR_RETURN(options.lifetime,
                         LifetimeOf(flags.expire_in, flags.expire_at));
  if (!flags.request_id.empty()) {
    CAIRN_ASSIGN_OR_RETURN(options.request_id, Uuid::Parse(flags.request_id));
  }
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<client::Client> client,
                         session->Connect(1, Session::Patience::kPrompt));
  return client->Copy(flags.file_id, options);
}

}  // namespace

ExitCode RunCp(const CpFlags& flags, Session* session) {
  if (session->flags().print_grpcurl) {
    return session->Fail(Usage("--print-grpcurl is not made for cp"));
  }
  const absl::StatusOr<client::CopyResult> result = Copy(flags, session);
  Json json;
  if (!result.ok()) {
    json["file_id"] = flags.file_id;
    return session->FailItem(result.status(), flags.file_id, json);
  }
  if (!session->json()) {
    session->Print(result->info.file_id);
    return kExitOk;
  }
  AddFileInfo(result->info, &json);
  json["copied_from"] = flags.file_id;
  json["shared"] = result->shared;
  AddReached(*result, &json);
  session->PrintJson(json);
  return kExitOk;
}

}  // namespace cli
}  // namespace cairn
