#include "services/storage/core/replicator.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/base/log.h"

namespace cairn {
namespace storage {
namespace {

// How far a peer was at how many times at most: enough to say how old the
// oldest change is that has not come.
constexpr size_t kBehindMarksMax = 64;

// Rates are means over some seconds, the last ones counting most; those of a
// path that was not looked at for long begin anew.
constexpr absl::Duration kMeasureInterval = absl::Milliseconds(500);
constexpr absl::Duration kMeasureForgotten = absl::Minutes(1);
constexpr double kMeasureSeconds = 10;

// Below this many changes a second nothing is said of the time left.
constexpr double kRateKnown = 0.1;

constexpr size_t kSetAsideShown = 100;

// Missing contents that are looked at when a path is attached.
constexpr size_t kMissingPage = 1024;

// After so many a missing content is not waited for any more.
constexpr size_t kVainAttempts = 4;

uint64_t Missed(const LogRange& theirs, const LogRange& mine) {
  return theirs.applied > mine.applied ? theirs.applied - mine.applied : 0;
}

bool SaysTheSame(const std::vector<LogRange>& a,
                 const std::vector<LogRange>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].log != b[i].log || a[i].applied != b[i].applied ||
        a[i].synced != b[i].synced || a[i].unsure != b[i].unsure) {
      return false;
    }
  }
  return true;
}

}  // namespace

void Replicator::Backoff::Failed(absl::Duration now,
                                 const ReplicatorOptions& options) {
  wait = std::min(std::max(options.backoff_shortest, 2 * wait),
                  options.backoff_longest);
  next = now + wait;
}

Replicator::AckInterest::AckInterest(Replicator* replicator, bool synced)
    : replicator_(replicator), synced_(synced) {
  replicator_->acks_wanted_.fetch_add(1);
  if (synced_) replicator_->syncs_wanted_.fetch_add(1);
}
Replicator::AckInterest::AckInterest(AckInterest&& other) noexcept
    : replicator_(std::exchange(other.replicator_, nullptr)),
      synced_(other.synced_) {}
Replicator::AckInterest& Replicator::AckInterest::operator=(
    AckInterest&& other) noexcept {
  std::swap(replicator_, other.replicator_);
  std::swap(synced_, other.synced_);
  return *this;
}
Replicator::AckInterest::~AckInterest() {
  if (replicator_ == nullptr) return;
  replicator_->acks_wanted_.fetch_sub(1);
  if (synced_) replicator_->syncs_wanted_.fetch_sub(1);
}

Replicator::Replicator(const ReplicatorOptions& options,
                       std::function<std::shared_ptr<StorePath>()> path,
                       PeerTransport* transport, Clock* clock,
                       std::function<void()> wake)
    : options_(options),
      find_path_(std::move(path)),
      transport_(transport),
      clock_(clock),
      wake_(std::move(wake)),
      surveys_(options.store_path, transport),
      upkeep_(options.upkeep, options.store_path, transport, clock, wake_),
      retries_(options.retry_shortest, options.retry_longest) {}

Replicator::~Replicator() {
  CAIRN_CHECK(!StreamsOpen());
  DetachPath();
}

void Replicator::SetPeers(std::vector<Peer> peers, bool all_known) {
  std::vector<Uuid> members;
  for (const Peer& peer : peers) members.push_back(peer.node_uuid);
  waits_.SetMembers(members);
  {
    MutexLock lock(&mu_);
    for (const Peer& before : wanted_peers_) {
      member_gone_ |= std::find(members.begin(), members.end(),
                                before.node_uuid) == members.end();
    }
    wanted_peers_ = std::move(peers);
    peers_known_ = peers_known_ || all_known;
  }
  wake_();
}

void Replicator::AddTail(LogTail* tail) {
  MutexLock lock(&tails_mu_);
  tails_.insert(tail);
}
void Replicator::RemoveTail(LogTail* tail) {
  MutexLock lock(&tails_mu_);
  tails_.erase(tail);
}

void Replicator::OnLogs() {
  MutexLock lock(&tails_mu_);
  for (LogTail* tail : tails_) tail->OnGrown();
}

void Replicator::OnAck(const Uuid& member,
                       const Acknowledgement& acknowledgement) {
  waits_.OnAck(member, acknowledgement);
  MutexLock lock(&tails_mu_);
  for (LogTail* tail : tails_) tail->OnAck(member);
}

void Replicator::OnDamaged(const FileInfo& file) {
  upkeep_.repairs()->Report(file);
}

void Replicator::Heartbeat(absl::Duration now) {
  if (now < heartbeat_due_) return;
  heartbeat_due_ = now + options_.heartbeat_interval;
  MutexLock lock(&tails_mu_);
  for (LogTail* tail : tails_) tail->OnHeartbeat();
}

std::vector<Peer> Replicator::PeersFor(uint32_t origin_node) const {
  std::vector<Peer> peers;
  {
    MutexLock lock(&mu_);
    peers = wanted_peers_;
  }
  std::stable_partition(peers.begin(), peers.end(),
                        [origin_node](const Peer& peer) {
                          return peer.node_number == origin_node;
                        });
  return peers;
}

bool Replicator::peers_known() const {
  MutexLock lock(&mu_);
  return peers_known_;
}

bool Replicator::syncing() const {
  MutexLock lock(&mu_);
  return progress_.syncing;
}

bool Replicator::awaits_others() const {
  MutexLock lock(&mu_);
  return progress_.awaits_others;
}

bool Replicator::syncing_gone() const {
  MutexLock lock(&mu_);
  return progress_.syncing_gone || member_gone_;
}

ReplicationProgress Replicator::Progress() const {
  MutexLock lock(&mu_);
  return progress_;
}

bool Replicator::StreamsOpen() const {
  for (const auto& [uuid, peer] : peers_) {
    if (peer.pull != nullptr || peer.ack->in_flight.load()) return true;
  }
  for (const auto& [name, fetching] : fetches_) {
    if (fetching.running) return true;
  }
  return !other_pulls_.empty() || snapshot_ != nullptr || syncing_->load() ||
         upkeep_.running();
}

void Replicator::CancelAll() {
  for (auto& [uuid, peer] : peers_) {
    if (peer.pull != nullptr) peer.pull->Cancel();
  }
  for (auto& [log, pull] : other_pulls_) pull->Cancel();
  if (snapshot_ != nullptr) snapshot_->Cancel();
  for (auto& [name, fetching] : fetches_) {
    if (fetching.running) fetching.fetch->Cancel();
  }
  upkeep_.Cancel();
}

bool Replicator::Stop() {
  stopping_ = true;
  waits_.Stop();
  surveys_.Stop();
  for (auto& [uuid, peer] : peers_) peer.ack->again.store(true);
  CancelAll();
  ReapEnded(clock_->Monotonic());
  if (StreamsOpen()) return false;
  fetches_.clear();
  DetachPath();
  return true;
}

void Replicator::DetachPath() {
  if (path_ == nullptr) return;
  path_->replica()->SetLogObserver(nullptr);
  upkeep_.Detach();
  fetches_.clear();
  retries_.Clear();
  snapshot_cursor_ = SnapshotPull::Cursor();
  find_missing_after_.clear();
  path_.reset();
}

// False while there is no path to work on.
bool Replicator::AttachPath() {
  const std::shared_ptr<StorePath> now = find_path_();
  if (now == path_) return path_ != nullptr;
  if (path_ != nullptr) {
    // Closed, or another one by now: nothing may go on with the old one.
    CancelAll();
    if (StreamsOpen()) return false;
    DetachPath();
  }
  if (now == nullptr) return false;
  path_ = now;
  path_->replica()->SetLogObserver(this);
  missing_ = std::make_shared<MissingContents>();
  at_end_since_.reset();
  at_end_with_ = 0;
  {
    MutexLock lock(&mu_);
    missing_now_ = missing_;
  }
  std::string after;
  while (true) {
    const std::vector<std::string> names =
        path_->replica()->ListMissing(after, kMissingPage);
    for (const std::string& name : names) AddMissing(name);
    if (names.size() < kMissingPage) break;
    after = names.back();
  }
  for (auto& [uuid, peer] : peers_) peer.acknowledged.clear();
  return true;
}

void Replicator::AddMissing(const std::string& name) {
  const absl::StatusOr<absl::optional<KnownFile>> known =
      path_->replica()->Find(name);
  if (known.ok() && known->has_value() && (*known)->content_missing) {
    missing_->Add(name, (*known)->change);
    missing_->Settle(name, (*known)->change);
  }
}

bool Replicator::IsMissing(const std::string& name) const {
  if (path_ == nullptr) return false;
  const absl::StatusOr<absl::optional<KnownFile>> known =
      path_->replica()->Find(name);
  return known.ok() && known->has_value() && (*known)->content_missing;
}

bool Replicator::Misses(const std::string& name,
                        const LogPosition& change) const {
  MutexLock lock(&mu_);
  return missing_now_ != nullptr && missing_now_->HasChange(name, change);
}

bool Replicator::MissesSome() const {
  MutexLock lock(&mu_);
  return missing_now_ != nullptr && missing_now_->size() > 0;
}

bool Replicator::MayBeLost(const LogPosition& change) const {
  const LogRange log = RangeOf(change.log);
  return log.applied >= change.sequence && log.synced < change.sequence;
}

LogRange Replicator::RangeOf(const LogId& id) const {
  for (const LogRange& range : logs_) {
    if (range.log == id) return range;
  }
  LogRange none;
  none.log = id;
  return none;
}

void Replicator::Tick() {
  const absl::Duration now = clock_->Monotonic();
  waits_.Expire(now);
  surveys_.Expire(now);
  ReapEnded(now);
  if (stopping_) return;
  if (!AttachPath()) {
    OnLogs();  // Who follows the path finds that it was closed.
    return;
  }
  logs_ = path_->replica()->Logs();
  StartPulls(now);
  StartOtherPulls(now);
  RunSnapshot(now);
  FindMissing(now);
  RunFetches(now);
  RunRetries(now);
  RunUpkeep(now);
  SyncNowAndThen(now);
  SendAcks(now);
  SetPassed(now);
  Heartbeat(now);
  Publish(now);
}

// Takes leave of what has ended, and gives up what is silent.
void Replicator::ReapEnded(absl::Duration now) {
  upkeep_.Reap(now);
  for (auto it = peers_.begin(); it != peers_.end();) {
    PeerState& state = it->second;
    if (state.pull != nullptr) {
      std::vector<LogRange> logs = state.pull->peer_logs();
      if (!logs.empty()) state.logs = std::move(logs);
      const absl::optional<absl::Status> ended = state.pull->ended();
      if (ended.has_value()) {
        if (state.pull->applied() > 0) state.backoff = Backoff();
        applied_before_ += state.pull->applied();
        bytes_before_ += state.pull->bytes();
        state.pull.reset();
        state.backoff.Failed(now, options_);
        // It may have been restarted, and know nothing of what it was told.
        state.acknowledged.clear();
        if (ReasonOf(*ended) == ErrorReason::kLogCut) {
          state.needs_snapshot = true;
        }
        // Others change this node's appenders now; if it is let back, it has to
        // hear of that first.
        if (ReasonOf(*ended) == ErrorReason::kNodeRemoved) catch_up_.Restart();
        if (state.current && !stopping_ && !ended->ok() &&
            state.last_error.code() != ended->code()) {
          CAIRN_LOG(kInfo, "replication",
                    "pull ended, tries again path={} peer={} address={} "
                    "error=\"{}\"",
                    options_.store_path, state.peer.name, state.peer.address,
                    *ended);
        }
        state.last_error = *ended;
      } else if (now - state.pull->heard() > options_.silence_max ||
                 !state.current) {
        state.pull->Cancel();
      } else if (!state.logs.empty()) {
        state.last_error = absl::OkStatus();
      }
    }
    const bool idle = state.pull == nullptr && !state.ack->in_flight.load();
    it = !state.current && idle ? peers_.erase(it) : std::next(it);
  }
  for (auto it = other_pulls_.begin(); it != other_pulls_.end();) {
    LogPull* const pull = it->second.get();
    if (pull->ended().has_value()) {
      applied_before_ += pull->applied();
      bytes_before_ += pull->bytes();
      it = other_pulls_.erase(it);
      continue;
    }
    if (now - pull->heard() > options_.silence_max) pull->Cancel();
    ++it;
  }
  ReapFetches(now);
  if (snapshot_ != nullptr) {
    const absl::optional<absl::Status> ended = snapshot_->ended();
    if (ended.has_value()) {
      snapshot_cursor_ = snapshot_->cursor();
      snapshot_.reset();
      if (ended->ok()) {
        CAIRN_LOG(kInfo, "replication",
                  "snapshot applied path={} files={} removed={}",
                  options_.store_path, snapshot_cursor_.files,
                  snapshot_cursor_.removed);
        snapshot_changes_ += snapshot_cursor_.changes;
        bytes_before_ += snapshot_cursor_.bytes;
        snapshot_cursor_ = SnapshotPull::Cursor();
        snapshot_peer_ = Uuid();
        snapshot_backoff_ = Backoff();
        for (auto& [uuid, peer] : peers_) {
          peer.needs_snapshot = false;
          peer.backoff = Backoff();
        }
      } else {
        snapshot_backoff_.Failed(now, options_);
        CAIRN_LOG(kInfo, "replication",
                  "snapshot was cut off, goes on path={} files={} error=\"{}\"",
                  options_.store_path, snapshot_cursor_.files, *ended);
      }
    } else if (now - snapshot_->heard() > options_.silence_max) {
      snapshot_->Cancel();
    }
  }
}

void Replicator::StartPulls(absl::Duration now) {
  {
    MutexLock lock(&mu_);
    for (auto& [uuid, state] : peers_) state.current = false;
    for (const Peer& peer : wanted_peers_) {
      PeerState& state = peers_[peer.node_uuid];
      if (!(state.peer == peer)) {
        // It may be back under another address.
        if (state.pull != nullptr && state.peer.address != peer.address) {
          state.pull->Cancel();
        }
        state.backoff = Backoff();
        state.peer = peer;
      }
      state.current = true;
    }
  }
  for (auto& [uuid, state] : peers_) {
    if (state.pull != nullptr || !state.current || state.needs_snapshot ||
        now < state.backoff.next) {
      continue;
    }
    state.pull =
        std::make_unique<LogPull>(path_, missing_.get(), clock_, wake_);
    state.pull->Start(transport_, state.peer, options_.store_path,
                      absl::nullopt);
  }
}

// Logs that nobody writes any more, or whose writer cannot be reached: from
// whoever has more of them.
void Replicator::StartOtherPulls(absl::Duration now) {
  struct Source {
    const PeerState* state = nullptr;
    LogRange range;
  };
  std::map<LogId, Source> best;
  std::set<LogId> pulled;  // From their writers.
  for (const auto& [uuid, state] : peers_) {
    if (state.pull != nullptr) {
      const absl::optional<LogId> log = state.pull->log();
      if (log.has_value()) pulled.insert(*log);
    }
    // Only who can be reached can be asked.
    if (state.pull == nullptr || !state.current) continue;
    for (const LogRange& range : state.logs) {
      Source& source = best[range.log];
      if (source.state != nullptr && source.range.applied >= range.applied) {
        continue;
      }
      source = {&state, range};
    }
  }
  const LogId own = logs_.front().log;
  for (const auto& [log, source] : best) {
    if (log == own || pulled.count(log) != 0 || other_pulls_.count(log) != 0) {
      continue;
    }
    const LogRange mine = RangeOf(log);
    if (Missed(source.range, mine) == 0) continue;
    if (source.range.cut > mine.applied) {
      peers_[source.state->peer.node_uuid].needs_snapshot = true;
      continue;
    }
    if (now < source.state->backoff.next) continue;
    auto pull = std::make_unique<LogPull>(path_, missing_.get(), clock_, wake_);
    pull->Start(transport_, source.state->peer, options_.store_path, log);
    other_pulls_.emplace(log, std::move(pull));
  }
}

void Replicator::RunSnapshot(absl::Duration now) {
  if (snapshot_ != nullptr || now < snapshot_backoff_.next) return;
  const PeerState* from = nullptr;
  for (const auto& [uuid, state] : peers_) {
    if (!state.current || !state.needs_snapshot) continue;
    // The one that was begun with, if it is there.
    if (from == nullptr || uuid == snapshot_peer_) from = &state;
  }
  if (from == nullptr) return;
  if (from->peer.node_uuid != snapshot_peer_) {
    CAIRN_LOG(kInfo, "replication",
              "log does not reach back, takes a snapshot path={} peer={}",
              options_.store_path, from->peer.name);
  }
  snapshot_peer_ = from->peer.node_uuid;
  snapshot_ = std::make_unique<SnapshotPull>(path_, missing_.get(),
                                             snapshot_cursor_, clock_, wake_);
  snapshot_->Start(transport_, from->peer, options_.store_path);
}

// Takes leave of fetches that have ended, and gives up silent ones.
void Replicator::ReapFetches(absl::Duration now) {
  for (auto it = fetches_.begin(); it != fetches_.end();) {
    Fetching& fetching = it->second;
    if (!fetching.running) {
      ++it;
      continue;
    }
    const absl::optional<absl::Status> result = fetching.fetch->result();
    if (!result.has_value()) {
      const int64_t received = fetching.fetch->received_bytes();
      if (std::exchange(fetching.received_bytes, received) != received) {
        fetching.moved = now;
      } else if (now - fetching.moved > options_.silence_max) {
        fetching.fetch->Cancel();
      }
      ++it;
      continue;
    }
    fetching.running = false;
    if (result->ok()) {
      // Unless it was changed meanwhile: then what came was of no use.
      if (!IsMissing(it->first)) {
        missing_->Remove(it->first, fetching.fetch->file().change);
      }
      it = fetches_.erase(it);
      continue;
    }
    fetching.backoff.Failed(now, options_);
    // Once for each file, and then now and then.
    if (!stopping_ && (fetching.attempts & (fetching.attempts - 1)) == 0) {
      CAIRN_LOG(kWarning, "replication",
                "content cannot be fetched, tries again path={} name={} "
                "attempts={} error=\"{}\"",
                options_.store_path, it->first, fetching.attempts, *result);
    }
    ++it;
  }
}

// What was changed here while another member alone had the content was in no
// stream as such, and what it was before may have been passed over in all of
// them.
void Replicator::FindMissing(absl::Duration now) {
  if (now < find_missing_due_) return;
  find_missing_due_ = now + options_.find_missing_interval;
  const std::vector<std::string> names =
      path_->replica()->ListMissing(find_missing_after_, kMissingPage);
  for (const std::string& name : names) {
    if (!missing_->Has(name)) AddMissing(name);
  }
  find_missing_after_ =
      names.size() < kMissingPage ? std::string() : names.back();
}

void Replicator::RunFetches(absl::Duration now) {
  size_t running = 0;
  for (const auto& [name, fetching] : fetches_) {
    if (fetching.running) ++running;
  }
  if (running >= options_.fetches_max || missing_->size() == 0) return;
  for (const auto& [name, latest] : missing_->All()) {
    const LogPosition& change = latest.change;
    if (running >= options_.fetches_max) return;
    Fetching& fetching = fetches_[name];
    if (fetching.running || now < fetching.backoff.next) continue;
    const absl::StatusOr<absl::optional<KnownFile>> known =
        path_->replica()->Find(name);
    if (!known.ok()) {
      fetching.backoff.Failed(now, options_);
      continue;
    }
    const LogRange log = RangeOf(change.log);
    const bool nothing_comes = latest.added <= at_end_with_;
    // Its change is being applied, or what it changed comes in another log;
    // unless nothing comes any more, since that was undone and forgotten.
    if (!known->has_value() && !latest.settled && !nothing_comes &&
        !(latest.comes_with_log && log.applied >= change.sequence)) {
      continue;
    }
    if (!known->has_value() || !(*known)->content_missing) {
      // It is there when what it became is.
      if (known->has_value() && !(*known)->file.sealed_as.empty() &&
          IsMissing((*known)->file.sealed_as)) {
        missing_->Join(name, (*known)->file.sealed_as);
        continue;
      }
      // It is there with a later one, and a power cut takes it until that one
      // is durable.
      if (latest.superseded.has_value() && known->has_value() &&
          (MayBeLost((*known)->change) ||
           (Replaces(*latest.superseded,
                     StandingOf((*known)->file, (*known)->deleted)) &&
            !nothing_comes))) {
        continue;
      }
      // Deleted, and forgotten, maybe; or brought by somebody else; or not
      // applied yet, unless it was lost where it was made.
      if (latest.settled || change.log.is_nil() ||
          log.applied >= change.sequence || nothing_comes) {
        missing_->Remove(name, change);
        fetches_.erase(name);
      }
      continue;
    }
    if (!(*known)->file.sha256.empty()) {
      if (path_->replica()->ShareContent(**known)) {
        missing_->Remove(name, change);
        fetches_.erase(name);
        continue;
      }
      // Then it can be shared.
      if (IsBeingFetched((*known)->file.sha256)) continue;
    }
    const std::vector<Peer> peers = PeersFor((*known)->file.origin_node);
    if (peers.empty()) continue;
    if (fetching.fetch == nullptr ||
        !(fetching.fetch->file().file.version == (*known)->file.version)) {
      fetching.fetch = std::make_unique<ContentFetch>(path_, **known, wake_);
      fetching.attempts = 0;
    }
    fetching.fetch->Start(transport_, peers[fetching.attempts % peers.size()],
                          options_.store_path);
    fetching.running = true;
    fetching.moved = now;
    ++fetching.attempts;
    ++running;
  }
}

bool Replicator::IsBeingFetched(const std::string& sha256) const {
  for (const auto& [name, fetching] : fetches_) {
    if (fetching.running && fetching.fetch->file().file.sha256 == sha256) {
      return true;
    }
  }
  return false;
}

void Replicator::RunUpkeep(absl::Duration now) {
  upkeep_.Tick(
      now, path_, missing_,
      [this](uint32_t origin_node) -> absl::optional<std::vector<Peer>> {
        {
          MutexLock lock(&mu_);
          if (!peers_known_) return absl::nullopt;
        }
        return PeersFor(origin_node);
      });
}

// What nobody waits for is not synced at once; but nobody can drop it before it
// is.
void Replicator::SyncNowAndThen(absl::Duration now) {
  if (now < sync_due_ || syncing_->load()) return;
  const bool needed = std::any_of(
      logs_.begin(), logs_.end(),
      [](const LogRange& range) { return range.synced < range.applied; });
  if (!needed) return;
  sync_due_ = now + options_.sync_interval;
  syncing_->store(true);
  const bool queued =
      path_->io()->TrySubmit([path = path_, syncing = syncing_] {
        // The path says so itself if it cannot.
        path->replica()->Sync().IgnoreError();
        syncing->store(false);
      });
  if (!queued) syncing_->store(false);
}

void Replicator::SendAcks(absl::Duration now) {
  // In this order: what is in the logs and missing is among the missing.
  Acknowledgement ack;
  ack.logs = path_->replica()->Logs();
  ack.missing = missing_->Changes();
  const std::map<LogId, uint64_t> unknown = missing_->UnknownUpTo();
  for (LogRange& log : ack.logs) {
    const auto up_to = unknown.find(log.log);
    if (up_to == unknown.end()) continue;
    log.unsure = std::max(log.unsure, up_to->second);
  }
  for (const ReplicatedChange& change : path_->replica()->ListSetAside()) {
    if (!change.change.log.is_nil()) ack.missing.push_back(change.change);
  }
  const bool refresh = now >= refresh_due_;
  if (refresh) refresh_due_ = now + options_.ack_refresh;
  for (auto& [uuid, state] : peers_) {
    if (!state.current) continue;
    if (state.ack->in_flight.load()) {
      state.ack->again.store(true);
      if (state.ack->in_flight.load()) continue;
    }
    // A peer that cannot be reached is not asked twice over.
    if (state.pull == nullptr) continue;
    if (state.ack->lost.exchange(false)) state.acknowledged.clear();
    const bool wanted = state.pull->TakeAckWanted();
    if (!wanted && now < state.ack_due) continue;
    if (!refresh && SaysTheSame(state.acknowledged, ack.logs) &&
        state.acknowledged_missing == ack.missing.size()) {
      continue;
    }
    state.ack_due = now + options_.ack_interval;
    state.acknowledged = ack.logs;
    state.acknowledged_missing = ack.missing.size();
    state.ack->again.store(false);
    state.ack->in_flight.store(true);
    transport_->SendAck(
        state.peer, options_.store_path, ack,
        [ack = state.ack, wake = wake_](const absl::Status& status) {
          if (!status.ok()) ack->lost.store(true);
          ack->in_flight.store(false);
          if (!status.ok() || ack->again.load()) wake();
        });
  }
}

void Replicator::SetPassed(absl::Duration now) {
  if (now < passed_due_) return;
  passed_due_ = now + options_.sync_interval;
  bool known = false;
  {
    MutexLock lock(&mu_);
    known = peers_known_;
  }
  // Who has not heard of the other members keeps everything for them.
  path_->replica()->SetPassed(known ? waits_.HeldByAll(logs_)
                                    : std::vector<LogPosition>());
  if (!known) return;
  path_->replica()->SetHeldByPresent(
      waits_.HeldByPresent(logs_, options_.away_after));
}

// Missing contents that nobody could give so far, though they were asked.
size_t Replicator::FetchedInVain() const {
  return static_cast<size_t>(
      std::count_if(fetches_.begin(), fetches_.end(), [](const auto& entry) {
        return !entry.second.running && entry.second.attempts >= kVainAttempts;
      }));
}

void Replicator::RunRetries(absl::Duration now) {
  if (now < retries_due_) return;
  retries_due_ = now + options_.retry_shortest;
  retries_.Tick(now, path_.get(), missing_);
}

void Replicator::BehindSince::Heard(const LogRange& theirs, uint64_t applied,
                                    absl::Duration now) {
  std::vector<Mark>& marks = marks_[theirs.log];
  while (!marks.empty() && marks.front().sequence <= applied) {
    marks.erase(marks.begin());
  }
  if (theirs.applied <= applied ||
      (!marks.empty() && marks.back().sequence >= theirs.applied)) {
    return;
  }
  // The last one may be moved: what is behind it is younger than it says.
  if (marks.size() == kBehindMarksMax) {
    marks.back().sequence = theirs.applied;
  } else {
    marks.push_back({theirs.applied, now});
  }
}

absl::optional<absl::Duration> Replicator::BehindSince::since() const {
  absl::optional<absl::Duration> oldest;
  for (const auto& [log, marks] : marks_) {
    if (marks.empty()) continue;
    if (!oldest.has_value() || marks.front().at < *oldest) {
      oldest = marks.front().at;
    }
  }
  return oldest;
}

uint64_t Replicator::NotElsewhere(const LogRange& log,
                                  absl::Duration now) const {
  uint64_t least = std::numeric_limits<uint64_t>::max();
  for (const auto& [uuid, state] : peers_) {
    if (!state.current) continue;
    // Who was heard of a moment ago has what it took. Another one may have lost
    // what it has not made durable.
    const bool there =
        state.pull != nullptr && !state.pull->peer_logs().empty() &&
        now - state.pull->heard() <= 2 * options_.heartbeat_interval;
    const bool took = std::any_of(state.logs.begin(), state.logs.end(),
                                  [&log](const LogRange& theirs) {
                                    return theirs.own && theirs.log == log.log;
                                  });
    if (there && took) return 0;
    least = std::min(least, waits_.MissedBy(uuid, log, /*durably=*/!there));
  }
  return least == std::numeric_limits<uint64_t>::max() ? 0 : least;
}

void Replicator::Measure(uint64_t changes, uint64_t bytes, absl::Duration now) {
  const absl::Duration passed = now - measured_at_;
  if (passed < kMeasureInterval) return;
  if (passed < kMeasureForgotten) {
    const double seconds = absl::ToDoubleSeconds(passed);
    const double weight = 1 - std::exp(-seconds / kMeasureSeconds);
    const auto rate = [seconds](uint64_t after, uint64_t before) {
      return after > before ? static_cast<double>(after - before) / seconds : 0;
    };
    changes_per_second_ +=
        weight * (rate(changes, measured_changes_) - changes_per_second_);
    bytes_per_second_ +=
        weight * (rate(bytes, measured_bytes_) - bytes_per_second_);
  }
  measured_at_ = now;
  measured_changes_ = changes;
  measured_bytes_ = bytes;
}

void Replicator::Publish(absl::Duration now) {
  ReplicationProgress progress;
  progress.applied_changes = applied_before_;
  progress.missing_contents = missing_->size();
  progress.changes_only_here = 0;
  uint64_t changes = snapshot_changes_;
  uint64_t bytes = bytes_before_;
  SnapshotPull::Cursor snapshot = snapshot_cursor_;
  if (snapshot_ != nullptr) snapshot = snapshot_->cursor();
  changes += snapshot.changes;
  bytes += snapshot.bytes;
  progress.snapshot_running = snapshot_ != nullptr;
  if (snapshot_ != nullptr) {
    progress.snapshot_files = snapshot.files;
    progress.snapshot_files_total = snapshot.files_total;
    progress.snapshot_bytes = snapshot.bytes;
  }
  const LogRange own = logs_.front();
  bool at_every_end = true;
  CatchUpView view;
  view.incarnation = own.log.incarnation;
  view.snapshot = snapshot_ != nullptr;
  const size_t missing = missing_->size();
  view.missing_contents = missing - std::min(missing, FetchedInVain());
  CatchUpView gone = view;  // Only of the logs of members that are gone.
  std::set<LogId> of_members;
  for (const auto& [uuid, state] : peers_) {
    if (!state.current) continue;
    for (const LogRange& theirs : state.logs) {
      if (theirs.own) of_members.insert(theirs.log);
    }
  }
  std::vector<uint64_t> lags;
  std::map<LogId, uint64_t> behind;
  for (auto& [uuid, state] : peers_) {
    if (!state.current) continue;
    PeerProgress peer;
    peer.peer = state.peer;
    peer.pulling = state.pull != nullptr;
    peer.last_error = state.last_error;
    peer.needs_snapshot = state.needs_snapshot;
    absl::optional<absl::Duration> age;
    if (state.pull != nullptr) {
      progress.applied_changes += state.pull->applied();
      bytes += state.pull->bytes();
      age = state.pull->age();
    }
    for (const LogRange& theirs : state.logs) {
      if (theirs.log == own.log) continue;
      const uint64_t mine = RangeOf(theirs.log).applied;
      const uint64_t missed = theirs.applied > mine ? theirs.applied - mine : 0;
      peer.behind_changes += missed;
      uint64_t& most = behind[theirs.log];
      most = std::max(most, missed);
      if (of_members.count(theirs.log) == 0) {
        gone.behind_changes = std::max(gone.behind_changes, missed);
      }
      state.behind.Heard(theirs, mine, now);
    }
    if (peer.behind_changes > 0) {
      const absl::optional<absl::Duration> since = state.behind.since();
      if (since.has_value()) peer.behind = now - *since;
      if (age.has_value()) peer.behind = std::max(peer.behind, *age);
    }
    peer.lag = waits_.LagOf(uuid, own.log.incarnation, logs_);
    lags.push_back(peer.lag.behind_changes + peer.lag.missing_contents);
    ++view.peers;
    if (peer.pulling && !state.logs.empty()) {
      ++view.peers_reached;
      view.behind_changes = std::max(view.behind_changes, peer.behind_changes);
      view.snapshot |= state.needs_snapshot;
      // What it says of its logs must be of after that moment.
      if (state.pull->heard() > gone_at_ + 2 * options_.heartbeat_interval) {
        ++gone.peers_reached;
      }
    }
    if (state.logs.empty() || state.needs_snapshot || peer.behind_changes > 0) {
      at_every_end = false;
    }
    progress.peers.push_back(std::move(peer));
  }
  for (const auto& [log, pull] : other_pulls_) {
    progress.applied_changes += pull->applied();
    bytes += pull->bytes();
  }
  Measure(changes + progress.applied_changes, bytes, now);
  progress.changes_per_second = changes_per_second_;
  progress.bytes_per_second = bytes_per_second_;
  uint64_t left = 0;
  if (snapshot_ != nullptr) {
    left = snapshot.files_total > snapshot.files
               ? snapshot.files_total - snapshot.files
               : 0;
  } else {
    for (const auto& [log, missed] : behind) left += missed;
  }
  if (left > 0 && changes_per_second_ >= kRateKnown) {
    progress.time_left =
        absl::Seconds(static_cast<double>(left) / changes_per_second_);
  }
  progress.set_aside_changes = retries_.size();
  progress.set_aside = retries_.List(kSetAsideShown);
  progress.logs = logs_;
  caught_up_ = caught_up_ || (at_every_end && snapshot_ == nullptr);
  if (!at_every_end || snapshot_ != nullptr || !peers_known() ||
      view.peers_reached < view.peers) {
    at_end_since_.reset();
  } else if (!at_end_since_.has_value() ||
             now - *at_end_since_ > 2 * options_.heartbeat_interval) {
    if (at_end_since_.has_value()) at_end_with_ = added_by_then_;
    at_end_since_ = now;
    added_by_then_ = missing_->added();
  }
  progress.caught_up = caught_up_;
  if (lags.empty() && !peers_known()) {
    // Nobody has said yet that there is anybody who has it.
    for (const LogRange& log : logs_) {
      progress.changes_only_here += log.applied;
    }
  }
  if (!lags.empty()) {
    std::sort(lags.begin(), lags.end());
    progress.changes_only_here = lags.front();
    for (const LogRange& log : logs_) {
      if (log.log.incarnation == own.log.incarnation) continue;
      progress.changes_only_here += NotElsewhere(log, now);
    }
    // With this member itself, the first of them is the second that has it.
    const size_t wanted = std::max<size_t>(options_.replicas, 1) - 1;
    if (wanted > 0) {
      progress.under_replicated_changes =
          lags[std::min(wanted, lags.size()) - 1];
    }
  }
  MutexLock lock(&mu_);
  view.peers_known = peers_known_;
  progress.syncing = catch_up_.Update(view, now);
  progress.awaits_others = catch_up_.AwaitsOthers();
  if (member_gone_) {
    member_gone_ = false;
    gone_at_ = now;
    catch_up_gone_.Restart();
  } else {
    gone.peers = view.peers;
    gone.peers_known = view.peers_known;
    gone.snapshot = view.snapshot;
    catch_up_gone_.Update(gone, now);
  }
  progress.syncing_gone = catch_up_gone_.syncing();
  progress_ = std::move(progress);
}

}  // namespace storage
}  // namespace cairn
