// What is left of the lives of files when all is healed: brings what is open to
// an end, and compares each member with what the files may be.
//
//   Settle ─▶ AwaitExpired ─▶ CheckAt, of each member ─▶ Conclude
//
// Of several states that a file may have all members must have the same one.

#ifndef CAIRN_INTEGRATION_TESTS_CHAOS_LIFE_VERIFIER_H_
#define CAIRN_INTEGRATION_TESTS_CHAOS_LIFE_VERIFIER_H_

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "integration_tests/chaos/destruction.h"
#include "integration_tests/chaos/file_life.h"
#include "integration_tests/chaos/life_load.h"

namespace cairn {
namespace testing {

struct LivesVerified {
  int64_t copies = 0;    // At a member, as they must be.
  int64_t gone = 0;      // Deleted, sealed or expired at a member.
  int64_t settled = 0;   // Changes without an answer, asked for again.
  int64_t brought = 0;   // Deleted files that were brought back in the end.
  int64_t lost = 0;      // Whose content nobody had kept, after a wipe.
  int64_t in_doubt = 0;  // Files that might have been several things.
};

// For the main thread, once: after LifeLoad::Stop(), with every member up and
// at rest.
class LifeVerifier {
 public:
  // Both are borrowed.
  LifeVerifier(LifeLoad* load, const Destruction* destruction)
      : load_(load), destruction_(destruction) {}

  // Asks for changes that have no answer until they have one, at their home or
  // at others, and leaves some as they are; brings back some of what is kept.
  //   DEADLINE_EXCEEDED  there is no answer.
  absl::Status Settle();

  // Waits until whatever was to expire has at each member, or was reclaimed if
  // `reclaimed` says so.
  absl::Status AwaitExpired(const std::vector<std::string>& addresses,
                            bool reclaimed);

  // Reads each file at a member, which is the only one that is up.
  //   DATA_LOSS  one is none of what it may be, or not what others have.
  absl::Status CheckAt(int member, const std::string& address);

  // Tells the load what the files are.
  void Conclude();

  // All IDs that are known, and of those the ones that must be listed.
  std::set<std::string> file_ids() const;
  std::set<std::string> there() const;

  const LivesVerified& verified() const { return verified_; }

 private:
  struct Check {
    OwnFile* file = nullptr;
    std::vector<FileState> states;
    std::vector<bool> possible;  // Of the states.
    std::string account;         // What members had.
  };

  std::vector<FileState> MayBe(const OwnFile& file) const;
  size_t WipesOf(const OwnFile& file) const;
  absl::Status SettleOne(OwnFile* file, client::Client* client);
  absl::Status BringBack(OwnFile* file);
  void BeginChecks();

  // That a member names what is derived from a file, and nothing else.
  absl::Status CheckDerived(const OwnFile& master, client::Client* client);

  // Whether the file is there, if all that it may be says the same.
  static absl::optional<bool> IsThere(const Check& check);

  LifeLoad* const load_;
  const Destruction* const destruction_;
  std::vector<Check> checks_;
  LivesVerified verified_;
};

}  // namespace testing
}  // namespace cairn

#endif  // CAIRN_INTEGRATION_TESTS_CHAOS_LIFE_VERIFIER_H_
