// cairn attributes: what users say of files, read and changed.

#include <cstdint>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "clients/cli/attribute_text.h"
#include "clients/cli/commands.h"
#include "clients/cli/durability.h"
#include "clients/cli/grpcurl.h"
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

absl::StatusOr<AttributeChange> ChangeOf(const AttributesChangeFlags& flags) {
  AttributeChange change;
  change.overwrite = flags.overwrite;
  CAIRN_ASSIGN_OR_RETURN(change.set, ParseAttributes(flags.attributes));
  change.remove = flags.remove;
  if (flags.overwrite && change.set.empty() != flags.none) {
    return UsageError(
        flags.none ? "--none stands alone: the file is to have no attributes"
                   : "name the attributes that the file is to have as "
                     "KEY=VALUE, or say --none");
  }
  if (!flags.overwrite && change.set.empty() && change.remove.empty()) {
    return UsageError("name what to change");
  }
  CAIRN_RETURN_IF_ERROR(CheckAttributeChange(change));
  return change;
}

absl::StatusOr<client::SetAttributesOptions> OptionsOf(
    const AttributesChangeFlags& flags, const Session& session) {
  client::SetAttributesOptions options;
  CAIRN_ASSIGN_OR_RETURN(options.durability, ParseDurability(flags.durability));
  options.timeout = session.timeout();
  if (!flags.request_id.empty()) {
    CAIRN_ASSIGN_OR_RETURN(options.request_id, Uuid::Parse(flags.request_id));
  }
  if (!flags.if_version.empty()) {
    CAIRN_ASSIGN_OR_RETURN(options.if_version_match,
                           ParseVersion(flags.if_version));
  }
  return options;
}

void PrintChangeGrpcurl(const AttributesChangeFlags& flags,
                        const AttributeChange& change,
                        const client::SetAttributesOptions& options,
                        Session* session) {
  Json request;
  request["requestId"] =
      flags.request_id.empty() ? Uuid::Random().ToString() : flags.request_id;
  request["fileId"] = flags.file_id;
  request["durability"] = DurabilityRequestJson(options.durability);
  request["mode"] =
      change.overwrite ? "ATTRIBUTES_MODE_OVERWRITE" : "ATTRIBUTES_MODE_MERGE";
  if (!change.set.empty()) {
    request["attributes"] = AttributesRequestJson(change.set);
  }
  if (!change.remove.empty()) request["remove"] = change.remove;
  if (options.if_version_match.has_value()) {
    request["ifVersionMatch"]["clock"] =
        absl::StrCat(options.if_version_match->first);
    request["ifVersionMatch"]["node"] = options.if_version_match->second;
  }
  session->Write(NodeForFile(*session, flags.file_id));
  session->Print(GrpcurlCall(*session, kNodeWord,
                             "cairn.storage.v1.FileService/SetAttributes",
                             request));
}

ExitCode FailFile(const absl::Status& status, const std::string& file_id,
                  Session* session) {
  Json json;
  json["file_id"] = file_id;
  return session->FailItem(status, file_id, json);
}

}  // namespace

ExitCode RunAttributesGet(const AttributesGetFlags& flags, Session* session) {
  if (session->flags().print_grpcurl) {
    for (const std::string& id : flags.file_ids) {
      Json request;
      request["fileId"] = id;
      session->Write(NodeForFile(*session, id));
      session->Print(GrpcurlCall(*session, kNodeWord,
                                 "cairn.storage.v1.FileService/GetAttributes",
                                 request));
    }
    return kExitOk;
  }
  absl::StatusOr<std::unique_ptr<client::Client>> client =
      session->Connect(1, Session::Patience::kPrompt);
  if (!client.ok()) return session->Fail(client.status());
  client::StatOptions options;
  options.timeout = session->timeout();
  options.include_attributes = true;
  ExitCode exit = kExitOk;
  for (const std::string& id : flags.file_ids) {
    const absl::StatusOr<client::FileInfo> info = (*client)->Stat(id, options);
    if (!info.ok()) {
      exit = Combine(exit, FailFile(info.status(), id, session));
      continue;
    }
    if (session->json()) {
      Json json;
      json["file_id"] = info->file_id;
      json["version"] = VersionText(*info);
      AddAttributes(info->attributes, &json);
      session->PrintJson(json);
      continue;
    }
    if (flags.file_ids.size() > 1) session->Print(absl::StrCat(id, ":"));
    for (const auto& [key, value] : info->attributes) {
      session->Print(AttributeText(key, value));
    }
  }
  return exit;
}

ExitCode RunAttributesChange(const AttributesChangeFlags& flags,
                             Session* session) {
  const absl::StatusOr<AttributeChange> change = ChangeOf(flags);
  if (!change.ok()) return session->Fail(change.status());
  const absl::StatusOr<client::SetAttributesOptions> options =
      OptionsOf(flags, *session);
  if (!options.ok()) return session->Fail(options.status());
  if (session->flags().print_grpcurl) {
    PrintChangeGrpcurl(flags, *change, *options, session);
    return kExitOk;
  }
  absl::StatusOr<std::unique_ptr<client::Client>> client =
      session->Connect(1, Session::Patience::kPrompt);
  if (!client.ok()) return session->Fail(client.status());
  const absl::StatusOr<client::SetAttributesResult> result =
      (*client)->SetAttributes(flags.file_id, *change, *options);
  if (!result.ok()) return FailFile(result.status(), flags.file_id, session);
  if (!session->json()) return kExitOk;
  Json json;
  json["file_id"] = result->info.file_id;
  json["version"] = VersionText(result->info);
  AddReached(*result, &json);
  session->PrintJson(json);
  return kExitOk;
}

}  // namespace cli
}  // namespace cairn
