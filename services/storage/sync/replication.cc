#include "services/storage/sync/replication.h"

#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "lib/base/uuid.h"

namespace cairn {
namespace storage {
namespace {

// Between two ticks when nothing calls for one.
constexpr absl::Duration kTick = absl::Milliseconds(100);

// The tracker that has heard of a node last knows its address best.
bool IsBetter(const tracker::v1::Node& a, const tracker::v1::Node& b) {
  const bool a_active = a.state() == tracker::v1::NODE_STATE_ACTIVE;
  const bool b_active = b.state() == tracker::v1::NODE_STATE_ACTIVE;
  if (a_active != b_active) return a_active;
  return a.last_heard_time().seconds() > b.last_heard_time().seconds();
}

}  // namespace

Replication::Replication(StorageNode* node, PeerTransport* transport,
                         const UpkeepOptions& upkeep, Clock* clock,
                         uint32_t replicas) {
  for (size_t i = 0; i < node->path_count(); ++i) {
    ReplicatorOptions options;
    options.store_path = static_cast<uint8_t>(i);
    options.replicas = replicas;
    options.upkeep = upkeep;
    replicators_.push_back(std::make_unique<Replicator>(
        options,
        [node, i]() -> std::shared_ptr<StorePath> {
          absl::StatusOr<std::shared_ptr<StorePath>> path =
              node->Path(static_cast<uint32_t>(i));
          if (!path.ok()) return nullptr;
          return std::shared_ptr<StorePath>(*path, (*path)->local());
        },
        transport, clock, [this] { Wake(); }));
  }
}

Replication::~Replication() { Stop(); }

void Replication::Start() {
  thread_ = std::thread([this] { Run(); });
}

void Replication::Stop() {
  {
    MutexLock lock(&mu_);
    stop_ = true;
    wake_.SignalAll();
  }
  if (thread_.joinable()) thread_.join();
}

void Replication::Wake() {
  MutexLock lock(&mu_);
  woken_ = true;
  wake_.SignalAll();
}

void Replication::Run() {
  while (true) {
    bool stop;
    {
      MutexLock lock(&mu_);
      if (!woken_ && !stop_) wake_.WaitWithTimeout(&mu_, kTick);
      woken_ = false;
      stop = stop_;
    }
    if (!stop) {
      for (const auto& replicator : replicators_) replicator->Tick();
      continue;
    }
    bool stopped = true;
    for (const auto& replicator : replicators_) {
      if (!replicator->Stop()) stopped = false;
    }
    if (stopped) return;
    MutexLock lock(&mu_);
    if (!woken_) wake_.WaitWithTimeout(&mu_, kTick);
    woken_ = false;
  }
}

void Replication::OnPeers(const std::string& tracker,
                          const tracker::v1::GroupPeers& peers) {
  removed_.Merge(peers);
  std::map<std::string, tracker::v1::Node> best;
  {
    MutexLock lock(&mu_);
    said_[tracker] = peers;
    for (const auto& [name, group] : said_) {
      for (const tracker::v1::Node& node : group.nodes()) {
        const auto [it, added] =
            best.emplace(node.identity().node_uuid(), node);
        if (!added && IsBetter(node, it->second)) it->second = node;
      }
    }
  }
  for (size_t i = 0; i < replicators_.size(); ++i) {
    std::vector<Peer> wanted;
    for (const auto& [text, node] : best) {
      const absl::StatusOr<Uuid> uuid = Uuid::Parse(text);
      if (!uuid.ok() || removed_.IsRemoved(text) ||
          static_cast<int>(i) >= node.report().store_paths_size()) {
        continue;
      }
      Peer peer;
      peer.node_uuid = *uuid;
      peer.node_number = node.identity().node_number();
      peer.name = node.identity().name();
      peer.address = node.identity().address();
      wanted.push_back(std::move(peer));
    }
    replicators_[i]->SetPeers(std::move(wanted));
  }
  removed_.MergeHeirs(peers);
}

void Replication::SetAlone() {
  for (const auto& replicator : replicators_) replicator->SetPeers({});
}

}  // namespace storage
}  // namespace cairn
