#include "services/tracker/core/decisions.h"

#include <algorithm>
#include <limits>
#include <tuple>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/base/uuid.h"
#include "lib/file_id/file_id.h"

namespace cairn {
namespace tracker {
namespace {

// A clock that is wrong in this way is refused: those behind it could not get
// past it. The end of the year 9999.
constexpr int64_t kUnixMsMax = 253402300799999;

absl::Status Invalid(absl::string_view field, absl::string_view why) {
  return ErrorWithReason(
      absl::StatusCode::kInvalidArgument, ErrorReason::kInvalidField,
      absl::StrCat(field, ": ", why), {{"field", std::string(field)}});
}

absl::Status CheckRange(absl::string_view field, uint64_t value, uint64_t min,
                        uint64_t max) {
  if (value >= min && value <= max) return absl::OkStatus();
  return Invalid(field,
                 absl::StrCat(value, " is not between ", min, " and ", max));
}

absl::Status ValidateUuid(absl::string_view field, absl::string_view text) {
  const absl::StatusOr<Uuid> uuid = Uuid::Parse(text);
  if (!uuid.ok() || uuid->is_nil() || uuid->ToString() != text) {
    return Invalid(field, "must be a UUID in lower-case text form");
  }
  return absl::OkStatus();
}

absl::Status ValidateNodeNumber(absl::string_view field,
                                absl::string_view text) {
  uint32_t number = 0;
  if (!absl::SimpleAtoi(text, &number) || SubjectOf(number) != text) {
    return Invalid(field, "must be the number of a node, in decimal");
  }
  return absl::OkStatus();
}

absl::Status ValidateValue(DecisionField field, uint64_t value) {
  switch (field) {
    case DecisionField::kNodeRole:
      // A newer version may know more of them.
      return CheckRange("role", value, 1, 1000);
    case DecisionField::kNodeWeight:
      return CheckRange("weight", value, 1, kWeightMax);
    case DecisionField::kNodePriority:
      return CheckRange("priority", value, 0,
                        std::numeric_limits<uint32_t>::max());
    case DecisionField::kNodeRemoved:
      return CheckRange("removed", value, 1, 1);
    case DecisionField::kGroupWeight:
      return CheckRange("weight", value, 0, kWeightMax);
    case DecisionField::kNodeZone:
      return CheckRange("zone", value, 1, 1);
    case DecisionField::kNodeReserve:
      return CheckRange("reserve_percent", value, 0, kReservePercentMax);
    case DecisionField::kNodeHeir:
      return CheckRange("heir", value, 1, std::numeric_limits<uint32_t>::max());
    case DecisionField::kGroupQuotaFiles:
    case DecisionField::kClientQuotaFiles:
      return CheckRange("quota_files", value, 1, kQuotaMax);
    case DecisionField::kGroupQuotaBytes:
    case DecisionField::kClientQuotaBytes:
      return CheckRange("quota_bytes", value, 1, kQuotaMax);
  }
  return Invalid("field", "is not known");
}

// It ends up in logs and on terminals.
absl::Status CheckPrintable(absl::string_view field, absl::string_view text,
                            size_t bytes_max) {
  if (text.size() > bytes_max) {
    return Invalid(field, absl::StrCat("longer than ", bytes_max, " bytes"));
  }
  for (const char c : text) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) {
      return Invalid(field, "contains a control character");
    }
  }
  return absl::OkStatus();
}

absl::Status ValidateClient(absl::string_view identity) {
  if (identity.empty()) return Invalid("identity", "is empty");
  return CheckPrintable("identity", identity, kClientIdentityMax);
}

// FNV-1a over the fields, each with its length, and a last mix, since the
// digest adds these up.
class Hasher {
 public:
  void Add(uint64_t value) {
    for (int shift = 0; shift < 64; shift += 8) {
      AddByte(static_cast<uint8_t>(value >> shift));
    }
  }
  void Add(absl::string_view text) {
    Add(uint64_t{text.size()});
    for (const char c : text) AddByte(static_cast<uint8_t>(c));
  }
  uint64_t Finish() const {
    uint64_t x = hash_;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
  }

 private:
  void AddByte(uint8_t byte) { hash_ = (hash_ ^ byte) * 0x100000001b3; }

  uint64_t hash_ = 0xcbf29ce484222325;
};

uint64_t HashOf(const Decision& decision) {
  Hasher hasher;
  hasher.Add(uint64_t{static_cast<uint32_t>(decision.key.field)});
  hasher.Add(decision.key.subject);
  hasher.Add(uint64_t{decision.value.has_value()});
  hasher.Add(uint64_t{decision.value.value_or(0)});
  hasher.Add(decision.reason);
  hasher.Add(static_cast<uint64_t>(decision.time.unix_ms));
  hasher.Add(uint64_t{decision.time.logical});
  hasher.Add(decision.time.tracker);
  // Trackers that know of no texts have none.
  if (!decision.text.empty()) hasher.Add(decision.text);
  return hasher.Finish();
}

// Which of two decisions about the same counts. What follows the time decides
// nothing while trackers keep their word never to use a time twice; but then
// still, all of them choose alike.
bool Later(const Decision& a, const Decision& b) {
  const auto rank = [](const Decision& decision) {
    return std::make_tuple(std::cref(decision.time), decision.value.has_value(),
                           decision.value.value_or(0),
                           std::cref(decision.reason),
                           std::cref(decision.text));
  };
  return rank(b) < rank(a);
}

}  // namespace

bool operator<(const DecisionKey& a, const DecisionKey& b) {
  return std::tie(a.field, a.subject) < std::tie(b.field, b.subject);
}

bool operator==(const DecisionTime& a, const DecisionTime& b) {
  return a.unix_ms == b.unix_ms && a.logical == b.logical &&
         a.tracker == b.tracker;
}

bool operator<(const DecisionTime& a, const DecisionTime& b) {
  return std::tie(a.unix_ms, a.logical, a.tracker) <
         std::tie(b.unix_ms, b.logical, b.tracker);
}

bool operator==(const Decision& a, const Decision& b) {
  return a.key == b.key && a.value == b.value && a.text == b.text &&
         a.reason == b.reason && a.time == b.time;
}

// The enum begins at 0, the numbers at 1, in the same order.
static_assert(static_cast<int>(NodeRole::kReadWrite) == 0);
static_assert(static_cast<int>(NodeRole::kReadOnly) == 1);
static_assert(static_cast<int>(NodeRole::kDraining) == 2);
static_assert(static_cast<int>(NodeRole::kStandby) == 3);

uint32_t RoleNumber(NodeRole role) { return static_cast<uint32_t>(role) + 1; }

NodeRole RoleOfNumber(uint64_t number) {
  if (number < 1 || number > RoleNumber(NodeRole::kStandby)) {
    return NodeRole::kReadOnly;
  }
  return static_cast<NodeRole>(number - 1);
}

std::string SubjectOf(uint32_t node_number) {
  return absl::StrCat(node_number);
}

absl::Status ValidateDecision(const Decision& decision) {
  switch (decision.key.field) {
    case DecisionField::kNodeRole:
    case DecisionField::kNodeWeight:
    case DecisionField::kNodePriority:
    case DecisionField::kNodeRemoved:
    case DecisionField::kNodeZone:
    case DecisionField::kNodeReserve:
      CAIRN_RETURN_IF_ERROR(ValidateUuid("node_uuid", decision.key.subject));
      break;
    case DecisionField::kGroupWeight:
    case DecisionField::kGroupQuotaFiles:
    case DecisionField::kGroupQuotaBytes:
      CAIRN_RETURN_IF_ERROR(ValidateGroupName(decision.key.subject));
      break;
    case DecisionField::kClientQuotaFiles:
    case DecisionField::kClientQuotaBytes:
      CAIRN_RETURN_IF_ERROR(ValidateClient(decision.key.subject));
      break;
    case DecisionField::kNodeHeir:
      CAIRN_RETURN_IF_ERROR(
          ValidateNodeNumber("node_number", decision.key.subject));
      break;
    default:
      return Invalid("field", "is not known");
  }
  if (decision.value.has_value()) {
    CAIRN_RETURN_IF_ERROR(ValidateValue(decision.key.field, *decision.value));
  }
  const bool has_text = decision.key.field == DecisionField::kNodeZone &&
                        decision.value.has_value();
  if (decision.text.empty() == has_text) {
    return Invalid("zone", has_text ? "is empty" : "is no part of this");
  }
  CAIRN_RETURN_IF_ERROR(
      CheckPrintable("zone", decision.text, kDecisionTextMax));
  CAIRN_RETURN_IF_ERROR(
      CheckPrintable("reason", decision.reason, kDecisionReasonMax));
  if (decision.time.unix_ms < 0 || decision.time.unix_ms > kUnixMsMax) {
    return Invalid("time", "is not between 1970 and 9999");
  }
  return ValidateUuid("time.tracker", decision.time.tracker);
}

DecisionTime Decisions::NextTime(absl::Time now,
                                 absl::string_view tracker) const {
  DecisionTime time;
  time.unix_ms = std::clamp<int64_t>(absl::ToUnixMillis(now), 0, kUnixMsMax);
  time.tracker = std::string(tracker);
  if (decisions_.empty() || time.unix_ms > last_.unix_ms) return time;
  time.unix_ms = last_.unix_ms;
  if (last_.logical < std::numeric_limits<uint32_t>::max()) {
    time.logical = last_.logical + 1;
  } else {
    time.unix_ms = std::min(last_.unix_ms + 1, kUnixMsMax);
  }
  return time;
}

bool Decisions::Merge(const Decision& decision) {
  if (last_ < decision.time) last_ = decision.time;
  const auto [found, is_new] = decisions_.emplace(decision.key, decision);
  if (!is_new) {
    if (!Later(decision, found->second)) return false;
    digest_ -= HashOf(found->second);
    found->second = decision;
  }
  digest_ += HashOf(decision);
  return true;
}

const Decision* Decisions::Find(DecisionField field,
                                absl::string_view subject) const {
  const auto found = decisions_.find({field, std::string(subject)});
  return found == decisions_.end() ? nullptr : &found->second;
}

absl::optional<uint64_t> Decisions::Value(DecisionField field,
                                          absl::string_view subject) const {
  const Decision* const decision = Find(field, subject);
  return decision == nullptr ? absl::nullopt : decision->value;
}

}  // namespace tracker
}  // namespace cairn
