#include "clients/cli/cluster_nodes.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "cairn/storage/v1/node_service.pb.h"
#include "clients/cli/format.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/base/uuid.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace cli {
namespace {

// What the node would have told a tracker.
tracker::v1::Node NodeFromState(const std::string& address,
                                const storage::v1::GetStateResponse& state) {
  tracker::v1::Node node;
  tracker::v1::NodeIdentity* const identity = node.mutable_identity();
  identity->set_node_uuid(state.node_uuid());
  identity->set_node_number(state.node_number());
  identity->set_name(state.name());
  identity->set_group(state.group());
  identity->set_cluster_id(state.cluster_id());
  identity->set_address(address);
  identity->set_version(state.version());
  node.set_state(tracker::v1::NODE_STATE_ACTIVE);
  for (const storage::v1::StorePathStatus& path : state.store_paths()) {
    tracker::v1::StorePathReport* const report =
        node.mutable_report()->add_store_paths();
    report->set_index(path.index());
    report->set_writable(path.state() == storage::v1::STORE_PATH_STATE_ACTIVE);
    report->set_readable(path.state() != storage::v1::STORE_PATH_STATE_OFFLINE);
    report->set_total_bytes(path.total_bytes());
    report->set_free_bytes(path.free_bytes());
    report->set_reserve_bytes(path.reserve_bytes());
    report->set_files(path.files());
    report->set_file_bytes(path.file_bytes());
    report->set_incarnation(path.incarnation());
    report->set_syncing(path.replication().syncing());
  }
  return node;
}

}  // namespace

absl::Duration QueryTimeout(const Session& session) {
  return session.timeout().value_or(kQueryTimeout);
}

absl::StatusOr<tracker::v1::ListNodesResponse> FindNodes(
    Session* session, const std::string& group) {
  CAIRN_RETURN_IF_ERROR(session->RequireAddress());
  NodeQueries* const queries = session->environment().queries;
  const absl::Duration timeout = QueryTimeout(*session);
  const std::string& storage = session->flags().storage;
  if (!storage.empty()) {
    CAIRN_ASSIGN_OR_RETURN(const storage::v1::GetStateResponse state,
                           queries->GetState(storage, timeout));
    tracker::v1::ListNodesResponse nodes;
    if (group.empty() || group == state.group()) {
      *nodes.add_nodes() = NodeFromState(storage, state);
    }
    return nodes;
  }
  std::vector<std::string> errors;
  for (const std::string& tracker : session->flags().trackers) {
    auto nodes = queries->ListNodes(tracker, group, timeout);
    if (nodes.ok()) return nodes;
    errors.push_back(std::string(nodes.status().message()));
  }
  return absl::UnavailableError(
      absl::StrCat("no tracker answers: ", absl::StrJoin(errors, "; ")));
}

absl::StatusOr<tracker::v1::ListDecisionsResponse> FindDecisions(
    Session* session) {
  CAIRN_RETURN_IF_ERROR(session->RequireAddress());
  if (!session->flags().storage.empty()) {
    return tracker::v1::ListDecisionsResponse();
  }
  std::vector<std::string> errors;
  for (const std::string& tracker : session->flags().trackers) {
    auto decisions = session->environment().queries->ListDecisions(
        tracker, QueryTimeout(*session));
    if (decisions.ok()) return decisions;
    if (decisions.status().code() == absl::StatusCode::kUnimplemented) {
      return tracker::v1::ListDecisionsResponse();
    }
    errors.push_back(std::string(decisions.status().message()));
  }
  return absl::UnavailableError(
      absl::StrCat("no tracker answers: ", absl::StrJoin(errors, "; ")));
}

absl::StatusOr<tracker::v1::Node> FindNode(const std::string& wanted,
                                           Session* session) {
  CAIRN_ASSIGN_OR_RETURN(const tracker::v1::ListNodesResponse nodes,
                         FindNodes(session, ""));
  CAIRN_ASSIGN_OR_RETURN(const tracker::v1::ListDecisionsResponse decisions,
                         FindDecisions(session));
  std::vector<tracker::v1::Node> all(nodes.nodes().begin(),
                                     nodes.nodes().end());
  all.insert(all.end(), decisions.removed_nodes().begin(),
             decisions.removed_nodes().end());
  std::vector<tracker::v1::Node> found;
  for (const tracker::v1::Node& node : all) {
    const tracker::v1::NodeIdentity& identity = node.identity();
    if (identity.node_uuid() == wanted) return node;
    if (identity.name() == wanted || identity.address() == wanted) {
      found.push_back(node);
    }
  }
  if (found.size() == 1) return found[0];
  if (found.empty()) {
    // Some tracker may know it by its UUID alone.
    if (Uuid::Parse(wanted).ok()) {
      tracker::v1::Node node;
      node.mutable_identity()->set_node_uuid(wanted);
      return node;
    }
    return ErrorWithReason(
        absl::StatusCode::kNotFound, ErrorReason::kUnknownNode,
        absl::StrCat("no node has the name, UUID or address `", wanted, "`"));
  }
  const std::string uuids = absl::StrJoin(
      found, ", ", [](std::string* out, const tracker::v1::Node& node) {
        absl::StrAppend(out, node.identity().node_uuid());
      });
  return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                         ErrorReason::kInvalidField,
                         absl::StrCat("several nodes are called `", wanted,
                                      "`; say which by its UUID: ", uuids));
}

std::string StateName(tracker::v1::NodeState state) {
  return absl::AsciiStrToLower(
      absl::StripPrefix(tracker::v1::NodeState_Name(state), "NODE_STATE_"));
}

std::string RoleName(tracker::v1::NodeRole role) {
  if (role == tracker::v1::NODE_ROLE_UNSPECIFIED) {
    role = tracker::v1::NODE_ROLE_READ_WRITE;
  }
  return absl::AsciiStrToLower(
      absl::StripPrefix(tracker::v1::NodeRole_Name(role), "NODE_ROLE_"));
}

tracker::v1::NodeUse UseOf(const tracker::v1::Node& node) {
  tracker::v1::NodeUse use;
  if (node.has_effective()) {
    use = node.effective();
    // A tracker of an older version says nothing of it.
    if (use.zone().empty()) use.set_zone(node.identity().zone());
    return use;
  }
  use.set_zone(node.identity().zone());
  use.set_role(node.report().role());
  use.set_weight(node.report().weight());
  use.set_priority(node.report().priority());
  return use;
}

std::string RoleText(const tracker::v1::Node& node) {
  const std::string effective = RoleName(UseOf(node).role());
  const std::string own = RoleName(node.report().role());
  if (own == effective) return own;
  return absl::StrCat(effective, " (own: ", own, ")");
}

Json DecisionJson(const tracker::v1::Decision& decision) {
  Json json;
  json["field"] = absl::AsciiStrToLower(absl::StripPrefix(
      tracker::v1::DecisionField_Name(decision.field()), "DECISION_FIELD_"));
  json["subject"] = decision.subject();
  if (!decision.has_value()) {
    json["value"] = nullptr;
  } else if (decision.field() == tracker::v1::DECISION_FIELD_NODE_ROLE) {
    json["value"] =
        RoleName(static_cast<tracker::v1::NodeRole>(decision.value()));
  } else if (decision.field() == tracker::v1::DECISION_FIELD_NODE_ZONE) {
    json["value"] = decision.text();
  } else if (decision.field() == tracker::v1::DECISION_FIELD_NODE_REMOVED) {
    json["value"] = true;
  } else {
    json["value"] = decision.value();
  }
  json["reason"] = decision.reason();
  json["time"] = FormatUtc(absl::FromUnixMillis(decision.time().unix_ms()));
  return json;
}

NodeSums SumsOf(const tracker::v1::Node& node) {
  NodeSums sums;
  for (const tracker::v1::StorePathReport& path : node.report().store_paths()) {
    sums.total_bytes += path.total_bytes();
    sums.free_bytes +=
        std::max<int64_t>(0, path.free_bytes() - path.reserve_bytes());
    sums.files += path.files();
    sums.file_bytes += path.file_bytes();
    sums.writable_paths += path.writable() ? 1 : 0;
    sums.readable_paths += path.readable() ? 1 : 0;
  }
  return sums;
}

}  // namespace cli
}  // namespace cairn
