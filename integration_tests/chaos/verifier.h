// Whether a cluster that was hurt and has healed holds what it promised, each
// member by itself.
//
//   AwaitQuiet ──▶ SettleUnanswered ──▶ AwaitQuiet ──▶ for each member:
//                                        the others are killed, everything is
//                                        read from it, the others come back
//
// With the others dead nothing can be passed on: what a member answers is what
// it has.

#ifndef CAIRN_INTEGRATION_TESTS_CHAOS_VERIFIER_H_
#define CAIRN_INTEGRATION_TESTS_CHAOS_VERIFIER_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "integration_tests/chaos/change_load.h"
#include "integration_tests/chaos/client_load.h"
#include "integration_tests/chaos/destruction.h"
#include "integration_tests/chaos/life_verifier.h"
#include "integration_tests/mini_cluster/cluster.h"
#include "integration_tests/mini_cluster/oracle.h"

namespace cairn {
namespace testing {

// What the verifier found.
struct ChaosVerified {
  int64_t read_back = 0;  // Copies of acknowledged files, byte for byte.
  int64_t gone = 0;       // Copies of deleted files that are not there.
  int64_t settled = 0;    // Puts and deletes without an answer, repeated.
  int64_t lost = 0;    // Files that were at one member alone and wiped there.
  int64_t undone = 0;  // Deletes that were at one member alone and wiped.
  int64_t mended = 0;  // Copies with a flipped bit that nobody had read yet.

  // Files that no answer told of: of a put that was repeated at another member
  // after the first one had stored it and died before it said so.
  int64_t unclaimed = 0;
};

// The node's number in file IDs. Of a node that is up, but may have too much to
// do to take a connection at once.
absl::StatusOr<uint32_t> NodeNumberOf(const std::string& address);

// Waits until every member says that it has all that any of them has, and all
// count the same files. `may_be_lost`: contents may be missing for good, if
// they are at all members, since a path was wiped that alone had them.
//   DEADLINE_EXCEEDED  they do not; the message says what is missing where.
absl::Status AwaitQuiet(const std::vector<std::string>& addresses,
                        bool may_be_lost = false);

// Repeats puts and deletes that had no answer, until they have one. Returns how
// many.
absl::StatusOr<int64_t> SettleUnanswered(
    Oracle* oracle, const std::vector<std::string>& addresses,
    bool may_be_lost);

// For a cluster that is quiet and settled: has every member read all its files
// and mend what is damaged, then looks. It is complete again afterwards.
// `suspicions`: what was not found while it was hurt, which only files may that
// are lost.
//   DATA_LOSS  a promise was broken; the message names the file and member.
// `changes` and `lives` look after their files at each member, too; and all
// members must list the same files, with the same of each.
absl::StatusOr<ChaosVerified> VerifyEachMember(
    MiniCluster* cluster, Oracle* oracle, ChangeLoad* changes,
    LifeVerifier* lives, const Destruction& destruction,
    const std::vector<Suspicion>& suspicions);

}  // namespace testing
}  // namespace cairn

#endif  // CAIRN_INTEGRATION_TESTS_CHAOS_VERIFIER_H_
