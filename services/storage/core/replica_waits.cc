#include "services/storage/core/replica_waits.h"

#include <algorithm>
#include <limits>
#include <set>
#include <utility>

namespace cairn {
namespace storage {

ReplicaWaits::~ReplicaWaits() { Stop(); }

bool ReplicaWaits::Member::Has(const LogPosition& change,
                               Durability level) const {
  const auto log = logs.find(change.log);
  if (log == logs.end()) return false;
  const uint64_t reached =
      level == Durability::kSynced ? log->second.synced : log->second.applied;
  return reached >= change.sequence && change.sequence > log->second.unsure &&
         std::find(missing.begin(), missing.end(), change) == missing.end();
}

uint32_t ReplicaWaits::Up() const {
  uint32_t up = 1;
  for (const auto& [uuid, member] : members_) {
    if (!member.following.empty() && !member.too_slow) ++up;
  }
  return up;
}

uint32_t ReplicaWaits::CountHolders(const LogPosition& change,
                                    Durability level) const {
  uint32_t holders = 1;
  for (const auto& [uuid, member] : members_) {
    if (member.Has(change, level)) ++holders;
  }
  return holders;
}

uint32_t ReplicaWaits::CountHolders(const Wait& wait) const {
  return CountHolders(wait.change, wait.wish.level) - 1 + wait.here;
}

bool ReplicaWaits::IsMet(const Wait& wait, uint32_t holders) const {
  // What nobody has is never enough.
  if (holders == 0) return false;
  if (holders >= wait.wish.replicas) return true;
  return !wait.wish.required && holders >= Up() - 1 + wait.here;
}

void ReplicaWaits::TakeMet(std::vector<Answer>* answers) {
  for (auto wait = waits_.begin(); wait != waits_.end();) {
    const uint32_t holders = CountHolders(*wait);
    if (!IsMet(*wait, holders)) {
      ++wait;
      continue;
    }
    answers->push_back({std::move(wait->done), holders, true});
    wait = waits_.erase(wait);
  }
}

void ReplicaWaits::Give(std::vector<Answer> answers) {
  for (Answer& answer : answers) answer.done(answer.replicas, answer.enough);
}

void ReplicaWaits::SetFollowing(const Uuid& member, const void* stream,
                                bool following) {
  std::vector<Answer> answers;
  {
    MutexLock lock(&mu_);
    Member& known = members_[member];
    if (following) {
      known.following.insert(stream);
    } else {
      known.following.erase(stream);
      TakeMet(&answers);
    }
    known.too_slow = false;
  }
  Give(std::move(answers));
}

// Acknowledgements may overtake each other. An old one says less of the logs,
// and must not be believed in what it does not miss yet.
bool ReplicaWaits::IsOvertaken(const Member& known,
                               const Acknowledgement& acknowledgement) {
  for (const LogRange& said : acknowledgement.logs) {
    if (!said.own || said.log == known.own_log) continue;
    return said.log.incarnation == known.own_log.incarnation &&
           said.log.epoch < known.own_log.epoch;
  }
  return std::any_of(acknowledgement.logs.begin(), acknowledgement.logs.end(),
                     [&known](const LogRange& said) {
                       const auto log = known.logs.find(said.log);
                       return log != known.logs.end() &&
                              said.applied < log->second.applied;
                     });
}

void ReplicaWaits::OnAck(const Uuid& member,
                         const Acknowledgement& acknowledgement) {
  std::vector<Answer> answers;
  {
    MutexLock lock(&mu_);
    Member& known = members_[member];
    known.heard = now_;
    if (IsOvertaken(known, acknowledgement)) return;
    for (const LogRange& said : acknowledgement.logs) {
      if (!said.own || said.log == known.own_log) continue;
      // The path is a new one, or a power cut took some of it: what was said
      // before does not count any more.
      known.own_log = said.log;
      known.logs.clear();
    }
    for (const LogRange& said : acknowledgement.logs) {
      LogRange& log = known.logs[said.log];
      log.log = said.log;
      log.cut = std::max(log.cut, said.cut);
      log.applied = std::max(log.applied, said.applied);
      log.synced = std::max(log.synced, said.synced);
      log.unsure = said.unsure;
    }
    known.missing = acknowledgement.missing;
    if (known.too_slow) {
      known.too_slow =
          std::any_of(waits_.begin(), waits_.end(), [&known](const Wait& wait) {
            return !known.Has(wait.change, wait.wish.level);
          });
    }
    TakeMet(&answers);
  }
  Give(std::move(answers));
}

void ReplicaWaits::SetMembers(const std::vector<Uuid>& members) {
  std::vector<Answer> answers;
  {
    MutexLock lock(&mu_);
    const std::set<Uuid> kept(members.begin(), members.end());
    for (auto it = members_.begin(); it != members_.end();) {
      it = kept.count(it->first) == 0 ? members_.erase(it) : std::next(it);
    }
    for (const Uuid& member : members) members_[member];
    TakeMet(&answers);
  }
  Give(std::move(answers));
}

uint32_t ReplicaWaits::up() const {
  MutexLock lock(&mu_);
  return Up();
}

uint32_t ReplicaWaits::Holders(const LogPosition& change,
                               Durability level) const {
  MutexLock lock(&mu_);
  return CountHolders(change, level);
}

void ReplicaWaits::Await(const LogPosition& change, const ReplicaWish& wish,
                         absl::Duration deadline, Done done, uint32_t here) {
  Wait wait = {change, wish, deadline, std::move(done), here};
  uint32_t holders = 0;
  bool enough = false;
  {
    MutexLock lock(&mu_);
    holders = CountHolders(wait);
    enough = IsMet(wait, holders);
    if (!enough && !stopped_) {
      waits_.push_back(std::move(wait));
      return;
    }
  }
  wait.done(holders, enough);
}

void ReplicaWaits::Expire(absl::Duration now) {
  std::vector<Answer> answers;
  {
    MutexLock lock(&mu_);
    now_ = now;
    for (auto& [uuid, member] : members_) {
      if (!member.heard.has_value()) member.heard = now;
    }
    for (auto wait = waits_.begin(); wait != waits_.end();) {
      if (wait->deadline > now) {
        ++wait;
        continue;
      }
      for (auto& [uuid, member] : members_) {
        if (!member.Has(wait->change, wait->wish.level)) member.too_slow = true;
      }
      const uint32_t holders = CountHolders(*wait);
      answers.push_back(
          {std::move(wait->done), holders, IsMet(*wait, holders)});
      wait = waits_.erase(wait);
    }
    if (!answers.empty()) TakeMet(&answers);
  }
  Give(std::move(answers));
}

void ReplicaWaits::Stop() {
  std::vector<Answer> answers;
  {
    MutexLock lock(&mu_);
    stopped_ = true;
    for (Wait& wait : waits_) {
      const uint32_t holders = CountHolders(wait);
      answers.push_back({std::move(wait.done), holders, IsMet(wait, holders)});
    }
    waits_.clear();
  }
  Give(std::move(answers));
}

std::vector<LogPosition> ReplicaWaits::HeldByAll(
    const std::vector<LogRange>& logs) const {
  std::vector<LogPosition> held;
  MutexLock lock(&mu_);
  for (const LogRange& log : logs) {
    uint64_t least = log.synced;
    for (const auto& [uuid, member] : members_) {
      const auto theirs = member.logs.find(log.log);
      least =
          std::min(least, theirs == member.logs.end() ? uint64_t{0}
                                                      : theirs->second.synced);
    }
    held.push_back({log.log, least});
  }
  return held;
}

std::vector<LogPosition> ReplicaWaits::HeldByPresent(
    const std::vector<LogRange>& logs, absl::Duration away_after) const {
  std::vector<LogPosition> held;
  MutexLock lock(&mu_);
  for (const LogRange& log : logs) {
    uint64_t least = log.synced;
    for (const auto& [uuid, member] : members_) {
      const bool away = member.following.empty() && now_.has_value() &&
                        member.heard.has_value() &&
                        *now_ - *member.heard >= away_after;
      if (away) continue;
      const auto theirs = member.logs.find(log.log);
      least =
          std::min(least, theirs == member.logs.end() ? uint64_t{0}
                                                      : theirs->second.synced);
    }
    held.push_back({log.log, least});
  }
  return held;
}

void ReplicaWaits::Heard(const Uuid& member) {
  MutexLock lock(&mu_);
  const auto it = members_.find(member);
  if (it != members_.end()) it->second.heard = now_;
}

uint64_t ReplicaWaits::AppliedBy(const Uuid& member, const LogId& log) const {
  MutexLock lock(&mu_);
  const auto known = members_.find(member);
  if (known == members_.end()) return 0;
  const auto said = known->second.logs.find(log);
  return said == known->second.logs.end() ? 0 : said->second.applied;
}

uint64_t ReplicaWaits::MissedBy(const Uuid& member, const LogRange& log,
                                bool durably) const {
  uint64_t has = log.cut;
  uint64_t without_content = 0;
  MutexLock lock(&mu_);
  const auto known = members_.find(member);
  if (known != members_.end()) {
    for (const LogPosition& missing : known->second.missing) {
      without_content += missing.log == log.log ? 1 : 0;
    }
    const auto said = known->second.logs.find(log.log);
    if (said != known->second.logs.end()) {
      has = std::max(has, durably ? said->second.synced : said->second.applied);
    }
  }
  return without_content + (log.applied > has ? log.applied - has : 0);
}

size_t ReplicaWaits::waiting() const {
  MutexLock lock(&mu_);
  return waits_.size();
}

MemberLag ReplicaWaits::LagOf(const Uuid& member, const Uuid& incarnation,
                              const std::vector<LogRange>& logs) const {
  const auto missed = [](uint64_t mine, uint64_t theirs) {
    return mine > theirs ? mine - theirs : 0;
  };
  const Member nobody;
  MemberLag lag;
  MutexLock lock(&mu_);
  const auto it = members_.find(member);
  const Member& known = it == members_.end() ? nobody : it->second;
  for (const LogRange& log : logs) {
    if (log.log.incarnation != incarnation) continue;
    const auto said = known.logs.find(log.log);
    const LogRange theirs =
        said == known.logs.end() ? LogRange() : said->second;
    lag.behind_changes += missed(log.applied, theirs.applied);
    lag.unsynced_changes += missed(log.applied, theirs.synced);
  }
  for (const LogPosition& missing : known.missing) {
    if (missing.log.incarnation == incarnation) ++lag.missing_contents;
  }
  return lag;
}

}  // namespace storage
}  // namespace cairn
