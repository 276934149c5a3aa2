#include "integration_tests/simulation/simulation.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "integration_tests/simulation/event_loop.h"
#include "integration_tests/simulation/member.h"
#include "integration_tests/simulation/network.h"
#include "integration_tests/simulation/oracle.h"

namespace cairn {
namespace simulation {
namespace {

using storage::Committed;
using storage::Durability;
using storage::Peer;
using storage::ReplicaWish;

// How long a healed group may take until nothing is left to do.
constexpr absl::Duration kHealingMax = absl::Seconds(120);

// What a seed is like. Some are only about the network, some only about
// restarts: what happens together hides what happens alone.
struct Profile {
  absl::Duration between_calls;
  absl::Duration between_faults;
  absl::Duration round;
  int rounds = 1;
  double large = 0;    // Of the files.
  double deletes = 0;  // Of the calls.
  double reads = 0;
  double repeats = 0;
  bool network_faults = false;
  bool kills = false;
  bool power_cuts = false;
  bool wipes = false;
  bool disk_faults = false;
  bool clocks = false;
  bool cuts = false;
};

Profile DrawProfile(EventLoop* loop) {
  Profile profile;
  profile.between_calls =
      loop->Between(absl::Milliseconds(25), absl::Milliseconds(400));
  profile.between_faults =
      loop->Between(absl::Milliseconds(300), absl::Seconds(6));
  profile.round = loop->Between(absl::Seconds(5), absl::Seconds(25));
  profile.rounds = 1 + static_cast<int>(loop->Draw(2));
  profile.large = loop->Chance(0.7) ? 0.3 : 0;
  profile.deletes = loop->Chance(0.8) ? 0.2 : 0;
  profile.reads = 0.3;
  profile.repeats = loop->Chance(0.6) ? 0.2 : 0;
  profile.network_faults = loop->Chance(0.7);
  profile.kills = loop->Chance(0.6);
  profile.power_cuts = loop->Chance(0.5);
  profile.wipes = loop->Chance(0.4);
  profile.disk_faults = loop->Chance(0.3);
  profile.clocks = loop->Chance(0.5);
  profile.cuts = loop->Chance(0.5);
  if (profile.cuts) profile.round += absl::Seconds(15);
  return profile;
}

class Simulation {
 public:
  explicit Simulation(const SimulationOptions& options)
      : loop_(options.seed, options.print),
        net_(&loop_),
        oracle_(&loop_, &members_),
        profile_(DrawProfile(&loop_)) {
    mutations_ = options.mutations;
    retention_ = loop_.Chance(0.5) ? absl::Seconds(20) : absl::Hours(24);
    const int count = 2 + static_cast<int>(loop_.Draw(3));
    for (int i = 0; i < count; ++i) AddMember();
    Introduce();
  }

  SimulationResult Run() {
    for (int round = 1; round <= profile_.rounds; ++round) {
      loop_.Trace("round ", round);
      calm_ = false;
      ++rounds_begun_;
      NextCall(rounds_begun_);
      NextFault(rounds_begun_);
      loop_.RunFor(profile_.round);
      Heal();
      if (!oracle_.failures().empty()) break;
    }
    for (const auto& member : members_) member->Kill(/*dark=*/false);
    SimulationResult result;
    result.failures = oracle_.failures();
    result.trace_hash = loop_.trace_hash();
    result.events = loop_.events();
    result.promises = oracle_.promises();
    return result;
  }

 private:
  void AddMember() {
    MemberOptions options;
    options.host = static_cast<HostId>(members_.size());
    options.node_number = static_cast<uint32_t>(members_.size() + 1);
    options.path.node_number = options.node_number;
    options.path.tombstone_retention = retention_;
    // More than two clocks may differ by: docs/known_issues.md.
    options.path.request_retention = absl::Hours(72);
    options.path.mutations = mutations_;
    if (profile_.cuts) {
      // Longer than anybody repeats a call.
      options.path.log_retention = absl::Seconds(5);
      options.path.log_retention_longest = absl::Seconds(6);
    }
    if (profile_.clocks) {
      options.clock_rate =
          0.95 + 0.1 * static_cast<double>(loop_.Draw(1000)) / 1000;
      options.clock_offset = DrawOffset();
    }
    members_.push_back(
        std::make_unique<Member>(options, &disk_faults_, &loop_, &net_));
    members_.back()->Start();
  }

  absl::Duration DrawOffset() {
    return loop_.Between(-absl::Hours(24), absl::Hours(24));
  }

  // Tells everybody who else is there.
  void Introduce() {
    for (const auto& member : members_) {
      if (!member->running()) continue;
      std::vector<Peer> peers;
      for (const auto& other : members_) {
        if (other != member) peers.push_back(other->AsPeer());
      }
      member->SetPeers(std::move(peers));
    }
  }

  Member* AnyRunning() {
    std::vector<Member*> running;
    for (const auto& member : members_) {
      if (member->running()) running.push_back(member.get());
    }
    return running.empty() ? nullptr : loop_.Pick(running);
  }

  // ---- Clients.
  void NextCall(int round) {
    loop_.After(loop_.Between(absl::ZeroDuration(), 2 * profile_.between_calls),
                [this, round] {
                  if (calm_ || round != rounds_begun_) return;
                  Call();
                  NextCall(round);
                });
  }

  void Call() {
    const double chance = static_cast<double>(loop_.Draw(1000)) / 1000;
    if (chance < profile_.reads) {
      Read();
    } else if (chance < profile_.reads + profile_.deletes) {
      Delete();
    } else {
      Put();
    }
  }

  ReplicaWish DrawWish() {
    ReplicaWish wish;
    wish.level = loop_.Chance(0.5) ? Durability::kSynced : Durability::kCached;
    wish.replicas = 1 + static_cast<uint32_t>(loop_.Draw(members_.size()));
    wish.required = loop_.Chance(0.4);
    return wish;
  }

  void Put() {
    const size_t size = static_cast<size_t>(loop_.Chance(profile_.large)
                                                ? 257 + loop_.Draw(1500)
                                                : loop_.Draw(257));
    const std::string content = loop_.DrawBytes(size);
    const Uuid request_id = loop_.Chance(0.8) ? loop_.DrawUuid() : Uuid();
    PutAt(request_id, content, DrawWish());
    // A client that has heard nothing, or not what it wanted, asks again.
    if (!request_id.is_nil() && loop_.Chance(profile_.repeats)) {
      const ReplicaWish wish = DrawWish();
      loop_.After(loop_.Between(absl::ZeroDuration(), absl::Seconds(4)),
                  [this, request_id, content, wish] {
                    if (!calm_) PutAt(request_id, content, wish);
                  });
    }
  }

  void PutAt(const Uuid& request_id, const std::string& content,
             const ReplicaWish& wish) {
    Member* const member = AnyRunning();
    if (member == nullptr) return;
    const std::string name = absl::StrCat("f", ++names_);
    loop_.Trace("put ", name, " of ", content.size(), " bytes at ",
                member->name(), " replicas ", wish.replicas,
                wish.required ? " required" : "",
                wish.level == Durability::kSynced ? " synced" : "");
    oracle_.PutTried(name, content);
    member->Put(
        request_id, name, content, wish,
        [this, name, wish,
         call = NewCall()](absl::StatusOr<Committed> committed) {
          if (!committed.ok()) {
            loop_.Trace("  put ", name, ": ", committed.status().ToString());
            return;
          }
          loop_.Trace("  put ", name, " is done as ", committed->file.name,
                      ", replicas ", committed->replicas);
          oracle_.PutDone(name, wish, *committed);
        });
  }

  // Lives as long as somebody may still answer.
  std::shared_ptr<int> NewCall() {
    auto call = std::make_shared<int>(0);
    calls_.push_back(call);
    return call;
  }

  void Delete() {
    const std::string name = oracle_.AnyName();
    Member* const member = AnyRunning();
    if (name.empty() || member == nullptr) return;
    const ReplicaWish wish = DrawWish();
    loop_.Trace("delete ", name, " at ", member->name());
    oracle_.DeleteTried(name);
    member->Delete(loop_.DrawUuid(), name, wish,
                   [this, name, wish,
                    call = NewCall()](absl::StatusOr<Committed> committed) {
                     if (!committed.ok()) {
                       loop_.Trace("  delete ", name, ": ",
                                   committed.status().ToString());
                       return;
                     }
                     loop_.Trace("  delete ", name, " is done, replicas ",
                                 committed->replicas);
                     oracle_.DeleteDone(wish, *committed);
                   });
  }

  void Read() {
    const std::string name = oracle_.AnyName();
    Member* const member = AnyRunning();
    if (name.empty() || member == nullptr) return;
    loop_.Trace("read ", name, " at ", member->name());
    const absl::Duration begun = loop_.now();
    member->Read(name, [this, name, begun, at = member->name()](
                           const absl::StatusOr<std::string>& content) {
      loop_.Trace("  read ", name, ": ", content.status().ToString());
      oracle_.ReadDone(name, begun, at, content);
    });
  }

  // ---- Faults.
  void NextFault(int round) {
    loop_.After(
        loop_.Between(absl::ZeroDuration(), 2 * profile_.between_faults),
        [this, round] {
          if (calm_ || round != rounds_begun_) return;
          Fault();
          NextFault(round);
        });
  }

  void StartLater(Member* member, absl::Duration most) {
    loop_.After(loop_.Between(absl::Milliseconds(50), most), [this, member] {
      member->Start();
      IntroduceLater();
    });
  }

  // Trackers take a moment.
  void IntroduceLater() {
    loop_.After(loop_.Between(absl::ZeroDuration(), absl::Seconds(1)),
                [this] { Introduce(); });
  }

  void Fault() {
    Member* const member = loop_.Pick(members_).get();
    switch (loop_.Draw(14)) {
      case 0:
      case 1:
        if (!profile_.kills || !member->running()) return;
        member->Kill(/*dark=*/false);
        // Some stay away until the logs do not reach back to them.
        StartLater(member, profile_.cuts && loop_.Chance(0.4)
                               ? absl::Seconds(25)
                               : absl::Seconds(5));
        return;
      case 2:
      case 3:
        if (!profile_.power_cuts) return;
        member->PowerCut();
        StartLater(member, absl::Seconds(15));
        return;
      case 4:
        if (!profile_.wipes) return;
        member->Kill(loop_.Chance(0.5));
        member->Wipe();
        StartLater(member, absl::Seconds(8));
        return;
      case 5:
        if (!profile_.kills) return;
        member->StopCleanly();
        StartLater(member, absl::Seconds(3));
        return;
      case 6: {
        if (!profile_.network_faults) return;
        const HostId other = static_cast<HostId>(loop_.Draw(members_.size()));
        if (other == member->host()) return;
        loop_.Trace("no way from ", member->host(), " to ", other);
        net_.Block(member->host(), other);
        if (loop_.Chance(0.6)) net_.Block(other, member->host());
        return;
      }
      case 7:
        if (!profile_.network_faults) return;
        loop_.Trace("cut off ", member->name());
        for (size_t other = 0; other < members_.size(); ++other) {
          const HostId host = static_cast<HostId>(other);
          if (host == member->host()) continue;
          if (loop_.Chance(0.8)) net_.Block(member->host(), host);
          if (loop_.Chance(0.8)) net_.Block(host, member->host());
        }
        return;
      case 8:
      case 9:
        loop_.Trace("links are back");
        net_.UnblockAll();
        return;
      case 10:
        if (!profile_.network_faults) return;
        loop_.Trace("streams break");
        net_.BreakSome(0.3);
        return;
      case 11:
        if (!profile_.network_faults) return;
        DrawWeather();
        return;
      case 12:
        if (!profile_.disk_faults) return;
        disk_faults_.full_queue = loop_.Chance(0.5) ? 0.01 : 0;
        disk_faults_.sync_failure = loop_.Chance(0.3) ? 0.005 : 0;
        // A path that is broken is opened again some day.
        for (const auto& other : members_) {
          if (!other->running() || !other->path()->broken()) continue;
          other->StopCleanly();
          StartLater(other.get(), absl::Seconds(5));
        }
        return;
      default:
        if (!profile_.clocks) return;
        member->clock()->JumpTo(DrawOffset());
        loop_.Trace("clock of ", member->name(), " is off by ",
                    absl::FormatDuration(member->clock()->offset()));
        return;
    }
  }

  void DrawWeather() {
    Weather weather;
    if (loop_.Chance(0.7)) {
      weather.delay_most =
          loop_.Between(absl::Milliseconds(1), absl::Milliseconds(800));
      weather.loss = loop_.Chance(0.5) ? 0.01 : 0;
      weather.silence = loop_.Chance(0.3) ? 0.01 : 0;
    }
    loop_.Trace("weather: delay up to ",
                absl::FormatDuration(weather.delay_most), " loss ",
                weather.loss, " silence ", weather.silence);
    net_.SetWeather(weather);
  }

  // ---- Healing.
  void Heal() {
    loop_.Trace("heal");
    calm_ = true;
    disk_faults_ = DiskFaults();
    net_.SetWeather(Weather());
    net_.UnblockAll();
    for (const auto& member : members_) {
      if (member->running() && member->path()->broken()) {
        member->StopCleanly();
      }
      member->Start();
    }
    Introduce();
    const absl::Duration end = loop_.now() + kHealingMax;
    std::string unrest = "nothing";
    while (loop_.now() < end) {
      loop_.RunFor(absl::Milliseconds(250));
      unrest = Unrest();
      if (unrest.empty()) break;
    }
    if (!unrest.empty()) {
      oracle_.Fail("not quiet ", absl::FormatDuration(kHealingMax),
                   " after the healing: ", unrest);
    }
    std::vector<Member*> members;
    for (const auto& member : members_) members.push_back(member.get());
    oracle_.CheckAll(members);
    loop_.Trace("checked");
  }

  // What is still to be done somewhere; empty: nothing is.
  std::string Unrest() {
    calls_.erase(
        std::remove_if(calls_.begin(), calls_.end(),
                       [](const auto& call) { return call.expired(); }),
        calls_.end());
    if (!calls_.empty()) return "a client waits for its answer";
    std::map<storage::LogId, uint64_t> most;
    for (const auto& member : members_) {
      if (member->path()->broken()) {
        return absl::StrCat(member->name(), " is broken");
      }
      for (const storage::LogRange& log : member->path()->Logs()) {
        most[log.log] = std::max(most[log.log], log.applied);
      }
    }
    for (const auto& member : members_) {
      std::map<storage::LogId, storage::LogRange> logs;
      for (const storage::LogRange& log : member->path()->Logs()) {
        logs[log.log] = log;
      }
      for (const auto& [log, applied] : most) {
        if (logs[log].applied != applied) {
          return absl::StrCat(member->name(), " has ", logs[log].applied,
                              " of ", applied, " changes of log ",
                              log.ToString());
        }
        if (logs[log].synced != applied) {
          return absl::StrCat(member->name(), " has not synced log ",
                              log.ToString());
        }
      }
      for (const std::string& name : member->path()->ListMissing("", 100000)) {
        // What nobody has any more is no reason to wait.
        const bool elsewhere = std::any_of(
            members_.begin(), members_.end(), [&name](const auto& other) {
              return other->path()->Open(name).ok();
            });
        if (elsewhere) {
          return absl::StrCat(member->name(), " misses the content of ", name);
        }
      }
      const storage::ReplicationProgress progress =
          member->replicator()->Progress();
      if (!progress.caught_up || progress.snapshot_running) {
        return absl::StrCat(member->name(), " has not caught up");
      }
      for (const storage::PeerProgress& peer : progress.peers) {
        if (peer.behind_changes > 0 || peer.lag.behind_changes > 0 ||
            !peer.pulling) {
          return absl::StrCat(member->name(), " and ", peer.peer.name,
                              ": behind ", peer.behind_changes, " and ",
                              peer.lag.behind_changes,
                              peer.pulling ? "" : ", no stream");
        }
      }
      if (member->replicator()->waits()->waiting() > 0) {
        return absl::StrCat("somebody waits at ", member->name());
      }
    }
    return std::string();
  }

  EventLoop loop_;
  Network net_;
  DiskFaults disk_faults_;
  std::vector<std::unique_ptr<Member>> members_;
  Oracle oracle_;
  const Profile profile_;
  Mutations mutations_;
  absl::Duration retention_;
  std::vector<std::weak_ptr<int>> calls_;  // Under way.
  bool calm_ = true;
  int rounds_begun_ = 0;
  uint64_t names_ = 0;
};

}  // namespace

SimulationResult RunSimulation(const SimulationOptions& options) {
  Simulation simulation(options);
  return simulation.Run();
}

}  // namespace simulation
}  // namespace cairn
