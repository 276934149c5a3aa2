#include "integration_tests/simulation/simulation.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "integration_tests/simulation/event_loop.h"
#include "integration_tests/simulation/member.h"
#include "integration_tests/simulation/network.h"
#include "integration_tests/simulation/oracle.h"
#include "integration_tests/simulation/sim_clock.h"
#include "lib/attributes/attributes.h"
#include "lib/file_id/file_id.h"

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
  double repeats = 0;  // Of the calls.

  // How often clients do what, next to each other.
  double puts = 0;
  double reads = 0;
  double deletes = 0;  // And half as many undeletions, if they are possible.
  double attributes = 0;
  double appenders = 0;  // Half of them updates.
  double derived = 0;
  double copies = 0;
  double expiries = 0;

  // How long what is deleted can be brought back.
  absl::Duration undelete_window = absl::ZeroDuration();

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
  profile.repeats = loop->Chance(0.6) ? 0.2 : 0;
  profile.puts = 0.5;
  profile.reads = 0.3;
  profile.deletes = loop->Chance(0.8) ? 0.2 : 0;
  profile.attributes = loop->Chance(0.4) ? 0.2 : 0;
  profile.appenders = loop->Chance(0.4) ? 0.4 : 0;
  profile.derived = loop->Chance(0.3) ? 0.15 : 0;
  profile.copies = loop->Chance(0.3) ? 0.15 : 0;
  profile.expiries = loop->Chance(0.2) ? 0.1 : 0;
  if (loop->Chance(0.6)) {
    profile.undelete_window =
        loop->Between(absl::Seconds(3), absl::Seconds(60));
  }
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
    options.path.undelete_window = profile_.undelete_window;
    options.path.expiry_grace = absl::Seconds(10);
    options.path.on_change = [this](const storage::KnownFile& known,
                                    const DiskContent* content) {
      oracle_.OnChange(known, content);
    };
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
    struct Choice {
      double weight;
      void (Simulation::*call)();
    };
    const bool window = profile_.undelete_window > absl::ZeroDuration();
    const std::vector<Choice> choices = {
        {profile_.puts, &Simulation::Put},
        {profile_.reads, &Simulation::Read},
        {profile_.deletes, &Simulation::Delete},
        {window ? profile_.deletes / 2 : 0, &Simulation::Undelete},
        {profile_.attributes, &Simulation::SetAttributes},
        {profile_.appenders / 4, &Simulation::PutAppender},
        {profile_.appenders / 2, &Simulation::Update},
        {profile_.appenders / 8, &Simulation::Seal},
        {profile_.derived, &Simulation::PutDerived},
        {profile_.copies, &Simulation::Copy},
        {profile_.expiries, &Simulation::SetExpiry},
    };
    double sum = 0;
    for (const Choice& choice : choices) sum += choice.weight;
    double at = sum * static_cast<double>(loop_.Draw(1000000)) / 1e6;
    for (const Choice& choice : choices) {
      at -= choice.weight;
      if (at >= 0) continue;
      (this->*choice.call)();
      return;
    }
  }

  ReplicaWish DrawWish() {
    ReplicaWish wish;
    wish.level = loop_.Chance(0.5) ? Durability::kSynced : Durability::kCached;
    wish.replicas = 1 + static_cast<uint32_t>(loop_.Draw(members_.size()));
    wish.required = loop_.Chance(0.4);
    return wish;
  }

  using Issue =
      std::function<void(Member*, const ReplicaWish&, const Member::Answer&)>;

  // Makes a call at any member, and tells the oracle what is answered. A client
  // that has heard nothing, or not what it wanted, asks again. `name` is what
  // the file is, or becomes; `from` of what.
  void Make(CallKind kind, const std::string& what, const std::string& name,
            const std::string& from, bool may_repeat, const Issue& issue) {
    MakeOnce(kind, what, name, from, issue);
    if (!may_repeat || !loop_.Chance(profile_.repeats)) return;
    loop_.After(loop_.Between(absl::ZeroDuration(), absl::Seconds(4)),
                [this, kind, what, name, from, issue] {
                  if (!calm_) MakeOnce(kind, what, name, from, issue);
                });
  }

  void MakeOnce(CallKind kind, const std::string& what, const std::string& name,
                const std::string& from, const Issue& issue) {
    Member* const member = AnyRunning();
    if (member == nullptr) return;
    const ReplicaWish wish = DrawWish();
    const std::string to = from.empty() ? "" : absl::StrCat(from, " to ");
    loop_.Trace(what, " ", to, name, " at ", member->name(), " replicas ",
                wish.replicas, wish.required ? " required" : "",
                wish.level == Durability::kSynced ? " synced" : "");
    issue(member, wish,
          [this, kind, what, name, from, wish,
           call = NewCall()](const absl::StatusOr<Committed>& committed) {
            if (!committed.ok()) {
              loop_.Trace("  ", what, " ", name, ": ",
                          committed.status().ToString());
              return;
            }
            loop_.Trace("  ", what, " ", name, " is done as ",
                        committed->file.name, " in version ",
                        committed->file.version.clock, "/",
                        committed->file.version.node, ", replicas ",
                        committed->replicas);
            oracle_.Done(kind, name, from, wish, *committed);
          });
  }

  std::string DrawContent() {
    return loop_.DrawBytes(static_cast<size_t>(loop_.Chance(profile_.large)
                                                   ? 257 + loop_.Draw(1500)
                                                   : loop_.Draw(257)));
  }

  std::string DrawAttributes() {
    if (profile_.attributes == 0 || loop_.Chance(0.5)) return std::string();
    return EncodeAttributes({{"born", absl::StrCat(loop_.Draw(1000))}});
  }

  std::string NewName() { return absl::StrCat("f", ++names_); }

  void Put() {
    storage::PutRequest put;
    put.content = absl::Cord(DrawContent());
    put.attributes = DrawAttributes();
    if (loop_.Chance(0.8)) put.request_id = loop_.DrawUuid();
    // A repeated put comes with another name.
    const auto issue = [this, put](const std::string& name) {
      oracle_.Tried(CallKind::kPut, name, std::string(put.content));
      MakeOnce(CallKind::kPut, "put", name, "",
               [put, name](Member* member, const ReplicaWish& wish,
                           const Member::Answer& answer) {
                 storage::PutRequest request = put;
                 request.name = name;
                 member->Put(std::move(request), wish, answer);
               });
    };
    issue(NewName());
    if (put.request_id.is_nil() || !loop_.Chance(profile_.repeats)) return;
    loop_.After(loop_.Between(absl::ZeroDuration(), absl::Seconds(4)),
                [this, issue] {
                  if (!calm_) issue(NewName());
                });
  }

  void PutAppender() {
    Member* const origin = AnyRunning();
    if (origin == nullptr) return;
    storage::PutRequest put;
    put.kind = storage::FileKind::kAppender;
    put.content = absl::Cord(DrawContent());
    put.attributes = DrawAttributes();
    put.request_id = loop_.DrawUuid();
    FileIdFields fields;
    fields.node_number = origin->node_number();
    fields.flags = kFileIdAppender;
    fields.counter = static_cast<uint32_t>(++names_);
    put.name = ids_.MakeName("group1", 0, fields, "");
    oracle_.Tried(CallKind::kPutAppender, put.name, std::string(put.content));
    Make(CallKind::kPutAppender, "create", put.name, "", /*may_repeat=*/false,
         [origin, put](Member* /*any*/, const ReplicaWish& wish,
                       const Member::Answer& answer) {
           origin->Put(put, wish, answer);
         });
  }

  // The member that takes the updates of an appender; any other passes them on.
  Member* OriginOf(const std::string& name, const Member::Answer& answer) {
    const absl::StatusOr<FileIdFields> fields = DecodeFileName(name);
    for (const auto& member : members_) {
      if (fields.ok() && member->running() &&
          member->node_number() == fields->node_number) {
        return member.get();
      }
    }
    answer(absl::UnavailableError("the origin is down"));
    return nullptr;
  }

  // The same of any file.
  Member* ChangerOf(const std::string& name, Member* any,
                    const Member::Answer& answer) {
    return IsAppenderName(name) ? OriginOf(name, answer) : any;
  }

  void Update() {
    using Kind = storage::UpdateRequest::Kind;
    storage::UpdateRequest update;
    update.name = oracle_.AnyAppender();
    if (update.name.empty()) return;
    update.kind =
        loop_.Chance(0.7) ? Kind::kAppend : static_cast<Kind>(loop_.Draw(3));
    update.request_id = loop_.DrawUuid();
    if (update.kind != Kind::kTruncate) {
      update.content = absl::Cord(loop_.DrawBytes(loop_.Draw(257)));
    }
    if (update.kind != Kind::kAppend) {
      update.offset = static_cast<int64_t>(loop_.Draw(600));
    }
    oracle_.Tried(CallKind::kUpdate, update.name);
    if (update.kind != Kind::kAppend) oracle_.CutTried(update.name);
    const char* const what = update.kind == Kind::kAppend   ? "append"
                             : update.kind == Kind::kModify ? "modify"
                                                            : "truncate";
    Make(CallKind::kUpdate, what, update.name, "", /*may_repeat=*/true,
         [this, update](Member* /*any*/, const ReplicaWish& wish,
                        const Member::Answer& answer) {
           Member* const origin = OriginOf(update.name, answer);
           if (origin != nullptr) origin->Update(update, wish, answer);
         });
  }

  void Seal() {
    storage::SealRequest seal;
    seal.name = oracle_.AnyAppender();
    if (seal.name.empty()) return;
    seal.request_id = loop_.DrawUuid();
    const std::string sealed = NewName();
    seal.make_name = [sealed](int64_t, uint32_t) {
      return storage::SealRequest::NewName{sealed, 0};
    };
    oracle_.Tried(CallKind::kSeal, sealed);
    oracle_.SealTried(seal.name);
    Make(CallKind::kSeal, "seal", sealed, seal.name, /*may_repeat=*/true,
         [this, seal](Member* /*any*/, const ReplicaWish& wish,
                      const Member::Answer& answer) {
           Member* const origin = OriginOf(seal.name, answer);
           if (origin != nullptr) origin->Seal(seal, wish, answer);
         });
  }

  // Few names and few contents, so that several choose the same.
  void PutDerived() {
    storage::PutRequest put;
    put.kind = storage::FileKind::kDerived;
    put.name = absl::StrCat("d", loop_.Draw(6));
    put.content = absl::Cord(std::string(
        loop_.Chance(0.3) ? 700 : 70, static_cast<char>('a' + loop_.Draw(2))));
    put.attributes = DrawAttributes();
    put.request_id = loop_.DrawUuid();
    oracle_.Tried(CallKind::kPutDerived, put.name);
    Make(CallKind::kPutDerived, "derive", put.name, "", /*may_repeat=*/true,
         [put](Member* member, const ReplicaWish& wish,
               const Member::Answer& answer) {
           member->Put(put, wish, answer);
         });
  }

  void Copy() {
    storage::CopyRequest copy;
    copy.from = oracle_.AnyName();
    if (copy.from.empty()) return;
    copy.request_id = loop_.DrawUuid();
    copy.name = NewName();
    oracle_.Tried(CallKind::kCopy, copy.name);
    Make(CallKind::kCopy, "copy", copy.name, copy.from, /*may_repeat=*/false,
         [copy](Member* member, const ReplicaWish& wish,
                const Member::Answer& answer) {
           member->Copy(copy, wish, answer);
         });
  }

  void SetAttributes() {
    storage::SetAttributesRequest set;
    set.name = oracle_.AnyName();
    if (set.name.empty()) return;
    set.request_id = loop_.DrawUuid();
    set.change.set[absl::StrCat("k", loop_.Draw(3))] =
        absl::StrCat(loop_.Draw(1000));
    set.change.overwrite = loop_.Chance(0.2);
    oracle_.Tried(CallKind::kAttributes, set.name);
    Make(CallKind::kAttributes, "set attributes of", set.name, "",
         /*may_repeat=*/true,
         [this, set](Member* any, const ReplicaWish& wish,
                     const Member::Answer& answer) {
           Member* const member = ChangerOf(set.name, any, answer);
           if (member != nullptr) member->SetAttributes(set, wish, answer);
         });
  }

  void SetExpiry() {
    storage::SetExpiryRequest set;
    set.name = oracle_.AnyName();
    if (set.name.empty()) return;
    set.request_id = loop_.DrawUuid();
    if (loop_.Chance(0.7)) {
      // By a clock that is right, which not all are.
      set.expire_unix_seconds =
          absl::ToUnixSeconds(SimClock(&loop_, 1, absl::ZeroDuration()).Now()) +
          1 +
          static_cast<int64_t>(loop_.Draw(loop_.Chance(0.5) ? 20 : 1000000));
      oracle_.ExpiryTried(set.name);
    }
    oracle_.Tried(CallKind::kExpiry, set.name);
    Make(CallKind::kExpiry, "set expiry of", set.name, "", /*may_repeat=*/true,
         [this, set](Member* any, const ReplicaWish& wish,
                     const Member::Answer& answer) {
           Member* const member = ChangerOf(set.name, any, answer);
           if (member != nullptr) member->SetExpiry(set, wish, answer);
         });
  }

  // Lives as long as somebody may still answer.
  std::shared_ptr<int> NewCall() {
    auto call = std::make_shared<int>(0);
    calls_.push_back(call);
    return call;
  }

  void Delete() {
    storage::DeleteRequest del;
    del.name = oracle_.AnyName();
    if (del.name.empty()) return;
    del.request_id = loop_.DrawUuid();
    if (profile_.undelete_window > absl::ZeroDuration() && loop_.Chance(0.2)) {
      del.purge = true;
      if (loop_.Chance(0.5)) del.name = oracle_.AnyDeleted();
    }
    oracle_.Tried(CallKind::kDelete, del.name);
    Make(CallKind::kDelete, del.purge ? "purge" : "delete", del.name, "",
         /*may_repeat=*/true,
         [del](Member* member, const ReplicaWish& wish,
               const Member::Answer& answer) {
           member->Delete(del, wish, answer);
         });
  }

  void Undelete() {
    storage::UndeleteRequest undelete;
    undelete.name = oracle_.AnyDeleted();
    if (undelete.name.empty()) return;
    undelete.request_id = loop_.DrawUuid();
    oracle_.Tried(CallKind::kUndelete, undelete.name);
    Make(CallKind::kUndelete, "undelete", undelete.name, "",
         /*may_repeat=*/true,
         [undelete](Member* member, const ReplicaWish& wish,
                    const Member::Answer& answer) {
           member->Undelete(undelete, wish, answer);
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
              return other->path()->OpenForMember(name).ok();
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
      // Those that nobody has any more.
      const auto& files = member->disk()->now().files;
      const auto missing = static_cast<uint64_t>(
          std::count_if(files.begin(), files.end(), [](const auto& entry) {
            return !entry.second.known.deleted &&
                   entry.second.content == nullptr;
          }));
      if (progress.missing_contents > missing) {
        return absl::StrCat(member->name(), " fetches ",
                            progress.missing_contents, " contents and misses ",
                            missing);
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
  FileIdCodec ids_{"secret"};
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
