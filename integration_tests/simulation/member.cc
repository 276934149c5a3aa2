#include "integration_tests/simulation/member.h"

#include <algorithm>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/checksum/crc32c.h"
#include "services/storage/core/peer_answers.h"
#include "services/storage/core/upload_end.h"

namespace cairn {
namespace simulation {

using storage::CommitDone;
using storage::Committed;
using storage::FetchListener;
using storage::FetchWish;
using storage::FileInfo;
using storage::MayBeElsewhere;
using storage::OpenFile;
using storage::Peer;
using storage::PeerAnswers;
using storage::PeerStream;
using storage::ReplicatedChange;
using storage::Replicator;
using storage::ReplicaWish;
using storage::Upload;

namespace {

constexpr absl::Duration kTick = absl::Milliseconds(200);
constexpr absl::Duration kReportInterval = absl::Seconds(1);

// A tracker that is silent for so long is not there.
constexpr absl::Duration kTrackerPatience = absl::Seconds(8);

// As in read_through_path.cc.
constexpr absl::Duration kPeerPatience = absl::Seconds(5);

storage::ReplicatorOptions Options(bool upkeep, bool compare) {
  storage::ReplicatorOptions options;
  options.fetches_max = 2;
  options.away_after = absl::Seconds(2);
  options.retry_longest = absl::Seconds(8);
  // Without, the logs alone have to make members equal.
  options.upkeep.scrubber.bytes_per_second = upkeep ? 1 << 20 : 0;
  options.upkeep.scrubber.first_pause = absl::Seconds(3);
  options.upkeep.scrubber.pause = absl::Seconds(5);
  options.upkeep.comparer.first_pause = absl::Seconds(2);
  options.upkeep.comparer.interval =
      upkeep && compare ? absl::Seconds(4) : absl::ZeroDuration();
  options.upkeep.repairs.backoff_longest = absl::Seconds(8);
  return options;
}

absl::Status QueueFull() {
  return ErrorWithReason(absl::StatusCode::kResourceExhausted,
                         ErrorReason::kOverloaded, "the queue is full");
}

absl::Status NotHeardOf() {
  return ErrorWithReason(absl::StatusCode::kUnavailable,
                         ErrorReason::kContentNotHere,
                         "another member has deleted it");
}

// As in copy_call.cc.
bool MayBeRead(const absl::Status& status) {
  const ErrorReason reason = ReasonOf(status);
  return reason == ErrorReason::kNotSupported ||
         reason == ErrorReason::kContentNotHere ||
         reason == ErrorReason::kFileNotFound;
}

}  // namespace

// A file that is asked of the other members, one after the other, as
// ReadThroughPath does it on a thread that waits. With kIfDeleted only that
// somebody knows it to be deleted is the last word, if it is here.
class Member::PeerRead : public FetchListener,
                         public std::enable_shared_from_this<PeerRead> {
 public:
  struct Result {
    FileInfo info;
    std::string content;
  };
  using Done = std::function<void(absl::StatusOr<Result>)>;
  enum class What { kContent, kInfo, kIfDeleted };

  PeerRead(Member* member, std::string name, What what,
           const absl::Status& here, Done done)
      : member_(member),
        name_(std::move(name)),
        what_(what),
        here_(here),
        answers_(here),
        done_(std::move(done)),
        peers_(member->replicator()->PeersFor(0)) {
    // That a clock which is an hour wrong hides a new member is known.
    const absl::Time now =
        SimClock(member->loop_, 1, absl::ZeroDuration()).Now();
    if (!member->replicator()->peers_known() ||
        !member->process_->members->KnowsMakerOf(name_, now)) {
      answers_.CannotAsk();
    }
  }

  // Lives until it has answered, or the process ends.
  void Begin() {
    member_->process_->reads.insert(shared_from_this());
    AskNext();
  }

  void AskNext() {
    if (asked_ == peers_.size()) {
      Finish(is_here() ? here_ : answers_.Verdict());
      return;
    }
    FetchWish wish;
    wish.name = name_;
    if (what_ != What::kContent) wish.length = 0;
    result_ = Result();
    has_info_ = false;
    given_up_ = absl::OkStatus();
    const size_t attempt = ++asked_;
    stream_ = member_->process_->transport->StartFetch(peers_[attempt - 1], 0,
                                                       wish, this);
    stream_->Next();
    member_->loop_->After(kPeerPatience, [weak = weak_from_this(), attempt] {
      const std::shared_ptr<PeerRead> read = weak.lock();
      if (read == nullptr || read->asked_ != attempt) return;
      read->GiveUp(absl::UnavailableError("the member does not answer"));
    });
  }

  void OnInfo(const FileInfo& info) override {
    result_.info = info;
    result_.info.name = name_;
    has_info_ = true;
    stream_->Next();
  }
  void OnChunk(absl::Cord data) override {
    result_.content += std::string(data);
    stream_->Next();
  }
  void OnEnd(const absl::Status& status) override {
    const std::shared_ptr<PeerRead> self = shared_from_this();
    absl::Status said = status;
    said.Update(given_up_);
    if (said.ok() && !has_info_) {
      said = absl::UnavailableError("the stream has ended");
    }
    if (said.ok() && what_ == What::kContent &&
        static_cast<int64_t>(result_.content.size()) !=
            result_.info.size_bytes) {
      said = absl::UnavailableError("the stream has ended early");
    }
    const bool is_deleted = ReasonOf(said) == ErrorReason::kFileDeleted;
    if (is_here() ? !is_deleted : !answers_.IsLastWord(said)) {
      member_->loop_->After(absl::ZeroDuration(), [weak = weak_from_this()] {
        const auto read = weak.lock();
        if (read != nullptr) read->AskNext();
      });
      return;
    }
    if (said.ok()) {
      Finish(std::move(result_));
    } else {
      Finish(said);
    }
  }

 private:
  bool is_here() const { return ReasonOf(here_) == ErrorReason::kFileExists; }
  void GiveUp(const absl::Status& why) {
    given_up_.Update(why);
    stream_->Cancel();
  }
  void Finish(absl::StatusOr<Result> result) {
    ++asked_;  // No timeout counts any more.
    const std::shared_ptr<PeerRead> self = shared_from_this();
    member_->process_->reads.erase(self);
    Done done = std::move(done_);
    done(std::move(result));
  }

  Member* const member_;
  const std::string name_;
  const What what_;
  const absl::Status here_;
  PeerAnswers answers_;
  Done done_;
  const std::vector<Peer> peers_;
  size_t asked_ = 0;
  std::shared_ptr<PeerStream> stream_;
  Result result_;
  bool has_info_ = false;
  absl::Status given_up_;
};

// The way to one tracker, as TrackerLinks keeps it.
class Member::TrackerLink : public AttachListener {
 public:
  TrackerLink(Member* member, Tracker* tracker)
      : member_(member), tracker_(tracker) {}
  ~TrackerLink() override {
    if (attachment_ != nullptr) attachment_->listener = nullptr;
  }

  // Connects if it has to, reports, and gives up who is silent.
  void Drive() {
    const absl::Duration now = member_->loop_->now();
    if (attachment_ != nullptr && now - attachment_->heard > kTrackerPatience) {
      Leave();
      return;
    }
    if (attachment_ != nullptr) {
      tracker_->Report(attachment_, member_->StatusForTrackers());
    } else if (now >= retry_at_) {
      attachment_ =
          tracker_->Connect(member_->host(), member_->IdentityForTrackers(),
                            member_->StatusForTrackers(), this);
    }
  }

  void Leave() {
    if (attachment_ == nullptr) return;
    const std::shared_ptr<Attachment> left = std::move(attachment_);
    attachment_ = nullptr;
    tracker_->Leave(left);
  }

  void OnPeers(const tracker::v1::GroupPeers& peers) override {
    member_->process_->members->Merge(tracker_->address(), peers,
                                      member_->clock_.Monotonic(), /*paths=*/1,
                                      member_->TakePeers());
  }

  void OnEnded(const absl::Status& status) override {
    attachment_ = nullptr;
    const bool needs_a_person = ReasonOf(status) == ErrorReason::kNodeRemoved;
    retry_at_ = member_->loop_->now() +
                (needs_a_person ? absl::Seconds(5) : absl::Seconds(1));
  }

 private:
  Member* const member_;
  Tracker* const tracker_;
  std::shared_ptr<Attachment> attachment_;
  absl::Duration retry_at_ = absl::ZeroDuration();
};

Member::Member(const MemberOptions& options, const DiskFaults* faults,
               EventLoop* loop, Network* net)
    : options_(options),
      faults_(faults),
      loop_(loop),
      net_(net),
      name_(absl::StrCat("m", options.node_number)),
      uuid_(loop->DrawUuid()),
      clock_(loop, options.clock_rate, options.clock_offset),
      disk_(loop),
      address_(absl::StrCat(name_, ":1")) {}

Member::~Member() { Kill(/*dark=*/false); }

tracker::NodeIdentity Member::IdentityForTrackers() const {
  tracker::NodeIdentity identity;
  identity.node_uuid = uuid_.ToString();
  identity.node_number = options_.node_number;
  identity.name = name_;
  identity.group = kGroup;
  identity.cluster_id = options_.cluster_id.ToString();
  identity.address = address_;
  return identity;
}

tracker::NodeStatus Member::StatusForTrackers() const {
  const storage::ReplicationProgress progress =
      process_->replicator->Progress();
  const storage::StorePathStatus path = process_->path->Status();
  tracker::StorePathStatus said;
  said.space.writable = path.state == storage::StorePathState::kActive;
  said.space.readable = path.state != storage::StorePathState::kOffline;
  said.space.total_bytes = path.total_bytes;
  said.space.free_bytes = path.free_bytes;
  said.space.files = path.files;
  said.space.syncing = progress.syncing;
  said.incarnation = path.incarnation.ToString();
  for (const storage::PeerProgress& peer : progress.peers) {
    said.behind_changes = std::max(said.behind_changes, peer.behind_changes);
  }
  said.missing_contents = progress.missing_contents;
  said.changes_only_here = progress.changes_only_here;
  said.under_replicated_changes = progress.under_replicated_changes;
  tracker::NodeStatus status;
  status.store_paths.push_back(said);
  return status;
}

storage::GroupMembers::SetPeers Member::TakePeers() {
  return [this](size_t /*path*/, std::vector<Peer> peers, bool all_known) {
    process_->replicator->SetPeers(std::move(peers), all_known);
  };
}

void Member::DriveLinks() {
  for (const auto& link : process_->links) link->Drive();
  loop_->After(loop_->Between(kReportInterval / 2, kReportInterval),
               [this, alive = alive_] {
                 if (*alive) DriveLinks();
               });
}

void Member::Start() {
  if (running()) return;
  ++starts_;
  // Now and then it comes back elsewhere.
  if (loop_->Chance(0.2)) address_ = absl::StrCat(name_, ":", starts_);
  loop_->Trace("start ", name_, " at ", address_);
  process_ = std::make_unique<Process>();
  const std::vector<Tracker*> trackers = options_.trackers();
  process_->members = std::make_unique<storage::GroupMembers>(
      options_.node_number, trackers.size());
  alive_ = std::make_shared<bool>(true);
  if (disk_.suspect()) lost_unsynced_ = loop_->now();
  process_->path = std::make_shared<ModelPath>(options_.path, faults_, &disk_,
                                               loop_, &clock_);
  process_->transport = net_->MakeTransport(options_.host, uuid_);
  process_->replicator = std::make_unique<Replicator>(
      Options(options_.upkeep, !options_.mutations.compare_nothing),
      [path = process_->path]() -> std::shared_ptr<storage::StorePath> {
        return path;
      },
      process_->transport.get(), &clock_, [this] { TickSoon(); });
  storage::ReplicaGateOptions gate_options;
  gate_options.node_number = options_.node_number;
  gate_options.changer_of = [this](uint32_t origin) {
    return ChangerOf(origin);
  };
  process_->gate = std::make_unique<storage::ReplicaGate>(
      [this](uint8_t) { return process_->replicator.get(); }, gate_options,
      &clock_);
  process_->serving = {
      uuid_, process_->path, process_->replicator.get(),
      [this](const Uuid& caller) {
        return process_->members->removed().Check(caller.ToString());
      }};
  net_->Serve(options_.host, address_, &process_->serving);
  Tick();
  for (Tracker* tracker : trackers) {
    process_->links.push_back(std::make_unique<TrackerLink>(this, tracker));
  }
  DriveLinks();
}

void Member::Tick() {
  process_->members->Tick(clock_.Monotonic(), /*paths=*/1, TakePeers());
  process_->replicator->Tick();
  if (loop_->Chance(0.05)) process_->path->LookAtExpiries();
  if (loop_->Chance(0.05)) process_->path->CutLogs();
  loop_->After(loop_->Between(kTick / 2, kTick), [this, alive = alive_] {
    if (*alive) Tick();
  });
}

void Member::TickSoon() {
  if (process_ == nullptr || process_->tick_due) return;
  process_->tick_due = true;
  loop_->After(loop_->Between(absl::ZeroDuration(), absl::Milliseconds(1)),
               [this, alive = alive_] {
                 if (!*alive) return;
                 process_->tick_due = false;
                 process_->replicator->Tick();
               });
}

// What is under way in the process ends without reaching anybody.
void Member::End(bool dark) {
  *alive_ = false;
  if (!dark) {
    for (const auto& link : process_->links) link->Leave();
  }
  process_->links.clear();
  process_->path->Kill();
  net_->Gone(options_.host, dark);
  do {
    net_->EndOpenedBy(options_.host);
    process_->path->executor()->Drain();
  } while (!process_->replicator->Stop());
  process_->reads.clear();
  process_->gate.reset();
  process_->replicator.reset();
  process_.reset();
}

void Member::Kill(bool dark) {
  if (!running()) return;
  loop_->Trace("kill ", name_, dark ? ", dark" : "");
  End(dark);
}

void Member::PowerCut() {
  if (running()) {
    loop_->Trace("power cut ", name_);
    End(/*dark=*/true);
  }
  disk_.PowerCut();
  lost_unsynced_ = loop_->now();
}

void Member::StopCleanly() {
  if (!running()) return;
  loop_->Trace("stop ", name_);
  process_->path->Stop();
  End(/*dark=*/false);
}

void Member::Wipe() {
  CAIRN_CHECK(!running());
  loop_->Trace("wipe ", name_);
  disk_.Wipe();
  lost_unsynced_ = loop_->now();
  lost_all_ = loop_->now();
}

void Member::SetRetired(bool retired) {
  retired_ = retired;
  lost_unsynced_ = loop_->now();
  lost_all_ = loop_->now();
}

uint32_t Member::ChangerOf(uint32_t origin_node) const {
  // As if nobody had said anything.
  if (options_.mutations.anybody_changes) return options_.node_number;
  return process_->members->removed().ChangerOf(origin_node);
}

std::vector<std::string> Member::PeersKnown() const {
  std::vector<std::string> known;
  for (const Peer& peer : process_->replicator->PeersFor(0)) {
    known.push_back(peer.address);
  }
  std::sort(known.begin(), known.end());
  return known;
}

void Member::Guard(
    const ReplicaWish& asked, Answer answer,
    const std::function<void(const ReplicaWish&, CommitDone)>& change) {
  ReplicaWish wish = asked;
  absl::StatusOr<Replicator::AckInterest> interest =
      process_->gate->Admit(0, &wish);
  if (!interest.ok()) {
    answer(interest.status());
    return;
  }
  // Held until it is answered.
  auto held = std::make_shared<Replicator::AckInterest>(*std::move(interest));
  change(wish, [this, wish, held, answer = std::move(answer),
                alive = alive_](absl::StatusOr<Committed> committed) {
    if (!*alive) return;
    process_->gate->Confirm(
        0, wish, std::move(committed),
        [held, answer, alive](absl::StatusOr<Committed> confirmed) {
          if (*alive) answer(std::move(confirmed));
        });
  });
}

void Member::Put(storage::PutRequest put, const ReplicaWish& wish,
                 Answer answer) {
  if (put.kind == storage::FileKind::kDerived) {
    const absl::Status admitted = process_->gate->AdmitDerived(0);
    if (!admitted.ok()) {
      answer(admitted);
      return;
    }
  }
  Guard(wish, std::move(answer),
        [this, &put](const ReplicaWish& admitted, CommitDone done) {
          put.durability = admitted.level;
          PutHere(std::move(put), std::move(done));
        });
}

void Member::GuardUpdate(
    const std::string& name, const ReplicaWish& wish, Answer answer,
    const std::function<void(const ReplicaWish&, CommitDone)>& change) {
  const absl::Status updatable = process_->gate->AdmitUpdate(0, name);
  if (!updatable.ok()) {
    answer(updatable);
    return;
  }
  Guard(wish, std::move(answer), change);
}

void Member::PutHere(storage::PutRequest put, CommitDone done) {
  put.crc32c = Crc32c(put.content);
  put.origin_node = options_.node_number;
  const std::shared_ptr<ModelPath> path = process_->path;
  const auto size = static_cast<int64_t>(put.content.size());
  if (size <= path->small_file_bytes_max()) {
    path->Put(std::move(put), std::move(done));
    return;
  }
  auto moved = std::make_shared<CommitDone>(std::move(done));
  const bool queued = path->io()->TrySubmit([path, moved, put, size]() mutable {
    auto started = path->StartUpload(size);
    if (!started.ok()) {
      (*moved)(started.status());
      return;
    }
    const std::shared_ptr<Upload> upload = *std::move(started);
    if (put.dedup) upload->Share();
    const absl::Status written = upload->Write(put.content);
    if (!written.ok()) {
      (*moved)(written);
      return;
    }
    upload->Finish(storage::FinishOf(&put),
                   [moved, upload](absl::StatusOr<Committed> committed) {
                     (*moved)(std::move(committed));
                   });
  });
  if (!queued) (*moved)(QueueFull());
}

void Member::Delete(storage::DeleteRequest del, const ReplicaWish& wish,
                    Answer answer) {
  Guard(wish, std::move(answer),
        [this, &del](const ReplicaWish& admitted, CommitDone done) {
          del.durability = admitted.level;
          // What others know to be deleted they are to purge.
          const bool theirs = del.purge;
          ChangeKnown(&storage::StorePath::Delete, std::move(del),
                      std::move(done), theirs);
        });
}

void Member::SetAttributes(storage::SetAttributesRequest set,
                           const ReplicaWish& wish, Answer answer) {
  GuardUpdate(set.name, wish, std::move(answer),
              [this, &set](const ReplicaWish& admitted, CommitDone done) {
                set.durability = admitted.level;
                ChangeKnown(&storage::StorePath::SetAttributes, std::move(set),
                            std::move(done));
              });
}

void Member::SetExpiry(storage::SetExpiryRequest set, const ReplicaWish& wish,
                       Answer answer) {
  GuardUpdate(set.name, wish, std::move(answer),
              [this, &set](const ReplicaWish& admitted, CommitDone done) {
                set.durability = admitted.level;
                ChangeKnown(&storage::StorePath::SetExpiry, std::move(set),
                            std::move(done));
              });
}

void Member::Undelete(storage::UndeleteRequest undelete,
                      const ReplicaWish& wish, Answer answer) {
  GuardUpdate(
      undelete.name, wish, std::move(answer),
      [this, &undelete](const ReplicaWish& admitted, CommitDone done) {
        undelete.durability = admitted.level;
        const std::string name = undelete.name;
        auto moved = std::make_shared<CommitDone>(std::move(done));
        process_->path->Undelete(
            std::move(undelete), [this, moved, name, alive = alive_](
                                     absl::StatusOr<Committed> committed) {
              const ErrorReason reason = ReasonOf(committed.status());
              if (*alive && (reason == ErrorReason::kFileNotFound ||
                             reason == ErrorReason::kFileExists)) {
                AskIfDeleted(name, committed.status(), std::move(*moved));
                return;
              }
              (*moved)(std::move(committed));
            });
      });
}

void Member::Update(storage::UpdateRequest update, const ReplicaWish& wish,
                    Answer answer) {
  GuardUpdate(update.name, wish, std::move(answer),
              [this, &update](const ReplicaWish& asked, CommitDone done) {
                update.durability = asked.level;
                update.crc32c = Crc32c(update.content);
                process_->path->Update(std::move(update), std::move(done));
              });
}

void Member::Seal(storage::SealRequest seal, const ReplicaWish& wish,
                  Answer answer) {
  GuardUpdate(seal.name, wish, std::move(answer),
              [this, &seal](const ReplicaWish& asked, CommitDone done) {
                seal.durability = asked.level;
                process_->path->Seal(std::move(seal), std::move(done));
              });
}

void Member::Copy(storage::CopyRequest copy, const ReplicaWish& wish,
                  Answer answer) {
  // Read where it is, and put here.
  auto by_value = [this, alive = alive_](const storage::CopyRequest& asked,
                                         std::shared_ptr<CommitDone> done) {
    Read(asked.from, [this, alive, asked, done = std::move(done)](
                         const absl::StatusOr<std::string>& content) {
      if (!*alive) return;
      if (!content.ok()) {
        (*done)(content.status());
        return;
      }
      storage::PutRequest put;
      put.request_id = asked.request_id;
      put.name = asked.name;
      put.content = absl::Cord(*content);
      put.attributes = asked.attributes;
      put.durability = asked.durability;
      PutHere(std::move(put), std::move(*done));
    });
  };
  Guard(wish, std::move(answer),
        [this, &copy, by_value](const ReplicaWish& admitted, CommitDone done) {
          copy.durability = admitted.level;
          copy.origin_node = options_.node_number;
          auto moved = std::make_shared<CommitDone>(std::move(done));
          const absl::StatusOr<FileInfo> from = process_->path->Stat(copy.from);
          if (!from.ok()) {
            if (MayBeElsewhere(from.status())) {
              by_value(copy, moved);
            } else {
              (*moved)(from.status());
            }
            return;
          }
          copy.size_bytes = from->size_bytes;
          copy.crc32c = from->crc32c;
          const storage::CopyRequest again = copy;
          process_->path->Copy(std::move(copy),
                               [moved, by_value, again, alive = alive_](
                                   absl::StatusOr<Committed> committed) {
                                 if (*alive && MayBeRead(committed.status())) {
                                   by_value(again, moved);
                                   return;
                                 }
                                 (*moved)(std::move(committed));
                               });
        });
}

template <typename Request>
void Member::ChangeKnown(void (storage::StorePath::*change)(Request,
                                                            CommitDone),
                         Request request, CommitDone done,
                         bool deleted_is_theirs) {
  const std::shared_ptr<ModelPath> path = process_->path;
  Request again = request;
  auto moved = std::make_shared<CommitDone>(std::move(done));
  (path.get()->*change)(
      std::move(request),
      [this, change, again, deleted_is_theirs, path, moved,
       alive = alive_](absl::StatusOr<Committed> committed) {
        if (!*alive ||
            ReasonOf(committed.status()) != ErrorReason::kFileNotFound) {
          (*moved)(std::move(committed));
          return;
        }
        Introduce(
            again.name,
            [moved, deleted_is_theirs](absl::StatusOr<Committed> changed) {
              if (deleted_is_theirs &&
                  ReasonOf(changed.status()) == ErrorReason::kFileDeleted) {
                changed = NotHeardOf();
              }
              (*moved)(std::move(changed));
            },
            [path, change, again](CommitDone introduced) {
              (path.get()->*change)(again, std::move(introduced));
            });
      });
}

void Member::Introduce(const std::string& name, CommitDone done,
                       std::function<void(CommitDone)> change) {
  auto moved = std::make_shared<CommitDone>(std::move(done));
  const auto make_known = [this, moved,
                           change = std::move(change)](const FileInfo& info) {
    ReplicatedChange known;
    known.mode = ReplicatedChange::Mode::kSnapshot;
    known.file = info;
    process_->path->Apply(std::move(known),
                          [moved, change](absl::StatusOr<Committed> applied) {
                            if (!applied.ok()) {
                              (*moved)(std::move(applied));
                              return;
                            }
                            change(std::move(*moved));
                          });
  };
  const absl::StatusOr<FileInfo> here = process_->path->Stat(name);
  if (here.ok()) {
    make_known(*here);
    return;
  }
  if (!MayBeElsewhere(here.status())) {
    (*moved)(here.status());
    return;
  }
  auto read = std::make_shared<PeerRead>(
      this, name, PeerRead::What::kInfo, here.status(),
      [make_known, moved](absl::StatusOr<PeerRead::Result> result) {
        if (!result.ok()) {
          (*moved)(result.status());
          return;
        }
        make_known(result->info);
      });
  read->Begin();
}

void Member::AskIfDeleted(const std::string& name, const absl::Status& here,
                          CommitDone done) {
  auto moved = std::make_shared<CommitDone>(std::move(done));
  auto read = std::make_shared<PeerRead>(
      this, name, PeerRead::What::kIfDeleted, here,
      [moved](const absl::StatusOr<PeerRead::Result>& result) {
        if (result.ok()) {
          (*moved)(ErrorWithReason(absl::StatusCode::kAlreadyExists,
                                   ErrorReason::kFileExists,
                                   "it is not deleted"));
        } else if (ReasonOf(result.status()) == ErrorReason::kFileDeleted) {
          (*moved)(NotHeardOf());
        } else {
          (*moved)(result.status());
        }
      });
  read->Begin();
}

void Member::Read(const std::string& name, ReadAnswer answer) {
  absl::StatusOr<std::unique_ptr<OpenFile>> file = process_->path->Open(name);
  absl::Status here = file.status();
  if (file.ok()) {
    const absl::StatusOr<absl::Cord> content =
        (*file)->Read(0, (*file)->info().size_bytes);
    if (content.ok()) {
      answer(std::string(*content));
      return;
    }
    here = content.status();
  }
  if (!MayBeElsewhere(here)) {
    answer(here);
    return;
  }
  auto read = std::make_shared<PeerRead>(
      this, name, PeerRead::What::kContent, here,
      [answer = std::move(answer),
       alive = alive_](absl::StatusOr<PeerRead::Result> result) {
        if (!*alive) return;
        if (!result.ok()) {
          answer(result.status());
          return;
        }
        if (Crc32c(result->content) != result->info.crc32c) {
          answer(absl::DataLossError("not what the member said that it is"));
          return;
        }
        answer(std::move(result->content));
      });
  read->Begin();
}

}  // namespace simulation
}  // namespace cairn
