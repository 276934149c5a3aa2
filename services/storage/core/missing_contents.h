// Files of a store path that are known and whose content is still to be
// fetched. A file is in here before its change is applied, so that nobody is
// told that the path has it.

#ifndef CAIRN_SERVICES_STORAGE_CORE_MISSING_CONTENTS_H_
#define CAIRN_SERVICES_STORAGE_CORE_MISSING_CONTENTS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/types/optional.h"
#include "lib/base/mutex.h"
#include "services/storage/core/file_info.h"
#include "services/storage/core/replica_log.h"

namespace cairn {
namespace storage {

// Thread-safe.
class MissingContents {
 public:
  // Changes of one file whose content is waited for, at most, before IsFull();
  // more if none of them says what the file is: it is not known then, and
  // cannot be fetched before more has come.
  static constexpr size_t kChangesMax = 1000;

  // `change` is the one that made the file; nil if it is not known.
  void Add(const std::string& name, const LogPosition& change)
      ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    AddChange(name, change, change, /*tells=*/true);
  }

  // What `change` did is known only by what `later` made of it, or (then
  // `later` is `change`) by what a change of another log made of it. `made`:
  // what it made; what is older is not what is waited for.
  void AddSuperseded(const std::string& name, const LogPosition& change,
                     const LogPosition& later, const Standing& made)
      ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    Waiting& waiting = AddChange(name, change, later, /*tells=*/false);
    waiting.comes_with_log = !(later == change);
    if (!waiting.superseded.has_value() ||
        Replaces(made, *waiting.superseded)) {
      waiting.superseded = made;
    }
  }

  // The change is applied, and no log has to bring it: one of a snapshot, or of
  // a comparison, whose log may never get so far here. Unless another change of
  // the file was added since.
  void Settle(const std::string& name, const LogPosition& change)
      ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    const auto it = names_.find(name);
    if (it == names_.end() || !(it->second.latest == change)) return;
    it->second.settled = true;
  }

  // Unless another change of the file was added since.
  void Remove(const std::string& name, const LogPosition& change)
      ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    const auto it = names_.find(name);
    if (it == names_.end() || !(it->second.latest == change)) return;
    if (it->second.is_full()) --full_;
    names_.erase(it);
  }

  // What was waited for by one name is there when the other one is: an appender
  // that was sealed. Nothing if the other one is not waited for.
  void Join(const std::string& name, const std::string& other)
      ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    const auto from = names_.find(name);
    const auto to = names_.find(other);
    if (from == names_.end() || to == names_.end() || from == to) return;
    if (from->second.is_full()) --full_;
    if (to->second.is_full()) --full_;
    to->second.changes.insert(to->second.changes.end(),
                              from->second.changes.begin(),
                              from->second.changes.end());
    if (!to->second.superseded.has_value()) {
      to->second.superseded = from->second.superseded;
    }
    if (to->second.is_full()) ++full_;
    names_.erase(from);
  }

  bool Has(const std::string& name) const ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    return names_.count(name) != 0;
  }

  // What the change did is not here.
  bool HasChange(const std::string& name, const LogPosition& change) const
      ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    const auto it = names_.find(name);
    if (it == names_.end()) return false;
    const std::vector<LogPosition>& changes = it->second.changes;
    return std::find(changes.begin(), changes.end(), change) != changes.end();
  }

  size_t size() const ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    return names_.size();
  }

  // How many changes were added so far.
  uint64_t added() const ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    return added_;
  }

  // A file changes faster than it can be fetched: no changes should be applied
  // before it is here.
  bool IsFull() const ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    return full_ > 0;
  }

  // The last change of a file that was added, and whether it is settled.
  // `superseded`: what one of the changes made is in another one, and lasts
  // when that does. `comes_with_log`: that is the last one, and nothing but its
  // place in the log is waited for.
  struct Latest {
    LogPosition change;
    bool settled = false;
    bool comes_with_log = false;
    absl::optional<Standing> superseded;
    uint64_t added = 0;  // As MissingContents::added() said then.
  };

  // All of them, by name.
  std::map<std::string, Latest> All() const ABSL_LOCKS_EXCLUDED(mu_) {
    std::map<std::string, Latest> all;
    MutexLock lock(&mu_);
    for (const auto& [name, waiting] : names_) {
      all[name] = {waiting.latest, waiting.settled, waiting.comes_with_log,
                   waiting.superseded, waiting.added};
    }
    return all;
  }

  // Of files that came with a snapshot, or a comparison, earlier changes are
  // not known here, and may be what somebody waits for: up to these, by log.
  std::map<LogId, uint64_t> UnknownUpTo() const ABSL_LOCKS_EXCLUDED(mu_) {
    std::map<LogId, uint64_t> up_to;
    MutexLock lock(&mu_);
    for (const auto& [name, waiting] : names_) {
      if (!waiting.settled || waiting.latest.log.is_nil()) continue;
      uint64_t& sequence = up_to[waiting.latest.log];
      sequence = std::max(sequence, waiting.latest.sequence);
    }
    return up_to;
  }

  // The changes that are known.
  std::vector<LogPosition> Changes() const ABSL_LOCKS_EXCLUDED(mu_) {
    std::vector<LogPosition> changes;
    MutexLock lock(&mu_);
    for (const auto& [name, waiting] : names_) {
      changes.insert(changes.end(), waiting.changes.begin(),
                     waiting.changes.end());
    }
    return changes;
  }

 private:
  struct Waiting {
    LogPosition latest;
    bool settled = false;  // The latest one.
    bool comes_with_log = false;
    absl::optional<Standing> superseded;
    uint64_t added = 0;
    std::vector<LogPosition> changes;
    bool told = false;  // One of them said what the file is.

    bool is_full() const { return told && changes.size() >= kChangesMax; }
  };

  Waiting& AddChange(const std::string& name, const LogPosition& change,
                     const LogPosition& latest, bool tells)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    Waiting& waiting = names_[name];
    if (waiting.is_full()) --full_;
    waiting.latest = latest;
    waiting.added = ++added_;
    waiting.settled = false;
    waiting.comes_with_log = false;
    waiting.told = waiting.told || tells;
    if (!change.log.is_nil()) waiting.changes.push_back(change);
    if (waiting.is_full()) ++full_;
    return waiting;
  }

  mutable Mutex mu_;
  std::map<std::string, Waiting> names_ ABSL_GUARDED_BY(mu_);
  uint64_t added_ ABSL_GUARDED_BY(mu_) = 0;
  size_t full_ ABSL_GUARDED_BY(mu_) = 0;  // Files with kChangesMax changes.
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_MISSING_CONTENTS_H_
