#include "integration_tests/simulation/oracle.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/error_reason.h"
#include "lib/checksum/crc32c.h"

namespace cairn {
namespace simulation {

using storage::Committed;
using storage::Durability;
using storage::ReplicaWish;

namespace {

// An acknowledgement may be so long on its way while its sender loses what it
// speaks of.
constexpr absl::Duration kNewsTravel = absl::Seconds(10);

// For so long trackers take a member that they do not hear of for there, with
// what it had: MembershipOptions::offline_after, and a tick of theirs.
constexpr absl::Duration kTakenForThere = absl::Milliseconds(10200);

constexpr size_t kFailuresMax = 20;

// It is there, and nobody has noticed yet that it cannot be read.
bool IsDamagedIn(const DiskState& state, const std::string& name) {
  const DiskState::File* const file = state.Find(name);
  return file != nullptr && file->content != nullptr &&
         file->content->IsRotten();
}

// For people: why a member is not one that has it.
std::string WhyNot(const DiskState::File* file) {
  if (file == nullptr) return "-";
  if (file->known.deleted) return "-deleted";
  const storage::Version& version = file->known.file.version;
  return absl::StrCat("-", version.clock, "/", version.node,
                      file->content == nullptr     ? ",no-content"
                      : file->content->IsRotten()  ? ",damaged"
                      : !file->content->IsSynced() ? ",not-synced"
                                                   : "");
}

absl::Duration LastLoss(const Member& member, Durability level) {
  return level == Durability::kSynced ? member.lost_all()
                                      : member.lost_unsynced();
}

storage::Standing StandingOf(const DiskState::File& file) {
  return storage::StandingOf(file.known.file, file.known.deleted);
}

// A deletion that nobody can take back here.
bool IsBareTombstone(const DiskState::File& file) {
  return file.known.deleted && !file.keeps_content();
}

}  // namespace

void Oracle::AddFailure(std::string what) {
  loop_->Trace("FAILED: ", what);
  if (failures_.size() < kFailuresMax) failures_.push_back(std::move(what));
}

const char* Oracle::NameOf(CallKind kind) {
  switch (kind) {
    case CallKind::kPut:
      return "put";
    case CallKind::kPutAppender:
      return "creation";
    case CallKind::kPutDerived:
      return "derivation";
    case CallKind::kUpdate:
      return "update";
    case CallKind::kSeal:
      return "sealing";
    case CallKind::kCopy:
      return "copy";
    case CallKind::kAttributes:
      return "setting of attributes";
    case CallKind::kExpiry:
      return "setting of an expiry";
    case CallKind::kDelete:
      return "deletion";
    case CallKind::kUndelete:
      return "undeletion";
  }
  return "";
}

void Oracle::Tried(CallKind kind, const std::string& name,
                   const std::string& content) {
  File& file = files_[name];
  if (!std::exchange(file.tried, true)) names_.push_back(name);
  switch (kind) {
    case CallKind::kPut:
      file.put = content;
      break;
    case CallKind::kPutAppender:
      file.put = content;
      appenders_.push_back(name);
      break;
    case CallKind::kPutDerived:
      file.is_derived = true;
      file.is_cut = true;  // By one who does not know that the name is taken.
      file.settled_deleted = false;
      break;
    case CallKind::kDelete:
      file.ever_deleted = true;
      file.deleted = true;
      deleted_.push_back(name);
      break;
    case CallKind::kUndelete:
      file.undeleted = true;
      file.settled_deleted = false;
      break;
    case CallKind::kSeal:
    case CallKind::kCopy:
    case CallKind::kUpdate:
    case CallKind::kAttributes:
    case CallKind::kExpiry:
      break;
  }
}

std::string Oracle::PickOf(const std::vector<std::string>& names) const {
  if (names.empty()) return std::string();
  // The young ones are the interesting ones.
  const size_t last = std::min<size_t>(names.size(), 30);
  const size_t from = loop_->Chance(0.8) ? names.size() - last : 0;
  return names[from + loop_->Draw(names.size() - from)];
}

std::string Oracle::AnyDeleted() const {
  return deleted_.empty() || loop_->Chance(0.1) ? PickOf(names_)
                                                : PickOf(deleted_);
}

void Oracle::OnChange(const storage::KnownFile& known,
                      const DiskContent* content) {
  State state;
  state.known = known;
  if (content != nullptr) state.content = content->Bytes();
  const storage::Version& version = known.file.version;
  File& file = files_[known.file.name];
  // What an appender becomes expires when that would have.
  if (known.file.expire_unix_seconds != 0) file.may_expire = true;
  const auto [it, inserted] =
      file.versions.emplace(std::make_pair(version.clock, version.node), state);
  if (inserted) return;
  // A number that was lost with a power cut is given once more.
  if (it->second.content != state.content ||
      it->second.known.deleted != known.deleted) {
    loop_->Trace("    version ", version.clock, "/", version.node, " of ",
                 known.file.name, " is given twice");
  }
  it->second = std::move(state);
}

Oracle::Promise Oracle::MakePromise(CallKind kind, const ReplicaWish& wish,
                                    const Committed& committed) {
  const char* const what = NameOf(kind);
  const bool synced = wish.level == Durability::kSynced;
  const std::string& name = committed.file.name;
  if (synced && committed.reached != Durability::kSynced) {
    Fail("a ", what, " of ", name, " was to be synced and is answered before");
  }
  if (wish.required && committed.replicas < wish.replicas) {
    Fail("a ", what, " of ", name, " is answered with ", committed.replicas,
         " replicas of ", wish.replicas);
  }
  File& file = files_[name];
  storage::FileInfo change = committed.file;
  // A repeated call is told of the file as it is now.
  const auto made = file.versions.find(
      std::make_pair(change.version.clock, change.version.node));
  if (made != file.versions.end()) change.life = made->second.known.file.life;
  Promise promise;
  promise.at = loop_->now();
  promise.level = wish.level;
  promise.standing = storage::StandingOf(change, kind == CallKind::kDelete);
  // Of some changes all that counts is in the record.
  promise.with_content = kind != CallKind::kDelete &&
                         kind != CallKind::kAttributes &&
                         kind != CallKind::kExpiry;
  uint32_t had = 0;
  std::string account;
  for (const auto& member : *members_) {
    const DiskState& state =
        synced ? member->disk()->durable() : member->disk()->now();
    const bool has = state.Has(change, promise.standing.deleted,
                               promise.with_content, synced);
    absl::StrAppend(&account, " ", member->name(),
                    has ? "+" : WhyNot(state.Find(name)));
    if (has) {
      promise.holders.push_back(member.get());
      ++had;
    } else if (loop_->now() - LastLoss(*member, wish.level) < kNewsTravel ||
               IsDamagedIn(state, name) ||
               (kind == CallKind::kDelete && state.Find(name) == nullptr &&
                (committed.replayed || state.Reached(committed.change)))) {
      // Or has forgotten it, as it may once all have it.
      ++had;
    }
  }
  // What was undone meanwhile is passed on as a place in the log alone.
  const bool undone = kind == CallKind::kDelete
                          ? file.undeleted
                          : file.ever_deleted || file.is_derived ||
                                file.may_expire || file.is_cut ||
                                IsDamaged(file) ||
                                (file.is_sealed && committed.replayed);
  if (committed.replicas > had && !undone) {
    Fail("a ", what, " of ", name, " is said to be at ", committed.replicas,
         " members", synced ? ", synced" : "", ", and is at", account);
  }
  ++promises_;
  return promise;
}

void Oracle::Done(CallKind kind, const std::string& name,
                  const std::string& from, const ReplicaWish& wish,
                  const Committed& committed, const std::string& appended) {
  const std::string& stored = committed.file.name;
  Promise promise = MakePromise(kind, wish, committed);
  promise.appended = appended;
  for (const auto& member : *members_) {
    if (member->node_number() == committed.file.version.node) {
      promise.taker = member.get();
    }
  }
  if (stored != name) {
    if (!committed.replayed) {
      Fail("a ", NameOf(kind), " of ", name, " gave ", stored);
    }
    if (kind == CallKind::kPut && files_[stored].put != files_[name].put) {
      Fail("a repeated put of ", name, " gave the other file ", stored);
    }
  }
  if (kind == CallKind::kSeal && committed.file.sealed_from != from) {
    Fail("a sealing of ", from, " gave ", stored, ", which is of ",
         committed.file.sealed_from);
  }
  if (kind == CallKind::kCopy) {
    const auto& versions = files_[from].versions;
    const auto& copies = files_[stored].versions;
    const bool same =
        !copies.empty() &&
        std::any_of(versions.begin(), versions.end(),
                    [&copy = copies.begin()->second](const auto& version) {
                      return IsContentOf(version.second, *copy.content);
                    });
    if (!same) Fail("a copy of ", from, " is something else: ", stored);
  }
  files_[stored].promises.push_back(std::move(promise));
}

bool Oracle::IsBroken(const Promise& promise) {
  return std::all_of(promise.holders.begin(), promise.holders.end(),
                     [&promise](const Member* member) {
                       return member->retired() ||
                              LastLoss(*member, promise.level) >= promise.at;
                     });
}

bool Oracle::HasLostSome(uint32_t node) const {
  return std::any_of(
      members_->begin(), members_->end(), [node](const auto& member) {
        return member->node_number() == node &&
               member->lost_unsynced() > -absl::InfiniteDuration();
      });
}

bool Oracle::IsSettled(const File& file) {
  if (!file.settled_deleted || !file.at_retired) return file.settled_deleted;
  return std::any_of(file.settled_by.begin(), file.settled_by.end(),
                     [&file](const Member* member) {
                       return !member->retired() &&
                              member->lost_all() < file.settled_at;
                     });
}

void Oracle::Damaged(const std::string& name) {
  File& file = files_[name];
  file.is_damaged = true;
  for (const auto& [version, state] : file.versions) {
    const std::string& sha256 = state.known.file.sha256;
    if (!sha256.empty()) damaged_contents_.insert(sha256);
  }
}

// The file, or one whose bytes it shares: what it is a copy of, or one that has
// the same content.
bool Oracle::IsDamaged(const File& file) const {
  if (file.is_damaged) return true;
  for (const auto& [version, state] : file.versions) {
    if (damaged_contents_.count(state.known.file.sha256) != 0) return true;
  }
  const auto from = files_.find(file.copied_from);
  return from != files_.end() && IsDamaged(from->second);
}

// Nobody has it. `by`: who knows that it was deleted.
void Oracle::Settle(const std::string& name, File* file,
                    const std::vector<const Member*>& by) {
  if (IsSettled(*file)) return;
  file->settled_deleted = true;
  file->settled_at = loop_->now();
  file->settled_by = by;
  file->at_retired =
      std::any_of(members_->begin(), members_->end(), [&](const auto& member) {
        const DiskState::File* const here = member->disk()->now().Find(name);
        return member->retired() && here != nullptr && !here->known.deleted;
      });
}

void Oracle::LostAt(const Member* member, const std::string& name) {
  for (Promise& promise : files_[name].promises) {
    auto& holders = promise.holders;
    holders.erase(std::remove(holders.begin(), holders.end(), member),
                  holders.end());
    if (promise.taker == member) promise.taker = nullptr;
  }
}

void Oracle::Retire(const Member* member, bool force) {
  if (force) return;
  for (auto& [name, file] : files_) {
    for (Promise& promise : file.promises) {
      const auto holds =
          std::find(promise.holders.begin(), promise.holders.end(), member);
      if (holds == promise.holders.end() || IsBroken(promise)) continue;
      // Who has it now has to answer for it from now on.
      storage::FileInfo change;
      change.name = name;
      change.life = promise.standing.life;
      change.version = promise.standing.version;
      const bool synced = promise.level == Durability::kSynced;
      std::vector<const Member*> heirs;
      std::string account;
      bool just_lost = false;  // By one that was counted on.
      for (const auto& other : *members_) {
        const DiskState& state =
            synced ? other->disk()->durable() : other->disk()->now();
        if (!other->retired()) {
          absl::StrAppend(&account, " ", other->name(),
                          WhyNot(state.Find(name)));
          just_lost =
              just_lost ||
              loop_->now() - LastLoss(*other, promise.level) < kTakenForThere;
        }
        if (other.get() != member && !other->retired() &&
            state.Has(change, promise.standing.deleted, promise.with_content,
                      synced)) {
          heirs.push_back(other.get());
        }
      }
      if (heirs.empty() && !just_lost && !file.ever_deleted &&
          !file.may_be_gone() && !file.is_cut && !file.is_derived &&
          !IsDamaged(file)) {
        Fail(member->name(), " is removed without force, and alone has what ",
             name, " was in version ", promise.standing.version.clock, "/",
             promise.standing.version.node, ":", account);
      }
      promise.holders = std::move(heirs);
      promise.at = loop_->now();
    }
  }
}

bool Oracle::IsPromised(const File& file, absl::optional<uint32_t> content_of,
                        absl::Duration before) {
  return std::any_of(
      file.promises.begin(), file.promises.end(),
      [content_of, before](const Promise& promise) {
        const bool counts =
            !content_of.has_value() ||
            (promise.with_content && promise.standing.life == *content_of);
        return counts && !promise.standing.deleted && promise.at <= before &&
               !IsBroken(promise);
      });
}

bool Oracle::IsContentOf(const State& state, const std::string& content) {
  if (state.known.deleted) return false;
  return state.content.has_value()
             ? *state.content == content
             : state.known.file.size_bytes ==
                       static_cast<int64_t>(content.size()) &&
                   state.known.file.crc32c == Crc32c(content);
}

void Oracle::ReadDone(const std::string& name, absl::Duration begun,
                      const std::string& member,
                      const absl::StatusOr<std::string>& content) {
  const File& file = files_[name];
  if (content.ok()) {
    const bool is_one =
        std::any_of(file.versions.begin(), file.versions.end(),
                    [&content](const auto& version) {
                      return IsContentOf(version.second, *content);
                    });
    if (!is_one) Fail("a read of ", name, " at ", member, " gave other bytes");
    if (IsSettled(file)) {
      Fail("a read of ", name, " at ", member,
           " gave a file that was deleted everywhere");
    }
    return;
  }
  const ErrorReason reason = ReasonOf(content.status());
  if (absl::IsDataLoss(content.status())) {
    if (IsDamaged(file)) return;
    Fail("a read of ", name, " at ", member, ": ", content.status().ToString());
  } else if (reason == ErrorReason::kFileDeleted && !file.ever_deleted &&
             !file.may_expire && !file.is_sealed) {
    Fail("a read of ", name, " at ", member,
         " says that it was deleted, which nobody has asked for");
  } else if (reason == ErrorReason::kFileExpired && !file.may_expire) {
    Fail("a read of ", name, " at ", member,
         " says that it has expired, which nobody has asked for");
  } else if (reason == ErrorReason::kFileSealed && !file.is_sealed) {
    Fail("a read of ", name, " at ", member,
         " says that it is sealed, which nobody has asked for");
  } else if (reason == ErrorReason::kFileNotFound && !file.ever_deleted &&
             !file.may_be_gone() &&
             IsPromised(file, /*content_of=*/absl::nullopt, begun)) {
    Fail("a read of ", name, " at ", member,
         " says that there is none, after it was promised");
  }
}

// That a file is what its version is.
void Oracle::CheckState(const std::string& name, const Member& member,
                        const DiskState::File& here) {
  const storage::FileInfo& file = here.known.file;
  const auto& versions = files_[name].versions;
  const auto found =
      versions.find(std::make_pair(file.version.clock, file.version.node));
  if (found == versions.end()) {
    // That of an appender that was sealed is that of what it became.
    if (here.known.deleted && !file.sealed_as.empty()) return;
    Fail(name, " has a version at ", member.name(),
         " that nobody has made: ", file.version.clock, "/", file.version.node);
    return;
  }
  if (here.known.deleted) return;
  const storage::FileInfo& made = found->second.known.file;
  if (found->second.known.deleted || file.life != made.life ||
      file.kind != made.kind || file.size_bytes != made.size_bytes ||
      file.crc32c != made.crc32c || file.attributes != made.attributes ||
      file.expire_unix_seconds != made.expire_unix_seconds ||
      file.sealed_from != made.sealed_from || file.sha256 != made.sha256 ||
      file.deduplicated != made.deduplicated) {
    Fail(name, " is not what its version is, at ", member.name());
  }
  if (here.content != nullptr &&
      !IsContentOf(found->second, here.content->Bytes())) {
    Fail(name, " has other bytes at ", member.name());
  }
}

// One that has forgotten a tombstone is as good as one that has it, and may be
// told of an earlier deletion; and no log may tell of a later one any more,
// since its maker's is lost. The tombstone of an appender that was sealed has
// the version of what it became when the member heard of that.
bool Oracle::AreAlike(const File& file, const DiskState::File& one,
                      const DiskState::File& other) const {
  const storage::FileInfo& a = one.known.file;
  const storage::FileInfo& b = other.known.file;
  if (one.known.deleted != other.known.deleted || a.sealed_as != b.sealed_as) {
    return false;
  }
  if (a.version == b.version || !a.sealed_as.empty()) return true;
  return IsBareTombstone(one) && IsBareTombstone(other) &&
         (file.forgotten || HasLostSome(a.version.node) ||
          HasLostSome(b.version.node));
}

void Oracle::CheckFile(const std::string& name, File* file,
                       const std::vector<Member*>& members) {
  const absl::Duration now = loop_->now();
  const DiskState::File* first = nullptr;
  bool alike = true;
  std::string account;
  size_t known_here = 0;  // And not deleted.
  size_t readable = 0;
  for (Member* member : members) {
    const DiskState::File* const here = member->disk()->now().Find(name);
    const bool there = here != nullptr && !here->known.deleted;
    if (there) ++known_here;
    if (there && here->has_good_content()) ++readable;
    if (here == nullptr) {
      absl::StrAppend(&account, " ", member->name(), ": none;");
      continue;
    }
    absl::StrAppend(&account, " ", member->name(), ": ",
                    here->known.deleted
                        ? (here->content == nullptr ? "deleted" : "kept")
                    : here->content == nullptr ? "without content"
                                               : "there",
                    " in life ", here->known.file.life, " at ",
                    here->known.file.version.clock, "/",
                    here->known.file.version.node, ";");
    CheckState(name, *member, *here);
    if (first != nullptr && !AreAlike(*file, *first, *here)) alike = false;
    if (first == nullptr ||
        storage::Replaces(StandingOf(*here), StandingOf(*first))) {
      first = here;
    }
  }
  if (known_here != 0 && known_here != members.size()) alike = false;
  // What was lost with everybody who had the content is known to all, and
  // nobody has it.
  if (readable != 0 && readable != members.size()) alike = false;
  if (!alike) {
    Fail(name, " differs:", account);
    return;
  }
  if (known_here > 0 && IsSettled(*file)) {
    Fail(name, " was deleted everywhere, and is known again");
  }
  if (first != nullptr) {
    const storage::Standing standing = StandingOf(*first);
    for (const Promise& promise : file->promises) {
      if (IsBroken(promise) || !storage::Replaces(promise.standing, standing)) {
        continue;
      }
      // It has the version and the life of what it became when a member heard
      // of that, and another member's may be gone by now.
      if (!first->known.file.sealed_as.empty() && first->known.deleted &&
          promise.standing.deleted) {
        continue;
      }
      Fail(name, promise.standing.deleted ? " was deleted" : " was changed",
           " in life ", promise.standing.life, " at ",
           promise.standing.version.clock, "/", promise.standing.version.node,
           ", and that is undone:", account);
    }
    if (readable > 0 && !file->ever_cut) {
      const std::string bytes = first->content->Bytes();
      for (const Promise& promise : file->promises) {
        // Its taker, which nobody else changes it besides, may have lost it.
        if (promise.appended.empty() || promise.taker == nullptr ||
            promise.taker->retired() ||
            LastLoss(*promise.taker, promise.level) >= promise.at ||
            bytes.find(promise.appended) != std::string::npos) {
          continue;
        }
        Fail(name, " has lost what was appended at ", promise.taker->name(),
             ":", account);
      }
    }
    if (first->known.deleted && !file->ever_deleted && !file->may_be_gone()) {
      Fail(name, " is deleted, which nobody has asked for");
    }
  }
  const bool is_lost =
      known_here == 0 ? !file->may_be_gone() : readable == 0 && !file->is_cut;
  absl::optional<uint32_t> life;
  if (known_here > 0) life = first->known.file.life;
  if (is_lost && IsPromised(*file, /*content_of=*/life, now)) {
    Fail(name, " was promised, and is lost;", account);
  }
  std::vector<const Member*> know_better;
  if (first != nullptr) {
    know_better.assign(members.begin(), members.end());
  } else {
    for (const Promise& promise : file->promises) {
      if (!promise.standing.deleted || IsBroken(promise)) continue;
      know_better.insert(know_better.end(), promise.holders.begin(),
                         promise.holders.end());
    }
  }
  file->promises.clear();
  if (first != nullptr && (known_here == 0 || readable > 0)) {
    Promise settled;
    settled.at = now;
    settled.level = Durability::kSynced;
    settled.standing =
        storage::StandingOf(first->known.file, first->known.deleted);
    settled.with_content = readable > 0;
    settled.holders.assign(members.begin(), members.end());
    file->promises.push_back(settled);
  }
  // Nothing that was tried and not done comes any more.
  if (known_here == 0 && (file->may_be_gone() || file->ever_deleted)) {
    Settle(name, file, know_better);
  }
  file->deleted = false;
  file->undeleted = false;
  file->is_cut = false;
}

void Oracle::CheckAll(const std::vector<Member*>& members) {
  for (Member* member : members) {
    for (const auto& [name, file] : member->disk()->now().files) {
      if (!files_[name].tried) {
        Fail(member->name(), " has file ", name, ", which nobody has put");
      }
    }
  }
  for (auto& [name, file] : files_) CheckFile(name, &file, members);
}

}  // namespace simulation
}  // namespace cairn
