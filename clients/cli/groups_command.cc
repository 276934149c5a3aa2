// cairn groups: every group with its room, one line each.

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "clients/cli/cluster_nodes.h"
#include "clients/cli/commands.h"
#include "clients/cli/format.h"
#include "clients/cli/grpcurl.h"
#include "clients/cli/quota_text.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace cli {
namespace {

// From the first tracker that answers; with --storage, that node's group as far
// as the node knows it.
absl::StatusOr<tracker::v1::ListGroupsResponse> FindGroups(Session* session) {
  CAIRN_RETURN_IF_ERROR(session->RequireAddress());
  if (!session->flags().storage.empty()) {
    CAIRN_ASSIGN_OR_RETURN(const tracker::v1::ListNodesResponse nodes,
                           FindNodes(session, ""));
    const NodeSums sums = SumsOf(nodes.nodes(0));
    tracker::v1::ListGroupsResponse groups;
    tracker::v1::Group* const group = groups.add_groups();
    group->set_name(nodes.nodes(0).identity().group());
    group->set_nodes(1);
    group->set_active_nodes(1);
    group->set_total_bytes(sums.total_bytes);
    group->set_free_bytes(sums.free_bytes);
    group->set_files(sums.files);
    group->set_writable(sums.writable_paths > 0);
    group->set_file_bytes(sums.file_bytes);
    CAIRN_ASSIGN_OR_RETURN(
        const storage::v1::GetStateResponse state,
        session->environment().queries->GetState(session->flags().storage,
                                                 QueryTimeout(*session)));
    group->set_quota_files(state.quota().quota_files());
    group->set_quota_bytes(state.quota().quota_bytes());
    return groups;
  }
  std::vector<std::string> errors;
  for (const std::string& tracker : session->flags().trackers) {
    auto groups = session->environment().queries->ListGroups(
        tracker, QueryTimeout(*session));
    if (groups.ok()) return groups;
    errors.push_back(std::string(groups.status().message()));
  }
  return absl::UnavailableError(
      absl::StrCat("no tracker answers: ", absl::StrJoin(errors, "; ")));
}

}  // namespace

ExitCode RunGroups(Session* session) {
  if (session->flags().print_grpcurl) {
    const bool storage = !session->flags().storage.empty();
    session->Print(
        GrpcurlCall(*session, AddressWord(*session),
                    storage ? "cairn.storage.v1.NodeService/GetState"
                            : "cairn.tracker.v1.TrackerService/ListGroups",
                    Json::object()));
    return kExitOk;
  }
  const auto groups = FindGroups(session);
  if (!groups.ok()) return session->Fail(groups.status());
  Table table("lrrrrrl");
  table.AddRow({"GROUP", "NODES", "FILES", "BYTES", "FREE", "SIZE", "UPLOADS"});
  for (const tracker::v1::Group& group : groups->groups()) {
    if (session->json()) {
      Json json;
      json["name"] = group.name();
      json["nodes"] = group.nodes();
      json["active_nodes"] = group.active_nodes();
      json["files"] = group.files();
      json["file_bytes"] = group.file_bytes();
      json["quota_files"] = QuotaJson(group.quota_files());
      json["quota_bytes"] = QuotaJson(group.quota_bytes());
      json["free_bytes"] = group.free_bytes();
      json["total_bytes"] = group.total_bytes();
      json["writable"] = group.writable();
      session->PrintJson(json);
      continue;
    }
    table.AddRow(
        {group.name(), absl::StrCat(group.active_nodes(), "/", group.nodes()),
         FilesOfQuota(group.files(), group.quota_files()),
         BytesOfQuota(group.file_bytes(), group.quota_bytes()),
         FormatBytes(group.free_bytes()), FormatBytes(group.total_bytes()),
         group.writable() ? "yes" : "no"});
  }
  if (!session->json()) session->Write(table.ToString());
  return kExitOk;
}

}  // namespace cli
}  // namespace cairn
