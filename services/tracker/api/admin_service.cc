#include "services/tracker/api/admin_service.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/error_reason.h"
#include "lib/base/log.h"
#include "lib/rpc/cluster_auth.h"
#include "lib/rpc/grpc_status.h"
#include "services/tracker/api/convert.h"

namespace cairn {
namespace tracker {
namespace {

// Empty if the caller sent none.
std::string MetadataOf(const grpc::CallbackServerContext& context,
                       const char* key) {
  const auto& metadata = context.client_metadata();
  const auto found = metadata.find(key);
  if (found == metadata.end()) return "";
  return std::string(found->second.data(), found->second.size());
}

v1::Account ToProto(const OperatorPlan& plan) {
  v1::Account account;
  for (const std::string& sentence : plan.sentences) {
    account.add_sentences(sentence);
  }
  for (const Decision& decision : plan.decisions) {
    *account.add_decisions() = tracker::ToProto(decision);
  }
  account.set_group(plan.group);
  account.set_members(plan.members);
  account.set_writable_members(plan.writable_members);
  account.set_readable_members(plan.readable_members);
  account.set_files_losing_redundancy(plan.files_losing_redundancy);
  return account;
}

// A role that is named must be one that is known.
absl::Status CheckRole(const v1::SetNodeRequest& request) {
  if (!request.has_role() || (request.role() >= v1::NODE_ROLE_READ_WRITE &&
                              request.role() <= v1::NODE_ROLE_STANDBY)) {
    return absl::OkStatus();
  }
  return ErrorWithReason(
      absl::StatusCode::kInvalidArgument, ErrorReason::kInvalidField,
      "role: is none that this version knows", {{"field", "role"}});
}

SetNodeWish WishOf(const v1::SetNodeRequest& request) {
  SetNodeWish wish;
  wish.node_uuid = request.node_uuid();
  if (request.has_role()) wish.role = RoleOfNumber(request.role());
  if (request.has_weight()) wish.weight = request.weight();
  if (request.has_priority()) wish.priority = request.priority();
  if (request.has_zone()) wish.zone = request.zone();
  if (request.has_reserve_percent()) {
    wish.reserve_percent = request.reserve_percent();
  }
  wish.clear_zone = request.clear_zone();
  wish.clear_reserve = request.clear_reserve();
  wish.clear_role = request.clear_role();
  wish.clear_weight = request.clear_weight();
  wish.clear_priority = request.clear_priority();
  wish.reason = request.reason();
  return wish;
}

SetGroupWish WishOf(const v1::SetGroupRequest& request) {
  SetGroupWish wish;
  wish.group = request.group();
  if (request.has_weight()) wish.weight = request.weight();
  wish.clear_weight = request.clear_weight();
  if (request.has_quota_files()) wish.quota_files = request.quota_files();
  if (request.has_quota_bytes()) wish.quota_bytes = request.quota_bytes();
  wish.reason = request.reason();
  return wish;
}

SetClientWish WishOf(const v1::SetClientRequest& request) {
  SetClientWish wish;
  wish.identity = request.identity();
  if (request.has_quota_files()) wish.quota_files = request.quota_files();
  if (request.has_quota_bytes()) wish.quota_bytes = request.quota_bytes();
  wish.reason = request.reason();
  return wish;
}

}  // namespace

AdminServiceImpl::AdminServiceImpl(Membership* membership, DecisionTaker* taker,
                                   std::string cluster_secret,
                                   CallObserver* observer, Clock* clock)
    : membership_(membership),
      taker_(taker),
      observer_(observer),
      auth_(std::move(cluster_secret), clock) {}

grpc::ServerUnaryReactor* AdminServiceImpl::GetChallenge(
    grpc::CallbackServerContext* context,
    const v1::GetChallengeRequest* request,
    v1::GetChallengeResponse* response) {
  response->set_challenge(auth_.MakeChallenge());
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  observer_->OnCall(TrackerMethod::kGetChallenge, absl::StatusCode::kOk);
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

grpc::ServerUnaryReactor* AdminServiceImpl::ListDecisions(
    grpc::CallbackServerContext* context,
    const v1::ListDecisionsRequest* request,
    v1::ListDecisionsResponse* response) {
  for (const Decision& decision : membership_->AllDecisions()) {
    if (!decision.value.has_value() && !request->with_taken_back()) continue;
    *response->add_decisions() = tracker::ToProto(decision);
  }
  for (const NodeRecord& node : membership_->ViewForOperators().nodes) {
    if (node.removed) {
      *response->add_removed_nodes() = tracker::ToProto(node);
    }
  }
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  observer_->OnCall(TrackerMethod::kListDecisions, absl::StatusCode::kOk);
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

grpc::ServerUnaryReactor* AdminServiceImpl::Decide(
    grpc::CallbackServerContext* context, TrackerMethod method,
    absl::string_view method_name, const std::string& request, bool dry_run,
    DecisionTaker::Planner planner, v1::Account* account) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  const auto finish = [this, reactor, method](const absl::Status& status) {
    observer_->OnCall(method, status.code());
    reactor->Finish(rpc::ToGrpcStatus(status));
  };
  const absl::Status proved =
      auth_.Check(absl::StrCat("/", v1::AdminService::service_full_name(), "/",
                               method_name),
                  MetadataOf(*context, rpc::kAdminChallengeKey),
                  MetadataOf(*context, rpc::kAdminProofKey), request);
  if (!proved.ok()) {
    finish(proved);
    return reactor;
  }
  const std::string peer = context->peer();
  taker_->Decide(
      std::move(planner), dry_run,
      [finish, account, dry_run, peer](absl::StatusOr<OperatorPlan> plan) {
        if (!plan.ok()) {
          finish(plan.status());
          return;
        }
        if (!dry_run) {
          for (const std::string& sentence : plan->sentences) {
            CAIRN_LOG(kInfo, "tracker", "an operator decides: {} peer={}",
                      sentence, peer);
          }
        }
        *account = ToProto(*plan);
        finish(absl::OkStatus());
      });
  return reactor;
}

grpc::ServerUnaryReactor* AdminServiceImpl::SetNode(
    grpc::CallbackServerContext* context, const v1::SetNodeRequest* request,
    v1::SetNodeResponse* response) {
  return Decide(
      context, TrackerMethod::kSetNode, "SetNode", request->SerializeAsString(),
      request->dry_run(),
      [wish = WishOf(*request), role = CheckRole(*request)](
          const OperatorView& view) -> absl::StatusOr<OperatorPlan> {
        if (!role.ok()) return role;
        return PlanSetNode(view, wish);
      },
      response->mutable_account());
}

grpc::ServerUnaryReactor* AdminServiceImpl::RemoveNode(
    grpc::CallbackServerContext* context, const v1::RemoveNodeRequest* request,
    v1::RemoveNodeResponse* response) {
  return Decide(
      context, TrackerMethod::kRemoveNode, "RemoveNode",
      request->SerializeAsString(), request->dry_run(),
      [uuid = request->node_uuid(), force = request->force(),
       reason = request->reason()](const OperatorView& view) {
        return PlanRemoveNode(view, uuid, force, reason);
      },
      response->mutable_account());
}

grpc::ServerUnaryReactor* AdminServiceImpl::RestoreNode(
    grpc::CallbackServerContext* context, const v1::RestoreNodeRequest* request,
    v1::RestoreNodeResponse* response) {
  return Decide(
      context, TrackerMethod::kRestoreNode, "RestoreNode",
      request->SerializeAsString(), request->dry_run(),
      [uuid = request->node_uuid(),
       reason = request->reason()](const OperatorView& view) {
        return PlanRestoreNode(view, uuid, reason);
      },
      response->mutable_account());
}

grpc::ServerUnaryReactor* AdminServiceImpl::SetGroup(
    grpc::CallbackServerContext* context, const v1::SetGroupRequest* request,
    v1::SetGroupResponse* response) {
  return Decide(
      context, TrackerMethod::kSetGroup, "SetGroup",
      request->SerializeAsString(), request->dry_run(),
      [wish = WishOf(*request)](const OperatorView& view) {
        return PlanSetGroup(view, wish);
      },
      response->mutable_account());
}

grpc::ServerUnaryReactor* AdminServiceImpl::SetClient(
    grpc::CallbackServerContext* context, const v1::SetClientRequest* request,
    v1::SetClientResponse* response) {
  return Decide(
      context, TrackerMethod::kSetClient, "SetClient",
      request->SerializeAsString(), request->dry_run(),
      [wish = WishOf(*request)](const OperatorView& view) {
        return PlanSetClient(view, wish);
      },
      response->mutable_account());
}

}  // namespace tracker
}  // namespace cairn
