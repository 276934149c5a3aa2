#include "integration_tests/simulation/network.h"

#include <algorithm>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "services/storage/core/digest_source.h"
#include "services/storage/core/log_sender.h"
#include "services/storage/core/queue_full.h"

namespace cairn {
namespace simulation {

using storage::Acknowledgement;
using storage::ChangeLimits;
using storage::DigestBatch;
using storage::DigestLimits;
using storage::DigestListener;
using storage::DigestSender;
using storage::DigestWish;
using storage::FetchListener;
using storage::FetchWish;
using storage::FileInfo;
using storage::LogId;
using storage::LogRange;
using storage::LogSender;
using storage::OpenFile;
using storage::Peer;
using storage::PeerStream;
using storage::QueueFull;
using storage::SnapshotBatch;
using storage::SnapshotListener;
using storage::SnapshotSender;
using storage::SyncBatch;
using storage::SyncListener;

namespace {

// Messages that a stream takes from its sender before somebody wants them.
constexpr int kWindow = 3;
constexpr int64_t kChunkBytes = 150;
constexpr absl::Duration kAckTimeout = absl::Seconds(5);

// What gRPC's keepalive notices at last.
constexpr absl::Duration kKeepaliveLeast = absl::Seconds(5);
constexpr absl::Duration kKeepaliveMost = absl::Seconds(25);

// Small, so that a few files need several messages.
ChangeLimits SmallLimits() {
  ChangeLimits limits;
  limits.entries_max = 8;
  limits.bytes_max = 600;
  limits.content_bytes_max = 256;
  return limits;
}

DigestLimits SmallDigestLimits() {
  DigestLimits limits;
  limits.names_per_range = 8;
  limits.ranges_max = 3;
  limits.entries_max = 5;
  return limits;
}

absl::Status Unreachable() {
  return absl::UnavailableError("the connection is broken");
}
absl::Status CancelledHere() {
  return absl::CancelledError("this node has given the stream up");
}
std::string Describe(const Acknowledgement& acknowledgement) {
  std::string text;
  for (const LogRange& log : acknowledgement.logs) {
    absl::StrAppend(&text, log.log.incarnation.ToString().substr(0, 4), "/",
                    log.log.epoch, " ", log.applied, " (", log.synced, ") ");
  }
  for (const storage::LogPosition& missing : acknowledgement.missing) {
    absl::StrAppend(&text, " without ",
                    missing.log.incarnation.ToString().substr(0, 4), "/",
                    missing.log.epoch, " ", missing.sequence);
  }
  return text;
}

// What a member answers to Fetch, a message after the other.
class FetchSender {
 public:
  FetchSender(std::shared_ptr<ModelPath> path, FetchWish wish)
      : path_(std::move(path)), wish_(std::move(wish)) {}

  struct Message {
    absl::optional<FileInfo> info;
    absl::Cord chunk;
  };

  absl::StatusOr<Message> Next() {
    Message message;
    if (file_ == nullptr) {
      // As DownloadCall does it: a member that copies the file gets it,
      // whatever the clock here says, and what it begins with, too.
      absl::StatusOr<std::unique_ptr<OpenFile>> file =
          wish_.version.has_value() ? path_->OpenForMember(wish_.name)
                                    : path_->Open(wish_.name);
      if (!file.ok()) return file.status();
      FileInfo info = (*file)->info();
      if (wish_.state.has_value() && !(info.version == wish_.state->version) &&
          info.BeginsWith(wish_.state->version) &&
          wish_.state->size_bytes <= info.size_bytes) {
        info.version = wish_.state->version;
        info.size_bytes = wish_.state->size_bytes;
        info.crc32c = wish_.state->crc32c;
      }
      if (wish_.version.has_value() && !(info.version == *wish_.version)) {
        return ErrorWithReason(absl::StatusCode::kAborted,
                               ErrorReason::kVersionMismatch,
                               "another version here");
      }
      if (wish_.offset > info.size_bytes) {
        return ErrorWithReason(absl::StatusCode::kOutOfRange,
                               ErrorReason::kRangePastEnd, "past the end");
      }
      next_ = wish_.offset;
      end_ = wish_.length.has_value()
                 ? std::min(info.size_bytes, next_ + *wish_.length)
                 : info.size_bytes;
      // Is not sent.
      info.name.clear();
      info.copied_from.clear();
      info.grown_since = storage::Version();
      message.info = std::move(info);
      file_ = *std::move(file);
      return message;
    }
    const int64_t length = std::min(kChunkBytes, end_ - next_);
    absl::StatusOr<absl::Cord> data = file_->Read(next_, length);
    if (!data.ok()) return data.status();
    message.chunk = *std::move(data);
    next_ += length;
    return message;
  }
  bool done() const { return file_ != nullptr && next_ == end_; }

 private:
  const std::shared_ptr<ModelPath> path_;
  const FetchWish wish_;
  std::unique_ptr<OpenFile> file_;
  int64_t next_ = 0;
  int64_t end_ = 0;
};

}  // namespace

// Both ends of a stream. The client's process and the serving one come and go
// without each other.
class Stream : public PeerStream, public std::enable_shared_from_this<Stream> {
 public:
  Stream(Network* net, uint64_t id, HostId client, HostId server)
      : net_(net), id_(id), client_(client), server_(server) {
    up_ = Network::OpenChannel(client, server);
    down_ = Network::OpenChannel(server, client);
  }
  ~Stream() override { CAIRN_CHECK(server_ended_ || !serving_); }

  HostId client() const { return client_; }
  HostId server() const { return server_; }

  // ---- The client's end.
  void Next() override {
    wanted_ = true;
    net_->loop_->After(absl::ZeroDuration(),
                       [self = shared_from_this()] { self->Deliver(); });
  }

  void Cancel() override {
    if (cancelled_ || ended_) return;
    cancelled_ = true;
    Up([](Stream* self) { self->EndServer(CancelledHere(), false); });
    net_->loop_->After(
        net_->loop_->Between(absl::ZeroDuration(), absl::Milliseconds(1)),
        [self = shared_from_this()] { self->EndClient(CancelledHere()); });
  }

  // `on_end` runs once, at the end.
  void Begin(const Uuid& caller,
             std::function<void(const absl::Status&)> on_end,
             std::function<void(Stream*)> serve) {
    on_end_ = std::move(on_end);
    Up([caller, serve = std::move(serve)](Stream* self) {
      if (self->server_ended_) return;
      ServingProcess* const process = self->net_->ProcessAt(self->server_);
      if (process == nullptr || process->path == nullptr) {
        self->serving_ = true;
        self->EndServer(Unreachable(), true);
        return;
      }
      self->serving_ = true;
      self->path_ = process->path;
      self->caller_ = caller;
      const absl::Status member = process->check_member(caller);
      if (!member.ok()) {
        self->EndServer(member, true);
        return;
      }
      serve(self);
      self->woken_ = true;
      self->Pump();
    });
  }

  void EndClient(const absl::Status& status) {
    if (ended_) return;
    ended_ = true;
    inbox_.clear();
    // May destroy its listener, but not this.
    std::function<void(const absl::Status&)> on_end = std::move(on_end_);
    on_end(status);
    ReleaseIfOver();
  }

  // ---- The serving end.
  void ServeLog(const Uuid& caller, const absl::optional<LogId>& log,
                const std::vector<LogRange>& have, SyncListener* listener) {
    ServingProcess* const process = net_->ProcessAt(server_);
    log_ = std::make_unique<LogSender>(caller, path_, process->replicator, log,
                                       have, SmallLimits(),
                                       [this] { net_->Wake(id_); });
    log_->Start();
    sync_listener_ = listener;
  }
  void ServeSnapshot(const std::string& from, SnapshotListener* listener) {
    snapshot_ = std::make_unique<SnapshotSender>(path_, from, SmallLimits());
    snapshot_listener_ = listener;
  }
  void ServeFetch(const FetchWish& wish, FetchListener* listener) {
    fetch_ = std::make_unique<FetchSender>(path_, wish);
    fetch_listener_ = listener;
  }

  void ServeDigest(const DigestWish& wish, DigestListener* listener) {
    digest_ = std::make_unique<DigestSender>(path_, wish, SmallDigestLimits());
    digest_listener_ = listener;
  }

  void OnWoken() {
    woken_ = true;
    Pump();
  }

  // `tell`: the client hears of it.
  void EndServer(const absl::Status& status, bool tell) {
    if (server_ended_) return;
    server_ended_ = true;
    if (log_ != nullptr) log_->Stop();
    log_ = nullptr;
    snapshot_ = nullptr;
    fetch_ = nullptr;
    digest_ = nullptr;
    path_ = nullptr;
    if (tell) {
      Down([status](Stream* self) {
        self->end_ = status;
        self->Deliver();
      });
    }
    ReleaseIfOver();
  }

  // The connection is gone; both ends notice, each in its time.
  void Break(absl::Duration least, absl::Duration most) {
    if (broken_) return;
    broken_ = true;
    up_->frozen = true;
    down_->frozen = true;
    EventLoop* const loop = net_->loop_;
    loop->After(loop->Between(least, most), [self = shared_from_this()] {
      self->EndServer(CancelledHere(), false);
    });
    loop->After(loop->Between(least, most), [self = shared_from_this()] {
      if (self->net_->loop_->Chance(0.5)) self->inbox_.clear();
      self->end_ = Unreachable();
      self->Deliver();
    });
  }

  // Nothing comes any more, and nobody says so.
  void FallSilent() {
    down_->frozen = true;
    EventLoop* const loop = net_->loop_;
    loop->After(loop->Between(kKeepaliveLeast, kKeepaliveMost),
                [self = shared_from_this()] {
                  self->EndServer(CancelledHere(), false);
                });
  }

 private:
  void Up(std::function<void(Stream*)> what) { Over(up_, std::move(what)); }
  void Down(std::function<void(Stream*)> what) { Over(down_, std::move(what)); }
  void Over(const std::shared_ptr<Channel>& channel,
            std::function<void(Stream*)> what) {
    const bool sent =
        net_->SendOver(channel, [self = shared_from_this(),
                                 what = std::move(what)] { what(self.get()); });
    if (!sent) Break(absl::ZeroDuration(), absl::Milliseconds(20));
  }

  void Deliver() {
    if (ended_ || cancelled_) return;
    if (wanted_ && !inbox_.empty()) {
      wanted_ = false;
      Network::Event take = std::move(inbox_.front());
      inbox_.pop_front();
      Up([](Stream* self) {
        ++self->window_;
        self->Pump();
      });
      take();
      return;
    }
    // Who does not listen does not hear the end.
    if (wanted_ && inbox_.empty() && end_.has_value()) EndClient(*end_);
  }

  void Message(Network::Event take) {
    --window_;
    auto moved = std::make_shared<Network::Event>(std::move(take));
    Down([moved](Stream* self) {
      self->inbox_.push_back(std::move(*moved));
      self->Deliver();
    });
    if (net_->weather_.silence > 0 &&
        net_->loop_->Chance(net_->weather_.silence)) {
      net_->loop_->Trace("  stream ", id_, " falls silent");
      FallSilent();
    }
  }

  void Pump() {
    if (!serving_ || server_ended_ || working_ || !woken_ || window_ <= 0) {
      return;
    }
    woken_ = false;
    working_ = true;
    const bool queued =
        path_->io()->TrySubmit([self = shared_from_this()] { self->Work(); });
    if (queued) return;
    working_ = false;
    EndServer(QueueFull(), true);
  }

  void Work() {
    working_ = false;
    if (server_ended_) return;
    bool last = false;
    absl::Status status = net_->ProcessAt(server_)->check_member(caller_);
    if (status.ok()) status = Produce(&last);
    if (server_ended_) return;
    if (!status.ok() || last) {
      EndServer(status, true);
      return;
    }
    Pump();
  }

  absl::Status Produce(bool* last) {
    if (log_ != nullptr) {
      absl::StatusOr<absl::optional<SyncBatch>> batch = log_->Next();
      if (!batch.ok()) return batch.status();
      *last = log_->done();
      if (!batch->has_value()) return absl::OkStatus();
      woken_ = true;
      Message([listener = sync_listener_, taken = **std::move(batch)] {
        listener->OnBatch(taken);
      });
      return absl::OkStatus();
    }
    woken_ = true;
    if (snapshot_ != nullptr) {
      absl::StatusOr<SnapshotBatch> batch = snapshot_->Next();
      if (!batch.ok()) return batch.status();
      *last = batch->end;
      Message([listener = snapshot_listener_, taken = *std::move(batch)] {
        listener->OnBatch(taken);
      });
      return absl::OkStatus();
    }
    if (digest_ != nullptr) {
      absl::StatusOr<DigestBatch> batch = digest_->Next();
      if (!batch.ok()) return batch.status();
      *last = batch->end;
      Message([listener = digest_listener_, taken = *std::move(batch)] {
        listener->OnBatch(taken);
      });
      return absl::OkStatus();
    }
    absl::StatusOr<FetchSender::Message> message = fetch_->Next();
    if (!message.ok()) return message.status();
    *last = fetch_->done();
    Message([listener = fetch_listener_, taken = *std::move(message)] {
      if (taken.info.has_value()) {
        listener->OnInfo(*taken.info);
      } else {
        listener->OnChunk(taken.chunk);
      }
    });
    return absl::OkStatus();
  }

  void ReleaseIfOver() {
    if (ended_ && server_ended_) net_->Release(id_);
  }

  Network* const net_;
  const uint64_t id_;
  const HostId client_;
  const HostId server_;
  std::shared_ptr<Channel> up_;
  std::shared_ptr<Channel> down_;
  bool broken_ = false;

  // The client's end.
  std::function<void(const absl::Status&)> on_end_;
  bool wanted_ = false;
  bool cancelled_ = false;
  bool ended_ = false;
  std::deque<Network::Event> inbox_;
  absl::optional<absl::Status> end_;  // Once the inbox is empty.

  // The serving end.
  bool serving_ = false;
  bool server_ended_ = false;
  bool woken_ = false;
  bool working_ = false;
  int window_ = kWindow;
  Uuid caller_;
  std::shared_ptr<ModelPath> path_;
  std::unique_ptr<LogSender> log_;
  std::unique_ptr<SnapshotSender> snapshot_;
  std::unique_ptr<FetchSender> fetch_;
  std::unique_ptr<DigestSender> digest_;
  SyncListener* sync_listener_ = nullptr;
  SnapshotListener* snapshot_listener_ = nullptr;
  FetchListener* fetch_listener_ = nullptr;
  DigestListener* digest_listener_ = nullptr;
};

class SimTransport : public storage::PeerTransport {
 public:
  SimTransport(Network* net, HostId host, const Uuid& node_uuid)
      : net_(net), host_(host), node_uuid_(node_uuid) {}

  std::shared_ptr<PeerStream> StartSync(const Peer& peer, uint8_t /*path*/,
                                        const absl::optional<LogId>& log,
                                        const std::vector<LogRange>& have,
                                        SyncListener* listener) override {
    const std::shared_ptr<Stream> stream = net_->Open(host_, peer);
    stream->Begin(
        node_uuid_,
        [listener](const absl::Status& status) { listener->OnEnd(status); },
        [caller = node_uuid_, log, have, listener](Stream* self) {
          self->ServeLog(caller, log, have, listener);
        });
    return stream;
  }

  std::shared_ptr<PeerStream> StartSnapshot(
      const Peer& peer, uint8_t /*path*/, const std::string& from,
      SnapshotListener* listener) override {
    const std::shared_ptr<Stream> stream = net_->Open(host_, peer);
    stream->Begin(
        node_uuid_,
        [listener](const absl::Status& status) { listener->OnEnd(status); },
        [from, listener](Stream* self) {
          self->ServeSnapshot(from, listener);
        });
    return stream;
  }

  std::shared_ptr<PeerStream> StartFetch(const Peer& peer, uint8_t /*path*/,
                                         const FetchWish& wish,
                                         FetchListener* listener) override {
    const std::shared_ptr<Stream> stream = net_->Open(host_, peer);
    stream->Begin(
        node_uuid_,
        [listener](const absl::Status& status) { listener->OnEnd(status); },
        [wish, listener](Stream* self) { self->ServeFetch(wish, listener); });
    return stream;
  }

  std::shared_ptr<PeerStream> StartDigest(const Peer& peer, uint8_t /*path*/,
                                          const DigestWish& wish,
                                          DigestListener* listener) override {
    const std::shared_ptr<Stream> stream = net_->Open(host_, peer);
    stream->Begin(
        node_uuid_,
        [listener](const absl::Status& status) { listener->OnEnd(status); },
        [wish, listener](Stream* self) { self->ServeDigest(wish, listener); });
    return stream;
  }

  void SendAck(const Peer& peer, uint8_t /*path*/,
               const Acknowledgement& acknowledgement,
               std::function<void(const absl::Status&)> done) override {
    net_->SendAck(host_, node_uuid_, peer, acknowledgement, std::move(done));
  }

 private:
  Network* const net_;
  const HostId host_;
  const Uuid node_uuid_;
};

Network::Network(EventLoop* loop) : loop_(loop) {}
Network::~Network() {
  // What is held back refers to its stream, and the stream to its channels.
  for (const auto& weak : waiting_) {
    const std::shared_ptr<Channel> channel = weak.lock();
    if (channel != nullptr) channel->held.clear();
  }
}

std::shared_ptr<Channel> Network::OpenChannel(HostId from, HostId to) {
  auto channel = std::make_shared<Channel>();
  channel->from = from;
  channel->to = to;
  return channel;
}

std::unique_ptr<storage::PeerTransport> Network::MakeTransport(
    HostId host, const Uuid& node_uuid) {
  return std::make_unique<SimTransport>(this, host, node_uuid);
}

void Network::Serve(HostId host, const std::string& address,
                    ServingProcess* process) {
  for (auto it = addresses_.begin(); it != addresses_.end();) {
    it = it->second == host ? addresses_.erase(it) : std::next(it);
  }
  addresses_[address] = host;
  processes_[host] = process;
  dark_.erase(host);
}

void Network::Gone(HostId host, bool dark) {
  processes_.erase(host);
  if (dark) dark_.insert(host);
  std::vector<std::shared_ptr<Stream>> touched;
  for (const auto& [id, stream] : streams_) {
    if (stream->server() == host || stream->client() == host) {
      touched.push_back(stream);
    }
  }
  for (const auto& stream : touched) {
    if (stream->server() == host) {
      stream->EndServer(absl::CancelledError("the process is gone"), false);
    }
    // A machine that is dark sends no reset.
    if (dark) {
      stream->Break(kKeepaliveLeast, kKeepaliveMost);
    } else {
      stream->Break(absl::ZeroDuration(), absl::Milliseconds(20));
    }
  }
}

void Network::EndOpenedBy(HostId host) {
  std::vector<std::shared_ptr<Stream>> opened;
  for (const auto& [id, stream] : streams_) {
    if (stream->client() == host) opened.push_back(stream);
  }
  for (const auto& stream : opened) stream->EndClient(CancelledHere());
  std::vector<uint64_t> acks;
  for (const auto& [id, ack] : acks_) {
    if (ack.client == host) acks.push_back(id);
  }
  for (const uint64_t id : acks) AckDone(id, CancelledHere());
}

void Network::Block(HostId from, HostId to) {
  if (!blocked_.insert({from, to}).second) return;
  for (const auto& [id, stream] : streams_) {
    const bool over_it = (stream->client() == from && stream->server() == to) ||
                         (stream->client() == to && stream->server() == from);
    if (over_it) GiveUpLater(stream, from, to);
  }
}

// Unless the link is back by then.
void Network::GiveUpLater(const std::shared_ptr<Stream>& stream, HostId from,
                          HostId to) {
  loop_->After(loop_->Between(kKeepaliveLeast, kKeepaliveMost),
               [this, waiting = std::weak_ptr<Stream>(stream), from, to] {
                 const std::shared_ptr<Stream> held = waiting.lock();
                 if (held == nullptr || !IsBlocked(from, to)) return;
                 held->Break(absl::ZeroDuration(), absl::Seconds(5));
               });
}

void Network::UnblockAll() {
  blocked_.clear();
  std::vector<std::weak_ptr<Channel>> waiting = std::move(waiting_);
  waiting_.clear();
  for (const auto& weak : waiting) {
    const std::shared_ptr<Channel> channel = weak.lock();
    if (channel == nullptr) continue;
    std::deque<Event> held = std::move(channel->held);
    channel->held.clear();
    if (channel->frozen) continue;
    for (Event& event : held) Arrive(channel, std::move(event));
  }
}

void Network::BreakSome(double share) {
  std::vector<std::shared_ptr<Stream>> broken;
  for (const auto& [id, stream] : streams_) {
    if (loop_->Chance(share)) broken.push_back(stream);
  }
  for (const auto& stream : broken) {
    stream->Break(absl::ZeroDuration(), absl::Milliseconds(20));
  }
}

void Network::Arrive(const std::shared_ptr<Channel>& channel, Event event) {
  channel->last = std::max(
      channel->last,
      loop_->now() + loop_->Between(weather_.delay_least, weather_.delay_most));
  loop_->After(channel->last - loop_->now(), std::move(event));
}

bool Network::SendOver(const std::shared_ptr<Channel>& channel, Event event) {
  if (channel->frozen) return true;  // Goes nowhere.
  if (weather_.loss > 0 && loop_->Chance(weather_.loss)) return false;
  if (IsBlocked(channel->from, channel->to) || dark_.count(channel->to) != 0) {
    channel->held.push_back(std::move(event));
    waiting_.push_back(channel);
    return true;
  }
  Arrive(channel, std::move(event));
  return true;
}

void Network::Send(HostId from, HostId to, Event event) {
  const std::shared_ptr<Channel> channel = OpenChannel(from, to);
  if (IsBlocked(from, to)) {
    // It may arrive when the link is back: kept by nobody else.
    if (loop_->Chance(0.5)) return;
    loop_->After(loop_->Between(absl::Seconds(1), absl::Seconds(4)),
                 [this, from, to, moved = std::move(event)]() mutable {
                   if (IsBlocked(from, to) || dark_.count(to) != 0) return;
                   moved();
                 });
    return;
  }
  SendOver(channel, std::move(event));
}

absl::optional<HostId> Network::HostAt(const std::string& address) const {
  const auto it = addresses_.find(address);
  if (it == addresses_.end()) return absl::nullopt;
  return it->second;
}

ServingProcess* Network::ProcessAt(HostId host) const {
  const auto it = processes_.find(host);
  return it == processes_.end() ? nullptr : it->second;
}

void Network::Wake(uint64_t stream) {
  // The callers come in the order of their addresses in memory: what follows
  // must not.
  const bool first = woken_.empty();
  woken_.insert(stream);
  if (first) {
    loop_->After(absl::ZeroDuration(), [this] { PumpWoken(); });
  }
}

void Network::PumpWoken() {
  std::set<uint64_t> woken = std::move(woken_);
  woken_.clear();
  for (const uint64_t id : woken) {
    const auto it = streams_.find(id);
    if (it == streams_.end()) continue;
    const std::shared_ptr<Stream> stream = it->second;
    stream->OnWoken();
  }
}

void Network::Release(uint64_t stream) { streams_.erase(stream); }

std::shared_ptr<Stream> Network::Open(HostId client, const Peer& peer) {
  const absl::optional<HostId> host = HostAt(peer.address);
  const uint64_t id = ++last_id_;
  auto stream =
      std::make_shared<Stream>(this, id, client, host.value_or(client));
  streams_[id] = stream;
  ServingProcess* const process = host.has_value() ? ProcessAt(*host) : nullptr;
  if (process != nullptr && process->node_uuid == peer.node_uuid) {
    if (IsBlocked(client, *host)) GiveUpLater(stream, client, *host);
    if (IsBlocked(*host, client)) GiveUpLater(stream, *host, client);
    return stream;
  }
  const bool silent = host.has_value() && dark_.count(*host) != 0;
  // Nobody listens there, or somebody else does.
  if (silent) {
    stream->Break(kKeepaliveLeast, kKeepaliveMost);
  } else {
    stream->Break(absl::Milliseconds(1), absl::Milliseconds(20));
  }
  return stream;
}

void Network::SendAck(HostId client, const Uuid& caller, const Peer& peer,
                      const Acknowledgement& acknowledgement,
                      std::function<void(const absl::Status&)> done) {
  const uint64_t id = ++last_id_;
  acks_[id] = {client, std::move(done)};
  loop_->After(kAckTimeout, [this, id] {
    AckDone(id, absl::DeadlineExceededError("no answer came"));
  });
  const absl::optional<HostId> host = HostAt(peer.address);
  if (!host.has_value()) return;
  Send(client, *host,
       [this, id, client, caller, server = *host, wanted = peer.node_uuid,
        acknowledgement] {
         ServingProcess* const process = ProcessAt(server);
         if (process == nullptr || process->node_uuid != wanted) return;
         const absl::Status member = process->check_member(caller);
         if (!member.ok()) {
           Send(server, client, [this, id, member] { AckDone(id, member); });
           return;
         }
         loop_->Trace("  ack ", id, " from ", client, " to ", server, ": ",
                      Describe(acknowledgement));
         process->replicator->OnAck(caller, acknowledgement);
         Send(server, client, [this, id] { AckDone(id, absl::OkStatus()); });
       });
}

void Network::AckDone(uint64_t id, const absl::Status& status) {
  auto ack = acks_.extract(id);
  if (ack.empty()) return;
  ack.mapped().done(status);
}

}  // namespace simulation
}  // namespace cairn
