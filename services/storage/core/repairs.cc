#include "services/storage/core/repairs.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/check.h"
#include "lib/base/log.h"
#include "services/storage/core/replica_store.h"

namespace cairn {
namespace storage {
namespace {

// Before the index or the disk is asked again that did not answer.
constexpr absl::Duration kShortWait = absl::Seconds(1);

}  // namespace

Repairs::Repairs(const RepairsOptions& options, uint8_t store_path,
                 PeerTransport* transport, std::function<void()> wake)
    : options_(options),
      store_path_(store_path),
      transport_(transport),
      wake_(std::move(wake)) {}

Repairs::~Repairs() { CAIRN_CHECK(running_ == 0); }

std::shared_ptr<const RepairTicket> Repairs::Report(const FileInfo& file) {
  std::shared_ptr<const RepairTicket> ticket;
  bool added = false;
  {
    MutexLock lock(&mu_);
    const auto known = files_.find(file.name);
    if (known == files_.end() && files_.size() >= options_.files_max) {
      ++numbers_.dropped;
      return nullptr;
    }
    File& entry = files_[file.name];
    if (entry.ticket == nullptr || !(entry.info.version == file.version)) {
      added = true;
      ++numbers_.found;
      // Whoever waits for what the file was waits for nothing any more.
      if (entry.ticket != nullptr) {
        entry.ticket->outcome_.store(RepairOutcome::kGone);
      }
      const bool fetching = entry.fetching;
      entry = File();
      entry.fetching = fetching;  // Of the old version; ends by itself.
      entry.info = file;
      entry.ticket = std::make_shared<RepairTicket>();
      entry.detail = "waits to be fetched from another member";
    }
    ticket = entry.ticket;
  }
  if (added) wake_();
  return ticket;
}

void Repairs::Tick(absl::Duration now, const std::shared_ptr<StorePath>& path,
                   const PeersFor& peers_for) {
  Reap(now);
  if (running_ >= options_.fetches_max) return;
  std::vector<FileInfo> due;
  {
    MutexLock lock(&mu_);
    for (const auto& [name, file] : files_) {
      if (file.fetching || file.due > now) continue;
      due.push_back(file.info);
      if (due.size() >= options_.fetches_max) break;
    }
  }
  for (const FileInfo& file : due) {
    if (running_ >= options_.fetches_max) return;
    Begin(now, file, path, peers_for);
  }
}

void Repairs::Reap(absl::Duration now) {
  for (auto it = fetches_.begin(); it != fetches_.end();) {
    Fetching& fetching = it->second;
    const absl::optional<absl::Status> result =
        fetching.running ? fetching.fetch->result() : absl::nullopt;
    if (!result.has_value()) {
      if (fetching.running) GiveUpIfSilent(now, &fetching);
      ++it;
      continue;
    }
    fetching.running = false;
    --running_;
    bool other = false;
    {
      MutexLock lock(&mu_);
      const auto file = files_.find(it->first);
      if (file != files_.end()) {
        file->second.fetching = false;
        other =
            !(file->second.info.version == fetching.fetch->file().file.version);
      }
    }
    if (result->ok() || other) {
      if (result->ok() && !other) {
        CAIRN_LOG(kInfo, "repair",
                  "damaged content mended path={} name={} bytes={} from={}",
                  store_path_, it->first,
                  fetching.fetch->file().file.size_bytes, fetching.peer.name);
        Over(it->first, RepairOutcome::kMended);
      }
      it = fetches_.erase(it);
      continue;
    }
    const bool again = Failed(
        now, it->first, fetching.peers,
        absl::Status(result->code(), absl::StrCat(fetching.peer.name, ": ",
                                                  result->message())));
    // What was received is kept for the next member, and not for long.
    it = again ? std::next(it) : fetches_.erase(it);
  }
}

void Repairs::GiveUpIfSilent(absl::Duration now, Fetching* fetching) {
  const int64_t received = fetching->fetch->received_bytes();
  if (received != fetching->received_bytes) {
    fetching->received_bytes = received;
    fetching->heard = now;
  } else if (now - fetching->heard > options_.silence_max) {
    fetching->fetch->Cancel();
  }
}

void Repairs::Begin(absl::Duration now, const FileInfo& file,
                    const std::shared_ptr<StorePath>& path,
                    const PeersFor& peers_for) {
  const absl::StatusOr<absl::optional<KnownFile>> known =
      path->replica()->Find(file.name);
  if (!known.ok()) {
    Postpone(now, file.name, known.status());
    return;
  }
  // Where the content is missing it is fetched anyway.
  if (!known->has_value() || (*known)->deleted || (*known)->content_missing ||
      !((*known)->file.version == file.version)) {
    fetches_.erase(file.name);
    Over(file.name, RepairOutcome::kGone);
    return;
  }
  const absl::optional<std::vector<Peer>> peers =
      peers_for((*known)->file.origin_node);
  if (!peers.has_value()) {
    Postpone(now, file.name,
             absl::UnavailableError(
                 "no tracker has said yet who the other members are"));
    return;
  }
  if (peers->empty()) {
    fetches_.erase(file.name);
    Failed(now, file.name, 0,
           absl::FailedPreconditionError(
               "the group has no other member that could have a good copy"));
    return;
  }
  Fetching& fetching = fetches_[file.name];
  if (fetching.fetch == nullptr ||
      !(fetching.fetch->file().file.version == file.version)) {
    fetching.fetch = std::make_unique<ContentFetch>(path, **known, wake_);
  }
  size_t turn;
  {
    MutexLock lock(&mu_);
    const auto it = files_.find(file.name);
    if (it == files_.end()) return;
    it->second.fetching = true;
    turn = it->second.attempts++;
  }
  fetching.peers = peers->size();
  fetching.peer = (*peers)[turn % peers->size()];
  fetching.running = true;
  fetching.received_bytes = fetching.fetch->received_bytes();
  fetching.heard = now;
  ++running_;
  fetching.fetch->Start(transport_, fetching.peer, store_path_);
}

void Repairs::Over(const std::string& name, RepairOutcome outcome) {
  MutexLock lock(&mu_);
  const auto it = files_.find(name);
  if (it == files_.end()) return;
  if (outcome == RepairOutcome::kMended) ++numbers_.mended;
  it->second.ticket->outcome_.store(outcome);
  files_.erase(it);
}

// After one member; with the last one it is unmendable until they are asked
// again. True if there is another one to ask at once.
bool Repairs::Failed(absl::Duration now, const std::string& name, size_t peers,
                     const absl::Status& status) {
  bool say = false;
  std::string detail;
  uint32_t attempts = 0;
  {
    MutexLock lock(&mu_);
    const auto it = files_.find(name);
    if (it == files_.end()) return false;
    File& file = it->second;
    ++file.asked;
    if (file.asked == 1) {
      file.detail = std::string(status.message());
    } else {
      absl::StrAppend(&file.detail, "; ", status.message());
    }
    if (file.asked < peers) {
      file.due = now;
      return true;
    }
    file.asked = 0;
    say = !file.unmendable;
    file.unmendable = true;
    file.ticket->outcome_.store(RepairOutcome::kUnmendable);
    file.wait = std::min(std::max(options_.backoff_shortest, 2 * file.wait),
                         options_.backoff_longest);
    file.due = now + file.wait;
    detail = file.detail;
    attempts = file.attempts;
  }
  if (!say) return false;
  CAIRN_LOG(kError, "repair",
            "cannot mend damaged content, tries again, see "
            "docs/runbooks/damaged_content.md path={} name={} attempts={} "
            "error=\"{}\"",
            store_path_, name, attempts, detail);
  return false;
}

void Repairs::Postpone(absl::Duration now, const std::string& name,
                       const absl::Status& status) {
  MutexLock lock(&mu_);
  const auto it = files_.find(name);
  if (it == files_.end()) return;
  it->second.detail = std::string(status.message());
  it->second.due = now + kShortWait;
}

void Repairs::Cancel() {
  for (auto& [name, fetching] : fetches_) {
    if (fetching.running) fetching.fetch->Cancel();
  }
}

void Repairs::Detach() {
  CAIRN_CHECK(running_ == 0);
  fetches_.clear();
  MutexLock lock(&mu_);
  for (auto& [name, file] : files_) file.fetching = false;
}

RepairNumbers Repairs::Numbers() const {
  MutexLock lock(&mu_);
  RepairNumbers numbers = numbers_;
  numbers.damaged = files_.size();
  for (const auto& [name, file] : files_) {
    if (file.unmendable) ++numbers.unmendable;
  }
  return numbers;
}

std::vector<DamagedFile> Repairs::List(size_t limit) const {
  std::vector<DamagedFile> list;
  MutexLock lock(&mu_);
  for (const auto& [name, file] : files_) {
    if (list.size() >= limit) break;
    list.push_back({name, file.info.size_bytes, file.attempts, file.unmendable,
                    file.detail});
  }
  return list;
}

}  // namespace storage
}  // namespace cairn
