// Whether a store path is SYNCING: new, rebuilt or back after long, and not
// caught up with the other members of its group.
//
//   SYNCING ── alone, or at the end of the logs of all others ──▶ ACTIVE
//      ▲        that can be reached, with their contents             │
//      └───── another incarnation, a snapshot, or far behind ────────┘
//
// It decides nothing but who is asked first: a path that is SYNCING serves what
// it has and passes on the rest. Pure; times are those of Clock::Monotonic().

#ifndef CAIRN_SERVICES_STORAGE_CORE_CATCH_UP_H_
#define CAIRN_SERVICES_STORAGE_CORE_CATCH_UP_H_

#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "lib/base/uuid.h"

namespace cairn {
namespace storage {

// How the path stands at one moment.
struct CatchUpView {
  // The path's incarnation: another one has nothing of what the last one had.
  Uuid incarnation;

  // Somebody has said who the other members are, and how many there are.
  bool peers_known = false;
  size_t peers = 0;

  // Those whose logs are being pulled, and who have said how far they are.
  size_t peers_reached = 0;

  // The most that one of these has and this path has not.
  uint64_t behind_changes = 0;

  // The logs of one of these do not reach back, or a snapshot is being taken.
  bool snapshot = false;

  // Contents that are missing, but for those that were asked for in vain.
  size_t missing_contents = 0;
};

// Not thread-safe.
class CatchUp {
 public:
  // Changes behind a member from which on a path that was ACTIVE is SYNCING
  // again: some seconds of the highest load.
  static constexpr uint64_t kFarBehind = 100000;

  // Contents that may be missing at the end: a member that takes large files
  // all the time always has some under way.
  static constexpr size_t kMissingMax = 8;

  // How long members that cannot be reached are waited for: while others can
  // until the path is ACTIVE, and by AwaitsOthers() if none can.
  static constexpr absl::Duration kPatience = absl::Seconds(15);

  // Returns whether the path is SYNCING. While no other member can be reached
  // it stays what it was.
  bool Update(const CatchUpView& view, absl::Duration now);

  // It is SYNCING again: what it lacks is to be asked anew.
  void Restart();

  bool syncing() const { return syncing_; }

  // It is SYNCING, and others can be asked for what it lacks, or may be there
  // in a moment.
  bool AwaitsOthers() const { return syncing_ && !left_alone_; }

 private:
  Uuid incarnation_;
  bool syncing_ = true;
  absl::optional<absl::Duration> unreached_since_;

  // Nobody is reached, since then; and was for as long as others are waited
  // for.
  absl::optional<absl::Duration> alone_since_;
  bool left_alone_ = false;
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_CATCH_UP_H_
