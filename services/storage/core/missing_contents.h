// Files of a store path that are known and whose content is still to be
// fetched. A file is in here before its change is applied, so that nobody is
// told that the path has it.

#ifndef CAIRN_SERVICES_STORAGE_CORE_MISSING_CONTENTS_H_
#define CAIRN_SERVICES_STORAGE_CORE_MISSING_CONTENTS_H_

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "lib/base/mutex.h"
#include "services/storage/core/replica_log.h"

namespace cairn {
namespace storage {

// Thread-safe.
class MissingContents {
 public:
  // `change` is the one that made the file; nil if it is not known.
  void Add(const std::string& name, const LogPosition& change)
      ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    names_[name] = change;
  }

  // Unless another change of the file was added since.
  void Remove(const std::string& name, const LogPosition& change)
      ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    const auto it = names_.find(name);
    if (it != names_.end() && it->second == change) names_.erase(it);
  }

  size_t size() const ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    return names_.size();
  }

  // All of them, by name.
  std::map<std::string, LogPosition> All() const ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    return names_;
  }

  // The changes that are known.
  std::vector<LogPosition> Changes() const ABSL_LOCKS_EXCLUDED(mu_) {
    std::vector<LogPosition> changes;
    MutexLock lock(&mu_);
    for (const auto& [name, change] : names_) {
      if (!change.log.is_nil()) changes.push_back(change);
    }
    return changes;
  }

 private:
  mutable Mutex mu_;
  std::map<std::string, LogPosition> names_ ABSL_GUARDED_BY(mu_);
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_MISSING_CONTENTS_H_
