// cairn stat: what the cluster knows of files, in the order they were named.

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "clients/cli/attribute_text.h"
#include "clients/cli/commands.h"
#include "clients/cli/format.h"
#include "clients/cli/grpcurl.h"
#include "clients/cli/result_json.h"
#include "clients/cli/window.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace cli {
namespace {

constexpr int kInFlight = 64;

std::string StateName(client::ReplicaState state) {
  switch (state) {
    case client::ReplicaState::kCurrent:
      return "current";
    case client::ReplicaState::kContentMissing:
      return "content_missing";
    case client::ReplicaState::kOtherVersion:
      return "other_version";
    case client::ReplicaState::kAbsent:
      return "absent";
    case client::ReplicaState::kUnreachable:
      break;
  }
  return "unreachable";
}

void AddReplicas(const std::vector<client::Replica>& replicas, Json* json) {
  Json list = Json::array();
  for (const client::Replica& replica : replicas) {
    Json entry;
    entry["node_uuid"] = replica.node_uuid;
    entry["node_name"] = replica.node_name;
    entry["node_number"] = replica.node_number;
    entry["state"] = StateName(replica.state);
    list.push_back(std::move(entry));
  }
  (*json)["replicas"] = std::move(list);
}

void PrintInfo(const client::FileInfo& info, Session* session) {
  Table table("ll");
  table.AddRow({"file_id", info.file_id});
  table.AddRow({"size", absl::StrCat(info.size_bytes, " (",
                                     FormatBytes(info.size_bytes), ")")});
  table.AddRow({"crc32c", FormatCrc(info.crc32c)});
  if (!info.sha256.empty()) {
    table.AddRow({"sha256", absl::BytesToHexString(info.sha256)});
  }
  table.AddRow({"kind", KindName(info.kind)});
  table.AddRow({"created", FormatUtc(info.create_time)});
  if (info.expire_time) {
    table.AddRow({"expires", FormatUtc(*info.expire_time)});
  }
  table.AddRow({"version", VersionText(info)});
  table.AddRow({"origin", absl::StrCat("node ", info.origin_node)});
  for (const auto& [key, value] : info.attributes) {
    table.AddRow({"attribute", AttributeText(key, value)});
  }
  for (const client::Replica& replica : info.replicas) {
    table.AddRow(
        {"replica", absl::StrCat(replica.node_name.empty() ? replica.node_uuid
                                                           : replica.node_name,
                                 " ", StateName(replica.state))});
  }
  session->Write(table.ToString());
}

void PrintGrpcurl(const StatFlags& flags, Session* session) {
  for (const std::string& id : flags.file_ids) {
    Json request;
    request["fileId"] = id;
    request["includeAttributes"] = true;
    if (flags.replicas) request["includeReplicas"] = true;
    session->Write(NodeForFile(*session, id));
    session->Print(GrpcurlCall(*session, kNodeWord,
                               "cairn.storage.v1.FileService/Stat", request));
  }
}

}  // namespace

ExitCode RunStat(const StatFlags& flags, Session* session) {
  if (flags.offline) return RunDecode({flags.file_ids}, session);
  if (session->flags().print_grpcurl) {
    PrintGrpcurl(flags, session);
    return kExitOk;
  }
  std::vector<absl::StatusOr<client::FileInfo>> results(
      flags.file_ids.size(), absl::CancelledError("interrupted"));
  Window window(kInFlight, session->environment().interrupt);
  absl::StatusOr<std::unique_ptr<client::Client>> client =
      session->Connect(1, Session::Patience::kPrompt);
  if (!client.ok()) return session->Fail(client.status());
  client::StatOptions options;
  options.timeout = session->timeout();
  options.include_attributes = true;
  options.include_replicas = flags.replicas;
  for (size_t i = 0; i < results.size() && window.Enter(); ++i) {
    (*client)->StatAsync(
        flags.file_ids[i], options,
        [&, i](absl::StatusOr<client::FileInfo> info) {
          window.Leave([&results, i, info = std::move(info)]() mutable {
            results[i] = std::move(info);
          });
        });
  }
  if (!window.Drain()) return kExitInterrupted;

  ExitCode exit = kExitOk;
  for (size_t i = 0; i < results.size(); ++i) {
    Json json;
    if (!results[i].ok()) {
      json["file_id"] = flags.file_ids[i];
      exit = Combine(exit, session->FailItem(results[i].status(),
                                             flags.file_ids[i], json));
    } else if (session->json()) {
      AddFileInfo(*results[i], &json);
      AddAttributes(results[i]->attributes, &json);
      if (flags.replicas) AddReplicas(results[i]->replicas, &json);
      session->PrintJson(json);
    } else {
      if (i > 0) session->Print("");
      PrintInfo(*results[i], session);
    }
  }
  return exit;
}

}  // namespace cli
}  // namespace cairn
