// How far the other members of the group have a store path's logs, and who
// waits for that.
//
//   commit ─▶ Await(position, wish) ─── OnAck, OnAck … ──▶ done(replicas)
//                                   └── Expire, member lost ─▶ done(fewer)
//
// Time is passed in (Clock::Monotonic()). Thread-safe; callbacks run in the
// call that completes them, with no lock held.

#ifndef CAIRN_SERVICES_STORAGE_CORE_REPLICA_WAITS_H_
#define CAIRN_SERVICES_STORAGE_CORE_REPLICA_WAITS_H_

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <set>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "lib/base/mutex.h"
#include "lib/base/uuid.h"
#include "services/storage/core/peer_transport.h"
#include "services/storage/core/replica_log.h"

namespace cairn {
namespace storage {

// What a caller wants of the other members before it is answered.
struct ReplicaWish {
  uint32_t replicas = 1;  // Members that have it, this one included.

  // Exactly so many; else as many of them as follow the log closely now.
  bool required = false;

  Durability level = Durability::kSynced;
};

// What a member has not of the changes that a path took.
struct MemberLag {
  uint64_t behind_changes = 0;    // It has not said to have them.
  uint64_t unsynced_changes = 0;  // The same, for its disk.
  uint64_t missing_contents = 0;  // It has said to miss the contents of these.
};

class ReplicaWaits {
 public:
  // Runs once with the members that have it, this one included, and whether
  // that is what was wished for.
  using Done = absl::AnyInvocable<void(uint32_t replicas, bool enough)>;

  ReplicaWaits() = default;
  ~ReplicaWaits();  // Stop().
  ReplicaWaits(const ReplicaWaits&) = delete;
  ReplicaWaits& operator=(const ReplicaWaits&) = delete;

  // The member has been sent all of the path's own log over `stream` (any
  // pointer that is this stream's alone) and follows it, or does not any more.
  void SetFollowing(const Uuid& member, const void* stream, bool following)
      ABSL_LOCKS_EXCLUDED(mu_);

  void OnAck(const Uuid& member, const Acknowledgement& acknowledgement)
      ABSL_LOCKS_EXCLUDED(mu_);

  // These are the other members of the group; what others said is forgotten.
  void SetMembers(const std::vector<Uuid>& members) ABSL_LOCKS_EXCLUDED(mu_);

  // Members that follow closely, this one included. What is required of more
  // would not come true now.
  uint32_t up() const ABSL_LOCKS_EXCLUDED(mu_);

  // Members that have the change, this one included.
  uint32_t Holders(const LogPosition& change, Durability level) const
      ABSL_LOCKS_EXCLUDED(mu_);

  // The change is committed here. At `deadline` the answer is given with those
  // that have it by then, and members that kept it waiting do not count as
  // following until they have caught up. `here` is 0 if this member knows the
  // change and has no content for it: then it counts for nothing.
  void Await(const LogPosition& change, const ReplicaWish& wish,
             absl::Duration deadline, Done done, uint32_t here = 1)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Answers who has waited long enough.
  void Expire(absl::Duration now) ABSL_LOCKS_EXCLUDED(mu_);

  // Answers everybody with what there is; later calls are answered at once.
  void Stop() ABSL_LOCKS_EXCLUDED(mu_);

  // The member is there: it asks for something.
  void Heard(const Uuid& member) ABSL_LOCKS_EXCLUDED(mu_);

  // What every member of SetMembers() has durably of these logs.
  std::vector<LogPosition> HeldByAll(const std::vector<LogRange>& logs) const
      ABSL_LOCKS_EXCLUDED(mu_);

  // What those of them have that were heard of within `away_after`, or that are
  // expected for less than that.
  std::vector<LogPosition> HeldByPresent(const std::vector<LogRange>& logs,
                                         absl::Duration away_after) const
      ABSL_LOCKS_EXCLUDED(mu_);

  size_t waiting() const ABSL_LOCKS_EXCLUDED(mu_);

  // The newest change of a log that a member has said to have applied; 0 if it
  // has said nothing.
  uint64_t AppliedBy(const Uuid& member, const LogId& log) const
      ABSL_LOCKS_EXCLUDED(mu_);

  // How many changes of `log`, of those that are kept, a member has not applied
  // with their contents, as far as it said, or with `durably` may lose in a
  // power cut.
  uint64_t MissedBy(const Uuid& member, const LogRange& log, bool durably) const
      ABSL_LOCKS_EXCLUDED(mu_);

  // What a member has not of `logs`, as far as they are of `incarnation`.
  MemberLag LagOf(const Uuid& member, const Uuid& incarnation,
                  const std::vector<LogRange>& logs) const
      ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Member {
    std::set<const void*> following;  // Streams; two while one is breaking.
    bool too_slow = false;            // Since a wait for it has expired.
    LogId own_log;                    // Of its path, as it said last.
    std::map<LogId, LogRange> logs;
    std::vector<LogPosition> missing;

    // When it was heard of last, or is expected since; unset until there is a
    // time.
    absl::optional<absl::Duration> heard;

    bool Has(const LogPosition& change, Durability level) const;
  };
  struct Wait {
    LogPosition change;
    ReplicaWish wish;
    absl::Duration deadline;
    Done done;
    uint32_t here = 1;
  };
  struct Answer {
    Done done;
    uint32_t replicas = 1;
    bool enough = false;
  };

  static bool IsOvertaken(const Member& known,
                          const Acknowledgement& acknowledgement);
  uint32_t Up() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  uint32_t CountHolders(const LogPosition& change, Durability level) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  uint32_t CountHolders(const Wait& wait) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool IsMet(const Wait& wait, uint32_t holders) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void TakeMet(std::vector<Answer>* answers) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  static void Give(std::vector<Answer> answers);

  mutable Mutex mu_;
  std::map<Uuid, Member> members_ ABSL_GUARDED_BY(mu_);
  std::list<Wait> waits_ ABSL_GUARDED_BY(mu_);
  absl::optional<absl::Duration> now_
      ABSL_GUARDED_BY(mu_);  // As Expire() said.
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_REPLICA_WAITS_H_
