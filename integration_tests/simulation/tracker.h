// A tracker: a machine with a clock and a disk, and the process that runs on
// it, or none. The product's Membership decides; what is made up is how nodes
// and other trackers reach it.
//
//   member ── hello, report … ─▶ Tracker ◀── rounds of exchange ──▶ Tracker
//          ◀── peers, the end ──
//                                   ▲ Decide: an operator

#ifndef CAIRN_INTEGRATION_TESTS_SIMULATION_TRACKER_H_
#define CAIRN_INTEGRATION_TESTS_SIMULATION_TRACKER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cairn/tracker/v1/membership_service.pb.h"
#include "integration_tests/simulation/event_loop.h"
#include "integration_tests/simulation/network.h"
#include "integration_tests/simulation/sim_clock.h"
#include "lib/base/uuid.h"
#include "services/tracker/api/exchange.h"
#include "services/tracker/core/membership.h"
#include "services/tracker/core/operator_plan.h"

namespace cairn {
namespace simulation {

struct TrackerOptions {
  HostId host = 0;
  std::string name;
  Uuid cluster_id;
  double clock_rate = 1;
  absl::Duration clock_offset = absl::ZeroDuration();

  // Told of what must never be.
  std::function<void(const std::string&)> fail;

  // A bug that a test puts in: nobody hears of decisions from others.
  bool keep_decisions = false;
};

// A node's end of its stream to a tracker.
class AttachListener {
 public:
  virtual ~AttachListener() = default;
  virtual void OnPeers(const tracker::v1::GroupPeers& peers) = 0;

  // The last call.
  virtual void OnEnded(const absl::Status& status) = 0;
};

class Tracker;

// A stream. Made by Tracker::Connect().
struct Attachment {
  Tracker* tracker = nullptr;
  std::shared_ptr<Channel> up;
  std::shared_ptr<Channel> down;

  // The node's end. Null: it has ended.
  AttachListener* listener = nullptr;
  absl::Duration heard = absl::ZeroDuration();

  // The tracker's end.
  uint64_t start = 0;  // Of the process that has heard the hello.
  uint64_t id = 0;     // Membership's; 0: none, or it has ended.
  tracker::NodeIdentity identity;
};

// For one thread.
class Tracker : public tracker::MembershipObserver {
 public:
  // All are borrowed.
  Tracker(const TrackerOptions& options, EventLoop* loop, Network* net);
  ~Tracker() override;  // Kill(false).

  // ---- The process. Each does nothing where there is nothing to do.
  void Start();
  void Kill(bool dark);
  void PowerCut();
  bool running() const { return process_ != nullptr; }

  // An empty disk in the place of the old one. The process is not running.
  void Wipe();

  // The other ones, from now on.
  void SetOthers(std::vector<Tracker*> others) { others_ = std::move(others); }

  // ---- For a node at `from`. Its end is ended by Leave(), or by OnEnded().
  std::shared_ptr<Attachment> Connect(HostId from,
                                      const tracker::NodeIdentity& identity,
                                      const tracker::NodeStatus& status,
                                      AttachListener* listener);
  void Report(const std::shared_ptr<Attachment>& attachment,
              const tracker::NodeStatus& status);
  void Leave(const std::shared_ptr<Attachment>& attachment);

  // ---- For operators; the process runs. As AdminService does it.
  using Planner = std::function<absl::StatusOr<tracker::OperatorPlan>(
      const tracker::OperatorView&)>;
  absl::Status Decide(const Planner& planner);

  // Of the process that runs.
  tracker::Membership* membership() { return process_->membership.get(); }
  const std::string& name() const { return options_.name; }
  const std::string& address() const { return address_; }
  HostId host() const { return options_.host; }
  SimClock* clock() { return &clock_; }

  void OnChange() override;

 private:
  // With another tracker, that this one begins.
  struct Rounds {
    uint64_t last = 0;
    bool open = false;
    bool again = false;    // As soon as it is over.
    bool reached = false;  // In the last one.
  };
  struct Process {
    std::unique_ptr<tracker::Membership> membership;
    tracker::ExchangeIdentity identity;
    std::vector<std::shared_ptr<Attachment>> attachments;  // As they came.
    uint64_t told_revision = 0;
    uint64_t seen_revision = 0;
    std::map<const Tracker*, Rounds> rounds;
  };

  // What is on its disk.
  struct SavedDecision {
    tracker::Decision decision;
    bool synced = false;
  };

  void Tick();
  void Save();
  void ExchangeLater(Tracker* other);
  void Exchange(Tracker* other);
  void Answer(Tracker* caller, uint64_t caller_start,
              const tracker::v1::ExchangeSummary& theirs);
  void Welcome(Tracker* answerer, uint64_t answerer_start,
               const tracker::v1::ExchangeSummary& theirs,
               const std::vector<tracker::v1::ExchangePage>& pages);
  void Take(const tracker::v1::ExchangeSummary& theirs,
            const std::vector<tracker::v1::ExchangePage>& pages);

  // Runs `event` at the other process, if it is still that one.
  void SendTo(Tracker* other, std::function<void()> event);

  void Hello(const std::shared_ptr<Attachment>& attachment,
             const tracker::NodeIdentity& identity,
             const tracker::NodeStatus& status);
  void TakeReport(const std::shared_ptr<Attachment>& attachment,
                  const tracker::NodeStatus& status);
  void SendPeers(const std::shared_ptr<Attachment>& attachment);
  void EndThere(const std::shared_ptr<Attachment>& attachment,
                const absl::Status& status);
  void Detach(const std::shared_ptr<Attachment>& attachment);
  void Break(const std::shared_ptr<Attachment>& attachment);
  void Down(const std::shared_ptr<Attachment>& attachment,
            std::function<void(AttachListener*)> event);
  void Up(const std::shared_ptr<Attachment>& attachment,
          std::function<void()> event);

  const TrackerOptions options_;
  EventLoop* const loop_;
  Network* const net_;
  const std::string address_;
  SimClock clock_;
  std::vector<Tracker*> others_;
  uint64_t starts_ = 0;

  std::map<std::string, tracker::NodeRecord> saved_nodes_;
  std::map<tracker::DecisionKey, SavedDecision> saved_decisions_;

  std::unique_ptr<Process> process_;
};

}  // namespace simulation
}  // namespace cairn

#endif  // CAIRN_INTEGRATION_TESTS_SIMULATION_TRACKER_H_
