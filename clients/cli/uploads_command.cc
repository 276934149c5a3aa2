// cairn uploads: which uploads in parts are open, and an end to some of them.

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "clients/cli/catalog_access.h"
#include "clients/cli/cluster_nodes.h"
#include "clients/cli/commands.h"
#include "clients/cli/confirm.h"
#include "clients/cli/format.h"
#include "clients/cli/grpcurl.h"
#include "clients/cpp/catalog.h"
#include "lib/base/error_reason.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace cli {
namespace {

absl::Status UsageError(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                         ErrorReason::kInvalidField, message);
}

Json ToJson(const client::OpenUpload& upload) {
  Json json;
  json["upload_id"] = upload.upload_id;
  json["node_number"] = upload.node_number;
  json["store_path"] = upload.store_path;
  if (upload.size_bytes.has_value()) json["size_bytes"] = *upload.size_bytes;
  json["received_bytes"] = upload.received_bytes;
  if (!upload.extension.empty()) json["extension"] = upload.extension;
  if (!upload.owner.empty()) json["owner"] = upload.owner;
  json["create_time"] = FormatUtc(upload.create_time);
  json["expire_time"] = FormatUtc(upload.expire_time);
  return json;
}

// Without fractions, which nobody reads.
std::string AgeOf(const client::OpenUpload& upload, absl::Time now) {
  return FormatSpan(
      std::max(absl::Floor(now - upload.create_time, absl::Seconds(1)),
               absl::ZeroDuration()));
}

void Print(const std::vector<client::OpenUpload>& uploads, Session* session) {
  if (session->json()) {
    for (const client::OpenUpload& upload : uploads) {
      session->PrintJson(ToJson(upload));
    }
    return;
  }
  const absl::Time now = session->environment().clock->Now();
  Table table("lrrrll");
  table.AddRow({"UPLOAD", "SIZE", "RECEIVED", "AGE", "REMOVED", "OWNER"});
  for (const client::OpenUpload& upload : uploads) {
    table.AddRow(
        {upload.upload_id,
         upload.size_bytes.has_value() ? FormatBytes(*upload.size_bytes) : "?",
         FormatBytes(upload.received_bytes), AgeOf(upload, now),
         FormatUtc(upload.expire_time),
         upload.owner.empty() ? "-" : upload.owner});
  }
  if (!uploads.empty()) session->Write(table.ToString());
  session->Say(Count(static_cast<int64_t>(uploads.size()), "open upload"));
}

}  // namespace

ExitCode RunUploads(const UploadsFlags& flags, Session* session) {
  if (session->flags().print_grpcurl) {
    return session->Fail(UsageError(
        "--print-grpcurl: each call carries a proof that grpcurl cannot make"));
  }
  const absl::StatusOr<std::vector<CatalogGroup>> groups =
      FindCatalogs(flags.catalog, session);
  if (!groups.ok()) return session->Fail(groups.status());
  // An upload is at one member: each of them is asked, and once.
  std::vector<std::unique_ptr<client::Catalog>> catalogs;
  std::vector<client::Catalog*> borrowed;
  std::vector<std::string> addresses;
  for (const CatalogGroup& group : *groups) {
    for (const std::string& member : group.options.members) {
      client::CatalogOptions options = group.options;
      options.members = {member};
      options.stall_timeout = QueryTimeout(*session);
      options.patience = absl::ZeroDuration();
      catalogs.push_back(std::make_unique<client::Catalog>(std::move(options)));
      borrowed.push_back(catalogs.back().get());
      addresses.push_back(member);
    }
  }
  const CancelOnInterrupt cancel(session->environment().interrupt, borrowed);
  ExitCode exit = kExitOk;
  std::vector<client::OpenUpload> uploads;
  for (size_t i = 0; i < catalogs.size(); ++i) {
    absl::StatusOr<std::vector<client::OpenUpload>> open =
        catalogs[i]->ListUploads(
            flags.store_path < 0
                ? absl::nullopt
                : absl::make_optional(static_cast<uint32_t>(flags.store_path)));
    if (session->environment().interrupt->raised()) return kExitInterrupted;
    if (!open.ok()) {
      Json json;
      json["node"] = addresses[i];
      exit =
          Combine(exit, session->FailItem(open.status(), addresses[i], json));
      continue;
    }
    std::move(open->begin(), open->end(), std::back_inserter(uploads));
  }
  std::stable_sort(
      uploads.begin(), uploads.end(),
      [](const client::OpenUpload& a, const client::OpenUpload& b) {
        return a.create_time < b.create_time;
      });
  Print(uploads, session);
  return exit;
}

ExitCode RunUploadsAbort(const UploadsAbortFlags& flags, Session* session) {
  if (session->flags().print_grpcurl) {
    for (const std::string& id : flags.upload_ids) {
      Json request;
      request["uploadId"] = id;
      session->Write(NodeOfUpload(*session, id));
      session->Print(GrpcurlCall(*session, kNodeWord,
                                 "cairn.storage.v1.UploadService/AbortUpload",
                                 request));
    }
    return kExitOk;
  }
  const absl::Status confirmed = Confirm(
      {absl::StrCat(
          Count(static_cast<int64_t>(flags.upload_ids.size()), "upload"),
          " will be removed with all that has arrived.")},
      flags.yes, "", "nothing was removed", session);
  if (!confirmed.ok()) return session->Fail(confirmed);
  const absl::StatusOr<std::unique_ptr<client::Client>> client =
      session->Connect(1, Session::Patience::kPrompt);
  if (!client.ok()) return session->Fail(client.status());
  ExitCode exit = kExitOk;
  for (const std::string& id : flags.upload_ids) {
    if (session->environment().interrupt->raised()) return kExitInterrupted;
    const absl::Status aborted = (*client)->AbortUpload(id, session->timeout());
    Json json;
    json["upload_id"] = id;
    if (!aborted.ok()) {
      exit = Combine(exit, session->FailItem(aborted, id, json));
      continue;
    }
    json["aborted"] = true;
    if (session->json()) session->PrintJson(json);
  }
  return exit;
}

}  // namespace cli
}  // namespace cairn
