#include "services/tracker/tracker_server.h"

#include <pthread.h>

#include <algorithm>
#include <deque>
#include <set>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "lib/base/error_reason.h"
#include "lib/base/log.h"
#include "lib/base/mutex.h"
#include "lib/base/status_macros.h"
#include "lib/base/uuid.h"
#include "lib/config/cluster_secret.h"
#include "lib/config/daemon_config.h"
#include "lib/metrics/metrics.h"
#include "lib/metrics/metrics_server.h"
#include "lib/metrics/process_stats.h"
#include "lib/placement/from_proto.h"
#include "lib/rpc/member_auth.h"
#include "lib/rpc/member_proof.h"
#include "lib/rpc/server.h"
#include "lib/rpc/tls.h"
#include "services/tracker/api/admin_service.h"
#include "services/tracker/api/exchange.h"
#include "services/tracker/api/membership_service.h"
#include "services/tracker/api/peer_links.h"
#include "services/tracker/api/tracker_service.h"
#include "services/tracker/config/tracker_config.h"
#include "services/tracker/core/decisions.h"
#include "services/tracker/core/membership.h"
#include "services/tracker/core/operator_plan.h"
#include "services/tracker/core/state_store.h"
#include "services/tracker/state/rocksdb_state_store.h"
#include "services/tracker/tracker_metrics.h"

namespace cairn {
namespace tracker {
namespace {

// What the configuration says, or what was in force last.
absl::StatusOr<PlacementPolicy> ChoosePolicy(const TrackerConfig& config,
                                             StateStore* store) {
  if (config.has_policy()) {
    const PlacementPolicy policy = PolicyFromProto(config.policy());
    CAIRN_RETURN_IF_ERROR(store->SavePolicy(policy));
    return policy;
  }
  CAIRN_ASSIGN_OR_RETURN(const absl::optional<PlacementPolicy> saved,
                         store->LoadPolicy());
  return saved.value_or(PlacementPolicy());
}

// Decisions that may wait for the disk; an operator takes one at a time.
constexpr size_t kDecisionsWaitingMax = 100;

class Server : public TrackerServer,
               private MembershipObserver,
               private DecisionTaker {
 public:
  Server(const TrackerConfig& config, std::string secret,
         std::shared_ptr<rpc::Tls> tls, Clock* clock)
      : config_(config),
        tls_(std::move(tls)),
        secret_(std::move(secret)),
        clock_(clock) {}

  ~Server() override { Stop(); }

  absl::Status Open(FileSystem* fs) {
    CAIRN_RETURN_IF_ERROR(
        WithContext(CreateDirectories(fs, config_.data_dir()), "data_dir"));
    CAIRN_ASSIGN_OR_RETURN(
        store_,
        OpenRocksDbStateStore(absl::StrCat(config_.data_dir(), "/state"),
                              config_.cluster_id()));
    CAIRN_ASSIGN_OR_RETURN(PlacementPolicy policy,
                           ChoosePolicy(config_, store_.get()));
    CAIRN_ASSIGN_OR_RETURN(std::vector<NodeRecord> known, store_->LoadNodes());
    const size_t known_nodes = known.size();
    CAIRN_ASSIGN_OR_RETURN(const std::vector<Decision> decisions,
                           store_->LoadDecisions());

    TrackerIdentity identity;
    identity.instance = Uuid::Random().ToString();
    MembershipOptions options;
    options.cluster_id = config_.cluster_id();
    options.tracker_instance = identity.instance;
    options.suspect_after = FromProto(config_.suspect_after());
    options.offline_after = FromProto(config_.offline_after());
    membership_ =
        std::make_unique<Membership>(std::move(options), std::move(policy),
                                     std::move(known), decisions, clock_);

    tracker_service_ = std::make_unique<TrackerServiceImpl>(
        membership_.get(), &metrics_, RandomUint64());
    MembershipServiceOptions attach;
    attach.cluster_secret = secret_;
    membership_service_ = std::make_unique<MembershipServiceImpl>(
        membership_.get(), std::move(attach), &metrics_, clock_);
    admin_service_ = std::make_unique<AdminServiceImpl>(
        membership_.get(), static_cast<DecisionTaker*>(this), secret_,
        &metrics_, clock_);
    membership_->SetObserver(this);
    rpc::MemberSessionsOptions members;
    members.cluster_secret = secret_;
    members.cluster_id = rpc::CanonicalUuid(config_.cluster_id());
    member_auth_ = std::make_unique<rpc::MemberAuthServer>(std::move(members),
                                                           clock_, &registry_);

    rpc::RpcServerOptions rpc_options;
    rpc_options.listen.assign(config_.listen().begin(), config_.listen().end());
    rpc_options.admin_listen = config_.admin_listen();
    rpc_options.tls = tls_;
    CAIRN_ASSIGN_OR_RETURN(
        rpc_,
        rpc::RpcServer::Start(
            rpc_options,
            {{v1::TrackerService::service_full_name(), tracker_service_.get()},
             {v1::MembershipService::service_full_name(),
              membership_service_.get()},
             {v1::AdminService::service_full_name(), admin_service_.get()},
             member_auth_->service()}));

    advertised_ = config_.advertise().empty() ? rpc_->addresses().front()
                                              : config_.advertise();
    membership_->SetTrackerAddress(advertised_);
    PeerLinksOptions links;
    links.tls = tls_;
    links.identity = {secret_, config_.cluster_id(), identity.instance,
                      advertised_};
    membership_service_->exchanges()->Open(links.identity);
    identity.trackers = {advertised_};
    const std::set<std::string> others(config_.trackers().begin(),
                                       config_.trackers().end());
    for (const std::string& other : others) {
      if (other != advertised_) identity.trackers.push_back(other);
    }
    links.peers.assign(identity.trackers.begin() + 1, identity.trackers.end());
    // A word from another tracker must be fresh before the next one is due.
    links.interval = std::min(FromProto(config_.exchange_interval()),
                              FromProto(config_.suspect_after()) / 3);
    peer_links_ = std::make_unique<PeerLinks>(std::move(links),
                                              membership_.get(), &metrics_);
    tracker_service_->Open(std::move(identity));

    AddProcessMetrics(&registry_);
    rpc::AddTlsMetrics(tls_.get(), &registry_);
    registry_.AddRefresh([this] {
      metrics_.Set(membership_->Counts(), tracker_service_->watchers(),
                   membership_->revision(), tracker_service_->snapshots(),
                   peer_links_->reached());
    });
    if (!config_.metrics_listen().empty()) {
      CAIRN_ASSIGN_OR_RETURN(
          metrics_server_,
          MetricsServer::Start(config_.metrics_listen(), &registry_));
      metrics_address_ = metrics_server_->address();
    }

    ticker_ = std::thread([this] {
      pthread_setname_np(pthread_self(), "ticker");
      Tick();
    });
    peer_links_->Start();
    rpc_->SetReady(true);
    CAIRN_LOG(kInfo, "tracker",
              "serving name={} address={} cluster={} known_nodes={} "
              "decisions={}",
              config_.name(), advertised_, config_.cluster_id(), known_nodes,
              decisions.size());
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
  size_t active_nodes() const override { return membership_->Counts().active; }
  const MetricsRegistry& metrics() const override { return registry_; }

  void Stop() override ABSL_LOCKS_EXCLUDED(mu_) {
    {
      MutexLock lock(&mu_);
      if (stopping_) return;
      stopping_ = true;
      wake_.Signal();
    }
    // It calls what is stopped below.
    if (peer_links_ != nullptr) peer_links_->Stop();
    if (rpc_ != nullptr) {
      rpc_->SetReady(false);
      // The streams never end by themselves.
      tracker_service_->Stop();
      membership_service_->Stop();
      // Other calls are answered where they arrive.
      rpc_->Stop(stop_grace(), [this] {
        return tracker_service_->watchers() == 0 &&
               membership_service_->streams() == 0;
      });
    }
    if (ticker_.joinable()) ticker_.join();
    metrics_server_.reset();
    if (membership_ != nullptr) Save();
    store_.reset();
    CAIRN_LOG(kInfo, "tracker", "stopped name={}", config_.name());
  }

 private:
  void OnChange() override {
    membership_service_->OnChange();
    tracker_service_->OnChange();
  }

  void Tick() ABSL_LOCKS_EXCLUDED(mu_) {
    const absl::Duration interval = std::min(
        absl::Milliseconds(100), FromProto(config_.suspect_after()) / 10);
    while (true) {
      std::deque<Waiting> waiting;
      bool stopping = false;
      {
        MutexLock lock(&mu_);
        if (!stopping_ && waiting_.empty()) {
          wake_.WaitWithTimeout(&mu_, interval);
        }
        waiting.swap(waiting_);
        stopping = stopping_;
      }
      for (Waiting& one : waiting) {
        one.done(stopping ? Stopping() : TakeDecision(one));
      }
      if (stopping) return;  // Decide() lets nothing in any more.
      membership_service_->Tick(membership_->Tick());
      Save();
    }
  }

  // A decision on its way to the ticker, which owns the store.
  struct Waiting {
    Planner planner;
    bool dry_run = false;
    Done done;
  };

  static absl::Status Stopping() {
    return ErrorWithReason(absl::StatusCode::kUnavailable,
                           ErrorReason::kShuttingDown,
                           "this tracker is stopping; ask another one");
  }

  void Decide(Planner planner, bool dry_run, Done done) override
      ABSL_LOCKS_EXCLUDED(mu_) {
    absl::Status refused;
    {
      MutexLock lock(&mu_);
      if (stopping_) {
        refused = Stopping();
      } else if (waiting_.size() >= kDecisionsWaitingMax) {
        refused = ErrorWithReason(absl::StatusCode::kResourceExhausted,
                                  ErrorReason::kOverloaded,
                                  "too many decisions at once; try again");
      } else {
        waiting_.push_back({std::move(planner), dry_run, std::move(done)});
        wake_.Signal();
        return;
      }
    }
    done(refused);
  }

  // Writes down what is decided before it holds and before it is told: what an
  // operator was answered must not be gone with the power.
  absl::StatusOr<OperatorPlan> TakeDecision(const Waiting& waiting) {
    OperatorView view = membership_->ViewForOperators();
    view.trackers_apart = peer_links_->apart();
    CAIRN_ASSIGN_OR_RETURN(OperatorPlan plan, waiting.planner(view));
    if (view.decisions.all().size() + plan.decisions.size() >
        membership_->options().decisions_max) {
      return ErrorWithReason(
          absl::StatusCode::kResourceExhausted, ErrorReason::kOverloaded,
          absl::StrCat("this tracker keeps ", view.decisions.all().size(),
                       " decisions and takes no more"));
    }
    plan.decisions = membership_->Stamp(std::move(plan.decisions));
    if (waiting.dry_run || plan.decisions.empty()) return plan;
    CAIRN_RETURN_IF_ERROR(
        WithContext(store_->SaveDecisions(plan.decisions, /*synced=*/true),
                    "nothing was decided, since it cannot be written down"));
    membership_->MergeDecisions(plan.decisions, /*saved=*/true);
    peer_links_->ExchangeSoon();
    return plan;
  }

  // A tracker that cannot save goes on; it only forgets more with a restart.
  void Save() {
    const std::vector<NodeRecord> nodes = membership_->TakeUnsaved();
    const std::vector<Decision> decisions = membership_->TakeUnsavedDecisions();
    absl::Status saved = store_->SaveNodes(nodes);
    if (!saved.ok()) membership_->KeepUnsaved(nodes);
    const absl::Status decided =
        store_->SaveDecisions(decisions, /*synced=*/false);
    if (!decided.ok()) membership_->KeepUnsavedDecisions(decisions);
    saved.Update(decided);
    if (!saved.ok()) {
      metrics_.save_failures->Add();
      if (!save_failing_) {
        CAIRN_LOG(kError, "tracker",
                  "cannot save what is known, going on without error=\"{}\"",
                  saved);
      }
    } else if (save_failing_) {
      CAIRN_LOG(kInfo, "tracker", "what is known can be saved again");
    }
    save_failing_ = !saved.ok();
  }

  const TrackerConfig config_;
  const std::shared_ptr<rpc::Tls> tls_;  // Null: plain text.
  const std::string secret_;
  Clock* const clock_;
  std::string advertised_;
  std::string metrics_address_;

  MetricsRegistry registry_;
  TrackerMetrics metrics_{&registry_};
  std::unique_ptr<StateStore> store_;  // The ticker's alone once it runs.
  std::unique_ptr<Membership> membership_;
  std::unique_ptr<TrackerServiceImpl> tracker_service_;
  std::unique_ptr<MembershipServiceImpl> membership_service_;
  std::unique_ptr<rpc::MemberAuthServer> member_auth_;
  std::unique_ptr<AdminServiceImpl> admin_service_;
  std::unique_ptr<rpc::RpcServer> rpc_;
  std::unique_ptr<PeerLinks> peer_links_;
  std::unique_ptr<MetricsServer> metrics_server_;  // May be null.
  bool save_failing_ = false;                      // The ticker's alone.

  Mutex mu_;
  CondVar wake_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::deque<Waiting> waiting_ ABSL_GUARDED_BY(mu_);

  std::thread ticker_;  // Runs Tick(). Joined by Stop().
};

}  // namespace

absl::StatusOr<std::unique_ptr<TrackerServer>> TrackerServer::Start(
    const TrackerConfig& config, FileSystem* fs, Clock* clock) {
  const TrackerConfig complete = WithDefaults(config);
  CAIRN_RETURN_IF_ERROR(ValidateConfig(complete));
  CAIRN_ASSIGN_OR_RETURN(std::string secret, ReadClusterSecret(complete, fs));
  CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<rpc::Tls> tls,
                         rpc::OpenTls(complete, fs, clock));
  auto server = std::make_unique<Server>(complete, std::move(secret),
                                         std::move(tls), clock);
  CAIRN_RETURN_IF_ERROR(server->Open(fs));
  return std::unique_ptr<TrackerServer>(std::move(server));
}

}  // namespace tracker
}  // namespace cairn
