// cairn capabilities: what nodes can do, and within which limits.

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "cairn/storage/v1/file_service.pb.h"
#include "clients/cli/cluster_nodes.h"
#include "clients/cli/commands.h"
#include "clients/cli/format.h"
#include "clients/cli/grpcurl.h"
#include "clients/cli/node_queries.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace cli {
namespace {

std::string LastPart(absl::string_view name) {
  return std::string(name.substr(name.rfind('.') + 1));
}

Json ToJson(const tracker::v1::NodeIdentity& node,
            const storage::v1::GetCapabilitiesResponse& can) {
  Json json;
  json["name"] = node.name();
  json["group"] = node.group();
  json["address"] = node.address();
  json["version"] = can.version();
  json["services"] =
      std::vector<std::string>(can.services().begin(), can.services().end());
  json["features"] =
      std::vector<std::string>(can.features().begin(), can.features().end());
  json["attributes_max"] = can.attributes_max();
  json["attribute_key_bytes_max"] = can.attribute_key_bytes_max();
  json["attribute_value_bytes_max"] = can.attribute_value_bytes_max();
  json["batch_content_bytes_max"] = can.batch_content_bytes_max();
  json["batch_message_bytes_max"] = can.batch_message_bytes_max();
  json["chunk_bytes_default"] = can.chunk_bytes_default();
  json["chunk_bytes_max"] = can.chunk_bytes_max();
  json["file_bytes_max"] = can.file_bytes_max();
  return json;
}

std::string ToText(const tracker::v1::NodeIdentity& node,
                   const storage::v1::GetCapabilitiesResponse& can) {
  std::vector<std::string> services;
  for (const std::string& service : can.services()) {
    services.push_back(LastPart(service));
  }
  Table table("ll");
  table.AddRow({"node", absl::StrCat(node.group(), " ", node.name(), " ",
                                     node.address())});
  table.AddRow({"version", can.version()});
  table.AddRow({"services", absl::StrJoin(services, " ")});
  table.AddRow({"features", absl::StrJoin(can.features(), " ")});
  table.AddRow({"attributes",
                absl::StrCat(can.attributes_max(), " of a file, key ",
                             can.attribute_key_bytes_max(), " B, value ",
                             FormatBytes(can.attribute_value_bytes_max()))});
  table.AddRow(
      {"content in a batch", FormatBytes(can.batch_content_bytes_max())});
  table.AddRow(
      {"message of a batch", FormatBytes(can.batch_message_bytes_max())});
  table.AddRow({"chunk", absl::StrCat(FormatBytes(can.chunk_bytes_max()), ", ",
                                      FormatBytes(can.chunk_bytes_default()),
                                      " by default")});
  table.AddRow({"file", FormatBytes(can.file_bytes_max())});
  return table.ToString();
}

}  // namespace

ExitCode RunCapabilities(Session* session) {
  if (session->flags().print_grpcurl) {
    if (session->flags().storage.empty()) {
      session->Print("# of each node that `cairn nodes` lists:");
    }
    session->Print(GrpcurlCall(
        *session,
        session->flags().storage.empty() ? "HOST:PORT" : AddressWord(*session),
        "cairn.storage.v1.FileService/GetCapabilities", Json::object()));
    return kExitOk;
  }
  const auto nodes = FindNodes(session, "");
  if (!nodes.ok()) return session->Fail(nodes.status());
  ExitCode exit = kExitOk;
  bool first = true;
  for (const tracker::v1::Node& node : nodes->nodes()) {
    const tracker::v1::NodeIdentity& identity = node.identity();
    const auto can = session->environment().queries->GetCapabilities(
        identity.address(), QueryTimeout(*session));
    if (!can.ok()) {
      Json json;
      json["name"] = identity.name();
      json["address"] = identity.address();
      exit =
          Combine(exit, session->FailItem(can.status(), identity.name(), json));
      continue;
    }
    if (session->json()) {
      session->PrintJson(ToJson(identity, *can));
      continue;
    }
    if (!first) session->Print("");
    first = false;
    session->Write(ToText(identity, *can));
  }
  return exit;
}

}  // namespace cli
}  // namespace cairn
