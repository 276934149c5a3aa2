#include "services/storage/sync/latest_decisions.h"

#include <tuple>

namespace cairn {
namespace storage {
namespace {

// As trackers compare them (services/tracker/core/decisions.h).
bool Later(const tracker::v1::Decision& a, const tracker::v1::Decision& b) {
  const auto rank = [](const tracker::v1::Decision& decision) {
    const tracker::v1::DecisionTime& time = decision.time();
    return std::make_tuple(time.unix_ms(), time.logical(),
                           std::cref(time.tracker_instance()),
                           decision.has_value(), decision.value());
  };
  return rank(b) < rank(a);
}

}  // namespace

bool MergeLatest(const tracker::v1::Decision& decision,
                 LatestDecisions* latest) {
  const auto [known, is_new] = latest->emplace(decision.subject(), decision);
  if (is_new) return true;
  if (!Later(decision, known->second)) return false;
  known->second = decision;
  return true;
}

}  // namespace storage
}  // namespace cairn
