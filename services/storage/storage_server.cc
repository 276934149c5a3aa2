#include "services/storage/storage_server.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "lib/base/error_reason.h"
#include "lib/base/executor.h"
#include "lib/base/log.h"
#include "lib/base/mutex.h"
#include "lib/base/status_macros.h"
#include "lib/config/cluster_secret.h"
#include "lib/config/daemon_config.h"
#include "lib/file_id/file_id.h"
#include "lib/metrics/metrics_server.h"
#include "lib/metrics/process_stats.h"
#include "lib/process/version.h"
#include "lib/rpc/member_auth.h"
#include "lib/rpc/server.h"
#include "lib/rpc/tls.h"
#include "services/storage/api/appender_service.h"
#include "services/storage/api/batch_service.h"
#include "services/storage/api/call_context.h"
#include "services/storage/api/catalog_service.h"
#include "services/storage/api/file_service.h"
#include "services/storage/api/node_service.h"
#include "services/storage/api/replica_gate.h"
#include "services/storage/api/sync_service.h"
#include "services/storage/api/upload_service.h"
#include "services/storage/attach/tracker_links.h"
#include "services/storage/config/storage_config.h"
#include "services/storage/core/byte_budget.h"
#include "services/storage/core/job_list.h"
#include "services/storage/core/quotas.h"
#include "services/storage/core/read_through_path.h"
#include "services/storage/core/upkeep.h"
#include "services/storage/node_identity.h"
#include "services/storage/storage_metrics.h"
#include "services/storage/store/engine.h"
#include "services/storage/sync/grpc_peer_transport.h"
#include "services/storage/sync/quota_decisions.h"
#include "services/storage/sync/replication.h"

namespace cairn {
namespace storage {
namespace {

constexpr int kBackgroundThreads = 2;
constexpr size_t kBackgroundQueueMax = 1024;

// Answers of batches that had to wait are made here.
constexpr int kBatchThreads = 2;
constexpr size_t kBatchQueueMax = 65536;

// How other members are known, and know this node.
rpc::MemberSessionsOptions MemberOptions(const std::string& secret,
                                         const NodeIdentity& identity) {
  rpc::MemberSessionsOptions options;
  options.cluster_secret = secret;
  options.cluster_id = identity.cluster_id.ToString();
  options.node_uuid = identity.node_uuid.ToString();
  return options;
}

ReplicaGateOptions GateOptions(const StorageConfig& config,
                               uint32_t node_number,
                               std::function<uint32_t(uint32_t)> changer_of) {
  ReplicaGateOptions options;
  options.default_replicas = config.default_replicas();
  options.patience = FromProto(config.replica_patience());
  options.node_number = node_number;
  options.changer_of = std::move(changer_of);
  return options;
}

UpkeepOptions UpkeepOptionsOf(const StorageConfig& config, JobList* jobs) {
  UpkeepOptions options;
  options.scrubber.bytes_per_second = config.upkeep().scrub_bytes_per_second();
  options.scrubber.pause = FromProto(config.upkeep().scrub_pause());
  options.comparer.interval = FromProto(config.upkeep().comparison_interval());
  options.comparer.names_per_second =
      config.upkeep().comparison_names_per_second();
  options.jobs = jobs;
  return options;
}

class Server : public StorageServer {
 public:
  Server(StorageConfig config, const std::string& secret,
         const NodeIdentity& identity, std::shared_ptr<rpc::Tls> tls,
         FileSystem* fs, Clock* clock)
      : config_(std::move(config)),
        tls_(std::move(tls)),
        secret_(secret),
        fs_(fs),
        clock_(clock),
        codec_(secret),
        budget_(config_.limits().body_bytes_max()),
        quotas_(identity.group),
        node_(identity,
              config_.path_policy() == tracker::v1::PATH_POLICY_MOST_FREE
                  ? PathPolicy::kMostFree
                  : PathPolicy::kRoundRobin,
              &codec_, clock),
        member_auth_(MemberOptions(secret, identity), clock, &registry_),
        replica_gate_([this](uint8_t path) { return replication_->at(path); },
                      GateOptions(config_, identity.node_number,
                                  [this](uint32_t origin) {
                                    return replication_->ChangerOf(origin);
                                  }),
                      clock) {}

  ~Server() override { Stop(); }

  absl::Status Open() {
    CAIRN_RETURN_IF_ERROR(OpenPaths());
    CAIRN_RETURN_IF_ERROR(StartServing());
    AddMetrics();
    if (!config_.metrics_listen().empty()) {
      CAIRN_ASSIGN_OR_RETURN(
          metrics_server_,
          MetricsServer::Start(config_.metrics_listen(), &registry_));
      metrics_address_ = metrics_server_->address();
    }
    rpc_->SetReady(true);
    replication_->Start();
    AttachToTrackers();
    CAIRN_LOG(kInfo, "storage",
              "serving name={} address={} group={} node_uuid={} "
              "node_number={} store_paths={}",
              config_.name(), advertised_, config_.group(),
              node_.identity().node_uuid, node_.identity().node_number,
              node_.path_count());
    return absl::OkStatus();
  }

  const std::vector<std::string>& addresses() const override {
    return rpc_->addresses();
  }
  const std::string& admin_address() const override {
    return rpc_->admin_address();
  }
  const std::string& metrics_address() const override {
    return metrics_address_;
  }
  const std::string& advertised_address() const override { return advertised_; }
  absl::Duration stop_grace() const override {
    return FromProto(config_.stop_grace());
  }
  const NodeIdentity& identity() const override { return node_.identity(); }
  const MetricsRegistry& metrics() const override { return registry_; }

  void Stop() override ABSL_LOCKS_EXCLUDED(mu_) {
    {
      MutexLock lock(&mu_);
      if (stopped_) return;
      stopped_ = true;
    }
    if (rpc_ != nullptr) {
      rpc_->SetReady(false);
      if (links_ != nullptr) links_->AnnounceStopping();
      stopping_.store(true, std::memory_order_relaxed);
      batch_service_->Stop();
      rpc_->Stop(stop_grace(), [this] {
        return batch_service_->streams() == 0 &&
               api_metrics_.upload.in_flight() == 0 &&
               api_metrics_.download.in_flight() == 0 &&
               api_metrics_.stat.in_flight() == 0 &&
               api_metrics_.remove.in_flight() == 0 &&
               api_metrics_.undelete.in_flight() == 0 &&
               api_metrics_.upload_write.in_flight() == 0 &&
               api_metrics_.upload_finish.in_flight() == 0 &&
               api_metrics_.get_attributes.in_flight() == 0 &&
               api_metrics_.set_attributes.in_flight() == 0 &&
               api_metrics_.set_expiry.in_flight() == 0;
      });
    }
    if (links_ != nullptr) links_->Stop();
    if (replication_ != nullptr) replication_->Stop();
    metrics_server_.reset();
    for (const uint64_t id : refreshes_) registry_.Remove(id);
    node_.Stop();
    // Compaction ends when its path has stopped.
    background_.reset();
    batch_executor_.reset();
    CAIRN_LOG(kInfo, "storage", "stopped name={}", config_.name());
  }

 private:
  absl::Status OpenPaths() {
    const NodeIdentity& identity = node_.identity();
    GrpcPeerTransportOptions transport;
    transport.node_uuid = identity.node_uuid;
    transport.group = identity.group;
    transport.cluster_id = identity.cluster_id.ToString();
    transport.cluster_secret = secret_;
    transport.channel.tls = tls_;
    transport_ = std::make_unique<GrpcPeerTransport>(transport, clock_);
    absl::Status first_error;
    int opened = 0;
    for (int i = 0; i < config_.store_paths_size(); ++i) {
      path_metrics_.push_back(
          std::make_unique<StorePathMetrics>(&registry_, i));
      StorePathOptions options = OptionsOfPath(config_, node_.identity(), i);
      options.quotas = &quotas_;
      StorePathMetrics* const observer = path_metrics_.back().get();
      StorePathHooks hooks;
      hooks.open = [this, options,
                    observer]() -> absl::StatusOr<std::unique_ptr<StorePath>> {
        CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<Engine> engine,
                               OpenStorePath(options, fs_, clock_, observer));
        engine->SetReserve(DecidedReserve());
        ReadThroughPeers peers;
        peers.store_path = static_cast<uint8_t>(options.path_index);
        peers.transport = transport_.get();
        peers.peers = [this, index = peers.store_path] {
          return replication_->at(index)->PeersFor(/*origin_node=*/0);
        };
        peers.peers_known = [this,
                             index = peers.store_path](absl::string_view name) {
          return replication_->at(index)->peers_known() &&
                 replication_->KnowsMakerOf(name);
        };
        peers.waiting_max = std::max(1, options.io_threads - 1);
        return MakeReadThroughPath(std::move(engine), std::move(peers));
      };
      hooks.rebuild =
          [this, options](std::function<void(const JobProgress&)> progress)
          -> absl::Status {
        return RebuildIndex(options, fs_, clock_, std::move(progress)).status();
      };
      const absl::Status status =
          WithContext(node_.AddPath(options.directory, std::move(hooks)),
                      absl::StrCat("store_paths[", i, "]"));
      if (status.ok()) {
        ++opened;
        continue;
      }
      // Somebody else's disk, or one that is in use, is a mistake of whoever
      // started this, not a fault to live with.
      if (status.code() == absl::StatusCode::kFailedPrecondition ||
          status.code() == absl::StatusCode::kInvalidArgument) {
        return status;
      }
      CAIRN_LOG(kError, "storage", "a store path stays offline error=\"{}\"",
                status);
      first_error.Update(status);
    }
    return opened > 0 ? absl::OkStatus() : first_error;
  }

  absl::Status StartServing() {
    background_ = std::make_unique<ThreadPool>("background", kBackgroundThreads,
                                               kBackgroundQueueMax);
    batch_executor_ =
        std::make_unique<ThreadPool>("batch", kBatchThreads, kBatchQueueMax);
    jobs_ = std::make_unique<JobList>(background_.get(), clock_);

    CallContext context;
    context.node = &node_;
    context.budget = &budget_;
    context.replicas = &replica_gate_;
    context.quotas = &quotas_;
    context.default_dedup = config_.default_dedup();
    context.clock = clock_;
    context.metrics = &api_metrics_;
    context.stopping = &stopping_;
    file_service_ = std::make_unique<FileServiceImpl>(
        context, kVersion,
        std::vector<std::string>{v1::FileService::service_full_name(),
                                 v1::AppenderService::service_full_name(),
                                 v1::BatchService::service_full_name(),
                                 v1::CatalogService::service_full_name(),
                                 v1::NodeService::service_full_name(),
                                 v1::SyncService::service_full_name(),
                                 v1::UploadService::service_full_name()});
    upload_service_ = std::make_unique<UploadServiceImpl>(context);
    appender_service_ = std::make_unique<AppenderServiceImpl>(context);
    BatchServiceOptions batch_options;
    batch_options.default_dedup = config_.default_dedup();
    batch_service_ = std::make_unique<BatchServiceImpl>(
        &node_, &budget_, &replica_gate_, clock_, batch_executor_.get(),
        &batch_metrics_, batch_options);
    NodeServiceOptions node_options;
    node_options.version = kVersion;
    node_options.start_time = clock_->Now();
    node_options.clock = clock_;
    node_options.quotas = &quotas_;
    node_options.dead_share_min = config_.engine().compaction_dead_share();
    node_options.replication = [this](uint8_t path) {
      return replication_->at(path)->Progress();
    };
    node_options.upkeep = [this](uint8_t path) {
      return replication_->at(path)->upkeep();
    };
    node_service_ = std::make_unique<NodeServiceImpl>(
        node_options, &node_, jobs_.get(), background_.get());

    replication_ = std::make_unique<Replication>(
        &node_, transport_.get(), UpkeepOptionsOf(config_, jobs_.get()), clock_,
        config_.default_replicas(),
        static_cast<size_t>(config_.trackers_size()));
    sync_service_ = std::make_unique<SyncServiceImpl>(
        context, &member_auth_,
        [this](absl::string_view node_uuid) {
          return replication_->CheckMember(node_uuid);
        },
        [this](uint8_t path) { return replication_->at(path); },
        &sync_metrics_);
    catalog_service_ = std::make_unique<CatalogServiceImpl>(
        context, &member_auth_,
        [this](absl::string_view node_uuid) {
          return replication_->CheckMember(node_uuid);
        },
        [this](uint8_t path) { return replication_->at(path); },
        &catalog_metrics_);

    rpc::RpcServerOptions options;
    options.listen.assign(config_.listen().begin(), config_.listen().end());
    options.admin_listen = config_.admin_listen();
    options.tls = tls_;
    options.memory_bytes_max = config_.limits().rpc_bytes_max();
    options.streams_per_connection_max =
        config_.limits().streams_per_connection_max();
    CAIRN_ASSIGN_OR_RETURN(
        rpc_,
        rpc::RpcServer::Start(
            options,
            {{v1::FileService::service_full_name(), file_service_.get()},
             {v1::AppenderService::service_full_name(),
              appender_service_.get()},
             {v1::BatchService::service_full_name(), batch_service_.get()},
             {v1::CatalogService::service_full_name(), catalog_service_.get()},
             {v1::NodeService::service_full_name(), node_service_.get()},
             {v1::SyncService::service_full_name(), sync_service_.get()},
             {v1::UploadService::service_full_name(), upload_service_.get()},
             member_auth_.service()}));
    advertised_ = config_.advertise().empty() ? rpc_->addresses().front()
                                              : config_.advertise();
    return absl::OkStatus();
  }

  void AddMetrics() {
    AddProcessMetrics(&registry_);
    rpc::AddTlsMetrics(tls_.get(), &registry_);
    refreshes_.push_back(AddBudgetMetrics(&budget_, &registry_));
    Gauge* const attached = registry_.AddGauge(
        "cairn_storage_trackers_attached",
        "Trackers that know the node now. Below the number of trackers for "
        "long: see the log.");
    refreshes_.push_back(registry_.AddRefresh([this, attached] {
      for (size_t i = 0; i < path_metrics_.size(); ++i) {
        const absl::StatusOr<std::shared_ptr<StorePath>> path =
            node_.Path(static_cast<uint32_t>(i));
        if (!path.ok()) {
          path_metrics_[i]->SetOffline();
          continue;
        }
        // The hooks above opened it.
        Engine* const engine = static_cast<Engine*>((*path)->local());
        path_metrics_[i]->Set(engine->Numbers(), engine->Status());
      }
      SetReplicationMetrics();
      upkeep_metrics_.Set(
          [this](size_t path) {
            return replication_->at(static_cast<uint8_t>(path))
                ->upkeep()
                ->Progress();
          },
          node_.path_count());
      double links = 0;
      if (links_ != nullptr) {
        for (const TrackerLinkState& state : links_->States()) {
          if (state.attached) ++links;
        }
      }
      attached->Set(links);
    }));
  }

  void SetReplicationMetrics() {
    double behind = 0;
    double peers_behind = 0;
    double missing = 0;
    double pulls = 0;
    double syncing = 0;
    double only_here = 0;
    double under_replicated = 0;
    double set_aside = 0;
    for (size_t i = 0; i < node_.path_count(); ++i) {
      const ReplicationProgress progress =
          replication_->at(static_cast<uint8_t>(i))->Progress();
      missing += static_cast<double>(progress.missing_contents);
      only_here += static_cast<double>(progress.changes_only_here);
      under_replicated +=
          static_cast<double>(progress.under_replicated_changes);
      if (progress.syncing) ++syncing;
      set_aside += static_cast<double>(progress.set_aside_changes);
      for (const PeerProgress& peer : progress.peers) {
        behind += static_cast<double>(peer.behind_changes);
        peers_behind += static_cast<double>(peer.lag.behind_changes);
        if (peer.pulling) ++pulls;
      }
    }
    replication_behind_->Set(behind);
    replication_peers_behind_->Set(peers_behind);
    replication_missing_->Set(missing);
    replication_pulls_->Set(pulls);
    replication_syncing_->Set(syncing);
    replication_only_here_->Set(only_here);
    replication_under_replicated_->Set(under_replicated);
    replication_set_aside_->Set(set_aside);
  }

  void AttachToTrackers() {
    if (config_.trackers().empty()) {
      replication_->SetAlone();
      return;
    }
    TrackerLinksOptions options;
    options.trackers.assign(config_.trackers().begin(),
                            config_.trackers().end());
    const NodeIdentity& identity = node_.identity();
    options.identity.set_node_uuid(identity.node_uuid.ToString());
    options.identity.set_node_number(identity.node_number);
    options.identity.set_name(identity.name);
    options.identity.set_group(identity.group);
    options.identity.set_cluster_id(identity.cluster_id.ToString());
    options.identity.set_address(advertised_);
    options.identity.set_zone(config_.zone());
    options.identity.set_version(kVersion);
    options.cluster_secret = secret_;
    options.tls = tls_;
    links_ = std::make_unique<TrackerLinks>(
        std::move(options), [this] { return MakeReport(); },
        [this](const std::string& tracker,
               const tracker::v1::GroupPeers& peers) {
          if (peers.has_effective()) SetReserve(peers.effective());
          quota_decisions_.Merge(peers, &quotas_);
          replication_->OnPeers(tracker, peers);
        },
        clock_);
    links_->Start();
  }

  // What operators have decided about the reserve of this node's disks.
  absl::optional<double> DecidedReserve() const {
    const double percent = decided_reserve_percent_.load();
    if (percent < 0) return absl::nullopt;
    return percent;
  }

  void SetReserve(const tracker::v1::NodeUse& use) {
    const double percent = use.has_reserve_percent()
                               ? static_cast<double>(use.reserve_percent())
                               : -1;
    if (decided_reserve_percent_.exchange(percent) == percent) return;
    CAIRN_LOG(kInfo, "storage", "the reserve of all store paths is {}",
              percent < 0 ? "what the configuration says"
                          : absl::StrCat(percent, " %, by decision"));
    for (uint32_t i = 0; i < node_.path_count(); ++i) {
      const absl::StatusOr<std::shared_ptr<StorePath>> path = node_.Path(i);
      if (!path.ok()) continue;  // It is told when it is opened.
      static_cast<Engine*>((*path)->local())->SetReserve(DecidedReserve());
    }
  }

  tracker::v1::NodeReport MakeReport() {
    tracker::v1::NodeReport report;
    uint32_t index = 0;
    for (const StorePathStatus& status : node_.Status()) {
      tracker::v1::StorePathReport* const path = report.add_store_paths();
      const ReplicationProgress progress =
          replication_->at(static_cast<uint8_t>(index))->Progress();
      path->set_syncing(progress.syncing);
      path->set_missing_contents(progress.missing_contents);
      path->set_changes_only_here(progress.changes_only_here);
      path->set_under_replicated_changes(progress.under_replicated_changes);
      uint64_t behind = 0;
      for (const PeerProgress& peer : progress.peers) {
        behind = std::max(behind, peer.behind_changes);
      }
      path->set_behind_changes(behind);
      path->set_index(index++);
      path->set_writable(status.state == StorePathState::kActive);
      path->set_readable(status.state != StorePathState::kOffline);
      path->set_total_bytes(status.total_bytes);
      path->set_free_bytes(status.free_bytes);
      path->set_reserve_bytes(status.reserve_bytes);
      path->set_files(status.files);
      path->set_file_bytes(status.file_bytes);
      if (!status.incarnation.is_nil()) {
        path->set_incarnation(status.incarnation.ToString());
      }
    }
    report.set_role(config_.role());
    report.set_weight(config_.weight());
    report.set_priority(config_.priority());
    report.set_calls_in_progress(static_cast<uint32_t>(
        api_metrics_.upload.in_flight() + api_metrics_.download.in_flight() +
        api_metrics_.stat.in_flight() + api_metrics_.remove.in_flight() +
        api_metrics_.undelete.in_flight() +
        api_metrics_.get_attributes.in_flight() +
        api_metrics_.set_attributes.in_flight() +
        api_metrics_.set_expiry.in_flight()));
    return report;
  }

  const StorageConfig config_;
  const std::shared_ptr<rpc::Tls> tls_;  // Null: plain text.
  const std::string secret_;
  FileSystem* const fs_;
  Clock* const clock_;
  std::string advertised_;
  std::string metrics_address_;

  MetricsRegistry registry_;
  ApiMetrics api_metrics_{&registry_};
  BatchItemMetrics batch_metrics_{&api_metrics_};
  SyncMetrics sync_metrics_{&registry_};
  CatalogMetrics catalog_metrics_{&registry_};
  Gauge* const replication_behind_ = registry_.AddGauge(
      "cairn_storage_replication_behind_changes",
      "Changes that other members have and this node has not, over all store "
      "paths and members. A rise that does not fall: see `cairn status`.");
  Gauge* const replication_peers_behind_ = registry_.AddGauge(
      "cairn_storage_replication_peers_behind_changes",
      "Changes that this node took and other members have not said to have. "
      "While it is above 0, some files have fewer copies than the group has "
      "members.");
  Gauge* const replication_missing_ = registry_.AddGauge(
      "cairn_storage_replication_missing_contents",
      "Files that are known here and whose content is still to be fetched. One "
      "that stays: no member has a good copy, see the log.");
  Gauge* const replication_syncing_ = registry_.AddGauge(
      "cairn_storage_replication_syncing_paths",
      "Store paths that have not caught up with the other members. One that "
      "stays: see `cairn status`.");
  Gauge* const replication_only_here_ = registry_.AddGauge(
      "cairn_storage_replication_only_here_changes",
      "Changes that this node took and that no other member has said to have: "
      "what is lost with its disks. Above 0 for long: no other member "
      "follows.");
  Gauge* const replication_under_replicated_ = registry_.AddGauge(
      "cairn_storage_replication_under_replicated_changes",
      "Changes that this node took and that fewer members have than "
      "default_replicas. Above 0 for long: members are away or cannot follow.");
  Gauge* const replication_pulls_ = registry_.AddGauge(
      "cairn_storage_replication_pulls",
      "Logs of other members that are being pulled. Less than members times "
      "store paths: somebody cannot be reached.");
  Gauge* const replication_set_aside_ = registry_.AddGauge(
      "cairn_storage_replication_set_aside_changes",
      "Changes of other members that could not be applied here. They are tried "
      "again by themselves; NodeService.GetState names them and says why.");
  UpkeepMetrics upkeep_metrics_{&registry_};
  std::vector<std::unique_ptr<StorePathMetrics>> path_metrics_;
  std::vector<uint64_t> refreshes_;
  std::atomic<bool> stopping_{false};                // New calls are refused.
  std::atomic<double> decided_reserve_percent_{-1};  // Below 0: none.

  const FileIdCodec codec_;
  ByteBudget budget_;
  Quotas quotas_;
  QuotaDecisions quota_decisions_;
  StorageNode node_;  // Its paths count in `quotas_`.
  std::unique_ptr<GrpcPeerTransport> transport_;
  std::unique_ptr<JobList> jobs_;
  std::unique_ptr<Replication> replication_;  // Uses `jobs_`.
  rpc::MemberAuthServer member_auth_;
  const ReplicaGate replica_gate_;
  std::unique_ptr<ThreadPool> background_;  // Uses `jobs_`.
  std::unique_ptr<ThreadPool> batch_executor_;
  std::unique_ptr<FileServiceImpl> file_service_;
  std::unique_ptr<AppenderServiceImpl> appender_service_;
  std::unique_ptr<UploadServiceImpl> upload_service_;
  std::unique_ptr<BatchServiceImpl> batch_service_;
  std::unique_ptr<NodeServiceImpl> node_service_;
  std::unique_ptr<SyncServiceImpl> sync_service_;
  std::unique_ptr<CatalogServiceImpl> catalog_service_;
  std::unique_ptr<rpc::RpcServer> rpc_;
  std::unique_ptr<TrackerLinks> links_;            // Null without trackers.
  std::unique_ptr<MetricsServer> metrics_server_;  // May be null.

  Mutex mu_;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<StorageServer>> StorageServer::Start(
    const config::storage::v1::StorageConfig& config, FileSystem* fs,
    Clock* clock) {
  const StorageConfig complete = WithDefaults(config);
  CAIRN_RETURN_IF_ERROR(ValidateConfig(complete));
  CAIRN_ASSIGN_OR_RETURN(const std::string secret,
                         ReadClusterSecret(complete, fs));
  CAIRN_ASSIGN_OR_RETURN(const NodeIdentity identity,
                         FindOrMakeNodeIdentity(complete, fs));
  CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<rpc::Tls> tls,
                         rpc::OpenTls(complete, fs, clock));
  auto server = std::make_unique<Server>(complete, secret, identity,
                                         std::move(tls), fs, clock);
  CAIRN_RETURN_IF_ERROR(server->Open());
  return std::unique_ptr<StorageServer>(std::move(server));
}

}  // namespace storage
}  // namespace cairn
