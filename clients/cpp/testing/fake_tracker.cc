#include "clients/cpp/testing/fake_tracker.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <chrono>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cairn/tracker/v1/tracker_service.grpc.pb.h"
#include "lib/base/check.h"
#include "lib/base/mutex.h"

namespace cairn {
namespace client {

namespace pb = cairn::tracker::v1;

pb::Node NodeOf(const FakeStorage& storage) {
  pb::Node node;
  const FakeStorage::Options& options = storage.options();
  node.mutable_identity()->set_node_uuid(
      absl::StrFormat("%08x-0000-4000-8000-000000000000", options.node_number));
  node.mutable_identity()->set_node_number(options.node_number);
  node.mutable_identity()->set_name(options.name);
  node.mutable_identity()->set_group(options.group);
  node.mutable_identity()->set_address(storage.address());
  pb::StorePathReport* path = node.mutable_report()->add_store_paths();
  path->set_writable(true);
  path->set_readable(true);
  path->set_total_bytes(int64_t{1} << 40);
  path->set_free_bytes(int64_t{1} << 39);
  node.mutable_report()->set_role(pb::NODE_ROLE_READ_WRITE);
  node.set_state(pb::NODE_STATE_ACTIVE);
  return node;
}

class FakeTracker::Service : public pb::TrackerService::Service {
 public:
  Service() { view_.set_tracker_instance("fake"); }

  grpc::Status WatchCluster(
      grpc::ServerContext* context, const pb::WatchClusterRequest* request,
      grpc::ServerWriter<pb::WatchClusterResponse>* writer) override {
    pb::ClusterView sent;
    pb::WatchClusterResponse response;
    {
      MutexLock lock(&mu_);
      ++watchers_;
      ++watches_;
      changed_.SignalAll();
      sent = view_;
    }
    *response.mutable_snapshot() = sent;
    writer->Write(response);
    for (;;) {
      {
        MutexLock lock(&mu_);
        while (view_.revision() == sent.revision() && !killed_ &&
               !context->IsCancelled()) {
          changed_.WaitWithTimeout(&mu_, absl::Milliseconds(10));
        }
        if (killed_ || context->IsCancelled()) {
          --watchers_;
          changed_.SignalAll();
          return grpc::Status(grpc::StatusCode::UNAVAILABLE, "stopping");
        }
        response.Clear();
        *response.mutable_change() = Difference(sent, view_);
        sent = view_;
      }
      writer->Write(response);
    }
  }

  grpc::Status ListNodes(grpc::ServerContext* context,
                         const pb::ListNodesRequest* request,
                         pb::ListNodesResponse* response) override {
    MutexLock lock(&mu_);
    for (const pb::Node& node : view_.nodes()) {
      if (request->group().empty() ||
          request->group() == node.identity().group()) {
        *response->add_nodes() = node;
      }
    }
    return grpc::Status::OK;
  }

  grpc::Status ListGroups(grpc::ServerContext* context,
                          const pb::ListGroupsRequest* request,
                          pb::ListGroupsResponse* response) override {
    MutexLock lock(&mu_);
    std::map<std::string, pb::Group> groups;
    for (const pb::Node& node : view_.nodes()) {
      pb::Group& group = groups[node.identity().group()];
      group.set_name(node.identity().group());
      group.set_nodes(group.nodes() + 1);
      group.set_active_nodes(group.active_nodes() +
                             (node.state() == pb::NODE_STATE_ACTIVE ? 1 : 0));
      group.set_writable(true);
    }
    for (auto& group : groups) {
      *response->add_groups() = std::move(group.second);
    }
    return grpc::Status::OK;
  }

  static pb::ClusterChange Difference(const pb::ClusterView& before,
                                      const pb::ClusterView& after) {
    pb::ClusterChange change;
    change.set_revision(after.revision());
    std::map<std::string, std::string> old;
    for (const pb::Node& node : before.nodes()) {
      old[node.identity().node_uuid()] = node.SerializeAsString();
    }
    for (const pb::Node& node : after.nodes()) {
      const auto found = old.find(node.identity().node_uuid());
      if (found == old.end() || found->second != node.SerializeAsString()) {
        *change.add_changed_nodes() = node;
      }
      if (found != old.end()) old.erase(found);
    }
    for (const auto& gone : old) change.add_removed_nodes(gone.first);
    *change.mutable_trackers() = after.trackers();
    return change;
  }

  mutable Mutex mu_;
  CondVar changed_;
  pb::ClusterView view_ ABSL_GUARDED_BY(mu_);
  int watchers_ ABSL_GUARDED_BY(mu_) = 0;
  int watches_ ABSL_GUARDED_BY(mu_) = 0;
  bool killed_ ABSL_GUARDED_BY(mu_) = false;
};

struct FakeTracker::Server {
  std::unique_ptr<grpc::Server> server;
};

FakeTracker::FakeTracker()
    : service_(std::make_unique<Service>()), address_("127.0.0.1:0") {
  Restart();
  MutexLock lock(&service_->mu_);
  service_->view_.add_trackers(address_);
}

FakeTracker::~FakeTracker() { Kill(); }

const std::string& FakeTracker::address() const { return address_; }

void FakeTracker::SetNodes(const std::vector<pb::Node>& nodes) {
  MutexLock lock(&service_->mu_);
  service_->view_.clear_nodes();
  for (const pb::Node& node : nodes) *service_->view_.add_nodes() = node;
  service_->view_.set_revision(service_->view_.revision() + 1);
  service_->changed_.SignalAll();
}

void FakeTracker::AddTracker(const std::string& address) {
  MutexLock lock(&service_->mu_);
  service_->view_.add_trackers(address);
  service_->view_.set_revision(service_->view_.revision() + 1);
  service_->changed_.SignalAll();
}

int FakeTracker::watchers() const {
  MutexLock lock(&service_->mu_);
  return service_->watchers_;
}

int FakeTracker::watches() const {
  MutexLock lock(&service_->mu_);
  return service_->watches_;
}

void FakeTracker::AwaitWatchers(int watchers) {
  MutexLock lock(&service_->mu_);
  while (service_->watchers_ < watchers) {
    service_->changed_.Wait(&service_->mu_);
  }
}

void FakeTracker::Kill() {
  if (server_ == nullptr) return;
  {
    MutexLock lock(&service_->mu_);
    service_->killed_ = true;
    service_->changed_.SignalAll();
  }
  server_->server->Shutdown(std::chrono::system_clock::now());
  server_.reset();
}

void FakeTracker::Restart() {
  CAIRN_CHECK(server_ == nullptr);
  {
    MutexLock lock(&service_->mu_);
    service_->killed_ = false;
  }
  server_ = std::make_unique<Server>();
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(address_, grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(service_.get());
  server_->server = builder.BuildAndStart();
  CAIRN_CHECK(server_->server != nullptr && port != 0);
  address_ = absl::StrCat("127.0.0.1:", port);
}

}  // namespace client
}  // namespace cairn
