// What clients were told, and what must therefore be true.
//
// Members answer ─▶ Acknowledged ─▶ a promise: who had it at that moment, at
// which level. It may be broken only if each of those has since lost what it
// had: to a wipe, or at level CACHED to a power cut.
//
// Members change a file ─▶ OnChange ─▶ what each version of it is: whoever has
// the version has exactly that.

#ifndef CAIRN_INTEGRATION_TESTS_SIMULATION_ORACLE_H_
#define CAIRN_INTEGRATION_TESTS_SIMULATION_ORACLE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
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

// What a client wants.
enum class CallKind {
  kPut,
  kPutAppender,
  kPutDerived,
  kUpdate,
  kSeal,
  kCopy,
  kAttributes,
  kExpiry,
  kDelete,  // And purge.
  kUndelete,
};

// For one thread.
class Oracle {
 public:
  // Members are added as they join. Borrowed.
  Oracle(EventLoop* loop, const std::vector<std::unique_ptr<Member>>* members)
      : loop_(loop), members_(members) {}

  // A client calls, before the member hears of it; `name` is what it becomes.
  // `content` is that of a put.
  void Tried(CallKind kind, const std::string& name,
             const std::string& content = std::string());

  // The file may expire, by some member's clock.
  void ExpiryTried(const std::string& name) { files_[name].may_expire = true; }

  // Bytes of the appender may be cut off or written over: until others have
  // fetched what it is then, they have neither that nor what it was.
  void CutTried(const std::string& name) {
    files_[name].is_cut = true;
    files_[name].ever_cut = true;
  }

  // The same of one that is added to, for members that hear of it by a
  // snapshot.
  void GrownBySnapshot(const std::string& name) { files_[name].is_cut = true; }

  // A disk loses or spoils what it has of the file, or cannot read it.
  void Damaged(const std::string& name);

  // `name` is to be a copy, which shares the bytes of `from`, and what happens
  // to them.
  void CopyTried(const std::string& name, const std::string& from) {
    files_[name].copied_from = from;
  }

  // A member has forgotten that the file was deleted.
  void Forgotten(const std::string& name) { files_[name].forgotten = true; }

  // The member has not any more what it had of the file.
  void LostAt(const Member* member, const std::string& name);

  // The appender may become another file.
  void SealTried(const std::string& name) { files_[name].is_sealed = true; }

  // A member says so to the client. `from`: of kSeal and kCopy.
  // `appended`: of an update that did nothing but that.
  void Done(CallKind kind, const std::string& name, const std::string& from,
            const storage::ReplicaWish& wish,
            const storage::Committed& committed,
            const std::string& appended = std::string());

  // A member takes a change: ModelPathOptions::on_change.
  void OnChange(const storage::KnownFile& known, const DiskContent* content);

  // What a read that began at `begun` said.
  void ReadDone(const std::string& name, absl::Duration begun,
                const std::string& member,
                const absl::StatusOr<std::string>& content);

  // Operators remove the member, by force or since nothing is there alone.
  void Retire(const Member* member, bool force);

  // Everything is healed and quiet: compares all members, and takes what they
  // have for promised.
  void CheckAll(const std::vector<Member*>& members);

  // Any of the tried; empty if there is none.
  std::string AnyName() const { return PickOf(names_); }
  std::string AnyAppender() const { return PickOf(appenders_); }

  // Preferably one that somebody has tried to delete.
  std::string AnyDeleted() const;

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
    storage::Standing standing;
    bool with_content = false;
    std::vector<const Member*> holders;

    // What was appended, and who has done it.
    std::string appended;
    const Member* taker = nullptr;
  };

  // What a version of a file is.
  struct State {
    storage::KnownFile known;

    // Unset if the member that made the version had none: then its CRC counts.
    absl::optional<std::string> content;
  };

  struct File {
    bool tried = false;  // By a client.
    std::string put;     // The content that it has put.
    std::map<std::pair<uint64_t, uint32_t>, State> versions;
    std::vector<Promise> promises;
    bool is_derived = false;
    bool may_expire = false;
    bool is_sealed = false;   // Somebody has tried to.
    bool is_cut = false;      // It may have got another content, lately,
    bool ever_cut = false;    // or ever.
    bool is_damaged = false;  // Some member may be unable to read it.
    std::string copied_from;

    // Somebody has tried to, ever, and since the last check.
    bool ever_deleted = false;
    bool deleted = false;
    bool undeleted = false;

    bool forgotten = false;        // Its deletion, by some member.
    bool settled_deleted = false;  // Everywhere, at some check.

    // If a member that was removed then still has it, and may be let back:
    // those who know better, since then.
    bool at_retired = false;
    absl::Duration settled_at = absl::ZeroDuration();
    std::vector<const Member*> settled_by;

    // It may be gone, and nobody has broken a promise.
    bool may_be_gone() const {
      return deleted || may_expire || is_sealed || settled_deleted;
    }
  };

  // The member's disk has lost changes, or all of them, at some time.
  bool HasLostSome(uint32_t node) const;

  // What two members have of the file is the same in the end.
  bool AreAlike(const File& file, const DiskState::File& one,
                const DiskState::File& other) const;

  void AddFailure(std::string what);
  std::string PickOf(const std::vector<std::string>& names) const;
  static const char* NameOf(CallKind kind);
  Promise MakePromise(CallKind kind, const storage::ReplicaWish& wish,
                      const storage::Committed& committed);
  static bool IsBroken(const Promise& promise);
  static bool IsSettled(const File& file);
  bool IsDamaged(const File& file) const;
  void Settle(const std::string& name, File* file,
              const std::vector<const Member*>& by);

  // Whether one of the promises that it is there must still be true.
  // `content_of`: that somebody has the content in this life. Whoever had it in
  // an earlier one was free to give it up when the file was deleted.
  static bool IsPromised(const File& file, absl::optional<uint32_t> content_of,
                         absl::Duration before);
  static bool IsContentOf(const State& state, const std::string& content);

  void CheckState(const std::string& name, const Member& member,
                  const DiskState::File& here);
  void CheckFile(const std::string& name, File* file,
                 const std::vector<Member*>& members);

  EventLoop* const loop_;
  const std::vector<std::unique_ptr<Member>>* const members_;
  std::map<std::string, File> files_;
  std::set<std::string> damaged_contents_;  // SHA-256 of shared ones.
  std::vector<std::string> names_;
  std::vector<std::string> appenders_;
  std::vector<std::string> deleted_;
  std::vector<std::string> failures_;
  uint64_t promises_ = 0;
};

}  // namespace simulation
}  // namespace cairn

#endif  // CAIRN_INTEGRATION_TESTS_SIMULATION_ORACLE_H_
