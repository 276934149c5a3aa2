#include "services/tracker/core/node_record.h"

#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/base/uuid.h"
#include "lib/file_id/file_id.h"

namespace cairn {
namespace tracker {
namespace {

constexpr size_t kTextMax = 64;
constexpr size_t kAddressMax = 255;
constexpr size_t kStorePathsMax = 256;

absl::Status Invalid(absl::string_view field, absl::string_view why) {
  return ErrorWithReason(
      absl::StatusCode::kInvalidArgument, ErrorReason::kInvalidField,
      absl::StrCat(field, ": ", why), {{"field", std::string(field)}});
}

absl::Status ValidateUuid(absl::string_view field, absl::string_view text) {
  const absl::StatusOr<Uuid> uuid = Uuid::Parse(text);
  if (!uuid.ok() || uuid->is_nil() || uuid->ToString() != text) {
    return Invalid(field, "must be a UUID in lower-case text form");
  }
  return absl::OkStatus();
}

// Printable and short: it ends up in logs and on terminals.
absl::Status ValidateText(absl::string_view field, absl::string_view text,
                          size_t size_max) {
  if (text.size() > size_max) {
    return Invalid(field, absl::StrCat("longer than ", size_max, " bytes"));
  }
  for (const char c : text) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) {
      return Invalid(field, "contains a control character");
    }
  }
  return absl::OkStatus();
}

absl::Status ValidateAddress(absl::string_view address) {
  CAIRN_RETURN_IF_ERROR(ValidateText("address", address, kAddressMax));
  const size_t colon = address.rfind(':');
  int port = 0;
  if (colon == absl::string_view::npos || colon == 0 ||
      !absl::SimpleAtoi(address.substr(colon + 1), &port) || port < 1 ||
      port > 65535) {
    return Invalid("address", absl::StrCat("`", address,
                                           "` is not host:port; clients would "
                                           "not reach the node"));
  }
  return absl::OkStatus();
}

bool SameUse(const StorePathStatus& a, const StorePathStatus& b) {
  return a.incarnation == b.incarnation && a.space.index == b.space.index &&
         a.space.writable == b.space.writable &&
         a.space.readable == b.space.readable &&
         a.space.syncing == b.space.syncing &&
         // Whether there are any decides what may be done with the node, and
         // must survive the tracker.
         (a.space.files > 0) == (b.space.files > 0) &&
         a.space.reserve_bytes == b.space.reserve_bytes &&
         a.space.total_bytes == b.space.total_bytes;
}

}  // namespace

NodeUse EffectiveUse(const Decisions& decisions, const NodeIdentity& identity,
                     const NodeStatus& status) {
  // All that is said of a node is in this range.
  const auto value = [&](DecisionField field) -> absl::optional<uint32_t> {
    const absl::optional<uint64_t> decided =
        decisions.Value(field, identity.node_uuid);
    if (!decided.has_value()) return absl::nullopt;
    return static_cast<uint32_t>(*decided);
  };
  NodeUse use = {status.role, status.weight, status.priority, identity.zone,
                 value(DecisionField::kNodeReserve)};
  const Decision* const zone =
      decisions.Find(DecisionField::kNodeZone, identity.node_uuid);
  if (zone != nullptr && zone->value.has_value()) use.zone = zone->text;
  if (const auto role = value(DecisionField::kNodeRole); role.has_value()) {
    use.role = RoleOfNumber(*role);
  }
  use.weight = value(DecisionField::kNodeWeight).value_or(use.weight);
  use.priority = value(DecisionField::kNodePriority).value_or(use.priority);
  return use;
}

NodeModel ToModel(const NodeRecord& node) {
  NodeModel model;
  model.uuid = node.identity.node_uuid;
  model.number = node.identity.node_number;
  model.name = node.identity.name;
  model.group = node.identity.group;
  model.zone = node.effective.zone;
  model.address = node.identity.address;
  model.state = node.state;
  model.role = node.effective.role;
  model.stopping = node.status.stopping;
  model.weight = node.effective.weight;
  model.priority = node.effective.priority;
  model.store_paths.reserve(node.status.store_paths.size());
  for (const StorePathStatus& path : node.status.store_paths) {
    model.store_paths.push_back(path.space);
  }
  return model;
}

bool DifferOnlyInSpace(const NodeStatus& a, const NodeStatus& b) {
  if (a.role != b.role || a.weight != b.weight || a.priority != b.priority ||
      a.stopping != b.stopping ||
      a.store_paths.size() != b.store_paths.size()) {
    return false;
  }
  for (size_t i = 0; i < a.store_paths.size(); ++i) {
    if (!SameUse(a.store_paths[i], b.store_paths[i])) return false;
  }
  return true;
}

bool Same(const NodeStatus& a, const NodeStatus& b) {
  if (!DifferOnlyInSpace(a, b)) return false;
  if (a.calls_in_progress != b.calls_in_progress) return false;
  for (size_t i = 0; i < a.store_paths.size(); ++i) {
    const StorePathModel& left = a.store_paths[i].space;
    const StorePathModel& right = b.store_paths[i].space;
    if (left.free_bytes != right.free_bytes || left.files != right.files) {
      return false;
    }
    if (a.store_paths[i].file_bytes != b.store_paths[i].file_bytes ||
        a.store_paths[i].behind_changes != b.store_paths[i].behind_changes ||
        a.store_paths[i].missing_contents !=
            b.store_paths[i].missing_contents ||
        a.store_paths[i].changes_only_here !=
            b.store_paths[i].changes_only_here ||
        a.store_paths[i].under_replicated_changes !=
            b.store_paths[i].under_replicated_changes) {
      return false;
    }
  }
  return true;
}

absl::Status ValidateIdentity(const NodeIdentity& identity) {
  CAIRN_RETURN_IF_ERROR(ValidateUuid("node_uuid", identity.node_uuid));
  CAIRN_RETURN_IF_ERROR(ValidateUuid("cluster_id", identity.cluster_id));
  CAIRN_RETURN_IF_ERROR(ValidateGroupName(identity.group));
  CAIRN_RETURN_IF_ERROR(ValidateText("name", identity.name, kTextMax));
  CAIRN_RETURN_IF_ERROR(ValidateText("zone", identity.zone, kTextMax));
  CAIRN_RETURN_IF_ERROR(ValidateText("version", identity.version, kTextMax));
  return ValidateAddress(identity.address);
}

absl::Status ValidateStatus(const NodeStatus& status) {
  if (status.store_paths.size() > kStorePathsMax) {
    return Invalid("store_paths",
                   absl::StrCat("more than ", kStorePathsMax, " of them"));
  }
  std::set<uint32_t> indexes;
  for (const StorePathStatus& path : status.store_paths) {
    if (path.space.index >= kStorePathsMax ||
        !indexes.insert(path.space.index).second) {
      return Invalid("store_paths.index",
                     absl::StrCat(path.space.index, " is twice there or above ",
                                  kStorePathsMax - 1));
    }
    CAIRN_RETURN_IF_ERROR(
        ValidateText("store_paths.incarnation", path.incarnation, kTextMax));
  }
  return absl::OkStatus();
}

}  // namespace tracker
}  // namespace cairn
