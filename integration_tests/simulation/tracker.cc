#include "integration_tests/simulation/tracker.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/placement/cluster_model.h"
#include "services/tracker/api/group_peers.h"

namespace cairn {
namespace simulation {

using tracker::Decision;
using tracker::ExchangeIdentity;
using tracker::MakePages;
using tracker::MakeSummary;
using tracker::Membership;
using tracker::MembershipOptions;
using tracker::MergePage;
using tracker::NodeIdentity;
using tracker::NodeRecord;
using tracker::NodeStatus;
using tracker::OperatorPlan;
using tracker::OperatorView;
using tracker::v1::ExchangePage;
using tracker::v1::ExchangeSummary;
using tracker::v1::GroupPeers;

namespace {

constexpr absl::Duration kTick = absl::Milliseconds(200);
constexpr absl::Duration kRoundInterval = absl::Seconds(1);
constexpr absl::Duration kRoundTimeout = absl::Seconds(5);

absl::Status ConnectionBroken() {
  return absl::UnavailableError("the connection is broken");
}

}  // namespace

Tracker::Tracker(const TrackerOptions& options, EventLoop* loop, Network* net)
    : options_(options),
      loop_(loop),
      net_(net),
      address_(absl::StrCat(options.name, ":1")),
      clock_(loop, options.clock_rate, options.clock_offset) {}

Tracker::~Tracker() { Kill(/*dark=*/false); }

void Tracker::Start() {
  if (running()) return;
  ++starts_;
  net_->BackUp(options_.host);
  process_ = std::make_unique<Process>();
  process_->identity.cluster_id = options_.cluster_id.ToString();
  process_->identity.tracker_instance = loop_->DrawUuid().ToString();
  process_->identity.tracker_address = address_;
  MembershipOptions options;
  options.cluster_id = process_->identity.cluster_id;
  options.tracker_instance = process_->identity.tracker_instance;
  options.change_log_max = 16;
  std::vector<NodeRecord> nodes;
  for (const auto& [uuid, node] : saved_nodes_) nodes.push_back(node);
  std::vector<Decision> decisions;
  for (const auto& [key, saved] : saved_decisions_) {
    decisions.push_back(saved.decision);
  }
  loop_->Trace("start ", name(), " with ", nodes.size(), " nodes and ",
               decisions.size(), " decisions");
  process_->membership = std::make_unique<Membership>(
      options, PlacementPolicy(), std::move(nodes), decisions, &clock_);
  membership()->SetTrackerAddress(address_);
  membership()->SetObserver(this);
  Tick();
  for (Tracker* other : others_) ExchangeLater(other);
}

void Tracker::Kill(bool dark) {
  if (!running()) return;
  loop_->Trace("kill ", name(), dark ? ", dark" : "");
  net_->Gone(options_.host, dark);
  for (const auto& attachment : process_->attachments) {
    attachment->id = 0;
    // A machine that is dark sends no reset; the node notices at last.
    if (!dark) Break(attachment);
  }
  process_.reset();
}

void Tracker::PowerCut() {
  Kill(/*dark=*/true);
  for (auto it = saved_decisions_.begin(); it != saved_decisions_.end();) {
    it = !it->second.synced && loop_->Chance(0.5) ? saved_decisions_.erase(it)
                                                  : std::next(it);
  }
}

void Tracker::Wipe() {
  CAIRN_CHECK(!running());
  loop_->Trace("wipe ", name());
  saved_nodes_.clear();
  saved_decisions_.clear();
}

// As TrackerServer does it.
void Tracker::Tick() {
  const std::vector<uint64_t> silent = membership()->Tick();
  const auto attachments = process_->attachments;
  for (const auto& attachment : attachments) {
    for (const uint64_t id : silent) {
      if (attachment->id == id) {
        EndThere(attachment, absl::UnavailableError("no report came in time"));
      }
    }
  }
  Save();
  const uint64_t revision = membership()->revision();
  if (revision < process_->seen_revision) {
    options_.fail(absl::StrCat("the revision of ", name(), " went back from ",
                               process_->seen_revision, " to ", revision));
  }
  process_->seen_revision = revision;
  loop_->After(loop_->Between(kTick / 2, kTick), [this, start = starts_] {
    if (running() && starts_ == start) Tick();
  });
}

void Tracker::Save() {
  for (NodeRecord& node : membership()->TakeUnsaved()) {
    const std::string uuid = node.identity.node_uuid;
    saved_nodes_[uuid] = std::move(node);
  }
  for (Decision& decision : membership()->TakeUnsavedDecisions()) {
    const auto key = decision.key;
    saved_decisions_[key] = {std::move(decision), /*synced=*/false};
  }
}

absl::Status Tracker::Decide(const Planner& planner) {
  OperatorView view = membership()->ViewForOperators();
  for (Tracker* other : others_) {
    if (!process_->rounds[other].reached)
      view.trackers_apart.push_back(other->name());
  }
  CAIRN_ASSIGN_OR_RETURN(OperatorPlan plan, planner(view));
  plan.decisions = membership()->Stamp(std::move(plan.decisions));
  if (plan.decisions.empty()) return absl::OkStatus();
  for (const Decision& decision : plan.decisions) {
    saved_decisions_[decision.key] = {decision, /*synced=*/true};
  }
  membership()->MergeDecisions(plan.decisions, /*saved=*/true);
  for (Tracker* other : others_) Exchange(other);
  return absl::OkStatus();
}

// ---- Other trackers.

void Tracker::SendTo(Tracker* other, std::function<void()> event) {
  net_->Send(options_.host, other->options_.host,
             [other, start = other->starts_, event = std::move(event)] {
               if (other->running() && other->starts_ == start) event();
             });
}

void Tracker::ExchangeLater(Tracker* other) {
  loop_->After(loop_->Between(kRoundInterval * 3 / 4, kRoundInterval * 5 / 4),
               [this, other, start = starts_] {
                 if (!running() || starts_ != start) return;
                 Exchange(other);
                 ExchangeLater(other);
               });
}

void Tracker::Exchange(Tracker* other) {
  Rounds& rounds = process_->rounds[other];
  if (std::exchange(rounds.open, true)) {
    rounds.again = true;
    return;
  }
  const uint64_t round = ++rounds.last;
  const ExchangeSummary mine = MakeSummary(process_->identity, membership());
  SendTo(other, [this, other, start = starts_, mine] {
    other->Answer(this, start, mine);
  });
  loop_->After(kRoundTimeout, [this, other, start = starts_, round] {
    if (!running() || starts_ != start) return;
    Rounds& late = process_->rounds[other];
    if (!late.open || late.last != round) return;
    late.open = false;
    late.reached = false;
  });
}

void Tracker::Answer(Tracker* caller, uint64_t caller_start,
                     const ExchangeSummary& theirs) {
  const absl::Status checked = tracker::CheckSummary(theirs);
  if (!checked.ok()) {
    options_.fail(absl::StrCat(name(), " is told nonsense by ", caller->name(),
                               ": ", checked.ToString()));
    return;
  }
  const ExchangeSummary mine = MakeSummary(process_->identity, membership());
  const std::vector<ExchangePage> pages = MakePages(theirs, membership());
  SendTo(caller, [this, caller, caller_start, start = starts_, mine, pages] {
    if (caller->starts_ != caller_start) return;
    caller->Welcome(this, start, mine, pages);
  });
}

void Tracker::Welcome(Tracker* answerer, uint64_t answerer_start,
                      const ExchangeSummary& theirs,
                      const std::vector<ExchangePage>& pages) {
  Rounds& rounds = process_->rounds[answerer];
  rounds.open = false;
  rounds.reached = true;
  Take(theirs, pages);
  const ExchangeSummary mine = MakeSummary(process_->identity, membership());
  const std::vector<ExchangePage> answer = MakePages(theirs, membership());
  SendTo(answerer, [answerer, answerer_start, mine, answer] {
    if (answerer->starts_ == answerer_start) answerer->Take(mine, answer);
  });
  if (std::exchange(rounds.again, false)) Exchange(answerer);
}

void Tracker::Take(const ExchangeSummary& theirs,
                   const std::vector<ExchangePage>& pages) {
  for (ExchangePage page : pages) {
    if (options_.keep_decisions) page.clear_decisions();
    const size_t refused = MergePage(theirs, page, membership());
    if (refused > 0) {
      options_.fail(absl::StrCat(name(), " passes over ", refused,
                                 " records of ", theirs.address()));
    }
  }
}

// ---- Nodes.

void Tracker::Up(const std::shared_ptr<Attachment>& attachment,
                 std::function<void()> event) {
  if (!net_->SendOver(attachment->up, std::move(event))) Break(attachment);
}

void Tracker::Down(const std::shared_ptr<Attachment>& attachment,
                   std::function<void(AttachListener*)> event) {
  const bool sent =
      net_->SendOver(attachment->down, [attachment, event = std::move(event)] {
        if (attachment->listener != nullptr) event(attachment->listener);
      });
  if (!sent) Break(attachment);
}

// Both ends notice, each in its time.
void Tracker::Break(const std::shared_ptr<Attachment>& attachment) {
  attachment->up->frozen = true;
  attachment->down->frozen = true;
  const auto soon = [this] {
    return loop_->Between(absl::ZeroDuration(), absl::Milliseconds(50));
  };
  loop_->After(soon(), [attachment] {
    AttachListener* const listener =
        std::exchange(attachment->listener, nullptr);
    if (listener != nullptr) listener->OnEnded(ConnectionBroken());
  });
  loop_->After(soon(), [this, attachment] { Detach(attachment); });
}

std::shared_ptr<Attachment> Tracker::Connect(HostId from,
                                             const NodeIdentity& identity,
                                             const NodeStatus& status,
                                             AttachListener* listener) {
  auto attachment = std::make_shared<Attachment>();
  attachment->tracker = this;
  attachment->up = net_->OpenChannel(from, options_.host);
  attachment->down = net_->OpenChannel(options_.host, from);
  attachment->listener = listener;
  attachment->heard = loop_->now();
  Up(attachment, [this, attachment, identity, status] {
    Hello(attachment, identity, status);
  });
  return attachment;
}

void Tracker::Report(const std::shared_ptr<Attachment>& attachment,
                     const NodeStatus& status) {
  Up(attachment,
     [this, attachment, status] { TakeReport(attachment, status); });
}

void Tracker::Leave(const std::shared_ptr<Attachment>& attachment) {
  attachment->listener = nullptr;
  if (attachment->up->frozen) return;
  Up(attachment, [this, attachment] { Detach(attachment); });
}

void Tracker::Detach(const std::shared_ptr<Attachment>& attachment) {
  if (!running()) return;
  auto& attachments = process_->attachments;
  const auto it = std::find(attachments.begin(), attachments.end(), attachment);
  if (it == attachments.end()) return;
  attachments.erase(it);
  const uint64_t id = std::exchange(attachment->id, 0);
  if (id != 0) membership()->Detach(id);
}

void Tracker::EndThere(const std::shared_ptr<Attachment>& attachment,
                       const absl::Status& status) {
  Detach(attachment);
  Down(attachment, [attachment, status](AttachListener* listener) {
    attachment->listener = nullptr;
    listener->OnEnded(status);
  });
}

void Tracker::Hello(const std::shared_ptr<Attachment>& attachment,
                    const NodeIdentity& identity, const NodeStatus& status) {
  if (!running()) {
    Break(attachment);
    return;
  }
  const absl::StatusOr<Membership::Attached> attached =
      membership()->Attach(identity, status);
  if (!attached.ok()) {
    EndThere(attachment, attached.status());
    return;
  }
  attachment->start = starts_;
  attachment->id = attached->attachment;
  attachment->identity = identity;
  const auto attachments = process_->attachments;
  process_->attachments.push_back(attachment);
  for (const auto& other : attachments) {
    if (attached->displaced == 0 || other->id != attached->displaced) continue;
    EndThere(other, absl::AbortedError("another process has attached"));
  }
  SendPeers(attachment);
}

void Tracker::TakeReport(const std::shared_ptr<Attachment>& attachment,
                         const NodeStatus& status) {
  if (!running() || attachment->start != starts_) {
    Break(attachment);
    return;
  }
  if (attachment->id == 0) return;  // It is on its way that it has ended.
  const absl::Status taken = membership()->Report(attachment->id, status);
  if (!taken.ok()) {
    EndThere(attachment, taken);
    return;
  }
  // As a transport's keepalive would do it.
  Down(attachment, [this, attachment](AttachListener*) {
    attachment->heard = loop_->now();
  });
}

void Tracker::SendPeers(const std::shared_ptr<Attachment>& attachment) {
  const GroupPeers peers =
      tracker::MakeGroupPeers(attachment->identity, membership());
  Down(attachment, [this, attachment, peers](AttachListener* listener) {
    attachment->heard = loop_->now();
    listener->OnPeers(peers);
  });
}

// As MembershipServiceImpl does it.
void Tracker::OnChange() {
  const absl::optional<std::set<std::string>> groups =
      tracker::GroupsToTell(membership(), &process_->told_revision);
  const auto attachments = process_->attachments;
  for (const auto& attachment : attachments) {
    if (attachment->id == 0 ||
        (groups.has_value() &&
         groups->count(attachment->identity.group) == 0)) {
      continue;
    }
    const absl::Status member =
        membership()->CheckMember(attachment->identity.node_uuid);
    if (member.ok()) {
      SendPeers(attachment);
    } else {
      EndThere(attachment, member);
    }
  }
}

}  // namespace simulation
}  // namespace cairn
