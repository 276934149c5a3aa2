#include "integration_tests/simulation/oracle.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/error_reason.h"

namespace cairn {
namespace simulation {

using storage::Committed;
using storage::Durability;
using storage::ReplicaWish;

namespace {

// An acknowledgement may be so long on its way while its sender loses what it
// speaks of.
constexpr absl::Duration kNewsTravel = absl::Seconds(10);

constexpr size_t kFailuresMax = 20;

absl::Duration LostAt(const Member& member, Durability level) {
  return level == Durability::kSynced ? member.lost_all()
                                      : member.lost_unsynced();
}

}  // namespace

void Oracle::AddFailure(std::string what) {
  loop_->Trace("FAILED: ", what);
  if (failures_.size() < kFailuresMax) failures_.push_back(std::move(what));
}

void Oracle::PutTried(const std::string& name, const std::string& content) {
  files_[name].content = content;
  names_.push_back(name);
}

void Oracle::DeleteTried(const std::string& name) {
  files_[name].delete_tried = true;
}

std::string Oracle::AnyName() const {
  if (names_.empty()) return std::string();
  // The young ones are the interesting ones.
  const size_t last = std::min<size_t>(names_.size(), 30);
  const size_t from = loop_->Chance(0.8) ? names_.size() - last : 0;
  return names_[from + loop_->Draw(names_.size() - from)];
}

Oracle::Promise Oracle::MakePromise(const char* what, bool is_deletion,
                                    const ReplicaWish& wish,
                                    const Committed& committed) {
  const bool synced = wish.level == Durability::kSynced;
  const std::string& name = committed.file.name;
  if (synced && committed.reached != Durability::kSynced) {
    Fail(what, " of ", name, " was to be synced and is answered before");
  }
  if (wish.required && committed.replicas < wish.replicas) {
    Fail(what, " of ", name, " is answered with ", committed.replicas,
         " replicas of ", wish.replicas);
  }
  Promise promise;
  promise.at = loop_->now();
  promise.level = wish.level;
  uint32_t had = 0;
  std::string account;
  for (const auto& member : *members_) {
    const DiskState& state =
        synced ? member->disk()->durable() : member->disk()->now();
    const bool has = state.Has(committed.file, synced);
    absl::StrAppend(&account, " ", member->name(), has ? "+" : "-");
    if (has) {
      promise.holders.push_back(member.get());
      ++had;
    } else if (loop_->now() - LostAt(*member, wish.level) < kNewsTravel) {
      ++had;
    }
  }
  // A put that was undone meanwhile is passed on as a place in the log alone.
  const auto file = files_.find(name);
  const bool undone =
      file != files_.end() && file->second.delete_tried && !is_deletion;
  if (committed.replicas > had && !undone) {
    Fail(what, " of ", name, " is said to be at ", committed.replicas,
         " members", synced ? ", synced" : "", ", and is at", account);
  }
  ++promises_;
  return promise;
}

void Oracle::PutDone(const std::string& name, const ReplicaWish& wish,
                     const Committed& committed) {
  const std::string& stored = committed.file.name;
  Promise promise =
      MakePromise("a put", /*is_deletion=*/false, wish, committed);
  if (stored != name) {
    if (!committed.replayed) Fail("a put of ", name, " gave ", stored);
    if (files_.count(stored) == 0 ||
        files_[stored].content != files_[name].content) {
      Fail("a repeated put of ", name, " gave the other file ", stored);
    }
  }
  files_[stored].puts.push_back(std::move(promise));
}

void Oracle::DeleteDone(const ReplicaWish& wish, const Committed& committed) {
  files_[committed.file.name].deletes.push_back(
      MakePromise("a deletion", /*is_deletion=*/true, wish, committed));
}

bool Oracle::IsBroken(const Promise& promise) {
  return std::all_of(promise.holders.begin(), promise.holders.end(),
                     [&promise](const Member* member) {
                       return LostAt(*member, promise.level) >= promise.at;
                     });
}

// Whether one of the promises that were given before must still be true.
bool Oracle::IsKept(const std::vector<Promise>& promises,
                    absl::Duration before) {
  return std::any_of(promises.begin(), promises.end(),
                     [before](const Promise& promise) {
                       return promise.at <= before && !IsBroken(promise);
                     });
}

void Oracle::ReadDone(const std::string& name, absl::Duration begun,
                      const std::string& member,
                      const absl::StatusOr<std::string>& content) {
  const File& file = files_[name];
  if (content.ok()) {
    if (*content != file.content) {
      Fail("a read of ", name, " at ", member, " gave other bytes");
    }
    if (file.settled_deleted) {
      Fail("a read of ", name, " at ", member,
           " gave a file that was deleted everywhere");
    }
    return;
  }
  const ErrorReason reason = ReasonOf(content.status());
  if (absl::IsDataLoss(content.status())) {
    Fail("a read of ", name, " at ", member, ": ", content.status().ToString());
  } else if (reason == ErrorReason::kFileDeleted && !file.delete_tried) {
    Fail("a read of ", name, " at ", member,
         " says that it was deleted, which nobody has asked for");
  } else if (reason == ErrorReason::kFileNotFound && !file.delete_tried &&
             IsKept(file.puts, begun)) {
    Fail("a read of ", name, " at ", member,
         " says that there is none, after it was promised");
  }
}

void Oracle::CheckAll(const std::vector<Member*>& members) {
  std::set<std::string> known(names_.begin(), names_.end());
  for (Member* member : members) {
    for (const auto& [name, file] : member->disk()->now().files) {
      if (known.count(name) == 0) {
        Fail(member->name(), " has file ", name, ", which nobody has put");
      }
    }
  }
  const absl::Duration now = loop_->now();
  for (auto& [name, file] : files_) {
    const DiskState::File* first = nullptr;
    bool alike = true;
    std::string account;
    size_t known_here = 0;  // And not deleted.
    size_t readable = 0;
    for (Member* member : members) {
      const DiskState::File* const here = member->disk()->now().Find(name);
      const bool there = here != nullptr && !here->known.deleted;
      if (there) ++known_here;
      if (there && here->content != nullptr) ++readable;
      if (here == nullptr) {
        absl::StrAppend(&account, " ", member->name(), ": none;");
        continue;
      }
      absl::StrAppend(&account, " ", member->name(), ": ",
                      here->known.deleted        ? "deleted"
                      : here->content == nullptr ? "without content"
                                                 : "there",
                      " at ", here->known.file.version.clock, "/",
                      here->known.file.version.node, ";");
      if (there && here->content != nullptr &&
          here->content->bytes != file.content) {
        Fail(name, " has other bytes at ", member->name());
      }
      // One that has forgotten a tombstone is as good as one that has it.
      if (first != nullptr &&
          (first->known.deleted != here->known.deleted ||
           !(first->known.file.version == here->known.file.version))) {
        alike = false;
      }
      first = here;
    }
    if (known_here != 0 && known_here != members.size()) alike = false;
    // What was lost with everybody who had the content is known to all, and
    // nobody has it.
    if (readable != 0 && readable != members.size()) alike = false;
    if (!alike) {
      Fail(name, " differs:", account);
      continue;
    }
    const bool is_there = readable > 0;
    if (known_here > 0 && file.settled_deleted) {
      Fail(name, " was deleted everywhere, and is known again");
    }
    if (is_there && IsKept(file.deletes, now)) {
      Fail(name, " was deleted, and is back");
    }
    if (!is_there && !file.delete_tried && IsKept(file.puts, now)) {
      Fail(name, " was promised, and is lost;", account);
    }
    if (!is_there && first != nullptr && first->known.deleted &&
        !file.delete_tried) {
      Fail(name, " is deleted, which nobody has asked for");
    }
    Promise settled;
    settled.at = now;
    settled.level = Durability::kSynced;
    settled.holders.assign(members.begin(), members.end());
    file.puts.clear();
    file.deletes.clear();
    if (is_there) {
      file.puts.push_back(settled);
      // A deletion that was tried and not done is over.
      file.delete_tried = false;
    } else if (file.delete_tried && known_here == 0) {
      file.settled_deleted = true;
    }
  }
}

}  // namespace simulation
}  // namespace cairn
