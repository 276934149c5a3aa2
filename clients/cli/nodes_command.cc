// cairn nodes, cairn node list: every node of the cluster, one line each.

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "clients/cli/cluster_nodes.h"
#include "clients/cli/commands.h"
#include "clients/cli/format.h"
#include "clients/cli/grpcurl.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace cli {
namespace {

// There, and a disk of it has not caught up.
bool IsSyncing(const tracker::v1::Node& node) {
  if (node.state() != tracker::v1::NODE_STATE_ACTIVE) return false;
  for (const tracker::v1::StorePathReport& path : node.report().store_paths()) {
    if (path.syncing()) return true;
  }
  return false;
}

absl::Time HeardAt(const tracker::v1::Node& node) {
  return absl::FromUnixSeconds(node.last_heard_time().seconds());
}

Json ToJson(const tracker::v1::Node& node, bool removed) {
  const tracker::v1::NodeIdentity& identity = node.identity();
  Json json;
  json["name"] = identity.name();
  json["group"] = identity.group();
  json["node_uuid"] = identity.node_uuid();
  json["node_number"] = identity.node_number();
  json["address"] = identity.address();
  json["zone"] = UseOf(node).zone();
  json["version"] = identity.version();
  json["state"] = removed ? "removed" : StateName(node.state());
  const tracker::v1::NodeUse use = UseOf(node);
  json["role"] = RoleName(use.role());
  json["weight"] = use.weight();
  json["priority"] = use.priority();
  json["own_role"] = RoleName(node.report().role());
  json["own_weight"] = node.report().weight();
  json["own_priority"] = node.report().priority();
  json["own_zone"] = identity.zone();
  if (use.has_reserve_percent()) {
    json["reserve_percent"] = use.reserve_percent();
  }
  json["heard_by"] = node.heard_by();
  json["stopping"] = node.report().stopping();
  if (node.has_last_heard_time()) {
    json["last_heard_time"] = FormatUtc(HeardAt(node));
  }
  json["store_paths"] = Json::array();
  for (const tracker::v1::StorePathReport& path : node.report().store_paths()) {
    Json one;
    one["index"] = path.index();
    one["writable"] = path.writable();
    one["readable"] = path.readable();
    one["total_bytes"] = path.total_bytes();
    one["free_bytes"] = path.free_bytes();
    one["reserve_bytes"] = path.reserve_bytes();
    one["files"] = path.files();
    one["syncing"] = path.syncing();
    one["behind_changes"] = path.behind_changes();
    one["missing_contents"] = path.missing_contents();
    one["changes_only_here"] = path.changes_only_here();
    one["under_replicated_changes"] = path.under_replicated_changes();
    json["store_paths"].push_back(one);
  }
  return json;
}

}  // namespace

ExitCode RunNodes(const NodesFlags& flags, Session* session) {
  if (session->flags().print_grpcurl) {
    Json request = Json::object();
    if (!session->flags().storage.empty()) {
      session->Print(GrpcurlCall(*session, AddressWord(*session),
                                 "cairn.storage.v1.NodeService/GetState",
                                 request));
      return kExitOk;
    }
    if (!flags.group.empty()) request["group"] = flags.group;
    session->Print(GrpcurlCall(*session, AddressWord(*session),
                               "cairn.tracker.v1.TrackerService/ListNodes",
                               request));
    return kExitOk;
  }
  const auto nodes = FindNodes(session, flags.group);
  if (!nodes.ok()) return session->Fail(nodes.status());
  absl::StatusOr<tracker::v1::ListDecisionsResponse> decided =
      tracker::v1::ListDecisionsResponse();
  if (flags.with_removed) decided = FindDecisions(session);
  if (!decided.ok()) return session->Fail(decided.status());
  const auto listed = [&](const tracker::v1::Node& node) {
    return flags.group.empty() || flags.group == node.identity().group();
  };
  if (session->json()) {
    for (const tracker::v1::Node& node : nodes->nodes()) {
      session->PrintJson(ToJson(node, /*removed=*/false));
    }
    for (const tracker::v1::Node& node : decided->removed_nodes()) {
      if (listed(node)) session->PrintJson(ToJson(node, /*removed=*/true));
    }
    return kExitOk;
  }
  if (nodes->nodes().empty() && decided->removed_nodes().empty()) {
    session->Say("no node is known; start one: cairn-storage --help");
    return kExitOk;
  }
  Table table("lllllrrrrl");
  table.AddRow({"GROUP", "NAME", "ADDRESS", "STATE", "ROLE", "PATHS", "FILES",
                "FREE", "SIZE", "VERSION"});
  const auto add_row = [&](const tracker::v1::Node& node, bool removed) {
    const NodeSums sums = SumsOf(node);
    const int paths = node.report().store_paths_size();
    const std::string state = removed                    ? "removed"
                              : node.report().stopping() ? "stopping"
                              : IsSyncing(node)          ? "syncing"
                                                : StateName(node.state());
    table.AddRow({node.identity().group(), node.identity().name(),
                  node.identity().address(), state, RoleText(node),
                  sums.writable_paths == paths
                      ? absl::StrCat(paths)
                      : absl::StrCat(sums.writable_paths, "/", paths),
                  absl::StrCat(sums.files), FormatBytes(sums.free_bytes),
                  FormatBytes(sums.total_bytes), node.identity().version()});
  };
  for (const tracker::v1::Node& node : nodes->nodes()) {
    add_row(node, /*removed=*/false);
  }
  for (const tracker::v1::Node& node : decided->removed_nodes()) {
    if (listed(node)) add_row(node, /*removed=*/true);
  }
  session->Write(table.ToString());
  return kExitOk;
}

}  // namespace cli
}  // namespace cairn
