// What operators have decided, so that trackers which talk to each other end up
// with the same, in any order and however often they hear it.
//
// Each decision is a register of its own: the last writer wins. "Last" is told
// by a hybrid logical clock: wall time, but never before anything that the
// writer had seen. So who decides after having seen an earlier decision
// overrules it, though its clock be a day behind; and of two who did not see
// each other, all trackers choose the same.
//
// Pure: no clock, no network, no disk.

#ifndef CAIRN_SERVICES_TRACKER_CORE_DECISIONS_H_
#define CAIRN_SERVICES_TRACKER_CORE_DECISIONS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "lib/placement/cluster_model.h"

namespace cairn {
namespace tracker {

// What is decided. The numbers are those of cairn.tracker.v1.DecisionField, and
// of the format on disk.
enum class DecisionField : uint32_t {
  kNodeRole = 1,      // Value: RoleNumber().
  kNodeWeight = 2,    // 1..kWeightMax
  kNodePriority = 3,  // Any.
  kNodeRemoved = 4,   // 1
  kGroupWeight = 5,   // 0..kWeightMax
  kNodeZone = 6,      // 1; `text` is the zone.
  kNodeReserve = 7,   // Percent, 0..kReservePercentMax
  kNodeHeir = 8,      // Number of another node.

  // What may be held, 1..kQuotaMax: by a group; of a client, by each group.
  kGroupQuotaFiles = 60,
  kGroupQuotaBytes = 61,
  kClientQuotaFiles = 62,
  kClientQuotaBytes = 63,
};

// Of a node by its UUID, or by its number (kNodeHeir), of a group by its name,
// of a client by its identity.
struct DecisionKey {
  DecisionField field = DecisionField::kNodeRole;
  std::string subject;

  friend bool operator==(const DecisionKey& a, const DecisionKey& b) {
    return a.field == b.field && a.subject == b.subject;
  }
  friend bool operator<(const DecisionKey& a, const DecisionKey& b);
};

// A reading of the hybrid logical clock. Ordered; no two decisions that differ
// have the same.
struct DecisionTime {
  int64_t unix_ms = 0;   // For people: when it was decided, by that tracker.
  uint32_t logical = 0;  // Counts within a millisecond.
  std::string tracker;   // Instance of the tracker that decided.

  friend bool operator==(const DecisionTime& a, const DecisionTime& b);
  friend bool operator<(const DecisionTime& a, const DecisionTime& b);
};

// One register.
struct Decision {
  DecisionKey key;

  // Unset: a decision was taken back, and the node's own configuration (the
  // policy's, for a group) counts.
  absl::optional<uint64_t> value;

  // Of kNodeZone, while `value` is set: 1 to kDecisionTextMax bytes. Else
  // empty.
  std::string text;

  // Why, in the operator's words. May be empty.
  std::string reason;

  DecisionTime time;

  friend bool operator==(const Decision& a, const Decision& b);
  friend bool operator!=(const Decision& a, const Decision& b) {
    return !(a == b);
  }
};

// Longest reason in bytes.
inline constexpr size_t kDecisionReasonMax = 200;

// Longest text in bytes.
inline constexpr size_t kDecisionTextMax = 64;

// The most files or bytes that a quota can be.
inline constexpr uint64_t kQuotaMax = (uint64_t{1} << 63) - 1;

// Longest identity of a client in bytes; as X.509 has it of a common name.
inline constexpr size_t kClientIdentityMax = 64;

// The most of a disk that can be kept from uploads.
inline constexpr uint32_t kReservePercentMax = 90;

// The number of a role in a decision, and back: that of
// cairn.tracker.v1.NodeRole. A number that this version does not know is
// kReadOnly, the careful choice.
uint32_t RoleNumber(NodeRole role);
NodeRole RoleOfNumber(uint64_t number);

// The subject of decisions about a node that are told by its number.
std::string SubjectOf(uint32_t node_number);

// What is accepted from an operator, a peer or a disk.
//   INVALID_ARGUMENT  INVALID_FIELD; the message says what is allowed.
absl::Status ValidateDecision(const Decision& decision);

// A value; not thread-safe. Registers are never forgotten, since one that is
// could come back from a tracker that was away.
class Decisions {
 public:
  // The time of a decision that is taken now at `tracker`: after everything
  // that was merged here, whatever `now` says.
  DecisionTime NextTime(absl::Time now, absl::string_view tracker) const;

  // Takes `decision`, which must be valid, if it is later than what is here
  // about the same. Returns whether it was. Commutative, associative and
  // idempotent.
  bool Merge(const Decision& decision);

  // Null if nothing was ever decided about it. Valid until the next Merge().
  const Decision* Find(DecisionField field, absl::string_view subject) const;

  // The value that is in force; nullopt if there is none.
  absl::optional<uint64_t> Value(DecisionField field,
                                 absl::string_view subject) const;

  // By key, with those that were taken back.
  const std::map<DecisionKey, Decision>& all() const { return decisions_; }

  // The same for the same registers. Two that differ have another one, but for
  // a chance of 2^-64; the next decision ends that.
  uint64_t digest() const { return digest_; }

 private:
  std::map<DecisionKey, Decision> decisions_;
  DecisionTime last_;  // The latest that was merged.
  uint64_t digest_ = 0;
};

}  // namespace tracker
}  // namespace cairn

#endif  // CAIRN_SERVICES_TRACKER_CORE_DECISIONS_H_
