#include "integration_tests/simulation/simulation.h"

#include <algorithm>
#include <functional>
#include <map>
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
#include "integration_tests/simulation/tracker.h"
#include "lib/attributes/attributes.h"
#include "lib/file_id/file_id.h"
#include "lib/placement/cluster_model.h"
#include "lib/placement/placer.h"
#include "services/tracker/core/operator_plan.h"

namespace cairn {
namespace simulation {
namespace {

using storage::Committed;
using storage::Durability;
using storage::ReplicaWish;

// Hosts of trackers are numbered from here on.
constexpr HostId kTrackerHosts = 100;

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
  bool tracker_faults = false;

  // Members join, are drained, removed and let back.
  bool membership = false;

  // Members compare and read again what they have. What their disks lose and
  // spoil without a word they find then.
  bool upkeep = false;
  bool rot = false;
  bool losses = false;

  // Of the puts, that share a content with others: few contents.
  double dedup = 0;

  // Of some files a disk can read and write nothing for a while.
  bool unreadable = false;
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
  profile.tracker_faults = loop->Chance(0.4);
  profile.membership = loop->Chance(0.4);
  if (profile.membership) profile.round += absl::Seconds(20);
  profile.upkeep = loop->Chance(0.5);
  profile.rot = profile.upkeep && loop->Chance(0.7);
  // A snapshot of a member that has lost a file says that it was deleted.
  profile.losses = profile.upkeep && !profile.cuts && loop->Chance(0.9);
  profile.unreadable = loop->Chance(0.4);
  profile.dedup = loop->Chance(0.3) ? 0.5 : 0;
  return profile;
}

class Simulation {
 public:
  explicit Simulation(const SimulationOptions& options)
      : loop_(options.seed, options.print),
        net_(&loop_),
        oracle_(&loop_, &members_),
        profile_(DrawProfile(&loop_)),
        placer_(options.seed) {
    mutations_ = options.mutations;
    retention_ = loop_.Chance(0.5) ? absl::Seconds(20) : absl::Hours(24);
    cluster_id_ = loop_.DrawUuid();
    const int trackers = 1 + static_cast<int>(loop_.Draw(3));
    for (int i = 0; i < trackers; ++i) AddTracker();
    const int count = 2 + static_cast<int>(loop_.Draw(3));
    for (int i = 0; i < count; ++i) AddMember();
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
    for (const auto& tracker : trackers_) tracker->Kill(/*dark=*/false);
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
    options.path.on_forget = [this](const std::string& name) {
      oracle_.Forgotten(name);
    };
    options.path.mutations = mutations_;
    options.mutations = mutations_;
    options.cluster_id = cluster_id_;
    options.trackers = [this] { return Trackers(); };
    options.upkeep = profile_.upkeep;
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

  void AddTracker() {
    TrackerOptions options;
    options.host = kTrackerHosts + static_cast<HostId>(trackers_.size());
    options.name = absl::StrCat("t", trackers_.size() + 1);
    options.cluster_id = cluster_id_;
    options.fail = [this](const std::string& what) { oracle_.Fail(what); };
    options.keep_decisions = mutations_.keep_decisions;
    if (profile_.clocks) options.clock_offset = DrawOffset();
    trackers_.push_back(std::make_unique<Tracker>(options, &loop_, &net_));
    for (const auto& tracker : trackers_) {
      std::vector<Tracker*> others = Trackers();
      others.erase(std::find(others.begin(), others.end(), tracker.get()));
      tracker->SetOthers(std::move(others));
    }
    trackers_.back()->Start();
  }

  std::vector<Tracker*> Trackers() const {
    std::vector<Tracker*> trackers;
    for (const auto& tracker : trackers_) trackers.push_back(tracker.get());
    return trackers;
  }

  Tracker* AnyTracker() {
    std::vector<Tracker*> running;
    for (const auto& tracker : trackers_) {
      if (tracker->running()) running.push_back(tracker.get());
    }
    return running.empty() ? nullptr : loop_.Pick(running);
  }

  // Those that operators have not removed.
  std::vector<Member*> Live() const {
    std::vector<Member*> live;
    for (const auto& member : members_) {
      if (!member->retired()) live.push_back(member.get());
    }
    return live;
  }

  // One that a client may ask.
  Member* AnyRunning() {
    std::vector<Member*> running;
    for (Member* member : Live()) {
      if (member->running()) running.push_back(member);
    }
    return running.empty() ? nullptr : loop_.Pick(running);
  }

  // One that takes changes.
  Member* AnyTaking() {
    std::vector<Member*> running;
    for (Member* member : Live()) {
      if (member->running() && !member->draining()) running.push_back(member);
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
    wish.replicas = 1 + static_cast<uint32_t>(loop_.Draw(Live().size()));
    wish.required = loop_.Chance(0.4);
    return wish;
  }

  using Issue =
      std::function<void(Member*, const ReplicaWish&, const Member::Answer&)>;

  // Makes a call at any member, and tells the oracle what is answered. A client
  // that has heard nothing, or not what it wanted, asks again. `name` is what
  // the file is, or becomes; `from` of what.
  void Make(CallKind kind, const std::string& what, const std::string& name,
            const std::string& from, bool may_repeat, const Issue& issue,
            const std::string& appended = std::string()) {
    MakeOnce(kind, what, name, from, issue, appended);
    if (!may_repeat || !loop_.Chance(profile_.repeats)) return;
    loop_.After(
        loop_.Between(absl::ZeroDuration(), absl::Seconds(4)),
        [this, kind, what, name, from, issue, appended, round = rounds_begun_] {
          if (calm_ || round != rounds_begun_) return;
          MakeOnce(kind, what, name, from, issue, appended);
        });
  }

  void MakeOnce(CallKind kind, const std::string& what, const std::string& name,
                const std::string& from, const Issue& issue,
                const std::string& appended = std::string()) {
    Member* const member = AnyTaking();
    if (member != nullptr) {
      MakeAt(member, kind, what, name, from, issue, appended);
    }
  }

  void MakeAt(Member* member, CallKind kind, const std::string& what,
              const std::string& name, const std::string& from,
              const Issue& issue, const std::string& appended = std::string()) {
    const ReplicaWish wish = DrawWish();
    const std::string to = from.empty() ? "" : absl::StrCat(from, " to ");
    loop_.Trace(what, " ", to, name, " at ", member->name(), " replicas ",
                wish.replicas, wish.required ? " required" : "",
                wish.level == Durability::kSynced ? " synced" : "");
    issue(member, wish,
          [this, kind, what, name, from, wish, appended,
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
            oracle_.Done(kind, name, from, wish, *committed, appended);
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

  // A name that the member with this number makes: it says so, as all do.
  std::string NewName(uint32_t maker, uint8_t flags = 0) {
    FileIdFields fields;
    fields.node_number = maker;
    fields.flags = flags;
    fields.create_unix_seconds = static_cast<uint32_t>(
        absl::ToUnixSeconds(SimClock(&loop_, 1, absl::ZeroDuration()).Now()));
    fields.counter = static_cast<uint32_t>(++names_);
    return ids_.MakeName("group1", 0, fields, "");
  }

  void Put() {
    storage::PutRequest put;
    put.content = absl::Cord(DrawContent());
    if (profile_.dedup > 0 && loop_.Chance(profile_.dedup)) {
      put.dedup = true;
      put.content =
          absl::Cord(std::string(loop_.Chance(0.5) ? 700 : 70,
                                 static_cast<char>('a' + loop_.Draw(2))));
    }
    put.attributes = DrawAttributes();
    if (loop_.Chance(0.8)) put.request_id = loop_.DrawUuid();
    // A repeated put comes with another name.
    const auto issue = [this, put] {
      Member* const maker = AnyTaking();
      if (maker == nullptr) return;
      const std::string name = NewName(maker->node_number());
      oracle_.Tried(CallKind::kPut, name, std::string(put.content));
      MakeAt(maker, CallKind::kPut, "put", name, "",
             [put, name](Member* member, const ReplicaWish& wish,
                         const Member::Answer& answer) {
               storage::PutRequest request = put;
               request.name = name;
               member->Put(std::move(request), wish, answer);
             });
    };
    issue();
    if (put.request_id.is_nil() || !loop_.Chance(profile_.repeats)) return;
    loop_.After(loop_.Between(absl::ZeroDuration(), absl::Seconds(4)),
                [this, issue, round = rounds_begun_] {
                  if (!calm_ && round == rounds_begun_) issue();
                });
  }

  void PutAppender() {
    Member* const origin = AnyTaking();
    if (origin == nullptr) return;
    storage::PutRequest put;
    put.kind = storage::FileKind::kAppender;
    put.content = absl::Cord(DrawContent());
    put.attributes = DrawAttributes();
    put.request_id = loop_.DrawUuid();
    put.name = NewName(origin->node_number(), kFileIdAppender);
    oracle_.Tried(CallKind::kPutAppender, put.name, std::string(put.content));
    Make(CallKind::kPutAppender, "create", put.name, "", /*may_repeat=*/false,
         [origin, put](Member* /*any*/, const ReplicaWish& wish,
                       const Member::Answer& answer) {
           origin->Put(put, wish, answer);
         });
  }

  Member* ByNumber(uint32_t node_number) const {
    for (Member* member : Live()) {
      if (member->running() && member->node_number() == node_number) {
        return member;
      }
    }
    return nullptr;
  }

  // The member that takes the updates of an appender: its origin, or who that
  // or any other one says it is.
  Member* OriginOf(const std::string& name, const Member::Answer& answer) {
    const absl::StatusOr<FileIdFields> fields = DecodeFileName(name);
    if (fields.ok()) {
      Member* asked = ByNumber(fields->node_number);
      if (asked == nullptr) asked = AnyRunning();
      Member* const changer =
          asked == nullptr ? nullptr
                           : ByNumber(asked->ChangerOf(fields->node_number));
      // Clients that change there would not let it drain.
      if (changer != nullptr && !changer->draining()) return changer;
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
    if (profile_.cuts) oracle_.GrownBySnapshot(update.name);
    const char* const what = update.kind == Kind::kAppend   ? "append"
                             : update.kind == Kind::kModify ? "modify"
                                                            : "truncate";
    Make(
        CallKind::kUpdate, what, update.name, "", /*may_repeat=*/true,
        [this, update](Member* /*any*/, const ReplicaWish& wish,
                       const Member::Answer& answer) {
          Member* const origin = OriginOf(update.name, answer);
          if (origin != nullptr) origin->Update(update, wish, answer);
        },
        update.kind == Kind::kAppend ? std::string(update.content)
                                     : std::string());
  }

  void Seal() {
    storage::SealRequest seal;
    seal.name = oracle_.AnyAppender();
    if (seal.name.empty()) return;
    seal.request_id = loop_.DrawUuid();
    const absl::StatusOr<FileIdFields> fields = DecodeFileName(seal.name);
    if (!fields.ok()) return;
    const std::string sealed = NewName(fields->node_number);
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
    Member* const maker = AnyTaking();
    if (maker == nullptr) return;
    copy.request_id = loop_.DrawUuid();
    copy.name = NewName(maker->node_number());
    oracle_.Tried(CallKind::kCopy, copy.name);
    oracle_.CopyTried(copy.name, copy.from);
    MakeAt(maker, CallKind::kCopy, "copy", copy.name, copy.from,
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
    loop_.After(loop_.Between(absl::Milliseconds(50), most), [member] {
      if (!member->retired()) member->Start();
    });
  }

  void Fault() {
    Member* const member = loop_.Pick(Live());
    switch (loop_.Draw(25)) {
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
        if (!profile_.wipes || member->draining()) return;
        member->Kill(loop_.Chance(0.5));
        member->Wipe();
        sources_lost_ = true;
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
        for (const auto& tracker : trackers_) {
          if (loop_.Chance(0.5)) net_.Block(member->host(), tracker->host());
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
          if (!other->running() || !other->path()->broken()) {
            continue;
          }
          other->StopCleanly();
          StartLater(other.get(), absl::Seconds(5));
        }
        return;
      case 14:
      case 15:
        TrackerFault();
        return;
      case 16:
      case 17:
      case 18:
        if (profile_.membership) ChangeMembership();
        return;
      case 19:
      case 20:
        if (profile_.rot) Damage(member, /*lose=*/false);
        return;
      case 21:
      case 22:
        if (profile_.losses) Damage(member, /*lose=*/true);
        return;
      case 23:
      case 24: {
        if (!profile_.unreadable) return;
        // One that is there, and some that others are about to put.
        std::vector<std::string> names = {oracle_.AnyName()};
        for (uint64_t i = 1; i < 6; ++i) {
          names.push_back(absl::StrCat("f", names_ + i));
        }
        for (const std::string& name : names) {
          if (name.empty()) continue;
          loop_.Trace("what ", member->name(), " knows of ", name,
                      " cannot be read");
          oracle_.Damaged(name);
          member->disk()->SetUnreadable(name);
        }
        loop_.After(loop_.Between(absl::Seconds(1), absl::Seconds(15)),
                    [member] { member->disk()->MendUnreadable(); });
        return;
      }
      default:
        if (!profile_.clocks) return;
        member->clock()->JumpTo(DrawOffset());
        loop_.Trace("clock of ", member->name(), " is off by ",
                    absl::FormatDuration(member->clock()->offset()));
        return;
    }
  }

  // Of some files that come to mind the first one that can be.
  void Damage(Member* member, bool lose) {
    for (int attempts = 0; attempts < 8; ++attempts) {
      if (DamageFile(member, oracle_.AnyName(), lose)) return;
    }
  }

  // One of which another member has a good copy that no power cut takes.
  bool DamageFile(Member* member, const std::string& name, bool lose) {
    const DiskState::File* const here = member->disk()->now().Find(name);
    if (here == nullptr || here->known.deleted || here->content == nullptr ||
        here->known.file.expire_unix_seconds != 0 ||
        (lose && !member->running())) {
      return false;
    }
    const std::vector<Member*> live = Live();
    const bool elsewhere =
        std::any_of(live.begin(), live.end(), [&](Member* other) {
          return other != member &&
                 other->disk()->durable().Has(here->known.file,
                                              /*deleted=*/false,
                                              /*with_content=*/true,
                                              /*synced=*/true);
        });
    if (!elsewhere) return false;
    loop_.Trace(name, lose ? " is lost at " : " rots at ", member->name());
    oracle_.Damaged(name);
    if (lose) {
      oracle_.LostAt(member, name);
      member->path()->LoseFile(name);
      return true;
    }
    if (!member->disk()->Rot(name)) return false;
    // And so do all that share its bytes.
    for (const auto& [other, file] : member->disk()->now().files) {
      if (file.content == nullptr || !file.content->IsRotten()) continue;
      oracle_.Damaged(other);
      oracle_.LostAt(member, other);
    }
    return true;
  }

  void TrackerFault() {
    if (!profile_.tracker_faults) return;
    Tracker* const tracker = loop_.Pick(trackers_).get();
    switch (loop_.Draw(6)) {
      case 0:
        tracker->Kill(loop_.Chance(0.3));
        break;
      case 1:
        // What another one has lost with its disk nobody is to lose as well.
        if (tracker_wiped_) {
          tracker->Kill(/*dark=*/true);
        } else {
          tracker->PowerCut();
        }
        break;
      case 2: {
        // Of the last copy of what operators have decided nobody is to lose
        // the disk.
        if (trackers_.size() == 1) return;
        const bool all_run =
            std::all_of(trackers_.begin(), trackers_.end(),
                        [](const auto& one) { return one->running(); });
        // While it runs: afterwards nobody can say what it alone had.
        const bool settled = all_run && AreSettled();
        tracker->Kill(loop_.Chance(0.3));
        if (settled) {
          tracker->Wipe();
          tracker_wiped_ = true;
        }
        break;
      }
      case 3:
        if (trackers_.size() < 4) {
          loop_.Trace("one more tracker");
          AddTracker();
        }
        return;
      default: {
        Tracker* const other = loop_.Pick(trackers_).get();
        if (other == tracker) return;
        loop_.Trace("no way between ", tracker->name(), " and ", other->name());
        net_.Block(tracker->host(), other->host());
        if (loop_.Chance(0.6)) net_.Block(other->host(), tracker->host());
        return;
      }
    }
    loop_.After(loop_.Between(absl::Milliseconds(50), absl::Seconds(12)),
                [tracker] { tracker->Start(); });
  }

  // Whether all trackers that run know the same decisions.
  bool AreSettled() const {
    absl::optional<uint64_t> digest;
    for (const auto& tracker : trackers_) {
      if (!tracker->running()) continue;
      const uint64_t here = tracker->membership()->decisions_digest();
      if (digest.value_or(here) != here) return false;
      digest = here;
    }
    return true;
  }

  // ---- Operators.
  void ChangeMembership() {
    const std::vector<Member*> live = Live();
    std::vector<Member*> retired;
    for (const auto& member : members_) {
      if (member->retired()) retired.push_back(member.get());
    }
    switch (loop_.Draw(4)) {
      case 0:
        if (members_.size() >= 6) return;
        loop_.Trace("one more member");
        AddMember();
        return;
      case 1: {
        // The group is never to have fewer than two left, whichever tracker is
        // asked.
        if (live.size() < 3) return;
        Member* const member = loop_.Pick(live);
        if (std::any_of(live.begin(), live.end(),
                        [](Member* other) { return other->draining(); })) {
          return;
        }
        Drain(member);
        return;
      }
      case 2: {
        if (live.size() < 3) return;
        Member* const member = loop_.Pick(live);
        if (member->draining()) return;
        Remove(member, /*force=*/true);
        return;
      }
      default:
        // One that was away for longer than tombstones are kept may bring back
        // what was deleted meanwhile: docs/known_issues.md.
        if (!retired.empty() && !profile_.cuts &&
            retention_ >= absl::Hours(24)) {
          Restore(loop_.Pick(retired));
        }
        return;
    }
  }

  void Drain(Member* member) {
    Tracker* const tracker = AnyTracker();
    if (tracker == nullptr) return;
    tracker::SetNodeWish wish;
    wish.node_uuid = member->uuid().ToString();
    wish.role = NodeRole::kDraining;
    const absl::Status drained =
        tracker->Decide([wish](const tracker::OperatorView& view) {
          return tracker::PlanSetNode(view, wish);
        });
    loop_.Trace("drain ", member->name(), " at ", tracker->name(), ": ",
                drained.ToString());
    if (!drained.ok()) return;
    member->SetDraining(true);
    RemoveDrainedLater(member, 4);
  }

  void RemoveDrainedLater(Member* member, int attempts) {
    loop_.After(loop_.Between(absl::Seconds(4), absl::Seconds(8)),
                [this, member, attempts] {
                  if (!member->draining() || member->retired() || calm_) return;
                  if (Live().size() >= 3 && Remove(member, /*force=*/false))
                    return;
                  if (attempts > 1) RemoveDrainedLater(member, attempts - 1);
                });
  }

  bool Remove(Member* member, bool force) {
    Tracker* const tracker = AnyTracker();
    if (tracker == nullptr) return false;
    // One that is removed by force is dead, and its disk perhaps with it.
    if (force) member->Kill(loop_.Chance(0.5));
    const std::string uuid = member->uuid().ToString();
    const absl::Status removed =
        tracker->Decide([uuid, force](const tracker::OperatorView& view) {
          return tracker::PlanRemoveNode(view, uuid, force, "");
        });
    loop_.Trace("remove ", member->name(), force ? " by force" : "", " at ",
                tracker->name(), ": ", removed.ToString());
    if (!removed.ok()) {
      if (force) StartLater(member, absl::Seconds(8));
      return false;
    }
    oracle_.Retire(member, force);
    sources_lost_ = sources_lost_ || force;
    member->SetRetired(true);
    // It is stopped some time later.
    loop_.After(loop_.Between(absl::ZeroDuration(), absl::Seconds(10)),
                [member] {
                  if (member->retired()) member->StopCleanly();
                });
    return true;
  }

  void Restore(Member* member) {
    Tracker* const tracker = AnyTracker();
    if (tracker == nullptr) return;
    const std::string uuid = member->uuid().ToString();
    const auto decide = [tracker](const auto& planner) {
      return tracker->Decide(planner);
    };
    bool heard = false;  // Of the removal, by this tracker.
    const absl::Status restored =
        decide([uuid, &heard](const tracker::OperatorView& view) {
          absl::StatusOr<tracker::OperatorPlan> plan =
              tracker::PlanRestoreNode(view, uuid, "");
          heard = plan.ok() && !plan->decisions.empty();
          return plan;
        });
    loop_.Trace("restore ", member->name(), " at ", tracker->name(), ": ",
                restored.ToString());
    if (!restored.ok() || !heard) return;
    tracker::SetNodeWish wish;
    wish.node_uuid = uuid;
    wish.clear_role = true;
    const absl::Status used = decide([wish](const tracker::OperatorView& view) {
      return tracker::PlanSetNode(view, wish);
    });
    loop_.Trace("  and used again: ", used.ToString());
    member->SetDraining(false);
    member->SetRetired(false);
    StartLater(member, absl::Seconds(3));
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
    for (const auto& tracker : trackers_) tracker->Start();
    for (const auto& member : members_) member->disk()->MendUnreadable();
    for (const auto& member : members_) {
      if (member->running() &&
          (member->retired() || member->path()->broken())) {
        member->StopCleanly();
      }
      if (!member->retired()) member->Start();
    }
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
    oracle_.CheckAll(Live());
    if (unrest.empty()) CheckPlacement();
    loop_.Trace("checked");
  }

  // Uploads go to members that take them, whichever tracker says where.
  void CheckPlacement() {
    for (const auto& tracker : trackers_) {
      const std::shared_ptr<const ClusterModel> model =
          tracker->membership()->Model();
      bool anybody = false;
      for (Member* member : Live()) anybody = anybody || !member->draining();
      for (size_t i = 0; i < members_.size(); ++i) {
        const absl::StatusOr<UploadPlace> place =
            placer_.PlaceUpload(*model, UploadQuery());
        if (!place.ok()) {
          if (anybody) {
            oracle_.Fail(tracker->name(), " knows nobody who takes an upload: ",
                         place.status().ToString());
          }
          break;
        }
        const Member* const member = ByNumber(place->node->number);
        if (member == nullptr || member->draining() ||
            place->node->address != member->address()) {
          oracle_.Fail(tracker->name(), " sends an upload to ",
                       place->node->name, " at ", place->node->address,
                       ", which takes none there");
        }
      }
    }
  }

  // What trackers and members have yet to agree on.
  std::string Disagreement() {
    if (!AreSettled()) return "trackers know different decisions";
    const std::vector<Member*> live = Live();
    std::vector<std::string> wanted;
    for (Member* member : live) wanted.push_back(member->address());
    std::sort(wanted.begin(), wanted.end());
    for (const auto& tracker : trackers_) {
      std::vector<std::string> known;
      for (const auto& node : tracker->membership()->Snapshot().nodes) {
        if (node.state != NodeState::kActive) {
          return absl::StrCat(tracker->name(), " has not heard ",
                              node.identity.name);
        }
        const NodeRole role = node.effective.role;
        const Member* const member = ByNumber(node.identity.node_number);
        if (member != nullptr &&
            member->draining() != (role == NodeRole::kDraining)) {
          return absl::StrCat(tracker->name(), " has ", node.identity.name,
                              " in another role");
        }
        known.push_back(node.identity.address);
      }
      std::sort(known.begin(), known.end());
      if (known != wanted) {
        return absl::StrCat(tracker->name(), " knows other members");
      }
    }
    for (Member* member : live) {
      std::vector<std::string> others = wanted;
      others.erase(std::find(others.begin(), others.end(), member->address()));
      if (member->PeersKnown() != others) {
        return absl::StrCat(member->name(), " knows other members");
      }
      for (const auto& origin : members_) {
        const uint32_t number = origin->node_number();
        const uint32_t changer = member->ChangerOf(number);
        if (changer != live.front()->ChangerOf(number)) {
          return absl::StrCat(member->name(), " and ", live.front()->name(),
                              " have different members change appenders of ",
                              origin->name());
        }
        if (ByNumber(changer) == nullptr) {
          return absl::StrCat("nobody changes appenders of ", origin->name(),
                              ", says ", member->name());
        }
      }
    }
    return std::string();
  }

  // What is still to be done somewhere; empty: nothing is.
  std::string Unrest() {
    calls_.erase(
        std::remove_if(calls_.begin(), calls_.end(),
                       [](const auto& call) { return call.expired(); }),
        calls_.end());
    if (!calls_.empty()) return "a client waits for its answer";
    const std::string disagreement = Disagreement();
    if (!disagreement.empty()) return disagreement;
    const std::vector<Member*> members = Live();
    // Who was half way through a snapshot of a member that is gone, or has lost
    // its disk, has files that no log tells of: members that compare find them,
    // sooner or later.
    std::string differences;
    if (profile_.upkeep || sources_lost_) differences = Differences(members);
    if (!profile_.upkeep && !differences.empty()) {
      for (Member* member : members) {
        member->replicator()->upkeep()->comparer()->Start().IgnoreError();
      }
    }
    std::map<storage::LogId, uint64_t> most;
    for (Member* member : members) {
      if (member->path()->broken()) {
        return absl::StrCat(member->name(), " is broken");
      }
      for (const storage::LogRange& log : member->path()->Logs()) {
        most[log.log] = std::max(most[log.log], log.applied);
      }
    }
    for (Member* member : members) {
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
        const bool elsewhere =
            std::any_of(members.begin(), members.end(), [&name](Member* other) {
              const DiskState::File* const there =
                  other->disk()->now().Find(name);
              return there != nullptr && !there->known.deleted &&
                     there->has_good_content();
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
      if (progress.set_aside_changes > 0 ||
          !member->path()->ListSetAside().empty()) {
        return absl::StrCat(member->name(), " has set changes aside");
      }
      if (member->replicator()->waits()->waiting() > 0) {
        return absl::StrCat("somebody waits at ", member->name());
      }
    }
    return differences;
  }

  // What comparisons and scrubs have yet to find.
  std::string Differences(const std::vector<Member*>& members) {
    for (Member* member : members) {
      for (const auto& [name, file] : member->disk()->now().files) {
        if (file.known.deleted) continue;
        for (Member* other : members) {
          const DiskState::File* const there = other->disk()->now().Find(name);
          if (there == nullptr) {
            return absl::StrCat(other->name(), " does not know ", name);
          }
          if (!there->known.deleted &&
              !(there->known.file.version == file.known.file.version)) {
            return absl::StrCat(name, " is another version at ", other->name());
          }
          if (!there->known.deleted && file.has_good_content() &&
              there->content != nullptr && there->content->IsRotten()) {
            return absl::StrCat(name, " is damaged at ", other->name());
          }
        }
      }
    }
    return std::string();
  }

  EventLoop loop_;
  FileIdCodec ids_{"secret"};
  Network net_;
  DiskFaults disk_faults_;
  Uuid cluster_id_;
  std::vector<std::unique_ptr<Tracker>> trackers_;
  std::vector<std::unique_ptr<Member>> members_;
  Oracle oracle_;
  const Profile profile_;
  Placer placer_;
  Mutations mutations_;
  absl::Duration retention_;
  std::vector<std::weak_ptr<int>> calls_;  // Under way.
  bool calm_ = true;
  bool tracker_wiped_ = false;
  bool sources_lost_ = false;  // Of snapshots that members may be taking.
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
