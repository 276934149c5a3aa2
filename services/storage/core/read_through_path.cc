#include "services/storage/core/read_through_path.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <functional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "lib/base/error_reason.h"
#include "lib/base/mutex.h"
#include "lib/base/status_macros.h"
#include "services/storage/core/peer_answers.h"
#include "services/storage/core/peer_transport.h"
#include "services/storage/core/queue_full.h"
#include "services/storage/core/replica_store.h"

namespace cairn {
namespace storage {
namespace {

// A peer that says nothing for so long is given up.
constexpr absl::Duration kPatience = absl::Seconds(5);

// A Fetch for a caller that waits. Kept alive by the transport's listener calls
// until OnEnd(), so a caller that gives up may go.
class WaitingFetch : public FetchListener,
                     public std::enable_shared_from_this<WaitingFetch> {
 public:
  static std::shared_ptr<WaitingFetch> Start(const ReadThroughPeers& peers,
                                             const Peer& peer,
                                             const FetchWish& wish) {
    auto fetch = std::make_shared<WaitingFetch>();
    fetch->self_ = fetch;
    std::shared_ptr<PeerStream> stream =
        peers.transport->StartFetch(peer, peers.store_path, wish, fetch.get());
    {
      MutexLock lock(&fetch->mu_);
      fetch->stream_ = stream;
    }
    stream->Next();
    return fetch;
  }

  // The stream goes on to its end by itself.
  void Abandon() {
    std::shared_ptr<PeerStream> stream;
    {
      MutexLock lock(&mu_);
      stream = stream_;
    }
    stream->Cancel();
  }

  absl::StatusOr<FileInfo> WaitForInfo() {
    const absl::Time end = absl::Now() + kPatience;
    MutexLock lock(&mu_);
    while (!info_.has_value()) CAIRN_RETURN_IF_ERROR(WaitForNews(end));
    return *info_;
  }

  // The next bytes; at the end an error.
  absl::StatusOr<absl::Cord> WaitForChunk() {
    std::shared_ptr<PeerStream> stream;
    {
      MutexLock lock(&mu_);
      if (chunk_.empty() && !ended_.has_value()) stream = stream_;
    }
    if (stream != nullptr) stream->Next();
    const absl::Time end = absl::Now() + kPatience;
    MutexLock lock(&mu_);
    while (chunk_.empty()) CAIRN_RETURN_IF_ERROR(WaitForNews(end));
    return std::exchange(chunk_, absl::Cord());
  }

  void OnInfo(const FileInfo& info) override {
    MutexLock lock(&mu_);
    info_ = info;
    changed_.SignalAll();
  }
  void OnChunk(absl::Cord data) override {
    MutexLock lock(&mu_);
    chunk_ = std::move(data);
    changed_.SignalAll();
  }
  void OnEnd(const absl::Status& status) override {
    std::shared_ptr<WaitingFetch> self;
    MutexLock lock(&mu_);
    self = std::move(self_);
    ended_ = status;
    changed_.SignalAll();
  }

 private:
  // Until something has happened; an error if nothing more will.
  absl::Status WaitForNews(absl::Time end) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (ended_.has_value()) {
      return ended_->ok() ? absl::UnavailableError("the stream has ended")
                          : *ended_;
    }
    const absl::Duration left = end - absl::Now();
    if (left <= absl::ZeroDuration()) {
      return absl::UnavailableError("the member does not answer");
    }
    changed_.WaitWithTimeout(&mu_, left);
    return absl::OkStatus();
  }

  Mutex mu_;
  CondVar changed_;
  std::shared_ptr<WaitingFetch> self_;  // Until OnEnd().
  std::shared_ptr<PeerStream> stream_ ABSL_GUARDED_BY(mu_);
  absl::optional<FileInfo> info_ ABSL_GUARDED_BY(mu_);
  absl::Cord chunk_ ABSL_GUARDED_BY(mu_);
  absl::optional<absl::Status> ended_ ABSL_GUARDED_BY(mu_);
};

// A share of the calls that may wait for other members.
class Turn {
 public:
  static absl::StatusOr<std::unique_ptr<Turn>> Take(std::atomic<int>* left) {
    if (left->fetch_sub(1) > 0) return std::make_unique<Turn>(left);
    left->fetch_add(1);
    return ErrorWithReason(
        absl::StatusCode::kResourceExhausted, ErrorReason::kOverloaded,
        "too many reads wait for other members: come back later");
  }
  explicit Turn(std::atomic<int>* left) : left_(left) {}
  ~Turn() { left_->fetch_add(1); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  std::atomic<int>* const left_;
};

// What a path passes on with; outlives its open files.
struct Remote {
  ReadThroughPeers peers;
  std::atomic<int> turns{0};

  // Asks one after the other. `what` is what this path itself said, and is said
  // if nobody knows better.
  template <typename Result, typename Ask>
  absl::StatusOr<Result> AskPeers(absl::string_view name,
                                  const absl::Status& what, Ask ask) {
    CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<Turn> turn,
                           Turn::Take(&turns));
    PeerAnswers answers(what);
    if (!peers.peers_known(name)) answers.CannotAsk();
    for (const Peer& peer : peers.peers()) {
      absl::StatusOr<Result> result = ask(peer);
      if (answers.IsLastWord(result.status())) return result;
    }
    return answers.Verdict();
  }
};

absl::StatusOr<FileInfo> AskInfo(const ReadThroughPeers& peers,
                                 const Peer& peer, absl::string_view name,
                                 const absl::optional<Version>& version) {
  FetchWish wish;
  wish.name = std::string(name);
  wish.version = version;
  wish.length = 0;
  const std::shared_ptr<WaitingFetch> fetch =
      WaitingFetch::Start(peers, peer, wish);
  absl::StatusOr<FileInfo> info = fetch->WaitForInfo();
  fetch->Abandon();
  if (info.ok()) info->name = std::string(name);
  return info;
}

// Of a deletion that another member knows: that one is to be asked.
absl::Status NotHeardOf(absl::string_view name) {
  return ErrorWithReason(
      absl::StatusCode::kUnavailable, ErrorReason::kContentNotHere,
      absl::StrCat("file ", name,
                   " was deleted at another member, and this one has not heard "
                   "of it yet: ask another one, or later"));
}

// A file that is read at other members. Reads that follow on each other come
// over one stream.
class RemoteFile : public OpenFile {
 public:
  RemoteFile(std::shared_ptr<Remote> remote, FileInfo info)
      : remote_(std::move(remote)), info_(std::move(info)) {}
  ~RemoteFile() override {
    MutexLock lock(&mu_);
    Drop();
  }

  const FileInfo& info() const override { return info_; }

  absl::StatusOr<absl::Cord> Read(int64_t offset, int64_t length) override {
    if (length == 0) return absl::Cord();
    MutexLock lock(&mu_);
    return remote_->AskPeers<absl::Cord>(
        info_.name,
        ErrorWithReason(absl::StatusCode::kUnavailable,
                        ErrorReason::kContentNotHere,
                        absl::StrCat("file ", info_.name,
                                     ": no member that has it can be read")),
        [&](const Peer& peer) {
          mu_.AssertHeld();
          return ReadAt(peer, offset, length);
        });
  }

  absl::optional<absl::StatusOr<absl::Cord>> TryRead(int64_t,
                                                     int64_t) override {
    return absl::nullopt;
  }

 private:
  absl::StatusOr<absl::Cord> ReadAt(const Peer& peer, int64_t offset,
                                    int64_t length)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (fetch_ == nullptr || next_ != offset || !(peer_ == peer)) {
      Drop();
      FetchWish wish;
      wish.name = info_.name;
      wish.version = info_.version;
      wish.offset = offset;
      fetch_ = WaitingFetch::Start(remote_->peers, peer, wish);
      peer_ = peer;
      next_ = offset;
      absl::StatusOr<FileInfo> info = fetch_->WaitForInfo();
      if (!info.ok()) {
        Drop();
        return info.status();
      }
    }
    while (static_cast<int64_t>(ahead_.size()) < length) {
      absl::StatusOr<absl::Cord> chunk = fetch_->WaitForChunk();
      if (!chunk.ok()) {
        Drop();
        return chunk.status();
      }
      ahead_.Append(*std::move(chunk));
    }
    absl::Cord data = ahead_.Subcord(0, static_cast<size_t>(length));
    ahead_.RemovePrefix(static_cast<size_t>(length));
    next_ = offset + length;
    return data;
  }

  void Drop() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (fetch_ != nullptr) fetch_->Abandon();
    fetch_ = nullptr;
    ahead_.Clear();
  }

  const std::shared_ptr<Remote> remote_;
  const FileInfo info_;

  Mutex mu_;
  std::shared_ptr<WaitingFetch> fetch_ ABSL_GUARDED_BY(mu_);
  Peer peer_ ABSL_GUARDED_BY(mu_);         // That `fetch_` reads at.
  int64_t next_ ABSL_GUARDED_BY(mu_) = 0;  // What `ahead_` begins with.
  absl::Cord ahead_ ABSL_GUARDED_BY(mu_);
};

// A file that is here: a block that is not good is read at another member.
class MendedFile : public OpenFile {
 public:
  MendedFile(std::shared_ptr<Remote> remote, std::unique_ptr<OpenFile> file)
      : remote_(std::move(remote)), file_(std::move(file)) {}

  const FileInfo& info() const override { return file_->info(); }

  absl::StatusOr<absl::Cord> Read(int64_t offset, int64_t length) override {
    absl::StatusOr<absl::Cord> data = file_->Read(offset, length);
    if (data.ok() || !MayBeElsewhere(data.status())) return data;
    RemoteFile* remote = nullptr;
    {
      MutexLock lock(&mu_);
      if (elsewhere_ == nullptr) {
        elsewhere_ = std::make_unique<RemoteFile>(remote_, file_->info());
      }
      remote = elsewhere_.get();
    }
    absl::StatusOr<absl::Cord> passed_on = remote->Read(offset, length);
    return passed_on.ok() ? std::move(passed_on) : std::move(data);
  }

  absl::optional<absl::StatusOr<absl::Cord>> TryRead(int64_t offset,
                                                     int64_t length) override {
    absl::optional<absl::StatusOr<absl::Cord>> data =
        file_->TryRead(offset, length);
    if (data.has_value() && !data->ok() && MayBeElsewhere(data->status())) {
      return absl::nullopt;
    }
    return data;
  }

  absl::optional<uint32_t> CheckedCrc(int64_t offset, int64_t length) override {
    MutexLock lock(&mu_);
    if (elsewhere_ != nullptr) return absl::nullopt;
    return file_->CheckedCrc(offset, length);
  }

 private:
  const std::shared_ptr<Remote> remote_;
  const std::unique_ptr<OpenFile> file_;
  Mutex mu_;
  std::unique_ptr<RemoteFile> elsewhere_ ABSL_GUARDED_BY(mu_);
};

class ReadThroughPath : public StorePath {
 public:
  ReadThroughPath(std::unique_ptr<StorePath> path, ReadThroughPeers peers)
      : path_(std::move(path)), remote_(std::make_shared<Remote>()) {
    remote_->turns.store(peers.waiting_max);
    remote_->peers = std::move(peers);
  }

  StorePath* local() override { return path_.get(); }
  ReplicaStore* replica() override { return path_->replica(); }
  UploadSessions* uploads() override { return path_->uploads(); }

  absl::StatusOr<FileInfo> Stat(absl::string_view name) override {
    absl::StatusOr<FileInfo> here = path_->Stat(name);
    if (here.ok() || !MayBeElsewhere(here.status())) return here;
    return remote_->AskPeers<FileInfo>(
        name, here.status(), [&](const Peer& peer) {
          return AskInfo(remote_->peers, peer, name, absl::nullopt);
        });
  }
  absl::optional<absl::StatusOr<FileInfo>> TryStat(
      absl::string_view name) override {
    absl::optional<absl::StatusOr<FileInfo>> here = path_->TryStat(name);
    return IsAnswer(here) ? std::move(here) : absl::nullopt;
  }

  absl::StatusOr<std::unique_ptr<OpenFile>> Open(
      absl::string_view name) override {
    absl::StatusOr<std::unique_ptr<OpenFile>> here = path_->Open(name);
    if (here.ok()) return Mended(*std::move(here));
    if (!MayBeElsewhere(here.status())) return here;
    CAIRN_ASSIGN_OR_RETURN(
        FileInfo info,
        remote_->AskPeers<FileInfo>(name, here.status(), [&](const Peer& peer) {
          return AskInfo(remote_->peers, peer, name, absl::nullopt);
        }));
    return std::unique_ptr<OpenFile>(
        std::make_unique<RemoteFile>(remote_, std::move(info)));
  }
  absl::optional<absl::StatusOr<std::unique_ptr<OpenFile>>> TryOpen(
      absl::string_view name) override {
    absl::optional<absl::StatusOr<std::unique_ptr<OpenFile>>> here =
        path_->TryOpen(name);
    if (!IsAnswer(here)) return absl::nullopt;
    if (here->ok()) here = Mended(**std::move(here));
    return here;
  }

  void Undelete(UndeleteRequest request, CommitDone done) override {
    std::string name = request.name;
    path_->Undelete(
        std::move(request),
        [this, name = std::move(name),
         done = std::move(done)](absl::StatusOr<Committed> committed) mutable {
          const ErrorReason reason = ReasonOf(committed.status());
          if (reason != ErrorReason::kFileNotFound &&
              reason != ErrorReason::kFileExists) {
            done(std::move(committed));
            return;
          }
          AskIfDeleted(std::move(name), committed.status(), std::move(done));
        });
  }
  void Delete(DeleteRequest request, CommitDone done) override {
    // What others know to be deleted they are to purge.
    const bool theirs = request.purge;
    ChangeKnown(&StorePath::Delete, std::move(request), std::move(done),
                theirs);
  }
  void SetAttributes(SetAttributesRequest request, CommitDone done) override {
    ChangeKnown(&StorePath::SetAttributes, std::move(request), std::move(done));
  }
  void SetExpiry(SetExpiryRequest request, CommitDone done) override {
    ChangeKnown(&StorePath::SetExpiry, std::move(request), std::move(done));
  }

  // ---- The path's own.
  void Put(PutRequest request, CommitDone done) override {
    path_->Put(std::move(request), std::move(done));
  }
  void Update(UpdateRequest request, CommitDone done) override {
    path_->Update(std::move(request), std::move(done));
  }
  void Seal(SealRequest request, CommitDone done) override {
    path_->Seal(std::move(request), std::move(done));
  }
  void Copy(CopyRequest request, CommitDone done) override {
    path_->Copy(std::move(request), std::move(done));
  }
  absl::StatusOr<std::unique_ptr<Upload>> StartUpload(
      absl::optional<int64_t> size_bytes) override {
    return path_->StartUpload(size_bytes);
  }
  absl::StatusOr<absl::optional<Committed>> FindRequest(
      const Uuid& request_id, Durability wanted) override {
    return path_->FindRequest(request_id, wanted);
  }
  absl::optional<absl::StatusOr<absl::optional<Committed>>> TryFindRequest(
      const Uuid& request_id, Durability wanted) override {
    return path_->TryFindRequest(request_id, wanted);
  }
  absl::StatusOr<std::string> ScanFiles(const FileRange& range,
                                        FileVisitor* visitor) override {
    return path_->ScanFiles(range, visitor);
  }
  absl::Status Writable(int64_t bytes) override {
    return path_->Writable(bytes);
  }
  absl::Status DropDeleted() override { return path_->DropDeleted(); }
  StorePathStatus Status() override { return path_->Status(); }
  int64_t newest_create_unix_seconds() override {
    return path_->newest_create_unix_seconds();
  }
  absl::Status Compact(
      double dead_share_min,
      absl::AnyInvocable<void(const JobProgress&)> progress) override {
    return path_->Compact(dead_share_min, std::move(progress));
  }
  void Stop() override { path_->Stop(); }
  Executor* io() override { return path_->io(); }
  int64_t small_file_bytes_max() const override {
    return path_->small_file_bytes_max();
  }

 private:
  // Whether what the path said without waiting is the last word.
  template <typename T>
  static bool IsAnswer(const absl::optional<absl::StatusOr<T>>& here) {
    return here.has_value() && (here->ok() || !MayBeElsewhere(here->status()));
  }

  // Has the path make a change, and again when it did not know the file and
  // another member does. With `deleted_is_theirs` a file that is deleted there
  // is not told as such, but as one that they are to be asked about.
  template <typename Request>
  void ChangeKnown(void (StorePath::*change)(Request, CommitDone),
                   Request request, CommitDone done,
                   bool deleted_is_theirs = false) {
    Request again = request;
    (path_.get()->*change)(
        std::move(request),
        [this, change, deleted_is_theirs, again = std::move(again),
         done = std::move(done)](absl::StatusOr<Committed> committed) mutable {
          if (ReasonOf(committed.status()) != ErrorReason::kFileNotFound) {
            done(std::move(committed));
            return;
          }
          CommitDone answer = [name = again.name, deleted_is_theirs,
                               done = std::move(done)](
                                  absl::StatusOr<Committed> changed) mutable {
            if (deleted_is_theirs &&
                ReasonOf(changed.status()) == ErrorReason::kFileDeleted) {
              changed = NotHeardOf(name);
            }
            done(std::move(changed));
          };
          Introduce(again.name, std::move(answer),
                    [this, change, again](CommitDone introduced) {
                      (path_.get()->*change)(again, std::move(introduced));
                    });
        });
  }

  // Answers for a file that is not known here, or is not deleted as far as this
  // member knows (`here` says which): a deletion may be on its way.
  void AskIfDeleted(std::string name, const absl::Status& here,
                    CommitDone done) {
    auto waiting = std::make_shared<CommitDone>(std::move(done));
    const bool queued =
        path_->io()->TrySubmit([this, name = std::move(name), here, waiting] {
          (*waiting)(AskPeersIfDeleted(name, here));
        });
    if (!queued) {
      (*waiting)(QueueFull());
    }
  }

  absl::Status AskPeersIfDeleted(const std::string& name,
                                 const absl::Status& here) {
    const bool is_here = ReasonOf(here) == ErrorReason::kFileExists;
    const absl::StatusOr<std::unique_ptr<Turn>> turn =
        Turn::Take(&remote_->turns);
    if (!turn.ok()) return is_here ? here : turn.status();
    const ReadThroughPeers& peers = remote_->peers;
    PeerAnswers answers(here);
    if (!peers.peers_known(name)) answers.CannotAsk();
    for (const Peer& peer : peers.peers()) {
      const absl::Status said =
          AskInfo(peers, peer, name, absl::nullopt).status();
      if (ReasonOf(said) == ErrorReason::kFileDeleted) return NotHeardOf(name);
      if (is_here || !answers.IsLastWord(said)) continue;
      if (!said.ok()) return said;
      return ErrorWithReason(absl::StatusCode::kAlreadyExists,
                             ErrorReason::kFileExists,
                             absl::StrCat("file ", name, " is not deleted"));
    }
    return answers.Verdict();
  }

  // A member may know the file, and its log is on the way: what is to become of
  // it here must be younger than what that says. `change` makes it.
  void Introduce(std::string name, CommitDone done,
                 std::function<void(CommitDone)> change) {
    struct Task {
      std::string name;
      CommitDone done;
      std::function<void(CommitDone)> change;
    };
    auto task = std::make_shared<Task>(
        Task{std::move(name), std::move(done), std::move(change)});
    const bool queued = path_->io()->TrySubmit([this, task] {
      const absl::StatusOr<FileInfo> info = Stat(task->name);
      if (!info.ok()) {
        task->done(info.status());
        return;
      }
      ReplicatedChange known;
      known.mode = ReplicatedChange::Mode::kSnapshot;
      known.file = *info;
      path_->replica()->Apply(std::move(known),
                              [task](absl::StatusOr<Committed> applied) {
                                if (!applied.ok()) {
                                  task->done(std::move(applied));
                                  return;
                                }
                                task->change(std::move(task->done));
                              });
    });
    if (!queued) {
      task->done(QueueFull());
    }
  }

  std::unique_ptr<OpenFile> Mended(std::unique_ptr<OpenFile> file) {
    return std::make_unique<MendedFile>(remote_, std::move(file));
  }

  const std::unique_ptr<StorePath> path_;
  const std::shared_ptr<Remote> remote_;
};

}  // namespace

std::unique_ptr<StorePath> MakeReadThroughPath(std::unique_ptr<StorePath> path,
                                               ReadThroughPeers peers) {
  return std::make_unique<ReadThroughPath>(std::move(path), std::move(peers));
}

}  // namespace storage
}  // namespace cairn
