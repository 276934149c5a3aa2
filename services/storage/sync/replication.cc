#include "services/storage/sync/replication.h"

#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace cairn {
namespace storage {
namespace {

// Between two ticks when nothing calls for one.
constexpr absl::Duration kTick = absl::Milliseconds(100);

}  // namespace

Replication::Replication(StorageNode* node, PeerTransport* transport,
                         const UpkeepOptions& upkeep, Clock* clock,
                         uint32_t replicas, size_t trackers)
    : clock_(clock), members_(node->identity().node_number, trackers) {
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
      members_.Tick(clock_->Monotonic(), replicators_.size(),
                    [this](size_t path, std::vector<Peer> peers, bool all) {
                      SetPeers(path, std::move(peers), all);
                    });
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
  members_.Merge(tracker, peers, clock_->Monotonic(), replicators_.size(),
                 [this](size_t path, std::vector<Peer> members, bool all) {
                   SetPeers(path, std::move(members), all);
                 });
}

void Replication::SetPeers(size_t store_path, std::vector<Peer> peers,
                           bool all_known) {
  replicators_[store_path]->SetPeers(std::move(peers), all_known);
}

void Replication::SetAlone() {
  for (const auto& replicator : replicators_) replicator->SetPeers({});
}

}  // namespace storage
}  // namespace cairn
