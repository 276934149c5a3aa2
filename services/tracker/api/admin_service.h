// AdminService: what operators decide.

#ifndef CAIRN_SERVICES_TRACKER_API_ADMIN_SERVICE_H_
#define CAIRN_SERVICES_TRACKER_API_ADMIN_SERVICE_H_

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cairn/tracker/v1/admin_service.grpc.pb.h"
#include "lib/base/clock.h"
#include "services/tracker/api/admin_auth.h"
#include "services/tracker/api/call_observer.h"
#include "services/tracker/core/membership.h"
#include "services/tracker/core/operator_plan.h"

namespace cairn {
namespace tracker {

// Takes decisions one after the other, on a thread that may wait for the disk.
class DecisionTaker {
 public:
  using Planner =
      std::function<absl::StatusOr<OperatorPlan>(const OperatorView&)>;
  using Done = std::function<void(absl::StatusOr<OperatorPlan>)>;

  virtual ~DecisionTaker() = default;

  // Lets `planner` judge, writes down what it decides, and makes it hold. With
  // `dry_run` nothing but the first. `done` runs exactly once, on any thread,
  // with the plan, whose decisions have their time, or with the planner's error
  // or
  //   RESOURCE_EXHAUSTED, UNAVAILABLE  nothing was decided.
  virtual void Decide(Planner planner, bool dry_run, Done done) = 0;
};

// Runs on gRPC threads; nothing in it blocks.
class AdminServiceImpl : public v1::AdminService::CallbackService {
 public:
  // All are borrowed and must outlive the server.
  AdminServiceImpl(Membership* membership, DecisionTaker* taker,
                   std::string cluster_secret, CallObserver* observer,
                   Clock* clock);

  grpc::ServerUnaryReactor* GetChallenge(
      grpc::CallbackServerContext* context,
      const v1::GetChallengeRequest* request,
      v1::GetChallengeResponse* response) override;
  grpc::ServerUnaryReactor* ListDecisions(
      grpc::CallbackServerContext* context,
      const v1::ListDecisionsRequest* request,
      v1::ListDecisionsResponse* response) override;
  grpc::ServerUnaryReactor* SetNode(grpc::CallbackServerContext* context,
                                    const v1::SetNodeRequest* request,
                                    v1::SetNodeResponse* response) override;
  grpc::ServerUnaryReactor* RemoveNode(
      grpc::CallbackServerContext* context,
      const v1::RemoveNodeRequest* request,
      v1::RemoveNodeResponse* response) override;
  grpc::ServerUnaryReactor* RestoreNode(
      grpc::CallbackServerContext* context,
      const v1::RestoreNodeRequest* request,
      v1::RestoreNodeResponse* response) override;
  grpc::ServerUnaryReactor* SetGroup(grpc::CallbackServerContext* context,
                                     const v1::SetGroupRequest* request,
                                     v1::SetGroupResponse* response) override;
  grpc::ServerUnaryReactor* SetClient(grpc::CallbackServerContext* context,
                                      const v1::SetClientRequest* request,
                                      v1::SetClientResponse* response) override;

 private:
  // Checks the proof and has it decided; `account` is filled before the answer.
  grpc::ServerUnaryReactor* Decide(grpc::CallbackServerContext* context,
                                   TrackerMethod method,
                                   absl::string_view method_name,
                                   const std::string& request, bool dry_run,
                                   DecisionTaker::Planner planner,
                                   v1::Account* account);

  Membership* const membership_;
  DecisionTaker* const taker_;
  CallObserver* const observer_;
  AdminAuth auth_;
};

}  // namespace tracker
}  // namespace cairn

#endif  // CAIRN_SERVICES_TRACKER_API_ADMIN_SERVICE_H_
