#include "services/tracker/api/tracker_service.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/file_id/file_id.h"
#include "lib/rpc/grpc_status.h"

namespace cairn {
namespace tracker {
namespace {

// A watch costs some kilobytes; more watchers than this is not a cluster.
constexpr size_t kWatchesMax = 20000;

absl::Status Stopping() {
  return ErrorWithReason(absl::StatusCode::kUnavailable,
                         ErrorReason::kShuttingDown,
                         "this tracker is stopping; try another one");
}

}  // namespace

// One watcher's stream. Lives from WatchCluster() to OnDone(); the service
// holds it, so that a late OnChange() finds it alive.
class TrackerServiceImpl::Watch
    : public grpc::ServerWriteReactor<v1::WatchClusterResponse>,
      public std::enable_shared_from_this<Watch> {
 public:
  Watch(TrackerServiceImpl* service,
        std::shared_ptr<const TrackerIdentity> identity)
      : service_(service), identity_(std::move(identity)) {}

  // Sends the next message if there is one and none is under way.
  void Next() {
    MutexLock lock(&mu_);
    if (finished_ || writing_) return;
    if (!Fill()) return;
    writing_ = true;
    StartWrite(&response_);
  }

  void End(const absl::Status& status) {
    MutexLock lock(&mu_);
    if (finished_) return;
    finished_ = true;
    service_->observer_->OnCall(TrackerMethod::kWatchCluster, status.code());
    Finish(rpc::ToGrpcStatus(status));
  }

  void OnWriteDone(bool ok) override {
    {
      MutexLock lock(&mu_);
      writing_ = false;
    }
    if (ok) {
      Next();
    } else {
      End(absl::CancelledError("the watcher is gone"));
    }
  }

  void OnCancel() override { End(absl::CancelledError("the watcher is gone")); }

  void OnDone() override {
    {
      // Only to see what the threads before have written.
      MutexLock lock(&mu_);
    }
    service_->Remove(shared_from_this());
  }

 private:
  // Puts the next message into response_; false if there is none.
  bool Fill() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    Membership* membership = service_->membership_;
    if (watching_) {
      const auto changes = membership->ChangesSince(revision_, 1);
      if (changes.has_value()) {
        if (changes->empty()) return false;
        revision_ = changes->front()->revision;
        *response_.mutable_change() = ToProto(*changes->front());
        return true;
      }
      // Too slow: what it missed is in a new snapshot.
    }
    const ClusterSnapshot snapshot = membership->Snapshot();
    watching_ = true;
    revision_ = snapshot.revision;
    *response_.mutable_snapshot() =
        ToProto(snapshot, membership->options(), *identity_);
    service_->CountSnapshot();
    return true;
  }

  TrackerServiceImpl* const service_;
  const std::shared_ptr<const TrackerIdentity> identity_;

  // Taken before the service's and the membership's locks, never after.
  Mutex mu_;
  v1::WatchClusterResponse response_ ABSL_GUARDED_BY(mu_);
  uint64_t revision_ ABSL_GUARDED_BY(mu_) = 0;
  bool watching_ ABSL_GUARDED_BY(mu_) = false;  // Has got a snapshot.
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
};

TrackerServiceImpl::TrackerServiceImpl(Membership* membership,
                                       CallObserver* observer, uint64_t seed)
    : membership_(membership), observer_(observer), placer_(seed) {}

TrackerServiceImpl::~TrackerServiceImpl() {
  MutexLock lock(&mu_);
  CAIRN_CHECK_MSG(watches_.empty(), "the server must be stopped before");
}

grpc::ServerWriteReactor<v1::WatchClusterResponse>*
TrackerServiceImpl::WatchCluster(grpc::CallbackServerContext* context,
                                 const v1::WatchClusterRequest* request) {
  std::shared_ptr<Watch> watch;
  absl::Status refused;
  {
    MutexLock lock(&mu_);
    watch = std::make_shared<Watch>(this, identity_);
    if (stopping_) {
      refused = Stopping();
    } else if (identity_ == nullptr) {
      refused = absl::UnavailableError("this tracker is starting");
    } else if (watches_.size() >= kWatchesMax) {
      refused = ErrorWithReason(
          absl::StatusCode::kResourceExhausted, ErrorReason::kOverloaded,
          absl::StrCat(kWatchesMax,
                       " clients watch this tracker already; try "
                       "another one"));
    }
    // Kept until OnDone() in any case.
    watches_.insert(watch);
  }
  if (refused.ok()) {
    watch->Next();
  } else {
    watch->End(refused);
  }
  return watch.get();
}

void TrackerServiceImpl::Remove(const std::shared_ptr<Watch>& watch) {
  MutexLock lock(&mu_);
  watches_.erase(watch);
}

void TrackerServiceImpl::Open(TrackerIdentity identity) {
  MutexLock lock(&mu_);
  CAIRN_CHECK(identity_ == nullptr);
  identity_ = std::make_shared<const TrackerIdentity>(std::move(identity));
}

void TrackerServiceImpl::OnChange() {
  std::vector<std::shared_ptr<Watch>> watches;
  {
    MutexLock lock(&mu_);
    watches.assign(watches_.begin(), watches_.end());
  }
  for (const auto& watch : watches) watch->Next();
}

void TrackerServiceImpl::Stop() {
  std::vector<std::shared_ptr<Watch>> watches;
  {
    MutexLock lock(&mu_);
    stopping_ = true;
    watches.assign(watches_.begin(), watches_.end());
  }
  for (const auto& watch : watches) watch->End(Stopping());
}

size_t TrackerServiceImpl::watchers() const {
  MutexLock lock(&mu_);
  return watches_.size();
}

uint64_t TrackerServiceImpl::snapshots() const {
  MutexLock lock(&mu_);
  return snapshots_;
}

void TrackerServiceImpl::CountSnapshot() {
  MutexLock lock(&mu_);
  ++snapshots_;
}

grpc::ServerUnaryReactor* TrackerServiceImpl::Finish(
    grpc::CallbackServerContext* context, TrackerMethod method,
    const absl::Status& status) {
  observer_->OnCall(method, status.code());
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(rpc::ToGrpcStatus(status));
  return reactor;
}

grpc::ServerUnaryReactor* TrackerServiceImpl::PlaceUpload(
    grpc::CallbackServerContext* context, const v1::PlaceUploadRequest* request,
    v1::PlaceUploadResponse* response) {
  if (request->has_size_bytes() && request->size_bytes() < 0) {
    return Finish(context, TrackerMethod::kPlaceUpload,
                  ErrorWithReason(absl::StatusCode::kInvalidArgument,
                                  ErrorReason::kInvalidField,
                                  "size_bytes: must be at least 0",
                                  {{"field", "size_bytes"}}));
  }
  UploadQuery query;
  query.group = request->group();
  if (request->has_size_bytes()) query.size_bytes = request->size_bytes();
  query.zone = request->zone();
  const std::vector<std::string> excluded(request->excluded_nodes().begin(),
                                          request->excluded_nodes().end());
  query.excluded_nodes = excluded;

  const auto model = membership_->Model();
  const absl::StatusOr<UploadPlace> place = placer_.PlaceUpload(*model, query);
  if (!place.ok())
    return Finish(context, TrackerMethod::kPlaceUpload, place.status());
  const absl::optional<NodeRecord> node =
      membership_->FindNode(place->node->uuid);
  CAIRN_CHECK(node.has_value());  // Nodes are never forgotten.
  *response->mutable_node() = ToProto(*node);
  response->set_store_path(place->store_path);
  return Finish(context, TrackerMethod::kPlaceUpload, absl::OkStatus());
}

grpc::ServerUnaryReactor* TrackerServiceImpl::Locate(
    grpc::CallbackServerContext* context, const v1::LocateRequest* request,
    v1::LocateResponse* response) {
  const absl::StatusOr<FileIdParts> id = ParseFileId(request->file_id());
  if (!id.ok()) return Finish(context, TrackerMethod::kLocate, id.status());
  ReadQuery query;
  query.group = id->group;
  query.store_path = id->store_path;
  query.zone = request->zone();
  // An imported name says nothing of its origin; then all members are alike.
  const absl::StatusOr<FileIdFields> fields = DecodeFileName(id->name);
  if (fields.ok()) query.origin_node = fields->node_number;

  const auto model = membership_->Model();
  const auto order = placer_.ReadOrder(*model, query);
  if (!order.ok())
    return Finish(context, TrackerMethod::kLocate, order.status());
  for (const NodeModel* member : *order) {
    const absl::optional<NodeRecord> node = membership_->FindNode(member->uuid);
    CAIRN_CHECK(node.has_value());
    *response->add_nodes() = ToProto(*node);
  }
  return Finish(context, TrackerMethod::kLocate, absl::OkStatus());
}

grpc::ServerUnaryReactor* TrackerServiceImpl::ListGroups(
    grpc::CallbackServerContext* context, const v1::ListGroupsRequest* request,
    v1::ListGroupsResponse* response) {
  const auto model = membership_->Model();
  // Of the member that has the most.
  std::map<std::string, int64_t> file_bytes;
  for (const NodeRecord& node : membership_->Snapshot().nodes) {
    int64_t bytes = 0;
    for (const StorePathStatus& path : node.status.store_paths) {
      bytes += path.file_bytes;
    }
    int64_t& most = file_bytes[node.identity.group];
    most = std::max(most, bytes);
  }
  for (const GroupModel& group : model->groups()) {
    v1::Group* out = response->add_groups();
    out->set_name(group.name);
    out->set_nodes(static_cast<uint32_t>(group.members.size()));
    out->set_active_nodes(static_cast<uint32_t>(group.active_members));
    out->set_total_bytes(group.total_bytes);
    out->set_free_bytes(group.free_bytes);
    out->set_files(group.files);
    out->set_writable(GroupTakesUploads(*model, group));
    out->set_file_bytes(file_bytes[group.name]);
    const auto quota = [&](DecisionField field) {
      return membership_->DecidedValue(field, group.name).value_or(0);
    };
    out->set_quota_files(quota(DecisionField::kGroupQuotaFiles));
    out->set_quota_bytes(quota(DecisionField::kGroupQuotaBytes));
  }
  return Finish(context, TrackerMethod::kListGroups, absl::OkStatus());
}

grpc::ServerUnaryReactor* TrackerServiceImpl::ListNodes(
    grpc::CallbackServerContext* context, const v1::ListNodesRequest* request,
    v1::ListNodesResponse* response) {
  std::vector<NodeRecord> nodes = membership_->Snapshot().nodes;
  std::sort(
      nodes.begin(), nodes.end(), [](const NodeRecord& a, const NodeRecord& b) {
        return std::tie(a.identity.group, a.identity.name,
                        a.identity.node_uuid) < std::tie(b.identity.group,
                                                         b.identity.name,
                                                         b.identity.node_uuid);
      });
  for (const NodeRecord& node : nodes) {
    if (!request->group().empty() && node.identity.group != request->group()) {
      continue;
    }
    *response->add_nodes() = ToProto(node);
  }
  return Finish(context, TrackerMethod::kListNodes, absl::OkStatus());
}

}  // namespace tracker
}  // namespace cairn
