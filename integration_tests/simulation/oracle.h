// What clients were told, and what must therefore be true.
//
// Members answer ─▶ Acknowledged ─▶ a promise: who had it at that moment, at
// which level. It may be broken only if each of those has since lost what it
// had: to a wipe, or at level CACHED to a power cut.

#ifndef CAIRN_INTEGRATION_TESTS_SIMULATION_ORACLE_H_
#define CAIRN_INTEGRATION_TESTS_SIMULATION_ORACLE_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "integration_tests/simulation/event_loop.h"
#include "integration_tests/simulation/member.h"
#include "services/storage/core/replica_waits.h"
#include "services/storage/core/store_path.h"

namespace cairn {
namespace simulation {

// For one thread.
class Oracle {
 public:
  // Members are added as they join. Borrowed.
  Oracle(EventLoop* loop, const std::vector<std::unique_ptr<Member>>* members)
      : loop_(loop), members_(members) {}

  // Before the member hears of it.
  void PutTried(const std::string& name, const std::string& content);
  void DeleteTried(const std::string& name);

  // A member says so to a client.
  void PutDone(const std::string& name, const storage::ReplicaWish& wish,
               const storage::Committed& committed);
  void DeleteDone(const storage::ReplicaWish& wish,
                  const storage::Committed& committed);

  // What a read that began at `begun` said.
  void ReadDone(const std::string& name, absl::Duration begun,
                const std::string& member,
                const absl::StatusOr<std::string>& content);

  // Everything is healed and quiet: compares all members, and takes what they
  // have for promised.
  void CheckAll(const std::vector<Member*>& members);

  // Any of the tried; empty if there is none.
  std::string AnyName() const;

  // What was found wrong so far.
  const std::vector<std::string>& failures() const { return failures_; }
  template <typename... Args>
  void Fail(const Args&... args) {
    AddFailure(absl::StrCat(args...));
  }

  uint64_t promises() const { return promises_; }

 private:
  struct Promise {
    absl::Duration at;
    storage::Durability level = storage::Durability::kCached;
    std::vector<const Member*> holders;
  };
  struct File {
    std::string content;
    std::vector<Promise> puts;
    bool delete_tried = false;
    std::vector<Promise> deletes;
    bool settled_deleted = false;  // Everywhere, at some check.
  };

  void AddFailure(std::string what);
  Promise MakePromise(const char* what, bool is_deletion,
                      const storage::ReplicaWish& wish,
                      const storage::Committed& committed);
  static bool IsBroken(const Promise& promise);
  static bool IsKept(const std::vector<Promise>& promises,
                     absl::Duration before);

  EventLoop* const loop_;
  const std::vector<std::unique_ptr<Member>>* const members_;
  std::map<std::string, File> files_;
  std::vector<std::string> names_;
  std::vector<std::string> failures_;
  uint64_t promises_ = 0;
};

}  // namespace simulation
}  // namespace cairn

#endif  // CAIRN_INTEGRATION_TESTS_SIMULATION_ORACLE_H_
