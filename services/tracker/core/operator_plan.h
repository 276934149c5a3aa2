// What becomes of an operator's wish: the decisions that it takes, or why not,
// and an account of what follows, for the operator to read before or after.
//
// Pure functions of what a tracker knows.

#ifndef CAIRN_SERVICES_TRACKER_CORE_OPERATOR_PLAN_H_
#define CAIRN_SERVICES_TRACKER_CORE_OPERATOR_PLAN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "lib/placement/cluster_model.h"
#include "services/tracker/core/decisions.h"
#include "services/tracker/core/membership.h"

namespace cairn {
namespace tracker {

// Numbers are those after it. See Account in
// proto/cairn/tracker/v1/admin_service.proto.
struct OperatorPlan {
  std::vector<Decision> decisions;  // Without their time.
  std::vector<std::string> sentences;
  std::string group;
  uint32_t members = 0;
  uint32_t writable_members = 0;
  uint32_t readable_members = 0;
  int64_t files_losing_redundancy = 0;
};

// What is neither set nor cleared stays as it is.
struct SetNodeWish {
  std::string node_uuid;
  absl::optional<NodeRole> role;
  absl::optional<uint32_t> weight;
  absl::optional<uint32_t> priority;
  absl::optional<std::string> zone;
  absl::optional<uint32_t> reserve_percent;
  bool clear_role = false;
  bool clear_weight = false;
  bool clear_priority = false;
  bool clear_zone = false;
  bool clear_reserve = false;
  std::string reason;
};

// Of a quota 0 is none: as much as fits.
struct SetGroupWish {
  std::string group;
  absl::optional<uint32_t> weight;
  bool clear_weight = false;
  absl::optional<uint64_t> quota_files;
  absl::optional<uint64_t> quota_bytes;
  std::string reason;
};

struct SetClientWish {
  std::string identity;
  absl::optional<uint64_t> quota_files;
  absl::optional<uint64_t> quota_bytes;
  std::string reason;
};

// Clients that can have decisions. Members of every group are told of all of
// them at once.
inline constexpr size_t kClientsMax = 10000;

// All of them:
//   INVALID_ARGUMENT  INVALID_FIELD; the message says what is allowed.
//   NOT_FOUND         UNKNOWN_NODE or UNKNOWN_GROUP.
absl::StatusOr<OperatorPlan> PlanSetNode(const OperatorView& view,
                                         const SetNodeWish& wish);

//   FAILED_PRECONDITION  LAST_MEMBER, NODE_ACTIVE, NOT_REPLICATED or
//                        TRACKERS_APART; `force` overrules all but the first.
absl::StatusOr<OperatorPlan> PlanRemoveNode(const OperatorView& view,
                                            const std::string& node_uuid,
                                            bool force,
                                            const std::string& reason);

absl::StatusOr<OperatorPlan> PlanRestoreNode(const OperatorView& view,
                                             const std::string& node_uuid,
                                             const std::string& reason);

absl::StatusOr<OperatorPlan> PlanSetGroup(const OperatorView& view,
                                          const SetGroupWish& wish);

//   RESOURCE_EXHAUSTED  OVERLOADED: there are decisions about kClientsMax.
absl::StatusOr<OperatorPlan> PlanSetClient(const OperatorView& view,
                                           const SetClientWish& wish);

}  // namespace tracker
}  // namespace cairn

#endif  // CAIRN_SERVICES_TRACKER_CORE_OPERATOR_PLAN_H_
