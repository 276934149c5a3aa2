// What operators let a group hold, altogether and of each client, and what it
// holds: whether a change that adds to it may be made.
//
//   path opened ──CountIn──▶ ┌────────┐ ◀──Take── a change that adds
//   path closed ──CountOut─▶ │  use   │ ◀──Settle── it is made, or is not
//   trackers ──SetLimits───▶ └────────┘
//
// All members of a group hold the same files, so what the paths of this node
// hold is what the group holds, as far as this member has heard. Only changes
// that callers ask for are looked at, never those of other members. See
// docs/decisions/0021-quotas.md.

#ifndef CAIRN_SERVICES_STORAGE_CORE_QUOTAS_H_
#define CAIRN_SERVICES_STORAGE_CORE_QUOTAS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "lib/base/mutex.h"
#include "services/storage/core/file_use.h"

namespace cairn {
namespace storage {

// 0: as much as fits.
struct Quota {
  uint64_t files = 0;
  uint64_t bytes = 0;

  friend bool operator==(const Quota& a, const Quota& b) {
    return a.files == b.files && a.bytes == b.bytes;
  }
};

struct QuotaLimits {
  Quota group;
  std::map<std::string, Quota, std::less<>> clients;  // By FileInfo::owner.
};

// Thread-safe; never blocks. Costs a lock for each change.
class Quotas {
 public:
  explicit Quotas(std::string group) : group_(std::move(group)) {}

  Quotas(const Quotas&) = delete;
  Quotas& operator=(const Quotas&) = delete;

  // From now on. What is above it already stays, and does not grow.
  void SetLimits(QuotaLimits limits) ABSL_LOCKS_EXCLUDED(mu_);

  // A path is there with these files, or is not any more.
  void CountIn(const UseTotals& files) ABSL_LOCKS_EXCLUDED(mu_);
  void CountOut(const UseTotals& files) ABSL_LOCKS_EXCLUDED(mu_);

  // Whether `more`, of a client or (empty) of one without an identity, could be
  // added now. What of it is not above 0 is not looked at.
  //   RESOURCE_EXHAUSTED  QUOTA_EXCEEDED; the metadata says which quota.
  absl::Status Check(absl::string_view owner, const FileUse& more) const
      ABSL_LOCKS_EXCLUDED(mu_);

  // The same, and counts it from now on; Settle() has to follow.
  absl::Status Take(absl::string_view owner, const FileUse& more)
      ABSL_LOCKS_EXCLUDED(mu_);

  // `made` has become of what was `taken`.
  void Settle(const UseTotals& made, const UseTotals& taken)
      ABSL_LOCKS_EXCLUDED(mu_);

  // What is held and what may be, of the group.
  FileUse Use() const ABSL_LOCKS_EXCLUDED(mu_);
  Quota Limit() const ABSL_LOCKS_EXCLUDED(mu_);

  // The same of clients that have files here or a quota, by identity, behind
  // `after`, at most `limit`.
  struct ClientUse {
    std::string client;
    FileUse use;
    Quota quota;
  };
  std::vector<ClientUse> ListClients(absl::string_view after,
                                     size_t limit) const
      ABSL_LOCKS_EXCLUDED(mu_);

 private:
  absl::Status CheckLocked(absl::string_view owner, const FileUse& more) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::string group_;
  mutable Mutex mu_;
  QuotaLimits limits_ ABSL_GUARDED_BY(mu_);
  UseTotals use_ ABSL_GUARDED_BY(mu_);
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_QUOTAS_H_
