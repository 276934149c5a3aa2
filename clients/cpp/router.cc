#include "clients/cpp/router.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/base/uuid.h"
#include "lib/file_id/file_id.h"

namespace cairn {
namespace client {
namespace {

bool Contains(const Tried& tried, absl::string_view uuid) {
  return std::find(tried.begin(), tried.end(), uuid) != tried.end();
}

}  // namespace

absl::Status OriginFailed(const absl::Status& status) {
  if (status.code() != absl::StatusCode::kUnavailable ||
      ReasonOf(status) != ErrorReason::kUnspecified) {
    return status;
  }
  return ErrorWithReason(
      absl::StatusCode::kUnavailable, ErrorReason::kOriginDown,
      absl::StrCat("the node where the file is changed: ", status.message()));
}

Router::Router(absl::string_view zone, MakeNode make_node)
    : zone_(zone),
      make_node_(std::move(make_node)),
      placer_(RandomUint64()),
      routes_(std::make_shared<Routes>(
          Routes{std::make_shared<ClusterModel>(), {}, false})) {}

void Router::UseOnly(absl::string_view address) {
  NodeModel only;
  only.uuid = "storage";
  only.name = std::string(address);
  only.address = std::string(address);
  auto routes = std::make_shared<Routes>();
  routes->model = std::make_shared<ClusterModel>(
      std::vector<NodeModel>{std::move(only)}, PlacementPolicy());
  routes->nodes = {make_node_("storage", address)};
  routes->only_one = true;
  MutexLock lock(&mu_);
  routes_ = std::move(routes);
}

void Router::Update(std::shared_ptr<const ClusterModel> model) {
  const std::shared_ptr<const Routes> before = routes();
  absl::flat_hash_map<std::string, std::shared_ptr<Node>> old;
  for (const std::shared_ptr<Node>& node : before->nodes) {
    old[node->uuid()] = node;
  }
  auto after = std::make_shared<Routes>();
  after->nodes.reserve(model->nodes().size());
  for (const NodeModel& node : model->nodes()) {
    const auto found = old.find(node.uuid);
    if (found != old.end() && found->second->address() == node.address) {
      after->nodes.push_back(found->second);
      old.erase(found);
    } else {
      after->nodes.push_back(make_node_(node.uuid, node.address));
    }
  }
  after->model = std::move(model);
  {
    MutexLock lock(&mu_);
    routes_ = std::move(after);
  }
  for (const auto& gone : old) {
    gone.second->batch()->Shutdown(absl::UnavailableError(absl::StrCat(
        gone.second->address(), " is not the node's address any more")));
  }
}

std::shared_ptr<const Router::Routes> Router::routes() const {
  MutexLock lock(&mu_);
  return routes_;
}

std::shared_ptr<const ClusterModel> Router::model() const {
  return routes()->model;
}

absl::StatusOr<Router::UploadTarget> Router::ForUpload(
    absl::string_view group, absl::optional<int64_t> size_bytes,
    const Tried& tried) {
  const std::shared_ptr<const Routes> now = routes();
  if (now->only_one) {
    if (!tried.empty()) {
      return ErrorWithReason(absl::StatusCode::kUnavailable,
                             ErrorReason::kNoWritableNode,
                             "there is no other node to try");
    }
    return UploadTarget{now->nodes.front(), absl::nullopt};
  }
  UploadQuery query;
  query.group = group;
  query.size_bytes = size_bytes;
  query.zone = zone_;
  query.excluded_nodes = tried;

  // Nodes that failed others a moment ago only if there is nothing else.
  Tried avoided = tried;
  for (const std::shared_ptr<Node>& node : now->nodes) {
    if (node->seems_gone()) avoided.push_back(node->uuid());
  }
  if (avoided.size() > tried.size()) query.excluded_nodes = avoided;
  absl::StatusOr<UploadPlace> place = placer_.PlaceUpload(*now->model, query);
  if (!place.ok() && avoided.size() > tried.size()) {
    query.excluded_nodes = tried;
    place = placer_.PlaceUpload(*now->model, query);
  }
  CAIRN_RETURN_IF_ERROR(place.status());
  UploadTarget target;
  target.node =
      now->nodes[static_cast<size_t>(place->node - now->model->nodes().data())];
  target.store_path = place->store_path;
  return target;
}

absl::StatusOr<Router::UploadTarget> Router::ForDerived(
    absl::string_view master_id, const Tried& tried) {
  CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<Node> node,
                         ForFile(master_id, tried, /*origin_first=*/true));
  return UploadTarget{std::move(node), absl::nullopt};
}

absl::StatusOr<std::shared_ptr<Node>> Router::ForFile(absl::string_view file_id,
                                                      const Tried& tried,
                                                      bool origin_first) {
  const std::shared_ptr<const Routes> now = routes();
  if (now->only_one) {
    if (!tried.empty()) {
      return ErrorWithReason(absl::StatusCode::kUnavailable,
                             ErrorReason::kUnspecified,
                             "there is no other node to try");
    }
    return now->nodes.front();
  }
  CAIRN_ASSIGN_OR_RETURN(const FileIdParts parts, ParseFileId(file_id));
  ReadQuery query;
  query.group = parts.group;
  query.store_path = parts.store_path;
  query.zone = zone_;
  // Without fields (an imported ID) no member is its origin.
  const absl::StatusOr<FileIdFields> fields = DecodeFileName(parts.name);
  if (fields.ok()) query.origin_node = fields->node_number;
  // A tracker that has just begun with an empty disk knows nobody yet, and no
  // group to be the wrong one.
  if (now->model->nodes().empty()) {
    return ErrorWithReason(absl::StatusCode::kUnavailable,
                           ErrorReason::kUnspecified,
                           "no node has joined the cluster yet");
  }
  CAIRN_ASSIGN_OR_RETURN(std::vector<const NodeModel*> order,
                         placer_.ReadOrder(*now->model, query));
  if (origin_first && fields.ok()) {
    std::stable_partition(order.begin(), order.end(),
                          [&fields](const NodeModel* member) {
                            return member->number == fields->node_number;
                          });
  }
  const std::shared_ptr<Node>* fallback = nullptr;
  for (const NodeModel* member : order) {
    const std::shared_ptr<Node>& node =
        now->nodes[static_cast<size_t>(member - now->model->nodes().data())];
    if (Contains(tried, node->uuid())) continue;
    if (!node->seems_gone()) return node;
    if (fallback == nullptr) fallback = &node;
  }
  if (fallback != nullptr) return *fallback;
  return ErrorWithReason(absl::StatusCode::kUnavailable,
                         ErrorReason::kUnspecified,
                         "there is no other member to try");
}

absl::StatusOr<std::shared_ptr<Node>> Router::ForNodeNumber(uint32_t number) {
  const std::shared_ptr<const Routes> now = routes();
  // Its own number is not known; it says itself if the upload is not there.
  if (now->only_one) return now->nodes.front();
  const std::vector<NodeModel>& nodes = now->model->nodes();
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (nodes[i].number == number) return now->nodes[i];
  }
  return ErrorWithReason(
      absl::StatusCode::kNotFound, ErrorReason::kUploadNotFound,
      absl::StrCat("the node with number ", number,
                   ", which the upload is at, is not in the cluster any more: "
                   "begin a new upload"));
}

absl::StatusOr<std::shared_ptr<Node>> Router::ForOrigin(
    absl::string_view file_id, const Tried& tried) {
  const std::shared_ptr<const Routes> now = routes();
  CAIRN_ASSIGN_OR_RETURN(const FileIdParts parts, ParseFileId(file_id));
  const absl::StatusOr<FileIdFields> fields = DecodeFileName(parts.name);
  // An ID that was made elsewhere is of no appender; any member says so.
  if (now->only_one || !fields.ok()) return ForFile(file_id, tried);
  uint32_t changer = fields->node_number;
  {
    MutexLock lock(&mu_);
    const auto known = changers_.find(changer);
    if (known != changers_.end()) changer = known->second;
  }
  absl::string_view why;
  uint32_t last = 0;
  for (const uint32_t number : {fields->node_number, changer}) {
    const NodeModel* const node =
        now->model->FindNodeByNumber(parts.group, number);
    if (node == nullptr) continue;
    last = number;
    const std::shared_ptr<Node>& there =
        now->nodes[static_cast<size_t>(node - now->model->nodes().data())];
    if (Contains(tried, there->uuid())) {
      why = "does not answer";
    } else if (node->state == NodeState::kOffline) {
      why = "is down";
    } else {
      return there;
    }
  }
  if (why.empty()) return ForFile(file_id, tried);
  return ErrorWithReason(
      absl::StatusCode::kUnavailable, ErrorReason::kOriginDown,
      absl::StrCat("node ", last, ", where the file is changed, ", why),
      {{"origin_node", absl::StrCat(last)}});
}

absl::Status Router::NoteRefusal(absl::string_view file_id,
                                 const absl::Status& refusal) {
  if (ReasonOf(refusal) != ErrorReason::kNotOrigin) return refusal;
  const std::shared_ptr<const Routes> now = routes();
  const absl::StatusOr<FileIdParts> parts = ParseFileId(file_id);
  uint32_t changer = 0;
  if (now->only_one || !parts.ok() ||
      !absl::SimpleAtoi(MetadataOf(refusal)["origin_node"], &changer)) {
    return refusal;
  }
  const absl::StatusOr<FileIdFields> fields = DecodeFileName(parts->name);
  if (!fields.ok()) return refusal;
  if (now->model->FindNodeByNumber(parts->group, changer) == nullptr) {
    return ErrorWithReason(
        absl::StatusCode::kUnavailable, ErrorReason::kOriginDown,
        absl::StrCat("node ", changer,
                     ", where the file is changed, is not in the cluster"),
        {{"origin_node", absl::StrCat(changer)}});
  }
  MutexLock lock(&mu_);
  changers_[fields->node_number] = changer;
  return refusal;
}

absl::StatusOr<std::shared_ptr<Node>> Router::ForDescription(
    absl::string_view file_id, const Tried& tried) {
  CAIRN_ASSIGN_OR_RETURN(const FileIdParts parts, ParseFileId(file_id));
  const absl::StatusOr<FileIdFields> fields = DecodeFileName(parts.name);
  const bool appender = fields.ok() && (fields->flags & kFileIdAppender) != 0;
  return appender ? ForOrigin(file_id, tried)
                  : ForFile(file_id, tried, /*origin_first=*/true);
}

std::vector<std::shared_ptr<Node>> Router::AllNodes() const {
  return routes()->nodes;
}

}  // namespace client
}  // namespace cairn
