#include "integration_tests/simulation/member.h"

#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/checksum/crc32c.h"
#include "services/storage/core/peer_answers.h"

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

constexpr absl::Duration kTick = absl::Milliseconds(100);

// As in read_through_path.cc.
constexpr absl::Duration kPeerPatience = absl::Seconds(5);

storage::ReplicatorOptions Options() {
  storage::ReplicatorOptions options;
  options.fetches_max = 2;
  options.away_after = absl::Seconds(2);
  // Here the logs alone have to make members equal, and the model looks after
  // them; upkeep_test has the rest.
  options.upkeep.scrubber.bytes_per_second = 0;
  options.upkeep.comparer.interval = absl::ZeroDuration();
  return options;
}

}  // namespace

// A file that is asked of the other members, one after the other, as
// ReadThroughPath does it on a thread that waits.
class Member::PeerRead : public FetchListener,
                         public std::enable_shared_from_this<PeerRead> {
 public:
  struct Result {
    FileInfo info;
    std::string content;
  };
  using Done = std::function<void(absl::StatusOr<Result>)>;

  // `with_content`: all of it, else only what is known.
  PeerRead(Member* member, std::string name, bool with_content,
           absl::Status here, Done done)
      : member_(member),
        name_(std::move(name)),
        with_content_(with_content),
        answers_(std::move(here)),
        done_(std::move(done)),
        peers_(member->replicator()->PeersFor(0)) {
    if (!member->replicator()->peers_known()) answers_.CannotAsk();
  }

  // Lives until it has answered, or the process ends.
  void Begin() {
    member_->process_->reads.insert(shared_from_this());
    AskNext();
  }

  void AskNext() {
    if (asked_ == peers_.size()) {
      Finish(answers_.Verdict());
      return;
    }
    FetchWish wish;
    wish.name = name_;
    if (!with_content_) wish.length = 0;
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
    if (said.ok() && with_content_ &&
        static_cast<int64_t>(result_.content.size()) !=
            result_.info.size_bytes) {
      said = absl::UnavailableError("the stream has ended early");
    }
    if (!answers_.IsLastWord(said)) {
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
  const bool with_content_;
  PeerAnswers answers_;
  Done done_;
  const std::vector<Peer> peers_;
  size_t asked_ = 0;
  std::shared_ptr<PeerStream> stream_;
  Result result_;
  bool has_info_ = false;
  absl::Status given_up_;
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

Peer Member::AsPeer() const {
  Peer peer;
  peer.node_uuid = uuid_;
  peer.node_number = options_.node_number;
  peer.name = name_;
  peer.address = address_;
  return peer;
}

void Member::Start() {
  if (running()) return;
  ++starts_;
  // Now and then it comes back elsewhere.
  if (loop_->Chance(0.2)) address_ = absl::StrCat(name_, ":", starts_);
  loop_->Trace("start ", name_, " at ", address_);
  process_ = std::make_unique<Process>();
  alive_ = std::make_shared<bool>(true);
  if (disk_.suspect()) lost_unsynced_ = loop_->now();
  process_->path = std::make_shared<ModelPath>(options_.path, faults_, &disk_,
                                               loop_, &clock_);
  process_->transport = net_->MakeTransport(options_.host, uuid_);
  process_->replicator = std::make_unique<Replicator>(
      Options(),
      [path = process_->path]() -> std::shared_ptr<storage::StorePath> {
        return path;
      },
      process_->transport.get(), &clock_, [this] { TickSoon(); });
  process_->gate = std::make_unique<storage::ReplicaGate>(
      [this](uint8_t) { return process_->replicator.get(); },
      storage::ReplicaGateOptions(), &clock_);
  process_->serving = {uuid_, process_->path, process_->replicator.get()};
  net_->Serve(options_.host, address_, &process_->serving);
  Tick();
}

void Member::Tick() {
  process_->replicator->Tick();
  if (loop_->Chance(0.05)) process_->path->DropTombstones();
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

void Member::SetPeers(std::vector<Peer> peers) {
  if (running()) process_->replicator->SetPeers(std::move(peers));
}

void Member::Put(const Uuid& request_id, const std::string& name,
                 const std::string& content, const ReplicaWish& asked,
                 Answer answer) {
  ReplicaWish wish = asked;
  absl::StatusOr<Replicator::AckInterest> interest =
      process_->gate->Admit(0, &wish);
  if (!interest.ok()) {
    answer(interest.status());
    return;
  }
  // Held until it is answered.
  auto held = std::make_shared<Replicator::AckInterest>(*std::move(interest));
  CommitDone done = [this, wish, held, answer = std::move(answer),
                     alive = alive_](absl::StatusOr<Committed> committed) {
    if (!*alive) return;
    process_->gate->Confirm(
        0, wish, std::move(committed),
        [held, answer, alive](absl::StatusOr<Committed> confirmed) {
          if (*alive) answer(std::move(confirmed));
        });
  };
  const std::shared_ptr<ModelPath> path = process_->path;
  if (static_cast<int64_t>(content.size()) <= path->small_file_bytes_max()) {
    storage::PutRequest put;
    put.request_id = request_id;
    put.name = name;
    put.content = absl::Cord(content);
    put.crc32c = Crc32c(content);
    put.origin_node = options_.node_number;
    put.durability = wish.level;
    path->Put(std::move(put), std::move(done));
    return;
  }
  auto moved = std::make_shared<CommitDone>(std::move(done));
  const bool queued = path->io()->TrySubmit(
      [this, path, moved, request_id, name, content, wish] {
        auto started = path->StartUpload(static_cast<int64_t>(content.size()));
        if (!started.ok()) {
          (*moved)(started.status());
          return;
        }
        const std::shared_ptr<Upload> upload = *std::move(started);
        const absl::Status written = upload->Write(absl::Cord(content));
        if (!written.ok()) {
          (*moved)(written);
          return;
        }
        Upload::FinishRequest finish;
        finish.request_id = request_id;
        finish.name = name;
        finish.origin_node = options_.node_number;
        finish.durability = wish.level;
        upload->Finish(std::move(finish),
                       [moved, upload](absl::StatusOr<Committed> committed) {
                         (*moved)(std::move(committed));
                       });
      });
  if (!queued) {
    (*moved)(ErrorWithReason(absl::StatusCode::kResourceExhausted,
                             ErrorReason::kOverloaded, "the queue is full"));
  }
}

void Member::Delete(const Uuid& request_id, const std::string& name,
                    const ReplicaWish& asked, Answer answer) {
  ReplicaWish wish = asked;
  absl::StatusOr<Replicator::AckInterest> interest =
      process_->gate->Admit(0, &wish);
  if (!interest.ok()) {
    answer(interest.status());
    return;
  }
  auto held = std::make_shared<Replicator::AckInterest>(*std::move(interest));
  CommitDone done = [this, wish, held, answer = std::move(answer),
                     alive = alive_](absl::StatusOr<Committed> committed) {
    if (!*alive) return;
    process_->gate->Confirm(
        0, wish, std::move(committed),
        [held, answer, alive](absl::StatusOr<Committed> confirmed) {
          if (*alive) answer(std::move(confirmed));
        });
  };
  storage::DeleteRequest del;
  del.request_id = request_id;
  del.name = name;
  del.durability = wish.level;
  auto moved = std::make_shared<CommitDone>(std::move(done));
  process_->path->Delete(
      std::move(del), [this, moved, request_id, name, wish,
                       alive = alive_](absl::StatusOr<Committed> committed) {
        if (*alive &&
            ReasonOf(committed.status()) == ErrorReason::kFileNotFound) {
          DeleteUnknown(request_id, name, wish, std::move(*moved));
          return;
        }
        (*moved)(std::move(committed));
      });
}

// As ReadThroughPath::DeleteUnknown().
void Member::DeleteUnknown(const Uuid& request_id, const std::string& name,
                           const ReplicaWish& wish, CommitDone done) {
  auto moved = std::make_shared<CommitDone>(std::move(done));
  const auto make_known = [this, request_id, name, wish,
                           moved](const FileInfo& info) {
    ReplicatedChange known;
    known.mode = ReplicatedChange::Mode::kSnapshot;
    known.file = info;
    const std::shared_ptr<ModelPath> path = process_->path;
    path->Apply(std::move(known), [path, request_id, name, wish,
                                   moved](absl::StatusOr<Committed> applied) {
      if (!applied.ok()) {
        (*moved)(std::move(applied));
        return;
      }
      storage::DeleteRequest del;
      del.request_id = request_id;
      del.name = name;
      del.durability = wish.level;
      path->Delete(std::move(del), std::move(*moved));
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
      this, name, /*with_content=*/false, here.status(),
      [make_known, moved](absl::StatusOr<PeerRead::Result> result) {
        if (!result.ok()) {
          (*moved)(result.status());
          return;
        }
        make_known(result->info);
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
      this, name, /*with_content=*/true, here,
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
