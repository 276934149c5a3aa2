// cairn client list: what each client has in each group, and what it may have.

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cairn/storage/v1/node_service.pb.h"
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

// The address of the member of each group that has the most files: what it has
// counted is what the group has, as far as can be known.
absl::StatusOr<std::map<std::string, std::string>> MembersToAsk(
    const std::string& group, Session* session) {
  CAIRN_ASSIGN_OR_RETURN(const tracker::v1::ListNodesResponse nodes,
                         FindNodes(session, group));
  std::map<std::string, std::string> members;
  std::map<std::string, int64_t> most;
  for (const tracker::v1::Node& node : nodes.nodes()) {
    const std::string& name = node.identity().group();
    const auto address = members.emplace(name, "").first;
    const int64_t files = SumsOf(node).files;
    if (node.state() != tracker::v1::NODE_STATE_ACTIVE ||
        (!address->second.empty() && files <= most[name])) {
      continue;
    }
    address->second = node.identity().address();
    most[name] = files;
  }
  return members;
}

// All that there are, in as many answers as it takes.
absl::StatusOr<std::vector<storage::v1::ClientQuota>> ClientsAt(
    const std::string& address, Session* session) {
  std::vector<storage::v1::ClientQuota> clients;
  storage::v1::ListClientsRequest request;
  while (true) {
    CAIRN_ASSIGN_OR_RETURN(const storage::v1::ListClientsResponse answer,
                           session->environment().queries->ListClients(
                               address, request, QueryTimeout(*session)));
    if (answer.clients().empty()) return clients;
    clients.insert(clients.end(), answer.clients().begin(),
                   answer.clients().end());
    request.set_after(clients.back().identity());
  }
}

}  // namespace

ExitCode RunClientList(const ClientListFlags& flags, Session* session) {
  if (session->flags().print_grpcurl) {
    const bool storage = !session->flags().storage.empty();
    if (!storage) {
      session->Print(GrpcurlCall(*session, AddressWord(*session),
                                 "cairn.tracker.v1.TrackerService/ListNodes",
                                 Json::object()));
      session->Print("# and a member of each group of the answer:");
    }
    session->Print(GrpcurlCall(
        *session, storage ? AddressWord(*session) : "HOST:PORT",
        "cairn.storage.v1.NodeService/ListClients", Json::object()));
    return kExitOk;
  }
  const absl::StatusOr<std::map<std::string, std::string>> members =
      MembersToAsk(flags.group, session);
  if (!members.ok()) return session->Fail(members.status());
  ExitCode exit = kExitOk;
  Table table("llrr");
  table.AddRow({"CLIENT", "GROUP", "FILES", "BYTES"});
  int64_t count = 0;
  for (const auto& [group, address] : *members) {
    absl::StatusOr<std::vector<storage::v1::ClientQuota>> clients =
        absl::UnavailableError(
            absl::StrCat("no member of group ", group, " is there"));
    if (!address.empty()) clients = ClientsAt(address, session);
    if (!clients.ok()) {
      Json json;
      json["group"] = group;
      exit = Combine(exit, session->FailItem(clients.status(), group, json));
      continue;
    }
    for (const storage::v1::ClientQuota& client : *clients) {
      const storage::v1::QuotaUse& use = client.use();
      ++count;
      if (session->json()) {
        Json json;
        json["client"] = client.identity();
        json["group"] = group;
        json["files"] = use.files();
        json["bytes"] = use.bytes();
        json["quota_files"] = QuotaJson(use.quota_files());
        json["quota_bytes"] = QuotaJson(use.quota_bytes());
        session->PrintJson(json);
        continue;
      }
      table.AddRow({client.identity(), group,
                    FilesOfQuota(use.files(), use.quota_files()),
                    BytesOfQuota(use.bytes(), use.quota_bytes())});
    }
  }
  if (!session->json() && count > 0) session->Write(table.ToString());
  return exit;
}

}  // namespace cli
}  // namespace cairn
